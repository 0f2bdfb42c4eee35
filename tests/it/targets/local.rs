//! What only a disk can show: permissions, links, and no space.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use holdfast::{
    domain::{
        failure::Failure,
        manifest::{Compression, Fingerprint},
    },
    engine::pipeline::{self, Piped},
    strategy::{Sink, Validator},
    target::{Settings, Target, TargetError, kind},
};
use tokio_util::sync::CancellationToken;

use super::{Bed, key, names, put, read, sample};

pub(super) fn bed() -> Bed {
    let place = tempfile::tempdir().unwrap();
    let root = place.path().join("data/backups");
    let (planted, seen) = (root.clone(), root.clone());
    Bed {
        target: open(&root),
        plant_partial: Box::new(move || {
            fs::create_dir_all(planted.join("shop/1")).unwrap();
            fs::write(planted.join("shop/1/.dead.part"), "half").unwrap();
        }),
        partial: "shop/1/.dead.part",
        contents: Box::new(move || contents(&seen)),
        shows_partial: true,
        remote: false,
        _place: Some(place),
    }
}

fn open(root: &Path) -> Arc<dyn Target> {
    let place = super::place(root);
    kind("local")
        .unwrap()
        .open(&place, &Settings::default())
        .unwrap()
}

/// Every file below `root`, by its own walk. Also proves that no empty folder stays.
fn contents(root: &Path) -> Vec<(String, u64)> {
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries: Vec<_> = fs::read_dir(&folder).into_iter().flatten().collect();
        for entry in entries {
            // May vanish under a walk beside a put.
            let Ok(entry) = entry else { continue };
            let Ok(data) = entry.metadata() else { continue };
            if data.is_dir() {
                folders.push(entry.path());
            } else {
                let path = entry
                    .path()
                    .strip_prefix(root)
                    .unwrap()
                    .display()
                    .to_string();
                files.push((path, data.len()));
            }
        }
    }
    files.sort();
    files
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_for_the_owner_alone() {
    let bed = bed();
    put(&*bed.target, "shop/1/a", &sample(9)).await.unwrap();
    let file = PathBuf::from(bed.target.locate(&key("shop/1/a")));
    assert_eq!(mode(&file), 0o600);
    for folder in file.ancestors().skip(1).take(4) {
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
    }
    bed.target.delete(&key("shop/1/a")).await.unwrap();
    let root = file.ancestors().nth(3).unwrap();
    assert_eq!(fs::read_dir(root).unwrap().count(), 0, "empty folders stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_puts_leave_no_folder() {
    let bed = bed();
    let (feed, body) = super::fed();
    let name = key("shop/1/a");
    let mut put = bed.target.put(&name, body, None);
    feed.send(Ok(sample(10))).unwrap();
    while (bed.contents)().is_empty() {
        assert!(futures_util::poll!(&mut put).is_pending());
        tokio::task::yield_now().await;
    }
    drop(put);
    let root = PathBuf::from(bed.target.locate(&key("x")));
    assert_eq!(fs::read_dir(root.parent().unwrap()).unwrap().count(), 0);
}

/// A real `kill -9` in the middle of a put: only partial data stays, and the next start finds it,
/// because the kernel has let go of the dead writer's lock.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_left_is_swept() {
    // This test is its own child: started again with a place to write to.
    if let Some(root) = std::env::var_os(KILLED_ROOT) {
        return put_for_ever(Path::new(&root)).await;
    }
    let place = tempfile::tempdir().unwrap();
    let name = "targets::local::what_a_killed_process_left_is_swept";
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(KILLED_ROOT, place.path())
        .spawn();
    let mut child = Child(child.unwrap());
    while contents(place.path()).iter().all(|(_, size)| *size == 0) {
        assert!(child.0.try_wait().unwrap().is_none(), "it ended by itself");
        tokio::task::yield_now().await;
    }
    let target = open(place.path());
    assert!(
        target.sweep().await.unwrap().is_empty(),
        "taken from the living"
    );
    drop(child);
    assert_eq!(contents(place.path()).len(), 1);
    assert!(names(&*target, "").await.is_empty());
    assert_eq!(target.sweep().await.unwrap().len(), 1);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
}

