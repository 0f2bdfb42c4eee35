//! Files: several, of one name, in hostile places; what lies beside them; and what is no whole database.

use std::process::Command;

use super::{paths, sqlite};
use crate::{
    bed::{Bed, SQLITE_APP},
    workbench::{self, Notes, judge},
};

fn make(bed: &Bed, path: &str, content: &str) {
    let script =
        "mkdir -p \"${1%/*}\" && sqlite3 \"$1\" 'CREATE TABLE t(x)' \"INSERT INTO t VALUES('$2')\"";
    let words = ["exec", &bed.name, "sh", "-c", script, "sh", path, content];
    let made = Command::new("docker").args(words).output().unwrap();
    assert!(made.status.success(), "{path}: {made:?}");
}

fn content(bed: &Bed, path: &str) -> String {
    let words = ["exec", &bed.name, "sqlite3", path, "SELECT x FROM t"];
    let said = Command::new("docker").args(words).output().unwrap();
    String::from_utf8_lossy(&said.stdout).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_files_of_one_name_come_back_each_in_its_place() {
    let bed = Bed::run(SQLITE_APP, &["-v", "/srv"], &["sleep", "3600"]);
    let both = ["/data/app.db", "/srv/deep/app.db"];
    for path in both {
        make(&bed, path, path);
    }
    let options = paths(&both);
    assert_eq!(sqlite().extension(&options), "tar");
    assert_eq!(sqlite().extension(&paths(&both[..1])), "db");
    let site = workbench::site(&bed, options).await;
    let backup = workbench::back_up(sqlite(), &site).await.unwrap();
    let names: Vec<&str> = backup
        .fingerprint
        .counts
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(names, both);

    let ruin = "sqlite3 /data/app.db \"UPDATE t SET x = 'changed'\"; rm -r /srv/deep";
    bed.sh(ruin);
    let restored = backup.restore(&site, &Notes::default()).await.unwrap();
    for path in both {
        assert_eq!(content(&bed, path), path);
    }
    sqlite()
        .undo(&site, &restored.kept.unwrap(), &Notes::default())
        .await
        .unwrap();
    assert_eq!(content(&bed, "/data/app.db"), "changed");
    assert_eq!(bed.sh("ls -A /srv | grep -v holdfast || true"), "");

    // By hand, with what any host has.
    let mut manifest = backup.plan(7).manifest;
    manifest.source.container = bed.name.clone();
    manifest.source.image = SQLITE_APP.to_owned();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("both.tar");
    std::fs::write(&file, &backup.bytes).unwrap();
    bed.sh("mkdir /srv/deep");
    for line in sqlite().by_hand(&manifest, file.to_str().unwrap()) {
        let run = Command::new("sh").args(["-c", &line]).output().unwrap();
        assert!(run.status.success(), "{line}: {run:?}");
    }
    for path in both {
        assert_eq!(content(&bed, path), path);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_beside_goes_aside_with_it_and_the_owner_stays() {
    let bed = Bed::run(SQLITE_APP, &[], &["sleep", "3600"]);
    make(&bed, "/data/app.db", "original");
    bed.sh("chown 1001:1002 /data/app.db; chmod 0640 /data/app.db");
    let site = workbench::site(&bed, paths(&["/data/app.db"])).await;
    let backup = workbench::back_up(sqlite(), &site).await.unwrap();

    bed.sh(
        "cd /data; sqlite3 app.db \"UPDATE t SET x = 'changed'\"; \
         for end in wal shm journal; do echo \"stale $end\" > app.db-$end; done; echo other > app.db-other",
    );
    let restored = backup.restore(&site, &Notes::default()).await.unwrap();
    assert_eq!(bed.sh("cd /data; ls -d app*"), "app.db\napp.db-other");
    assert_eq!(bed.sh("stat -c '%u:%g %a' /data/app.db"), "1001:1002 640");
    assert_eq!(content(&bed, "/data/app.db"), "original");

    let kept = sqlite()
        .undo(&site, &restored.kept.unwrap(), &Notes::default())
        .await
        .unwrap();
    assert_eq!(
        bed.sh("cd /data; cat app.db-wal app.db-shm app.db-journal"),
        "stale wal\nstale shm\nstale journal"
    );
    sqlite().forget(&site, &kept).await.unwrap();
    bed.sh("rm /data/app.db-wal /data/app.db-shm /data/app.db-journal");
    assert_eq!(content(&bed, "/data/app.db"), "changed");
    assert_eq!(bed.sh("ls -A /data"), "app.db\napp.db-other");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_paths_are_names_and_nothing_else() {
    let bed = Bed::run(SQLITE_APP, &[], &["sleep", "3600"]);
    let pieces = [
        "-rf",
        "--help",
        ".schema",
        ".quit",
        "'",
        "\"",
        "'\"",
        "\\",
        "`id`",
        "$(touch owned)",
        ";touch owned",
        "|x",
        "&x",
        "a b",
        "*",
        "?",
        "[x]",
        "%s",
        "#",
        "!",
        "~",
        "{a,b}",
        "ü",
        "日本",
        "🦀",
        "file:x?mode=memory",
        ":memory:",
        "x?y=z",
        "a;.quit",
        "'; DROP TABLE t; --",
        "$HOME",
        "@x",
        "=",
        "(",
        ")",
        "<x",
        ">x",
        "...",
        "..a",
        ",",
        "^",
        "main",
        "\u{202e}x",
        "%2e%2e",
        "x.db-wal",
    ];
    let all: Vec<String> = pieces
        .iter()
        .flat_map(|piece| {
            [
                format!("/data/{piece}.db"),
                format!("/data/d/{piece}"),
                format!("/data/{piece}.d/{piece}.db"),
            ]
        })
        .collect();
    for path in &all {
        make(&bed, path, "x");
    }
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let site = workbench::site(&bed, paths(&all)).await;
    let backup = workbench::back_up(sqlite(), &site).await.unwrap();
    assert_eq!(backup.fingerprint.counts.len(), all.len());
    bed.sh("find /data -type f -delete");
    backup.restore(&site, &Notes::default()).await.unwrap();
    for path in &all {
        assert_eq!(content(&bed, path), "x", "{path}");
    }
    assert_eq!(
        bed.sh("find / -xdev -name owned; find /data -name owned"),
        ""
    );
    println!(
        "figure: sqlite: {} hostile paths, none executed, all back",
        all.len()
    );
}

#[test]
fn what_is_not_a_whole_database_is_refused() {
    let mut good = vec![0; 4096 * 3];
    good[..16].copy_from_slice(b"SQLite format 3\0");
    good[16..18].copy_from_slice(&4096_u16.to_be_bytes());
    good[28..32].copy_from_slice(&3_u32.to_be_bytes());
    let print = judge(sqlite(), &good).unwrap();
    assert_eq!((print.total(), &*print.unit), (3, "pages"));
    for length in [0, 1, 15, 16, 99, 100, 4095, 4096, 8192, good.len() - 1] {
        assert!(judge(sqlite(), &good[..length]).is_err(), "{length}");
    }
    let longer = [good.clone(), vec![0; 4096]].concat();
    assert!(judge(sqlite(), &longer).is_err());
    for (at, byte) in [(0, b'x'), (17, 1), (16, 0), (31, 4)] {
        let mut bad = good.clone();
        bad[at] = byte;
        assert!(judge(sqlite(), &bad).is_err(), "{at}");
    }
}
