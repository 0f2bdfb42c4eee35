//! What a run's page shows, from made-up rows.

use askama::Template;

use super::{Progress, RunContent, RunView};
use crate::{
    domain::run::Stage,
    readmodel::runs,
    web::{
        field::Token,
        samples::{app, failed, now, running, spec, stable, success},
    },
};

fn content(run: &runs::Model, can_act: bool) -> RunContent {
    let config = spec("0 2 * * *");
    RunContent {
        run: RunView::new(run, &app(1, "shop", "Shop"), &config, &[], None, now()),
        progress: None,
        can_act,
        token: Token("token".to_owned()),
    }
}

#[test]
fn a_success_as_it_is_sent() {
    insta::assert_snapshot!(stable(&content(&success(12), true).render().unwrap()));
}

#[test]
fn a_failure_says_what_to_do_and_escapes_what_tools_say() {
    let html = content(&failed(12), true).render().unwrap();
    insta::assert_snapshot!(stable(&html));
    assert!(!html.contains("<shop>"));
}

#[test]
fn a_viewer_is_offered_nothing_to_do() {
    for run in [success(12), running(12, &[])] {
        let html = content(&run, false).render().unwrap();
        assert!(
            !html.contains("<form") && !html.contains("/restore\""),
            "{html}"
        );
    }
}

#[test]
fn stages_stand_on_one_line_of_time() {
    let view = |run: &runs::Model| content(run, true).run.stages;
    let stages = view(&success(12));
    let bars: Vec<_> = stages.iter().map(|stage| stage.bar.unwrap()).collect();
    assert_eq!(bars, [(0, 7), (7, 54), (61, 31), (92, 8)]);
    let took: Vec<&str> = stages.iter().map(|stage| stage.took.as_str()).collect();
    assert_eq!(took, ["1 s", "7 s", "4 s", "1 s"]);

    let at_work = running(12, &[(Stage::Prepare, 0), (Stage::Dump, 1)]);
    let states: Vec<&str> = view(&at_work).iter().map(|stage| stage.state).collect();
    assert_eq!(states, ["done", "now", "todo", "todo"]);
    let states: Vec<&str> = view(&failed(12)).iter().map(|stage| stage.state).collect();
    assert_eq!(states, ["broken", "todo", "todo", "todo"]);
}

#[test]
fn progress_without_an_estimate_shows_no_percentage() {
    let progress = Progress {
        phase: String::new(),
        done: "0 B".to_owned(),
        stored: None,
        rate: None,
        elapsed: "0 s".to_owned(),
        percent: None,
        left: None,
    };
    let html = progress.render().unwrap();
    assert!(html.contains("<progress aria-label"), "{html}");
    assert!(!html.contains("value="), "{html}");
}
