//! What an engine says in place of a program's output when the program could not be started.
//!
//! Engines answer "started" first and try then, so their refusal arrives as the program's own
//! standard output, with exit status 126 or 127. Taken for data it would end up in an artifact.

use futures_util::{StreamExt, stream, stream::BoxStream};

use super::{Chunk, DockerError};

type Chunks = BoxStream<'static, Result<Chunk, DockerError>>;

/// How a refusal begins.
const BEGINNING: &[u8] = b"OCI runtime ";
/// Bytes that a refusal may have; more, or more than one stream, is a program's own output.
const LONGEST: usize = 4 * 1024;

/// Turns a refusal into an error. Holds back only output that begins like one: a program that
/// really writes such words gets them through as soon as it writes more than a refusal would.
pub(super) fn told_apart(mut chunks: Chunks, container: String, program: String) -> Chunks {
    let opening = async move {
        let mut held = Vec::new();
        let mut text = Vec::new();
        loop {
            match chunks.next().await {
                Some(Ok(Chunk::Stdout(bytes))) if begins(&text, &bytes) => {
                    text.extend_from_slice(&bytes);
                    held.push(Ok(Chunk::Stdout(bytes)));
                }
                None if !text.is_empty() => {
                    let words = String::from_utf8_lossy(&text).trim().to_owned();
                    let error = error(words, &container, &program);
                    return stream::iter(vec![Err(error)]).chain(stream::empty().boxed());
                }
                other => {
                    held.extend(other);
                    return stream::iter(held).chain(chunks);
                }
            }
        }
    };
    stream::once(opening).flatten().boxed()
}

fn begins(text: &[u8], next: &[u8]) -> bool {
    let starts = if text.is_empty() { next } else { text };
    starts.starts_with(BEGINNING) && text.len() + next.len() <= LONGEST
}

/// The error behind an engine's words on why `program` did not start.
pub(super) fn error(words: String, container: &str, program: &str) -> DockerError {
    let says = |part: &str| words.contains(part);
    if says("executable file") || says("no such file or directory") {
        return DockerError::NoSuchProgram {
            container: container.to_owned(),
            program: program.to_owned(),
        };
    }
    if says("has stopped") || says("stopped container") || says("not running") {
        return DockerError::NotRunning(container.to_owned());
    }
    DockerError::Refused {
        status: 400,
        message: words,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::FutureExt;

    use super::*;

    const MISSING: &str = "OCI runtime exec failed: exec failed: unable to start container process: \
        exec: \"pg_dump\": executable file not found in $PATH: unknown\r\n";

    fn told(chunks: &[Chunk]) -> Vec<Result<Chunk, DockerError>> {
        let chunks = stream::iter(chunks.to_vec()).map(Ok).boxed();
        let told = told_apart(chunks, "db".into(), "pg_dump".into());
        told.collect().now_or_never().unwrap()
    }

    fn out(text: &str) -> Chunk {
        Chunk::Stdout(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn a_refusal_is_an_error_even_in_two_pieces() {
        for pieces in [
            &[out(MISSING)][..],
            &[out(&MISSING[..40]), out(&MISSING[40..])],
        ] {
            let told = told(pieces);
            assert!(
                matches!(told[..], [Err(DockerError::NoSuchProgram { .. })]),
                "{told:?}"
            );
        }
    }

    #[test]
    fn other_output_goes_through_as_it_came() {
        let long = format!("OCI runtime {}", "x".repeat(LONGEST));
        for pieces in [
            &[][..],
            &[out("-- dump"), out(MISSING)],
            &[
                out(MISSING),
                Chunk::Stderr(Bytes::from_static(b"not only that")),
            ],
            &[out("OCI runtime "), out(&long)],
        ] {
            let told: Vec<_> = told(pieces).into_iter().map(Result::unwrap).collect();
            assert_eq!(told, pieces);
        }
    }

    #[test]
    fn the_words_of_engines_are_understood() {
        let kind = |words: &str| error(words.into(), "db", "pg_dump");
        for missing in [
            MISSING,
            "exec: \"/no/such\": stat /no/such: no such file or directory: unknown",
            "crun: executable file `pg_dump` not found in $PATH: No such file or directory: OCI \
             runtime attempted to invoke a command that was not found",
        ] {
            assert!(
                matches!(kind(missing), DockerError::NoSuchProgram { .. }),
                "{missing}"
            );
        }
        for gone in [
            "OCI runtime exec failed: exec failed: cannot exec a container that has stopped",
            "OCI runtime exec failed: exec failed: cannot exec in a stopped container",
        ] {
            assert!(matches!(kind(gone), DockerError::NotRunning(_)), "{gone}");
        }
        let other = kind("OCI runtime exec failed: exec: \"/etc\": permission denied");
        assert!(matches!(other, DockerError::Refused { .. }));
        assert!(!other.is_temporary());
    }
}
