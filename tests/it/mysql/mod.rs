//! MySQL and MariaDB: backed up, damaged, restored, compared by a digest over everything logical.

#![allow(clippy::print_stdout)] // Figures.

mod names;
mod place;
mod round_trip;
mod special;

pub use place::{MARIADB, digest, leftovers, sql, until_ready};
