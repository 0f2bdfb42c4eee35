//! A server of MySQL or MariaDB in a container, and what the tests do with it: everything by its own
//! client.

use std::{
    collections::BTreeMap,
    io::Write as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use holdfast::{
    domain::secret::Secret,
    strategy::{self, Options, Site, Strategy},
};

use crate::{
    bed::Bed,
    workbench::{self, Backup, Trouble},
};

pub const MARIADB: &str = "holdfast-test/mariadb:10.11";
pub const MARIADB_NAMES: &str = "holdfast-test/mariadb:11-names";
pub const MARIADB_NEW: &str = "holdfast-test/mariadb:11.8";
pub const MYSQL_NAMES: &str = "holdfast-test/mysql:8-names";
/// Built on demand only: `HOLDFAST_TEST_MYSQL9=1 scripts/testbed/up`.
pub const MYSQL: &str = "holdfast-test/mysql:9";

pub const PASSWORD: &str = "pässw0rd $(id) ' \" \\ %s @";

/// The server's databases without its own.
const OWN: &str = "('mysql', 'sys', 'information_schema', 'performance_schema')";

/// A database of some thousand rows, for tests that make many copies of it.
const SMALL: &str = "
CREATE TABLE digits (d INT PRIMARY KEY);
INSERT INTO digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9);
CREATE TABLE things (id INT PRIMARY KEY AUTO_INCREMENT, name TEXT NOT NULL);
INSERT INTO things (name) SELECT CONCAT(SHA2(RAND(a.d + 10 * b.d + 100 * c.d), 256), REPEAT('x', 50)) FROM digits a, digits b, digits c, digits d WHERE d.d < 4;
CREATE VIEW seen AS SELECT COUNT(*) n FROM things;
CREATE TRIGGER named BEFORE INSERT ON things FOR EACH ROW SET NEW.name = CONCAT(NEW.name, ';');
CREATE PROCEDURE nothing() SELECT ';';
";

/// What a restore of the small database has to bring back, and to take away.
pub const CHANGE: &str = "DELETE FROM things WHERE id % 7 = 0; CREATE TABLE later (x INT); INSERT INTO later VALUES (1);
DROP VIEW seen; DROP PROCEDURE nothing; CREATE PROCEDURE newer() SELECT 1; DROP TRIGGER named;
CREATE TRIGGER other BEFORE UPDATE ON things FOR EACH ROW SET NEW.name = ''; DROP TABLE digits; CREATE VIEW digits AS SELECT 1 AS d;";

pub struct Place {
    pub bed: Bed,
}

pub fn mysql() -> &'static dyn Strategy {
    strategy::find("mysql").unwrap()
}

impl Place {
    pub fn start() -> Self {
        Self::start_image(MARIADB, &[])
    }

    /// A server with the database `shop`, ready.
    pub fn start_image(image: &str, more: &[&str]) -> Self {
        let password = format!("MYSQL_ROOT_PASSWORD={PASSWORD}");
        Self::start_with(image, &[&["-e", &password], more].concat(), &[])
    }

    /// With more arguments for the server.
    pub fn start_with(image: &str, options: &[&str], server: &[&str]) -> Self {
        // Kills are kills of processes here: what was written stays written.
        let fast = "--innodb-flush-log-at-trx-commit=2";
        let place = Self {
            bed: Bed::run(image, options, &[&[fast], server].concat()),
        };
        tokio::task::block_in_place(|| until_ready(&place.bed));
        place
    }

    pub fn sql(&self, script: &str) -> String {
        sql(&self.bed, script)
    }

    pub fn make_small(&self, database: &str) {
        let name = format!("`{}`", database.replace('`', "``"));
        self.sql(&format!("CREATE DATABASE {name}; USE {name};{SMALL}"));
    }

    pub fn change_small(&self, database: &str) {
        let name = format!("`{}`", database.replace('`', "``"));
        self.sql(&format!("USE {name};{CHANGE}"));
    }

    pub fn digest(&self) -> String {
        digest(&self.bed)
    }

