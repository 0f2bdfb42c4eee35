//! `serve`: runs the server until a signal ends it.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use holdfast::{
    app::{Holdfast, write_private},
    config::{Config, DataArgs, ServeArgs},
};
use serde_json::json;

use super::{
    connect::SERVER_FILE,
    errors::Ended,
    host::{Bound, Host, Served},
    signals,
};

pub async fn run(data: &DataArgs, args: &ServeArgs) -> anyhow::Result<()> {
    let mut config = Config::new(data, &args.engine)?;
    config.settings.public_url = public_url(args)?;
    config.settings.verify_every = args.verify_every;
    config.settings.audit_detail_days = args.audit_detail_days;
    let public_url = config.settings.public_url.as_deref();
    config.settings.sso = args.sso.settings(public_url)?;
    let mut host = tokio::select! {
        host = Host::open(&config, true, args.https) => host?,
        code = signals::first() => return Err(Ended(code).into()),
    };
    let file = ServerFile(config.data_dir.join(SERVER_FILE));
    let mut served = start(&host, args.listen, &file, &config.data_dir).await?;
    tokio::select! {
        error = watch(&host, args.listen, &mut served, &file) => return Err(error),
        _ = signals::first() => {}
    }
    tracing::info!(
        "stopping; running jobs may go on for {} s, a second signal ends at once",
        args.grace
    );
    tokio::spawn(async {
        signals::first().await;
        std::process::exit(signals::SECOND_SIGNAL.into());
    });
    if let Some(work) = host.work.take() {
        work.stop(Duration::from_secs(args.grace)).await;
    }
    served.stop().await;
    tracing::info!("stopped");
    Ok(())
}

fn public_url(args: &ServeArgs) -> anyhow::Result<Option<String>> {
    let web = |url: &str| url.starts_with("https://") || url.starts_with("http://");
    match &args.public_url {
        Some(url) if !web(url) => {
            anyhow::bail!("--public-url: use a whole URL, as in https://backup.example.org")
        }
        url => Ok(url.clone()),
    }
}

/// Serves what is wanted, or loopback alone as long as anybody could set the server up.
async fn start(
    host: &Host,
    wanted: SocketAddr,
    file: &ServerFile,
    data_dir: &Path,
) -> anyhow::Result<Served> {
    let setup = host.holdfast().prepare_setup().await?;
    let mut listen = wanted;
    if setup.is_some() && !wanted.ip().is_loopback() {
        listen.set_ip(loopback(wanted));
        tracing::warn!("nobody has set this server up: it listens on {listen} alone until then");
    }
    let served = host.serve(Bound::to(listen).await?);
    file.write(host.holdfast(), &served)?;
    tracing::info!("listening on {}", served.url());
    if let Some(token) = setup {
        tracing::info!(
            "set-up: open {}/setup with the token {} (also in {})",
            served.url(),
            token.expose(),
            data_dir.join("setup-token").display()
        );
    }
    Ok(served)
}

/// Moves to the wanted address once the server is set up. Resolves only when serving failed.
async fn watch(
    host: &Host,
    wanted: SocketAddr,
    served: &mut Served,
    file: &ServerFile,
) -> anyhow::Error {
    if served.address.ip() != wanted.ip() {
        tokio::select! {
            error = served.ended() => return error,
            () = set_up(host.holdfast()) => {}
        }
        match move_to(host, wanted, served, file).await {
            Ok(()) => tracing::info!("set up; listening on {}", served.address),
            Err(error) => return error,
        }
    }
    served.ended().await
}

async fn set_up(holdfast: &Holdfast) {
    let mut head = holdfast.log().watch_head();
    while holdfast.needs_setup().await.unwrap_or(true) {
        if head.changed().await.is_err() {
            return;
        }
    }
}

async fn move_to(
    host: &Host,
    wanted: SocketAddr,
    served: &mut Served,
    file: &ServerFile,
) -> anyhow::Result<()> {
    // The port stays, and two sockets cannot share it: end the first, then begin the second.
    served.stop().await;
    *served = host.serve(Bound::to(wanted).await?);
    file.write(host.holdfast(), served)
}

fn loopback(wanted: SocketAddr) -> IpAddr {
    match wanted {
        SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    }
}

/// Tells commands on this host where the server is and how to speak to it. Gone when it ends.
struct ServerFile(PathBuf);

impl ServerFile {
    fn write(&self, holdfast: &Holdfast, served: &Served) -> anyhow::Result<()> {
        let told = json!({ "url": served.url(), "token": holdfast.cli_token().expose() });
        write_private(&self.0, told.to_string().as_bytes())
            .with_context(|| format!("cannot write {}", self.0.display()))
    }
}

impl Drop for ServerFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
