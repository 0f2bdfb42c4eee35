//! The only place that prints. Results go to standard output, as a table or as the JSON that the
//! API answered; everything else goes to standard error.

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde_json::Value;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Table,
    /// For programs
    Json,
}

/// Heading, and where its value lies: a JSON pointer.
pub type Column = (&'static str, &'static str);

pub fn text(text: &str) -> anyhow::Result<()> {
    // A reader that has seen enough (`| head`) is no failure.
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// One line of what was said elsewhere. Control characters stay out of the terminal.
pub fn line(said: &str) -> anyhow::Result<()> {
    text(&printable(said))
}

pub fn bytes(bytes: &[u8]) -> anyhow::Result<()> {
    Ok(io::stdout().write_all(bytes)?)
}

pub fn json(value: &Value) -> anyhow::Result<()> {
    text(&serde_json::to_string_pretty(value)?)
}

/// For people, beside the result.
pub fn note(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

pub fn complaint(text: &str) {
    note(text);
}

pub fn is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// A list: one line each, or the JSON array.
pub fn list(format: Format, items: &Value, columns: &[Column]) -> anyhow::Result<()> {
    if format == Format::Json {
        return json(items);
    }
    let items = items.as_array().map_or(&[][..], Vec::as_slice);
    text(&table(items, columns))
}

/// One thing: a line a field, or the JSON object.
pub fn one(format: Format, item: &Value, columns: &[Column]) -> anyhow::Result<()> {
    if format == Format::Json {
        return json(item);
    }
    let width = columns
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or(0);
    let lines = columns.iter().filter_map(|(name, pointer)| {
        let value = cell(item, pointer);
        (!value.is_empty()).then(|| format!("{name:width$}  {value}"))
    });
    text(&lines.collect::<Vec<_>>().join("\n"))
}

fn table(items: &[Value], columns: &[Column]) -> String {
    let heading: Vec<String> = columns.iter().map(|(name, _)| (*name).to_owned()).collect();
    let rows = items.iter().map(|item| {
        let cells = columns.iter().map(|(_, pointer)| cell(item, pointer));
        cells.collect::<Vec<_>>()
    });
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(rows).collect();
    let widths: Vec<usize> = (0..columns.len())
        .map(|i| {
            rows.iter()
                .map(|row| row[i].chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let lines = rows.iter().map(|row| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A value as people read it. Control characters stay out of the terminal.
fn cell(item: &Value, pointer: &str) -> String {
    let value = item.pointer(pointer).unwrap_or(&Value::Null);
    let said = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(number) if pointer.ends_with("bytes") => size(number.as_u64().unwrap_or(0)),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        other => other.to_string(),
    };
    printable(&said)
}

fn printable(said: &str) -> String {
    let said = said.chars();
    said.map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `12.3 MB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    let mut tenths = u128::from(bytes) * 10;
    let mut unit = "B";
    for next in UNITS {
        if tenths < 10_000 {
            break;
        }
        tenths = tenths.div_ceil(1000);
        unit = next;
    }
    if unit == "B" {
        return format!("{bytes} B");
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_table_has_straight_columns() {
        let items = [
            json!({ "id": 7, "a": { "name": "shop" }, "size_bytes": 1_234_567, "on": true }),
            json!({ "id": 12, "a": { "name": "x\u{1b}[31m" }, "on": false }),
        ];
        let columns = [
            ("ID", "/id"),
            ("NAME", "/a/name"),
            ("SIZE", "/size_bytes"),
            ("ON", "/on"),
        ];
        assert_eq!(
            table(&items, &columns),
            "ID  NAME    SIZE    ON\n7   shop    1.3 MB  yes\n12  x [31m          no"
        );
    }

    #[test]
    fn sizes_are_short() {
        for (bytes, said) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (1_500_000, "1.5 MB"),
            (u64::MAX, "18446.8 PB"),
        ] {
            assert!(
                size(bytes).starts_with(said.split(' ').next().unwrap_or(said)),
                "{bytes}: {}",
                size(bytes)
            );
        }
    }
}
