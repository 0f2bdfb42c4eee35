//! Health and `doctor`: what Holdfast needs from its surroundings, looked at one by one.

use rustix::fs::statvfs;

use super::{AppError, Holdfast, Result, Shipment};
use crate::{
    log::{Checkpoint, RebuildReport, Verification, offline::Known},
    readmodel::{apps, configs},
    target,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Good,
    Warning,
    Bad,
}

impl Verdict {
    pub fn name(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Warning => "warning",
            Self::Bad => "bad",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    pub verdict: Verdict,
    /// What was found.
    pub found: String,
    /// What to do about it; empty when all is well.
    pub hint: String,
}

/// Less free space than this is worth a warning, in bytes.
const LOW_SPACE: u64 = 1 << 30;

impl Holdfast {
    pub async fn doctor(&self) -> Result<Vec<Check>> {
        let mut checks = vec![self.check_engine().await, self.check_space()];
        checks.push(self.check_local_target().await);
        checks.extend(self.check_services().await?);
        checks.extend(self.check_secrets().await?);
        checks.extend(self.check_log_copies().await);
        checks.extend(self.check_audit_detail());
        Ok(checks)
    }

    pub async fn verify_log(&self, progress: impl FnMut(i64)) -> Result<Verification> {
        let known = self.known_key(None)?;
        Ok(self.log().verify_against(&known, progress).await?)
    }

    /// The same, and that the log still holds what a checkpoint was signed for.
    pub async fn verify_log_against(&self, checkpoint: Checkpoint) -> Result<Verification> {
        let checked = checkpoint.check(None);
        checked.map_err(|flaw| AppError::field("checkpoint", flaw.to_string()))?;
        let known = self.known_key(Some(checkpoint))?;
        Ok(self.log().verify_against(&known, |_| {}).await?)
    }

    /// Beside a checkpoint that was checked, the server's own key.
    fn known_key(&self, checkpoint: Option<Checkpoint>) -> Result<Known> {
        Ok(Known {
            checkpoint,
            public_key: Some(self.log_key()?.public()),
        })
    }

    pub async fn rebuild(&self) -> Result<RebuildReport> {
        Ok(self.log().rebuild().await?)
    }

    async fn check_engine(&self) -> Check {
        match self.0.engine.info().await {
            Ok(info) => good(
                "container engine",
                format!(
                    "version {}, API {}, {}",
                    info.version, info.api_version, info.os
                ),
            ),
            Err(error) => bad("container engine", error.to_string(), error.hint()),
        }
    }

    fn check_space(&self) -> Check {
        const NAME: &str = "disk space";
        let folder = &self.settings().data_dir;
        match statvfs(folder) {
            Ok(fs) => {
                let free = fs.f_bavail * fs.f_frsize;
                let found = format!("{} MiB free in {}", free >> 20, folder.display());
                if free < LOW_SPACE {
                    warning(NAME, found, "Free some space, or keep fewer backups.")
                } else {
                    good(NAME, found)
                }
            }
            Err(error) => bad(NAME, error.to_string(), "Check the data folder."),
        }
    }

    async fn check_local_target(&self) -> Check {
        const NAME: &str = "local target";
        let settings = target::Settings::default();
        let opened = target::kind("local").map(|kind| kind.open(&self.0.place, &settings));
        let Some(Ok(local)) = opened else {
            return bad(
                NAME,
                "it cannot be opened".to_owned(),
                "Check the data folder.",
            );
        };
        match local.check().await {
            Ok(()) => good(NAME, local.describe()),
            Err(error) => bad(NAME, error.to_string(), error.hint()),
        }
    }

    /// Is every secret that a config names in the vault, and can it be read?
    async fn check_secrets(&self) -> Result<Vec<Check>> {
        let lost = self.lost_secrets().await?;
        let told = lost.into_iter().map(|lost| {
            bad(
                "secret",
                format!(
                    "config {} ({}): its {} is not known",
                    lost.config, lost.service, lost.name
                ),
                "Edit the config and enter it again; until then its backups fail.",
            )
        });
        Ok(told.collect())
    }

    /// Has each target a copy of the log?
    async fn check_log_copies(&self) -> Vec<Check> {
        let head = self.log().head();
        let instance = self.instance();
        let told = self.shipped().await.into_iter().map(
            |Shipment {
                 place,
                 newest,
                 secrets,
             }| match newest {
                Ok(newest) => good(
                    "log copy",
                    format!(
                        "{place}: {} of {head} events{}, as {instance}/{}",
                        newest.last,
                        secrets.map_or("", |_| ", and the secrets"),
                        newest.history
                    ),
                ),
                Err(failure) => bad(
                    "log copy",
                    format!("{place}: {}", failure.message),
                    &failure.hint,
                ),
            },
        );
        told.collect()
    }

    /// Does what is to be pruned lie in a target?
    fn check_audit_detail(&self) -> Option<Check> {
        const NAME: &str = "audit detail";
        let days = self.settings().audit_detail_days?;
        let kept = self.kept_detail();
        Some(match kept.first() {
            None => good(NAME, format!("pruned when it is older than {days} days")),
            Some(first) => warning(
                NAME,
                format!(
                    "of {} events it is older than {days} days and stays: {}",
                    kept.iter().map(|it| it.stretch.events).sum::<u64>(),
                    first.why.message
                ),
                &first.why.hint,
            ),
        })
    }

    /// Can each config's service be found, and does it run?
    async fn check_services(&self) -> Result<Vec<Check>> {
        let mut checks = Vec::new();
        for config in configs::list(self.db()).await? {
            let app = apps::get(self.db(), crate::domain::ids::AppId(config.app_id)).await?;
            let Some(app) = app else { continue };
            let what = format!("config {} ({} › {})", config.id, app.slug, config.service);
            checks.push(match self.container_of(&app, &config.service).await {
                Ok(container) if container.running => {
                    good("service", format!("{what}: {} runs", container.name))
                }
                Ok(container) => warning(
                    "service",
                    format!("{what}: {} is stopped", container.name),
                    "Start it before the next backup is due.",
                ),
                Err(failure) => bad(
                    "service",
                    format!("{what}: {}", failure.message),
                    &failure.hint,
                ),
            });
        }
        Ok(checks)
    }
}

fn good(name: &'static str, found: String) -> Check {
    check(name, Verdict::Good, found, "")
}

fn warning(name: &'static str, found: String, hint: &str) -> Check {
    check(name, Verdict::Warning, found, hint)
}

fn bad(name: &'static str, found: String, hint: &str) -> Check {
    check(name, Verdict::Bad, found, hint)
}

fn check(name: &'static str, verdict: Verdict, found: String, hint: &str) -> Check {
    Check {
        name,
        verdict,
        found,
        hint: hint.to_owned(),
    }
}
