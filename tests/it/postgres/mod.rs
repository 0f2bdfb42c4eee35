//! PostgreSQL: backed up, damaged, restored, compared by a digest over everything logical.

#![allow(clippy::print_stdout)] // Figures.

mod all;
mod artifacts;
mod by_hand;
mod crashes;
mod kinds;
mod lies;
mod names;
mod place;
mod round_trip;
mod scripted;
