//! A PostgreSQL server in a container, and what the tests do with it: everything by its own psql.

use std::{
    collections::BTreeSet,
    io::Write as _,
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use holdfast::{
    docker::{DockerEngine, Engine},
    domain::{manifest::Fingerprint, secret::Secret},
    strategy::{self, Options, Site, Strategy},
};
use tokio_util::sync::CancellationToken;

pub use crate::workbench::{Backup, Heap, Notes, Trouble};
use crate::{bed::Bed, workbench};

pub const POSTGRES_15: &str = crate::bed::POSTGRES;
pub const POSTGRES_17: &str = "holdfast-test/postgres:17";
pub const NO_DUMP: &str = "holdfast-test/postgres:15-nodump";
pub const USER: &str = "app";
pub const PASSWORD: &str = "pässw0rd $(id) ' \" \\ %s @";

const SMALL: &str = "
CREATE TABLE things (id serial PRIMARY KEY, name text NOT NULL);
INSERT INTO things (name) SELECT md5(i::text) FROM generate_series(1, 20000) i;
CREATE TABLE empty (x int);
CREATE VIEW seen AS SELECT count(*) FROM things;
COMMENT ON TABLE things IS '\\! touch /tmp/owned';
SELECT lo_from_bytea(4711, 'large') \\g /dev/null
";

/// What a restore of the small database has to bring back, and to take away.
pub const CHANGE: &str = "DELETE FROM things WHERE id % 7 = 0; CREATE TABLE later (x int);
INSERT INTO later VALUES (1); SELECT lo_unlink(4711) \\g /dev/null\n";

pub struct Place {
    pub bed: Bed,
    pub engine: Arc<dyn Engine>,
}

/// As `workbench::back_up`, of PostgreSQL.
pub async fn back_up(site: &Site) -> Result<Backup, Trouble> {
    workbench::back_up(postgres(), site).await
}

pub fn judge(bytes: &[u8]) -> Result<Fingerprint, String> {
    workbench::judge(postgres(), bytes)
}

pub fn postgres() -> &'static dyn Strategy {
    strategy::find("postgres").unwrap()
}

impl Place {
    pub async fn start() -> Self {
        Self::start_image(POSTGRES_15, &[]).await
    }

    pub async fn start_image(image: &str, more: &[&str]) -> Self {
        Self::start_with(image, more, &[]).await
    }

    /// A server with the user `app` and the database `shop`, ready; with more arguments for the
    /// container and for the server.
    pub async fn start_with(image: &str, more: &[&str], server: &[&str]) -> Self {
        let password = format!("POSTGRES_PASSWORD={PASSWORD}");
        let user = format!("POSTGRES_USER={USER}");
        let mut args = vec!["-e", &user, "-e", &password, "-e", "POSTGRES_DB=shop"];
        args.extend_from_slice(more);
        let place = Self {
            // Kills are kills of processes here: what was written stays written.
            bed: Bed::run(
                image,
                &args,
                &[&["postgres", "-c", "fsync=off"], server].concat(),
            ),
            engine: Arc::new(DockerEngine::connect(None).unwrap()),
        };
        place.ready().await;
        place
    }

