//! Roles beside the data: those that are missing come back, those that are there are left alone.

use holdfast::strategy::{Settled, Site};

use super::place::{Backup, CHANGE, Notes, POSTGRES_17, Place, back_up, postgres};

/// Two logins, one in a group that owns a table; one with text that no script may take for its own.
const ROLES: &str = "
CREATE ROLE readers;
CREATE ROLE clerk LOGIN PASSWORD 'secret of the clerk' CONNECTION LIMIT 7 IN ROLE readers;
ALTER ROLE clerk SET work_mem TO '8MB';
COMMENT ON ROLE clerk IS E'x\\n\\\\connect \"shop\"; -- it''s';
CREATE ROLE \"Night \"\"Shift\"\"; --\" LOGIN PASSWORD 'another secret';
GRANT readers TO \"Night \"\"Shift\"\"; --\" WITH ADMIN OPTION;
ALTER TABLE things OWNER TO readers;
GRANT SELECT ON empty TO clerk;
";
const DROP: &str = "DROP ROLE clerk; DROP ROLE readers; DROP ROLE \"Night \"\"Shift\"\"; --\"";
/// All that a role is, password hashes too.
const LOOK: &str = "SELECT to_jsonb(a) - 'oid', shobj_description(a.oid, 'pg_authid'),
  (SELECT jsonb_agg(r.rolname ORDER BY r.rolname) FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid
    WHERE m.member = a.oid), (SELECT jsonb_agg(setconfig) FROM pg_db_role_setting WHERE setrole = a.oid)
FROM pg_authid a WHERE rolname !~ '^pg_' ORDER BY rolname";

fn roles(place: &Place) -> String {
    place.sql("template1", LOOK)
}

async fn site(place: &Place, database: &str) -> Site {
    let options = [("database", database), ("roles", "yes")];
    place.site_with(&options, None).await
}

/// A server that lost the roles, and with them the database.
fn lose(place: &Place) {
    place.sql("template1", &format!("DROP DATABASE shop; {DROP}"));
}

async fn round_trip(image: &str, database: &str) {
    let place = Place::start_image(image, &[]).await;
    place.make_small("shop");
    place.sql("shop", ROLES);
    let (original, content) = (roles(&place), place.content("shop"));
    let site = site(&place, database).await;
    let backup = back_up(&site).await.unwrap();
    assert_eq!(backup.fingerprint.counts["roles"], 4);
    assert_eq!(backup.dumped.warnings, Vec::<String>::new());

    // Over a server that has them: nothing of them is touched.
    place.sql(
        "shop",
        &format!("{CHANGE}ALTER ROLE clerk PASSWORD 'a newer one' NOLOGIN;"),
    );
    let newer = roles(&place);
    let notes = Notes::default();
    let restored = backup.restore(&site, &notes).await.unwrap();
    assert!(!notes.names().contains(&"roles".to_owned()));
    assert_eq!(restored.fingerprint, backup.fingerprint);
    place.content("shop").assert_is(&content, "restored");
    assert_eq!(roles(&place), newer);
    postgres()
        .forget(&site, &restored.kept.unwrap())
        .await
        .unwrap();

    // Over one that lost them all.
    lose(&place);
    let notes = Notes::default();
    let restored = backup.restore(&site, &notes).await.unwrap();
    assert_eq!(notes.names()[0], "roles");
    for step in notes.steps() {
        let text = format!("{} {}", step.title, step.data);
        assert!(!text.contains("SCRAM"), "{text}");
    }
    place.content("shop").assert_is(&content, "with its roles");
    assert_eq!(roles(&place), original, "{:?}", restored.warnings);
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_come_back_where_they_are_missing() {
    round_trip(super::place::POSTGRES_15, "shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_come_back_with_all_databases() {
    round_trip(POSTGRES_17, "*").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_fails_leaves_no_role_behind() {
    let place = Place::start().await;
    place.make_small("shop");
    place.sql("shop", ROLES);
    let site = site(&place, "shop").await;
    let backup = back_up(&site).await.unwrap();
    lose(&place);
    place.sql("template1", "CREATE ROLE clerk");
    let before = roles(&place);

    for step in ["roles", "stage", "load", "check", "close", "swap"] {
        let notes = Notes::refusing(step);
        backup.restore(&site, &notes).await.unwrap_err();
        assert_eq!(roles(&place), before, "{step}");
        let settled = postgres().settle(&site, &notes.steps()).await.unwrap();
        assert_eq!(settled, Settled::AsBefore);
    }
    // A statement that the server refuses: nothing of it shows, and no other role was made.
    let text = String::from_utf8(backup.bytes.to_vec()).unwrap();
    let bad = Backup {
        bytes: text
            .replace("CONNECTION LIMIT 7", "CONNECTION LIMIT -7")
            .into(),
        ..backup.clone()
    };
    place.sql("template1", "DROP ROLE clerk");
    let before = roles(&place);
    let error = bad.restore(&site, &Notes::default()).await.unwrap_err();
    assert!(error.to_string().contains("creating the roles"), "{error}");
    assert!(!format!("{error:?}").contains("SCRAM"), "{error:?}");
    assert_eq!(roles(&place), before);

    // What is cut off after the roles were made is settled later.
    let reached = std::sync::Arc::new(tokio::sync::Notify::new());
    let signal = reached.clone();
    let notes = Notes::at_nth(1, move || signal.notify_one());
    tokio::select! {
        _ = backup.restore(&site, &notes) => {}
        () = reached.notified() => {}
    }
    assert_ne!(roles(&place), before, "they were made");
    let _ = place.engine.sweep(&site.container.id, None).await;
    let settled = postgres().settle(&site, &notes.steps()).await.unwrap();
    assert_eq!(settled, Settled::AsBefore);
    assert_eq!(roles(&place), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_read_passwords_they_are_left_out() {
    let place = Place::start().await;
    place.make_small("shop");
    place.sql(
        "shop",
        // Not pg_read_all_data: that reads the passwords, too.
        "CREATE ROLE keeper LOGIN CREATEDB CREATEROLE; GRANT ALL ON LARGE OBJECT 4711 TO keeper;
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO keeper;
         GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO keeper",
    );
    let options = [("database", "shop"), ("roles", "yes"), ("user", "keeper")];
    let site = place.site_with(&options, None).await;
    let backup = back_up(&site).await.unwrap();
    let warnings = &backup.dumped.warnings;
    assert!(
        warnings[0].contains("without their passwords"),
        "{warnings:?}"
    );
    let text = String::from_utf8(backup.bytes.to_vec()).unwrap();
    assert!(text.contains("CREATE ROLE keeper;") && !text.contains("SCRAM"));
}
