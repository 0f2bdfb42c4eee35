//! A server without workers over the years: its clock stands still until it is moved, its log is made of what
//! may be pruned and what may not.

use std::{
    convert::Infallible,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::SeqCst},
    },
};

use chrono::{DateTime, TimeDelta};
use futures_util::TryStreamExt;
use holdfast::{
    app::{Caller, Check, Holdfast, MasterKey, PruneReport, Span, Vault},
    docker::fake::FakeEngine,
    domain::{
        app::{App, AppCommand},
        audit::AuditEvent,
        config::{Config, ConfigCommand},
        event::{Actor, ActorKind, Event, Scope, StreamKind},
        ids::{AppId, ConfigId, RunId, UserId},
        secret::Secret,
    },
    log::{Cause, Checkpoint, Log, StreamId, open_sqlite},
    readmodel,
    target::Settings,
};
use sea_orm::{FromQueryResult, Statement};
use tempfile::TempDir;

use crate::{audit, bucket::Bucket, samples, shelf};

pub const NAME: &str = "grace.hopper";
pub const ADDRESS: &str = "192.0.2.77";

pub struct Years {
    folder: TempDir,
    clock: Arc<AtomicI64>,
    pub holdfast: Holdfast,
    pub caller: Caller,
    /// Where segments lie.
    places: Vec<PathBuf>,
}

/// As it stands in the database.
#[derive(Debug, Clone, PartialEq, Eq, FromQueryResult)]
pub struct Row {
    pub position: i64,
    pub name: String,
    pub at: i64,
    pub actor: String,
    pub data: String,
    pub hash: Vec<u8>,
}

pub fn is_emptied(row: &Row) -> bool {
    row.data.is_empty()
}

pub fn engine() -> Arc<FakeEngine> {
    FakeEngine::with("shop-db")
}

pub fn settings(bucket: &Bucket) -> Settings {
    let mut settings = Settings::default();
    for (name, value) in bucket.settings() {
        if name == "secret_key" {
            settings.secrets.insert(name, Secret::new(value));
        } else {
            settings.plain.insert(name, value);
        }
    }
    settings
}

/// One of each that may be pruned, and some that may not.
fn events() -> Vec<Event> {
    let user = UserId(1);
    let events = [
        AuditEvent::LoggedIn {
            user,
            through: None,
        },
        AuditEvent::LoginRefused { name: NAME.into() },
        AuditEvent::LoggedOut { user },
        AuditEvent::StrayDeleted {
            place: "a folder".into(),
            key: "shop/1/x.sql.gz".into(),
            size: 7,
        },
        AuditEvent::SessionEnded { user },
        AuditEvent::RecoveryCodeUsed { user, left: 3 },
        AuditEvent::Refused {
            what: "GET /apps/{slug}".into(),
            why: "not granted".into(),
            unwritten: 0,
        },
        AuditEvent::Downloaded { run: RunId(1) },
        AuditEvent::Rebuilt { events: 9 },
        AuditEvent::DatabaseDownloaded { compact: false },
        AuditEvent::Exported {},
    ];
    events.map(Event::from).into()
}

impl Years {
    /// With a config that stores in the data folder.
    pub async fn local() -> Self {
        let years = Self::new().await;
        years.also_local().await;
        years
    }

