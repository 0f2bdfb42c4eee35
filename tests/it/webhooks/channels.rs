//! Each form says it as its receiver expects, and what cannot work is refused by name.

use std::collections::BTreeMap;

use holdfast::{
    app::{AppError, WebhookInput},
    domain::secret::Secret,
};

use super::{Receiver, Scene};

const BOT: &str = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw";

pub fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    pairs.iter().map(owned).collect()
}

fn input(kind: &str, pairs: &[(&str, &str)], secret: Option<&str>) -> WebhookInput {
    WebhookInput {
        kind: Some(kind.to_owned()),
        settings: settings(pairs),
        secret: secret.map(Secret::from),
        ..WebhookInput::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_gets_what_happened_and_what_to_do() {
    let mut scene = Scene::new(true).await;
    for (kind, pairs, secret) in [
        ("telegram", vec![("chat_id", "-100123")], Some(BOT)),
        ("ntfy", vec![("topic", "backups")], Some("tk_abc")),
        ("discord", vec![], None),
    ] {
        let mut receiver = Receiver::answering(&[]).await;
        let input = WebhookInput {
            url: receiver.url(),
            ..input(kind, &pairs, secret)
        };
        let saved = scene.holdfast.add_webhook(&scene.caller, input).await;
        let id = saved.unwrap().row.webhook_id();
        scene.failed_run().await;
        let told = receiver.next().await;
        let body: serde_json::Value = serde_json::from_str(&told.body).unwrap();
        let said = match kind {
            "telegram" => {
                assert!(
                    told.path.ends_with(&format!("/bot{BOT}/sendMessage")),
                    "{}",
                    told.path
                );
                assert_eq!(body["chat_id"], "-100123");
                &body["text"]
            }
            "ntfy" => {
                assert_eq!(told.headers["authorization"], "Bearer tk_abc");
                assert_eq!(
                    (&body["topic"], &body["priority"]),
                    (&"backups".into(), &4.into())
                );
                &body["message"]
            }
            _ => &body["content"],
        };
        let said = said.as_str().unwrap();
        for part in ["Backup failed", "the password is wrong", "set it"] {
            assert!(said.contains(part), "{kind}: {said}");
        }
        scene
            .holdfast
            .remove_webhook(&scene.caller, id)
            .await
            .unwrap();
    }
    for event in scene.events().await {
        assert!(
            !event.contains("AAHdqTcv") && !event.contains("tk_abc"),
            "{event}"
        );
    }
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_form_cannot_use_is_refused_by_name() {
    let mut scene = Scene::new(true).await;
    let head = scene.holdfast.log().head();
    let mail = [
        ("host", "127.0.0.1"),
        ("from", "a@example.org"),
        ("to", "b@example.org"),
    ];
    let with = |pair: (&'static str, &'static str)| [&mail[..], &[pair]].concat();
    for (field, input) in [
        ("secret", input("telegram", &[("chat_id", "1")], None)),
        (
            "secret",
            input("telegram", &[("chat_id", "1")], Some("1:a/../b")),
        ),
        ("settings.chat_id", input("telegram", &[], Some(BOT))),
        (
            "settings.chat_id",
            input("telegram", &[("chat_id", "a b")], Some(BOT)),
        ),
        ("settings.topic", input("ntfy", &[], None)),
        ("settings.topic", input("ntfy", &[("topic", "a/b")], None)),
        (
            "settings.priority",
            input("ntfy", &[("topic", "a"), ("priority", "9")], None),
        ),
        (
            "settings.moon",
            input("ntfy", &[("topic", "a"), ("moon", "full")], None),
        ),
        ("settings.topic", input("discord", &[("topic", "a")], None)),
        (
            "secret",
            input("ntfy", &[("topic", "a")], Some("a\r\nx: y")),
        ),
        ("settings.host", input("email", &mail[1..], None)),
        (
            "settings.host",
            input("email", &with(("host", "a b/")), None),
        ),
        ("settings.to", input("email", &with(("to", "nobody")), None)),
        (
            "settings.from",
            input("email", &with(("from", "a@b\r\nBcc: c@d")), None),
        ),
        ("settings.port", input("email", &with(("port", "0")), None)),
        (
            "settings.security",
            input("email", &with(("security", "rot13")), None),
        ),
        ("settings.user", input("email", &mail, Some("word"))),
        (
            "settings.security",
            input(
                "email",
                &[&with(("security", "none"))[..], &[("user", "u")]].concat(),
                Some("w"),
            ),
        ),
    ] {
        let refused = scene.holdfast.add_webhook(&scene.caller, input).await;
        match refused.unwrap_err() {
            AppError::Invalid(errors) => {
                assert!(errors.0.contains_key(field), "{field}: {errors:?}");
            }
            other => panic!("{field}: {other:?}"),
        }
    }
    assert_eq!(scene.holdfast.log().head(), head);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_keeps_what_it_does_not_name_and_no_other_forms_secret() {
    let mut scene = Scene::new(true).await;
    let receiver = Receiver::answering(&[]).await;
    let added = WebhookInput {
        url: receiver.url(),
        ..input(
            "ntfy",
            &[("topic", "one"), ("priority", "2")],
            Some("tk_abc"),
        )
    };
    let (holdfast, caller) = (&scene.holdfast, &scene.caller);
    let row = holdfast.add_webhook(caller, added).await.unwrap().row;
    let id = row.webhook_id();
    let before = row.spec().unwrap();

    let renamed = WebhookInput {
        name: Some("Phone".into()),
        ..WebhookInput::default()
    };
    let after = holdfast.change_webhook(caller, id, renamed).await.unwrap();
    let after = after.row.spec().unwrap();
    assert_eq!((&after.url, &after.secret), (&before.url, &before.secret));
    assert_eq!(
        (after.name.as_str(), &after.settings),
        ("Phone", &before.settings)
    );

    let change = input("ntfy", &[("topic", "two"), ("priority", "")], None);
    let after = holdfast.change_webhook(caller, id, change).await.unwrap();
    let after = after.row.spec().unwrap();
    assert_eq!(after.settings, settings(&[("topic", "two")]));
    assert!(after.secret.is_some());

    let change = WebhookInput {
        url: receiver.url(),
        ..input("discord", &[], None)
    };
    let after = holdfast.change_webhook(caller, id, change).await.unwrap();
    let after = after.row.spec().unwrap();
    assert_eq!((after.secret, after.settings.len()), (None, 0));
    scene.stop().await;
}
