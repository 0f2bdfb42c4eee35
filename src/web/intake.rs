//! A form with a file, read as it comes: the fields before the file are known before its first byte is
//! taken, so that whoever asks for something impossible is told at once.

use std::collections::BTreeMap;

use poem::{
    FromRequest, Request, RequestBody, Result,
    http::header,
    web::{Field, Multipart},
};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use crate::{
    app::{AppError, Caller, Holdfast, Received, UploadInput},
    domain::{failure::FieldErrors, secret::Secret},
    target::ByteStream,
};

/// Of a part that is no file, in bytes.
const TEXT_MAX: u64 = 4096;
/// The field that may be left out: the private key of an encrypted file.
const IDENTITY: &str = "identity";
/// Read from the connection at once, in bytes.
const CHUNK: usize = 256 * 1024;

pub struct FileForm {
    parts: Multipart,
    fields: BTreeMap<String, String>,
    /// Of the whole request, in bytes.
    length: Option<u64>,
}

/// The part that is a file, not read yet.
pub struct SentFile {
    part: Field,
    length: Option<u64>,
}

impl FileForm {
    pub async fn of(request: &Request, body: &mut RequestBody) -> Result<Self, AppError> {
        let length = request.header(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.parse().ok());
        let parts = <Multipart as FromRequest>::from_request(request, body).await;
        let wrong = |_| AppError::field("file", "send a form with a file, as multipart/form-data");
        Ok(Self {
            parts: parts.map_err(wrong)?,
            fields: BTreeMap::new(),
            length,
        })
    }

    /// Reads on to the file, or to the end. A field that is not among `known` is refused.
    pub async fn file(&mut self, known: &[&str]) -> Result<Option<SentFile>, AppError> {
        let broken = |_| AppError::field("file", "the form could not be read to its end");
        while let Some(part) = self.parts.next_field().await.map_err(broken)? {
            let name = part.name().unwrap_or_default().to_owned();
            if name == "file" {
                let length = self.length;
                return Ok(Some(SentFile { part, length }));
            }
            if name != IDENTITY && !known.contains(&name.as_str()) {
                let known = known.join(", ");
                let problem =
                    format!("the form has a field that is none of file, {known}, {IDENTITY}");
                return Err(AppError::field("file", problem));
            }
            let value = text(&name, part).await?;
            if self.fields.insert(name.clone(), value).is_some() {
                return Err(AppError::field(&name, "it was sent twice"));
            }
        }
        Ok(None)
    }

    /// Empty when it was not sent, or not yet.
    pub fn text(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    pub fn input(&self) -> UploadInput {
        UploadInput {
            strategy: self.text("strategy").to_owned(),
            service: self.text("container").to_owned(),
            identity: self.fields.get(IDENTITY).cloned().map(Secret::new),
        }
    }

    /// Receives the file, and then what follows it.
    pub async fn receive(
        &mut self,
        holdfast: &Holdfast,
        caller: &Caller,
        slug: &str,
        file: SentFile,
        known: &[&str],
    ) -> Result<Received, AppError> {
        if known.iter().all(|name| self.fields.contains_key(*name)) {
            holdfast.check_upload(caller, slug, &self.input()).await?;
        }
        let name = file.part.file_name().unwrap_or("a file").to_owned();
        let bytes = ReaderStream::with_capacity(file.part.into_async_read(), CHUNK);
        let body: ByteStream = Box::pin(bytes);
        let received = holdfast
            .receive_upload(caller, slug, &name, body, file.length)
            .await?;
        if self.file(known).await?.is_some() {
            return Err(AppError::field("file", "it was sent twice"));
        }
        let mut missing = FieldErrors::default();
        for name in known {
            if !self.fields.contains_key(*name) {
                missing.add(*name, "it is missing");
            }
        }
        missing.into_result()?;
        Ok(received)
    }
}

async fn text(name: &str, part: Field) -> Result<String, AppError> {
    let mut text = String::new();
    let mut read = std::pin::pin!(part.into_async_read().take(TEXT_MAX + 1));
    match read.read_to_string(&mut text).await {
        Ok(read) if read as u64 <= TEXT_MAX => Ok(text.trim().to_owned()),
        _ => Err(AppError::field(name, "it is no short text")),
    }
}
