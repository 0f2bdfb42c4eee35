//! Holdfast: backs up and restores what lives in Docker containers. The modules stand in the order
//! of their dependencies; `tests/architecture.rs` keeps who may import whom.

pub mod domain;
pub mod failpoint;

pub mod compose;
pub mod docker;
pub mod log;
pub mod notify;
pub mod sso;
pub mod strategy;
pub mod target;

pub mod engine;
pub mod hook;
pub mod readmodel;

pub mod app;
pub mod work;

pub mod bootstrap;
pub mod config;

pub mod web;
