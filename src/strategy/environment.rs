//! What images are told by their environment: a variable, or the file that `VARIABLE_FILE` names.

use std::time::Duration;

use super::{Site, StrategyError};
use crate::docker::{Command, command};

/// Reading a small file inside the container.
const READ: Duration = Duration::from_secs(30);

impl Site {
    /// The value of the first of these variables that is set, itself or as a file, which is read inside
    /// the container. An empty one is not set; an empty file is no value.
    pub async fn told(&self, variables: &[&str]) -> Result<Option<String>, StrategyError> {
        let set = |name: &str| {
            let value = self.container.env(name);
            value.filter(|value| !value.is_empty())
        };
        for name in variables {
            if let Some(value) = set(name) {
                return Ok(Some(value.to_owned()));
            }
            let variable = format!("{name}_FILE");
            if let Some(path) = set(&variable) {
                return self.read_value(&variable, path).await;
            }
        }
        Ok(None)
    }

    async fn read_value(
        &self,
        variable: &str,
        path: &str,
    ) -> Result<Option<String>, StrategyError> {
        let cat = Command::new(["cat", "--", path]);
        let (engine, container) = (self.engine.as_ref(), &self.container.id);
        let read = async { Ok(command::run(engine, container, cat, None, READ).await?) };
        let output = self.watch(read).await?;
        if !output.ok() {
            return Err(StrategyError::refused(
                format!("the file {path} of {variable} cannot be read in the container"),
                "Check the secret's mount, or name the value in the config.",
            ));
        }
        // As the shell does it that starts the server.
        let value = output.stdout.trim_end_matches('\n');
        Ok(Some(value.to_owned()).filter(|value| !value.is_empty()))
    }
}
