//! What was compressed, encrypted after age v1 to everybody who shall read it, chunk by chunk: any tool
//! that knows age reads it.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use age::stream::StreamWriter;
use bytes::Bytes;

use super::keys::Recipients;

/// Everything goes through here in order. Some hundred megabytes a second on one core, and more where the
/// CPU has wide registers: less than any compressor takes.
pub struct Encryptor {
    writer: StreamWriter<Outlet>,
    outlet: Outlet,
}

impl Encryptor {
    /// At least one recipient. The header, of some hundred bytes for each, comes out with the first
    /// `encrypt`.
    pub fn new(recipients: &Recipients) -> io::Result<Self> {
        let outlet = Outlet::default();
        let to = age::Encryptor::with_recipients(recipients.iter()).map_err(io::Error::other)?;
        let writer = to.wrap_output(outlet.clone())?;
        Ok(Self { writer, outlet })
    }

    /// What is due after these bytes; the rest of a chunk waits for more of it.
    pub fn encrypt(&mut self, bytes: &[u8]) -> io::Result<Bytes> {
        self.writer.write_all(bytes)?;
        Ok(self.outlet.take())
    }

    /// The last chunk, which says that it is the last: without it a reader sees a cut.
    pub fn finish(self) -> io::Result<Bytes> {
        self.writer.finish()?;
        Ok(self.outlet.take())
    }
}

/// Where the writer writes to, and what is taken away after each block.
#[derive(Clone, Default)]
struct Outlet(Arc<Mutex<Vec<u8>>>);

impl Outlet {
    fn take(&self) -> Bytes {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
