//! One of each event, with every field filled: for golden files, read models and rebuilds.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use holdfast::{
    domain::{
        access::{AccessEvent, Role, TokenSpec},
        app::{AppEvent, AppSpec},
        audit::{AuditEvent, PrunedPiece, Pruning},
        config::{self, ConfigEvent, ConfigSpec, Retention, SecretRef},
        event::Event,
        failure::Failure,
        grant::Grants,
        hook::{HookOutcome, HookReport, Phase},
        ids::{AppId, ConfigId, RestoreId, RunId, TokenId, UserId, WebhookId},
        lateness::Overdue,
        manifest::{Artifact, Compression, Fingerprint, Source},
        restore::{Destination, Kept, RestoreEvent, RestoreSource, Step, Upload},
        run::{FoundBackup, Obligation, Pin, RunCommand, RunEvent, Stage, Trigger},
        slots::{MissedPolicy, Slots},
        verification::Damage,
        webhook::{Topic, WebhookEvent, WebhookSpec},
    },
    log::LogKey,
};
use sha2::{Digest, Sha256};

pub fn time() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_795_000_000_123).unwrap()
}

pub fn app_spec() -> AppSpec {
    AppSpec {
        name: "Shop".into(),
        project: "shop".into(),
        compose_path: Some("/srv/shop/compose.yml".into()),
        compose_upload: None,
    }
}

pub fn config_spec() -> ConfigSpec {
    let map = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let secret = |key: &str| BTreeMap::from([(key.to_owned(), SecretRef("vault:01".into()))]);
    ConfigSpec {
        name: "Shop database".into(),
        service: "db".into(),
        strategy: "postgres".into(),
        options: map("database", "shop"),
        credentials: secret("password"),
        paths: vec!["/data".into()],
        target: "local".into(),
        target_settings: map("folder", "shop"),
        target_secrets: secret("secret_key"),
        copies: vec![],
        schedule_cron: "0 2 * * *".into(),
        time_zone: "Europe/Berlin".into(),
        missed_policy: MissedPolicy::One,
        enabled: true,
        compression: Compression::Zstd,
        encryption: Box::default(),
        retention: Retention::Time { days: 30 },
        verify_upload: true,
        // Came later: their stored form has a golden file of its own.
        pre_hooks: vec![],
        post_hooks: vec![],
        ping: None,
        jitter_seconds: 0,
        blackout: String::new(),
        labels: BTreeMap::new(),
    }
}

pub fn webhook_spec() -> WebhookSpec {
    WebhookSpec {
        name: "On call".into(),
        kind: "standard".into(),
        topics: vec![Topic::BackupFailed, Topic::BackupMissed],
        enabled: true,
        settings: BTreeMap::new(),
        origin: "https://example.org".into(),
        url: SecretRef("vault:02".into()),
        secret: Some(SecretRef("vault:03".into())),
    }
}

pub fn slots() -> Slots {
    Slots {
        first: time(),
        last: time() + chrono::TimeDelta::hours(1),
        count: 2,
    }
}

pub fn hook_report() -> HookReport {
    HookReport {
        phase: Phase::Before,
        index: 1,
        kind: "exec".into(),
        service: "web".into(),
        outcome: HookOutcome::Failed,
        took_ms: 1200,
        said: "the command ended with status 3".into(),
    }
}

pub fn pin() -> Box<Pin> {
    Box::new(Pin {
        config_revision: 3,
        spec: config_spec(),
        source: Source {
            container: "shop-db-1".into(),
            container_id: "c0ffee".into(),
            image: "postgres:16".into(),
            image_id: "sha256:ab".into(),
            subject: "shop".into(),
            server: "16.2".into(),
            tool: "pg_dump (PostgreSQL) 16.2".into(),
        },
        key: "shop/7/shop-db-1-20261123-020000.sql.zst".into(),
    })
}

/// The same with its artifact in the folder, under that key.
pub fn local_pin(key: &str) -> Box<Pin> {
    let mut pin = pin();
    pin.spec.target_settings.clear();
    pin.spec.target_secrets.clear();
    pin.key = key.to_owned();
    pin
}

