//! Redis and Valkey: backed up, changed, restored, compared by their own digest over everything.

#![allow(clippy::print_stdout)] // Figures.

mod by_hand;
mod kinds;
mod lies;
mod names;
pub mod place;
mod saved;
