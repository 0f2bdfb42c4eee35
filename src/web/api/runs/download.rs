//! The artifact itself: the bytes as they are stored, in whole or in part, with everything one
//! needs to check them.

use std::ops::Range;

use poem::{
    Body, Response,
    http::{HeaderValue, StatusCode, header},
};

use crate::{
    app::{AppError, Download},
    domain::ids::RunId,
    web::api::{answer::Stream, error::ApiError, visit::Visit},
};

/// `asked` is the `Range` header, `unless` the `If-Range` header.
pub async fn answer(
    visit: &Visit,
    id: RunId,
    asked: Option<&str>,
    unless: Option<&str>,
) -> Result<Stream, ApiError> {
    let run = visit.holdfast.run(&visit.caller, id).await?;
    let size = run.artifact().map(|artifact| artifact.stored_bytes);
    let tag = format!("\"{}\"", run.checksum.unwrap_or_default());
    let asked = asked.filter(|_| unless.is_none_or(|unless| unless == tag));
    // Without an artifact there is nothing to have a part of: told below.
    let range = match (asked, size) {
        (Some(asked), Some(size)) => match part(asked, size) {
            Ok(range) => range,
            Err(()) => return Ok(Stream(not_satisfiable(size))),
        },
        _ => None,
    };
    let download = visit
        .holdfast
        .download(&visit.caller, id, range.clone())
        .await?;
    Ok(Stream(respond(download, range, &tag)?))
}

/// Where the store itself gives the artifact away.
pub async fn elsewhere(visit: &Visit, id: RunId) -> Result<Stream, ApiError> {
    let link = visit.holdfast.download_link(&visit.caller, id).await?;
    let local = || ApiError::invalid("presign", "this backup is on the server; leave it out");
    let link = link.ok_or_else(local)?;
    let response = Response::builder().status(StatusCode::TEMPORARY_REDIRECT);
    let response = response.header(header::LOCATION, value(&link)?);
    let response = response.header(header::CACHE_CONTROL, "no-store");
    Ok(Stream(response.finish()))
}

fn respond(download: Download, range: Option<Range<u64>>, tag: &str) -> Result<Response, ApiError> {
    let (status, length) = match &range {
        None => (StatusCode::OK, download.size),
        Some(range) => (StatusCode::PARTIAL_CONTENT, range.end - range.start),
    };
    let digest = base64(&hex::decode(&download.sha256).unwrap_or_default());
    let mut response = Response::builder()
        .status(status)
        .content_type("application/octet-stream")
        .header(header::CONTENT_LENGTH, length)
        .header(header::ACCEPT_RANGES, "bytes")
        .header(header::ETAG, tag)
        // Of the whole artifact: the old form and that of RFC 9530.
        .header("digest", format!("sha-256={digest}"))
        .header("repr-digest", format!("sha-256=:{digest}:"))
        .header("x-checksum-sha256", &download.sha256)
        .body(Body::from_bytes_stream(download.body));
    let headers = response.headers_mut();
    if let Some(copy) = &download.copy {
        headers.insert("holdfast-copy", value(copy)?);
    }
    if let Some(range) = range {
        let said = format!("bytes {}-{}/{}", range.start, range.end - 1, download.size);
        headers.insert(header::CONTENT_RANGE, value(&said)?);
    }
    // Names of artifacts are letters, digits, dots, dashes and underscores: nothing to quote.
    let name = format!("attachment; filename=\"{}\"", download.name);
    headers.insert(header::CONTENT_DISPOSITION, value(&name)?);
    Ok(response)
}

fn value(text: &str) -> Result<HeaderValue, ApiError> {
    let unfit = |_| AppError::Internal(format!("{text:?} does not fit into a header"));
    Ok(HeaderValue::from_str(text).map_err(unfit)?)
}

fn not_satisfiable(size: u64) -> Response {
    Response::builder()
        .status(StatusCode::RANGE_NOT_SATISFIABLE)
        .header(header::CONTENT_RANGE, format!("bytes */{size}"))
        .finish()
}

/// One range of bytes, end exclusive. `None`: what was asked for is not one, and may be passed
/// over; `Err`: it lies outside.
fn part(asked: &str, size: u64) -> Result<Option<Range<u64>>, ()> {
    let Some((first, last)) = asked.strip_prefix("bytes=").and_then(|r| r.split_once('-')) else {
        return Ok(None);
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Some(first), None) if last.is_empty() => first..size,
        (None, Some(last)) if first.is_empty() => size.saturating_sub(last)..size,
        _ => return Ok(None),
    };
    if range.start < range.end {
        Ok(Some(range))
    } else {
        Err(())
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let at = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let group = at(0) << 16 | at(1) << 8 | at(2);
        for place in 0..4 {
            let digit = DIGITS[(group >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() {
                char::from(digit)
            } else {
                '='
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_rfc() {
        for (asked, expected) in [
            ("bytes=0-0", Ok(Some(0..1))),
            ("bytes=0-", Ok(Some(0..100))),
            ("bytes=90-200", Ok(Some(90..100))),
            ("bytes=-10", Ok(Some(90..100))),
            ("bytes=-1000", Ok(Some(0..100))),
            ("bytes=100-", Err(())),
            ("bytes=100-200", Err(())),
            ("bytes=-0", Err(())),
            ("bytes=5-4", Ok(None)),
            ("bytes=-", Ok(None)),
            ("bytes=0-1,5-6", Ok(None)),
            ("bytes=+1-2", Ok(None)),
            ("lines=0-1", Ok(None)),
            ("bytes=99999999999999999999-", Err(())),
        ] {
            assert_eq!(part(asked, 100), expected, "{asked}");
        }
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
