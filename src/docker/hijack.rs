//! Takes over the connection on which a program's streams travel.
//!
//! bollard does this too, but its decoder ends in silence when the stream is cut right behind a
//! frame's header, and hands out the rest of any other cut as console output. Reading the raw
//! connection is no slower.

use std::{
    io,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1,
    header::{CONNECTION, CONTENT_TYPE, HOST, UPGRADE},
};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::DockerError;

/// A connection to the engine: a socket, or TCP.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// The raw connection, shared by whoever reads, writes or just keeps it open: it is closed when
/// the last one lets go.
#[derive(Clone)]
pub(super) struct Wire(Arc<Mutex<Box<dyn Io>>>);

/// Starts the program behind `path` (`/v1.41/exec/…/start`). Gives the raw connection, and what had
/// been read of it before it was raw. `limit` bounds the wait for the engine's answer.
pub(super) async fn start(
    host: &str,
    path: &str,
    limit: Duration,
) -> Result<(Wire, Bytes), DockerError> {
    let lost = |reason: String| DockerError::Unreachable {
        host: host.to_owned(),
        reason,
    };
    let work = async {
        let io = TokioIo::new(dial(host).await.map_err(|e| lost(e.to_string()))?);
        let response = ask(io, path).await.map_err(|e| lost(e.to_string()))?;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return Err(refused(response).await);
        }
        hyper::upgrade::on(response)
            .await
            .map_err(|e| lost(e.to_string()))
    };
    let upgraded = timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(lost(format!("no answer within {} s", limit.as_secs()))))?;
    let parts = upgraded
        .downcast::<TokioIo<Box<dyn Io>>>()
        .map_err(|_| lost("its connection is of another kind".into()))?;
    let wire = Wire(Arc::new(Mutex::new(parts.io.into_inner())));
    Ok((wire, parts.read_buf))
}

async fn dial(host: &str) -> io::Result<Box<dyn Io>> {
    if let Some(path) = host.strip_prefix("unix://") {
        return Ok(Box::new(UnixStream::connect(Path::new(path)).await?));
    }
    let (_, address) = host.split_once("://").unwrap_or(("", host));
    let stream = TcpStream::connect(address.trim_end_matches('/')).await?;
    stream.set_nodelay(true)?;
    Ok(Box::new(stream))
}

async fn ask(io: TokioIo<Box<dyn Io>>, path: &str) -> hyper::Result<Response<Incoming>> {
    let (mut sender, connection) = http1::handshake(io).await?;
    // Ends with the answer, or hands the connection over.
    tokio::spawn(connection.with_upgrades());
    let mut request = Request::new(r#"{"Detach":false,"Tty":false}"#.to_owned());
    *request.method_mut() = hyper::Method::POST;
    *request.uri_mut() = path.parse().unwrap_or_default();
    let headers = request.headers_mut();
    for (name, value) in [
        (HOST, "docker"),
        (CONTENT_TYPE, "application/json"),
        (CONNECTION, "Upgrade"),
        (UPGRADE, "tcp"),
    ] {
        headers.insert(name, hyper::header::HeaderValue::from_static(value));
    }
    sender.send_request(request).await
}

/// Reads why not, at most 64 KiB of it.
async fn refused(response: Response<Incoming>) -> DockerError {
    #[derive(Deserialize)]
    struct Answer {
        message: String,
    }
    let status = response.status();
    if status.is_success() {
        return DockerError::Refused {
            status: status.as_u16(),
            message: "something before it does not pass upgraded connections on".into(),
        };
    }
    let body = Limited::new(response.into_body(), 64 * 1024)
        .collect()
        .await;
    let body = body
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let message = serde_json::from_slice::<Answer>(&body).map_or_else(
        |_| String::from_utf8_lossy(&body).trim().to_owned(),
        |answer| answer.message,
    );
    DockerError::Refused {
        status: status.as_u16(),
        message,
    }
}

impl Wire {
    fn with<T>(&self, act: impl FnOnce(Pin<&mut Box<dyn Io>>) -> T) -> T {
        let mut io = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        act(Pin::new(&mut *io))
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.with(|io| io.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(|io| io.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|io| io.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|io| io.poll_shutdown(cx))
    }
}
