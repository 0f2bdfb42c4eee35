//! A login service of npm's registry as a process of its own, and a browser that goes there and back.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use reqwest::{Client, Response, header, redirect::Policy};
use serde_json::Value;

use crate::bed::{done, supplied};

const PACKAGE: &str = "oidc-provider@9.13.3";
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/sso/provider.mjs");

/// The client's secret there.
pub const SECRET: &str = "a-client-secret-that-nobody-may-see";

pub struct Provider {
    pub issuer: String,
    process: Child,
    client: Client,
}

impl Provider {
    /// One that sends people back there.
    pub fn start(return_to: &str) -> Self {
        let mut process = Command::new("node")
            .arg(SCRIPT)
            .arg(return_to)
            .env("CLIENT_SECRET", SECRET)
            .current_dir(installed())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let issuer = lines.find_map(|line| line.ok().filter(|line| line.starts_with("http")));
        // It goes on to talk, and ends when nobody listens.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            issuer: issuer.expect("the login service did not start"),
            process,
            client: Client::new(),
        }
    }

    /// Who logs in next, with what is said of them.
    pub async fn expects(&self, person: &Value) {
        self.told(person, "").await;
    }

    /// The same, and how its answer is not to be believed.
    pub async fn told(&self, person: &Value, lie: &str) {
        let person = encoded(&person.to_string());
        let url = format!(
            "{}/control?person={person}&lie={}",
            self.issuer,
            encoded(lie)
        );
        let answer = self.client.get(url).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn installed() -> PathBuf {
    supplied(PACKAGE, |home| {
        let mut npm = Command::new("npm");
        npm.args(["install", "--silent", "--no-audit", "--no-fund"]);
        done(npm.arg("--prefix").arg(home).arg(PACKAGE));
    })
}

fn encoded(text: &str) -> String {
    let bytes: Vec<String> = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    bytes.concat()
}

/// Keeps the cookies of each site, and follows where it is sent.
#[derive(Clone)]
pub struct Browser {
    client: Client,
    cookies: BTreeMap<(String, String), String>,
    /// Every address it was at, newest last.
    pub way: Vec<String>,
}

impl Browser {
    pub fn new() -> Self {
        Self {
            client: Client::builder().redirect(Policy::none()).build().unwrap(),
            cookies: BTreeMap::new(),
            way: Vec::new(),
        }
    }

    pub async fn get(&mut self, url: &str) -> Response {
        let site = site(url);
        let own = self.cookies.iter().filter(|((of, _), _)| *of == site);
        let cookies: Vec<String> = own
            .map(|((_, name), value)| format!("{name}={value}"))
            .collect();
        let request = self
            .client
            .get(url)
            .header(header::COOKIE, cookies.join("; "));
        let answer = request.send().await.unwrap();
        for set in answer.headers().get_all(header::SET_COOKIE) {
            let set = set.to_str().unwrap();
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            let key = (site.clone(), name.to_owned());
            if value.is_empty() || set.contains("Max-Age=0") {
                self.cookies.remove(&key);
            } else {
                self.cookies.insert(key, value.to_owned());
            }
        }
        self.way.push(url.to_owned());
        answer
    }

    /// To the end of all redirects.
    pub async fn follow(&mut self, url: &str) -> Response {
        let mut url = url.to_owned();
        for _ in 0..20 {
            let answer = self.get(&url).await;
            match Self::next(&url, &answer) {
                Some(next) => url = next,
                None => return answer,
            }
        }
        panic!("sent on and on: {:?}", self.way);
    }

    /// Up to the address that begins so, which is not opened.
    pub async fn until(&mut self, url: &str, end: &str) -> String {
        let mut url = url.to_owned();
        while !url.starts_with(end) {
            let answer = self.get(&url).await;
            let next = Self::next(&url, &answer);
            url = next.unwrap_or_else(|| panic!("the way ended: {:?}", self.way));
        }
        url
    }

    fn next(url: &str, answer: &Response) -> Option<String> {
        let next = answer.headers().get(header::LOCATION)?.to_str().unwrap();
        let own = next.starts_with('/');
        Some(if own {
            format!("{}{next}", site(url))
        } else {
            next.to_owned()
        })
    }

    pub fn holds(&self, site: &str, name: &str) -> bool {
        self.cookies
            .contains_key(&(site.to_owned(), name.to_owned()))
    }
}

/// Scheme, host and port.
fn site(url: &str) -> String {
    url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/")
}
