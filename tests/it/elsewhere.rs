//! A backup restored into another service of the same kind, and refused by one of another.

use holdfast::{
    app::{AppError, RestoreInput},
    domain::ids::RunId,
};

use crate::{
    bed::{self, Bed},
    house::{House, postgres, psql},
};

const DIGEST: &str = "SELECT count(*), md5(string_agg(note, '' ORDER BY i)) FROM notes";
const NAMES: &str = "SELECT string_agg(datname, ' ' ORDER BY datname) FROM pg_database";

fn into(service: &str) -> RestoreInput {
    RestoreInput {
        service: Some(service.to_owned()),
        ..RestoreInput::default()
    }
}

/// What is said of the field `service`.
async fn refused(house: &House, run: RunId, service: &str) -> String {
    let head = house.holdfast.log().head();
    let request = house
        .holdfast
        .request_restore(&house.caller, run, into(service));
    let Err(AppError::Invalid(errors)) = request.await else {
        panic!("{service} was taken");
    };
    assert_eq!(house.holdfast.log().head(), head);
    let preview = house
        .holdfast
        .preview_restore(&house.caller, run, Some(service.to_owned()), None)
        .await
        .unwrap();
    assert!(preview.destination.is_err());
    errors.0["service"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_service_of_the_same_kind_gets_it_and_no_other() {
    let project = format!("elsewhere-{}", std::process::id());
    let source = postgres(bed::POSTGRES, &project, &[]);
    let service = |name: &str| format!("com.docker.compose.service={name}");
    let copy = service("copy");
    // Another password, another database: nothing of the source's config fits here.
    let options = [
        "--label",
        &copy,
        "-e",
        "POSTGRES_PASSWORD=other",
        "-e",
        "POSTGRES_DB=own",
    ];
    let copy = postgres(bed::POSTGRES, &project, &options);
    let there = |database: &str, sql: &str| psql(&copy, database, sql);
    let label = format!("com.docker.compose.project={project}");
    let (web, declined) = (service("web"), service("declined"));
    let labelled = |service: &str, more: &str, image: &str| {
        let labels = ["--label", &label, "--label", service, "--label", more];
        Bed::run(image, &labels, &["sleep", "3600"])
    };
    let _web = labelled(&web, "x=y", bed::BUSYBOX);
    let none = "holdfast.backup.strategy=none";
    let _declined = labelled(&declined, none, bed::POSTGRES);

    psql(
        &source,
        "shop",
        "CREATE TABLE notes AS SELECT i, md5(i::text) note FROM generate_series(1, 5000) i",
    );
    there("own", "CREATE TABLE own AS SELECT 1 AS x");
    let house = House::new().await;
    house.app("shop", &project).await;
    let config = house.config("shop", |_| {}).await;
    let run = house.back_up(config).await;
    assert_eq!(run.status, "success", "{run:?}");
    let run = run.run_id();

    let said = refused(&house, run, "web").await;
    assert!(said.contains("web is not of this kind"), "{said}");
    assert!(said.contains(bed::BUSYBOX), "{said}");
    assert!(said.contains("holdfast.backup.strategy=postgres"), "{said}");
    assert!(refused(&house, run, "declined").await.contains("kind"));
    assert!(refused(&house, run, "none").await.contains("no service"));

    // The preview says what would be met there, not what the service's own database is.
    let preview = house
        .holdfast
        .preview_restore(&house.caller, run, Some("copy".to_owned()), None)
        .await
        .unwrap();
    assert_eq!(preview.service, "copy");
    let met = preview.destination.unwrap();
    assert_eq!((&*met.container, &*met.subject), (&*copy.name, "shop"));
    assert_eq!(met.size, None, "there is no such database yet");

    let before = psql(&source, "shop", DIGEST);
    psql(&source, "shop", "DELETE FROM notes WHERE i > 4000");
    let changed = psql(&source, "shop", DIGEST);
    // By its container's name as well.
    let restore = house
        .holdfast
        .request_restore(&house.caller, run, into(&copy.name))
        .await
        .unwrap();
    let restore = house.restore_over(restore).await;
    assert_eq!(restore.status, "success", "{restore:?}");
    assert_eq!(restore.service, "copy");
    assert_eq!(restore.container.as_deref(), Some(copy.name.as_str()));
    assert_eq!(there("shop", DIGEST), before);
    assert_eq!(there("own", "SELECT x FROM own"), "1");
    assert_eq!(
        psql(&source, "shop", DIGEST),
        changed,
        "the source is not touched"
    );

    // Now there is something to replace, and to put back.
    there("shop", "UPDATE notes SET note = 'mine' WHERE i = 1");
    let mine = there("shop", DIGEST);
    let preview = house
        .holdfast
        .preview_restore(&house.caller, run, Some("copy".to_owned()), None)
        .await
        .unwrap();
    assert!(preview.destination.unwrap().size > Some(0));
    let again = house
        .holdfast
        .request_restore(&house.caller, run, into("copy"))
        .await
        .unwrap();
    let again_over = house.restore_over(again).await;
    assert_eq!(again_over.status, "success", "{again_over:?}");
    assert_eq!(there("shop", DIGEST), before);
    house
        .holdfast
        .undo_restore(&house.caller, again)
        .await
        .unwrap();
    let undone = house.restore_over(again).await;
    assert_eq!(undone.status, "undone", "{undone:?}");
    assert_eq!(there("shop", DIGEST), mine);
    assert!(
        there("own", NAMES).contains("own"),
        "{}",
        there("own", NAMES)
    );
    house.close().await;
}
