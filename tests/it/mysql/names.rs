//! Names and passwords are hostile input: none is ever executed or taken for an option; each works or
//! is refused in words. And what a real server will not do on demand: scripted.

use std::{sync::Arc, time::Duration};

use holdfast::{
    docker::{
        Engine as _,
        fake::{FakeEngine, Script},
    },
    domain::{failure::Failure, secret::Secret},
    strategy::{Options, Site, StrategyError},
};
use tokio_util::sync::CancellationToken;

use super::place::{Place, assert_same, back_up, databases, mysql, try_sql};
use crate::workbench::{Heap, Notes, judge};

/// What anybody ever thought up.
#[rustfmt::skip]
const NASTY: &[&str] = &[
    "$(touch /tmp/owned)", "`touch /tmp/owned`", "; touch /tmp/owned", "| touch /tmp/owned",
    "& touch /tmp/owned &", "\ntouch /tmp/owned\n", "'; touch /tmp/owned; '",
    "\"; touch /tmp/owned; \"", "\\! touch /tmp/owned", "|touch /tmp/owned", "system touch /tmp/owned",
    "'; DROP DATABASE shop; -- ", "`; DROP DATABASE shop; -- ", "*/ DROP DATABASE shop; /*",
    "/*!50003 x", "/* x */", "-- x", "# x", "%s%n", "%d", "{x}", "${HOME}", "$HOME", "~", "*", "?", "[a]",
    "!!", "#", "\\", "\\\\", "\\n", "\\x41", "a\\", "'", "''", "\"", "\"\"", "`", "``", "´", "a b", " a",
    "a\tb", "a\rb", "a\u{1b}[31mb", "\u{7f}", "\u{85}", "a/b", "/a", "../a", ".", "..", "a.b", "a:b",
    ":a", "a,b", ",", "a;b", "a|b", "a&b", "<a>", "(a)", "a@b", "a+b", "a~b", "a^b", "1", "0", "1a",
    "1e5", "true", "null", "NULL", "select", "values", "USE", "delimiter", "DELIMITER ;;", "source x",
    "ü", "日本", "é", "e\u{301}", "\u{202e}abc", "\u{200b}", "İ", "ß", "SHOP2", "Shop",
    "@", "lost+found", "-", "--", "-h", "-h evil", "--help", "--version", "--result-file=/tmp/owned",
    "-r/tmp/owned", "--init-command=DROP DATABASE shop", "--defaults-file=/tmp/x", "-pevil", "mysql",
    "sys", "information_schema", "hf_undo_7_00000000", "hf_stage_7_00000000_1", "🐘", "", "a\0b",
];

