//! Answers that differ from the protocol in a word, and what they mean all the same.

use aws_sdk_s3::{config::http::HttpResponse, error::SdkError};

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
