//! `user`: who may log in, and as what.

use anyhow::Context;
use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    connect::Connection,
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

const COLUMNS: [Column; 4] = [
    ("ID", "/id"),
    ("NAME", "/name"),
    ("ROLE", "/role"),
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

async fn id_of(name: &str, to: &Connection) -> anyhow::Result<i64> {
    let users = to.client.get("/api/users").await?;
    let mut users = users.as_array().into_iter().flatten();
    users
        .find(|user| user["name"] == name)
        .and_then(|user: &Value| user["id"].as_i64())
        .with_context(|| format!("there is no user {name}"))
}
