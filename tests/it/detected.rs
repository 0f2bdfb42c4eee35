//! Which images are taken for which database, over all strategies there are: each name by one alone,
//! and what only goes with a database by none.

use holdfast::{docker::Container, strategy};

const DATABASES: &[(&str, &[&str])] = &[
    (
        "postgres",
        &[
            "postgres:16-alpine",
            "bitnami/postgresql:16",
            "postgis/postgis:16-3.4",
            "timescale/timescaledb:2.17.2-pg16",
            "timescale/timescaledb-ha:pg16",
            "pgvector/pgvector:pg17",
            "supabase/postgres:15.8.1.060",
            "registry.example:5000/mirror/postgres@sha256:00ff",
        ],
    ),
    (
        "mysql",
        &[
            "mysql:9",
            "mysql/mysql-server:8.0",
            "mariadb:11.8",
            "bitnami/mariadb",
            "percona:8",
            "percona/percona-server:8.4",
        ],
    ),
    ("mongo", &["mongo:8", "library/mongo", "bitnami/mongodb:7"]),
    (
        "redis",
        &[
            "redis:7-alpine",
            "bitnami/redis",
            "valkey/valkey:8",
            "eqalpha/keydb",
            "docker.dragonflydb.io/dragonflydb/dragonfly:v1.25.0",
        ],
    ),
];

const OTHERS: &[&str] = &[
    "prometheuscommunity/postgres-exporter",
    "dpage/pgadmin4",
    "edoburu/pgbouncer",
    "prodrigestivill/postgres-backup-local:16",
    "postgrest/postgrest",
    "prom/mysqld-exporter",
    "phpmyadmin:5",
    "databack/mysql-backup",
    "mongo-express:1",
    "percona/mongodb_exporter:0.40",
    "oliver006/redis_exporter",
    "rediscommander/redis-commander",
    "redis/redisinsight",
    "adminer",
    "nginx",
    "mysqlx",
    "",
];

/// Strategies that take a container without mounts of this image.
fn taken(image: &str) -> Vec<&'static str> {
    let container = Container {
        image: image.to_owned(),
        ..Container::default()
    };
    let fitting = strategy::ALL
        .iter()
        .filter(|s| s.detect(&container).is_some());
    fitting.map(|strategy| strategy.kind()).collect()
}

#[test]
fn each_database_is_taken_by_its_own_strategy_alone() {
    let mut known = 0;
    for (kind, images) in DATABASES {
        let there_is = strategy::find(kind).is_some();
        known += usize::from(there_is);
        for image in *images {
            let expected: &[&str] = if there_is { &[kind] } else { &[] };
            assert_eq!(taken(image), expected, "{image}");
        }
    }
    assert!(known > 0);
}

#[test]
fn what_only_goes_with_a_database_is_taken_by_none() {
    for image in OTHERS {
        assert_eq!(taken(image), [""; 0], "{image}");
    }
}
