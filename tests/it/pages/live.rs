//! Live updates: the stream that a page listens to.

use std::time::Duration;

use futures_util::StreamExt;
use holdfast::{
    app::GrantInput,
    domain::{access::Role, ids::UserId},
};
use reqwest::Method;

use super::site::{Visitor, add_user, lodged};
use crate::house::postgres;

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_live_stream_goes_on_where_it_was() {
    let (house, _site, ada) = lodged().await;
    let project = format!("live-{}", std::process::id());
    let _bed = postgres(crate::bed::POSTGRES, &project, &[]);
    house.app("shop", &project).await;
    let config = house.config("shop", |_| {}).await;
    let seen = house.holdfast.log().head();
    let run = house.back_up(config).await;

    // Nothing was missed, so nothing is sent until something happens.
    let head = house.holdfast.log().head();
    let mut quiet = ada
        .get(&format!("/live?app=shop&from={head}"))
        .await
        .bytes_stream();
    assert!(
        tokio::time::timeout(Duration::from_millis(300), quiet.next())
            .await
            .is_err()
    );

    let request = ada.request(Method::GET, &format!("/live?run={}", run.id));
    let answer = request
        .header("last-event-id", seen.to_string())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    // The run is over, so the stream ends by itself.
    let text = answer.text().await.unwrap();
    assert!(
        text.contains(&format!("id: {head}\nevent: run\n")),
        "{text}"
    );
    assert!(
        text.contains("success") && text.contains("event: over"),
        "{text}"
    );

    house.request(config).await;
    let first = tokio::time::timeout(Duration::from_secs(5), quiet.next()).await;
    let first = String::from_utf8_lossy(&first.unwrap().unwrap().unwrap()).into_owned();
    assert!(first.contains("event: last"), "{first}");
    house.close().await;
}

/// What a tab may show is settled when it comes: it comes again, whatever was going on at that moment.
#[tokio::test(flavor = "multi_thread")]
async fn a_live_stream_ends_when_the_rights_of_who_looks_change() {
    let (house, site, _ada) = lodged().await;
    add_user(&house, "bob", Role::Viewer).await;
    let bob = Visitor::logged_in(&site, "bob").await;
    let id = house.holdfast.user_by_name("bob").await.unwrap().id;
    house.app("first", "first").await;
    let before = house.holdfast.log().head() - 1;
    let mut stream = bob.get(&format!("/live?from={before}")).await;
    let first = stream.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b"id: "), "{first:?}");

    // One right after the other: they are shown together.
    house.app("second", "second").await;
    let grant = GrantInput {
        app: "first".to_owned(),
        role: "viewer".to_owned(),
    };
    let granted = house
        .holdfast
        .set_grants(&house.caller, UserId(id), vec![grant]);
    granted.await.unwrap();
    let rest = tokio::time::timeout(Duration::from_secs(5), stream.text()).await;
    rest.expect("the stream ends").unwrap();
    house.close().await;
}

/// By an admin, because somebody else has its cookie perhaps.
#[tokio::test(flavor = "multi_thread")]
async fn a_live_stream_ends_with_the_session() {
    let (house, _site, ada) = lodged().await;
    house.app("first", "first").await;
    let before = house.holdfast.log().head() - 1;
    let mut stream = ada.get(&format!("/live?from={before}")).await;
    stream.chunk().await.unwrap().unwrap();
    let open = house.holdfast.sessions(&house.caller).await.unwrap();
    let ended = house.holdfast.end_session(&house.caller, &open[0].id);
    ended.await.unwrap();
    let rest = tokio::time::timeout(Duration::from_secs(5), stream.text()).await;
    rest.expect("the stream ends").unwrap();
    house.close().await;
}
