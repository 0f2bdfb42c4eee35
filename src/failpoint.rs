//! Named places where a test kills the process, as a power cut would: `HOLDFAST_FAILPOINT=name`
//! ends it with SIGKILL when it comes by. Compiled into debug builds only; a release build holds
//! nothing of it.

/// Every place there is, in the order a backup and then a restore come by.
pub const ALL: &[&str] = &[
    "log.before_commit",
    "log.after_commit",
    "dispatch.after_enqueue",
    "backup.after_start",
    "hook.before_stop",
    "hook.after_stop",
    "backup.before_put",
    "hook.before_start",
    "hook.after_start",
    "local.before_rename",
    "local.after_rename",
    "backup.after_put",
    "backup.before_manifest",
    "backup.after_manifest",
    "backup.after_success",
    "ship.after_put",
    "prune.after_expire",
    "prune.after_manifest",
    "prune.after_delete",
    "restore.after_start",
    "restore.step.stage",
    "restore.step.load",
    "restore.step.check",
    "restore.step.close",
    "restore.step.swap",
    "restore.before_success",
    "restore.after_success",
];

/// Those of commands that work without a server.
pub const OFFLINE: &[&str] = &[
    "rotate.after_key",
    "rotate.after_commit",
    "rotate.after_rename",
];

/// Kills the process when this is the place that the environment names.
#[cfg(debug_assertions)]
pub fn hit(name: &str) {
    use std::sync::OnceLock;
    static WANTED: OnceLock<Option<String>> = OnceLock::new();
    let wanted = WANTED.get_or_init(|| std::env::var("HOLDFAST_FAILPOINT").ok());
    if wanted.as_deref() == Some(name) {
        let this = rustix::process::getpid();
        let _ = rustix::process::kill_process(this, rustix::process::Signal::KILL);
        // The signal is on its way; nothing more may happen.
        loop {
            std::thread::park();
        }
    }
}

#[cfg(not(debug_assertions))]
pub fn hit(_name: &str) {}
