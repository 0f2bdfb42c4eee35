//! Puts databases in the place of others, all in one transaction, and finds out afterwards, from the
//! server alone, whether that happened.
//!
//! All of them are closed to connections first, or an app that reconnects would keep the renames from
//! happening.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    discard::discard,
    exchange::{Exchange, Found},
    kept::{self, Aside},
    names::{ident, literal},
    roles::Made,
    server::{SHORT, Server},
    survey::{Survey, size_query},
};
use crate::strategy::{Kept, Settled, Step, StrategyError, recorded};

/// How often sessions are ended and the renames tried. The server itself waits 5 s each time for
/// sessions to go.
pub const ATTEMPTS: u32 = 6;

/// All that one restore or undo exchanges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Swap {
    pub exchanges: Vec<Exchange>,
    /// Roles that are made before, and wear their mark until the exchange.
    pub roles: Option<Made>,
}

/// What a step's data holds. One exchange is written as it was before there could be several.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Data {
    One(Exchange),
    Several {
        exchanges: Vec<Exchange>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        roles: Option<Made>,
    },
}

impl Swap {
    pub fn step(&self, name: &str, title: String, touches: bool) -> Step {
        let data = match &self.exchanges[..] {
            [one] if self.roles.is_none() => json!(one),
            exchanges => json!(Data::Several {
                exchanges: exchanges.to_vec(),
                roles: self.roles.clone(),
            }),
        };
        Step {
            name: name.to_owned(),
            title,
            touches,
            data,
        }
    }

    /// The swap that a journal is about; `None` when nothing was recorded.
    pub fn recorded(steps: &[Step]) -> Result<Option<Self>, StrategyError> {
        let Some((data, _)) = recorded::last(steps)? else {
            return Ok(None);
        };
        let (exchanges, roles) = match data {
            Data::One(exchange) => (vec![exchange], None),
            Data::Several { exchanges, roles } => (exchanges, roles),
        };
        Ok(Some(Self { exchanges, roles }))
    }

    /// The names that are exchanged.
    pub fn databases(&self) -> Vec<&str> {
        let names = self.exchanges.iter();
        names.map(|exchange| exchange.database.as_str()).collect()
    }

    /// What it is about, in words: `shop`, `3 databases`.
    pub fn title(&self) -> String {
        match &self.exchanges[..] {
            [one] => one.database.clone(),
            several => format!("{} databases", several.len()),
        }
    }

    /// Closes all of them and ends their sessions. From here on the app is without its database.
    pub async fn close(&self, server: &Server, from: &str) -> Result<(), StrategyError> {
        let what = "closing the database";
        server.run(from, self.closing(), what, SHORT).await?;
        Ok(())
    }

    /// Exchanges the names, and opens the new ones in the same transaction. Returns what is kept.
    pub async fn exchange(
        &self,
        server: &Server,
        from: &str,
    ) -> Result<Option<Kept>, StrategyError> {
        let renames: String = self.exchanges.iter().map(Exchange::renames).collect();
        let (proof, size) = (self.proof(), self.size_query());
        let roles = self.roles.as_ref().map(Made::unmark).unwrap_or_default();
        let script = format!("BEGIN;\n{renames}{roles}{proof}COMMIT;\n{size}");
        let what = "exchanging the databases";
        let mut attempt = 1;
        loop {
            match server.run(from, script.as_str(), what, SHORT).await {
                Err(StrategyError::Tool {
                    temporary: true, ..
                }) if attempt < ATTEMPTS => {
                    attempt += 1;
                    server.run(from, self.closing(), what, SHORT).await?;
                }
                Err(error) => return Err(error),
                Ok(sizes) => return Ok(kept::keep(self.asides(), sum(sizes.lines()))),
            }
        }
    }

    /// Fails unless those that have the names now are those that were meant: hours may lie between
    /// the look at the server and the exchange.
    fn proof(&self) -> String {
        let meant = self.exchanges.iter().flat_map(Exchange::meant);
        let pairs: Vec<String> = meant
            .map(|(name, id)| format!("({},{id}::oid)", literal(name)))
            .collect();
        format!(
            "SELECT 1 / (count(*) = {})::int AS meant FROM pg_database WHERE (datname, oid) IN ({}) \\gset\n",
            pairs.len(),
            pairs.join(", ")
        )
    }

    fn closing(&self) -> String {
        self.exchanges.iter().map(Exchange::closing).collect()
    }

    fn size_query(&self) -> String {
        let asides = self.exchanges.iter().map(|exchange| &exchange.aside);
        asides.map(|aside| size_query(aside)).collect()
    }

    fn asides(&self) -> Vec<Aside> {
        self.exchanges.iter().filter_map(Exchange::aside).collect()
    }

    /// Settles what has just failed or was cancelled, its programs first: one that still runs could
    /// do what it was begun for after the look.
    pub async fn settle_quietly(&self, server: &Server) -> Result<Settled, StrategyError> {
        let server = server.uncancelled();
        server.site.quiet().await?;
        self.settle(&server).await
    }

