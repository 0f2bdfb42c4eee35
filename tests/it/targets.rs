//! The contract of `Target`, on every target there is. `local.rs` holds what only a disk can show,
//! `s3.rs` what only a store behind a network can.

mod local;
mod rclone;
mod s3;

use std::{
    io,
    ops::Range,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, future, stream};
use holdfast::target::{ByteStream, Key, Place, Stat, Stored, Target, TargetError, memory::Memory};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;

/// A target to try, and a look behind it that does not go through its own methods.
struct Bed {
    target: Arc<dyn Target>,
    /// Leaves partial data as a killed process would, in the folder of `shop/1/…`.
    plant_partial: Box<dyn Fn() + Send + Sync>,
    /// What `sweep` calls that.
    partial: &'static str,
    /// Everything there is, whole or partial: name and bytes.
    contents: Box<dyn Fn() -> Vec<(String, u64)> + Send + Sync>,
    /// What has come of a small body is seen in `contents` before its end.
    shows_partial: bool,
    /// It is over a network: what a dropped put left is gone a moment later.
    remote: bool,
    /// Given back when dropped.
    _place: Option<tempfile::TempDir>,
}

impl Bed {
    /// All that is left of a dropped put of `name`, once it has been cleaned up after. The next put
    /// of the same name waits for that.
    async fn left(&self, name: &Key) -> Vec<(String, u64)> {
        if self.remote {
            let fails = stream::iter([Err(io::Error::other("cut"))]).boxed();
            let failed = self.target.put(name, fails, None).await;
            assert!(matches!(failed, Err(TargetError::Source(_))), "{failed:?}");
        }
        (self.contents)()
    }
}

fn beds() -> Vec<Bed> {
    vec![memory_bed(), local::bed(), s3::bed()]
}

fn place(local_root: &Path) -> Place {
    Place {
        local_root: local_root.to_owned(),
        stall: Duration::from_secs(2),
        private_addresses: true,
    }
}

fn memory_bed() -> Bed {
    let (target, planted, seen) = {
        let memory = Arc::new(Memory::new());
        (memory.clone(), memory.clone(), memory)
    };
    Bed {
        target,
        plant_partial: Box::new(move || planted.plant_partial("shop/1/.dead.part")),
        partial: "shop/1/.dead.part",
        contents: Box::new(move || seen.contents()),
        shows_partial: false,
        remote: false,
        _place: None,
    }
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

/// Bytes that differ everywhere, so that a shifted or doubled chunk shows.
fn sample(len: usize) -> Bytes {
    let words = (0_u64..).flat_map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes());
    words.take(len).collect()
}

fn body(bytes: &Bytes, chunk: usize) -> ByteStream {
    let mut left = bytes.clone();
    let chunks = std::iter::from_fn(move || {
        let chunk = left.split_to(left.len().min(chunk));
        (!chunk.is_empty()).then_some(Ok(chunk))
    });
    stream::iter(chunks).boxed()
}

/// A body that gives way between its chunks, so that even memory can be cancelled in the middle.
fn paced(bytes: &Bytes, chunk: usize) -> ByteStream {
    let pause = |chunk| async {
        tokio::task::yield_now().await;
        chunk
    };
    body(bytes, chunk).then(pause).boxed()
}

/// A body that goes on when told.
fn fed() -> (mpsc::UnboundedSender<io::Result<Bytes>>, ByteStream) {
    let (feed, body) = mpsc::unbounded_channel();
    (feed, UnboundedReceiverStream::new(body).boxed())
}

async fn put(target: &dyn Target, name: &str, bytes: &Bytes) -> Result<Stored, TargetError> {
    target.put(&key(name), body(bytes, 100_000), None).await
}

async fn read(
    target: &dyn Target,
    name: &str,
    range: Option<Range<u64>>,
) -> Result<Bytes, TargetError> {
    let chunks = target.get(&key(name), range).await?;
    let chunks: Vec<Bytes> = chunks.try_collect().await.map_err(TargetError::Source)?;
    Ok(chunks.concat().into())
}

