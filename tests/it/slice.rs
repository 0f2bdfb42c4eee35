//! The main job, end to end on a real database: back up, change, restore, compare, undo; and by
//! hand from the artifact alone.

use std::ops::Range;

use bytes::Bytes;
use futures_util::TryStreamExt;
use holdfast::{domain::secret::Secret, readmodel::runs};
use sha2::{Digest, Sha256};

use crate::{
    bucket::{Bucket, SECRET_KEY},
    house::{House, postgres, psql},
};

const DIGEST: &str = "SELECT count(*), md5(string_agg(md5(t::text), '' ORDER BY i)) FROM notes t";

#[tokio::test(flavor = "multi_thread")]
async fn back_up_change_restore_and_undo() {
    let project = format!("slice-{}", std::process::id());
    let bed = postgres(crate::bed::POSTGRES, &project, &[]);
    psql(
        &bed,
        "shop",
        "CREATE TABLE notes AS SELECT i, md5(i::text) t FROM generate_series(1, 50000) i",
    );
    let house = House::new().await;
    house.app("shop", &project).await;
    for compression in ["gzip", "zstd", "none"] {
        let config = house
            .config("shop", |input| input.compression = Some(compression.into()))
            .await;
        let original = psql(&bed, "shop", DIGEST);
        let run: runs::Model = house.back_up(config).await;
        assert_eq!(run.status, "success", "{run:?}");
        let counts = run.fingerprint().unwrap().counts;
        assert_eq!(counts["public.notes"], 50_000);

        psql(
            &bed,
            "shop",
            "DELETE FROM notes WHERE i % 3 = 0; CREATE TABLE later(i int)",
        );
        let changed = psql(&bed, "shop", DIGEST);
        assert_ne!(changed, original);

        let restore = house.restore(run.run_id()).await;
        assert_eq!(restore.status, "success", "{restore:?}");
        assert_eq!(psql(&bed, "shop", DIGEST), original);
        let later = "SELECT count(*) FROM pg_class WHERE relname = 'later'";
        assert_eq!(psql(&bed, "shop", later), "0", "what came later is gone");

        house
            .holdfast
            .undo_restore(&house.caller, restore.restore_id())
            .await
            .unwrap();
        let undone = house.restore_over(restore.restore_id()).await;
        assert_eq!(undone.status, "undone", "{undone:?}");
        assert_eq!(psql(&bed, "shop", DIGEST), changed);

        let again = house.restore(run.run_id()).await;
        assert_eq!(again.status, "success", "{again:?}");
        assert_eq!(psql(&bed, "shop", DIGEST), original);
    }
    let report = house.holdfast.rebuild().await.unwrap();
    assert_eq!(report.differed, Vec::<&str>::new());
    house.close().await;
}

async fn downloaded(house: &House, run: &runs::Model, range: Option<Range<u64>>) -> Vec<u8> {
    let download = house.holdfast.download(&house.caller, run.run_id(), range);
    let chunks: Vec<Bytes> = download.await.unwrap().body.try_collect().await.unwrap();
    chunks.concat()
}

/// `secret_key` → `SecretKey`.
fn pascal(name: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('_').map(capital).collect()
}

/// The same with a bucket: what is destroyed comes back out of the store alone.
#[tokio::test(flavor = "multi_thread")]
async fn back_up_to_a_bucket_destroy_and_restore() {
    let project = format!("slice-s3-{}", std::process::id());
    let bed = postgres(crate::bed::POSTGRES, &project, &[]);
    // Does not compress, and so goes up in more than one part.
    psql(
        &bed,
        "shop",
        "CREATE TABLE notes AS SELECT i, (SELECT string_agg(md5(random()::text || i || g), '') \
         FROM generate_series(1, 20) g) t FROM generate_series(1, 30000) i",
    );
    let (house, bucket) = (House::new().await, Bucket::serve());
    house.app("shop", &project).await;
    let config = house
        .config("shop", |input| {
            input.target = Some("s3".into());
            // As clients of the replaced module write it.
            let settings = bucket.settings().into_iter();
            let settings = settings.map(|(name, value)| (pascal(&name), Secret::new(value)));
            input.target_settings = Some(settings.collect());
        })
        .await;
    let spec = house.holdfast.config(&house.caller, config).await;
    let spec = spec.unwrap().spec();
    let plain: Vec<&str> = spec.target_settings.keys().map(String::as_str).collect();
    assert_eq!(plain, ["access_key", "bucket", "endpoint"]);
    assert!(spec.target_secrets.contains_key("secret_key"));
    let original = psql(&bed, "shop", DIGEST);
    let run = house.back_up(config).await;
    assert_eq!(run.status, "success", "{run:?}");
    let stored = bucket.backups();
    let artifact = run.artifact().unwrap();
    assert!(artifact.stored_bytes > 8 << 20, "{artifact:?}");
    let names: Vec<&str> = stored.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [artifact.key.as_str(), &format!("{}.json", artifact.key)]
    );
    let manifest = house
        .holdfast
        .manifest(&house.caller, run.run_id())
        .await
        .unwrap();
    let fetch = &manifest.restore_by_hand[0];
    assert!(
        fetch.starts_with("aws s3 cp --endpoint-url http://127.0.0.1:"),
        "{fetch}"
    );

    // Downloads pass through the server, in whole and in part; a link goes to the store itself.
    let last = artifact.stored_bytes - 10..artifact.stored_bytes;
    let (whole, part) = (
        downloaded(&house, &run, None).await,
        downloaded(&house, &run, Some(last)),
    );
    assert_eq!(whole.len() as u64, artifact.stored_bytes);
    assert_eq!(hex::encode(Sha256::digest(&whole)), artifact.stored_sha256);
    assert_eq!(part.await, whole[whole.len() - 10..]);
    let link = house
        .holdfast
        .download_link(&house.caller, run.run_id())
        .await;
    let direct = reqwest::get(link.unwrap().unwrap()).await.unwrap();
    assert_eq!(direct.bytes().await.unwrap(), whole);

    psql(&bed, "shop", "DROP TABLE notes");
    let restore = house.restore(run.run_id()).await;
    assert_eq!(restore.status, "success", "{restore:?}");
    assert_eq!(psql(&bed, "shop", DIGEST), original);

    // The secret is in no event and in no byte of the database.
    let secret = SECRET_KEY.as_bytes();
    for entry in std::fs::read_dir(house.data.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap_or_default(); // a folder has none
        let seen = bytes.windows(secret.len()).any(|bytes| bytes == secret);
        assert!(!seen, "{}", path.display());
    }

    // A backup that was damaged in the store is never restored.
    bucket.damage(&artifact.key);
    let refused = house.restore(run.run_id()).await;
    assert_eq!(refused.status, "failed", "{refused:?}");
    assert_eq!(psql(&bed, "shop", DIGEST), original);
    house.close().await;
}
