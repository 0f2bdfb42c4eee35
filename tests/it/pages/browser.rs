//! A real browser with a profile of its own, driven over WebDriver; gone when the test is over.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use fantoccini::{
    Client, ClientBuilder, Locator,
    actions::{InputSource, KeyAction, KeyActions},
    elements::Element,
    error::CmdError,
    wd::WebDriverCompatibleCommand,
};
use hyper_util::client::legacy::connect::HttpConnector;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::free_address;

/// Keys, as WebDriver names them.
pub const CONTROL: &str = "\u{e009}";
pub const ENTER: &str = "\u{e007}";
pub const TAB: &str = "\u{e004}";

const PATIENCE: Duration = Duration::from_secs(60);

pub struct Browser {
    pub client: Client,
    url: String,
    driver: Child,
    profile: TempDir,
}

impl Browser {
    pub async fn start(url: &str) -> Self {
        let port = free_address().port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed (Debian: chromium-driver)");
        let profile = TempDir::new().unwrap();
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--force-prefers-reduced-motion",
            "--window-size=1280,900",
        ];
        let mut arguments: Vec<String> = arguments.map(ToOwned::to_owned).into();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        let capabilities = json!({
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "browser": "ALL" },
        });
        let Value::Object(capabilities) = capabilities else {
            unreachable!("an object was written above");
        };
        let mut browser = ClientBuilder::new(HttpConnector::new());
        browser.capabilities(capabilities.into_iter().collect());
        let deadline = Instant::now() + PATIENCE;
        let client = loop {
            match browser.connect(&format!("http://127.0.0.1:{port}")).await {
                Ok(client) => break client,
                Err(error) => assert!(Instant::now() < deadline, "no browser: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        Self {
            client,
            url: url.to_owned(),
            driver,
            profile,
        }
    }

    pub async fn go(&self, path: &str) {
        self.client
            .goto(&format!("{}{path}", self.url))
            .await
            .unwrap();
    }

    pub async fn path(&self) -> String {
        self.client.current_url().await.unwrap().path().to_owned()
    }

    /// Waits until the address is this one.
    pub async fn at(&self, path: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.path().await != path {
            assert!(
                Instant::now() < deadline,
                "at {} instead of {path}",
                self.path().await
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn find(&self, css: &str) -> Element {
        let found = self
            .client
            .wait()
            .at_most(PATIENCE)
            .for_element(Locator::Css(css));
        found.await.unwrap_or_else(|error| panic!("{css}: {error}"))
    }

    pub async fn has(&self, css: &str) -> bool {
        !self
            .client
            .find_all(Locator::Css(css))
            .await
            .unwrap()
            .is_empty()
    }

    /// Waits until nothing of that kind is there any more.
    pub async fn is_gone(&self, css: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.has(css).await {
            assert!(Instant::now() < deadline, "{css} is still there");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn click(&self, css: &str) {
        // What is sent live may replace the element between looking and clicking.
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.find(css).await.click().await {
                Ok(()) => return,
                Err(CmdError::Standard(error)) if Instant::now() < deadline => {
                    let stale = ["stale element", "not interactable", "intercepted"];
                    let error = error.to_string();
                    assert!(
                        stale.iter().any(|word| error.contains(word)),
                        "{css}: {error}"
                    );
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err(error) => panic!("{css}: {error}"),
            }
        }
    }

    /// Clicks the button or link that is called that.
    pub async fn press(&self, label: &str) {
        let xpath = format!(
            "(//main//button | //main//a)[not(@disabled)][contains(normalize-space(.), '{label}')]"
        );
        let deadline = Instant::now() + PATIENCE;
        loop {
            for element in self.client.find_all(Locator::XPath(&xpath)).await.unwrap() {
                if element.is_displayed().await.unwrap_or(false) && element.click().await.is_ok() {
                    return;
                }
            }
            assert!(
                Instant::now() < deadline,
                "nothing to press is called {label}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn fill(&self, css: &str, text: &str) {
        let input = self.find(css).await;
        input.clear().await.unwrap();
        input.send_keys(text).await.unwrap();
    }

    /// Types wherever the focus is; a `CONTROL` holds the key down until the next one.
    pub async fn keys(&self, keys: &str) {
        let mut held = false;
        let mut actions = KeyActions::new("keys".to_owned());
        for key in keys.chars() {
            actions = match key.to_string().as_str() {
                CONTROL if held => actions.then(KeyAction::Up { value: key }),
                CONTROL => actions.then(KeyAction::Down { value: key }),
                _ => actions
                    .then(KeyAction::Down { value: key })
                    .then(KeyAction::Up { value: key }),
            };
            held ^= key.to_string() == CONTROL;
        }
        self.client.perform_actions(actions).await.unwrap();
    }

    /// Waits until the text of that element holds `text`; answers all of it.
    pub async fn reads(&self, css: &str, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let read = match self.client.find(Locator::Css(css)).await {
                Ok(element) => element.text().await.unwrap_or_default(),
                Err(_) => String::new(),
            };
            if read.contains(text) {
                return read;
            }
            assert!(
                Instant::now() < deadline,
                "{css} never read {text:?}, but {read:?}"
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Until the element of this id has the focus.
    pub async fn has_focus(&self, id: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let focused = self.run("return document.activeElement.id").await;
            if focused == id {
                return;
            }
            assert!(Instant::now() < deadline, "{id} has no focus: {focused}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Loads the page again until it reads so: for a browser without scripts.
    pub async fn reads_after_reload(&self, css: &str, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self
            .find(css)
            .await
            .text()
            .await
            .unwrap_or_default()
            .contains(text)
        {
            assert!(Instant::now() < deadline, "{css} never read {text:?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
            self.client.refresh().await.unwrap();
        }
    }

    pub async fn run(&self, script: &str) -> Value {
        self.client.execute(script, vec![]).await.unwrap()
    }

    /// Runs a script that says when it is done, by calling its last argument.
    pub async fn run_async(&self, script: &str) -> Value {
        self.client.execute_async(script, vec![]).await.unwrap()
    }

    /// From now on no script of a page runs.
    pub async fn without_scripts(&self) {
        let off = json!({ "value": true });
        self.devtools("Emulation.setScriptExecutionDisabled", off)
            .await;
    }

    pub async fn devtools(&self, command: &'static str, parameters: Value) -> Value {
        let command = DevTools {
            command,
            parameters,
        };
        self.client.issue_cmd(command).await.unwrap()
    }

    /// What the browser complained about since the last look: refused scripts, failed requests.
    pub async fn complaints(&self) -> Vec<String> {
        let entries = self.client.issue_cmd(Log).await.unwrap();
        let entries = entries.as_array().cloned().unwrap_or_default();
        entries
            .iter()
            .map(|entry| entry["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    pub async fn close(mut self) {
        let _ = self.client.clone().close().await;
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        // After a test that failed the browser is still there: its driver could not say good-bye.
        let profile = format!("--user-data-dir={}", self.profile.path().display());
        let _ = Command::new("pkill").args(["-f", "--", &profile]).status();
    }
}

#[derive(Debug)]
struct DevTools {
    command: &'static str,
    parameters: Value,
}

impl WebDriverCompatibleCommand for DevTools {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!(
            "session/{}/goog/cdp/execute",
            session.unwrap_or_default()
        ))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        let body = json!({ "cmd": self.command, "params": self.parameters });
        (Method::POST, Some(body.to_string()))
    }
}

#[derive(Debug)]
struct Log;

impl WebDriverCompatibleCommand for Log {
    fn endpoint(&self, base: &Url, session: Option<&str>) -> Result<Url, ParseError> {
        base.join(&format!("session/{}/se/log", session.unwrap_or_default()))
    }

    fn method_and_body(&self, _: &Url) -> (Method, Option<String>) {
        (Method::POST, Some(json!({ "type": "browser" }).to_string()))
    }
}

/// The `url` crate's error, by the one place that names it among our own dependencies.
type ParseError = <Url as std::str::FromStr>::Err;
