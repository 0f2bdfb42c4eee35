//! Exchanges in a folder of the test's own, by the real scripts and this machine's shell, over an engine
//! that does as it is told.

use std::{
    fs, os::unix::fs::PermissionsExt, path::PathBuf, process::Command, sync::Arc, time::Duration,
};

use async_trait::async_trait;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    docker::{
        Container, Engine, Mount,
        fake::{FakeEngine, Script},
    },
    strategy::{JournalClosed, Options, Settled},
};

/// A service with one volume.
struct Scene {
    root: TempDir,
    engine: Arc<FakeEngine>,
    site: Site,
}

impl Scene {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["data", "bin"] {
            fs::create_dir(root.path().join(folder)).unwrap();
        }
        let engine = FakeEngine::with("app");
        let container = Container {
            id: "app-id".into(),
            name: "app".into(),
            running: true,
            mounts: vec![Mount {
                kind: "volume".into(),
                source: "v".into(),
                destination: root.path().join("data").display().to_string(),
                read_only: false,
            }],
            ..Container::default()
        };
        engine.add(container.clone());
        let bin = root.path().join("bin");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        engine.on("sh", move |call| {
            let mut program = Command::new(&call.argv[0]);
            let done = program.args(&call.argv[1..]).env("PATH", &path).output();
            let done = done.unwrap();
            Script::new()
                .stdout(done.stdout)
                .stderr(done.stderr)
                .exit(done.status.code().unwrap().into())
        });
        let site = Site {
            engine: engine.clone(),
            container,
            options: Options::default(),
            cancel: CancellationToken::new(),
            stall: Duration::from_secs(10),
        };
        let scene = Self { root, engine, site };
        // No test waits for the disks of this machine.
        scene.replace("sync", "exit 0");
        scene
    }

    /// From now on a program of the helper does this in place of its work.
    fn replace(&self, program: &str, script: &str) {
        let file = self.root.path().join("bin").join(program);
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    fn folder(&self) -> String {
        self.data().display().to_string()
    }

    fn write(&self, files: &[(&str, &str)]) {
        for (name, content) in files {
            let file = self.data().join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
    }

    /// Name and content of all files, ours too when they lie in `below`.
    fn files(&self, below: &str) -> Vec<(String, String)> {
        let root = self.data().join(below);
        let mut found = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                let name = path.strip_prefix(&root).unwrap().display().to_string();
                if path.is_dir() && !name.starts_with(HIDDEN) {
                    folders.push(path);
                } else if path.is_file() {
                    found.push((name, fs::read_to_string(&path).unwrap()));
                }
            }
        }
        found.sort();
        found
    }

    fn has(&self, files: &[(&str, &str)]) {
        assert_eq!(self.files(""), owned(files));
    }

    /// A swap of these units; what comes in lies ready.
    fn swap(&self, units: Vec<Unit>, purpose: Purpose) -> Swap {
        Swap {
            restore: 7,
            subject: "the files".into(),
            folder: FOLDER.into(),
            parts: vec![Part {
                mount: self.folder(),
                units,
            }],
            incoming: Side::New,
            stops: true,
            ran: true,
            purpose,
        }
    }

    fn all(&self) -> Vec<Unit> {
        vec![Unit {
            folder: self.folder(),
            only: None,
            stays: Vec::new(),
        }]
    }

    /// The files in place, and those that a restore has prepared.
    fn prepared(&self, before: &[(&str, &str)], after: &[(&str, &str)]) {
        self.write(before);
        for (name, content) in after {
            let name = format!("{FOLDER}/new{}/{name}", self.folder());
            self.write(&[(&name, content)]);
        }
    }

    async fn settle(&self, swap: &Swap) -> Result<Settled, StrategyError> {
        swap.settle(&self.site, SWAP).await
    }

    async fn runs(&self) -> bool {
        self.engine.container("app").await.unwrap().running
    }

    fn ours(&self) -> Vec<String> {
        let entries = fs::read_dir(self.data()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(HIDDEN)).collect()
    }
}

