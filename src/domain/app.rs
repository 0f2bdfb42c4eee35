//! An app: a compose project whose services are backed up.

use serde::{Deserialize, Serialize};

use super::{
    aggregate::{Aggregate, Refusal},
    config::SecretRef,
    event::{Scope, StreamKind},
    failure::FieldErrors,
    ids::AppId,
    text,
};

/// What a person says about an app.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppSpec {
    /// For people. The slug when empty.
    pub name: String,
    /// The compose project's name, as in the label `com.docker.compose.project`.
    pub project: String,
    /// Absolute path of the compose file on the server, when known; several with `:` between them,
    /// each over the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compose_path: Option<String>,
    /// Text of a compose file that was uploaded. Not beside a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compose_upload: Option<SecretRef>,
}

impl AppSpec {
    /// Of `compose_path`, when there is one.
    pub fn check_path(path: Option<&str>) -> Result<(), FieldErrors> {
        path.map_or(Ok(()), |path| {
            path.split(':')
                .try_for_each(|path| text::absolute_path("compose_path", path))
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppCommand {
    Register {
        app: AppId,
        slug: String,
        spec: AppSpec,
    },
    Change {
        spec: AppSpec,
    },
    Remove,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", content = "data")]
pub enum AppEvent {
    #[serde(rename = "app.registered")]
    Registered {
        app: AppId,
        slug: String,
        spec: AppSpec,
    },
    #[serde(rename = "app.changed")]
    Changed { spec: AppSpec },
    #[serde(rename = "app.removed")]
    Removed {},
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct App {
    pub id: AppId,
    pub slug: String,
    pub spec: AppSpec,
    exists: bool,
}

impl Aggregate for App {
    type Command = AppCommand;
    type Event = AppEvent;
    const KIND: StreamKind = StreamKind::App;

    fn decide(&self, command: AppCommand) -> Result<Vec<AppEvent>, Refusal> {
        match command {
            AppCommand::Register { app, slug, spec } => {
                if self.exists {
                    return Err(Refusal::Conflict(format!("app {} exists", self.slug)));
                }
                let spec = with_default_name(&slug, spec);
                check(Some(&slug), &spec).map_err(Refusal::Invalid)?;
                Ok(vec![AppEvent::Registered { app, slug, spec }])
            }
            AppCommand::Change { spec } => {
                self.must_exist()?;
                let spec = with_default_name(&self.slug, spec);
                check(None, &spec).map_err(Refusal::Invalid)?;
                Ok(if spec == self.spec {
                    vec![]
                } else {
                    vec![AppEvent::Changed { spec }]
                })
            }
            AppCommand::Remove => Ok(if self.exists {
                vec![AppEvent::Removed {}]
            } else {
                vec![]
            }),
        }
    }

    fn evolve(&mut self, event: &AppEvent) {
        match event {
            AppEvent::Registered { app, slug, spec } => {
                self.id = *app;
                self.slug.clone_from(slug);
                self.spec.clone_from(spec);
                self.exists = true;
            }
            AppEvent::Changed { spec } => self.spec.clone_from(spec),
            AppEvent::Removed {} => self.exists = false,
        }
    }

    fn scope(&self) -> Scope {
        Scope::app(self.id)
    }
}

impl App {
    fn must_exist(&self) -> Result<(), Refusal> {
        if self.exists {
            Ok(())
        } else {
            Err(Refusal::NotFound("the app".into()))
        }
    }
}

fn with_default_name(slug: &str, mut spec: AppSpec) -> AppSpec {
    if spec.name.trim().is_empty() {
        slug.clone_into(&mut spec.name);
    }
    if spec.project.is_empty() {
        slug.clone_into(&mut spec.project);
    }
    spec
}

fn check(slug: Option<&str>, spec: &AppSpec) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    if let Some(slug) = slug {
        errors.merge(text::slug("slug", slug));
    }
    errors.merge(text::label("name", &spec.name));
    errors.merge(text::container_name("project", &spec.project));
    errors.merge(AppSpec::check_path(spec.compose_path.as_deref()));
    if spec.compose_path.is_some() && spec.compose_upload.is_some() {
        errors.add("compose", "send a compose file or its path, not both");
    }
    errors.into_result()
}
