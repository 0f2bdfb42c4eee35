//! No green lie: whatever goes wrong with a backup, the run is not green, its message says what and
//! what to do, nothing is left behind, and the next run is green without anybody cleaning up.

use std::{collections::BTreeMap, path::Path, process::Stdio};

use holdfast::{
    domain::{ids::ConfigId, secret::Secret},
    readmodel::runs,
    target::memory::{Fault, Scope},
};

use crate::{
    bed::{Bed, docker},
    house::{EngineFault, House, postgres, psql},
};

/// One case: its name, and a word that the message must hold.
struct Case {
    name: &'static str,
    says: &'static str,
}

fn count_files(folder: &Path) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        count += if entry.path().is_dir() {
            count_files(&entry.path())
        } else {
            1
        };
    }
    count
}

struct Suite {
    house: House,
    bed: Bed,
    config: ConfigId,
    cases: usize,
}

impl Suite {
    async fn new() -> Self {
        let project = format!("lies-{}", std::process::id());
        let bed = postgres(crate::bed::POSTGRES, &project, &[]);
        psql(
            &bed,
            "shop",
            "CREATE TABLE notes AS SELECT i, repeat(md5(i::text), 20) t FROM generate_series(1, 30000) i",
        );
        let house = House::new().await;
        house.app("shop", &project).await;
        let config = house.config("shop", |_| {}).await;
        let mut suite = Self {
            house,
            bed,
            config,
            cases: 0,
        };
        suite.green().await;
        suite
    }

    /// Raw bytes of the dump.
    async fn green(&mut self) -> usize {
        let run = self.house.back_up(self.config).await;
        assert_eq!(run.status, "success", "{run:?}");
        usize::try_from(run.raw_bytes.unwrap()).unwrap()
    }

    /// The run that was made under the fault, then one without it.
    async fn judge(&mut self, case: Case, run: runs::Model, files_before: usize) {
        let Case { name, says } = case;
        assert_eq!(run.status, "failed", "{name}: a green lie: {run:?}");
        let message = run.error_msg.clone().unwrap_or_default();
        let hint = run.hint.clone().unwrap_or_default();
        let detail = run.error_detail.clone().unwrap_or_default();
        let all = format!("{message} {hint} {detail}").to_lowercase();
        assert!(all.contains(&says.to_lowercase()), "{name}: {all}");
        assert!(!message.is_empty() && !hint.is_empty(), "{name}: {run:?}");
        assert!(!all.contains("secret"), "{name}: {all}");
        let left = count_files(&self.house.data.path().join("backups"));
        assert_eq!(left, files_before, "{name}: left something behind");
        self.house.heal();
        self.green().await;
        self.cases += 1;
        println!("not green: {name}: {message}");
    }

    fn files(&self) -> usize {
        count_files(&self.house.data.path().join("backups"))
    }

    async fn engine(&mut self, name: &'static str, fault: EngineFault, says: &'static str) {
        let files = self.files();
        *self.house.faults.engine.lock().unwrap() = Some(fault);
        let run = self.house.back_up(self.config).await;
        self.judge(Case { name, says }, run, files).await;
    }

    async fn target(&mut self, name: &'static str, fault: Fault, scope: Scope, says: &'static str) {
        let files = self.files();
        *self.house.faults.target.lock().unwrap() = Some((fault, scope));
        let run = self.house.back_up(self.config).await;
        self.judge(Case { name, says }, run, files).await;
    }

    /// A fault that is made with SQL, and mended with SQL.
    async fn sql(&mut self, name: &'static str, make: &str, mend: &str, says: &'static str) {
        let files = self.files();
        psql(&self.bed, "postgres", make);
        let run = self.house.back_up(self.config).await;
        psql(&self.bed, "postgres", mend);
        self.judge(Case { name, says }, run, files).await;
    }

    /// Something is done to the container while the dump runs.
    async fn during(&mut self, name: &'static str, words: &[&str], says: &'static str) {
        let files = self.files();
        let mut holder = self.lock_table();
        let id = self.house.request(self.config).await;
        self.until_seen(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LOCK TABLE%ACCESS SHARE%'",
        );
        docker(&[words, &[&self.bed.name]].concat());
        let run = self.house.run_over(id).await;
        let _ = holder.wait();
        self.bed.start_again();
        crate::bed::until_postgres(&self.bed);
        self.judge(Case { name, says }, run, files).await;
    }

