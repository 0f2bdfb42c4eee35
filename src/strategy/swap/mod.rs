//! Puts files in the place of others on the same mount, so that at every instant it can be told, from
//! what lies there, whether the old ones or the new ones count.
//!
//! A mount itself cannot be renamed, so its entries move one by one, in two halves: all that is there
//! moves out into a hidden folder of the same mount; a mark is set; all that was prepared in that
//! folder moves in. Without the mark whatever lies in the place is old, and everything can move back;
//! with it whatever lies in the place is new, and the rest can follow. Both halves may be repeated
//! after any interruption. Undo is the same with the two sides exchanged.

mod place;
mod recorder;
pub mod script;
mod settle;
#[cfg(test)]
mod tests;
mod undo;

pub use place::{Found, Place, Why, look, mount_of, out_of_reach};
pub use recorder::Recorder;
pub use undo::{forget, undo};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Journal, Kept, Site, Step, StrategyError};
use crate::docker::DockerError;

/// How the hidden folders at the root of a mount begin. They are never backed up.
pub const HIDDEN: &str = ".holdfast-";

/// Names of the steps, as they are recorded; the service is away from the first to the end.
pub const STOP: &str = "stop";
pub const SWAP: &str = "swap";

/// Who takes whose place. It goes into every recorded step; that is all that `settle` needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swap {
    /// The restore that all this is about.
    pub restore: i64,
    /// What is exchanged, in words: `/data, /config`.
    pub subject: String,
    /// Name of the hidden folder, the same on each mount.
    pub folder: String,
    pub parts: Vec<Part>,
    /// The half of the folder that holds what comes in; what goes out is put in the other.
    pub incoming: Side,
    /// Stop the service meanwhile, and whether it ran before.
    pub stops: bool,
    pub ran: bool,
    pub purpose: Purpose,
}

/// The exchanges on one mount, given by its path in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    pub mount: String,
    pub units: Vec<Unit>,
}

/// The content of one folder, or one name in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Absolute.
    pub folder: String,
    /// Only this name; `None`: all but those that stay.
    pub only: Option<String>,
    /// Names that are other mounts, or lead to one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stays: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    New,
    Old,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Without it the new files have no use.
    Restore,
    /// The files from before come back, because the service does not start with the new ones.
    TakeBack,
    Undo,
}

/// A name for the hidden folder of a restore: unique even where two installations, or one that lost
/// its database, restore to one volume.
pub fn hidden(restore: i64) -> Result<String, StrategyError> {
    Ok(format!("{HIDDEN}{restore}-{}", super::tag()?))
}

impl Side {
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Old => "old",
        }
    }

    pub fn other(self) -> Self {
        match self {
            Self::New => Self::Old,
            Self::Old => Self::New,
        }
    }
}

impl Swap {
    pub fn step(&self, name: &str, title: impl Into<String>) -> Step {
        Step {
            name: name.to_owned(),
            title: title.into(),
            touches: [STOP, SWAP].contains(&name),
            data: json!(self),
        }
    }

    /// `/data/.holdfast-7-ab12/new`: what lies in it lies at the same path as it will in the end.
    pub fn side(&self, part: &Part, side: Side) -> String {
        format!("{}/{}", self.hidden(part), side.name())
    }

    fn hidden(&self, part: &Part) -> String {
        format!("{}/{}", part.mount.trim_end_matches('/'), self.folder)
    }

    /// Stops the service, exchanges, starts it again. `helper` sees the same mounts as `site`.
    pub async fn exchange(
        &self,
        site: &Site,
        helper: &Site,
        journal: &dyn Journal,
    ) -> Result<(), StrategyError> {
        if self.stops {
            let title = format!("Stopping {}", site.container.name);
            journal.record(self.step(STOP, title)).await?;
            site.stop_service().await?;
        }
        let title = match self.purpose {
            Purpose::Restore => format!(
                "Putting the restored files in the place of {}",
                self.subject
            ),
            _ => format!("Putting back {} as before", self.subject),
        };
        journal.record(self.step(SWAP, title)).await?;
        self.turn(helper).await?;
        match self.start(site).await {
            Err(error) if does_not_start(&error) => {
                self.take_back(site, helper, journal, error).await
            }
            started => started,
        }
    }

    /// The service does not run with what came in, and it did with what was there before.
    async fn take_back(
        &self,
        site: &Site,
        helper: &Site,
        journal: &dyn Journal,
        error: StrategyError,
    ) -> Result<(), StrategyError> {
        let (that, those) = match self.purpose {
            Purpose::Undo => ("the files from before the restore", "the restored ones"),
            _ => ("the restored files", "those from before"),
        };
        let name = &site.container.name;
        let back = self.reversed(Purpose::TakeBack);
        // What an undo would bring is offered for another one: its step goes on saying that it is kept.
        let settled_as = match self.purpose {
            Purpose::Undo => self,
            _ => &back,
        };
        let title = format!("{name} does not start with {that}: putting {those} back");
        journal.record(settled_as.step(SWAP, title)).await?;
        site.stop_service().await?;
        back.turn(helper).await?;
        back.start(site).await?;
        Err(StrategyError::Tool {
            message: format!("the service does not start with {that}"),
            hint: format!("In use again are {those}; its own log may say what it misses."),
            detail: error.to_string(),
            temporary: false,
        })
    }

    async fn start(&self, site: &Site) -> Result<(), StrategyError> {
        if self.stops && self.ran {
            site.start_service().await?;
        }
        Ok(())
    }

    /// Both halves, from wherever an earlier try was left.
    async fn turn(&self, helper: &Site) -> Result<(), StrategyError> {
        if !script::is_marked(helper, self).await? {
            self.move_all(helper, Direction::Out).await?;
        }
        script::mark(helper, self).await?;
        self.move_all(helper, Direction::In).await
    }

    /// The first half backwards. Only without the mark.
    async fn turn_back(&self, helper: &Site) -> Result<(), StrategyError> {
        self.move_all(helper, Direction::Back).await
    }

    async fn move_all(&self, helper: &Site, direction: Direction) -> Result<(), StrategyError> {
        for part in &self.parts {
            for unit in &part.units {
                script::move_unit(helper, self, part, unit, direction).await?;
            }
        }
        Ok(())
    }

    /// The two sides exchanged.
    fn reversed(&self, purpose: Purpose) -> Self {
        Self {
            incoming: self.incoming.other(),
            purpose,
            ..self.clone()
        }
    }

    /// What is set aside now that this was done: its data is the swap that puts it back.
    pub async fn kept(&self, helper: &Site) -> Kept {
        let back = self.reversed(Purpose::Undo);
        Kept {
            title: format!("{} as it was before, in {}", self.subject, self.folder),
            size: script::size(helper, &back).await,
            data: json!(back),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Out,
    In,
    /// Out again, into the place.
    Back,
}

/// As opposed to an engine that cannot be asked.
fn does_not_start(error: &StrategyError) -> bool {
    matches!(
        error,
        StrategyError::Docker(DockerError::NotRunning(_) | DockerError::Refused { .. })
    )
}
