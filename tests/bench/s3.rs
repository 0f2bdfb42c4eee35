//! Streams of unknown length into a bucket, and back: beside `rclone rcat` and `rclone cat`, on one server
//! that checks signatures and keeps what it gets on this disk (`rclone serve s3`, the suite's second store).
//! Client and server share the cores, in both columns alike.

use std::{
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use holdfast::{
    domain::{
        manifest::{Artifact, Compression, Fingerprint},
        secret::Secret,
    },
    engine::{codec, verify},
    strategy::Validator,
    target::{ByteStream, Key, Place, Settings, Target, kind},
};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::{
    Reach, data, medians,
    rclone::{BUCKET, Rclone, program},
    runtime, verdicts,
};

const ROUNDS: usize = 5;
const SIZE: usize = 512 << 20;
/// As they come out of the pipeline.
const CHUNK: usize = 400_000;
const ACCESS_KEY: &str = "AKBENCH";
const SECRET_KEY: &str = "SKBENCHSKBENCH";

pub fn run() {
    let raw = Bytes::from(data::dump(SIZE));
    let stored = gzip(&raw);
    let store = Store::serve();
    let (runtime, target) = (runtime(), target(&store.0.endpoint));
    let key = Key::parse("shop/1/ours.gz").unwrap();
    println!(
        "```text\n{} MB stored bytes, {} MB before gzip; MB of stored bytes a second, by the clock and by CPU time \
         (the server's apart)\n",
        stored.len() / 1_000_000,
        raw.len() / 1_000_000
    );
    let [ours, theirs] = medians(
        ROUNDS,
        [
            Box::new(|| {
                runtime.block_on(async {
                    target.put(&key, chunks(&stored), None).await.unwrap();
                    target.delete(&key).await.unwrap();
                });
            }),
            Box::new(|| {
                store.rclone(&["rcat", "store:backups/shop/1/theirs.gz"], Some(&stored));
                store.rclone(&["deletefile", "store:backups/shop/1/theirs.gz"], None);
            }),
        ],
    );
    ours.row("put, unknown length", stored.len(), "");
    theirs.row("rclone rcat", stored.len(), "");

    let artifact = Artifact {
        key: key.to_string(),
        compression: Compression::Gzip,
        raw_bytes: raw.len() as u64,
        stored_bytes: stored.len() as u64,
        raw_sha256: hex::encode(Sha256::digest(&raw)),
        stored_sha256: hex::encode(Sha256::digest(&stored)),
        recipients: Vec::new(),
    };
    let put = target.put(&key, chunks(&stored), None);
    runtime.block_on(put).unwrap();
    let stop = CancellationToken::new();
    let [verified, compared, cat] = medians(
        ROUNDS,
        [
            Box::new(|| {
                let keys = codec::Keys::default();
                let validator = Box::new(Nothing);
                let verify =
                    verify::verify(&*target, &artifact, &keys, validator, Arc::default(), &stop);
                runtime.block_on(verify).unwrap();
            }),
            Box::new(|| {
                let read = verify::read_back(&*target, &artifact, &stop);
                runtime.block_on(read).unwrap();
            }),
            Box::new(|| store.cat("store:backups/shop/1/ours.gz")),
        ],
    );
    verified.row(
        "verify, from S3",
        stored.len(),
        "read, unpacked, hashed twice",
    );
    compared.row("read back, from S3", stored.len(), "read and hashed");
    cat.row("rclone cat | gunzip", stored.len(), "read and unpacked");
    println!("```");
    let ratio =
        |one: super::Taken, other: super::Taken| one.wall.as_secs_f64() / other.wall.as_secs_f64();
    verdicts(&[
        (
            "S3 upload of an unknown-length stream: ours / `rclone rcat`",
            ratio(ours, theirs),
            Reach::AtMost(1.0),
        ),
        (
            "S3 verification: ours / `rclone cat \\| gunzip`",
            ratio(verified, cat),
            Reach::AtMost(1.0),
        ),
    ]);
}

/// An S3 target at that address.
pub fn target(endpoint: &str) -> Arc<dyn Target> {
    let mut settings = Settings::default();
    let plain = [
        ("endpoint", endpoint),
        ("bucket", BUCKET),
        ("access_key", ACCESS_KEY),
    ];
    settings.plain = plain
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into();
    let secret = Secret::from(SECRET_KEY);
    settings.secrets.insert("secret_key".to_owned(), secret);
    let place = Place {
        local_root: PathBuf::new(),
        stall: Duration::from_secs(60),
        private_addresses: true,
    };
    kind("s3").unwrap().open(&place, &settings).unwrap()
}

struct Nothing;

impl Validator for Nothing {
    fn feed(&mut self, _: &[u8]) {}

    fn finish(self: Box<Self>) -> Result<Fingerprint, String> {
        Ok(Fingerprint::default())
    }
}

fn gzip(raw: &Bytes) -> Bytes {
    let encoder = codec::Encoder::new(Compression::Gzip);
    let blocks = raw.chunks(codec::BLOCK);
    let packed = blocks.map(|block| encoder.encode(&Bytes::copy_from_slice(block)).unwrap());
    packed.flatten().collect()
}

fn chunks(bytes: &Bytes) -> ByteStream {
    let mut left = bytes.clone();
    let chunks = std::iter::from_fn(move || {
        let chunk = left.split_to(left.len().min(CHUNK));
        (!chunk.is_empty()).then_some(Ok(chunk))
    });
    stream::iter(chunks).boxed()
}

/// `rclone serve s3`, and `rclone` as its client.
struct Store(Rclone);

impl Store {
    fn serve() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self(Rclone::serve(folder, ACCESS_KEY, SECRET_KEY))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(program());
        command
            .env("RCLONE_CONFIG", "/dev/null")
            .env("RCLONE_CONFIG_STORE_TYPE", "s3")
            .env("RCLONE_CONFIG_STORE_PROVIDER", "Rclone")
            .env("RCLONE_CONFIG_STORE_ENDPOINT", &self.0.endpoint)
            .env("RCLONE_CONFIG_STORE_ACCESS_KEY_ID", ACCESS_KEY)
            .env("RCLONE_CONFIG_STORE_SECRET_ACCESS_KEY", SECRET_KEY);
        command
    }

    fn rclone(&self, args: &[&str], input: Option<&[u8]>) {
        let mut client = self.command();
        let mut client = client.args(args).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = client.stdin.take().unwrap();
        for chunk in input.unwrap_or_default().chunks(CHUNK) {
            stdin.write_all(chunk).unwrap();
        }
        drop(stdin);
        assert!(client.wait().unwrap().success(), "rclone {args:?}");
    }

    fn cat(&self, object: &str) {
        let mut client = self.command();
        let mut client = client
            .args(["cat", object])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let unpacked = Command::new("gunzip")
            .arg("-c")
            .stdin(client.stdout.take().unwrap())
            .stdout(Stdio::null())
            .status();
        assert!(unpacked.unwrap().success() && client.wait().unwrap().success());
    }
}
