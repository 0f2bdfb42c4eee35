//! `token`: bearer tokens for programs.

use clap::Subcommand;
use serde_json::json;

use super::{
    address::segment,
    connect::Connection,
    output::{self, Column, Format},
};

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Issue a token; it is printed now and never again
    Issue {
        /// What it is for
        name: String,
        /// The user whose token it is
        #[arg(long)]
        user: Option<String>,
        /// `viewer`, `operator` or `admin` [default: the user's own]
        #[arg(long)]
        role: Option<String>,
        /// What it may be used for, within its role: `read`, `backup`, `restore`, `delete` or `admin`; may be given
        /// several times [default: all]
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// Days until it works no more [default: never]
        #[arg(long, value_name = "DAYS")]
        expires: Option<u32>,
    },
    /// List tokens
    List,
    /// Revoke a token; it works no more from now on
    Revoke { id: String },
}

const COLUMNS: [Column; 7] = [
    ("ID", "/id"),
    ("NAME", "/name"),
    ("USER", "/user"),
    ("ROLE", "/role"),
    ("SCOPES", "/scopes"),
    ("EXPIRES", "/expires_at"),
    ("LAST USED", "/last_used_at"),
];

pub async fn run(command: TokenCommand, to: &Connection, format: Format) -> anyhow::Result<()> {
    match command {
        TokenCommand::Issue {
            name,
            user,
            role,
            scopes,
            expires,
        } => {
            let scopes = Some(scopes).filter(|scopes| !scopes.is_empty());
            let body = json!({
                "name": name, "user": user, "role": role, "scopes": scopes, "expires_in_days": expires,
            });
            let key = to.client.post("/api/apikeys", body).await?;
            match format {
                Format::Json => output::json(&key),
                Format::Table => output::text(key["token"].as_str().unwrap_or_default()),
            }
        }
        TokenCommand::List => output::list(format, &to.client.get("/api/apikeys").await?, &COLUMNS),
        TokenCommand::Revoke { id } => {
            let path = format!("/api/apikeys/{}", segment(&id)?);
            to.client.delete(&path).await.map(drop)
        }
    }
}
