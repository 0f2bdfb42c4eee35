//! Trying a bucket out: everything that a backup and a restore will ask of it, with small objects of
//! its own, which are gone afterwards. Also shows what the store does differently from others.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use ulid::Ulid;

use super::{clean, put, read, store::Store};
use crate::target::{ByteStream, Key, TargetError, Trial};

const TEXT: &[u8] = b"Holdfast tried whether backups can be kept here.";
const VALID: Duration = Duration::from_secs(60);

pub fn key() -> Result<Key, TargetError> {
    Key::parse(&format!("holdfast-check/{}", Ulid::generate()))
}

pub fn body() -> ByteStream {
    stream::iter([Ok(Bytes::from_static(TEXT))]).boxed()
}

pub async fn run(store: &Store) -> Vec<Trial> {
    let (small, large) = match (key(), key()) {
        (Ok(small), Ok(large)) => (small, large),
        (Err(error), _) | (_, Err(error)) => return vec![Trial::of("put", Err(error))],
    };
    let stored = put::put(store, &small, body(), put::WHOLE).await;
    let mut trials = vec![Trial::of("put", stored.map(drop))];
    if !trials[0].ok {
        return trials; // all else would say the same
    }
    trials.push(Trial::of("read_back", read_back(store, &small).await));
    trials.push(Trial::of("list", listed(store, &small).await));
    trials.push(conditional(store, &small).await);
    trials.push(presigned(store, &small).await);
    let parts = put::put(store, &large, body(), 0).await;
    trials.push(Trial::of("multipart", parts.map(drop)));
    let open = clean::abort_at(store, &large).await;
    trials.push(Trial::of("open_uploads", open));
    let deleted = deleted(store, [&small, &large]).await;
    trials.push(Trial::of("delete", deleted));
    trials
}

async fn read_back(store: &Store, key: &Key) -> Result<(), TargetError> {
    let chunks = read::get(store, key, None).await?;
    let chunks: Vec<Bytes> = chunks.try_collect().await.map_err(TargetError::Source)?;
    if chunks.concat() == TEXT {
        Ok(())
    } else {
        Err(store.unavailable("it gave back something else than it was given"))
    }
}

async fn listed(store: &Store, key: &Key) -> Result<(), TargetError> {
    let found = read::list(store, key.as_str()).await?;
    if found.iter().any(|entry| entry.key == *key) {
        Ok(())
    } else {
        Err(store.unavailable("what was stored does not show in its list"))
    }
}

async fn conditional(store: &Store, key: &Key) -> Trial {
    const NAME: &str = "conditional_put";
    let request = store.client().put_object().bucket(&store.bucket().name);
    let request = request.key(store.object(key)).if_none_match("*");
    match request.body(Bytes::from_static(TEXT).into()).send().await {
        Ok(_) => Trial::failed(
            NAME,
            "it overwrites what is there though asked not to: give each Holdfast a prefix of its own",
        )
        .optional(),
        Err(error) => match store.told(key.as_str(), &error) {
            TargetError::Exists { .. } => Trial::passed(NAME, "what is there is not overwritten"),
            error => Trial::of(NAME, Err(error)).optional(),
        },
    }
}

async fn presigned(store: &Store, key: &Key) -> Trial {
    const NAME: &str = "presign";
    match super::presign(store, key, VALID).await {
        Ok(_) => Trial::passed(
            NAME,
            "links can be made; whether they can be reached, the browser finds",
        ),
        Err(error) => Trial::of(NAME, Err(error)).optional(),
    }
}

async fn deleted(store: &Store, keys: [&Key; 2]) -> Result<(), TargetError> {
    for key in keys {
        store.remove(key).await?;
        if store.find(key).await?.is_some() {
            return Err(store.unavailable("what was deleted is still there"));
        }
    }
    Ok(())
}
