//! A recovery key: the vault leaves the host encrypted to it, comes back with it, and with nothing else.

use std::{fs, path::Path, time::Duration};

use holdfast::{
    app::new_key,
    bootstrap::{self, From, Recovered, Wanted},
    docker::fake::FakeEngine,
    domain::secret::Secret,
    target::Settings,
};
use tempfile::TempDir;

use crate::{
    bucket::{Bucket, SECRET_KEY},
    house::{House, pg_dump},
    note,
    shelf::{Shelf, config, spec},
};

async fn recover(data: &Path, bucket: &Bucket, key: Option<&Secret>) -> anyhow::Result<Recovered> {
    let mut settings = Settings::default();
    for (name, value) in bucket.settings() {
        match name.as_str() {
            "secret_key" => drop(settings.secrets.insert(name, Secret::new(value))),
            _ => drop(settings.plain.insert(name, value)),
        }
    }
    let from = From {
        kind: "s3".into(),
        settings,
        local_root: None,
    };
    let wanted = Wanted {
        identity: key.cloned(),
        ..Wanted::default()
    };
    bootstrap::recover(&config(data), &from, &wanted).await
}

fn bundles(bucket: &Bucket) -> Vec<String> {
    let names = bucket.contents().into_iter().map(|(name, _)| name);
    names.filter(|name| name.contains("/secrets-")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_11_with_a_recovery_key_nothing_has_to_be_entered_again() {
    let (project, bed) = note::service("secrets");
    let bucket = Bucket::serve();
    let (public, private) = new_key();
    let (_, stranger) = new_key();
    let house = House::with(|settings| settings.recovery_keys = vec![public.clone()]).await;
    house.app("shop", &project).await;
    let config = house.config("shop", note::stored_in(&bucket)).await;
    let run = house.back_up(config).await;
    assert_eq!(run.status, "success", "{run:?}");
    assert!(house.holdfast.ship_log().await.unwrap());
    let first = bundles(&bucket);
    assert_eq!(first.len(), 1, "{:?}", bucket.contents());
    assert!(house.holdfast.ship_log().await.unwrap());
    assert_eq!(bundles(&bucket), first, "nothing changed");
    let doctor = house.holdfast.doctor().await.unwrap();
    let said = doctor
        .iter()
        .filter(|check| check.found.contains("and the secrets"));
    assert_eq!(said.count(), 1, "{doctor:?}");

    // One more secret is another bundle, and the older one goes.
    let webhook = holdfast::app::WebhookInput {
        url: Some("http://127.0.0.1:9/another-secret".into()),
        ..holdfast::app::WebhookInput::default()
    };
    house
        .holdfast
        .add_webhook(&house.caller, webhook)
        .await
        .unwrap();
    assert!(house.holdfast.ship_log().await.unwrap());
    let second = bundles(&bucket);
    assert_eq!(second.len(), 1);
    assert_ne!(second, first);
    house.close().await;
    for (name, _) in bucket.contents() {
        let bytes = fs::read(bucket.path(&name)).unwrap();
        for secret in [SECRET_KEY, "another-secret"] {
            let found = bytes
                .windows(secret.len())
                .any(|part| part == secret.as_bytes());
            assert!(!found, "{secret} in {name}");
        }
    }

    let data = TempDir::new().unwrap();
    let refused = recover(data.path(), &bucket, Some(&stranger)).await;
    let refused = refused.err().unwrap().to_string();
    assert!(refused.contains("does not open it"), "{refused}");
    assert!(!data.path().join("holdfast.db").exists());
    let without = recover(data.path(), &bucket, None).await.unwrap();
    assert!(without.locked_secrets && without.secrets == 0);
    assert!(!without.lost_secrets.is_empty());

    let data = TempDir::new().unwrap();
    let found = recover(data.path(), &bucket, Some(&private)).await.unwrap();
    assert!(found.secrets >= 2, "{}", found.secrets);
    assert_eq!(found.lost_secrets, []);
    let house = House::at(data, pg_dump, 10, |_| {}).await;
    bed.sh("rm /data/app.db");
    assert_eq!(house.restore(run.run_id()).await.status, "success");
    assert_eq!(note::read(&bed), note::FIRST);
    let next = house.back_up(config).await;
    assert_eq!(
        next.status, "success",
        "with the secret that came back: {next:?}"
    );
    for event in house.holdfast.log().read_from(0, 1_000).await.unwrap() {
        assert!(!event.data.contains(SECRET_KEY));
    }
    house.close().await;
    println!("figure: promise 11: recovered with a recovery key: secrets to enter again 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recovery_key_of_the_set_up_is_made_once_and_only_its_public_half_stays() {
    let shelf = Shelf::open(TempDir::new().unwrap(), Duration::ZERO).await;
    shelf.found(spec()).await;
    let made = shelf.holdfast.make_recovery_key().unwrap();
    let (public, private) = made.expect("there was none");
    assert!(
        shelf.holdfast.make_recovery_key().unwrap().is_none(),
        "there is one"
    );
    assert!(shelf.holdfast.ship_log().await.unwrap());
    let file = fs::read_to_string(shelf.data.path().join("recovery-keys")).unwrap();
    assert_eq!(file.trim(), public);
    let from = From {
        kind: "local".into(),
        settings: Settings::default(),
        local_root: Some(shelf.data.path().join("backups")),
    };
    let wanted = Wanted {
        identity: Some(private),
        ..Wanted::default()
    };
    let empty = TempDir::new().unwrap();
    let found = bootstrap::recover(&config(empty.path()), &from, &wanted)
        .await
        .unwrap();
    assert_eq!(
        found.secrets, 0,
        "the vault was empty, and the bundle was read"
    );
    // What nobody can read is told, and nothing is left out in silence.
    fs::write(shelf.data.path().join("recovery-keys"), "nonsense").unwrap();
    let refused = shelf.holdfast.ship_log().await.unwrap_err();
    assert!(refused.to_string().contains("recovery-keys"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_recovery_key_takes_the_place_of_the_first_and_none_leaves_what_lies_there() {
    let ((first, private), (second, _)) = (new_key(), new_key());
    let secrets = |data: &Path| -> usize {
        let folders = fs::read_dir(data.join("backups/holdfast-log")).unwrap();
        let files = folders.flat_map(|folder| {
            let histories = fs::read_dir(folder.unwrap().path()).unwrap();
            histories.flat_map(|history| fs::read_dir(history.unwrap().path()).unwrap())
        });
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with("secrets-")).count()
    };
    let ship = async |data: &Path, keys: Vec<String>| {
        let mut config = config(data);
        config.settings.recovery_keys = keys;
        let engine = FakeEngine::with("shop-db");
        let opened = bootstrap::open_with(&config, engine, None).await.unwrap();
        assert!(opened.holdfast.ship_log().await.unwrap());
    };
    let data = {
        let shelf = Shelf::open(TempDir::new().unwrap(), Duration::ZERO).await;
        shelf.found(spec()).await;
        shelf.data
    };
    ship(data.path(), vec![first]).await;
    assert_eq!(secrets(data.path()), 1);
    // Whoever recovers without the key may find it later.
    ship(data.path(), vec![]).await;
    assert_eq!(secrets(data.path()), 1);
    ship(data.path(), vec![second]).await;
    assert_eq!(secrets(data.path()), 1, "the older one is gone");
    let from = From {
        kind: "local".into(),
        settings: Settings::default(),
        local_root: Some(data.path().join("backups")),
    };
    let wanted = Wanted {
        identity: Some(private),
        ..Wanted::default()
    };
    let empty = TempDir::new().unwrap();
    let refused = bootstrap::recover(&config(empty.path()), &from, &wanted).await;
    let refused = refused.err().unwrap().to_string();
    assert!(refused.contains("does not open it"), "{refused}");
    assert!(!empty.path().join("holdfast.db").exists());
}
