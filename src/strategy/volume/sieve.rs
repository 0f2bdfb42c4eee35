//! Leaves out of an archive, as it passes, what must not be in it: our own hidden folders, what lies
//! in memory, devices. Not every tar can be told to.

use bytes::{Bytes, BytesMut};

use crate::strategy::{
    swap::HIDDEN,
    tar::{Entry, Kind, Reader, Visit, is_in},
};

/// Devices that are named in a warning, and whose links are left out too.
const DEVICES: usize = 100;

#[derive(Default)]
pub struct Sieve {
    reader: Reader,
    filter: Filter,
}

#[derive(Default)]
struct Filter {
    /// Roots of mounts, where hidden folders of ours may be; without a leading slash.
    mounts: Vec<Vec<u8>>,
    /// Folders whose content stays out.
    memory: Vec<Vec<u8>>,
    devices: Vec<Vec<u8>>,
    passing: bool,
    out: BytesMut,
}

impl Sieve {
    /// Absolute paths.
    pub fn new<'a>(
        mounts: impl Iterator<Item = &'a str>,
        memory: impl Iterator<Item = &'a str>,
    ) -> Self {
        let bare = |path: &str| path.trim_matches('/').as_bytes().to_vec();
        Self {
            filter: Filter {
                mounts: mounts.map(bare).collect(),
                memory: memory.map(bare).collect(),
                ..Filter::default()
            },
            ..Self::default()
        }
    }

    /// What is left of a chunk.
    pub fn pass(&mut self, chunk: &[u8]) -> Result<Bytes, String> {
        self.reader.feed(chunk, &mut self.filter)?;
        Ok(self.filter.out.split().freeze())
    }

    /// Whether the archive came to its end.
    pub fn finish(&self) -> Result<(), String> {
        self.reader.finish()
    }

    pub fn warnings(&self) -> Vec<String> {
        let devices = self.filter.devices.iter();
        let warning =
            |path: &Vec<u8>| format!("{}: a device, left out", String::from_utf8_lossy(path));
        devices.map(warning).collect()
    }
}

impl Filter {
    fn stays(&mut self, entry: &Entry) -> Result<bool, String> {
        let path = &entry.path;
        if self.mounts.iter().any(|mount| is_hidden(path, mount)) {
            return Ok(false);
        }
        let inside = |folder: &Vec<u8>| path != folder && is_in(path, folder);
        if self.memory.iter().any(inside) {
            return Ok(false);
        }
        if entry.kind == Kind::Device {
            if self.devices.len() == DEVICES {
                return Err("there are too many devices among the files".to_owned());
            }
            self.devices.push(path.clone());
        }
        let to_device = entry.kind == Kind::HardLink && self.devices.contains(&entry.link);
        Ok(entry.kind != Kind::Device && !to_device)
    }
}

impl Visit for Filter {
    fn entry(&mut self, entry: &Entry, headers: &[u8]) -> Result<(), String> {
        self.passing = self.stays(entry)?;
        self.body(headers)
    }

    fn body(&mut self, bytes: &[u8]) -> Result<(), String> {
        if self.passing {
            self.out.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn end(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.out.extend_from_slice(bytes);
        Ok(())
    }
}

fn is_hidden(path: &[u8], mount: &[u8]) -> bool {
    let below = match path.strip_prefix(mount) {
        Some(below) if mount.is_empty() => below,
        Some([b'/', below @ ..]) => below,
        _ => return false,
    };
    below.starts_with(HIDDEN.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_folders_at_the_root_of_a_mount_are_hidden() {
        assert!(is_hidden(b"data/.holdfast-1-ab", b"data"));
        assert!(is_hidden(b"data/.holdfast-1-ab/new/x", b"data"));
        for path in [
            b"data".as_slice(),
            b"data/.holdfast",
            b"data/x/.holdfast-1",
            b"dat/.holdfast-1",
        ] {
            assert!(!is_hidden(path, b"data"));
        }
    }
}
