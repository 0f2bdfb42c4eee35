//! What the overview says and shows, from made-up rows.

use askama::Template;

use super::{Facts, Overview};
use crate::{
    readmodel::overview::{Beat, Totals},
    web::samples::{app, beat, config, now, stable},
};

/// Apps with one daily config each, and their runs, newest first.
fn facts(apps: &[(&str, &[Beat])]) -> Facts {
    let mut facts = Facts {
        totals: Totals {
            stored_bytes: 68_075_000_000,
            succeeded: 31,
            failed: 2,
        },
        ..Facts::default()
    };
    for ((slug, beats), id) in apps.iter().zip(1..) {
        facts.apps.push(app(id, slug, slug));
        facts.configs.push(config(id, id, "0 2 * * *"));
        facts.beats.insert(id, beats.to_vec());
        if let Some(newest) = beats.first() {
            facts.newest.insert(id, newest.clone());
        }
        if let Some(good) = beats.iter().find(|beat| beat.status == "success") {
            facts.successes.insert(id, good.clone());
        }
    }
    facts
}

fn said(facts: &Facts) -> (String, String) {
    let verdict = Overview::new(facts, now(), true).verdict;
    (verdict.said, verdict.also)
}

#[test]
fn one_sentence_says_what_matters_first() {
    let good = |app| vec![beat(10, app, "success", "2026-11-23T02:00:00Z")];
    let late = |app| vec![beat(10, app, "success", "2026-11-21T02:00:00Z")];
    let broken = |app| {
        vec![
            beat(11, app, "failed", "2026-11-23T09:00:00Z"),
            beat(10, app, "success", "2026-11-23T02:00:00Z"),
        ]
    };
    let damaged = |app| {
        vec![
            beat(11, app, "damaged", "2026-11-23T02:00:00Z"),
            beat(10, app, "success", "2026-11-22T02:00:00Z"),
        ]
    };
    let working = vec![
        beat(11, 1, "running", "2026-11-23T09:59:00Z"),
        good(1).remove(0),
    ];
    for (apps, expected, also) in [
        (vec![], "Nothing is backed up yet.", "Add an app"),
        (
            vec![("shop", good(1))],
            "Your config is protected; the newest restore point is 7 h old.",
            "",
        ),
        (
            vec![("shop", good(1)), ("wiki", good(2))],
            "All 2 configs are protected; the oldest restore point is 7 h old.",
            "",
        ),
        (
            vec![("shop", working)],
            "Your config is protected",
            "1 backup is at work now.",
        ),
        (
            vec![("shop", broken(1)), ("wiki", good(2))],
            "One backup needs you: shop › Database (PostgreSQL) failed 59 min ago.",
            "The other one is protected; the newest restore point is 7 h old.",
        ),
        (
            vec![("shop", late(1))],
            "One backup needs you: shop › Database (PostgreSQL) is 32 h late.",
            "",
        ),
        (
            vec![("shop", damaged(1)), ("wiki", good(2))],
            "One backup needs you: the newest backup of shop › Database (PostgreSQL) is damaged.",
            "The other one is protected; the newest restore point is 7 h old.",
        ),
        (
            vec![("shop", late(1)), ("wiki", broken(2))],
            "2 backups need you: shop, wiki.",
            "",
        ),
    ] {
        let apps: Vec<(&str, &[Beat])> =
            apps.iter().map(|(name, b)| (*name, b.as_slice())).collect();
        let (verdict, rest) = said(&facts(&apps));
        assert!(verdict.starts_with(expected), "{verdict}");
        assert!(rest.contains(also), "{rest}");
    }
}

#[test]
fn what_needs_a_person_stands_first() {
    let good = [beat(10, 1, "success", "2026-11-23T02:00:00Z")];
    let broken = [beat(11, 2, "failed", "2026-11-23T09:00:00Z")];
    let overview = Overview::new(&facts(&[("alpha", &good), ("zulu", &broken)]), now(), true);
    let names: Vec<&str> = overview.apps.iter().map(|app| app.name.as_str()).collect();
    assert_eq!(names, ["zulu", "alpha"]);
}

#[test]
fn the_overview_as_it_is_sent() {
    let runs = [
        beat(12, 1, "failed", "2026-11-23T09:00:00Z"),
        beat(11, 1, "success", "2026-11-23T02:00:00Z"),
        beat(10, 1, "success", "2026-11-22T02:00:00Z"),
    ];
    let overview = Overview::new(&facts(&[("a <b>", &runs)]), now(), true);
    insta::assert_snapshot!(stable(&overview.render().unwrap()));
}

#[test]
fn an_empty_overview_says_how_to_begin() {
    let overview = Overview::new(&Facts::default(), now(), true);
    insta::assert_snapshot!(stable(&overview.render().unwrap()));
    let html = Overview::new(&Facts::default(), now(), false)
        .render()
        .unwrap();
    assert!(
        !html.contains("/apps/new"),
        "a viewer is offered nothing to do"
    );
}
