//! Backup: the server hands out its data as to a replica (`--rdb -`), so nothing is written to its disk.
//! Why not `BGSAVE` and a copy of the file: docs/adr/0008.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};

use super::{
    client::{Client, Info},
    diskless::{self, Diskless},
    errors,
    layout::Layout,
};
use crate::{
    docker::Session,
    strategy::{Dumped, Probe, Sink, SinkClosed, Site, StrategyError},
};

/// Length of the mark that ends a transfer whose length was not known before, in bytes.
const MARK: usize = 40;
/// Length of the checksum at the end of an RDB file.
const CHECKSUM: usize = 8;

/// Looks without touching anything.
pub async fn probe(site: &Site) -> Result<Probe, StrategyError> {
    let (client, info) = Client::of(site).await?;
    must_be_whole(&info)?;
    if info.number("loading") == Some(1) {
        return Err(client.complaint("the look", "LOADING the server is loading its data"));
    }
    if info.text("role") == "slave" && info.text("master_link_status") != "up" {
        return Err(client.complaint("the look", "NOMASTERLINK this replica is not connected"));
    }
    // A user for backups need not be allowed to read settings.
    let layout = optional(Layout::of(&client).await)?;
    let sizes = ["used_memory_dataset", "used_memory"];
    Ok(Probe {
        subject: layout.map_or_else(|| "all keys".to_owned(), |layout| layout.subject()),
        server: info.version(),
        tool: client.version.clone(),
        size: sizes.iter().find_map(|name| info.number(name)),
    })
}

/// One server has to have it all, and be of a kind that can be restored.
pub fn must_be_whole(info: &Info) -> Result<(), StrategyError> {
    if !info.text("dragonfly_version").is_empty() {
        return Err(StrategyError::refused(
            "this is a Dragonfly server, which does not hand out its data as Redis does",
            "Back up its files with a strategy for files.",
        ));
    }
    let mode = ["redis_mode", "server_mode"].map(|name| info.text(name));
    if mode.contains(&"sentinel") {
        return Err(StrategyError::refused(
            "this is a sentinel, which holds no data",
            "Choose the server that it watches.",
        ));
    }
    if mode.contains(&"cluster") || info.number("cluster_enabled") == Some(1) {
        return Err(StrategyError::refused(
            "this server is a node of a cluster, and holds only a part of its data",
            "Clusters cannot be backed up yet.",
        ));
    }
    Ok(())
}

pub async fn backup(site: &Site, sink: &mut dyn Sink) -> Result<Dumped, StrategyError> {
    let (client, info) = Client::of(site).await?;
    must_be_whole(&info)?;
    let mut warnings = Vec::new();
    if let Some(layout) = optional(Layout::of(&client).await)?
        && let Err(error) = layout.must_be_on_a_volume(&site.container)
    {
        warnings.push(format!(
            "a restore into this service would be refused: {error}"
        ));
    }
    let diskless = Diskless::on(&client, &info).await?;
    if diskless == Diskless::Refused {
        warnings.push(format!(
            "the server wrote its dump file for this backup, because {} is off and may not be switched on",
            diskless::SETTING
        ));
    }
    let command = client.command(["--rdb", "-"]);
    let dump = site.watch(async {
        let session = site.engine.exec(&site.container.id, command).await?;
        pump(&client, session, sink).await
    });
    let result = dump.await;
    diskless.back(&client.uncancelled()).await;
    if !result? {
        warnings.push(
            "the server leaves out checksums (rdbchecksum no), so damage to this backup could go unnoticed".to_owned(),
        );
    }
    Ok(Dumped { warnings })
}

/// What may be forbidden. What fails for other reasons fails.
pub fn optional<T>(result: Result<T, StrategyError>) -> Result<Option<T>, StrategyError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(StrategyError::Tool {
            temporary: false, ..
        }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Passes on what the program writes, then asks how it ended. Whether there is a checksum.
async fn pump(
    client: &Client,
    session: Session,
    sink: &mut dyn Sink,
) -> Result<bool, StrategyError> {
    let mut held = Held {
        end: End::default(),
        sink,
    };
    let (program, mask) = (client.program, client.login.mask());
    let pumped = client.site.pump(session, program, mask, &mut held);
    let (code, said) = pumped.await?;
    if code != 0 {
        return Err(errors::complaint("the dump", program, code, &said));
    }
    let rest = held.end.without_mark();
    let checksum = rest.last_chunk::<CHECKSUM>();
    let has_checksum = checksum.is_none_or(|checksum| *checksum != [0; CHECKSUM]);
    held.sink.write(rest).await?;
    Ok(has_checksum)
}

struct Held<'a> {
    end: End,
    sink: &'a mut dyn Sink,
}

#[async_trait]
impl Sink for Held<'_> {
    async fn write(&mut self, chunk: Bytes) -> Result<(), SinkClosed> {
        match self.end.push(chunk) {
            Some(sure) => self.sink.write(sure).await,
            None => Ok(()),
        }
    }
}

/// Holds back the last bytes, because a transfer whose length the server did not know before ends with
/// a mark, which the client passes on. The mark is 40 hexadecimal digits; the file itself never ends in
/// them, its last opcode being the byte 255.
#[derive(Default)]
struct End(BytesMut);

/// As much as is needed to tell: the checksum, and the mark.
const HELD: usize = CHECKSUM + MARK;

impl End {
    /// What is certain not to belong to the end.
    fn push(&mut self, bytes: Bytes) -> Option<Bytes> {
        self.0.extend_from_slice(&bytes);
        let sure = self.0.len().checked_sub(HELD).filter(|sure| *sure > 0)?;
        Some(self.0.split_to(sure).freeze())
    }

    fn without_mark(mut self) -> Bytes {
        let body = self.0.len().saturating_sub(MARK);
        let hex = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if self.0.len() > MARK && self.0[body..].iter().all(hex) {
            self.0.truncate(body);
        }
        self.0.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_left_out_and_nothing_else() {
        let file = [&b"REDIS0010"[..], &[7; 300], &[255, 1, 2, 3, 4, 5, 6, 7, 8]].concat();
        let mark = b"29277ad8260e4e22344a62feae6a07a44c015032";
        let marked = [&file[..], mark].concat();
        let empty = b"REDIS0010\xffabcdef01";
        for (sent, kept) in [
            (&file[..], &file[..]),
            (&marked[..], &file[..]),
            (b"", b""),
            (&mark[..], &mark[..]),
            (empty, empty),
            (&[&empty[..], mark].concat(), empty),
        ] {
            for piece in [1, 7, 48, 49, 1000] {
                let (mut end, mut whole) = (End::default(), Vec::new());
                for chunk in sent.chunks(piece) {
                    whole.extend(end.push(Bytes::copy_from_slice(chunk)).unwrap_or_default());
                }
                whole.extend(end.without_mark());
                assert_eq!(whole, kept, "in pieces of {piece}");
            }
        }
    }
}
