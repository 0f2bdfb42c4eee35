//! The server's own database: backed up while it is written, lost, brought back; and everything that a
//! restore of it refuses.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use reqwest::Method;
use sea_orm::{ConnectionTrait, Database};
use serde_json::{Value, json};

use crate::{cli::holdfast, server::Server};

const CONFIG: &str = "/api/system/backup/config";

fn restore(server: &Server, file: &Path) -> (i32, String) {
    let file = file.display().to_string();
    let said = holdfast(server.data.path(), &["system", "restore", &file]);
    (said.code, format!("{}{}", said.out, said.err))
}

fn digest(path: &Path) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    Sha256::digest(fs::read(path).unwrap()).to_vec()
}

async fn token_names(server: &Server) -> Vec<String> {
    let tokens = server.get("/api/apikeys").await;
    let tokens = tokens.as_array().unwrap().iter();
    tokens
        .map(|token| token["name"].as_str().unwrap().to_owned())
        .collect()
}

async fn issue(server: &Server, name: &str) {
    let body = json!({ "name": name, "role": "viewer", "user": "anna" });
    server.post("/api/apikeys", body).await;
}

/// Where the artifact of a good run lies, and its run.
async fn backed_up(server: &Server) -> (i64, PathBuf) {
    let asked = server.post("/api/system/backup/run", json!({})).await;
    let id = asked["run_id"].as_i64().unwrap();
    let run = server.wait_for_run(id).await;
    assert_eq!(run["status"], "success", "{run}");
    assert!(run["verified_at"].is_string(), "{run}");
    let file = server.backups().join(run["file_path"].as_str().unwrap());
    (id, file)
}

