//! Hostile names: as files, and as the paths of a config. None is executed, none is taken for an
//! option, all come back or are refused in words.

use std::process::Command;

use super::{paths, volume};
use crate::{
    bed::{BUSYBOX, Bed, SQLITE_APP},
    workbench::{self, Notes, Trouble},
};

const PIECES: &[&str] = &[
    "-rf",
    "--checkpoint=1",
    "--checkpoint-action=exec=sh x",
    "--to-command=sh",
    "-C",
    "--",
    "-",
    "$(touch owned)",
    "`touch owned`",
    ";touch owned",
    "|touch owned",
    "&touch owned",
    "a&&touch owned",
    "$HOME",
    "${IFS}",
    "'",
    "\"",
    "'\"'",
    "\\",
    "\\n",
    "*",
    "?",
    "[a-z]",
    "{a,b}",
    "~",
    "~root",
    "#",
    "!",
    "%s",
    "%n%n",
    " ",
    "  a  ",
    "a b",
    "a\tb",
    "…",
    "ünï",
    "日本語",
    "\u{202e}txt",
    "🦀",
    "...",
    ".hidden",
    "..a",
    "a..",
    "=x",
    "a=b",
    "@file",
    "+x",
    ",",
    ":",
    "a:b",
    "C:\\x",
    "<x",
    ">x",
    "(",
    ")",
    "^",
    "\u{7f}",
    "con",
    "nul.txt",
    "x;y",
    "'; DROP TABLE x; --",
    "|| true",
    "<script>",
    "a\u{301}",
    "\u{feff}",
];

fn hostile() -> Vec<String> {
    let long = ["n".repeat(255), "ü".repeat(127)];
    let plain = PIECES.iter().map(|piece| (*piece).to_owned());
    let twice = PIECES.iter().map(|piece| format!("{piece}{piece}x"));
    plain.chain(twice).chain(long).collect()
}

fn make(bed: &Bed, names: &[String]) {
    let script = "for n; do mkdir -- \"/data/$n\" && echo \"$n\" > \"/data/$n/$n\" || exit; done";
    let mut args = vec!["exec", &bed.name, "sh", "-c", script, "sh"];
    args.extend(names.iter().map(String::as_str));
    let made = Command::new("docker").args(args).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

const DIGEST: &str =
    "cd /data; find . -type d -name '.holdfast-*' -prune -o -type f -exec sha256sum {} + | sort";

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_come_back_and_are_never_executed() {
    let names = hostile();
    for (image, options) in [(SQLITE_APP, &[][..]), (BUSYBOX, &["-v", "/data"][..])] {
        let bed = Bed::run(image, options, &["sleep", "3600"]);
        make(&bed, &names);
        let original = bed.sh(DIGEST);
        assert_eq!(original.lines().count(), names.len());

        // Each as a path of the config, all at once.
        let all: Vec<String> = names.iter().map(|name| format!("/data/{name}")).collect();
        let refused = |path: &&String| volume().check(&paths(&[path.as_str()])).is_err();
        let (refused, usable): (Vec<&String>, Vec<&String>) = all.iter().partition(refused);
        assert!(
            refused.iter().all(|path| path.contains(char::is_control)),
            "{refused:?}"
        );
        let usable: Vec<&str> = usable.iter().map(|path| path.as_str()).collect();
        assert!(usable.len() >= 100);
        let site = workbench::site(&bed, paths(&usable)).await;
        let backup = workbench::back_up(volume(), &site).await.unwrap();
        assert_eq!(backup.fingerprint.total(), usable.len() as u64);
        bed.sh("for d in /data/* /data/.[!.]* /data/..?*; do echo changed > \"$d/later\"; done; rm -r /data/n*");
        backup.restore(&site, &Notes::default()).await.unwrap();
        let script = "find /data -name later -not -path '*/.holdfast-*'";
        assert_eq!(
            bed.sh(script).lines().count(),
            refused.len(),
            "later files stay only where nothing was backed up"
        );

        // And all of them in one path.
        bed.sh("find /data -name later -exec rm {} +");
        let site = workbench::site(&bed, paths(&["/data"])).await;
        let backup = workbench::back_up(volume(), &site).await.unwrap();
        bed.sh("find /data -mindepth 1 -maxdepth 1 -exec rm -r {} +");
        let kept = backup
            .restore(&site, &Notes::default())
            .await
            .unwrap()
            .kept
            .unwrap();
        assert_eq!(bed.sh(DIGEST), original);
        volume().forget(&site, &kept).await.unwrap();
        assert_eq!(
            bed.sh("ls -d /owned /data/owned /data/.holdfast-* /data/*/owned 2>/dev/null | wc -l"),
            "0"
        );
        println!(
            "figure: volume: {} hostile names as files and as paths in {image}: none executed",
            names.len()
        );
    }
}

/// Paths that cannot be: each is refused with the field named, before anything starts.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_paths_are_refused_by_name() {
    let bed = Bed::run(SQLITE_APP, &[], &["sleep", "3600"]);
    bed.sh("mkfifo /data/pipe && ln -s /etc /data/link && mkdir -p /data/real");
    for (path, says) in [
        ("/", "whole file system"),
        ("", "absolute"),
        ("data", "absolute"),
        ("/data/../etc", "absolute"),
        ("/proc/1", "/proc"),
        ("/data/.holdfast-1-a", "Holdfast"),
        ("/data/nothing", "not there"),
        ("/data/link", "symbolic link"),
        ("/data/link/passwd", "symbolic link"),
        ("/data/pipe", "no file"),
    ] {
        let site = workbench::site(&bed, paths(&[path])).await;
        let Err(Trouble::Strategy(error)) = workbench::back_up(volume(), &site).await else {
            panic!("{path} was taken");
        };
        let holdfast::strategy::StrategyError::Option {
            field,
            message,
            hint,
        } = &error
        else {
            panic!("{path}: {error:?}");
        };
        assert_eq!(*field, "paths");
        assert!(
            format!("{message} {hint}").contains(says),
            "{path}: {message} {hint}"
        );
    }
}