fn listed(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_with_nasty_names_are_backed_up_and_restored() {
    let place = Place::start();
    place.make_small("shop");
    let mut names: Vec<String> = NASTY.iter().map(|name| (*name).to_owned()).collect();
    names.extend(["x".repeat(64), "x".repeat(65), "ü".repeat(64)]);
    let (mut made, mut refused) = (Vec::new(), 0);
    for name in &names {
        let list = listed(name);
        let options = Options {
            plain: [("databases".to_owned(), list.clone())].into(),
            ..Options::default()
        };
        if mysql().check(&options).is_err() {
            refused += 1;
            continue;
        }
        let script = format!(
            "CREATE DATABASE {list}; USE {list}; CREATE TABLE {list} ({list} INT); INSERT INTO {list} VALUES (1);"
        );
        match try_sql(&place.bed, &script) {
            Ok(_) => made.push(name.clone()),
            // The server itself takes no such name.
            Err(_) => refused += 1,
        }
    }
    let original = place.digest();
    let list: Vec<String> = made.iter().map(|name| listed(name)).collect();
    let site = place
        .site_with(&[("databases", &list.join(", "))], None)
        .await;
    let backup = back_up(&site).await.unwrap();
    assert_eq!(backup.fingerprint.total(), made.len() as u64);
    let drops: Vec<String> = list
        .iter()
        .map(|name| format!("DROP DATABASE {name};"))
        .collect();
    place.sql(&drops.concat());
    let restored = backup.restore(&site, &Notes::default()).await.unwrap();
    assert_same(&place.digest(), &original, "after the restore");
    let all = back_up(&place.site().await).await.unwrap();
    assert_eq!(all.fingerprint.total(), made.len() as u64 + 4010);
    mysql()
        .forget(&site, &restored.kept.unwrap())
        .await
        .unwrap();

    // As users and passwords.
    let logins: Vec<&&str> = NASTY
        .iter()
        .filter(|name| !name.is_empty() && !name.contains('\0'))
        .step_by(6)
        .collect();
    for name in &logins {
        let quoted = name.replace('\\', "\\\\").replace('\'', "''");
        let plain = [("user".to_owned(), (**name).to_owned())].into();
        let fits = mysql().check(&Options {
            plain,
            ..Options::default()
        });
        let user = if fits.is_ok() { name } else { "plain" };
        let user_quoted = user.replace('\\', "\\\\").replace('\'', "''");
        place.sql(&format!("CREATE OR REPLACE USER '{user_quoted}'@localhost IDENTIFIED BY '{quoted}'; GRANT ALL ON *.* TO '{user_quoted}'@localhost;"));
        let site = place
            .site_with(&[("user", user), ("databases", "shop")], Some(name))
            .await;
        mysql()
            .probe(&site)
            .await
            .unwrap_or_else(|error| panic!("{name:?}: {error}"));
    }
    let owned = place
        .bed
        .sh("ls /tmp/owned /owned /var/lib/mysql/owned 2>/dev/null || echo none");
    assert_eq!(owned, "none");
    assert!(databases(&place.bed).contains(&"shop".to_owned()));
    println!(
        "figure: mysql: {} names: {} worked, {refused} refused, {} as users and passwords, 0 executed",
        names.len(),
        made.len(),
        logins.len(),
    );
}

const DUMP: &str = "-- MariaDB dump 10.19\nUSE `shop`;\nCREATE TABLE `t` (x int);\nINSERT INTO `t` VALUES (1);\n-- Dump completed\n";
const HELP: &str = "mariadb-dump from 11.8\n  --hex-blob\n  -y, --no-tablespaces\n";

/// A server that answers what every backup asks, and dumps by `script`.
fn engine(script: impl Fn() -> Script + Send + Sync + 'static) -> Arc<FakeEngine> {
    let engine = FakeEngine::with("db");
    engine.on("mariadb-dump", move |call| {
        if call.argv.iter().any(|word| word == "--help") {
            Script::new().stdout(HELP)
        } else {
            script()
        }
    });
    engine.on("mariadb", |call| {
        if call.argv.iter().any(|word| word == "--version") {
            return Script::new().stdout("mariadb from 11.8");
        }
        Script::new().read_all(|asked| {
            let asked = String::from_utf8_lossy(asked).into_owned();
            let answer = if asked.contains("@@socket") {
                "[\"/run/s\"]\n"
            } else if asked.contains("@@version") {
                "{\"version\":\"11.8-MariaDB\",\"comment\":\"\",\"read_only\":\"0\",\"directory\":\"/d/\"}\n"
            } else if asked.contains("information_schema.SCHEMATA") {
                "[\"shop\"]\n"
            } else {
                ""
            };
            Script::new().stdout(answer)
        })
    });
    engine
}

async fn site(engine: &Arc<FakeEngine>, options: Options) -> Site {
    Site {
        engine: engine.clone(),
        container: engine.container("db").await.unwrap(),
        options,
        cancel: CancellationToken::new(),
        stall: Duration::from_millis(300),
    }
}

type Made = fn() -> Script;

#[tokio::test]
async fn only_a_whole_stream_with_status_0_counts() {
    let dump = |script: fn() -> Script| async move {
        let engine = engine(script);
        let mut sink = Heap::default();
        mysql()
            .backup(&site(&engine, Options::default()).await, &mut sink)
            .await
            .map(|_| sink.bytes)
    };
    let whole = dump(|| Script::new().stdout(DUMP)).await.unwrap();
    assert_eq!(judge(mysql(), &whole).unwrap().total(), 1);
    let green = [
        (
            "cut in a frame",
            dump(|| Script::new().stdout(DUMP).cut()).await,
        ),
        (
            "no exit status",
            dump(|| Script::new().stdout(DUMP).no_exit_code()).await,
        ),
        (
            "status 2",
            dump(|| Script::new().stdout(DUMP).exit(2)).await,
        ),
        (
            "status 137",
            dump(|| Script::new().stdout(DUMP).exit(137)).await,
        ),
        ("stalls", dump(|| Script::new().stdout(DUMP).stall()).await),
    ];
    for (what, result) in &green {
        assert!(result.is_err(), "{what}");
    }
    // Status 0 and not whole: the validator's word counts.
    let broken: [(&str, Made); 3] = [
        ("nothing", || Script::new()),
        ("half", || Script::new().stdout(&DUMP[..60])),
        ("an error page", || Script::new().stdout("<html>")),
    ];
    for (what, script) in broken {
        let bytes = dump(script).await.unwrap();
        assert!(judge(mysql(), &bytes).is_err(), "{what}");
    }
    println!(
        "figure: mysql: {} lies, 0 green",
        green.len() + broken.len()
    );
}

/// Every nasty string in every field, down to the argument list.
#[tokio::test]
async fn no_input_becomes_an_option_and_no_password_an_argument() {
    let engine = engine(|| {
        Script::new()
            .stderr("mariadb-dump: Got error: 1045: \"no canary-pw\"")
            .exit(2)
    });
    let (mut tried, mut refused) = (0, 0);
    for name in NASTY {
        let plain = [("user".to_owned(), (*name).to_owned())];
        let password = format!("canary-pw{name}");
        let options = Options {
            plain: plain.into(),
            credentials: [("password".to_owned(), Secret::new(password.clone()))].into(),
            ..Options::default()
        };
        let allowed = mysql().check(&options).is_ok();
        let before = engine.calls().len();
        let error = mysql()
            .backup(&site(&engine, options).await, &mut Heap::default())
            .await
            .unwrap_err();
        if !allowed && !name.contains('\0') {
            assert!(
                matches!(
                    error,
                    StrategyError::Option {
                        field: "options.user",
                        ..
                    }
                ),
                "{name:?}: {error}"
            );
            refused += 1;
            continue;
        }
        let failure: Failure = error.into();
        assert!(
            !name.is_empty() || !format!("{failure:?}").contains("canary"),
            "{failure:?}"
        );
        for call in &engine.calls()[before..] {
            assert!(!call.argv.join(" ").contains("canary"), "{:?}", call.argv);
            let users = call.argv.iter().filter(|word| word.starts_with("--user="));
            let users: Vec<_> = users.collect();
            let user = if name.is_empty() { "root" } else { name };
            let asks = call
                .argv
                .iter()
                .any(|word| word == "--help" || word == "--version");
            assert!(
                asks || users == [&format!("--user={user}")],
                "{:?}",
                call.argv
            );
            let passed = call.env.iter().find(|(key, _)| key == "MYSQL_PWD");
            assert!(asks || passed.unwrap().1.expose() == &password);
        }
        tried += 1;
    }
    println!(
        "figure: mysql: {} strings as user and password: {tried} passed as such, {refused} refused",
        NASTY.len()
    );
    assert!(NASTY.len() >= 100 && tried >= 80);
}
