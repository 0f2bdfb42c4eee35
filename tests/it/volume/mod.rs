//! Files and folders, beyond what every strategy proves: archives made to do harm, images without
//! tools, mounts of every kind, names of every kind, many files.

#![allow(clippy::print_stdout)] // Figures.

mod evil;
mod many;
mod mounts;
mod names;
mod starts;

use holdfast::strategy::{self, Options, Strategy};

fn volume() -> &'static dyn Strategy {
    strategy::find("volume").unwrap()
}

fn paths(paths: &[&str]) -> Options {
    Options {
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        ..Options::default()
    }
}
