//! Where an artifact lies: in its first target and in the copies that were made of it. Whoever reads it
//! takes the first place that has it; the next one is not asked before it is needed. A place has a number:
//! 0 is the first target, 1 the first further one.

use std::{ops::Range, sync::Arc, time::Duration, vec};

use super::{Holdfast, place::pinned_spec};
use crate::{
    domain::{
        copies::FurtherTarget,
        failure::Failure,
        ids::ConfigId,
        manifest::{Artifact, Manifest},
    },
    engine::examine,
    readmodel::runs,
    target::{ByteStream, Key, Target, TargetError},
};

/// One place where an artifact should lie.
struct Place {
    number: u32,
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

/// A place of an artifact, for people to choose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whereabout {
    pub number: u32,
    /// The target, in words.
    pub at: String,
    /// As far as anybody knows.
    pub holds: bool,
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
        for Place { target, copy, .. } in self.places.by_ref() {
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
    /// Place by place, or in the one place that was chosen.
    pub(super) async fn search(
        &self,
        run: &runs::Model,
        only: Option<u32>,
    ) -> Result<Search, Failure> {
        let artifact = run.artifact().ok_or_else(|| {
            Failure::permanent(
                format!("run {} has no backup: it is {}", run.id, run.status),
                "Choose a successful run.",
            )
        })?;
        let (places, failures) = self.places_of(run, only).await?;
        Ok(Search {
            artifact,
            known: None,
            places: places.into_iter(),
            failures,
        })
    }

    /// The run's manifest, read back from the first place that has it, and checked against what the log says.
    pub(super) async fn read_manifest(
        &self,
        run: &runs::Model,
        only: Option<u32>,
    ) -> Result<Manifest, Failure> {
        let mut search = self.search(run, only).await?;
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
        let (places, mut failures) = self.places_of(run, None).await?;
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
    /// Only of that one, when it was chosen.
    async fn places_of(
        &self,
        run: &runs::Model,
        only: Option<u32>,
    ) -> Result<(Vec<Place>, Vec<Failure>), Failure> {
        let config = ConfigId(run.backup_config_id);
        let (mut places, mut closed) = (Vec::new(), Vec::new());
        for (number, at, holds) in numbered(run)? {
            // The first one is asked whatever is said of it, the others where they are said to hold it.
            let asked = match only {
                Some(only) => only == number,
                None => holds || number == 0,
            };
            if !asked {
                continue;
            }
            match self.target_of_run(config, &at).await {
                Ok(target) => places.push(Place {
                    number,
                    copy: (number > 0).then(|| target.describe()),
                    target,
                }),
                Err(failure) => closed.push(failure),
            }
        }
        if run.status != "success" {
            places.sort_by_key(|place| place.number == 0);
        }
        Ok((places, closed))
    }

    /// Every place where it was to lie, for people.
    pub(super) async fn whereabouts(&self, run: &runs::Model) -> Result<Vec<Whereabout>, Failure> {
        let config = ConfigId(run.backup_config_id);
        let mut all = Vec::new();
        for (number, at, holds) in numbered(run)? {
            let opened = self.target_of_run(config, &at).await;
            all.push(Whereabout {
                number,
                at: opened.map_or(at.target, |target| target.describe()),
                holds,
            });
        }
        Ok(all)
    }

    /// A link to the artifact, from the first place that has it and makes links.
    pub(super) async fn first_link(
        &self,
        run: &runs::Model,
        key: &Key,
        valid: Duration,
    ) -> Result<Option<String>, Failure> {
        let (places, mut failures) = self.places_of(run, None).await?;
        let mut held = false;
        for place in places {
            // A link is made without asking the store: it must not lead to nothing.
            match place.target.stat(key).await {
                Ok(None) => {
                    let (key, at) = (key.to_string(), place.target.describe());
                    failures.push(TargetError::Missing { key, at }.into());
                    continue;
                }
                Ok(Some(_)) => held = true,
                Err(error) => {
                    tracing::warn!(run = run.id, %error, "looking for another copy");
                    failures.push(error.into());
                    continue;
                }
            }
            match place.target.presign(key, valid).await {
                Ok(Some(link)) => return Ok(Some(link)),
                Ok(None) => {}
                Err(error) => failures.push(error.into()),
            }
        }
        if held {
            return Ok(None);
        }
        Err(first_of(failures))
    }
}

/// Number, how it was opened, and whether it is said to hold the artifact.
fn numbered(run: &runs::Model) -> Result<Vec<(u32, FurtherTarget, bool)>, Failure> {
    let spec = pinned_spec(run)?;
    let copies = run.copies();
    let first = (0, spec.first_target(), run.status == "success");
    let copies = (1..).zip(spec.copies.into_iter().zip(copies));
    let copies = copies.map(|(number, (at, state))| (number, at, state.stored));
    Ok(std::iter::once(first).chain(copies).collect())
}
