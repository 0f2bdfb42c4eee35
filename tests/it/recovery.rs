//! The data folder is lost: configs, history and audit come back from a target, nothing that was altered
//! is believed, and what comes back can be restored.

use std::{
    fs,
    io::{Read, Write},
    path::Path,
    time::Duration,
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use holdfast::{
    app::ConfigInput,
    bootstrap::{self, From, Recovered, Wanted},
    domain::{
        config::{ConfigSpec, Retention},
        event::Event,
        ids::ConfigId,
        run::RunEvent,
        secret::Secret,
    },
    log::{Import, ImportError, LogKey, SegmentError, open_sqlite},
    readmodel::runs::Found,
    target::Settings,
};
use tempfile::TempDir;

use crate::{
    bucket::{Bucket, SECRET_KEY},
    house::House,
    shelf::{Shelf, config, dump, spec},
    strategies::{Kind, Sqlite},
};

const SEED: [u8; 32] = [7; 32];

fn key() -> LogKey {
    LogKey::from_seed(&SEED).unwrap()
}

/// Into an empty database; the last position, or why it was refused.
async fn import(segments: &[&[u8]]) -> Result<i64, SegmentError> {
    let folder = TempDir::new().unwrap();
    let db = open_sqlite(&folder.path().join("holdfast.db"))
        .await
        .unwrap();
    let mut import = Import::begin(&db, &key().instance()).await.unwrap();
    for segment in segments {
        import.take(segment).await.map_err(|error| match error {
            ImportError::Segment(error) => error,
            other => panic!("{other}"),
        })?;
    }
    Ok(import.finish(&[]).await.unwrap())
}

fn text(segment: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(segment).read_to_string(&mut text).unwrap();
    text
}

fn packed(text: &str) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(text.as_bytes()).unwrap();
    packed.finish().unwrap()
}

