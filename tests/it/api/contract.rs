//! Every operation of the served document with every status that it names: the table below goes through
//! all of them, and what the document promises without its ever being seen fails it, as does the reverse.

mod audit;
mod desk;
mod log;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, LazyLock},
};

use holdfast::{
    docker::{DockerEngine, fake::FakeEngine},
    domain::{access::Role, grant::TokenScope},
    web::api::access::{Access, OPERATIONS, fits},
};
use reqwest::RequestBuilder;
use sea_orm::{ConnectionTrait, Database};
use serde_json::{Value, json};

use self::desk::Desk;
use super::{Answer, Api, PASSWORD, send};
use crate::{
    bucket::{Bucket, Operation, Trouble},
    house::{postgres, psql},
    server::form,
};

/// Method, path as in the document.
type Route = (String, String);

/// What the document says of each operation: statuses, and whether JSON comes with them.
pub static PROMISED: LazyLock<BTreeMap<Route, BTreeMap<u16, bool>>> = LazyLock::new(|| {
    let document: Value = serde_json::from_str(&holdfast::web::api::document()).unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(move |(method, operation)| {
            let answers = operation["responses"].as_object().unwrap().iter();
            let answers = answers.map(|(status, answer)| {
                let json = answer["content"].as_object().is_some_and(|content| {
                    content.keys().any(|it| it.starts_with("application/json"))
                });
                (status.parse().unwrap(), json)
            });
            ((method.to_uppercase(), path.clone()), answers.collect())
        })
    });
    operations.collect()
});

/// Of the document, to which this request goes.
pub fn route(method: &str, path: &str) -> Option<Route> {
    let path = path.strip_prefix("/api")?;
    let mut all = PROMISED.keys();
    all.find(|(name, form)| name == method && fits(form, path))
        .cloned()
}

/// What was seen so far.
#[derive(Default)]
struct Seen {
    answers: BTreeSet<(Route, u16)>,
    /// Answers that were to be others.
    wrong: Vec<String>,
}

impl Seen {
    /// Sends it; the answer has the expected status, and the form that the document gives it.
    async fn ask(&mut self, request: RequestBuilder, body: Option<&str>, expected: u16) -> Answer {
        let copy = request.try_clone().unwrap().build().unwrap();
        let route = route(copy.method().as_str(), copy.url().path()).unwrap();
        let answer = send(request, body).await;
        let status = answer.status.as_u16();
        let what = format!("{route:?}: {status}: {}", answer.text);
        if status != expected {
            self.wrong.push(format!("{expected}, but {what}"));
        }
        if PROMISED[&route].get(&status) == Some(&true) {
            assert!(!answer.body.is_null(), "{what}");
        }
        if status >= 400 && status != 416 {
            assert!(answer.body["error"].is_string(), "{what}");
            assert!(answer.body["message"].is_string(), "{what}");
        }
        if status == 500 {
            assert_eq!(answer.body["id"].as_str().map(str::len), Some(26), "{what}");
            for detail in ["table", "SQL", "sqlite"] {
                assert!(!answer.text.contains(detail), "{what}");
            }
        }
        self.answers.insert((route, status));
        answer
    }
}

fn filled(form: &str, slug: &str, id: &str) -> String {
    form.replace("{slug}", slug)
        .replace("{id}", id)
        .replace("{position}", id)
        .replace("{copy}", "1")
}

/// A body that is good enough to reach what the path names.
fn body(method: &str, form: &str) -> Option<&'static str> {
    let body = match form {
        "/users/{id}/grants" => r#"{"grants":[]}"#,
        "/users/{id}/password" => r#"{"password":"correct horse battery"}"#,
        _ => "{}",
    };
    matches!(method, "POST" | "PUT").then_some(body)
}

/// What every operation answers by what it is.
async fn rules(api: &Api, seen: &mut Seen) {
    let mut scoped = BTreeMap::new();
    for scope in ["read", "backup"] {
        let token = json!({ "name": scope, "scopes": [scope] }).to_string();
        let token = api.call("POST", "/apikeys", Some(&token)).await;
        scoped.insert(scope, token.body["token"].as_str().unwrap().to_owned());
    }
    let long = format!("\"{}\"", "a".repeat(1 << 20));
    for (method, form, access) in OPERATIONS {
        let Some(promised) = PROMISED.get(&((*method).to_owned(), (*form).to_owned())) else {
            continue;
        };
        let (there, away) = (filled(form, "shop", "1"), filled(form, "nothing", "999999"));
        let body = body(method, form);
        let unknown = api.request(method, &format!("{there}?no_such_name=1"));
        let admin = api.token(Role::Admin);
        seen.ask(unknown.bearer_auth(admin), body, 400).await;
        if let Access::Needs(_, scope) = access {
            seen.ask(api.request(method, &there), body, 401).await;
            // For reading a token that may only do the rest, and the reverse.
            let other = if *scope == TokenScope::Read {
                "backup"
            } else {
                "read"
            };
            let weak = api.request(method, &there).bearer_auth(&scoped[other]);
            seen.ask(weak, body, 403).await;
        }
        if form.contains('{') {
            let lost = api.request(method, &away).bearer_auth(admin);
            if *form == "/apps/{slug}/backups/upload-restore" {
                let fields = [("strategy", "postgres"), ("container", "db")];
                seen.ask(file(lost, &fields, b"x"), None, 404).await;
            } else {
                seen.ask(lost, body, 404).await;
            }
        }
        if promised.contains_key(&413) {
            let much = api.request(method, &there).bearer_auth(admin);
            seen.ask(much, Some(&long), 413).await;
        }
    }
}

