//! The form as it is shown: inputs with their labels, values and errors.

use askama::Template;

use super::hooks::Section;
use super::values::{Values, strategy_input, target_input};
use crate::{
    app::{MASK, Service},
    domain::{failure::FieldErrors, form, hook::Phase, manifest::Compression},
    readmodel::apps,
    strategy, target,
    web::{
        catalog::{self, Tag},
        field::{Field, Token, focus_first_error},
        pages::schedule::Preview,
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
    back: String,
    token: Token,
    service: Field,
    strategies: Vec<Choice>,
    strategy_error: Option<String>,
    targets: Vec<Choice>,
    target_error: Option<String>,
    schedule: Field,
    time_zone: Field,
    preview: Preview,
    retention_mode: String,
    retention_count: Field,
    retention_days: Field,
    retention_error: Option<String>,
    compressions: Vec<(&'static str, bool)>,
    name: Field,
    enabled: bool,
    verify: bool,
    hooks: Vec<Section>,
    /// Whether hooks may run commands.
    commands: bool,
    /// Problems of fields that this form does not show.
    others: Vec<(String, String)>,
}

/// One strategy or target to choose, with what it asks for when it is chosen.
pub struct Choice {
    pub kind: &'static str,
    pub icon: Icon,
    pub label: &'static str,
    pub description: &'static str,
    pub chosen: bool,
    pub fields: Vec<Field>,
}

impl Choice {
    /// Something in here was set or is wrong: do not hide it.
    fn needs_look(&self) -> bool {
        self.fields
            .iter()
            .any(|field| !field.value.is_empty() || field.error.is_some())
    }
}

impl ConfigForm {
    pub fn new(
        visit: &Visit,
        action: String,
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
            action,
            back: format!("/apps/{slug}"),
            token: Token(visit.browser.form_token()),
            service: text("service", "Service")
                .help("As in the compose file. The backup is made inside its container.")
                .suggest(services.collect())
                .required(),
            strategies: strategies(values, errors),
            strategy_error: errors.0.get("strategy").cloned(),
            targets: targets(values, errors),
            target_error: errors.0.get("target").cloned(),
            schedule: text("schedule_cron", "Schedule")
                .help("Five cron fields: minute, hour, day, month, weekday. Empty: only by hand.")
                .suggest(suggestions())
                .placeholder("0 2 * * *"),
            time_zone: text("time_zone", "Time zone")
                .help("An IANA name, or UTC.")
                .required(),
            preview: Preview::new(
                values.get("schedule_cron"),
                values.get("time_zone"),
                visit.now,
            ),
            retention_mode: values.get("retention_mode").to_owned(),
            retention_count: text("retention_count", "How many")
                .kind("number")
                .required(),
            retention_days: text("retention_days", "How many days")
                .kind("number")
                .required(),
            retention_error: errors.0.get("retention_mode").cloned(),
            compressions: Compression::ALL
                .into_iter()
                .map(|c| (c.name(), c.name() == values.get("compression")))
                .collect(),
            name: text("name", "Name").help("For people; what it backs up when empty."),
            enabled: !values.get("enabled").is_empty(),
            verify: !values.get("verify_upload").is_empty(),
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

    /// There are some, or one of them is wrong.
    fn shows_hooks(&self) -> bool {
        self.hooks.iter().any(Section::is_in_use)
    }

    fn focus(&mut self) {
        let mut fields = vec![&mut self.service];
        for choice in &mut self.strategies {
            fields.extend(&mut choice.fields);
        }
        for choice in &mut self.targets {
            fields.extend(&mut choice.fields);
        }
        fields.extend([
            &mut self.schedule,
            &mut self.time_zone,
            &mut self.retention_count,
        ]);
        fields.extend([&mut self.retention_days, &mut self.name]);
        for row in self.hooks.iter_mut().flat_map(|phase| &mut phase.rows) {
            fields.extend([&mut row.service, &mut row.timeout]);
        }
        focus_first_error(fields);
    }

    /// No problem may go unsaid because no input bears its name.
    fn unshown(&self, errors: &FieldErrors) -> Vec<(String, String)> {
        let choices = self.strategies.iter().chain(&self.targets);
        let singles = [
            &self.service,
            &self.schedule,
            &self.time_zone,
            &self.retention_count,
            &self.retention_days,
            &self.name,
        ];
        let shown: Vec<&String> = choices
            .flat_map(|choice| &choice.fields)
            .chain(singles)
            .filter_map(|field| field.error.as_ref())
            .collect();
        errors
            .0
            .iter()
            .filter(|(name, problem)| {
                let group = ["strategy", "target", "retention_mode"].contains(&name.as_str());
                let of_hook = self.hooks.iter().any(|phase| phase.shows(name));
                !group && !of_hook && !shown.contains(problem)
            })
            .map(|(name, problem)| (name.clone(), problem.clone()))
            .collect()
    }
}

fn strategies(values: &Values, errors: &FieldErrors) -> Vec<Choice> {
    strategy::ALL
        .iter()
        .map(|strategy| {
            let kind = strategy.kind();
            let chosen = values.get("strategy") == kind;
            let field = |field: &form::Field| {
                let group = if field.secret {
                    "credentials"
                } else {
                    "options"
                };
                let api = format!("{group}.{}", field.name);
                input(
                    strategy_input(kind, field.name),
                    field,
                    chosen,
                    values,
                    errors,
                    &api,
                )
            };
            Choice {
                kind,
                icon: parts::icon(strategy.icon()),
                label: strategy.label(),
                description: strategy.description(),
                chosen,
                fields: strategy.fields().iter().map(field).collect(),
            }
        })
        .collect()
}

fn targets(values: &Values, errors: &FieldErrors) -> Vec<Choice> {
    target::ALL
        .iter()
        .map(|target| {
            let kind = target.name();
            let chosen = values.get("target") == kind;
            let field = |field: &form::Field| {
                let api = format!("target_config_json.{}", field.name);
                input(
                    target_input(kind, field.name),
                    field,
                    chosen,
                    values,
                    errors,
                    &api,
                )
            };
            Choice {
                kind,
                icon: parts::icon(target.icon()),
                label: target.label(),
                description: target.description(),
                chosen,
                fields: target.fields().iter().map(field).collect(),
            }
        })
        .collect()
}

/// `api` is what the application calls the field when it has a problem; some call it by its plain
/// name.
fn input(
    name: String,
    asked: &form::Field,
    chosen: bool,
    values: &Values,
    errors: &FieldErrors,
    api: &str,
) -> Field {
    let value = values.get(&name).to_owned();
    let mut field = Field::new(name, asked.label).help(asked.help).value(value);
    if asked.secret {
        field.kind = "password";
        field.autocomplete = "new-password";
        if field.value == MASK {
            field.help = format!("Set; leave it to keep it. {}", field.help);
        }
    }
    field.required = asked.required;
    if chosen {
        field.error = errors
            .0
            .get(api)
            .or_else(|| errors.0.get(asked.name))
            .cloned();
    }
    field
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
