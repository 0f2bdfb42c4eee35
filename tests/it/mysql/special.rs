//! What only this kind of server has: accounts beside the data, several databases at once, sessions
//! that sit on tables, keys that cross databases, dumps for another server.

use std::{process::Command, time::Duration};

use holdfast::{
    docker::DockerError,
    strategy::{Site, StrategyError},
};

use super::place::{
    MARIADB, MARIADB_NEW, Place, assert_same, back_up, databases, leftovers, mysql,
};
use crate::{
    bed::until,
    workbench::{Notes, Trouble},
};

/// What the server says of the accounts; the columns of a grant come in no order.
fn accounts(place: &Place) -> Vec<String> {
    let mut words: Vec<String> = place
        .sql(ACCOUNTS)
        .split([' ', ',', '(', ')', '\n'])
        .map(ToOwned::to_owned)
        .collect();
    words.sort();
    words
}

const ACCOUNTS: &str = "SHOW GRANTS FOR app@'%'; SHOW CREATE USER app@'%'; SHOW GRANTS FOR reader@'10.%'; SHOW GRANTS FOR night;";

/// The server is lost: what a new one gets is all there was, with who may log in.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_server_gets_everything_and_an_old_one_keeps_its_passwords() {
    let place = Place::start();
    place.sql(include_str!("sample.sql"));
    let (original, before) = (place.digest(), accounts(&place));
    let backup = place.back_up().await;

    let new = Place::start_image(MARIADB, &[]);
    let site = new.site().await;
    let restored = backup.restore(&site, &Notes::default()).await.unwrap();
    assert_same(
        &without_rights(&new.digest()),
        &without_rights(&original),
        "on a new server",
    );
    assert_eq!(accounts(&new), before);
    let made = restored
        .warnings
        .iter()
        .find(|w| w.contains("have been made"))
        .unwrap();
    assert!(
        made.contains("'app'@'%'") && !made.contains("root"),
        "{made}"
    );
    // Nothing was there before: an undo leaves nothing.
    let kept = restored.kept.unwrap();
    let kept = mysql().undo(&site, &kept, &Notes::default()).await.unwrap();
    assert_eq!(new.sql("SHOW DATABASES LIKE 'shop'"), "");
    let kept = mysql().undo(&site, &kept, &Notes::default()).await.unwrap();
    assert_same(
        &without_rights(&new.digest()),
        &without_rights(&original),
        "undone twice",
    );
    mysql().forget(&site, &kept).await.unwrap();
    assert_eq!(leftovers(&new.bed), Vec::<String>::new());

    // A newer version takes it too.
    let newer = Place::start_image(MARIADB_NEW, &[]);
    let site = newer.site().await;
    let restored = backup.restore(&site, &Notes::default()).await.unwrap();
    assert_eq!(restored.fingerprint, backup.fingerprint);

    place.sql("ALTER USER app@'%' IDENTIFIED BY 'another'; DROP USER reader@'10.%'");
    let changed = place.sql("SHOW CREATE USER app@'%'");
    let site = place.site().await;
    let restored = backup.restore(&site, &Notes::default()).await.unwrap();
    assert_eq!(place.sql("SHOW CREATE USER app@'%'"), changed);
    let made: Vec<_> = restored
        .warnings
        .iter()
        .filter(|w| w.contains("have been made"))
        .collect();
    assert!(
        made.len() == 1 && made[0].ends_with("'reader'@'10.%'"),
        "{made:?}"
    );
}

