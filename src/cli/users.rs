//! `user`: who may log in, and as what.

use anyhow::Context;
use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    connect::Connection,
    errors::Usage,
    output::{self, Column, Format},
    typed,
};

#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user
    Add {
        name: String,
        /// `viewer`, `operator` or `admin`
        #[arg(long, default_value = "viewer")]
        role: String,
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
    },
    /// List users
    List,
    /// Change what a user may do
    Change {
        name: String,
        /// `viewer`, `operator` or `admin`
        #[arg(long)]
        role: String,
    },
    /// Grant these apps in place of those before; what is not granted does not exist for the user
    Grant {
        name: String,
        /// An app and a role in it, as in `shop=operator`; `*` for every app. May be given several times
        #[arg(value_name = "APP=ROLE")]
        grants: Vec<String>,
    },
    /// Let nobody of this name in, until they are enabled again
    Disable { name: String },
    /// Let a disabled user in again
    Enable { name: String },
    /// Remove a user, with all sessions and tokens
    Remove { name: String },
    /// Set a user's password, and end all of the user's sessions
    Password {
        name: String,
        /// Read the password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
    },
}

const GRANTS: [Column; 2] = [("APP", "/app"), ("ROLE", "/role")];
const COLUMNS: [Column; 5] = [
    ("ID", "/id"),
    ("NAME", "/name"),
    ("ROLE", "/role"),
    ("DISABLED", "/disabled"),
    ("SINCE", "/created_at"),
];

pub async fn run(command: UserCommand, to: &Connection, format: Format) -> anyhow::Result<()> {
    match command {
        UserCommand::Add {
            name,
            role,
            password_stdin,
        } => {
            let password = typed::new_password(password_stdin)?;
            let body = json!({ "name": name, "role": role, "password": password });
            let user = to.client.post("/api/users", body).await?;
            output::one(format, &user, &COLUMNS)
        }
        UserCommand::List => output::list(format, &to.client.get("/api/users").await?, &COLUMNS),
        UserCommand::Grant { name, grants } => {
            let path = format!("/api/users/{}/grants", id_of(&name, to).await?);
            let body = json!({ "grants": granted(&grants)? });
            output::list(format, &to.client.put(&path, body).await?, &GRANTS)
        }
        UserCommand::Change { name, role } => {
            change(&name, json!({ "role": role }), to, format).await
        }
        UserCommand::Disable { name } => {
            change(&name, json!({ "disabled": true }), to, format).await
        }
        UserCommand::Enable { name } => {
            change(&name, json!({ "disabled": false }), to, format).await
        }
        UserCommand::Remove { name } => {
            let path = format!("/api/users/{}", id_of(&name, to).await?);
            to.client.delete(&path).await.map(drop)
        }
        UserCommand::Password {
            name,
            password_stdin,
        } => {
            let path = format!("/api/users/{}/password", id_of(&name, to).await?);
            let password = typed::new_password(password_stdin)?;
            to.client
                .put(&path, json!({ "password": password }))
                .await
                .map(drop)
        }
    }
}

async fn change(name: &str, body: Value, to: &Connection, format: Format) -> anyhow::Result<()> {
    let path = format!("/api/users/{}", id_of(name, to).await?);
    output::one(format, &to.client.put(&path, body).await?, &COLUMNS)
}

fn granted(pairs: &[String]) -> anyhow::Result<Vec<Value>> {
    let pairs = pairs.iter();
    let split = pairs.map(|pair| match pair.split_once('=') {
        Some((app, role)) if !app.is_empty() => Ok(json!({ "app": app, "role": role })),
        _ => Err(Usage(format!("{pair}: use APP=ROLE, as in shop=viewer")).into()),
    });
    split.collect()
}

async fn id_of(name: &str, to: &Connection) -> anyhow::Result<i64> {
    let users = to.client.get("/api/users").await?;
    let mut users = users.as_array().into_iter().flatten();
    users
        .find(|user| user["name"] == name)
        .and_then(|user: &Value| user["id"].as_i64())
        .with_context(|| format!("there is no user {name}"))
}
