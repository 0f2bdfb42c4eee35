//! What was encrypted after age v1, back to what it was before, chunk by chunk. Each chunk is
//! authenticated before a byte of it is handed on, and the last one says that it is the last.

use std::io::{self, Cursor};

use age::{DecryptError, Decryptor};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt};
use tokio_util::compat::{FuturesAsyncReadCompatExt, TokioAsyncReadCompatExt};

use super::keys::Keys;

/// How such a file begins.
pub const MAGIC: &[u8] = b"age-encryption.org/v1\n";
/// Most bytes of a header that is believed: it is read before anything in it can be checked.
const HEADER_MAX: u64 = 64 * 1024;

/// None of the keys opens it. Inside the `io::Error` that says so.
#[derive(Debug, thiserror::Error)]
#[error("it is encrypted, and the given key does not open it")]
pub struct WrongKey;

pub fn is_wrong_key(error: &io::Error) -> bool {
    matches!(error.get_ref(), Some(inner) if inner.is::<WrongKey>())
}

/// Reads the header, and answers the content.
pub(super) async fn decrypted(
    mut stored: impl AsyncBufRead + Send + Unpin + 'static,
    keys: &Keys,
) -> io::Result<impl AsyncRead + Send + Unpin + 'static> {
    let header = header(&mut stored).await?;
    let whole = Cursor::new(header).chain(stored).compat();
    let decryptor = Decryptor::new_async_buffered(whole).await.map_err(told)?;
    Ok(decryptor.decrypt_async(keys.iter()).map_err(told)?.compat())
}

/// To the end of the line that ends it.
async fn header(stored: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut header = Vec::new();
    loop {
        let line = header.len();
        let left = HEADER_MAX - line as u64;
        let read = stored.take(left).read_until(b'\n', &mut header).await?;
        // A cut between two lines leaves the end of the last one at the end of what there is.
        let cut = read == 0 || !header.ends_with(b"\n");
        if cut || header.len() as u64 == HEADER_MAX {
            let problem = "it has no whole header of age";
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        if header[line..].starts_with(b"---") {
            return Ok(header);
        }
    }
}

fn told(error: DecryptError) -> io::Error {
    match error {
        DecryptError::Io(error) => error,
        DecryptError::NoMatchingKeys => io::Error::other(WrongKey),
        other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
    }
}
