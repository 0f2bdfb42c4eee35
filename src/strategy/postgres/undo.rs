//! Undo: the same exchange the other way round. What the restore brought is set aside in turn.

use super::{
    discard::discard,
    exchange::{Aside, Exchange},
    server::Server,
    survey::Survey,
};
use crate::strategy::{Journal, Kept, Settled, Site, StrategyError};

pub async fn undo(site: &Site, kept: &Kept, journal: &dyn Journal) -> Result<Kept, StrategyError> {
    let aside = Aside::of(kept)?;
    let server = Server::of(site).await?;
    let survey = Survey::of(&server, &aside.database).await?;
    let mut exchange = Exchange {
        restore: aside.restore,
        database: aside.database.clone(),
        before: survey.named(&aside.database).map(|database| database.oid),
        incoming: aside.name.clone(),
        incoming_id: Some(aside.id),
        aside: opposite(&aside.name),
        disposable: false,
    };
    let name = survey.with_oid(aside.id).map(|found| found.name.as_str());
    // Called again after it was done.
    if name == Some(&aside.database) {
        exchange.before = survey.named(&exchange.aside).map(|database| database.oid);
        let kept = exchange.kept_now(&server, &survey).await;
        return kept.ok_or_else(|| gone(&exchange.aside));
    }
    if name != Some(&aside.name) {
        return Err(gone(&aside.name));
    }
    if exchange.before.is_none() {
        return Err(StrategyError::refused(
            format!("the database {} is no longer there", aside.database),
            format!("Give {} its name: ALTER DATABASE … RENAME TO …", aside.name),
        ));
    }
    let settled = match exchange_now(&server, &exchange, &survey, journal).await {
        Ok(kept) => Ok(Settled::Restored(kept)),
        Err(error) => match exchange.settle_quietly(&server).await {
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
    survey: &Survey,
    journal: &dyn Journal,
) -> Result<Option<Kept>, StrategyError> {
    let database = &exchange.database;
    let title = format!("Closing {database}");
    journal.record(exchange.step("close", title, true)).await?;
    exchange.close(server, &survey.from).await?;
    let title = format!(
        "Putting {} back in the place of {database}",
        exchange.incoming
    );
    journal.record(exchange.step("swap", title, true)).await?;
    exchange.swap(server, &survey.from).await
}

pub async fn forget(site: &Site, kept: &Kept) -> Result<(), StrategyError> {
    let aside = Aside::of(kept)?;
    let server = Server::of(site).await?;
    let survey = Survey::of(&server, &aside.name).await?;
    discard(&server, &survey, &aside.name, Some(aside.id)).await
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
