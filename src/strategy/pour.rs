//! A dump on its way in: a program that loads it is fed, listened to and waited for, as long as the
//! server works on what it already has.

use async_trait::async_trait;
use futures_util::{
    StreamExt,
    future::{self, BoxFuture, Either},
    stream::BoxStream,
};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    time,
};

use super::{
    Site, StrategyError,
    stderr::{Mask, Stderr},
};
use crate::docker::{Chunk, DockerError, Session};

/// The way into a program.
pub type Pipe = Box<dyn AsyncWrite + Send + Unpin>;

/// A load at work.
#[async_trait]
pub trait Loading: Send + Sync {
    fn site(&self) -> &Site;

    /// What is fed.
    fn program(&self) -> &'static str;

    /// Whether the server did something for the load since the last time-out, or does so now; `None`
    /// when it cannot be said: not there yet, or just gone.
    async fn works(&self) -> Result<Option<bool>, StrategyError>;
}

/// The way out of a program, and its end.
pub struct Ear {
    output: BoxStream<'static, Result<Chunk, DockerError>>,
    exit: BoxFuture<'static, Result<i64, DockerError>>,
}

/// How a load ended.
pub struct Poured<T> {
    /// What feeding it came to; `None` when the program ended before it had read everything.
    pub fed: Option<T>,
    pub code: i64,
    /// The end of what it said on standard error, masked.
    pub said: String,
}

/// The two ends of a session that is to be fed.
pub fn open(site: &Site, session: Session) -> Result<(Pipe, Ear), StrategyError> {
    let Session {
        stdin,
        output,
        exit,
    } = session;
    let stdin = stdin.ok_or_else(|| cut(site, "there is no way in"))?;
    Ok((stdin, Ear { output, exit }))
}

/// Feeds the program while it is listened to, then waits for its end.
pub async fn pour<T>(
    of: &dyn Loading,
    feeding: impl Future<Output = Result<T, StrategyError>>,
    ear: Ear,
    mask: Mask,
) -> Result<Poured<T>, StrategyError> {
    let Ear { mut output, exit } = ear;
    let mut said = Stderr::new(mask);
    let listening = async {
        while let Some(chunk) = output.next().await {
            if let Chunk::Stderr(bytes) = chunk? {
                said.push(&bytes);
            }
        }
        Ok::<_, StrategyError>(())
    };
    tokio::pin!(listening, feeding);
    let fed = match future::select(feeding, listening.as_mut()).await {
        Either::Left((done, _)) => {
            let fed = done?;
            patiently(of, listening).await??;
            Some(fed)
        }
        // It ended before it had read everything: it has something to say.
        Either::Right((ended, _)) => {
            ended?;
            None
        }
    };
    let code = exit.await?;
    Ok(Poured {
        fed,
        code,
        said: said.text(),
    })
}

/// Writes to the program, however long it takes to read.
pub async fn write(
    of: &dyn Loading,
    stdin: &mut (dyn AsyncWrite + Send + Unpin),
    bytes: &[u8],
) -> Result<(), StrategyError> {
    let gone = match patiently(of, stdin.write_all(bytes)).await? {
        Ok(()) => return Ok(()),
        Err(error) => error,
    };
    // It ended; its exit status will say why, and end this wait.
    time::sleep(of.site().stall).await;
    Err(cut(of.site(), &gone.to_string()).into())
}

/// Waits as long as the server works on what it already has: building an index may take hours in which
/// no byte moves.
async fn patiently<T>(of: &dyn Loading, work: impl Future<Output = T>) -> Result<T, StrategyError> {
    let stall = of.site().stall;
    let mut missed = false;
    tokio::pin!(work);
    loop {
        if let Ok(done) = time::timeout(stall, work.as_mut()).await {
            return Ok(done);
        }
        match of.works().await? {
            Some(true) => missed = false,
            // That settles itself.
            None if !missed => missed = true,
            Some(false) | None => {
                return Err(DockerError::Stalled {
                    container: of.site().container.name.clone(),
                    program: of.program().to_owned(),
                    after: stall,
                }
                .into());
            }
        }
    }
}

/// The artifact is not what the validator let pass a moment ago.
pub fn changed(fault: &str) -> StrategyError {
    StrategyError::refused(
        format!("the artifact is not what was checked before: {fault}"),
        "Verify the artifact; its storage may be failing.",
    )
}

fn cut(site: &Site, reason: &str) -> DockerError {
    DockerError::Cut {
        container: site.container.name.clone(),
        reason: reason.to_owned(),
    }
}
