//! Which server a command speaks to.

use std::{path::Path, time::Duration};

use anyhow::bail;
use clap::Parser;
use holdfast::config::{Config, DataArgs, EngineArgs};
use serde::Deserialize;

use super::{
    ServerArgs,
    client::Client,
    errors::Usage,
    host::{Bound, Host, Served},
    settings::ClientFile,
};

/// In the data folder: where the server is, and the token for commands on its host.
pub const SERVER_FILE: &str = "server.json";

/// A server to speak to; perhaps one in this very process.
pub struct Connection {
    pub client: Client,
    own: Option<(Host, Served)>,
}

#[derive(Deserialize)]
struct Told {
    url: String,
    token: String,
}

/// What a command that works without a server needs to know comes from the environment.
#[derive(Parser)]
struct FromEnvironment {
    #[command(flatten)]
    engine: EngineArgs,
}

pub fn environment() -> anyhow::Result<EngineArgs> {
    Ok(FromEnvironment::try_parse_from(["holdfast"])?.engine)
}

impl Connection {
    /// The server that `--url` or HOLDFAST_URL names; that of a data folder that was named; that of the
    /// client's own file; that of the usual data folder. `works`: the command waits for background work,
    /// which a server in this process then does.
    pub async fn open(
        data: &DataArgs,
        named: bool,
        to: &ServerArgs,
        works: bool,
    ) -> anyhow::Result<Self> {
        if let Some(client) = elsewhere(to, named)? {
            return Ok(Self { client, own: None });
        }
        if let Some(client) = running_server(&data.data_dir).await? {
            return Ok(Self { client, own: None });
        }
        Self::own(data, works).await
    }

    async fn own(data: &DataArgs, works: bool) -> anyhow::Result<Self> {
        let config = Config::new(data, &environment()?)?;
        let host = Host::open(&config, works, false).await?;
        let served = host.serve(Bound::to(([127, 0, 0, 1], 0).into()).await?);
        let token = host.holdfast().cli_token().expose().clone();
        Ok(Self {
            client: Client::new(&served.url(), token)?,
            own: Some((host, served)),
        })
    }

    /// Whether a command waits for what it set going: it was asked to, or nobody would do the work after it.
    pub fn waits(&self, asked: bool) -> bool {
        asked || self.own.is_some()
    }

    /// Interrupts what is still at work in this process; the next start goes on with it.
    pub async fn close(self) {
        if let Some((mut host, mut served)) = self.own {
            if let Some(work) = host.work.take() {
                work.stop(Duration::ZERO).await;
            }
            served.stop().await;
        }
    }
}

/// A server that is told of by its address. `folder`: a data folder was told of.
fn elsewhere(to: &ServerArgs, folder: bool) -> anyhow::Result<Option<Client>> {
    if to.url.is_none() && folder {
        return Ok(None);
    }
    let file = ClientFile::read()?;
    let Some(url) = to.url.as_ref().or(file.url.as_ref()) else {
        return Ok(None);
    };
    let own = file.url.as_ref() == Some(url);
    // Not from the command line: every user of the host can read it.
    let token = std::env::var("HOLDFAST_TOKEN").ok();
    let Some(token) = token.or(file.token.filter(|_| own)) else {
        bail!(Usage(format!(
            "{url} needs a token: in HOLDFAST_TOKEN, or beside this address in client.toml"
        )));
    };
    Ok(Some(Client::new(url, token)?))
}

/// The server that works in the data folder. A file that a killed server left names nobody.
async fn running_server(data_dir: &Path) -> anyhow::Result<Option<Client>> {
    let Ok(text) = std::fs::read_to_string(data_dir.join(SERVER_FILE)) else {
        return Ok(None);
    };
    let Ok(told) = serde_json::from_str::<Told>(&text) else {
        return Ok(None);
    };
    let client = Client::new(&told.url, told.token)?;
    Ok(client.answers().await.then_some(client))
}
