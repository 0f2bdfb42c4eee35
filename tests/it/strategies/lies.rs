//! No green lie: whatever goes wrong with a backup, the run is not green, its message says what and
//! what to do, nothing is left behind, and the next run is green without anybody cleaning up.

use std::path::Path;

use holdfast::{
    domain::ids::ConfigId,
    readmodel::runs,
    strategy,
    target::memory::{Fault, Scope},
};
use tokio_util::sync::CancellationToken;

use super::{Kind, OwnFault, Scene};
use crate::{
    bed::{Bed, docker},
    house::{EngineFault, House},
};

/// One case: its name, and words of which the message must hold one.
pub struct Case<'a> {
    pub name: &'static str,
    pub says: &'a [&'static str],
}

fn count_files(folder: &Path) -> usize {
    let mut count = 0;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name() == "holdfast-log" {
            continue; // grows whatever becomes of a backup
        }
        count += if entry.path().is_dir() {
            count_files(&entry.path())
        } else {
            1
        };
    }
    count
}

pub struct Suite {
    pub house: House,
    pub bed: Bed,
    pub config: ConfigId,
    pub cases: usize,
}

impl Suite {
    pub async fn new<K: Kind>(test: &str) -> Self {
        let house = House::impatient(K::IS_DUMP).await;
        let scene = Scene::<K>::within(house, test).await;
        let suite = Self {
            house: scene.house,
            bed: scene.bed,
            config: scene.config,
            cases: 0,
        };
        suite.green().await;
        suite
    }

    /// Raw bytes of the dump.
    pub async fn green(&self) -> usize {
        let run = self.house.back_up(self.config).await;
        assert_eq!(run.status, "success", "{run:?}");
        usize::try_from(run.raw_bytes.unwrap()).unwrap()
    }

    /// The run that was made under the fault, then one without it.
    pub async fn judge(&mut self, case: Case<'_>, run: runs::Model, files_before: usize) {
        let Case { name, says } = case;
        assert_eq!(run.status, "failed", "{name}: a green lie: {run:?}");
        let message = run.error_msg.clone().unwrap_or_default();
        let hint = run.hint.clone().unwrap_or_default();
        let detail = run.error_detail.clone().unwrap_or_default();
        let all = format!("{message} {hint} {detail}").to_lowercase();
        let said = says.iter().any(|word| all.contains(&word.to_lowercase()));
        assert!(said, "{name}: {all}");
        assert!(!message.is_empty() && !hint.is_empty(), "{name}: {run:?}");
        assert!(!all.contains("secret"), "{name}: {all}");
        assert_eq!(self.files(), files_before, "{name}: left something behind");
        self.house.heal();
        self.green().await;
        self.cases += 1;
        println!("not green: {name}: {message}");
    }

    pub fn files(&self) -> usize {
        count_files(&self.house.data.path().join("backups"))
    }

    /// A backup under a fault that the house knows of.
    async fn faulty(&mut self, name: &'static str, says: &'static str, set: impl FnOnce(&House)) {
        let files = self.files();
        set(&self.house);
        let run = self.house.back_up(self.config).await;
        let says = &[says];
        self.judge(Case { name, says }, run, files).await;
    }

    async fn own(&mut self, fault: &OwnFault) {
        let OwnFault { name, says, .. } = fault;
        let files = self.files();
        (fault.make)(&self.bed);
        let run = self.house.back_up(self.config).await;
        (fault.mend)(&self.bed);
        self.judge(Case { name, says }, run, files).await;
    }

    /// Something is done to the service while its dump is on the way.
    async fn during<K: Kind>(&mut self, name: &'static str, words: &[&str]) {
        let files = self.files();
        let (reached, release) = (CancellationToken::new(), CancellationToken::new());
        *self.house.faults.engine.lock().unwrap() = Some(EngineFault::Hold {
            after: 100_000,
            reached: reached.clone(),
            release: release.clone(),
        });
        let id = self.house.request(self.config).await;
        reached.cancelled().await;
        docker(&[words, &[&self.bed.name]].concat());
        release.cancel();
        let run = self.house.run_over(id).await;
        self.bed.start_again();
        K::until_ready(&self.bed);
        self.without_service::<K>(Case { name, says: &[""] }, run, files)
            .await;
    }

