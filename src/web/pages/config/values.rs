//! What stands in the form's inputs, by their names: from a config, or as somebody sent it. A
//! secret is never among them, only the mask that says one is set.

use std::collections::BTreeMap;

use super::{copies, hooks, keep, paths, plan};
use crate::{
    app::{ConfigInput, EncryptionInput, KeepInput, MASK},
    domain::{
        config::ConfigSpec,
        failure::FieldErrors,
        hook::Phase,
        retention::{Gfs, Retention},
        secret::Secret,
        slots::MissedPolicy,
    },
    strategy, target,
    web::{catalog, request::Form},
};

#[derive(Debug, Clone, Default)]
pub struct Values(BTreeMap<String, String>);

impl Values {
    /// For a new config.
    pub fn fresh(service: &str, strategy: &str) -> Self {
        let spec = ConfigSpec {
            service: service.to_owned(),
            strategy: strategy.to_owned(),
            schedule_cron: "0 2 * * *".to_owned(),
            ..ConfigSpec::default()
        };
        let mut values = Self::of(&spec);
        // Of use as soon as there is a recipient: checks and restores then need nobody.
        values
            .0
            .insert("server_key".to_owned(), on(true).to_owned());
        values
    }

    pub fn of(spec: &ConfigSpec) -> Self {
        let mut values = BTreeMap::new();
        let mut set = |name: String, value: &str| {
            values.insert(name, value.to_owned());
        };
        let (mut count, mut days, mut gfs) = (7, 30, Gfs::default());
        match spec.retention {
            Retention::Count { count: kept } => count = kept,
            Retention::Time { days: kept } => days = kept,
            Retention::Gfs(kept) => gfs = kept,
        }
        let window = match spec.missed_policy {
            MissedPolicy::All { hours } => hours,
            MissedPolicy::Skip | MissedPolicy::One => 24,
        };
        for (name, value) in [
            ("name", spec.name.as_str()),
            ("service", &spec.service),
            ("strategy", &spec.strategy),
            ("target", &spec.target),
            ("schedule_cron", &spec.schedule_cron),
            ("time_zone", &spec.time_zone),
            ("missed_policy", spec.missed_policy.name()),
            ("missed_window", &window.to_string()),
            ("jitter_seconds", &spec.jitter_seconds.to_string()),
            ("blackout", &spec.blackout),
            ("compression", spec.compression.name()),
            ("retention_mode", spec.retention.mode()),
            ("retention_count", &count.to_string()),
            ("retention_days", &days.to_string()),
            ("keep_last", &gfs.keep_last.to_string()),
            ("keep_daily", &gfs.keep_daily.to_string()),
            ("keep_weekly", &gfs.keep_weekly.to_string()),
            ("keep_monthly", &gfs.keep_monthly.to_string()),
            ("keep_yearly", &gfs.keep_yearly.to_string()),
            ("enabled", on(spec.enabled)),
            ("verify_upload", on(spec.verify_upload)),
            ("recipients", &spec.encryption.recipients.join("\n")),
            ("server_key", on(spec.encryption.own.is_some())),
        ] {
            set(name.to_owned(), value);
        }
        set("paths".to_owned(), &spec.paths.join("\n"));
        if let Some(ping) = &spec.ping {
            set("ping_url".to_owned(), &format!("{}/{MASK}", ping.origin));
        }
        for (name, value) in hooks::values_of(spec)
            .into_iter()
            .chain(copies::values_of(spec))
        {
            set(name, &value);
        }
        for (key, value) in &spec.options {
            set(strategy_input(&spec.strategy, key), value);
        }
        for key in spec.credentials.keys() {
            set(strategy_input(&spec.strategy, key), MASK);
        }
        for (key, value) in &spec.target_settings {
            set(target_input(&spec.target, key), value);
        }
        for key in spec.target_secrets.keys() {
            set(target_input(&spec.target, key), MASK);
        }
        Self(values)
    }

    /// What was sent, to be shown again, and what it asks for.
    pub fn sent(form: &Form) -> (Self, Result<ConfigInput, FieldErrors>) {
        let mut values = BTreeMap::new();
        for name in [
            "name",
            "revision",
            "service",
            "strategy",
            "target",
            "preset",
            "time_zone",
            "missed_policy",
            "missed_window",
            "jitter_seconds",
            "blackout",
            "compression",
        ]
        .iter()
        .chain(&keep::RULE)
        {
            values.insert((*name).to_owned(), form.text(name).to_owned());
        }
        // A private key in the wrong place does not come back to the page.
        let recipients = form.text("recipients");
        if !recipients.to_ascii_uppercase().contains("SECRET-KEY") {
            values.insert("recipients".to_owned(), recipients.to_owned());
        }
        for name in ["enabled", "verify_upload", "server_key"] {
            values.insert(name.to_owned(), on(form.checked(name)).to_owned());
        }
        for (prefix, group) in [
            ("strategy", form.group("strategy")),
            ("target", form.group("target")),
        ] {
            for (key, value) in group {
                // A typed secret is not sent back; the person types it again.
                if !is_secret(prefix, &key) || value == MASK {
                    values.insert(format!("{prefix}.{key}"), value);
                }
            }
        }
        values.extend(hooks::values_sent(form));
        values.extend(copies::values_sent(form));
        values.extend(paths::value_sent(form));
        values.extend(plan::values_sent(form));
        if let Ok(cron) = plan::cron_of(form) {
            values.insert("schedule_cron".to_owned(), cron);
        }
        values.extend(preset(form));
        (Self(values), input(form))
    }

    /// These, where `newer` says nothing: what a strategy was given stays when another is looked at.
    #[must_use]
    pub fn under(mut self, newer: Self) -> Self {
        self.0.extend(newer.0);
        self
    }

