//! The first lines of a dump say what made it. A restore looks at them before it does anything.

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::validate::{Dump, marks};
use crate::strategy::{RawStream, StrategyError, Validator};

/// Enough for the header of any version, in bytes.
const ENOUGH: usize = 4096;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// Major version of the dumped server, in the form of `server_version_num / 10000`.
    pub major: Option<u32>,
    /// Of all databases of a server.
    pub all: bool,
    /// In custom format.
    pub archive: bool,
}

/// Reads the header; the stream that comes back still begins with it.
pub async fn peek(artifact: RawStream) -> Result<(Header, RawStream), StrategyError> {
    // A dump shorter than the header's bound ends here, and is asked for its end again below.
    let mut artifact = artifact.fuse();
    let mut chunks: Vec<Bytes> = Vec::new();
    let mut length = 0;
    while length < ENOUGH {
        let Some(chunk) = artifact.next().await else {
            break;
        };
        let chunk = chunk.map_err(StrategyError::Artifact)?;
        length += chunk.len();
        chunks.push(chunk);
    }
    let header = parse(&chunks.concat());
    let whole = stream::iter(chunks.into_iter().map(Ok)).chain(artifact);
    Ok((header, whole.boxed()))
}

fn parse(start: &[u8]) -> Header {
    let mut dump = Dump::default();
    dump.feed(start);
    if let Some(server) = dump.archived_server() {
        return Header {
            major: major(server),
            all: false,
            archive: true,
        };
    }
    let start = String::from_utf8_lossy(&start[..start.len().min(ENOUGH)]);
    let comments = || {
        start
            .lines()
            .filter_map(|line| line.trim_end().strip_prefix("-- "))
    };
    let mut versions =
        comments().filter_map(|comment| comment.strip_prefix("Dumped from database version "));
    Header {
        major: versions.find_map(major),
        all: comments().next().map(str::as_bytes) == Some(marks::ALL),
        archive: false,
    }
}

/// `15.18 (Debian …)` → 15, `16beta1` → 16, `9.6.24` → 9.
fn major(version: &str) -> Option<u32> {
    let digits = version
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(version.len());
    version[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_is_read() {
        let text = "--\n-- PostgreSQL database dump\n--\n\n\\restrict x\n\n\
            -- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)\n\
            -- Dumped by pg_dump version 17.1\n\nSET client_encoding = 'LATIN1';\n\
            SET client_encoding = 'UTF8';\n-- Dumped from database version 99\n";
        let found = parse(text.as_bytes());
        assert_eq!(found.major, Some(15));
        assert!(!found.all);
        assert_eq!(
            parse(b"-- Dumped from database version 16beta1").major,
            Some(16)
        );
        assert_eq!(parse(b"-- Dumped from database version x").major, None);
        assert_eq!(parse(b""), Header::default());
        let all = parse(marks::head(marks::ALL, "17.2").as_bytes());
        assert_eq!((all.major, all.all), (Some(17), true));
    }

    #[tokio::test]
    async fn a_dump_shorter_than_the_bound_comes_back_whole() {
        // A stream of this kind must not be polled after its end.
        let once = stream::unfold(Some("-- short"), |text| async move {
            Some((Ok(Bytes::from(text?)), None))
        });
        let (header, whole) = peek(once.boxed()).await.unwrap();
        assert_eq!(header, Header::default());
        let chunks: Vec<Bytes> = whole.map(Result::unwrap).collect().await;
        assert_eq!(chunks, ["-- short"]);
    }
}
