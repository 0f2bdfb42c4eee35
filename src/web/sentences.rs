//! Events as sentences, for the activity page and a run's own history. An event's stable name is
//! never shown alone: it is for machines.

use std::collections::BTreeMap;

use super::{catalog, words};
use crate::{
    domain::{
        access::AccessEvent,
        app::AppEvent,
        audit::AuditEvent,
        config::ConfigEvent,
        event::{Actor, ActorKind, Event},
        hook::{HookOutcome, HookReport},
        ids::{AppId, ConfigId},
        lateness::Overdue,
        restore::{RestoreEvent, RestoreSource},
        run::RunEvent,
        slots::Slots,
        webhook::WebhookEvent,
    },
    log::Recorded,
    readmodel::{apps, configs},
};

/// What ids are called.
#[derive(Debug, Default)]
pub struct Names {
    apps: BTreeMap<AppId, (String, String)>,
    configs: BTreeMap<ConfigId, String>,
}

impl Names {
    pub fn new(apps: &[apps::Model], configs: &[configs::Model]) -> Self {
        let name = |app: &apps::Model| (app.app_id(), (app.slug.clone(), app.name.clone()));
        let title = |row: &configs::Model| (row.config_id(), catalog::config_title(&row.spec()));
        Self {
            apps: apps.iter().map(name).collect(),
            configs: configs.iter().map(title).collect(),
        }
    }

    /// Slug and name, while the app is there.
    pub fn app(&self, id: AppId) -> Option<&(String, String)> {
        self.apps.get(&id)
    }

    /// `shop › Database (PostgreSQL)`, as much of it as there is.
    pub fn place(&self, event: &Recorded) -> String {
        let app = event.scope.app.map(|id| {
            self.app(id)
                .map_or_else(|| format!("app {id}"), |(_, name)| name.clone())
        });
        let config = event.scope.config.map(|id| {
            let known = self.configs.get(&id).cloned();
            known.unwrap_or_else(|| format!("config {id}"))
        });
        let parts: Vec<String> = app.into_iter().chain(config).collect();
        parts.join(" › ")
    }
}

/// Who did it; nobody is named when Holdfast did it by itself.
pub fn who(actor: &Actor) -> String {
    match actor.kind {
        ActorKind::System => "Holdfast".to_owned(),
        ActorKind::Cli => "the command line".to_owned(),
        ActorKind::Anonymous => "somebody".to_owned(),
        // What is left of one whose detail was pruned.
        ActorKind::User | ActorKind::Token if actor.name.is_empty() => {
            let id = actor.id.unwrap_or_default();
            format!("user {id}")
        }
        ActorKind::User => actor.name.clone(),
        ActorKind::Token => format!("{} (token)", actor.name),
    }
}

/// What happened, without who and where.
pub fn what(event: &Event) -> String {
    match event {
        Event::App(event) => of_app(event),
        Event::Config(event) => of_config(event),
        Event::Run(event) => of_run(event),
        Event::Restore(event) => of_restore(event),
        Event::Access(event) => of_access(event),
        Event::Audit(event) => of_audit(event),
        Event::Webhook(event) => of_webhook(event),
    }
}

fn of_app(event: &AppEvent) -> String {
    match event {
        AppEvent::Registered { spec, .. } => format!("App added (project {})", spec.project),
        AppEvent::Changed { .. } => "App changed".to_owned(),
        AppEvent::Removed {} => "App removed".to_owned(),
    }
}

