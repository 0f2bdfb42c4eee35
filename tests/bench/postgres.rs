//! Backup and restore of a PostgreSQL database by exec, beside what people type. Holdfast's time is
//! that of the whole run as it stands in the log: probe, dump, compression, storing, reading back and
//! validating, manifest. `HOLDFAST_BENCH_SCALE` (default 14: 0.5 GiB of dump) sets the size,
//! `HOLDFAST_BENCH_ROUNDS` (default 5) the number of pairs.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use holdfast::domain::ids::ConfigId;

use super::{
    Reach::AtMost,
    bed::Bed,
    house::{House, postgres},
    median, runtime, verdicts,
};

/// What is measured: its name, and what it does; answers the bytes it stored.
type Work<'a> = (String, Box<dyn FnMut() -> u64 + 'a>);

fn setting(name: &str, default: usize) -> usize {
    let text = std::env::var(name).ok();
    text.and_then(|text| text.parse().ok()).unwrap_or(default)
}

pub fn run() {
    let rounds = setting("HOLDFAST_BENCH_ROUNDS", 5);
    let project = format!("bench-{}", std::process::id());
    let bed = postgres(super::bed::POSTGRES, &project, &["--shm-size", "256m"]);
    load(&bed);
    let runtime = runtime();
    let (house, gzip, zstd) = runtime.block_on(async {
        let house = House::new().await;
        house.app("shop", &project).await;
        let gzip = house.config("shop", |_| {}).await;
        let fast = |input: &mut holdfast::app::ConfigInput| input.verify_upload = Some(false);
        let unverified = house.config("shop", fast).await;
        let zstd = house
            .config("shop", |input| {
                fast(input);
                input.compression = Some("zstd".into());
            })
            .await;
        (house, [gzip, unverified], zstd)
    });
    let backup = |config: ConfigId| runtime.block_on(house.back_up(config));
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let file = place.path().join("by-hand").display().to_string();
    let dump = format!("docker exec {} pg_dump -U postgres shop", bed.name);

    let [verified, unverified] = gzip;
    let mut works: Vec<Work<'_>> = vec![
        (
            "docker exec pg_dump > /dev/null (the limit)".into(),
            shell(format!("{dump} > /dev/null"), ""),
        ),
        (
            "… | gzip > file".into(),
            shell(format!("{dump} | gzip > {file}"), &file),
        ),
        (
            "… | pigz > file".into(),
            shell(format!("{dump} | pigz > {file}"), &file),
        ),
        (
            "… | zstd -3 > file".into(),
            shell(format!("{dump} | zstd -3 -q > {file}"), &file),
        ),
        (
            "Holdfast, gzip".into(),
            Box::new(|| size(&backup(unverified))),
        ),
        (
            "Holdfast, gzip, decompressed and validated again".into(),
            Box::new(|| size(&backup(verified))),
        ),
        ("Holdfast, zstd".into(), Box::new(|| size(&backup(zstd)))),
    ];
    let backups = table("backup", rounds, &mut works);
    drop(works);
    let [limit, pipe, ours, zstd] = [0, 1, 4, 6];
    verdicts(&[
        (
            "gzip, of the limit",
            backups.ratio(ours, limit),
            AtMost(1.15),
        ),
        (
            "gzip, of the gzip pipe",
            backups.ratio(ours, pipe),
            AtMost(0.3),
        ),
        (
            "gzip, its size of the gzip pipe's",
            backups.size(ours, pipe),
            AtMost(1.06),
        ),
        (
            "zstd, of the limit",
            backups.ratio(zstd, limit),
            AtMost(1.25),
        ),
        (
            "zstd, its size of gzip's",
            backups.size(zstd, ours),
            AtMost(0.97),
        ),
    ]);
    println!("\nThe direct path, round the engine's stream, is not built: missed.");

    let run = backup(verified);
    let original = run.run_id();
    let artifact = house
        .data
        .path()
        .join("backups")
        .join(run.file_path.clone().unwrap());
    let by_hand = format!(
        "docker exec {name} sh -c 'dropdb -U postgres --if-exists hand && createdb -U postgres hand' && \
         gunzip -c {file} | docker exec -i {name} psql -U postgres -X -q -1 -v ON_ERROR_STOP=1 hand > /dev/null",
        name = bed.name,
        file = artifact.display(),
    );
    let mut works: Vec<Work<'_>> = vec![
        (
            "gunzip | docker exec -i psql -1 (into a new database)".into(),
            shell(by_hand, ""),
        ),
        (
            "Holdfast: validate, load aside, ANALYZE, compare, swap".into(),
            Box::new(|| {
                let restored = runtime.block_on(house.restore(original));
                assert_eq!(restored.status, "success", "{restored:?}");
                let undo = "SELECT format('DROP DATABASE %I', datname) FROM pg_database WHERE datname LIKE 'hf%' \\gexec";
                bed.sh(&format!("echo \"{undo}\" | psql -U postgres -XAtq"));
                0
            }),
        ),
    ];
    let restores = table("restore", rounds, &mut works);
    drop(works);
    verdicts(&[("restore, of the pipe", restores.ratio(1, 0), AtMost(1.1))]);
    runtime.block_on(house.close());
}

