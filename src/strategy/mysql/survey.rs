//! One look at the server: what it is, and which databases it has.

use serde::Deserialize;

use super::{
    names::{is_ours, is_system, literals, write_list},
    server::Server,
    settings::DATABASES_FIELD,
};
use crate::strategy::StrategyError;

const WHAT: &str = "looking at the server";

#[derive(Debug, Clone)]
pub struct Survey {
    /// `10.11.19-MariaDB-0+deb12u1`, `9.7.4`.
    pub version: String,
    pub comment: String,
    /// A replica, or set so by a person: cannot be written to.
    pub read_only: bool,
    /// Where its files lie.
    pub directory: String,
    /// Of apps: neither the server's own nor those of our restores.
    pub databases: Vec<String>,
}

#[derive(Deserialize)]
struct Answer {
    version: String,
    comment: String,
    /// `0`, or a word of a newer server.
    read_only: String,
    directory: String,
}

impl Survey {
    pub async fn of(server: &Server) -> Result<Self, StrategyError> {
        let query = "SELECT JSON_OBJECT('version', @@version, 'comment', @@version_comment, \
            'read_only', CONCAT(@@global.read_only), 'directory', @@datadir);";
        let found: Vec<Answer> = server.ask(query, WHAT).await?;
        let answer = found.into_iter().next().ok_or_else(|| {
            StrategyError::refused(format!("{WHAT} failed: the server said nothing"), "")
        })?;
        let query =
            "SELECT JSON_ARRAY(SCHEMA_NAME) FROM information_schema.SCHEMATA ORDER BY SCHEMA_NAME;";
        let all: Vec<Vec<String>> = server.ask(query, WHAT).await?;
        let of_apps = |name: &String| !is_system(name) && !is_ours(name);
        Ok(Self {
            version: answer.version,
            comment: answer.comment,
            read_only: !["0", "OFF", ""].contains(&answer.read_only.as_str()),
            directory: answer.directory,
            databases: all.into_iter().flatten().filter(of_apps).collect(),
        })
    }

    /// Numbers are no help: MariaDB's went their own way. Its word is in the version; distributions
    /// also change the comment.
    pub fn is_mariadb(&self) -> bool {
        [&self.version, &self.comment]
            .iter()
            .any(|text| text.to_ascii_lowercase().contains("mariadb"))
    }

    /// `MariaDB 10.11.19`, `MySQL 9.7.4`.
    pub fn server(&self) -> String {
        let vendor = if self.is_mariadb() {
            "MariaDB"
        } else if self.comment.to_ascii_lowercase().contains("percona") {
            "Percona Server"
        } else {
            "MySQL"
        };
        let digits = |c: char| !(c.is_ascii_digit() || c == '.');
        let number = self.version.split(digits).next().unwrap_or_default();
        format!("{vendor} {number}")
    }

    /// Those that a config chose, or all; it is an error when there is none.
    pub fn chosen(&self, wanted: &[String]) -> Result<Vec<String>, StrategyError> {
        let missing = |name: &&String| !self.databases.contains(name);
        let there = write_list(&self.databases);
        if let Some(missing) = wanted.iter().find(missing) {
            let hint = if there.is_empty() {
                "The server has none at all.".to_owned()
            } else {
                format!("There are: {there}. Name one of them.")
            };
            return Err(StrategyError::Option {
                field: DATABASES_FIELD,
                message: format!("there is no database {missing} on this server"),
                hint,
            });
        }
        if !wanted.is_empty() {
            return Ok(wanted.to_vec());
        }
        if self.databases.is_empty() {
            return Err(StrategyError::refused(
                "the server has no database, so there is nothing to back up",
                "Back it up when the app has made its database.",
            ));
        }
        Ok(self.databases.clone())
    }
}

/// Bytes of data and indexes in these databases.
pub async fn size(server: &Server, databases: &[String]) -> Result<Option<u64>, StrategyError> {
    let query = format!(
        "SELECT JSON_ARRAY(CAST(SUM(DATA_LENGTH + INDEX_LENGTH) AS UNSIGNED)) FROM information_schema.TABLES
        WHERE TABLE_SCHEMA IN ({});",
        literals(databases.iter().map(String::as_str))
    );
    let what = "measuring the databases";
    let found: Vec<Vec<Option<u64>>> = server.ask(query, what).await?;
    Ok(found.into_iter().flatten().next().flatten())
}

/// Tables whose engine has no transactions: in a dump they are not of the same instant as the rest.
pub async fn unsteady(
    server: &Server,
    databases: &[String],
) -> Result<Vec<(String, String)>, StrategyError> {
    let query = format!(
        "SELECT JSON_ARRAY(CONCAT(t.TABLE_SCHEMA, '.', t.TABLE_NAME), t.ENGINE)
        FROM information_schema.TABLES t JOIN information_schema.ENGINES e ON e.ENGINE = t.ENGINE
        WHERE t.TABLE_SCHEMA IN ({}) AND t.TABLE_TYPE <> 'SEQUENCE' AND coalesce(e.TRANSACTIONS, 'NO') <> 'YES'
        ORDER BY 1;",
        literals(databases.iter().map(String::as_str))
    );
    server.ask(query, "looking at the tables").await
}
