//! Moves the bytes of backups and restores. It knows strategies and targets by their traits, and
//! neither database, queue nor web: what it is given is what it needs, and what it returns is all
//! there is to know.

pub mod backup;
pub mod codec;
pub mod copy;
pub mod examine;
pub mod intake;
pub mod pipeline;
pub mod progress;
pub mod prune;
pub mod restore;
pub mod verify;
