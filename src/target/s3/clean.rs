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

/// Ends what is open under this very key and nobody in this process works at.
pub async fn abort_at(store: &Store, key: &Key) -> Result<(), TargetError> {
    for (found, upload) in open(store, &store.object(key)).await? {
        if found == *key {
            abort(store, key, &upload).await?;
        }
    }
    Ok(())
}

/// Ends all that is open under our prefix and nobody in this process works at; the keys of those.
pub async fn sweep(store: &Store) -> Result<Vec<String>, TargetError> {
    let mut swept = Vec::new();
    for (key, upload) in open(store, &store.bucket().prefix).await? {
        if let Some(_turn) = turns::free(&store.place(&key)) {
            abort(store, &key, &upload).await?;
            swept.push(key.to_string());
        }
    }
    Ok(swept)
}

/// Open uploads whose objects' names begin so; none where the store cannot tell.
async fn open(store: &Store, start: &str) -> Result<Vec<(Key, String)>, TargetError> {
    let (mut found, mut after) = (Vec::new(), (None, None));
    loop {
        let list = store.client().list_multipart_uploads();
        let list = list.bucket(&store.bucket().name).prefix(start);
        let list = list.set_key_marker(after.0.clone());
        let page = match list.set_upload_id_marker(after.1.clone()).send().await {
            Ok(page) => page,
            Err(error) if is_unknown(&error) => return Ok(found),
            Err(error) => return Err(store.told(start, &error)),
        };
        for upload in page.uploads() {
            let object = upload.key().unwrap_or_default();
            let key = object.strip_prefix(store.bucket().prefix.as_str());
            if let (Some(Ok(key)), Some(id)) = (key.map(Key::parse), upload.upload_id()) {
                found.push((key, id.to_owned()));
            }
        }
        let next = (
            page.next_key_marker().map(str::to_owned),
            page.next_upload_id_marker().map(str::to_owned),
        );
        if page.is_truncated() != Some(true) || next == after || next.0.is_none() {
            return Ok(found);
        }
        after = next;
    }
}