/// A run of the app 1 is asked for, and its first attempt begins.
pub fn beginning(run: i64, config: ConfigId, pin: Box<Pin>) -> [RunCommand; 2] {
    [
        RunCommand::Request {
            run: RunId(run),
            app: AppId(1),
            config,
            trigger: Trigger::Manual,
            key: None,
            slot: None,
        },
        RunCommand::Start { attempt: 1, pin },
    ]
}

pub fn artifact() -> Artifact {
    Artifact {
        key: pin().key,
        compression: Compression::Zstd,
        raw_bytes: 1000,
        stored_bytes: 400,
        raw_sha256: "aa".repeat(32),
        stored_sha256: "bb".repeat(32),
        recipients: Vec::new(),
    }
}

pub fn fingerprint() -> Fingerprint {
    Fingerprint {
        unit: "rows".into(),
        counts: BTreeMap::from([("public.orders".into(), 42)]),
    }
}

pub fn failure() -> Failure {
    Failure::temporary("the stream was cut", "It is tried again.").with_detail("pg_dump: error")
}

pub fn step() -> Step {
    Step {
        name: "swap".into(),
        title: "Swapping".into(),
        touches: true,
        data: serde_json::json!({ "staging": "hf_stage_4" }),
    }
}

pub fn kept() -> Option<Kept> {
    Some(Kept {
        title: "database shop as it was".into(),
        size: Some(7),
        data: serde_json::json!({ "database": "hf_undo_4" }),
    })
}

/// Of nothing, by the server whose key has the seed 3: it holds in whatever log it stands.
pub fn pruning() -> Pruning {
    let key = LogKey::from_seed(&[3; 32]).unwrap();
    let pieces = vec![PrunedPiece {
        first: 0,
        last: 0,
        events: 0,
        skeletons: hex::encode(Sha256::digest(b"holdfast.pruned-rows.v1\0")),
        place: "S3 bucket backups".into(),
        key: "holdfast-log/0123/1/000000000001-000000002000.jsonl.gz".into(),
        sha256: "ee".repeat(32),
    }];
    let names = vec!["audit.logged_in".to_owned(), "audit.refused".to_owned()];
    let said = serde_json::to_vec(&(time(), &names, &pieces)).unwrap();
    let signature = key.sign(&[b"holdfast.log-pruned.v1\0", said.as_slice()].concat());
    Pruning {
        before: time(),
        names,
        pieces,
        public_key: key.public(),
        signature,
    }
}

