//! Trying a target out before anything relies on it: with the settings as they were typed, nothing
//! stored.

use std::collections::BTreeMap;

use super::{
    AppError, Caller, Holdfast, Result,
    configs::{MASK, told_apart},
};
use crate::{
    domain::{access::Role, ids::ConfigId, secret::Secret},
    target::{self, Trial},
};

/// How a trial ended: in order, as far as it came.
pub struct Trials(pub Vec<Trial>);

impl Trials {
    /// The first thing that a backup cannot do without and that failed.
    pub fn problem(&self) -> Option<&Trial> {
        self.0.iter().find(|trial| !trial.ok && !trial.optional)
    }
}

impl Holdfast {
    /// Settings are plain ones and secrets together. A secret that is left out or sent masked is the
    /// one of `config`, which must store there too.
    pub async fn try_target(
        &self,
        caller: &Caller,
        kind: &str,
        sent: BTreeMap<String, Secret>,
        config: Option<ConfigId>,
    ) -> Result<Trials> {
        caller.must_be(Role::Operator)?;
        let Some(kind) = target::kind(kind) else {
            return Err(AppError::NotFound(format!("the target {kind}")));
        };
        let mut settings = told_apart(kind.fields(), sent).map_err(AppError::Invalid)?;
        let secrets = &mut settings.secrets;
        secrets.retain(|_, value| !["", MASK].contains(&value.expose().as_str()));
        if let Some(config) = config {
            let spec = self.config_to_act_on(caller, config).await?.spec();
            if spec.target == kind.name() {
                let stored = self.secrets(&spec.target_secrets).await?;
                for (name, secret) in stored {
                    secrets.entry(name).or_insert(secret);
                }
            }
        }
        kind.check(&self.0.place, &settings)
            .map_err(AppError::Invalid)?;
        let opened = kind.open(&self.0.place, &settings);
        Ok(Trials(opened.map_err(AppError::Invalid)?.try_out().await))
    }
}
