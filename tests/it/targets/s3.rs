//! What only a store behind a network can show: lost answers, a connection that breaks or says
//! nothing, a store that lies, and what stays open when nobody ends it.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt, stream};
use holdfast::target::{Place, Settings, Target, TargetError, kind};

use super::{Bed, body, key, names, put, read, sample};
use crate::{
    bucket::{Bucket, Operation, SECRET_KEY, Trouble},
    server::free_address,
};

const ALWAYS: usize = usize::MAX;
/// Goes up in three parts.
const LARGE: usize = (16 << 20) + 123;

pub(super) fn bed() -> Bed {
    let bucket = Arc::new(Bucket::serve());
    let (planted, seen) = (bucket.clone(), bucket.clone());
    Bed {
        target: patient(&bucket, &[]),
        plant_partial: Box::new(move || planted.plant_upload("shop/1/dead")),
        partial: "shop/1/dead",
        contents: Box::new(move || seen.contents()),
        shows_partial: false,
        remote: true,
        _place: None,
    }
}

fn open(bucket: &Bucket) -> Arc<dyn Target> {
    open_as(bucket, &[])
}

/// For what says nothing, or is not there.
fn open_as(bucket: &Bucket, changes: &[(&str, &str)]) -> Arc<dyn Target> {
    with_stall(1, bucket, changes)
}

/// For what has to succeed, however busy the machine is.
fn patient(bucket: &Bucket, changes: &[(&str, &str)]) -> Arc<dyn Target> {
    with_stall(10, bucket, changes)
}

fn with_stall(seconds: u64, bucket: &Bucket, changes: &[(&str, &str)]) -> Arc<dyn Target> {
    let place = Place {
        stall: Duration::from_secs(seconds),
        ..super::place("/nowhere".as_ref())
    };
    kind("s3")
        .unwrap()
        .open(&place, &settings(bucket, changes))
        .unwrap()
}

fn settings(bucket: &Bucket, changes: &[(&str, &str)]) -> Settings {
    let mut plain: BTreeMap<String, String> = bucket.settings().into_iter().collect();
    for (name, value) in changes {
        plain.insert((*name).to_owned(), (*value).to_owned());
    }
    sealed(plain)
}

