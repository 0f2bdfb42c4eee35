//! After the data folder was lost: what the log's segments do not tell, because it came after them, the
//! manifests beside the artifacts do. And what nothing can bring back, the secrets, is named.

use super::{
    Caller, Holdfast, Result, own,
    reconcile::{Remains, compare, is_same_place},
};
use crate::{
    domain::{
        access::Role,
        aggregate::Refusal,
        audit::AuditEvent,
        copies::FurtherTarget,
        event::{Scope, StreamKind},
        failure::Failure,
        ids::{AppId, ConfigId, RunId},
        manifest::Manifest,
        run::{FoundBackup, Pin, Run, RunCommand},
        verification::VerificationCommand,
    },
    engine::{examine, verify::Flaw},
    readmodel::{apps, configs, runs},
    target::{Key, Target},
};

/// What was in a target beyond what the log knew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Adopted {
    pub runs: Vec<RunId>,
    /// Artifacts without a manifest: an attempt that a kill ended, or the manifest was lost.
    pub bare: Vec<String>,
    /// Manifests that belong to no config here, or cannot be read; and why.
    pub refused: Vec<(String, String)>,
}

/// A secret that a config names and the vault does not give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostSecret {
    pub config: ConfigId,
    pub service: String,
    /// As in the config's form: `password`, `secret_key`.
    pub name: String,
}

impl Holdfast {
    /// Makes a run of each backup in `target` that no run is known of, and asks that it is verified: a
    /// manifest is a claim, nothing more.
    /// `at` says what the target was opened with, as a config would.
    pub async fn adopt(
        &self,
        caller: &Caller,
        target: &dyn Target,
        at: &FurtherTarget,
    ) -> Result<Adopted> {
        caller.must_be(Role::Admin)?;
        let held = target.list("").await.map_err(Failure::from)?;
        let found = compare(&held, &[], &self.known_keys().await?);
        let mut adopted = Adopted::default();
        for stray in found.strays.iter().filter(|stray| stray.run.is_none()) {
            let key = &stray.key;
            match stray.remains {
                Remains::Manifest => {}
                Remains::Artifact => adopted.bare.push(key.to_string()),
                Remains::Whole => match self.adopt_found(caller, target, key, at).await? {
                    Ok(run) => adopted.runs.push(run),
                    Err(why) => adopted.refused.push((key.to_string(), why)),
                },
            }
        }
        Ok(adopted)
    }

    /// The new run of what lies under `key`, or why there is none.
    pub(super) async fn adopt_found(
        &self,
        caller: &Caller,
        target: &dyn Target,
        key: &Key,
        at: &FurtherTarget,
    ) -> Result<Result<RunId, String>> {
        match examine::found(target, key).await {
            Ok(manifest) => self.adopt_one(caller, manifest, at).await,
            Err(Flaw::Unreadable(failure)) => Err(failure.into()),
            Err(flaw) => Ok(Err(flaw.to_string())),
        }
    }

    async fn adopt_one(
        &self,
        caller: &Caller,
        manifest: Manifest,
        at: &FurtherTarget,
    ) -> Result<Result<RunId, String>> {
        let config = configs::get(self.db(), ConfigId(manifest.config)).await?;
        let Some(config) = config else {
            return Ok(Err(format!("there is no config {}", manifest.config)));
        };
        let (app, mut spec) = (AppId(config.app_id), config.spec());
        let slug = match app {
            AppId::OWN => Some(own::NAME.to_owned()),
            app => apps::get(self.db(), app).await?.map(|app| app.slug),
        };
        if slug.as_ref() != Some(&manifest.app) || spec.strategy != manifest.strategy {
            let of = format!("{} by {}", manifest.app, manifest.strategy);
            return Ok(Err(format!("config {} is not for {of}", config.id)));
        }
        // It lies here, wherever the config stores first today; its way in, where the config has one.
        let here = spec.targets().find(|known| is_same_place(known, at));
        let here = here.unwrap_or_else(|| at.clone());
        spec.target = here.target;
        spec.target_settings = here.settings;
        spec.target_secrets = here.secrets;
        spec.copies = Vec::new();
        let key = manifest.artifact.key.clone();
        let found = Box::new(FoundBackup {
            pin: Pin {
                config_revision: manifest.config_revision,
                spec,
                source: manifest.source,
                key: key.clone(),
            },
            artifact: manifest.artifact,
            fingerprint: manifest.fingerprint,
            warnings: manifest.warnings,
            started_at: manifest.started_at,
            finished_at: manifest.finished_at,
        });
        let config = config.config_id();
        let run = self.log().write(caller.cause(), move |unit| {
            Box::pin(async move {
                if runs::has_key(unit.tx(), &key).await? {
                    return Err(Refusal::Conflict(format!("a run keeps {key} already")).into());
                }
                let run = RunId(unit.next_id(StreamKind::Run).await?);
                let adopt = RunCommand::Adopt {
                    run,
                    app,
                    config,
                    found,
                };
                unit.execute::<Run>(run.0, adopt).await?;
                let verify = RunCommand::Verify(VerificationCommand::Request);
                unit.execute::<Run>(run.0, verify).await?;
                Ok(run)
            })
        });
        Ok(Ok(run.await?))
    }

    /// Notes that the log came from elsewhere.
    pub async fn note_recovery(
        &self,
        caller: &Caller,
        instance: String,
        events: i64,
    ) -> Result<()> {
        let recovered = AuditEvent::Recovered { events, instance };
        let noted = self.log().write(caller.cause(), move |unit| {
            Box::pin(async move { unit.note(recovered, Scope::default()).await })
        });
        Ok(noted.await?)
    }

    pub async fn lost_secrets(&self) -> Result<Vec<LostSecret>> {
        let mut lost = Vec::new();
        for config in configs::storing(self.db()).await? {
            let spec = config.spec();
            let named = spec.credentials.iter().chain(&spec.target_secrets);
            let further = spec.copies.iter().flat_map(|copy| &copy.secrets);
            let named = named.chain(further);
            for (name, reference) in named {
                if self.0.vault.get(self.db(), reference).await.is_err() {
                    lost.push(LostSecret {
                        config: config.config_id(),
                        service: spec.service.clone(),
                        name: name.clone(),
                    });
                }
            }
        }
        Ok(lost)
    }
}
