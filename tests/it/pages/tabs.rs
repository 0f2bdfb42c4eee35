//! Two tabs at once, or two people: what is done in one is not undone by the other without being said.

use holdfast::{app::ConfigInput, readmodel::configs};

use super::{site::lodged, wizard::begin};
use crate::{
    bed::POSTGRES,
    house::{House, postgres},
};

/// Value of the input of that name.
fn value<'a>(page: &'a str, name: &str) -> &'a str {
    let (_, rest) = page
        .split_once(&format!(r#"name="{name}" value=""#))
        .unwrap_or_else(|| panic!("no input {name} in {page}"));
    rest.split('"').next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_was_begun_before_another_one_says_so_first() {
    let project = format!("tabs-{}", std::process::id());
    let _bed = postgres(POSTGRES, &project, &[]);
    let (house, _site, ada) = lodged().await;
    house.app("shop", &project).await;
    let config = house.config("shop", |_| {}).await;
    let path = format!("/configs/{config}");
    let form = |page: &str, name: &str| {
        let fields = [
            ("csrf", value(page, "csrf")),
            ("revision", value(page, "revision")),
            ("name", name),
            ("service", "db"),
            ("strategy", "postgres"),
            ("target", "local"),
            ("schedule_cron", "0 0 29 2 *"),
            ("time_zone", "UTC"),
            ("compression", "gzip"),
            ("retention_mode", "count"),
            ("enabled", "on"),
        ];
        fields.map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let send = async |fields: &[(String, String)]| {
        let fields = fields.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let fields: Vec<_> = fields.collect();
        ada.post(&path, &fields).await
    };
    let name = async || {
        let all = house.holdfast.scheduled_configs().await.unwrap();
        all[0].spec().name
    };

    let (one, two) = (ada.page(&path).await, ada.page(&path).await);
    let taken = send(&form(&one, "From one")).await;
    assert_eq!(taken.status(), 303);
    // Whoever has to mend a field first has not been told yet.
    let mut wrong = form(&two, "From two").to_vec();
    wrong.push(("retention_count".to_owned(), "x".to_owned()));
    let wrong = send(&wrong).await;
    assert_eq!(wrong.status(), 422);
    let two = wrong.text().await.unwrap();
    let refused = send(&form(&two, "From two")).await;
    assert_eq!(refused.status(), 422);
    let page = refused.text().await.unwrap();
    assert!(page.contains("was changed since this was begun"), "{page}");
    assert!(page.contains(r#"value="From two""#), "what was typed stays");
    assert_eq!(name().await, "From one");
    // Who was told may insist.
    assert_eq!(send(&form(&page, "From two")).await.status(), 303);
    assert_eq!(name().await, "From two");
    house.close().await;
}

/// Each gives one field and leaves the rest as it is.
#[tokio::test(flavor = "multi_thread")]
async fn changes_of_different_fields_at_once_all_hold() {
    let project = format!("at-once-{}", std::process::id());
    let _bed = postgres(POSTGRES, &project, &[]);
    let house = House::new().await;
    house.app("shop", &project).await;
    let config = house.config("shop", |_| {}).await;
    let changes = [
        ConfigInput {
            name: Some("Nightly".into()),
            ..ConfigInput::default()
        },
        ConfigInput {
            schedule_cron: Some("5 5 * * *".into()),
            ..ConfigInput::default()
        },
        ConfigInput {
            jitter_seconds: Some(60),
            ..ConfigInput::default()
        },
        ConfigInput {
            retention_count: Some(3),
            ..ConfigInput::default()
        },
        ConfigInput {
            verify_upload: Some(false),
            ..ConfigInput::default()
        },
    ];
    let each = changes.map(|input| house.holdfast.change_config(&house.caller, config, input));
    for changed in futures_util::future::join_all(each).await {
        changed.unwrap();
    }
    let now = house.holdfast.config(&house.caller, config).await.unwrap();
    let spec = now.spec();
    assert_eq!(now.revision, 6);
    assert_eq!(
        (spec.name.as_str(), spec.schedule_cron.as_str()),
        ("Nightly", "5 5 * * *")
    );
    assert_eq!((spec.jitter_seconds, spec.verify_upload), (60, false));
    assert_eq!(
        spec.retention,
        holdfast::domain::retention::Retention::Count { count: 3 }
    );
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wizard_in_each_of_two_tabs_makes_what_was_entered_there() {
    let project = format!("wizards-{}", std::process::id());
    let _bed = postgres(POSTGRES, &project, &[]);
    let (house, _site, ada) = lodged().await;
    house.app("shop", &project).await;
    let token = ada.token("/").await;
    let send = async |draft: &str, step: &str, fields: &[(&str, &str)]| {
        let fixed = [("csrf", token.as_str()), ("draft", draft)];
        let path = format!("/apps/shop/configs/new/{step}");
        let answer = ada.post(&path, &[&fixed, fields].concat()).await;
        assert_eq!(answer.status(), 303, "{step}");
    };
    let (one, two) = (begin(&ada).await, begin(&ada).await);
    assert_ne!(one, two);
    // Step by step, now here and now there.
    for (draft, cron) in [(&one, "1 1 * * *"), (&two, "2 2 * * *")] {
        let when = [
            ("schedule_cron", cron),
            ("time_zone", "UTC"),
            ("enabled", "on"),
            ("go", "next"),
        ];
        send(draft, "when", &when).await;
    }
    for (draft, name) in [(&two, "Two"), (&one, "One")] {
        send(draft, "summary", &[("name", name), ("go", "create")]).await;
    }
    let app = house.holdfast.app(&house.caller, "shop").await.unwrap();
    let configs = house.holdfast.configs(&house.caller, &app).await.unwrap();
    let mut made: Vec<_> = configs.iter().map(configs::Model::spec).collect();
    made.sort_by(|a, b| a.name.cmp(&b.name));
    let made = made
        .iter()
        .map(|spec| (spec.name.as_str(), spec.schedule_cron.as_str()));
    let made: Vec<_> = made.collect();
    assert_eq!(made, [("One", "1 1 * * *"), ("Two", "2 2 * * *")]);
    house.close().await;
}
