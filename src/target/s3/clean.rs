//! Taking back: what a put that came to nothing has begun, and what a dead process left open. An
//! unfinished upload shows in no listing and costs as much as an object.

use aws_sdk_s3::error::ProvideErrorMetadata;

use super::{
    put::Work,
    store::{Store, is_unknown},
    turns,
};
use crate::target::{Key, TargetError};

/// A part that arrives while its upload is aborted may stay: then it has to be aborted again.
const ABORTS: usize = 5;

/// Leaves nothing of the put, as far as the store can be asked; what stays then is found again by
/// its key. May be dropped, and called again.
pub async fn take_back(work: &mut Work) {
    work.parts.shutdown().await;
    if let Some(creating) = &mut work.creating {
        let created = creating.await;
        work.creating = None;
        work.upload = created.ok().and_then(Result::ok);
    }
    if let Some(committing) = &mut work.committing {
        let _said = committing.await; // what lies there says more
        work.committing = None;
    }
    let (store, key) = (&work.store, &work.key);
    if let Some(upload) = &work.upload {
        let _left = abort(store, key, upload).await;
    }
    if work.begun {
        // One whose answer was lost has a name that only the store knows.
        let _left = abort_at(store, key).await;
    }
    if work.committed
        && let Ok(Some(found)) = store.find(key).await
        && found.mark.as_ref() == Some(&work.mark)
    {
        let _left = store.remove(key).await;
    }
}

/// Ends an upload, and makes sure that it is gone.
pub async fn abort(store: &Store, key: &Key, upload: &str) -> Result<(), TargetError> {
    let (client, bucket, object) = (store.client(), &store.bucket().name, store.object(key));
    for _ in 0..ABORTS {
        let abort = client.abort_multipart_upload().bucket(bucket);
        match abort.key(&object).upload_id(upload).send().await {
            Ok(_) => {}
            Err(error) if error.code() == Some("NoSuchUpload") => return Ok(()),
            Err(error) => return Err(store.told(key.as_str(), &error)),
        }
        let parts = client.list_parts().bucket(bucket).key(&object);
        if parts.upload_id(upload).send().await.is_err() {
            return Ok(()); // no such upload, or nothing that can be known about it
        }
    }
    Ok(())
}

/// Ends what is open under this very key. The caller has its turn.
pub async fn abort_at(store: &Store, key: &Key) -> Result<(), TargetError> {
    let open = open(store, &store.object(key)).await;
    for (found, upload) in open.named {
        if found == *key {
            abort(store, key, &upload).await?;
        }
    }
    open.whole
}

/// Ends all that is open under our prefix and nobody in this process works at; the keys of those.
pub async fn sweep(store: &Store) -> Result<Vec<String>, TargetError> {
    let mut swept = Vec::new();
    let open = open(store, &store.bucket().prefix).await;
    for (key, upload) in open.named {
        if let Some(_turn) = turns::free(&store.place(&key)) {
            abort(store, &key, &upload).await?;
            swept.push(key.to_string());
        }
    }
    open.whole.map(|()| swept)
}

/// Open uploads, as far as a store named them: what it did name is ended also when there are more.
struct Open {
    named: Vec<(Key, String)>,
    /// Why these may not be all.
    whole: Result<(), TargetError>,
}

/// Those whose objects' names begin so; none where the store cannot tell.
async fn open(store: &Store, start: &str) -> Open {
    let mut named = Vec::new();
    let whole = gather(store, start, &mut named).await;
    Open { named, whole }
}

async fn gather(
    store: &Store,
    start: &str,
    named: &mut Vec<(Key, String)>,
) -> Result<(), TargetError> {
    let mut after = (None, None);
    loop {
        let list = store.client().list_multipart_uploads();
        let list = list.bucket(&store.bucket().name).prefix(start);
        let list = list.set_key_marker(after.0.clone());
        let page = match list.set_upload_id_marker(after.1.clone()).send().await {
            Ok(page) => page,
            Err(error) if is_unknown(&error) => return Ok(()),
            Err(error) => return Err(store.told(start, &error)),
        };
        for upload in page.uploads() {
            let object = upload.key().unwrap_or_default();
            let key = object.strip_prefix(store.bucket().prefix.as_str());
            if let (Some(Ok(key)), Some(id)) = (key.map(Key::parse), upload.upload_id()) {
                named.push((key, id.to_owned()));
            }
        }
        if page.is_truncated() != Some(true) {
            return Ok(());
        }
        let next = (
            page.next_key_marker().map(str::to_owned),
            page.next_upload_id_marker().map(str::to_owned),
        );
        // To take it for the whole would be to leave open, and to pay for, whatever comes after.
        if next == after || next.0.is_none() {
            return Err(store.unavailable("its list of open uploads breaks off"));
        }
        after = next;
    }
}
