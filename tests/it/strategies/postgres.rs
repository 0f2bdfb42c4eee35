//! PostgreSQL, as the suite needs it; and whole backups that only PostgreSQL can be made to fail.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
};

use holdfast::{app::ConfigInput, domain::secret::Secret};

use super::{
    Kind, OwnFault,
    lies::{Case, Suite},
};
use crate::{
    bed::{self, Bed, until_postgres},
    house::{self, House, IsDump, psql},
};

pub struct Postgres;

impl Kind for Postgres {
    const NAME: &'static str = "postgres";
    const IS_DUMP: IsDump = house::pg_dump;

    fn start(options: &[&str]) -> Bed {
        let fixed = ["-e", "POSTGRES_PASSWORD=secret", "-e", "POSTGRES_DB=shop"];
        let bed = Bed::run(bed::POSTGRES, &[&fixed[..], options].concat(), &[]);
        until_postgres(&bed);
        bed
    }

    fn until_ready(bed: &Bed) {
        until_postgres(bed);
    }

    fn seed(bed: &Bed) {
        psql(
            bed,
            "shop",
            "CREATE TABLE notes AS SELECT i, repeat(md5(i::text), 20) t FROM generate_series(1, 30000) i; \
             CHECKPOINT",
        );
    }

    fn change(bed: &Bed) {
        psql(
            bed,
            "shop",
            "DELETE FROM notes WHERE i % 7 = 0; UPDATE notes SET t = 'changed' WHERE i % 5 = 0; \
             CREATE TABLE later(i int); CHECKPOINT",
        );
    }

    fn destroy(bed: &Bed) {
        psql(
            bed,
            "shop",
            "DROP SCHEMA public CASCADE; CREATE SCHEMA public",
        );
    }

    fn digest(bed: &Bed) -> String {
        // A script with commands of psql's own: not for `-c`.
        let digest = std::fs::File::open("scripts/digest.sql").unwrap();
        let psql = Command::new("docker")
            .args(["exec", "-i", &bed.name, "psql", "-U", "postgres"])
            .args(["-d", "shop", "-XAtq", "-v", "ON_ERROR_STOP=1"])
            .stdin(digest)
            .output()
            .unwrap();
        assert!(psql.status.success(), "{psql:?}");
        String::from_utf8(psql.stdout).unwrap()
    }

    fn leftovers(bed: &Bed) -> Vec<String> {
        let query = "SELECT datname FROM pg_database WHERE datname LIKE 'hf%' \
                     OR NOT datallowconn AND datname <> 'template0'";
        let found = psql(bed, "postgres", query);
        found.lines().map(ToOwned::to_owned).collect()
    }

    fn faults() -> Vec<OwnFault> {
        fn server(bed: &Bed, sql: &str) {
            psql(bed, "postgres", sql);
        }
        vec![
            OwnFault {
                name: "database missing",
                make: |bed| server(bed, "ALTER DATABASE shop RENAME TO shop_gone"),
                mend: |bed| server(bed, "ALTER DATABASE shop_gone RENAME TO shop"),
                says: &["shop"],
            },
            OwnFault {
                name: "no connections left",
                make: |bed| server(bed, "ALTER DATABASE shop ALLOW_CONNECTIONS false"),
                mend: |bed| server(bed, "ALTER DATABASE shop ALLOW_CONNECTIONS true"),
                says: &["connection"],
            },
        ]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_09_nor_do_those_of_postgres_alone() {
    let mut suite = Suite::new::<Postgres>("lies-own").await;
    dump_killed(&mut suite).await;
    wrong_password(&mut suite).await;
    tool_missing().await;
    suite.house.close().await;
}

/// The real pg_dump, killed each time it is tried.
async fn dump_killed(suite: &mut Suite) {
    let files = suite.files();
    let script = "while [ ! -e /tmp/enough ]; do for p in /proc/[0-9]*; do \
                  read -r name 2>/dev/null < $p/comm; \
                  [ \"$name\" = pg_dump ] && kill -9 ${p#/proc/}; done; done; exit 0";
    let mut killer = Command::new("docker")
        .args(["exec", &suite.bed.name, "bash", "-c", script])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let run = suite.house.back_up(suite.config).await;
    suite.bed.sh("touch /tmp/enough");
    let _ = killer.wait();
    let case = Case {
        name: "pg_dump killed",
        says: &["killed"],
    };
    suite.judge(case, run, files).await;
}

/// The password of the config is right when it is stored, and wrong later.
async fn wrong_password(suite: &mut Suite) {
    let credentials = BTreeMap::from([("password".to_owned(), Secret::from("secret"))]);
    let good = suite.config;
    suite.config = suite
        .house
        .config("shop", |input| input.credentials = Some(credentials))
        .await;
    suite.green().await;
    let password = |bed: &Bed, password| {
        psql(
            bed,
            "postgres",
            &format!("ALTER ROLE postgres PASSWORD '{password}'"),
        );
    };
    let files = suite.files();
    password(&suite.bed, "changed");
    let run = suite.house.back_up(suite.config).await;
    password(&suite.bed, "secret");
    let case = Case {
        name: "wrong password",
        says: &["password"],
    };
    suite.judge(case, run, files).await;
    suite.config = good;
}

async fn tool_missing() {
    let project = format!("lies-nodump-{}", std::process::id());
    let bed = house::postgres("holdfast-test/postgres:15-nodump", &project, &[]);
    let house = House::new().await;
    house.app("bare", &project).await;
    let input = ConfigInput {
        service: Some("db".into()),
        strategy: Some("postgres".into()),
        ..ConfigInput::default()
    };
    let refused = house
        .holdfast
        .create_config(&house.caller, "bare", input)
        .await
        .unwrap_err();
    let holdfast::app::AppError::Invalid(fields) = refused else {
        panic!("{refused}");
    };
    assert!(fields.0["service"].contains("pg_dump"), "{fields:?}");
    println!("not green: tool missing: {}", fields.0["service"]);
    drop(bed);
    house.close().await;
}
