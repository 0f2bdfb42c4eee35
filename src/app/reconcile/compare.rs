//! What lies in a place against what the log says of it. Pure: two lists in, what differs out.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    domain::ids::RunId,
    target::{Entry, Key, layout},
};

/// An artifact that a run says lies in this place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    pub run: RunId,
    /// Index of the run's further target; `None` in its first one.
    pub copy: Option<u32>,
    pub key: String,
    /// Of the stored bytes.
    pub size: u64,
    /// The run, or its copy, is red already: somebody has read it since it was lost.
    pub told: bool,
    /// How many other places are said to hold it, and were not found to be bad.
    pub elsewhere: usize,
}

/// What the log knows of a key, wherever it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Of a run whose artifact is kept, on its way or on its way out.
    Kept,
    /// Of a run whose artifact was deleted.
    Deleted(RunId),
}

/// How much of a backup lies there without a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remains {
    Whole,
    /// Without a manifest: an attempt that was cut off, or somebody deleted it.
    Artifact,
    /// A manifest whose artifact is gone.
    Manifest,
}

impl Remains {
    pub fn name(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Artifact => "artifact",
            Self::Manifest => "manifest",
        }
    }
}

/// Something that looks like a backup, and that no run keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    pub key: Key,
    /// Of the artifact; 0 when only its manifest is left.
    pub size: u64,
    pub remains: Remains,
    /// Of this run, which let it go.
    pub run: Option<RunId>,
}

impl Stray {
    /// A manifest tells enough of it to make a run.
    pub fn may_be_adopted(&self) -> bool {
        self.remains == Remains::Whole && self.run.is_none()
    }
}

/// Why a run cannot be restored from this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    Artifact,
    Manifest,
    /// It has another length than was stored.
    Length {
        found: u64,
    },
}