fn load(bed: &Bed) {
    let scale = setting("HOLDFAST_BENCH_SCALE", 14);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/sample-db.sql");
    let command = format!(
        "docker exec -i {} psql -U postgres -X -q -v ON_ERROR_STOP=1 -v scale={scale} -f - shop < {script}",
        bed.name
    );
    shell(command, "")();
}

/// Runs a shell line; the size of `file` after it.
fn shell(line: String, file: &str) -> Box<dyn FnMut() -> u64> {
    let file = file.to_owned();
    Box::new(move || {
        let done = Command::new("bash")
            .args(["-o", "pipefail", "-c", &line])
            .status()
            .unwrap();
        assert!(done.success(), "{line}");
        std::fs::metadata(&file).map_or(0, |meta| meta.len())
    })
}

fn size(run: &holdfast::readmodel::runs::Model) -> u64 {
    assert_eq!(run.status, "success", "{run:?}");
    u64::try_from(run.size_bytes.unwrap()).unwrap()
}

/// What was measured, round by round, of works by their number.
struct Measured {
    times: Vec<Vec<Duration>>,
    sizes: Vec<u64>,
}

impl Measured {
    /// The median of `one`'s time over `other`'s of the same round.
    fn ratio(&self, one: usize, other: usize) -> f64 {
        let pairs = self.times[one].iter().zip(&self.times[other]);
        let mut ratios: Vec<f64> = pairs
            .map(|(one, other)| one.as_secs_f64() / other.as_secs_f64())
            .collect();
        ratios.sort_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    }

    fn size(&self, one: usize, other: usize) -> f64 {
        self.sizes[one] as f64 / self.sizes[other] as f64
    }
}

/// In turns; medians, and the median of each one's ratio to the first of its own round.
fn table(what: &str, rounds: usize, works: &mut [Work<'_>]) -> Measured {
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); works.len()];
    let mut sizes = vec![0; works.len()];
    for round in 0..rounds {
        for (index, (_, work)) in works.iter_mut().enumerate() {
            let start = Instant::now();
            sizes[index] = work();
            times[index].push(start.elapsed());
        }
        eprintln!("{what}: round {} of {rounds}", round + 1);
    }
    let measured = Measured { times, sizes };
    println!("\n| {what} | seconds | of the first | bytes |\n|---|---|---|---|");
    for (index, (name, _)) in works.iter().enumerate() {
        // A bar would end the cell.
        println!(
            "| {} | {:.1} | {:.2} | {} |",
            name.replace('|', "\\|"),
            median(measured.times[index].clone()).as_secs_f64(),
            measured.ratio(index, 0),
            measured.sizes[index]
        );
    }
    measured
}
