//! Is there room for a second copy? A server whose disk runs full stops, and takes the databases in
//! use with it.

use std::time::Duration;

use super::{server::Server, survey::Survey};
use crate::{
    docker::{Command, command},
    strategy::{RestorePlan, StrategyError},
};

/// For the server's own journal while it loads, in bytes.
const RESERVE: u64 = 64 * 1024 * 1024;

/// Refuses when the dump can surely not be loaded: its tables take at least half of its length
/// (bytes written as hex). Where the free space cannot be seen, nothing is refused.
pub async fn check(
    server: &Server,
    survey: &Survey,
    plan: &RestorePlan,
) -> Result<(), StrategyError> {
    let site = &server.site;
    let df = Command::new(["df", "-Pk", "--", &survey.directory]);
    let (engine, container) = (site.engine.as_ref(), &site.container.id);
    let limit = Duration::from_secs(30);
    let run = async { Ok(command::run(engine, container, df, None, limit).await?) };
    let output = match site.watch(run).await {
        Ok(output) if output.ok() => output,
        Err(StrategyError::Cancelled) => return Err(StrategyError::Cancelled),
        _ => return Ok(()),
    };
    let needed = plan.manifest.artifact.raw_bytes / 2 + RESERVE;
    match free(&output.stdout) {
        Some(free) if free < needed => Err(StrategyError::refused(
            format!(
                "the restore needs at least {} MiB on the server's disk, {} MiB are free",
                needed >> 20,
                free >> 20
            ),
            "Free some space on the server's disk; databases kept for an undo (hf_undo_…) may go.",
        )),
        _ => Ok(()),
    }
}

/// Free bytes, from the fourth column of the last line.
fn free(df: &str) -> Option<u64> {
    let line = df.lines().last()?;
    let free: u64 = line.split_ascii_whitespace().nth(3)?.parse().ok()?;
    free.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn df_is_read() {
        let out = "Filesystem 1024-blocks Used Available Capacity Mounted on\n\
            overlay 263174212 18846544 76231012 20% /var/lib/mysql\n";
        assert_eq!(free(out), Some(76_231_012 * 1024));
        assert_eq!(free(""), None);
    }
}
