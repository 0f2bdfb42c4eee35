//! The API's page for people: it is of this server alone, and has every operation.

use std::collections::BTreeSet;

use holdfast::web::api::access::OPERATIONS;
use reqwest::{Response, StatusCode, Url};

use super::{Api, PASSWORD, send};

/// Whatever the page names, in attributes that make a browser ask.
fn named(page: &str) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for attribute in ["src=\"", "href=\"", "action=\"", "hx-get=\""] {
        for rest in page.split(attribute).skip(1) {
            named.insert(rest.split('"').next().unwrap().to_owned());
        }
    }
    named
}

#[tokio::test(flavor = "multi_thread")]
async fn it_shows_each_operation_and_asks_no_other_host() {
    let api = Api::fake().await;
    let who = serde_json::json!({ "name": "viewer", "password": PASSWORD }).to_string();
    let login = send(api.request("POST", "/login"), Some(&who)).await;
    let cookie = login
        .header("set-cookie")
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let get = async |path: &str| -> Response {
        let request = api.client.get(api.url(path)).header("cookie", &cookie);
        request.send().await.unwrap()
    };
    let answer = get("/api-reference").await;
    assert_eq!(answer.status(), StatusCode::OK);
    let policy = answer.headers()["content-security-policy"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(policy.starts_with("default-src 'self';"), "{policy}");
    let page = answer.text().await.unwrap();

    for (method, path, _) in OPERATIONS.iter().filter(|row| row.1 != "/openapi.json") {
        let head =
            format!("<b class=\"mono\">{method}</b> <span class=\"mono break\">/api{path}</span>");
        assert!(page.contains(&head), "{method} {path}");
    }
    // The policy would stop these.
    for inline in ["<script>", " style=\"", " onclick", "<style", "javascript:"] {
        assert!(!page.contains(inline), "{inline}");
    }
    let own: Url = api.url.parse().unwrap();
    let (mut assets, named) = (0, named(&page));
    for address in named.iter().filter(|it| !it.starts_with('#')) {
        let whole = own.join(address).unwrap();
        assert_eq!(whole.origin(), own.origin(), "{address}");
        // Those of an admin's pages are not in a viewer's.
        let answer = get(address).await;
        let form = ["/theme", "/logout"].contains(&address.as_str());
        assert_eq!(
            answer.status() == StatusCode::OK,
            !form,
            "{address}: {}",
            answer.status()
        );
        assets += usize::from(address.starts_with("/static/"));
    }
    assert!(assets >= 5, "{named:?}");

    let nobody = api
        .client
        .get(api.url("/api-reference"))
        .send()
        .await
        .unwrap();
    assert_eq!(
        nobody.url().path(),
        "/login",
        "whoever is not known logs in first"
    );
}
