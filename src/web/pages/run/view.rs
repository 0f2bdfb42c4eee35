//! From a run's row and events to what its page shows. Pure.

use chrono::{DateTime, Utc};

use crate::{
    domain::{
        config::ConfigSpec,
        copies::FurtherTarget,
        event::Event,
        hook::{HookOutcome, HookReport, Phase},
        run::{RunEvent, Stage},
    },
    hook,
    log::Recorded,
    readmodel::{apps, runs},
    web::{
        catalog::{self, Tag},
        parts::{self, Badge, Cancel, Icon},
        sentences,
        words::{self, Moment},
    },
};

#[derive(Debug, Clone)]
pub struct RunView {
    pub id: i64,
    pub title: String,
    pub app_slug: String,
    pub app_name: String,
    pub tag: Tag,
    pub badge: Badge,
    pub over: bool,
    pub restorable: bool,
    /// The backup can be verified.
    pub verifiable: bool,
    /// What its first target lost can be brought back from a copy.
    pub mendable: bool,
    /// It waits for that, or is being read.
    pub verifying: bool,
    /// When it was last read and found whole.
    pub verified: Option<Moment>,
    /// What the last verification found that is not well, and when.
    pub flaw: Option<Flaw>,
    /// When retention let the backup go.
    pub pruned: Option<Moment>,
    /// Why it lies in its target all the same.
    pub held: Option<String>,
    pub cancel: Cancel,
    pub failure: Option<Failure>,
    pub retry_at: Option<Moment>,
    pub warnings: Vec<String>,
    /// Services that a hook stopped and that could not be started again yet.
    pub owed: Vec<String>,
    pub hooks: Vec<HookRow>,
    pub stages: Vec<StageRow>,
    /// Size, ratio and the like, once there is an artifact.
    pub figures: Vec<(&'static str, String)>,
    pub facts: Vec<Fact>,
    /// `2 of 3 copies`, and each further target; none without further targets.
    pub copies: Option<(String, Vec<CopyRow>)>,
    pub fingerprint: Option<Fingerprint>,
    pub events: Vec<EventRow>,
    /// How the last good run of this config went, while this one is at work.
    pub expected: Option<String>,
    /// The newest of requested, started, ended; and when.
    pub event: &'static str,
    pub when: Moment,
}

#[derive(Debug, Clone)]
pub struct Failure {
    pub message: String,
    pub hint: Option<String>,
    pub detail: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Flaw {
    /// `damaged`, `missing` or `unreadable`.
    pub found: &'static str,
    pub at: Moment,
    pub message: String,
    pub hint: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageRow {
    pub title: &'static str,
    /// `done`, `now`, `broken` or `todo`.
    pub state: &'static str,
    pub icon: Icon,
    /// Beginning and width in percent of the attempt so far.
    pub bar: Option<(u32, u32)>,
    pub took: String,
}

/// What a hook of the present attempt did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookRow {
    pub icon: Icon,
    pub when: &'static str,
    pub label: String,
    pub service: String,
    pub went: &'static str,
    pub took: String,
    pub said: String,
}

/// A line of the facts: name, value, whether it is code, whether it can be copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    pub name: &'static str,
    pub value: String,
    pub code: bool,
}

/// A copy in a further target.
#[derive(Debug, Clone)]
pub struct CopyRow {
    /// As the API counts them, from 1.
    pub number: usize,
    pub icon: Icon,
    pub target: String,
    /// `stored`, `waits`, `failed`, `damaged` or `missing`.
    pub went: &'static str,
    /// It can be asked for.
    pub again: bool,
    pub problem: Option<String>,
    /// When it is tried again.
    pub retry_at: Option<Moment>,
}

#[derive(Debug, Clone)]
pub struct Fingerprint {
    pub said: String,
    pub counts: Vec<(String, String)>,
}

#[derive(Debug, Clone)]
pub struct EventRow {
    pub at: Moment,
    /// `10:04:05`, for a list of things that happened within minutes.
    pub clock: String,
    pub what: String,
    /// Named when it was a person.
    pub who: Option<String>,
}

impl RunView {
    pub fn new(
        run: &runs::Model,
        app: &apps::Model,
        config: &ConfigSpec,
        events: &[Recorded],
        expected: Option<String>,
        now: DateTime<Utc>,
    ) -> Self {
        let pin = run.pin();
        // What ran, not what the config says today.
        let spec = pin.as_ref().map_or(config, |pin| &pin.spec);
        let failed = run.error_msg.clone().map(|message| Failure {
            message,
            hint: run.hint.clone(),
            detail: run.error_detail.clone(),
        });
        let (event, at) = match (run.finished_at, run.started_at) {
            (Some(at), _) => ("ended", at),
            (None, Some(at)) => ("started", at),
            (None, None) => ("requested", run.requested_at),
        };
        Self {
            id: run.id,
            title: catalog::config_title(spec),
            app_slug: app.slug.clone(),
            app_name: app.name.clone(),
            tag: catalog::strategy_tag(&spec.strategy),
            badge: Badge::of_status(&run.status, run.is_warned()),
            over: run.is_over(),
            restorable: run.lacks_artifact().is_none(),
            verifiable: (run.status == "success" || run.is_damaged())
                && run.expired_at.is_none()
                && run.verifying.is_none(),
            mendable: run.is_damaged()
                && run.expired_at.is_none()
                && run.copies().iter().any(|copy| copy.stored),
            verifying: run.verifying.is_some(),
            verified: run.verified_at.map(|at| Moment::of_millis(now, at)),
            flaw: flaw(run, now),
            held: run.held.clone(),
            pruned: run.expired_at.map(|at| Moment::of_millis(now, at)),
            cancel: Cancel::new(!run.is_over(), run.cancel_requested),
            failure: failed,
            retry_at: run.retry_at.map(|at| Moment::of_millis(now, at)),
            warnings: run.warnings(),
            owed: owed(run),
            hooks: hook_rows(events),
            stages: stages(run, now),
            figures: figures(run),
            facts: facts(run, spec, events),
            copies: copies(run, spec, now),
            fingerprint: run
                .fingerprint()
                .filter(|f| !f.counts.is_empty())
                .map(|print| Fingerprint {
                    said: format!("{} {}", words::count(print.total()), print.unit),
                    counts: print
                        .counts
                        .iter()
                        .map(|(name, count)| (name.clone(), words::count(*count)))
                        .collect(),
                }),
            events: event_rows(events, now),
            expected,
            event,
            when: Moment::of_millis(now, at),
        }
    }
}

impl RunView {
    /// Something of it may change at any moment.
    pub fn is_live(&self) -> bool {
        !self.over || self.verifying
    }
}

fn flaw(run: &runs::Model, now: DateTime<Utc>) -> Option<Flaw> {
    let last = run.verification()?;
    let failure = last.failure?;
    Some(Flaw {
        found: last.found.name(),
        at: Moment::of_millis(now, last.at),
        message: failure.message,
        hint: failure.hint,
    })
}

/// Each stage of the present attempt on one common line of time.
fn stages(run: &runs::Model, now: DateTime<Utc>) -> Vec<StageRow> {
    let reached = run.stages();
    let end = run.finished_at.unwrap_or_else(|| now.timestamp_millis());
    let start = run
        .started_at
        .or_else(|| reached.first().map(|s| s.at))
        .unwrap_or(end);
    let span = (end - start).max(1);
    let percent = |at: i64| u32::try_from(((at - start) * 100 / span).clamp(0, 100)).unwrap_or(0);
    Stage::ALL
        .into_iter()
        .map(|stage| {
            let Some(i) = reached.iter().position(|time| time.stage == stage) else {
                return StageRow {
                    title: stage.title(),
                    state: "todo",
                    icon: parts::icon("circle"),
                    bar: None,
                    took: String::new(),
                };
            };
            let from = reached[i].at;
            let (to, last) = match reached.get(i + 1) {
                Some(next) => (next.at, false),
                None => (end, true),
            };
            let (state, icon) = match run.status.as_str() {
                "running" if last => ("now", parts::toned("progress", "run")),
                "failed" if last => ("broken", parts::toned("cross", "bad")),
                "cancelled" | "queued" if last => ("broken", parts::icon("stop")),
                _ => ("done", parts::toned("check", "ok")),
            };
            StageRow {
                title: stage.title(),
                state,
                icon,
                bar: Some((percent(from).min(98), (percent(to) - percent(from)).max(2))),
                took: words::duration(to - from),
            }
        })
        .collect()
}

/// While the run is at work, it has them in hand itself.
fn owed(run: &runs::Model) -> Vec<String> {
    let open = run.obligations().into_iter().filter(|_| run.is_over());
    let mut services: Vec<String> = open.map(|o| o.service().to_owned()).collect();
    services.sort();
    services.dedup();
    services
}

fn hook_rows(events: &[Recorded]) -> Vec<HookRow> {
    let reports = events.iter().filter_map(|event| match &event.event {
        Event::Run(RunEvent::HookRan { attempt, hook }) => Some((*attempt, hook)),
        _ => None,
    });
    let reports: Vec<_> = reports.collect();
    let last = reports.iter().map(|(attempt, _)| *attempt).max();
    let present = reports.iter().filter(|(attempt, _)| Some(*attempt) == last);
    present.map(|(_, report)| hook_row(report)).collect()
}

fn hook_row(report: &HookReport) -> HookRow {
    let (icon, went) = match report.outcome {
        HookOutcome::Done => (parts::toned("check", "ok"), "done"),
        HookOutcome::Skipped => (parts::icon("circle"), "nothing to do"),
        HookOutcome::Failed => (parts::toned("cross", "bad"), "failed"),
    };
    let label = hook::find(&report.kind).map_or(report.kind.as_str(), |kind| kind.label());
    HookRow {
        icon,
        when: match report.phase {
            Phase::Before => "before",
            Phase::After => "after",
        },
        label: label.to_owned(),
        service: report.service.clone(),
        went,
        took: words::duration(i64::try_from(report.took_ms).unwrap_or(i64::MAX)),
        said: report.said.clone(),
    }
}

fn figures(run: &runs::Model) -> Vec<(&'static str, String)> {
    let Some(artifact) = run.artifact() else {
        return Vec::new();
    };
    let mut figures = vec![("Stored", words::size(artifact.stored_bytes))];
    figures.push(("Raw", words::size(artifact.raw_bytes)));
    if let Some(ratio) = words::ratio(artifact.raw_bytes, artifact.stored_bytes) {
        figures.push(("Ratio", ratio));
    }
    if let Some(took) = run.duration_ms() {
        figures.push(("Duration", words::duration(took)));
    }
    figures
}

fn facts(run: &runs::Model, spec: &ConfigSpec, events: &[Recorded]) -> Vec<Fact> {
    let mut facts = Vec::new();
    let mut add = |name, value: String, code| {
        if !value.is_empty() {
            facts.push(Fact { name, value, code });
        }
    };
    let asked = events
        .first()
        .map(|event| sentences::who(&event.actor))
        .unwrap_or_default();
    add("Trigger", format!("{}, {asked}", run.trigger), false);
    add("Attempt", run.attempt.max(1).to_string(), false);
    add("Service", spec.service.clone(), false);
    if let Some(pin) = run.pin() {
        add("Container", pin.source.container.clone(), true);
        add("Image", pin.source.image.clone(), true);
        add("Source", pin.source.subject.clone(), false);
        add("Server", pin.source.server.clone(), false);
        add("Tool", pin.source.tool.clone(), false);
    }
    add(
        "Destination",
        catalog::target_tag(&spec.target).label,
        false,
    );
    add("Compression", spec.compression.name().to_owned(), false);
    for recipient in &spec.encryption.recipients {
        add("Encrypted to", recipient.clone(), true);
    }
    if !spec.encryption.is_none() {
        add("Read back", read_back(spec).to_owned(), false);
    }
    add("Artifact", run.file_path.clone().unwrap_or_default(), true);
    add("SHA-256", run.checksum.clone().unwrap_or_default(), true);
    facts
}

fn copies(
    run: &runs::Model,
    spec: &ConfigSpec,
    now: DateTime<Utc>,
) -> Option<(String, Vec<CopyRow>)> {
    let copies = run.copies();
    if copies.is_empty() {
        return None;
    }
    let numbered = (1..).zip(spec.copies.iter().zip(&copies));
    let rows = numbered.map(|(number, (at, copy))| CopyRow {
        number,
        icon: match copy.status() {
            "stored" if copy.unread.is_some() => parts::toned("warn", "warn"),
            "stored" => parts::toned("check", "ok"),
            "failed" => parts::toned("warn", "warn"),
            "damaged" | "missing" => parts::toned("cross", "bad"),
            _ => parts::icon("clock"),
        },
        target: place(at),
        again: run.expired_at.is_none()
            && matches!(copy.status(), "failed" | "damaged" | "missing"),
        went: match copy.status() {
            "pending" => "waits",
            "stored" if copy.unread.is_some() => {
                "stored; it could not be read when it was last looked at"
            }
            status => status,
        },
        problem: copy.problem().map(|failure| failure.message.clone()),
        retry_at: copy.retry_at.map(|at| Moment::new(now, at)),
    });
    let rows = rows.collect();
    Some((crate::domain::copies::said(&copies), rows))
}

/// `S3 (bucket): backups`, where the kind of target has such a name.
fn place(at: &FurtherTarget) -> String {
    let label = catalog::target_tag(&at.target).label;
    match at.settings.get("bucket") {
        Some(bucket) => format!("{label}: {bucket}"),
        None => label,
    }
}

/// What reading an encrypted artifact back proves.
fn read_back(spec: &ConfigSpec) -> &'static str {
    match (&spec.encryption.own, spec.verify_upload) {
        (Some(_), true) => "Decrypted with the server's own key, and judged",
        (Some(_), false) => "Compared by its checksum",
        (None, _) => {
            "Compared by its checksum: the server has no key to it. The dump was judged before it was \
             encrypted"
        }
    }
}

/// Stages are shown as a timeline already; the rest of what happened is told here.
fn event_rows(events: &[Recorded], now: DateTime<Utc>) -> Vec<EventRow> {
    events
        .iter()
        .filter(|event| !matches!(event.event, Event::Run(RunEvent::StageReached { .. })))
        .map(|event| event_row(event, now))
        .collect()
}

pub fn event_row(event: &Recorded, now: DateTime<Utc>) -> EventRow {
    EventRow {
        at: Moment::new(now, event.at),
        clock: event.at.format("%H:%M:%S").to_string(),
        what: sentences::what(&event.event),
        who: event
            .actor
            .id
            .is_some()
            .then(|| sentences::who(&event.actor)),
    }
}