/// Rights on routines come with the accounts, and those of an account's definer do not exist.
fn without_rights(digest: &str) -> String {
    digest.split("== rights").next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn chosen_databases_alone_are_backed_up_and_restored() {
    let place = Place::start();
    for name in ["shop", "blog", "a, `b"] {
        place.make_small(name);
    }
    let original = place.digest();
    let site = place
        .site_with(&[("databases", "shop, `a, ``b`")], None)
        .await;
    let backup = back_up(&site).await.unwrap();
    assert_eq!(backup.probe.subject, "shop, `a, ``b`");
    assert!(
        backup
            .fingerprint
            .counts
            .keys()
            .all(|key| !key.starts_with("blog"))
    );
    place.sql("DROP DATABASE shop");
    place.change_small("a, `b");
    let restored = backup.restore(&site, &Notes::default()).await.unwrap();
    assert_same(&place.digest(), &original, "the chosen ones");
    assert_eq!(
        restored.warnings,
        ["databases that the backup does not hold were left as they are: blog"]
    );

    for (list, words) in [("nope", "no database nope"), ("mysql", "never backed up")] {
        match back_up(&place.site_with(&[("databases", list)], None).await).await {
            Err(Trouble::Strategy(StrategyError::Option { field, message, .. })) => {
                assert_eq!(field, "options.databases");
                assert!(message.contains(words), "{message}");
            }
            other => panic!("{list}: {other:?}"),
        }
    }
    // A key of a database that stays would follow the old tables.
    place.sql("CREATE TABLE blog.tied (id INT, FOREIGN KEY (id) REFERENCES shop.things (id))");
    let notes = Notes::default();
    let error = backup.restore(&site, &notes).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the table tied of the database blog"),
        "{error}"
    );
    assert!(notes.steps().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_databases_is_no_green_backup() {
    let place = Place::start();
    let error = back_up(&place.site().await).await.unwrap_err();
    assert!(error.to_string().contains("nothing to back up"), "{error}");
    // Nor does a user without rights make one of less.
    place.make_small("shop");
    place.sql("CREATE USER few@localhost IDENTIFIED BY 'right'; GRANT SELECT ON shop.things TO few@localhost");
    let site = place.site_with(&[("user", "few")], Some("right")).await;
    let error = back_up(&site).await.unwrap_err();
    println!("not green: {error}");
    let site = place.site_with(&[("user", "few")], Some("wrong")).await;
    match back_up(&site).await.unwrap_err() {
        Trouble::Strategy(StrategyError::Option { field, .. }) => {
            assert_eq!(field, "credentials.password");
        }
        other => panic!("{other}"),
    }
}

/// Holds a lock on `shop.things` for as long as its session lives.
async fn hold(place: &Place, statement: &str) {
    let sleep = format!("SELECT SLEEP(600), '{statement}'");
    let script = format!(
        "export MYSQL_PWD=\"$MYSQL_ROOT_PASSWORD\"; mariadb -uroot shop -e \"{statement}; {sleep}\" >/dev/null 2>&1 &"
    );
    place.bed.sh(&script);
    let holds = format!(
        "SELECT COUNT(*) FROM information_schema.processlist \
         WHERE state = 'User sleep' AND info LIKE '%{statement}%'"
    );
    until("the lock is held", || place.sql(&holds).trim() == "1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_sit_on_the_tables_are_ended_and_a_broken_view_is_no_obstacle() {
    let place = Place::start();
    place.make_small("shop");
    let original = place.digest();
    let backup = place.back_up().await;
    place.change_small("shop");
    place.sql("CREATE VIEW shop.broken AS SELECT * FROM shop.later; DROP TABLE shop.later");
    hold(&place, "BEGIN; SELECT COUNT(*) FROM things").await;
    let site = place.site().await;
    let restored = backup.restore(&site, &Notes::default()).await.unwrap();
    assert_same(&place.digest(), &original, "under a long transaction");
    let said = restored.warnings.join("; ");
    assert!(
        said.contains("a broken view could not be set aside"),
        "{said}"
    );
    mysql()
        .forget(&site, &restored.kept.unwrap())
        .await
        .unwrap();

    // A backup does not wait for ever.
    hold(&place, "LOCK TABLES things WRITE").await;
    let site = Site {
        stall: Duration::from_secs(3),
        ..place.site().await
    };
    let error = back_up(&site).await.unwrap_err();
    let stalled = matches!(
        &error,
        Trouble::Strategy(StrategyError::Docker(DockerError::Stalled { .. }))
    );
    assert!(stalled, "{error}");
}

/// The code of the dump cannot be made: everything is as before, at once.
#[tokio::test(flavor = "multi_thread")]
async fn code_that_cannot_be_made_brings_everything_back() {
    let place = Place::start();
    place.make_small("shop");
    place.sql("CREATE DATABASE other; CREATE TABLE other.t (x INT); USE shop; CREATE VIEW theirs AS SELECT x FROM other.t;");
    let site = place.site_with(&[("databases", "shop")], None).await;
    let backup = back_up(&site).await.unwrap();
    place.change_small("shop");
    place.sql("DROP VIEW shop.theirs; DROP DATABASE other");
    let changed = place.digest();
    let notes = Notes::default();
    let error = backup.restore(&site, &notes).await.unwrap_err();
    assert_eq!(notes.names(), ["load", "check", "note", "swap"]);
    assert!(error.to_string().contains("other.t"), "{error}");
    assert_same(&place.digest(), &changed, "after code that failed");
    assert_eq!(leftovers(&place.bed), Vec::<String>::new());
}

/// The container's environment as the official images read it.
#[tokio::test(flavor = "multi_thread")]
async fn logins_come_from_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "from a 'file' \n").unwrap();
    let mount = format!("{}:/run/secrets/p:ro", file.display());
    let cases: [&[&str]; 3] = [
        &["-e", "MARIADB_ALLOW_EMPTY_ROOT_PASSWORD=1"],
        &["-e", "MYSQL_ALLOW_EMPTY_PASSWORD=yes"],
        &[
            "-e",
            "MARIADB_ROOT_PASSWORD_FILE=/run/secrets/p",
            "-v",
            &mount,
        ],
    ];
    for options in cases {
        let place = Place::start_with(MARIADB, options, &[]);
        let site = place.site().await;
        let error = back_up(&site).await.unwrap_err();
        assert!(
            error.to_string().contains("nothing to back up"),
            "{options:?}: {error}"
        );
    }
    // The app's user, where root's password is nowhere.
    let place = Place::start_image(
        MARIADB,
        &[
            "-e",
            "MYSQL_DATABASE=shop",
            "-e",
            "MYSQL_USER=app",
            "-e",
            "MYSQL_PASSWORD=p w",
        ],
    );
    place.sql("CREATE TABLE shop.t (x INT); INSERT INTO shop.t VALUES (1)");
    let site = place.site_with(&[("user", "app")], None).await;
    let backup = back_up(&site).await.unwrap();
    assert_eq!(backup.fingerprint.total(), 1);
    let said = backup.dumped.warnings.join("; ");
    assert!(said.contains("accounts are not in the backup"), "{said}");
    let error = backup.restore(&site, &Notes::default()).await.unwrap_err();
    let failure: holdfast::domain::failure::Failure = error.into();
    assert!(failure.hint.contains("root"), "{failure:?}");
    assert_eq!(databases(&place.bed), ["shop"]);

    place.bed.sh("rm -f /usr/bin/*dump");
    let error = mysql().probe(&place.site().await).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("mariadb-dump or mysqldump is not in the image"),
        "{error}"
    );
    let kill = Command::new("docker")
        .args(["kill", &place.bed.name])
        .output();
    assert!(kill.unwrap().status.success());
    let error = mysql().probe(&site).await.unwrap_err();
    assert!(error.to_string().contains("not running"), "{error}");
}
