//! Keeps the house in order: who may import whom, and where each foreign crate lives. Read as
//! text, so it sees `use crate::x` and `crate::x::y` alike.

use std::{collections::BTreeSet, fs, path::Path};

/// A room and the rooms it may know. `domain` knows nobody; `failpoint` may be known by all.
const ROOMS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("failpoint", &[]),
    ("docker", &["domain"]),
    ("compose", &["docker", "domain"]),
    ("log", &["domain", "failpoint"]),
    ("strategy", &["docker", "domain"]),
    ("target", &["domain", "failpoint"]),
    ("notify", &["domain"]),
    ("sso", &["notify", "domain"]),
    (
        "engine",
        &["strategy", "target", "docker", "domain", "failpoint"],
    ),
    ("hook", &["strategy", "docker", "domain", "failpoint"]),
    ("readmodel", &["log", "domain"]),
    (
        "app",
        &[
            "engine",
            "hook",
            "log",
            "notify",
            "readmodel",
            "sso",
            "strategy",
            "target",
            "compose",
            "docker",
            "domain",
            "failpoint",
        ],
    ),
    ("work", &["app", "log", "readmodel", "domain", "failpoint"]),
    (
        "web",
        // Traits and names of strategies, targets and hooks: their labels and forms are shown.
        &[
            "app",
            "readmodel",
            "log",
            "domain",
            "strategy",
            "target",
            "hook",
            "engine",
            "docker",
            "work",
            "notify",
        ],
    ),
    ("config", &["app", "docker", "notify", "domain", "sso"]),
];

/// A foreign crate and the only places that may name it.
const HOMES: &[(&str, &[&str])] = &[
    ("poem", &["web", "main.rs", "cli"]),
    ("poem_openapi", &["web", "main.rs", "cli"]),
    ("askama", &["web"]),
    ("prometheus_client", &["web/metrics.rs"]),
    ("apalis", &["work"]),
    ("apalis_core", &["work"]),
    ("apalis_sqlite", &["work"]),
    ("bollard", &["docker"]),
    ("aws_sdk_s3", &["target/s3.rs", "target/s3"]),
    ("aws_smithy_http_client", &["target/s3.rs", "target/s3"]),
    ("aws_smithy_runtime_api", &["target/s3.rs", "target/s3"]),
    ("hyper", &["docker", "notify"]),
    ("sea_orm", &["log", "readmodel", "app", "work/queue.rs"]),
    ("sqlx", &["log", "work"]),
    ("migration", &["log"]),
    ("ring", &["log/seal.rs", "notify"]),
    ("flate2", &["engine", "log/segment.rs"]),
    ("libdeflater", &["engine"]),
    ("zstd", &["engine"]),
    ("async_compression", &["engine"]),
    ("cron", &["domain/schedule.rs"]),
    ("serde_saphyr", &["compose", "cli"]),
    ("strsim", &["cli"]),
    ("clap_complete", &["cli"]),
    ("toml", &["cli"]),
    ("age", &["engine/codec"]),
    ("argon2", &["app"]),
    ("chacha20poly1305", &["app"]),
    ("clap", &["config.rs", "config", "main.rs", "cli"]),
    ("reqwest", &["cli", "main.rs", "notify"]),
    ("tokio_rustls", &["notify"]),
    ("rustls_native_certs", &["notify"]),
    ("hmac", &["notify"]),
    ("lettre", &["notify"]),
    ("totp_rs", &["app"]),
    ("fast_qr", &["web"]),
    ("openidconnect", &["sso"]),
    ("base64", &["notify"]),
    ("indicatif", &["cli"]),
    (
        "anyhow",
        &[
            "config.rs",
            "config",
            "bootstrap.rs",
            "bootstrap",
            "main.rs",
            "cli",
        ],
    ),
    (
        "tokio",
        &[
            "docker",
            "log",
            "strategy",
            "target",
            "engine",
            "hook",
            "notify",
            "sso",
            "app",
            "work",
            "web",
            "main.rs",
            "cli",
            "bootstrap.rs",
            "bootstrap",
        ],
    ),
];

/// Words that say nothing.
const NO_NAMES: &[&str] = &[
    "manager", "helper", "helpers", "util", "utils", "common", "misc",
];