    pub async fn site(&self) -> Site {
        self.site_with(&[], None).await
    }

    pub async fn site_with(&self, plain: &[(&str, &str)], password: Option<&str>) -> Site {
        let plain = plain
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let password = password.map(|p| ("password".to_owned(), Secret::from(p)));
        let options = Options {
            plain: plain.collect(),
            credentials: password.into_iter().collect(),
            paths: Vec::new(),
        };
        workbench::site(&self.bed, options).await
    }

    pub async fn back_up(&self) -> Backup {
        back_up(&self.site().await).await.unwrap()
    }
}

pub async fn back_up(site: &Site) -> Result<Backup, Trouble> {
    workbench::back_up(mysql(), site).await
}

/// Waits until the server answers over TCP: one that only initialises listens on its socket.
pub fn until_ready(bed: &Bed) {
    let deadline = Instant::now() + Duration::from_secs(120);
    let ask =
        "exec $(command -v mariadb || command -v mysql) -h 127.0.0.1 --user=nobody --password=x";
    let listens = || {
        let asked = Command::new("docker")
            .args(["exec", &bed.name, "sh", "-c", ask])
            .output()
            .unwrap();
        // Who is there refuses.
        String::from_utf8_lossy(&asked.stderr).contains("1045")
    };
    while !listens() {
        let late = Instant::now() >= deadline;
        assert!(!late, "the server does not come up: {}", bed.log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Runs a script as root; what it prints.
#[track_caller]
pub fn sql(bed: &Bed, script: &str) -> String {
    try_sql(bed, script).unwrap_or_else(|error| panic!("{error}: {script:.2000}"))
}

pub fn try_sql(bed: &Bed, script: &str) -> Result<String, String> {
    let client = "export MYSQL_PWD=\"${MYSQL_ROOT_PASSWORD:-$MARIADB_ROOT_PASSWORD}\"
        exec $(command -v mariadb || command -v mysql) --user=root --default-character-set=utf8mb4 --batch \
        --skip-column-names --binary-mode --comments";
    let mut run = Command::new("docker")
        .args(["exec", "-i", &bed.name, "sh", "-c", client])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = run.stdin.take().unwrap();
    let script = script.to_owned();
    let feed = std::thread::spawn(move || {
        let _ = stdin.write_all(script.as_bytes());
    });
    let output = run.wait_with_output().unwrap();
    feed.join().unwrap();
    if output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        Ok(said.trim_end_matches('\n').to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }
}

pub fn databases(bed: &Bed) -> Vec<String> {
    let query = format!(
        "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME NOT IN {OWN} ORDER BY 1;"
    );
    sql(bed, &query).lines().map(ToOwned::to_owned).collect()
}

/// What a restore may have left.
pub fn leftovers(bed: &Bed) -> Vec<String> {
    let ours = databases(bed)
        .into_iter()
        .filter(|name| name.starts_with("hf_"));
    ours.collect()
}

/// All content of all databases in lines that do not depend on any order: what each thing is, and
/// each table's rows.
pub fn digest(bed: &Bed) -> String {
    let of_apps = |column: &str| format!("{column} NOT IN {OWN} AND {column} NOT LIKE 'hf\\_%'");
    let list = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE {} ORDER BY 1, 2;",
        of_apps("TABLE_SCHEMA")
    );
    let mut script = [
        ("SCHEMATA", "SCHEMA_NAME", "SCHEMA_NAME, DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME"),
        ("VIEWS", "TABLE_SCHEMA", "TABLE_SCHEMA, TABLE_NAME, VIEW_DEFINITION, CHECK_OPTION, DEFINER, SECURITY_TYPE, CHARACTER_SET_CLIENT, COLLATION_CONNECTION"),
        ("TRIGGERS", "TRIGGER_SCHEMA", "TRIGGER_SCHEMA, TRIGGER_NAME, EVENT_MANIPULATION, EVENT_OBJECT_TABLE, ACTION_ORDER, ACTION_STATEMENT, ACTION_TIMING, SQL_MODE, DEFINER, CHARACTER_SET_CLIENT, COLLATION_CONNECTION, DATABASE_COLLATION"),
        ("ROUTINES", "ROUTINE_SCHEMA", "ROUTINE_SCHEMA, ROUTINE_NAME, ROUTINE_TYPE, DTD_IDENTIFIER, ROUTINE_DEFINITION, IS_DETERMINISTIC, SQL_DATA_ACCESS, SECURITY_TYPE, SQL_MODE, ROUTINE_COMMENT, DEFINER, CHARACTER_SET_CLIENT, COLLATION_CONNECTION, DATABASE_COLLATION"),
        ("PARAMETERS", "SPECIFIC_SCHEMA", "SPECIFIC_SCHEMA, SPECIFIC_NAME, ORDINAL_POSITION, PARAMETER_MODE, PARAMETER_NAME, DTD_IDENTIFIER"),
        ("EVENTS", "EVENT_SCHEMA", "EVENT_SCHEMA, EVENT_NAME, DEFINER, EVENT_DEFINITION, INTERVAL_VALUE, INTERVAL_FIELD, SQL_MODE, STARTS, STATUS, ON_COMPLETION, EVENT_COMMENT"),
    ]
    .map(|(table, database, columns)| {
        format!("SELECT '== {table}'; SELECT {columns} FROM information_schema.{table} WHERE {};", of_apps(database))
    })
    .concat();
    script += "SELECT '== rights'; SELECT Db, Routine_name, Routine_type, User, Host, Proc_priv FROM mysql.procs_priv;";
    for line in sql(bed, &list).lines() {
        let parts: Vec<String> = line
            .split('\t')
            .map(|part| part.replace("\\\\", "\\").replace('`', "``"))
            .collect();
        let [database, table, kind] = parts.as_slice() else {
            panic!("{line}");
        };
        let path = format!("`{database}`.`{table}`");
        let mark = path.replace('\\', "\\\\").replace('\'', "''");
        script += &format!("SELECT '== {mark}';");
        match kind.as_str() {
            "VIEW" => {}
            "SEQUENCE" => script += &format!("SHOW CREATE SEQUENCE {path};"),
            "SYSTEM VERSIONED" => {
                script += &format!(
                    "SHOW CREATE TABLE {path}; SELECT *, row_start, row_end FROM {path} FOR SYSTEM_TIME ALL;"
                );
            }
            _ => script += &format!("SHOW CREATE TABLE {path}; SELECT * FROM {path};"),
        }
    }
    let answer = without_implied(&sql(bed, &script));
    let mut sections: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut section = "";
    for line in answer.lines() {
        if line.starts_with("== ") {
            section = line;
            sections.entry(section).or_default();
        } else {
            sections.entry(section).or_default().push(line);
        }
    }
    let mut digest = String::new();
    for (section, mut lines) in sections {
        lines.sort_unstable();
        digest.extend([section, "\n", &lines.join("\n"), "\n"]);
    }
    digest
}

/// A collation says its character set; MySQL shows that as well where the statement had named it, as those
/// of a dump do.
fn without_implied(answer: &str) -> String {
    let mut pieces = answer.split(" CHARACTER SET ");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        match piece.split_once(' ') {
            Some((_, rest)) if rest.starts_with("COLLATE ") => text.extend([" ", rest]),
            _ => text.extend([" CHARACTER SET ", piece]),
        }
    }
    text
}

/// Two digests are one, or the first lines that differ are shown.
#[track_caller]
pub fn assert_same(found: &str, expected: &str, when: &str) {
    if found == expected {
        return;
    }
    let only = |a: &str, b: &str| {
        let other: std::collections::BTreeSet<&str> = b.lines().collect();
        let lines = a.lines().filter(|line| !other.contains(line)).take(6);
        lines.map(|line| format!("{line:.600}")).collect::<Vec<_>>()
    };
    panic!(
        "{when}: there is {:#?}\ninstead of {:#?}",
        only(found, expected),
        only(expected, found)
    );
}
