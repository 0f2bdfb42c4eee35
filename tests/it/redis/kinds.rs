//! Kinds of servers and of settings: everything comes back, what came later is gone, an undo brings it
//! back, and all of that is still so after the server was started again.

use async_trait::async_trait;
use bytes::Bytes;
use holdfast::strategy::{Sink, SinkClosed};
use tokio::sync::Notify;

use super::place::{Place, REDIS_7, REDIS_8, VALKEY, redis};
use crate::workbench::{Backup, Notes, back_up, judge};

const KEYS: u32 = 2000;

/// There and back again.
async fn round_trip(
    place: &Place,
    plain: &[(&str, &str)],
    password: Option<&str>,
    keys: u32,
) -> Backup {
    place.fill(keys);
    let original = place.digest();
    let site = place.site_with(plain, password).await;
    let files = place.bed.sh("ls -A");
    let backup = back_up(redis(), &site).await.unwrap();
    assert_eq!(
        place.bed.sh("ls -A"),
        files,
        "a backup leaves nothing behind"
    );
    assert_eq!(place.digest(), original, "a backup changes nothing");
    assert_eq!(backup.fingerprint.total(), u64::from(keys));
    assert_eq!(backup.fingerprint.unit, "keys");

    place.change();
    let changed = place.digest();
    assert_ne!(changed, original);
    let restored = backup.restore(&site, &Notes::default()).await.unwrap();
    assert_eq!(place.digest(), original, "restored");
    assert_eq!(restored.fingerprint, backup.fingerprint);
    let kept = restored.kept.unwrap();
    assert!(kept.size.unwrap() > 0, "{kept:?}");
    place.restart();
    assert_eq!(place.digest(), original, "restored, and started again");

    let kept = redis().undo(&site, &kept, &Notes::default()).await.unwrap();
    assert_eq!(place.digest(), changed, "undone");
    for _ in 0..2 {
        redis().forget(&site, &kept).await.unwrap();
    }
    backup
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_thousand_keys_of_every_type() {
    let place = Place::start(REDIS_7, &[], &[]);
    let started = std::time::Instant::now();
    let backup = round_trip(&place, &[], None, 50_000).await;
    assert_eq!(place.leftovers(), Vec::<String>::new());
    assert_eq!(
        place.bed.sh("ls /tmp/owned 2>/dev/null || echo none"),
        "none"
    );
    println!(
        "figure: redis: {} keys of every type there and back in {:.1} s, {} kB",
        backup.fingerprint.total(),
        started.elapsed().as_secs_f64(),
        backup.bytes.len() / 1000
    );
    undone_and_undone_again(&place, &backup).await;
    // Every cut and flip is found in the real thing, too.
    let mut bytes = backup.bytes.to_vec();
    for at in (0..bytes.len()).step_by(bytes.len() / 11) {
        assert!(judge(redis(), &bytes[..at]).is_err(), "cut at {at}");
        bytes[at] ^= 1 << (at % 8);
        assert!(judge(redis(), &bytes).is_err(), "a bit of byte {at}");
        bytes[at] ^= 1 << (at % 8);
    }
    judge(redis(), &bytes).unwrap();
}

async fn undone_and_undone_again(place: &Place, backup: &Backup) {
    let site = place.site().await;
    let changed = place.digest();
    let first = backup.restore(&site, &Notes::default()).await.unwrap();
    let original = place.digest();
    let first = first.kept.unwrap();
    let undo = async |kept| redis().undo(&site, kept, &Notes::default()).await.unwrap();
    let second = undo(&first).await;
    place.restart();
    assert_eq!(place.digest(), changed, "undone, and started again");
    assert_eq!(undo(&first).await, second, "called again after it was done");
    assert_eq!(place.digest(), changed);
    let third = undo(&second).await;
    assert_eq!(place.digest(), original, "an undo can be undone");
    redis().forget(&site, &third).await.unwrap();
    let gone = redis().undo(&site, &third, &Notes::default()).await;
    assert!(gone.unwrap_err().to_string().contains("no longer there"));
    assert_eq!(place.digest(), original);
    assert_eq!(place.leftovers(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_way_to_keep_data_comes_back() {
    for (image, server) in [
        (REDIS_7, &["--appendonly", "yes"][..]),
        (
            REDIS_7,
            &[
                "--appendonly",
                "yes",
                "--save",
                "",
                "--aof-use-rdb-preamble",
                "no",
            ],
        ),
        (REDIS_7, &["--save", ""]),
        (REDIS_7, &["--repl-diskless-sync", "no", "--save", ""]),
        (REDIS_8, &["--appendonly", "yes"]),
        (REDIS_8, &[]),
        (VALKEY, &["--appendonly", "yes", "--save", ""]),
        (VALKEY, &["--databases", "200"]),
    ] {
        let place = Place::start(image, &[], server);
        let backup = round_trip(&place, &[], None, KEYS).await;
        assert_eq!(place.leftovers(), Vec::<String>::new(), "{server:?}");
        assert_eq!(backup.dumped.warnings, Vec::<String>::new(), "{server:?}");
        println!(
            "figure: redis: {} with {server:?} there and back",
            backup.probe.server
        );
    }
}

/// Takes nothing, and tells that there is something to take.
#[derive(Default)]
struct Dam(Notify);

#[async_trait]
impl Sink for &Dam {
    async fn write(&mut self, _: Bytes) -> Result<(), SinkClosed> {
        self.0.notify_one();
        std::future::pending().await
    }
}

/// Nobody is there any more to switch it back, and the next backup finds it as if it were the server's own.
#[tokio::test(flavor = "multi_thread")]
async fn a_setting_that_a_killed_backup_left_is_put_back_by_the_next() {
    const DISKLESS: &str = "repl-diskless-sync";
    let place = Place::start(REDIS_7, &[], &["--repl-diskless-sync", "no", "--save", ""]);
    place.fill(KEYS);
    let site = place.site().await;
    let set = || place.cli(&["CONFIG", "GET", DISKLESS]).replace('\n', " ");
    let dam = Dam::default();
    let mut sink = &dam;
    tokio::select! {
        dumped = redis().backup(&site, &mut sink) => panic!("{dumped:?}"),
        () = dam.0.notified() => {} // dropped where it is
    }
    assert_eq!(set(), format!("{DISKLESS} yes"));
    for _ in 0..2 {
        back_up(redis(), &site).await.unwrap();
        assert_eq!(set(), format!("{DISKLESS} no"));
    }
    // Somebody else's stays.
    place.cli(&["CONFIG", "SET", DISKLESS, "yes"]);
    back_up(redis(), &site).await.unwrap();
    assert_eq!(set(), format!("{DISKLESS} yes"));
    assert_eq!(place.bed.sh("ls -A /dev/shm"), "", "a note is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_and_odd_places() {
    let password = "pässw0rd $(id) ' \" \\ %s @";
    let place = Place::start(REDIS_7, &[], &["--requirepass", password]);
    round_trip(&place, &[], Some(password), KEYS).await;
    // From the container's own environment, and from a file.
    for (variable, value) in [
        ("REDIS_PASSWORD", "from-env"),
        ("REDIS_PASSWORD_FILE", "/etc/hostname"),
    ] {
        let variable = format!("{variable}={value}");
        let place = Place::start(
            REDIS_7,
            &["-e", &variable, "--hostname", "from-env"],
            &["--requirepass", "from-env"],
        );
        let site = crate::workbench::site(&place.bed, holdfast::strategy::Options::default()).await;
        place.fill(KEYS);
        let backup = back_up(redis(), &site).await.unwrap();
        assert_eq!(backup.fingerprint.total(), u64::from(KEYS));
    }
    // An environment that is about something else does no harm.
    let place = Place::start(REDIS_7, &["-e", "REDIS_PASSWORD=of the client"], &[]);
    back_up(redis(), &place.site().await).await.unwrap();

    let user = ["--user", "operator", "on", ">secret", "~*", "&*", "+@all"];
    let place = Place::start(REDIS_7, &[], &user);
    round_trip(&place, &[("user", "operator")], Some("secret"), KEYS).await;
    // A user that may hardly do anything.
    let rights = ["-@all", "+info", "+sync", "+replconf"];
    place.cli(&[&["ACL", "SETUSER", "backup", "on", ">only"], &rights[..]].concat());
    let backup = back_up(
        redis(),
        &place.site_with(&[("user", "backup")], Some("only")).await,
    )
    .await
    .unwrap();
    assert_eq!(backup.probe.subject, "all keys");
}

#[tokio::test(flavor = "multi_thread")]
async fn data_in_odd_places_and_from_another_server() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let odd = "/srv/it's $(touch /tmp/owned) odd";
    let mount = format!("{}:{odd}", folder.path().display());
    #[rustfmt::skip]
    let place = Place::start(REDIS_7, &["-v", &mount], &[
        "--dir", odd, "--dbfilename", "the dump", "--port", "7000", "--appendonly", "yes",
        "--appenddirname", "a log", "--appendfilename", "log '$x.aof",
    ]);
    let port = [("port", "7000")];
    let backup = round_trip(&place, &port, None, KEYS).await;
    let subject = format!("{odd}/the dump, {odd}/a log/log '$x.aof");
    assert_eq!(backup.probe.subject, subject);
    assert_eq!(
        place.bed.sh("ls /tmp/owned 2>/dev/null || echo none"),
        "none"
    );

    // Into a server that keeps its data elsewhere, and from there into this one.
    let site = place.site_with(&port, None).await;
    backup.restore(&site, &Notes::default()).await.unwrap();
    let original = place.digest();
    let other = Place::start(REDIS_7, &[], &["--save", ""]);
    let restored = backup
        .restore(&other.site().await, &Notes::default())
        .await
        .unwrap();
    assert!(
        restored.warnings[0].contains("saves nothing by itself"),
        "{:?}",
        restored.warnings
    );
    assert_eq!(other.digest(), original);
    let from_other = back_up(redis(), &other.site().await).await.unwrap();
    place.change();
    from_other.restore(&site, &Notes::default()).await.unwrap();
    assert_eq!(place.digest(), original);
}
