//! Restores.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sea_orm::{QueryOrder, QuerySelect, entity::prelude::*};
use serde::Serialize;

use super::{from_json, from_optional_json, table::ReadModel, to_json};
use crate::{
    domain::{
        event::{Event, StreamKind},
        failure::Failure,
        ids::{AppId, RestoreId, RunId},
        manifest::Fingerprint,
        restore::{Kept, RestoreEvent, RestoreSource, Step, Upload},
    },
    log::Recorded,
};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, DeriveEntityModel)]
#[sea_orm(table_name = "restores")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: i64,
    /// `None` when it is a file that somebody sent.
    pub run_id: Option<i64>,
    /// The backup that goes before it.
    pub safety_run_id: Option<i64>,
    /// `Upload` as JSON.
    pub upload: Option<String>,
    pub app_id: i64,
    pub service: String,
    /// `queued|running|success|failed|needs_attention|cancelled|undoing|undone`.
    pub status: String,
    /// Its worker died; what it left is being looked at.
    pub settling: bool,
    pub attempt: i32,
    pub container: Option<String>,
    /// JSON list of `Step`s.
    pub steps: String,
    /// `Kept` as JSON: what an undo would put back.
    pub kept: Option<String>,
    pub keep_until: Option<i64>,
    /// `Fingerprint` as JSON, counted in the restored service.
    pub fingerprint: Option<String>,
    /// JSON list of texts.
    pub warnings: String,
    pub requested_at: i64,
    pub started_at: Option<i64>,
    pub finished_at: Option<i64>,
    pub error_msg: Option<String>,
    pub hint: Option<String>,
    pub error_detail: Option<String>,
    pub cancel_requested: bool,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

pub struct Restores;

impl ReadModel for Restores {
    type Entity = Entity;
    const NAME: &'static str = "restores";
    const VERSION: i32 = 3;

    fn key(event: &Recorded) -> Option<i64> {
        (event.stream.kind == StreamKind::Restore).then_some(event.stream.id)
    }

    fn id(row: &Model) -> i64 {
        row.id
    }

    fn apply(row: Option<Model>, event: &Recorded) -> Option<Model> {
        let Event::Restore(change) = &event.event else {
            return row;
        };
        let at = event.at.timestamp_millis();
        if let RestoreEvent::Requested {
            source,
            app,
            service,
            ..
        } = change
        {
            let restore = RestoreId(event.stream.id);
            return Some(requested(restore, source, *app, service, at));
        }
        row.map(|mut row| {
            row.evolve(change, at);
            row
        })
    }
}

fn requested(
    restore: RestoreId,
    source: &RestoreSource,
    app: AppId,
    service: &str,
    at: i64,
) -> Model {
    Model {
        id: restore.0,
        run_id: source.run().map(|run| run.0),
        safety_run_id: source.safety().map(|run| run.0),
        upload: source.upload().map(to_json),
        app_id: app.0,
        service: service.to_owned(),
        status: "queued".to_owned(),
        settling: false,
        attempt: 0,
        container: None,
        steps: "[]".to_owned(),
        kept: None,
        keep_until: None,
        fingerprint: None,
        warnings: "[]".to_owned(),
        requested_at: at,
        started_at: None,
        finished_at: None,
        error_msg: None,
        hint: None,
        error_detail: None,
        cancel_requested: false,
    }
}

impl Model {
    fn evolve(&mut self, change: &RestoreEvent, at: i64) {
        match change {
            RestoreEvent::Requested { .. } | RestoreEvent::UndoStarted { .. } => {}
            RestoreEvent::Started {
                attempt,
                destination,
            } => {
                "running".clone_into(&mut self.status);
                self.set_attempt(*attempt);
                self.container = Some(destination.container.clone());
                self.started_at = Some(at);
            }
            RestoreEvent::StepBegun { step, .. } => {
                let mut steps = self.steps();
                steps.push(step.clone());
                self.steps = to_json(&steps);
            }
            RestoreEvent::Succeeded {
                fingerprint,
                kept,
                keep_until,
                warnings,
                ..
            } => {
                self.finish("success", at);
                self.fingerprint = Some(to_json(fingerprint));
                self.warnings = to_json(warnings);
                self.keep(kept.as_ref(), keep_until.timestamp_millis());
            }
            RestoreEvent::Failed { failure, .. } => {
                self.finish("failed", at);
                self.set_failure(failure);
            }
            RestoreEvent::AttentionNeeded { failure, .. } => {
                self.finish("needs_attention", at);
                self.set_failure(failure);
            }
            RestoreEvent::Interrupted { attempt, .. } => {
                self.set_attempt(attempt + 1);
                self.settling = self.status == "running";
            }
            RestoreEvent::CancelRequested {} => self.cancel_requested = true,
            RestoreEvent::Cancelled {} => self.finish("cancelled", at),
            RestoreEvent::UndoRequested { attempt } => {
                "undoing".clone_into(&mut self.status);
                self.set_attempt(*attempt);
                self.finished_at = None;
                self.clear_failure();
            }
            RestoreEvent::Undone {
                kept, keep_until, ..
            } => {
                self.finish("undone", at);
                self.keep(kept.as_ref(), keep_until.timestamp_millis());
            }
            RestoreEvent::UndoFailed {
                failure,
                keep_until,
                ..
            } => {
                self.finish("success", at);
                self.set_failure(failure);
                if let Some(until) = keep_until {
                    self.keep_until = Some(until.timestamp_millis());
                }
            }
            RestoreEvent::KeptRemoved {} => {
                self.kept = None;
                self.keep_until = None;
            }
        }
    }

