//! Undo: the same exchange the other way round. What the restore brought is set aside in turn.

use super::{
    discard::discard,
    exchange::Exchange,
    kept::{Aside, asides},
    server::Server,
    survey::Survey,
    swap::Swap,
};
use crate::strategy::{Journal, Kept, Settled, Site, StrategyError};

pub async fn undo(site: &Site, kept: &Kept, journal: &dyn Journal) -> Result<Kept, StrategyError> {
    let asides = asides(kept)?;
    let names: Vec<&str> = asides.iter().map(|aside| aside.database.as_str()).collect();
    let server = Server::of(site).await?;
    let survey = Survey::of(&server, &names).await?;
    let mut swap = Swap {
        exchanges: asides.iter().map(|aside| back(aside, &survey)).collect(),
    };
    let name = |aside: &Aside| survey.with_oid(aside.id).map(|found| found.name.as_str());
    let last = swap.exchanges[0].aside.clone();
    // Called again after it was done.
    if asides
        .iter()
        .all(|aside| name(aside) == Some(&aside.database))
    {
        for exchange in &mut swap.exchanges {
            exchange.before = survey.named(&exchange.aside).map(|database| database.oid);
        }
        let kept = swap.kept_now(&server, &survey).await;
        return kept.ok_or_else(|| gone(&last));
    }
    if let Some(aside) = asides.iter().find(|aside| name(aside) != Some(&aside.name)) {
        return Err(gone(&aside.name));
    }
    if let Some(exchange) = swap.exchanges.iter().find(|one| one.before.is_none()) {
        return Err(StrategyError::refused(
            format!("the database {} is no longer there", exchange.database),
            format!(
                "Give {} its name: ALTER DATABASE … RENAME TO …",
                exchange.incoming
            ),
        ));
    }
    let settled = match exchange_now(&server, &swap, &survey, journal).await {
        Ok(kept) => Ok(Settled::Restored(kept)),
        Err(error) => match swap.settle_quietly(&server).await {
            Err(attention @ StrategyError::NeedsAttention { .. }) => Err(attention),
            Err(_) => Err(StrategyError::Unsettled(error.into())),
            Ok(Settled::AsBefore) => Err(error),
            restored => restored,
        },
    };
    match settled? {
        Settled::Restored(Some(kept)) => Ok(kept),
        _ => Err(gone(&last)),
    }
}

/// What was set aside takes its place again.
fn back(aside: &Aside, survey: &Survey) -> Exchange {
    Exchange {
        restore: aside.restore,
        database: aside.database.clone(),
        before: survey.named(&aside.database).map(|database| database.oid),
        incoming: aside.name.clone(),
        incoming_id: Some(aside.id),
        aside: opposite(&aside.name),
        disposable: false,
    }
}

async fn exchange_now(
    server: &Server,
    swap: &Swap,
    survey: &Survey,
    journal: &dyn Journal,
) -> Result<Option<Kept>, StrategyError> {
    let title = format!("Closing {}", swap.title());
    journal.record(swap.step("close", title, true)).await?;
    swap.close(server, &survey.from).await?;
    let title = match &swap.exchanges[..] {
        [one] => format!(
            "Putting {} back in the place of {}",
            one.incoming, one.database
        ),
        several => format!("Putting {} databases back in their places", several.len()),
    };
    journal.record(swap.step("swap", title, true)).await?;
    swap.exchange(server, &survey.from).await
}

pub async fn forget(site: &Site, kept: &Kept) -> Result<(), StrategyError> {
    let asides = asides(kept)?;
    let names: Vec<&str> = asides.iter().map(|aside| aside.name.as_str()).collect();
    let server = Server::of(site).await?;
    let survey = Survey::of(&server, &names).await?;
    for aside in &asides {
        discard(&server, &survey, &aside.name, Some(aside.id)).await?;
    }
    Ok(())
}

fn gone(name: &str) -> StrategyError {
    StrategyError::refused(
        format!("{name} is no longer there"),
        "It was dropped or renamed; restore another backup.",
    )
}

/// `hf_undo_12_ab` ↔ `hf_undone_12_ab`: an undo can itself be undone, and a second call finds what
/// the first one did.
fn opposite(name: &str) -> String {
    match (
        name.strip_prefix("hf_undone_"),
        name.strip_prefix("hf_undo_"),
    ) {
        (Some(rest), _) => format!("hf_undo_{rest}"),
        (_, Some(rest)) => format!("hf_undone_{rest}"),
        _ => format!("{name}_undone"),
    }
}