fn of_config(event: &ConfigEvent) -> String {
    match event {
        ConfigEvent::Created { spec, .. } => {
            format!("Config created: {}", catalog::schedule_words(spec))
        }
        ConfigEvent::Changed { revision, spec } => {
            format!(
                "Config changed (revision {revision}): {}",
                catalog::schedule_words(spec)
            )
        }
        ConfigEvent::Removed {} => "Config deleted; its backups stay".to_owned(),
        ConfigEvent::TriggerIssued { .. } => {
            "Trigger made; an earlier one works no more".to_owned()
        }
        ConfigEvent::TriggerRevoked {} => "Trigger revoked".to_owned(),
        ConfigEvent::SlotsSkipped { slots, run } => {
            format!("{} skipped: run {run} was not over", of_slots(slots))
        }
        ConfigEvent::SlotsMissed { slots } => {
            format!("{} missed: nobody could look at the time", of_slots(slots))
        }
        ConfigEvent::SlotsBlackedOut { slots } => {
            format!(
                "{} in a blackout: a later run makes up for it",
                of_slots(slots)
            )
        }
        ConfigEvent::ClockSetBack { .. } => {
            "The server's clock was set back; slots count from now".to_owned()
        }
        ConfigEvent::Overdue { how, promised } => format!(
            "{}: no good backup since the slot of {}",
            match how {
                Overdue::Late => "Late",
                Overdue::Missed => "Missed",
            },
            promised.format("%a %-d %b, %H:%M UTC")
        ),
    }
}

fn of_webhook(event: &WebhookEvent) -> String {
    match event {
        WebhookEvent::Added { webhook, spec } => {
            format!("Webhook {webhook} added, to {}", spec.origin)
        }
        WebhookEvent::Changed { spec } => format!("Webhook changed, to {}", spec.origin),
        WebhookEvent::Removed {} => "Webhook removed".to_owned(),
    }
}

/// `Slot of Mon 23 Nov, 02:00 UTC`, `12 slots since …`.
fn of_slots(slots: &Slots) -> String {
    let first = slots.first.format("%a %-d %b, %H:%M UTC");
    match slots.count {
        1 => format!("Slot of {first}"),
        count => format!("{} since {first}", words::plural(count as usize, "slot")),
    }
}

fn of_run(event: &RunEvent) -> String {
    match event {
        RunEvent::Requested { run, trigger, .. } => {
            format!("Backup {run} requested ({})", trigger.name())
        }
        RunEvent::Started { attempt: 1, pin } => {
            format!("Started on {} ({})", pin.source.container, pin.source.image)
        }
        RunEvent::Started { attempt, .. } => format!("Attempt {attempt} started"),
        RunEvent::StageReached { stage, .. } => stage.title().to_owned(),
        RunEvent::Obliged { obligation, .. } => {
            format!("Stopping {} for the backup", obligation.service())
        }
        RunEvent::ObligationSettled { obligation } => {
            format!("{} runs again", obligation.service())
        }
        RunEvent::HookRan { hook, .. } => of_hook(hook),
        RunEvent::Succeeded { artifact, .. } => {
            format!("Backup succeeded: {}", words::size(artifact.stored_bytes))
        }
        RunEvent::RetryScheduled {
            attempt, failure, ..
        } => format!(
            "Attempt {attempt} failed, will be tried again: {}",
            failure.message
        ),
        RunEvent::Failed { failure, .. } => format!("Backup failed: {}", failure.message),
        RunEvent::Interrupted { attempt, why, .. } => {
            format!("Attempt {attempt} was interrupted: {why}")
        }
        RunEvent::CancelRequested {} => "Cancel requested".to_owned(),
        RunEvent::Cancelled {} => "Backup cancelled".to_owned(),
        RunEvent::LeftoversDue {} => {
            "What it may have left in its target is to be removed".to_owned()
        }
        RunEvent::LeftoversRemoved {} => "Nothing of it is left in its target".to_owned(),
        RunEvent::CopyRequested { copy } => format!("Copy {} requested", copy + 1),
        RunEvent::CopyMade { copy, .. } => format!("Copy {} made", copy + 1),
        RunEvent::CopyFailed { copy, failure, .. } => format!(
            "Copy {} failed, will be tried again: {}",
            copy + 1,
            failure.message
        ),
        RunEvent::CopyRetried { copy, .. } => format!("Copy {} to be made now", copy + 1),
        RunEvent::Expired { rule } => format!(
            "Let go by retention: {}",
            catalog::retention_words(*rule).to_lowercase()
        ),
        RunEvent::Discarded {} => "Let go with its config".to_owned(),
        RunEvent::Pruned {} => "Its backup was deleted".to_owned(),
        RunEvent::DeletionRefused {
            failure, retry_at, ..
        } => format!(
            "Its target holds the backup that was let go, and is asked again on {}: {}",
            retry_at.format("%F"),
            failure.message
        ),
        RunEvent::Adopted { found, .. } => format!(
            "Found in its target, with a manifest and without a run: {}",
            found.artifact.key
        ),
        RunEvent::VerificationRequested { mend: false, .. } => "Verification requested".to_owned(),
        RunEvent::VerificationRequested { mend: true, .. } => {
            "To be brought back to its first target from a copy".to_owned()
        }
        RunEvent::VerificationPassed { copies, .. } => {
            let all = copies.iter().all(|copy| copy.failure.is_none());
            let but = if all {
                ""
            } else {
                "; not all of its copies are"
            };
            format!("Verified: the backup is whole and can be restored{but}")
        }
        RunEvent::VerificationFailed { failure, .. } => {
            format!("Verification failed: {}", failure.message)
        }
        RunEvent::VerificationRetryScheduled { failure, .. } => format!(
            "The backup could not be read, will be tried again: {}",
            failure.message
        ),
        RunEvent::ArtifactUnreadable { failure, .. } => {
            format!("The backup could not be read: {}", failure.message)
        }
    }
}