async fn sql(path: &Path, statements: &str) {
    let url = format!("sqlite://{}?mode=rwc", path.display());
    let db = Database::connect(url).await.unwrap();
    db.execute_unprepared(statements).await.unwrap();
    db.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_backed_up_while_it_was_written_comes_back_after_all_is_lost() {
    let mut server = Server::start(&[]).await;
    let user = json!({ "name": "anna", "role": "admin", "password": "correct horse battery" });
    server.post("/api/users", user).await;
    let set = server
        .post(CONFIG, json!({ "compact": true, "compression": "zstd" }))
        .await;
    assert_eq!(
        (&set["compact"], &set["revision"]),
        (&json!(true), &json!(1))
    );
    for number in 0..20 {
        issue(&server, &format!("before-{number}")).await;
    }

    // Somebody writes all the while.
    let stop = Arc::new(AtomicBool::new(false));
    let write = async {
        let mut number = 0;
        while !stop.load(SeqCst) {
            issue(&server, &format!("meanwhile-{number}")).await;
            number += 1;
        }
        number
    };
    let back_up = async {
        let backed_up = backed_up(&server).await;
        stop.store(true, SeqCst);
        backed_up
    };
    let (written, (run, artifact)) = tokio::join!(write, back_up);
    issue(&server, "after").await;
    let all = token_names(&server).await;
    println!("{written} tokens were issued while the copy was taken");

    let (code, said) = restore(&server, &artifact);
    assert_eq!(code, 3, "a live server: {said}");
    assert!(said.contains("another Holdfast works in"), "{said}");
    server.kill();
    let kept = digest(&artifact);
    for name in ["holdfast.db", "holdfast.db-wal", "holdfast.db-shm"] {
        let _ = fs::rename(
            server.data.path().join(name),
            server.data.path().join(format!("lost-{name}")),
        );
    }
    let (code, said) = restore(&server, &artifact);
    assert_eq!(code, 0, "{said}");
    server.restart().await;

    let verified = server.post("/api/audit/verify", json!({})).await;
    assert_eq!(verified["ok"], true, "{verified}");
    let back = token_names(&server).await;
    for number in 0..20 {
        assert!(back.contains(&format!("before-{number}")), "{back:?}");
    }
    assert!(!back.contains(&"after".to_owned()));
    // What is there is the beginning of what there was, without a hole.
    let meanwhile = back
        .iter()
        .filter(|name| name.starts_with("meanwhile-"))
        .count();
    for number in 0..meanwhile {
        assert!(back.contains(&format!("meanwhile-{number}")), "{back:?}");
    }
    // The run that made the copy was at work in it: it ends, and its artifact stays.
    let run = server.wait_for_run(run).await;
    assert_eq!(run["status"], "failed", "{run}");
    assert_eq!(digest(&artifact), kept);
    let told = server.get("/api/activity?categories=audit").await;
    let told = told.as_array().unwrap();
    let arrived = told
        .iter()
        .filter(|it| it["name"] == "audit.database_restored");
    assert_eq!(arrived.count(), 1, "{told:?}");

    // A second restore sets the first aside, and takes itself back.
    issue(&server, "of the second life").await;
    server.kill();
    let (code, said) = restore(&server, &server.data.path().join("lost-holdfast.db"));
    assert_eq!(code, 0, "{said}");
    let mut aside = fs::read_dir(server.data.path())
        .unwrap()
        .filter_map(Result::ok);
    let aside = aside.find(|it| it.file_name().to_string_lossy().starts_with("replaced-"));
    let aside = aside.unwrap().path().join("holdfast.db");
    let (code, said) = restore(&server, &aside);
    assert_eq!(code, 0, "{said}");
    server.restart().await;
    let names = token_names(&server).await;
    assert!(names.contains(&"of the second life".to_owned()));
    assert!(!server.data.path().join("copies").exists());
    println!(
        "figure: own database: {} of {} tokens back after the loss of everything, holes 0, log whole",
        back.len(),
        all.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_whole_database_of_ours_is_refused_and_changes_nothing() {
    let mut server = Server::start(&[]).await;
    let (_, packed) = backed_up(&server).await;
    let copy = server.data.path().join("copy.db");
    let saved = copy.display().to_string();
    let said = holdfast(server.data.path(), &["system", "download", &saved]);
    assert_eq!(said.code, 0, "{}", said.err);
    server.terminate().await;

    let path = |name: &str| server.data.path().join(name);
    let whole = fs::read(&copy).unwrap();
    let mut flipped = whole.clone();
    // Of every third page the head: what lies in no row and no page's order, nobody could miss.
    for page in flipped.chunks_mut(4096).skip(1).step_by(3) {
        page[..64].iter_mut().for_each(|byte| *byte ^= 0xff);
    }
    fs::write(path("flipped"), flipped).unwrap();
    fs::write(path("cut"), &whole[..whole.len() - 4096]).unwrap();
    let packed = fs::read(packed).unwrap();
    fs::write(path("cut.gz"), &packed[..packed.len() / 2]).unwrap();
    fs::write(path("text"), "no database at all").unwrap();
    fs::write(path("empty"), "").unwrap();
    sql(&path("foreign"), "CREATE TABLE notes (text TEXT)").await;
    let tail = "DROP TRIGGER IF EXISTS events_no_delete; DROP TRIGGER IF EXISTS events_no_update; \
                DELETE FROM events WHERE position = (SELECT MAX(position) FROM events)";
    for (name, change) in [
        ("tail", tail),
        (
            "newer",
            "INSERT INTO seaql_migrations VALUES ('m2999_tomorrow', 0)",
        ),
    ] {
        fs::copy(&copy, path(name)).unwrap();
        sql(&path(name), change).await;
    }

    let before = digest(&path("holdfast.db"));
    let mut refused = 0;
    for (name, why) in [
        ("flipped", "damaged"),
        ("cut", "damaged"),
        ("cut.gz", "cannot be unpacked"),
        ("text", "no SQLite database"),
        ("empty", "no SQLite database"),
        ("foreign", "not one of Holdfast"),
        ("tail", "damaged"),
        ("newer", "newer version"),
        ("nothing", "cannot be unpacked"),
    ] {
        let (code, said) = restore(&server, &path(name));
        assert_eq!(code, 1, "{name}: {said}");
        assert!(said.contains(why), "{name}: {said}");
        assert!(said.contains("Nothing was changed"), "{name}: {said}");
        assert_eq!(digest(&path("holdfast.db")), before, "{name}");
        refused += 1;
    }
    let left = fs::read_dir(server.data.path())
        .unwrap()
        .filter_map(Result::ok);
    let left: Vec<String> = left
        .map(|it| it.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with("replaced-"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    println!("figure: own database: {refused} files refused that are no whole copy, changed 0");

    // Another master key is told, and does not stand in the way.
    fs::remove_file(path("master.key")).unwrap();
    let (code, said) = restore(&server, &copy);
    assert_eq!(code, 0, "{said}");
    server.restart().await;
    assert_eq!(
        server.post("/api/audit/verify", json!({})).await["ok"],
        true
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_a_backup_like_any_other_but_belongs_to_admins() {
    let server = Server::start(&[]).await;
    for (body, field) in [
        (json!({ "schedule_cron": "never" }), "schedule_cron"),
        (json!({ "target": "moon" }), "target"),
        (json!({ "service": "db" }), "service"),
        (json!({ "retention_mode": "some" }), "retention_mode"),
        (json!({ "time_zone": "Mars" }), "time_zone"),
    ] {
        let (status, answer) = server
            .try_call(Method::POST, CONFIG, Some(body))
            .await
            .unwrap();
        assert_eq!(status.as_u16(), 400, "{answer}");
        assert!(answer["fields"][field].is_string(), "{field}: {answer}");
    }
    assert_eq!(
        server.get(CONFIG).await["revision"],
        0,
        "nothing was stored"
    );
    let set = json!({ "schedule_cron": "0 0 29 2 *", "retention_count": 2 });
    let set = server.post(CONFIG, set).await;
    assert!(set["next_run_at"].is_string(), "{set}");
    let mut files = Vec::new();
    for _ in 0..3 {
        files.push(backed_up(&server).await.1);
    }
    // Retention let the oldest go.
    let runs = server
        .wait_for("/api/system/backup/runs", |runs: &Value| {
            runs[2]["pruned_at"].is_string()
        })
        .await;
    assert_eq!(runs.as_array().unwrap().len(), 3);
    assert_eq!(
        files.iter().map(|file| file.exists()).collect::<Vec<_>>(),
        [false, true, true]
    );
    // It stands in no list of apps, and in no way that leads past its own operations.
    for (method, path) in [
        (Method::PUT, "/api/backups/configs/0"),
        (Method::DELETE, "/api/backups/configs/0"),
        (Method::POST, "/api/backups/configs/0/run"),
        (Method::POST, "/api/backups/configs/0/trigger"),
    ] {
        let asked = server.try_call(method, path, Some(json!({}))).await;
        assert_eq!(asked.unwrap().0.as_u16(), 404, "{path}");
    }
    let summary = server.get("/api/backups/summary").await;
    assert_eq!(summary["recent_runs"], json!([]));
    assert_eq!(summary["apps"], json!([]));
    let run = runs[0]["id"].as_i64().unwrap();
    let user = json!({ "name": "otto", "role": "operator", "password": "correct horse battery" });
    server.post("/api/users", user).await;
    let token = json!({ "user": "otto", "name": "eyes", "role": "operator" });
    let token = server.post("/api/apikeys", token).await;
    let token = token["token"].as_str().unwrap();
    let told = fs::read_to_string(server.data.path().join("server.json")).unwrap();
    let told: Value = serde_json::from_str(&told).unwrap();
    let url = told["url"].as_str().unwrap();
    for path in [
        format!("/api/backups/runs/{run}"),
        format!("/api/backups/runs/{run}/download"),
    ] {
        let asked = server.client.get(format!("{url}{path}")).bearer_auth(token);
        assert_eq!(asked.send().await.unwrap().status().as_u16(), 404, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_one_comes_back_with_the_private_key_alone() {
    let mut server = Server::start(&[]).await;
    let user = json!({ "name": "anna", "role": "admin", "password": "correct horse battery" });
    server.post("/api/users", user).await;
    let (recipient, private) = holdfast::app::new_key();
    let encryption = json!({ "recipients": [recipient], "server_key": true });
    let said = server
        .post(CONFIG, json!({ "encryption": encryption }))
        .await;
    let answered: Value = serde_json::from_str(said["encryption"].as_str().unwrap()).unwrap();
    assert_eq!(answered, encryption);
    issue(&server, "kept").await;
    let (_, file) = backed_up(&server).await;
    assert!(fs::read(&file).unwrap().starts_with(b"age-encryption.org"));
    let by_hand = fs::read_to_string(format!("{}.json", file.display())).unwrap();
    assert!(by_hand.contains("age -d -i key.txt"), "{by_hand}");

    server.kill();
    let before = digest(&server.data.path().join("holdfast.db"));
    let (code, said) = restore(&server, &file);
    assert!(code != 0 && said.contains("--identity"), "{said}");
    let keys = server.data.path().join("key.txt");
    let file = file.display().to_string();
    let with = [
        "system",
        "restore",
        "--identity",
        keys.to_str().unwrap(),
        &file,
    ];
    fs::write(&keys, holdfast::app::new_key().1.expose()).unwrap();
    let refused = holdfast(server.data.path(), &with);
    assert!(
        refused.code != 0 && refused.err.contains("key"),
        "{}",
        refused.err
    );
    assert_eq!(digest(&server.data.path().join("holdfast.db")), before);

    fs::write(&keys, private.expose()).unwrap();
    fs::remove_file(server.data.path().join("holdfast.db")).unwrap();
    let done = holdfast(server.data.path(), &with);
    assert_eq!(done.code, 0, "{}", done.err);
    server.restart().await;
    assert_eq!(token_names(&server).await, ["kept"]);
}
