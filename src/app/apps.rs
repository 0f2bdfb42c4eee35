//! Apps: register, change, remove.

use super::{AppError, Artifacts, Caller, Holdfast, Result, composed::Source};
use crate::{
    compose::Composition,
    domain::{
        access::Role,
        aggregate::Refusal,
        app::{App, AppCommand, AppSpec},
        event::StreamKind,
        failure::FieldErrors,
        ids::AppId,
        secret::Secret,
    },
    readmodel::apps,
};

impl Holdfast {
    /// Those that the caller may see.
    pub async fn apps(&self, caller: &Caller) -> Result<Vec<apps::Model>> {
        let mut apps = apps::list(self.db()).await?;
        apps.retain(|app| caller.sees(app.app_id()));
        Ok(apps)
    }

    pub async fn app(&self, caller: &Caller, slug: &str) -> Result<apps::Model> {
        let found = apps::by_slug(self.db(), slug).await?;
        caller.seen(
            found,
            apps::Model::app_id,
            format!("the app {}", shown(slug)),
        )
    }

    /// The same, for whoever may act in it.
    pub async fn app_to_act_in(&self, caller: &Caller, slug: &str) -> Result<apps::Model> {
        caller.must_be(Role::Operator)?;
        let app = self.app(caller, slug).await?;
        caller.must_be_in(Role::Operator, app.app_id())?;
        Ok(app)
    }

    /// Also answers removed apps, which old runs still belong to.
    pub async fn app_by_id(&self, caller: &Caller, id: AppId) -> Result<apps::Model> {
        let found = apps::get(self.db(), id).await?;
        caller.seen(found, apps::Model::app_id, format!("the app {id}"))
    }

    pub async fn register_app(
        &self,
        caller: &Caller,
        slug: &str,
        spec: AppSpec,
    ) -> Result<apps::Model> {
        self.register_composed_app(caller, slug, spec, None).await
    }

    /// The same with the text of a compose file that lies nowhere on this host. It is kept in the
    /// vault, because compose files often hold passwords.
    pub async fn register_composed_app(
        &self,
        caller: &Caller,
        slug: &str,
        mut spec: AppSpec,
        compose: Option<Secret>,
    ) -> Result<apps::Model> {
        caller.must_be_everywhere(Role::Operator)?;
        let described = self.described(&spec, compose.as_ref()).await?;
        if spec.project.is_empty() {
            spec.project = described.project.unwrap_or_default();
        }
        let (vault, wanted) = (self.0.vault.clone(), slug.to_owned());
        self.log()
            .write(caller.cause(), move |unit| {
                Box::pin(async move {
                    if apps::by_slug(unit.tx(), &wanted).await?.is_some() {
                        let taken = FieldErrors::one("slug", "an app of this name exists");
                        return Err(Refusal::Invalid(taken).into());
                    }
                    let app = AppId(unit.next_id(StreamKind::App).await?);
                    let slug = wanted;
                    if let Some(text) = &compose {
                        spec.compose_upload = Some(vault.seal(unit, text).await?);
                    }
                    unit.execute::<App>(app.0, AppCommand::Register { app, slug, spec })
                        .await
                })
            })
            .await?;
        let app = self.app(caller, slug).await?;
        self.heed_labels_of(&app).await?;
        Ok(app)
    }

    /// `compose` is the text of another compose file; what the app has stays when it is absent.
    pub async fn change_app(
        &self,
        caller: &Caller,
        slug: &str,
        mut spec: AppSpec,
        compose: Option<Secret>,
    ) -> Result<apps::Model> {
        let app = self.app_to_act_in(caller, slug).await?;
        // Another project or file is another app's data, for whoever has a grant on this one alone.
        let elsewhere = spec.project != app.project || spec.compose_path != app.compose_path;
        if elsewhere || compose.is_some() {
            caller.must_be_everywhere(Role::Operator)?;
        }
        // A name can be changed while the file is away.
        if compose.is_some() || spec.compose_path != app.compose_path {
            self.described(&spec, compose.as_ref()).await?;
        }
        let vault = self.0.vault.clone();
        self.log()
            .write(caller.cause(), move |unit| {
                Box::pin(async move {
                    if let Some(text) = &compose {
                        spec.compose_upload = Some(vault.seal(unit, text).await?);
                    }
                    unit.execute::<App>(app.id, AppCommand::Change { spec })
                        .await
                })
            })
            .await?;
        self.app(caller, slug).await
    }

    /// What the compose file says, so that none is taken that cannot be read.
    async fn described(&self, spec: &AppSpec, compose: Option<&Secret>) -> Result<Composition> {
        if let (Some(_), Some(_)) = (&spec.compose_path, compose) {
            return Err(AppError::field(
                "compose",
                "send a compose file or its path, not both",
            ));
        }
        let errors = AppSpec::check_path(spec.compose_path.as_deref());
        errors.map_err(AppError::Invalid)?;
        let (field, read) = match (&spec.compose_path, compose) {
            (_, Some(text)) => ("compose", Source::Text(text.clone()).read().await?),
            (Some(path), None) => ("compose_path", Source::Path(path.clone()).read().await?),
            (None, None) => return Ok(Composition::default()),
        };
        read.map_err(|error| AppError::field(field, error.to_string()))
    }

    /// Its configs go with it; runs and artifacts stay.
    pub async fn remove_app(&self, caller: &Caller, slug: &str) -> Result<()> {
        let app = self.app_to_act_in(caller, slug).await?;
        self.must_be_fresh(caller)?;
        for config in self.configs(caller, &app).await? {
            self.remove_config(caller, config.config_id(), Artifacts::Keep)
                .await?;
        }
        self.log()
            .execute::<App>(caller.cause(), app.id, AppCommand::Remove)
            .await?;
        Ok(())
    }
}

/// A name from outside, short enough and plain enough to be said back.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().filter(|c| !c.is_control()).take(64).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}
