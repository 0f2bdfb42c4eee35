//! The log as evidence away from its server: exports, segments and database files that somebody worked on,
//! against a checkpoint that was kept elsewhere. The forger here knows the chain's recipe, and has a key of
//! their own; what they do not have is the server's.

mod pruning;

use std::{io::Write, path::Path};

use holdfast::log::{
    Checkpoint, Log, LogKey, Verification,
    offline::{self, HeadLine, Known},
};
use sea_orm::ConnectionTrait;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::{
    cli::holdfast,
    log::{open, write_samples},
    server::Server,
};

/// Where the database of a log is, in its folder.
const DATABASE: &str = "holdfast.db";

struct Evidence {
    folder: TempDir,
    log: Log,
    key: LogKey,
    /// Kept when the log was some events shorter.
    earlier: Checkpoint,
    checkpoint: Checkpoint,
    /// The lines of an export, its head last.
    export: Vec<String>,
}

impl Evidence {
    async fn gathered() -> Self {
        let folder = TempDir::new().unwrap();
        let log = open(&folder).await;
        let key = LogKey::from_seed(&[3; 32]).unwrap();
        write_samples(&log, 0).await;
        let earlier = log.checkpoint(&key).await.unwrap();
        write_samples(&log, 1).await;
        let checkpoint = log.checkpoint(&key).await.unwrap();
        let events = log.entries_from(0, 10_000).await.unwrap();
        let mut export: Vec<String> = events.iter().map(line).collect();
        export.push(head(&checkpoint));
        Self {
            folder,
            log,
            key,
            earlier,
            checkpoint,
            export,
        }
    }

    fn known(&self) -> Known {
        Known::new(Some(self.checkpoint.clone()), None).unwrap()
    }

    fn check(&self, lines: &[String]) -> Verification {
        read(lines, &self.known())
    }

    /// The log in pieces of so many events, as it lies in a target.
    async fn pieces(&self, size: i64) -> Vec<(String, Vec<u8>)> {
        let mut pieces = Vec::new();
        let mut first = 1;
        while first <= self.log.head() {
            let last = self.log.head().min(first + size - 1);
            let packed = self.log.segment(&self.key, first, last).await.unwrap();
            pieces.push((format!("{first:012}-{last:012}.jsonl.gz"), packed));
            first = last + 1;
        }
        pieces
    }
}

fn line(of: &impl serde::Serialize) -> String {
    serde_json::to_string(of).unwrap()
}

fn head(checkpoint: &Checkpoint) -> String {
    line(&HeadLine {
        head: checkpoint.clone(),
    })
}

fn read(lines: &[String], known: &Known) -> Verification {
    let text = lines.join("\n") + "\n";
    offline::export(text.as_bytes(), known, false).unwrap()
}

/// The event on that line with something else in one field. Its hash is what it was.
fn altered(line: &str, field: &str, value: Value) -> String {
    let mut event: Value = serde_json::from_str(line).unwrap();
    assert_ne!(event[field], value, "{field}");
    event[field] = value;
    event.to_string()
}

/// Every link made anew, after the recipe in `log/chain.rs` and not with its code.
fn chained_anew(lines: &[String]) -> Vec<String> {
    let mut previous = vec![0; 32];
    let mut chained = Vec::new();
    for (line, position) in lines.iter().zip(1_i64..) {
        let mut event: Value = serde_json::from_str(line).unwrap();
        let number = |name: &str| event[name].as_i64().unwrap();
        let text = |name: &str| match &event[name] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let at = chrono::DateTime::parse_from_rfc3339(&text("at")).unwrap();
        let mut sha = Sha256::new();
        let add_text = |sha: &mut Sha256, text: &str| {
            sha.update((text.len() as u64).to_be_bytes());
            sha.update(text.as_bytes());
        };
        sha.update(b"holdfast.event.v1\0");
        sha.update(position.to_be_bytes());
        sha.update(&previous);
        add_text(&mut sha, &text("stream"));
        sha.update(number("stream_id").to_be_bytes());
        sha.update(number("version").to_be_bytes());
        add_text(&mut sha, &text("name"));
        sha.update(i32::try_from(number("schema")).unwrap().to_be_bytes());
        add_text(&mut sha, &text("actor"));
        add_text(&mut sha, &text("correlation"));
        for optional in ["causation", "app_id", "config_id"] {
            match event[optional].as_i64() {
                None => sha.update([0]),
                Some(id) => {
                    sha.update([1]);
                    sha.update(id.to_be_bytes());
                }
            }
        }
        sha.update(at.timestamp_millis().to_be_bytes());
        add_text(&mut sha, &text("data"));
        event["position"] = json!(position);
        event["prev_hash"] = json!(hex::encode(&previous));
        previous = sha.finalize().to_vec();
        event["hash"] = json!(hex::encode(&previous));
        chained.push(event.to_string());
    }
    chained
}

