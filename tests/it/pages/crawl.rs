//! Every page of the table, by whoever should not get there: nobody, a viewer, another site, a form without
//! its token. What is added to the table is crawled too.

use holdfast::{
    domain::access::Role,
    web::{api::access::OPERATIONS, pages::access::PAGES},
};
use reqwest::Method;
use sea_orm::ConnectionTrait;

use super::site::{Site, Visitor, add_user};
use crate::house::House;

const FORM: &str = "application/x-www-form-urlencoded";

/// Of an app that is there, with a run that is not: who is turned away is, before that is looked at.
fn filled(form: &str) -> String {
    let known = [
        ("{slug}", "shop"),
        ("{id}", "1"),
        ("{position}", "1"),
        ("{copy}", "1"),
    ];
    known.iter().fold(form.to_owned(), |path, (name, value)| {
        path.replace(name, value)
    })
}

/// Method, path, least role.
fn requests() -> impl Iterator<Item = (Method, String, Option<Role>)> {
    PAGES.iter().flat_map(|(methods, form, least)| {
        let methods = methods.split(',').map(|name| name.parse().unwrap());
        methods.map(|method| (method, filled(form), *least))
    })
}

async fn lodged() -> (House, Site) {
    let house = House::new().await;
    house.app("shop", "crawled").await;
    for (name, role) in [("ada", Role::Admin), ("vera", Role::Viewer)] {
        add_user(&house, name, role).await;
    }
    let site = Site::of(&house);
    (house, site)
}

async fn status(visitor: &Visitor, method: &Method, path: &str, csrf: &str, site: &str) -> u16 {
    let mut request = visitor.request(method.clone(), path);
    if !site.is_empty() {
        request = request.header("sec-fetch-site", site);
    }
    if *method == Method::POST {
        let body =
            format!("csrf={csrf}&slug=theirs&name=eve&password=correct+horse+battery&role=admin");
        request = request.header("content-type", FORM).body(body);
    }
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_and_a_viewer_get_nowhere_and_change_nothing() {
    let (house, site) = lodged().await;
    let vera = Visitor::logged_in(&site, "vera").await;
    let token = vera.token("/").await;
    let (nobody, before) = (Visitor::of(&site), house.changes().await);
    let mut calls = 0;
    for (method, path, least) in requests().filter(|(.., least)| least.is_some()) {
        // To the door, or away.
        let answer = status(&nobody, &method, &path, "", "").await;
        assert!(
            [303, 401, 403].contains(&answer),
            "nobody: {method} {path}: {answer}"
        );
        calls += 1;
        if least > Some(Role::Viewer) {
            let answer = status(&vera, &method, &path, &token, "").await;
            assert_eq!(answer, 403, "a viewer: {method} {path}");
            calls += 1;
        }
    }
    assert_eq!(house.changes().await, before, "something was changed");
    println!(
        "figure: access: {calls} calls over all pages as nobody and as a viewer: 0 leaks, 0 changes"
    );
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_changed_for_another_site_or_without_the_forms_token() {
    let (house, site) = lodged().await;
    let ada = Visitor::logged_in(&site, "ada").await;
    let token = ada.token("/").await;
    let before = house.changes().await;
    let mut calls = 0;
    for (method, path, least) in requests().filter(|(method, ..)| *method == Method::POST) {
        for from in ["cross-site", "same-site"] {
            let answer = status(&ada, &method, &path, &token, from).await;
            assert_eq!(answer, 403, "{from}: {path}");
            calls += 1;
        }
        // Before a log-in there is nothing that a token could protect; a form with a file is another (see
        // `requests`).
        if least.is_some() && !path.ends_with("/upload-restore") {
            for wrong in ["", "0000", &token[1..]] {
                let answer = status(&ada, &method, &path, wrong, "same-origin").await;
                assert_eq!(answer, 403, "token {wrong:?}: {path}");
                calls += 1;
            }
        }
    }
    for (method, form, _) in OPERATIONS.iter().filter(|(method, ..)| *method != "GET") {
        let path = format!("/api{}", filled(form));
        for (name, value) in [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
            ("origin", "https://evil.example"),
        ] {
            let request = ada
                .request(method.parse().unwrap(), &path)
                .header(name, value);
            let request = request
                .header("content-type", "application/json")
                .body("{}");
            let answer = request.send().await.unwrap().status().as_u16();
            assert_eq!(answer, 403, "{name}: {value}: {method} {path}");
            calls += 1;
        }
    }
    assert_eq!(house.changes().await, before, "something was changed");
    println!(
        "figure: CSRF: {calls} changes over all pages and operations, asked for by others: accepted 0"
    );
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_tls_the_cookie_is_the_hosts_alone_and_plain_http_is_over() {
    let (house, _site) = lodged().await;
    let site = Site::behind_tls(&house);
    let visitor = Visitor::of(&site);
    let answer = visitor.get("/login").await;
    let strict = answer.headers()["strict-transport-security"]
        .to_str()
        .unwrap();
    assert!(strict.starts_with("max-age=31536000"), "{strict}");
    let fields = [("name", "ada"), ("password", super::site::PASSWORD)];
    let answer = visitor.post("/login", &fields).await;
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.starts_with("__Host-holdfast=hfw_"), "{cookie}");
    for part in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
        assert!(cookie.contains(part), "{part}: {cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_by_disuse_and_by_age() {
    let (house, site) = lodged().await;
    let age = |column: &str, hours: i64| {
        let aged = hours * 3_600_000;
        format!("UPDATE sessions SET {column} = {column} - {aged}")
    };
    for (what, column, hours, lives) in [
        ("used an hour ago", "seen_at", 1, true),
        ("not used for 13 hours", "seen_at", 13, false),
        ("opened six days ago", "created_at", 6 * 24, true),
        ("opened eight days ago", "created_at", 8 * 24, false),
    ] {
        let ada = Visitor::logged_in(&site, "ada").await;
        let db = house.holdfast.log().db();
        db.execute_unprepared(&age(column, hours)).await.unwrap();
        let answer = ada.get("/").await.status().as_u16();
        assert_eq!(answer, if lives { 200 } else { 303 }, "{what}");
        db.execute_unprepared("DELETE FROM sessions").await.unwrap();
    }
    house.close().await;
}
