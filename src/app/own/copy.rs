//! A copy of the database on its way out, and the judgement of one that came back: the same for each
//! backup, each reading back, and each file that somebody wants to work with again.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use futures_util::{StreamExt, stream};
use tokio::runtime::Handle;
use tokio_util::io::ReaderStream;

use crate::{
    app::{AppError, Holdfast, auth},
    domain::{failure::Failure, manifest::Fingerprint},
    log::{self, Examined},
    strategy::Validator,
    target::ByteStream,
};

/// Bytes read at a time.
const CHUNK: usize = 256 << 10;

/// Folder of copies below the data folder: emptied at each start.
pub fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("copies")
}

/// Nothing in it belongs to anybody who lives.
pub fn sweep(data_dir: &Path) {
    match fs::remove_dir_all(folder(data_dir)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "copies of the database could not be removed");
        }
        _ => {}
    }
}

/// A name of its own for a file; whatever has it is removed when this is dropped.
pub struct Spool(PathBuf);

impl Spool {
    pub fn new(data_dir: &Path) -> io::Result<Self> {
        let folder = folder(data_dir);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        let name = format!("{}.db", hex::encode(auth::random_bytes::<12>()));
        Ok(Self(folder.join(name)))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        for suffix in ["", "-journal", "-wal", "-shm"] {
            let mut name = self.0.clone().into_os_string();
            name.push(suffix);
            let _ = fs::remove_file(name);
        }
    }
}

/// A copy that has been found whole.
pub struct OwnCopy {
    pub examined: Examined,
    /// Bytes.
    pub size: u64,
    spool: Spool,
}

impl OwnCopy {
    pub async fn take(holdfast: &Holdfast, compact: bool) -> Result<Self, AppError> {
        let spool = Spool::new(&holdfast.settings().data_dir).map_err(cannot_write)?;
        let copied = holdfast.log().copy(spool.path(), compact).await;
        copied.map_err(cannot_write)?;
        let examined = log::examine(spool.path()).await.map_err(|error| {
            Failure::permanent(
                format!("the copy of the server's own database is not whole: {error}"),
                "Run `holdfast audit verify` and `holdfast doctor`; keep the backups you have.",
            )
        })?;
        let size = fs::metadata(spool.path()).map_err(cannot_write)?.len();
        Ok(Self {
            examined,
            size,
            spool,
        })
    }

    /// Name for whoever saves it: `holdfast-20261130-020000.db`.
    pub fn name(&self) -> String {
        let at = self.examined.origin.as_ref().map(log::Origin::copied_at);
        let at = at.unwrap_or_default().format("%Y%m%d-%H%M%S");
        format!("holdfast-{at}.db")
    }

    /// Its bytes; the file is gone when they are.
    pub async fn body(self) -> io::Result<ByteStream> {
        let file = tokio::fs::File::open(self.spool.path()).await?;
        let bytes = ReaderStream::with_capacity(file, CHUNK);
        // The file lives as long as the stream that reads it.
        let held = stream::unfold((bytes, self.spool), |(mut bytes, spool)| async move {
            let chunk = bytes.next().await?;
            Some((chunk, (bytes, spool)))
        });
        Ok(held.boxed())
    }
}

fn cannot_write(error: impl std::fmt::Display) -> Failure {
    Failure::temporary(
        format!("the server's own database cannot be copied: {error}"),
        "A copy needs as much free space in the data folder as the database takes.",
    )
}

/// Gathers the bytes in a file, because a database is judged as a whole.
pub struct CopyValidator {
    spool: io::Result<(Spool, File)>,
    runtime: Handle,
}

impl CopyValidator {
    /// Must be called inside a tokio runtime.
    pub fn new(data_dir: &Path) -> Self {
        let open = |spool: Spool| Ok((File::create_new(spool.path())?, spool));
        let spool = Spool::new(data_dir).and_then(open);
        Self {
            spool: spool.map(|(file, spool)| (spool, file)),
            runtime: Handle::current(),
        }
    }
}

impl Validator for CopyValidator {
    fn feed(&mut self, chunk: &[u8]) {
        let written = match &mut self.spool {
            Ok((_, file)) => file.write_all(chunk),
            Err(_) => return,
        };
        if let Err(error) = written {
            self.spool = Err(error);
        }
    }

    fn finish(self: Box<Self>) -> Result<Fingerprint, String> {
        let unwritten =
            |error: io::Error| format!("it could not be laid out to be looked at: {error}");
        let (spool, file) = self.spool.map_err(unwritten)?;
        drop(file);
        let examined = self.runtime.block_on(log::examine(spool.path()));
        let examined = examined.map_err(|error| error.to_string())?;
        Ok(Fingerprint {
            unit: "events".to_owned(),
            counts: examined.counts,
        })
    }
}