#[tokio::test]
async fn promise_12_what_was_done_to_an_export_is_found_without_the_server() {
    let evidence = Evidence::gathered().await;
    let good = &evidence.export;
    let events = good.len() - 1;
    let checked = evidence.check(good);
    assert_eq!(checked.findings, vec![]);
    assert_eq!(checked.events, events as u64);
    assert_eq!(checked.compared, Some(evidence.checkpoint.position));
    // The recipe here and the one there give the same.
    assert_eq!(chained_anew(&good[..events]), good[..events]);

    let forger = LogKey::from_seed(&[9; 32]).unwrap();
    let (plain, end) = (&good[..events], &good[events]);
    let with = |i: usize, line: String| {
        let mut lines = good.clone();
        lines[i] = line;
        lines
    };
    let mut attacks: Vec<(String, Vec<String>)> = Vec::new();
    for i in (0..events).step_by(7) {
        for (field, value) in [
            ("data", json!({ "name": "mallory" })),
            ("actor", json!({ "kind": "user", "name": "mallory" })),
            ("at", json!("2001-01-01T00:00:00.000Z")),
            ("name", json!("audit.logged_in.not")),
            ("stream", json!("elsewhere")),
            ("version", json!(4711)),
            ("app_id", json!(4711)),
            ("correlation", json!("mallory")),
            ("hash", json!("00".repeat(32))),
            ("prev_hash", json!("11".repeat(32))),
            ("position", json!(4711)),
        ] {
            let changed = with(i, altered(&good[i], field, value));
            attacks.push((format!("{field} of event {} changed", i + 1), changed));
        }
        let mut lines = good.clone();
        lines.remove(i);
        attacks.push((format!("event {} deleted", i + 1), lines));
        let mut lines = good.clone();
        lines.insert(i, good[(i + 3) % events].clone());
        attacks.push((format!("inserted before event {}", i + 1), lines));
        let mut lines = good.clone();
        lines.swap(i, (i + 1) % events);
        attacks.push((format!("event {} reordered", i + 1), lines));
        // Done well: all that follows is chained anew, and the head signed by the forger.
        let mut lines = plain.to_vec();
        lines[i] = altered(&lines[i], "at", json!("2001-01-01T00:00:00.000Z"));
        let mut lines = chained_anew(&lines);
        let last: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
        let hash = last["hash"].as_str().unwrap().to_owned();
        let signed = Checkpoint::sign(&forger, position(events), hash, evidence.checkpoint.at);
        lines.push(head(&signed));
        attacks.push((format!("written anew from event {}", i + 1), lines));
    }
    for cut in [1, 2, events / 2, events - 1] {
        let mut lines = plain[..events - cut].to_vec();
        attacks.push((format!("{cut} cut off, no head"), lines.clone()));
        lines.push(end.clone());
        attacks.push((format!("{cut} cut off"), lines.clone()));
        let last: Value = serde_json::from_str(&lines[events - cut - 1]).unwrap();
        let hash = last["hash"].as_str().unwrap().to_owned();
        let signed = Checkpoint::sign(
            &forger,
            position(events - cut),
            hash,
            evidence.checkpoint.at,
        );
        *lines.last_mut().unwrap() = head(&signed);
        attacks.push((format!("{cut} cut off, signed by another"), lines));
    }
    // An export that was true once, with the very signature of its day.
    let earlier = usize::try_from(evidence.earlier.position).unwrap();
    let mut lines = plain[..earlier].to_vec();
    lines.push(head(&evidence.earlier));
    let mine = Known::new(Some(evidence.earlier.clone()), None).unwrap();
    assert!(read(&lines, &mine).holds(), "it was whole in its day");
    attacks.push(("an earlier export in place of this one".into(), lines));
    attacks.push((
        "something after the head".into(),
        [&good[..], &good[..1]].concat(),
    ));
    attacks.push(("a line that is none".into(), with(5, "{}".into())));
    attacks.push(("nothing at all".into(), vec![]));
    attacks.push(("the head alone".into(), vec![end.clone()]));

    let found = attacks
        .iter()
        .filter(|(what, lines)| {
            let found = !evidence.check(lines).holds();
            assert!(found, "{what} was not found");
            found
        })
        .count();
    println!(
        "figure: audit: an export altered in {} ways, found without the server {found}, false alarms 0",
        attacks.len()
    );
}

