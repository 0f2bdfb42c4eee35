//! What labels of a running service ask for is made without anybody clicking, and only once.

use holdfast::app::Artifacts;

use crate::{
    bed,
    house::{House, postgres},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_service_is_backed_up_as_its_labels_say() {
    let project = format!("labelled-{}", std::process::id());
    let labels = [
        "holdfast.backup.strategy=postgres",
        "simpledeploy.backup.schedule=30 4 * * 1-5",
        "holdfast.backup.retention=14d",
    ];
    let options = labels.map(|label| ["--label", label]).concat();
    let _bed = postgres(bed::POSTGRES, &project, &options);
    let house = House::new().await;
    house.app("shop", &project).await;
    let configs = async || {
        let app = house.holdfast.app(&house.caller, "shop").await.unwrap();
        let configs = house.holdfast.configs(&house.caller, &app).await;
        configs.unwrap()
    };

    let made = configs().await;
    assert_eq!(made.len(), 1, "{made:?}");
    let spec = made[0].spec();
    assert_eq!((&*spec.service, &*spec.strategy), ("db", "postgres"));
    assert_eq!(spec.schedule_cron, "30 4 * * 1-5");
    assert_eq!(spec.target, "local");
    let days = serde_json::json!({ "mode": "time", "days": 14 });
    assert_eq!(serde_json::to_value(spec.retention).unwrap(), days);
    let run = house.back_up(made[0].config_id()).await;
    assert_eq!(run.status, "success", "{run:?}");

    // What a person changed or removed stays so, however often labels are looked at.
    assert_eq!(house.holdfast.heed_labels().await.unwrap(), 0);
    assert_eq!(configs().await.len(), 1);
    let removed = house
        .holdfast
        .remove_config(&house.caller, made[0].config_id(), Artifacts::Keep)
        .await;
    removed.unwrap();
    assert_eq!(house.holdfast.heed_labels().await.unwrap(), 0);
    assert!(configs().await.is_empty());
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_that_cannot_be_meant_make_nothing() {
    let project = format!("mislabelled-{}", std::process::id());
    let service = |name: &str| format!("com.docker.compose.service={name}");
    let start = |name: &str, labels: &[&str]| {
        let service = service(name);
        let labels = labels.iter().flat_map(|label| ["--label", label]);
        let options: Vec<&str> = ["--label", &service].into_iter().chain(labels).collect();
        postgres(bed::POSTGRES, &project, &options)
    };
    let strategy = "holdfast.backup.strategy=postgres";
    let daily = "holdfast.backup.schedule=@daily";
    let _beds = [
        start("cron", &[strategy, "holdfast.backup.schedule=61 * * * *"]),
        start(
            "kept",
            &[strategy, daily, "holdfast.backup.retention=for ever"],
        ),
        start("unasked", &[strategy]),
        start("declined", &["holdfast.backup.strategy=none", daily]),
    ];
    let house = House::new().await;
    house.app("shop", &project).await;
    let app = house.holdfast.app(&house.caller, "shop").await.unwrap();
    let configs = house.holdfast.configs(&house.caller, &app).await.unwrap();
    assert!(configs.is_empty(), "{configs:?}");
    house.close().await;
}
