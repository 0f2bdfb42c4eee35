//! SQLite, beyond what every strategy proves: a writer that never rests, images without `sqlite3`,
//! several files of one name, what lies beside a database, hostile paths.

#![allow(clippy::print_stdout)] // Figures.

mod files;
mod found;
mod writer;

use std::sync::Arc;

use holdfast::{
    docker::DockerEngine,
    strategy::{self, Options, Site, Strategy},
};

use crate::{
    bed::{Bed, SQLITE_APP},
    workbench,
};

fn sqlite() -> &'static dyn Strategy {
    strategy::find("sqlite").unwrap()
}

fn paths(paths: &[&str]) -> Options {
    Options {
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        ..Options::default()
    }
}

/// With a helper image that has `sqlite3`.
async fn site_with_tool(bed: &Bed, options: Options) -> Site {
    let engine = DockerEngine::connect(None).unwrap();
    Site {
        engine: Arc::new(engine.with_helper_image(SQLITE_APP)),
        ..workbench::site(bed, options).await
    }
}
