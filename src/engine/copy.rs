//! A proved artifact, copied to a further target: read once more and compared on its way, so that what
//! arrives is what was proved, or nothing does. The manifest goes last here too. Repeating it is harmless:
//! what lies there already is compared instead of written. A copy of ours that was found damaged is taken
//! away first, and not before what takes its place was read whole: it may be all there is.

use std::sync::Arc;

use futures_util::StreamExt;
use tokio_util::sync::CancellationToken;

use super::{
    backup::{self, ManifestError},
    progress::Job,
    restore::ending_as,
    verify::{self, Flaw},
};
use crate::{
    domain::{failure::Failure, manifest::Manifest},
    strategy::Strategy,
    target::{ByteStream, Key, Target, TargetError, layout},
};

/// All that one attempt works with.
pub struct Order {
    pub from: Arc<dyn Target>,
    pub to: Arc<dyn Target>,
    /// As it lies in `from`.
    pub manifest: Manifest,
    pub strategy: &'static dyn Strategy,
    /// Read the copy back, too.
    pub verify: bool,
    /// What lies in `to` was stored by us and found damaged, or gone.
    pub replace: bool,
    pub stop: CancellationToken,
}

/// `Ok` only when artifact and manifest lie in `to`, with the bytes that were proved.
pub async fn run(order: &Order, job: &Job) -> Result<(), Failure> {
    let artifact = &order.manifest.artifact;
    let key = Key::parse(&artifact.key)?;
    if order.replace {
        clear(order, &key, job).await?;
    }
    job.enter("Copy", Some(artifact.stored_bytes));
    let written = write(order, &key, job).await?;
    if order.verify || !written {
        job.enter("Read the copy back", Some(artifact.stored_bytes));
        let read = verify::read_back(&*order.to, artifact, &order.stop).await;
        if written && matches!(read, Err(Flaw::Damaged(_) | Flaw::Missing(_))) {
            // Ours, and of no use: the next attempt would take it for somebody else's.
            order.to.delete(&key).await?;
        }
        read?;
    }
    write_manifest(order, &key).await
}

/// Makes room for a copy anew. One that is whole after all stays; its manifest is written again.
async fn clear(order: &Order, key: &Key, job: &Job) -> Result<(), Failure> {
    let artifact = &order.manifest.artifact;
    job.enter("Look at both", Some(artifact.stored_bytes));
    match verify::read_back(&*order.to, artifact, &order.stop).await {
        Ok(()) | Err(Flaw::Missing(_)) => {}
        Err(Flaw::Damaged(_)) => {
            verify::read_back(&*order.from, artifact, &order.stop).await?;
            order.to.delete(key).await?;
        }
        Err(flaw) => return Err(flaw.into()),
    }
    order.to.delete(&layout::manifest_key(key)?).await?;
    Ok(())
}

/// False when an earlier attempt has left something under the key.
async fn write(order: &Order, key: &Key, job: &Job) -> Result<bool, Failure> {
    let artifact = &order.manifest.artifact;
    if order.to.stat(key).await?.is_some() {
        return Ok(false);
    }
    // Nothing is there: this ends what a dead process may have left unfinished.
    order.to.delete(key).await?;
    let body = order.from.get(key, None).await?;
    let body = ending_as(counted(body, job), artifact.stored_sha256.clone());
    let put = order.to.put(key, body, Some(artifact.stored_bytes));
    let stored = tokio::select! {
        biased;
        () = order.stop.cancelled() => return Err(Failure::temporary("stopped", "")),
        stored = put => stored,
    };
    match stored {
        Ok(stored) if stored.sha256 == artifact.stored_sha256 => Ok(true),
        Ok(_) => {
            order.to.delete(key).await?;
            Err(Failure::permanent(
                format!("{} did not store what was sent", order.to.describe()),
                "Check the disk or the store: it loses or changes data.",
            ))
        }
        Err(TargetError::Exists { .. }) => Ok(false),
        Err(TargetError::Source(error)) => Err(Failure::temporary(
            format!(
                "{key} in {} cannot be copied: {error}",
                order.from.describe()
            ),
            "It is tried again; verify the backup if it stays.",
        )),
        Err(error) => Err(error.into()),
    }
}

fn counted(body: ByteStream, job: &Job) -> ByteStream {
    let progress = job.progress();
    body.inspect(move |chunk| {
        if let Ok(chunk) = chunk {
            progress.add_raw(chunk.len() as u64);
        }
    })
    .boxed()
}

