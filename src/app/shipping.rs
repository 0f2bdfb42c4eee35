//! The log leaves the host: to each target in use, in signed segments, so that a lost machine takes no
//! history with it. What a target has already, the target itself says; nothing is noted here.
//!
//! A segment holds up to `FULL` events. The newest one grows: it is stored anew under its new name, then
//! the old one is deleted. What a kill leaves in between says the same twice, and is taken away later.
//!
//! A server whose log is not the one that lies there under its own name (an older copy of the database
//! was brought back, or two servers have the same master key) overwrites nothing: it begins another history.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::Mutex;

use super::{Holdfast, Result, backup::internal, bundle::Bundle};
use crate::{
    domain::{copies::FurtherTarget, failure::Failure},
    failpoint,
    log::{LogKey, MAX_PACKED},
    readmodel::configs,
    target::{Key, Target, TargetError, layout, layout::Segment},
};

/// Events of a segment that never changes any more.
pub(super) const FULL: i64 = 2_000;

/// How far each target is, by the settings that it was opened with.
pub(super) type Shipped = Mutex<BTreeMap<String, Shipment>>;

/// The log in one target.
#[derive(Debug, Clone)]
pub struct Shipment {
    /// The target, in words.
    pub place: String,
    /// The newest segment there, or why nobody knows.
    pub newest: Result<Segment, Failure>,
    /// Tag of the secrets there; none without a recovery key.
    pub secrets: Option<String>,
}

/// A target that a config names.
pub(super) struct InUse {
    pub place: String,
    pub target: Result<Arc<dyn Target>, Failure>,
}

impl Holdfast {
    /// Brings every target in use up to date. True when all are; what failed is told by `doctor`.
    pub async fn ship_log(&self) -> Result<bool> {
        let key = self.log_key()?;
        let targets = self.targets_in_use().await?;
        let bundle = self.bundle(&key).await?;
        let mut known = self.0.shipped.lock().await.clone();
        known.retain(|id, _| targets.contains_key(id));
        let ship = targets.into_iter().map(|(id, InUse { place, target })| {
            let known = known
                .remove(&id)
                .and_then(|it| Some((it.newest.ok()?, it.secrets)));
            let (key, bundle) = (&key, bundle.as_ref());
            async move {
                let shipped = match target {
                    Ok(target) => self.ship_all_to(&*target, key, bundle, known).await,
                    Err(failure) => Err(failure),
                };
                let (newest, secrets) = match shipped {
                    Ok((newest, secrets)) => (Ok(newest), secrets),
                    Err(failure) => (Err(failure), None),
                };
                if let Err(failure) = &newest {
                    tracing::warn!(place, error = %failure.message, "the log was not shipped");
                }
                let shipment = Shipment {
                    place,
                    newest,
                    secrets,
                };
                (id, shipment)
            }
        });
        // At once: one that is away must not keep the others waiting.
        let shipped: BTreeMap<_, _> = futures_util::future::join_all(ship)
            .await
            .into_iter()
            .collect();
        let all = shipped.values().all(|it| it.newest.is_ok());
        *self.0.shipped.lock().await = shipped;
        Ok(all)
    }

    /// How far the log got in each target in use, as far as it was tried since the start.
    pub async fn shipped(&self) -> Vec<Shipment> {
        self.0.shipped.lock().await.values().cloned().collect()
    }

    /// Whose name the log in a target is under: worth writing down, only the person who has it can tell
    /// whether what comes back is this server's.
    pub fn instance(&self) -> String {
        let key = self.0.vault.log_key();
        key.map_or_else(String::new, |key| key.instance())
    }

    /// `known` is what lay there when it was last looked at.
    async fn ship_all_to(
        &self,
        target: &dyn Target,
        key: &LogKey,
        bundle: Option<&Bundle>,
        known: Option<(Segment, Option<String>)>,
    ) -> Result<(Segment, Option<String>), Failure> {
        let (newest, before) =
            known.map_or((None, None), |(newest, tag)| (Some(newest), Some(tag)));
        let newest = self.ship_to(target, key, newest).await?;
        let Some(bundle) = bundle else {
            return Ok((newest, None)); // what lies there is for whoever has its key
        };
        if before.flatten().as_ref() != Some(&bundle.tag) {
            let of = (newest.instance.as_str(), newest.history);
            self.ship_secrets(target, of, bundle).await?;
        }
        Ok((newest, Some(bundle.tag.clone())))
    }

    async fn ship_to(
        &self,
        target: &dyn Target,
        key: &LogKey,
        known: Option<Segment>,
    ) -> Result<Segment, Failure> {
        let mut newest = match known {
            Some(newest) => newest,
            None => self.newest(target, &key.instance()).await?,
        };
        let head = self.log().head();
        while newest.last < head {
            let grows = newest.last > 0 && newest.last - newest.first + 1 < FULL;
            let first = if grows { newest.first } else { newest.last + 1 };
            let next = Segment {
                first,
                last: head.min(first + FULL - 1),
                ..newest.clone()
            };
            let packed = self.packed(target, key, grows.then_some(&newest), &next);
            self.store(target, &next, packed.await?).await?;
            failpoint::hit("ship.after_put");
            if grows {
                target.delete(&newest.key()?).await?;
            }
            newest = next;
        }
        Ok(newest)
    }