    /// Brings the server to one of the two states, from wherever it was left. The renames were one
    /// transaction: where some are as after it and some are not, somebody else was there.
    pub async fn settle(&self, server: &Server) -> Result<Settled, StrategyError> {
        let survey = Survey::of(server, &self.databases()).await?;
        let happened = |exchange: &Exchange| exchange.found(&survey) == Found::After;
        if self.exchanges.iter().all(happened) {
            for database in self.databases() {
                open(server, &survey, database).await?;
            }
            return Ok(Settled::Restored(self.kept_now(server, &survey).await));
        }
        let some_happened = self.exchanges.iter().any(happened);
        let lost = self.exchanges.iter().find_map(|exchange| {
            match exchange.found(&survey) {
                Found::Lost(place) => Some((exchange, place)),
                // It has its name, and others are exchanged.
                Found::Before if some_happened => {
                    Some((exchange, Some(exchange.database.as_str())))
                }
                _ => None,
            }
        });
        if let Some((exchange, place)) = lost {
            // Whatever they made of it, it is not left closed by us.
            for exchange in &self.exchanges {
                let before = exchange.before.and_then(|id| survey.with_oid(id));
                let names = before.map(|found| found.name.as_str()).into_iter();
                for name in names.chain([exchange.database.as_str()]) {
                    open(server, &survey, name).await?;
                }
            }
            return Err(exchange.lost(place));
        }
        // The app first: dropping what was loaded may take a while, or fail.
        for exchange in self.exchanges.iter().filter(|one| one.before.is_some()) {
            open(server, &survey, &exchange.database).await?;
        }
        for exchange in self.exchanges.iter().filter(|one| one.disposable) {
            discard(server, &survey, &exchange.incoming, exchange.incoming_id).await?;
        }
        if let Some(roles) = &self.roles {
            for role in roles.remove(server, &survey).await? {
                tracing::warn!(
                    role,
                    "made for a restore that failed, it stays: something is its own"
                );
            }
        }
        Ok(Settled::AsBefore)
    }

    /// What is aside now, for the undo. Its size is only for show.
    pub async fn kept_now(&self, server: &Server, survey: &Survey) -> Option<Kept> {
        let there = |exchange: &&Exchange| exchange.set_aside(survey).is_some();
        let asides = self.exchanges.iter().filter(there);
        let asides: Vec<Aside> = asides.filter_map(Exchange::aside).collect();
        if asides.is_empty() {
            return None;
        }
        let what = "measuring the database";
        let sizes = server
            .run(&survey.from, self.size_query(), what, SHORT)
            .await;
        kept::keep(asides, sizes.ok().and_then(|sizes| sum(sizes.lines())))
    }
}

/// `None` when there is nothing to add up.
fn sum<'a>(sizes: impl Iterator<Item = &'a str>) -> Option<u64> {
    let sizes = sizes.filter_map(|size| size.trim().parse::<u64>().ok());
    sizes.reduce(u64::saturating_add)
}

/// Lets everybody in again. One that is open, or not there, is left alone.
async fn open(server: &Server, survey: &Survey, name: &str) -> Result<(), StrategyError> {
    if survey.named(name).is_none_or(|database| database.open) {
        return Ok(());
    }
    let open = format!("ALTER DATABASE {} ALLOW_CONNECTIONS true;", ident(name));
    let what = "opening the database";
    server.run(&survey.from, open, what, SHORT).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(database: &str) -> Exchange {
        Exchange {
            restore: 7,
            database: database.to_owned(),
            before: Some(5),
            incoming: "hf_stage_7_a".to_owned(),
            incoming_id: None,
            aside: "hf_undo_7_a".to_owned(),
            disposable: true,
        }
    }

    #[test]
    fn a_journal_of_one_exchange_reads_as_it_always_did() {
        let swap = Swap {
            exchanges: vec![exchange("shop")],
            roles: None,
        };
        let step = swap.step("load", String::new(), false);
        let data = json!({"restore": 7, "database": "shop", "before": 5, "incoming": "hf_stage_7_a",
            "incoming_id": null, "aside": "hf_undo_7_a", "disposable": true});
        assert_eq!(step.data, data);
        assert_eq!(Swap::recorded(&[step]).unwrap(), Some(swap));
    }

    #[test]
    fn a_journal_of_several_comes_back() {
        let swap = Swap {
            exchanges: vec![exchange("shop"), exchange("blog")],
            roles: Some(Made {
                names: vec!["app".to_owned()],
                mark: "x".to_owned(),
            }),
        };
        let step = swap.step("load", String::new(), false);
        assert_eq!(Swap::recorded(&[step]).unwrap(), Some(swap));
        assert_eq!(Swap::recorded(&[]).unwrap(), None);
        let foreign = Step {
            name: "x".into(),
            title: String::new(),
            touches: true,
            data: json!({}),
        };
        Swap::recorded(&[foreign]).unwrap_err();
    }

    #[test]
    fn sizes_are_added_up_where_there_are_any() {
        assert_eq!(sum("1\n\n2\n".lines()), Some(3));
        assert_eq!(sum("".lines()), None);
    }
}
