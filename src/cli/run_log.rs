//! `runs log`: what a run did, and what it does until its end.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};

use super::{
    connect::Connection,
    errors::Failed,
    output::{self, Format},
    runs::status,
    watch::Show,
};

/// Before a stream that ended without its end is asked for anew.
const AGAIN: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub struct LogArgs {
    /// Number of the run
    run: i64,
    /// Go on until the run is over; the exit code tells whether it succeeded
    #[arg(long, short)]
    pub follow: bool,
}

/// One line an event, or with `--output json` one JSON object a line.
pub async fn run(args: &LogArgs, to: &Connection, format: Format) -> anyhow::Result<()> {
    let path = format!("/api/backups/runs/{}/log?follow={}", args.run, args.follow);
    // Without a terminal the entries alone tell how far it is.
    let mut show =
        (args.follow && output::is_terminal()).then(|| Show::new(&format!("run {}", args.run)));
    let mut last: Option<String> = None;
    // A server ends a stream now and then, and what comes next is asked for anew.
    while let Some(mut answer) = to.client.events(&path, last.as_deref()).await? {
        let mut events = Events::default();
        while let Some(chunk) = answer.chunk().await.context("the log broke off")? {
            for event in events.read(&chunk) {
                last = event.id.or(last);
                let data: Value = serde_json::from_str(&event.data).unwrap_or_default();
                match (event.name.as_str(), &mut show) {
                    ("entry", None) => entry(&data, format)?,
                    ("entry", Some(show)) => show.beside(|| entry(&data, format))?,
                    ("progress", Some(show)) => show.at(&json!({ "progress": data })),
                    ("end", show) => {
                        if let Some(show) = show {
                            show.end();
                        }
                        return ended(&data, args.follow);
                    }
                    _ => {}
                }
            }
        }
        if !args.follow {
            return Ok(());
        }
        tokio::time::sleep(AGAIN).await;
    }
    // It is over, and the stream that would have said how broke off before.
    let run = format!("/api/backups/runs/{}", args.run);
    ended(&to.client.get(&run).await?, args.follow)
}

fn entry(entry: &Value, format: Format) -> anyhow::Result<()> {
    if format == Format::Json {
        return output::text(&entry.to_string());
    }
    let text = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str).unwrap_or("");
    output::line(&format!("{}  {}", text("/at"), text("/summary")))?;
    let warnings = entry["data"]["warnings"].as_array();
    for warning in warnings.into_iter().flatten().filter_map(Value::as_str) {
        output::line(&format!("{}  Warning: {warning}", text("/at")))?;
    }
    Ok(())
}

/// Looking at the past is no failure, whatever it was.
fn ended(run: &Value, followed: bool) -> anyhow::Result<()> {
    if followed && status(run) != "success" {
        return Err(Failed.into());
    }
    Ok(())
}

/// Server-sent events, as they come in pieces.
#[derive(Default)]
struct Events {
    /// Of a line that has not ended yet.
    begun: Vec<u8>,
    event: Event,
}

#[derive(Debug, Default, PartialEq)]
struct Event {
    name: String,
    id: Option<String>,
    data: String,
}

impl Events {
    /// Those that end in this piece.
    fn read(&mut self, chunk: &[u8]) -> Vec<Event> {
        self.begun.extend_from_slice(chunk);
        let mut whole = Vec::new();
        while let Some(end) = self.begun.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            let line = line.trim_end_matches(['\r', '\n']);
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                whole.extend((!event.data.is_empty()).then_some(event));
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut self.event.name),
                "id" => self.event.id = Some(value.to_owned()),
                "data" if self.event.data.is_empty() => value.clone_into(&mut self.event.data),
                "data" => {
                    self.event.data.push('\n');
                    self.event.data.push_str(value);
                }
                _ => {}
            }
        }
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_whatever_the_pieces() {
        let text = "id: 7\nevent: entry\ndata: {\"a\":\ndata: \"ü\"}\n\n:\n\nevent: end\r\ndata: {}\r\n\r\n";
        for size in 1..text.len() {
            let mut events = Events::default();
            let pieces = text.as_bytes().chunks(size);
            let read: Vec<Event> = pieces.flat_map(|piece| events.read(piece)).collect();
            let expected = [("entry", Some("7"), "{\"a\":\n\"ü\"}"), ("end", None, "{}")];
            let expected = expected.map(|(name, id, data)| Event {
                name: name.to_owned(),
                id: id.map(str::to_owned),
                data: data.to_owned(),
            });
            assert_eq!(read, expected, "pieces of {size}");
        }
    }
}
