//! A run as it is answered.

use poem_openapi::Object;

use crate::{
    domain::manifest::Fingerprint, engine::progress::Snapshot, readmodel::runs,
    web::api::values::Time,
};

#[derive(Object, Default)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct Run {
    id: i64,
    backup_config_id: i64,
    app_id: i64,
    /// `queued`, `running`, `success`, `failed` or `cancelled`. A success whose artifact was found damaged
    /// later is `failed`; `verification` says so.
    status: String,
    /// Of the stored artifact.
    size_bytes: Option<i64>,
    /// SHA-256 of the stored bytes, lower hex.
    checksum: Option<String>,
    /// Where the artifact lies in its target.
    file_path: Option<String>,
    /// Public keys that the artifact is encrypted to; empty when it is not.
    recipients: Vec<String>,
    requested_at: Time,
    /// Of the present attempt.
    started_at: Option<Time>,
    finished_at: Option<Time>,
    error_msg: Option<String>,
    /// What to do about the error.
    hint: Option<String>,
    /// The last of what the tool itself said.
    error_detail: Option<String>,
    /// `manual`, `schedule`, `api`, `cli`, `hook`, or `restore`: before one, for safety.
    trigger: String,
    attempt: i32,
    /// When the next attempt may start.
    retry_at: Option<Time>,
    /// The stage that the present attempt reached: `prepare`, `dump`, `verify`, `commit`.
    phase: String,
    cancel_requested: bool,
    warnings: Vec<String>,
    source: Option<Source>,
    /// Of the source, before compression.
    raw_bytes: Option<i64>,
    duration_ms: Option<i64>,
    /// When the stored artifact was last read and found whole.
    verified_at: Option<Time>,
    /// Of the newest verification after the run; absent before the first.
    verification: Option<RunVerification>,
    /// When retention let the artifact go: it can be restored no more.
    expired_at: Option<Time>,
    /// When the artifact was deleted.
    pruned_at: Option<Time>,
    /// Why the target still holds what was let go: an object lock, or no right to delete. It is asked again.
    held: Option<String>,
    contents: Option<Contents>,
    /// Of the artifact, in the further targets of the config; none of them makes the run less good.
    copies: Vec<RunCopy>,
    /// Only of one run, and only while it is at work.
    progress: Option<Progress>,
}

/// Where the bytes came from, as it was when the run started.
#[derive(Object)]
#[oai(read_only_all)]
pub struct Source {
    service: String,
    strategy: String,
    target: String,
    config_revision: u32,
    container: String,
    container_id: String,
    image: String,
    image_id: String,
    /// What was dumped: a database, paths.
    subject: String,
    server: String,
    tool: String,
}

/// How a verification stands.
#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct RunVerification {
    /// `queued` until it is over, then `whole`, `damaged`, `missing`, or `unreadable` when the target did
    /// not give the artifact, which says nothing about it.
    status: String,
    /// When it was over.
    at: Option<Time>,
    error_msg: Option<String>,
    /// What to do about it.
    hint: Option<String>,
}

/// A copy of the artifact.
#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct RunCopy {
    target: String,
    /// `pending`, `stored` or `failed`, which is tried again at `retry_at`; `damaged` or `missing` when it was
    /// stored and is not what was stored any more, until somebody asks for it anew.
    status: String,
    attempts: u32,
    retry_at: Option<Time>,
    /// Why it is not there. Of a stored one: why the last verification could not read it.
    error_msg: Option<String>,
    hint: Option<String>,
}

/// What a person would count to believe that the backup is complete.
#[derive(Object, Default)]
#[oai(read_only_all)]
pub struct Contents {
    /// What is counted: `rows`, `files`, …
    unit: String,
    total: u64,
    /// How many things they are in: tables, folders.
    groups: u64,
}

/// How far a job is; lost when the server stops.
#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct Progress {
    /// In words.
    phase: String,
    /// Done in this phase.
    raw_bytes: u64,
    stored_bytes: u64,
    /// What the phase will come to, as far as anybody knows.
    estimate_bytes: Option<u64>,
    percent: Option<u8>,
    bytes_per_second: u64,
}

