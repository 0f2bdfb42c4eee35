//! `activity`: what happened, newest first.

use clap::Args;
use serde_json::Value;

use super::{
    address::{query, segment},
    connect::Connection,
    output::{self, Column, Format},
};

#[derive(Debug, Args)]
pub struct ActivityArgs {
    /// Of this app; of everything that you may see when absent
    slug: Option<String>,
    /// One event in whole, by its position in the log
    #[arg(long, value_name = "POSITION", conflicts_with_all = ["slug", "categories", "before", "limit"])]
    event: Option<i64>,
    /// `app`, `config`, `run`, `restore`, `user` or `audit`; several with commas between
    #[arg(long)]
    categories: Option<String>,
    /// Only what came before this position: the last one of the page before
    #[arg(long, value_name = "POSITION")]
    before: Option<i64>,
    /// At most this many
    #[arg(long, default_value_t = 50, value_name = "NUMBER")]
    limit: u32,
}

const COLUMNS: [Column; 4] = [
    ("POSITION", "/position"),
    ("TIME", "/at"),
    ("WHO", "/actor/name"),
    ("WHAT", "/summary"),
];
const DETAIL: [Column; 10] = [
    ("Position", "/position"),
    ("Time", "/at"),
    ("Event", "/name"),
    ("What", "/summary"),
    ("Who", "/actor/name"),
    ("As", "/actor/kind"),
    ("From", "/actor/address"),
    ("Changes", "/changes"),
    ("Data", "/data"),
    ("Hash", "/hash"),
];

pub async fn run(args: ActivityArgs, to: &Connection, format: Format) -> anyhow::Result<()> {
    if let Some(position) = args.event {
        let event = to.client.get(&format!("/api/activity/{position}")).await?;
        return output::one(format, &event, &DETAIL);
    }
    let asked = query(&[
        ("categories", args.categories),
        ("before", args.before.map(|it| it.to_string())),
        ("limit", Some(args.limit.to_string())),
    ]);
    let path = match &args.slug {
        Some(slug) => format!("/api/apps/{}/activity?{asked}", segment(slug)?),
        None => format!("/api/activity?{asked}"),
    };
    let found: Value = to.client.get(&path).await?;
    output::list(format, &found, &COLUMNS)
}
