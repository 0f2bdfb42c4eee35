//! The page of what lies in the targets: it changes nothing by being looked at, and nothing that was not
//! typed.

use std::fs;

use holdfast::domain::access::Role;

use super::site::{Site, Visitor, add_user};
use crate::{house::House, note, reconcile::stray};

#[tokio::test(flavor = "multi_thread")]
async fn a_stray_is_adopted_by_a_press_and_deleted_by_its_name() {
    const PAGE: &str = "/system/artifacts";
    let (project, _bed) = note::service("page-artifacts");
    let house = House::new().await;
    add_user(&house, "ada", Role::Admin).await;
    add_user(&house, "olga", Role::Operator).await;
    let site = Site::of(&house);
    house.app("shop", &project).await;
    let config = house
        .config("shop", |input| {
            input.strategy = Some("sqlite".into());
            input.paths = Some(vec![note::FILE.into()]);
        })
        .await;
    let run = house.back_up(config).await;
    let key = run.file_path.clone().unwrap();
    let artifact = house.data.path().join("backups").join(&key);
    let adopted = stray(&artifact, &key, "adopted");
    let deleted = stray(&artifact, &key, "deleted");
    house.holdfast.ship_log().await.unwrap();

    let olga = Visitor::logged_in(&site, "olga").await;
    assert_eq!(olga.get(PAGE).await.status(), 403);
    let ada = Visitor::logged_in(&site, "ada").await;
    let before = house.changes().await;
    let page = ada.page(PAGE).await;
    assert!(page.contains(&adopted) && page.contains(&deleted), "{page}");
    assert!(page.contains("1 backup as the log says"), "{page}");
    assert_eq!(
        house.changes().await,
        before,
        "nothing is changed by looking"
    );
    let (_, rest) = page.split_once(r#"name="place" value=""#).unwrap();
    let place = rest.split('"').next().unwrap();

    let token = ada.token(PAGE).await;
    let send = async |action: &str, key: &str, confirm: &str| {
        let fields = [
            ("csrf", token.as_str()),
            ("place", place),
            ("key", key),
            ("confirm", confirm),
        ];
        let answer = ada.post(&format!("{PAGE}/{action}"), &fields).await;
        let status = answer.status().as_u16();
        (status, answer.text().await.unwrap())
    };
    let (status, page) = send("delete", &deleted, "yes").await;
    assert_eq!(status, 422);
    assert!(page.contains("to confirm") && house.changes().await == before);
    let (_, page) = send("delete", &key, key.rsplit('/').next().unwrap()).await;
    assert!(page.contains("a run keeps") && artifact.exists(), "{page}");
    let name = deleted.rsplit('/').next().unwrap();
    let (status, page) = send("delete", &deleted, name).await;
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("is deleted."), "{page}");
    assert!(!artifact.with_file_name(name).exists());
    let (status, page) = send("adopt", &adopted, "").await;
    assert_eq!(status, 200, "{page}");
    assert!(page.contains(r#"href="/runs/2""#), "{page}");

    fs::remove_file(&artifact).unwrap();
    let page = ada.page(PAGE).await;
    assert!(page.contains("Nothing else holds it"), "{page}");
    let (_, page) = send("verify", "", "").await;
    assert!(page.contains("1 run will be read again"), "{page}");
    house.close().await;
}
