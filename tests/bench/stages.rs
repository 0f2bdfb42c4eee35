//! Each stage of the pipeline alone, then together.

use std::{fs, hint::black_box, io::Write, path::Path, process::Command, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use holdfast::{
    domain::manifest::{Artifact, Compression, Fingerprint},
    engine::{codec, pipeline, verify},
    strategy::{Sink, Validator},
    target::{ByteStream, Key, Place, Settings, Target, kind},
};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::{data, medians, runtime};

const ROUNDS: usize = 5;
const SIZE: usize = 192 << 20;

/// As the frames of a multiplexed stream come.
const FRAME: usize = 16 * 1024;

/// Looks at every byte, as a validator does, at little cost.
struct Lines(u64);

impl Validator for Lines {
    fn feed(&mut self, chunk: &[u8]) {
        self.0 += chunk
            .iter()
            .map(|&byte| u64::from(byte == b'\n'))
            .sum::<u64>();
    }

    fn finish(self: Box<Self>) -> Result<Fingerprint, String> {
        Ok(Fingerprint::default())
    }
}

pub fn run() {
    let raw = Bytes::from(data::dump(SIZE));
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = place.path().join("dump.sql");
    fs::write(&file, &raw).unwrap();
    println!(
        "```text\n{} MB of made-up rows; MB of raw bytes a second, by the clock and by CPU time\n",
        raw.len() / 1_000_000
    );

    compressors(&raw, &file);
    pipes(&raw);
    targets(&raw, place.path());
    reading(&raw, place.path());
    println!("```");
}

fn compressors(raw: &Bytes, file: &Path) {
    let command = format!("gzip -6 -c {}", file.display());
    let gzip = tool_size(&command);
    let [hash, ours, zstd, theirs] = medians(
        3,
        [
            Box::new(|| {
                let hash = raw
                    .chunks(1 << 20)
                    .fold(Sha256::new(), Sha256::chain_update);
                black_box(hash.finalize());
            }),
            Box::new(|| drop(encoded(Compression::Gzip, raw))),
            Box::new(|| drop(encoded(Compression::Zstd, raw))),
            Box::new(|| assert_eq!(gzip, tool_size(&command))),
        ],
    );
    let len = raw.len();
    theirs.row(
        "gzip -6",
        len,
        &format!("size {:.3}", gzip as f64 / len as f64),
    );
    hash.row("SHA-256, 1 core", len, "");
    for (compression, time) in [(Compression::Gzip, ours), (Compression::Zstd, zstd)] {
        let size = encoded(compression, raw).len() as f64;
        let (of_raw, of_gzip) = (size / len as f64, size / gzip as f64);
        let note = format!("size {of_raw:.3} = {of_gzip:.3} of gzip -6");
        time.row(&format!("{}, 1 core", compression.name()), len, &note);
    }
}

fn pipes(raw: &Bytes) {
    let runtime = &runtime();
    let through = |compression, frame| {
        Box::new(move || pass(runtime, raw, compression, frame)) as Box<dyn FnMut()>
    };
    let works = [
        through(Compression::None, FRAME),
        through(Compression::Gzip, FRAME),
        through(Compression::Gzip, 4 << 20),
        through(Compression::Zstd, FRAME),
    ];
    let names = ["none", "gzip", "gzip, 4 MiB chunks", "zstd"];
    for (name, time) in names.iter().zip(medians(ROUNDS, works)) {
        time.row(&format!("pipe, {name}"), raw.len(), "");
    }
}

fn pass(runtime: &tokio::runtime::Runtime, raw: &Bytes, compression: Compression, frame: usize) {
    runtime.block_on(async {
        let (pipe, body) = open(compression);
        let drain = tokio::spawn(body.for_each(|item| async { drop(item.unwrap()) }));
        fill(pipe, raw, frame).await;
        drain.await.unwrap();
    });
}

fn targets(raw: &Bytes, place: &Path) {
    let (runtime, local) = (runtime(), local(place));
    let stored = Bytes::from(encoded(Compression::Gzip, raw));
    let key = Key::parse("shop/1/db.sql.gz").unwrap();
    let plain = place.join("plain");
    let [whole, put, bare] = medians(
        ROUNDS,
        [
            Box::new(|| {
                runtime.block_on(async {
                    let (pipe, body) = open(Compression::Gzip);
                    tokio::join!(
                        async { local.put(&key, body, None).await.unwrap() },
                        fill(pipe, raw, FRAME)
                    );
                    local.delete(&key).await.unwrap();
                });
            }),
            Box::new(|| {
                runtime.block_on(async {
                    local.put(&key, chunks(&stored), None).await.unwrap();
                    local.delete(&key).await.unwrap();
                });
            }),
            Box::new(|| {
                let mut file = fs::File::create(&plain).unwrap();
                stored
                    .chunks(400_000)
                    .for_each(|chunk| file.write_all(chunk).unwrap());
                file.sync_all().unwrap();
                fs::remove_file(&plain).unwrap();
            }),
        ],
    );
    whole.row("pipe, gzip, to local", raw.len(), "");
    put.row("local put alone", stored.len(), "of stored bytes");
    bare.row("write + fsync, bare", stored.len(), "of stored bytes");
}

fn reading(raw: &Bytes, place: &Path) {
    let (runtime, local) = (runtime(), local(place));
    for compression in [Compression::Gzip, Compression::Zstd] {
        let stored = Bytes::from(encoded(compression, raw));
        let artifact = Artifact {
            key: format!("shop/2/db{}", compression.suffix()),
            compression,
            raw_bytes: raw.len() as u64,
            stored_bytes: stored.len() as u64,
            raw_sha256: hex::encode(Sha256::digest(raw)),
            stored_sha256: hex::encode(Sha256::digest(&stored)),
            recipients: Vec::new(),
        };
        let key = Key::parse(&artifact.key).unwrap();
        runtime
            .block_on(local.put(&key, chunks(&stored), None))
            .unwrap();
        let tool = match compression {
            Compression::Gzip => "gunzip",
            _ => "zstd -d",
        };
        let command = format!("{tool} -c {}", local.locate(&key));
        let stop = CancellationToken::new();
        let [decode, whole, cheap, theirs] = medians(
            ROUNDS,
            [
                Box::new(|| {
                    runtime.block_on(async {
                        let raw = codec::decode(compression, None, chunks(&stored), None);
                        raw.for_each(|item| async { drop(item.unwrap()) }).await;
                    });
                }),
                Box::new(|| {
                    let (lines, keys) = (Box::new(Lines(0)), codec::Keys::default());
                    let verify =
                        verify::verify(&*local, &artifact, &keys, lines, Arc::default(), &stop);
                    runtime.block_on(verify).unwrap();
                }),
                Box::new(|| {
                    let read = verify::read_back(&*local, &artifact, &stop);
                    runtime.block_on(read).unwrap();
                }),
                Box::new(|| assert_eq!(tool_size(&command), raw.len() as u64)),
            ],
        );
        let name = compression.name();
        decode.row(&format!("{name} decode"), raw.len(), "");
        whole.row(&format!("{name} verify"), raw.len(), "");
        cheap.row(
            &format!("{name} read back"),
            stored.len(),
            "of stored bytes",
        );
        theirs.row(tool, raw.len(), "");
    }
}

fn open(compression: Compression) -> (pipeline::Pipe, ByteStream) {
    let stop = CancellationToken::new();
    pipeline::open(compression, Box::new(Lines(0)), Arc::default(), stop)
}

async fn fill(mut pipe: pipeline::Pipe, raw: &Bytes, frame: usize) {
    let mut left = raw.clone();
    while !left.is_empty() {
        let frame = left.split_to(left.len().min(frame));
        pipe.write(frame).await.unwrap();
    }
    pipe.finish().await.unwrap();
}

fn encoded(compression: Compression, raw: &Bytes) -> Vec<u8> {
    let encoder = codec::Encoder::new(compression);
    let (mut left, mut stored) = (raw.clone(), Vec::new());
    while !left.is_empty() {
        let block = left.split_to(left.len().min(codec::BLOCK));
        stored.extend_from_slice(&encoder.encode(&block).unwrap());
    }
    stored
}

fn chunks(bytes: &Bytes) -> ByteStream {
    let mut left = bytes.clone();
    let chunks = std::iter::from_fn(move || {
        let chunk = left.split_to(left.len().min(400_000));
        (!chunk.is_empty()).then_some(Ok(chunk))
    });
    stream::iter(chunks).boxed()
}

fn local(place: &Path) -> Arc<dyn Target> {
    let local_root = place.join("backups");
    let kind = kind("local").unwrap();
    kind.open(
        &Place {
            local_root,
            stall: std::time::Duration::from_secs(60),
            private_addresses: false,
        },
        &Settings::default(),
    )
    .unwrap()
}

fn tool_size(command: &str) -> u64 {
    let command = format!("{command} | wc -c");
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .trim()
        .parse()
        .unwrap()
}
