//! The real server as a process of its own, so that it can be killed; and a client that speaks to
//! it as anybody would.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use tempfile::TempDir;

/// A data folder, and the server that works in it right now.
pub struct Server {
    pub data: TempDir,
    pub client: Client,
    process: Child,
    url: String,
    token: String,
    options: Vec<String>,
}

impl Server {
    /// Starts one in a new data folder. `options` go to `serve`.
    pub async fn start(options: &[&str]) -> Self {
        let data = TempDir::new().unwrap();
        let options: Vec<String> = options.iter().map(|&option| option.to_owned()).collect();
        let process = spawn(&data, &options, &[]);
        let client = Client::builder()
            .timeout(Duration::from_secs(30))
            .build()
            .unwrap();
        let mut server = Self {
            data,
            client,
            process,
            url: String::new(),
            token: String::new(),
            options,
        };
        server.ready().await;
        server
    }

    /// Power off: SIGKILL, and nothing of it is left running.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Starts again in the same folder; how long it took until it was ready to serve.
    pub async fn restart(&mut self) -> Duration {
        self.restart_with(&[]).await
    }

    pub async fn restart_with(&mut self, env: &[(&str, &str)]) -> Duration {
        self.kill();
        let start = Instant::now();
        self.process = spawn(&self.data, &self.options, env);
        self.ready().await;
        start.elapsed()
    }

    /// Starts again without waiting: for a server that is about to die.
    pub fn respawn(&mut self, env: &[(&str, &str)]) {
        self.kill();
        let _ = std::fs::remove_file(self.data.path().join("server.json"));
        self.process = spawn(&self.data, &self.options, env);
    }

    /// True when it became ready, false when it died first.
    pub async fn ready_or_dead(&mut self) -> bool {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if self.has_ended() {
                return false;
            }
            if self.is_ready().await {
                return true;
            }
            assert!(
                Instant::now() < deadline,
                "not ready after 60 s: {}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn has_ended(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(Some(_)))
    }

    pub async fn ended(&mut self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            if self.has_ended() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }

    /// SIGTERM, then its end.
    pub async fn terminate(&mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(
            self.ended(Duration::from_secs(60)).await,
            "SIGTERM was ignored"
        );
        self.process.wait().unwrap().code()
    }

    async fn ready(&mut self) {
        assert!(
            self.ready_or_dead().await,
            "the server died at its start: {}",
            self.log()
        );
    }

    async fn is_ready(&mut self) -> bool {
        let Ok(text) = std::fs::read_to_string(self.data.path().join("server.json")) else {
            return false;
        };
        let Ok(server) = serde_json::from_str::<Value>(&text) else {
            return false;
        };
        self.url = server["url"].as_str().unwrap_or_default().to_owned();
        self.token = server["token"].as_str().unwrap_or_default().to_owned();
        let ready = self.client.get(format!("{}/readyz", self.url)).send().await;
        ready.is_ok_and(|answer| answer.status() == StatusCode::OK)
    }

    pub fn backups(&self) -> PathBuf {
        self.data.path().join("backups")
    }

    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(self.data.path().join("server.log")).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(40).collect();
        tail.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Status and body; `None` when the server did not answer.
    pub async fn try_call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Option<(StatusCode, Value)> {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.url))
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.ok()?;
        let status = answer.status();
        let text = answer.text().await.ok()?;
        Some((
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        ))
    }

    /// A form with a file, whose fields come first.
    pub async fn upload(
        &self,
        path: &str,
        fields: &[(&str, &str)],
        file: &[u8],
    ) -> Option<(StatusCode, Value)> {
        let (kind, body) = form(fields, "backup", file);
        let request = self.client.post(format!("{}{path}", self.url));
        let request = request.bearer_auth(&self.token);
        let answer = request.header("content-type", kind).body(body).send().await;
        let answer = answer.ok()?;
        let status = answer.status();
        let text = answer.text().await.ok()?;
        Some((status, serde_json::from_str(&text).unwrap_or_default()))
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.try_call(Method::GET, path, None).await.expect(path);
        assert!(status.is_success(), "GET {path}: {status} {body}");
        body
    }

    pub async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self
            .try_call(Method::POST, path, Some(body))
            .await
            .expect(path);
        assert!(status.is_success(), "POST {path}: {status} {answer}");
        answer
    }

    /// Polls `path` until `done` says so; panics after three minutes.
    pub async fn wait_for(&self, path: &str, done: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(180);
        loop {
            let value = self.get(path).await;
            if done(&value) {
                return value;
            }
            assert!(
                Instant::now() < deadline,
                "stuck: {path}: {value}\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn wait_for_run(&self, id: i64) -> Value {
        let path = format!("/api/backups/runs/{id}");
        self.wait_for(&path, |run| {
            let status = run["status"].as_str().unwrap_or_default();
            ["success", "failed", "cancelled"].contains(&status)
        })
        .await
    }

    pub async fn wait_for_restore(&self, id: i64) -> Value {
        let path = format!("/api/restores/{id}");
        self.wait_for(&path, |restore| {
            let status = restore["status"].as_str().unwrap_or_default();
            !["queued", "running", "undoing"].contains(&status)
        })
        .await
    }
}

/// Where nobody listens: for who must know a port before its server has it, or wants it back later. It is
/// handed out once, and lies below what the system gives to whoever asks for any port.
pub fn free_address() -> SocketAddr {
    const FIRST: u32 = 20_000;
    const BELOW: u32 = 32_768;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    // Runs of the tests that are under way at the same time begin at different places.
    let start = std::process::id().wrapping_mul(97);
    for _ in FIRST..BELOW {
        let taken = TAKEN.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + start.wrapping_add(taken) % (BELOW - FIRST);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(port).unwrap()));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port is free");
}

/// Type and body of a `multipart/form-data` request with a file after these fields.
pub fn form(fields: &[(&str, &str)], name: &str, file: &[u8]) -> (String, Vec<u8>) {
    const BOUNDARY: &str = "0-cut-here-0";
    let mut body = Vec::new();
    let disposition = "content-disposition: form-data; name=";
    for (field, value) in fields {
        let part = format!("--{BOUNDARY}\r\n{disposition}\"{field}\"\r\n\r\n{value}\r\n");
        body.extend(part.bytes());
    }
    let head = format!("--{BOUNDARY}\r\n{disposition}\"file\"; filename=\"{name}\"\r\n\r\n");
    body.extend(head.bytes());
    body.extend(file);
    body.extend(format!("\r\n--{BOUNDARY}--\r\n").bytes());
    (format!("multipart/form-data; boundary={BOUNDARY}"), body)
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(data: &TempDir, options: &[String], env: &[(&str, &str)]) -> Child {
    let _ = std::fs::remove_file(data.path().join("server.json"));
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(data.path().join("server.log"))
        .unwrap();
    Command::new(env!("CARGO_BIN_EXE_holdfast"))
        .arg("serve")
        .arg("--data-dir")
        .arg(data.path())
        .env("HOLDFAST_LISTEN", "127.0.0.1:0") // options may say otherwise
        .args(options)
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}
