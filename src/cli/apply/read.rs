//! Reads a document. Whatever is wrong in it is told with its place: line and column where it is no YAML,
//! `apps[0].configs[1].shedule` where it is.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use serde_json::Value;
use serde_saphyr::options::DuplicateKeyPolicy;

use super::{
    document::{App, Document, VERSION},
    secret::settled,
};
use crate::cli::errors::Usage;

const MAX: u64 = 1 << 20;

/// The document, and the folder that its files are named from. `-` is standard input.
pub fn read(path: &Path) -> anyhow::Result<(Document, PathBuf)> {
    let mut text = String::new();
    let name = path.display();
    let read = if path == Path::new("-") {
        io::stdin().take(MAX + 1).read_to_string(&mut text)
    } else {
        fs::File::open(path).and_then(|file| file.take(MAX + 1).read_to_string(&mut text))
    };
    read.map_err(|error| Usage(format!("cannot read {name}: {error}")))?;
    if text.len() as u64 > MAX {
        bail!(Usage(format!("{name} is longer than 1 MiB")));
    }
    let folder = match path.parent() {
        Some(folder) if path != Path::new("-") => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let document = parse(&text)
        .and_then(|document| checked(document, &folder))
        .with_context(|| name.to_string())?;
    Ok((document, folder))
}

pub fn parse(text: &str) -> anyhow::Result<Document> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_documents: 2, max_depth: 40, max_nodes: 100_000, },
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: true,
        with_snippet: false,
    };
    let tree: Value = serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        // The parser's own words may repeat what stands there.
        let why = match error.without_snippet() {
            serde_saphyr::Error::DuplicateMappingKey { .. } => "the same key stands there twice",
            serde_saphyr::Error::MultipleDocuments { .. } => "it has more than one document",
            serde_saphyr::Error::Budget { .. } => "it is too deep or has too many parts",
            _ => "it is no YAML",
        };
        match error.location() {
            Some(at) => Usage(format!("line {}, column {}: {why}", at.line(), at.column())),
            None => Usage(why.to_owned()),
        }
    })?;
    if tree.is_null() {
        bail!(Usage("it is empty: name apps, webhooks or users".into()));
    }
    serde_path_to_error::deserialize(tree).map_err(|error| {
        let said = error.inner().to_string();
        Usage(told(&error.path().to_string(), &said)).into()
    })
}

/// Place, problem, and a guess at what was meant.
fn told(path: &str, said: &str) -> String {
    let above = if path == "." { "" } else { path };
    let quoted = |start: &str| said.strip_prefix(start)?.split('`').next();
    let under = |name: &str| match above {
        "" => name.to_owned(),
        _ if above == name || above.ends_with(&format!(".{name}")) => above.to_owned(),
        _ => format!("{above}.{name}"),
    };
    if let Some(name) = quoted("unknown field `") {
        let known: Vec<&str> = said.split('`').skip(3).step_by(2).collect();
        let hint = match nearest(name, &known) {
            Some(meant) => format!("did you mean {meant}?"),
            None => format!("known here are {}", known.join(", ")),
        };
        return format!("{}: this is not known; {hint}", under(name));
    }
    if let Some(name) = quoted("missing field `") {
        return format!("{}: this has to be there", under(name));
    }
    match above {
        "" => said.to_owned(),
        _ => format!("{above}: {said}"),
    }
}

fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let likeness = |it: &&str| strsim::jaro_winkler(name, it);
    let best = known
        .iter()
        .copied()
        .max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(&best) > 0.8).then_some(best)
}

/// What holds whatever the server has, and forms in which it can be compared with that.
fn checked(mut document: Document, folder: &Path) -> anyhow::Result<Document> {
    if let Some(version) = document.version.filter(|version| *version != VERSION) {
        bail!(Usage(format!(
            "version: this program reads version {VERSION}, not {version}"
        )));
    }
    let named = document.name.as_deref();
    if named.is_some_and(|name| name.is_empty() || name.chars().any(char::is_control)) {
        bail!(Usage("name: use a few letters".into()));
    }
    let mut apps = Known::new("apps");
    for (index, app) in document.apps.iter_mut().flatten().enumerate() {
        let place = format!("apps[{index}]");
        apps.add(&place, Some(app.slug.clone()), "slug")?;
        check_app(app, &place, folder)?;
    }
    let mut webhooks = Known::new("webhooks");
    for (index, webhook) in document.webhooks.iter().flatten().enumerate() {
        let name = match webhook.id {
            Some(id) => Some(format!("#{id}")),
            None => webhook.name.clone(),
        };
        webhooks.add(&format!("webhooks[{index}]"), name, "name")?;
    }
    let mut users = Known::new("users");
    for (index, user) in document.users.iter().flatten().enumerate() {
        let name = Some(user.name.clone());
        users.add(&format!("users[{index}]"), name, "name")?;
    }
    Ok(document)
}

