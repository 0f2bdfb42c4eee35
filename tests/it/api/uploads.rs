//! A file that is sent and restored: stock dumps, what is none, cut connections, two at once, and
//! power cuts. Whatever happens, nothing of it stays.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use holdfast::{docker::DockerEngine, domain::access::Role};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{Answer, Api};
use crate::{
    bed::{self, Bed, until},
    house::{postgres, psql},
    server::{Server, form},
};

const PATH: &str = "/apps/shop/backups/upload-restore";
const FIELDS: [(&str, &str); 2] = [("strategy", "postgres"), ("container", "db")];
const DIGEST: &str = "SELECT count(*), md5(string_agg(note, '' ORDER BY i)) FROM notes";

/// An app with one database, without a config.
struct Shop {
    api: Api,
    database: Bed,
    project: String,
}

impl Shop {
    async fn new(name: &str, works: bool) -> Self {
        let project = format!("up-{name}-{}", std::process::id());
        let database = database(&project);
        let engine = Arc::new(DockerEngine::connect(None).unwrap());
        let api = if works {
            Api::working(engine).await
        } else {
            Api::new(engine).await
        };
        api.add_app(&project).await;
        Self {
            api,
            database,
            project,
        }
    }

    async fn send(&self, fields: &[(&str, &str)], file: &[u8]) -> Answer {
        let (kind, body) = form(fields, "../shop.sql.gz", file);
        let request = self.api.request("POST", PATH);
        let request = request.bearer_auth(self.api.token(Role::Operator));
        super::send(request.header("content-type", kind).body(body), None).await
    }

    fn scratch(&self) -> PathBuf {
        self.api.holdfast.settings().data_dir.join("uploads")
    }

    async fn nothing_is_left(&self) {
        let scratch = self.scratch();
        until("nothing is left of an upload", || {
            files(&scratch).is_empty()
        })
        .await;
    }

