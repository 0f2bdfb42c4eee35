//! The form as it is shown: inputs with their labels, values and errors.

use askama::Template;

use super::{asked::Asked, copies, hooks::Section, values::Values};
use crate::{
    app::Service,
    domain::{failure::FieldErrors, hook::Phase, manifest::Compression},
    readmodel::apps,
    strategy, target,
    web::{
        catalog::{self, Tag},
        field::{Field, Token, focus_first_error},
        pages::schedule::{Planned, Preview},
        parts::{self, Icon},
        request::Visit,
    },
};

/// What the engine shows of the app, and what fits it.
pub struct Detection {
    services: Vec<Service>,
    pub picks: Vec<Pick>,
    /// Why nothing is shown, when the engine did not answer.
    pub problem: Option<String>,
}

/// A service, a strategy that fits it, and why.
pub struct Pick {
    pub service: String,
    pub kind: &'static str,
    pub tag: Tag,
    pub reason: String,
}

impl Detection {
    pub async fn load(visit: &Visit, app: &apps::Model) -> Self {
        let (mut services, problem) = match visit.holdfast.services(&visit.caller, app).await {
            Ok(services) => (services, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        // What can be backed up now is offered first.
        services.sort_by_key(|service| !service.running);
        let picks = services
            .iter()
            .flat_map(|service| {
                service.strategies.iter().map(|(kind, detected)| Pick {
                    service: service.name.clone(),
                    kind,
                    tag: catalog::strategy_tag(kind),
                    reason: if service.running {
                        detected.reason.clone()
                    } else {
                        format!("{}; it does not run", detected.reason)
                    },
                })
            })
            .collect();
        Self {
            services,
            picks,
            problem,
        }
    }

    /// What was picked, else the first that fits.
    pub fn pick(&self, service: &str, strategy: &str) -> Option<(&str, &str)> {
        let fits =
            |pick: &&Pick| service.is_empty() || (pick.service == service && pick.kind == strategy);
        self.picks
            .iter()
            .find(fits)
            .map(|pick| (pick.service.as_str(), pick.kind))
    }
}

#[derive(Template)]
#[template(path = "config/_form.html")]
pub struct ConfigForm {
    action: String,
    /// Of the config that is changed.
    pub id: Option<i64>,
    back: String,
    token: Token,
    service: Field,
    strategies: Vec<Choice>,
    strategy_error: Option<String>,
    strategy_fields: Asked,
    targets: Vec<Choice>,
    target_error: Option<String>,
    target_fields: Asked,
    schedule: Field,
    time_zone: Field,
    preview: Preview,
    /// Value, label, chosen.
    missed: Vec<(&'static str, &'static str, bool)>,
    missed_error: Option<String>,
    missed_window: Field,
    jitter: Field,
    blackout: Field,
    retention_mode: String,
    retention_count: Field,
    retention_days: Field,
    /// The numbers of `gfs`.
    keep: Vec<Field>,
    retention_error: Option<String>,
    compressions: Vec<(&'static str, bool)>,
    name: Field,
    ping: Field,
    enabled: bool,
    verify: bool,
    /// One a line.
    recipients: String,
    server_key: bool,
    encryption_error: Option<String>,
    copies: Vec<copies::Row>,
    hooks: Vec<Section>,
    /// Whether hooks may run commands.
    commands: bool,
    /// Problems of fields that this form does not show.
    others: Vec<(String, String)>,
}

const MISSED: [(&str, &str); 3] = [
    ("one", "One run makes up for all of them"),
    ("skip", "Nothing: they are missed"),
    ("all", "Each gets its run, as far back as said"),
];

const KEEP: [(&str, &str); 5] = [
    ("keep_last", "Newest"),
    ("keep_daily", "Days"),
    ("keep_weekly", "Weeks"),
    ("keep_monthly", "Months"),
    ("keep_yearly", "Years"),
];

/// Problems that are shown where they belong, though no single input bears their name.
const GROUPS: [&str; 5] = [
    "strategy",
    "target",
    "retention_mode",
    "missed_policy",
    "encryption",
];

/// One strategy or target to choose.
pub struct Choice {
    pub kind: &'static str,
    pub icon: Icon,
    pub label: &'static str,
    pub description: &'static str,
    pub chosen: bool,
}

impl ConfigForm {
    pub fn new(
        visit: &Visit,
        id: Option<i64>,
        slug: &str,
        found: &Detection,
        values: &Values,
        errors: &FieldErrors,
    ) -> Self {
        let text = |name: &'static str, label: &'static str| {
            Field::new(name, label)
                .value(values.get(name))
                .error(errors, name)
        };
        let services = found
            .services
            .iter()
            .map(|s| (s.name.clone(), s.image.clone()));
        let commands = visit.holdfast.settings().exec_hooks;
        let mut form = Self {
            action: id.map_or_else(
                || format!("/apps/{slug}/configs/new"),
                |id| format!("/configs/{id}"),
            ),
            id,
            back: format!("/apps/{slug}"),
            token: Token(visit.browser.form_token()),
            service: text("service", "Service")
                .help("As in the compose file. The backup is made inside its container.")
                .suggest(services.collect())
                .required(),
            strategies: strategies(values),
            strategy_error: errors.0.get("strategy").cloned(),
            strategy_fields: Asked::by_strategy(values, errors),
            targets: targets(values),
            target_error: errors.0.get("target").cloned(),
            target_fields: Asked::by_target(values, errors),
            schedule: text("schedule_cron", "Schedule")
                .help("Five cron fields: minute, hour, day, month, weekday. Empty: only by hand.")
                .suggest(suggestions())
                .placeholder("0 2 * * *"),
            time_zone: text("time_zone", "Time zone")
                .help("An IANA name, or UTC.")
                .required(),
            preview: Preview::new(
                &Planned {
                    config: id.unwrap_or_default(),
                    schedule_cron: values.get("schedule_cron").to_owned(),
                    time_zone: values.get("time_zone").to_owned(),
                    jitter_seconds: values.get("jitter_seconds").to_owned(),
                    blackout: values.get("blackout").to_owned(),
                },
                visit.now,
            ),
            missed: MISSED
                .map(|(name, label)| (name, label, name == values.get("missed_policy")))
                .into(),
            missed_error: errors.0.get("missed_policy").cloned(),
            missed_window: text("missed_window", "Hours back").kind("number"),
            jitter: text("jitter_seconds", "Jitter in seconds")
                .help("Starts up to so much later, each config at its own: many at once do not start together.")
                .kind("number"),
            blackout: text("blackout", "Blackout")
                .help("Hours in which the schedule starts nothing; what comes due in them is made up for by one run afterwards.")
                .placeholder("08:00-18:00 Mon-Fri"),
            retention_mode: values.get("retention_mode").to_owned(),
            retention_count: text("retention_count", "How many")
                .kind("number")
                .required(),
            retention_days: text("retention_days", "How many days")
                .kind("number")
                .required(),
            keep: KEEP
                .map(|(name, label)| text(name, label).kind("number"))
                .into(),
            retention_error: errors.0.get("retention_mode").cloned(),
            compressions: Compression::ALL
                .into_iter()
                .map(|c| (c.name(), c.name() == values.get("compression")))
                .collect(),
            name: text("name", "Name").help("For people; what it backs up when empty."),
            ping: text("ping_url", "Ping address")
                .help("Of a dead man's switch, as healthchecks.io has them: told of each run, it calls somebody when it hears nothing. Empty: none.")
                .placeholder("https://hc-ping.com/…"),
            enabled: !values.get("enabled").is_empty(),
            verify: !values.get("verify_upload").is_empty(),
            recipients: values.get("recipients").to_owned(),
            server_key: !values.get("server_key").is_empty(),
            encryption_error: errors.0.get("encryption").cloned(),
            copies: copies::rows(values, errors),
            hooks: [Phase::Before, Phase::After]
                .map(|phase| Section::new(phase, values, errors, commands))
                .into(),
            commands,
            others: Vec::new(),
        };
        form.others = form.unshown(errors);
        form.focus();
        form
    }

    /// The part of the form that htmx asks for when something else was chosen.
    pub fn asked(&self, element: &str) -> Option<&Asked> {
        let parts = [&self.strategy_fields, &self.target_fields];
        parts.into_iter().find(|part| part.id == element)
    }

    /// There is some, or it is wrong.
    fn shows_encryption(&self) -> bool {
        !self.recipients.is_empty() || self.encryption_error.is_some()
    }

    /// There are some, or one of them is wrong.
    fn shows_copies(&self) -> bool {
        self.copies.len() > 1 || self.copies.iter().any(|row| row.error.is_some())
    }

    /// The same of hooks.
    fn shows_hooks(&self) -> bool {
        self.hooks.iter().any(Section::is_in_use)
    }

    fn focus(&mut self) {
        let mut fields = vec![&mut self.service];
        fields.extend(&mut self.strategy_fields.fields);
        fields.extend(&mut self.target_fields.fields);
        fields.extend([
            &mut self.schedule,
            &mut self.time_zone,
            &mut self.retention_count,
        ]);
        fields.extend([
            &mut self.missed_window,
            &mut self.jitter,
            &mut self.blackout,
        ]);
        fields.push(&mut self.retention_days);
        fields.extend(&mut self.keep);
        fields.extend([&mut self.name, &mut self.ping]);
        for row in self.hooks.iter_mut().flat_map(|phase| &mut phase.rows) {
            fields.extend([&mut row.service, &mut row.timeout]);
        }
        focus_first_error(fields);
    }

    /// No problem may go unsaid because no input bears its name.
    fn unshown(&self, errors: &FieldErrors) -> Vec<(String, String)> {
        let asked = [&self.strategy_fields, &self.target_fields];
        let singles = [
            &self.service,
            &self.schedule,
            &self.time_zone,
            &self.missed_window,
            &self.jitter,
            &self.blackout,
            &self.retention_count,
            &self.retention_days,
            &self.name,
            &self.ping,
        ];
        let shown: Vec<&String> = asked
            .into_iter()
            .flat_map(|asked| &asked.fields)
            .chain(singles)
            .chain(&self.keep)
            .filter_map(|field| field.error.as_ref())
            .collect();
        errors
            .0
            .iter()
            .filter(|(name, problem)| {
                let group = GROUPS.contains(&name.as_str());
                let of_hook = self.hooks.iter().any(|phase| phase.shows(name));
                let of_copy = self.copies.iter().any(|row| row.shows(name));
                !group && !of_hook && !of_copy && !shown.contains(problem)
            })
            .map(|(name, problem)| (name.clone(), problem.clone()))
            .collect()
    }
}

fn strategies(values: &Values) -> Vec<Choice> {
    let choice = |strategy: &&'static dyn strategy::Strategy| Choice {
        kind: strategy.kind(),
        icon: parts::icon(strategy.icon()),
        label: strategy.label(),
        description: strategy.description(),
        chosen: values.get("strategy") == strategy.kind(),
    };
    strategy::ALL.iter().map(choice).collect()
}

pub fn targets(values: &Values) -> Vec<Choice> {
    let choice = |target: &&'static dyn target::TargetKind| Choice {
        kind: target.name(),
        icon: parts::icon(target.icon()),
        label: target.label(),
        description: target.description(),
        chosen: values.get("target") == target.name(),
    };
    target::ALL.iter().map(choice).collect()
}

fn suggestions() -> Vec<(String, String)> {
    [
        "0 2 * * *",
        "0 * * * *",
        "0 */6 * * *",
        "0 2 * * 0",
        "0 2 1 * *",
    ]
    .map(|cron| (cron.to_owned(), crate::web::words::cron(cron)))
    .into()
}
