//! Waits for the end of a run or restore, and shows how far it is: a bar at a terminal, a line for
//! each phase elsewhere.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::{client::Client, output, runs::status};

const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Polls `path` until what is there is over; answers it as it is then.
pub async fn until_over(client: &Client, path: &str, title: &str) -> anyhow::Result<Value> {
    until(client, path, title, is_over).await
}

/// The same, for whatever `is_over` looks at.
pub async fn until(
    client: &Client,
    path: &str,
    title: &str,
    is_over: fn(&Value) -> bool,
) -> anyhow::Result<Value> {
    let mut show = Show::new(title);
    loop {
        let job = client.get(path).await?;
        if is_over(&job) {
            show.end();
            return Ok(job);
        }
        show.at(&job);
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn is_over(job: &Value) -> bool {
    !["queued", "running", "undoing"].contains(&status(job))
}

struct Show {
    title: String,
    bar: Option<ProgressBar>,
    said: String,
}

impl Show {
    fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            bar: output::is_terminal().then(|| ProgressBar::no_length().with_style(counting())),
            said: String::new(),
        }
    }

    fn at(&mut self, job: &Value) {
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

    fn end(&self) {
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