/// Every event there is, in an order that makes sense as one history.
pub fn all() -> Vec<Event> {
    let obligation = || Obligation::Start {
        service: "db".into(),
        container: "shop-db-1".into(),
        ends_by: None,
    };
    let (app, config) = (AppId(1), ConfigId(7));
    let mut events: Vec<Event> = vec![
        AppEvent::Registered {
            app,
            slug: "shop".into(),
            spec: app_spec(),
        }
        .into(),
        AppEvent::Changed { spec: app_spec() }.into(),
        AppEvent::Removed {}.into(),
        ConfigEvent::Created {
            config,
            app,
            spec: config_spec(),
        }
        .into(),
        ConfigEvent::Changed {
            revision: 2,
            spec: config_spec(),
        }
        .into(),
        ConfigEvent::TriggerIssued {
            trigger: config::Trigger {
                digest: "cc".repeat(32),
                secret: Some(SecretRef("vault:04".into())),
            },
        }
        .into(),
        ConfigEvent::TriggerRevoked {}.into(),
        ConfigEvent::SlotsSkipped {
            slots: slots(),
            run: RunId(12),
        }
        .into(),
        ConfigEvent::SlotsMissed { slots: slots() }.into(),
        ConfigEvent::SlotsBlackedOut { slots: slots() }.into(),
        ConfigEvent::ClockSetBack { now: time() }.into(),
        ConfigEvent::Overdue {
            how: Overdue::Missed,
            promised: time(),
        }
        .into(),
        ConfigEvent::Removed {}.into(),
    ];
    let run = [
        RunEvent::Requested {
            run: RunId(12),
            app,
            config,
            trigger: Trigger::Schedule,
            key: None,
            slot: None,
        },
        RunEvent::Started {
            attempt: 1,
            pin: pin(),
        },
        RunEvent::StageReached {
            attempt: 1,
            stage: Stage::Dump,
        },
        RunEvent::Obliged {
            attempt: 1,
            obligation: obligation(),
        },
        RunEvent::ObligationSettled {
            obligation: obligation(),
        },
        RunEvent::HookRan {
            attempt: 1,
            hook: hook_report(),
        },
        RunEvent::RetryScheduled {
            attempt: 1,
            failure: failure(),
            retry_at: time(),
        },
        RunEvent::Interrupted {
            attempt: 2,
            counts: true,
            why: "the server died".into(),
        },
        RunEvent::Succeeded {
            attempt: 3,
            artifact: artifact(),
            fingerprint: fingerprint(),
            warnings: vec!["a file changed".into()],
        },
        RunEvent::Failed {
            attempt: 3,
            failure: failure(),
        },
        RunEvent::CancelRequested {},
        RunEvent::Cancelled {},
        RunEvent::LeftoversDue {},
        RunEvent::LeftoversRemoved {},
        RunEvent::Expired {
            rule: Retention::Count { count: 7 },
        },
        RunEvent::Discarded {},
        RunEvent::CopyRequested { copy: 0 },
        RunEvent::CopyMade {
            copy: 0,
            attempt: 2,
        },
        RunEvent::CopyFailed {
            copy: 0,
            attempt: 1,
            failure: failure(),
            retry_at: time(),
        },
        RunEvent::DeletionRefused {
            refused: 1,
            failure: failure(),
            retry_at: time(),
        },
        RunEvent::CopyRetried {
            copy: 0,
            attempt: 3,
        },
        RunEvent::Pruned {},
        RunEvent::VerificationRequested {
            verification: 1,
            mend: false,
        },
        RunEvent::VerificationRetryScheduled {
            verification: 1,
            failure: failure(),
            retry_at: time(),
        },
        RunEvent::ArtifactUnreadable {
            verification: 2,
            failure: failure(),
            copies: vec![],
        },
        RunEvent::VerificationRequested {
            verification: 3,
            mend: false,
        },
        RunEvent::VerificationFailed {
            verification: 3,
            damage: Damage::Altered,
            failure: failure(),
            copies: vec![],
        },
        RunEvent::VerificationRequested {
            verification: 4,
            mend: true,
        },
        RunEvent::VerificationPassed {
            verification: 4,
            copies: vec![],
        },
        RunEvent::Adopted {
            run: RunId(12),
            app,
            config,
            found: Box::new(FoundBackup {
                pin: *pin(),
                artifact: artifact(),
                fingerprint: fingerprint(),
                warnings: vec!["a file changed".into()],
                started_at: time(),
                finished_at: time(),
            }),
        },
    ];
    events.extend(run.map(Event::from));
    events.extend(restore_events(app).map(Event::from));
    let access = [
        AccessEvent::UserAdded {
            user: UserId(1),
            name: "ada".into(),
            role: Role::Admin,
        },
        AccessEvent::PasswordChanged {},
        AccessEvent::RoleChanged {
            role: Role::Operator,
        },
        AccessEvent::TokenIssued {
            token: TokenId(2),
            spec: TokenSpec {
                name: "deploy".into(),
                role: Role::Operator,
                expires_at: Some(time()),
                scopes: None,
            },
        },
        AccessEvent::Granted {
            grants: Grants {
                everywhere: Some(Role::Viewer),
                apps: BTreeMap::from([(AppId(1), Role::Operator)]),
            },
        },
        AccessEvent::SecondFactorAdded {},
        AccessEvent::SecondFactorRemoved {},
        AccessEvent::Linked {
            issuer: "https://id.example.org".into(),
            subject: "248289761001".into(),
        },
        AccessEvent::Disabled {},
        AccessEvent::Enabled {},
        AccessEvent::TokenRevoked { token: TokenId(2) },
        AccessEvent::UserRemoved {},
    ];
    events.extend(access.map(Event::from));
    let audit = [
        AuditEvent::LoggedIn {
            user: UserId(1),
            through: None,
        },
        AuditEvent::LoginRefused { name: "eve".into() },
        AuditEvent::LoggedOut { user: UserId(1) },
        AuditEvent::SessionEnded { user: UserId(1) },
        AuditEvent::RecoveryCodeUsed {
            user: UserId(1),
            left: 9,
        },
        AuditEvent::Refused {
            what: "GET /apps/{slug}".into(),
            why: "not granted".into(),
            unwritten: 3,
        },
        AuditEvent::Downloaded { run: RunId(12) },
        AuditEvent::DatabaseDownloaded { compact: true },
        AuditEvent::DatabaseRestored {
            position: 98,
            copied_at: time(),
        },
        AuditEvent::LogPruned(pruning()),
        AuditEvent::MasterKeyRotated {
            from: "0123456789abcdef".into(),
            to: "fedcba9876543210".into(),
            secrets: 12,
            instance: "ab".repeat(16),
        },
        AuditEvent::Exported {},
        AuditEvent::Rebuilt { events: 99 },
        AuditEvent::StrayDeleted {
            place: "Local storage (/srv/backups)".into(),
            key: "shop/3/db-20261122-020304.sql.gz".into(),
            size: 12,
        },
        AuditEvent::Recovered {
            events: 99,
            instance: "ab".repeat(16),
        },
    ];
    events.extend(audit.map(Event::from));
    let webhook = [
        WebhookEvent::Added {
            webhook: WebhookId(1),
            spec: webhook_spec(),
        },
        WebhookEvent::Changed {
            spec: webhook_spec(),
        },
        WebhookEvent::Removed {},
    ];
    events.extend(webhook.map(Event::from));
    events
}

