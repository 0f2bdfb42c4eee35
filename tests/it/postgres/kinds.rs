//! Databases of every kind come back as they were: what belongs to the database itself, odd
//! encodings, none or very many objects, none at all, and the server's own database.

use super::place::{CHANGE, Notes, POSTGRES_17, Place, USER, back_up, postgres};
use crate::session::Session;

/// Everything that a database has besides its content, as the server shows it.
const PROFILE: &str = "SELECT row(datdba::regrole, pg_encoding_to_char(encoding), datcollate, datctype,
  to_jsonb(d)->>'datlocprovider', coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale'), datconnlimit,
  datistemplate, datallowconn, dattablespace, shobj_description(oid, 'pg_database'),
  (SELECT array_agg(a::text ORDER BY a::text) FROM unnest(datacl) a),
  (SELECT array_agg(setrole::text || setconfig::text ORDER BY setrole) FROM pg_db_role_setting WHERE setdatabase = d.oid))
  FROM pg_database d WHERE datname = 'shop';";

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_the_database_itself_is_kept() {
    for image in [super::place::POSTGRES_15, POSTGRES_17] {
        let place = Place::start_image(image, &[]).await;
        place.bed.sh("install -d -o postgres /tmp/space");
        place.sql(
            "postgres",
            "CREATE ROLE \"Own \"\"er\" LOGIN; CREATE ROLE a; CREATE ROLE \"b; --\"; CREATE ROLE reader LOGIN;",
        );
        place.sql(
            "postgres",
            "CREATE TABLESPACE elsewhere LOCATION '/tmp/space'",
        );
        place.sql("postgres", "DROP DATABASE shop");
        let provider = "LOCALE_PROVIDER icu ICU_LOCALE 'de-u-co-phonebk'";
        place.sql(
            "postgres",
            &format!("CREATE DATABASE shop TEMPLATE template0 OWNER \"Own \"\"er\" ENCODING 'UTF8' {provider} TABLESPACE elsewhere"),
        );
        place.make_small("shop");
        place.sql(
            "shop",
            "COMMENT ON DATABASE shop IS E'it''s \\\\ a\\ncomment';
            ALTER DATABASE shop CONNECTION LIMIT 17;
            ALTER DATABASE shop SET search_path = 'a, b', \"C d\", public;
            ALTER DATABASE shop SET DateStyle = 'ISO, DMY';
            ALTER DATABASE shop SET app.tenant = 'x=y ''z''\\ ';
            ALTER DATABASE shop SET default_transaction_read_only = on;
            ALTER ROLE \"b; --\" IN DATABASE shop SET work_mem = '7MB';
            ALTER ROLE reader IN DATABASE shop SET search_path = '';
            SET default_transaction_read_only = off;
            REVOKE ALL ON DATABASE shop FROM PUBLIC;
            GRANT CONNECT, TEMPORARY ON DATABASE shop TO a WITH GRANT OPTION;
            GRANT CREATE ON DATABASE shop TO \"b; --\";
            SET ROLE a; GRANT CONNECT ON DATABASE shop TO \"b; --\" WITH GRANT OPTION; RESET ROLE;
            SET ROLE \"b; --\"; GRANT CONNECT ON DATABASE shop TO reader; RESET ROLE;
            ALTER DATABASE shop IS_TEMPLATE true;",
        );
        let (original, profile) = (place.digest("shop"), place.sql("postgres", PROFILE));
        let backup = place.back_up("shop").await;
        place.sql(
            "shop",
            &format!("SET default_transaction_read_only = off; {CHANGE}"),
        );
        let site = place.site().await;
        let restored = backup.restore(&site, &Notes::default()).await.unwrap();
        assert_eq!(restored.warnings, Vec::<String>::new());
        assert_eq!(place.sql("postgres", PROFILE), profile);
        place.digest("shop").assert_is(&original, image);
        // A template can be dropped only when it is none.
        postgres()
            .forget(&site, &restored.kept.unwrap())
            .await
            .unwrap();
        assert_eq!(place.databases(), ["postgres", "shop", "template1"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_encodings() {
    let place = Place::start().await;
    for (database, encoding, script) in [
        (
            "latin",
            "LATIN1",
            "SET client_encoding = 'UTF8'; CREATE TABLE \"naïve\" (\"é\" text); INSERT INTO \"naïve\" VALUES ('é\\.ü')",
        ),
        (
            "ascii",
            "SQL_ASCII",
            "CREATE TABLE \"caf\u{e9}\" AS SELECT E'\\xe9\\x80\\xff' AS x, '日本' AS y",
        ),
        (
            "euc",
            "EUC_JP",
            "SET client_encoding = 'UTF8'; CREATE TABLE \"日本\" AS SELECT '表ソ能' AS x",
        ),
    ] {
        place.sql("postgres", &format!("CREATE DATABASE {database} TEMPLATE template0 ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C'"));
        place.sql(database, script);
        let query = "SELECT string_agg(t.x, ',') FROM (SELECT (xpath('/row/c/text()', query_to_xml('SELECT md5(string_agg(textsend(t::text)::text, '''')) AS c FROM ' || oid::regclass || ' t', false, true, '')))[1]::text AS x FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1) t";
        let original = place.sql(database, query);
        assert!(original.len() >= 32, "{original}");
        let site = place.site_with(&[("database", database)], None).await;
        let backup = back_up(&site).await.unwrap();
        assert_eq!(backup.fingerprint.total(), 1, "{:?}", backup.fingerprint);
        place.sql(database, "DROP SCHEMA public CASCADE; CREATE SCHEMA public");
        backup
            .restore(&site, &Notes::default())
            .await
            .unwrap_or_else(|error| panic!("{encoding}: {error}"));
        assert_eq!(place.sql(database, query), original, "{encoding}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_empty_the_missing_and_the_servers_own() {
    let place = Place::start().await;
    let site = place.site().await;

    let empty = place.back_up("shop").await;
    assert!(empty.fingerprint.counts.is_empty());
    place.make_small("shop");
    empty.restore(&site, &Notes::default()).await.unwrap();
    assert_eq!(
        place.sql(
            "shop",
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        ),
        "0"
    );

    // Destroyed: there is nothing to replace, and nothing to keep.
    place.make_small("shop");
    let original = place.content("shop");
    let backup = place.back_up("shop").await;
    place.sql("postgres", "DROP DATABASE shop");
    let notes = Notes::default();
    let restored = backup.restore(&site, &notes).await.unwrap();
    assert_eq!(restored.kept, None);
    assert!(restored.warnings[0].contains("there was no database shop"));
    place
        .content("shop")
        .assert_is(&original, "a database that was dropped");
    let settled = postgres().settle(&site, &notes.steps()).await.unwrap();
    assert_eq!(settled, holdfast::strategy::Settled::Restored(None));

    // The database that everything else is looked at from.
    place.make_small("postgres");
    let original = place.digest("postgres");
    let site = place.site_with(&[("database", "postgres")], None).await;
    let backup = back_up(&site).await.unwrap();
    place.sql("postgres", CHANGE);
    let changed = place.digest("postgres");
    let restored = backup.restore(&site, &Notes::default()).await.unwrap();
    place
        .digest("postgres")
        .assert_is(&original, "the database postgres");
    let kept = restored.kept.unwrap();
    let kept = postgres()
        .undo(&site, &kept, &Notes::default())
        .await
        .unwrap();
    place
        .digest("postgres")
        .assert_is(&changed, "the database postgres, undone");
    postgres().forget(&site, &kept).await.unwrap();
}

/// More objects than one transaction can lock.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_tables_and_large_objects() {
    let place = Place::start().await;
    place.sql(
        "shop",
        "DO $$ BEGIN FOR i IN 1..1200 LOOP
            EXECUTE format('CREATE TABLE t%s (id serial PRIMARY KEY, x text)', i);
            EXECUTE format('INSERT INTO t%s (x) SELECT ''x'' FROM generate_series(1, %s)', i, i % 5);
            IF i % 200 = 0 THEN COMMIT; END IF;
        END LOOP; END $$;
        SELECT count(lo_from_bytea(0, n::text::bytea)) FROM generate_series(1, 3000) n \\g /dev/null",
    );
    let original = place.digest("shop");
    let started = std::time::Instant::now();
    let backup = place.back_up("shop").await;
    let dumped = started.elapsed();
    assert_eq!(backup.fingerprint.counts["large objects"], 3000);
    assert_eq!(backup.fingerprint.counts["public.t1199"], 4);
    place.sql("shop", "DROP TABLE t7; DELETE FROM t9; SELECT lo_unlink(oid) FROM pg_largeobject_metadata LIMIT 5 \\g /dev/null");
    let started = std::time::Instant::now();
    backup
        .restore(&place.site().await, &Notes::default())
        .await
        .unwrap();
    place
        .digest("shop")
        .assert_is(&original, "thousands of objects");
    println!(
        "figure: postgres: 1200 tables, 3000 large objects: dumped in {:.1} s, restored in {:.1} s",
        dumped.as_secs_f64(),
        started.elapsed().as_secs_f64()
    );
}

/// A stand-in with the traits that matter: its table refuses rows unless it was told of a restore.
#[tokio::test(flavor = "multi_thread")]
async fn timescale_is_told_of_the_restore() {
    let place = Place::start().await;
    let sql = "CREATE SCHEMA _timescaledb_catalog;
CREATE TABLE _timescaledb_catalog.hypertable (id int);
INSERT INTO _timescaledb_catalog.hypertable VALUES (-1);
SELECT pg_extension_config_dump('_timescaledb_catalog.hypertable', 'WHERE id > 0');
CREATE FUNCTION told() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN
  IF coalesce(current_setting('timescaledb.restoring', true), '') <> 'on' THEN RAISE 'nobody told'; END IF; RETURN NEW; END $f$;
CREATE TRIGGER told BEFORE INSERT ON _timescaledb_catalog.hypertable FOR EACH ROW EXECUTE FUNCTION told();
CREATE FUNCTION timescaledb_pre_restore() RETURNS bool LANGUAGE plpgsql AS $f$ BEGIN
  EXECUTE format('ALTER DATABASE %I SET timescaledb.restoring = on', current_database()); RETURN true; END $f$;
CREATE FUNCTION timescaledb_post_restore() RETURNS bool LANGUAGE plpgsql AS $f$ BEGIN
  EXECUTE format('ALTER DATABASE %I RESET timescaledb.restoring', current_database()); RETURN true; END $f$;";
    place.bed.sh(&format!(
        "cd /usr/share/postgresql/15/extension && printf 'default_version = 1\\n' > timescaledb.control && cat > timescaledb--1.sql <<'EOF'\n{sql}\nEOF"
    ));
    place.sql(
        "shop",
        "CREATE EXTENSION timescaledb; SELECT timescaledb_pre_restore()",
    );
    place.sql("shop", "INSERT INTO _timescaledb_catalog.hypertable VALUES (1), (2); SELECT timescaledb_post_restore()");
    let original = place.digest("shop");
    let backup = place.back_up("shop").await;
    assert_eq!(
        backup.fingerprint.counts["_timescaledb_catalog.hypertable"],
        2
    );
    let restored = backup
        .restore(&place.site().await, &Notes::default())
        .await
        .unwrap();
    assert_eq!(restored.fingerprint, backup.fingerprint);
    assert_eq!(restored.warnings, Vec::<String>::new());
    place
        .digest("shop")
        .assert_is(&original, "with the extension");
    assert_eq!(
        place.sql(
            "shop",
            "SELECT count(*) FROM _timescaledb_catalog.hypertable"
        ),
        "3"
    );
}

/// Its other end does not exist: nothing may try to reach it.
#[tokio::test(flavor = "multi_thread")]
async fn subscriptions_do_not_stand_in_the_way() {
    let place = Place::start().await;
    place.make_small("shop");
    place.sql(
        "shop",
        "CREATE SUBSCRIPTION news CONNECTION 'host=nowhere.invalid password=canary' PUBLICATION p WITH (connect = false);
        CREATE PUBLICATION ours FOR TABLE things",
    );
    let original = place.digest("shop");
    let backup = place.back_up("shop").await;
    place.sql("shop", CHANGE);
    let changed = place.digest("shop");
    let site = place.site().await;

    let mut wrong = backup.clone();
    *wrong.fingerprint.counts.get_mut("public.things").unwrap() += 1;
    wrong.restore(&site, &Notes::default()).await.unwrap_err();
    let late = Notes::refusing("close");
    backup.restore(&site, &late).await.unwrap_err();
    assert_eq!(place.databases(), ["postgres", "shop", "template1"]);
    place.digest("shop").assert_is(&changed, "after failures");

    let restored = backup.restore(&site, &Notes::default()).await.unwrap();
    assert_eq!(
        restored.warnings,
        ["subscriptions are restored, but not enabled: 1"]
    );
    place
        .digest("shop")
        .assert_is(&original, "with a subscription");
    postgres()
        .forget(&site, &restored.kept.unwrap())
        .await
        .unwrap();
    assert_eq!(place.databases(), ["postgres", "shop", "template1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_keeps_a_database_from_being_renamed_is_found_first() {
    let place = Place::start_with(
        super::place::POSTGRES_15,
        &[],
        &[
            "-c",
            "max_prepared_transactions=5",
            "-c",
            "wal_level=logical",
        ],
    )
    .await;
    place.make_small("shop");
    let backup = place.back_up("shop").await;
    place.sql(
        "shop",
        "BEGIN; INSERT INTO things (name) VALUES ('x'); PREPARE TRANSACTION 'pending'",
    );
    let site = place.site().await;
    let notes = Notes::default();
    let error = backup.restore(&site, &notes).await.unwrap_err();
    assert!(
        error.to_string().contains("prepared transactions"),
        "{error}"
    );
    assert!(notes.steps().is_empty());
    place.sql("shop", "COMMIT PREPARED 'pending'");

    // A slot belongs to the database that would be set aside, and keeps its log for ever.
    let slot = "SELECT pg_create_logical_replication_slot('feed', 'test_decoding') \\g /dev/null";
    place.sql("shop", slot);
    let error = backup.restore(&site, &notes).await.unwrap_err();
    assert!(error.to_string().contains("replication slots"), "{error}");
    assert!(notes.steps().is_empty());
    place.sql("shop", "SELECT pg_drop_replication_slot('feed')");
    backup.restore(&site, &Notes::default()).await.unwrap();
}

/// What cannot be given again is told, and does not stand in the way.
#[tokio::test(flavor = "multi_thread")]
async fn a_grant_that_cannot_be_given_again_is_a_warning() {
    let place = Place::start().await;
    place.make_small("shop");
    place.sql(
        "shop",
        "CREATE ROLE a; CREATE ROLE b; CREATE ROLE c; GRANT CONNECT ON DATABASE shop TO a WITH GRANT OPTION;
        SET ROLE a; GRANT CONNECT ON DATABASE shop TO b; RESET ROLE;
        UPDATE pg_database SET datacl = array_replace(datacl, 'b=c/a'::aclitem, 'b=c/c'::aclitem) WHERE datname = 'shop'",
    );
    let original = place.content("shop");
    let backup = place.back_up("shop").await;
    place.sql("shop", CHANGE);
    let restored = backup
        .restore(&place.site().await, &Notes::default())
        .await
        .unwrap();
    assert_eq!(
        restored.warnings,
        ["the database's grants could not be carried over"]
    );
    place
        .content("shop")
        .assert_is(&original, "without a grant");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_without_other_rights_restores_its_own_database() {
    let place = Place::start().await;
    place.sql(
        "postgres",
        "CREATE ROLE owner LOGIN CREATEDB PASSWORD 'right'; ALTER DATABASE shop OWNER TO owner",
    );
    place.sql(
        "shop",
        "SET ROLE owner; CREATE TABLE own AS SELECT i FROM generate_series(1, 1000) i",
    );
    let original = place.digest("shop");
    let site = place.site_with(&[("user", "owner")], Some("right")).await;
    let backup = back_up(&site).await.unwrap();
    place.sql("shop", "DELETE FROM own");

    // A session that it may not end: everything stays open and as it was.
    let session = Session::open(&place.bed.name, USER, "shop", "SELECT 1");
    let error = backup.restore(&site, &Notes::default()).await.unwrap_err();
    assert!(error.to_string().contains("must be"), "{error}");
    assert_eq!(place.sql("shop", "SELECT count(*) FROM own"), "0");
    assert_eq!(place.databases(), ["postgres", "shop", "template1"]);

    session.end();
    let restored = backup.restore(&site, &Notes::default()).await.unwrap();
    place.digest("shop").assert_is(&original, "by its owner");
    postgres()
        .forget(&site, &restored.kept.unwrap())
        .await
        .unwrap();
}
