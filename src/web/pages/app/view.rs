//! From rows of the read models to what the app page shows.

use chrono::{DateTime, Utc};

use crate::{
    readmodel::{configs, overview::Beat, restores, runs},
    web::{
        catalog::{self, Tag},
        health,
        pages::{dashboard::NextRun, restore::RestoredFrom},
        parts::Badge,
        words::{self, Moment},
    },
};

#[derive(Debug, Clone)]
pub struct ConfigRow {
    pub id: i64,
    pub title: String,
    pub tag: Tag,
    /// The strategy's own label, when the config has a name of its own.
    pub kind: Option<String>,
    pub service: String,
    pub target: Tag,
    pub schedule: String,
    pub next: NextRun,
    pub retention: String,
    pub badge: Badge,
    /// A run of it is queued or at work.
    pub busy: bool,
    pub enabled: bool,
}

impl ConfigRow {
    pub fn new(
        config: &configs::Model,
        newest: Option<&runs::Model>,
        success: Option<&runs::Model>,
        now: DateTime<Utc>,
    ) -> Self {
        let spec = config.spec();
        let tag = catalog::strategy_tag(&spec.strategy);
        let (newest, success) = (newest.map(beat), success.map(beat));
        let health = health::judge(config, newest.as_ref(), success.as_ref(), now);
        Self {
            id: config.id,
            title: catalog::config_title(&spec),
            kind: (!spec.name.is_empty()).then(|| tag.label.clone()),
            tag,
            service: spec.service.clone(),
            target: catalog::target_tag(&spec.target),
            schedule: catalog::schedule_words(&spec),
            next: NextRun::new(now, &health.next),
            retention: catalog::retention_words(spec.retention),
            badge: health.state.badge(),
            enabled: config.enabled,
            busy: health.next == health::Next::Now,
        }
    }
}

fn beat(run: &runs::Model) -> Beat {
    Beat {
        id: run.id,
        app_id: run.app_id,
        backup_config_id: run.backup_config_id,
        status: run.status.clone(),
        warned: run.is_warned(),
        lacks_copy: run.lacks_copy(),
        size_bytes: run.size_bytes,
        requested_at: run.requested_at,
        started_at: run.started_at,
        finished_at: run.finished_at,
    }
}

#[derive(Debug, Clone)]
pub struct RestoreRow {
    pub id: i64,
    pub from: RestoredFrom,
    pub service: String,
    pub badge: Badge,
    pub duration: String,
    pub at: Moment,
    pub can_undo: bool,
}

impl RestoreRow {
    pub fn new(restore: &restores::Model, now: DateTime<Utc>) -> Self {
        let start = restore.started_at.unwrap_or(restore.requested_at);
        Self {
            id: restore.id,
            from: RestoredFrom::of(restore),
            service: restore.service.clone(),
            badge: Badge::of_status(&restore.status, !restore.warnings().is_empty()),
            duration: restore
                .finished_at
                .filter(|_| restore.status != "undone")
                .map_or_else(|| "–".to_owned(), |end| words::duration(end - start)),
            at: Moment::of_millis(now, restore.finished_at.unwrap_or(start)),
            can_undo: restore.can_undo(now),
        }
    }
}