const FOLDER: &str = ".holdfast-7-ab";

fn owned(files: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |(name, content): &(&str, &str)| ((*name).to_owned(), (*content).to_owned());
    files.iter().map(own).collect()
}

struct Blank;

#[async_trait]
impl Journal for Blank {
    async fn record(&self, _step: Step) -> Result<(), JournalClosed> {
        Ok(())
    }

    fn progress(&self, _bytes: u64) {}
}

fn does_not_run() -> DockerError {
    DockerError::NotRunning("app".into())
}

const BEFORE: &[(&str, &str)] = &[("config", "before"), ("only/before", "x")];
const AFTER: &[(&str, &str)] = &[("config", "restored"), ("only/restored", "x")];

#[tokio::test]
async fn a_restore_that_does_not_let_the_service_start_is_settled_as_before() {
    let scene = Scene::new();
    scene.prepared(BEFORE, AFTER);
    let swap = scene.swap(scene.all(), Purpose::Restore);
    swap.turn(&scene.site).await.unwrap();
    scene.has(AFTER);
    scene.engine.refuse("start", does_not_run());
    for _ in 0..2 {
        assert_eq!(scene.settle(&swap).await.unwrap(), Settled::AsBefore);
        scene.has(BEFORE);
        assert!(scene.runs().await);
        assert!(scene.ours().is_empty(), "{:?}", scene.ours());
    }
}

/// A restore that went well: what it kept.
async fn restored(scene: &Scene) -> Kept {
    scene.prepared(BEFORE, AFTER);
    let swap = scene.swap(scene.all(), Purpose::Restore);
    swap.turn(&scene.site).await.unwrap();
    swap.kept(&scene.site).await
}

#[tokio::test]
async fn an_undo_that_does_not_let_the_service_start_is_settled_as_before() {
    let scene = Scene::new();
    let kept = restored(&scene).await;
    let half_undone = Swap::deserialize(&kept.data).unwrap();
    half_undone.turn(&scene.site).await.unwrap();
    scene.has(BEFORE);
    scene.engine.refuse("start", does_not_run());
    for _ in 0..2 {
        assert_eq!(scene.settle(&half_undone).await.unwrap(), Settled::AsBefore);
        scene.has(AFTER);
        assert!(scene.runs().await);
    }
    // What was kept for the undo still is.
    undo(&scene.site, &kept, &Blank).await.unwrap();
    scene.has(BEFORE);
}

#[tokio::test]
async fn an_undo_to_files_that_do_not_let_the_service_start_is_taken_back() {
    let scene = Scene::new();
    let kept = restored(&scene).await;
    scene.engine.refuse("start", does_not_run());
    let error = undo(&scene.site, &kept, &Blank).await.unwrap_err();
    assert!(
        matches!(&error, StrategyError::Tool { message, .. } if message.contains("does not start")),
        "{error:?}"
    );
    scene.has(AFTER);
    assert!(scene.runs().await);
    undo(&scene.site, &kept, &Blank).await.unwrap();
    scene.has(BEFORE);
}

/// Neither with the restored files nor with those from before: it ends, and says where all lies.
#[tokio::test]
async fn a_service_that_does_not_start_any_more_needs_attention() {
    for purpose in [Purpose::Restore, Purpose::TakeBack] {
        let scene = Scene::new();
        scene.prepared(BEFORE, AFTER);
        let mut swap = scene.swap(scene.all(), Purpose::Restore);
        swap.turn(&scene.site).await.unwrap();
        if purpose == Purpose::Restore {
            scene.engine.refuse("start", does_not_run());
        } else {
            swap = swap.reversed(purpose);
        }
        scene.engine.refuse("start", does_not_run());
        let error = scene.settle(&swap).await.unwrap_err();
        assert!(
            matches!(&error, StrategyError::NeedsAttention { .. }),
            "{error:?}"
        );
        scene.has(BEFORE);
        assert!(scene.ours().is_empty());
    }
}
