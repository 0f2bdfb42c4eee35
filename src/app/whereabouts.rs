//! Where an artifact lies: in its first target and in the copies that were made of it. Whoever reads it
//! takes the first place that has it; the next one is not asked before it is needed.

use std::{ops::Range, sync::Arc, vec};

use super::{Holdfast, place::pinned_spec};
use crate::{
    domain::{
        failure::Failure,
        ids::ConfigId,
        manifest::{Artifact, Manifest},
    },
    engine::examine,
    readmodel::runs,
    target::{ByteStream, Key, Target},
};

/// One place where an artifact should lie.
struct Place {
    target: Arc<dyn Target>,
    /// For people: which copy, when it is not in the first target.
    copy: Option<String>,
}

/// An artifact that can be brought back.
pub(super) struct Found {
    pub manifest: Manifest,
    pub target: Arc<dyn Target>,
    /// Which copy, when it is not in the first target.
    pub copy: Option<String>,
}

/// The places of one artifact, asked one after the other.
pub(super) struct Search {
    artifact: Artifact,
    /// Known without asking.
    known: Option<Found>,
    places: vec::IntoIter<Place>,
    /// Of the places that were passed over.
    failures: Vec<Failure>,
}

impl Search {
    /// For what lies in one place alone.
    pub fn over(found: Found) -> Self {
        Self {
            artifact: found.manifest.artifact.clone(),
            known: Some(found),
            places: Vec::new().into_iter(),
            failures: Vec::new(),
        }
    }

    /// The next place with the manifest of this very artifact.
    pub async fn next(&mut self) -> Option<Found> {
        if self.known.is_some() {
            return self.known.take();
        }
        for Place { target, copy } in self.places.by_ref() {
            match examine::manifest(&*target, &self.artifact).await {
                Ok(manifest) => {
                    return Some(Found {
                        manifest,
                        target,
                        copy,
                    });
                }
                Err(flaw) => self.failures.push(flaw.into()),
            }
        }
        None
    }

    /// What was found at last was of no use.
    pub fn pass_over(&mut self, failure: Failure) {
        self.failures.push(failure);
    }

    /// Why places were passed over; empty when none was.
    pub fn why(&self) -> String {
        let messages = self.failures.iter().map(|it| it.message.as_str());
        messages.collect::<Vec<_>>().join("; ")
    }

    /// What is wrong with the place that should have been the one.
    pub fn into_failure(self) -> Failure {
        first_of(self.failures)
    }
}

fn first_of(failures: Vec<Failure>) -> Failure {
    let first = failures.into_iter().next();
    first.unwrap_or_else(|| Failure::permanent("the run has no backup", ""))
}

impl Holdfast {
    pub(super) async fn search(&self, run: &runs::Model) -> Result<Search, Failure> {
        let artifact = run.artifact().ok_or_else(|| {
            Failure::permanent(
                format!("run {} has no backup: it is {}", run.id, run.status),
                "Choose a successful run.",
            )
        })?;
        let (places, failures) = self.places_of(run).await?;
        Ok(Search {
            artifact,
            known: None,
            places: places.into_iter(),
            failures,
        })
    }

    /// The run's manifest, read back from the first place that has it, and checked against what the log says.
    pub(super) async fn read_manifest(&self, run: &runs::Model) -> Result<Manifest, Failure> {
        let mut search = self.search(run).await?;
        let found = search.next().await;
        found.map_or_else(|| Err(search.into_failure()), |found| Ok(found.manifest))
    }

    /// The bytes from the first place that gives any, and which copy that is.
    pub(super) async fn first_body(
        &self,
        run: &runs::Model,
        key: &Key,
        range: Option<Range<u64>>,
    ) -> Result<(ByteStream, Option<String>), Failure> {
        let (places, mut failures) = self.places_of(run).await?;
        for place in places {
            match place.target.get(key, range.clone()).await {
                Ok(body) => return Ok((body, place.copy)),
                Err(error) => {
                    tracing::warn!(run = run.id, %error, "looking for another copy");
                    failures.push(error.into());
                }
            }
        }
        Err(first_of(failures))
    }

    /// Every place where the run's artifact should lie, the first target first; that one last when what lies
    /// there is known to be damaged or gone. And why others cannot be opened.
    async fn places_of(&self, run: &runs::Model) -> Result<(Vec<Place>, Vec<Failure>), Failure> {
        let spec = pinned_spec(run)?;
        let config = ConfigId(run.backup_config_id);
        let (mut places, mut closed) = (Vec::new(), Vec::new());
        match self.target_of_run(config, &spec.first_target()).await {
            Ok(target) => places.push(Place { target, copy: None }),
            Err(failure) => closed.push(failure),
        }
        let first = places.len();
        let copies = spec.copies.iter().zip(run.copies());
        for (further, _) in copies.filter(|(_, copy)| copy.stored) {
            match self.target_of_run(config, further).await {
                Ok(target) => {
                    let copy = Some(target.describe());
                    places.push(Place { target, copy });
                }
                Err(failure) => closed.push(failure),
            }
        }
        if run.status != "success" {
            places.rotate_left(first);
        }
        Ok((places, closed))
    }
}
