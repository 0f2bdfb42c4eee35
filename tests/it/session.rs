//! A session of PostgreSQL's that somebody else has open: in its way a dump waits, and so does an exchange.

use std::{
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use crate::bed::docker;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// Stays until it is ended, at the latest for ten minutes.
pub struct Session {
    container: String,
    user: &'static str,
    name: String,
    client: Child,
}

impl Session {
    /// Runs `sql` in the database, and stays after it; returns when it is there.
    pub fn open(container: &str, user: &'static str, database: &str, sql: &str) -> Self {
        let name = format!("stays-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let script = format!("{sql}; SELECT pg_sleep(600)");
        let known = format!("PGAPPNAME={name}");
        let words = ["exec", "-e", &known, container, "psql", "-X", "-q"];
        let client = Command::new("docker")
            .args(words)
            .args(["-U", user, "-d", database, "-c", &script])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let session = Self {
            container: container.to_owned(),
            user,
            name,
            client,
        };
        session.until_seen("wait_event = 'PgSleep' AND application_name", &session.name);
        session
    }

    /// Until a dump wants a table that this one has locked.
    pub fn until_a_dump_waits(&self) {
        self.until_seen("left(query, 10) = 'LOCK TABLE' AND wait_event_type", "Lock");
    }

    /// Nothing of it is left, as far as the server knows.
    pub fn end(mut self) {
        let ends = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{}'",
            self.name
        );
        self.ask(&ends);
        self.client.wait().unwrap();
    }

    fn until_seen(&self, what: &str, is: &str) {
        let query = format!("SELECT count(*) FROM pg_stat_activity WHERE {what} = '{is}'");
        let deadline = Instant::now() + Duration::from_mins(1);
        while self.ask(&query) == "0" {
            assert!(Instant::now() < deadline, "never seen: {what} = {is}");
        }
    }

    fn ask(&self, query: &str) -> String {
        let words = ["exec", &self.container, "psql", "-X", "-qAt"];
        docker(
            &[
                &words[..],
                &["-U", self.user, "-d", "postgres", "-c", query],
            ]
            .concat(),
        )
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}
