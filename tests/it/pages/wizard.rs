//! The steps to a new config, request by request: what is kept between them, for whom, and that the last one
//! makes one config however often it is pressed.

use holdfast::domain::access::Role;

use super::site::{Visitor, add_user, lodged};
use crate::house::postgres;

const STEPS: &str = "/apps/shop/configs/new";
const TYPED: &str = "canary-typed-once";

/// Of the draft that a new wizard begins.
pub async fn begin(ada: &Visitor) -> String {
    let answer = ada.get(STEPS).await;
    assert_eq!(answer.status(), 303);
    let to = answer.headers()["location"].to_str().unwrap().to_owned();
    let (path, draft) = to.split_once("?draft=").expect("a draft");
    assert_eq!(path, format!("{STEPS}/what"));
    draft.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_entered_lies_in_memory_for_whoever_entered_it() {
    let (house, site, ada) = lodged().await;
    house.app("shop", "wizard-no-such-project").await;
    let draft = begin(&ada).await;
    let token = ada.token("/").await;
    let send = async |step: &str, fields: &[(&str, &str)]| {
        let fixed = [("csrf", token.as_str()), ("draft", draft.as_str())];
        let fields = [&fixed, fields].concat();
        ada.post(&format!("{STEPS}/{step}"), &fields).await
    };
    let at = |step: &str| format!("{STEPS}/{step}?draft={draft}");
    let what = [
        ("pick", "other"),
        ("service", "db"),
        ("strategy", "postgres"),
        ("strategy.postgres.password", TYPED),
        ("go", "again"),
    ];
    let answer = send("what", &what).await;
    assert_eq!(answer.headers()["location"].to_str().unwrap(), at("what"));
    let place = [
        ("target", "s3"),
        ("target.s3.bucket", "backups"),
        ("target.s3.secret_key", TYPED),
        ("go", "back"),
    ];
    let answer = send("where", &place).await;
    assert_eq!(answer.headers()["location"].to_str().unwrap(), at("what"));
    for step in ["what", "where", "when", "around", "keep", "summary"] {
        let page = ada.page(&at(step)).await;
        assert!(!page.contains(TYPED), "{step}");
    }
    let page = ada.page(&at("where")).await;
    assert!(page.contains(r#"value="backups""#) && page.contains(r#"value="••••""#));

    // A step that is wrong says so and where; the last one says all of it, with the way there.
    let answer = send("where", &[("target", "s3"), ("target.s3.bucket", "A B")]).await;
    assert_eq!(answer.status(), 422);
    let page = answer.text().await.unwrap();
    assert!(page.contains(r#"id="target.s3.bucket-error""#), "{page}");
    let page = ada.page(&at("summary")).await;
    assert!(
        page.contains("Not yet.") && page.contains("lower-case letters"),
        "{page}"
    );
    let answer = send("summary", &[("go", "create")]).await;
    assert_eq!(answer.status(), 422);

    // To anybody else there is no such draft, and of an old one nothing but that it is gone.
    add_user(&house, "eve", Role::Admin).await;
    let eve = Visitor::logged_in(&site, "eve").await;
    let answer = eve.get(&at("where")).await;
    let to = answer.headers()["location"].to_str().unwrap().to_owned();
    assert!(to.ends_with("&gone=yes") && !to.contains(&draft), "{to}");
    let page = eve.page(&to).await;
    assert!(page.contains("What was entered is gone") && !page.contains("backups\""));
    let unknown = ada.get(&format!("{STEPS}/summary?draft=none")).await;
    assert!(
        unknown.headers()["location"]
            .to_str()
            .unwrap()
            .ends_with("&gone=yes")
    );
    assert_eq!(ada.get(&format!("{STEPS}/nonsense")).await.status(), 404);

    // Nothing of it is on the disk, sealed or not.
    for entry in std::fs::read_dir(house.data.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let held = bytes
                .windows(TYPED.len())
                .any(|part| part == TYPED.as_bytes());
            assert!(!held, "{}", path.display());
        }
    }
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_step_makes_one_config_however_often_it_is_pressed() {
    let project = format!("wizard-{}", std::process::id());
    let _bed = postgres(crate::bed::POSTGRES, &project, &[]);
    let (house, _site, ada) = lodged().await;
    house.app("shop", &project).await;
    let draft = begin(&ada).await;
    let token = ada.token("/").await;
    let press = async |go: &str| {
        let fields = [
            ("csrf", token.as_str()),
            ("draft", draft.as_str()),
            ("name", "Nightly"),
            ("go", go),
        ];
        let answer = ada.post(&format!("{STEPS}/summary"), &fields).await;
        assert_eq!(answer.status(), 303, "{:?}", answer.text().await);
        answer.headers()["location"].to_str().unwrap().to_owned()
    };
    let (one, two) = tokio::join!(press("run"), press("run"));
    assert_eq!((one.as_str(), two.as_str()), ("/runs/1", "/runs/1"));
    // And who comes back to it is led to what it made.
    assert_eq!(press("create").await, "/runs/1");
    let back = ada.get(&format!("{STEPS}/when?draft={draft}")).await;
    assert_eq!(back.headers()["location"], "/runs/1");
    let app = house.holdfast.app(&house.caller, "shop").await.unwrap();
    let configs = house.holdfast.configs(&house.caller, &app).await.unwrap();
    let names: Vec<String> = configs.iter().map(|config| config.spec().name).collect();
    assert_eq!(names, ["Nightly"]);
    assert_eq!(house.run_count().await, 1);
    house.run_over(holdfast::domain::ids::RunId(1)).await;
    house.close().await;
}