async fn names(target: &dyn Target, prefix: &str) -> Vec<String> {
    let entries = target.list(prefix).await.unwrap();
    entries.iter().map(|entry| entry.key.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_is_got() {
    for bed in beds() {
        for len in [0, 1, 262_144, 3_000_001] {
            let (name, bytes) = (format!("shop/1/file-{len}"), sample(len));
            let stored = put(&*bed.target, &name, &bytes).await.unwrap();
            assert_eq!(stored.size, bytes.len() as u64);
            assert_eq!(stored.sha256, hex::encode(Sha256::digest(&bytes)));
            assert_eq!(read(&*bed.target, &name, None).await.unwrap(), bytes);
            let stat = bed.target.stat(&key(&name)).await.unwrap();
            assert_eq!(stat, Some(Stat { size: len as u64 }));
            assert!(bed.target.locate(&key(&name)).ends_with(&name));
        }
        bed.target.check().await.unwrap();
        assert_eq!((bed.contents)().len(), 4, "check left something");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges() {
    for bed in beds() {
        let bytes = sample(1_000_000);
        put(&*bed.target, "shop/1/a", &bytes).await.unwrap();
        for range in [
            0..0,
            0..1,
            5..9,
            10..900_000,
            999_999..1_000_000,
            0..1_000_000,
        ] {
            let found = read(&*bed.target, "shop/1/a", Some(range.clone())).await;
            let bounds = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
            assert_eq!(found.unwrap(), bytes.slice(bounds), "{range:?}");
        }
        #[expect(clippy::reversed_empty_ranges)]
        for range in [0..1_000_001, 1_000_001..1_000_001, 5..4, 0..u64::MAX] {
            let found = bed.target.get(&key("shop/1/a"), Some(range.clone())).await;
            assert!(
                matches!(found, Err(TargetError::Refused { .. })),
                "{range:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_is_said_and_deleting_it_is_fine() {
    for bed in beds() {
        for name in ["a", "shop/1/a"] {
            let got = bed.target.get(&key(name), None).await;
            assert!(matches!(got, Err(TargetError::Missing { .. })));
            assert_eq!(bed.target.stat(&key(name)).await.unwrap(), None);
            bed.target.delete(&key(name)).await.unwrap();
        }
        put(&*bed.target, "shop/1/a", &sample(9)).await.unwrap();
        // A folder is no file.
        assert_eq!(bed.target.stat(&key("shop")).await.unwrap(), None);
        assert!(bed.target.get(&key("shop/1"), None).await.is_err());
        bed.target.delete(&key("shop/1")).await.unwrap();
        bed.target.delete(&key("shop/1/a")).await.unwrap();
        bed.target.delete(&key("shop/1/a")).await.unwrap();
        assert!((bed.contents)().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn listing_is_recursive_sorted_and_by_prefix() {
    for bed in beds() {
        assert!(names(&*bed.target, "").await.is_empty());
        assert!(names(&*bed.target, "shop/1/").await.is_empty());
        for name in [
            "b/2/x",
            "a/1/db-2",
            "a/1/db-1",
            "a/10/db-1",
            "a/1/other",
            "top",
        ] {
            put(&*bed.target, name, &sample(3)).await.unwrap();
        }
        let all = [
            "a/1/db-1",
            "a/1/db-2",
            "a/1/other",
            "a/10/db-1",
            "b/2/x",
            "top",
        ];
        assert_eq!(names(&*bed.target, "").await, all);
        assert_eq!(names(&*bed.target, "a/1/").await, &all[..3]);
        assert_eq!(names(&*bed.target, "a/1/db").await, &all[..2]);
        assert_eq!(names(&*bed.target, "a/1").await, &all[..4]);
        assert!(names(&*bed.target, "a/2/").await.is_empty());
        for prefix in ["/", "../", "a/../", "a//", "..", "a\0"] {
            let refused = bed.target.list(prefix).await;
            assert!(
                matches!(refused, Err(TargetError::BadKey(..))),
                "{prefix:?}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_ever_overwritten() {
    for bed in beds() {
        let (first, second) = (sample(500), sample(900));
        put(&*bed.target, "shop/1/a", &first).await.unwrap();
        let again = put(&*bed.target, "shop/1/a", &second).await;
        assert!(matches!(again, Err(TargetError::Exists { .. })));
        assert_eq!(read(&*bed.target, "shop/1/a", None).await.unwrap(), first);
        assert_eq!((bed.contents)(), [("shop/1/a".to_owned(), 500)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_at_once_one_wins_whole() {
    for bed in beds() {
        for round in 0..20 {
            let (name, one, two) = (format!("shop/1/{round}"), sample(700_000), sample(900_000));
            let both = future::join(
                put(&*bed.target, &name, &one),
                put(&*bed.target, &name, &two),
            );
            let (won, size) = match both.await {
                (Ok(stored), Err(TargetError::Exists { .. })) => (one, stored.size),
                (Err(TargetError::Exists { .. }), Ok(stored)) => (two, stored.size),
                other => panic!("{other:?}"),
            };
            assert_eq!(size, won.len() as u64);
            assert_eq!(read(&*bed.target, &name, None).await.unwrap(), won);
            assert_eq!((bed.contents)().len(), round + 1);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_fails_leaves_nothing() {
    for bed in beds() {
        for good in [0, 1, 2_000_000] {
            let failing = body(&sample(good), 70_000)
                .chain(stream::iter([Err(io::Error::other("cut"))]))
                .chain(body(&sample(10), 10));
            let failed = bed
                .target
                .put(&key("shop/1/a"), failing.boxed(), None)
                .await;
            assert!(
                matches!(failed, Err(TargetError::Source(error)) if error.to_string() == "cut")
            );
            assert!((bed.contents)().is_empty());
        }
        put(&*bed.target, "shop/1/a", &sample(10)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_puts_leave_0_bytes() {
    for bed in beds() {
        let bytes = sample(4_000_000);
        let started = Instant::now();
        put(&*bed.target, "shop/1/first", &bytes).await.unwrap();
        let whole = started.elapsed().max(Duration::from_micros(200));
        bed.target.delete(&key("shop/1/first")).await.unwrap();

        let (mut cancelled, mut ended, mut left) = (0, 0, 0);
        let rounds = if bed.remote { 60 } else { 300 };
        for round in 0..rounds {
            let name = key(&format!("shop/{}/{round}", round % 7));
            let limit = whole * (round * 7919 % rounds) / (rounds * 2 / 3);
            let put = bed.target.put(&name, paced(&bytes, 50_000), None);
            if let Ok(stored) = tokio::time::timeout(limit, put).await {
                ended += 1;
                assert_eq!(stored.unwrap().size, 4_000_000);
                assert_eq!((bed.contents)(), [(name.to_string(), 4_000_000)]);
                bed.target.delete(&name).await.unwrap();
            } else {
                cancelled += 1;
                let found = bed.left(&name).await;
                left += found.iter().map(|(_, size)| size + 1).sum::<u64>();
            }
        }
        let place = bed.target.describe();
        println!("{place}: {cancelled} puts cancelled, {left} bytes left, {ended} ended before");
        assert_eq!(left, 0);
    }
}

/// Dropped after exactly so many polls, the last of which may have done everything but return.
#[tokio::test(flavor = "multi_thread")]
async fn a_put_dropped_after_any_poll_leaves_nothing() {
    for bed in beds() {
        for polls in 0..12 {
            let (feed, body) = fed();
            for _ in 0..polls {
                feed.send(Ok(sample(10_000))).unwrap();
            }
            drop(feed);
            let name = key("shop/1/a");
            let mut put = bed.target.put(&name, body, None);
            let mut polled = 0;
            let ended = future::poll_fn(|context| {
                polled += 1;
                let ended = put.as_mut().poll(context);
                if ended.is_pending() && polled < polls {
                    return std::task::Poll::Pending;
                }
                std::task::Poll::Ready(ended.is_ready())
            });
            if ended.await {
                bed.target.delete(&name).await.unwrap();
            }
            drop(put);
            let left = bed.left(&name).await;
            assert!(left.is_empty(), "after {polls} polls: {left:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_is_written_nothing_shows_and_sweep_spares_it() {
    for bed in beds() {
        let (feed, body) = fed();
        let (target, name) = (bed.target.clone(), key("shop/1/a"));
        let putting = tokio::spawn(async move { target.put(&name, body, None).await });
        for _ in 0..10 {
            feed.send(Ok(sample(100_000))).unwrap();
        }
        // Wait until it lies there, where it does.
        while bed.shows_partial && (bed.contents)().is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(names(&*bed.target, "").await.is_empty());
        assert_eq!(bed.target.stat(&key("shop/1/a")).await.unwrap(), None);
        (bed.plant_partial)();
        assert_eq!(bed.target.sweep().await.unwrap(), [bed.partial]);
        drop(feed);
        assert_eq!(putting.await.unwrap().unwrap().size, 1_000_000);
        assert_eq!((bed.contents)(), [("shop/1/a".to_owned(), 1_000_000)]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sweep_removes_what_the_dead_left_and_nothing_else() {
    for bed in beds() {
        assert!(bed.target.sweep().await.unwrap().is_empty());
        put(&*bed.target, "shop/1/a", &sample(9)).await.unwrap();
        (bed.plant_partial)();
        assert_eq!(names(&*bed.target, "").await, ["shop/1/a"]);
        assert_eq!(bed.target.sweep().await.unwrap(), [bed.partial]);
        assert!(bed.target.sweep().await.unwrap().is_empty());
        assert_eq!((bed.contents)(), [("shop/1/a".to_owned(), 9)]);
    }
}

/// Deleting removes empty folders, just when another put needs them.
#[tokio::test(flavor = "multi_thread")]
async fn puts_and_deletes_of_neighbours_do_not_disturb_each_other() {
    for bed in beds() {
        let tasks = (0..4).map(|task| {
            let target = bed.target.clone();
            tokio::spawn(async move {
                for round in 0..60 {
                    let name = format!("shop/1/{task}-{round}");
                    put(&*target, &name, &sample(10)).await.unwrap();
                    target.delete(&key(&name)).await.unwrap();
                }
            })
        });
        future::try_join_all(tasks).await.unwrap();
        assert!((bed.contents)().is_empty());
    }
}
