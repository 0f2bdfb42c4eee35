//! Read models: what pages, the API and workers look things up in. One file each: the table, the
//! pure function that folds events into its rows, and the queries. All can be dropped and rebuilt.

pub mod apps;
pub mod configs;
pub mod overview;
pub mod restores;
pub mod runs;
pub mod table;
pub mod users;
pub mod webhooks;

use serde::{Serialize, de::DeserializeOwned};

use self::table::Table;
use crate::log::Projection;

/// Every read model there is.
pub fn all() -> Vec<Box<dyn Projection>> {
    vec![
        Box::new(Table::<apps::Apps>::new()),
        Box::new(Table::<configs::Configs>::new()),
        Box::new(Table::<runs::Runs>::new()),
        Box::new(Table::<restores::Restores>::new()),
        Box::new(Table::<users::Users>::new()),
        Box::new(Table::<webhooks::Webhooks>::new()),
    ]
}

/// A value kept as JSON text in a column.
fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Columns are written by `to_json` alone, so what does not parse is a row of a version that the
/// next start rebuilds; until then it counts as empty.
fn from_json<T: DeserializeOwned + Default>(text: &str) -> T {
    serde_json::from_str(text).unwrap_or_default()
}

fn from_optional_json<T: DeserializeOwned>(text: Option<&String>) -> Option<T> {
    text.and_then(|text| serde_json::from_str(text).ok())
}
