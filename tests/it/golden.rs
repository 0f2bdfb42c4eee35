//! The stored form of every event, for ever: a file each under `tests/golden`, written once with
//! `HOLDFAST_GOLDEN=write` when an event is new, and never changed after.

use std::{collections::BTreeSet, fs, path::PathBuf};

use holdfast::{
    domain::{
        config::{ConfigEvent, ConfigSpec, SecretRef},
        copies::FurtherTarget,
        event::{Event, StreamKind},
        ids::{AppId, RestoreId, RunId},
        restore::{RestoreEvent, RestoreSource},
        run::RunEvent,
        verification::{CopyFinding, Damage},
    },
    log::{decode, encode},
};

use crate::{architecture, samples};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn kind(event: &Event) -> StreamKind {
    match event {
        Event::App(_) => StreamKind::App,
        Event::Config(_) => StreamKind::Config,
        Event::Run(_) => StreamKind::Run,
        Event::Restore(_) => StreamKind::Restore,
        Event::Access(_) => StreamKind::User,
        Event::Audit(_) => StreamKind::Audit,
        Event::Webhook(_) => StreamKind::Webhook,
    }
}

#[test]
fn every_stored_form_is_still_read_and_still_written() {
    let mut seen = BTreeSet::new();
    for event in samples::all() {
        let (name, schema, data) = encode(&event).unwrap();
        if !seen.insert(name.clone()) {
            continue;
        }
        let path = folder().join(format!("{name}.v{schema}.json"));
        if std::env::var("HOLDFAST_GOLDEN").is_ok() && !path.exists() {
            fs::create_dir_all(folder()).unwrap();
            fs::write(&path, format!("{data}\n")).unwrap();
        }
        let golden = fs::read_to_string(&path).unwrap_or_else(|_| panic!("no {}", path.display()));
        assert_eq!(data, golden.trim_end(), "{name} is written in another form");
        let read = decode(kind(&event), &name, schema, &golden).unwrap();
        assert_eq!(read, event, "{name} is read as something else");
    }
}

/// More forms under one name.
#[test]
fn a_restore_of_an_upload_is_still_read_and_still_written() {
    for (form, event) in [
        ("upload", samples::upload_requested()),
        ("encrypted", samples::encrypted_requested()),
    ] {
        still_read_and_written(form, &Event::from(event));
    }
}

#[test]
fn what_is_said_of_copies_and_places_is_still_read_and_still_written() {
    let finding = |copy, damage| CopyFinding {
        copy,
        damage,
        failure: Some(samples::failure()),
    };
    let passed = RunEvent::VerificationPassed {
        verification: 4,
        copies: vec![
            CopyFinding {
                copy: 0,
                damage: None,
                failure: None,
            },
            finding(1, Some(Damage::Missing)),
            finding(2, None),
        ],
    };
    let requested = RestoreEvent::Requested {
        restore: RestoreId(4),
        source: RestoreSource::Run {
            run: RunId(12),
            from: Some(1),
            safety: None,
        },
        app: AppId(1),
        service: "db".into(),
        identity: None,
    };
    let after = RestoreEvent::Requested {
        restore: RestoreId(4),
        source: RestoreSource::Run {
            run: RunId(12),
            from: None,
            safety: Some(RunId(13)),
        },
        app: AppId(1),
        service: "db".into(),
        identity: None,
    };
    for (form, event) in [
        ("copies", Event::from(passed)),
        ("place", Event::from(requested)),
        ("safety", Event::from(after)),
    ] {
        still_read_and_written(form, &event);
    }
}

fn still_read_and_written(form: &str, event: &Event) {
    let (name, schema, data) = encode(event).unwrap();
    let path = folder().join(format!("{name}.v{schema}.{form}.json"));
    if std::env::var("HOLDFAST_GOLDEN").is_ok() && !path.exists() {
        fs::write(&path, format!("{data}\n")).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap();
    assert_eq!(data, golden.trim_end());
    let read = decode(kind(event), &name, schema, &golden).unwrap();
    assert_eq!(&read, event);
}

/// What a spec says only when it is set.
#[test]
fn jitter_and_blackout_are_still_read_and_still_written() {
    let spec = ConfigSpec {
        jitter_seconds: 300,
        blackout: "08:00-18:00 Mon-Fri".into(),
        ..samples::config_spec()
    };
    is_kept("blackout", spec);
}

#[test]
fn labels_are_still_read_and_still_written() {
    let spec = ConfigSpec {
        labels: [("team".to_owned(), "shop".to_owned())].into(),
        ..samples::config_spec()
    };
    is_kept("labels", spec);
}

#[test]
fn further_targets_are_still_read_and_still_written() {
    let further = FurtherTarget {
        target: "s3".into(),
        settings: [("bucket".to_owned(), "backups".to_owned())].into(),
        secrets: [("secret_key".to_owned(), SecretRef("vault:02".into()))].into(),
    };
    let spec = ConfigSpec {
        copies: vec![further],
        ..samples::config_spec()
    };
    is_kept("copies", spec);
}

fn is_kept(form: &str, spec: ConfigSpec) {
    let event = Event::from(ConfigEvent::Changed { revision: 4, spec });
    still_read_and_written(form, &event);
}

#[test]
fn forms_of_older_versions_are_raised() {
    let older = ["restore.requested.v1.json"];
    for file in older {
        let (name, schema) = file.trim_end_matches(".json").rsplit_once(".v").unwrap();
        let text = fs::read_to_string(folder().join(file)).unwrap();
        let mut all = samples::all().into_iter();
        let today = all.find(|event| encode(event).unwrap().0 == name).unwrap();
        let read = decode(kind(&today), name, schema.parse().unwrap(), &text).unwrap();
        assert_eq!(read, today, "{file}");
    }
}

#[test]
fn every_event_has_a_golden_file() {
    let mut names = 0;
    for (file, source) in architecture::sources() {
        if !file.starts_with("domain/") {
            continue;
        }
        let found = source.split("#[serde(rename = \"").skip(1);
        for name in found.filter_map(|rest| rest.split('"').next()) {
            if !name.contains('.') {
                continue;
            }
            names += 1;
            let path = folder().join(format!("{name}.v1.json"));
            assert!(
                path.exists(),
                "{name} has no golden file: add a sample of it"
            );
        }
    }
    assert!(names >= 40, "only {names} event names were found");
}