    /// The same with what a draft keeps of a secret address.
    #[must_use]
    pub fn with(mut self, name: &str, value: String) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    /// As a form that holds the same; an empty value is one that was not sent.
    pub fn to_form(&self) -> Form {
        Form::of(self.filled())
    }

    fn filled(&self) -> BTreeMap<String, String> {
        let mut values = self.0.clone();
        values.retain(|_, value| !value.is_empty());
        values
    }

    #[cfg(test)]
    pub fn scheduled(cron: &str) -> Self {
        Self::default().with("schedule_cron", cron.to_owned())
    }

    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    pub fn title(&self) -> String {
        match self.get("name") {
            "" => catalog::strategy_tag(self.get("strategy")).label,
            name => name.to_owned(),
        }
    }
}

/// What the inputs of a new config hold at first.
pub fn fresh(service: &str, strategy: &str) -> BTreeMap<String, String> {
    Values::fresh(service, strategy).filled()
}

/// Name of the input of a strategy's field.
pub fn strategy_input(kind: &str, field: &str) -> String {
    format!("strategy.{kind}.{field}")
}

pub fn target_input(kind: &str, field: &str) -> String {
    format!("target.{kind}.{field}")
}

/// What the chosen provider fills in, when that is asked for.
pub fn preset(form: &Form) -> Vec<(String, String)> {
    let (kind, name) = (form.text("target"), form.text("preset"));
    let presets = target::kind(kind).map_or(&[][..], target::TargetKind::presets);
    let preset = presets.iter().find(|preset| preset.name == name);
    let preset = preset.filter(|_| form.text("show") == "preset");
    let values = preset.map_or(&[][..], |preset| preset.values);
    let values = values.iter();
    values
        .map(|(field, value)| (target_input(kind, field), (*value).to_owned()))
        .collect()
}

fn on(yes: bool) -> &'static str {
    if yes { "on" } else { "" }
}

/// Whether what stands in the input of that name is never shown.
pub fn holds_secret(name: &str) -> bool {
    match name.split_once('.') {
        Some((prefix @ ("strategy" | "target"), key)) => is_secret(prefix, key),
        Some(("copies", row)) => row
            .split_once('.')
            .is_some_and(|(_, key)| is_secret("target", key)),
        _ => name == "ping_url",
    }
}

fn is_secret(prefix: &str, key: &str) -> bool {
    let Some((kind, name)) = key.split_once('.') else {
        return false;
    };
    let fields = match prefix {
        "strategy" => strategy::find(kind).map(strategy::Strategy::fields),
        _ => target::kind(kind).map(target::TargetKind::fields),
    };
    fields.is_some_and(|fields| {
        fields
            .iter()
            .any(|field| field.secret && field.name == name)
    })
}

/// Nothing when it was not asked for. The server's key is nothing by itself.
fn encryption(form: &Form) -> Option<EncryptionInput> {
    let recipients = form.text("recipients").split_whitespace();
    let recipients: Vec<String> = recipients.map(str::to_owned).collect();
    form.checked("recipients").then(|| EncryptionInput {
        server_key: form.checked("server_key") && !recipients.is_empty(),
        recipients,
    })
}

fn input(form: &Form) -> Result<ConfigInput, FieldErrors> {
    let mut errors = FieldErrors::default();
    let mut number = |name: &str| {
        form.number(name).unwrap_or_else(|problem| {
            errors.add(name, problem);
            None
        })
    };
    let (retention_count, retention_days) = (number("retention_count"), number("retention_days"));
    let (missed_window, jitter_seconds) = (number("missed_window"), number("jitter_seconds"));
    let revision = number("revision");
    let keep = KeepInput {
        last: number("keep_last"),
        daily: number("keep_daily"),
        weekly: number("keep_weekly"),
        monthly: number("keep_monthly"),
        yearly: number("keep_yearly"),
    };
    let pre_hooks = hooks::hooks_sent(form, Phase::Before, &mut errors);
    let post_hooks = hooks::hooks_sent(form, Phase::After, &mut errors);
    let schedule_cron = plan::cron_of(form)
        .map_err(|problem| errors.add("schedule_cron", problem))
        .ok();
    let text = |name: &str| Some(form.text(name).to_owned());
    let (strategy, target) = (form.text("strategy"), form.text("target"));
    let (secrets, plain): (BTreeMap<_, _>, BTreeMap<_, _>) = form
        .group(&format!("strategy.{strategy}"))
        .into_iter()
        .partition(|(key, _)| is_secret("strategy", &format!("{strategy}.{key}")));
    let sealed = |group: BTreeMap<String, String>| {
        let pairs = group.into_iter();
        pairs
            .map(|(key, value)| (key, Secret::new(value)))
            .collect()
    };
    let input = ConfigInput {
        name: text("name"),
        service: text("service"),
        strategy: text("strategy"),
        options: Some(
            plain
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .collect(),
        ),
        credentials: Some(sealed(secrets)),
        paths: paths::sent(form),
        target: text("target"),
        target_settings: Some(sealed(form.group(&format!("target.{target}")))),
        schedule_cron,
        time_zone: text("time_zone"),
        missed_policy: text("missed_policy").filter(|policy| !policy.is_empty()),
        missed_window,
        jitter_seconds,
        blackout: text("blackout"),
        enabled: Some(form.checked("enabled")),
        compression: text("compression"),
        encryption: encryption(form),
        copies: copies::copies_sent(form),
        retention_mode: text("retention_mode"),
        retention_count,
        retention_days,
        keep,
        verify_upload: Some(form.checked("verify_upload")),
        pre_hooks,
        post_hooks,
        ping_url: Some(Secret::new(form.text("ping_url").to_owned())),
        labels: None, // the form does not show them
        revision,
    };
    errors.into_result().map(|()| input)
}
