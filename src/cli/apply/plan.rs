//! What has to be done so that the server has what the document declares.

use std::path::Path;

use anyhow::bail;
use reqwest::Method;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    APPLIED, ApplyArgs,
    compare::{self, Field, tree},
    configs,
    document::{App, Config, Document, UNNAMED, User, Webhook},
    present::{self, Known, KnownApp, KnownConfig},
    secret::SecretFrom,
};
use crate::cli::{address::segment, client::Client, errors::Usage};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Add,
    Change,
    Remove,
}

/// One thing that is not as it is declared.
#[derive(Serialize)]
pub struct Step {
    pub action: Action,
    /// `app`, `config`, `webhook`, `user`.
    pub kind: &'static str,
    pub name: String,
    pub fields: Vec<Field>,
    #[serde(skip)]
    pub calls: Vec<Call>,
}

/// What is asked of the server. `{id}` in a path is that of what the first call made.
pub struct Call {
    pub method: Method,
    pub path: String,
    /// May hold secrets: nothing of it is printed.
    pub body: Value,
}

/// Steps in their order, and what there is beside the document.
#[derive(Default)]
pub struct Plan {
    pub steps: Vec<Step>,
    pub left: Vec<String>,
}

pub struct Planner<'a> {
    pub args: &'a ApplyArgs,
    /// Files are named from here.
    pub folder: &'a Path,
    /// Of the document.
    pub name: &'a str,
}

/// Compares; changes nothing.
pub async fn plan(
    client: &Client,
    document: &Document,
    args: &ApplyArgs,
    folder: &Path,
) -> anyhow::Result<Plan> {
    let name = document.name.as_deref().unwrap_or(UNNAMED);
    let planner = Planner { args, folder, name };
    let mut plan = Plan::default();
    if document.apps.is_some() || args.prune {
        planner.apps(client, document, &mut plan).await?;
    }
    if let Some(webhooks) = &document.webhooks {
        let present = present::webhooks(client).await?;
        for webhook in webhooks {
            let step = planner.webhook(&present, webhook)?;
            plan.steps.extend(step);
        }
    }
    if let Some(users) = &document.users {
        let granted = |name: &str| {
            let declared = users.iter().find(|user| user.name == name);
            declared.is_some_and(|user| user.grants.is_some())
        };
        let present = present::users(client, granted).await?;
        for user in users {
            let step = planner.user(&present, user)?;
            plan.steps.extend(step);
        }
    }
    Ok(plan)
}

