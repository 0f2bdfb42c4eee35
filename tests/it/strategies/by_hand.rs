//! The commands that a manifest gives bring the artifact back with stock tools, without Holdfast.

use std::process::Command;

use holdfast::domain::manifest::Manifest;

use super::{Kind, Scene};

pub async fn by_hand<K: Kind>() {
    let Scene {
        house, bed, config, ..
    } = Scene::<K>::set("hand").await;
    let original = K::digest(&bed);
    let run = house.back_up(config).await;
    assert_eq!(run.status, "success", "{run:?}");
    let key = run.file_path.clone().unwrap();
    let manifest = house.data.path().join(format!("backups/{key}.json"));
    let manifest: Manifest = serde_json::from_slice(&std::fs::read(manifest).unwrap()).unwrap();
    assert!(!manifest.restore_by_hand.is_empty());

    K::destroy(&bed);
    assert_ne!(K::digest(&bed), original);
    for line in &manifest.restore_by_hand {
        let run = Command::new("sh").args(["-c", line]).output().unwrap();
        let said = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "{line}: {said}");
    }
    K::until_ready(&bed);
    assert_eq!(K::digest(&bed), original);
    house.close().await;
}