fn of_hook(report: &HookReport) -> String {
    let went = match report.outcome {
        HookOutcome::Done => "ran",
        HookOutcome::Skipped => "had nothing to do",
        HookOutcome::Failed => "failed",
    };
    let took = words::duration(i64::try_from(report.took_ms).unwrap_or(i64::MAX));
    format!("Hook {} on {} {went} ({took})", report.kind, report.service)
}

fn of_restore(event: &RestoreEvent) -> String {
    match event {
        RestoreEvent::Requested {
            restore,
            source,
            service,
            ..
        } => match source {
            RestoreSource::Run { run, .. } => {
                format!("Restore {restore} of backup {run} into {service} requested")
            }
            RestoreSource::Upload { upload } => format!(
                "Restore {restore} of the file {} into {service} requested",
                upload.name
            ),
        },
        RestoreEvent::Started { destination, .. } => {
            format!("Restore started in {}", destination.container)
        }
        RestoreEvent::StepBegun { step, .. } => step.title.clone(),
        RestoreEvent::Succeeded { .. } => "Restore succeeded".to_owned(),
        RestoreEvent::Failed { failure, .. } => format!("Restore failed: {}", failure.message),
        RestoreEvent::AttentionNeeded { failure, .. } => {
            format!("Restore needs attention: {}", failure.message)
        }
        RestoreEvent::Interrupted { why, .. } => format!("Restore was interrupted: {why}"),
        RestoreEvent::CancelRequested {} => "Cancel requested".to_owned(),
        RestoreEvent::Cancelled {} => "Restore cancelled".to_owned(),
        RestoreEvent::UndoRequested { .. } => "Undo requested".to_owned(),
        RestoreEvent::UndoStarted { .. } => "Undo started".to_owned(),
        RestoreEvent::Undone { .. } => "Restore undone".to_owned(),
        RestoreEvent::UndoFailed { failure, .. } => format!("Undo failed: {}", failure.message),
        RestoreEvent::KeptRemoved {} => "What was kept for an undo was removed".to_owned(),
    }
}

