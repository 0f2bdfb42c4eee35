//! Loads a dump file into a server of our own, beside the one in use: the same program, in a helper, on
//! a socket that nobody else sees. What it loads it would load in the service, too; and from its memory
//! it writes the append-only log that the service is to start from.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time;

use super::{
    client::{Address, Client, Info, Waiting},
    errors,
    layout::Layout,
    rdb::Contents,
    settings::Login,
};
use crate::{
    docker::{Chunk, Command, Session, command::Tail},
    domain::manifest::Fingerprint,
    strategy::{Site, StrategyError, stderr},
};

/// Should memory run out, it is this server that has to go, not one in use.
const FIRST_TO_GO: &str = "echo 1000 > /proc/self/oom_score_adj; exec \"$@\"";
/// In the helper's own layer: the path of a socket must be short.
const SOCKET: &str = "/tmp/holdfast.sock";
/// How long it may take to end after it was told to.
const ENDING: Duration = Duration::from_mins(1);
/// How much of its log is kept, in bytes.
const LOG: usize = 16 * 1024;

/// What came out of the load.
pub struct Loaded {
    /// What is there, database by database.
    pub fingerprint: Fingerprint,
    /// How many keys had outlived their time.
    pub expired: u64,
}

/// Loads the dump in `folder` in the helper `site`, counts, and writes the log beside it if asked to.
pub async fn prove(
    site: &Site,
    program: &'static str,
    layout: &Layout,
    folder: &str,
    contents: &Contents,
    with_log: bool,
) -> Result<Loaded, StrategyError> {
    let session = site.engine.exec(
        &site.container.id,
        command(program, layout, folder, contents),
    );
    let client = Client {
        site: site.clone(),
        program,
        version: String::new(),
        address: Address::Socket(SOCKET.to_owned()),
        login: Login::default(),
    };
    let session = site.watch(async { Ok(session.await?) }).await?;
    let server = listen(session);
    let work = async {
        let info = client.ready().await?;
        if with_log {
            write_log(&client).await?;
        }
        Ok::<Info, StrategyError>(info)
    };
    tokio::pin!(server, work);
    let info = tokio::select! {
        biased;
        info = &mut work => info?,
        ended = &mut server => {
            let (code, log) = ended?;
            return Err(failure(code, &log));
        }
        () = site.cancel.cancelled() => return Err(StrategyError::Cancelled),
    };
    // It closes the connection instead of an answer.
    let stop = client.ask(&["SHUTDOWN", "NOSAVE"], "stopping");
    let (_, ended) = tokio::join!(stop, time::timeout(ENDING, server));
    match ended.map_err(|_| failure(1, "it does not stop"))?? {
        (0, _) => judge(&info, contents),
        (code, log) => Err(failure(code, &log)),
    }
}

fn command(program: &str, layout: &Layout, folder: &str, contents: &Contents) -> Command {
    let server = program.replace("-cli", "-server");
    // As many as the service has: there must be room for all in it.
    let needed = contents.keys.keys().next_back().map_or(1, |last| last + 1);
    let databases = layout.databases.unwrap_or(needed.max(16)).to_string();
    let mut words = vec![
        "sh",
        "-c",
        FIRST_TO_GO,
        "sh",
        &server,
        "--port",
        "0",
        "--unixsocket",
        SOCKET,
        "--dir",
        folder,
        "--dbfilename",
        &layout.dump,
        "--appendonly",
        "no",
        "--appendfilename",
        &layout.log.file,
        "--save",
        "",
        "--daemonize",
        "no",
        "--databases",
        &databases,
    ];
    if let Some(folder) = &layout.log.folder {
        words.extend(["--appenddirname", folder]);
    }
    Command::new(words)
}

/// Reads what the server says until it ends. Its exit status, and the end of its log.
async fn listen(mut session: Session) -> Result<(i64, String), StrategyError> {
    let mut log = Tail::new(LOG);
    while let Some(chunk) = session.output.next().await {
        match chunk? {
            Chunk::Stdout(bytes) | Chunk::Stderr(bytes) => log.push(&bytes),
        }
    }
    let code = session.exit.await?;
    Ok((code, stderr::clean(&log.into_string())))
}

/// Switches the log on, and waits until it is written.
async fn write_log(client: &Client) -> Result<(), StrategyError> {
    let what = "writing the append-only log";
    let answer = client
        .ask(&["CONFIG", "SET", "appendonly", "yes"], what)
        .await?;
    if answer.trim() != "OK" {
        return Err(client.complaint(what, &answer));
    }
    let busy = ["aof_rewrite_in_progress", "aof_rewrite_scheduled"];
    let mut waiting = Waiting::new();
    loop {
        let info = client.info().await?;
        if busy.iter().all(|busy| info.number(busy) == Some(0)) {
            let good = info.text("aof_last_bgrewrite_status") == "ok"
                && info.text("aof_last_write_status") == "ok"
                && info.number("aof_enabled") == Some(1);
            return if good {
                Ok(())
            } else {
                Err(failure(1, "the append-only log could not be written"))
            };
        }
        waiting.pause(&client.site).await?;
    }
}

fn failure(code: i64, log: &str) -> StrategyError {
    let what = "loading the backup beside the server";
    if code == 137 {
        return StrategyError::Tool {
            message: format!("{what} failed: it was killed"),
            hint: "There may be too little memory to load the backup beside the server in use; give the host more."
                .to_owned(),
            detail: stderr::shown(log),
            temporary: false,
        };
    }
    let words = errors::last_words(log);
    match errors::complaint(what, "the server", code, &words) {
        StrategyError::Tool {
            message,
            hint,
            temporary,
            ..
        } => StrategyError::Tool {
            message,
            hint,
            detail: stderr::shown(log),
            temporary,
        },
        other => other,
    }
}

/// Every key of the file has to be there, unless it may have outlived its time.
fn judge(info: &Info, contents: &Contents) -> Result<Loaded, StrategyError> {
    let found = info.keys();
    let mut missing = 0;
    for (database, &expected) in &contents.keys {
        let name = format!("db{database}");
        let count = found.get(&name).copied().unwrap_or(0);
        if count > expected {
            return Err(differs(&format!(
                "{name}: {count} keys instead of {expected}"
            )));
        }
        missing += expected - count;
    }
    let all_known = found.keys().all(|name| {
        let number = name
            .strip_prefix("db")
            .and_then(|number| number.parse().ok());
        number.is_some_and(|number: u64| contents.keys.contains_key(&number))
    });
    if !all_known || missing > contents.mortal {
        return Err(differs(&format!("{missing} keys are missing")));
    }
    let total: u64 = contents.keys.values().sum();
    if let Some((loaded, expired)) = loaded(info)
        && loaded + expired != total
    {
        return Err(differs(&format!(
            "{} keys instead of {total}",
            loaded + expired
        )));
    }
    Ok(Loaded {
        fingerprint: Fingerprint {
            unit: super::UNIT.to_owned(),
            counts: found,
        },
        expired: missing,
    })
}

/// How many keys the server loaded when it started, and how many it left out because their time was
/// over. Servers before Redis 7 do not say.
pub fn loaded(info: &Info) -> Option<(u64, u64)> {
    let number = |name| info.number(name);
    Some((
        number("rdb_last_load_keys_loaded")?,
        number("rdb_last_load_keys_expired")?,
    ))
}

fn differs(how: &str) -> StrategyError {
    StrategyError::refused(
        format!("the loaded data is not what the backup holds: {how}"),
        "The server was left as it was.",
    )
}
