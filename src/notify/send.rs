//! One attempt to bring a letter to its address: a connection of its own to one of the addresses that
//! were looked at, so that nothing in between can lead elsewhere.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, StatusCode, body::Incoming, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};
use tokio_util::task::AbortOnDropHandle;

use super::{Address, AddressError, Letter, Post, mail};

const CONNECT: Duration = Duration::from_secs(5);
pub(super) const WHOLE: Duration = Duration::from_secs(15);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Without the URL: it may hold a token.
    #[error("{0}")]
    Network(&'static str),
    #[error("it answered {0}")]
    Answer(u16),
}

impl SendError {
    /// Trying the same again is of no use.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Address(AddressError::Unknown(_)) | Self::Network(_) => false,
            Self::Address(_) => true,
            Self::Answer(status) => *status == StatusCode::GONE.as_u16(),
        }
    }
}

/// The status of the answer, when it says that it was taken: HTTP's, or SMTP's. `private`: addresses of private networks
/// are allowed. Redirects are not followed: they could lead anywhere.
pub async fn send(letter: &Letter, private: bool) -> Result<u16, SendError> {
    let letter = match letter {
        Letter::Post(letter) => letter,
        Letter::Mail(mail) => {
            let reachable = mail.address.resolve(private).await?;
            return mail::hand_over(mail, &reachable).await;
        }
    };
    let reachable = letter.address.resolve(private).await?;
    let answer = timeout(WHOLE, post(letter, &reachable)).await;
    let status = answer.map_err(|_| SendError::Network("it did not answer in time"))??;
    if status.is_success() {
        Ok(status.as_u16())
    } else {
        Err(SendError::Answer(status.as_u16()))
    }
}

async fn post(letter: &Post, reachable: &[SocketAddr]) -> Result<StatusCode, SendError> {
    let stream = connect(&letter.address, reachable).await?;
    exchange(stream, request(letter)?, async |answer| Ok(answer.status())).await
}

fn request(letter: &Post) -> Result<Request<Full<Bytes>>, SendError> {
    let mut request = Request::post(letter.address.target())
        .header(header::HOST, letter.address.authority())
        .header(header::CONTENT_TYPE, letter.content_type)
        .header(header::CONNECTION, "close")
        .header(
            header::USER_AGENT,
            concat!("Holdfast/", env!("CARGO_PKG_VERSION")),
        );
    for (name, value) in &letter.headers {
        request = request.header(*name, value);
    }
    request
        .body(Full::new(Bytes::from(letter.body.clone())))
        .map_err(|_| SendError::Network("its address fits into no request"))
}

/// A connection, encrypted or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// To one of the addresses that were looked at, with TLS where the address says so.
pub(super) async fn connect(
    address: &Address,
    reachable: &[SocketAddr],
) -> Result<Box<dyn Stream>, SendError> {
    let connected = timeout(CONNECT, TcpStream::connect(reachable)).await;
    let Ok(Ok(stream)) = connected else {
        return Err(SendError::Network("it cannot be connected to"));
    };
    if !address.is_encrypted() {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(address.host().to_owned());
    let name = name.map_err(|_| SendError::Network("its name is none that a certificate has"))?;
    let tls = tls().ok_or(SendError::Network("this server cannot speak TLS"))?;
    let stream = TlsConnector::from(tls).connect(name, stream).await;
    let stream = stream.map_err(|_| {
        SendError::Network("it has no certificate that this server trusts, or speaks no TLS")
    })?;
    Ok(Box::new(stream))
}

/// One request, and what `read` makes of its answer.
pub(super) async fn exchange<T>(
    stream: Box<dyn Stream>,
    request: Request<Full<Bytes>>,
    read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, SendError>,
) -> Result<T, SendError> {
    let broken = |_| SendError::Network("the connection failed");
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(broken)?;
    // Beside, not in a race with the answer: both end at once where the receiver hangs up.
    let connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let answer = sender.send_request(request).await.map_err(broken)?;
    let read = read(answer).await;
    drop(connection);
    read
}

/// With the authorities that the host trusts, read once. None when there is no arithmetic for it.
fn tls() -> Option<Arc<ClientConfig>> {
    static CONFIG: OnceLock<Option<Arc<ClientConfig>>> = OnceLock::new();
    let make = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .ok()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Some(Arc::new(config))
    };
    CONFIG.get_or_init(make).clone()
}
