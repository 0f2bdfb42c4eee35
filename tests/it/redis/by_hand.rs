//! The commands that a manifest gives, for servers with an append-only log and odd names.

use std::process::Command;

use super::place::{Place, REDIS_7, VALKEY, redis};
use crate::workbench::back_up;

#[tokio::test(flavor = "multi_thread")]
async fn the_manifests_own_commands_make_the_log_from_the_dump() {
    let folder = tempfile::tempdir().unwrap();
    #[rustfmt::skip]
    let kinds: [(_, &[&str], _); 2] = [
        (REDIS_7, &["--appendonly", "yes", "--appenddirname", "a 'log", "--requirepass", "p"], "it's $(id) odd.rdb"),
        (VALKEY, &["--appendonly", "yes", "--save", ""], "-dash.rdb"),
    ];
    for (image, server, file) in kinds {
        let place = Place::start(image, &[], server);
        place.fill(1000);
        let original = place.digest();
        let backup = back_up(redis(), &place.site().await).await.unwrap();
        std::fs::write(folder.path().join(file), &backup.bytes).unwrap();
        let mut manifest = backup.plan(1).manifest;
        manifest.source.container.clone_from(&place.bed.name);
        image.clone_into(&mut manifest.source.image);
        place.change();
        for line in redis().by_hand(&manifest, file) {
            let run = Command::new("sh")
                .args(["-c", &line])
                .current_dir(folder.path())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&run.stderr);
            assert!(run.status.success(), "{line}: {said}");
        }
        place.ready();
        assert_eq!(place.digest(), original, "{server:?}");
    }
}
