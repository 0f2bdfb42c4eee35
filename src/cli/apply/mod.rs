//! `apply`: makes the server have what a document declares, over the same API as every other command.
//! Compared first and shown; then done in order, up to the first refusal. Applying it again goes on from
//! there, so a document is applied until nothing is left to change.

mod compare;
mod configs;
pub mod document;
mod plan;
pub mod present;
mod read;
pub mod secret;
mod show;

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};

use self::plan::{Action, Plan, Step};
use super::{
    client::Client,
    connect::Connection,
    errors::Differs,
    output::{self, Format},
    typed,
};

/// Labels of this beginning are Holdfast's own.
const RESERVED: &str = "holdfast.";
/// On a config: the name of the document that made it.
const APPLIED: &str = "holdfast.apply";

#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The document, YAML or JSON; `-` reads it from standard input
    file: PathBuf,
    /// Only show what would change; exits with 4 when something would
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Remove configs that this document made and no longer names; their backups stay
    #[arg(long)]
    prune: bool,
    /// Send secrets again that the server has already, as after a change of them
    #[arg(long)]
    secrets: bool,
}

pub async fn run(args: ApplyArgs, to: &Connection, format: Format) -> anyhow::Result<()> {
    let (document, folder) = read::read(&args.file)?;
    let plan = plan::plan(&to.client, &document, &args, &folder).await?;
    if format == Format::Table {
        output::text(&show::plan(&plan))?;
    }
    if plan.steps.is_empty() || args.dry_run {
        told(&plan, &[], format)?;
        return if plan.steps.is_empty() {
            Ok(())
        } else {
            Err(Differs.into())
        };
    }
    if !args.yes && !typed::confirmed("Type yes to go on: ", "yes")? {
        bail!("nothing was changed");
    }
    let mut done = Vec::new();
    for step in &plan.steps {
        match perform(&to.client, step).await {
            Ok(answer) => done.push(answer),
            Err(error) => {
                told(&plan, &done, format)?;
                let (at, all) = (done.len(), plan.steps.len());
                let what = format!("{} {}", step.kind, step.name);
                return Err(error).context(format!(
                    "{what}: done before it: {at} of {all}; apply again once it is mended"
                ));
            }
        }
    }
    told(&plan, &done, format)?;
    if format == Format::Table {
        output::text(&format!("Done: {}.", done.len()))?;
    }
    Ok(())
}

/// Answers what the first call answered.
async fn perform(client: &Client, step: &Step) -> anyhow::Result<Value> {
    let mut first = Value::Null;
    for call in &step.calls {
        let id = first["id"].as_i64().unwrap_or_default();
        let path = call.path.replace("{id}", &id.to_string());
        let body = (!call.body.is_null()).then(|| call.body.clone());
        let answer = client.call(call.method.clone(), &path, body).await?;
        if first.is_null() {
            first = answer;
        }
    }
    if step.kind == "webhook"
        && let Some(secret) = first["secret"].as_str()
    {
        output::note(&format!(
            "The signing secret of webhook {}, shown this once: {secret}",
            step.name
        ));
    }
    Ok(first)
}

/// For programs: the plan, and how much of it was done.
fn told(plan: &Plan, done: &[Value], format: Format) -> anyhow::Result<()> {
    if format != Format::Json {
        return Ok(());
    }
    let count = |action| plan.steps.iter().filter(|it| it.action == action).count();
    output::json(&json!({
        "steps": plan.steps,
        "left_alone": plan.left,
        "add": count(Action::Add),
        "change": count(Action::Change),
        "remove": count(Action::Remove),
        "done": done.len(),
    }))
}
