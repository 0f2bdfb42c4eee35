//! What it costs beside what people type. Run alone, on a quiet machine:
//! `cargo test --release --test it postgres::speed -- --ignored --nocapture`

use std::{
    io::Write as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};

use super::place::{Notes, Place, postgres};

const ROUNDS: usize = 3;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn a_restore_beside_a_pipe_into_psql() {
    let place = Place::start().await;
    place.load_sample("shop", 8);
    let site = place.site().await;
    let started = Instant::now();
    let backup = place.back_up("shop").await;
    let dumped = started.elapsed();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(3));
    encoder.write_all(&backup.bytes).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), encoder.finish().unwrap()).unwrap();

    let pipe = format!(
        "gunzip < {} | docker exec -i {} psql -X -q -1 -o /dev/null -v ON_ERROR_STOP=1 -U app -d plain",
        file.path().display(),
        place.bed.name
    );
    let (mut by_pipe, mut by_us) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        place.sql("postgres", "CREATE DATABASE plain TEMPLATE template0");
        let started = Instant::now();
        let run = Command::new("sh")
            .args(["-c", &pipe])
            .stderr(Stdio::null())
            .status();
        assert!(run.unwrap().success());
        by_pipe = by_pipe.min(started.elapsed());
        place.sql("postgres", "DROP DATABASE plain");

        let started = Instant::now();
        let restored = backup.restore(&site, &Notes::default()).await.unwrap();
        by_us = by_us.min(started.elapsed());
        postgres()
            .forget(&site, &restored.kept.unwrap())
            .await
            .unwrap();
    }
    println!(
        "figures: {} MB, {} rows: dumped in {:.2} s; gunzip | psql -1 in {:.2} s, restored with check and swap in {:.2} s: {:.2} of it",
        backup.bytes.len() / 1_000_000,
        backup.fingerprint.total(),
        dumped.as_secs_f64(),
        by_pipe.as_secs_f64(),
        by_us.as_secs_f64(),
        by_us.as_secs_f64() / by_pipe.as_secs_f64(),
    );
}
