//! Users and passwords are hostile input: none is ever executed or taken for an option; each works or is
//! refused in words.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use futures_util::{StreamExt, stream};
use holdfast::strategy::StrategyError;

use super::place::{Place, REDIS_7, redis};

const CORES: [&str; 16] = [
    "touch /tmp/owned",
    "-x",
    "--help",
    "-h evil",
    "--rdb",
    "--pipe",
    "SHUTDOWN NOSAVE",
    "FLUSHALL",
    "pässwörd",
    "日本🐘",
    "%s%n",
    "*",
    "~",
    "\\x41",
    "\u{1b}[31m",
    "\u{202e}x",
];

/// Each core in each of these.
const AROUND: [(&str, &str); 8] = [
    ("", ""),
    ("$(", ")"),
    ("`", "`"),
    ("; ", "; "),
    ("'; ", " '"),
    ("\"; ", " \""),
    ("| ", " &"),
    ("\r\n", "\r\n"),
];

fn nasty() -> Vec<String> {
    let all = CORES
        .iter()
        .flat_map(|core| AROUND.map(|(before, after)| format!("{before}{core}{after}")));
    all.collect()
}

/// As the client reads it from its input.
fn quoted(text: &str) -> String {
    text.bytes()
        .map(|byte| format!("\\x{byte:02x}"))
        .collect::<Vec<_>>()
        .concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_nasty_users_and_passwords_work_or_are_refused() {
    let place = Place::start(REDIS_7, &[], &[]);
    place.fill(1000);
    let digest = place.digest();
    let names = nasty();
    assert!(names.len() >= 100);
    let known = |name: &str| !name.contains(' ') && !name.chars().any(char::is_control);
    let mut script = String::new();
    for name in &names {
        let user = if known(name) { name.as_str() } else { "plain" };
        let (user, password) = (quoted(user), quoted(name));
        script.push_str(&format!(
            "ACL SETUSER \"{user}\" on \">{password}\" ~* &* +@all\n"
        ));
    }
    let mut cli = Command::new("docker")
        .args(["exec", "-i", &place.bed.name, "redis-cli"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    cli.stdin
        .take()
        .unwrap()
        .write_all(script.as_bytes())
        .unwrap();
    assert!(cli.wait().unwrap().success());

    let tried = stream::iter(&names).map(async |name| {
        let plain = if known(name) { name.as_str() } else { "plain" };
        let site = place.site_with(&[("user", plain)], Some(name)).await;
        redis()
            .probe(&site)
            .await
            .unwrap_or_else(|error| panic!("{name:?}: {error}"));
        let wrong = place
            .site_with(&[("user", plain)], Some(&format!("{name}?")))
            .await;
        let error = redis().probe(&wrong).await.unwrap_err();
        assert!(
            !error.to_string().contains(name.as_str()),
            "the password is told: {error}"
        );
        let StrategyError::Option { field, .. } = error else {
            panic!("{name:?}: {error:?}");
        };
        assert_eq!(field, "credentials.password");
        if known(name) {
            return 0;
        }
        let site = place.site_with(&[("user", name)], Some("x")).await;
        let refused = redis().check(&site.options).unwrap_err();
        assert!(refused.0.contains_key("options.user"), "{name:?}");
        // Even when nobody checked.
        let error = redis().probe(&site).await.unwrap_err();
        assert!(
            matches!(
                error,
                StrategyError::Option {
                    field: "options.user",
                    ..
                }
            ),
            "{error:?}"
        );
        1
    });
    let refused: usize = tried
        .buffer_unordered(8)
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .sum();
    assert_eq!(place.digest(), digest);
    assert_eq!(
        place
            .bed
            .sh("ls /tmp/owned /data/owned 2>/dev/null || echo none"),
        "none"
    );
    println!(
        "figure: redis: {} passwords and {} users worked, {refused} users refused, 0 executed",
        names.len(),
        names.len() - refused
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_options_are_refused() {
    let place = Place::start(REDIS_7, &[], &[]);
    for (name, value) in [
        ("port", "0"),
        ("port", "65536"),
        ("port", "+80"),
        ("port", "x"),
        ("dir", "/data"),
    ] {
        let site = place.site_with(&[(name, value)], None).await;
        let errors = redis().check(&site.options).unwrap_err();
        assert!(
            errors.0.contains_key(&format!("options.{name}")),
            "{name} {value}"
        );
        assert!(redis().probe(&site).await.is_err(), "{name} {value}");
    }
    let site = place.site_with(&[("user", "someone")], None).await;
    let error = redis().probe(&site).await.unwrap_err();
    assert!(error.to_string().contains("needs a password"), "{error}");
    // One that the server does not want is wrong, too.
    let site = place.site_with(&[], Some("unasked")).await;
    let error = redis().probe(&site).await.unwrap_err();
    assert!(
        matches!(
            error,
            StrategyError::Option {
                field: "credentials.password",
                ..
            }
        ),
        "{error:?}"
    );
}
