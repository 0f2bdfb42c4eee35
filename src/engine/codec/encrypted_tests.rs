use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use proptest::prelude::*;

use super::*;
use crate::{
    domain::{manifest::Compression, secret::Secret},
    target::ByteStream,
};

struct Person {
    public: String,
    keys: Keys,
}

fn person() -> Person {
    let (public, private) = generate();
    let keys = Keys::parse(&private).unwrap();
    Person { public, keys }
}

fn to(people: &[&Person]) -> Recipients {
    let names: Vec<String> = people.iter().map(|person| person.public.clone()).collect();
    Recipients::parse(&names).unwrap()
}

/// In blocks, as the pipeline hands them over.
fn encrypt(recipients: &Recipients, raw: &[u8], block: usize) -> Vec<u8> {
    let mut encryptor = Encryptor::new(recipients).unwrap();
    let mut stored = Vec::new();
    for block in raw.chunks(block) {
        stored.extend(encryptor.encrypt(block).unwrap());
    }
    stored.extend(encryptor.finish().unwrap());
    stored
}

fn in_chunks(bytes: &[u8], size: usize) -> ByteStream {
    let chunks: Vec<_> = bytes
        .chunks(size.max(1))
        .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
        .collect();
    stream::iter(chunks).boxed()
}

fn opened(keys: &Keys, stored: ByteStream) -> std::io::Result<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let opened = runtime.block_on(async {
        let raw = decode(Compression::None, Some(keys.clone()), stored, None);
        let chunks = raw.try_collect::<Vec<Bytes>>();
        tokio::time::timeout(Duration::from_mins(1), chunks).await
    });
    // What reads for ever would be waited for.
    runtime.shutdown_background();
    Ok(opened.expect("it reads for ever")?.concat())
}

/// Bytes of a chunk of the format: most of what can go wrong does at its edges.
const CHUNK: usize = 64 * 1024;

#[test]
fn everybody_it_is_encrypted_to_reads_it_and_nobody_else() {
    let (first, second, stranger) = (person(), person(), person());
    let raw: Vec<u8> = (0..u32::MAX)
        .flat_map(u32::to_le_bytes)
        .take(3 * CHUNK)
        .collect();
    for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
        let stored = encrypt(&to(&[&first, &second]), &raw[..size], 100_000);
        assert!(stored.starts_with(MAGIC));
        for keys in [&first.keys, &second.keys] {
            let found = opened(keys, in_chunks(&stored, 7000)).unwrap();
            assert!(found == raw[..size], "{size}");
        }
        let error = opened(&stranger.keys, in_chunks(&stored, 7000)).unwrap_err();
        assert!(is_wrong_key(&error), "{size}: {error}");
        // Of many keys, one that fits is enough.
        let mut both = stranger.keys.clone();
        both.add(second.keys.clone());
        assert!(opened(&both, in_chunks(&stored, 7000)).is_ok());
    }
}

#[test]
fn a_cut_is_found_wherever_it_is() {
    let one = person();
    let raw = vec![7; 2 * CHUNK + 100];
    let stored = encrypt(&to(&[&one]), &raw, CHUNK);
    let header = stored.len() - raw.len() - 3 * 16 - 16;
    // In the header, the nonce and the first chunk; where a chunk ends; one byte before the end.
    let ends = [1, 2].map(|chunks| header + 16 + chunks * (CHUNK + 16));
    let lines = (1..=header).filter(|end| stored[end - 1] == b'\n');
    let cuts = (0..header + 60).step_by(13).chain(lines).chain(ends);
    for cut in cuts.chain([stored.len() - 1]) {
        let found = opened(&one.keys, in_chunks(&stored[..cut], 9000));
        assert!(found.is_err(), "cut at {cut} of {}", stored.len());
    }
    let longer = [&stored[..], b"x"].concat();
    assert!(opened(&one.keys, in_chunks(&longer, 9000)).is_err());
}