/// By somebody who has the key.
fn signed_anew(text: &str) -> Vec<u8> {
    let seal = text.rfind("{\"signature\"").unwrap();
    let above = &text[..seal];
    let message = [b"holdfast.log-segment.v1\0", above.as_bytes()].concat();
    let signature = key().sign(&message);
    packed(&format!("{above}{{\"signature\":\"{signature}\"}}\n"))
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_11_what_was_altered_cut_or_reordered_is_refused_with_words() {
    let mut shelf = Shelf::new().await;
    shelf.store(dump(10)).await;
    shelf.store(dump(10)).await;
    shelf.stop().await;
    let log = shelf.holdfast.log();
    let head = log.head();
    let of = async |first, last| log.segment(&key(), first, last).await.unwrap();
    let (first, second, third) = (of(1, 4).await, of(5, 8).await, of(9, head).await);
    assert_eq!(of(1, 4).await, first, "the same events, the same bytes");
    assert_eq!(import(&[&first, &second, &third]).await, Ok(head));
    // A kill between a segment's growing and the end of the one that it grew from.
    assert_eq!(
        import(&[&first, &of(1, 6).await, &of(5, 8).await, &third]).await,
        Ok(head)
    );

    let altered = text(&second).replace("shop-db", "shop-xx");
    assert_ne!(altered, text(&second));
    let foreign = LogKey::from_seed(&[8; 32]).unwrap();
    let foreign = log.segment(&foreign, 5, 8).await.unwrap();
    let mut other = Shelf::of(spec()).await;
    other.store(dump(11)).await;
    other.stop().await;
    let other = other.holdfast.log().segment(&key(), 5, 6).await.unwrap();
    // Lines 1 to 4 are events 5 to 8.
    let lines = |change: fn(&mut Vec<String>)| {
        let mut lines: Vec<String> = text(&second).lines().map(str::to_owned).collect();
        change(&mut lines);
        signed_anew(&(lines.join("\n") + "\n"))
    };
    let deleted = lines(|lines| drop(lines.remove(2)));
    let inserted = lines(|lines| lines.insert(2, lines[2].clone()));
    let swapped = lines(|lines| lines.swap(2, 3));
    let short = lines(|lines| drop(lines.remove(4)));
    let half = text(&second);
    let half = &half[..half.len() / 2];
    let mut refused = 0;
    for (what, segments, says) in [
        ("altered", vec![&first, &packed(&altered)], "altered it"),
        (
            "altered and signed",
            vec![&first, &signed_anew(&altered)],
            "not the one that was logged",
        ),
        ("another's", vec![&first, &foreign], "was signed by"),
        (
            "of another history",
            vec![&first, &other],
            "another history",
        ),
        (
            "out of order",
            vec![&second, &first],
            "event 1 should come next",
        ),
        ("left out", vec![&first, &third], "event 5 should come next"),
        (
            "cut",
            vec![&first, &second[..second.len() / 2].to_vec()],
            "cut off",
        ),
        ("cut inside", vec![&first, &packed(half)], "cut off"),
        ("nothing", vec![&first, &vec![]], "cut off"),
        ("an event deleted", vec![&first, &deleted], "event 6 should"),
        ("one inserted", vec![&first, &inserted], "event 7 should"),
        ("two swapped", vec![&first, &swapped], "event 6 should"),
        ("the last deleted", vec![&first, &short], "fewer events"),
    ] {
        let segments: Vec<&[u8]> = segments.into_iter().map(Vec::as_slice).collect();
        let error = import(&segments).await.expect_err(what);
        assert!(error.to_string().contains(says), "{what}: {error}");
        refused += 1;
    }
    println!(
        "figure: promise 11: {refused} of 13 ways to tamper with shipped log segments refused"
    );
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

async fn recover(data: &Path, settings: Settings, kind: &str) -> anyhow::Result<Recovered> {
    recover_what(data, settings, kind, &Wanted::default()).await
}

async fn recover_what(
    data: &Path,
    settings: Settings,
    kind: &str,
    wanted: &Wanted,
) -> anyhow::Result<Recovered> {
    let from = From {
        kind: kind.to_owned(),
        settings,
        local_root: None,
    };
    bootstrap::recover(&config(data), &from, wanted).await
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_11_a_lost_data_folder_comes_back_from_its_target() {
    let keeps_all = ConfigSpec {
        retention: Retention::Count { count: 9 },
        ..spec()
    };
    let mut shelf = Shelf::of(keeps_all).await;
    let (first, second) = (shelf.store(dump(100)).await, shelf.store(dump(200)).await);
    shelf.holdfast.ship_log().await.unwrap();
    let before = shelf.holdfast.log().read_from(0, 1_000).await.unwrap();
    shelf.stop().await;
    // After the last shipment, and an attempt of which nothing more than the file is left.
    let third = shelf.store(dump(300)).await;
    let bare = "shop/1/shop-db-000009.sql.gz";
    fs::write(shelf.path(bare), b"half").unwrap();
    let rows = [shelf.run(first).await, shelf.run(second).await];
    let config = shelf
        .holdfast
        .config(&shelf.caller, ConfigId(1))
        .await
        .unwrap();

    let data = TempDir::new().unwrap();
    copy(
        &shelf.data.path().join("backups"),
        &data.path().join("backups"),
    );
    let found = recover(data.path(), Settings::default(), "local")
        .await
        .unwrap();
    assert_eq!(found.log, format!("{}/1", shelf.holdfast.instance()));
    assert_eq!(found.adopted.runs, [third]);
    assert_eq!(found.adopted.bare, [bare]);
    assert!(found.adopted.refused.is_empty() && found.lost_secrets.is_empty());
    let again = recover(data.path(), Settings::default(), "local").await;
    let again = again
        .err()
        .map(|error| error.to_string())
        .unwrap_or_default();
    assert!(
        again.contains("never recovered over what is there"),
        "{again}"
    );

    let mut after = Shelf::open(data, Duration::ZERO).await;
    after.start().await;
    let events = after.holdfast.log().read_from(0, 1_000).await.unwrap();
    assert_eq!(i64::try_from(before.len()).unwrap(), found.events);
    assert_eq!(events[..before.len()], before[..]);
    assert_eq!([after.run(first).await, after.run(second).await], rows);
    let same = after
        .holdfast
        .config(&after.caller, config.config_id())
        .await
        .unwrap();
    assert_eq!(same, config);
    let verified = after.until(third, |run| run.verifying.is_none()).await;
    let told = verified.verification();
    assert_eq!(told.map(|it| it.found), Some(Found::Whole), "{verified:?}");
    assert_eq!(
        (verified.status.as_str(), verified.trigger.as_str()),
        ("success", "found")
    );
    let chain = after.holdfast.verify_log(|_| {}).await.unwrap();
    assert!(chain.findings.is_empty(), "{chain:?}");
    let rebuilt = after.holdfast.rebuild().await.unwrap();
    assert!(rebuilt.differed.is_empty(), "{rebuilt:?}");
    // What was over stays over: nothing of the old history is done again.
    let events = after
        .holdfast
        .log()
        .read_from(found.events, 1_000)
        .await
        .unwrap();
    let started = |event: &Event| matches!(event, Event::Run(RunEvent::Started { .. }));
    assert!(!events.iter().any(|event| started(&event.event)));
    after.stop().await;
}

/// Names of the segments in the local target, relative to the log's folder, sorted.
fn names(data: &Path) -> Vec<String> {
    fn walk(folder: &Path, root: &Path, names: &mut Vec<String>) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                walk(&entry.path(), root, names);
            } else {
                let path = entry.path();
                let name = path.strip_prefix(root).unwrap().to_str().unwrap();
                names.push(name.to_owned());
            }
        }
    }
    let mut names_ = Vec::new();
    let root = data.join("backups/holdfast-log");
    walk(&root, &root, &mut names_);
    names_.sort();
    names_
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_11_shipping_is_repeatable_and_overwrites_nobody() {
    let mut shelf = Shelf::new().await;
    shelf.store(dump(10)).await;
    shelf.stop().await;
    let instance = shelf.holdfast.instance();
    assert!(shelf.holdfast.ship_log().await.unwrap());
    let data = shelf.data.path().to_owned();
    let (once, head) = (names(&data), shelf.holdfast.log().head());
    assert_eq!(
        once,
        [format!("{instance}/1/{:012}-{head:012}.jsonl.gz", 1)]
    );
    assert!(shelf.holdfast.ship_log().await.unwrap());
    assert_eq!(names(&data), once, "again changes nothing");
    // One grows, and no older one stays.
    shelf.store(dump(11)).await;
    assert!(shelf.holdfast.ship_log().await.unwrap());
    let grown = names(&data);
    assert_eq!(grown.len(), 1);
    assert_ne!(grown, once);
    let folder = data.join("backups/holdfast-log");
    let bytes = fs::read(folder.join(&grown[0])).unwrap();

    // Another server under the same master key, with another log.
    let other = TempDir::new().unwrap();
    fs::copy(data.join("master.key"), other.path().join("master.key")).unwrap();
    copy(&data.join("backups"), &other.path().join("backups"));
    let other = Shelf::open(other, Duration::ZERO).await;
    assert_eq!(other.holdfast.instance(), instance);
    other.found(spec()).await;
    assert!(other.holdfast.ship_log().await.unwrap());
    let both = names(other.data.path());
    assert_eq!(both.len(), 2, "{both:?}");
    assert!(both[1].starts_with(&format!("{instance}/2/")), "{both:?}");
    let kept = other
        .data
        .path()
        .join("backups/holdfast-log")
        .join(&grown[0]);
    assert_eq!(fs::read(kept).unwrap(), bytes);

    // Both may be what is wanted: that is for a person to say.
    let data = TempDir::new().unwrap();
    copy(
        &other.data.path().join("backups"),
        &data.path().join("backups"),
    );
    let which = recover(data.path(), Settings::default(), "local").await;
    let which = which.err().unwrap().to_string();
    assert!(which.contains("name the right one by --log"), "{which}");
    let wanted = Wanted {
        log: Some(format!("{instance}/1")),
        ..Wanted::default()
    };
    let found = recover_what(data.path(), Settings::default(), "local", &wanted).await;
    assert_eq!(found.unwrap().events, shelf.holdfast.log().head());
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_11_a_damaged_log_says_how_far_it_can_be_trusted() {
    let mut shelf = Shelf::new().await;
    shelf.store(dump(10)).await;
    shelf.stop().await;
    assert!(shelf.holdfast.ship_log().await.unwrap());
    let data = TempDir::new().unwrap();
    copy(
        &shelf.data.path().join("backups"),
        &data.path().join("backups"),
    );
    // As if there had been two full ones, of which somebody altered the second.
    let folder = data.path().join("backups/holdfast-log");
    let whole = folder.join(&names(data.path())[0]);
    let log_key = signing_key(shelf.data.path());
    let (log, head) = (shelf.holdfast.log(), shelf.holdfast.log().head());
    fs::remove_file(&whole).unwrap();
    let piece =
        |first: i64, last: i64| whole.with_file_name(format!("{first:012}-{last:012}.jsonl.gz"));
    fs::write(piece(1, 4), log.segment(&log_key, 1, 4).await.unwrap()).unwrap();
    let mut spoilt = log.segment(&log_key, 5, head).await.unwrap();
    let middle = spoilt.len() / 2;
    spoilt[middle] ^= 1;
    fs::write(piece(5, head), &spoilt).unwrap();
    let refused = recover(data.path(), Settings::default(), "local").await;
    let refused = refused.err().unwrap().to_string();
    assert!(
        refused.contains("only the events up to 4 can be trusted") && refused.contains("--partial"),
        "{refused}"
    );
    assert!(!data.path().join("holdfast.db").exists());
    let wanted = Wanted {
        partial: true,
        ..Wanted::default()
    };
    let found = recover_what(data.path(), Settings::default(), "local", &wanted).await;
    let found = found.unwrap();
    assert_eq!((found.events, found.promised), (4, head));
    assert_eq!(found.flaws.len(), 1);
}

fn signing_key(data: &Path) -> LogKey {
    use sha2::{Digest, Sha256};
    let hex_key = fs::read_to_string(data.join("master.key")).unwrap();
    let master = hex::decode(hex_key.trim()).unwrap();
    let mut sha = Sha256::new();
    sha.update(b"holdfast.log-key.v1\0");
    sha.update(&master);
    LogKey::from_seed(&sha.finalize().into()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_11_what_ran_when_the_log_left_does_not_run_for_ever() {
    let mut shelf = Shelf::new().await;
    let done = shelf.store(dump(10)).await;
    shelf.stop().await;
    let running = shelf.begin(done).await;
    assert!(shelf.holdfast.ship_log().await.unwrap());
    let data = TempDir::new().unwrap();
    copy(
        &shelf.data.path().join("backups"),
        &data.path().join("backups"),
    );
    recover(data.path(), Settings::default(), "local")
        .await
        .unwrap();
    let mut after = Shelf::open(data, Duration::ZERO).await;
    after.start().await;
    assert_eq!(after.run(done).await.status, "success");
    let ended = after.run(running).await;
    assert_eq!(ended.status, "failed", "{ended:?}");
    let why = ended.error_msg.unwrap_or_default();
    assert!(why.contains("brought back"), "{why}");
    after.stop().await;
}

/// Real engine, real bucket: backed up, everything here deleted, recovered, restored.
#[tokio::test(flavor = "multi_thread")]
async fn promise_11_backed_up_to_a_bucket_lost_recovered_and_restored() {
    let bucket = Bucket::serve();
    let project = format!("recovery-{}", std::process::id());
    let label = format!("com.docker.compose.project={project}");
    let bed = Sqlite::start(&[
        "--label",
        &label,
        "--label",
        "com.docker.compose.service=db",
    ]);
    Sqlite::until_ready(&bed);
    Sqlite::seed(&bed);
    let before = Sqlite::digest(&bed);
    let house = House::new().await;
    house.app("shop", &project).await;
    let of_bucket = |input: &mut ConfigInput| {
        input.target = Some("s3".into());
        input.target_settings = Some(bucket.target_settings());
    };
    let id = house
        .config("shop", |input| {
            input.strategy = Some(Sqlite::NAME.into());
            Sqlite::configure(input);
            of_bucket(input);
        })
        .await;
    let run = house.back_up(id).await;
    assert_eq!(run.status, "success", "{run:?}");
    house.holdfast.ship_log().await.unwrap();
    house.close().await;

    let data = TempDir::new().unwrap();
    let mut settings = Settings::default();
    for (name, value) in bucket.settings() {
        match name.as_str() {
            "secret_key" => settings
                .secrets
                .insert(name, Secret::new(value))
                .map(|_| ()),
            _ => settings.plain.insert(name, value).map(|_| ()),
        };
    }
    let found = recover(data.path(), settings, "s3").await.unwrap();
    assert!(found.adopted.runs.is_empty(), "{:?}", found.adopted);
    let lost: Vec<&str> = found
        .lost_secrets
        .iter()
        .map(|it| it.name.as_str())
        .collect();
    assert!(lost.contains(&"secret_key"), "{lost:?}");

    let house = House::at(data, crate::house::pg_dump, 10, |_| {}).await;
    let unable = house.back_up(id).await;
    assert_eq!(unable.status, "failed", "nothing runs with an empty secret");
    let hint = unable.hint.unwrap_or_default();
    assert!(hint.contains("Enter the secret again"), "{hint}");
    let mut input = ConfigInput::default();
    of_bucket(&mut input);
    house
        .holdfast
        .change_config(&house.caller, id, input)
        .await
        .unwrap();
    assert!(house.holdfast.lost_secrets().await.unwrap().is_empty());
    Sqlite::destroy(&bed);
    let restored = house.restore(run.run_id()).await;
    assert_eq!(restored.status, "success", "{restored:?}");
    assert_eq!(Sqlite::digest(&bed), before);
    for event in house.holdfast.log().read_from(0, 1_000).await.unwrap() {
        assert!(!event.data.contains(SECRET_KEY));
    }
    house.close().await;
    println!(
        "figure: promise 11: backed up to S3, data folder deleted, recovered, restored: digests equal"
    );
}
