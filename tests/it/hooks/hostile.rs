//! Hostile input: nothing is executed but the operator's own command, and that in the container.

use std::path::Path;

use holdfast::app::AppError;

use super::*;

/// Each would leave a file behind if anybody executed it, here or in a container.
fn strings() -> Vec<String> {
    let touch = "touch /tmp/hf-pwned";
    let mut strings = Vec::new();
    for wrap in [
        "{}",
        "$({})",
        "`{}`",
        "; {}",
        "| {}",
        "&& {}",
        "|| {}",
        "\n{}\n",
        "'; {}; '",
        "\"; {}; \"",
        "${IFS}{}",
        "-c {}",
        "--help; {}",
        "web; {}",
        "web$({})",
        "web`{}`",
        "web\n{}",
        "web | {}",
        "web && {}",
        "../{}",
        "/bin/sh -c '{}'",
        "$(( {} ))",
        "<({})",
        "> /tmp/hf-pwned {}",
        "%0a{}",
        "\\n{}",
        "\u{202e}{}",
        "{} #",
        "{};",
        "eval {}",
        "env {}",
        "nsenter -t1 {}",
        "{{ {} }}",
        "<% {} %>",
        "\u{0}{}",
    ] {
        let text = wrap.replacen("{}", touch, 1);
        strings.push(text.clone());
        strings.push(format!(" {text}"));
        strings.push(format!("{text} "));
    }
    strings.extend(
        [
            "",
            " ",
            "-",
            "--",
            "-u",
            "--privileged",
            ".",
            "..",
            "/",
            "*",
            "web web",
            "wéb",
            "\t",
            "web/",
        ]
        .map(str::to_owned),
    );
    strings.push("w".repeat(201));
    strings
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_operators_own_command_is_executed_and_in_its_container() {
    let shop = Shop::new("hostile").await;
    let head = shop.house.holdfast.log().head();
    let strings = strings();
    assert!(strings.len() >= 100, "{}", strings.len());
    let mut refused = 0;
    for text in &strings {
        let base = hook("start", "web");
        let service = Hook {
            service: text.clone(),
            ..base.clone()
        };
        let kind = Hook {
            kind: text.clone(),
            ..base.clone()
        };
        let command = Hook {
            command: Some(text.clone()),
            ..base.clone()
        };
        for (hook, field) in [(service, "service"), (kind, "type"), (command, "command")] {
            for before in [true, false] {
                let mut input = ConfigInput {
                    service: Some("db".into()),
                    strategy: Some("postgres".into()),
                    ..ConfigInput::default()
                };
                let hooks = Some(vec![hook.clone()]);
                let phase = if before {
                    input.pre_hooks = hooks;
                    Phase::Before
                } else {
                    input.post_hooks = hooks;
                    Phase::After
                };
                let create = shop
                    .house
                    .holdfast
                    .create_config(&shop.house.caller, "shop", input);
                let Err(AppError::Invalid(errors)) = create.await else {
                    panic!("{field} {text:?} is taken");
                };
                let named = format!("{}.{field}", phase.place(0));
                assert!(errors.0.contains_key(&named), "{text:?}: {errors:?}");
                refused += 1;
            }
        }
    }
    assert_eq!(shop.house.holdfast.log().head(), head, "nothing is stored");
    nothing_was_touched(&shop);

    // What the shell gets is the operator's line and nothing else, in the container alone.
    let line = "-x; echo \"$# $0\"; touch /tmp/hf-own; echo '$(touch /tmp/hf-pwned)'";
    let config = shop.config(vec![exec("web", line)], vec![]).await;
    let run = shop.house.back_up(config).await;
    assert_eq!(run.status, "success", "{run:?}");
    let reports = shop.reports(run.run_id()).await;
    assert!(
        reports[0].said.contains("0 sh\n$(touch /tmp/hf-pwned)"),
        "{reports:?}"
    );
    shop.web.sh("test -e /tmp/hf-own");
    assert!(!Path::new("/tmp/hf-own").exists(), "not on the host");
    nothing_was_touched(&shop);
    println!(
        "figure: hooks: {} hostile strings in each field, {refused} refused, 0 executed",
        strings.len()
    );
    shop.house.close().await;
}

fn nothing_was_touched(shop: &Shop) {
    assert!(!Path::new("/tmp/hf-pwned").exists());
    for bed in [&shop.web, &shop.db] {
        assert_eq!(
            bed.sh("ls /tmp | grep -c hf-pwned || true"),
            "0",
            "{}",
            bed.name
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_the_container_are_not_told() {
    let shop = Shop::new("masked").await;
    let secret = "hush-hush-4711";
    let variable = format!("API_TOKEN={secret}");
    let app = service(
        BUSYBOX,
        &shop.project,
        "app",
        &["-e", &variable],
        &["sleep", "3600"],
    );
    let line = "echo out $API_TOKEN; echo err $API_TOKEN >&2; printf '\\033[31m'; exit 9";
    let config = shop.config(vec![exec("app", line)], vec![]).await;
    let run = shop.house.back_up(config).await;
    let all = format!("{run:?} {:?}", shop.reports(run.run_id()).await);
    assert!(
        all.contains("out ••••") && all.contains("err ••••"),
        "{all}"
    );
    assert!(!all.contains(secret) && !all.contains("\\u{1b}"), "{all}");
    drop(app);
    shop.house.close().await;
}
