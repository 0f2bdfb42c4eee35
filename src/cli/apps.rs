//! `app`: compose projects that are looked after.

use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    address::segment,
    connect::Connection,
    output::{self, Column, Format},
};

#[derive(Debug, Subcommand)]
pub enum AppCommand {
    /// Register an app
    Add {
        /// Part of addresses and folder names: lower-case letters, digits and dashes
        slug: String,
        /// Name of the compose project [default: the compose file's own, else the slug]
        #[arg(long)]
        project: Option<String>,
        /// For people [default: the slug]
        #[arg(long)]
        name: Option<String>,
        /// Absolute path of the compose file, as the server sees it
        #[arg(long, value_name = "PATH")]
        compose_path: Option<String>,
    },
    /// List apps
    List,
    /// Show one app, and which of its services with data no config covers
    Show { slug: String },
    /// List the compose projects that the engine shows
    Discover,
    /// Remove an app and its configs; runs and artifacts stay
    Remove { slug: String },
}

const COLUMNS: [Column; 4] = [
    ("ID", "/id"),
    ("SLUG", "/slug"),
    ("NAME", "/name"),
    ("PROJECT", "/project"),
];
const DETAIL: [Column; 7] = [
    ("ID", "/id"),
    ("Slug", "/slug"),
    ("Name", "/name"),
    ("Project", "/project"),
    ("Compose file", "/compose_path"),
    ("Since", "/created_at"),
    ("Unprotected", "/unprotected"),
];
const PROJECTS: [Column; 3] = [
    ("PROJECT", "/project"),
    ("APP", "/app_slug"),
    ("FIRST SERVICE", "/services/0/name"),
];

pub async fn run(command: AppCommand, to: &Connection, format: Format) -> anyhow::Result<()> {
    match command {
        AppCommand::Add {
            slug,
            project,
            name,
            compose_path,
        } => {
            let body = json!({
                "slug": slug,
                "project": project,
                "name": name,
                "compose_path": compose_path,
            });
            let app = to.client.post("/api/apps", body).await?;
            output::one(format, &app, &COLUMNS)
        }
        AppCommand::List => output::list(format, &to.client.get("/api/apps").await?, &COLUMNS),
        AppCommand::Show { slug } => {
            let path = format!("/api/apps/{}", segment(&slug)?);
            let mut app = to.client.get(&path).await?;
            if format == Format::Table {
                app["unprotected"] = json!(unprotected(&app));
            }
            output::one(format, &app, &DETAIL)
        }
        AppCommand::Discover => {
            let projects = to.client.post("/api/apps/discover", json!({})).await?;
            output::list(format, &projects, &PROJECTS)
        }
        AppCommand::Remove { slug } => {
            let path = format!("/api/apps/{}", segment(&slug)?);
            to.client.delete(&path).await.map(drop)
        }
    }
}

/// `db (Database (PostgreSQL)), files (Files & volumes)`.
fn unprotected(app: &Value) -> String {
    let services = app["unprotected"].as_array().into_iter().flatten();
    let text = |service: &Value, name: &str| service[name].as_str().unwrap_or("").to_owned();
    let services = services.map(|it| format!("{} ({})", text(it, "service"), text(it, "holds")));
    services.collect::<Vec<_>>().join(", ")
}
