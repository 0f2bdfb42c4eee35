//! What a monitoring system reads: only with a token, and the figures of every config.

use holdfast::domain::access::Role;
use reqwest::StatusCode;
use serde_json::Value;

use super::{Answer, Api, send};

async fn metrics(api: &Api, token: Option<&str>) -> Answer {
    let mut request = api.client.get(format!("{}/metrics", api.url));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    send(request, None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_reads_figures_without_a_good_token() {
    let api = Api::fake().await;
    for token in [None, Some("hft_wrong"), Some("")] {
        let refused = metrics(&api, token).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{token:?}");
    }
    let seen = metrics(&api, Some(api.token(Role::Viewer))).await;
    assert_eq!(seen.status, StatusCode::OK, "{}", seen.text);
    let kind = seen.headers["content-type"].to_str().unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    assert!(seen.text.ends_with("# EOF\n"), "{}", seen.text);
    assert!(seen.text.contains("holdfast_runs{status=\"queued\"} 0\n"));
    // No config, so no age, rather than one of zero.
    assert!(!seen.text.contains("age_seconds{"), "{}", seen.text);
}

/// After good runs of the app's only config, the newest of which was this one.
pub async fn tell_of(api: &Api, config: i64, run: &Value) {
    let seen = metrics(api, Some(api.token(Role::Viewer))).await.text;
    let labels = format!(
        r#"{{app="shop",config="{config}",service="db",strategy="postgres",target="local"}}"#
    );
    let figure = |name: &str| {
        let start = format!("holdfast_{name}{labels} ");
        let found = seen.lines().find_map(|line| line.strip_prefix(&start));
        let found = found.unwrap_or_else(|| panic!("{start}\n{seen}"));
        found.parse::<i64>().unwrap()
    };
    assert_eq!(figure("backup_failing"), 0);
    assert_eq!(figure("backup_late"), 0);
    assert_eq!(
        figure("backup_last_success_size_bytes"),
        run["size_bytes"].as_i64().unwrap()
    );
    assert!((0..600).contains(&figure("backup_last_success_age_seconds")));
    assert!(
        seen.contains("holdfast_worker_alive{queue=\"backup\"} 1\n"),
        "{seen}"
    );
}
