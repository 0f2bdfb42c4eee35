//! Answers that differ from the protocol in a word, and what they mean all the same; and what a store was
//! found not to know, so that it is not asked again.

use std::{
    collections::BTreeSet,
    sync::{LazyLock, Mutex, PoisonError},
};

use aws_sdk_s3::{config::http::HttpResponse, error::SdkError};

/// Stores that do not know `If-None-Match`. Of the whole process: a target is opened anew by whoever uses
/// it. Forgotten by a restart, which costs one request.
static UNCONDITIONAL: LazyLock<Mutex<BTreeSet<String>>> = LazyLock::new(Mutex::default);

/// The conditions that an object is to be stored under, one after the other as long as they are not known.
pub fn conditions(store: &str) -> &'static [Option<&'static str>] {
    let found = UNCONDITIONAL.lock().unwrap_or_else(PoisonError::into_inner);
    if found.contains(store) {
        &[None]
    } else {
        &[Some("*"), None]
    }
}

/// `store` has said that it knows none.
pub fn knows_no_condition(store: &str) {
    let mut found = UNCONDITIONAL.lock().unwrap_or_else(PoisonError::into_inner);
    found.insert(store.to_owned());
}

/// The upload that was begun, although the answer could not be read: `rclone serve s3` calls it
/// `InitiateMultipartUpload`, without the `Result`.
pub fn upload_begun<E>(error: &SdkError<E, HttpResponse>) -> Option<String> {
    let answer = error.raw_response()?;
    let is_good = answer.status().as_u16() == 200;
    named(answer.body().bytes().filter(|_| is_good)?)
}

fn named(answer: &[u8]) -> Option<String> {
    let (_, answer) = str::from_utf8(answer)
        .ok()?
        .split_once("<InitiateMultipartUpload>")?;
    let (_, id) = answer.split_once("<UploadId>")?;
    let (id, _) = id.split_once("</UploadId>")?;
    let is_plain = |c: char| c.is_ascii_graphic() && !"<>&".contains(c);
    (!id.is_empty() && id.len() <= 1024 && id.chars().all(is_plain)).then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_store_does_not_know_is_asked_of_it_once() {
        let one = "https://one.example.com backups";
        assert_eq!(conditions(one), [Some("*"), None]);
        knows_no_condition(one);
        assert_eq!(conditions(one), [None]);
        assert_eq!(
            conditions("https://two.example.com backups"),
            [Some("*"), None]
        );
    }

    #[test]
    fn an_upload_is_found_where_its_answer_has_another_name() {
        let said = |id: &str| {
            let id = format!("<Bucket>b</Bucket><UploadId>{id}</UploadId>");
            format!(
                "<?xml version=\"1.0\"?>\n<InitiateMultipartUpload>{id}</InitiateMultipartUpload>"
            )
        };
        let id = "dc5ce76e-cc91-4517-b861-58256a997a09";
        assert_eq!(named(said(id).as_bytes()).as_deref(), Some(id));
        for id in ["", "a&amp;b", "<b>", "a b"] {
            assert_eq!(named(said(id).as_bytes()), None, "{id}");
        }
        for other in [
            "",
            "<Error><Code>SlowDown</Code></Error>",
            "<UploadId>1</UploadId>",
        ] {
            assert_eq!(named(other.as_bytes()), None, "{other}");
        }
    }
}
