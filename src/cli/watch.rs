//! Waits for the end of a run or restore, and shows how far it is: a bar at a terminal, a line for
//! each phase elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::{
    client::Client,
    connect::Connection,
    errors::Failed,
    output::{self, Column, Format},
    runs::status,
};

const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A run or restore that a command set going, and whether the command waits for what becomes of it.
pub struct Job<'a> {
    client: &'a Client,
    path: String,
    title: String,
    pub waits: bool,
}

impl<'a> Job<'a> {
    pub fn run(id: i64, waits: bool, to: &'a Connection) -> Self {
        Self::at("backups/runs", "run", id, waits, to)
    }

    pub fn restore(id: i64, waits: bool, to: &'a Connection) -> Self {
        Self::at("restores", "restore", id, waits, to)
    }

    fn at(place: &str, what: &str, id: i64, waits: bool, to: &'a Connection) -> Self {
        Self {
            client: &to.client,
            path: format!("/api/{place}/{id}"),
            title: format!("{what} {id}"),
            waits,
        }
    }

    /// Asks something of it, by a path below its own.
    pub async fn ask(&self, wish: &str) -> anyhow::Result<Value> {
        let path = format!("{}/{wish}", self.path);
        self.client.post(&path, json!({})).await
    }

    /// As it is when it is over, or now when nobody waits.
    pub async fn result(&self) -> anyhow::Result<Value> {
        self.once(is_over).await
    }

    /// The same, for whatever `is_over` looks at.
    pub async fn once(&self, is_over: impl Fn(&Value) -> bool) -> anyhow::Result<Value> {
        if !self.waits {
            return self.client.get(&self.path).await;
        }
        let mut show = Show::new(&self.title);
        loop {
            let job = self.client.get(&self.path).await?;
            if is_over(&job) {
                show.end();
                return Ok(job);
            }
            show.at(&job);
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Asks that it ends, and shows it.
    pub async fn cancel(&self, format: Format, detail: &[Column]) -> anyhow::Result<()> {
        self.ask("cancellation").await?;
        let job = self.result().await?;
        output::one(format, &job, detail)?;
        // It may have come to its end before the wish took effect.
        if self.waits && status(&job) != "cancelled" {
            return Err(Failed.into());
        }
        Ok(())
    }
}

fn is_over(job: &Value) -> bool {
    !["queued", "running", "undoing"].contains(&status(job))
}

/// How far a run or restore is.
pub struct Show {
    title: String,
    bar: Option<ProgressBar>,
    said: String,
}

impl Show {
    pub fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            bar: output::is_terminal().then(|| ProgressBar::no_length().with_style(counting())),
            said: String::new(),
        }
    }

    pub fn at(&mut self, job: &Value) {
        let phase = phase(job);
        let Some(bar) = &self.bar else {
            if self.said != phase {
                output::note(&format!("{}: {phase}", self.title));
                self.said = phase;
            }
            return;
        };
        let progress = &job["progress"];
        match progress["estimate_bytes"].as_u64() {
            Some(estimate) => {
                bar.set_style(estimated());
                bar.set_length(estimate.max(progress["raw_bytes"].as_u64().unwrap_or(0)));
            }
            None => {
                bar.set_style(counting());
                bar.unset_length();
            }
        }
        if self.said != phase {
            bar.reset_eta();
            bar.set_message(format!("{}: {phase}", self.title));
            self.said = phase;
        }
        bar.set_position(progress["raw_bytes"].as_u64().unwrap_or(0));
        bar.tick();
    }

    /// What is printed meanwhile stands above the bar.
    pub fn beside<T>(&self, print: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    pub fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// What it is at, in words.
fn phase(job: &Value) -> String {
    let said = job["progress"]["phase"].as_str().unwrap_or_default();
    if !said.is_empty() {
        return said.to_owned();
    }
    match (status(job), job["error_msg"].as_str()) {
        ("queued", Some(error)) => format!("waits for another try ({error})"),
        (status, _) => status.to_owned(),
    }
}

fn counting() -> ProgressStyle {
    style("{spinner} {msg}  {bytes}  {bytes_per_sec}  {elapsed}")
}

fn estimated() -> ProgressStyle {
    style("{spinner} {msg}  [{bar:30}] {bytes} of about {total_bytes}  {bytes_per_sec}  {elapsed}")
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