impl Lack {
    pub fn name(self) -> &'static str {
        match self {
            Self::Artifact => "artifact",
            Self::Manifest => "manifest",
            Self::Length { .. } => "length",
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Difference {
    /// By key.
    pub strays: Vec<Stray>,
    /// In the order in which they were expected.
    pub lacking: Vec<(Expected, Lack)>,
    /// Artifacts that are there as they should be.
    pub present: usize,
}

/// `held` is all that a place lists; names that no backup has are nobody's business.
pub fn compare(
    held: &[Entry],
    expected: &[Expected],
    known: &BTreeMap<String, Known>,
) -> Difference {
    let sizes: BTreeMap<&str, u64> = held.iter().map(|it| (it.key.as_str(), it.size)).collect();
    let lacking: Vec<(Expected, Lack)> = expected
        .iter()
        .filter_map(|it| Some((it.clone(), lack(it, &sizes)?)))
        .collect();
    Difference {
        strays: strays(&sizes, known),
        present: expected.len() - lacking.len(),
        lacking,
    }
}

fn lack(expected: &Expected, sizes: &BTreeMap<&str, u64>) -> Option<Lack> {
    let key = Key::parse(&expected.key).ok()?;
    let manifest = layout::manifest_key(&key).ok()?;
    match sizes.get(key.as_str()) {
        None => Some(Lack::Artifact),
        Some(&found) if found != expected.size => Some(Lack::Length { found }),
        Some(_) if !sizes.contains_key(manifest.as_str()) => Some(Lack::Manifest),
        Some(_) => None,
    }
}

fn strays(sizes: &BTreeMap<&str, u64>, known: &BTreeMap<String, Known>) -> Vec<Stray> {
    let keys = sizes.keys().filter_map(|key| Key::parse(key).ok());
    // A manifest stands for its artifact, whether that is there or not.
    let artifacts: BTreeSet<Key> = keys
        .map(|key| layout::artifact_of(&key).unwrap_or(key))
        .filter(layout::may_be_artifact)
        .collect();
    let mut strays = Vec::new();
    for key in artifacts {
        let run = match known.get(key.as_str()) {
            None => None,
            Some(Known::Deleted(run)) => Some(*run),
            Some(Known::Kept) => continue,
        };
        let manifest = layout::manifest_key(&key).ok();
        let manifest = manifest.is_some_and(|name| sizes.contains_key(name.as_str()));
        let size = sizes.get(key.as_str()).copied();
        strays.push(Stray {
            size: size.unwrap_or(0),
            remains: match (size, manifest) {
                (None, _) => Remains::Manifest,
                (Some(_), false) => Remains::Artifact,
                (Some(_), true) => Remains::Whole,
            },
            run,
            key,
        });
    }
    strays
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(key: &str, size: u64) -> Entry {
        let key = Key::parse(key).unwrap();
        Entry { key, size }
    }

    fn expected(run: i64, key: &str) -> Expected {
        Expected {
            run: RunId(run),
            copy: None,
            key: key.to_owned(),
            size: 10,
            told: false,
            elsewhere: 0,
        }
    }

    #[test]
    fn each_kind_of_difference_has_a_name() {
        let held = [
            entry("shop/1/good.gz", 10),
            entry("shop/1/good.gz.json", 5),
            entry("shop/1/short.gz", 9),
            entry("shop/1/short.gz.json", 5),
            entry("shop/1/mute.gz", 10),
            entry("shop/1/found.gz", 7),
            entry("shop/1/found.gz.json", 5),
            entry("shop/1/bare.gz", 3),
            entry("shop/1/alone.gz.json", 5),
            entry("shop/1/over.gz", 10),
            entry("shop/1/coming.gz", 1),
            // Nobody's business.
            entry("holdfast-log/00112233445566778899aabbccddeeff/1/x", 1),
            entry("notes.txt", 1),
            entry("photos/summer/a.jpg", 1),
        ];
        let runs = ["good", "short", "mute", "lost"];
        let runs = (1..).zip(runs.map(|name| format!("shop/1/{name}.gz")));
        let runs: Vec<Expected> = runs.map(|(id, key)| expected(id, &key)).collect();
        let mut known: BTreeMap<String, Known> = runs
            .iter()
            .map(|it| (it.key.clone(), Known::Kept))
            .collect();
        known.insert("shop/1/coming.gz".into(), Known::Kept);
        known.insert("shop/1/over.gz".into(), Known::Deleted(RunId(9)));
        let found = compare(&held, &runs, &known);
        assert_eq!(found.present, 1);
        let lacking: Vec<_> = found
            .lacking
            .iter()
            .map(|(it, lack)| (it.run.0, *lack))
            .collect();
        let length = Lack::Length { found: 9 };
        assert_eq!(
            lacking,
            [(2, length), (3, Lack::Manifest), (4, Lack::Artifact)]
        );
        let strays: Vec<_> = found
            .strays
            .iter()
            .map(|it| (it.key.name(), it.remains))
            .collect();
        assert_eq!(
            strays,
            [
                ("alone.gz", Remains::Manifest),
                ("bare.gz", Remains::Artifact),
                ("found.gz", Remains::Whole),
                ("over.gz", Remains::Artifact),
            ]
        );
        let adoptable = found.strays.iter().filter(|it| it.may_be_adopted());
        assert_eq!(adoptable.count(), 1);
    }

    proptest! {
        /// Whatever lies there, each backup is at most one of: present, lacking, without a run.
        #[test]
        fn nothing_is_told_twice_and_nothing_is_passed_over(
            lies in proptest::collection::btree_map("[a-d]/[0-9]/[a-f](\\.json)?", 0_u64..3, 0..40),
            runs in proptest::collection::btree_set("[a-d]/[0-9]/[a-f]", 0..20),
        ) {
            let held: Vec<Entry> = lies.iter().map(|(key, size)| entry(key, *size)).collect();
            let size = |key: &str| Expected { size: 1, ..expected(1, key) };
            let wanted: Vec<Expected> = runs.iter().map(|key| size(key)).collect();
            let known = runs.iter().map(|key| (key.clone(), Known::Kept)).collect();
            let found = compare(&held, &wanted, &known);
            prop_assert_eq!(found.present + found.lacking.len(), runs.len());
            for key in &runs {
                let whole = lies.get(key) == Some(&1) && lies.contains_key(&format!("{key}.json"));
                let lacks = found.lacking.iter().any(|(it, _)| it.key == *key);
                prop_assert_ne!(whole, lacks);
            }
            let named: BTreeSet<&str> = lies
                .keys()
                .map(|key| key.strip_suffix(".json").unwrap_or(key))
                .filter(|key| !runs.contains(*key))
                .collect();
            let strays: BTreeSet<&str> = found.strays.iter().map(|it| it.key.as_str()).collect();
            prop_assert_eq!(named, strays);
        }
    }
}
