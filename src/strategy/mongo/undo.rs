//! Undo: the same exchange the other way round. What the restore brought is set aside in turn.

use serde_json::{Value as Json, json};

use super::{
    exchange::{Aside, Exchange},
    server::{LONG, Server},
};
use crate::strategy::{Journal, Kept, Settled, Site, StrategyError};

pub async fn undo(site: &Site, kept: &Kept, journal: &dyn Journal) -> Result<Kept, StrategyError> {
    let aside = Aside::of(kept)?;
    let server = Server::of(site).await?;
    let exchange = Exchange {
        restore: aside.restore,
        databases: aside.databases,
        aside: opposite(&aside.prefix),
        incoming: aside.prefix,
        expected: aside.collections,
        disposable: false,
    };
    match exchange_now(&server, &exchange, journal).await {
        Ok(kept) => Ok(kept),
        Err(error) => match exchange.settle_quietly(&server).await {
            Ok(Settled::Restored(Some(kept))) => Ok(kept),
            Ok(_) => Err(error),
            Err(attention @ StrategyError::NeedsAttention { .. }) => Err(attention),
            Err(_) => Err(StrategyError::Unsettled(error.into())),
        },
    }
}

async fn exchange_now(
    server: &Server,
    exchange: &Exchange,
    journal: &dyn Journal,
) -> Result<Kept, StrategyError> {
    let title = format!("Putting {}.… back in its place", exchange.incoming);
    journal.record(exchange.step("swap", title, true)).await?;
    exchange.swap(server).await
}

pub async fn forget(site: &Site, kept: &Kept) -> Result<(), StrategyError> {
    let aside = Aside::of(kept)?;
    let server = Server::of(site).await?;
    let request = json!({"databases": aside.databases, "aside": aside.prefix});
    let what = "dropping what was set aside";
    let _: Json = server.ask_patiently("forget", request, what, LONG).await?;
    Ok(())
}

/// `hf_undo_12_…` ↔ `hf_undone_12_…`: an undo can itself be undone, and a second call finds what
/// the first one did.
fn opposite(prefix: &str) -> String {
    match (
        prefix.strip_prefix("hf_undone_"),
        prefix.strip_prefix("hf_undo_"),
    ) {
        (Some(rest), _) => format!("hf_undo_{rest}"),
        (_, Some(rest)) => format!("hf_undone_{rest}"),
        _ => format!("{prefix}_undone"),
    }
}