    /// A run during which the service ended. Where files are what is backed up, it may be green: then it
    /// has to be whole.
    async fn without_service<K: Kind>(&mut self, case: Case<'_>, run: runs::Model, files: usize) {
        if !strategy::find(K::NAME).unwrap().backs_up_stopped() {
            return self.judge(case, run, files).await;
        }
        let name = case.name;
        self.house.heal();
        assert_eq!(run.status, "success", "{name}: {run:?}");
        let digest = K::digest(&self.bed);
        let restore = self.house.restore(run.run_id()).await;
        assert_eq!(restore.status, "success", "{name}: {restore:?}");
        assert_eq!(K::digest(&self.bed), digest, "{name}: not whole");
        println!("whole: {name}");
    }

    async fn stopped<K: Kind>(&mut self) {
        let files = self.files();
        docker(&["stop", &self.bed.name]);
        let run = self.house.back_up(self.config).await;
        self.bed.start_again();
        K::until_ready(&self.bed);
        let case = Case {
            name: "container stopped",
            says: &["not running"],
        };
        self.without_service::<K>(case, run, files).await;
    }

    pub fn report<K: Kind>(&self) {
        println!(
            "figure: promise 9: {}: {} ways to fail, 0 green, each next run green",
            K::NAME,
            self.cases
        );
    }
}

pub async fn lies<K: Kind>() {
    let mut suite = Suite::new::<K>("lies").await;
    let whole = suite.green().await;
    let needs_service = !strategy::find(K::NAME).unwrap().backs_up_stopped();
    // Or it could be whole before the service is killed under it.
    assert!(whole > 2_500_000 || !needs_service, "{whole} B");
    streams(&mut suite, whole - K::END).await;
    targets(&mut suite).await;
    for fault in K::faults() {
        suite.own(&fault).await;
    }
    suite
        .during::<K>("container killed mid-dump", &["kill"])
        .await;
    suite
        .during::<K>("container stopped mid-dump", &["stop", "-t", "1"])
        .await;
    suite.stopped::<K>().await;
    disk_full(&mut suite).await;
    suite.report::<K>();
    suite.house.close().await;
}

async fn streams(suite: &mut Suite, before_end: usize) {
    for (name, fault, says) in [
        ("cut stream", EngineFault::CutAfter(100_000), "cut"),
        (
            "stream ends early, exit 0",
            EngineFault::EndAfter(100_000),
            "not whole",
        ),
        (
            "stream ends just before its end, exit 0",
            EngineFault::EndAfter(before_end),
            "not whole",
        ),
        ("zero bytes, exit 0", EngineFault::Silence, ""),
        ("no exit status", EngineFault::NoExit, "exit status"),
        ("killed after its last byte", EngineFault::Killed, "killed"),
        ("silence for ever", EngineFault::Hang, "nothing came"),
    ] {
        let set = |house: &House| *house.faults.engine.lock().unwrap() = Some(fault);
        suite.faulty(name, says, set).await;
    }
}

async fn targets(suite: &mut Suite) {
    let artifacts = || Scope::Artifacts;
    for (name, fault, scope, says) in [
        ("target refuses", Fault::Refuse, Scope::All, "refused"),
        (
            "target full",
            Fault::FullAfter(200_000),
            Scope::All,
            "space",
        ),
        (
            "target dies mid-upload",
            Fault::FailAfter(200_000),
            artifacts(),
            "",
        ),
        (
            "target loses the end silently",
            Fault::LoseAfter(200_000),
            artifacts(),
            "",
        ),
        (
            "target flips a bit silently",
            Fault::Corrupt(150_000),
            artifacts(),
            "sha-256",
        ),
        (
            "a bit flips on the way",
            Fault::CorruptOnWay(150_000),
            artifacts(),
            "sha-256",
        ),
        (
            "reading back gives a flipped bit",
            Fault::CorruptRead(150_000),
            artifacts(),
            "",
        ),
        (
            "reading back breaks off",
            Fault::FailReadAfter(150_000),
            artifacts(),
            "",
        ),
        (
            "the manifest cannot be written",
            Fault::Refuse,
            Scope::Manifests,
            "refused",
        ),
    ] {
        let set = |house: &House| *house.faults.target.lock().unwrap() = Some((fault, scope));
        suite.faulty(name, says, set).await;
    }
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
    // Lazily: what the run left may still be on its way out of it.
    let umount = std::process::Command::new("umount")
        .arg("--lazy")
        .arg(&folder)
        .status();
    assert!(umount.unwrap().success());
    let case = Case {
        name: "disk full at the target",
        says: &["space"],
    };
    suite.judge(case, run, files).await;
}
