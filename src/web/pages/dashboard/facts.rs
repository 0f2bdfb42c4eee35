//! What the overview is made of: rows of the read models, in a handful of statements however many
//! apps there are.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, Utc};

use crate::{
    app::{AppError, Unprotected},
    domain::ids::AppId,
    readmodel::{
        apps, configs,
        overview::{self, Beat, Totals},
    },
    web::{
        charts,
        errors::WebError,
        health::{self, Health},
        request::Visit,
    },
};

#[derive(Debug, Default)]
pub struct Facts {
    pub apps: Vec<apps::Model>,
    pub configs: Vec<configs::Model>,
    /// The last runs of every app, newest first.
    pub beats: BTreeMap<i64, Vec<Beat>>,
    /// By config: its newest run, and its newest successful one.
    pub newest: BTreeMap<i64, Beat>,
    pub successes: BTreeMap<i64, Beat>,
    pub totals: Totals,
    /// By app: services with data that no enabled config covers.
    pub unprotected: BTreeMap<i64, Vec<Unprotected>>,
    pub engine_is_away: bool,
}

impl Facts {
    pub async fn load(visit: &Visit) -> Result<Self, WebError> {
        let db = visit.holdfast.log().db();
        let since = (visit.now - Duration::hours(24)).timestamp_millis();
        let bars = u32::try_from(charts::BARS).unwrap_or(u32::MAX);
        let (holdfast, caller) = (&visit.holdfast, &visit.caller);
        let granted = caller.apps();
        // Each on a connection of its own: the page takes as long as the longest.
        let read = async {
            tokio::try_join!(
                overview::beats(db, bars),
                overview::totals(db, since, granted.as_deref()),
                overview::newest(db),
                overview::newest_successes(db),
                configs::list(db),
            )
            .map_err(AppError::from)
        };
        let (apps, read) = tokio::try_join!(holdfast.apps(caller), read)?;
        let (beats, totals, newest, successes, mut configs) = read;
        configs.retain(|config| caller.sees(AppId(config.app_id)));
        Ok(Self {
            unprotected: holdfast.unprotected(caller, &apps, &configs).await?,
            engine_is_away: holdfast.engine_is_away().await,
            apps,
            configs,
            beats,
            newest: overview::by_config(newest),
            successes: overview::by_config(successes),
            totals,
        })
    }

    /// By config.
    pub fn healths(&self, now: DateTime<Utc>) -> BTreeMap<i64, Health> {
        let judge = |config: &configs::Model| {
            let (newest, success) = (self.newest.get(&config.id), self.successes.get(&config.id));
            (config.id, health::judge(config, newest, success, now))
        };
        self.configs.iter().map(judge).collect()
    }

    pub fn configs_of(&self, app: i64) -> impl Iterator<Item = &configs::Model> {
        self.configs
            .iter()
            .filter(move |config| config.app_id == app)
    }

    pub fn app(&self, id: i64) -> Option<&apps::Model> {
        self.apps.iter().find(|app| app.id == id)
    }
}
