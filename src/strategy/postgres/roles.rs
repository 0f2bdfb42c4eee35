//! Roles belong to the server, not to a database. A backup may hold them; a restore makes those that
//! are missing, and leaves alone those that are there: bringing data back never changes a login.
//!
//! A role that was made wears a mark, a setting of its own, until the transaction that exchanges the
//! databases takes it off. So a restore that came to nothing finds those it made, and no others.

use std::collections::HashSet;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    errors,
    names::{ident, literal},
    server::{LONG, SHORT, Server},
    survey::Survey,
    validate::{Does, Roles},
};
use crate::strategy::{StrategyError, stderr::Mask, tag};

const SESSION: &str = "-c default_transaction_read_only=off";
const MARK: &str = "holdfast.restore";

/// Roles that a restore makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    pub names: Vec<String>,
    /// The value of their mark.
    pub mark: String,
}

/// The roles of the server, and what there is to say about them. Without the right to read passwords,
/// without passwords.
pub async fn dump(server: &Server, from: &str) -> Result<(Bytes, Option<String>), StrategyError> {
    let what = "the dump of the roles";
    let limit = server.site.stall;
    let run = |more: &[&str]| {
        let fixed = ["pg_dumpall", "--roles-only", "--no-password"];
        let words = fixed.iter().chain(more).map(|&word| word.to_owned());
        let login = [
            format!("--username={}", server.settings.user),
            format!("--database={from}"),
        ];
        let command = server
            .tool(words.chain(login).collect(), "holdfast-roles", "")
            .env("PGCLIENTENCODING", "UTF8".into());
        server.talk(command, Bytes::new(), what, limit)
    };
    match run(&[]).await {
        Err(StrategyError::Tool { message, .. }) if message.contains("permission denied") => {
            let roles = run(&["--no-role-passwords"]).await?;
            let warning =
                "the roles are in the backup without their passwords, which this user may not read";
            Ok((roles.into(), Some(warning.to_owned())))
        }
        roles => Ok((roles?.into(), None)),
    }
}

/// Those of the dump that the server does not have.
pub async fn missing(
    server: &Server,
    from: &str,
    roles: &Roles,
) -> Result<Option<Made>, StrategyError> {
    if roles.statements.is_empty() {
        return Ok(None);
    }
    let query = "SELECT to_jsonb(rolname) FROM pg_roles;";
    let there: Vec<String> = server.ask(from, query, "looking at the roles").await?;
    let there: HashSet<&str> = there.iter().map(String::as_str).collect();
    let names = roles.names().filter(|name| !there.contains(name));
    let names: Vec<String> = names.map(str::to_owned).collect();
    if names.is_empty() {
        return Ok(None);
    }
    Ok(Some(Made {
        names,
        mark: tag()?,
    }))
}

impl Made {
    fn has(&self, role: &str) -> bool {
        self.names.iter().any(|name| name == role)
    }

    /// Makes them all, or none.
    pub async fn make(
        &self,
        server: &Server,
        from: &str,
        roles: &Roles,
    ) -> Result<(), StrategyError> {
        let mut script = vec!["SET standard_conforming_strings = on;\nBEGIN;\n".to_owned()];
        for statement in &roles.statements {
            let ours = match &statement.does {
                Does::Create(role) | Does::Change(role) => self.has(role),
                Does::Member { member, .. } => self.has(member),
                Does::Setting | Does::Parameter => false,
            };
            if !ours {
                continue;
            }
            script.push(format!("{}\n", statement.text));
            if let Does::Create(role) = &statement.does {
                script.push(self.marking(role));
            }
        }
        script.push("COMMIT;\n".to_owned());
        // Complaints show no line of the script: it has passwords.
        let command = server.psql(from, &["--set=VERBOSITY=terse"], "holdfast", SESSION);
        let command = command.env("PGCLIENTENCODING", "UTF8".into());
        let secrets = roles.secrets.iter();
        let mask = secrets.fold(server.settings.mask(), Mask::and);
        let (what, input) = ("creating the roles", Bytes::from(script.concat()));
        let said = server.site.talk(command, input, mask, what, LONG).await?;
        match said.code {
            0 => Ok(()),
            code => Err(errors::complaint(what, "psql", code, &said.stderr)),
        }
    }

    /// What of the dump's roles is not made, in words.
    pub fn left_out(&self, roles: &Roles) -> Vec<String> {
        let made = |role: &str| self.has(role);
        let left = roles.statements.iter().filter(|one| match &one.does {
            Does::Member { role, member } => made(role) && !made(member),
            Does::Parameter => true,
            _ => false,
        });
        left.map(|one| {
            format!(
                "a right was not given, as it would change more than the new roles: {}",
                one.text
            )
        })
        .collect()
    }

    fn marking(&self, role: &str) -> String {
        let (role, mark, value) = (ident(role), ident(MARK), literal(&self.mark));
        format!("ALTER ROLE {role} SET {mark} TO {value};\n")
    }

    /// To be run with the exchange: from here on they are there to stay.
    pub fn unmark(&self) -> String {
        let reset = |role: &String| format!("ALTER ROLE {} RESET {};\n", ident(role), ident(MARK));
        self.names.iter().map(reset).collect()
    }

    /// Drops those that were made, where nothing hangs on them. Says which stay.
    pub async fn remove(
        &self,
        server: &Server,
        survey: &Survey,
    ) -> Result<Vec<String>, StrategyError> {
        let names: Vec<String> = self.names.iter().map(|name| literal(name)).collect();
        let marked = format!(
            "FROM pg_roles WHERE rolname = ANY (ARRAY[{}]::name[]) AND {} = ANY (rolconfig)",
            names.join(", "),
            literal(&format!("{MARK}={}", self.mark))
        );
        let what = "dropping the roles that were made";
        let drop = format!(
            "\\unset ON_ERROR_STOP\nSELECT format('DROP ROLE %I', rolname) {marked} \\gexec\n\
            \\set ON_ERROR_STOP 1\nSELECT to_jsonb(rolname) {marked};\n"
        );
        let answer = server.run(&survey.from, drop, what, SHORT).await?;
        let stay: Vec<String> = crate::strategy::talk::parse(&answer, what)?;
        let left = Self {
            names: stay,
            mark: self.mark.clone(),
        };
        server.run(&survey.from, left.unmark(), what, SHORT).await?;
        Ok(left.names)
    }
}
