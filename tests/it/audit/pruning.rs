//! Old detail of the audit log is taken out, and what is left is still evidence. A server over years, whose
//! clock is set, with a folder and a bucket that hold its log.

mod attacks;
mod years;

use std::fs;

use chrono::TimeDelta;
use holdfast::{
    app::{AppError, Span, Verdict},
    bootstrap::{self, From, Wanted},
    domain::{
        access::Role,
        audit::{AuditEvent, PRUNABLE},
        event::{ActorKind, Event},
    },
    log::offline::{self, Known},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use self::years::{ADDRESS, NAME, Years, is_emptied};
use crate::{
    bucket::{Bucket, Operation, Trouble},
    cli::{holdfast, with},
    samples,
    shelf::config,
};

#[tokio::test(flavor = "multi_thread")]
async fn promise_12_old_detail_is_pruned_and_what_is_left_is_proved() {
    let bucket = Bucket::serve();
    let years = Years::stored_in(&bucket).await;
    years.fill(4_500).await;
    years.ship().await;
    let earlier = years.checkpoint().await;
    let files = years.files();
    years.advance(TimeDelta::days(400));
    years.fill(30).await;
    let before = years.rows().await;
    let head = years.holdfast.log().head();

    let told = years.prune(365, true).await;
    assert_eq!((told.proven.len(), told.kept.len()), (2, 0), "{told:?}");
    assert_eq!(years.rows().await, before, "a dry run changes nothing");
    let none = years.prune(401, false).await;
    assert_eq!((none.events, none.proven.len()), (0, 0), "not old enough");
    let done = years.prune(365, false).await;
    assert_eq!((done.events, &done.proven), (told.events, &told.proven));
    let again = years.prune(365, false).await;
    assert_eq!((again.events, again.proven.len()), (0, 0));
    assert_eq!(years.holdfast.log().head(), head + 1, "one event says so");

    // The rows: all that ties them into the chain is there, and nothing else.
    let after = years.rows().await;
    let mut pruned = 0;
    for (was, is) in before.iter().zip(&after) {
        if is_emptied(is) {
            assert!(is.position <= 4_000 && PRUNABLE.contains(&is.name.as_str()));
            assert!(!is.actor.contains(NAME) && !is.actor.contains(ADDRESS));
            assert_eq!((&was.name, was.at, &was.hash), (&is.name, is.at, &is.hash));
            pruned += 1;
        } else {
            assert_eq!(was, is);
            assert!(is.position > 4_000 || !PRUNABLE.contains(&is.name.as_str()));
        }
    }
    assert_eq!(pruned, done.events);

    // Evidence: here, against what was kept before, in a copy, and in an export.
    let online = years.holdfast.verify_log(|_| {}).await.unwrap();
    assert_eq!(online.findings, vec![]);
    assert_eq!((online.pruned, online.unconfirmed), (done.events, 0));
    assert_eq!(online.segments.len(), 2);
    let key = done.proven[0].key.as_str();
    assert!(online.segments[0].contains(key), "{online:?}");
    let kept = years.holdfast.verify_log_against(earlier.clone()).await;
    assert_eq!(kept.unwrap().findings, vec![]);
    let known = Known::new(Some(earlier), None).unwrap();
    let copy = years.copy().await;
    let checked = offline::database(&copy, &known).await.unwrap();
    assert_eq!((checked.findings, checked.pruned), (vec![], done.events));
    let export = years.export(Span::default()).await;
    let checked = offline::export(export.as_bytes(), &known, false).unwrap();
    assert_eq!((checked.findings, checked.pruned), (vec![], done.events));
    let lines = export.lines();
    let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    let shown = lines.filter(|line| line["name"].is_string() && line["data"].is_null());
    let shown: Vec<Value> = shown.collect();
    assert_eq!(shown.len() as u64, done.events);
    assert!(shown.iter().all(|line| line["pruned_to"].is_string()));
    // A part of it: whole to its end, and one that ends before the event that vouches.
    let rest = years
        .export(Span {
            after: Some(1_000),
            ..Span::default()
        })
        .await;
    let checked = offline::export(rest.as_bytes(), &known, true).unwrap();
    assert_eq!(checked.findings, vec![]);
    assert!(checked.unconfirmed > 0 && checked.unconfirmed < checked.pruned);

    // The segments that the log names have all of it still.
    let checked = offline::segments(years.pieces(), &years.holdfast.instance(), &known);
    let Ok(checked) = checked;
    assert_eq!((checked.findings, checked.pruned), (vec![], 0));
    years.ship().await;
    for (name, bytes) in files
        .iter()
        .filter(|(name, _)| name.ends_with("000000000001-000000002000.jsonl.gz"))
    {
        assert_eq!(
            &fs::read(name).unwrap(),
            bytes,
            "{} was written again",
            name.display()
        );
    }

    // People see what it was, and where the rest is.
    let caller = &years.caller;
    let gone = after.iter().find(|row| is_emptied(row)).unwrap().position;
    let event = years.holdfast.event(caller, gone).await.unwrap();
    assert!(matches!(
        event.event,
        Event::Audit(AuditEvent::DetailPruned(_))
    ));
    let place = years.holdfast.detail_of(&event).await.unwrap().unwrap();
    assert_eq!((place.pruning, place.key.as_str()), (head + 1, key));

    // Nothing followed from what is gone.
    let rebuilt = years.holdfast.rebuild().await.unwrap();
    assert_eq!(rebuilt.differed, Vec::<&str>::new());
    println!(
        "figure: audit: detail of {} events pruned by {} segments, chain, checkpoint, export and read models hold",
        done.events,
        done.proven.len()
    );

    // The worst day after it: the bucket gives the full detail back, and that holds too.
    let data = TempDir::new().unwrap();
    let (settings, mut config) = (years::settings(&bucket), config(data.path()));
    config.settings.private_targets = true;
    let from = From {
        kind: "s3".into(),
        settings,
        local_root: None,
    };
    let found = bootstrap::recover(&config, &from, &Wanted::default()).await;
    assert_eq!(found.unwrap().flaws, Vec::<String>::new());
    let opened = bootstrap::open_with(&config, years::engine(), None)
        .await
        .unwrap();
    let whole = opened.holdfast.verify_log(|_| {}).await.unwrap();
    assert_eq!(
        (whole.findings, whole.pruned),
        (vec![], 0),
        "under another key"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_target_shows_whole_is_not_pruned_and_the_reason_is_told() {
    let bucket = Bucket::serve();
    let years = Years::stored_in(&bucket).await;
    years.fill(4_100).await;
    years.advance(TimeDelta::days(400));
    let untouched = years.rows().await;
    let refused = async |says: &str| {
        let told = years.prune(365, false).await;
        let why = &told.kept.first().expect(says).why;
        assert!(why.message.contains(says), "{says}: {}", why.message);
        assert!(why.hint.contains("doctor"), "{why:?}");
        assert_eq!((told.events, told.kept.len()), (0, 2));
        assert_eq!(years.rows().await, untouched, "{says}");
    };
    refused("no sealed segment").await;
    years.ship().await;
    bucket.inject_into_log(Operation::Other, Trouble::Busy);
    bucket.inject_into_log(Operation::Get, Trouble::Busy);
    refused("bucket").await;
    bucket.heal();
    let files = years.files();
    for (name, bytes) in &files {
        let mut damaged = bytes.clone();
        damaged[bytes.len() / 2] ^= 1;
        fs::write(name, damaged).unwrap();
    }
    refused("does not hold them whole").await;
    // As the server does by itself, and tells.
    years.holdfast.prune_old_detail().await.unwrap();
    let told = years.doctor().await;
    assert_eq!(told.verdict, Verdict::Warning);
    assert!(told.found.contains("stays: no target"), "{told:?}");
    fs::write(&files[0].0, &files[0].1).unwrap();
    let told = years.prune(365, false).await;
    assert_eq!((told.proven.len(), told.kept.len()), (1, 1), "{told:?}");
    assert_eq!(told.kept[0].stretch.first, 2_001);

    // While an export goes out, nothing is taken from under it.
    fs::write(&files[1].0, &files[1].1).unwrap();
    let export = years
        .holdfast
        .export_log(&years.caller, Span::default())
        .await
        .unwrap();
    let told = years.prune(365, false).await;
    assert!(told.kept[0].why.message.contains("export"), "{told:?}");
    drop(export);
    let mut person = years.caller.clone();
    person.actor.kind = ActorKind::User;
    let stale = years.holdfast.prune_audit(&person, 365, false).await;
    assert!(matches!(stale, Err(AppError::ProofNeeded)), "{stale:?}");
    assert!(years.holdfast.prune_audit(&person, 365, true).await.is_ok());
    person.role = Role::Operator;
    let lesser = years.holdfast.prune_audit(&person, 365, true).await;
    assert!(matches!(lesser, Err(AppError::Forbidden)), "{lesser:?}");
    years.holdfast.prune_old_detail().await.unwrap();
    assert_eq!(years.doctor().await.verdict, Verdict::Good);
    assert_eq!(years.prune(365, true).await.events, 0);
    assert!(years.holdfast.verify_log(|_| {}).await.unwrap().holds());
    let zero = years.holdfast.prune_audit(&years.caller, 0, true).await;
    assert!(zero.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn full_segments_stay_full_and_new_targets_get_what_is_left() {
    let bucket = Bucket::serve();
    let mut years = Years::stored_in(&bucket).await;
    years.also_local().await;
    years.fill(1_500).await;
    years.ship().await;
    // The bucket is away while the folder gets the rest, and the detail is pruned.
    bucket.inject_into_log(Operation::Put, Trouble::Busy);
    years.fill(700).await;
    assert!(!years.holdfast.ship_log().await.unwrap());
    years.advance(TimeDelta::days(400));
    let done = years.prune(365, false).await;
    assert_eq!((done.proven.len(), done.kept.len()), (1, 0), "{done:?}");
    bucket.heal();
    years.ship().await;
    let instance = years.holdfast.instance();
    let Ok(checked) = offline::segments(years.pieces(), &instance, &Known::default());
    assert_eq!(checked.findings, vec![]);
    let late = checked.pruned;
    assert!(
        late < done.events / 2,
        "what lay there before stays whole: {late}"
    );

    // A target that comes now.
    let later = Bucket::serve();
    years.also_in(&later).await;
    years.ship().await;
    let pieces = years::pieces_in(&later);
    let Ok(checked) = offline::segments(pieces, &instance, &Known::default());
    assert_eq!((checked.findings, checked.pruned), (vec![], done.events));
    let (settings, data) = (years::settings(&later), TempDir::new().unwrap());
    let mut config = config(data.path());
    config.settings.private_targets = true;
    let from = From {
        kind: "s3".into(),
        settings,
        local_root: None,
    };
    let found = bootstrap::recover(&config, &from, &Wanted::default())
        .await
        .unwrap();
    assert_eq!(found.flaws, Vec::<String>::new());
    let opened = bootstrap::open_with(&config, years::engine(), None)
        .await
        .unwrap();
    let checked = opened.holdfast.verify_log(|_| {}).await.unwrap();
    assert_eq!((checked.findings, checked.pruned), (vec![], done.events));
    let rebuilt = opened.holdfast.rebuild().await.unwrap();
    assert_eq!(rebuilt.differed, Vec::<&str>::new());
}

/// The real program, killed around the commit.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_leaves_all_or_nothing_and_the_command_can_be_given_again() {
    let years = Years::local().await;
    years.fill(2_100).await;
    years.ship().await;
    let data = years.close();
    let path = data.path();
    let prune = ["audit", "prune", "--older-than", "300d", "--yes"];
    let pruned = || {
        let said = holdfast(path, &["audit", "verify", "--output", "json"]);
        let told = said.good().json();
        told["pruned"].as_u64().unwrap()
    };
    let dry = holdfast(
        path,
        &[
            "audit",
            "prune",
            "--older-than",
            "300d",
            "--dry-run",
            "--output",
            "json",
        ],
    );
    let wanted = dry.good().json()["events"].as_u64().unwrap();
    assert!(wanted > 0);
    for (point, left) in [("log.before_commit", 0), ("log.after_commit", wanted)] {
        let killed = with(path, &prune, "", &[("HOLDFAST_FAILPOINT", point)]);
        assert_ne!(killed.code, 0, "{point}: {}{}", killed.out, killed.err);
        assert_eq!(pruned(), left, "{point}");
    }
    let again = holdfast(path, &[&prune[..], &["--output", "json"]].concat());
    assert_eq!(again.good().json()["events"], json!(0));
    // As a person reads it.
    let told = holdfast(path, &["audit", "verify"]).good().out;
    assert!(
        told.contains("Their detail lies in") && told.contains(".jsonl.gz"),
        "{told}"
    );
    let wrong = holdfast(
        path,
        &["audit", "prune", "--older-than", "12h", "--dry-run"],
    );
    assert_eq!(wrong.code, 2, "{}", wrong.err);
    let unasked = holdfast(path, &["audit", "prune", "--older-than", "300d"]);
    assert_eq!(unasked.code, 2, "{}", unasked.err);
}

/// What may be pruned is folded by nothing: neither an aggregate nor a read model has to do with its stream.
#[test]
fn nothing_is_folded_from_what_may_be_pruned() {
    let mut names = Vec::new();
    for event in samples::all() {
        let (name, ..) = holdfast::log::encode(&event).unwrap();
        if PRUNABLE.contains(&name.as_str()) {
            assert!(matches!(event, Event::Audit(_)), "{name}");
            names.push(name);
        }
    }
    assert_eq!(names.len(), PRUNABLE.len(), "{names:?}");
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for room in ["domain", "readmodel", "engine", "work"] {
        for entry in fs::read_dir(root.join(room)).unwrap() {
            let path = entry.unwrap().path();
            let source = fs::read_to_string(&path).unwrap_or_default();
            let is_fold = source.contains("KIND: StreamKind = StreamKind::Audit");
            let reads = room != "domain" && source.contains("AuditEvent");
            assert!(!is_fold && !reads, "{}", path.display());
        }
    }
    // Looked up by name at a start or by a command.
    for file in ["app/rotation.rs", "log/prune.rs"] {
        let source = fs::read_to_string(root.join(file)).unwrap();
        for name in PRUNABLE {
            assert!(!source.contains(&format!("\"{name}\"")), "{file}: {name}");
        }
    }
}