    /// The bytes of the next segment, in which `from` goes on. What was pruned here while the target was away
    /// is whole in `from` alone: it is taken from there.
    async fn packed(
        &self,
        target: &dyn Target,
        key: &LogKey,
        from: Option<&Segment>,
        next: &Segment,
    ) -> Result<Vec<u8>, Failure> {
        let log = self.log();
        if let Some(from) = from
            && log
                .has_pruned(from.first, from.last)
                .await
                .map_err(internal)?
        {
            let there = read_segment(target, &from.key()?).await?;
            let grown = log.grown(key, &there, next.last).await.map_err(internal)?;
            return grown.ok_or_else(|| {
                Failure::temporary(
                    format!("the log's newest segment in {} is damaged", target.describe()),
                    "It is looked at again; another history of the log begins there if it stays so.",
                )
            });
        }
        let packed = log.segment(key, next.first, next.last).await;
        packed.map_err(internal)
    }

    async fn store(
        &self,
        target: &dyn Target,
        segment: &Segment,
        packed: Vec<u8>,
    ) -> Result<(), Failure> {
        let body = stream::iter([Ok(Bytes::from(packed))]).boxed();
        match target.put(&segment.key()?, body, None).await {
            // Stored by a server that was killed before it knew, or by another one under the same key.
            Err(TargetError::Exists { .. }) if !self.is_ours(target, segment).await? => {
                Err(Failure::temporary(
                    format!(
                        "{} holds another server's log under this one's name",
                        target.describe()
                    ),
                    "Two servers work with the same master key: end one of them, or give it a master key of \
                     its own.",
                ))
            }
            Ok(_) | Err(TargetError::Exists { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The newest segment of our history in a target; with zeros where there is none yet.
    async fn newest(&self, target: &dyn Target, instance: &str) -> Result<Segment, Failure> {
        let found = segments(target, instance).await?;
        let mut histories: Vec<u32> = found.iter().map(|it| it.history).collect();
        histories.dedup();
        for history in histories.iter().rev() {
            let of_it = found.iter().filter(|it| it.history == *history);
            let of_it: Vec<&Segment> = of_it.collect();
            if let Some(last) = of_it.last()
                && self.is_ours(target, last).await?
            {
                tidy(target, &of_it).await?;
                return Ok((*last).clone());
            }
        }
        let last = histories.last().copied().unwrap_or(0);
        if last > 0 {
            tracing::warn!(
                place = target.describe(),
                "what lies there under this server's name is not this log; another history begins"
            );
        }
        let history = last.checked_add(1).ok_or_else(|| {
            Failure::permanent(
                format!(
                    "{} has no room for one more history of the log",
                    target.describe()
                ),
                "Somebody put a folder with a huge number below holdfast-log: remove it.",
            )
        })?;
        Ok(Segment {
            instance: instance.to_owned(),
            history,
            first: 0,
            last: 0,
        })
    }

    async fn is_ours(&self, target: &dyn Target, segment: &Segment) -> Result<bool, Failure> {
        let packed = match read_segment(target, &segment.key()?).await {
            Err(TargetError::Missing { .. }) => return Ok(false),
            packed => packed?,
        };
        let ours = self
            .log()
            .is_ours(&packed, &segment.instance, segment.first, segment.last)
            .await;
        ours.map_err(internal)
    }

    /// Each place that a config stores in, once: a bucket under two prefixes is two places.
    pub(super) async fn targets_in_use(&self) -> Result<BTreeMap<String, InUse>> {
        let mut targets = BTreeMap::new();
        for config in configs::storing(self.db()).await? {
            for at in config.spec().targets() {
                let id = format!("{} {:?}", at.target, at.settings);
                let is_open = |known: &InUse| known.target.is_ok();
                if targets.get(&id).is_some_and(is_open) {
                    continue;
                }
                let target = self.target_at(&at).await;
                let place = match &target {
                    Ok(target) => place(&**target, &at),
                    Err(_) => format!("a target of config {}", config.id),
                };
                targets.insert(id, InUse { place, target });
            }
        }
        Ok(targets)
    }
}

pub(super) fn place(target: &dyn Target, at: &FurtherTarget) -> String {
    let prefix = at.settings.get("prefix").map(String::as_str);
    match prefix.filter(|prefix| !prefix.is_empty()) {
        Some(prefix) => format!("{}, below {prefix}", target.describe()),
        None => target.describe(),
    }
}

/// Which segments of that instance are there, oldest first within each history.
pub async fn segments(target: &dyn Target, instance: &str) -> Result<Vec<Segment>, TargetError> {
    let entries = target.list(&layout::segment_folder(instance)).await?;
    let named = entries.iter().filter_map(|entry| Segment::of(&entry.key));
    let mut found: Vec<Segment> = named.filter(|it| it.instance == instance).collect();
    found.sort();
    Ok(found)
}

/// The bytes of a segment; never more than one of ours can have.
pub async fn read_segment(target: &dyn Target, key: &Key) -> Result<Vec<u8>, TargetError> {
    let mut body = target.get(key, None).await?;
    let mut packed = Vec::new();
    while let Some(chunk) = body.try_next().await.map_err(TargetError::Source)? {
        packed.extend_from_slice(&chunk);
        if packed.len() > MAX_PACKED {
            packed.clear(); // no segment, as an empty one is not
            break;
        }
    }
    Ok(packed)
}

/// Deletes segments that another one holds as a whole.
async fn tidy(target: &dyn Target, history: &[&Segment]) -> Result<(), TargetError> {
    for pair in history.windows(2) {
        if pair[0].first == pair[1].first {
            target.delete(&pair[0].key()?).await?;
        }
    }
    Ok(())
}
