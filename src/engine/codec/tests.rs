use std::{
    io::Write,
    process::{Command, Stdio},
};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use proptest::prelude::*;

use super::*;
use crate::{domain::manifest::Compression, target::ByteStream};

const PACKED: [Compression; 2] = [Compression::Gzip, Compression::Zstd];

/// Blocks as the pipeline cuts them, but small, so that every file has many.
fn encode(compression: Compression, raw: &[u8], block: usize) -> Vec<u8> {
    let encoder = Encoder::new(compression);
    if raw.is_empty() {
        return encoder.encode(&Bytes::new()).unwrap().to_vec();
    }
    let blocks = raw.chunks(block).map(Bytes::copy_from_slice);
    blocks
        .flat_map(|block| encoder.encode(&block).unwrap())
        .collect()
}

fn in_chunks(bytes: &[u8], size: usize) -> ByteStream {
    let chunks: Vec<_> = bytes
        .chunks(size.max(1))
        .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
        .collect();
    stream::iter(chunks).boxed()
}

fn decoded(
    compression: Compression,
    stored: ByteStream,
    raw_bytes: Option<u64>,
) -> std::io::Result<Vec<u8>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(async {
        let chunks: Vec<Bytes> = decode(compression, None, stored, raw_bytes)
            .try_collect()
            .await?;
        Ok(chunks.concat())
    })
}

/// What the system's own tool makes of it.
fn by_tool(tool: &[&str], stored: &[u8]) -> Option<Vec<u8>> {
    let mut child = Command::new(tool[0])
        .args(&tool[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let stored = stored.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&stored)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output.status.success().then_some(output.stdout)
}

fn tool(compression: Compression) -> &'static [&'static str] {
    match compression {
        Compression::Gzip => &["gunzip", "-c"],
        Compression::Zstd => &["zstd", "-dc"],
        Compression::None => &["cat"],
    }
}

/// Text that compresses, and runs that do not.
fn raw() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..3000),
        (any::<u8>(), 0..5000_usize).prop_map(|(byte, times)| vec![byte; times]),
        "[a-f ]{0,200}".prop_map(|text| text.repeat(9).into_bytes()),
    ];
    proptest::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

fn compression() -> impl Strategy<Value = Compression> {
    proptest::sample::select(&Compression::ALL)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn decoding_gives_back_what_was_encoded(
        compression in compression(),
        raw in raw(),
        block in 1..9000_usize,
        chunk in 1..5000_usize,
    ) {
        let stored = encode(compression, &raw, block);
        let size = Some(raw.len() as u64);
        prop_assert_eq!(&decoded(compression, in_chunks(&stored, chunk), size).unwrap(), &raw);
        prop_assert_eq!(&decoded(compression, in_chunks(&stored, chunk), None).unwrap(), &raw);
    }

    #[test]
    fn a_cut_is_found_wherever_it_is(
        compression in compression(),
        raw in raw().prop_filter("not empty", |raw| !raw.is_empty()),
        block in 500..9000_usize,
        cut in any::<prop::sample::Index>(),
    ) {
        let stored = encode(compression, &raw, block);
        let cut = in_chunks(&stored[..cut.index(stored.len())], 1000);
        prop_assert!(decoded(compression, cut, Some(raw.len() as u64)).is_err());
    }

    #[test]
    fn a_flipped_bit_is_an_error_or_changes_nothing(
        packed in proptest::sample::select(&PACKED),
        raw in raw(),
        block in 500..9000_usize,
        at in any::<prop::sample::Index>(),
        bit in 0..8_u32,
    ) {
        let mut stored = encode(packed, &raw, block);
        let at = at.index(stored.len());
        stored[at] ^= 1 << bit;
        // A gzip header holds bytes that mean nothing to the content (time, system).
        if let Ok(found) = decoded(packed, in_chunks(&stored, 1000), Some(raw.len() as u64)) {
            prop_assert_eq!(found, raw);
        }
    }

    #[test]
    fn what_follows_the_end_is_an_error(
        compression in compression(),
        raw in raw(),
        garbage in proptest::collection::vec(any::<u8>(), 1..50),
    ) {
        let mut stored = encode(compression, &raw, 4000);
        stored.extend(&garbage);
        prop_assert!(decoded(compression, in_chunks(&stored, 999), Some(raw.len() as u64)).is_err());
    }
}

#[test]
fn stock_tools_read_it() {
    let text: Vec<u8> = (0..400_000_u32)
        .flat_map(|n| format!("{n} {:x}\n", n.wrapping_mul(0x9E37_79B9)).into_bytes())
        .collect();
    for compression in Compression::ALL {
        for raw in [&text[..], b"one line\n", b""] {
            let stored = encode(compression, raw, BLOCK);
            let found = by_tool(tool(compression), &stored).expect("it accepts the file");
            assert!(found == raw, "{compression:?}, {} bytes", raw.len());
        }
    }
}

#[test]
fn what_stock_tools_write_is_read() {
    let raw = b"some text, again and again\n".repeat(100_000);
    let size = Some(raw.len() as u64);
    for (compression, tool) in [
        (Compression::Gzip, ["gzip", "-c"]),
        (Compression::Zstd, ["zstd", "-c"]),
    ] {
        let stored = by_tool(&tool, &raw).unwrap();
        let found = decoded(compression, in_chunks(&stored, 70_000), size).unwrap();
        assert!(found == raw, "{compression:?}");
    }
}

#[test]
fn a_bomb_stops_at_the_size_it_should_have() {
    let raw = vec![0; 300 << 20];
    for compression in PACKED {
        let stored = encode(compression, &raw, BLOCK);
        let error = decoded(compression, in_chunks(&stored, 4096), Some(1000)).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
        assert!(
            error.to_string().contains("more than the 1000 bytes"),
            "{error}"
        );
    }
}

/// 1.06 × `gzip -6` on three kinds of data that need three different levels.
#[test]
fn gzip_stays_near_the_size_of_gzip() {
    let mut seed = 88_172_645_463_325_252_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let noise: Vec<u8> = (0..400_000).flat_map(|_| random().to_le_bytes()).collect();
    let words: Vec<String> = (0..3000)
        .map(|_| format!("{:x} ", random() % 0xfffff))
        .collect();
    let prose: Vec<u8> = (0..600_000)
        .map(|_| usize::try_from(random() % 3000 * (random() % 3000) / 3000).unwrap())
        .flat_map(|word| words[word].bytes())
        .collect();
    let rows: Vec<u8> = (0..60_000)
        .flat_map(|n| format!("{n}\t{:016x}{:016x}\tpaid\n", random(), random()).into_bytes())
        .collect();
    for (name, raw) in [("noise", noise), ("prose", prose), ("rows", rows)] {
        let ours = encode(Compression::Gzip, &raw, BLOCK).len();
        let theirs = by_tool(&["gzip", "-6c"], &raw).unwrap().len();
        let percent = ours * 100 / theirs;
        println!("{name}: {percent} % of the size of gzip -6");
        assert!(percent < 106, "{name}");
    }
}
