//! Power cuts: `kill -9` of the real server at random moments and at every named failpoint, in
//! backups and restores, on a real database. After each restart: what was answered is there, what
//! is green is whole, nothing is stuck, nothing is left behind.
//!
//! Some lanes run side by side, each with its own server and database. `HOLDFAST_KILLS` sets how
//! many random kills there are in all (default 200).

use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    bed::{self, Bed},
    house::{postgres, psql},
    server::Server,
};

const LANES: usize = 3;
/// Promise 6.
const SETTLE_LIMIT: Duration = Duration::from_secs(10);

/// One server with one app on one database.
struct Lane {
    server: Server,
    database: Bed,
    /// What the hooks of `hooked` stop.
    web: Bed,
    config: i64,
    /// The same with a hook, for the places that only hooks come by.
    hooked: i64,
    /// One that keeps the newest only, for the places that retention comes by.
    pruned: i64,
    slowest: Duration,
    kills: usize,
    random: u64,
}

impl Lane {
    async fn new(number: usize) -> Self {
        let project = format!("crash-{}-{number}", std::process::id());
        let database = postgres(bed::POSTGRES, &project, &[]);
        psql(
            &database,
            "shop",
            "CREATE TABLE orders(id bigint PRIMARY KEY, note text NOT NULL); \
             INSERT INTO orders SELECT i, repeat(md5(i::text), 8) FROM generate_series(1, 20000) i",
        );
        let server = Server::start(&["--retry", "1", "--keep-undo", "2"]).await;
        let app = json!({ "slug": "shop", "name": "Shop", "project": project });
        server.post("/api/apps", app).await;
        let labels = [
            "--label",
            &format!("com.docker.compose.project={project}"),
            "--label",
            "com.docker.compose.service=web",
        ];
        let web = Bed::run(bed::BUSYBOX, &labels, &["sleep", "36000"]);
        let mut config = json!({ "strategy": "postgres", "service": "db", "target": "local",
            "retention_count": 1000 });
        let path = "/api/apps/shop/backups/configs";
        let plain = server.post(path, config.clone()).await;
        config["pre_hooks"] = json!([{ "type": "stop", "service": "web" }]);
        let hooked = server.post(path, config.clone()).await;
        config["pre_hooks"] = json!([]);
        config["retention_count"] = json!(1);
        let pruned = server.post(path, config).await;
        Self {
            server,
            database,
            web,
            config: plain["id"].as_i64().unwrap(),
            hooked: hooked["id"].as_i64().unwrap(),
            pruned: pruned["id"].as_i64().unwrap(),
            slowest: Duration::ZERO,
            kills: 0,
            random: 0x9E37_79B9_7F4A_7C15 ^ (number as u64 + 1),
        }
    }

