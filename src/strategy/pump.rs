//! A dump on its way out: what a program writes goes into a sink, and only then counts how it ended.

use futures_util::StreamExt;
use tokio::time;

use super::{
    Sink, Site, StrategyError,
    stderr::{Mask, Stderr},
};
use crate::docker::{Chunk, DockerError, Session};

impl Site {
    /// Passes on what the program of this session writes, then asks how it ended: its exit status, and
    /// the end of what it said on standard error, masked.
    pub async fn pump(
        &self,
        mut session: Session,
        program: &str,
        mask: Mask,
        sink: &mut dyn Sink,
    ) -> Result<(i64, String), StrategyError> {
        let mut said = Stderr::new(mask);
        loop {
            // Only the wait for the program counts: a slow receiver is not its fault.
            let chunk = time::timeout(self.stall, session.output.next())
                .await
                .map_err(|_| DockerError::Stalled {
                    container: self.container.name.clone(),
                    program: program.to_owned(),
                    after: self.stall,
                })?;
            match chunk {
                Some(Ok(Chunk::Stdout(bytes))) => sink.write(bytes).await?,
                Some(Ok(Chunk::Stderr(bytes))) => said.push(&bytes),
                Some(Err(error)) => return Err(error.into()),
                None => break,
            }
        }
        let code = session.exit.await?;
        Ok((code, said.text()))
    }
}
