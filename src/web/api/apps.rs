//! Apps: compose projects that are looked after.

use std::collections::BTreeMap;

use poem_openapi::{Object, OpenApi, param::Path, payload::Json};
use serde::Deserialize;

use super::{
    answer::{Answer, Created, Done},
    body::{Body, Sent},
    error::ApiError,
    values::Time,
    visit::Visit,
};
use crate::{
    app::{Project, Service, Unprotected},
    domain::{app::AppSpec, secret::Secret},
    readmodel::apps,
};

#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct App {
    id: i64,
    slug: String,
    name: String,
    /// Name of the compose project.
    project: String,
    compose_path: Option<String>,
    /// A compose file was uploaded.
    compose_uploaded: bool,
    created_at: Time,
    /// Services with data that no enabled config covers. Absent when the engine does not answer and
    /// no compose file says anything, and in lists.
    unprotected: Option<Vec<UnprotectedService>>,
}

#[derive(Object)]
#[oai(read_only_all)]
pub struct UnprotectedService {
    service: String,
    /// What it holds, in words.
    holds: String,
}

impl From<Unprotected> for UnprotectedService {
    fn from(found: Unprotected) -> Self {
        Self {
            service: found.service,
            holds: found.holds,
        }
    }
}

impl From<apps::Model> for App {
    fn from(app: apps::Model) -> Self {
        Self {
            id: app.id,
            slug: app.slug,
            name: app.name,
            project: app.project,
            compose_path: app.compose_path,
            compose_uploaded: app.compose_upload.is_some(),
            created_at: Time::of(app.created_at),
            unprotected: None,
        }
    }
}

#[derive(Object, Deserialize)]
#[oai(write_only_all)]
#[serde(deny_unknown_fields)]
pub struct NewApp {
    /// Part of addresses and folder names: lower-case letters, digits and dashes.
    slug: String,
    /// For people; the slug when absent.
    #[serde(default)]
    name: Option<String>,
    /// Name of the compose project; the slug when absent.
    #[serde(default)]
    project: Option<String>,
    /// Absolute path of the compose file on the server; several with `:` between them, each over the
    /// one before.
    #[serde(default)]
    compose_path: Option<String>,
    /// Text of a compose file, in place of a path; in a form, the file itself.
    #[serde(default)]
    compose: Option<String>,
}

/// Absent fields keep their value.
#[derive(Object, Deserialize)]
#[oai(write_only_all)]
#[serde(deny_unknown_fields)]
pub struct AppChange {
    name: Option<String>,
    project: Option<String>,
    /// Empty: none.
    compose_path: Option<String>,
    /// Text of a compose file, in place of a path. Empty: none.
    compose: Option<String>,
}

/// A compose project that the engine shows.
#[derive(Object)]
#[oai(read_only_all, skip_serializing_if_is_none)]
pub struct Discovered {
    project: String,
    /// Slug of the app that looks after it already.
    app_slug: Option<String>,
    services: Vec<DiscoveredService>,
}

#[derive(Object)]
#[oai(read_only_all)]
pub struct DiscoveredService {
    name: String,
    container_name: String,
    image: String,
    running: bool,
    /// Strategy → why it fits.
    strategies: BTreeMap<String, String>,
}

impl From<Project> for Discovered {
    fn from(project: Project) -> Self {
        Self {
            project: project.name,
            app_slug: project.registered,
            services: project.services.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Service> for DiscoveredService {
    fn from(service: Service) -> Self {
        let strategies = service.strategies.into_iter();
        Self {
            name: service.name,
            container_name: service.container,
            image: service.image,
            running: service.running,
            strategies: strategies
                .map(|(kind, detected)| (kind.to_owned(), detected.reason))
                .collect(),
        }
    }
}

pub struct Apps;

#[OpenApi]
impl Apps {
    /// Apps, by name
    #[oai(path = "/apps", method = "get", operation_id = "list_apps")]
    async fn list_apps(&self, visit: Visit) -> Answer<Vec<App>> {
        let apps = visit.holdfast.apps(&visit.caller).await?;
        Ok(Json(apps.into_iter().map(Into::into).collect()))
    }

    /// Registers an app
    ///
    /// A compose file that is named or sent must be readable. Without a project's name, the compose
    /// file's own is taken.
    #[oai(path = "/apps", method = "post", operation_id = "add_app")]
    async fn add_app(&self, visit: Visit, body: Sent<NewApp>) -> Result<Created<App>, ApiError> {
        let sent = body.0;
        let spec = AppSpec {
            name: sent.name.unwrap_or_default(),
            project: sent.project.unwrap_or_default(),
            compose_path: sent.compose_path.filter(|path| !path.is_empty()),
            compose_upload: None,
        };
        let compose = sent.compose.filter(|text| !text.is_empty());
        let app = visit
            .holdfast
            .register_composed_app(&visit.caller, &sent.slug, spec, compose.map(Secret::new))
            .await?;
        Ok(Created(app.into()))
    }

    /// Compose projects that the engine shows
    #[oai(
        path = "/apps/discover",
        method = "post",
        operation_id = "discover_apps"
    )]
    async fn discover_apps(&self, visit: Visit) -> Answer<Vec<Discovered>> {
        let projects = visit.holdfast.discover(&visit.caller).await?;
        Ok(Json(projects.into_iter().map(Into::into).collect()))
    }

    /// One app
    #[oai(path = "/apps/:slug", method = "get", operation_id = "get_app")]
    async fn get_app(&self, visit: Visit, slug: Path<String>) -> Answer<App> {
        let (holdfast, caller) = (&visit.holdfast, &visit.caller);
        let app = holdfast.app(caller, &slug).await?;
        let configs = holdfast.configs(caller, &app).await?;
        let one = std::slice::from_ref(&app);
        let unprotected = holdfast.unprotected(caller, one, &configs).await?;
        let unprotected = unprotected.into_values().next();
        Ok(Json(App {
            unprotected: unprotected.map(|all| all.into_iter().map(Into::into).collect()),
            ..app.into()
        }))
    }

    /// Changes an app
    #[oai(path = "/apps/:slug", method = "put", operation_id = "change_app")]
    async fn change_app(
        &self,
        visit: Visit,
        slug: Path<String>,
        body: Body<AppChange>,
    ) -> Answer<App> {
        let mut spec = visit.holdfast.app(&visit.caller, &slug).await?.spec();
        let sent = body.0;
        spec.name = sent.name.unwrap_or(spec.name);
        spec.project = sent.project.unwrap_or(spec.project);
        // One takes the place of the other.
        if sent.compose.is_some() || sent.compose_path.is_some() {
            spec.compose_upload = None;
            spec.compose_path = sent.compose_path.filter(|path| !path.is_empty());
        }
        let compose = sent.compose.filter(|text| !text.is_empty());
        let app = visit
            .holdfast
            .change_app(&visit.caller, &slug, spec, compose.map(Secret::new))
            .await?;
        Ok(Json(app.into()))
    }

    /// Removes an app and its configs; runs and artifacts stay
    #[oai(path = "/apps/:slug", method = "delete", operation_id = "remove_app")]
    async fn remove_app(&self, visit: Visit, slug: Path<String>) -> Result<Done, ApiError> {
        visit.holdfast.remove_app(&visit.caller, &slug).await?;
        Ok(Done)
    }
}
