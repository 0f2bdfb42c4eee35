//! A stream into an object, whole or absent. Small ones go up in one request; of longer ones the
//! parts go up side by side and become an object at the end, at once.
//!
//! A request that was sent may be carried out though its answer is lost. So those that make
//! something (an upload, the object) run in tasks that nobody cancels, and who cleans up waits for
//! their end (`clean.rs`); and each put leaves its mark on the object, by which it is known
//! afterwards whose it is: not what the store answered decides, but what lies there.

use std::mem;

use aws_sdk_s3::{
    primitives::ByteStream as Payload,
    types::{CompletedMultipartUpload, CompletedPart},
};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use ulid::Ulid;

use super::{
    clean, parts, quirks,
    store::{DIGEST, MARK, Store, is_unknown},
    turns::{self, Turn},
};
use crate::target::{ByteStream, Key, Stored, TargetError};

/// Bytes that go up in one request.
pub const WHOLE: usize = 8 << 20;

/// What is longer than `whole` bytes goes up in parts.
pub async fn put(
    store: &Store,
    key: &Key,
    body: ByteStream,
    whole: usize,
) -> Result<Stored, TargetError> {
    let turn = turns::wait(&store.place(key)).await;
    if store.find(key).await?.is_some() {
        return Err(store.exists(key));
    }
    let mut attempt = Attempt(None);
    let work = attempt.0.insert(Work {
        store: store.clone(),
        key: key.clone(),
        mark: Ulid::generate().to_string(),
        begun: false,
        creating: None,
        upload: None,
        parts: JoinSet::new(),
        committing: None,
        committed: false,
        _turn: turn,
    });
    let result = work.run(body, whole).await;
    if result.is_err() {
        clean::take_back(work).await;
    }
    attempt.0 = None;
    result
}

/// Takes the put back when its future is dropped, also while it is being taken back.
struct Attempt(Option<Work>);

impl Drop for Attempt {
    fn drop(&mut self) {
        let Some(mut work) = self.0.take() else {
            return;
        };
        // Without a runtime the process ends: the next one cleans up by the key.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { clean::take_back(&mut work).await });
        }
    }
}

/// What a put has begun.
pub(super) struct Work {
    pub store: Store,
    pub key: Key,
    /// On the object, to know it by.
    pub mark: String,
    /// An upload was asked for.
    pub begun: bool,
    pub creating: Option<JoinHandle<Result<String, TargetError>>>,
    pub upload: Option<String>,
    pub parts: JoinSet<Result<CompletedPart, TargetError>>,
    pub committing: Option<JoinHandle<Result<(), TargetError>>>,
    /// The object was asked for.
    pub committed: bool,
    _turn: Turn,
}

impl Work {
    async fn run(&mut self, body: ByteStream, whole: usize) -> Result<Stored, TargetError> {
        let mut source = Source::new(body);
        let first = source.part(parts::size(0)).await?;
        if source.ended && first.len() <= whole {
            self.put_whole(first, source.digest()).await?;
        } else {
            self.put_parts(first, &mut source).await?;
        }
        self.decide(source.size).await?;
        if self.begun {
            // Asked for twice, because an answer was lost, it was begun twice. A backup is not worse
            // for what cannot be ended now: deleting it will.
            let _left = clean::abort_at(&self.store, &self.key).await;
        }
        Ok(Stored {
            size: source.size,
            sha256: source.digest(),
        })
    }

    async fn put_whole(&mut self, bytes: Bytes, digest: String) -> Result<(), TargetError> {
        let (store, key, mark) = (self.store.clone(), self.key.clone(), self.mark.clone());
        self.commit(async move {
            let name = store.name();
            for condition in quirks::conditions(&name) {
                let request = store.client().put_object();
                let request = request
                    .bucket(&store.bucket().name)
                    .key(store.object(&key))
                    .metadata(MARK, &mark)
                    .metadata(DIGEST, &digest)
                    .set_if_none_match(condition.map(str::to_owned))
                    .body(Payload::from(bytes.clone()))
                    .customize()
                    .config_override(store.sending(bytes.len()));
                match request.send().await {
                    Ok(_) => break,
                    Err(error) if condition.is_some() && is_unknown(&error) => {
                        quirks::knows_no_condition(&name);
                    }
                    Err(error) => return Err(store.told(key.as_str(), &error)),
                }
            }
            Ok(())
        })
        .await
    }

    async fn put_parts(&mut self, first: Bytes, source: &mut Source) -> Result<(), TargetError> {
        self.create().await?;
        let (mut part, mut index, mut done) = (first, 0, Vec::new());
        loop {
            while self.parts.len() >= parts::parallel(parts::size(index)) {
                let ended = self.parts.join_next().await;
                done.extend(ended.map(finished).transpose()?);
            }
            if index == parts::MAX {
                let reason = format!("{} is longer than a store takes", self.key);
                return Err(self.store.refused(reason));
            }
            self.send_part(index, part);
            index += 1;
            part = loop {
                tokio::select! {
                    biased;
                    Some(ended) = self.parts.join_next() => done.push(finished(ended)?),
                    part = source.part(parts::size(index)) => break part?,
                }
            };
            if part.is_empty() {
                break;
            }
        }
        while let Some(ended) = self.parts.join_next().await {
            done.push(finished(ended)?);
        }
        done.sort_by_key(CompletedPart::part_number);
        self.complete(done).await
    }

