//! What was there comes back, and nothing else: over a live database, an empty one, a missing one,
//! by Holdfast and by hand; and an undo brings back what was there before.

use std::{
    process::{Child, Command, Stdio},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::place::{Notes, Place, postgres};

/// Changes a little of everything that a restore has to bring back.
const DAMAGE: &str = "
DELETE FROM shop.events WHERE id % 3 = 0;
UPDATE shop.orders SET remark = 'overwritten' WHERE id % 5 = 0;
CREATE TABLE shop.added_later AS SELECT * FROM generate_series(1, 1000);
DROP VIEW shop.\"Open Orders, €\" CASCADE;
SELECT lo_unlink(4242002);
SELECT nextval('shop.orders_id_seq');
";

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_back_over_a_live_database() {
    let place = Place::start().await;
    place.load_sample("shop", 1);
    let original = place.digest("shop");

    let started = Instant::now();
    let backup = place.back_up("shop").await;
    let backed_up = started.elapsed();
    place.digest("shop").assert_is(&original, "after a backup");
    let rows = place.sql("shop", "SELECT count(*) FROM shop.events");
    assert_eq!(backup.fingerprint.counts["shop.events"].to_string(), rows);
    assert!(backup.fingerprint.total() > 100_000);
    assert_eq!(backup.dumped.warnings, Vec::<String>::new());

    place.sql("shop", DAMAGE);
    let damaged = place.digest("shop");
    assert!(damaged != original);

    let clients = Clients::start(&place);
    let site = place.site().await;
    let notes = Notes::default();
    let started = Instant::now();
    let restored = backup.restore(&site, &notes).await.unwrap();
    let took = started.elapsed();
    let served = clients.stop(&place);
    place
        .digest("shop")
        .assert_is(&original, "after the restore");
    assert_eq!(restored.fingerprint, backup.fingerprint);
    assert_eq!(restored.warnings, Vec::<String>::new());
    assert_eq!(notes.names(), ["stage", "load", "check", "close", "swap"]);
    let touching: Vec<bool> = notes.steps().iter().map(|step| step.touches).collect();
    assert_eq!(touching, [false, false, false, true, true]);
    assert_eq!(
        notes.bytes.load(Ordering::Relaxed),
        backup.bytes.len() as u64
    );
    let kept = restored.kept.unwrap();
    assert!(kept.size.unwrap() > 1_000_000);

    let undone = postgres()
        .undo(&site, &kept, &Notes::default())
        .await
        .unwrap();
    place.digest("shop").assert_is(&damaged, "after the undo");
    let redone = postgres()
        .undo(&site, &undone, &Notes::default())
        .await
        .unwrap();
    place
        .digest("shop")
        .assert_is(&original, "after the undo of the undo");
    postgres().forget(&site, &redone).await.unwrap();
    postgres().forget(&site, &redone).await.unwrap();
    assert_eq!(place.databases(), ["postgres", "shop", "template1"]);

    println!(
        "figure: postgres: {} rows, {} MB dumped in {:.2} s, restored in {:.2} s; clients were served {} times, refused {} times, away for {:.2} s",
        backup.fingerprint.total(),
        backup.bytes.len() / 1_000_000,
        backed_up.as_secs_f64(),
        took.as_secs_f64(),
        served.times,
        served.refused,
        served.away.as_secs_f64(),
    );
}

/// An app that will not be kept away: one session that stays, and two that log in again and again,
/// as fast as they can.
struct Clients {
    running: Vec<Child>,
}

#[derive(Default)]
struct Served {
    times: usize,
    refused: usize,
    /// Longest time without an answer.
    away: Duration,
}

impl Clients {
    fn start(place: &Place) -> Self {
        let stay = "exec psql -X -q -U app -d shop -c 'SELECT pg_sleep(600)'";
        let knock = "while [ ! -e /tmp/stop ]; do
            psql -X -q -A -t -U app -d shop -c 'SELECT 1' >/dev/null 2>&1; echo $? $(date +%s%N); done";
        let sh = |script: &str| {
            Command::new("docker")
                .args(["exec", &place.bed.name, "sh", "-c", script])
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .unwrap()
        };
        Self {
            running: vec![sh(stay), sh(knock), sh(knock)],
        }
    }

    fn stop(self, place: &Place) -> Served {
        place.bed.sh("touch /tmp/stop");
        let mut served = Served::default();
        for client in self.running {
            let output = client.wait_with_output().unwrap();
            let mut last = 0;
            for line in String::from_utf8_lossy(&output.stdout).lines() {
                let (code, at) = line.split_once(' ').unwrap();
                let at: u64 = at.parse().unwrap();
                if code == "0" {
                    served.times += 1;
                    let since = if last > 0 { at - last } else { 0 };
                    served.away = served.away.max(Duration::from_nanos(since));
                    last = at;
                } else {
                    served.refused += 1;
                }
            }
        }
        served
    }
}