#[tokio::test]
async fn promise_12_the_segments_in_a_target_are_checked_without_the_server() {
    let evidence = Evidence::gathered().await;
    let pieces = evidence.pieces(20).await;
    let check = |pieces: Vec<(String, Vec<u8>)>| {
        let pieces = pieces.into_iter().map(Ok::<_, std::convert::Infallible>);
        let checked = offline::segments(pieces, &evidence.key.instance(), &evidence.known());
        checked.unwrap_or_else(|never| match never {})
    };
    let whole = check(pieces.clone());
    assert_eq!(whole.findings, vec![]);
    assert_eq!(whole.compared, Some(evidence.checkpoint.position));
    // As after a kill: the newest piece under its old name too.
    let mut double = pieces.clone();
    let (_, last) = double.last().cloned().unwrap();
    let first = (evidence.log.head() - 1) / 20 * 20 + 1;
    let shorter = evidence
        .log
        .segment(&evidence.key, first, first)
        .await
        .unwrap();
    double.insert(pieces.len() - 1, ("shorter".into(), shorter));
    assert_eq!(check(double).findings, vec![]);

    let forger = LogKey::from_seed(&[9; 32]).unwrap();
    let forged = evidence.log.segment(&forger, 21, 40).await.unwrap();
    let mut attacks = Vec::new();
    for i in 0..pieces.len() {
        let mut without = pieces.clone();
        without.remove(i);
        attacks.push((format!("piece {i} left out"), without));
        let mut flipped = pieces.clone();
        let middle = flipped[i].1.len() / 2;
        flipped[i].1[middle] ^= 4;
        attacks.push((format!("a bit of piece {i} flipped"), flipped));
        let mut cut = pieces.clone();
        let half = cut[i].1.len() / 2;
        cut[i].1.truncate(half);
        attacks.push((format!("piece {i} cut"), cut));
    }
    let mut swapped = pieces.clone();
    swapped.swap(0, 1);
    attacks.push(("two exchanged".into(), swapped));
    let mut foreign = pieces.clone();
    foreign[1].1 = forged;
    attacks.push(("one signed by another".into(), foreign));
    let mut other = pieces.clone();
    other[1].1 = last;
    attacks.push(("one put in another's place".into(), other));
    for (what, pieces) in &attacks {
        assert!(!check(pieces.clone()).holds(), "{what} was not found");
    }
    println!(
        "figure: audit: segments altered in {} ways, found without the server {}",
        attacks.len(),
        attacks.len()
    );
}

