//! Power cuts while a hook keeps a service stopped: `kill -9` of the real server between stop and
//! start. The service runs again soon after the restart, and the run still comes to its end.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use super::*;
use crate::server::Server;

const KILLS: usize = 20;
const LANES: usize = 2;
const LIMIT: Duration = Duration::from_secs(30);

/// Where it dies: all of them between the stop and the start, but the first, where the stop is
/// owed and not done yet.
const POINTS: [&str; 5] = [
    "hook.before_stop",
    "hook.after_stop",
    "backup.before_put",
    "hook.before_start",
    "hook.after_start",
];

struct Lane {
    server: Server,
    _db: Bed,
    web: Bed,
    config: i64,
    slowest: Duration,
}

impl Lane {
    async fn new(number: usize, command: &[&str]) -> Self {
        let project = format!("hooks-crash-{number}-{}", std::process::id());
        let db = postgres(bed::POSTGRES, &project, &[]);
        let web = service(BUSYBOX, &project, "web", &["--network", "none"], command);
        let server = Server::start(&["--retry", "1"]).await;
        let app = json!({ "slug": "shop", "project": project });
        server.post("/api/apps", app).await;
        let config = json!({
            "strategy": "postgres",
            "service": "db",
            "pre_hooks": [{ "type": "stop", "service": "web" }],
            "post_hooks": "[{\"type\":\"start\",\"service\":\"web\"}]",
        });
        let config = server.post("/api/apps/shop/backups/configs", config).await;
        Self {
            server,
            _db: db,
            web,
            config: config["id"].as_i64().unwrap(),
            slowest: Duration::ZERO,
        }
    }

    async fn request(&self) -> Option<i64> {
        let path = format!("/api/backups/configs/{}/run", self.config);
        let answer = self
            .server
            .try_call(Method::POST, &path, Some(json!({})))
            .await;
        answer.and_then(|(_, body)| body["run_id"].as_i64())
    }

    /// From the restart on, until the service runs.
    async fn restart(&mut self) {
        let begun = Instant::now();
        self.server.respawn(&[]);
        bed::until("the service runs again", || self.web.is_running()).await;
        self.slowest = self.slowest.max(begun.elapsed());
        assert!(self.server.ready_or_dead().await, "{}", self.server.log());
    }

    /// The run ends well, and the service runs when it has.
    async fn check(&self, id: i64) {
        let run = self.server.wait_for_run(id).await;
        assert_eq!(run["status"], "success", "{run}\n{}", self.server.log());
        bed::until("the service runs at the end", || self.web.is_running()).await;
    }

    async fn die_at(&mut self, point: &str) {
        self.server.respawn(&[("HOLDFAST_FAILPOINT", point)]);
        assert!(self.server.ready_or_dead().await, "{}", self.server.log());
        let id = self.request().await.expect("202");
        let died = self.server.ended(Duration::from_secs(60)).await;
        assert!(died, "nothing comes by {point}: {}", self.server.log());
        let stopped = ["hook.after_stop", "backup.before_put", "hook.before_start"];
        if stopped.contains(&point) {
            assert!(
                !self.web.is_running(),
                "it died at {point}, and the service stands still"
            );
        }
        self.restart().await;
        self.check(id).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_stop_and_start_the_service_runs_again() {
    let lanes = (0..LANES).map(|number| async move {
        let mut lane = Lane::new(number, &["sleep", "3600"]).await;
        for kill in 0..KILLS / LANES {
            lane.die_at(POINTS[kill % POINTS.len()]).await;
        }
        lane.slowest
    });
    let slowest = futures_util::future::join_all(lanes)
        .await
        .into_iter()
        .max();
    let slowest = slowest.unwrap();
    println!(
        "figure: hooks: killed {KILLS} times between stop and start, services left stopped 0, slowest {:.1} s after the restart",
        slowest.as_secs_f64()
    );
    assert!(slowest <= LIMIT, "{slowest:?}");
}

/// The engine goes on stopping it after the server died: a start in between would be taken for done,
/// and undone a moment later.
#[tokio::test(flavor = "multi_thread")]
async fn killed_while_the_engine_stops_the_service_it_runs_again() {
    let slow = [
        "sh",
        "-c",
        "trap 'echo asked; sleep 3; exit' TERM; while :; do sleep 0.1; done",
    ];
    let mut lane = Lane::new(9, &slow).await;
    let id = lane.request().await.expect("202");
    bed::until("it was asked to stop", || lane.web.log().contains("asked")).await;
    let before = started_at(&lane.web);
    lane.server.kill();
    let begun = Instant::now();
    lane.server.respawn(&[]);
    bed::until("it has ended and runs again", || {
        lane.web.is_running() && started_at(&lane.web) != before
    })
    .await;
    let again = begun.elapsed();
    assert!(lane.server.ready_or_dead().await, "{}", lane.server.log());
    lane.check(id).await;
    println!(
        "figure: hooks: killed in the middle of a slow stop, the service runs again {:.1} s after the restart",
        again.as_secs_f64()
    );
    assert!(again <= LIMIT, "{again:?}");
}
