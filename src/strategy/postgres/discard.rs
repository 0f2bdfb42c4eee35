//! Drops a database of ours: a staging database without use, one that was kept for an undo.

use super::{
    exchange::closing,
    names::ident,
    server::{LONG, SHORT, Server},
    survey::{Database, Survey},
    swap::ATTEMPTS,
};
use crate::strategy::StrategyError;

/// Subscriptions keep their database from being dropped. Their slot at the other end is left
/// alone: it may by now serve the database that took this one's place.
const DETACH: &str = "
SELECT format(step, subname) FROM pg_subscription, unnest(ARRAY['ALTER SUBSCRIPTION %I DISABLE',
    'ALTER SUBSCRIPTION %I SET (slot_name = NONE)', 'DROP SUBSCRIPTION %I']) AS step
  WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \\gexec
";

/// Drops it with whatever still works in it. Gone is fine, and so is a name that by now belongs to
/// a database with another id: that one is left alone.
pub async fn discard(
    server: &Server,
    survey: &Survey,
    name: &str,
    id: Option<u32>,
) -> Result<(), StrategyError> {
    let ours = |found: &&Database| id.is_none_or(|id| id == found.oid);
    let Some(database) = survey.named(name).filter(ours) else {
        return Ok(());
    };
    let quoted = ident(name);
    // What is left of a broken off drop takes nothing but another one.
    let ready = if database.invalid {
        String::new()
    } else {
        format!(
            "{}ALTER DATABASE {quoted} IS_TEMPLATE false;\n",
            closing(name)
        )
    };
    let drop = format!("{ready}DROP DATABASE IF EXISTS {quoted};\n");
    let open = format!("ALTER DATABASE {quoted} ALLOW_CONNECTIONS true;\n");
    let what = format!("dropping database {name}");
    let mut attempt = 1;
    loop {
        let error = match server.run(&survey.from, drop.as_str(), &what, LONG).await {
            Err(error) if attempt < ATTEMPTS => error,
            done => return done.map(|_| ()),
        };
        attempt += 1;
        match error {
            StrategyError::Tool { detail, .. } if detail.contains("replication subscription") => {
                server
                    .run(&survey.from, open.as_str(), &what, SHORT)
                    .await?;
                server.run(name, DETACH, &what, SHORT).await?;
            }
            StrategyError::Tool {
                temporary: true, ..
            } => {}
            error => return Err(error),
        }
    }
}
