//! Databases that no image name tells are found by looking into the service.

use crate::{
    bed::{Bed, SCRATCH_APP, SQLITE_APP},
    house::House,
};

const SEED: &str = r#"
mkdir -p /data/deep /tmp/outside
sqlite3 /data/app.db 'CREATE TABLE t(x)'
sqlite3 "/data/deep/two words; touch executed.sqlite3" 'CREATE TABLE t(x)'
cp /data/app.db /tmp/outside/unmounted.db
cp /data/app.db /data/no-database-by-name
echo 'something else' >/data/text.db
: >/data/empty.sqlite
"#;

#[tokio::test(flavor = "multi_thread")]
async fn in_the_mounts_of_services_that_run() {
    let project = format!("found-{}", std::process::id());
    let project_label = format!("com.docker.compose.project={project}");
    let start = |service: &str, image: &str, more: &[&str]| {
        let label = format!("com.docker.compose.service={service}");
        let fixed = ["--label", &project_label, "--label", &label, "-v", "/data"];
        let command: &[&str] = if image == SCRATCH_APP {
            &[]
        } else {
            &["sleep", "3600"]
        };
        Bed::run(image, &[&fixed[..], more].concat(), command)
    };
    let app = start("app", SQLITE_APP, &[]);
    let told = start(
        "told",
        SQLITE_APP,
        &["--label", "holdfast.backup.strategy=volume"],
    );
    let declined = start(
        "declined",
        SQLITE_APP,
        &["--label", "holdfast.backup.strategy=none"],
    );
    for bed in [&app, &told, &declined] {
        bed.sh(SEED);
    }
    let _shell_less = start("scratch", SCRATCH_APP, &[]);

    let house = House::new().await;
    house.app("shop", &project).await;
    let shop = house.holdfast.app(&house.caller, "shop").await.unwrap();
    let found = house.holdfast.detect(&house.caller, &shop).await.unwrap();
    assert_eq!(found.problem, None);
    let fits = |name: &str| {
        let mut services = found.services.iter();
        let service = services.find(|service| service.name == name).unwrap();
        let kinds: Vec<&str> = service.strategies.keys().copied().collect();
        (kinds, service.strategies.get("sqlite"))
    };
    let (kinds, sqlite) = fits("app");
    assert_eq!(kinds, ["sqlite", "volume"]);
    let mut paths = sqlite.unwrap().paths.clone();
    paths.sort();
    assert_eq!(
        paths,
        [
            "/data/app.db",
            "/data/deep/two words; touch executed.sqlite3"
        ]
    );
    assert_eq!(app.sh("find / -xdev -name executed"), "");
    assert_eq!(fits("told").0, ["volume"]);
    assert_eq!(fits("declined").0, [""; 0]);
    assert_eq!(fits("scratch").0, ["volume"]);
    house.close().await;
}
