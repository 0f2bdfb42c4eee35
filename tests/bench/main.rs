//! `cargo bench [-- section…]`: how fast each part is, beside what it is measured against. Figures
//! move with the machine and with what else it does, so each is the median of several rounds, what
//! is compared is measured in turns, and CPU time is told beside the clock's: it hardly depends on
//! who else is at work.
#![allow(clippy::print_stdout, clippy::cast_precision_loss, clippy::unwrap_used)]

#[path = "../it/bed.rs"]
#[allow(dead_code)]
mod bed;
mod dashboard;
mod data;
#[path = "../it/house.rs"]
#[allow(dead_code)]
mod house;
mod log;
mod memory;
mod postgres;
#[path = "../it/rclone.rs"]
#[allow(dead_code)]
mod rclone;
mod s3;
mod sink;
#[path = "../it/pages/site.rs"]
#[allow(dead_code)]
mod site;
mod slots;
mod stages;

use std::{
    fs,
    time::{Duration, Instant},
};

type Section = (&'static str, fn());

const SECTIONS: &[Section] = &[
    ("stages", stages::run), //
    ("memory", memory::run),
    ("log", log::run),
    ("slots", slots::run),
    ("postgres", postgres::run),
    ("s3", s3::run),
    ("dashboard", dashboard::run),
];

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    if wanted.first().is_some_and(|arg| arg == memory::CHILD) {
        return memory::child(&wanted[1..]);
    }
    for (name, run) in SECTIONS {
        if wanted.is_empty() || wanted.iter().any(|arg| arg == name) {
            println!("\n## {name}\n");
            run();
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// What some work took; `cpu` is that of all threads and of the programs it started.
#[derive(Clone, Copy)]
struct Taken {
    wall: Duration,
    cpu: Duration,
}

impl Taken {
    /// Prints megabytes (10⁶) a second, by the clock and by CPU time.
    fn row(self, name: &str, bytes: usize, note: &str) {
        let rate = |time: Duration| bytes as f64 / 1e6 / time.as_secs_f64();
        println!(
            "{name:24} {:6.0} {:6.0}   {note}",
            rate(self.wall),
            rate(self.cpu)
        );
    }
}

/// What a figure should come to.
#[derive(Clone, Copy)]
enum Reach {
    AtMost(f64),
    AtLeast(f64),
}

/// Prints each figure beside what it should come to, misses included.
fn verdicts(figures: &[(&str, f64, Reach)]) {
    println!("\n| figure | measured | reach | |\n|---|---|---|---|");
    for (what, found, reach) in figures {
        let (sign, limit, good) = match *reach {
            Reach::AtMost(limit) => ('≤', limit, *found <= limit),
            Reach::AtLeast(limit) => ('≥', limit, *found >= limit),
        };
        let digits = if limit < 100.0 { 2 } else { 0 };
        let said = if good { "reached" } else { "**missed**" };
        println!("| {what} | {found:.digits$} | {sign} {limit} | {said} |");
    }
}

/// The median of each work over `rounds` rounds, taken in turns.
fn medians<const N: usize>(rounds: usize, mut works: [Box<dyn FnMut() + '_>; N]) -> [Taken; N] {
    let mut taken: [Vec<(Duration, Duration)>; N] = std::array::from_fn(|_| Vec::new());
    for _ in 0..rounds {
        for (work, taken) in works.iter_mut().zip(&mut taken) {
            let (started, cpu) = (Instant::now(), cpu_time());
            work();
            taken.push((started.elapsed(), cpu_time().saturating_sub(cpu)));
        }
    }
    taken.map(|taken| {
        let (wall, cpu): (Vec<_>, Vec<_>) = taken.into_iter().unzip();
        Taken {
            wall: median(wall),
            cpu: median(cpu),
        }
    })
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// Of this process and of its children that have ended, in ticks of 10 ms.
fn cpu_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    let ticks = fields.split_whitespace().skip(11).take(4);
    let ticks: u64 = ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}