fn file(request: RequestBuilder, fields: &[(&str, &str)], file: &[u8]) -> RequestBuilder {
    let (kind, body) = form(fields, "dump.sql", file);
    request.header("content-type", kind).body(body)
}

/// With a log that cannot be read, whatever is asked.
async fn defects(seen: &mut Seen) {
    let api = Api::fake().await;
    let path = format!("sqlite://{}", api.database().display());
    let db = Database::connect(path).await.unwrap();
    for table in ["users", "token_digests"] {
        let moved = format!("ALTER TABLE {table} RENAME TO moved_{table}");
        db.execute_unprepared(&moved).await.unwrap();
    }
    for (method, form, access) in OPERATIONS {
        if PROMISED.contains_key(&((*method).to_owned(), (*form).to_owned())) {
            let request = api.request(method, &filled(form, "shop", "1"));
            let request = match access {
                Access::Anybody => request,
                Access::Needs(..) => request.bearer_auth(api.token(Role::Admin)),
            };
            let login = json!({ "name": "admin", "password": PASSWORD }).to_string();
            let body = match *form {
                "/login" => Some(login.as_str()),
                _ => body(method, form),
            };
            seen.ask(request, body, 500).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_answers_each_status_that_the_document_names() {
    let mut seen = Seen::default();
    let project = format!("contract-{}", std::process::id());
    let bed = postgres(crate::bed::POSTGRES, &project, &[]);
    let rows = "CREATE TABLE notes AS SELECT i FROM generate_series(1, 100) i";
    psql(&bed, "shop", rows);
    let dump = crate::bed::docker(&["exec", &bed.name, "pg_dump", "-U", "postgres", "shop"]);
    let bucket = Bucket::serve();
    let engine = Arc::new(DockerEngine::connect(None).unwrap());
    let mut api = Api::unhurried(engine).await;
    api.add_app(&project).await;

    let mut desk = Desk {
        api: &api,
        seen: &mut seen,
    };
    desk.apps().await;
    let (config, hook) = (desk.configs(&bucket).await, desk.webhook().await);
    let run = desk.run(config).await;
    desk.logged(run).await;
    desk.copied(run).await;
    desk.found(run).await;
    desk.restored(run).await;
    desk.told(config, &hook).await;
    desk.own().await;
    desk.people().await;
    desk.sessions().await;
    desk.history().await;
    desk.detail().await;

    // From here on nobody works off what is asked for: it waits, and stands in the way.
    api.rest().await;
    let mut desk = Desk {
        api: &api,
        seen: &mut seen,
    };
    desk.waiting(config, run, dump.as_bytes()).await;
    for operation in [Operation::Get, Operation::Other] {
        bucket.inject(operation, Trouble::Busy, 1000);
    }
    desk.away(run).await;
    desk.guesses().await;
    api.close().await;

    let api = Api::fake().await;
    rules(&api, &mut seen).await;
    defects(&mut seen).await;
    engineless(&mut seen).await;

    assert!(seen.wrong.is_empty(), "{}", seen.wrong.join("\n"));
    let promised: BTreeSet<(Route, u16)> = PROMISED
        .iter()
        .flat_map(|(route, answers)| answers.keys().map(move |status| (route.clone(), *status)))
        .collect();
    let unseen: Vec<_> = promised.difference(&seen.answers).collect();
    let untold: Vec<_> = seen.answers.difference(&promised).collect();
    assert!(
        unseen.is_empty(),
        "promised, and never answered: {unseen:#?}"
    );
    assert!(
        untold.is_empty(),
        "answered, and not in the document: {untold:#?}"
    );
    println!(
        "figure: API: {} operations, {} answers that the document names, each seen",
        PROMISED.len(),
        promised.len()
    );
}

async fn engineless(seen: &mut Seen) {
    let engine = FakeEngine::with("x");
    engine.set_down(true);
    let api = Api::new(engine).await;
    let request = api.request("POST", "/apps/discover");
    let request = request.bearer_auth(api.token(Role::Admin));
    seen.ask(request, None, 502).await;
}
