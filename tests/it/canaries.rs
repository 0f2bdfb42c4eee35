//! Every secret that Holdfast is given or gives out, followed through whole flows: whatever is written, shown
//! or sent is searched for it afterwards, as it is, in hexadecimal and in base64.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use flate2::read::GzDecoder;
use holdfast::{
    app::new_key,
    web::{api::access::OPERATIONS, pages::access::PAGES},
};
use memchr::memmem;
use reqwest::{Client, Method, RequestBuilder, StatusCode, redirect::Policy};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    bed::{BUSYBOX, Bed, POSTGRES},
    bucket::{Bucket, SECRET_KEY},
    cli::holdfast,
    house::{postgres, psql},
    server::{Server, free_address},
    sso::provider::{self, Provider},
};

/// What is in the data folder for the server's own use, 0600.
const OWN_FILES: [&str; 3] = ["master.key", "server.json", "setup-token"];

/// Each under what it is.
#[derive(Clone, Default)]
struct Canaries(Arc<Mutex<BTreeMap<String, Vec<Vec<u8>>>>>);

impl Canaries {
    fn plant(&self, kind: &str) -> String {
        let value = format!("canary{}Zq{kind}", ulid::Ulid::generate()).replace(' ', "");
        self.know(kind, &value);
        value
    }

    fn know(&self, kind: &str, value: &str) {
        assert!(
            value.len() >= 10,
            "{kind} is too short to be searched for: {value}"
        );
        let bytes = value.as_bytes();
        let mut forms = vec![bytes.to_vec(), hex::encode(bytes).into_bytes()];
        // Inside of something longer it may begin at any of three places.
        for shift in 0..3 {
            let mut padded = vec![b'x'; shift];
            padded.extend(bytes);
            let text = BASE64_STANDARD.encode(&padded);
            let end = (shift + bytes.len()) / 3 * 4;
            forms.push(text.as_bytes()[if shift == 0 { 0 } else { 4 }..end].to_vec());
        }
        self.0.lock().unwrap().insert(kind.to_owned(), forms);
    }

    fn seen_in(&self, bytes: &[u8]) -> BTreeSet<String> {
        let known = self.0.lock().unwrap();
        let seen = known.iter().filter(|(_, forms)| {
            let mut forms = forms.iter();
            forms.any(|form| memmem::find(bytes, form).is_some())
        });
        seen.map(|(kind, _)| kind.clone()).collect()
    }
}

/// Where was looked, and what was seen there.
#[derive(Clone)]
struct Search {
    canaries: Canaries,
    bytes: Arc<Mutex<BTreeMap<&'static str, u64>>>,
    hits: Arc<Mutex<BTreeSet<String>>>,
}

impl Search {
    fn look(&self, place: &'static str, name: &str, bytes: &[u8]) {
        *self.bytes.lock().unwrap().entry(place).or_default() += bytes.len() as u64;
        for kind in self.canaries.seen_in(bytes) {
            self.hits
                .lock()
                .unwrap()
                .insert(format!("{kind} in {place}: {name}"));
        }
    }

    fn look_below(&self, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                self.look_below(&path);
            } else if !OWN_FILES.contains(&name.as_str()) {
                let bytes = fs::read(&path).unwrap();
                let place = match () {
                    () if name.starts_with("holdfast.db") => "database bytes",
                    () if name == "server.log" => "log lines",
                    () if name.ends_with(".jsonl.gz") => "shipped segments",
                    () => "other files",
                };
                self.look(place, &name, &bytes);
                if path.extension().is_some_and(|it| it == "gz") {
                    let mut text = Vec::new();
                    GzDecoder::new(&bytes[..]).read_to_end(&mut text).unwrap();
                    self.look(place, &name, &text);
                }
            }
        }
    }
}

/// Looks at the command line of every process of the host, and at every program that the engine runs in the
/// container, for as long as it lives.
struct Watch {
    over: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
    programs: Arc<Mutex<BTreeSet<String>>>,
}