    async fn over(&self, restore: i64) -> Value {
        let deadline = Instant::now() + Duration::from_mins(2);
        loop {
            let path = format!("/restores/{restore}");
            let restore = self.api.call("GET", &path, None).await.body;
            let status = restore["status"].as_str().unwrap();
            if !["queued", "running", "undoing"].contains(&status) {
                return restore;
            }
            assert!(Instant::now() < deadline, "stuck: {restore}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn database(project: &str) -> Bed {
    let bed = postgres(bed::POSTGRES, project, &[]);
    let table =
        "CREATE TABLE notes AS SELECT i, md5(i::text) note FROM generate_series(1, 20000) i";
    psql(&bed, "shop", table);
    bed
}

/// As anybody makes one by hand.
fn dump(bed: &Bed, pipe: &str) -> Vec<u8> {
    let script = format!("pg_dump -U postgres shop {pipe}");
    let made = Command::new("docker")
        .args(["exec", &bed.name, "sh", "-c", &script])
        .output()
        .unwrap();
    assert!(made.status.success());
    made.stdout
}

fn files(folder: &PathBuf) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn accepted(answer: &Answer) -> i64 {
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    answer.body["restore_id"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_dump_comes_back_in_every_wrapping() {
    let shop = Shop::new("stock", true).await;
    let original = psql(&shop.database, "shop", DIGEST);
    let plain = dump(&shop.database, "");
    let packed = dump(&shop.database, "| gzip");
    let zstd = zstd::encode_all(plain.as_slice(), 3).unwrap();
    for (what, file) in [("plain", &plain), ("gzip", &packed), ("zstd", &zstd)] {
        psql(
            &shop.database,
            "shop",
            "DELETE FROM notes WHERE i % 2 = 0; INSERT INTO notes VALUES (0, 'late')",
        );
        let changed = psql(&shop.database, "shop", DIGEST);
        let restore = accepted(&shop.send(&FIELDS, file).await);
        let over = shop.over(restore).await;
        assert_eq!(over["status"], "success", "{what}: {over}");
        assert_eq!(over["upload_name"], "../shop.sql.gz");
        assert_eq!(over["run_id"], Value::Null);
        assert_eq!(over["contents"]["total"], 20_000, "{over}");
        assert_eq!(psql(&shop.database, "shop", DIGEST), original, "{what}");
        shop.nothing_is_left().await;
        let undo = shop
            .api
            .call("POST", &format!("/restores/{restore}/undo"), None)
            .await;
        assert_eq!(undo.status, StatusCode::ACCEPTED, "{}", undo.text);
        let undone = shop.over(restore).await;
        assert_eq!(undone["status"], "undone", "{undone}");
        assert_eq!(psql(&shop.database, "shop", DIGEST), changed, "{what}");
        psql(
            &shop.database,
            "shop",
            "DELETE FROM notes WHERE i = 0; INSERT INTO notes SELECT i, md5(i::text) FROM generate_series(2, 20000, 2) i",
        );
    }
    // The fields may come after the file, and the container may be named in full.
    let boundary = "b";
    let mut body = format!(
        "--{boundary}\r\ncontent-disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n"
    )
    .into_bytes();
    body.extend(&packed);
    for (name, value) in [
        ("container", shop.database.name.as_str()),
        ("strategy", "postgres"),
    ] {
        let part = format!(
            "\r\n--{boundary}\r\ncontent-disposition: form-data; name=\"{name}\"\r\n\r\n{value}"
        );
        body.extend(part.bytes());
    }
    body.extend(format!("\r\n--{boundary}--\r\n").bytes());
    let request = shop.api.request("POST", PATH);
    let request = request
        .bearer_auth(shop.api.token(Role::Admin))
        .header(
            "content-type",
            format!("multipart/form-data; boundary={boundary}"),
        )
        .body(body);
    let restore = accepted(&super::send(request, None).await);
    let over = shop.over(restore).await;
    assert_eq!(over["status"], "success", "{over}");
    assert_eq!(over["service"], "db");
    shop.nothing_is_left().await;
    let rebuilt = shop.api.call("POST", "/system/rebuild", Some("{}")).await;
    assert_eq!(rebuilt.body["differed"], json!([]), "{}", rebuilt.text);
    shop.api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_restored_is_refused_and_nothing_stays() {
    let shop = Shop::new("refused", true).await;
    let project = format!("com.docker.compose.project={}", shop.project);
    let labels = [
        "--label",
        &project,
        "--label",
        "com.docker.compose.service=web",
    ];
    let _web = Bed::run(bed::BUSYBOX, &labels, &["sleep", "3600"]);
    let foreign = database(&format!("{}-other", shop.project));
    let plain = dump(&shop.database, "");
    let packed = dump(&shop.database, "| gzip");
    let cut = dump(&shop.database, "| head -c 400000 | gzip");
    let garbage: Vec<u8> = (0..100_000_u32).map(|i| (i * 7919 % 251) as u8).collect();
    let bomb = zstd::encode_all(std::io::repeat(b' ').take(200 << 20), 3).unwrap();
    let before = psql(&shop.database, "shop", DIGEST);
    let events = shop.api.changes().await;
    let to = |strategy, container| [("strategy", strategy), ("container", container)];
    let good = to("postgres", "db");
    for (what, fields, file, field, said) in [
        ("empty", good, &b""[..], "file", "empty"),
        ("garbage", good, &garbage, "file", "no backup of this kind"),
        (
            "half",
            good,
            &plain[..plain.len() / 2],
            "file",
            "no backup of this kind",
        ),
        ("half in gzip", good, &cut, "file", "no backup of this kind"),
        (
            "cut gzip",
            good,
            &packed[..packed.len() / 2],
            "file",
            "cannot be unpacked",
        ),
        (
            "cut at its end",
            good,
            &packed[..packed.len() - 4],
            "file",
            "cannot be unpacked",
        ),
        ("bomb", good, &bomb, "file", "more than any backup"),
        (
            "unknown kind",
            to("nothing", "db"),
            &packed,
            "strategy",
            "use one of",
        ),
        (
            "another kind",
            to("postgres", "web"),
            &packed,
            "container",
            "not of this kind",
        ),
        (
            "no service",
            to("postgres", "none"),
            &packed,
            "container",
            "no service",
        ),
        (
            "foreign",
            to("postgres", &foreign.name),
            &packed,
            "container",
            "no service",
        ),
        (
            "hostile",
            to("postgres", "--help"),
            &packed,
            "container",
            "use letters",
        ),
        (
            "twice",
            [FIELDS[0], FIELDS[0]],
            &packed,
            "strategy",
            "twice",
        ),
    ] {
        let answer = shop.send(&fields, file).await;
        assert_eq!(
            answer.status,
            StatusCode::BAD_REQUEST,
            "{what}: {}",
            answer.text
        );
        let told = answer.body["fields"][field].as_str().unwrap_or_default();
        assert!(told.contains(said), "{what}: {}", answer.text);
    }
    for missing in FIELDS {
        let answer = shop.send(&[missing], &packed).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
    }
    let unknown = shop
        .send(&[FIELDS[0], FIELDS[1], ("mode", "x")], &packed)
        .await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST, "{}", unknown.text);
    let json = shop.api.call("POST", PATH, Some("{}")).await;
    assert_eq!(json.status, StatusCode::BAD_REQUEST, "{}", json.text);
    let viewer = shop
        .api
        .call_as(Some(Role::Viewer), "POST", PATH, None)
        .await;
    assert_eq!(viewer.status, StatusCode::FORBIDDEN, "{}", viewer.text);
    assert_eq!(shop.api.changes().await, events, "nothing was written down");
    assert_eq!(psql(&shop.database, "shop", DIGEST), before);
    shop.nothing_is_left().await;
    shop.api.close().await;
}

/// Sends the beginning of a request whose length is said to be `length`.
fn begin(shop: &Shop, length: u64, file: &[u8]) -> TcpStream {
    let (kind, body) = form(&FIELDS, "shop.sql", file);
    let address = shop.api.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /api{PATH} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\n\
         content-type: {kind}\r\ncontent-length: {length}\r\n\r\n",
        shop.api.token(Role::Operator)
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body[..body.len() - 20]).unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_or_endless_it_leaves_nothing() {
    let shop = Shop::new("cut", true).await;
    let plain = dump(&shop.database, "");
    let head = shop.api.head();
    let scratch = shop.scratch();
    for _ in 0..3 {
        let stream = begin(&shop, 64 << 20, &plain);
        until("something is received", || !files(&scratch).is_empty()).await;
        drop(stream);
        shop.nothing_is_left().await;
    }
    // What cannot fit is refused before it is received.
    let mut huge = begin(&shop, 1 << 50, &plain[..1000]);
    huge.set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let mut answer = [0; 4096];
    let read = huge.read(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("no space left"), "{answer}");
    shop.nothing_is_left().await;
    assert_eq!(shop.api.head(), head);
    shop.api.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_at_once_one_is_taken_and_a_cancelled_one_goes() {
    let shop = Shop::new("two", false).await;
    let packed = dump(&shop.database, "| gzip");
    let (one, other) = tokio::join!(shop.send(&FIELDS, &packed), shop.send(&FIELDS, &packed));
    let (taken, refused) = if one.status == StatusCode::ACCEPTED {
        (one, other)
    } else {
        (other, one)
    };
    let restore = accepted(&taken);
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.text);
    let scratch = shop.scratch();
    until("one file stays", || files(&scratch).len() == 1).await;
    let path = format!("/restores/{restore}/cancellation");
    let cancelled = shop.api.call("POST", &path, None).await;
    assert_eq!(cancelled.status, StatusCode::ACCEPTED, "{}", cancelled.text);
    shop.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_point_nothing_is_lost_or_left() {
    let project = format!("up-kill-{}", std::process::id());
    let bed = database(&project);
    let original = psql(&bed, "shop", DIGEST);
    let packed = dump(&bed, "| gzip");
    let mut server = Server::start(&["--keep-undo", "2"]).await;
    let app = json!({ "slug": "shop", "project": project });
    server.post("/api/apps", app).await;
    let scratch = server.data.path().join("uploads");
    let (mut kills, mut restored, mut last) = (0, 0, None);
    for point in [
        "local.before_rename",
        "local.after_rename",
        "log.before_commit",
        "log.after_commit",
        "dispatch.after_enqueue",
        "restore.after_start",
        "restore.step.load",
        "restore.step.swap",
        "restore.before_success",
        "restore.after_success",
    ] {
        psql(
            &bed,
            "shop",
            "INSERT INTO notes VALUES (0, clock_timestamp()::text)",
        );
        let before = psql(&bed, "shop", DIGEST);
        server.respawn(&[("HOLDFAST_FAILPOINT", point)]);
        let asked = if server.ready_or_dead().await {
            server
                .upload(&format!("/api{PATH}"), &FIELDS, &packed)
                .await
        } else {
            None
        };
        assert!(
            server.ended(Duration::from_secs(60)).await,
            "{point}: {}",
            server.log()
        );
        kills += 1;
        server.restart().await;
        let all = server.get("/api/restores?limit=1").await;
        let newest = all[0]["id"].as_i64().filter(|id| Some(*id) != last);
        let answered = asked.map(|(status, body)| {
            assert_eq!(status, StatusCode::ACCEPTED, "{point}: {body}");
            body["restore_id"].as_i64().unwrap()
        });
        assert!(answered.is_none() || newest == answered, "{point}: {all}");
        let over = match newest {
            Some(id) => server.wait_for_restore(id).await,
            None => Value::Null,
        };
        let now = psql(&bed, "shop", DIGEST);
        if over["status"] == "success" {
            assert_eq!(now, original, "{point}: {over}");
            restored += 1;
        } else {
            assert_eq!(now, before, "{point}: {over}");
        }
        if point == "dispatch.after_enqueue" {
            // Accepted, and not begun: the restart does what was promised.
            assert_eq!(over["status"], "success", "{over}\n{}", server.log());
        }
        last = newest.or(last);
        until("nothing is left of the upload", || {
            files(&scratch).is_empty()
        })
        .await;
        psql(&bed, "shop", "DELETE FROM notes WHERE i = 0");
    }
    assert!(restored >= 3, "only {restored} restores came through");
    let verification = server.post("/api/audit/verify", json!({})).await;
    assert_eq!(verification["ok"], true, "{verification}");
    let rebuild = server.post("/api/system/rebuild", json!({})).await;
    assert_eq!(rebuild["differed"], json!([]), "{rebuild}");
    println!("figure: upload restores: kills {kills}, lost 0, left behind 0, restored {restored}");
}