/// Killed when dropped: a test that fails leaves no process either.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

const KILLED_ROOT: &str = "HOLDFAST_TEST_KILLED_ROOT";

/// What the child does until it is killed.
async fn put_for_ever(root: &Path) {
    let endless = stream::iter([Ok(sample(100_000))]).chain(stream::pending());
    let (target, name) = (open(root), key("shop/1/a"));
    target.put(&name, endless.boxed(), None).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn links_on_the_way_are_not_followed() {
    let place = tempfile::tempdir().unwrap();
    let (root, outside) = (place.path().join("backups"), place.path().join("outside"));
    fs::create_dir_all(root.join("real/1")).unwrap();
    fs::create_dir_all(outside.join("1")).unwrap();
    fs::write(outside.join("1/a"), "secret").unwrap();
    fs::write(outside.join("1/.x.part"), "not ours").unwrap();
    symlink(&outside, root.join("shop")).unwrap();
    symlink(outside.join("1"), root.join("real/1/deep")).unwrap();
    symlink(outside.join("1/a"), root.join("real/1/link")).unwrap();
    let before = contents(&outside);

    let target = open(&root);
    for name in [
        "shop/1/a",
        "shop/1/new",
        "shop/new",
        "real/1/deep/a",
        "real/1/deep/new",
        "real/1/link",
    ] {
        let refused = |error: &TargetError| matches!(error, TargetError::Refused { .. });
        assert!(
            refused(&put(&*target, name, &sample(9)).await.unwrap_err()),
            "put {name}"
        );
        assert!(
            refused(&target.stat(&key(name)).await.unwrap_err()),
            "stat {name}"
        );
        let got = target.get(&key(name), None).await.err().expect("refused");
        assert!(refused(&got), "get {name}");
    }
    for name in ["shop/1/a", "real/1/deep/a"] {
        assert!(target.delete(&key(name)).await.is_err(), "delete {name}");
    }
    assert!(target.list("shop/").await.is_err());
    assert!(names(&*target, "").await.is_empty());
    assert!(target.sweep().await.unwrap().is_empty());
    // The link itself may go; what it names may not.
    target.delete(&key("real/1/link")).await.unwrap();
    assert_eq!(contents(&outside), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn pipes_and_foreign_files_do_not_matter() {
    let bed = bed();
    put(&*bed.target, "shop/1/a", &sample(9)).await.unwrap();
    let folder = PathBuf::from(bed.target.locate(&key("shop/1")));
    for name in [".hidden", "with space", "-dash", "a.gz.part~"] {
        fs::write(folder.join(name), "foreign").unwrap();
    }
    run("mkfifo", &[folder.join("pipe").to_str().unwrap()]);
    assert_eq!(names(&*bed.target, "").await, ["shop/1/a"]);
    assert!(bed.target.get(&key("shop/1/pipe"), None).await.is_err());
    assert!(put(&*bed.target, "shop/1/pipe", &sample(9)).await.is_err());
    assert!(bed.target.sweep().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_at_once_and_nothing_is_left() {
    let disk = Disk::mount("size=64m");
    let target = open(&disk.root());
    let chunk = sample(1 << 20);
    let started = Instant::now();

    // Known before: not a byte is taken.
    let (_feed, waiting) = super::fed();
    let full = target.put(&key("shop/1/a"), waiting, Some(60 << 20)).await;
    assert!(matches!(full, Err(TargetError::Full { .. })), "{full:?}");

    // Found while writing, with a margin left for the others on that disk.
    let (least, place) = (Arc::new(AtomicU64::new(u64::MAX)), disk.0.path().to_owned());
    let seen = Arc::clone(&least);
    let endless = stream::repeat_with(move || {
        let space = rustix::fs::statvfs(&place).unwrap();
        seen.fetch_min(space.f_bavail * space.f_frsize, Relaxed);
        Ok(chunk.clone())
    });
    let full = target.put(&key("shop/1/a"), endless.boxed(), None).await;
    assert!(matches!(full, Err(TargetError::Full { .. })), "{full:?}");
    assert!(started.elapsed() < Duration::from_secs(30));
    let least = least.load(Relaxed);
    assert!(least > 20 << 20, "only {least} bytes were left to others");
    assert!(contents(&disk.root()).is_empty());

    // As soon as it fits, it goes.
    let bytes = sample(8 << 20);
    put(&*target, "shop/1/a", &bytes).await.unwrap();
    assert_eq!(read(&*target, "shop/1/a", None).await.unwrap(), bytes);
}

/// Through the whole pipeline: the words are the disk's, whoever notices first.
#[tokio::test(flavor = "multi_thread")]
async fn a_dump_onto_a_full_disk_says_so() {
    let disk = Disk::mount("size=40m");
    let target = open(&disk.root());
    let chunk = sample(1 << 20);
    for _ in 0..10 {
        let stop = CancellationToken::new();
        let (mut pipe, body) = pipeline::open(
            Compression::None,
            Box::new(Anything),
            Arc::default(),
            stop.clone(),
        );
        let dump = async {
            while pipe.write(chunk.clone()).await.is_ok() {}
            Err::<((), Piped), _>(Failure::temporary("the receiver stopped", ""))
        };
        let name = key("shop/1/a");
        let failed = pipeline::deliver(&*target, &name, body, None, &stop, dump).await;
        let failure = failed.unwrap_err();
        assert!(failure.message.contains("no space left"), "{failure:?}");
        assert!(!failure.is_temporary());
        assert!(contents(&disk.root()).is_empty());
    }
}

struct Anything;

impl Validator for Anything {
    fn feed(&mut self, _: &[u8]) {}

    fn finish(self: Box<Self>) -> Result<Fingerprint, String> {
        Ok(Fingerprint::default())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_really_full_is_too() {
    // No room for another file, though there are bytes; then not even bytes.
    for options in ["size=64m,nr_inodes=3", "size=1m"] {
        let disk = Disk::mount(options);
        let target = open(&disk.root());
        let full = put(&*target, "shop/1/a", &sample(9)).await;
        assert!(
            matches!(full, Err(TargetError::Full { .. })),
            "{options}: {full:?}"
        );
        let full = target.check().await;
        assert!(
            matches!(full, Err(TargetError::Full { .. }) | Ok(())),
            "{options}: {full:?}"
        );
        assert!(contents(&disk.root()).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_may_not_be_written_refuses() {
    let disk = Disk::mount("size=64m");
    let target = open(&disk.root());
    put(&*target, "shop/1/a", &sample(9)).await.unwrap();
    disk.remount("ro");
    for result in [
        put(&*target, "shop/1/b", &sample(9)).await.map(drop),
        target.delete(&key("shop/1/a")).await,
        target.check().await,
    ] {
        assert!(
            matches!(result, Err(TargetError::Refused { .. })),
            "{result:?}"
        );
    }
    assert_eq!(read(&*target, "shop/1/a", None).await.unwrap(), sample(9));
}

/// A small disk of its own. Tests that need one fail where they cannot mount it.
struct Disk(tempfile::TempDir);

impl Disk {
    fn mount(options: &str) -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        run(
            "mount",
            &["-t", "tmpfs", "-o", options, "tmpfs", disk.path()],
        );
        disk
    }

    fn remount(&self, option: &str) {
        run("mount", &["-o", &format!("remount,{option}"), self.path()]);
    }

    fn root(&self) -> PathBuf {
        self.0.path().join("backups")
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &[self.path()]);
    }
}

fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status().unwrap();
    assert!(status.success(), "{program} {args:?}: {status}");
}