impl Watch {
    fn begin(search: &Search, container: &str) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let programs: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let (until, by) = (over.clone(), search.clone());
        let lines = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                for process in fs::read_dir("/proc").unwrap().flatten() {
                    if let Ok(line) = fs::read(process.path().join("cmdline")) {
                        by.look("command lines", &String::from_utf8_lossy(&line), &line);
                    }
                }
                std::thread::sleep(std::time::Duration::from_millis(3));
            }
        });
        let (until, by, found) = (over.clone(), search.clone(), Arc::clone(&programs));
        let container = container.to_owned();
        let inspected = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async move {
                let engine = bollard::Docker::connect_with_local_defaults().unwrap();
                while !until.load(Ordering::Relaxed) {
                    let seen = engine.inspect_container(&container, None).await;
                    let programs = seen.ok().and_then(|it| it.exec_ids).unwrap_or_default();
                    for program in programs {
                        if let Ok(told) = engine.inspect_exec(&program).await {
                            let text = serde_json::to_string(&told).unwrap();
                            by.look("programs as the engine tells them", &text, text.as_bytes());
                            found.lock().unwrap().insert(program);
                        }
                    }
                    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                }
            });
        });
        Self {
            over,
            threads: vec![lines, inspected],
            programs,
        }
    }

    /// How many programs it saw in the container.
    fn end(self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        self.programs.lock().unwrap().len()
    }
}

/// Takes whatever is sent, and searches all of it but the path, which was its address.
async fn receiver(search: Search) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let search = search.clone();
            tokio::spawn(async move {
                let mut sent = Vec::new();
                let mut chunk = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut chunk).await {
                    sent.extend(&chunk[..read]);
                    let end = memmem::find(&sent, b"\r\n\r\n").map(|at| at + 4);
                    let head = end.map(|end| String::from_utf8_lossy(&sent[..end]).to_lowercase());
                    let length = head.as_deref().map_or(0, |head| {
                        let length = head.split("content-length: ").nth(1);
                        let length = length.and_then(|rest| rest.lines().next()?.parse().ok());
                        length.unwrap_or(0)
                    });
                    if end.is_some_and(|end| sent.len() >= end + length) {
                        break;
                    }
                }
                let line = memmem::find(&sent, b"\r\n").unwrap_or(0);
                search.look("deliveries", "a delivery", &sent[line..]);
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            });
        }
    });
    format!("http://{address}")
}

/// Somebody with a session.
struct Sitting {
    client: Client,
    url: String,
    cookie: String,
}

impl Sitting {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        request.header("cookie", &self.cookie)
    }

    async fn page(&self, path: &str) -> (StatusCode, String) {
        let answer = self.request(Method::GET, path).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap_or_default())
    }

    async fn post(&self, path: &str, fields: &str) -> String {
        let (_, page) = self.page("/account/second-factor").await;
        let token = between(&page, r#"name="csrf" value=""#, "\"");
        let request = self.request(Method::POST, path);
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let answer = request
            .body(format!("csrf={token}&{fields}"))
            .send()
            .await
            .unwrap();
        answer.text().await.unwrap()
    }
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text
        .split_once(start)
        .unwrap_or_else(|| panic!("{start} is not in {text}"));
    rest.split(end).next().unwrap()
}

