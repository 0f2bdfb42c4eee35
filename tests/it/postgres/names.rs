//! Names of databases, users and files are hostile input: none is ever executed, taken for an
//! option or for a connection string; each works or is refused in words.

use holdfast::strategy::StrategyError;

use super::place::{CHANGE, Notes, Place, Trouble, back_up, postgres};

/// What anybody ever thought up.
#[rustfmt::skip]
const NASTY: &[&str] = &[
    "$(touch /tmp/owned)", "`touch /tmp/owned`", "; touch /tmp/owned", "| touch /tmp/owned",
    "& touch /tmp/owned &", "\ntouch /tmp/owned\n", "'; touch /tmp/owned; '",
    "\"; touch /tmp/owned; \"", "\\! touch /tmp/owned", "|touch /tmp/owned",
    "'; DROP DATABASE shop; --", "\"; DROP DATABASE shop; --", "$$; DROP DATABASE shop; $$",
    "/* x */", "-- x", "%s%n", "%d", "{x}", "${HOME}", "$HOME", "~", "**", "?", "[a]", "!!", "#",
    "\\", "\\\\", "\\n", "\\x41", "a\\", "'", "''", "\"", "\"\"", "`", "´", "a b", " a", "a ",
    "a\tb", "a\rb", "a\u{1b}[31mb", "\u{7f}", "\u{85}", "a/b", "/a", "../a", ".", "..", "a:b", ":a",
    "a,b", "a;b", "a|b", "a&b", "<a>", "(a)", "a@b", "a+b", "a~b", "a^b", "1", "0", "1a", "true",
    "null", "NULL", "select", "user", "public", "pg_x", "ü", "日本", "🐘", "é", "e\u{301}",
    "\u{202e}abc", "\u{200b}", "İ", "ß", "SHOP", "Shop", "all", "sameuser", "replication", "-",
    "--", "-h", "-h evil", "--help", "--version", "-f/tmp/owned", "--file=/tmp/owned", "-x",
    "host=evil", "dbname=shop", "dbname=shop host=evil", "a=b", "=", "service=x",
    "postgresql://evil/x", "postgres://evil/x", "postgres://", "a://b", "hf_stage_7_00000000",
    "hf_undo_7_00000000", "template0", "template1", "", "a\0b",
];

fn nasty() -> Vec<String> {
    let mut names: Vec<String> = NASTY.iter().map(|part| (*part).to_owned()).collect();
    for (letter, count) in [("x", 63), ("x", 64), ("ü", 31), ("ü", 32)] {
        names.push(letter.repeat(count));
    }
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_nasty_names_work_or_are_refused() {
    let place = Place::start().await;
    let names = nasty();
    assert!(names.len() >= 100);

    let (mut worked, mut refused) = (0, 0);
    let mut script = Vec::new();
    for name in &names {
        let site = place.site_with(&[("database", name)], None).await;
        if postgres().check(&site.options).is_ok() && !name.is_empty() {
            script.push(format!(
                "CREATE DATABASE \"{}\";\n",
                name.replace('"', "\"\"")
            ));
        }
    }
    place.sql("template1", &script.concat());
    for name in &names {
        let site = place.site_with(&[("database", name)], None).await;
        if name.is_empty() {
            continue; // Not set: the image's own.
        }
        if let Err(errors) = postgres().check(&site.options) {
            assert!(errors.0.contains_key("options.database"), "{name:?}");
            // Even when nobody checked.
            match back_up(&site).await {
                Err(Trouble::Strategy(StrategyError::Option { field, .. })) => {
                    assert_eq!(field, "options.database", "{name:?}");
                }
                other => panic!("{name:?}: {other:?}"),
            }
            refused += 1;
            continue;
        }
        let backup = back_up(&site)
            .await
            .unwrap_or_else(|error| panic!("{name:?}: {error}"));
        assert_eq!(&backup.probe.subject, name);
        worked += 1;
    }
    // As user names.
    for name in &names {
        let site = place.site_with(&[("user", name)], None).await;
        if !name.is_empty() && postgres().check(&site.options).is_err() {
            match postgres().probe(&site).await {
                Err(StrategyError::Option { field, .. }) => assert_eq!(field, "options.user"),
                other => panic!("{name:?}: {other:?}"),
            }
        }
    }
    let owned = place
        .bed
        .sh("ls /tmp/owned /owned 2>/dev/null || echo none");
    assert_eq!(owned, "none");
    assert!(place.databases().contains(&"shop".to_owned()));
    println!(
        "figure: postgres: {} names: {worked} worked, {refused} refused, 0 executed",
        names.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_and_users_with_nasty_names_are_restored() {
    let place = Place::start().await;
    for name in [
        "$(touch /tmp/owned)",
        "'; DROP DATABASE shop; --\"\\",
        " \\! touch /tmp/owned",
        "日本 🐘 %s",
    ] {
        place.make_small(name);
        place
            .try_sql(
                name,
                "CREATE ROLE :\"name\" LOGIN SUPERUSER",
                &["-v", &format!("name={name}")],
            )
            .unwrap();
        let original = place.digest(name);
        let site = place
            .site_with(&[("database", name), ("user", name)], None)
            .await;
        let backup = back_up(&site).await.unwrap();
        place.sql(name, CHANGE);
        let changed = place.digest(name);
        let restored = backup.restore(&site, &Notes::default()).await.unwrap();
        place.digest(name).assert_is(&original, name);
        let kept = restored.kept.unwrap();
        let kept = postgres()
            .undo(&site, &kept, &Notes::default())
            .await
            .unwrap();
        place.digest(name).assert_is(&changed, name);
        postgres().forget(&site, &kept).await.unwrap();
        assert_eq!(
            place.bed.sh("ls /tmp/owned 2>/dev/null || echo none"),
            "none"
        );
    }
}