fn check_app(app: &mut App, place: &str, folder: &Path) -> anyhow::Result<()> {
    let mut configs = Known::new("configs of the app");
    for (index, config) in app.configs.iter_mut().flatten().enumerate() {
        let place = format!("{place}.configs[{index}]");
        let key = match config.id {
            Some(id) => Some(format!("#{id}")),
            None => config.key(),
        };
        configs.add(&place, key, "name")?;
        if let Some(retention) = &mut config.retention {
            *retention = retention.whole().ok_or_else(|| {
                Usage(format!(
                    "{place}.retention: say count, or days, or some of keep_last, keep_daily, keep_weekly, \
                     keep_monthly and keep_yearly"
                ))
            })?;
        }
        let reserved = |name: &&String| name.starts_with(super::RESERVED);
        if let Some(name) = config.labels.iter().flatten().map(|it| it.0).find(reserved) {
            bail!(Usage(format!(
                "{place}.labels.{name}: labels of this name are Holdfast's own"
            )));
        }
        if let Some(settings) = &mut config.target_settings {
            let place = format!("{place}.target_settings");
            let Some(target) = &config.target else {
                bail!(Usage(format!("{place}: say target beside it")));
            };
            *settings = settled(target, settings, &place, folder)?;
        }
        for (index, copy) in config.copies.iter_mut().flatten().enumerate() {
            let place = format!("{place}.copies[{index}].settings");
            copy.settings = settled(&copy.target, &copy.settings, &place, folder)?;
        }
        for hook in config
            .pre_hooks
            .iter_mut()
            .chain(&mut config.post_hooks)
            .flatten()
        {
            // As the server names them.
            if let Some(kind) = holdfast::hook::find(&hook.r#type) {
                kind.name().clone_into(&mut hook.r#type);
            }
            hook.command = hook.command.take().filter(|command| !command.is_empty());
        }
        config.blackout = config.blackout.take().map(|text| text.trim().to_owned());
    }
    Ok(())
}

/// Things of one kind, each of them named once.
struct Known {
    what: &'static str,
    names: Vec<String>,
}

impl Known {
    fn new(what: &'static str) -> Self {
        let names = Vec::new();
        Self { what, names }
    }

    fn add(&mut self, place: &str, name: Option<String>, field: &str) -> anyhow::Result<()> {
        let Some(name) = name.filter(|name| !name.is_empty()) else {
            bail!(Usage(format!("{place}.{field}: give it one")));
        };
        if self.names.contains(&name) {
            let what = self.what;
            bail!(Usage(format!(
                "{place}: two of the {what} are known by {name:?}; give each its own {field}"
            )));
        }
        self.names.push(name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> String {
        let read = parse(text).and_then(|document| checked(document, Path::new("/nowhere")));
        match read {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn every_problem_has_its_place_and_a_hint() {
        for (text, problem) in [
            ("", "it is empty"),
            ("apps: [", "line 1, column"),
            ("users: []\nusers: []", "the same key stands there twice"),
            ("app: []", "app: this is not known; did you mean apps?"),
            (
                "apps:\n- slug: a\n  configs:\n  - {name: n, shedule: x}",
                "apps[0].configs[0].shedule: this is not known; did you mean schedule?",
            ),
            (
                "apps: [{slug: a, colour: x}]",
                "apps[0].colour: this is not known; known here are slug, name",
            ),
            ("apps: [{name: a}]", "apps[0].slug: this has to be there"),
            (
                "apps: [{slug: a}, {slug: a}]",
                "apps[1]: two of the apps are known by \"a\"",
            ),
            (
                "apps: [{slug: a, configs: [{service: db}]}]",
                "apps[0].configs[0].name: give it one",
            ),
            (
                "apps: [{slug: a, configs: [{name: n, retention: {count: 1, days: 2}}]}]",
                "retention: say count, or days",
            ),
            (
                "apps: [{slug: a, configs: [{name: n, credentials: {password: hunter2}}]}]",
                "apps[0].configs[0].credentials.password: a secret does not stand in the file",
            ),
            (
                "apps: [{slug: a, configs: [{name: n, target: s3, target_settings: {SecretKey: x}}]}]",
                "apps[0].configs[0].target_settings.SecretKey: a secret does not",
            ),
            (
                "apps: [{slug: a, configs: [{name: n, labels: {holdfast.apply: x}}]}]",
                "labels.holdfast.apply: labels of this name are Holdfast's own",
            ),
            (
                "users: [{name: a, password: {env: A=B}}]",
                "write {env: NAME}",
            ),
            ("version: 2\nusers: []", "this program reads version 1"),
        ] {
            let said = said(text);
            assert!(said.contains(problem), "{text}: {said}");
            assert!(!said.contains("hunter2"), "{said}");
        }
        assert_eq!(said("users: [{name: a, password: {env: A}}]"), "");
    }
}