/// The other source that a restore may have.
pub fn upload_requested() -> RestoreEvent {
    RestoreEvent::Requested {
        restore: RestoreId(5),
        source: RestoreSource::Upload {
            upload: Box::new(Upload {
                name: "shop.sql.gz".into(),
                spec: config_spec(),
                artifact: Artifact {
                    key: "upload-00ff".into(),
                    ..artifact()
                },
                fingerprint: fingerprint(),
            }),
        },
        app: AppId(1),
        service: "db".into(),
        identity: None,
    }
}

/// A restore for which somebody gave a key.
pub fn encrypted_requested() -> RestoreEvent {
    let RestoreEvent::Requested {
        restore,
        source: RestoreSource::Upload { mut upload },
        app,
        service,
        ..
    } = upload_requested()
    else {
        unreachable!("an upload was asked for");
    };
    upload.artifact.recipients = vec!["age1one".into(), "age1two".into()];
    RestoreEvent::Requested {
        restore,
        source: RestoreSource::Upload { upload },
        app,
        service,
        identity: Some(SecretRef("vault-lent:00ff".into())),
    }
}

fn restore_events(app: AppId) -> [RestoreEvent; 15] {
    [
        RestoreEvent::Requested {
            restore: RestoreId(4),
            source: RestoreSource::Run {
                run: RunId(12),
                from: None,
                safety: None,
            },
            app,
            service: "db".into(),
            identity: None,
        },
        RestoreEvent::Started {
            attempt: 1,
            destination: Destination {
                service: "db".into(),
                container: "shop-db-1".into(),
                container_id: "c0ffee".into(),
            },
        },
        RestoreEvent::StepBegun {
            attempt: 1,
            step: step(),
        },
        RestoreEvent::Succeeded {
            attempt: 1,
            fingerprint: fingerprint(),
            kept: kept(),
            keep_until: time(),
            warnings: vec![],
        },
        RestoreEvent::Failed {
            attempt: 1,
            failure: failure(),
        },
        RestoreEvent::AttentionNeeded {
            attempt: 1,
            failure: failure(),
        },
        RestoreEvent::Interrupted {
            attempt: 1,
            why: "the server died".into(),
        },
        RestoreEvent::CancelRequested {},
        RestoreEvent::Cancelled {},
        RestoreEvent::UndoRequested { attempt: 2 },
        RestoreEvent::UndoStarted { attempt: 2 },
        RestoreEvent::Undone {
            attempt: 2,
            kept: kept(),
            keep_until: time(),
        },
        RestoreEvent::UndoFailed {
            keep_until: None,
            attempt: 2,
            failure: failure(),
        },
        RestoreEvent::KeptRemoved {},
        RestoreEvent::Interrupted {
            attempt: 2,
            why: "the server died".into(),
        },
    ]
}
