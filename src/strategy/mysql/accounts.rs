//! Accounts travel apart from the server's own `mysql` schema, whose tables fit one version only: as
//! statements in comment lines before the dump. A restore makes those that are missing, last of all,
//! and leaves those that are there alone; a server that was lost gets its app's login back.
//!
//! Not among them: root, whose password belongs to its server, and the accounts that servers and
//! images make for themselves.

use bytes::Bytes;

use super::{
    errors,
    names::{ident, literal},
    read::{self, account_of},
    server::{LONG, Server},
};
use crate::strategy::StrategyError;

const WHAT: &str = "reading the accounts";

/// Accounts with these names are the server's or the image's own.
const OWN: [&str; 9] = [
    "",
    "PUBLIC",
    "debian-sys-maint",
    "healthcheck",
    "mariadb.sys",
    "mysql",
    "mysql.infoschema",
    "mysql.session",
    "mysql.sys",
];

/// User and host; a role of MariaDB has an empty host.
type Account = (String, String);

/// Comment lines that keep all accounts, and what could not be kept.
pub async fn lines(server: &Server) -> Result<(Bytes, Vec<String>), StrategyError> {
    let accounts = match all(server).await {
        Err(StrategyError::Tool { detail, .. }) if errors::is_denied(&detail) => {
            let warning =
                "the server's accounts are not in the backup: this user may not read them";
            return Ok((Bytes::new(), vec![warning.to_owned()]));
        }
        accounts => accounts?,
    };
    let mut warnings = Vec::new();
    let (mut made, mut granted) = (Vec::new(), Vec::new());
    for account in accounts.iter().filter(|account| is_apps(account)) {
        for statement in statements(server, account).await? {
            let kept = if statement.starts_with("CREATE") {
                &mut made
            } else {
                &mut granted
            };
            if statement.chars().any(char::is_control) {
                let who = written(account);
                warnings.push(format!("a statement of the account {who} is not in the backup: it does not fit in a line"));
            } else {
                kept.push(statement);
            }
        }
    }
    if made.is_empty() {
        return Ok((Bytes::new(), warnings));
    }
    // Roles before those who have them by default.
    made.sort_by_key(|statement| {
        (
            !statement.starts_with("CREATE ROLE"),
            statement.contains(" DEFAULT ROLE "),
        )
    });
    let mut text = format!(
        "-- Holdfast: {} accounts of the server, as statements\n",
        made.len()
    );
    for statement in made.iter().chain(&granted) {
        text.extend(["-- ", read::ACCOUNT, statement, ";\n"]);
    }
    text.push_str("--\n");
    Ok((text.into(), warnings))
}

async fn all(server: &Server) -> Result<Vec<Account>, StrategyError> {
    let query = "SELECT JSON_ARRAY(User, Host) FROM mysql.user ORDER BY Host <> '', User, Host;";
    server.ask(query, WHAT).await
}

fn is_apps((user, _): &Account) -> bool {
    user != "root" && !OWN.contains(&user.as_str())
}

fn written((user, host): &Account) -> String {
    if host.is_empty() {
        ident(user)
    } else {
        format!("{}@{}", literal(user), literal(host))
    }
}

/// What makes one account what it is.
async fn statements(server: &Server, account: &Account) -> Result<Vec<String>, StrategyError> {
    let who = written(account);
    let role = account.1.is_empty();
    let create = if role {
        String::new()
    } else {
        format!("SHOW CREATE USER {who};\n")
    };
    // Newer servers of MySQL show passwords as raw bytes unless asked.
    let script = format!(
        "/*!80017 SET SESSION print_identified_with_as_hex = ON */;\n{create}SHOW GRANTS FOR {who};\n"
    );
    let client = server.client(&["--skip-raw"]);
    let answer = server.talk(client, script.into(), WHAT, LONG).await?;
    let mut statements = Vec::new();
    if role {
        statements.push(format!("CREATE ROLE IF NOT EXISTS {who}"));
    }
    for line in answer.lines().map(unescaped) {
        if let Some(rest) = line.strip_prefix("CREATE USER ") {
            statements.push(format!("CREATE USER IF NOT EXISTS {rest}"));
        } else if line.starts_with("GRANT ") || line.starts_with("SET DEFAULT ROLE ") {
            statements.push(without_password(&line));
        }
    }
    // A user's grants name the grants of its roles too.
    statements.retain(|statement| {
        account_of(statement).is_none_or(|(user, host)| (&user, &host) == (&account.0, &account.1))
    });
    Ok(statements)
}

/// As the client writes a field of its batch mode.
fn unescaped(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut chars = field.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('0') => text.push('\0'),
                Some(other) => text.push(other),
                None => text.push('\\'),
            },
            (c, false) => text.push(c),
        }
    }
    text
}

