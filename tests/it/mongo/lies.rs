//! What goes wrong in a backup is never green, and says what to do.

use holdfast::{docker::DockerError, strategy::StrategyError};

use super::{SEED, back_up, mongo, python, site, start};
use crate::workbench::{Trouble, judge};

fn field(trouble: &Trouble) -> Option<&'static str> {
    match trouble {
        Trouble::Strategy(StrategyError::Option { field, .. }) => Some(field),
        _ => None,
    }
}

fn hint(trouble: &Trouble) -> String {
    match trouble {
        Trouble::Strategy(
            StrategyError::Tool { hint, .. } | StrategyError::Option { hint, .. },
        ) => hint.clone(),
        Trouble::Strategy(StrategyError::Docker(error)) => error.hint().to_owned(),
        _ => String::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_words_in_the_config() {
    let login = [
        "-e",
        "MONGO_INITDB_ROOT_USERNAME=root",
        "-e",
        "MONGO_INITDB_ROOT_PASSWORD_FILE=/etc/hostname",
    ];
    // The server takes its password from elsewhere: the file that is named is wrong.
    let bed = start(
        &[&login[..], &["-e", "MONGO_INITDB_ROOT_PASSWORD="]].concat(),
        &[],
    );
    python(&bed, SEED);
    for (plain, password, wrong, message) in [
        (
            &[("database", "nope")][..],
            Some(""),
            "credentials.password",
            "Authentication failed",
        ),
        (
            &[("user", "nobody")][..],
            Some("x"),
            "credentials.password",
            "Authentication failed",
        ),
        (
            &[][..],
            Some("wrong"),
            "credentials.password",
            "Authentication failed",
        ),
    ] {
        let trouble = back_up(&site(&bed, plain, password).await)
            .await
            .unwrap_err();
        assert!(trouble.to_string().contains(message), "{trouble}");
        assert_eq!(field(&trouble), Some(wrong), "{trouble}");
        assert!(!hint(&trouble).is_empty(), "{trouble}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_of_nothing_is_not_green() {
    let bed = start(&[], &[]);
    let trouble = back_up(&site(&bed, &[], None).await).await.unwrap_err();
    assert!(trouble.to_string().contains("no collection"), "{trouble}");
    python(&bed, SEED);
    let nope = site(&bed, &[("database", "nope")], None).await;
    let trouble = back_up(&nope).await.unwrap_err();
    assert_eq!(field(&trouble), Some("options.database"), "{trouble}");
    assert!(
        hint(&trouble).contains("There are: shop"),
        "{}",
        hint(&trouble)
    );
    // Were it dropped only after the look: the tool ends well, the archive is what tells.
    let dump = |words: &str| {
        bed.sh(&format!(
            "mongodump --archive={words} >/dev/null 2>&1; echo $?; base64 -w0 /tmp/a"
        ))
    };
    let out = dump("/tmp/a --db=nope");
    let (status, archive) = out.split_once('\n').unwrap();
    assert_eq!(status, "0", "the lie of the tool");
    let bytes = decode(archive);
    let fault = judge(mongo(), &bytes).unwrap_err();
    assert!(fault.contains("no such database"), "{fault}");
    println!(
        "figure: mongo: a database that is not there: status 0, {} bytes, refused",
        bytes.len()
    );

    // What could not be restored is not backed up either.
    for (make, unmake, words) in [
        (
            "client.run('shop', SON(create='heat', timeseries=SON(timeField='t')))",
            "client.run('shop', SON(drop='heat'))",
            "time series",
        ),
        (
            "client.insert('shop', 'system.js', [SON(_id='f')])",
            "client.run('shop', SON(drop='system.js'))",
            "system collection",
        ),
        (
            "client.insert('shop', 'a\\nb', [SON(_id=1)])",
            "client.run('shop', SON(drop='a\\nb'))",
            "line break",
        ),
    ] {
        python(&bed, make);
        let trouble = back_up(&site(&bed, &[], None).await).await.unwrap_err();
        assert!(trouble.to_string().contains(words), "{trouble}");
        assert!(
            hint(&trouble).contains("Files & volumes"),
            "{}",
            hint(&trouble)
        );
        python(&bed, unmake);
    }

    // A name that the tool leaves out without a word.
    python(&bed, "client.insert('shop', 'a$b', [SON(_id=1)])");
    let trouble = back_up(&site(&bed, &[], None).await).await.unwrap_err();
    assert!(
        trouble
            .to_string()
            .contains("left out the collection shop.a$b"),
        "{trouble}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tools_or_the_shell_are_missing() {
    let bed = start(&[], &[]);
    python(&bed, SEED);
    for tool in ["mongosh", "mongodump"] {
        bed.sh(&format!("mv $(command -v {tool}) /tmp/{tool}"));
        let trouble = back_up(&site(&bed, &[], None).await).await.unwrap_err();
        let missing = matches!(&trouble, Trouble::Strategy(StrategyError::Docker(
            DockerError::NoSuchProgram { program, .. })) if program == tool);
        assert!(missing, "{trouble}");
        assert!(!hint(&trouble).is_empty());
        bed.sh(&format!("mv /tmp/{tool} /usr/local/bin/{tool}"));
    }
    let site = site(&bed, &[], None).await;
    back_up(&site).await.unwrap();
    let left = "find / -xdev -newer /proc/1 \\( -name '*.mongodb*' -o -name 'mongosh*' \\) -type d 2>/dev/null; true";
    assert_eq!(bed.sh(left), "", "the shell left something behind");
}

fn decode(text: &str) -> Vec<u8> {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value = |c: u8| u32::try_from(digits.iter().position(|d| *d == c).unwrap()).unwrap();
    let mut bytes = Vec::new();
    for four in text.trim().trim_end_matches('=').as_bytes().chunks(4) {
        let word = four.iter().fold(0, |word, c| word << 6 | value(*c)) << (6 * (4 - four.len()));
        bytes.extend_from_slice(&word.to_be_bytes()[1..four.len()]);
    }
    bytes
}
