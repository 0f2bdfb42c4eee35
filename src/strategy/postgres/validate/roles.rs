//! The roles of a server, as `pg_dumpall --roles-only` writes them: read statement by statement, and
//! nothing taken that does more than make and describe roles.

use super::{
    lexer::{Event, Lexer},
    token::Kind,
};
use crate::domain::secret::Secret;

/// Tokens of one statement: settings may be long lists.
const MOST_TOKENS: usize = 1024;
const TOO_LONG: &str = "a very long statement among its roles";

/// The tokens of one statement.
#[derive(Debug, Default)]
pub struct Tokens {
    tokens: Vec<(Kind, Vec<u8>)>,
    long: bool,
}

/// What a statement does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Does {
    /// Says how the rest is to be read.
    Setting,
    Create(String),
    /// Changes or describes this role.
    Change(String),
    Member {
        role: String,
        member: String,
    },
    /// Gives or takes a right on a setting of the server.
    Parameter,
}

#[derive(Debug)]
pub struct Statement {
    pub does: Does,
    /// As it is to be run, with its `;`. Of a membership, without its grantor: that is who runs it.
    pub text: String,
}

impl Tokens {
    pub fn push(&mut self, kind: Kind, text: &[u8]) {
        if self.tokens.len() < MOST_TOKENS {
            self.tokens.push((kind, text.to_vec()));
        } else {
            self.long = true;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Called at its `;`. Says what is wrong with it, in words that follow "it holds".
    pub fn end(&self) -> Result<Does, String> {
        if self.long {
            return Err(TOO_LONG.to_owned());
        }
        let words = [0, 1, 2].map(|at| self.word(at));
        let does = match words {
            ["set", name, _] => self.setting(name),
            ["create", "role", _] if self.tokens.len() == 3 => self.name(2).map(Does::Create),
            ["alter", "role", _] if ["with", "set"].contains(&self.word(3)) && self.is_flat() => {
                self.name(2).map(Does::Change)
            }
            ["comment", "on", "role"] if self.word(4) == "is" && self.tokens.len() == 6 => {
                self.name(3).map(Does::Change)
            }
            ["security", "label", "for"] if self.labels() => self.name(6).map(Does::Change),
            ["grant" | "revoke", ..] if self.is_on_parameter() => Some(Does::Parameter),
            ["grant", _, "to"] if self.is_flat() => self.member(),
            _ => None,
        };
        does.ok_or_else(|| {
            let words = words.join(" ").trim().to_uppercase();
            format!("{words} among its roles")
        })
    }

    fn setting(&self, name: &str) -> Option<Does> {
        let plain = self.tokens.len() == 4;
        let known = match name {
            "standard_conforming_strings" => self.word(3) == "on",
            "default_transaction_read_only" | "client_encoding" | "escape_string_warning" => true,
            _ => false,
        };
        (plain && known).then_some(Does::Setting)
    }

    /// `SECURITY LABEL FOR provider ON ROLE name IS text`
    fn labels(&self) -> bool {
        [4, 5, 7].map(|at| self.word(at)) == ["on", "role", "is"] && self.tokens.len() == 9
    }

    fn is_on_parameter(&self) -> bool {
        let at = self.tokens.iter().position(|(_, text)| text == b"on");
        at.is_some_and(|at| self.word(at) == "on" && self.word(at + 1) == "parameter")
            && self.is_flat()
    }

    fn member(&self) -> Option<Does> {
        Some(Does::Member {
            role: self.name(1)?,
            member: self.name(3)?,
        })
    }

    /// No parentheses, no operators.
    fn is_flat(&self) -> bool {
        let flat = |(kind, text): &(Kind, Vec<u8>)| {
            *kind != Kind::Sign || matches!(text.as_slice(), b"," | b"." | b"-")
        };
        self.tokens.iter().all(flat)
    }

    fn word(&self, at: usize) -> &str {
        match self.tokens.get(at) {
            Some((Kind::Word, text)) => std::str::from_utf8(text).unwrap_or_default(),
            _ => "",
        }
    }

    fn name(&self, at: usize) -> Option<String> {
        match self.tokens.get(at) {
            Some((Kind::Word | Kind::Name, text)) if text.len() < 64 => {
                String::from_utf8(text.clone()).ok()
            }
            _ => None,
        }
    }

    /// Where the grantor of a membership is named.
    fn grantor(&self) -> Option<usize> {
        (4..self.tokens.len()).find(|&at| self.word(at) == "granted" && self.word(at + 1) == "by")
    }

    fn password(&self) -> Option<Secret> {
        let at = (0..self.tokens.len()).find(|&at| self.word(at) == "password")?;
        match self.tokens.get(at + 1) {
            Some((Kind::Text, text)) => Some(Secret::new(String::from_utf8(text.clone()).ok()?)),
            _ => None,
        }
    }
}

/// The roles of a dump.
#[derive(Default)]
pub struct Roles {
    pub statements: Vec<Statement>,
    /// What must not be seen in an error.
    pub secrets: Vec<Secret>,
}

impl Roles {
    /// Reads what the scanner let pass.
    pub fn read(section: &[u8]) -> Result<Self, String> {
        let mut roles = Self::default();
        let mut lexer = Lexer::default();
        let (mut tokens, mut starts) = (Tokens::default(), Vec::new());
        let (mut at, mut start) = (0, 0);
        while at < section.len() {
            if lexer.is_between() {
                start = at;
            }
            let step = lexer.step(&section[at..]);
            at += step.used;
            let (kind, text) = match step.event {
                Event::Sign(b';') => {
                    let text = match (tokens.grantor(), starts.first()) {
                        (_, None) => return Err("it holds an empty statement".to_owned()),
                        (Some(end), Some(&from)) => [&section[from..starts[end]], b";"].concat(),
                        (None, Some(&from)) => section[from..at].to_vec(),
                    };
                    roles.add(&tokens, text)?;
                    (tokens, starts) = (Tokens::default(), Vec::new());
                    continue;
                }
                Event::Sign(sign) => (Kind::Sign, vec![sign]),
                Event::Token(kind) => (kind, lexer.text.bytes().to_vec()),
                Event::Fault(what) => return Err(format!("it holds {what}")),
                Event::Nothing | Event::Comment | Event::Command { .. } => continue,
            };
            tokens.push(kind, &text);
            starts.push(start);
        }
        Ok(roles)
    }

    fn add(&mut self, tokens: &Tokens, text: Vec<u8>) -> Result<(), String> {
        let does = tokens.end().map_err(|what| format!("it holds {what}"))?;
        let text = String::from_utf8(text).map_err(|_| "its roles are not UTF-8".to_owned())?;
        self.secrets.extend(tokens.password());
        self.statements.push(Statement { does, text });
        Ok(())
    }

    /// The roles that it makes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.statements.iter().filter_map(|one| match &one.does {
            Does::Create(role) => Some(role.as_str()),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(text: &str) -> Result<Vec<(Does, String)>, String> {
        let roles = Roles::read(text.as_bytes())?;
        let statements = roles.statements.into_iter();
        Ok(statements.map(|one| (one.does, one.text)).collect())
    }

    #[test]
    fn roles_are_read_as_they_are_written() {
        let text = "\\restrict x\n\nSET default_transaction_read_only = off;\n\
            SET standard_conforming_strings = on;\n\n-- Roles; all\n\nCREATE ROLE g;\n\
            CREATE ROLE \"odd; \"\"r\";\n\
            ALTER ROLE g WITH NOSUPERUSER LOGIN CONNECTION LIMIT -1 PASSWORD 'SCRAM$4096:a;b' VALID UNTIL 'infinity';\n\
            COMMENT ON ROLE g IS 'it''s; -- x';\nALTER ROLE g SET \"a.b\" TO 'x', 'y';\n\
            SECURITY LABEL FOR dummy ON ROLE g IS 'x';\n\
            GRANT g TO \"odd; \"\"r\" WITH ADMIN OPTION, INHERIT TRUE GRANTED BY postgres;\n\
            GRANT granted TO g;\nGRANT SET, ALTER SYSTEM ON PARAMETER work_mem TO g;\n\\unrestrict x\n";
        let found = read(text).unwrap();
        let odd = "odd; \"r".to_owned();
        let does: Vec<&Does> = found.iter().map(|(does, _)| does).collect();
        let g = || "g".to_owned();
        let member = |role: &str, member: &str| Does::Member {
            role: role.into(),
            member: member.into(),
        };
        assert_eq!(
            does,
            [
                &Does::Setting,
                &Does::Setting,
                &Does::Create(g()),
                &Does::Create(odd.clone()),
                &Does::Change(g()),
                &Does::Change(g()),
                &Does::Change(g()),
                &Does::Change(g()),
                &member("g", &odd),
                &member("granted", "g"),
                &Does::Parameter,
            ]
        );
        assert_eq!(found[2].1, "CREATE ROLE g;");
        assert_eq!(
            found[8].1,
            "GRANT g TO \"odd; \"\"r\" WITH ADMIN OPTION, INHERIT TRUE ;"
        );
        let roles = Roles::read(text.as_bytes()).unwrap();
        assert_eq!(roles.secrets.len(), 1);
        assert_eq!(roles.secrets[0].expose(), "SCRAM$4096:a;b");
        assert_eq!(roles.names().collect::<Vec<_>>(), ["g", "odd; \"r"]);
    }

    #[test]
    fn what_does_more_is_refused() {
        for text in [
            "DROP ROLE g",
            "CREATE ROLE g SUPERUSER",
            "CREATE USER g",
            "CREATE DATABASE d",
            "ALTER ROLE g RENAME TO h",
            "ALTER ROLE g IN DATABASE d SET a TO b",
            "ALTER SYSTEM SET a TO b",
            "GRANT ALL ON DATABASE d TO g",
            "GRANT SELECT ON TABLE t TO g",
            "SELECT pg_terminate_backend(1)",
            "DO $$ $$",
            "SET ROLE g",
            "SET standard_conforming_strings = off",
            "COMMENT ON DATABASE d IS 'x'",
            "COMMENT ON ROLE g IS 'x' || 'y'",
            "ALTER ROLE g SET a TO (SELECT 1)",
            "",
        ] {
            assert!(read(&format!("{text};\n")).is_err(), "{text}");
        }
    }
}
