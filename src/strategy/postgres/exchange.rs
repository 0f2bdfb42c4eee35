//! One database that takes the place of another, by two renames. Several of these at once are a
//! `Swap`.
//!
//! Names move, object ids stay: `before` is the id of the database that is replaced, so after a
//! crash at any instant one look says which of the two states the server is in.

use serde::{Deserialize, Serialize};

use super::{
    kept::Aside,
    names::{ident, literal},
    survey::{Database, Survey},
};
use crate::strategy::StrategyError;

/// Who takes whose place. It goes into every recorded step; that is all that `settle` needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exchange {
    /// The restore that all this is about.
    pub restore: i64,
    /// The name that the two change.
    pub database: String,
    /// Id of the database that has the name before; `None`: there is none.
    pub before: Option<u32>,
    /// The database that takes the name, and its id as soon as it exists.
    pub incoming: String,
    pub incoming_id: Option<u32>,
    /// What the one before is called after.
    pub aside: String,
    /// The incoming one was made for this exchange: without it, it has no use.
    pub disposable: bool,
}

/// Where the two databases of an exchange are found.
#[derive(Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// The new one has the name.
    After,
    /// The old one has the name, or nobody, as before.
    Before,
    /// Somebody else renamed the old one to this, or dropped it.
    Lost(Option<&'a str>),
}

impl Exchange {
    pub fn found<'a>(&self, survey: &'a Survey) -> Found<'a> {
        let named = |id: Option<u32>| Some(survey.with_oid(id?)?.name.as_str());
        let before = named(self.before);
        let own = Some(self.database.as_str());
        if self.incoming_id.is_some() && named(self.incoming_id) == own {
            Found::After
        } else if self.before.is_some() && before != own {
            Found::Lost(before)
        } else {
            Found::Before
        }
    }

    /// The two renames. The new one is opened with them.
    pub fn renames(&self) -> String {
        let (database, incoming) = (ident(&self.database), ident(&self.incoming));
        let aside = match self.before {
            Some(_) => format!(
                "ALTER DATABASE {database} RENAME TO {};\n",
                ident(&self.aside)
            ),
            None => String::new(),
        };
        format!(
            "{aside}ALTER DATABASE {incoming} RENAME TO {database};\n\
            ALTER DATABASE {database} ALLOW_CONNECTIONS true;\n"
        )
    }

    /// Who has to have which name after the renames: name and id.
    pub fn meant(&self) -> impl Iterator<Item = (&str, u32)> {
        let meant = [
            Some(self.database.as_str()).zip(self.incoming_id),
            Some(self.aside.as_str()).zip(self.before),
        ];
        meant.into_iter().flatten()
    }

    /// Lets nobody into either of the two any more.
    pub fn closing(&self) -> String {
        let before = self.before.map(|_| closing(&self.database));
        before.unwrap_or_default() + &closing(&self.incoming)
    }

    /// What is there to be put back once it happened.
    pub fn aside(&self) -> Option<Aside> {
        Some(Aside {
            restore: self.restore,
            database: self.database.clone(),
            name: self.aside.clone(),
            id: self.before?,
        })
    }

    /// The old one, if it is where an exchange puts it.
    pub fn set_aside<'a>(&self, survey: &'a Survey) -> Option<&'a Database> {
        let aside = survey.with_oid(self.before?)?;
        (aside.name == self.aside).then_some(aside)
    }

    /// Somebody else renamed or dropped a database in the middle of it all.
    pub fn lost(&self, place: Option<&str>) -> StrategyError {
        let message = match place {
            Some(name) => format!(
                "database {} was renamed to {name} by somebody else during the restore",
                self.database
            ),
            None => format!(
                "database {} was dropped by somebody else during the restore",
                self.database
            ),
        };
        let hint = format!(
            "Look at the server's databases (psql -l): the content from before is in {}, the restored one in {}.",
            place.unwrap_or("none of them"),
            self.incoming
        );
        StrategyError::NeedsAttention { message, hint }
    }
}

/// Lets nobody in any more, and ends the sessions that are there.
pub fn closing(database: &str) -> String {
    format!(
        "ALTER DATABASE {} ALLOW_CONNECTIONS false;\n\
        SELECT count(pg_terminate_backend(a.pid)) FROM pg_stat_activity a\n\
        JOIN pg_database d ON d.oid = a.datid WHERE d.datname = {} AND a.pid <> pg_backend_pid();\n",
        ident(database),
        literal(database)
    )
}
