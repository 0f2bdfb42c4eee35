//! Peak memory of a long stream, in a process of its own: it must not grow with the stream.

use std::{fs, path::Path, process::Command, sync::Arc};

use bytes::Bytes;
use futures_util::StreamExt;
use holdfast::{
    domain::manifest::{Compression, Fingerprint},
    engine::{codec, pipeline},
    strategy::{Sink, Validator},
    target::{Key, Place, Settings, Target, kind},
};
use tokio_util::sync::CancellationToken;

use super::{Reach, data, runtime, s3, sink, verdicts};

pub const CHILD: &str = "memory-child";

/// Of raw bytes; the data itself takes 8 MiB of what is measured.
const GIB: [usize; 2] = [1, 4];
/// Of the long streams.
const LONG_GIB: usize = 20;
const DATA: usize = 8 << 20;
const FRAME: usize = 16 * 1024;
/// What the disk keeps free besides a long stream, in bytes.
const SPARE: u64 = 4 << 30;

struct Nothing;

impl Validator for Nothing {
    fn feed(&mut self, _: &[u8]) {}

    fn finish(self: Box<Self>) -> Result<Fingerprint, String> {
        Ok(Fingerprint::default())
    }
}

pub fn run() {
    println!("```text");
    for compression in Compression::ALL {
        for gib in GIB {
            measure(compression, gib, LOCAL);
        }
    }
    println!("\nlong streams; to S3, where a server in another process drops what it gets\n");
    let gib = std::env::var("HOLDFAST_BENCH_GIB").ok();
    let gib = gib.map_or(LONG_GIB, |gib| gib.parse().unwrap());
    let runtime = runtime();
    let sink = format!("http://{}", runtime.block_on(sink::serve()));
    let mut figures = Vec::new();
    for (to, at, limit) in [
        ("local", LOCAL, LIMIT_LOCAL),
        ("S3", sink.as_str(), LIMIT_S3),
    ] {
        if at == LOCAL && free() < ((gib as u64 / 2) << 30) + SPARE {
            println!("gzip {gib} GiB   to {to}: not measured, the disk has no room for it");
            continue;
        }
        let kib = measure(Compression::Gzip, gib, at);
        figures.push((
            format!("peak RSS of a {gib} GiB stream to {to}, MiB"),
            kib,
            limit,
        ));
    }
    let whole = measure(Compression::None, gib, &sink);
    let name = format!("the same to S3 without compression, {gib} GiB stored, MiB");
    figures.push((name, whole, LIMIT_S3));
    println!("```");
    let figures: Vec<(&str, f64, Reach)> = figures
        .iter()
        .map(|(name, kib, limit)| (name.as_str(), *kib as f64 / 1024.0, Reach::AtMost(*limit)))
        .collect();
    verdicts(&figures);
}

/// Where the child stores, else the address of a store.
const LOCAL: &str = "local";
/// MiB
const LIMIT_LOCAL: f64 = 64.0;
const LIMIT_S3: f64 = 160.0;

/// In a process of its own; its peak in KiB, once what it wrote was read again, where that can be.
fn measure(compression: Compression, gib: usize, at: &str) -> u64 {
    let this = std::env::current_exe().unwrap();
    let args = [CHILD, compression.name(), &gib.to_string(), at];
    let output = Command::new(this).args(args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    print!("{said}");
    let last = said
        .split_whitespace()
        .rfind(|word| word.parse::<u64>().is_ok());
    last.unwrap().parse().unwrap()
}

/// Bytes on the disk that the local target is on.
fn free() -> u64 {
    let said = Command::new("df")
        .args(["--output=avail", "-B1", env!("CARGO_TARGET_TMPDIR")])
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    said.lines().last().unwrap().trim().parse().unwrap()
}

pub fn child(args: &[String]) {
    let compression = Compression::parse(&args[0]).unwrap();
    let gib: usize = args[1].parse().unwrap();
    let at = args[2].as_str();
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let target = match at {
        LOCAL => local(place.path()),
        endpoint => s3::target(endpoint),
    };
    // The store keeps what the one before sent, and nothing is written over.
    let key = Key::parse(compression.name()).unwrap();
    let data = Bytes::from(data::dump(DATA));
    let before = peak();
    let runtime = runtime();
    let piped = runtime.block_on(async {
        let stop = CancellationToken::new();
        let (mut pipe, body) = pipeline::open(compression, Box::new(Nothing), Arc::default(), stop);
        let dump = async {
            for _ in 0..gib * (1 << 30) / DATA {
                let mut left = data.clone();
                while !left.is_empty() {
                    pipe.write(left.split_to(left.len().min(FRAME)))
                        .await
                        .unwrap();
                }
            }
            pipe.finish().await.unwrap()
        };
        let (stored, piped) = tokio::join!(target.put(&key, body, None), dump);
        stored.unwrap();
        piped
    });
    let written = peak();
    let name = compression.name();
    let stored = piped.stored_bytes >> 20;
    print!(
        "{name:4} {gib} GiB   {stored} MiB stored, peak RSS {before} kB before, {written} kB after writing"
    );
    if at != LOCAL {
        println!();
        return;
    }
    runtime.block_on(async {
        let stored = target.get(&key, None).await.unwrap();
        let raw = codec::decode(compression, None, stored, Some(piped.raw_bytes));
        raw.for_each(|item| async { drop(item.unwrap()) }).await;
    });
    println!(", {} kB after reading", peak());
}

fn local(folder: &Path) -> Arc<dyn Target> {
    let place = Place {
        local_root: folder.to_owned(),
        stall: std::time::Duration::from_secs(60),
        private_addresses: false,
    };
    kind("local")
        .unwrap()
        .open(&place, &Settings::default())
        .unwrap()
}

/// kB
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap()
}
