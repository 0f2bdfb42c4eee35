//! Copies in further targets: the run is good without them, they are made when their target is back, they
//! stand in when the first target has lost its file, and they go with it.

use std::fs;

use futures_util::TryStreamExt;
use holdfast::{
    app::{ConfigInput, CopyInput},
    domain::{
        config::Retention,
        copies::FurtherTarget,
        ids::RunId,
        run::{Run, RunCommand},
        secret::Secret,
    },
    log::Cause,
    readmodel::runs,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    bed::until,
    bucket::{Bucket, Operation, SECRET_KEY, Trouble},
    house::House,
    note,
    server::Server,
};

const ALL: [Operation; 4] = [
    Operation::Put,
    Operation::Get,
    Operation::Head,
    Operation::Other,
];

/// The run when its copy is as wanted.
async fn copied(house: &House, run: RunId, status: &str) -> runs::Model {
    let so = |run: &runs::Model| run.copies()[0].status() == status;
    house.run_when(run, so).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_made_when_its_bucket_is_back_and_stands_in_for_the_first() {
    let (project, bed) = note::service("copied");
    let (house, bucket) = (House::new().await, Bucket::serve());
    house.app("shop", &project).await;
    let config = house.config("shop", note::copied_to(&bucket)).await;
    let spec = house.holdfast.config(&house.caller, config).await;
    let spec = spec.unwrap().spec();
    assert!(
        spec.copies[0].secrets.contains_key("secret_key"),
        "{spec:?}"
    );
    assert!(!format!("{spec:?}").contains(SECRET_KEY));

    for operation in ALL {
        bucket.inject(operation, Trouble::Busy, usize::MAX);
    }
    let run = house.back_up(config).await;
    assert_eq!(run.status, "success", "{run:?}");
    let failed = copied(&house, run.run_id(), "failed").await;
    assert_eq!(failed.status, "success", "a copy makes no run red");
    assert!(failed.is_warned() && failed.copies_open == 1, "{failed:?}");
    assert!(bucket.backups().is_empty());
    bucket.heal();
    let run = copied(&house, run.run_id(), "stored").await;
    assert!(!run.is_warned() && run.copies_open == 0, "{run:?}");
    let artifact = run.artifact().unwrap();
    let names: Vec<String> = bucket.backups().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [artifact.key.clone(), format!("{}.json", artifact.key)]
    );
    let said = house
        .holdfast
        .manifest(&house.caller, run.run_id())
        .await
        .unwrap();
    assert_eq!(said.artifact, artifact);

    // The disk lost the file; then it loses the manifest too.
    let first = house.data.path().join("backups").join(&artifact.key);
    fs::remove_file(&first).unwrap();
    bed.sh("rm /data/app.db");
    let restore = house.restore(run.run_id()).await;
    assert_eq!(restore.status, "success", "{restore:?}");
    assert_eq!(note::read(&bed), note::FIRST);
    assert!(
        restore.warnings()[0].contains("read from the copy in"),
        "{restore:?}"
    );
    let download = house
        .holdfast
        .download(&house.caller, run.run_id(), None)
        .await
        .unwrap();
    assert!(download.copy.is_some());
    let bytes: Vec<bytes::Bytes> = download.body.try_collect().await.unwrap();
    assert_eq!(
        hex::encode(Sha256::digest(bytes.concat())),
        artifact.stored_sha256
    );
    fs::remove_file(format!("{}.json", first.display())).unwrap();
    bed.sh("rm /data/app.db");
    assert_eq!(house.restore(run.run_id()).await.status, "success");
    assert_eq!(note::read(&bed), note::FIRST);

    // What retention lets go, goes everywhere: also from a bucket that is away at first.
    bucket.inject(Operation::Other, Trouble::Busy, 3);
    let rule = Retention::Count { count: 1 };
    let expire = RunCommand::Expire { rule };
    let log = house.holdfast.log();
    log.execute::<Run>(Cause::system("test"), run.id, expire)
        .await
        .unwrap();
    until("every copy is gone", || bucket.backups().is_empty()).await;
    let report = house.holdfast.rebuild().await.unwrap();
    assert_eq!(report.differed, Vec::<&str>::new());
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_masked_secret_stays_with_its_bucket() {
    let (project, _bed) = note::service("masked");
    let (house, bucket) = (House::new().await, Bucket::serve());
    house.app("shop", &project).await;
    let config = house.config("shop", note::copied_to(&bucket)).await;
    let known = async || {
        let config = house.holdfast.config(&house.caller, config).await;
        config.unwrap().spec().copies
    };
    let [before] = <[FurtherTarget; 1]>::try_from(known().await).unwrap();
    let change = async |bucket: &str, secret: &str| {
        let mut settings: Vec<(String, Secret)> = Vec::new();
        for (name, value) in &before.settings {
            let value = if name == "bucket" { bucket } else { value };
            settings.push((name.clone(), Secret::from(value)));
        }
        settings.push(("secret_key".into(), Secret::from(secret)));
        let input = ConfigInput {
            copies: Some(vec![CopyInput {
                target: "s3".into(),
                settings: settings.into_iter().collect(),
            }]),
            ..ConfigInput::default()
        };
        let changed = house
            .holdfast
            .change_config(&house.caller, config, input)
            .await;
        changed.map(drop).map_err(|error| format!("{error:?}"))
    };
    let mask = holdfast::app::MASK;
    change("backups", mask).await.unwrap();
    assert_eq!(
        known().await,
        std::slice::from_ref(&before),
        "nothing has changed"
    );
    // It would be sent to somebody else's bucket.
    let refused = change("elsewhere", mask).await.unwrap_err();
    assert!(refused.contains("copies[0].secret_key"), "{refused}");
    change("elsewhere", "another").await.unwrap();
    assert_ne!(known().await, std::slice::from_ref(&before));
    house.close().await;
}

/// A real server whose backups of the note's service lie in its folder, with a copy in the bucket; and where
/// one is asked for.
async fn serving(project: &str, bucket: &Bucket) -> (Server, String) {
    let server = Server::start(&["--retry", "1", "--private-targets"]).await;
    let app = json!({ "slug": "shop", "name": "Shop", "project": project });
    server.post("/api/apps", app).await;
    let settings: serde_json::Map<String, Value> = bucket
        .settings()
        .into_iter()
        .map(|(name, value)| (name, json!(value)))
        .collect();
    let config = json!({ "strategy": "sqlite", "service": "db", "paths": [note::FILE],
        "target": "local", "retention_count": 1000,
        "copies": [{ "target": "s3", "target_config_json": settings }] });
    let config = server.post("/api/apps/shop/backups/configs", config).await;
    let shown = config["copies"].as_str().unwrap();
    assert!(
        shown.contains("••••") && !shown.contains(SECRET_KEY),
        "{shown}"
    );
    let path = format!("/api/backups/configs/{}/run", config["id"]);
    (server, path)
}

async fn backed_up(server: &Server, path: &str) -> i64 {
    let id = server.post(path, json!({})).await["run_id"].as_i64();
    let id = id.unwrap();
    assert_eq!(server.wait_for_run(id).await["status"], "success");
    id
}

/// Kills the server as soon as the bucket was asked for this, and starts it again when the bucket is well.
async fn killed_at(server: &mut Server, bucket: &Bucket, operation: Operation) {
    let mut seen = Vec::new();
    until("the copy is on its way", || {
        seen.extend(bucket.seen());
        seen.contains(&operation)
    })
    .await;
    server.kill();
    bucket.heal();
    server.restart().await;
}

/// A real server, killed while the copy's bytes are on their way.
#[tokio::test(flavor = "multi_thread")]
async fn promise_06_a_copy_cut_off_by_a_kill_is_made_after_the_start_and_leaves_nothing() {
    let (project, _bed) = note::service("copy-killed");
    let bucket = Bucket::serve();
    let (mut server, path) = serving(&project, &bucket).await;
    for trouble in [
        (Operation::Put, Trouble::Silence),
        (Operation::Put, Trouble::LoseAnswer),
        (Operation::Head, Trouble::Silence),
    ] {
        bucket.seen();
        bucket.inject(trouble.0, trouble.1, usize::MAX);
        let id = backed_up(&server, &path).await;
        killed_at(&mut server, &bucket, trouble.0).await;
        let run = format!("/api/backups/runs/{id}");
        let run = server
            .wait_for(&run, |run| run["copies"][0]["status"] == "stored")
            .await;
        let name = run["file_path"].as_str().unwrap();
        let stored = bucket.backups();
        let own: Vec<&str> = stored
            .iter()
            .map(|(object, _)| object.as_str())
            .filter(|object| object.contains(name))
            .collect();
        assert_eq!(own, [name, &format!("{name}.json")], "{stored:?}");
        let local = std::fs::read(server.backups().join(name)).unwrap();
        assert!(stored.contains(&(name.to_owned(), local.len() as u64)));
    }
    let left = bucket.backups();
    assert_eq!(left.len(), 6, "nothing else was left behind: {left:?}");
}

/// The same of a place that gets back what it lost: a copy from the first target, the first from a copy.
#[tokio::test(flavor = "multi_thread")]
async fn promise_06_a_mending_cut_off_by_a_kill_goes_on_after_the_start() {
    let (project, _bed) = note::service("mend-killed");
    let bucket = Bucket::serve();
    let (mut server, path) = serving(&project, &bucket).await;
    let id = backed_up(&server, &path).await;
    let run = format!("/api/backups/runs/{id}");
    let copy_is = |status: &'static str| move |run: &Value| run["copies"][0]["status"] == status;
    let stored = server.wait_for(&run, copy_is("stored")).await;
    let name = stored["file_path"].as_str().unwrap();
    let (first, copy) = (server.backups().join(name), bucket.path(name));
    let whole = fs::read(&first).unwrap();
    let verify = format!("{run}/verification");

    bucket.damage(name);
    server.post(&verify, json!({})).await;
    server.wait_for(&run, copy_is("damaged")).await;
    bucket.seen();
    bucket.inject(Operation::Put, Trouble::Silence, usize::MAX);
    server.post(&format!("{run}/copies/1"), json!({})).await;
    killed_at(&mut server, &bucket, Operation::Put).await;
    server.wait_for(&run, copy_is("stored")).await;
    assert_eq!(fs::read(&copy).unwrap(), whole);

    fs::remove_file(&first).unwrap();
    server.post(&verify, json!({})).await;
    let is = |status: &'static str| move |run: &Value| run["status"] == status;
    server.wait_for(&run, is("failed")).await;
    bucket.seen();
    bucket.inject(Operation::Get, Trouble::Silence, usize::MAX);
    server.post(&format!("{run}/copies/0"), json!({})).await;
    killed_at(&mut server, &bucket, Operation::Get).await;
    server.wait_for(&run, is("success")).await;
    assert_eq!(fs::read(&first).unwrap(), whole);

    let files = fs::read_dir(first.parent().unwrap()).unwrap().count();
    assert_eq!((files, bucket.backups().len()), (2, 2), "something is left");
}

/// Whatever is wrong with a further target is said of its field, and nothing is stored.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_further_target_names_its_field() {
    let (project, _bed) = note::service("copies-wrong");
    let server = Server::start(&["--private-targets"]).await;
    let app = json!({ "slug": "shop", "name": "Shop", "project": project });
    server.post("/api/apps", app).await;
    let path = "/api/apps/shop/backups/configs";
    let s3 = |bucket: &str| {
        json!({ "target": "s3", "target_config_json": { "endpoint": "http://127.0.0.1:9",
            "bucket": bucket, "access_key": "a", "secret_key": "never-said" } })
    };
    for (copies, field) in [
        (json!([s3("")]), "copies[0].bucket"),
        (json!([s3("fine"), s3("fine")]), "copies[1].target"),
        (json!([{ "target": "local" }]), "copies[0].target"),
        (json!([{ "target": "tape" }]), "copies[0].target"),
        (
            json!([s3("b1"), s3("b2"), s3("b3"), s3("b4"), s3("b5")]),
            "copies",
        ),
        (json!([s3("fine"), s3("b\u{7}d")]), "copies[1].bucket"),
        (json!("nonsense"), ""),
        (json!([{ "target": "s3", "bucket": "b" }]), ""),
    ] {
        let body = json!({ "strategy": "sqlite", "service": "db", "paths": [note::FILE],
            "target": "local", "copies": copies });
        let answer = server
            .try_call(reqwest::Method::POST, path, Some(body))
            .await;
        let (status, answer) = answer.unwrap();
        assert!(status.is_client_error(), "{copies}: {status} {answer}");
        let text = answer.to_string();
        assert!(text.contains(field), "{copies}: {text}");
        assert!(!text.contains("never-said"), "{text}");
    }
    assert_eq!(server.get(path).await.as_array().map(Vec::len), Some(0));
}