    async fn create(&mut self) -> Result<(), TargetError> {
        self.begun = true;
        let (store, key, mark) = (self.store.clone(), self.key.clone(), self.mark.clone());
        let creating = self.creating.insert(tokio::spawn(async move {
            let request = store.client().create_multipart_upload();
            let request = request.bucket(&store.bucket().name).key(store.object(&key));
            let id = match request.metadata(MARK, mark).send().await {
                Ok(created) => created.upload_id,
                Err(error) => match quirks::upload_begun(&error) {
                    None => return Err(store.told(key.as_str(), &error)),
                    begun => begun,
                },
            };
            let unnamed = || store.unavailable("it began an upload and gave it no name");
            id.filter(|id| !id.is_empty()).ok_or_else(unnamed)
        }));
        let created = creating.await;
        self.creating = None;
        self.upload = Some(created.map_err(|error| broken(&error)).flatten()?);
        Ok(())
    }

    fn send_part(&mut self, index: usize, bytes: Bytes) {
        let (store, key) = (self.store.clone(), self.key.clone());
        let number = i32::try_from(index + 1).unwrap_or(i32::MAX);
        let upload = self.upload.clone();
        self.parts.spawn(async move {
            let request = store.client().upload_part();
            let request = request
                .bucket(&store.bucket().name)
                .key(store.object(&key))
                .set_upload_id(upload)
                .part_number(number)
                .body(Payload::from(bytes.clone()))
                .customize()
                .config_override(store.sending(bytes.len()));
            match request.send().await {
                Ok(sent) => Ok(CompletedPart::builder()
                    .part_number(number)
                    .set_e_tag(sent.e_tag().map(str::to_owned))
                    .build()),
                Err(error) => Err(store.told(key.as_str(), &error)),
            }
        });
    }

    async fn complete(&mut self, done: Vec<CompletedPart>) -> Result<(), TargetError> {
        let (store, key, upload) = (self.store.clone(), self.key.clone(), self.upload.clone());
        let parts = CompletedMultipartUpload::builder().set_parts(Some(done));
        let parts = parts.build();
        self.commit(async move {
            let name = store.name();
            for condition in quirks::conditions(&name) {
                let request = store.client().complete_multipart_upload();
                let request = request
                    .bucket(&store.bucket().name)
                    .key(store.object(&key))
                    .set_upload_id(upload.clone())
                    .multipart_upload(parts.clone())
                    .set_if_none_match(condition.map(str::to_owned))
                    .customize()
                    .config_override(store.sending(0));
                match request.send().await {
                    Ok(_) => break,
                    Err(error) if condition.is_some() && is_unknown(&error) => {
                        quirks::knows_no_condition(&name);
                    }
                    Err(error) => return Err(store.told(key.as_str(), &error)),
                }
            }
            Ok(())
        })
        .await
    }

    /// The request that makes the object, to its end even when nobody waits for it any more. What
    /// it said is only believed as far as `decide` finds it.
    async fn commit(
        &mut self,
        request: impl Future<Output = Result<(), TargetError>> + Send + 'static,
    ) -> Result<(), TargetError> {
        self.committed = true;
        let committing = self.committing.insert(tokio::spawn(request));
        let said = committing.await;
        self.committing = None;
        let said = said.map_err(|error| broken(&error)).flatten();
        match said {
            Ok(()) => Ok(()),
            // Its answer may have been lost, and a repeated request found its own object.
            Err(said) => match self.store.find(&self.key).await {
                Ok(Some(found)) if found.mark.as_ref() == Some(&self.mark) => Ok(()),
                Ok(_) | Err(_) => Err(said),
            },
        }
    }

    /// What lies there now, whatever was said.
    async fn decide(&self, size: u64) -> Result<(), TargetError> {
        let Some(found) = self.store.find(&self.key).await? else {
            let reason = format!("it said that {} was stored, and does not have it", self.key);
            return Err(self.store.unavailable(reason));
        };
        // Some stores keep no metadata.
        if found.mark.is_some_and(|mark| mark != self.mark) {
            return Err(self.store.exists(&self.key));
        }
        if found.size != size {
            let (key, found) = (&self.key, found.size);
            let reason = format!("{key} has {found} bytes there, {size} were sent");
            return Err(self.store.unavailable(reason));
        }
        Ok(())
    }
}

fn finished(
    ended: Result<Result<CompletedPart, TargetError>, JoinError>,
) -> Result<CompletedPart, TargetError> {
    ended.map_err(|error| broken(&error)).flatten()
}

/// A task of ours panicked.
fn broken(error: &JoinError) -> TargetError {
    TargetError::Unavailable {
        at: "the upload".to_owned(),
        reason: error.to_string(),
    }
}

/// The body, in pieces of the wanted sizes, counted and hashed.
struct Source {
    body: ByteStream,
    /// What came and does not belong to a part yet.
    left: Bytes,
    filled: BytesMut,
    hash: Sha256,
    size: u64,
    ended: bool,
}

impl Source {
    fn new(body: ByteStream) -> Self {
        Self {
            body,
            left: Bytes::new(),
            filled: BytesMut::new(),
            hash: Sha256::new(),
            size: 0,
            ended: false,
        }
    }

    /// The next so many bytes, fewer at the end. Dropped half-way, it goes on where it was.
    async fn part(&mut self, size: usize) -> Result<Bytes, TargetError> {
        while self.filled.len() < size && !self.ended {
            if self.left.is_empty() {
                match self.body.next().await {
                    Some(chunk) => {
                        self.left = chunk.map_err(TargetError::Source)?;
                        self.hash.update(&self.left);
                        self.size += self.left.len() as u64;
                    }
                    None => self.ended = true,
                }
            }
            let room = size - self.filled.len();
            let piece = self.left.split_to(room.min(self.left.len()));
            self.filled.extend_from_slice(&piece);
        }
        Ok(mem::take(&mut self.filled).freeze())
    }

    /// Lower hex.
    fn digest(&self) -> String {
        hex::encode(self.hash.clone().finalize())
    }
}