impl Planner<'_> {
    async fn apps(
        &self,
        client: &Client,
        document: &Document,
        plan: &mut Plan,
    ) -> anyhow::Result<()> {
        let declared: Vec<&App> = document.apps.iter().flatten().collect();
        let named = |slug: &str| declared.iter().any(|app| app.slug == slug);
        let present = present::apps(client, |slug| self.args.prune || named(slug)).await?;
        for app in &declared {
            let there = present.iter().find(|it| it.is.slug == app.slug);
            plan.steps.extend(self.app(there, app)?);
            let mut met = Vec::new();
            for config in app.configs.iter().flatten() {
                let known = there.map_or(&[][..], |there| &there.configs);
                let known = found(&app.slug, known, config)?;
                met.extend(known.map(|known| known.id));
                plan.steps.extend(self.config(&app.slug, known, config)?);
            }
            self.others(there, &met, plan);
        }
        for app in present.iter().filter(|app| !named(&app.is.slug)) {
            self.others(Some(app), &[], plan);
        }
        Ok(())
    }

    /// Configs that the document does not name.
    fn others(&self, app: Option<&KnownApp>, met: &[i64], plan: &mut Plan) {
        let configs = app.into_iter().flat_map(|app| &app.configs);
        for config in configs.filter(|config| !met.contains(&config.id)) {
            let slug = app.map_or("", |app| &app.is.slug);
            let key = config.is.key().unwrap_or_default();
            let name = format!("{slug}/{key}");
            if self.args.prune && config.applied.as_deref() == Some(self.name) {
                plan.steps.push(Step {
                    action: Action::Remove,
                    kind: "config",
                    name,
                    fields: Vec::new(),
                    calls: vec![Call {
                        method: Method::DELETE,
                        path: format!("/api/backups/configs/{}", config.id),
                        body: Value::Null,
                    }],
                });
            } else {
                plan.left.push(format!("config {name}"));
            }
        }
    }

    fn app(&self, there: Option<&KnownApp>, app: &App) -> anyhow::Result<Option<Step>> {
        let mut declared = tree(app);
        declared.shift_remove("configs");
        let present = there.map(|there| tree(&there.is));
        let slug = segment(&app.slug)?;
        let (method, path) = match there {
            Some(_) => (Method::PUT, format!("/api/apps/{slug}")),
            None => (Method::POST, "/api/apps".to_owned()),
        };
        let step = self.step("app", slug.to_owned(), present, &declared);
        Ok(step.map(|mut step| {
            let mut body = declared;
            if there.is_some() {
                body.shift_remove("slug");
                body.retain(|name, _| step.changes(name));
            }
            let body = body.into();
            step.calls.push(Call { method, path, body });
            step
        }))
    }

    fn config(
        &self,
        slug: &str,
        there: Option<&KnownConfig>,
        config: &Config,
    ) -> anyhow::Result<Option<Step>> {
        let mut declared = tree(config);
        declared.shift_remove("id");
        let present = there.map(|there| configs::comparable(&there.is, config));
        let key = config.key().or_else(|| there?.is.key());
        let name = format!("{slug}/{}", key.unwrap_or_default());
        let Some(mut step) = self.step("config", name, present, &declared) else {
            return Ok(None);
        };
        let mut body = configs::body(self, &step, there.map(|it| &it.is), config)?;
        let mut own = there.map_or_else(Default::default, |it| it.reserved.clone());
        if there.is_none() {
            own.insert(APPLIED.to_owned(), self.name.to_owned());
        }
        if there.is_none() || body.contains_key("labels") {
            let labels = body.entry("labels").or_insert_with(|| json!({}));
            for (name, value) in own {
                labels[name] = value.into();
            }
        }
        let (method, path) = match there {
            Some(there) => (Method::PUT, format!("/api/backups/configs/{}", there.id)),
            None => (
                Method::POST,
                format!("/api/apps/{}/backups/configs", segment(slug)?),
            ),
        };
        let body = body.into();
        step.calls.push(Call { method, path, body });
        Ok(Some(step))
    }

    fn webhook(
        &self,
        present: &[Known<Webhook>],
        webhook: &Webhook,
    ) -> anyhow::Result<Option<Step>> {
        let mut matches = present.iter().filter(|it| match webhook.id {
            Some(id) => it.id == id,
            None => it.is.name == webhook.name,
        });
        let there = matches.next();
        let name = webhook.name.clone().unwrap_or_default();
        if matches.next().is_some() {
            bail!(Usage(format!(
                "several webhooks are called {name:?}: give each its own name, or say its id"
            )));
        }
        if let (Some(id), None) = (webhook.id, there) {
            bail!(Usage(format!(
                "webhook {name:?}: there is none with the id {id}"
            )));
        }
        let mut declared = tree(webhook);
        declared.shift_remove("id");
        let mut before = there.map(|there| tree(&there.is));
        if let (Some(before), Some(kind)) = (&mut before, &webhook.kind)
            && before.get("kind").and_then(Value::as_str) != Some(kind)
        {
            // What one kind was told is not another's.
            for name in ["url", "secret", "settings"] {
                before.shift_remove(name);
            }
        }
        let Some(mut step) = self.step("webhook", name, before, &declared) else {
            return Ok(None);
        };
        let mut body = Map::new();
        for (name, value) in declared.into_iter().filter(|(name, _)| step.changes(name)) {
            body.insert(name, value);
        }
        for (name, from) in [("url", &webhook.url), ("secret", &webhook.secret)] {
            if let (true, Some(from)) = (step.changes(name), from) {
                body.insert(name.to_owned(), self.value(&step.name, name, from)?.into());
            }
        }
        if let (Some(settings), Some(there)) = (body.get_mut("settings"), there) {
            // Those that are not declared go.
            for name in there.is.settings.iter().flatten().map(|it| it.0) {
                if settings.get(name).is_none() {
                    settings[name] = "".into();
                }
            }
        }
        let (method, path) = match there {
            Some(there) => (Method::PUT, format!("/api/webhooks/{}", there.id)),
            None => (Method::POST, "/api/webhooks".to_owned()),
        };
        let body = body.into();
        step.calls.push(Call { method, path, body });
        Ok(Some(step))
    }

    fn user(&self, present: &[Known<User>], user: &User) -> anyhow::Result<Option<Step>> {
        let there = present.iter().find(|it| it.is.name == user.name);
        let declared = tree(user);
        let before = there.map(|there| tree(&there.is));
        let Some(mut step) = self.step("user", user.name.clone(), before, &declared) else {
            return Ok(None);
        };
        let mut password = None;
        if let (true, Some(from)) = (step.changes("password"), &user.password) {
            password = Some(self.value(&user.name, "password", from)?);
        }
        let own = match there {
            Some(there) => format!("/api/users/{}", there.id),
            None => {
                let (Some(password), Some(role)) = (password.take(), &user.role) else {
                    bail!(Usage(format!(
                        "user {}: a new one needs a password and a role",
                        user.name
                    )));
                };
                step.calls.push(Call {
                    method: Method::POST,
                    path: "/api/users".to_owned(),
                    body: json!({ "name": user.name, "role": role, "password": password }),
                });
                "/api/users/{id}".to_owned()
            }
        };
        let mut change = Map::new();
        if let (Some(role), true) = (&user.role, there.is_some() && step.changes("role")) {
            change.insert("role".to_owned(), json!(role));
        }
        if let (Some(disabled), true) = (user.disabled, step.changes("disabled"))
            && (disabled || there.is_some())
        {
            change.insert("disabled".to_owned(), json!(disabled));
        }
        let mut put = |path: String, body: Value| {
            step.calls.push(Call {
                method: Method::PUT,
                path,
                body,
            });
        };
        if !change.is_empty() {
            put(own.clone(), change.into());
        }
        if let Some(password) = password {
            put(format!("{own}/password"), json!({ "password": password }));
        }
        if let Some(grants) = &user.grants
            && there.is_none_or(|there| there.is.grants.as_ref() != Some(grants))
        {
            let grants = grants.iter();
            let grants = grants.map(|(app, role)| json!({ "app": app, "role": role }));
            let grants: Vec<Value> = grants.collect();
            put(format!("{own}/grants"), json!({ "grants": grants }));
        }
        Ok(Some(step))
    }

    /// `None` when it is as it is declared. Its calls are still to come.
    fn step(
        &self,
        kind: &'static str,
        name: String,
        present: Option<Map<String, Value>>,
        declared: &Map<String, Value>,
    ) -> Option<Step> {
        let action = match present {
            Some(_) => Action::Change,
            None => Action::Add,
        };
        let again = self.args.secrets;
        let fields = compare::fields(&present.unwrap_or_default(), declared, again);
        (action == Action::Add || !fields.is_empty()).then(|| Step {
            action,
            kind,
            name,
            fields,
            calls: Vec::new(),
        })
    }

    /// Of a secret that is to be sent.
    pub fn value(&self, of: &str, field: &str, from: &SecretFrom) -> anyhow::Result<String> {
        let value = from.resolve(self.folder);
        value.map_err(|error| Usage(format!("{of}: {field}: {error}")).into())
    }
}

impl Step {
    /// This field or something in it.
    pub fn changes(&self, name: &str) -> bool {
        self.fields.iter().any(|it| {
            it.path == name
                || (it.path.strip_prefix(name)).is_some_and(|rest| rest.starts_with('.'))
        })
    }
}

/// The config that is meant, when it is there.
fn found<'a>(
    slug: &str,
    present: &'a [KnownConfig],
    config: &Config,
) -> anyhow::Result<Option<&'a KnownConfig>> {
    let key = config.key();
    let mut matches = present.iter().filter(|it| match config.id {
        Some(id) => it.id == id,
        None => it.is.key() == key,
    });
    let there = matches.next();
    let other = matches.next();
    let key = key.unwrap_or_default();
    if let Some(other) = other {
        bail!(Usage(format!(
            "{slug}: several configs are known by {key:?}, {} and {} among them: give each its own name, or \
             say its id",
            there.map_or(0, |it| it.id),
            other.id
        )));
    }
    if let (Some(id), None) = (config.id, there) {
        bail!(Usage(format!(
            "{slug}: there is no config {id}; leave its id out to add {key:?}"
        )));
    }
    Ok(there)
}
