//! The master key: outside the database, exchanged for another, killed in the middle of that.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use holdfast::failpoint::OFFLINE;
use serde_json::{Value, json};

use crate::{
    bed::{BUSYBOX, Bed},
    cli::{Said, holdfast},
    note,
    server::Server,
};

const KEY: &str = "master.key";

struct Shop {
    server: Server,
    _bed: Bed,
}

/// A server that was stopped, with a config that names two secrets and a webhook that names two.
async fn stopped(name: &str) -> Shop {
    let (project, bed) = note::service(&format!("vault-{name}"));
    let mut server = Server::start(&[
        "--private-targets",
        "--private-webhooks",
        "--helper-image",
        BUSYBOX,
    ])
    .await;
    server
        .post("/api/apps", json!({ "slug": "shop", "project": project }))
        .await;
    let config = json!({
        "strategy": "sqlite", "service": "db", "paths": [note::FILE], "target": "s3",
        "target_config_json": { "bucket": "shop", "access_key": "key", "secret_key": "of-the-bucket" },
        "encryption": { "recipients": [holdfast::app::new_key().0], "server_key": true },
    });
    server.post("/api/apps/shop/backups/configs", config).await;
    server
        .post(
            "/api/webhooks",
            json!({ "url": "http://127.0.0.1:9/hook/token" }),
        )
        .await;
    server.terminate().await;
    Shop { server, _bed: bed }
}

fn rotate(data: &Path, env: &[(&str, &str)]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_holdfast"));
    let done = command
        .args(["system", "rotate-key", "--output", "json"])
        .env("HOLDFAST_DATA_DIR", data)
        .envs(env.iter().copied())
        .output()
        .unwrap();
    Said {
        code: done.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&done.stdout).into_owned(),
        err: String::from_utf8_lossy(&done.stderr).into_owned(),
    }
}

fn key(data: &Path) -> String {
    fs::read_to_string(data.join(KEY)).unwrap()
}

/// Whether every secret can be read: the server itself says so.
async fn all_is_readable(server: &mut Server) {
    server.restart().await;
    let found = server.get("/api/system/doctor").await;
    let lost: Vec<&Value> = found["checks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|check| check["name"] == "secret")
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert_eq!(
        server.post("/api/audit/verify", json!({})).await["ok"],
        true
    );
    server.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_master_key_is_exchanged_and_the_old_one_reads_nothing() {
    let Shop { mut server, _bed } = stopped("exchanged").await;
    let data = server.data.path().to_owned();
    let old = key(&data);
    let said = rotate(&data, &[]);
    assert_eq!(said.code, 0, "{}", said.err);
    let told: Value = serde_json::from_str(&said.out).unwrap();
    assert!(told["secrets"].as_u64().unwrap() >= 4, "{told}");
    let new = key(&data);
    assert_ne!(old, new);
    let mode = fs::metadata(data.join(KEY)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    all_is_readable(&mut server).await;

    // The old key is refused, by whichever way it comes.
    fs::write(data.join(KEY), &old).unwrap();
    for said in [
        holdfast(&data, &["doctor"]),
        rotate(&data, &[]),
        rotate(&data, &[("HOLDFAST_MASTER_KEY", old.trim())]),
    ] {
        assert_ne!(said.code, 0);
        assert!(said.err.contains("exchanged for another"), "{}", said.err);
    }
    fs::write(data.join(KEY), &new).unwrap();
    all_is_readable(&mut server).await;
    let database = fs::read(data.join("holdfast.db")).unwrap();
    for key in [&old, &new] {
        let key = key.trim();
        let raw = hex::decode(key).unwrap();
        assert!(memchr::memmem::find(&database, key.as_bytes()).is_none());
        assert!(memchr::memmem::find(&database, &raw).is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_an_exchange_loses_no_secret() {
    let mut killed = 0;
    for point in OFFLINE
        .iter()
        .chain(&["log.before_commit", "log.after_commit"])
    {
        let Shop { mut server, _bed } = stopped("killed").await;
        let data = server.data.path().to_owned();
        let said = rotate(&data, &[("HOLDFAST_FAILPOINT", point)]);
        assert_eq!(said.code, -1, "{point}: not killed: {}", said.err);
        all_is_readable(&mut server).await;
        let left: Vec<String> = fs::read_dir(&data)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name.starts_with(KEY) && name != KEY)
            .collect();
        assert!(left.is_empty(), "{point}: {left:?}");
        // And it can be done after all.
        assert_eq!(rotate(&data, &[]).code, 0, "{point}");
        all_is_readable(&mut server).await;
        killed += 1;
    }
    println!(
        "figure: vault: killed {killed} times while the master key was exchanged, secrets lost 0"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_the_environment_holds_is_exchanged_there() {
    let Shop { mut server, _bed } = stopped("elsewhere").await;
    let data = server.data.path().to_owned();
    let old = key(&data).trim().to_owned();
    fs::remove_file(data.join(KEY)).unwrap();
    let new = "ab".repeat(32);
    let without = rotate(&data, &[("HOLDFAST_MASTER_KEY", &old)]);
    assert_eq!(without.code, 1);
    assert!(
        without.err.contains("HOLDFAST_NEW_MASTER_KEY"),
        "{}",
        without.err
    );
    let same = [
        ("HOLDFAST_MASTER_KEY", &*old),
        ("HOLDFAST_NEW_MASTER_KEY", &*old),
    ];
    assert_eq!(rotate(&data, &same).code, 1);
    let both = [
        ("HOLDFAST_MASTER_KEY", &*old),
        ("HOLDFAST_NEW_MASTER_KEY", &*new),
    ];
    let said = rotate(&data, &both);
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(!data.join(KEY).exists(), "no key was written anywhere");
    server.restart_with(&[("HOLDFAST_MASTER_KEY", &new)]).await;
    let found = server.get("/api/system/doctor").await;
    assert!(!found.to_string().contains("is not known"), "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_server_works_nothing_is_exchanged() {
    let server = Server::start(&[]).await;
    let before = key(server.data.path());
    let said = rotate(server.data.path(), &[]);
    assert_eq!(said.code, 3, "{}", said.err);
    assert_eq!(key(server.data.path()), before);
}