    pub async fn ready(&self) {
        let deadline = Instant::now() + Duration::from_mins(1);
        // The server that only initialises listens on the socket alone.
        let probe = [
            "exec",
            &self.bed.name,
            "psql",
            "-X",
            "-h",
            "127.0.0.1",
            "-U",
            USER,
        ];
        while !quiet(&[&probe[..], &["-d", "template1", "-c", "SELECT 1"]].concat()) {
            let late = Instant::now() >= deadline;
            assert!(!late, "the server does not come up: {}", self.bed.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Runs a script in a database; what it prints.
    pub fn sql(&self, database: &str, script: &str) -> String {
        self.try_sql(database, script, &[])
            .unwrap_or_else(|error| panic!("{error}: {script}"))
    }

    pub fn try_sql(&self, database: &str, script: &str, more: &[&str]) -> Result<String, String> {
        let mut args = vec!["exec", "-i", &self.bed.name, "psql", "-X", "-q", "-A", "-t"];
        args.extend(["-v", "ON_ERROR_STOP=1", "-U", USER]);
        let database = format!("--dbname={database}");
        args.push(&database);
        args.extend_from_slice(more);
        let mut psql = Command::new("docker")
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = psql.stdin.take().unwrap();
        let script = script.to_owned();
        let feed = std::thread::spawn(move || {
            let _ = stdin.write_all(script.as_bytes());
        });
        let output = psql.wait_with_output().unwrap();
        feed.join().unwrap();
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
    }

    /// A database of some thousand rows, for tests that make many copies of it.
    pub fn make_small(&self, database: &str) {
        if !["shop", "postgres"].contains(&database) {
            let create = "CREATE DATABASE :\"name\";\n";
            self.try_sql("postgres", create, &["-v", &format!("name={database}")])
                .unwrap();
        }
        self.sql(database, SMALL);
    }

    /// `scripts/sample-db.sql`, about 140,000 rows for each scale.
    pub fn load_sample(&self, database: &str, scale: u32) {
        let scale = format!("scale={scale}");
        self.try_sql(
            database,
            include_str!("../../../scripts/sample-db.sql"),
            &["-v", &scale],
        )
        .unwrap();
    }

    /// All content, and what belongs to the database itself, in lines that do not depend on any
    /// order: the lines behind the digest of `scripts/digest.sql`.
    pub fn digest(&self, database: &str) -> Digest {
        self.digest_with(database, &["-v", "database=1", "-v", "detail=1"])
    }

    /// Only the content.
    pub fn content(&self, database: &str) -> Digest {
        self.digest_with(database, &["-v", "detail=1"])
    }

    fn digest_with(&self, database: &str, more: &[&str]) -> Digest {
        let digest = self
            .try_sql(database, include_str!("../../../scripts/digest.sql"), more)
            .unwrap();
        let lines: BTreeSet<String> = digest.lines().map(ToOwned::to_owned).collect();
        assert!(!lines.is_empty());
        Digest(lines)
    }

    /// Names of all databases, with a mark on those that are closed.
    pub fn databases(&self) -> Vec<String> {
        let query = "SELECT datname || CASE WHEN datallowconn THEN '' ELSE ' (closed)' END
            FROM pg_database WHERE datname <> 'template0' ORDER BY 1;";
        self.sql("template1", query)
            .lines()
            .map(ToOwned::to_owned)
            .collect()
    }

    pub async fn site(&self) -> Site {
        self.site_with(&[], None).await
    }

    pub async fn site_with(&self, plain: &[(&str, &str)], password: Option<&str>) -> Site {
        let plain = plain
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let password = password.map(|p| ("password".to_owned(), Secret::from(p)));
        Site {
            engine: self.engine.clone(),
            container: self.engine.container(&self.bed.name).await.unwrap(),
            options: Options {
                plain,
                credentials: password.into_iter().collect(),
                paths: Vec::new(),
            },
            cancel: CancellationToken::new(),
            stall: Duration::from_mins(1),
        }
    }

    /// Backs up one database the way a run does: look, dump, judge.
    pub async fn back_up(&self, database: &str) -> Backup {
        let site = self.site_with(&[("database", database)], None).await;
        back_up(&site).await.unwrap()
    }

    pub fn kill(&self) {
        assert!(quiet(&["kill", &self.bed.name]));
    }

    pub fn start_without_waiting(&self) {
        self.bed.start_again();
    }

    pub async fn start_again(&self) {
        self.start_without_waiting();
        self.ready().await;
    }
}

fn quiet(args: &[&str]) -> bool {
    let mut run = Command::new("docker");
    run.args(args).stdout(Stdio::null()).stderr(Stdio::null());
    run.status().unwrap().success()
}

#[derive(Clone, PartialEq, Eq)]
pub struct Digest(BTreeSet<String>);

impl Digest {
    #[track_caller]
    pub fn assert_is(&self, other: &Self, what: &str) {
        let only = |a: &Self, b: &Self| a.0.difference(&b.0).cloned().collect::<Vec<_>>();
        let (more, less) = (only(self, other), only(other, self));
        assert!(
            self == other,
            "{what}: there is {more:#?}\ninstead of {less:#?}"
        );
    }
}
