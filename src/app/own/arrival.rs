//! A server that finds itself in a copy of its database: what was at work when the copy was taken went on
//! without it, and may have ended well. So those runs end here as failed and nothing of theirs is removed:
//! an interrupted run would have its leftovers taken away, and they may be good backups, the very one that
//! was brought back among them.

use crate::{
    app::{Holdfast, Result},
    domain::{
        audit::AuditEvent,
        event::Scope,
        failure::Failure,
        run::{Run, RunCommand},
    },
    log::{self, Cause, Origin},
    readmodel::runs,
};

impl Holdfast {
    /// Called first of all at a start. What the copy was, when this is one.
    pub(in crate::app) async fn arrive(&self) -> Result<Option<Origin>> {
        if log::origin(self.db()).await?.is_none() {
            return Ok(None);
        }
        let arrived = self.log().write(Cause::system("restore"), |unit| {
            Box::pin(async move {
                let Some(origin) = log::origin(unit.tx()).await? else {
                    return Ok(None);
                };
                for row in runs::unfinished(unit.tx()).await? {
                    if row.status != "running" {
                        continue; // not begun, or what failed of it was over: it is tried again
                    }
                    let (run, _) = unit.load::<Run>(row.id).await?;
                    let command = RunCommand::GiveUp {
                        attempt: run.attempt,
                        failure: cut_off(),
                    };
                    unit.execute::<Run>(row.id, command).await?;
                }
                let event = AuditEvent::DatabaseRestored {
                    position: origin.position,
                    copied_at: origin.copied_at(),
                };
                unit.note(event, Scope::default()).await?;
                log::forget_origin(unit.tx()).await?;
                Ok(Some(origin))
            })
        });
        Ok(arrived.await?)
    }
}

fn cut_off() -> Failure {
    Failure::permanent(
        "Holdfast's own database was brought back as it was while this backup ran; how it ended is not known",
        "What it stored, if anything, lies in its destination still. Run it again.",
    )
}
