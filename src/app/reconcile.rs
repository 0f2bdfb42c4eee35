//! Reconciling: what lies in the targets against what the log says. Both lists can be wrong, and neither is
//! mended here by itself: a file without a run is offered to be adopted or deleted, a run without its file
//! to be read again, by which it turns red where nothing is left of it.
//!
//! The runs are asked for before the targets are listed and after: what came or went in between is no
//! difference. A target that does not answer is away, and one in which nothing of this server lies, not even
//! its log, is taken for a disk that is not mounted.

mod compare;

use std::{collections::BTreeMap, sync::Arc};

pub use self::compare::{Difference, Expected, Known, Lack, Remains, Stray, compare};
use super::{AppError, Caller, Holdfast, Result, place::pinned_spec, shipping};
use crate::{
    domain::{
        access::Role,
        audit::AuditEvent,
        copies::FurtherTarget,
        event::Scope,
        failure::Failure,
        ids::{ConfigId, RunId},
        run::{Run, RunCommand},
        verification::VerificationCommand,
    },
    engine::prune,
    log::LogError,
    readmodel::{configs, runs},
    target::{self, Key, Target, layout},
};

/// One place, compared with the log.
#[derive(Debug, Clone)]
pub struct Compared {
    /// Names the place to `adopt_stray` and its like; says nothing to people.
    pub id: String,
    /// The target, in words.
    pub place: String,
    /// Or why nobody knows what lies there.
    pub found: Result<Difference, Failure>,
}

/// A place that a config stores in, or a run that is kept did.
struct InUse {
    /// Ways to open it: two configs may name one bucket with different keys.
    ways: Vec<(ConfigId, FurtherTarget)>,
    expected: Vec<Expected>,
}

impl Holdfast {
    pub async fn reconcile(&self, caller: &Caller) -> Result<Vec<Compared>> {
        caller.must_be(Role::Admin)?;
        let places = self.places_in_use().await?;
        let look = places.into_iter().map(|(id, place)| async move {
            let listed = self.list_of(&place).await;
            (id, place, listed)
        });
        // At once: one that is away must not keep the others waiting.
        let looked = futures_util::future::join_all(look).await;
        let known = self.known_keys().await?;
        let now = self.places_in_use().await?;
        let compared = looked.into_iter().map(|(id, mut place, listed)| {
            let still = now.get(&id).map_or(&[][..], |now| &now.expected);
            place.expected.retain(|was| {
                still
                    .iter()
                    .any(|is| is.run == was.run && is.copy == was.copy)
            });
            let (name, held) = listed;
            Compared {
                found: held.and_then(|held| {
                    let found = compare(&held, &place.expected, &known);
                    let ours = layout::segment_folder(&self.instance());
                    let has_log = held.iter().any(|it| it.key.as_str().starts_with(&ours));
                    if place.expected.is_empty() || found.present > 0 || has_log {
                        Ok(found)
                    } else {
                        Err(nothing_there(&name, place.expected.len()))
                    }
                }),
                place: name,
                id,
            }
        });
        Ok(compared.collect())
    }

    /// Makes a run of a backup that lies in a place without one, and asks that it is verified.
    pub async fn adopt_stray(&self, caller: &Caller, place: &str, key: &str) -> Result<RunId> {
        caller.must_be(Role::Admin)?;
        let (target, at) = self.place_by_id(place).await?;
        let stray = self.stray(&*target, key).await?;
        if !stray.may_be_adopted() {
            return Err(AppError::Conflict(match stray.run {
                Some(run) => format!("{key} was let go by run {run}: download it, or delete it"),
                None => format!("{key} has no manifest beside it: nobody can say what it is"),
            }));
        }
        let adopted = self.adopt_found(caller, &*target, &stray.key, &at).await?;
        adopted.map_err(|why| AppError::Conflict(format!("{key} cannot be adopted: {why}")))
    }

    /// Deletes what lies in a place without a run. The log says so first.
    pub async fn delete_stray(&self, caller: &Caller, place: &str, key: &str) -> Result<()> {
        caller.must_be(Role::Admin)?;
        self.must_be_fresh(caller)?;
        let (target, _) = self.place_by_id(place).await?;
        let stray = self.stray(&*target, key).await?;
        let event = AuditEvent::StrayDeleted {
            place: target.describe(),
            key: stray.key.to_string(),
            size: stray.size,
        };
        let noted = self.log().write(caller.cause(), move |unit| {
            Box::pin(async move { unit.note(event, Scope::default()).await })
        });
        noted.await?;
        Ok(prune::run(&*target, &stray.key).await?)
    }

