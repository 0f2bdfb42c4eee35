//! A whole server in this process: data folder, background work, HTTP. `serve` keeps one running;
//! other commands start one on a port of its own when none is there to speak to.

use std::net::SocketAddr;

use anyhow::Context;
use holdfast::{
    app::Holdfast,
    bootstrap::{self, Opened},
    config::Config,
    web::{self, Web},
    work::Work,
};
use poem::listener::{Acceptor, Listener, TcpAcceptor, TcpListener};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// An opened data folder with its work.
pub struct Host {
    opened: Opened,
    pub work: Option<Work>,
    pub https: bool,
}

/// One address that is served, until `stop`.
pub struct Served {
    pub address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

impl Host {
    /// Opens the data folder; starts the work too when `works`.
    pub async fn open(config: &Config, works: bool, https: bool) -> anyhow::Result<Self> {
        let opened = bootstrap::open(config).await?;
        let work = if works {
            let why = "the process that worked on it ended";
            Some(Work::start(opened.holdfast.clone(), why).await?)
        } else {
            None
        };
        Ok(Self {
            opened,
            work,
            https,
        })
    }

    pub fn holdfast(&self) -> &Holdfast {
        &self.opened.holdfast
    }

    /// Serves the bound address.
    pub fn serve(&self, bound: Bound) -> Served {
        let stop = CancellationToken::new();
        let web = Web {
            holdfast: self.holdfast().clone(),
            work: self.work.as_ref().map(|work| work.health.clone()),
            stop: stop.clone(),
            https: self.https,
        };
        let endpoint = web::endpoint(web.clone(), web::api::endpoint());
        Served {
            address: bound.address,
            stop,
            task: tokio::spawn(web::serve(bound.acceptor, endpoint, web)),
        }
    }
}

/// An address that is ours, and not served yet: callers wait.
pub struct Bound {
    pub address: SocketAddr,
    acceptor: TcpAcceptor,
}

impl Bound {
    pub async fn to(wanted: SocketAddr) -> anyhow::Result<Self> {
        let acceptor = TcpListener::bind(wanted)
            .into_acceptor()
            .await
            .with_context(|| format!("cannot listen on {wanted}"))?;
        let local = acceptor.local_addr();
        let address = local.first().and_then(|local| local.0.as_socket_addr());
        Ok(Self {
            address: address.copied().unwrap_or(wanted),
            acceptor,
        })
    }
}

impl Served {
    /// Where this machine reaches it.
    pub fn url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            let loopback = match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            };
            address.set_ip(loopback);
        }
        format!("http://{address}")
    }

    /// Resolves when it ended by itself, which it should not.
    pub async fn ended(&mut self) -> anyhow::Error {
        match (&mut self.task).await {
            Ok(Ok(())) => anyhow::anyhow!("the web server ended"),
            Ok(Err(error)) => error.into(),
            Err(error) => error.into(),
        }
    }

    /// Lets requests end, within a few seconds, and gives the address back.
    pub async fn stop(&mut self) {
        self.stop.cancel();
        let _ = (&mut self.task).await;
    }
}