/// As they are kept: what is secret apart from the rest.
pub(super) fn sealed(mut plain: BTreeMap<String, String>) -> Settings {
    let secret = plain.remove("secret_key").unwrap();
    Settings {
        plain,
        secrets: BTreeMap::from([("secret_key".to_owned(), secret.as_str().into())]),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_go_up_side_by_side_and_come_back_as_one() {
    let bucket = Bucket::serve();
    let target = patient(&bucket, &[("prefix", "/deep/er/")]);
    let bytes = sample(LARGE);
    let stored = put(&*target, "shop/1/a", &bytes).await.unwrap();
    assert_eq!(stored.size, LARGE as u64);
    let asked = bucket.seen();
    let parts = asked.iter().filter(|op| matches!(op, Operation::PartOf(_)));
    assert_eq!(parts.count(), 3);
    assert!(!asked.contains(&Operation::Put));
    assert_eq!(
        bucket.contents(),
        [("deep/er/shop/1/a".to_owned(), LARGE as u64)]
    );
    assert_eq!(read(&*target, "shop/1/a", None).await.unwrap(), bytes);
    assert_eq!(names(&*target, "").await, ["shop/1/a"]);
    let again = put(&*target, "shop/1/a", &bytes).await;
    assert!(
        matches!(again, Err(TargetError::Exists { .. })),
        "{again:?}"
    );
    target.delete(&key("shop/1/a")).await.unwrap();
    assert!(bucket.contents().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_nothing_is_left() {
    use Operation::{Complete, Create, Head, Part, PartOf, Put};
    use Trouble::{Busy, ErrorInSuccess, LoseAnswer, ResetAfter, Silence};
    let (small, large) = (sample(300_000), sample(LARGE));
    let (mut failed, mut left) = (0, 0);
    for (bytes, operation, trouble) in [
        (&small, Head, Busy),
        (&small, Put, Busy),
        (&small, Put, ResetAfter(100_000)),
        (&small, Put, Silence),
        (&large, Create, Busy),
        (&large, Create, Silence),
        (&large, Create, LoseAnswer),
        (&large, Part, Busy),
        (&large, Part, ResetAfter(1_000_000)),
        (&large, PartOf(3), Silence),
        (&large, PartOf(3), LoseAnswer),
        (&large, Complete, Busy),
        (&large, Complete, ResetAfter(10)),
        (&large, Complete, ErrorInSuccess),
        (&large, Complete, Silence),
    ] {
        let bucket = Bucket::serve();
        let target = open(&bucket);
        bucket.inject(operation, trouble, ALWAYS);
        let started = Instant::now();
        let result = put(&*target, "shop/1/a", bytes).await;
        let error = result.expect_err(&format!("{operation:?} {trouble:?}"));
        assert!(error.is_temporary(), "{operation:?} {trouble:?}: {error}");
        assert!(!error.to_string().contains(SECRET_KEY));
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "{operation:?} {trouble:?}"
        );
        left += bucket.contents().len();
        assert!(
            bucket.contents().is_empty(),
            "{operation:?} {trouble:?}: {:?}",
            bucket.contents()
        );
        failed += 1;
    }
    println!("s3: {failed} ways to fail, {left} objects or uploads left");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_does_not_fail_a_backup() {
    use Operation::{Complete, Create, Part, Put};
    use Trouble::{Busy, ErrorInSuccess, Late, LoseAnswer, ResetAfter};
    let (small, large) = (sample(300_000), sample(LARGE));
    for (bytes, operation, trouble) in [
        (&small, Put, Late(Duration::from_millis(300))),
        (&small, Put, Busy),
        (&small, Put, ResetAfter(1000)),
        (&small, Put, LoseAnswer),
        (&large, Create, LoseAnswer),
        (&large, Part, Busy),
        (&large, Part, ResetAfter(1_000_000)),
        (&large, Part, LoseAnswer),
        (&large, Complete, Busy),
        (&large, Complete, ErrorInSuccess),
        (&large, Complete, LoseAnswer),
    ] {
        let bucket = Bucket::serve();
        let target = patient(&bucket, &[]);
        bucket.inject(operation, trouble, 2);
        let stored = put(&*target, "shop/1/a", bytes).await;
        let stored = stored.unwrap_or_else(|error| panic!("{operation:?} {trouble:?}: {error}"));
        assert_eq!(stored.size, bytes.len() as u64);
        assert_eq!(read(&*target, "shop/1/a", None).await.unwrap(), *bytes);
        let all = [("shop/1/a".to_owned(), bytes.len() as u64)];
        assert_eq!(bucket.contents(), all, "{operation:?} {trouble:?}");
    }
}

/// No answer ever came, and what lies there is the whole: that decides.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_is_no_lost_object() {
    for (operation, bytes) in [
        (Operation::Put, sample(300_000)),
        (Operation::Complete, sample(LARGE)),
    ] {
        let bucket = Bucket::serve();
        let target = patient(&bucket, &[]);
        bucket.inject(operation, Trouble::LoseAnswer, ALWAYS);
        let stored = put(&*target, "shop/1/a", &bytes).await.unwrap();
        assert_eq!(stored.size, bytes.len() as u64);
        assert_eq!(bucket.contents(), [("shop/1/a".to_owned(), stored.size)]);
        // Of another put the same is no success.
        let again = put(&*target, "shop/1/a", &bytes).await;
        assert!(
            matches!(again, Err(TargetError::Exists { .. })),
            "{again:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_cancelled_between_its_parts_leaves_nothing() {
    let bucket = Bucket::serve();
    let target = open(&bucket);
    let name = key("shop/1/a");
    for operation in [Operation::PartOf(1), Operation::Create, Operation::Complete] {
        bucket.inject(operation, Trouble::Silence, 1);
        let bytes = sample(LARGE);
        let mut put = target.put(&name, body(&bytes, 1 << 20), None);
        bucket.seen();
        while !bucket.seen().contains(&operation) {
            assert!(futures_util::poll!(&mut put).is_pending());
            tokio::task::yield_now().await;
        }
        drop(put);
        bucket.heal();
        // The next of this name waits until that is cleaned up.
        let fails = stream::iter([Err(std::io::Error::other("cut"))]).boxed();
        let failed = target.put(&name, fails, None).await;
        assert!(matches!(failed, Err(TargetError::Source(_))), "{failed:?}");
        assert!(
            bucket.contents().is_empty(),
            "{operation:?}: {:?}",
            bucket.contents()
        );
    }
}

/// As after a `kill -9`: the cleaning of a dead run deletes by key, and ends what is open there.
#[tokio::test(flavor = "multi_thread")]
async fn deleting_ends_what_is_open_under_this_key_alone() {
    let bucket = Bucket::serve();
    let target = patient(&bucket, &[("prefix", "ours")]);
    let others = [
        "ours/shop/1/ab",
        "ours/shop/2/a",
        "shop/1/a",
        "theirs/shop/1/a",
    ];
    for open in others.iter().chain(&["ours/shop/1/a", "ours/shop/1/a"]) {
        bucket.plant_upload(open);
    }
    target.delete(&key("shop/1/a")).await.unwrap();
    let left: Vec<String> = bucket
        .contents()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(left, others.map(|key| format!("upload of {key}")));
}

/// What it names is ended all the same; what it does not name is not called ended because of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_open_uploads_that_breaks_off_is_an_error() {
    let bucket = Bucket::serve();
    let target = open(&bucket);
    let name = key("shop/1/a");
    for sweeps in [false, true] {
        bucket.plant_upload(name.as_str());
        bucket.inject(Operation::Uploads, Trouble::BreaksOff, 1);
        let end = async || {
            if sweeps {
                target.sweep().await.map(drop)
            } else {
                target.delete(&name).await
            }
        };
        let error = end().await.unwrap_err();
        assert!(error.is_temporary(), "{error}");
        assert!(bucket.contents().is_empty(), "{:?}", bucket.contents());
        end().await.unwrap();
    }
}

/// A put that was dropped takes itself back, and cannot: whoever deletes waits for that, and then does it.
#[tokio::test(flavor = "multi_thread")]
async fn deleting_does_not_rely_on_a_put_that_takes_itself_back() {
    let bucket = Bucket::serve();
    let target = open(&bucket);
    let name = key("shop/1/a");
    bucket.inject(Operation::PartOf(1), Trouble::Silence, 1);
    let bytes = sample(LARGE);
    let mut put = target.put(&name, body(&bytes, 1 << 20), None);
    while !bucket.seen().contains(&Operation::PartOf(1)) {
        assert!(futures_util::poll!(&mut put).is_pending());
        tokio::task::yield_now().await;
    }
    // As often as the put asks for it, each time with all the tries of a client.
    bucket.inject(Operation::Abort, Trouble::Busy, 8);
    drop(put);
    target.delete(&name).await.unwrap();
    assert!(bucket.contents().is_empty(), "{:?}", bucket.contents());
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_that_stalls_or_breaks_is_an_error() {
    let bucket = Bucket::serve();
    let target = open(&bucket);
    put(&*target, "shop/1/a", &sample(1_000_000)).await.unwrap();
    for trouble in [Trouble::Silence, Trouble::Busy, Trouble::ResetAfter(0)] {
        bucket.inject(Operation::Get, trouble, ALWAYS);
        let error = read(&*target, "shop/1/a", None).await.unwrap_err();
        assert!(error.is_temporary(), "{trouble:?}: {error}");
        bucket.heal();
    }
    assert_eq!(
        read(&*target, "shop/1/a", None).await.unwrap(),
        sample(1_000_000)
    );
}

/// What it does not name is not called gone because of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_breaks_off_is_an_error() {
    let bucket = Bucket::serve();
    let target = open(&bucket);
    put(&*target, "shop/1/a", &sample(10)).await.unwrap();
    bucket.inject(Operation::Other, Trouble::BreaksOff, 1);
    let error = target.list("shop/").await.unwrap_err();
    assert!(error.is_temporary(), "{error}");
    assert_eq!(target.list("shop/").await.unwrap().len(), 1);
}

/// What a person is told when a setting is wrong: where, what, and what to do.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said() {
    let bucket = Bucket::serve();
    let gone = format!("http://{}", free_address()); // nobody listens there
    let tls = bucket.endpoint().replace("http:", "https:");
    for (change, temporary, words) in [
        (
            ("secret_key", "wrong"),
            false,
            "the secret key is not the one",
        ),
        (
            ("access_key", "NOBODY"),
            false,
            "the access key is not known",
        ),
        (("bucket", "elsewhere"), false, "the bucket does not exist"),
        (("endpoint", gone.as_str()), true, "it cannot be reached"),
        (("endpoint", tls.as_str()), true, "it cannot be reached"),
    ] {
        let target = open_as(&bucket, &[change]);
        let error = target.check().await.unwrap_err();
        assert!(error.to_string().contains(words), "{change:?}: {error}");
        assert_eq!(error.is_temporary(), temporary, "{change:?}: {error}");
        assert!(!error.hint().is_empty());
        let trials = target.try_out().await;
        assert!(
            !trials[0].ok && trials[0].detail.contains(words),
            "{trials:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_with_a_private_address_is_refused() {
    let bucket = Bucket::serve();
    let named = format!("http://localhost:{}", bucket.address.port());
    let place = Place {
        private_addresses: false,
        ..super::place("/nowhere".as_ref())
    };
    let by_name = settings(&bucket, &[("endpoint", &named)]);
    let target = kind("s3").unwrap().open(&place, &by_name).unwrap();
    let error = target.check().await.unwrap_err();
    assert!(error.to_string().contains("--private-targets"), "{error}");
    assert!(!error.is_temporary());
    // One that is written down is refused with the config.
    let errors = kind("s3").unwrap().check(&place, &settings(&bucket, &[]));
    let errors = errors.unwrap_err();
    assert!(
        errors.0["endpoint"].contains("--private-targets"),
        "{errors:?}"
    );
    assert!(bucket.seen().is_empty(), "it was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_store_passes_every_trial() {
    let bucket = Bucket::serve();
    let trials = patient(&bucket, &[]).try_out().await;
    let passed: Vec<&str> = trials.iter().filter(|t| t.ok).map(|t| t.name).collect();
    let all = [
        "put",
        "read_back",
        "list",
        "conditional_put",
        "presign",
        "multipart",
        "open_uploads",
        "delete",
    ];
    assert_eq!(passed, all, "{trials:?}");
    assert!(bucket.contents().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_lets_anybody_read_one_object() {
    let bucket = Bucket::serve();
    let target = patient(&bucket, &[]);
    let bytes = sample(50_000);
    put(&*target, "shop/1/a.gz", &bytes).await.unwrap();
    let link = target
        .presign(&key("shop/1/a.gz"), Duration::from_secs(60))
        .await;
    let link = link.unwrap().unwrap();
    assert!(!link.contains(SECRET_KEY));
    let answer = reqwest::get(&link).await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.bytes().await.unwrap(), bytes);
    let other = link.replace("a.gz", "b.gz");
    assert_eq!(reqwest::get(&other).await.unwrap().status(), 403);
}