    /// Asks that every run which lacks something in that place is verified: its places are read, and what is
    /// lost is said of it. Answers how many were asked for.
    pub async fn verify_lacking(&self, caller: &Caller, place: &str) -> Result<usize> {
        caller.must_be(Role::Admin)?;
        let compared = self.reconcile(caller).await?;
        let compared = compared.into_iter().find(|it| it.id == place);
        let found = compared.ok_or_else(no_such_place)?.found?;
        let mut asked = 0;
        for (lacking, _) in found.lacking.iter().filter(|(it, _)| !it.told) {
            let command = RunCommand::Verify(VerificationCommand::Request);
            let id = lacking.run.0;
            match self.log().execute::<Run>(caller.cause(), id, command).await {
                Ok(_) => asked += 1,
                // Let go meanwhile.
                Err(LogError::Refused(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(asked)
    }

    /// What lies under `key` now, as far as no run keeps it.
    async fn stray(&self, target: &dyn Target, key: &str) -> Result<Stray> {
        let unfit = || AppError::field("key", "this is no backup's name");
        let key = Key::parse(key).map_err(|_| unfit())?;
        if !layout::may_be_artifact(&key) {
            return Err(unfit());
        }
        let held = target.list(key.as_str()).await.map_err(Failure::from)?;
        let known = self.known_keys().await?;
        let found = compare(&held, &[], &known).strays;
        let stray = found.into_iter().find(|stray| stray.key == key);
        stray.ok_or_else(|| {
            if known.contains_key(key.as_str()) {
                AppError::Conflict(format!("a run keeps {key}: it is not without one"))
            } else {
                AppError::NotFound(format!("{key} in {}", target.describe()))
            }
        })
    }

    async fn place_by_id(&self, id: &str) -> Result<(Arc<dyn Target>, FurtherTarget)> {
        let mut places = self.places_in_use().await?;
        let place = places.remove(id).ok_or_else(no_such_place)?;
        let mut closed = None;
        for (config, at) in place.ways {
            match self.target_of_run(config, &at).await {
                Ok(target) => return Ok((target, at)),
                Err(failure) => drop(closed.get_or_insert(failure)),
            }
        }
        Err(closed.map_or_else(no_such_place, AppError::Failed))
    }

    /// Its name, and all that it holds.
    async fn list_of(&self, place: &InUse) -> (String, Result<Vec<target::Entry>, Failure>) {
        let mut away: Option<(String, Failure)> = None;
        for (config, at) in &place.ways {
            let (name, failure) = match self.target_of_run(*config, at).await {
                Ok(target) => {
                    let name = shipping::place(&*target, at);
                    match target.list("").await {
                        Ok(held) => return (name, Ok(held)),
                        Err(error) => (name, error.into()),
                    }
                }
                Err(failure) => (format!("a target of config {config}"), failure),
            };
            away.get_or_insert((name, failure));
        }
        let (name, failure) = away.unwrap_or_else(|| {
            let nobody = Failure::permanent("no config says how to open it", "");
            ("a target".to_owned(), nobody)
        });
        (name, Err(failure))
    }

    /// Every place with what should lie there, by its id.
    async fn places_in_use(&self) -> Result<BTreeMap<String, InUse>> {
        let mut places: BTreeMap<String, InUse> = BTreeMap::new();
        let mut use_of = |config: ConfigId, at: FurtherTarget| {
            let place = places.entry(id_of(&at)).or_insert_with(|| InUse {
                ways: Vec::new(),
                expected: Vec::new(),
            });
            let way = (config, at);
            // The present ones first: their secrets are known to be there.
            if !place.ways.contains(&way) {
                place.ways.push(way.clone());
            }
            id_of(&way.1)
        };
        for config in configs::storing(self.db()).await? {
            for at in config.spec().targets() {
                use_of(config.config_id(), at);
            }
        }
        let mut expected = Vec::new();
        for run in runs::kept(self.db()).await? {
            let (Some(artifact), Ok(spec)) = (run.artifact(), pinned_spec(&run)) else {
                continue;
            };
            let config = ConfigId(run.backup_config_id);
            let copies = run.copies();
            let good_first = usize::from(!run.is_damaged());
            let good = good_first + copies.iter().filter(|copy| copy.stored).count();
            let here = |copy, told: bool| Expected {
                run: run.run_id(),
                copy,
                key: artifact.key.clone(),
                size: artifact.stored_bytes,
                told,
                elsewhere: good - usize::from(!told),
            };
            let first = use_of(config, spec.first_target());
            expected.push((first, here(None, run.is_damaged())));
            for (copy, (at, state)) in (0..).zip(spec.copies.iter().zip(&copies)) {
                if state.stored || state.damage.is_some() {
                    let id = use_of(config, at.clone());
                    expected.push((id, here(Some(copy), !state.stored)));
                }
            }
        }
        for (id, it) in expected {
            if let Some(place) = places.get_mut(&id) {
                place.expected.push(it);
            }
        }
        Ok(places)
    }

    /// What the log knows of every key.
    pub(super) async fn known_keys(&self) -> Result<BTreeMap<String, Known>> {
        let ended = runs::keys(self.db()).await?;
        let mut known: BTreeMap<String, Known> = ended
            .into_iter()
            .map(|(key, run, deleted)| {
                let deleted = deleted.then_some(Known::Deleted(run));
                (key, deleted.unwrap_or(Known::Kept))
            })
            .collect();
        // What is being stored has its key since its attempt began.
        let at_work = runs::unfinished(self.db()).await?;
        let pins = at_work.iter().filter_map(runs::Model::pin);
        known.extend(pins.map(|pin| (pin.key, Known::Kept)));
        Ok(known)
    }
}

/// The same for all settings that lead to one folder of one store.
pub(super) fn is_same_place(one: &FurtherTarget, other: &FurtherTarget) -> bool {
    id_of(one) == id_of(other)
}

fn id_of(at: &FurtherTarget) -> String {
    let shared = target::kind(&at.target).map(|kind| kind.shared(&at.settings));
    let prefix = at.settings.get("prefix").map_or("", |prefix| prefix.trim());
    let said = format!("{} {shared:?} {}", at.target, prefix.trim_matches('/'));
    super::auth::digest(&said).chars().take(16).collect()
}

fn nothing_there(place: &str, expected: usize) -> Failure {
    let backups = if expected == 1 {
        "one backup"
    } else {
        "backups"
    };
    Failure::temporary(
        format!(
            "{place} holds nothing of this server, not even its log; {expected} {backups} should lie there"
        ),
        "Is the disk mounted, and is it the right bucket? Nothing is called lost before it answers as itself.",
    )
}

fn no_such_place() -> AppError {
    AppError::NotFound("the place: no config and no run stores there any more".into())
}
