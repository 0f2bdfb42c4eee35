//! One request to somebody outside, and the whole answer: under the same rules as what is sent.

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    header::{self, HeaderValue},
};
use tokio::time::timeout;

use super::{
    Address, SendError,
    send::{WHOLE, connect, exchange},
};

/// Bytes of an answer at most.
const MOST: usize = 1 << 20;

/// `private`: addresses of private networks are allowed, and http with them. Redirects are not followed.
pub async fn fetch(
    request: Request<Vec<u8>>,
    private: bool,
) -> Result<Response<Vec<u8>>, SendError> {
    let address = Address::parse(&request.uri().to_string())?;
    if !private && !address.is_encrypted() {
        return Err(SendError::Network("it is asked by https alone"));
    }
    let reachable = address.resolve(private).await?;
    let answer = timeout(WHOLE, async {
        let stream = connect(&address, &reachable).await?;
        exchange(stream, addressed(request, &address)?, whole).await
    });
    answer
        .await
        .map_err(|_| SendError::Network("it did not answer in time"))?
}

fn addressed(
    request: Request<Vec<u8>>,
    address: &Address,
) -> Result<Request<Full<Bytes>>, SendError> {
    let (mut parts, body) = request.into_parts();
    let unfit = || SendError::Network("its address fits into no request");
    parts.uri = address.target().parse().map_err(|_| unfit())?;
    let host = HeaderValue::from_str(&address.authority()).map_err(|_| unfit())?;
    parts.headers.insert(header::HOST, host);
    let close = HeaderValue::from_static("close");
    parts.headers.insert(header::CONNECTION, close);
    Ok(Request::from_parts(parts, Full::new(Bytes::from(body))))
}

async fn whole(answer: Response<Incoming>) -> Result<Response<Vec<u8>>, SendError> {
    let (parts, body) = answer.into_parts();
    let body = Limited::new(body, MOST).collect().await;
    let body = body.map_err(|_| SendError::Network("its answer broke off, or is too long"))?;
    Ok(Response::from_parts(parts, body.to_bytes().to_vec()))
}