/// All that is read from a target or a page of these ids is there at the end of the flow.
fn with_ids(form: &str) -> String {
    form.replace("{slug}", "shop")
        .replace("{id}", "1")
        .replace("{position}", "3")
        .replace("{copy}", "1")
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_seen_where_it_does_not_belong() {
    let canaries = Canaries::default();
    let search = Search {
        canaries: canaries.clone(),
        bytes: Arc::default(),
        hits: Arc::default(),
    };
    let project = format!("canary-{}", std::process::id());
    let bed: Bed = postgres(POSTGRES, &project, &[]);
    psql(
        &bed,
        "shop",
        "CREATE TABLE notes AS SELECT i FROM generate_series(1, 50000) i",
    );
    // Before anybody watches command lines: it is set with one.
    let database = canaries.plant("password of a database");
    psql(
        &bed,
        "shop",
        &format!("ALTER USER postgres PASSWORD '{database}'"),
    );
    psql(&bed, "shop", "CREATE DATABASE nowhere");
    let bucket = Bucket::serve();
    canaries.know("S3 secret key", SECRET_KEY);
    canaries.know("OIDC client secret", provider::SECRET);
    let elsewhere = TempDir::new().unwrap();
    let file = elsewhere.path().join("client-secret");
    fs::write(&file, provider::SECRET).unwrap();
    let free = free_address();
    let url = format!("http://{free}");
    let login = Provider::start(&format!("{url}/login/sso/return"));
    login
        .expects(&json!({ "sub": "1", "preferred_username": "olga" }))
        .await;
    let options = [
        "--helper-image",
        BUSYBOX,
        "--private-targets",
        "--private-webhooks",
        "--private-oidc",
        "--listen",
        &free.to_string(),
        "--public-url",
        &url,
        "--oidc-issuer",
        &login.issuer,
        "--oidc-client-id",
        "holdfast",
        "--oidc-client-secret-file",
        &file.display().to_string(),
        "--oidc-new-users",
        "viewer",
        "--attempts",
        "1",
    ];
    let mut server = Server::start(&options).await;
    server
        .restart_with(&[("RUST_LOG", "debug"), ("HOLDFAST_LOG_FORMAT", "json")])
        .await;
    let data = server.data.path().to_owned();
    let master = fs::read_to_string(data.join("master.key")).unwrap();
    canaries.know("master key", master.trim());
    let own: Value = serde_json::from_slice(&fs::read(data.join("server.json")).unwrap()).unwrap();
    canaries.know("token of the command line", own["token"].as_str().unwrap());
    let told = receiver(search.clone()).await;
    let watch = Watch::begin(&search, &bed.name);

    // People, with whatever lets them in.
    let password = canaries.plant("password of a user");
    let user = json!({ "name": "ada", "role": "admin", "password": password });
    server.post("/api/users", user).await;
    let client = Client::builder().redirect(Policy::none()).build().unwrap();
    let body = json!({ "name": "ada", "password": password }).to_string();
    let request = client
        .post(format!("{url}/api/login"))
        .header("content-type", "application/json");
    let answer = request.body(body).send().await.unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    canaries.know("session", cookie.split_once('=').unwrap().1);
    let ada = Sitting {
        client: client.clone(),
        url: url.clone(),
        cookie,
    };
    let page = ada.post("/account/second-factor", "").await;
    canaries.know(
        "second factor",
        between(&page, r#"<code class="break">"#, "<"),
    );
    ada.post("/account/second-factor/confirmation", "code=000000")
        .await;
    let key = json!({ "name": "deploy", "role": "operator" });
    let key = server.post(
        "/api/apikeys",
        json!({ "user": "ada", "name": key["name"], "role": "operator" }),
    );
    let key = key.await["token"].as_str().unwrap().to_owned();
    canaries.know("API token", &key);
    let bearer = |path: &str| client.get(format!("{url}{path}")).bearer_auth(&key);
    assert_eq!(bearer("/api/me").send().await.unwrap().status(), 200);
    let mut elsewhere_in = provider::Browser::new();
    assert_eq!(
        elsewhere_in
            .follow(&format!("{url}/login/sso"))
            .await
            .status(),
        200
    );

    // An app, a config with every secret that one has, who is told, and who may ask.
    server
        .post("/api/apps", json!({ "slug": "shop", "project": project }))
        .await;
    let (public, private) = new_key();
    canaries.know("private key of a backup", private.expose().trim());
    let ping = canaries.plant("ping address");
    let settings: BTreeMap<String, String> = bucket.settings().into_iter().collect();
    let config = |database_name: &str, server_key: bool| {
        json!({
            "strategy": "postgres", "service": "db", "options": { "database": database_name },
            "credentials": { "password": database }, "target": "s3", "target_config_json": settings,
            "copies": [{ "target": "local" }], "ping_url": format!("{told}/ping/{ping}"),
            "encryption": { "recipients": [public], "server_key": server_key },
        })
    };
    for (name, server_key) in [("shop", false), ("nowhere", true)] {
        server
            .post("/api/apps/shop/backups/configs", config(name, server_key))
            .await;
    }
    psql(&bed, "shop", "DROP DATABASE nowhere");
    let hook = canaries.plant("address of a webhook");
    let signing = BASE64_STANDARD.encode(canaries.plant("signing of a webhook"));
    canaries.know("signing of a webhook", &signing);
    let webhook =
        json!({ "url": format!("{told}/hook/{hook}"), "secret": format!("whsec_{signing}") });
    server.post("/api/webhooks", webhook).await;
    let mail = canaries.plant("password of a mail server");
    let mail = json!({
        "kind": "email", "secret": mail,
        "settings": { "host": "127.0.0.1", "port": "9", "security": "starttls", "user": "holdfast",
                      "from": "a@example.org", "to": "b@example.org" },
    });
    server.post("/api/webhooks", mail).await;
    server.post("/api/webhooks/test", json!({ "id": 1 })).await;
    server.post("/api/webhooks/test", json!({ "id": 2 })).await;
    let trigger = server
        .post("/api/backups/configs/1/trigger", json!({ "signed": true }))
        .await;
    let path = trigger["path"].as_str().unwrap();
    canaries.know("trigger", path.trim_start_matches("/hooks/"));
    let secret = trigger["secret"]
        .as_str()
        .unwrap()
        .trim_start_matches("whsec_");
    canaries.know("signing of a trigger", secret);
    let refused = client.post(format!("{url}{path}")).send().await.unwrap();
    assert!(refused.status().is_client_error(), "it has to be signed");

    // Backed up, verified, failed, restored with the key that only a person has.
    let run = server.post("/api/backups/configs/1/run", json!({})).await;
    let run = server.wait_for_run(run["run_id"].as_i64().unwrap()).await;
    assert_eq!(run["status"], "success", "{run}\n{}", server.log());
    let failed = server.post("/api/backups/configs/2/run", json!({})).await;
    let failed = server
        .wait_for_run(failed["run_id"].as_i64().unwrap())
        .await;
    assert_eq!(failed["status"], "failed", "{failed}");
    let identity = json!({ "identity": private.expose() });
    let path = format!("/api/backups/restore/{}", run["id"]);
    let restore = server.post(&path, identity).await;
    let restore = server
        .wait_for_restore(restore["restore_id"].as_i64().unwrap())
        .await;
    assert_eq!(restore["status"], "success", "{restore}");
    let edited = json!({ "credentials": { "password": "••••" }, "name": "Edited" });
    server
        .try_call(Method::PUT, "/api/backups/configs/1", Some(edited))
        .await
        .unwrap();
    let wrong =
        json!({ "target_config_json": { "endpoint": "http://127.0.0.1:9" }, "target": "s3" });
    server
        .try_call(Method::PUT, "/api/backups/configs/2", Some(wrong))
        .await
        .unwrap();
    server.post("/api/backups/test-s3", json!(settings)).await;

    // Whatever the API and the pages answer to an admin.
    let mut answered = 0;
    for (method, form, _) in OPERATIONS {
        if *method == "GET" && !form.contains("download") {
            let path = format!("/api{}", with_ids(form));
            let answer = client
                .get(format!("{url}{path}"))
                .bearer_auth(own["token"].as_str().unwrap());
            let answer = answer.send().await.unwrap();
            answered += u32::from(answer.status().is_success());
            search.look("API", &path, &answer.bytes().await.unwrap());
        }
    }
    let (mut shown, mut missing) = (0, Vec::new());
    for (methods, form, _) in PAGES {
        let elsewhere = form.contains("/sso") || form.contains("download") || form.contains("live");
        if methods.starts_with("GET") && !elsewhere {
            let path = with_ids(form);
            let (status, page) = ada.page(&path).await;
            if status.is_success() {
                shown += 1;
            } else if !status.is_redirection() {
                missing.push(format!("{path}: {status}"));
            }
            search.look("pages", &path, page.as_bytes());
        }
    }
    for words in [
        &["audit", "export"][..],
        &["audit", "export", "--format", "csv"],
        &["doctor"],
    ] {
        let said = holdfast(&data, words);
        search.look("the command line", &words.join(" "), said.out.as_bytes());
        search.look("the command line", &words.join(" "), said.err.as_bytes());
    }
    let programs = watch.end();
    assert!(programs > 0, "no program was seen in the container");
    assert!(
        answered > 15 && shown > 15,
        "{answered} operations, {shown} pages; {missing:?}"
    );
    server.terminate().await;
    search.look_below(&data);
    search.look_below(bucket.folder());

    // The search itself finds what is there.
    assert!(!canaries.seen_in(master.as_bytes()).is_empty());
    let basic = BASE64_STANDARD.encode(format!("holdfast:{}", provider::SECRET));
    assert!(!canaries.seen_in(basic.as_bytes()).is_empty());

    let bytes = search.bytes.lock().unwrap().clone();
    for place in [
        "database bytes",
        "log lines",
        "shipped segments",
        "command lines",
        "programs as the engine tells them",
        "deliveries",
        "API",
        "pages",
        "the command line",
    ] {
        assert!(
            bytes.get(place).is_some_and(|&bytes| bytes > 0),
            "nothing was looked at: {place}"
        );
    }
    let hits = search.hits.lock().unwrap().clone();
    assert!(hits.is_empty(), "{hits:#?}");
    let (kinds, places) = (canaries.0.lock().unwrap().len(), bytes.len());
    let all: u64 = bytes.values().sum();
    println!(
        "figure: canaries: {kinds} kinds of secrets in {places} kinds of places ({} MB, {programs} programs in \
         the container, {answered} operations, {shown} pages), seen 0",
        all / 1_000_000
    );
}
