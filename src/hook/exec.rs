//! `exec`: a command line of the operator's own, run by the shell inside the service's container,
//! never on the host. Nothing but that line goes to the shell.

use async_trait::async_trait;

use super::{Kind, Place, Ran, said};
use crate::{docker::Command, domain::failure::Failure};

pub(super) struct Exec;

#[async_trait]
impl Kind for Exec {
    fn name(&self) -> &'static str {
        "exec"
    }

    fn label(&self) -> &'static str {
        "Run a command in it"
    }

    fn takes_command(&self) -> bool {
        true
    }

    fn needs_running(&self) -> bool {
        true
    }

    async fn run(&self, place: &Place<'_>) -> Result<Ran, Failure> {
        let container = place.running()?;
        let line = place.hook.command.as_deref().unwrap_or_default();
        let run = async {
            // The dashes, or a line that begins with one would be options of the shell.
            let command = Command::new(["sh", "-c", "--", line]);
            Ok(place.output(container, command).await?)
        };
        let output = place.within(run).await?;
        let said = said(&output, &place.mask(container));
        if output.ok() {
            return Ok(Ran::done(said));
        }
        let last = said.lines().rev().find(|line| !line.trim().is_empty());
        let last = last.map(|line| format!(": {line}")).unwrap_or_default();
        Err(Failure::permanent(
            format!("the command ended with status {}{last}", output.code),
            "Run the command by hand in the container, or change the hook.",
        )
        .with_detail(said))
    }
}