/// The path of each source file below `src`, and its code.
pub fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                found.push((name, code(&fs::read_to_string(&path).unwrap())));
            }
        }
    }
    assert!(found.len() > 40, "the sources were not found");
    found
}

/// Without comments.
fn code(source: &str) -> String {
    let lines = source
        .lines()
        .map(|line| line.split("//").next().unwrap_or(""));
    lines.collect::<Vec<_>>().join("\n")
}

fn room(file: &str) -> &str {
    file.split(['/', '.']).next().unwrap_or(file)
}

/// Rooms named after `crate::` in `code`, grouped imports included.
fn rooms_named(code: &str) -> BTreeSet<String> {
    let word = |text: &str| {
        let text = text.trim_start();
        let end = text.find(|c: char| !c.is_alphanumeric() && c != '_');
        text[..end.unwrap_or(text.len())].to_owned()
    };
    let mut named = BTreeSet::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            None => drop(named.insert(word(rest))),
            Some(group) => named.extend(members(group).map(word)),
        }
    }
    named.remove("");
    named
}

/// The members of a group of imports, up to its closing brace.
fn members(group: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0;
    let end = group.find(|c| {
        depth += match c {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        depth < 0
    });
    let mut depth = 0;
    group[..end.unwrap_or(group.len())].split(move |c| {
        depth += match c {
            '{' => 1,
            '}' => -1,
            _ => 0,
        };
        c == ',' && depth == 0
    })
}

#[test]
fn rooms_import_downwards_only() {
    let mut wrong = Vec::new();
    for (file, code) in sources() {
        let here = room(&file);
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == here) else {
            continue; // main, lib, bootstrap, cli: everything
        };
        for other in rooms_named(&code) {
            let is_room = ROOMS.iter().any(|(name, _)| *name == other);
            let reaches_up = ["bootstrap", "cli"].contains(&other.as_str());
            if (is_room || reaches_up) && other != here && !allowed.contains(&other.as_str()) {
                wrong.push(format!("{file} imports {other}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn foreign_crates_have_one_home() {
    let mut wrong = Vec::new();
    for (file, code) in sources() {
        for (name, homes) in HOMES {
            let names = [
                format!("use {name}::"),
                format!(" {name}::"),
                format!("({name}::"),
            ];
            let named = names.iter().any(|text| code.contains(text.as_str()));
            let at_home = homes.iter().any(|home| {
                file == *home || file.starts_with(&format!("{home}/")) || room(&file) == *home
            });
            if named && !at_home {
                wrong.push(format!("{file} names {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_domain_is_pure() {
    for (file, code) in sources() {
        if room(&file) != "domain" {
            continue;
        }
        for word in [
            "async ",
            "Utc::now",
            "Instant::now",
            "std::fs",
            "std::env",
            "rand",
            "SystemTime",
        ] {
            assert!(!code.contains(word), "{file} has {word}");
        }
    }
}

#[test]
fn names_say_something() {
    for (file, code) in sources() {
        if file.ends_with("tests.rs") {
            continue;
        }
        let words = file.split(['/', '.', '_']);
        for word in words {
            assert!(!NO_NAMES.contains(&word), "{file}");
        }
        for word in ["todo!(", "dbg!(", "unimplemented!("] {
            assert!(!code.contains(word), "{file} has {word}");
        }
        let prints = ["println!(", "print!(", "eprintln!("]
            .iter()
            .any(|p| code.contains(p));
        assert!(
            !prints || ["main", "cli"].contains(&room(&file)),
            "{file} prints"
        );
    }
}

#[test]
fn we_never_promise_exactly_once() {
    for (file, source) in sources() {
        let text = source.to_lowercase();
        assert!(
            !text.contains("exactly-once") && !text.contains("exactly once"),
            "{file}"
        );
    }
}

#[test]
fn imports_are_read_in_every_form() {
    let code =
        "use crate::{\n domain::{a, b},\n log::{self, X},\n readmodel,\n};\ncrate::engine::y()";
    let expected = ["domain", "engine", "log", "readmodel"].map(ToOwned::to_owned);
    assert_eq!(rooms_named(code), BTreeSet::from(expected));
}
