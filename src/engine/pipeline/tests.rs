use std::time::Duration;

use futures_util::StreamExt;
use proptest::prelude::*;
use tokio::time::timeout;

use super::*;
use crate::{
    engine::{
        codec::{self, Keys},
        verify::{Flaw, read_back, verify},
    },
    target::{
        Target,
        memory::{Fault, Faulty, Memory, Scope},
    },
};

/// Counts lines; refuses what does not end in one.
#[derive(Default)]
struct Lines {
    count: u64,
    last: Option<u8>,
}

impl Validator for Lines {
    fn feed(&mut self, chunk: &[u8]) {
        self.count += chunk
            .iter()
            .map(|&byte| u64::from(byte == b'\n'))
            .sum::<u64>();
        self.last = chunk.last().copied().or(self.last);
    }

    fn finish(self: Box<Self>) -> Result<Fingerprint, String> {
        if self.last != Some(b'\n') {
            return Err("it has no end".to_owned());
        }
        Ok(Fingerprint {
            unit: "lines".to_owned(),
            counts: [("all".to_owned(), self.count)].into(),
        })
    }
}

fn key() -> Key {
    Key::parse("shop/1/db.sql").unwrap()
}

fn line(number: u64) -> Bytes {
    format!(
        "{number:08} {:x}\n",
        number.wrapping_mul(0x9E37_79B9_7F4A_7C15)
    )
    .into()
}

struct Run {
    packing: Packing,
    lines: u64,
    stop: CancellationToken,
    progress: Arc<Progress>,
}

impl Run {
    fn new(packing: impl Into<Packing>, lines: u64) -> Self {
        Self {
            packing: packing.into(),
            lines,
            stop: CancellationToken::new(),
            progress: Arc::default(),
        }
    }

    /// A dump of `lines`, then `end`, which says what the strategy returns.
    async fn to(&self, target: &dyn Target, end: Result<(), &str>) -> Result<Piped, Failure> {
        let (mut pipe, body) = open(
            self.packing.clone(),
            Box::<Lines>::default(),
            Arc::clone(&self.progress),
            self.stop.clone(),
        );
        let dump = async move {
            for number in 0..self.lines {
                let written = pipe.write(line(number)).await;
                written.map_err(|error| Failure::temporary(error.to_string(), ""))?;
            }
            end.map_err(|error| Failure::permanent(error, ""))?;
            Ok(((), pipe.finish().await?))
        };
        let (target, stop) = (target, &self.stop);
        let ((), piped) = deliver(target, &key(), body, None, stop, dump).await?;
        Ok(piped)
    }
}

