//! Logging in by OpenID Connect: all of it stands in the server's own configuration, none on a page.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::{Context, bail, ensure};
use clap::Args;

use crate::{
    app::SsoSettings,
    domain::{access::Role, secret::Secret},
    notify::Address,
    sso::ProviderSettings,
};

/// Below the public address; to be entered at the provider.
const RETURN: &str = "/login/sso/return";

#[derive(Debug, Clone, Args, Default)]
#[command(next_help_heading = "Single sign-on (OpenID Connect)")]
pub struct SsoArgs {
    /// Let people log in at this issuer too; needs --public-url, below which people come back to
    /// `/login/sso/return`
    #[arg(long, env = "HOLDFAST_OIDC_ISSUER", value_name = "URL")]
    pub oidc_issuer: Option<String>,

    /// What the issuer calls this server
    #[arg(long, env = "HOLDFAST_OIDC_CLIENT_ID", value_name = "ID")]
    pub oidc_client_id: Option<String>,

    /// File with the client's secret; else HOLDFAST_OIDC_CLIENT_SECRET in the environment, else it has none
    #[arg(long, env = "HOLDFAST_OIDC_CLIENT_SECRET_FILE", value_name = "PATH")]
    pub oidc_client_secret_file: Option<PathBuf>,

    /// What the button says after `Log in with`
    #[arg(
        long,
        env = "HOLDFAST_OIDC_LABEL",
        default_value = "single sign-on",
        value_name = "TEXT"
    )]
    pub oidc_label: String,

    /// What to ask the issuer for, beside `openid`
    #[arg(
        long,
        env = "HOLDFAST_OIDC_SCOPES",
        default_value = "profile,email",
        value_delimiter = ',',
        value_name = "SCOPES"
    )]
    pub oidc_scopes: Vec<String>,

    /// Only people with a verified e-mail address of these domains come in
    #[arg(
        long,
        env = "HOLDFAST_OIDC_DOMAINS",
        value_delimiter = ',',
        value_name = "DOMAINS"
    )]
    pub oidc_domains: Vec<String>,

    /// The claim that roles follow from, as in `groups`
    #[arg(
        long,
        env = "HOLDFAST_OIDC_ROLE_CLAIM",
        value_name = "CLAIM",
        requires = "oidc_roles"
    )]
    pub oidc_role_claim: Option<String>,

    /// What its values make of somebody, anew with each log-in: `ops=operator,root=admin`
    #[arg(
        long,
        env = "HOLDFAST_OIDC_ROLES",
        value_delimiter = ',',
        value_name = "VALUE=ROLE",
        requires = "oidc_role_claim"
    )]
    pub oidc_roles: Vec<String>,

    /// Whoever else logs in becomes a user with this role; else they are turned away
    #[arg(long, env = "HOLDFAST_OIDC_NEW_USERS", value_name = "ROLE")]
    pub oidc_new_users: Option<String>,

    /// The issuer may lie at a private address, and speak http there
    #[arg(long, env = "HOLDFAST_PRIVATE_OIDC")]
    pub private_oidc: bool,
}

impl SsoArgs {
    /// `None` when nobody is to log in elsewhere.
    pub fn settings(&self, public_url: Option<&str>) -> anyhow::Result<Option<SsoSettings>> {
        let Some(issuer) = &self.oidc_issuer else {
            return Ok(None);
        };
        let address = Address::parse(issuer);
        address.map_err(|error| anyhow::anyhow!("--oidc-issuer: {error}"))?;
        ensure!(
            issuer.starts_with("https://") || self.private_oidc,
            "--oidc-issuer: use https://; http is for private addresses, with --private-oidc"
        );
        let Some(public_url) = public_url else {
            bail!("--oidc-issuer needs --public-url: people have to find back");
        };
        let client_id = self.oidc_client_id.clone();
        let roles = self.oidc_roles.iter().map(|pair| {
            let (value, name) = pair.rsplit_once('=').unwrap_or((pair, ""));
            Ok((value.to_owned(), role("--oidc-roles", name)?))
        });
        let roles: BTreeMap<String, Role> = roles.collect::<anyhow::Result<_>>()?;
        let new_users = self.oidc_new_users.as_deref();
        let new_users = new_users
            .map(|name| role("--oidc-new-users", name))
            .transpose()?;
        ensure!(
            new_users.is_some() || !roles.is_empty(),
            "--oidc-issuer: nobody could come in; say who may by --oidc-new-users or --oidc-roles"
        );
        Ok(Some(SsoSettings {
            provider: ProviderSettings {
                issuer: issuer.clone(),
                client_id: client_id.context("--oidc-issuer needs --oidc-client-id")?,
                client_secret: self.client_secret()?,
                return_to: format!("{}{RETURN}", public_url.trim_end_matches('/')),
                scopes: self.oidc_scopes.clone(),
                role_claim: self.oidc_role_claim.clone(),
                private: self.private_oidc,
            },
            label: self.oidc_label.clone(),
            domains: self.oidc_domains.clone(),
            roles,
            new_users,
        }))
    }

    /// Never from a flag: every user of the host can read a command line.
    fn client_secret(&self) -> anyhow::Result<Option<Secret>> {
        let secret = match &self.oidc_client_secret_file {
            Some(file) => {
                let read = std::fs::read_to_string(file);
                let text = read.with_context(|| format!("cannot read {}", file.display()))?;
                Some(text.trim().to_owned())
            }
            None => std::env::var("HOLDFAST_OIDC_CLIENT_SECRET").ok(),
        };
        Ok(secret.filter(|secret| !secret.is_empty()).map(Secret::new))
    }
}

fn role(flag: &str, name: &str) -> anyhow::Result<Role> {
    Role::parse(name).with_context(|| format!("{flag}: use one of viewer, operator, admin"))
}
