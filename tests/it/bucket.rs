//! An S3 server in this process that checks signatures, and a place to put faults between it and
//! its clients: those of a network, of a busy store, and of one that says what is not so.

mod shelf;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    fs,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future;
use holdfast::{domain::secret::Secret, target::layout};
use http_body_util::BodyExt;
use hyper::{Method, Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use s3s::{
    HttpError,
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

use self::shelf::Shelf;

pub const BUCKET: &str = "backups";
pub const ACCESS_KEY: &str = "HOLDFASTTESTKEY";
pub const SECRET_KEY: &str = "secret-that-must-not-be-seen-anywhere";

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    Put,
    Create,
    Part,
    /// The part of this number only.
    PartOf(u32),
    Complete,
    Abort,
    Get,
    Head,
    /// A list of open uploads.
    Uploads,
    /// Whatever else there is, lists of open uploads included.
    Other,
}

/// What happens to it.
#[derive(Debug, Clone, Copy)]
pub enum Trouble {
    /// It is carried out later.
    Late(Duration),
    /// The connection breaks after so many bytes of its body; nothing is carried out.
    ResetAfter(usize),
    /// 503, as a store that wants to be asked less.
    Busy,
    /// Nothing comes back, and nothing is carried out.
    Silence,
    /// 200 with an error in it; nothing is carried out.
    ErrorInSuccess,
    /// It is carried out, and the connection breaks before the answer.
    LoseAnswer,
    /// Of a list: after what it names, it says that it goes on, and not where.
    BreaksOff,
}

/// Of the backups, or of the log that lies beside them and is stored whenever the server likes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    Backups,
    Log,
}

type Fault = (About, Operation, Trouble, usize);

/// Serves until dropped.
pub struct Bucket {
    pub address: SocketAddr,
    shelf: Shelf,
    faults: Arc<Mutex<Vec<Fault>>>,
    seen: Arc<Mutex<Vec<Operation>>>,
    accepting: JoinHandle<()>,
    folder: TempDir,
}

impl Bucket {
    pub fn serve() -> Self {
        let folder = TempDir::new().unwrap();
        let shelf = Shelf::new(folder.path(), BUCKET);
        let mut service = S3ServiceBuilder::new(shelf.clone());
        service.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = service.build();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let (faults, seen) = <(Arc<Mutex<Vec<Fault>>>, Arc<Mutex<Vec<Operation>>>)>::default();
        let (known, noted) = (faults.clone(), seen.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (service, faults, seen) = (service.clone(), known.clone(), noted.clone());
                let answer = service_fn(move |request| {
                    let (about, operation) = (about(&request), operation(&request));
                    if about == About::Backups {
                        seen.lock().unwrap().push(operation);
                    }
                    let trouble = take(&faults, about, operation);
                    answer(service.clone(), request, trouble)
                });
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), answer));
            }
        });
        Self {
            address,
            shelf,
            faults,
            seen,
            accepting,
            folder,
        }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where all of it lies on the disk.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Settings of a target here, as a form sends them.
    pub fn settings(&self) -> Vec<(String, String)> {
        [
            ("endpoint", self.endpoint().as_str()),
            ("bucket", BUCKET),
            ("access_key", ACCESS_KEY),
            ("secret_key", SECRET_KEY),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    }

    /// The same for a config.
    pub fn target_settings(&self) -> BTreeMap<String, Secret> {
        let settings = self.settings().into_iter();
        settings
            .map(|(name, value)| (name, Secret::new(value)))
            .collect()
    }

    /// The next so many requests of this kind that are about backups meet it.
    pub fn inject(&self, operation: Operation, trouble: Trouble, times: usize) {
        let fault = (About::Backups, operation, trouble, times);
        self.faults.lock().unwrap().push(fault);
    }

    /// Every request of this kind that is about the log meets it.
    pub fn inject_into_log(&self, operation: Operation, trouble: Trouble) {
        let fault = (About::Log, operation, trouble, usize::MAX);
        self.faults.lock().unwrap().push(fault);
    }

    pub fn heal(&self) {
        self.faults.lock().unwrap().clear();
    }

    /// What was asked for of backups since the last time, in order.
    pub fn seen(&self) -> Vec<Operation> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    pub fn plant_upload(&self, key: &str) {
        self.shelf.plant_upload(ACCESS_KEY, BUCKET, key);
    }

    /// Objects with their sizes, and open uploads as `upload of …` with none.
    pub fn contents(&self) -> Vec<(String, u64)> {
        let root = self.folder.path().join(BUCKET);
        let (mut found, mut folders) = (Vec::new(), vec![root.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                let Ok(data) = fs::metadata(&path) else {
                    continue;
                };
                if data.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(&root).unwrap().display().to_string();
                    found.push((name, data.len()));
                }
            }
        }
        let uploads = self.shelf.uploads().into_iter();
        found.extend(uploads.map(|key| (format!("upload of {key}"), 0)));
        found.sort();
        found
    }

    /// The same without the pieces of the log that lie beside the backups.
    pub fn backups(&self) -> Vec<(String, u64)> {
        let mut found = self.contents();
        found.retain(|(name, _)| !name.starts_with(&layout::log_folder()));
        found
    }

    /// Where an object lies as a file.
    pub fn path(&self, object: &str) -> PathBuf {
        self.folder.path().join(BUCKET).join(object)
    }

    /// Changes a byte of an object, as a failing disk does.
    pub fn damage(&self, object: &str) {
        let path = self.path(object);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn about(request: &Request<Incoming>) -> About {
    let object = request.uri().path().strip_prefix(&format!("/{BUCKET}/"));
    let prefix = value(request, "prefix").unwrap_or_default();
    let prefix = prefix.replace("%2F", "/");
    let log = layout::log_folder();
    if object.is_some_and(|object| object.starts_with(&log)) || prefix.starts_with(&log) {
        About::Log
    } else {
        About::Backups
    }
}

fn value<'a>(request: &'a Request<Incoming>, name: &str) -> Option<&'a str> {
    let query = request.uri().query().unwrap_or_default();
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let found = pairs.find(|(key, _)| *key == name);
    found.map(|(_, value)| value)
}

