//! Where a path lies: on which mount, and what is there now.

use std::collections::BTreeMap;

use super::{Part, Unit, script};
use crate::{
    docker::{Container, Mount},
    strategy::{Site, StrategyError},
};

/// $1, $2, …: a path and the mount it lies on (or `/`). Says for each whether a link is on the way,
/// what is there, and how many names at its end are not there.
const LOOK: &str = r#"
while [ $# -gt 0 ]; do
  path=$1 base=$2 kind= gone=0
  shift 2
  p=$path
  until [ -e "$p" ] || [ -L "$p" ] || [ -z "$p" ]; do
    gone=$((gone+1)) p=${p%/*}
  done
  if [ "$gone" -gt 0 ]; then kind=missing
  elif [ -f "$path" ]; then kind=file
  elif [ -d "$path" ]; then kind=folder
  else kind=other
  fi
  while [ "$p" != "$base" ] && [ -n "$p" ]; do
    if [ -L "$p" ]; then kind=link; fi
    p=${p%/*}
  done
  echo "$kind $gone"
done
"#;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    File,
    Folder,
    /// A socket, a device: nothing that could be archived.
    Other,
    /// It is, or goes through, a symbolic link.
    Link,
    /// This many names at its end are not there.
    Missing(usize),
}

/// Looks at absolute paths, as the helper or container of `site` sees them.
pub async fn look(
    site: &Site,
    container: &Container,
    paths: &[String],
) -> Result<Vec<Found>, StrategyError> {
    let mut arguments = Vec::new();
    for path in paths {
        let base = mount_of(container, path).map_or("/", |mount| &mount.destination);
        arguments.extend([path.as_str(), base]);
    }
    let limit = std::time::Duration::from_mins(2);
    let said = script::run(site, LOOK, &arguments, "looking at the paths", limit).await?;
    let found: Option<Vec<Found>> = said.lines().map(read).collect();
    let found = found.filter(|found| found.len() == paths.len());
    found.ok_or_else(|| StrategyError::refused("the helper's shell does not work as it should", ""))
}

fn read(line: &str) -> Option<Found> {
    let (kind, gone) = line.split_once(' ')?;
    Some(match kind {
        "file" => Found::File,
        "folder" => Found::Folder,
        "other" => Found::Other,
        "link" => Found::Link,
        "missing" => Found::Missing(gone.parse().ok()?),
        _ => return None,
    })
}

/// The mount that a path lies on; `None`: in the container's own layer, which is gone with it.
pub fn mount_of<'a>(container: &'a Container, path: &str) -> Option<&'a Mount> {
    let fits = |mount: &&Mount| lies_in(path, &mount.destination);
    let mounts = container.mounts.iter().filter(fits);
    mounts.max_by_key(|mount| mount.destination.len())
}

fn lies_in(path: &str, folder: &str) -> bool {
    super::super::tar::is_in(
        path.trim_start_matches('/').as_bytes(),
        folder.trim_matches('/').as_bytes(),
    )
}

/// Why files at a place cannot be exchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    NoVolume,
    Memory,
    ReadOnly,
}

impl Why {
    pub fn words(self) -> &'static str {
        match self {
            Self::NoVolume => "is on no volume",
            Self::Memory => "is in memory only (tmpfs)",
            Self::ReadOnly => "is mounted read-only",
        }
    }
}

pub fn out_of_reach(container: &Container, path: &str) -> Option<Why> {
    match mount_of(container, path) {
        None => Some(Why::NoVolume),
        Some(mount) if mount.kind == "tmpfs" => Some(Why::Memory),
        Some(mount) if mount.read_only => Some(Why::ReadOnly),
        Some(_) => None,
    }
}

/// Where the pieces of some paths go: mount by mount, in the order of their length.
#[derive(Debug, Default)]
pub struct Place {
    parts: BTreeMap<String, Vec<Unit>>,
}

impl Place {
    pub fn into_parts(self) -> Vec<Part> {
        let parts = self.parts.into_iter();
        parts.map(|(mount, units)| Part { mount, units }).collect()
    }

    /// One path on a mount that can be written, and what is there now. Mounts that lie in it keep
    /// their place; what lies on them are paths of their own.
    pub fn add(&mut self, container: &Container, path: &str, found: Found) {
        let Some(mount) = mount_of(container, path) else {
            return;
        };
        let units = self.parts.entry(mount.destination.clone()).or_default();
        let inner: Vec<&str> = container
            .mounts
            .iter()
            .map(|inner| inner.destination.trim_end_matches('/'))
            .filter(|inner| *inner != mount.destination && lies_in(inner, path) && *inner != path)
            .collect();
        if path == mount.destination || !inner.is_empty() {
            units.extend(around(path, &inner));
            return;
        }
        // The last name that is there already has the place; what is missing comes with it.
        let missing = match found {
            Found::Missing(names) => names.saturating_sub(1),
            _ => 0,
        };
        let mut place = path;
        for _ in 0..missing {
            place = place.rsplit_once('/').map_or(place, |(above, _)| above);
        }
        let (folder, name) = place.rsplit_once('/').unwrap_or(("", place));
        let folder = if folder.is_empty() { "/" } else { folder };
        let unit = Unit {
            folder: folder.to_owned(),
            only: Some(name.to_owned()),
            stays: Vec::new(),
        };
        if !units.contains(&unit) {
            units.push(unit);
        }
    }
}

/// The content of a folder without the mounts in it: one unit for it, and one for each folder that
/// leads to one of them.
fn around(path: &str, inner: &[&str]) -> Vec<Unit> {
    let mut stays: BTreeMap<String, Vec<String>> = BTreeMap::from([(path.to_owned(), Vec::new())]);
    for mount in inner {
        let below = mount.strip_prefix(path.trim_end_matches('/'));
        let mut folder = path.to_owned();
        for name in below
            .unwrap_or_default()
            .split('/')
            .filter(|n| !n.is_empty())
        {
            let names = stays.entry(folder.clone()).or_default();
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
            folder = format!("{}/{name}", folder.trim_end_matches('/'));
        }
    }
    let unit = |(folder, stays)| Unit {
        folder,
        only: None,
        stays,
    };
    stays.into_iter().map(unit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(mounts: &[&str]) -> Container {
        let mount = |destination: &&str| Mount {
            kind: "volume".into(),
            source: "v".into(),
            destination: (*destination).to_owned(),
            read_only: false,
        };
        Container {
            mounts: mounts.iter().map(mount).collect(),
            ..Container::default()
        }
    }

    fn parts(
        mounts: &[&str],
        path: &str,
        found: Found,
    ) -> Vec<(String, Option<String>, Vec<String>)> {
        let mut place = Place::default();
        place.add(&container(mounts), path, found);
        let units = place.into_parts().into_iter().flat_map(|part| part.units);
        units
            .map(|unit| (unit.folder, unit.only, unit.stays))
            .collect()
    }

    #[test]
    fn the_longest_mount_counts() {
        let container = container(&["/data", "/data/cache", "/database"]);
        let of = |path| mount_of(&container, path).map(|m| m.destination.as_str());
        assert_eq!(of("/data"), Some("/data"));
        assert_eq!(of("/data/cache/x"), Some("/data/cache"));
        assert_eq!(of("/data/cached"), Some("/data"));
        assert_eq!(of("/dat"), None);
    }

    #[test]
    fn mounts_in_a_path_keep_their_place() {
        let strings = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            parts(&["/data"], "/data", Found::Folder),
            [("/data".to_owned(), None, vec![])]
        );
        assert_eq!(
            parts(&["/data", "/data/a/b/c", "/data/x"], "/data", Found::Folder),
            [
                ("/data".to_owned(), None, strings(&["a", "x"])),
                ("/data/a".to_owned(), None, strings(&["b"])),
                ("/data/a/b".to_owned(), None, strings(&["c"])),
            ]
        );
        assert_eq!(
            parts(&["/data"], "/data/sub/deep", Found::Folder),
            [("/data/sub".to_owned(), Some("deep".to_owned()), vec![])]
        );
        assert_eq!(
            parts(&["/data"], "/data/sub/deep/er", Found::Missing(2)),
            [("/data/sub".to_owned(), Some("deep".to_owned()), vec![])]
        );
    }
}