fn of_access(event: &AccessEvent) -> String {
    match event {
        AccessEvent::UserAdded { name, role, .. } => {
            format!("User {name} added ({})", role.name())
        }
        AccessEvent::PasswordChanged {} => "Password changed".to_owned(),
        AccessEvent::RoleChanged { role } => format!("Role changed to {}", role.name()),
        AccessEvent::Granted { grants } => {
            let apps = words::plural(grants.apps.len(), "app");
            match grants.everywhere {
                Some(role) => format!(
                    "May work in every app as {}, besides in {apps}",
                    role.name()
                ),
                None => format!("May work in {apps}"),
            }
        }
        AccessEvent::SecondFactorAdded {} => "Second factor turned on".to_owned(),
        AccessEvent::SecondFactorRemoved {} => "Second factor removed".to_owned(),
        AccessEvent::Linked { issuer, .. } => format!("Known from {issuer}"),
        AccessEvent::Disabled {} => "User disabled; all sessions ended".to_owned(),
        AccessEvent::Enabled {} => "User enabled again".to_owned(),
        AccessEvent::TokenIssued { spec, .. } => {
            format!("Token “{}” issued ({})", spec.name, spec.role.name())
        }
        AccessEvent::TokenRevoked { .. } => "Token revoked".to_owned(),
        AccessEvent::UserRemoved {} => "User removed".to_owned(),
    }
}

fn of_audit(event: &AuditEvent) -> String {
    match event {
        AuditEvent::LoggedIn { through, .. } => match through {
            Some(issuer) => format!("Logged in through {issuer}"),
            None => "Logged in".to_owned(),
        },
        AuditEvent::LoginRefused { name } => format!("Log-in refused for “{name}”"),
        AuditEvent::RecoveryCodeUsed { left, .. } => {
            format!("Recovery code used; {left} left")
        }
        AuditEvent::Refused {
            what,
            why,
            unwritten,
        } => {
            let more = match unwritten {
                0 => String::new(),
                more => format!(" ({more} more before it)"),
            };
            format!("Refused, {why}: {what}{more}")
        }
        AuditEvent::SessionEnded { .. } => "Ended a session".to_owned(),
        AuditEvent::LoggedOut { .. } => "Logged out".to_owned(),
        AuditEvent::Downloaded { run } => format!("Backup {run} downloaded"),
        AuditEvent::DatabaseDownloaded { .. } => {
            "A copy of Holdfast's own database downloaded".to_owned()
        }
        AuditEvent::DatabaseRestored { copied_at, .. } => format!(
            "Holdfast's own database brought back as it was on {}",
            copied_at.format("%a %-d %b, %H:%M UTC")
        ),
        AuditEvent::MasterKeyRotated { secrets, .. } => format!(
            "Master key exchanged; {} sealed anew",
            words::plural(usize::try_from(*secrets).unwrap_or(usize::MAX), "secret")
        ),
        AuditEvent::Exported {} => "Audit log exported".to_owned(),
        AuditEvent::Recovered { events, instance } => format!(
            "Recovered {} of the server {instance} from a target",
            words::plural(usize::try_from(*events).unwrap_or(usize::MAX), "event")
        ),
        AuditEvent::StrayDeleted { place, key, size } => format!(
            "Deleted from {place}, where no run knew it: {key} ({})",
            words::size(*size)
        ),
        AuditEvent::LogPruned(pruning) => {
            let events = usize::try_from(pruning.events()).unwrap_or(usize::MAX);
            format!(
                "Detail of {} from before {} pruned; it lies in {} of the log",
                words::plural(events, "event"),
                pruning.before.format("%-d %b %Y"),
                words::plural(pruning.pieces.len(), "segment")
            )
        }
        AuditEvent::DetailPruned(name) => format!("{} (detail pruned)", pruned(name)),
        AuditEvent::Rebuilt { events } => format!(
            "Read models rebuilt from {}",
            words::plural(usize::try_from(*events).unwrap_or(usize::MAX), "event")
        ),
    }
}

/// An event of which no more is known than its name.
fn pruned(name: &str) -> &'static str {
    match name {
        "audit.logged_in" => "Logged in",
        "audit.login_refused" => "Log-in refused",
        "audit.logged_out" => "Logged out",
        "audit.session_ended" => "Ended a session",
        "audit.recovery_code_used" => "Recovery code used",
        "audit.refused" => "Refused",
        "audit.downloaded" => "Backup downloaded",
        "audit.database_downloaded" => "A copy of Holdfast's own database downloaded",
        "audit.exported" => "Audit log exported",
        _ => "Something happened",
    }
}