    pub async fn stored_in(bucket: &Bucket) -> Self {
        let mut years = Self::new().await;
        years.also_in(bucket).await;
        years
    }

    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let long_ago = samples::time() - TimeDelta::days(5 * 365);
        let clock = Arc::new(AtomicI64::new(long_ago.timestamp_millis()));
        let holdfast = open(folder.path(), &clock).await;
        let caller = Caller::system("test");
        let register = AppCommand::Register {
            app: AppId(1),
            slug: "shop".into(),
            spec: samples::app_spec(),
        };
        let registered = holdfast
            .log()
            .execute::<App>(Cause::system("test"), 1, register);
        registered.await.unwrap();
        Self {
            places: vec![folder.path().join("backups")],
            folder,
            clock,
            holdfast,
            caller,
        }
    }

    pub async fn also_local(&self) {
        self.config(None).await;
    }

    pub async fn also_in(&mut self, bucket: &Bucket) {
        self.config(Some(settings(bucket))).await;
        self.places.insert(0, bucket.folder().to_owned());
    }

    /// One more, that stores in the data folder or with these settings in a bucket.
    async fn config(&self, bucket: Option<Settings>) {
        let vault = vault(self.folder.path());
        let made = self
            .holdfast
            .log()
            .write(Cause::system("test"), move |unit| {
                Box::pin(async move {
                    let config = ConfigId(unit.next_id(StreamKind::Config).await?);
                    let mut spec = shelf::spec();
                    if let Some(settings) = bucket {
                        spec.target = "s3".into();
                        spec.target_settings = settings.plain.into_iter().collect();
                        for (name, secret) in &settings.secrets {
                            let sealed = vault.seal(unit, secret).await?;
                            spec.target_secrets.insert(name.clone(), sealed);
                        }
                    }
                    let create = ConfigCommand::Create {
                        config,
                        app: AppId(1),
                        spec,
                    };
                    unit.execute::<Config>(config.0, create).await
                })
            });
        made.await.unwrap();
    }

    /// Until the log has so many more events.
    pub async fn fill(&self, more: usize) {
        let stream = StreamId {
            kind: StreamKind::Audit,
            id: 1,
        };
        let mut all = events().into_iter().cycle().take(more);
        for kind in [ActorKind::User, ActorKind::Anonymous, ActorKind::Token] {
            let events: Vec<Event> = all.by_ref().take(more / 3 + 1).collect();
            let actor = Actor {
                id: (kind != ActorKind::Anonymous).then_some(1),
                address: ADDRESS.into(),
                ..Actor::named(kind, NAME)
            };
            let written = self
                .holdfast
                .log()
                .write(Cause::new(actor, "t"), move |unit| {
                    Box::pin(async move {
                        let version = unit.version(stream).await?;
                        unit.append(stream, version, Scope::default(), events).await
                    })
                });
            written.await.unwrap();
        }
    }

    pub async fn ship(&self) {
        assert!(self.holdfast.ship_log().await.unwrap());
    }

    pub fn advance(&self, by: TimeDelta) {
        self.clock.fetch_add(by.num_milliseconds(), SeqCst);
    }

    pub async fn prune(&self, days: u32, dry_run: bool) -> PruneReport {
        let pruned = self.holdfast.prune_audit(&self.caller, days, dry_run);
        pruned.await.unwrap()
    }

    /// What it says of old detail.
    pub async fn doctor(&self) -> Check {
        let checks = self.holdfast.doctor().await.unwrap();
        let mut checks = checks.into_iter();
        checks.find(|check| check.name == "audit detail").unwrap()
    }

    pub async fn checkpoint(&self) -> Checkpoint {
        self.holdfast.checkpoint(&self.caller).await.unwrap()
    }

    pub async fn rows(&self) -> Vec<Row> {
        let log = self.holdfast.log();
        let all = "SELECT position, name, at, actor, data, hash FROM events ORDER BY position";
        let all = Statement::from_string(log.db().get_database_backend(), all);
        Row::find_by_statement(all).all(log.db()).await.unwrap()
    }

    /// Of the database, closed.
    pub async fn copy(&self) -> PathBuf {
        let copies = fs::read_dir(self.folder.path()).unwrap().count();
        let copy = self.folder.path().join(format!("copy-{copies}.db"));
        self.holdfast.log().copy(&copy, false).await.unwrap();
        copy
    }

    /// As it leaves the server.
    pub async fn export(&self, span: Span) -> String {
        let export = self.holdfast.export_log(&self.caller, span).await.unwrap();
        let entries: Vec<_> = export.events.try_collect().await.unwrap();
        let mut lines: Vec<String> = entries.iter().map(audit::line).collect();
        lines.push(audit::head(&export.head));
        lines.join("\n") + "\n"
    }

    /// The segments in the place that was named last, with their bytes, oldest first.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        files(&self.places[0])
    }

    /// The same as `offline::segments` takes them.
    pub fn pieces(&self) -> Vec<Result<(String, Vec<u8>), Infallible>> {
        pieces(&self.places[0])
    }

    /// Nobody works in the folder any more.
    pub fn close(self) -> TempDir {
        self.folder
    }
}

pub fn pieces_in(bucket: &Bucket) -> Vec<Result<(String, Vec<u8>), Infallible>> {
    pieces(bucket.folder())
}

fn pieces(place: &Path) -> Vec<Result<(String, Vec<u8>), Infallible>> {
    let files = files(place).into_iter();
    files
        .map(|(name, bytes)| Ok((name.display().to_string(), bytes)))
        .collect()
}

fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.to_string_lossy().ends_with(".jsonl.gz") {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

async fn open(folder: &Path, clock: &Arc<AtomicI64>) -> Holdfast {
    let db = open_sqlite(&folder.join("holdfast.db")).await.unwrap();
    let clock = clock.clone();
    let now = move || DateTime::from_timestamp_millis(clock.load(SeqCst)).unwrap();
    let log = Log::open(db, readmodel::all(), Arc::new(now))
        .await
        .unwrap();
    let vault = vault(folder);
    let mut settings = holdfast::app::Settings::new(folder.to_owned());
    settings.private_targets = true;
    settings.audit_detail_days = Some(365);
    Holdfast::new(log, engine(), vault, settings, None)
}

fn vault(folder: &Path) -> Vault {
    Vault::new(MasterKey::from_file(&folder.join("master.key")).unwrap())
}
