//! The pages of a house, served on a free port of this host; and a client that keeps cookies and
//! nothing else, to see what a browser would not show.

use std::{
    net::{SocketAddr, TcpListener},
    time::{Duration, Instant},
};

use holdfast::{
    domain::{access::Role, secret::Secret},
    web::{self, Web},
};
use poem::{Route, listener::TcpAcceptor};
use reqwest::{Client, Method, RequestBuilder, Response, redirect::Policy};
use tokio_util::sync::CancellationToken;

use crate::house::House;

const FORM: &str = "application/x-www-form-urlencoded";
pub const PASSWORD: &str = "correct horse battery staple";

pub struct Site {
    pub url: String,
    stop: CancellationToken,
}

impl Site {
    pub fn of(house: &House) -> Self {
        Self::at(house, TcpListener::bind("127.0.0.1:0").unwrap())
    }

    /// Where another one was, as soon as it is gone.
    pub async fn on(house: &House, address: SocketAddr) -> Self {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            match TcpListener::bind(address) {
                Ok(listener) => return Self::at(house, listener),
                Err(error) => assert!(Instant::now() < deadline, "{address}: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// As a proxy that speaks TLS hands requests on.
    pub fn behind_tls(house: &House) -> Self {
        Self::serve(house, TcpListener::bind("127.0.0.1:0").unwrap(), true)
    }

    fn at(house: &House, listener: TcpListener) -> Self {
        Self::serve(house, listener, false)
    }

    fn serve(house: &House, listener: TcpListener, https: bool) -> Self {
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let web = Web {
            holdfast: house.holdfast.clone(),
            work: None,
            stop: CancellationToken::new(),
            https,
        };
        let acceptor = TcpAcceptor::from_std(listener).unwrap();
        let stop = web.stop.clone();
        let endpoint = web::endpoint(web.clone(), Route::new());
        tokio::spawn(web::serve(acceptor, endpoint, web));
        Self {
            url: format!("http://{address}"),
            stop,
        }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

pub async fn add_user(house: &House, name: &str, role: Role) {
    let password = Secret::from(PASSWORD);
    let added = house
        .holdfast
        .add_user(&house.caller, name, role, &password);
    added.await.unwrap();
}

/// Follows no redirect: where an answer leads is part of what is proved.
pub struct Visitor {
    client: Client,
    url: String,
    cookie: String,
}

impl Visitor {
    pub fn of(site: &Site) -> Self {
        Self {
            client: Client::builder().redirect(Policy::none()).build().unwrap(),
            url: site.url.clone(),
            cookie: String::new(),
        }
    }

    pub async fn logged_in(site: &Site, name: &str) -> Self {
        let mut visitor = Self::of(site);
        let fields = [("name", name), ("password", PASSWORD)];
        let answer = visitor.post("/login", &fields).await;
        assert_eq!(answer.status(), 303, "{name} is let in");
        let set = answer.headers()["set-cookie"].to_str().unwrap();
        set.split(';')
            .next()
            .unwrap()
            .clone_into(&mut visitor.cookie);
        visitor
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        request.header("cookie", &self.cookie)
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.unwrap()
    }

    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let request = self.request(Method::POST, path);
        request
            .header("content-type", FORM)
            .body(encoded(fields))
            .send()
            .await
            .unwrap()
    }

    /// The token that the forms of that page carry.
    pub async fn token(&self, path: &str) -> String {
        let page = self.page(path).await;
        let (_, rest) = page.split_once(r#"name="csrf" value=""#).expect("a form");
        rest.split('"').next().unwrap().to_owned()
    }
}

fn encoded(fields: &[(&str, &str)]) -> String {
    let text = |text: &str| -> String {
        text.bytes()
            .map(|byte| match byte {
                b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
                b => format!("%{b:02X}"),
            })
            .collect()
    };
    let pairs: Vec<String> = fields
        .iter()
        .map(|(name, value)| format!("{}={}", text(name), text(value)))
        .collect();
    pairs.join("&")
}

/// A house with the admin `ada`, its pages, and her, logged in.
pub async fn lodged() -> (House, Site, Visitor) {
    let house = House::new().await;
    add_user(&house, "ada", Role::Admin).await;
    let site = Site::of(&house);
    let ada = Visitor::logged_in(&site, "ada").await;
    (house, site, ada)
}