fn operation(request: &Request<Incoming>) -> Operation {
    let value = |name| value(request, name);
    let has_upload = value("uploadId").is_some();
    let is_object = request.uri().path().trim_matches('/').contains('/');
    match *request.method() {
        Method::PUT if has_upload => {
            let number = value("partNumber").and_then(|number| number.parse().ok());
            number.map_or(Operation::Part, Operation::PartOf)
        }
        Method::PUT => Operation::Put,
        Method::POST if has_upload => Operation::Complete,
        Method::POST => Operation::Create,
        Method::DELETE if has_upload => Operation::Abort,
        Method::GET if is_object && !has_upload => Operation::Get,
        Method::GET if lists_uploads(request) => Operation::Uploads,
        Method::HEAD => Operation::Head,
        _ => Operation::Other,
    }
}

fn lists_uploads(request: &Request<Incoming>) -> bool {
    let mut words = request.uri().query().unwrap_or_default().split('&');
    words.any(|word| word.split('=').next() == Some("uploads"))
}

fn take(faults: &Mutex<Vec<Fault>>, about: About, operation: Operation) -> Option<Trouble> {
    let mut faults = faults.lock().unwrap();
    let meant = |wanted: Operation| {
        let is_part = matches!(operation, Operation::PartOf(_));
        wanted == operation
            || (wanted == Operation::Part && is_part)
            || (wanted == Operation::Other && operation == Operation::Uploads)
    };
    let (_, _, trouble, left) = faults
        .iter_mut()
        .find(|(of, wanted, _, left)| *of == about && meant(*wanted) && *left > 0)?;
    *left -= 1;
    Some(*trouble)
}

/// A broken connection is an error: hyper then closes it without a word.
async fn answer(
    service: S3Service,
    request: Request<Incoming>,
    trouble: Option<Trouble>,
) -> Result<Response<s3s::Body>, HttpError> {
    let pass = |request: Request<Incoming>| {
        let request = request.map(s3s::Body::from);
        async move { service.call(request).await }
    };
    let told = |status: u16, code: &str| {
        let text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>made so</Message></Error>"
        );
        let response = Response::builder().status(status);
        response.body(s3s::Body::from(Bytes::from(text))).unwrap()
    };
    match trouble {
        None => pass(request).await,
        Some(Trouble::Late(delay)) => {
            tokio::time::sleep(delay).await;
            pass(request).await
        }
        Some(Trouble::ResetAfter(bytes)) => {
            let (mut body, mut read) = (request.into_body(), 0);
            while read < bytes {
                let Some(Ok(frame)) = body.frame().await else {
                    break;
                };
                read += frame.data_ref().map_or(0, Bytes::len);
            }
            Err(broken())
        }
        Some(Trouble::Busy) => {
            let _sent = request.into_body().collect().await;
            Ok(told(503, "SlowDown"))
        }
        Some(Trouble::Silence) => {
            let never: Infallible = future::pending().await;
            match never {}
        }
        Some(Trouble::ErrorInSuccess) => {
            let _sent = request.into_body().collect().await;
            Ok(told(200, "InternalError"))
        }
        Some(Trouble::BreaksOff) => {
            let page = pass(request).await?.into_body().collect().await;
            let page = page.map_err(|_| broken())?.to_bytes();
            let page = String::from_utf8_lossy(&page);
            let (whole, broken) = ["false", "true"]
                .map(|says| format!("<IsTruncated>{says}</IsTruncated>"))
                .into();
            assert!(page.contains(&whole), "{page}");
            let page = page.replace(&whole, &broken);
            Ok(Response::new(s3s::Body::from(Bytes::from(page))))
        }
        Some(Trouble::LoseAnswer) => {
            pass(request).await?;
            Err(broken())
        }
    }
}

fn broken() -> HttpError {
    HttpError::new("the connection breaks".into())
}
