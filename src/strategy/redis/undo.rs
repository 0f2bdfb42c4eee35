//! Undo: the same exchange the other way round. What the restore brought is set aside in turn.

use super::{
    client::Client,
    exchange::{Aside, Exchange},
    files::Files,
    layout::Layout,
    restore::{Noted, give_up},
};
use crate::{
    docker::Tools,
    strategy::{Journal, Kept, Site, StrategyError},
};

pub async fn undo(site: &Site, kept: &Kept, journal: &dyn Journal) -> Result<Kept, StrategyError> {
    let aside = Aside::of(kept)?;
    let client = if site.container.running {
        let (client, _) = Client::loaded(site).await?;
        must_fit(&aside.layout, &Layout::of(&client).await?)?;
        Some(client)
    } else {
        None
    };
    aside.layout.must_be_on_a_volume(&site.container)?;
    let mut exchange = Exchange {
        restore: aside.restore,
        layout: aside.layout.clone(),
        folder: aside.folder.clone(),
        incoming: aside.held.clone(),
        outgoing: opposite(&aside.held).to_owned(),
        entries: Vec::new(),
        ran: client.is_some(),
        made_dump: false,
        keys: None,
        disposable: false,
    };
    let helper = site.helper(Tools::Own, false).await?;
    let files = Files {
        site: helper.site.clone(),
    };
    let noted = Noted::new(journal);
    let work = async {
        // Called again after it was done.
        if exchange.was_done(&files).await? {
            return Ok(exchange.kept(&files).await);
        }
        if !exchange.is_there(&files).await? {
            return Err(exchange.gone());
        }
        exchange
            .perform(site, client.as_ref(), &files, &noted)
            .await?;
        Ok(exchange.kept(&files).await)
    };
    let result = work.await;
    let removed = helper.remove().await;
    let error = match result {
        Ok(kept) => return Ok(kept),
        Err(error) => error,
    };
    let undone = async {
        removed?;
        give_up(site, &exchange, noted.last().as_deref()).await
    };
    match undone.await {
        Ok(()) => Err(error),
        Err(attention @ StrategyError::NeedsAttention { .. }) => Err(attention),
        Err(_) => Err(StrategyError::Unsettled(error.into())),
    }
}

/// Files that this server would not look at are no undo.
fn must_fit(before: &Layout, now: &Layout) -> Result<(), StrategyError> {
    if (&before.dir, &before.dump, &before.log, before.log_is_on)
        == (&now.dir, &now.dump, &now.log, now.log_is_on)
    {
        return Ok(());
    }
    Err(StrategyError::refused(
        format!(
            "the server keeps its data elsewhere now: in {}, before in {}",
            now.subject(),
            before.subject()
        ),
        "Give it the settings back that it had at the restore (dir, dbfilename, appendonly), then undo.",
    ))
}

pub async fn forget(site: &Site, kept: &Kept) -> Result<(), StrategyError> {
    let aside = Aside::of(kept)?;
    let helper = site.helper(Tools::Own, false).await?;
    let files = Files {
        site: helper.site.clone(),
    };
    files.remove(&aside.layout.path(&aside.folder)).await?;
    helper.remove().await
}

/// An undo can itself be undone, and a second call finds what the first one did.
fn opposite(held: &str) -> &'static str {
    if held == "undone" { "old" } else { "undone" }
}
