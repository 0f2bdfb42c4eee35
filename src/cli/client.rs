//! Speaks to a server's API. Values stay JSON: what a command prints is what the API answered.

use std::time::Duration;

use anyhow::Context;
use reqwest::{Method, StatusCode, header::CONTENT_TYPE};
use serde_json::Value;

use super::errors::{Unreachable, Usage};

/// The server said no.
#[derive(Debug, thiserror::Error)]
#[error("{said}")]
pub struct Refused {
    pub status: StatusCode,
    said: String,
}

pub struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Client {
    pub fn new(url: &str, token: String) -> anyhow::Result<Self> {
        Ok(Self {
            http: reqwest::Client::builder()
                .user_agent(concat!("holdfast/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(Duration::from_secs(10))
                .redirect(reqwest::redirect::Policy::none())
                // The token is for the server alone, and a proxy of the environment is not asked.
                .no_proxy()
                .build()?,
            url: url.trim_end_matches('/').to_owned(),
            token,
        })
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.call(Method::POST, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> anyhow::Result<Value> {
        self.call(Method::PUT, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> anyhow::Result<Value> {
        self.call(Method::DELETE, path, None).await
    }

    /// An answer of any length.
    pub async fn stream(&self, method: Method, path: &str) -> anyhow::Result<reqwest::Response> {
        let answer = self.send(method, path, None).await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        Err(refusal(status, &answer.text().await.unwrap_or_default()))
    }

    /// Events after the one with this id, as they come; `None` when no more will.
    pub async fn events(
        &self,
        path: &str,
        after: Option<&str>,
    ) -> anyhow::Result<Option<reqwest::Response>> {
        let request = self.http.get(format!("{}{path}", self.url));
        let request = match after {
            Some(id) => request.header("Last-Event-ID", id),
            None => request,
        };
        let answer = self.sent(request).await?;
        match answer.status() {
            StatusCode::NO_CONTENT => Ok(None),
            status if status.is_success() => match answer.headers().get(CONTENT_TYPE) {
                Some(kind) if kind.as_bytes().starts_with(b"text/event-stream") => Ok(Some(answer)),
                _ => Err(self.other()),
            },
            status => Err(refusal(status, &answer.text().await.unwrap_or_default())),
        }
    }

    /// True when a server answers there, and lets this token in.
    pub async fn answers(&self) -> bool {
        self.get("/api/me").await.is_ok()
    }

    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        let answer = self.send(method, path, body).await?;
        let status = answer.status();
        let text = answer
            .text()
            .await
            .context("the server's answer broke off")?;
        if status.is_success() {
            return self.said(&text);
        }
        Err(refusal(status, &text))
    }

    /// An empty answer says no more than that it was done. Whatever else is no JSON was not done by us.
    fn said(&self, text: &str) -> anyhow::Result<Value> {
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(text).map_err(|_| self.other())
    }

    /// Something that is no Holdfast answers there.
    pub fn other(&self) -> anyhow::Error {
        Unreachable(format!("what answers at {} is no Holdfast", self.url)).into()
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<reqwest::Response> {
        let request = self.http.request(method, format!("{}{path}", self.url));
        self.sent(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    async fn sent(&self, request: reqwest::RequestBuilder) -> anyhow::Result<reqwest::Response> {
        let request = request.bearer_auth(&self.token);
        request.send().await.map_err(|error| {
            if error.is_builder() {
                Usage(format!("{} is no address of a server", self.url)).into()
            } else {
                Unreachable(format!(
                    "no Holdfast answers at {}: {}",
                    self.url,
                    cause(&error)
                ))
                .into()
            }
        })
    }
}

/// The API's own words, which say what to do.
fn refusal(status: StatusCode, text: &str) -> anyhow::Error {
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    let refused = |said| Refused { status, said }.into();
    match body["message"].as_str() {
        Some(message) => match body["id"].as_str() {
            Some(id) => refused(format!("{message} ({id})")),
            None => refused(message.to_owned()),
        },
        None => refused(format!("the server answered {status}")),
    }
}

/// The innermost cause says what happened: "Connection refused".
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
