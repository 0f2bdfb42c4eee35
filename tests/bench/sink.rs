//! A store that speaks as much of S3 as an upload needs and keeps nothing but lengths: what a long stream
//! costs its sender, without a disk and without a store's own work.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, combinators::BoxBody};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Length so far, and the metadata it was begun with.
#[derive(Clone, Default)]
struct Kept {
    length: u64,
    metadata: Vec<(String, String)>,
}

#[derive(Clone, Default)]
struct Sink {
    open: Arc<Mutex<BTreeMap<String, Kept>>>,
    objects: Arc<Mutex<BTreeMap<String, Kept>>>,
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

/// Serves until the runtime ends.
pub async fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let sink = Sink::default();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let sink = sink.clone();
            let answer = service_fn(move |request| {
                let sink = sink.clone();
                async move { Ok::<_, Infallible>(sink.answer(request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new();
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), answer));
        }
    });
    address
}

impl Sink {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let path = request.uri().path().to_owned();
        let query = request.uri().query().unwrap_or_default().to_owned();
        let upload = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("uploadId="));
        let metadata = request.headers().iter();
        let metadata = metadata.filter(|(name, _)| name.as_str().starts_with("x-amz-meta-"));
        let metadata: Vec<(String, String)> = metadata
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        let method = request.method().clone();
        let length = drained(request.into_body()).await;
        match (method, upload) {
            (Method::POST, None) => {
                let kept = Kept {
                    length: 0,
                    metadata,
                };
                self.open.lock().unwrap().insert(path.clone(), kept);
                xml(&format!(
                    "<InitiateMultipartUploadResult><UploadId>{}</UploadId></InitiateMultipartUploadResult>",
                    path.len()
                ))
            }
            (Method::PUT, Some(_)) => {
                if let Some(kept) = self.open.lock().unwrap().get_mut(&path) {
                    kept.length += length;
                }
                tagged()
            }
            (Method::PUT, None) => {
                let kept = Kept { length, metadata };
                self.objects.lock().unwrap().insert(path, kept);
                tagged()
            }
            (Method::POST, Some(_)) => {
                let kept = self.open.lock().unwrap().remove(&path);
                self.objects
                    .lock()
                    .unwrap()
                    .insert(path, kept.unwrap_or_default());
                xml(
                    "<CompleteMultipartUploadResult><ETag>\"0\"</ETag></CompleteMultipartUploadResult>",
                )
            }
            (Method::HEAD, _) => self.head(&path),
            (Method::DELETE, _) => {
                self.objects.lock().unwrap().remove(&path);
                empty(StatusCode::NO_CONTENT)
            }
            (Method::GET, _) if query.contains("uploads") => {
                xml("<ListMultipartUploadsResult></ListMultipartUploadsResult>")
            }
            _ => empty(StatusCode::NOT_FOUND),
        }
    }

    fn head(&self, path: &str) -> Answer {
        let Some(kept) = self.objects.lock().unwrap().get(path).cloned() else {
            return empty(StatusCode::NOT_FOUND);
        };
        let mut answer = Response::builder().header("content-length", kept.length);
        for (name, value) in &kept.metadata {
            answer = answer.header(name, value);
        }
        answer.body(Empty::new().boxed()).unwrap()
    }
}

/// Reads all of it, and keeps none.
async fn drained(mut body: Incoming) -> u64 {
    let mut length = 0;
    while let Some(Ok(frame)) = body.frame().await {
        length += frame.data_ref().map_or(0, |data| data.len() as u64);
    }
    length
}

fn xml(text: &str) -> Answer {
    let text = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{text}");
    Response::new(Full::from(text).boxed())
}

fn tagged() -> Answer {
    let answer = Response::builder().header("etag", "\"0\"");
    answer.body(Empty::new().boxed()).unwrap()
}

fn empty(status: StatusCode) -> Answer {
    let answer = Response::builder().status(status);
    answer.body(Empty::new().boxed()).unwrap()
}
