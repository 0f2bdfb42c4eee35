//! Names of databases, collections and users are hostile input: none is ever executed or taken for an
//! option; each works or is refused in words.

use holdfast::strategy::StrategyError;

use super::{back_up, digest, leftovers, mongo, python, site, start};
use crate::workbench::{Notes, Trouble};

/// What anybody ever thought up.
#[rustfmt::skip]
const NASTY: &[&str] = &[
    "$(touch /tmp/owned)", "`touch /tmp/owned`", "; touch /tmp/owned", "| touch /tmp/owned",
    "& touch /tmp/owned &", "\ntouch /tmp/owned\n", "'; touch /tmp/owned; '",
    "\"; touch /tmp/owned; \"", "|touch /tmp/owned", "'; db.dropDatabase(); '", "*/ x /*", "// x",
    "%s%n", "%d", "{x}", "${HOME}", "$HOME", "~", "*", "?", "[a]", "!!", "#", "\\", "\\\\", "\\n",
    "\\x41", "a\\", "'", "''", "\"", "\"\"", "`", "´", "a b", " a", "a ", "a\tb", "a\rb",
    "a\u{1b}[31mb", "\u{7f}", "\u{85}", "a/b", "/a", "../a", ".", "..", "a.b", ".a", "a.", "a..b",
    "a:b", ":a", "a,b", "a;b", "a|b", "a&b", "<a>", "(a)", "a@b", "a+b", "a~b", "a^b", "1", "0",
    "1a", "true", "null", "NULL", "undefined", "__proto__", "constructor", "toString",
    "hasOwnProperty", "length", "ü", "日本", "🐘", "é", "e\u{301}", "\u{202e}abc", "\u{200b}", "İ",
    "ß", "SHOP", "Shop", "-", "--", "-h", "-h evil", "--help", "--version", "--host=evil",
    "--archive=/tmp/owned", "-x", "a=b", "=", "mongodb://evil/x", "admin", "config", "local",
    "test", "system", "systemx", "hf_undo_things", "hf_stage_7", "oplog", "$cmd", "oplog.$main",
    "a$b", "fs.files", "view x", "a%2Fb", "%00", "a.metadata.json", "x.bson", "*.hf_undo_*", "",
    "a\0b",
];

fn nasty() -> Vec<String> {
    let mut names: Vec<String> = NASTY.iter().map(|part| (*part).to_owned()).collect();
    for (letter, count) in [
        ("x", 63),
        ("x", 64),
        ("ü", 31),
        ("ü", 32),
        ("x", 200),
        ("é", 100),
    ] {
        names.push(letter.repeat(count));
    }
    names
}

/// As a Python list.
fn list(names: &[String]) -> String {
    let words: Vec<String> = names
        .iter()
        .map(|name| format!("bytes.fromhex('{}').decode()", hex::encode(name)))
        .collect();
    format!("[{}]", words.join(", "))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_nasty_names_come_back_or_are_refused() {
    let names = nasty();
    assert!(names.len() >= 100);
    let bed = start(&[], &[]);

    // As collections: whatever a server takes.
    let server_takes = |name: &&String| {
        !name.is_empty()
            && !name.contains(['$', '\0', '\n'])
            && !name.starts_with('.')
            && !name.starts_with("system.")
    };
    let collections: Vec<String> = names.iter().filter(server_takes).cloned().collect();
    let script = format!(
        "for i, name in enumerate({}): client.insert('shop', name, [SON(_id=i)])",
        list(&collections)
    );
    python(&bed, &script);
    // As databases.
    let (mut databases, mut refused) = (Vec::new(), 0);
    for name in names.iter().filter(|name| !name.is_empty()) {
        let site = site(&bed, &[("database", name)], None).await;
        match mongo().check(&site.options) {
            Ok(()) => databases.push(name.clone()),
            Err(errors) => {
                assert!(errors.0.contains_key("options.database"), "{name:?}");
                // Even when nobody checked.
                match back_up(&site).await {
                    Err(Trouble::Strategy(StrategyError::Option { field, .. })) => {
                        assert_eq!(field, "options.database", "{name:?}");
                    }
                    other => panic!("{name:?}: {other:?}"),
                }
                refused += 1;
            }
        }
    }
    let script = format!(
        "for name in {}: client.insert(name, 'x', [SON(_id=name)])",
        list(&databases)
    );
    python(&bed, &script);
    let original = digest(&bed);

    let all = site(&bed, &[], None).await;
    let backup = back_up(&all).await.unwrap();
    assert_eq!(
        backup.fingerprint.counts.len(),
        collections.len() + databases.len()
    );
    let script = format!(
        "for name in {}: client.run(name, SON(dropDatabase=1))\nfor name in {}[::2]: client.run('shop', SON(drop=name))",
        list(&databases),
        list(&collections)
    );
    python(&bed, &script);
    let restored = backup.restore(&all, &Notes::default()).await.unwrap();
    assert_eq!(digest(&bed), original);
    mongo().forget(&all, &restored.kept.unwrap()).await.unwrap();
    assert_eq!(leftovers(&bed), Vec::<String>::new());

    // Some of them alone, where they are words of a command line.
    for name in ["'; db.dropDatabase(); '", "日本", "{x}", "*", "%s%n"] {
        let name = name.replace([' ', '.'], "");
        python(
            &bed,
            &format!(
                "client.insert({}[0], 'x', [SON(_id=1)])",
                list(std::slice::from_ref(&name))
            ),
        );
        let site = site(&bed, &[("database", &name)], None).await;
        let backup = back_up(&site).await.unwrap();
        assert_eq!(backup.probe.subject, name);
        assert_eq!(
            backup.fingerprint.counts.len(),
            1,
            "{name}: {:?}",
            backup.fingerprint
        );
    }
    let owned = bed.sh("ls /tmp/owned /owned 2>/dev/null || echo none");
    assert_eq!(owned, "none");
    println!(
        "figure: mongo: {} names of collections and {} of databases came back, {refused} refused, 0 executed",
        collections.len(),
        databases.len()
    );
}