/// The commands in it speak of where this copy lies.
async fn write_manifest(order: &Order, key: &Key) -> Result<(), Failure> {
    let mut manifest = order.manifest.clone();
    manifest.restore_by_hand = backup::by_hand(&order.strategy, &*order.to, key, &manifest);
    match backup::write_manifest(&*order.to, key, &manifest).await {
        // Of an earlier attempt: written last, so it is whole.
        Ok(()) | Err(ManifestError::Target(TargetError::Exists { .. })) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use chrono::Utc;
    use futures_util::stream;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::{
        domain::manifest::{Artifact, Compression, FORMAT, Fingerprint, Source},
        engine::progress::Hub,
        strategy,
        target::memory::{Fault, Faulty, Memory, Scope},
    };

    const CONTENT: &[u8] = b"what was proved, and nothing else";

    fn manifest() -> Manifest {
        let sha256 = hex::encode(Sha256::digest(CONTENT));
        Manifest {
            format: FORMAT,
            run: 1,
            attempt: 1,
            app: "shop".to_owned(),
            service: "db".to_owned(),
            config: 1,
            config_revision: 1,
            strategy: "sqlite".to_owned(),
            source: Source::default(),
            artifact: Artifact {
                key: "shop/1/db.db".to_owned(),
                compression: Compression::None,
                raw_bytes: CONTENT.len() as u64,
                stored_bytes: CONTENT.len() as u64,
                raw_sha256: sha256.clone(),
                stored_sha256: sha256,
                recipients: Vec::new(),
            },
            fingerprint: Fingerprint::default(),
            warnings: Vec::new(),
            started_at: Utc::now(),
            finished_at: Utc::now(),
            restore_by_hand: Vec::new(),
        }
    }

    fn key() -> Key {
        Key::parse("shop/1/db.db").unwrap()
    }

    async fn put(target: &Memory, content: &'static [u8]) {
        let body = stream::iter([Ok(Bytes::from_static(content))]).boxed();
        target.put(&key(), body, None).await.unwrap();
    }

    struct Bench {
        from: Arc<Memory>,
        to: Arc<Memory>,
        faulty: Arc<Faulty>,
    }

    impl Bench {
        async fn new() -> Self {
            let (from, to) = (Arc::new(Memory::new()), Arc::new(Memory::new()));
            put(&from, CONTENT).await;
            let faulty = Arc::new(Faulty::new(to.clone()));
            Self { from, to, faulty }
        }

        async fn copy(&self, verify: bool) -> Result<(), Failure> {
            self.make(verify, false).await
        }

        async fn make(&self, verify: bool, replace: bool) -> Result<(), Failure> {
            let order = Order {
                from: self.from.clone(),
                to: self.faulty.clone(),
                manifest: manifest(),
                strategy: strategy::find("sqlite").unwrap(),
                verify,
                replace,
                stop: CancellationToken::new(),
            };
            let job = Hub::new().begin("copy-1-0".to_owned());
            let made = tokio::time::timeout(Duration::from_secs(30), run(&order, &job));
            made.await.unwrap()
        }

        fn holds(&self) -> [bool; 2] {
            let manifest = layout::manifest_key(&key()).unwrap();
            [key(), manifest].map(|key| self.to.bytes(&key).is_some())
        }
    }

    #[tokio::test]
    async fn a_copy_can_be_made_again_and_again() {
        let bench = Bench::new().await;
        for _ in 0..3 {
            bench.copy(true).await.unwrap();
            assert_eq!(bench.holds(), [true, true]);
            assert_eq!(bench.to.bytes(&key()).unwrap(), CONTENT);
        }
    }

    /// A process died between the two.
    #[tokio::test]
    async fn an_artifact_without_a_manifest_is_compared_and_completed() {
        let bench = Bench::new().await;
        put(&bench.to, CONTENT).await;
        bench.copy(false).await.unwrap();
        assert_eq!(bench.holds(), [true, true]);
    }

    #[tokio::test]
    async fn somebody_elses_file_of_that_name_is_left_alone() {
        let bench = Bench::new().await;
        put(&bench.to, b"somebody else's").await;
        let failure = bench.copy(false).await.unwrap_err();
        assert!(!failure.is_temporary(), "{failure:?}");
        assert_eq!(bench.to.bytes(&key()).unwrap(), &b"somebody else's"[..]);
        assert_eq!(bench.holds(), [true, false]);
    }

    #[tokio::test]
    async fn what_the_first_target_changed_does_not_spread() {
        let bench = Bench::new().await;
        let bench = Bench {
            from: Arc::new(Memory::new()),
            ..bench
        };
        put(&bench.from, b"what was proved, and nothing elsE").await;
        let failure = bench.copy(true).await.unwrap_err();
        assert!(failure.message.contains("cannot be copied"), "{failure:?}");
        assert_eq!(bench.holds(), [false, false]);
    }

    #[tokio::test]
    async fn a_damaged_copy_is_replaced_whatever_of_it_is_damaged() {
        let bench = Bench::new().await;
        bench.make(true, true).await.unwrap();
        let manifest = layout::manifest_key(&key()).unwrap();
        for spoilt in [key(), manifest] {
            bench.to.delete(&spoilt).await.unwrap();
            let body = stream::iter([Ok(Bytes::from_static(b"spoilt"))]).boxed();
            bench.to.put(&spoilt, body, None).await.unwrap();
            bench.make(true, true).await.unwrap();
            assert_eq!(bench.to.bytes(&key()).unwrap(), CONTENT);
            let manifest = layout::manifest_key(&key()).unwrap();
            let said: Manifest =
                serde_json::from_slice(&bench.to.bytes(&manifest).unwrap()).unwrap();
            assert_eq!(said.artifact.key, key().as_str());
        }
    }

    /// What is left of the last one.
    #[tokio::test]
    async fn a_damaged_copy_stays_until_there_is_a_good_one_to_take_its_place() {
        let bench = Bench {
            from: Arc::new(Memory::new()),
            ..Bench::new().await
        };
        put(&bench.to, b"damaged").await;
        bench.make(true, true).await.unwrap_err();
        put(&bench.from, b"damaged too").await;
        bench.make(true, true).await.unwrap_err();
        assert_eq!(bench.to.bytes(&key()).unwrap(), &b"damaged"[..]);
    }

    #[tokio::test]
    async fn a_target_that_fails_is_tried_again_and_one_that_lies_is_not_believed() {
        for (fault, verify) in [(Fault::Full, false), (Fault::Corrupt(3), true)] {
            let bench = Bench::new().await;
            bench.faulty.inject(fault, Scope::All);
            bench.copy(verify).await.unwrap_err();
            assert_eq!(bench.holds(), [false, false]);
            bench.faulty.heal();
            bench.copy(verify).await.unwrap();
        }
    }
}
