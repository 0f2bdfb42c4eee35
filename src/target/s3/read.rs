//! Reading: an object or a part of it, and which there are.

use std::{io, ops::Range};

use futures_util::{StreamExt, stream};
use tokio::time::timeout;

use super::store::Store;
use crate::target::{ByteStream, Entry, Key, TargetError, layout};

pub async fn get(
    store: &Store,
    key: &Key,
    range: Option<Range<u64>>,
) -> Result<ByteStream, TargetError> {
    let outside = |size: u64, range: &Range<u64>| {
        store.refused(format!("{key} has {size} bytes, {range:?} were asked for"))
    };
    if let Some(range) = range.as_ref().filter(|range| range.start >= range.end) {
        // A request cannot ask for nothing.
        let found = store.find(key).await?;
        let size = found.ok_or_else(|| missing(store, key))?.size;
        return if range.start == range.end && range.end <= size {
            Ok(stream::empty().boxed())
        } else {
            Err(outside(size, range))
        };
    }
    let request = store.client().get_object().bucket(&store.bucket().name);
    let wanted = range.as_ref();
    let wanted = wanted.map(|range| format!("bytes={}-{}", range.start, range.end - 1));
    let answer = request
        .key(store.object(key))
        .set_range(wanted)
        .send()
        .await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => {
            let status = error.raw_response().map(|raw| raw.status().as_u16());
            // 400 is what some say to numbers beyond all files.
            if let (Some(400 | 416), Some(range)) = (status, &range)
                && let Some(found) = store.find(key).await?
                && range.end > found.size
            {
                return Err(outside(found.size, range));
            }
            return Err(store.told(key.as_str(), &error));
        }
    };
    let length = answer.content_length().and_then(|n| u64::try_from(n).ok());
    if let Some(range) = &range {
        let size = answer
            .content_range()
            .and_then(|said| said.rsplit_once('/'));
        let size = size.and_then(|(_, size)| size.parse().ok()).unwrap_or(0);
        if range.end > size {
            return Err(outside(size, range));
        }
        if length != Some(range.end - range.start) {
            return Err(store.unavailable(format!("it gave another part of {key}")));
        }
    }
    let reading = Reading {
        body: answer.body,
        left: length,
        store: store.clone(),
    };
    Ok(stream::try_unfold(reading, Reading::next).boxed())
}

struct Reading {
    body: aws_sdk_s3::primitives::ByteStream,
    /// Bytes that have to come.
    left: Option<u64>,
    store: Store,
}

impl Reading {
    async fn next(mut self) -> io::Result<Option<(bytes::Bytes, Self)>> {
        let chunk = timeout(self.store.stall(), self.body.next()).await;
        let chunk = chunk.map_err(|_| {
            let text = format!("{} sends nothing any more", self.store.at());
            io::Error::new(io::ErrorKind::TimedOut, text)
        })?;
        match chunk {
            Some(chunk) => {
                let chunk = chunk.map_err(io::Error::other)?;
                self.left = self
                    .left
                    .map(|left| left.saturating_sub(chunk.len() as u64));
                Ok(Some((chunk, self)))
            }
            None if self.left.is_none_or(|left| left == 0) => Ok(None),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

pub async fn list(store: &Store, prefix: &str) -> Result<Vec<Entry>, TargetError> {
    layout::split_prefix(prefix)?;
    let (ours, mut entries, mut after) = (&store.bucket().prefix, Vec::new(), None);
    loop {
        let request = store.client().list_objects_v2();
        let request = request.bucket(&store.bucket().name);
        let request = request.prefix(format!("{ours}{prefix}"));
        let page = request.set_continuation_token(after.clone()).send().await;
        let page = page.map_err(|error| store.told(prefix, &error))?;
        for object in page.contents() {
            let name = object
                .key()
                .and_then(|name| name.strip_prefix(ours.as_str()));
            let size = object.size().and_then(|size| u64::try_from(size).ok());
            // What is no key of ours was not put there by us.
            if let (Some(Ok(key)), Some(size)) = (name.map(Key::parse), size) {
                entries.push(Entry { key, size });
            }
        }
        let next = page.next_continuation_token().map(str::to_owned);
        match next {
            Some(next) if after.as_ref() != Some(&next) => after = Some(next),
            // To take it for the whole would be to call gone whatever comes after.
            _ if page.is_truncated() == Some(true) => {
                return Err(store.unavailable("its list breaks off"));
            }
            _ => break,
        }
    }
    entries.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(entries)
}

pub fn missing(store: &Store, key: &Key) -> TargetError {
    TargetError::Missing {
        key: key.to_string(),
        at: store.at().to_owned(),
    }
}
