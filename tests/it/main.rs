//! Everything that is proved, in one test binary: one module a subject. Those over real containers
//! need a Docker engine and the images of `scripts/testbed`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::assigning_clones,
    clippy::unnecessary_wraps
)]

mod api;
mod architecture;
mod bed;
mod bucket;
mod cli;
mod copies;
mod crash;
mod damage;
mod detected;
mod discard;
mod docker;
mod domain;
mod elsewhere;
mod encryption;
mod golden;
mod hooks;
mod house;
mod labelled;
mod log;
mod mongo;
mod mysql;
mod own;
mod pages;
mod postgres;
mod promises;
mod proxy;
mod recovery;
mod redis;
mod retention;
mod samples;
mod server;
mod shelf;
mod slice;
mod slots;
mod sqlite;
mod strategies;
mod targets;
mod triggers;
mod verification;
mod volume;
mod webhooks;
mod workbench;
