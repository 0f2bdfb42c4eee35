//! Tells from an image's name what runs in it, word by word: `postgres-exporter` is no `postgres`,
//! and `registry.example.org:5000/mirror/postgres:16-alpine@sha256:…` is one.

/// Words of images that go with a database and hold none of its data.
const COMPANIONS: [&str; 26] = [
    "admin",
    "adminer",
    "agent",
    "api",
    "backup",
    "backups",
    "bouncer",
    "cli",
    "client",
    "commander",
    "dump",
    "express",
    "exporter",
    "gui",
    "insight",
    "metrics",
    "migrate",
    "migrations",
    "monitor",
    "operator",
    "pgbouncer",
    "pool",
    "proxy",
    "restore",
    "ui",
    "web",
];

/// Whether the image's own name (no registry, folder, tag or digest) holds one of `words` and
/// nothing that says it is only a companion. Words end at `-`, `_` and `.`; case does not matter.
pub fn is_one_of(image: &str, words: &[&str]) -> bool {
    let name = own_name(image).to_ascii_lowercase();
    let mut parts = name.split(['-', '_', '.']);
    parts.clone().any(|part| words.contains(&part)) && !parts.any(|p| COMPANIONS.contains(&p))
}

/// `registry:5000/folder/name:tag@digest` → `name`.
fn own_name(image: &str) -> &str {
    let image = image.split_once('@').map_or(image, |(name, _)| name);
    let last = image.rsplit_once('/').map_or(image, |(_, last)| last);
    last.split_once(':').map_or(last, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_words_of_the_own_name_count() {
        let words = ["postgres", "redis"];
        for image in [
            "postgres",
            "Postgres:16",
            "postgres@sha256:00ff",
            "postgres:16-exporter",
            "registry.example.org:5000/mirror/postgres:16-alpine@sha256:00ff",
            "supabase/postgres",
            "acme/our-postgres_custom",
            "backup/redis",
        ] {
            assert!(is_one_of(image, &words), "{image}");
        }
        for image in [
            "",
            "postgresx",
            "postgres/other",
            "sha256:postgres",
            "bitnami/postgres-exporter:1",
            "x/postgres-backup-s3",
            "redis_commander",
            "redis.insight",
            "postgrest/postgrest",
        ] {
            assert!(!is_one_of(image, &words), "{image}");
        }
    }
}
