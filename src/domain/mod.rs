//! The rules, pure: no async, clock, randomness or I/O, and no crate that does any of it.

pub mod access;
pub mod aggregate;
pub mod app;
pub mod audit;
pub mod blackout;
pub mod calendar;
pub mod config;
pub mod encryption;
pub mod event;
pub mod failure;
pub mod forecast;
pub mod form;
pub mod grant;
pub mod hook;
pub mod ids;
pub mod lateness;
pub mod manifest;
pub mod restore;
pub mod retention;
pub mod run;
pub mod schedule;
pub mod secret;
pub mod slots;
pub mod text;
pub mod verification;
pub mod webhook;
