//! One look at the server: what it is, and which databases it has, by name and by id.

use std::time::Duration;

use serde::Deserialize;
use tokio::time;

use super::{
    names::{self, literal},
    profile::{self, Profile},
    server::Server,
};
use crate::strategy::StrategyError;

const WHAT: &str = "looking at the server";
/// How long to wait for a server that is just coming up.
const COMING_UP: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Deserialize)]
pub struct Survey {
    /// The database it was looked at from: the place for statements about the others.
    #[serde(skip)]
    pub from: String,
    /// `15.18`.
    pub version: String,
    /// `150018`.
    pub number: u32,
    /// A replica, which cannot be written to.
    pub replica: bool,
    /// Locks that fit into the server's memory.
    pub locks: u64,
    /// Where its files lie; `None` when the user may not know.
    pub directory: Option<String>,
    pub databases: Vec<Database>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Database {
    pub oid: u32,
    pub name: String,
    pub open: bool,
    /// What is left of one whose dropping was broken off.
    pub invalid: bool,
    pub template: bool,
    /// Prepared transactions: they keep it from being renamed.
    pub prepared: u64,
    /// Logical replication slots: they belong to the database and not to its name.
    pub slots: u64,
    /// Only of databases that all is about.
    pub profile: Option<Profile>,
}

impl Database {
    /// Whether a restore made it, beside the databases of others.
    pub fn is_ours(&self) -> bool {
        let parts = ["hf_stage_", "hf_undo_", "hf_undone_"];
        let rest = parts.iter().find_map(|part| self.name.strip_prefix(part));
        rest.and_then(|rest| rest.split_once('_'))
            .is_some_and(|(restore, tag)| {
                !restore.is_empty()
                    && restore.bytes().all(|byte| byte.is_ascii_digit())
                    && tag.len() == 8
                    && tag.bytes().all(|byte| byte.is_ascii_hexdigit())
            })
    }
}

impl Survey {
    /// Looks from a database other than those that all is about, waiting for a server that is just
    /// coming up.
    pub async fn of(server: &Server, about: &[&str]) -> Result<Self, StrategyError> {
        let deadline = time::Instant::now() + COMING_UP;
        loop {
            match Self::now(server, about).await {
                Err(StrategyError::Tool {
                    temporary: true, ..
                }) if time::Instant::now() < deadline => {
                    time::sleep(Duration::from_millis(500)).await;
                }
                other => return other,
            }
        }
    }

    /// The same, without waiting.
    pub async fn now(server: &Server, about: &[&str]) -> Result<Self, StrategyError> {
        let own = server.settings.database.as_str();
        let mut last = None;
        for from in ["postgres", "template1", own] {
            if about.contains(&from) {
                continue;
            }
            match Self::from(server, from, about).await {
                Err(error) if is_about_database(&error) => last = Some(error),
                other => return other,
            }
        }
        // None of the usual ones is there: any other will do.
        let first = about.first().copied().unwrap_or(own);
        let survey = Self::from(server, first, about).await;
        let survey = survey.map_err(|error| last.unwrap_or(error))?;
        let ours = |d: &Database| about.contains(&d.name.as_str()) || d.name.starts_with("hf_");
        // Some names are a whole connection string to the tools.
        let plain = |d: &Database| names::check(&d.name).is_ok();
        let other = |d: &&Database| d.open && !d.invalid && !ours(d) && plain(d);
        match survey.databases.iter().find(other) {
            Some(other) => Ok(Self {
                from: other.name.clone(),
                ..survey
            }),
            None => Err(StrategyError::refused(
                format!(
                    "there is no database beside {} to work from",
                    about.join(", ")
                ),
                "Create the database postgres.",
            )),
        }
    }

    async fn from(server: &Server, from: &str, about: &[&str]) -> Result<Self, StrategyError> {
        let found: Vec<Self> = server.ask(from, query(about), WHAT).await?;
        let survey = found.into_iter().next().ok_or_else(|| {
            StrategyError::refused(format!("{WHAT} failed: the server said nothing"), "")
        })?;
        Ok(Self {
            from: from.to_owned(),
            ..survey
        })
    }

    pub fn named(&self, name: &str) -> Option<&Database> {
        self.databases.iter().find(|database| database.name == name)
    }

    pub fn with_oid(&self, oid: u32) -> Option<&Database> {
        self.databases.iter().find(|database| database.oid == oid)
    }

    pub fn major(&self) -> u32 {
        self.number / 10_000
    }
}

/// Columns of settings are in all versions; settings that this user may not see are absent.
fn query(about: &[&str]) -> String {
    let about: Vec<String> = about.iter().map(|name| literal(name)).collect();
    let (profile, about) = (profile::OBJECT, about.join(", "));
    format!(
        "SELECT jsonb_build_object(
  'version', split_part(current_setting('server_version'), ' ', 1),
  'number', current_setting('server_version_num')::int,
  'replica', pg_is_in_recovery(),
  'locks', current_setting('max_locks_per_transaction')::int
    * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int),
  'directory', (SELECT setting FROM pg_settings WHERE name = 'data_directory'),
  'databases', (SELECT jsonb_agg(jsonb_build_object('oid', d.oid::bigint, 'name', d.datname,
    'open', d.datallowconn, 'invalid', d.datconnlimit = -2, 'template', d.datistemplate,
    'prepared', (SELECT count(*) FROM pg_prepared_xacts x WHERE x.database = d.datname),
    'slots', (SELECT count(*) FROM pg_replication_slots s WHERE s.database = d.datname),
    'profile', CASE WHEN d.datname = ANY (ARRAY[{about}]::name[]) THEN {profile} END)
    ORDER BY d.datname) FROM pg_database d));"
    )
}

/// A query that says how large a database is, if the user may know.
pub fn size_query(database: &str) -> String {
    format!(
        "SELECT pg_database_size(oid) FROM pg_database
WHERE datname = {} AND has_database_privilege(oid, 'CONNECT');\n",
        literal(database)
    )
}

/// Whether only this one database is the trouble, so that another may do.
fn is_about_database(error: &StrategyError) -> bool {
    matches!(error, StrategyError::Tool { message, .. }
        if message.contains("database \"")
            && (message.ends_with("does not exist")
                || message.contains("not currently accepting")
                || message.contains("permission denied for database")))
}
