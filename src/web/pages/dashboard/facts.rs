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
}

impl Facts {
    pub async fn load(visit: &Visit) -> Result<Self, WebError> {
        let db = visit.holdfast.log().db();
        let since = (visit.now - Duration::hours(24)).timestamp_millis();
        let bars = u32::try_from(charts::BARS).unwrap_or(u32::MAX);
        let mut beats: BTreeMap<i64, Vec<Beat>> = BTreeMap::new();
        for beat in overview::beats(db, bars).await.map_err(AppError::from)? {
            beats.entry(beat.app_id).or_default().push(beat);
        }
        let (holdfast, caller) = (&visit.holdfast, &visit.caller);
        let apps = holdfast.apps(caller).await?;
        let mut configs = configs::list(db).await.map_err(AppError::from)?;
        configs.retain(|config| caller.sees(AppId(config.app_id)));
        let totals = overview::totals(db, since, caller.apps().as_deref()).await;
        Ok(Self {
            unprotected: holdfast.unprotected(caller, &apps, &configs).await?,
            apps,
            configs,
            beats,
            newest: overview::by_config(overview::newest(db).await.map_err(AppError::from)?),
            successes: overview::by_config(
                overview::newest_successes(db)
                    .await
                    .map_err(AppError::from)?,
            ),
            totals: totals.map_err(AppError::from)?,
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