    /// Holds the dump in its middle, for as long as it takes to hit it.
    fn lock_table(&self) -> std::process::Child {
        let lock = "BEGIN; LOCK TABLE notes IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60)";
        let holder = std::process::Command::new("docker")
            .args([
                "exec",
                &self.bed.name,
                "psql",
                "-U",
                "postgres",
                "-d",
                "shop",
                "-c",
                lock,
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.until_seen("SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'");
        holder
    }

    fn until_seen(&self, query: &str) {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while psql(&self.bed, "postgres", query) == "0" {
            assert!(std::time::Instant::now() < deadline, "never seen: {query}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_09_no_failure_of_a_postgres_backup_ends_green() {
    let mut suite = Suite::new().await;

    suite
        .engine("cut stream", EngineFault::CutAfter(100_000), "cut")
        .await;
    suite
        .engine(
            "stream ends early, exit 0",
            EngineFault::EndAfter(100_000),
            "not whole",
        )
        .await;
    let before_end_mark = suite.green().await - 60;
    suite
        .engine(
            "stream ends before the end mark, exit 0",
            EngineFault::EndAfter(before_end_mark),
            "not whole",
        )
        .await;
    suite
        .engine("zero bytes, exit 0", EngineFault::Silence, "")
        .await;
    suite
        .engine("no exit status", EngineFault::NoExit, "exit status")
        .await;
    suite
        .engine("killed after its last byte", EngineFault::Killed, "killed")
        .await;
    suite
        .engine("silence for ever", EngineFault::Hang, "nothing came")
        .await;

    suite
        .target("target refuses", Fault::Refuse, Scope::All, "refused")
        .await;
    suite
        .target(
            "target full",
            Fault::FullAfter(200_000),
            Scope::All,
            "space",
        )
        .await;
    suite
        .target(
            "target dies mid-upload",
            Fault::FailAfter(200_000),
            Scope::Artifacts,
            "",
        )
        .await;
    suite
        .target(
            "target loses the end silently",
            Fault::LoseAfter(200_000),
            Scope::Artifacts,
            "",
        )
        .await;
    suite
        .target(
            "target flips a bit silently",
            Fault::Corrupt(150_000),
            Scope::Artifacts,
            "sha-256",
        )
        .await;
    suite
        .target(
            "a bit flips on the way",
            Fault::CorruptOnWay(150_000),
            Scope::Artifacts,
            "sha-256",
        )
        .await;
    suite
        .target(
            "reading back gives a flipped bit",
            Fault::CorruptRead(150_000),
            Scope::Artifacts,
            "",
        )
        .await;
    suite
        .target(
            "reading back breaks off",
            Fault::FailReadAfter(150_000),
            Scope::Artifacts,
            "",
        )
        .await;
    suite
        .target(
            "the manifest cannot be written",
            Fault::Refuse,
            Scope::Manifests,
            "refused",
        )
        .await;

    let rename = "ALTER DATABASE shop RENAME TO shop_gone";
    let back = "ALTER DATABASE shop_gone RENAME TO shop";
    suite.sql("database missing", rename, back, "shop").await;
    suite
        .sql(
            "no connections left",
            "ALTER DATABASE shop ALLOW_CONNECTIONS false",
            "ALTER DATABASE shop ALLOW_CONNECTIONS true",
            "connection",
        )
        .await;

    suite
        .during("container killed mid-dump", &["kill"], "")
        .await;
    suite
        .during("container stopped mid-dump", &["stop", "-t", "5"], "")
        .await;

    container_stopped(&mut suite).await;
    dump_killed(&mut suite).await;
    wrong_password(&mut suite).await;
    tool_missing().await;
    disk_full(&mut suite).await;

    println!(
        "figure: promise 9: postgres: {} ways to fail, 0 green, each next run green",
        suite.cases + 1
    );
    assert!(suite.cases >= 22);
    suite.house.close().await;
}

async fn container_stopped(suite: &mut Suite) {
    let files = suite.files();
    docker(&["stop", &suite.bed.name]);
    let run = suite.house.back_up(suite.config).await;
    suite.bed.start_again();
    crate::bed::until_postgres(&suite.bed);
    let case = Case {
        name: "container stopped",
        says: "not running",
    };
    suite.judge(case, run, files).await;
}

/// The real pg_dump, killed each time it is tried.
async fn dump_killed(suite: &mut Suite) {
    let files = suite.files();
    let script = "while [ ! -e /tmp/enough ]; do for p in /proc/[0-9]*; do \
                  read -r name 2>/dev/null < $p/comm; \
                  [ \"$name\" = pg_dump ] && kill -9 ${p#/proc/}; done; done; exit 0";
    let mut killer = std::process::Command::new("docker")
        .args(["exec", &suite.bed.name, "bash", "-c", script])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let run = suite.house.back_up(suite.config).await;
    suite.bed.sh("touch /tmp/enough");
    let _ = killer.wait();
    let case = Case {
        name: "pg_dump killed",
        says: "killed",
    };
    suite.judge(case, run, files).await;
}

/// The password of the config is right when it is stored, and wrong later.
async fn wrong_password(suite: &mut Suite) {
    let credentials = BTreeMap::from([("password".to_owned(), Secret::from("secret"))]);
    let good = suite.config;
    suite.config = suite
        .house
        .config("shop", |input| input.credentials = Some(credentials))
        .await;
    suite.green().await;
    suite
        .sql(
            "wrong password",
            "ALTER ROLE postgres PASSWORD 'changed'",
            "ALTER ROLE postgres PASSWORD 'secret'",
            "password",
        )
        .await;
    suite.config = good;
}

async fn tool_missing() {
    let project = format!("lies-nodump-{}", std::process::id());
    let bed = postgres("holdfast-test/postgres:15-nodump", &project, &[]);
    let house = House::new().await;
    house.app("bare", &project).await;
    let input = holdfast::app::ConfigInput {
        service: Some("db".into()),
        strategy: Some("postgres".into()),
        ..holdfast::app::ConfigInput::default()
    };
    let refused = house
        .holdfast
        .create_config(&house.caller, "bare", input)
        .await
        .unwrap_err();
    let holdfast::app::AppError::Invalid(fields) = refused else {
        panic!("{refused}");
    };
    assert!(fields.0["service"].contains("pg_dump"), "{fields:?}");
    println!("not green: tool missing: {}", fields.0["service"]);
    drop(bed);
    house.close().await;
}

/// A real disk that is really full.
async fn disk_full(suite: &mut Suite) {
    let folder = suite.house.data.path().join("backups/shop");
    let files = suite.files();
    let mount = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=300k", "tmpfs"])
        .arg(&folder)
        .status()
        .unwrap();
    assert!(mount.success(), "a small disk cannot be mounted");
    let run = suite.house.back_up(suite.config).await;
    assert_eq!(count_files(&folder), 0, "left on the full disk");
    let umount = std::process::Command::new("umount").arg(&folder).status();
    assert!(umount.unwrap().success());
    let case = Case {
        name: "disk full at the target",
        says: "space",
    };
    suite.judge(case, run, files).await;
}
