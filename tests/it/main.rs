//! Everything that is proved, in one test binary: one module a subject. Those over real containers
//! need a Docker engine and the images of `scripts/testbed`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::assigning_clones,
    clippy::unnecessary_wraps
)]

mod api;
mod apply;
mod architecture;
mod audit;
mod bed;
mod bucket;
mod canaries;
mod cli;
mod commands;
mod copies;
mod crash;
mod cron;
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
mod leftovers;
mod lines;
mod log;
mod mongo;
mod mysql;
mod note;
mod own;
mod pages;
mod postgres;
mod promises;
mod proxy;
mod rclone;
mod reconcile;
mod recovery;
mod redis;
mod retention;
mod safety;
mod samples;
mod secrets;
mod server;
mod session;
mod shelf;
mod slice;
mod slots;
mod sqlite;
mod sso;
mod strategies;
mod targets;
mod triggers;
mod undo;
mod vault;
mod verification;
mod volume;
mod webhooks;
mod workbench;
