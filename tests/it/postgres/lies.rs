//! What goes wrong in a backup is never green, and says what to do.

use std::time::Duration;

use holdfast::{
    docker::DockerError,
    strategy::{Site, StrategyError},
};

use super::place::{Heap, NO_DUMP, Notes, PASSWORD, Place, Trouble, USER, back_up, postgres};
use crate::session::Session;

/// The message and hint of a failed backup.
async fn failure(site: &Site) -> (String, String) {
    let trouble = match back_up(site).await {
        Err(trouble) => trouble,
        Ok(backup) => panic!("green, with {} bytes", backup.bytes.len()),
    };
    let hint = match &trouble {
        Trouble::Strategy(
            StrategyError::Tool { hint, .. }
            | StrategyError::Option { hint, .. }
            | StrategyError::NeedsAttention { hint, .. },
        ) => hint.clone(),
        Trouble::Strategy(StrategyError::Docker(error)) => error.hint().to_owned(),
        _ => String::new(),
    };
    (trouble.to_string(), hint)
}

fn field(trouble: &Trouble) -> Option<&'static str> {
    match trouble {
        Trouble::Strategy(StrategyError::Option { field, .. }) => Some(field),
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_words_in_the_config() {
    let place = Place::start().await;
    place.make_small("shop");
    place.sql("shop", "CREATE ROLE reader LOGIN PASSWORD 'right'");
    for (plain, password, wrong, message) in [
        (
            &[("database", "nope")][..],
            None,
            "options.database",
            "no database nope",
        ),
        (
            &[("user", "nobody")][..],
            None,
            "options.user",
            "role \"nobody\" does not exist",
        ),
        (
            &[][..],
            Some("wrong"),
            "credentials.password",
            "password authentication failed",
        ),
        (
            &[("user", "reader")][..],
            Some("wrong"),
            "credentials.password",
            "password authentication",
        ),
    ] {
        let site = place.site_with(plain, password).await;
        let trouble = back_up(&site).await.unwrap_err();
        assert!(trouble.to_string().contains(message), "{trouble}");
        assert_eq!(field(&trouble), Some(wrong), "{trouble}");
    }
    let site = place.site_with(&[("database", "nope")], None).await;
    let (_, hint) = failure(&site).await;
    assert!(hint.contains("postgres, shop, template1"), "{hint}");

    // A right one works, whatever is in it; so does none.
    back_up(&place.site_with(&[], Some(PASSWORD)).await)
        .await
        .unwrap();
    back_up(&place.site_with(&[], None).await).await.unwrap();

    // Rights.
    let site = place.site_with(&[("user", "reader")], Some("right")).await;
    let (message, hint) = failure(&site).await;
    assert!(message.contains("permission denied"), "{message}");
    assert!(hint.contains("may read everything"), "{hint}");
    // It takes effect at once: no leftovers.
    back_up(&place.site().await).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_container_or_its_tools_are_missing() {
    let place = Place::start_image(NO_DUMP, &[]).await;
    let error = postgres().probe(&place.site().await).await.unwrap_err();
    assert!(
        matches!(&error, StrategyError::Docker(DockerError::NoSuchProgram { program, .. }) if program == "pg_dump"),
        "{error}"
    );
    let (message, hint) = failure(&place.site().await).await;
    assert!(message.contains("pg_dump is not in the image"), "{message}");
    assert!(!hint.is_empty());

    let site = place.site().await;
    place.kill();
    let (message, hint) = failure(&site).await;
    assert!(message.contains("is not running"), "{message}");
    assert!(!hint.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_is_interrupted() {
    let place = Place::start().await;
    place.make_small("shop");
    // Enough that it does not fit between the server and us.
    place.sql(
        "shop",
        "CREATE TABLE much AS SELECT repeat(md5(i::text), 300) FROM generate_series(1, 8000) i",
    );
    let whole = place.back_up("shop").await.bytes.len();
    let kill = "kill -9 $(grep -l '^pg_dump' /proc/[0-9]*/comm | cut -d/ -f3)";
    let end = "psql -X -U app -d shop -c \"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'COPY%'\"";
    for (what, args) in [
        ("the dump is killed", vec!["exec", "NAME", "sh", "-c", kill]),
        (
            "its session is ended",
            vec!["exec", "NAME", "sh", "-c", end],
        ),
        ("the container is stopped", vec!["stop", "-t", "5", "NAME"]),
        ("the container is killed", vec!["kill", "NAME"]),
    ] {
        let args = args
            .into_iter()
            .map(|arg| arg.replace("NAME", &place.bed.name));
        let args: Vec<String> = args.collect();
        let act = move || {
            std::process::Command::new("docker")
                .args(&args)
                .output()
                .unwrap();
        };
        let site = place.site().await;
        let mut sink = Acting {
            heap: Heap::default(),
            act: Some(Box::new(act)),
            under_way: None,
        };
        let started = std::time::Instant::now();
        let error = postgres().backup(&site, &mut sink).await.expect_err(what);
        if let Some(acting) = sink.under_way.take() {
            acting.await.unwrap();
        }
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "{what}: {:?}",
            started.elapsed()
        );
        assert!(sink.heap.bytes.len() < whole, "{what}");
        let failure: holdfast::domain::failure::Failure = error.into();
        assert!(failure.is_temporary(), "{what}: {failure:?}");
        println!("not green: {what}: {} {}", failure.message, failure.hint);
        if what.contains("container") {
            place.start_again().await;
        }
        assert_eq!(
            place.back_up("shop").await.bytes.len(),
            whole,
            "the next one is whole"
        );
    }
}

/// Acts once, when the first bytes of rows arrive, and takes the rest slowly until that is done. It
/// must not stop taking: an engine that cannot get rid of a dead program's output tells nothing more
/// of its container, so whoever acts would wait for ever.
struct Acting {
    heap: Heap,
    act: Option<Box<dyn Fn() + Send + Sync>>,
    under_way: Option<tokio::task::JoinHandle<()>>,
}

#[async_trait::async_trait]
impl holdfast::strategy::Sink for Acting {
    async fn write(&mut self, chunk: bytes::Bytes) -> Result<(), holdfast::strategy::SinkClosed> {
        self.heap.write(chunk).await?;
        if self.heap.bytes.len() > 100_000
            && let Some(act) = self.act.take()
        {
            self.under_way = Some(tokio::task::spawn_blocking(act));
        }
        if let Some(acting) = &mut self.under_way {
            let pause = tokio::time::timeout(Duration::from_millis(10), acting);
            if let Ok(done) = pause.await {
                done.unwrap();
                self.under_way = None;
            }
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_has_to_wait() {
    let place = Place::start().await;
    place.make_small("shop");
    let holder = Session::open(&place.bed.name, USER, "shop", "BEGIN; LOCK TABLE things");
    let site = Site {
        stall: Duration::from_secs(3),
        ..place.site().await
    };
    let started = std::time::Instant::now();
    let (message, hint) = failure(&site).await;
    assert!(message.contains("timeout"), "{message}");
    assert!(hint.contains("lock on a table"), "{hint}");
    assert!(started.elapsed() < Duration::from_secs(60));

    // Cancelled while it waits: at once, and nothing of it goes on.
    let site = Site {
        stall: Duration::from_mins(10),
        ..place.site().await
    };
    let cancel = site.cancel.clone();
    let waits = tokio::task::spawn_blocking(move || {
        holder.until_a_dump_waits();
        cancel.cancel();
        holder
    });
    let started = std::time::Instant::now();
    let (message, _) = failure(&site).await;
    assert_eq!(message, "cancelled");
    assert!(started.elapsed() < Duration::from_secs(10));
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'holdfast%'";
    assert_eq!(place.sql("postgres", waiting), "0", "a session waits on");

    waits.await.unwrap().end();
    place.back_up("shop").await;
}

/// The server is just coming up again: tried again later, not given up.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_ready() {
    let place = Place::start().await;
    place.make_small("shop");
    let backup = place.back_up("shop").await;
    // Something to recover.
    place.sql(
        "shop",
        "CREATE TABLE t AS SELECT md5(i::text) FROM generate_series(1, 1500000) i; DROP TABLE t",
    );
    place.kill();
    place.start_without_waiting();
    let mut refused = 0;
    loop {
        match back_up(&place.site().await).await {
            Ok(again) => {
                assert_eq!(again.fingerprint, backup.fingerprint);
                break;
            }
            Err(Trouble::Strategy(error)) => {
                let text = error.to_string();
                let failure: holdfast::domain::failure::Failure = error.into();
                assert!(failure.is_temporary(), "{text}");
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    println!("figure: postgres: {refused} times not ready, all of them temporary");
    // A restore waits by itself.
    place.kill();
    place.start_without_waiting();
    backup
        .restore(&place.site().await, &Notes::default())
        .await
        .unwrap();
}