#[tokio::test]
async fn promise_12_a_database_that_was_cut_or_written_anew_does_not_fit_its_checkpoint() {
    let evidence = Evidence::gathered().await;
    let path = evidence.folder.path().join(DATABASE);
    let (mut edits, head) = (0, evidence.log.head());
    let mut copy = |sql: String| {
        edits += 1;
        let copy = evidence.folder.path().join(format!("{edits}.db"));
        (copy, sql, &evidence.log)
    };
    let good = offline::database(&path, &evidence.known()).await.unwrap();
    assert_eq!(good.findings, vec![]);
    let unlock = "DROP TRIGGER events_no_update; DROP TRIGGER events_no_delete;";
    for (copy, sql, log) in [
        copy(format!(
            "{unlock} DELETE FROM events WHERE position > {}",
            head - 1
        )),
        copy(format!("{unlock} DELETE FROM events WHERE position > 3")),
        copy(format!("{unlock} DELETE FROM events")),
        copy(format!(
            "{unlock} UPDATE events SET hash = zeroblob(32) WHERE position = {head}"
        )),
    ] {
        log.copy(&copy, false).await.unwrap();
        let db = sea_orm::Database::connect(format!("sqlite://{}", copy.display()));
        let db = db.await.unwrap();
        db.execute_unprepared(&sql).await.unwrap();
        db.close().await.unwrap();
        let found = offline::database(&copy, &evidence.known()).await.unwrap();
        assert!(!found.holds(), "{sql}");
    }
    // While the server works, against what was kept.
    let known = evidence.known();
    let online = evidence.log.verify_against(&known, |_| {});
    assert!(online.await.unwrap().holds());
    let mut other = known.clone();
    other.checkpoint.as_mut().unwrap().hash = "ab".repeat(32);
    let online = evidence.log.verify_against(&other, |_| {});
    assert!(!online.await.unwrap().holds());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_keeps_a_checkpoint_and_checks_an_export_with_the_command_line() {
    let server = Server::start(&[]).await;
    let data = server.data.path();
    let kept = TempDir::new().unwrap();
    let at = |name: &str| kept.path().join(name).display().to_string();
    let say = |words: &[&str]| holdfast(data, words);
    let save = |name: &str, text: &str| {
        let mut file = std::fs::File::create(at(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    };
    for slug in ["shop", "blog", "wiki"] {
        let app = json!({ "slug": slug, "name": slug, "project": slug });
        server.post("/api/apps", app).await;
    }
    let checkpoint = say(&["audit", "checkpoint", "--output", "json"]);
    assert_eq!(checkpoint.code, 0, "{}", checkpoint.err);
    save("checkpoint.json", &checkpoint.out);
    let signed: Value = serde_json::from_str(&checkpoint.out).unwrap();
    let key = signed["public_key"].as_str().unwrap();
    let online = say(&["audit", "verify", "--checkpoint", &at("checkpoint.json")]);
    assert_eq!(online.code, 0, "{}{}", online.out, online.err);
    let export = say(&["audit", "export"]);
    save("export.jsonl", &export.out);

    // Resumed after its third line, it is the same but for what happened since.
    let rest = say(&["audit", "export", "--after", "3"]).out;
    let whole: Vec<&str> = export.out.lines().take(3).chain(rest.lines()).collect();
    save("resumed.jsonl", &(whole.join("\n") + "\n"));
    save("rest.jsonl", &rest);

    // From here on nobody asks a server: the folder is empty.
    let nowhere = kept.path().join("nowhere");
    let verify = |words: &[&str]| {
        let words = [&["audit", "verify", "--output", "json"], words].concat();
        let said = holdfast(&nowhere, &words);
        let told: Value = serde_json::from_str(&said.out).unwrap_or_default();
        (said.code, told, said.err)
    };
    let known = ["--checkpoint", &at("checkpoint.json"), "--public-key", key];
    for name in ["export.jsonl", "resumed.jsonl"] {
        let (code, told, err) = verify(&[&["--export", &at(name)], &known[..]].concat());
        assert_eq!(
            (code, &told["ok"]),
            (0, &json!(true)),
            "{name}: {told} {err}"
        );
        assert_eq!(told["compared"], signed["position"]);
    }
    let (code, ..) = verify(&["--export", &at("rest.jsonl"), "--part"]);
    assert_eq!(code, 0, "a part that says so");
    let (code, told, _) = verify(&["--export", &at("rest.jsonl")]);
    assert_eq!(code, 1, "a part that does not: {told}");
    save("altered.jsonl", &export.out.replace("blog", "blag"));
    let (code, told, _) = verify(&[&["--export", &at("altered.jsonl")], &known[..]].concat());
    assert_eq!((code, &told["ok"]), (1, &json!(false)));
    assert!(
        told["findings"][0]
            .as_str()
            .unwrap()
            .contains("was changed"),
        "{told}"
    );
    let other = LogKey::from_seed(&[9; 32]).unwrap().public();
    let (code, _, err) = verify(&["--export", &at("export.jsonl"), "--public-key", &other]);
    assert_eq!(code, 1, "signed by another than was expected: {err}");
    let (code, _, err) = verify(&["--segments", &at(".")]);
    assert_eq!(code, 2, "whose signature counts has to be said: {err}");
    let database = data.join(DATABASE).display().to_string();
    let (code, told, err) = verify(&[
        "--database",
        &database,
        "--checkpoint",
        &at("checkpoint.json"),
    ]);
    assert_eq!(code, 0, "{told} {err}");
    assert!(!Path::new(&nowhere).exists(), "nothing was made for a look");
}

fn position(events: usize) -> i64 {
    i64::try_from(events).unwrap()
}
