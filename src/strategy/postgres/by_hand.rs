//! The commands that restore a dump without Holdfast: with the container's own tools, and those of
//! any shell. They load beside, then exchange the names, as Holdfast does; a dump of all databases
//! finds its own way to each of them, so these are moved aside first.

use super::{
    names::literal,
    settings::{ALL, Format},
    validate::{ROLES, by_database, marks},
};
use crate::{
    domain::manifest::Manifest,
    strategy::by_hand::{self, shell},
};

/// The image's own user, whose name is only known in the container.
const USER: &str = "PGUSER=${POSTGRES_USER:-$(cat \"$POSTGRES_USER_FILE\" 2>/dev/null)}; \
    export PGUSER=\"${PGUSER:-postgres}\"; ";
const CREATE: &str = "exec createdb -T template0 -- \"$1\"";
const LOAD: &str = "exec psql -X -q -v ON_ERROR_STOP=1 -o /dev/null -d \"$1\"";
/// Goes on after a complaint: most roles will be there.
const MAKE: &str = "exec psql -X -q -o /dev/null -d \"$1\"";
const RESTORE: &str = "exec pg_restore --exit-on-error -d \"$1\"";
const RUN: &str = "exec psql -X -q -v ON_ERROR_STOP=1 -d \"$1\"";
/// The one database that no dump holds.
const TEMPLATE: &str = "template1";

pub fn commands(manifest: &Manifest, file: &str) -> Vec<String> {
    let by_hand = ByHand { manifest, file };
    let rest = match manifest.source.subject.as_str() {
        ALL => by_hand.all(),
        database => by_hand.one(database),
    };
    let test = by_hand::test(manifest, file);
    let before = test.into_iter().chain(by_hand.roles());
    before.chain(rest).collect()
}

struct ByHand<'a> {
    manifest: &'a Manifest,
    file: &'a str,
}

impl ByHand<'_> {
    fn one(&self, database: &str) -> Vec<String> {
        let restored = beside(database, "_restored");
        let before = beside(database, "_before");
        let maintenance = if database == "postgres" {
            TEMPLATE
        } else {
            "postgres"
        };
        let end = end_sessions(&[database, &restored]);
        let aside = rename(database, &before);
        // \gexec does nothing where there is nothing to rename or to end.
        let [name, new] = [database, &restored].map(literal);
        let script = format!(
            "{end}BEGIN;\n{aside}\
            SELECT format('ALTER DATABASE %I RENAME TO %I', {new}, {name}) \\gexec\n\
            COMMIT;\n"
        );
        vec![
            self.run(CREATE, &restored),
            self.load(&restored),
            self.script(&script, maintenance),
        ]
    }

    fn all(&self) -> Vec<String> {
        let databases: Vec<String> = by_database(&self.manifest.fingerprint)
            .into_keys()
            .collect();
        let names: Vec<&str> = databases.iter().map(String::as_str).collect();
        let aside: String = names
            .iter()
            .map(|name| rename(name, &beside(name, "_before")))
            .collect();
        let create = |name: &&str| {
            let name = literal(name);
            format!("SELECT format('CREATE DATABASE %I TEMPLATE template0', {name}) \\gexec\n")
        };
        let create: Vec<String> = names.iter().map(create).collect();
        let create = create.concat();
        let script = format!("{}BEGIN;\n{aside}COMMIT;\n{create}", end_sessions(&names));
        vec![self.script(&script, TEMPLATE), self.load(TEMPLATE)]
    }

    /// Makes the roles, and gives those that are there what they had.
    fn roles(&self) -> Option<String> {
        let roles = self.last_line_of_roles()?;
        let only = shell(&format!("{roles}q"));
        let make = self.run(MAKE, TEMPLATE);
        Some(format!("{} | LC_ALL=C sed {only} | {make}", self.read()))
    }

    /// Where the roles end, as sed finds it.
    fn last_line_of_roles(&self) -> Option<String> {
        let counts = &self.manifest.fingerprint.counts;
        let end = String::from_utf8_lossy(marks::ROLES_END);
        counts.contains_key(ROLES).then(|| format!("/^-- {end}$/"))
    }

    fn load(&self, database: &str) -> String {
        let load = if self.is_archive() { RESTORE } else { LOAD };
        let load = self.run(load, database);
        match self.last_line_of_roles() {
            Some(roles) => {
                let rest = shell(&format!("1,{roles}d"));
                format!("{} | LC_ALL=C sed {rest} | {load}", self.read())
            }
            None => format!("{} | {load}", self.read()),
        }
    }

    fn is_archive(&self) -> bool {
        let name = self.manifest.artifact.unpacked_key().rsplit_once('.');
        name.is_some_and(|(_, extension)| extension == Format::Custom.extension())
    }

    fn read(&self) -> String {
        by_hand::read(self.manifest, self.file)
    }

    fn script(&self, script: &str, database: &str) -> String {
        format!("printf %s {} | {}", shell(script), self.run(RUN, database))
    }

    /// Runs a shell script in the container, with one argument.
    fn run(&self, script: &str, argument: &str) -> String {
        let container = shell(&self.manifest.source.container);
        let (script, argument) = (shell(&format!("{USER}{script}")), shell(argument));
        format!("docker exec -i {container} sh -c {script} sh {argument}")
    }
}

fn end_sessions(databases: &[&str]) -> String {
    let names: Vec<String> = databases.iter().map(|name| literal(name)).collect();
    format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname IN ({}) \\g /dev/null\n",
        names.join(", ")
    )
}

fn rename(from: &str, to: &str) -> String {
    let [from, to] = [from, to].map(literal);
    format!(
        "SELECT format('ALTER DATABASE %I RENAME TO %I', datname, {to}) FROM pg_database WHERE datname = {from} \\gexec\n"
    )
}

/// A name that begins like this one and is not too long.
fn beside(database: &str, suffix: &str) -> String {
    let mut end = database.len().min(63 - suffix.len());
    while !database.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{suffix}", &database[..end])
}
