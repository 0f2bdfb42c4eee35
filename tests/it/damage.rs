//! Damage of every kind to artifacts of several strategies: all of it is found, nothing of it comes near
//! a container, and nothing good is ever called damaged.

use std::{process::Command, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use crc::{CRC_64_REDIS, Crc};
use holdfast::{
    docker::{Engine as _, fake::FakeEngine},
    domain::{
        manifest::{Compression, Manifest},
        restore::Step,
    },
    engine::{
        codec::Keys,
        examine,
        progress::Hub,
        restore::{self, Order, RestoreError},
        verify::Flaw,
    },
    strategy::{self, Journal, JournalClosed, Options, Site, Strategy},
    target::{Key, Target, layout, memory::Memory},
};
use sea_orm::{ConnectionTrait, Database};
use tokio_util::sync::CancellationToken;

use crate::shelf::{dump, pack};

const FLIPS: usize = 1_000;
const TRUNCATIONS: usize = 200;
const SWAPS: usize = 50;

/// The same damage in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

struct Stored {
    strategy: &'static dyn Strategy,
    key: Key,
    bytes: Bytes,
    manifest: Manifest,
    manifest_bytes: Bytes,
}

async fn database() -> Bytes {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let db = Database::connect(format!("sqlite://{}?mode=rwc", path.display()))
        .await
        .unwrap();
    db.execute_unprepared(
        "CREATE TABLE t AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n \
         WHERE i < 400) SELECT i, hex(i * 7919) FROM n",
    )
    .await
    .unwrap();
    db.close().await.unwrap();
    std::fs::read(path).unwrap().into()
}

fn archive() -> Bytes {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("data")).unwrap();
    for name in 0..8_u32 {
        let text = format!("{:x}\n", name.wrapping_mul(0x9E37_79B9)).repeat(60);
        std::fs::write(folder.path().join(format!("data/{name}")), text).unwrap();
    }
    let tar = Command::new("tar")
        .args(["--format=posix", "-cf", "-", "data"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert!(tar.status.success());
    tar.stdout.into()
}

fn snapshot() -> Bytes {
    let mut file = b"REDIS0009\xfe\x00".to_vec();
    for key in 0..200_u8 {
        file.extend([0, 4, b'k', b'e', b'y', key, 3, b'v', key, !key]);
    }
    file.push(0xff);
    let sum = Crc::<u64>::new(&CRC_64_REDIS).checksum(&file);
    file.extend(sum.to_le_bytes());
    file.into()
}

async fn stored(memory: &Memory) -> Vec<Stored> {
    let raw = [
        ("postgres", dump(600)),
        ("sqlite", database().await),
        ("volume", archive()),
        ("redis", snapshot()),
    ];
    let mut all = Vec::new();
    for (kind, raw) in raw {
        for compression in Compression::ALL {
            let strategy = strategy::find(kind).unwrap();
            let key = Key::parse(&format!("shop/1/{kind}{}", compression.suffix())).unwrap();
            let manifest = pack(memory, strategy, 1, &key, raw.clone(), compression).await;
            all.push(Stored {
                strategy,
                bytes: memory.bytes(&key).unwrap(),
                manifest_bytes: memory.bytes(&layout::manifest_key(&key).unwrap()).unwrap(),
                key,
                manifest,
            });
        }
    }
    all
}

struct Nowhere;

#[async_trait]
impl Journal for Nowhere {
    async fn record(&self, step: Step) -> Result<(), JournalClosed> {
        panic!("a restore went on to {step:?}");
    }

    fn progress(&self, _bytes: u64) {}
}

struct Bench {
    memory: Arc<Memory>,
    engine: Arc<FakeEngine>,
    hub: Hub,
}

impl Bench {
    async fn examine(&self, stored: &Stored) -> Result<(), Flaw> {
        examine::run(
            &*self.memory,
            &stored.manifest.artifact,
            &stored.manifest.fingerprint,
            &Keys::default(),
            stored.strategy.validator(),
            &self.hub.begin("run-1"),
            &CancellationToken::new(),
        )
        .await
    }

    /// Found by a verification, and refused by a restore whose manifest is the right one.
    async fn must_be_found(&self, stored: &Stored, what: &str) {
        let found = self.examine(stored).await;
        assert!(
            matches!(found, Err(Flaw::Damaged(_))),
            "{}: {what}: {found:?}",
            stored.key
        );
        let order = Order {
            restore: 1,
            strategy: stored.strategy,
            site: Site {
                container: self.engine.container("shop-db").await.unwrap(),
                engine: self.engine.clone(),
                options: Options::default(),
                cancel: CancellationToken::new(),
                stall: Duration::from_secs(10),
            },
            target: self.memory.clone(),
            manifest: stored.manifest.clone(),
            keys: Keys::default(),
        };
        let restored = restore::run(&order, &Nowhere, &self.hub.begin("restore-1")).await;
        let refused = matches!(restored, Err(RestoreError::Artifact(_)));
        assert!(refused, "{}: {what}: {restored:?}", stored.key);
        assert_eq!(
            self.engine.journal(),
            Vec::<String>::new(),
            "{}: {what}",
            stored.key
        );
    }

    async fn must_be_good(&self, stored: &Stored) {
        self.memory.plant(&stored.key, stored.bytes.clone());
        let good = self.examine(stored).await;
        assert!(good.is_ok(), "a false alarm: {good:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn promise_09_all_damage_is_found_and_nothing_of_it_restored() {
    let memory = Arc::new(Memory::new());
    let all = stored(&memory).await;
    let bench = Bench {
        memory: memory.clone(),
        engine: FakeEngine::with("shop-db"),
        hub: Hub::new(),
    };
    let mut chance = Chance(0x5EED);
    let mut good = 0;
    for stored in &all {
        bench.must_be_good(stored).await;
        good += 1;
    }
    for flip in 0..FLIPS {
        let stored = &all[flip % all.len()];
        let (at, bit) = (chance.below(stored.bytes.len()), chance.below(8));
        let mut bytes = stored.bytes.to_vec();
        bytes[at] ^= 1 << bit;
        memory.plant(&stored.key, bytes);
        bench
            .must_be_found(stored, &format!("bit {bit} of byte {at}"))
            .await;
        memory.plant(&stored.key, stored.bytes.clone());
    }
    for cut in 0..TRUNCATIONS {
        let stored = &all[cut % all.len()];
        let length = match cut / all.len() {
            0 => 0,
            1 => stored.bytes.len() - 1,
            _ => chance.below(stored.bytes.len()),
        };
        memory.plant(&stored.key, stored.bytes.slice(..length));
        bench
            .must_be_found(stored, &format!("cut to {length} bytes"))
            .await;
        bench.must_be_good(stored).await;
        good += 1;
    }
    for swap in 0..SWAPS {
        let stored = &all[swap % all.len()];
        let other = &all[(swap + 1 + swap / all.len()) % all.len()];
        memory.plant(&stored.key, other.bytes.clone());
        bench
            .must_be_found(stored, &format!("swapped with {}", other.key))
            .await;
        // With its manifest: only the log can tell.
        let manifest = layout::manifest_key(&stored.key).unwrap();
        memory.plant(&manifest, other.manifest_bytes.clone());
        let found = bench.examine(stored).await;
        assert!(matches!(found, Err(Flaw::Damaged(_))), "{found:?}");
        memory.plant(&manifest, stored.manifest_bytes.clone());
        bench.must_be_good(stored).await;
        good += 1;
    }
    assert!(memory.list("").await.unwrap().len() == 2 * all.len());
    println!(
        "figure: damage: {FLIPS} bit flips, {TRUNCATIONS} truncations and {SWAPS} swapped artifacts of \
         {} kinds and compressions: 0 not found, 0 restored, 0 false alarms on {good} good ones",
        all.len()
    );
}
