//! Configs that labels of services ask for: `holdfast.backup.strategy` with a `schedule` beside it makes
//! one, with the target, the retention and the paths that the labels name. So a service is backed up by
//! what stands in its compose file, without anybody clicking.
//!
//! A label asks once. A config that was changed afterwards stays as it was changed, and one that was
//! removed is not made again.

use super::{
    Caller, ConfigInput, Holdfast, Result,
    detect::{Label, Origin, Service, merged},
};
use crate::{
    readmodel::{apps, configs},
    strategy::Detected,
};

impl Holdfast {
    /// Makes the configs of all apps that labels ask for and that never were. What a label asks in vain
    /// goes to the log: whoever wrote it is not here.
    pub async fn heed_labels(&self) -> Result<usize> {
        let mut made = 0;
        for app in self.apps(&Caller::system("labels")).await? {
            made += self.heed_labels_of(&app).await?;
        }
        Ok(made)
    }

    /// The same for one app. An engine that does not answer asks for nothing.
    pub(super) async fn heed_labels_of(&self, app: &apps::Model) -> Result<usize> {
        let caller = Caller::system("labels");
        let _turn = self.0.labels.lock().await;
        let described = self.composition(app).await?.and_then(Result::ok);
        let Ok(containers) = self.service_containers(Some(&app.project)).await else {
            return Ok(0);
        };
        let mut made = 0;
        for service in merged(&app.project, containers, described.as_ref()) {
            let Some((strategy, input)) = asked(&service) else {
                continue;
            };
            if configs::ever_of(self.db(), app.app_id(), &service.name, strategy).await? {
                continue;
            }
            match self.create_config(&caller, &app.slug, input).await {
                Ok(config) => {
                    tracing::info!(app = app.slug, config = config.id, "made as labels ask");
                    made += 1;
                }
                Err(error) => {
                    let service = &service.name;
                    tracing::warn!(app = app.slug, service, %error, "labels ask for a config in vain");
                }
            }
        }
        Ok(made)
    }
}

/// What the labels of a service that has a container ask for.
fn asked(service: &Service) -> Option<(&'static str, ConfigInput)> {
    if service.label != Label::Named || service.origin != Origin::Engine {
        return None;
    }
    let (strategy, found) = service.strategies.iter().next()?;
    let said = |key: &str| found.metadata.get(key).cloned();
    let mut input = ConfigInput {
        service: Some(service.name.clone()),
        strategy: Some((*strategy).to_owned()),
        schedule_cron: Some(said("schedule")?),
        target: said("target"),
        paths: paths(found),
        ..ConfigInput::default()
    };
    if let Some(retention) = said("retention") {
        keep(&mut input, &retention);
    }
    Some((strategy, input))
}

fn paths(found: &Detected) -> Option<Vec<String>> {
    (!found.paths.is_empty()).then(|| found.paths.clone())
}

/// `14` backups, `30d` for days; anything else is refused with the config, by the name of its field.
fn keep(input: &mut ConfigInput, retention: &str) {
    let text = retention.trim();
    if let Some(days) = text.strip_suffix(['d', 'D']) {
        input.retention_mode = Some("time".to_owned());
        input.retention_days = Some(days.trim().parse().unwrap_or(0));
    } else {
        input.retention_mode = Some("count".to_owned());
        input.retention_count = Some(text.parse().unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retention_is_a_number_or_days() {
        let kept = |text: &str| {
            let mut input = ConfigInput::default();
            keep(&mut input, text);
            let number = input.retention_count.or(input.retention_days);
            (input.retention_mode.unwrap(), number.unwrap())
        };
        assert_eq!(kept("14"), ("count".to_owned(), 14));
        assert_eq!(kept(" 30d "), ("time".to_owned(), 30));
        assert_eq!(kept("30 D"), ("time".to_owned(), 30));
        // 0 is refused as any other config's would be.
        for text in ["", "d", "-1", "many", "9999999999999"] {
            assert_eq!(kept(text).1, 0, "{text}");
        }
    }
}
