//! Images without tools, mounts of every kind, and what lies on none.

use std::process::Command;

use holdfast::strategy::StrategyError;

use super::{paths, volume};
use crate::{
    bed::{BUSYBOX, Bed, LABEL, SCRATCH_APP, SQLITE_APP, docker},
    workbench::{self, Notes},
};

/// Runs a script on the volumes of a container that has no shell.
fn beside(bed: &Bed, script: &str) -> String {
    let run = [
        "run",
        "--rm",
        "--label",
        LABEL,
        "--network",
        "none",
        "--volumes-from",
        &bed.name,
    ];
    docker(&[&run, &[BUSYBOX, "sh", "-c", script][..]].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_without_shell_and_tar_is_backed_up_and_restored() {
    let bed = Bed::run(SCRATCH_APP, &[], &[]);
    beside(
        &bed,
        "cd /data; mkdir -p own/er; echo 1 > own/er/one; ln own/er/one own/two; chown -R 7:8 own",
    );
    let digest =
        "cd /data; find own | sort; stat -c '%n %u:%g %a %h %s' own own/* own/er/*; cat own/two";
    let original = beside(&bed, digest);
    let site = workbench::site(&bed, paths(&["/data/own"])).await;
    let backup = workbench::back_up(volume(), &site).await.unwrap();
    assert!(backup.probe.tool.contains("BusyBox"), "{:?}", backup.probe);

    beside(&bed, "cd /data; rm own/two; echo late > own/late");
    let changed = beside(&bed, digest.replace("; cat own/two", "").as_str());
    let restored = backup.restore(&site, &Notes::default()).await.unwrap();
    assert_eq!(beside(&bed, digest), original);
    assert!(site.engine.container(&bed.name).await.unwrap().running);
    volume()
        .undo(&site, &restored.kept.unwrap(), &Notes::default())
        .await
        .unwrap();
    assert_eq!(
        beside(&bed, digest.replace("; cat own/two", "").as_str()),
        changed
    );

    // And by hand, with nothing but the host's tar and the engine.
    let mut manifest = backup.plan(7).manifest;
    manifest.source.container = bed.name.clone();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.tar");
    std::fs::write(&file, &backup.bytes).unwrap();
    beside(&bed, "rm -r /data/own");
    for line in volume().by_hand(&manifest, file.to_str().unwrap()) {
        let run = Command::new("sh").args(["-c", &line]).output().unwrap();
        assert!(run.status.success(), "{line}: {run:?}");
    }
    assert_eq!(
        beside(&bed, "cat /data/own/two; stat -c %u:%g /data/own/er"),
        "1\n7:8"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_devices_and_memory_are_left_out_with_a_word() {
    let options = ["--mount", "type=tmpfs,destination=/data/memory"];
    let bed = Bed::run(SQLITE_APP, &options, &["sleep", "3600"]);
    bed.sh(
        "cd /data; echo kept > kept; echo gone > memory/gone; mknod null c 1 3; ln null null2; \
         perl -e 'use Socket; socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un(\"/data/sock\")) or die'",
    );
    let site = workbench::site(&bed, paths(&[])).await;
    let backup = workbench::back_up(volume(), &site).await.unwrap();
    assert_eq!(backup.fingerprint.total(), 1, "{:?}", backup.fingerprint);
    let warnings = backup.dumped.warnings.join("\n");
    for word in ["sock", "null", "memory"] {
        assert!(warnings.contains(word), "{word}: {warnings}");
    }
    bed.sh("cd /data; rm kept");
    let restored = backup.restore(&site, &Notes::default()).await.unwrap();
    assert_eq!(bed.sh("cd /data; ls; cat kept"), "kept\nmemory\nkept");
    assert!(
        restored.warnings.join("\n").contains("/data/memory"),
        "{:?}",
        restored.warnings
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_restored_is_said_before_anything_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let of = |name: &str| folder.path().join(name).display().to_string();
    std::fs::create_dir(of("ro")).unwrap();
    std::fs::create_dir(of("rw")).unwrap();
    std::fs::write(of("ro/config"), "as it was").unwrap();
    std::fs::write(of("rw/data"), "original").unwrap();
    std::fs::write(of("one"), "one").unwrap();
    let binds = [
        format!("{}:/ro:ro", of("ro")),
        format!("{}:/rw", of("rw")),
        format!("{}:/etc/one", of("one")),
        "/var/run/docker.sock:/var/run/docker.sock".to_owned(),
    ];
    let options: Vec<&str> = binds.iter().flat_map(|bind| ["-v", bind]).collect();
    let bed = Bed::run(BUSYBOX, &options, &["sleep", "3600"]);
    let site = workbench::site(&bed, paths(&[])).await;
    let backup = workbench::back_up(volume(), &site).await.unwrap();
    let names: Vec<&String> = backup.fingerprint.counts.keys().collect();
    assert_eq!(names, ["/etc/one", "/ro", "/rw"]);
    assert!(
        backup
            .dumped
            .warnings
            .join("\n")
            .contains("/ro is mounted read-only")
    );

    std::fs::write(of("ro/config"), "changed").unwrap();
    std::fs::write(of("rw/data"), "changed").unwrap();
    let restored = backup.restore(&site, &Notes::default()).await.unwrap();
    assert_eq!(std::fs::read_to_string(of("rw/data")).unwrap(), "original");
    assert_eq!(std::fs::read_to_string(of("ro/config")).unwrap(), "changed");
    let warnings = restored.warnings.join("\n");
    assert!(
        warnings.contains("/ro is mounted read-only")
            && warnings.contains("/etc/one is mounted as a single file"),
        "{warnings}"
    );

    // Nothing but what is out of reach: refused, nothing stopped.
    bed.sh("mkdir -p /layer && echo x > /layer/x");
    for path in ["/ro", "/etc/one", "/layer"] {
        let site = workbench::site(&bed, paths(&[path])).await;
        let backup = workbench::back_up(volume(), &site).await.unwrap();
        let notes = Notes::default();
        let error = backup.restore(&site, &notes).await.unwrap_err();
        assert!(
            matches!(&error, StrategyError::Tool { message, .. } if message.contains(path)),
            "{path}: {error:?}"
        );
        assert!(notes.names().is_empty());
    }
}

/// Only GNU tar knows holes: another one would write something else.
#[tokio::test(flavor = "multi_thread")]
async fn holes_are_not_unpacked_by_a_tar_that_does_not_know_them() {
    let from = Bed::run(SQLITE_APP, &[], &["sleep", "3600"]);
    from.sh("cd /data; truncate -s 20M holes; echo end >> holes");
    let site = workbench::site(&from, paths(&["/data"])).await;
    let backup = workbench::back_up(volume(), &site).await.unwrap();
    assert!(backup.bytes.len() < 1_000_000, "stored without its holes");
    let to = Bed::run(BUSYBOX, &["-v", "/data"], &["sleep", "3600"]);
    to.sh("echo before > /data/before");
    let site = workbench::site(&to, paths(&["/data"])).await;
    let error = backup.restore(&site, &Notes::default()).await.unwrap_err();
    assert!(error.to_string().contains("GNU tar"), "{error}");
    assert_eq!(to.sh("ls -A /data; cat /data/before"), "before\nbefore");
}

/// Half of the files have moved out when one does not move: they come back, into a folder that is again
/// as it was itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_whose_files_do_not_move_keeps_its_owner_and_mode() {
    let bed = Bed::run(SQLITE_APP, &[], &["sleep", "3600"]);
    bed.sh("cd /data; echo 1 > one; echo 2 > two; chown 33:34 /data; chmod 2770 /data");
    let site = workbench::site(&bed, paths(&["/data"])).await;
    let backup = workbench::back_up(volume(), &site).await.unwrap();
    bed.sh("cd /data; echo later > one; echo 3 > stuck; chown 1:1 /data; chmod 711 /data");
    let look = "cd /data; stat -c '%n %u:%g %a' . *; cat *; ls -A";
    let before = bed.sh(look);

    let source = r#"{{range .Mounts}}{{if eq .Destination "/data"}}{{.Source}}{{end}}{{end}}"#;
    let stuck = format!("{}/stuck", docker(&["inspect", "-f", source, &bed.name]));
    let flag = |flag: &str| {
        let done = Command::new("chattr")
            .args([flag, &stuck])
            .output()
            .unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    flag("+i");
    let restored = backup.restore(&site, &Notes::default()).await;
    flag("-i");
    let error = restored.unwrap_err().to_string();
    assert!(error.contains("stuck"), "{error}");
    assert_eq!(bed.sh(look), before);
}
