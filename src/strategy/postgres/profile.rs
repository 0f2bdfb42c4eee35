//! What a dump of one database leaves out because it belongs to the database itself: owner,
//! encoding, locale, tablespace, limits, settings, grants, comment. The staging database gets it
//! from the database that it is to replace.

use serde::Deserialize;

use super::{
    grants::{self, Grant},
    names::{ident, literal},
    setting::Setting,
};

/// From here on psql goes on after an error.
const LENIENT: &str = "\\unset ON_ERROR_STOP\n";

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Profile {
    owner: String,
    encoding: String,
    locale: Locale,
    tablespace: String,
    connection_limit: i64,
    is_template: bool,
    comment: Option<String>,
    /// `None`: never touched, the server's default counts.
    grants: Option<Vec<Grant>>,
    settings: Vec<Setting>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct Locale {
    collate: String,
    ctype: String,
    /// `libc`, `icu`, `builtin`; none before version 15.
    provider: Option<String>,
    name: Option<String>,
    rules: Option<String>,
}

/// The profile of the database `d`, as an expression. Columns that only some versions have are read
/// through JSON.
pub const OBJECT: &str = "jsonb_build_object(
  'owner', pg_get_userbyid(d.datdba), 'encoding', pg_encoding_to_char(d.encoding),
  'locale', jsonb_build_object('collate', d.datcollate, 'ctype', d.datctype,
    'provider', CASE to_jsonb(d)->>'datlocprovider'
      WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' WHEN 'c' THEN 'libc' END,
    'name', coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale'),
    'rules', to_jsonb(d)->>'daticurules'),
  'tablespace', (SELECT t.spcname FROM pg_tablespace t WHERE t.oid = d.dattablespace),
  'connection_limit', d.datconnlimit, 'is_template', d.datistemplate,
  'comment', shobj_description(d.oid, 'pg_database'),
  'grants', CASE WHEN d.datacl IS NOT NULL THEN coalesce((SELECT jsonb_agg(jsonb_build_object(
      'grantor', pg_get_userbyid(grantor), 'privilege', privilege_type, 'grantable', is_grantable,
      'grantee', CASE WHEN grantee <> 0 THEN pg_get_userbyid(grantee) END)
      ORDER BY grantor, grantee, privilege_type, is_grantable)
    FROM aclexplode(d.datacl)), '[]') END,
  'settings', coalesce((SELECT jsonb_agg(jsonb_build_object('assignment', assignment,
      'role', CASE WHEN setrole <> 0 THEN pg_get_userbyid(setrole) END)
      ORDER BY setrole, place)
    FROM pg_db_role_setting, unnest(setconfig) WITH ORDINALITY AS kept (assignment, place)
    WHERE setdatabase = d.oid), '[]'))";

/// Asks for one profile; no answer when there is no such database.
pub fn query(database: &str) -> String {
    let name = literal(database);
    format!("SELECT {OBJECT} FROM pg_database d WHERE d.datname = {name};\n")
}

impl Profile {
    /// Creates an empty database that data can be loaded into: everything that cannot be changed
    /// later, and the settings, because functions in indexes may need them. Only the first has to
    /// succeed: a setting of an extension that is gone must not stand in the way of a restore.
    pub fn create(&self, name: &str) -> String {
        // Naming the default takes a right that using it does not.
        let tablespace = match self.tablespace.as_str() {
            "pg_default" => String::new(),
            other => format!(" TABLESPACE {}", ident(other)),
        };
        let create = format!(
            "CREATE DATABASE {} TEMPLATE template0 OWNER {} ENCODING {}{tablespace}{};\n",
            ident(name),
            ident(&self.owner),
            literal(&self.encoding),
            self.locale.options(),
        );
        let settings = self.settings.iter().map(|setting| setting.statement(name));
        [create, LENIENT.to_owned()]
            .into_iter()
            .chain(settings)
            .collect()
    }

    /// Gives a loaded database the rest: what would be in the way while loading. Nothing of it has
    /// to succeed; `differences` tells afterwards.
    pub fn finish(&self, database: &str) -> String {
        let name = ident(database);
        let limit = self.connection_limit;
        let mut finish = vec![LENIENT.to_owned()];
        finish.push(format!("ALTER DATABASE {name} CONNECTION LIMIT {limit};\n"));
        if self.is_template {
            finish.push(format!("ALTER DATABASE {name} IS_TEMPLATE true;\n"));
        }
        if let Some(comment) = self.comment.as_deref().map(literal) {
            finish.push(format!("COMMENT ON DATABASE {name} IS {comment};\n"));
        }
        if let Some(grants) = &self.grants {
            finish.extend(grants::statements(grants, database, &self.owner));
        }
        finish.concat()
    }

    /// What of this profile `other` does not have, in words.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let same = [
            ("owner", self.owner == other.owner),
            ("encoding", self.encoding == other.encoding),
            ("locale", self.locale == other.locale),
            ("tablespace", self.tablespace == other.tablespace),
            (
                "connection limit",
                self.connection_limit == other.connection_limit,
            ),
            ("template flag", self.is_template == other.is_template),
            ("comment", self.comment == other.comment),
            ("grants", self.grants == other.grants),
            ("settings", self.settings == other.settings),
        ];
        let different = same.into_iter().filter(|(_, same)| !same);
        different.map(|(what, _)| what).collect()
    }
}

impl Locale {
    fn options(&self) -> String {
        let (collate, ctype) = (literal(&self.collate), literal(&self.ctype));
        let mut options = vec![format!(" LC_COLLATE {collate} LC_CTYPE {ctype}")];
        let key = match self.provider.as_deref() {
            Some("icu") => "ICU_LOCALE",
            Some("builtin") => "BUILTIN_LOCALE",
            _ => return options.concat(),
        };
        let provider = key.trim_end_matches("_LOCALE").to_lowercase();
        options.push(format!(" LOCALE_PROVIDER {provider}"));
        if let Some(name) = self.name.as_deref().map(literal) {
            options.push(format!(" {key} {name}"));
        }
        if let Some(rules) = self.rules.as_deref().map(literal) {
            options.push(format!(" ICU_RULES {rules}"));
        }
        options.concat()
    }
}