#[test]
fn a_header_that_does_not_end_is_not_read_for_ever() {
    let one = person();
    let endless = stream::repeat_with(|| Ok(Bytes::from_static(&[b'a'; 4096])));
    let start = stream::iter([Ok(Bytes::from_static(MAGIC))]);
    let error = opened(&one.keys, start.chain(endless).boxed()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    let lines = stream::repeat_with(|| Ok(Bytes::from_static(b"-> X25519 a\nbody\n")));
    let start = stream::iter([Ok(Bytes::from_static(MAGIC))]);
    assert!(opened(&one.keys, start.chain(lines).boxed()).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_flipped_bit_is_an_error_wherever_it_is(
        raw in proptest::collection::vec(any::<u8>(), 0..200),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u32,
    ) {
        let one = person();
        let mut stored = encrypt(&to(&[&one]), &raw, 64);
        let at = at.index(stored.len());
        stored[at] ^= 1 << bit;
        prop_assert!(opened(&one.keys, in_chunks(&stored, 50)).is_err());
    }
}

#[test]
fn keys_are_found_in_whatever_was_pasted() {
    let (public, private) = generate();
    let private = private.expose();
    let file = format!("# created: 2026-11-30\r\n# public key: {public}\r\n{private}\r\n");
    let line = file.replace(['\r', '\n'], "");
    for pasted in [
        private.clone(),
        private.to_lowercase(),
        file.clone(),
        line,
        format!("{file}{file}"),
    ] {
        let keys = Keys::parse(&Secret::new(pasted.clone())).unwrap();
        assert!(keys.recipients().contains(&public), "{pasted}");
    }
    let mut wrong = private.clone();
    wrong.replace_range(30..31, if &wrong[30..31] == "Q" { "P" } else { "Q" });
    for pasted in [
        wrong.as_str(),
        &private[..70],
        &public,
        "",
        "AGE-SECRET-KEY-1",
    ] {
        let problem = Keys::parse(&Secret::from(pasted)).unwrap_err();
        assert!(pasted.is_empty() || !problem.contains(pasted), "{problem}");
    }
    assert_eq!(
        format!(
            "{:?}",
            Keys::parse(&Secret::from(private.as_str())).unwrap()
        ),
        format!("Keys([\"{public}\"])")
    );
}

#[test]
fn recipients_are_public_keys_and_nothing_else() {
    let (public, private) = generate();
    let parse = |texts: &[&str]| {
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        Recipients::parse(&texts)
    };
    let padded = format!("  {public}\n");
    let both = parse(&[&public, &padded]).unwrap_or_default();
    assert_eq!(
        both.names(),
        std::slice::from_ref(&public),
        "one that is said twice counts once"
    );
    for bad in [
        "",
        "age1",
        "me@example.org",
        "ssh-ed25519 AAAA",
        &public[..40],
        private.expose(),
    ] {
        let problem = parse(&[&public, bad]).err().expect(bad);
        assert!(problem.starts_with("recipient 2: "), "{problem}");
        assert!(!problem.contains(private.expose().as_str()));
    }
}

/// What the tool itself writes, and what it makes of ours.
#[test]
fn the_stock_tool_and_we_read_each_other() {
    use std::{fs, process::Command};

    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (public, private) = generate();
    fs::write(path("key.txt"), private.expose()).unwrap();
    let raw = vec![3; 200_000];
    let age = |words: &[&str]| {
        let done = Command::new("age")
            .args(words)
            .current_dir(folder.path())
            .output();
        let done = done.expect("age is installed");
        assert!(
            done.status.success(),
            "{}",
            String::from_utf8_lossy(&done.stderr)
        );
    };
    let recipients = Recipients::parse(std::slice::from_ref(&public)).unwrap_or_default();
    fs::write(path("ours.age"), encrypt(&recipients, &raw, 1 << 20)).unwrap();
    age(&["-d", "-i", "key.txt", "-o", "ours", "ours.age"]);
    assert!(fs::read(path("ours")).unwrap() == raw);
    age(&["-r", &public, "-o", "theirs.age", "ours"]);
    let keys = Keys::parse(&private).unwrap();
    let theirs = fs::read(path("theirs.age")).unwrap();
    assert!(opened(&keys, in_chunks(&theirs, 5000)).unwrap() == raw);
}