impl From<Snapshot> for Progress {
    fn from(now: Snapshot) -> Self {
        Self {
            percent: now.percent(),
            bytes_per_second: now.rate(),
            phase: now.phase,
            raw_bytes: now.raw_bytes,
            stored_bytes: now.stored_bytes,
            estimate_bytes: now.estimate,
        }
    }
}

impl From<Fingerprint> for Contents {
    fn from(fingerprint: Fingerprint) -> Self {
        Self {
            total: fingerprint.total(),
            groups: fingerprint.counts.len() as u64,
            unit: fingerprint.unit,
        }
    }
}

impl RunVerification {
    fn of(run: &runs::Model) -> Option<Self> {
        if run.verifying.is_some() {
            return Some(Self {
                status: "queued".to_owned(),
                at: None,
                error_msg: None,
                hint: None,
            });
        }
        let found = run.verification()?;
        let failure = found.failure.as_ref();
        Some(Self {
            status: found.found.name().to_owned(),
            at: Some(Time::of(found.at)),
            error_msg: failure.map(|failure| failure.message.clone()),
            hint: failure.map(|failure| failure.hint.clone()),
        })
    }
}

impl From<runs::Model> for Run {
    fn from(run: runs::Model) -> Self {
        let verification = RunVerification::of(&run);
        let damage = verification.as_ref().filter(|_| run.is_damaged());
        let error_msg = damage.and_then(|damage| damage.error_msg.clone());
        let hint = damage.and_then(|damage| damage.hint.clone());
        Self {
            warnings: run.warnings(),
            recipients: run.artifact().map(|it| it.recipients).unwrap_or_default(),
            source: source(&run),
            duration_ms: run.duration_ms(),
            verified_at: run.verified_at.map(Time::of),
            verification,
            contents: run.fingerprint().map(Into::into),
            copies: copies(&run),
            progress: None,
            expired_at: run.expired_at.map(Time::of),
            pruned_at: run.pruned_at.map(Time::of),
            held: run.held.clone(),
            id: run.id,
            backup_config_id: run.backup_config_id,
            app_id: run.app_id,
            status: runs::answered(&run.status).to_owned(),
            size_bytes: run.size_bytes,
            checksum: run.checksum,
            file_path: run.file_path,
            requested_at: Time::of(run.requested_at),
            started_at: run.started_at.map(Time::of),
            finished_at: run.finished_at.map(Time::of),
            error_msg: error_msg.or(run.error_msg),
            hint: hint.or(run.hint),
            error_detail: run.error_detail,
            trigger: run.trigger,
            attempt: run.attempt,
            retry_at: run.retry_at.map(Time::of),
            phase: run.phase,
            cancel_requested: run.cancel_requested,
            raw_bytes: run.raw_bytes,
        }
    }
}

impl Run {
    /// With how far it is, unless it is over and its artifact is not being verified.
    #[must_use]
    pub fn at(mut self, progress: Option<Snapshot>) -> Self {
        let verified = self.verification.as_ref();
        if self.finished_at.is_none() || verified.is_some_and(|it| it.status == "queued") {
            self.progress = progress.map(Into::into);
        }
        self
    }
}

fn copies(run: &runs::Model) -> Vec<RunCopy> {
    let further = run.pin().map(|pin| pin.spec.copies).unwrap_or_default();
    let copies = further.into_iter().zip(run.copies());
    copies
        .map(|(at, copy)| RunCopy {
            target: at.target,
            status: copy.status().to_owned(),
            attempts: copy.attempts,
            retry_at: copy.retry_at.map(Into::into),
            hint: copy.problem().map(|failure| failure.hint.clone()),
            error_msg: copy.problem().map(|failure| failure.message.clone()),
        })
        .collect()
}

fn source(run: &runs::Model) -> Option<Source> {
    let pin = run.pin()?;
    Some(Source {
        service: pin.spec.service,
        strategy: pin.spec.strategy,
        target: pin.spec.target,
        config_revision: pin.config_revision,
        container: pin.source.container,
        container_id: pin.source.container_id,
        image: pin.source.image,
        image_id: pin.source.image_id,
        subject: pin.source.subject,
        server: pin.source.server,
        tool: pin.source.tool,
    })
}
