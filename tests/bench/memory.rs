//! Peak memory of a long stream, in a process of its own: it must not grow with the stream.

use std::{fs, process::Command, sync::Arc};

use bytes::Bytes;
use futures_util::StreamExt;
use holdfast::{
    domain::manifest::{Compression, Fingerprint},
    engine::{codec, pipeline},
    strategy::{Sink, Validator},
    target::{Key, Place, Settings, kind},
};
use tokio_util::sync::CancellationToken;

use super::{data, runtime};

pub const CHILD: &str = "memory-child";

/// Of raw bytes; the data itself takes 8 MiB of what is measured.
const GIB: [usize; 2] = [1, 4];
const DATA: usize = 8 << 20;
const FRAME: usize = 16 * 1024;

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
            let this = std::env::current_exe().unwrap();
            let args = [CHILD, compression.name(), &gib.to_string()];
            let output = Command::new(this).args(args).output().unwrap();
            print!("{}", String::from_utf8_lossy(&output.stdout));
        }
    }
    println!("```");
}

pub fn child(args: &[String]) {
    let compression = Compression::parse(&args[0]).unwrap();
    let gib: usize = args[1].parse().unwrap();
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let local_root = place.path().to_owned();
    let local = kind("local")
        .unwrap()
        .open(
            &Place {
                local_root,
                stall: std::time::Duration::from_secs(60),
                private_addresses: false,
            },
            &Settings::default(),
        )
        .unwrap();
    let key = Key::parse("db").unwrap();
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
        let (stored, piped) = tokio::join!(local.put(&key, body, None), dump);
        stored.unwrap();
        piped
    });
    let written = peak();
    runtime.block_on(async {
        let stored = local.get(&key, None).await.unwrap();
        let raw = codec::decode(compression, None, stored, Some(piped.raw_bytes));
        raw.for_each(|item| async { drop(item.unwrap()) }).await;
    });
    println!(
        "{:4} {gib} GiB   peak RSS {before} kB before, {written} kB after writing, {} kB after reading",
        compression.name(),
        peak()
    );
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
