//! Rows as the read models hold them, for tests of what pages make of them.

use chrono::{DateTime, Utc};

use super::assets;
use crate::{
    domain::{
        config::ConfigSpec,
        event::{Actor, Scope, StreamKind},
        manifest::{Artifact, Compression, Fingerprint, Source},
        restore::RestoreEvent,
        run::{Pin, Stage},
    },
    log::{Recorded, StreamId},
    readmodel::{apps, configs, overview::Beat, restores, runs},
};

pub fn time(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A Monday morning.
pub fn now() -> DateTime<Utc> {
    time("2026-11-23T10:00:00Z")
}

fn millis(text: &str) -> i64 {
    time(text).timestamp_millis()
}

pub fn app(id: i64, slug: &str, name: &str) -> apps::Model {
    apps::Model {
        id,
        slug: slug.to_owned(),
        name: name.to_owned(),
        project: slug.to_owned(),
        compose_path: None,
        compose_upload: None,
        created_at: millis("2026-11-01T00:00:00Z"),
        removed_at: None,
    }
}

pub fn spec(cron: &str) -> ConfigSpec {
    ConfigSpec {
        service: "db".to_owned(),
        strategy: "postgres".to_owned(),
        schedule_cron: cron.to_owned(),
        ..ConfigSpec::default()
    }
}

pub fn config(id: i64, app: i64, cron: &str) -> configs::Model {
    let spec = spec(cron);
    configs::Model {
        id,
        app_id: app,
        strategy: spec.strategy.clone(),
        target: spec.target.clone(),
        schedule_cron: spec.schedule_cron.clone(),
        service: spec.service.clone(),
        enabled: true,
        revision: 1,
        spec: serde_json::to_string(&spec).unwrap(),
        created_at: millis("2026-11-01T00:00:00Z"),
        updated_at: millis("2026-11-01T00:00:00Z"),
        removed_at: None,
        slots_until: millis("2026-11-01T00:00:00Z"),
        overdue_since: None,
        overdue: None,
        trigger_digest: None,
        trigger_secret: None,
    }
}

pub fn beat(id: i64, app: i64, status: &str, at: &str) -> Beat {
    let over = !matches!(status, "queued" | "running");
    Beat {
        id,
        app_id: app,
        backup_config_id: app,
        status: status.to_owned(),
        warned: false,
        lacks_copy: false,
        size_bytes: (status == "success").then_some(id << 20),
        requested_at: millis(at),
        started_at: Some(millis(at)),
        finished_at: over.then(|| millis(at) + 12_400),
    }
}

/// Queued, of app and config 1.
pub fn run(id: i64) -> runs::Model {
    runs::Model {
        id,
        backup_config_id: 1,
        app_id: 1,
        status: "queued".to_owned(),
        phase: String::new(),
        trigger: "manual".to_owned(),
        attempt: 0,
        size_bytes: None,
        raw_bytes: None,
        checksum: None,
        file_path: None,
        requested_at: millis("2026-11-23T09:42:00Z"),
        started_at: None,
        finished_at: None,
        retry_at: None,
        error_msg: None,
        hint: None,
        error_detail: None,
        warnings: "[]".to_owned(),
        pin: None,
        artifact: None,
        fingerprint: None,
        cancel_requested: false,
        obligations: "[]".to_owned(),
        stages: "[]".to_owned(),
        request_key: None,
        copies: "[]".to_owned(),
        copies_open: 0,
        expired_at: None,
        pruned_at: None,
        held: None,
        verified_at: None,
        verifying: None,
        verify_at: None,
        verification: None,
        looked_at: None,
        leftovers_due: false,
    }
}

/// Started, and so far as `stages` (with seconds since the start) says.
pub fn running(id: i64, stages: &[(Stage, i64)]) -> runs::Model {
    let start = millis("2026-11-23T09:42:00Z");
    let stages: Vec<runs::StageTime> = stages
        .iter()
        .map(|(stage, seconds)| runs::StageTime {
            stage: *stage,
            at: start + seconds * 1_000,
        })
        .collect();
    runs::Model {
        status: "running".to_owned(),
        attempt: 1,
        started_at: Some(start),
        pin: Some(serde_json::to_string(&pin()).unwrap()),
        stages: serde_json::to_string(&stages).unwrap(),
        ..run(id)
    }
}

pub fn success(id: i64) -> runs::Model {
    let stages = [
        (Stage::Prepare, 0),
        (Stage::Dump, 1),
        (Stage::Verify, 8),
        (Stage::Commit, 12),
    ];
    let artifact = artifact();
    runs::Model {
        status: "success".to_owned(),
        finished_at: Some(millis("2026-11-23T09:42:13Z")),
        size_bytes: i64::try_from(artifact.stored_bytes).ok(),
        checksum: Some(artifact.stored_sha256.clone()),
        file_path: Some(artifact.key.clone()),
        artifact: Some(serde_json::to_string(&artifact).unwrap()),
        fingerprint: Some(serde_json::to_string(&fingerprint()).unwrap()),
        ..running(id, &stages)
    }
}

pub fn failed(id: i64) -> runs::Model {
    runs::Model {
        status: "failed".to_owned(),
        finished_at: Some(millis("2026-11-23T09:42:01Z")),
        error_msg: Some("the server refused the password of <shop>".to_owned()),
        hint: Some("Correct the password of this config.".to_owned()),
        error_detail: Some("FATAL: password authentication failed".to_owned()),
        ..running(id, &[(Stage::Prepare, 0)])
    }
}

/// At work on run 1.
pub fn restore(id: i64) -> restores::Model {
    restores::Model {
        id,
        run_id: Some(1),
        safety_run_id: None,
        upload: None,
        app_id: 1,
        service: "db".to_owned(),
        status: "running".to_owned(),
        settling: false,
        attempt: 1,
        container: Some("shop-db-1".to_owned()),
        steps: "[]".to_owned(),
        kept: None,
        keep_until: None,
        fingerprint: None,
        warnings: "[]".to_owned(),
        requested_at: millis("2026-11-23T09:50:00Z"),
        started_at: Some(millis("2026-11-23T09:50:00Z")),
        finished_at: None,
        error_msg: None,
        hint: None,
        error_detail: None,
        cancel_requested: false,
    }
}

/// As the log would hold it.
pub fn of_restore(id: i64, event: RestoreEvent) -> Recorded {
    Recorded {
        position: 1,
        stream: StreamId {
            kind: StreamKind::Restore,
            id,
        },
        version: 1,
        name: String::new(),
        schema: 1,
        event: event.into(),
        data: String::new(),
        actor: Actor::system(),
        correlation: String::new(),
        causation: None,
        scope: Scope::default(),
        at: time("2026-11-23T09:51:00Z"),
        hash: String::new(),
    }
}

fn pin() -> Pin {
    Pin {
        config_revision: 1,
        spec: spec("0 2 * * *"),
        source: Source {
            container: "shop-db-1".to_owned(),
            image: "postgres:16".to_owned(),
            subject: "shop".to_owned(),
            server: "16.4".to_owned(),
            tool: "pg_dump (PostgreSQL) 16.4".to_owned(),
            ..Source::default()
        },
        key: artifact().key,
    }
}

fn artifact() -> Artifact {
    Artifact {
        key: "shop/1/shop-db-1-20261123-094200.sql.gz".to_owned(),
        compression: Compression::Gzip,
        raw_bytes: 1_585 << 20,
        stored_bytes: 634 << 20,
        raw_sha256: "cd".repeat(32),
        stored_sha256: "ab".repeat(32),
        recipients: Vec::new(),
    }
}

pub fn fingerprint() -> Fingerprint {
    let counts = [("public.customers", 20_000), ("public.orders", 612_330)];
    Fingerprint {
        unit: "rows".to_owned(),
        counts: counts.map(|(name, count)| (name.to_owned(), count)).into(),
    }
}

/// The same whatever the assets hold.
pub fn stable(html: &str) -> String {
    let path = assets::path("");
    html.replace(&path, "/static/VERSION/")
}
