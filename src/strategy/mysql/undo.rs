//! Undo: the same exchange the other way round. What the restore brought is set aside in turn.

use super::{
    book::Book,
    exchange::{Aside, DONE, Exchange, SWAP},
    look::with_prefix,
    names::write_list,
    restore::note,
    server::Server,
};
use crate::strategy::{Journal, Kept, Settled, Site, StrategyError};

pub async fn undo(site: &Site, kept: &Kept, journal: &dyn Journal) -> Result<Kept, StrategyError> {
    let aside = Aside::of(kept)?;
    let server = Server::of(site).await?;
    let exchange = Exchange {
        restore: aside.restore,
        databases: aside.databases.clone(),
        incoming: aside.name.clone(),
        aside: opposite(&aside.name),
        disposable: false,
    };
    let Some(book) = Book::read(&server, &exchange.incoming).await? else {
        // Called again after it was done.
        let done = Book::read(&server, &exchange.aside).await?.is_some();
        let kept = if done {
            exchange.kept(&server).await
        } else {
            None
        };
        return kept.ok_or_else(|| gone(&aside.name));
    };
    let mut last = "";
    let settled = match exchange_now(&server, &exchange, &book, journal, &mut last).await {
        Ok(()) => Ok(Settled::Restored(exchange.kept(&server).await)),
        Err(error) if last.is_empty() => Err(error),
        Err(error) => match exchange.settle_quietly(&server, last).await {
            Err(attention @ StrategyError::NeedsAttention { .. }) => Err(attention),
            Err(_) => Err(StrategyError::Unsettled(error.into())),
            Ok(Settled::AsBefore) => Err(error),
            restored => restored,
        },
    };
    match settled? {
        Settled::Restored(Some(kept)) => Ok(kept),
        _ => Err(gone(&exchange.aside)),
    }
}

async fn exchange_now(
    server: &Server,
    exchange: &Exchange,
    book: &Book,
    journal: &dyn Journal,
    last: &mut &'static str,
) -> Result<(), StrategyError> {
    let list = write_list(&exchange.databases);
    let title = format!("Noting what there is, in {}", exchange.aside);
    journal.record(exchange.step("note", title, false)).await?;
    *last = "note";
    note(server, exchange).await?;
    let title = format!("Putting the tables of {list} back in their place");
    journal.record(exchange.step(SWAP, title, true)).await?;
    *last = SWAP;
    exchange.swap(server, &book.code, &book.grants).await?;
    let title = "Tidying up".to_owned();
    journal.record(exchange.step(DONE, title, true)).await?;
    *last = DONE;
    exchange.clear(server).await
}

pub async fn forget(site: &Site, kept: &Kept) -> Result<(), StrategyError> {
    let aside = Aside::of(kept)?;
    let server = Server::of(site).await?;
    let databases = with_prefix(&server, &aside.name).await?;
    Book::drop_with(&server, &aside.name, &databases).await
}

fn gone(name: &str) -> StrategyError {
    StrategyError::refused(
        format!("what was kept in {name} is no longer there"),
        "It was dropped or renamed; restore another backup.",
    )
}

/// `hf_undo_12_ab` ↔ `hf_undone_12_ab`: an undo can itself be undone, and a second call finds what
/// the first one did.
fn opposite(name: &str) -> String {
    match name.strip_prefix("hf_undone_") {
        Some(rest) => format!("hf_undo_{rest}"),
        None => name.replacen("hf_undo_", "hf_undone_", 1),
    }
}
