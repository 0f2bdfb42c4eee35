//! A fuzzer of others reads the API's own document and sends what it allows and what it does not:
//! no answer is a 5xx, and each is one that the document names, in the form it names.

use std::path::PathBuf;

use holdfast::{
    domain::{
        access::Role,
        config::{Config, ConfigCommand, ConfigSpec},
        ids::{AppId, ConfigId},
    },
    log::Cause,
};

use super::Api;
use crate::bed::installed;

const FUZZER: &str = "schemathesis==4.32.5";
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";
/// These would take away what the fuzzer itself works with; the last stays open as long as its run.
const SPARED: &str = "remove_api_key|remove_user|set_password|log_out|end_session|follow_run";
/// What is there, so that more than "not found" is seen.
const KNOWN: &str =
    "[parameters]\n\"path.id\" = 1\n\"path.slug\" = \"shop\"\n\"path.position\" = 1\n";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_sent_breaks_it() {
    let api = Api::fake().await;
    let command = ConfigCommand::Create {
        config: ConfigId(1),
        app: AppId(1),
        spec: ConfigSpec {
            service: "db".to_owned(),
            strategy: "postgres".to_owned(),
            ..ConfigSpec::default()
        },
    };
    let log = api.holdfast.log();
    let created = log.execute::<Config>(Cause::system("test"), 1, command);
    created.await.unwrap();
    let run = api.call("POST", "/backups/configs/1/run", None).await;
    assert_eq!(run.status, 202, "{}", run.text);
    let hook = r#"{"url":"http://93.184.216.34/","kind":"standard"}"#;
    api.call("POST", "/webhooks", Some(hook)).await;

    // What is known first: the second pass takes it away.
    let known = fuzz(&api, Some(KNOWN), &format!("{SPARED}|remove_.*")).await;
    let any = fuzz(&api, None, SPARED).await;
    println!(
        "figure: API: {} made-up requests, answers of 5xx or out of the document 0",
        known + any
    );
    api.close().await;
}

/// How many requests were made; panics with what it found.
async fn fuzz(api: &Api, config: Option<&str>, spared: &str) -> usize {
    let folder = tempfile::TempDir::new().unwrap();
    let mut command = tokio::process::Command::new(python());
    command
        .current_dir(folder.path())
        .args(["-m", "schemathesis.cli"]);
    if let Some(config) = config {
        std::fs::write(folder.path().join("known.toml"), config).unwrap();
        command.args(["--config-file", "known.toml"]);
    }
    command
        .arg("run")
        .arg(api.url("/api/openapi.json"))
        .args([
            "--header",
            &format!("Authorization: Bearer {}", api.token(Role::Admin)),
        ])
        .args(["--checks", CHECKS, "--phases", "coverage,fuzzing"])
        .args([
            "--max-examples",
            "8",
            "--workers",
            "1",
            "--seed",
            "20261130",
        ])
        .args([
            "--request-timeout",
            "30",
            "--continue-on-failure",
            "--no-color",
        ])
        .args(["--exclude-operation-id-regex", &format!("^({spared})$")]);
    let done = command.output().await.unwrap();
    let said = String::from_utf8_lossy(&done.stdout);
    let found = said.find("= FAILURES").or_else(|| said.find("= ERRORS"));
    assert!(done.status.success(), "{}", &said[found.unwrap_or(0)..]);
    let made = said
        .lines()
        .find_map(|line| line.trim().split_once(" generated")?.0.parse().ok());
    let made: usize = made.unwrap_or_else(|| panic!("no count in {said}"));
    assert!(made > 100, "hardly anything was sent: {said}");
    made
}

/// One that has the fuzzer. Its programs know where they were installed; as modules they also run where a
/// target folder was moved to.
fn python() -> PathBuf {
    installed(FUZZER).join("python")
}
