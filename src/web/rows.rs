//! A run as a row of a table: the same words on every page that lists runs.

use chrono::{DateTime, Utc};

use super::{
    catalog::{self, Tag},
    parts::Badge,
    words::{self, Moment},
};
use crate::readmodel::{apps, configs, runs};

#[derive(Debug, Clone)]
pub struct RunRow {
    pub id: i64,
    /// Slug and name; nothing when the app was removed.
    pub app: Option<(String, String)>,
    pub tag: Tag,
    /// The config's own name, when it has one.
    pub config: String,
    pub badge: Badge,
    pub size: String,
    pub duration: String,
    pub at: Moment,
    /// SHA-256, whole.
    pub checksum: Option<String>,
    pub restorable: bool,
    /// The error, when it failed; what is wrong with its backup, when that is damaged.
    pub error: Option<String>,
}

impl RunRow {
    pub fn new(
        run: &runs::Model,
        apps: &[apps::Model],
        configs: &[configs::Model],
        now: DateTime<Utc>,
    ) -> Self {
        let app = apps.iter().find(|app| app.id == run.app_id);
        let config = configs
            .iter()
            .find(|config| config.id == run.backup_config_id);
        // A removed config is in no list, but what ran is pinned.
        let spec = run
            .pin()
            .map(|pin| pin.spec)
            .or_else(|| config.map(configs::Model::spec));
        let strategy = spec.as_ref().map_or("", |spec| spec.strategy.as_str());
        Self {
            id: run.id,
            app: app.map(|app| (app.slug.clone(), app.name.clone())),
            tag: catalog::strategy_tag(strategy),
            config: spec
                .as_ref()
                .map_or_else(String::new, |spec| spec.name.clone()),
            badge: Badge::of_status(&run.status, run.is_warned()),
            size: words::size_or_dash(run.size_bytes),
            duration: run
                .duration_ms()
                .map_or_else(|| "–".to_owned(), words::duration),
            at: Moment::of_millis(
                now,
                run.finished_at
                    .or(run.started_at)
                    .unwrap_or(run.requested_at),
            ),
            checksum: run.checksum.clone(),
            restorable: run.lacks_artifact().is_none(),
            error: run
                .error_msg
                .clone()
                .filter(|_| run.status == "failed")
                .or_else(|| {
                    let damage = run.verification().filter(|_| run.is_damaged());
                    Some(damage?.failure?.message)
                }),
        }
    }

    pub fn short_checksum(&self) -> &str {
        let checksum = self.checksum.as_deref().unwrap_or_default();
        checksum.get(..12).unwrap_or(checksum)
    }
}
