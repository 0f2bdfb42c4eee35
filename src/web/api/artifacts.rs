//! What lies in the targets, beside what the log says: files without a run, runs without their file.

use poem_openapi::{Object, OpenApi, payload::Json};
use serde::Deserialize;

use super::{
    answer::{Accepted, Answer, Done},
    body::Body,
    error::ApiError,
    runs::RunRequested,
    visit::Visit,
};
use crate::app::{Compared, Difference, Expected, Lack, Stray};

#[derive(Object)]
#[oai(read_only_all)]
pub struct Artifacts {
    /// Every place answers, and no run lacks anything there that is not said of it already.
    ok: bool,
    places: Vec<Place>,
}

/// A place that a config stores in, or that a run which is kept did.
#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct Place {
    /// For the operations below; stays as long as the settings of the place do.
    id: String,
    /// In words.
    target: String,
    /// Why nobody knows what lies there; what follows is empty then.
    error_msg: Option<String>,
    hint: Option<String>,
    /// Backups that are there as the log says.
    present: usize,
    /// What looks like a backup, and no run keeps.
    without_run: Vec<WithoutRun>,
    /// Runs that cannot be restored from this place, though the log says so.
    without_artifact: Vec<WithoutArtifact>,
}

#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct WithoutRun {
    key: String,
    /// Of the artifact.
    size_bytes: u64,
    /// `whole`, `artifact` (its manifest is missing) or `manifest` (its artifact is).
    remains: String,
    /// The run that let it go, where it is left over from one.
    run_id: Option<i64>,
    /// It can be made a run.
    adoptable: bool,
}

#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct WithoutArtifact {
    run_id: i64,
    /// Which of the run's `copies`, from 1; absent in its first target.
    copy: Option<u32>,
    key: String,
    /// What is missing: `artifact`, `manifest`, or `length` when it has another one.
    lacks: String,
    /// As it was stored.
    size_bytes: u64,
    /// As it is now, where it has another length.
    found_bytes: Option<u64>,
    /// The run, or its copy, is known to be damaged or missing.
    known: bool,
    /// Other places that are said to hold it.
    elsewhere: usize,
}

#[derive(Object, Deserialize)]
#[oai(write_only_all)]
#[serde(deny_unknown_fields)]
pub struct StrayBody {
    /// `id` of the place.
    place: String,
    /// As it is listed.
    key: String,
}

#[derive(Object, Deserialize)]
#[oai(write_only_all)]
#[serde(deny_unknown_fields)]
pub struct PlaceBody {
    /// `id` of the place.
    place: String,
}

#[derive(Object)]
#[oai(read_only_all)]
pub struct Asked {
    /// Runs that will be read again.
    asked: usize,
}

pub struct InTargets;

#[OpenApi]
impl InTargets {
    /// Compares what lies in every target with what the log says
    ///
    /// Lists each target once; changes nothing.
    #[oai(
        path = "/system/artifacts",
        method = "get",
        operation_id = "list_artifacts"
    )]
    async fn list_artifacts(&self, visit: Visit) -> Answer<Artifacts> {
        let compared = visit.holdfast.reconcile(&visit.caller).await?;
        let places: Vec<Place> = compared.into_iter().map(Into::into).collect();
        Ok(Json(Artifacts {
            ok: places.iter().all(Place::is_well),
            places,
        }))
    }

    /// Makes a run of a backup that no run knows
    ///
    /// By its manifest, of a config that is there; it counts once it was read and found whole, which is asked for
    /// with it.
    #[oai(
        path = "/system/artifacts/adoption",
        method = "post",
        operation_id = "adopt_artifact"
    )]
    async fn adopt_artifact(
        &self,
        visit: Visit,
        body: Body<StrayBody>,
    ) -> Result<Accepted<RunRequested>, ApiError> {
        let StrayBody { place, key } = body.0;
        let run = visit
            .holdfast
            .adopt_stray(&visit.caller, &place, &key)
            .await?;
        Ok(Accepted(RunRequested { run_id: run.0 }))
    }

    /// Deletes a file that no run keeps, for good
    #[oai(
        path = "/system/artifacts/deletion",
        method = "post",
        operation_id = "delete_artifact"
    )]
    async fn delete_artifact(&self, visit: Visit, body: Body<StrayBody>) -> Result<Done, ApiError> {
        let StrayBody { place, key } = body.0;
        visit
            .holdfast
            .delete_stray(&visit.caller, &place, &key)
            .await?;
        Ok(Done)
    }

    /// Has every run read again that lacks something in a place
    ///
    /// Each is verified in all of its places; what is lost is said of it then.
    #[oai(
        path = "/system/artifacts/verification",
        method = "post",
        operation_id = "verify_artifacts"
    )]
    async fn verify_artifacts(
        &self,
        visit: Visit,
        body: Body<PlaceBody>,
    ) -> Result<Accepted<Asked>, ApiError> {
        let place = body.0.place;
        let asked = visit.holdfast.verify_lacking(&visit.caller, &place).await?;
        Ok(Accepted(Asked { asked }))
    }
}

impl Place {
    fn is_well(&self) -> bool {
        self.error_msg.is_none() && self.without_artifact.iter().all(|it| it.known)
    }
}

impl From<Compared> for Place {
    fn from(compared: Compared) -> Self {
        let (found, failure) = match compared.found {
            Ok(found) => (found, None),
            Err(failure) => (Difference::default(), Some(failure)),
        };
        Self {
            id: compared.id,
            target: compared.place,
            hint: failure.as_ref().map(|failure| failure.hint.clone()),
            error_msg: failure.map(|failure| failure.message),
            present: found.present,
            without_run: found.strays.into_iter().map(Into::into).collect(),
            without_artifact: found.lacking.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Stray> for WithoutRun {
    fn from(stray: Stray) -> Self {
        Self {
            adoptable: stray.may_be_adopted(),
            key: stray.key.to_string(),
            size_bytes: stray.size,
            remains: stray.remains.name().to_owned(),
            run_id: stray.run.map(|run| run.0),
        }
    }
}

impl From<(Expected, Lack)> for WithoutArtifact {
    fn from((expected, lack): (Expected, Lack)) -> Self {
        Self {
            run_id: expected.run.0,
            copy: expected.copy.map(|copy| copy + 1),
            key: expected.key,
            lacks: lack.name().to_owned(),
            size_bytes: expected.size,
            found_bytes: match lack {
                Lack::Length { found } => Some(found),
                _ => None,
            },
            known: expected.told,
            elsewhere: expected.elsewhere,
        }
    }
}
