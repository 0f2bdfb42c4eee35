//! What a monitoring system reads: only with a token, and the figures of every config, in the forms that
//! the reference parsers of Prometheus and OpenMetrics take.

use std::{
    collections::BTreeSet,
    io::Write,
    process::{Command, Stdio},
};

use holdfast::{
    domain::{
        access::Role,
        config::{Config, ConfigCommand, ConfigSpec},
        ids::{AppId, ConfigId},
    },
    log::Cause,
};
use reqwest::StatusCode;
use serde::Deserialize;

use super::{Answer, Api, send};
use crate::bed::installed;

const PARSERS: &str = "prometheus-client==0.23.1";
/// The families that a parser of the package found, or its complaint.
const PARSE: &str = "
import importlib, json, sys
parser = importlib.import_module(sys.argv[1]).text_string_to_metric_families
families = parser(sys.stdin.read())
print(json.dumps([{'name': f.name, 'kind': f.type, 'help': f.documentation,
    'samples': [[s.name, s.labels, float(s.value)] for s in f.samples]} for f in families]))
";
const PROMETHEUS: (&str, &str) = ("prometheus_client.parser", "text/plain");
const OPEN_METRICS: (&str, &str) = (
    "prometheus_client.openmetrics.parser",
    "application/openmetrics-text",
);
/// Whatever has another label may have a series for each of its values.
const LABELS: [&str; 8] = [
    "app", "config", "service", "strategy", "target", "status", "queue", "version",
];

#[derive(Debug, Deserialize)]
struct Family {
    name: String,
    kind: String,
    help: String,
    samples: Vec<(String, std::collections::BTreeMap<String, String>, f64)>,
}

async fn metrics(api: &Api, token: Option<&str>, accept: Option<&str>) -> Answer {
    let mut request = api.client.get(format!("{}/metrics", api.url));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Some(accept) = accept {
        request = request.header("accept", accept);
    }
    send(request, None).await
}

/// By a parser of others, which refuses what is not of the format.
fn parsed(text: &str, parser: &str) -> Vec<Family> {
    let mut child = Command::new(installed(PARSERS).join("python"))
        .args(["-c", PARSE, parser])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{parser} refuses:\n{text}");
    serde_json::from_slice(&done.stdout).unwrap()
}

/// As whoever asks in that way gets them.
async fn families(api: &Api, (parser, kind): (&str, &str)) -> Vec<Family> {
    let seen = metrics(api, Some(api.token(Role::Viewer)), Some(kind)).await;
    assert_eq!(seen.status, StatusCode::OK, "{}", seen.text);
    assert!(seen.header("content-type").starts_with(kind), "{seen:?}");
    let families = parsed(&seen.text, parser);
    for family in &families {
        let Family {
            name, kind, help, ..
        } = family;
        assert!(name.starts_with("holdfast_"), "{name}");
        assert!(!help.is_empty() && kind != "unknown", "{name}: {kind}");
        // Base units, and the ending that says so.
        for (word, unit) in [
            ("timestamp", "_seconds"),
            ("age", "_seconds"),
            ("duration", "_seconds"),
            ("size", "_bytes"),
        ] {
            assert!(!name.contains(word) || name.ends_with(unit), "{name}");
        }
        for (sample, labels, value) in &family.samples {
            assert_eq!(sample.ends_with("_total"), kind == "counter", "{sample}");
            assert!(value.is_finite() && *value >= 0.0, "{sample}: {value}");
            let unknown: Vec<_> = labels
                .keys()
                .filter(|it| !LABELS.contains(&it.as_str()))
                .collect();
            assert!(unknown.is_empty(), "{sample}: {unknown:?}");
        }
    }
    families
}

