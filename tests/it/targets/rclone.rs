//! A second store that is not written with the first one's library: `rclone serve s3`, a program of its
//! own, which checks signatures too.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use holdfast::target::{Place, Target, TargetError, kind};
use tempfile::TempDir;

use super::{body, key, names, put, read, s3, sample};
use crate::rclone::{BUCKET, Rclone};

const ACCESS_KEY: &str = "AKRCLONE";
const SECRET_KEY: &str = "SKRCLONESKRCLONE";
/// Goes up in three parts.
const LARGE: usize = (16 << 20) + 123;

struct Store(Rclone);

impl Store {
    fn serve() -> Self {
        Self(Rclone::serve(
            TempDir::new().unwrap(),
            ACCESS_KEY,
            SECRET_KEY,
        ))
    }

    fn open(&self, changes: &[(&str, &str)]) -> Arc<dyn Target> {
        let mut settings = BTreeMap::from([
            ("endpoint", self.0.endpoint.as_str()),
            ("bucket", BUCKET),
            ("access_key", ACCESS_KEY),
            ("secret_key", SECRET_KEY),
        ]);
        settings.extend(changes.iter().copied());
        let settings = settings
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v.to_owned()));
        let place = Place {
            stall: Duration::from_secs(10),
            ..super::place("/nowhere".as_ref())
        };
        let settings = s3::sealed(settings.collect());
        kind("s3").unwrap().open(&place, &settings).unwrap()
    }

    /// Files that lie in the bucket, looked at behind the server's back.
    fn files(&self) -> usize {
        let (mut count, mut folders) = (0, vec![self.0.folder.path().to_owned()]);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    count += 1;
                }
            }
        }
        count
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_store_keeps_what_it_was_given() {
    let store = Store::serve();
    let target = store.open(&[]);
    for trial in target.try_out().await {
        assert!(trial.ok || trial.optional, "{trial:?}");
    }
    assert_eq!(store.files(), 0, "the trials left something");

    let (small, large) = (sample(1_000), sample(LARGE));
    for (name, bytes) in [("shop/1/a", &small), ("shop/1/b", &large)] {
        let stored = put(&*target, name, bytes).await.unwrap();
        assert_eq!(stored.size, bytes.len() as u64);
        assert_eq!(read(&*target, name, None).await.unwrap(), *bytes);
    }
    let (from, to) = (LARGE - 5_000_000, LARGE - 17);
    let range = Some(from as u64..to as u64);
    let middle = read(&*target, "shop/1/b", range).await.unwrap();
    assert_eq!(middle, large.slice(from..to));
    assert_eq!(names(&*target, "shop/").await, ["shop/1/a", "shop/1/b"]);
    let again = put(&*target, "shop/1/b", &small).await;
    assert!(
        matches!(again, Err(TargetError::Exists { .. })),
        "{again:?}"
    );

    let link = target
        .presign(&key("shop/1/a"), Duration::from_secs(60))
        .await;
    let link = link.unwrap().unwrap();
    let answer = reqwest::get(&link).await.unwrap();
    assert_eq!(answer.bytes().await.unwrap(), small);
    let (left, _) = link.split_once("X-Amz-Signature=").unwrap();
    let forged = format!("{left}X-Amz-Signature={}", "0".repeat(64));
    let answer = reqwest::get(forged).await.unwrap();
    assert_eq!(answer.status(), 403, "it checks no signatures");

    for name in ["shop/1/a", "shop/1/b", "shop/1/never"] {
        target.delete(&key(name)).await.unwrap();
    }
    assert_eq!(target.stat(&key("shop/1/a")).await.unwrap(), None);
    assert_eq!(store.files(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_store_has_nothing_of_a_body_that_was_cut() {
    let store = Store::serve();
    let target = store.open(&[]);
    for whole in [1_000, LARGE] {
        let bytes = sample(whole);
        let cut = stream::iter([Err(std::io::Error::other("cut"))]);
        let cut = body(&bytes, 100_000).chain(cut).boxed();
        let failed = target.put(&key("shop/1/a"), cut, None).await;
        assert!(matches!(failed, Err(TargetError::Source(_))), "{failed:?}");
        assert_eq!(target.stat(&key("shop/1/a")).await.unwrap(), None);
        assert_eq!(store.files(), 0, "of {whole} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_store_refuses_a_wrong_secret() {
    let store = Store::serve();
    let target = store.open(&[("secret_key", "SKWRONGSKWRONG")]);
    let refused = put(&*target, "shop/1/a", &sample(1_000)).await.unwrap_err();
    assert!(!refused.is_temporary(), "{refused}");
    assert!(
        refused.to_string().contains("secret"),
        "{refused} {}",
        refused.hint()
    );
    assert_eq!(store.files(), 0);
}