async fn check(target: &dyn Target, piped: &Piped) -> Result<Fingerprint, Failure> {
    let artifact = piped.artifact(&key());
    let stop = CancellationToken::new();
    read_back(target, &artifact, &stop).await?;
    let (lines, keys) = (Box::<Lines>::default(), Keys::default());
    Ok(verify(target, &artifact, &keys, lines, Arc::default(), &stop).await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_in_is_what_verify_finds() {
    for compression in Compression::ALL {
        for lines in [1, 1000, 400_000] {
            let target = Memory::new();
            let run = Run::new(compression, lines);
            let piped = run.to(&target, Ok(())).await.unwrap();
            let stored = target.bytes(&key()).unwrap();
            assert_eq!(piped.stored_bytes, stored.len() as u64);
            assert_eq!(piped.fingerprint.total(), lines);
            let counted = run.progress.snapshot();
            assert_eq!(counted.raw_bytes, piped.raw_bytes);
            assert_eq!(counted.stored_bytes, piped.stored_bytes);
            assert_eq!(check(&target, &piped).await.unwrap(), piped.fingerprint);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_dump_leaves_nothing_and_its_own_words() {
    for lines in [0, 10, 100_000] {
        let target = Memory::new();
        let run = Run::new(Compression::Gzip, lines);
        let failure = run.to(&target, Err("wrong password")).await.unwrap_err();
        assert_eq!(failure.message, "wrong password");
        assert_eq!(target.bytes(&key()), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_validator_refuses_is_not_stored() {
    let target = Memory::new();
    let run = Run::new(Compression::Zstd, 0);
    let failure = run.to(&target, Ok(())).await.unwrap_err();
    assert_eq!(failure.message, "the dump is not whole: it has no end");
    assert!(!failure.is_temporary());
    assert_eq!(target.bytes(&key()), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_that_is_dropped_ends_its_stream_in_an_error() {
    for lines in [0, 1, 100_000] {
        let (mut pipe, body) = open(
            Compression::Gzip,
            Box::<Lines>::default(),
            Arc::default(),
            CancellationToken::new(),
        );
        let target = Memory::new();
        let key = key();
        let put = target.put(&key, body, None);
        let dump = async move {
            for number in 0..lines {
                pipe.write(line(number)).await.unwrap();
            }
        };
        let (put, ()) = tokio::join!(put, dump);
        assert!(matches!(put, Err(crate::target::TargetError::Source(_))));
        assert_eq!(target.bytes(&key), None);
    }
}

/// A `write` that is dropped half done (a `select!`, a time-out) may have lost bytes.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_given_up_spoils_the_pipe() {
    let (mut pipe, body) = open(
        Compression::None,
        Box::<Lines>::default(),
        Arc::default(),
        CancellationToken::new(),
    );
    // Nobody reads the body yet: sooner or later a write has to wait.
    let chunk = line(1).repeat(100_000).into();
    while futures_util::poll!(pipe.write(Bytes::clone(&chunk))).is_ready() {
        tokio::task::yield_now().await;
    }
    let reading = tokio::spawn(body.collect::<Vec<_>>());
    assert!(pipe.write(line(2)).await.is_err());
    assert!(matches!(pipe.finish().await, Err(PipeError::Closed(_))));
    assert!(reading.await.unwrap().last().unwrap().is_err());
}

/// What a target says, and what it does, wrong while writing: never a success, and the next run
/// is good without cleaning.
#[tokio::test(flavor = "multi_thread")]
async fn no_fault_of_a_target_looks_like_a_backup() {
    let faults = [
        (Fault::Refuse, false, "permission denied"),
        (Fault::Full, false, "no space left"),
        (Fault::FullAfter(0), false, "no space left"),
        (Fault::FullAfter(300_000), false, "no space left"),
        (Fault::FailAfter(0), true, "the connection was cut"),
        (Fault::FailAfter(300_000), true, "the connection was cut"),
        (
            Fault::CorruptOnWay(77),
            false,
            "did not store what was sent: SHA-256",
        ),
    ];
    for (fault, temporary, words) in faults {
        for compression in Compression::ALL {
            let inner = Arc::new(Memory::new());
            let target = Faulty::new(inner.clone());
            let run = Run::new(compression, 60_000);
            target.inject(fault.clone(), Scope::Artifacts);
            let failure = run.to(&target, Ok(())).await.unwrap_err();
            assert!(
                failure.message.contains(words),
                "{fault:?}: {}",
                failure.message
            );
            assert_eq!(failure.is_temporary(), temporary, "{fault:?}");
            assert_eq!(inner.bytes(&key()), None);
            target.heal();
            let piped = Run::new(compression, 60_000)
                .to(&target, Ok(()))
                .await
                .unwrap();
            check(&target, &piped).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_lies_is_found_on_reading_back() {
    for fault in [Fault::LoseAfter(0), Fault::LoseAfter(9), Fault::Corrupt(20)] {
        for compression in Compression::ALL {
            let target = Faulty::new(Arc::new(Memory::new()));
            target.inject(fault.clone(), Scope::All);
            let piped = Run::new(compression, 1000)
                .to(&target, Ok(()))
                .await
                .unwrap();
            let failure = check(&target, &piped).await.unwrap_err();
            assert!(!failure.is_temporary());
            assert!(
                failure.message.contains("instead of"),
                "{}",
                failure.message
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_breaks_off_is_temporary_and_a_damaged_one_is_not() {
    let inner = Arc::new(Memory::new());
    let target = Faulty::new(inner);
    let piped = Run::new(Compression::Gzip, 50_000)
        .to(&target, Ok(()))
        .await
        .unwrap();
    let (artifact, stop) = (piped.artifact(&key()), CancellationToken::new());
    for (fault, temporary) in [
        (Fault::FailReadAfter(9), true),
        (Fault::CorruptRead(99), false),
    ] {
        target.inject(fault, Scope::All);
        let lines = Box::<Lines>::default();
        let keys = Keys::default();
        let verified = verify(&target, &artifact, &keys, lines, Arc::default(), &stop).await;
        let unreadable = |flaw: &Flaw| matches!(flaw, Flaw::Unreadable(_));
        assert_eq!(unreadable(&verified.unwrap_err()), temporary);
        let read = read_back(&target, &artifact, &stop).await;
        assert_eq!(unreadable(&read.unwrap_err()), temporary);
    }
}

/// A strategy that waits for ever (a lock) while the disk is full.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_a_dump_that_waits() {
    let target = Faulty::new(Arc::new(Memory::new()));
    target.inject(Fault::Full, Scope::All);
    let stop = CancellationToken::new();
    let lines = Box::<Lines>::default();
    let (pipe, body) = open(Compression::Gzip, lines, Arc::default(), stop.clone());
    let dump = async {
        let _pipe = pipe;
        stop.cancelled().await;
        Err::<((), Piped), _>(Failure::permanent("cancelled", ""))
    };
    let failure = deliver(&target, &key(), body, None, &stop, dump)
        .await
        .unwrap_err();
    assert!(failure.message.contains("no space left"));
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_frees_a_dump_from_a_target_that_hangs() {
    let inner = Arc::new(Memory::new());
    let target = Faulty::new(inner.clone());
    let (reached, release) = (CancellationToken::new(), CancellationToken::new());
    let (after, stalled) = (500_000, reached.clone());
    target.inject(
        Fault::Stall {
            after,
            reached,
            release,
        },
        Scope::All,
    );
    let run = Run::new(Compression::None, 2_000_000);
    let stop = run.stop.clone();
    let dumping = tokio::spawn(async move { run.to(&target, Ok(())).await });
    stalled.cancelled().await;
    stop.cancel();
    let ended = timeout(Duration::from_secs(30), dumping).await;
    assert!(ended.expect("it ends").unwrap().is_err());
    assert_eq!(inner.bytes(&key()), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_hangs_stops_the_dump_within_bounded_memory() {
    let target = Faulty::new(Arc::new(Memory::new()));
    let (reached, release) = (CancellationToken::new(), CancellationToken::new());
    let after = 0;
    target.inject(
        Fault::Stall {
            after,
            reached,
            release,
        },
        Scope::All,
    );
    let run = Run::new(Compression::None, 1 << 30);
    let dump = run.to(&target, Ok(()));
    assert!(timeout(Duration::from_millis(500), dump).await.is_err());
    let taken = run.progress.snapshot().raw_bytes;
    assert!(taken < 20 << 20, "{taken} bytes taken");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// Every damage to a stored artifact is found, and none is seen where there is none.
    #[test]
    fn every_damage_is_found(
        compression in proptest::sample::select(&Compression::ALL),
        lines in 1..3000_u64,
        at in any::<prop::sample::Index>(),
        damage in 0..4,
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let target = Memory::new();
            let piped = Run::new(compression, lines).to(&target, Ok(())).await.unwrap();
            check(&target, &piped).await.unwrap();
            let mut bytes = target.bytes(&key()).unwrap().to_vec();
            let at = at.index(bytes.len());
            match damage {
                0 => bytes[at] ^= 4,
                1 => bytes.truncate(at),
                2 => bytes.insert(at, b'x'),
                _ => {
                    // Another good artifact in its place.
                    let other = Memory::new();
                    Run::new(compression, lines + 1).to(&other, Ok(())).await.unwrap();
                    bytes = other.bytes(&key()).unwrap().to_vec();
                }
            }
            target.plant(&key(), bytes);
            let (artifact, stop) = (piped.artifact(&key()), CancellationToken::new());
            let lines = Box::<Lines>::default();
            let keys = Keys::default();
            let verified = verify(&target, &artifact, &keys, lines, Arc::default(), &stop).await;
            let Err(Flaw::Damaged(failure)) = verified else {
                panic!("{verified:?}");
            };
            assert!(failure.message.contains("instead of"), "{failure:?}");
        });
    }
}

/// What reads and writes back an encrypted artifact, and what it is.
async fn encrypted(target: &dyn Target) -> (Piped, Keys) {
    let ((public, private), (other, _)) = (codec::generate(), codec::generate());
    let recipients = Recipients::parse(&[public, other]).unwrap_or_default();
    let packing = Packing {
        compression: Compression::Gzip,
        recipients,
    };
    let piped = Run::new(packing, 100_000).to(target, Ok(())).await.unwrap();
    (piped, Keys::parse(&private).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_encrypted_is_verified_with_a_key_and_read_back_without() {
    let target = Memory::new();
    let (piped, keys) = encrypted(&target).await;
    let (artifact, stop) = (piped.artifact(&key()), CancellationToken::new());
    assert_eq!(artifact.recipients.len(), 2);
    let stored = target.bytes(&key()).unwrap();
    assert!(stored.starts_with(codec::MAGIC));
    assert_eq!(piped.stored_bytes, stored.len() as u64);
    read_back(&target, &artifact, &stop).await.unwrap();
    let verify_with = async |keys: &Keys| {
        let lines = Box::<Lines>::default();
        verify(&target, &artifact, keys, lines, Arc::default(), &stop).await
    };
    assert_eq!(verify_with(&keys).await.unwrap().total(), 100_000);
    let (_, stranger) = codec::generate();
    for keys in [Keys::default(), Keys::parse(&stranger).unwrap()] {
        let Err(Flaw::Unreadable(failure)) = verify_with(&keys).await else {
            panic!("a stranger's key says nothing about the artifact");
        };
        assert!(!failure.is_temporary() && failure.hint.contains("age1"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_to_what_is_encrypted_is_found_with_and_without_a_key() {
    for fault in [
        Fault::LoseAfter(70_000),
        Fault::Corrupt(20),
        Fault::Corrupt(70_000),
    ] {
        let target = Faulty::new(Arc::new(Memory::new()));
        target.inject(fault, Scope::All);
        let (piped, keys) = encrypted(&target).await;
        let (artifact, stop) = (piped.artifact(&key()), CancellationToken::new());
        let read = read_back(&target, &artifact, &stop).await;
        let lines = Box::<Lines>::default();
        let verified = verify(&target, &artifact, &keys, lines, Arc::default(), &stop).await;
        let (Err(Flaw::Damaged(_)), Err(Flaw::Damaged(found))) = (&read, &verified) else {
            panic!("{read:?}, {verified:?}");
        };
        assert!(found.message.contains("instead of"), "{}", found.message);
    }
}

/// Nobody may read to its end what the validator did not accept: the last chunk is not written.
#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_is_not_whole_leaves_nothing_encrypted_either() {
    let target = Memory::new();
    let (public, _) = codec::generate();
    let packing = Packing {
        compression: Compression::None,
        recipients: Recipients::parse(&[public]).unwrap_or_default(),
    };
    let failure = Run::new(packing, 0).to(&target, Ok(())).await.unwrap_err();
    assert!(failure.message.contains("not whole"), "{}", failure.message);
    assert!(target.bytes(&key()).is_none());
}