/// Names as a query has them, and their types.
fn names(families: &[Family]) -> BTreeSet<(String, String)> {
    let samples = families.iter().flat_map(|family| {
        let kind = family.kind.clone();
        let samples = family.samples.iter();
        samples.map(move |(name, ..)| (name.clone(), kind.clone()))
    });
    samples.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_figures_without_a_good_token() {
    let api = Api::fake().await;
    for token in [None, Some("hft_wrong"), Some("")] {
        let refused = metrics(&api, token, None).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{token:?}");
    }
    let seen = metrics(&api, Some(api.token(Role::Viewer)), None).await;
    assert_eq!(seen.status, StatusCode::OK, "{}", seen.text);
    assert!(seen.text.contains("holdfast_runs{status=\"queued\"} 0\n"));
    // No config, so no age, rather than one of zero.
    assert!(!seen.text.contains("age_seconds{"), "{}", seen.text);
}

/// And what is gone has no figures any more.
#[tokio::test(flavor = "multi_thread")]
async fn names_are_escaped_and_series_end_with_their_config() {
    const ODD: &str = "a\"b\\c\nd";
    let api = Api::fake().await;
    let log = api.holdfast.log();
    let spec = ConfigSpec {
        service: "db".to_owned(),
        // No operation lets such a name in.
        strategy: ODD.to_owned(),
        schedule_cron: "0 2 * * *".to_owned(),
        ..ConfigSpec::default()
    };
    let command = ConfigCommand::Create {
        config: ConfigId(1),
        app: AppId(1),
        spec,
    };
    let created = log.execute::<Config>(Cause::system("test"), 1, command);
    created.await.unwrap();
    for form in [PROMETHEUS, OPEN_METRICS] {
        let families = families(&api, form).await;
        let late = families.iter().find(|it| it.name == "holdfast_backup_late");
        let (_, labels, value) = &late.unwrap().samples[0];
        assert_eq!((labels["strategy"].as_str(), *value), (ODD, 0.0));
    }
    let removed = log.execute::<Config>(Cause::system("test"), 1, ConfigCommand::Remove);
    removed.await.unwrap();
    let families = families(&api, PROMETHEUS).await;
    let mut samples = families.iter().flat_map(|family| &family.samples);
    assert!(!samples.any(|(_, labels, _)| labels.contains_key("config")));
}

/// After good runs of the app's only config, the newest of which was this one.
pub async fn tell_of(api: &Api, config: i64, run: &serde_json::Value) {
    let families_seen = families(api, OPEN_METRICS).await;
    let plain = families(api, PROMETHEUS).await;
    assert_eq!(names(&families_seen), names(&plain));
    let config = config.to_string();
    let expected = [
        ("app", "shop"),
        ("config", config.as_str()),
        ("service", "db"),
        ("strategy", "postgres"),
        ("target", "local"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let samples = || plain.iter().flat_map(|family| &family.samples);
    let figure = |name: &str| {
        let name = format!("holdfast_{name}");
        let found =
            samples().find(|(it, labels, _)| *it == name && *labels == expected.clone().into());
        found.unwrap_or_else(|| panic!("{name}: {plain:?}")).2
    };
    for name in ["backup_failing", "backup_late", "backup_missed"] {
        assert!(figure(name) < 0.5, "{name}");
    }
    let size = run["size_bytes"].as_f64().unwrap();
    assert!((figure("backup_last_success_size_bytes") - size).abs() < 0.5);
    assert!((0.0..600.0).contains(&figure("backup_last_success_age_seconds")));
    let alive = samples().find(|(name, labels, _)| {
        name == "holdfast_worker_alive" && labels.get("queue").is_some_and(|it| it == "backup")
    });
    assert!(alive.unwrap().2 > 0.5);

    // What is written about them is what there is.
    let page = include_str!("../../../docs/operations.md");
    let rows = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `holdfast_"));
    let told: BTreeSet<(String, String)> = rows
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let name = cells[0].split(['`', '{']).next().unwrap();
            (format!("holdfast_{name}"), cells[1].to_owned())
        })
        .collect();
    assert_eq!(told, names(&plain));
}
