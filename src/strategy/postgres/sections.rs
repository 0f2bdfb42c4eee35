//! An artifact on its way in, judged byte by byte once more and cut into the dumps of its databases:
//! what was validated is what is loaded.

use std::mem;

use bytes::Bytes;
use futures_util::StreamExt;

use super::validate::{PlainDump, Section};
use crate::{
    domain::manifest::Fingerprint,
    strategy::{RawStream, StrategyError, Validator, pour::changed},
};

pub struct Sections<'a> {
    artifact: RawStream,
    /// What the dump holds, as counted before.
    expected: &'a Fingerprint,
    /// Gone when the artifact has ended.
    judge: Option<Box<PlainDump>>,
    /// Read from the artifact, not yet judged.
    rest: Bytes,
    /// Judged, not yet handed out: the first piece of a section.
    first: Option<Bytes>,
    /// Encoding of the last dump.
    encoding: Option<String>,
    /// Bytes handed out or passed over.
    pub passed: u64,
}

impl<'a> Sections<'a> {
    pub fn new(artifact: RawStream, expected: &'a Fingerprint) -> Self {
        Self {
            artifact,
            expected,
            judge: Some(Box::default()),
            rest: Bytes::new(),
            first: None,
            encoding: None,
            passed: 0,
        }
    }

    /// Goes on to the dump of the next database, if there is one.
    pub async fn next(&mut self) -> Result<bool, StrategyError> {
        while let Some((section, piece)) = self.piece().await? {
            if section == Section::Database {
                self.first = Some(piece);
                return Ok(true);
            }
            self.passed += piece.len() as u64;
        }
        Ok(false)
    }

    /// The name of the database at hand, where the dump holds several.
    pub fn database(&self) -> Option<&str> {
        self.judge.as_ref()?.database()
    }

    /// The encoding of the last dump that was read to its end.
    pub fn encoding(&self) -> Option<&str> {
        self.encoding.as_deref()
    }

    /// More of the database at hand; `None` at its end.
    pub async fn more(&mut self) -> Result<Option<Bytes>, StrategyError> {
        let piece = match self.first.take() {
            Some(piece) => Some(piece),
            None => match self.piece().await? {
                Some((Section::Database, piece)) => Some(piece),
                other => {
                    self.passed += other.map_or(0, |(_, piece)| piece.len() as u64);
                    None
                }
            },
        };
        self.passed += piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Ok(piece)
    }

    /// At its end it must be what it was before.
    async fn piece(&mut self) -> Result<Option<(Section, Bytes)>, StrategyError> {
        loop {
            let Some(judge) = &mut self.judge else {
                return Ok(None);
            };
            if self.rest.is_empty() {
                match self.artifact.next().await {
                    Some(chunk) => self.rest = chunk.map_err(StrategyError::Artifact)?,
                    None => return self.end().map(|()| None),
                }
                continue;
            }
            let (section, used) = judge.advance(&self.rest);
            if let Some(fault) = judge.fault() {
                return Err(changed(fault));
            }
            if let Some(encoding) = judge.encoding() {
                self.encoding = Some(encoding.to_owned());
            }
            if used > 0 {
                return Ok(Some((section, self.rest.split_to(used))));
            }
        }
    }

    fn end(&mut self) -> Result<(), StrategyError> {
        let Some(judge) = mem::take(&mut self.judge) else {
            return Ok(());
        };
        let found = judge.finish().map_err(|fault| changed(&fault))?;
        match self.expected.differences(&found, 1).first() {
            Some(difference) => Err(changed(difference)),
            None => Ok(()),
        }
    }
}