/// MariaDB repeats the password in the grants, which would set it anew for an account that is there.
fn without_password(grant: &str) -> String {
    let Some((before, rest)) = grant.split_once(" IDENTIFIED ") else {
        return grant.to_owned();
    };
    let after = [" REQUIRE ", " WITH "]
        .iter()
        .filter_map(|word| rest.find(word));
    let after = after.min().map_or("", |at| &rest[at..]);
    format!("{before}{after}")
}

/// Makes the accounts of a dump that are missing, and gives the others their rights on routines again,
/// which went with the routines when those were made anew. Never fails: what was restored stays restored.
pub async fn bring_back(server: &Server, statements: &[String]) -> Vec<String> {
    match missing(server, statements).await {
        Ok(warnings) => warnings,
        Err(error) => vec![format!("the accounts could not be looked at: {error}")],
    }
}

async fn missing(server: &Server, statements: &[String]) -> Result<Vec<String>, StrategyError> {
    if statements.is_empty() {
        return Ok(Vec::new());
    }
    let there = all(server).await?;
    let wanted = |statement: &&String| {
        account_of(statement).is_some_and(|account| {
            is_apps(&account) && (!there.contains(&account) || is_on_a_routine(statement))
        })
    };
    let mut warnings = Vec::new();
    let mut made = Vec::new();
    for statement in statements.iter().filter(wanted) {
        let script = format!("{statement}\n");
        match server.run(script, "making an account", LONG).await {
            Ok(_) if statement.starts_with("CREATE") => {
                made.extend(account_of(statement).as_ref().map(written));
            }
            Ok(_) => {}
            Err(StrategyError::Tool { message, .. }) => {
                let who = account_of(statement)
                    .as_ref()
                    .map(written)
                    .unwrap_or_default();
                warnings.push(format!("the account {who} is not as it was: {message}"));
            }
            Err(error) => return Err(error),
        }
    }
    if !made.is_empty() {
        warnings.push(format!(
            "accounts that were missing have been made: {}",
            made.join(", ")
        ));
    }
    Ok(warnings)
}

fn is_on_a_routine(statement: &str) -> bool {
    let rights = statement.strip_prefix("GRANT ").unwrap_or_default();
    let object = rights.split_once(" ON ").map_or("", |(_, object)| object);
    ["PROCEDURE ", "FUNCTION ", "PACKAGE "]
        .iter()
        .any(|kind| object.starts_with(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_on_routines_are_told_apart() {
        for (grant, is) in [
            ("GRANT EXECUTE ON PROCEDURE `shop`.`p` TO `a`@`%`", true),
            (
                "GRANT EXECUTE, ALTER ROUTINE ON FUNCTION `s`.`f` TO `a`@`%`",
                true,
            ),
            ("GRANT SELECT ON `PROCEDURE`.* TO `a`@`%`", false),
            ("GRANT SELECT ON `x ON PROCEDURE `.* TO `a`@`%`", false),
            ("CREATE USER IF NOT EXISTS `a`@`%`", false),
        ] {
            assert_eq!(is_on_a_routine(grant), is, "{grant}");
        }
    }

    #[test]
    fn passwords_are_left_out_of_grants() {
        for (grant, kept) in [
            (
                "GRANT USAGE ON *.* TO `a`@`%`",
                "GRANT USAGE ON *.* TO `a`@`%`",
            ),
            (
                "GRANT ALL PRIVILEGES ON *.* TO `a`@`%` IDENTIFIED BY PASSWORD '*D8' WITH GRANT OPTION",
                "GRANT ALL PRIVILEGES ON *.* TO `a`@`%` WITH GRANT OPTION",
            ),
            (
                "GRANT USAGE ON *.* TO `a`@`%` IDENTIFIED VIA ed25519 USING 'x' OR unix_socket REQUIRE SSL WITH GRANT OPTION",
                "GRANT USAGE ON *.* TO `a`@`%` REQUIRE SSL WITH GRANT OPTION",
            ),
        ] {
            assert_eq!(without_password(grant), kept);
        }
        assert_eq!(unescaped("a\\\\b\\nc\\0"), "a\\b\nc\0");
    }

    #[test]
    fn a_statement_says_whose_it_is() {
        let account = |text: &str| account_of(text);
        let ann = Some(("ann".to_owned(), "%".to_owned()));
        assert_eq!(
            account("CREATE USER IF NOT EXISTS `ann`@`%` IDENTIFIED BY PASSWORD '*to `x`@`y`'"),
            ann
        );
        assert_eq!(account("GRANT SELECT ON `to`.* TO `ann`@`%`"), ann);
        assert_eq!(
            account("GRANT SELECT ON `a`.* TO 'ann'@'%' WITH GRANT OPTION"),
            ann
        );
        assert_eq!(account("SET DEFAULT ROLE `r` FOR `ann`@`%`"), ann);
        let role = Some(("r".to_owned(), String::new()));
        assert_eq!(account("CREATE ROLE IF NOT EXISTS `r`"), role);
        assert_eq!(account("GRANT SELECT ON *.* TO `r`"), role);
        assert_eq!(account("DROP USER `ann`@`%`"), None);
    }
}
