//! Has the server write its data to its disk, and makes sure that it did.

use super::{
    client::{Client, Info, Waiting},
    dump::must_be_whole,
};
use crate::strategy::{Site, StrategyError};

/// Saves what the server holds now into its dump file; returns when that is on the disk. One that is
/// already at it is waited for first: what it writes may be older.
pub async fn save(site: &Site) -> Result<(), StrategyError> {
    let (client, info) = Client::of(site).await?;
    must_be_whole(&info)?;
    of(&client).await
}

pub async fn of(client: &Client) -> Result<(), StrategyError> {
    let what = "saving the data";
    let mut waiting = Waiting::new();
    loop {
        idle(client).await?;
        let answer = client.ask(&["BGSAVE"], what).await?;
        if answer.starts_with("Background saving started") {
            break;
        }
        // Somebody else was quicker.
        if !answer.contains("in progress") && !answer.contains("Another child process") {
            return Err(client.complaint(what, &answer));
        }
        waiting.pause(&client.site).await?;
    }
    let info = idle(client).await?;
    if info.text("rdb_last_bgsave_status") == "ok" {
        return Ok(());
    }
    Err(StrategyError::refused(
        "the server could not save its data",
        "Free some space on the disk of the server's data, or give it more memory; its log says more.",
    ))
}

/// Waits until no program of the server's writes to the disk.
async fn idle(client: &Client) -> Result<Info, StrategyError> {
    let busy = [
        "rdb_bgsave_in_progress",
        "aof_rewrite_in_progress",
        "aof_rewrite_scheduled",
    ];
    let mut waiting = Waiting::new();
    loop {
        let info = client.info().await?;
        if busy.iter().all(|what| info.number(what).unwrap_or(0) == 0) {
            return Ok(info);
        }
        waiting.pause(&client.site).await?;
    }
}