    fn set_attempt(&mut self, attempt: u32) {
        self.attempt = i32::try_from(attempt).unwrap_or(i32::MAX);
    }

    fn finish(&mut self, status: &str, at: i64) {
        status.clone_into(&mut self.status);
        self.settling = false;
        self.finished_at = Some(at);
    }

    fn keep(&mut self, kept: Option<&Kept>, until: i64) {
        self.kept = kept.map(to_json);
        self.keep_until = kept.map(|_| until);
    }

    fn set_failure(&mut self, failure: &Failure) {
        self.error_msg = Some(failure.message.clone());
        self.hint = (!failure.hint.is_empty()).then(|| failure.hint.clone());
        self.error_detail = (!failure.detail.is_empty()).then(|| failure.detail.clone());
    }

    fn clear_failure(&mut self) {
        self.error_msg = None;
        self.hint = None;
        self.error_detail = None;
    }

    pub fn restore_id(&self) -> RestoreId {
        RestoreId(self.id)
    }

    pub fn is_over(&self) -> bool {
        self.finished_at.is_some()
    }

    /// Cut off, or on its way back: the service may be in between two states.
    pub fn is_unsettled(&self) -> bool {
        self.settling || self.status == "undoing"
    }

    /// May have left this service half done. One that is at work may have lost its worker, and its turn at
    /// the container with it, before anybody could say so; until its end is told, nobody knows.
    fn unsettles(&self, app: i64, service: &str) -> bool {
        let unknown = self.is_unsettled() || self.status == "running";
        unknown && self.app_id == app && self.service == service
    }

    pub fn upload(&self) -> Option<Upload> {
        from_optional_json(self.upload.as_ref())
    }

    pub fn steps(&self) -> Vec<Step> {
        from_json(&self.steps)
    }

    pub fn kept(&self) -> Option<Kept> {
        from_optional_json(self.kept.as_ref())
    }

    pub fn can_undo(&self, now: DateTime<Utc>) -> bool {
        self.keep_until
            .is_some_and(|until| now.timestamp_millis() < until)
            && matches!(self.status.as_str(), "success" | "needs_attention")
    }

    pub fn warnings(&self) -> Vec<String> {
        from_json(&self.warnings)
    }

    pub fn fingerprint(&self) -> Option<Fingerprint> {
        from_optional_json(self.fingerprint.as_ref())
    }
}

/// Newest first; of these apps, or of all.
pub async fn list(
    db: &impl ConnectionTrait,
    apps: Option<&[AppId]>,
    limit: u64,
) -> Result<Vec<Model>, DbErr> {
    let mut query = Entity::find();
    if let Some(apps) = apps {
        query = query.filter(Column::AppId.is_in(apps.iter().map(|app| app.0)));
    }
    query.order_by_desc(Column::Id).limit(limit).all(db).await
}

pub async fn get(db: &impl ConnectionTrait, id: RestoreId) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id(id.0).one(db).await
}

/// Restores and undos that are not over.
pub async fn unfinished(db: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::Status.is_in(["queued", "running", "undoing"]))
        .order_by_asc(Column::Id)
        .all(db)
        .await
}

/// Whether a restore may have left one of these services, each of the app with that id, half done.
pub async fn unsettle(
    db: &impl ConnectionTrait,
    services: &BTreeSet<(i64, String)>,
) -> Result<bool, DbErr> {
    let restores = unfinished(db).await?;
    let unsettles = |(app, service): &(i64, String)| {
        let mut restores = restores.iter();
        restores.any(|restore| restore.unsettles(*app, service))
    };
    Ok(services.iter().any(unsettles))
}

/// Restores that do not begin before this run is over.
pub async fn waiting_for(db: &impl ConnectionTrait, run: RunId) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::SafetyRunId.eq(run.0))
        .filter(Column::Status.eq("queued"))
        .all(db)
        .await
}

/// Restores whose set-aside content has not been removed yet.
pub async fn with_kept(db: &impl ConnectionTrait) -> Result<Vec<Model>, DbErr> {
    Entity::find()
        .filter(Column::KeepUntil.is_not_null())
        .all(db)
        .await
}