    /// xorshift: the moments differ from run to run only with the machine's own timing.
    fn random_ms(&mut self, below: u64) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        Duration::from_millis(self.random % below)
    }

    async fn kill_and_restart(&mut self) {
        self.server.kill();
        self.kills += 1;
        let settled = self.server.restart().await;
        self.slowest = self.slowest.max(settled);
    }

    async fn request_run(&self) -> i64 {
        let path = format!("/api/backups/configs/{}/run", self.config);
        self.server.post(&path, json!({})).await["run_id"]
            .as_i64()
            .unwrap()
    }

    async fn good_run(&self) -> i64 {
        let id = self.request_run().await;
        let run = self.server.wait_for_run(id).await;
        assert_eq!(run["status"], "success", "{run}");
        id
    }

    /// A good run of that config.
    async fn run_of(&self, config: i64) -> i64 {
        let path = format!("/api/backups/configs/{config}/run");
        let id = self.server.post(&path, json!({})).await["run_id"].clone();
        let run = self.server.wait_for_run(id.as_i64().unwrap()).await;
        assert_eq!(run["status"], "success", "{run}");
        id.as_i64().unwrap()
    }

    /// The newer run is there, the older one is gone and says so.
    async fn check_pruned(&self, newer: i64, older: Option<i64>) {
        let run = self.server.wait_for_run(newer).await;
        assert_eq!(run["status"], "success", "{run}");
        assert_eq!(run["expired_at"], Value::Null, "{run}");
        let path = format!("/api/backups/runs/{}", older.unwrap());
        let gone = |run: &Value| run["pruned_at"].is_string();
        self.server.wait_for(&path, gone).await;
        let key = self.server.get(&path).await["file_path"].clone();
        let file = self.server.backups().join(key.as_str().unwrap());
        assert!(!file.exists(), "{} was left", file.display());
    }

    async fn request_restore(&self, run: i64) -> Option<i64> {
        let path = format!("/api/backups/restore/{run}");
        let answer = self
            .server
            .try_call(Method::POST, &path, Some(json!({})))
            .await?;
        answer.1["restore_id"].as_i64()
    }

    /// Order-independent digest of the one table, or of its absence.
    fn digest(&self) -> String {
        psql(
            &self.database,
            "shop",
            "SELECT count(*), md5(string_agg(md5(id || note), '' ORDER BY id)) FROM orders",
        )
    }

    fn change(&self) {
        psql(
            &self.database,
            "shop",
            "INSERT INTO orders SELECT max(id) + 1, clock_timestamp()::text FROM orders; \
             UPDATE orders SET note = clock_timestamp()::text WHERE id = 7",
        );
    }

    /// Killed `kills` times during backups.
    async fn backups(&mut self, kills: usize) {
        for _ in 0..kills {
            let id = self.request_run().await;
            let pause = self.random_ms(1200);
            tokio::time::sleep(pause).await;
            self.kill_and_restart().await;
            let run = self.server.wait_for_run(id).await; // answered 202: it must be there, and end
            assert_eq!(run["status"], "success", "{run}\n{}", self.server.log());
        }
    }

    /// Killed `kills` times during restores over changed data.
    async fn restores(&mut self, kills: usize) {
        let run = self.good_run().await;
        let backed_up = self.digest();
        for _ in 0..kills {
            self.change();
            let before = self.digest();
            assert_ne!(before, backed_up);
            let restore = self.request_restore(run).await.expect("202");
            let pause = self.random_ms(2500);
            tokio::time::sleep(pause).await;
            self.kill_and_restart().await;
            self.check_restore(restore, &before, &backed_up).await;
        }
    }

    /// The database is what the restore's status says, and never anything else.
    async fn check_restore(&self, id: i64, before: &str, backed_up: &str) {
        let restore = self.server.wait_for_restore(id).await;
        let now = self.digest();
        match restore["status"].as_str().unwrap() {
            "success" => assert_eq!(now, backed_up, "{restore}"),
            "failed" => assert_eq!(now, before, "{restore}"),
            other => panic!("{other}: {restore}\n{}", self.server.log()),
        }
    }

    /// Nothing that was ever asked for is still at work.
    async fn all_ended(&self) {
        let ended = |list: &Value| {
            let still =
                |of: &Value| ["queued", "running"].contains(&of["status"].as_str().unwrap());
            !list.as_array().unwrap().iter().any(still)
        };
        for list in ["/api/apps/shop/backups/runs", "/api/restores"] {
            self.server.wait_for(list, ended).await;
        }
    }

    /// Nothing green that is not whole, nothing left behind, the log whole.
    async fn check_all(&self) -> (usize, usize) {
        let pruned = |list: &Value| {
            let open = |run: &Value| run["expired_at"].is_string() && run["pruned_at"].is_null();
            !list.as_array().unwrap().iter().any(open)
        };
        let path = "/api/apps/shop/backups/runs?limit=1000";
        self.server.wait_for(path, pruned).await;
        let runs = self.server.get(path).await;
        let mut expected = BTreeSet::new();
        let mut green = 0;
        for run in runs.as_array().unwrap() {
            let status = run["status"].as_str().unwrap();
            assert!(
                ["success", "failed", "cancelled"].contains(&status),
                "stuck: {run}"
            );
            if status == "success" {
                green += 1;
                if run["pruned_at"].is_string() {
                    continue; // its files may not be found below
                }
                let key = run["file_path"].as_str().unwrap();
                check_artifact(&self.server.backups().join(key), run);
                expected.insert(key.to_owned());
                expected.insert(format!("{key}.json"));
            }
        }
        let found = files(&self.server.backups());
        let leftovers: Vec<_> = found.difference(&expected).collect();
        assert!(leftovers.is_empty(), "left behind: {leftovers:?}");
        let missing: Vec<_> = expected.difference(&found).collect();
        assert!(missing.is_empty(), "green but gone: {missing:?}");
        self.no_foreign_databases().await;
        assert!(self.web.is_running(), "a service is left stopped");
        let verification = self.server.post("/api/audit/verify", json!({})).await;
        assert_eq!(verification["ok"], true, "{verification}");
        let rebuild = self.server.post("/api/system/rebuild", json!({})).await;
        assert_eq!(rebuild["differed"], json!([]), "{rebuild}");
        (green, leftovers.len())
    }

    /// Staging databases are gone; undo copies go when their two seconds are over.
    async fn no_foreign_databases(&self) {
        let deadline = Instant::now() + Duration::from_mins(1);
        let query = "SELECT string_agg(datname, ' ') FROM pg_database WHERE datname LIKE 'hf%'";
        loop {
            let left = psql(&self.database, "postgres", query);
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "databases left: {left}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// As a person would check it: the digest of the file, and that stock `gunzip` reads it.
fn check_artifact(path: &Path, run: &Value) {
    let sum = std::process::Command::new("sha256sum")
        .arg(path)
        .output()
        .unwrap();
    let sum = String::from_utf8_lossy(&sum.stdout);
    assert!(sum.starts_with(run["checksum"].as_str().unwrap()), "{run}");
    let gunzip = std::process::Command::new("gunzip")
        .arg("-t")
        .arg(path)
        .status()
        .unwrap();
    assert!(gunzip.success(), "gunzip refuses {}", path.display());
}

fn files(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_name() == "holdfast-log" {
                continue; // no artifact's, and what a kill leaves of it is taken away later
            }
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                let path = entry.path();
                found.insert(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    found
}

fn kills() -> usize {
    std::env::var("HOLDFAST_KILLS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(200)
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_06_killed_at_any_moment_nothing_is_lost_stuck_or_left() {
    let each = kills().div_ceil(LANES);
    let lanes = (0..LANES).map(|number| async move {
        let mut lane = Lane::new(number).await;
        // Half the lanes begin with restores, so that both kinds meet both kinds of load.
        if number % 2 == 0 {
            lane.backups(each / 2).await;
            lane.restores(each - each / 2).await;
        } else {
            lane.restores(each - each / 2).await;
            lane.backups(each / 2).await;
        }
        let (green, _) = lane.check_all().await;
        println!(
            "lane {number}: {} kills, {green} green runs, all whole",
            lane.kills
        );
        (lane.kills, lane.slowest, green)
    });
    let lanes = join_all(lanes).await;
    let kills: usize = lanes.iter().map(|lane| lane.0).sum();
    let slowest = lanes.iter().map(|lane| lane.1).max().unwrap();
    println!(
        "figure: promise 6: kills {kills}, lost 0, corrupted 0, stuck 0, leftovers 0, slowest settle {:.1} s",
        slowest.as_secs_f64()
    );
    assert!(slowest <= SETTLE_LIMIT, "settling took {slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_01_killed_at_every_failpoint_nothing_is_lost_stuck_or_left() {
    let points: Vec<&str> = holdfast::failpoint::ALL.to_vec();
    let lanes = (0..LANES).map(|number| {
        let mine: Vec<&str> = points.iter().copied().skip(number).step_by(LANES).collect();
        async move {
            let mut lane = Lane::new(100 + number).await;
            let run = lane.good_run().await;
            let backed_up = lane.digest();
            for point in mine {
                die_at(&mut lane, point, run, &backed_up).await;
            }
            lane.check_all().await;
            lane.slowest
        }
    });
    let slowest = join_all(lanes).await.into_iter().max().unwrap();
    println!(
        "figure: promise 1: failpoints {}, lost 0, corrupted 0, stuck 0, leftovers 0, slowest settle {:.1} s",
        points.len(),
        slowest.as_secs_f64()
    );
    assert!(slowest <= SETTLE_LIMIT, "settling took {slowest:?}");
}

/// Dies at `point` in a backup, or in a restore where only a restore comes by.
async fn die_at(lane: &mut Lane, point: &str, run: i64, backed_up: &str) {
    lane.change();
    let before = lane.digest();
    let in_restore = point.starts_with("restore.");
    let in_retention = point.starts_with("prune.");
    let older = if in_retention {
        Some(lane.run_of(lane.pruned).await)
    } else {
        None
    };
    lane.server.respawn(&[("HOLDFAST_FAILPOINT", point)]);
    let mut asked = None;
    if lane.server.ready_or_dead().await {
        asked = if in_restore {
            lane.request_restore(run).await
        } else {
            let config = match point {
                _ if point.starts_with("hook.") => lane.hooked,
                _ if point.starts_with("prune.") => lane.pruned,
                _ => lane.config,
            };
            let path = format!("/api/backups/configs/{config}/run");
            let answer = lane
                .server
                .try_call(Method::POST, &path, Some(json!({})))
                .await;
            answer.and_then(|(_, body)| body["run_id"].as_i64())
        };
    }
    let died = lane.server.ended(Duration::from_secs(60)).await;
    assert!(died, "nothing comes by {point}: {}", lane.server.log());
    lane.kills += 1;
    let settled = lane.server.restart().await;
    lane.slowest = lane.slowest.max(settled);
    match asked {
        Some(restore) if in_restore => lane.check_restore(restore, &before, backed_up).await,
        Some(id) if in_retention => lane.check_pruned(id, older).await,
        Some(id) => {
            let run = lane.server.wait_for_run(id).await;
            assert_eq!(run["status"], "success", "{point}: {run}");
            assert_eq!(lane.digest(), before, "{point}: a backup changed the data");
        }
        // Not answered: it may have happened or not. What did happen ends here, so that the next
        // point meets a run of its own, not one that has died with this one already.
        None => lane.all_ended().await,
    }
}
