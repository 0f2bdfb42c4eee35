//! To any app, config, run or page in a few keys. It is a page like any other; with a script it also
//! opens over the page that is shown (Ctrl-K), and is filled while somebody types.

use askama::Template;
use poem::{Response, handler, web::Query};
use serde::Deserialize;

use crate::{
    app::AppError,
    domain::ids::{RestoreId, RunId},
    readmodel::{apps, configs},
    web::{
        catalog,
        errors::WebError,
        page::{self, Section},
        parts::{self, Icon},
        request::Visit,
    },
};

/// More than this helps nobody to find anything.
const MOST: usize = 12;

#[derive(Template)]
#[template(path = "find/content.html")]
struct Content {
    asked: String,
    found: Found,
}

#[derive(Template)]
#[template(path = "find/_found.html")]
struct Found {
    asked: String,
    hits: Vec<Hit>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Hit {
    path: String,
    icon: Icon,
    title: String,
    /// What kind of thing it is, and where.
    about: String,
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    q: String,
}

#[handler]
pub async fn show(visit: Visit, Query(asked): Query<Asked>) -> Result<Response, WebError> {
    let asked = asked.q.trim();
    let mut hits = by_number(&visit, asked).await?;
    let known = Known::load(&visit).await?;
    hits.extend(known.matching(asked));
    hits.truncate(MOST);
    let found = Found {
        asked: asked.to_owned(),
        hits,
    };
    if visit.wants("found") {
        return page::fragment(poem::http::StatusCode::OK, &found);
    }
    let content = Content {
        asked: asked.to_owned(),
        found,
    };
    visit.page("Find", Section::Backups, &content)
}

/// `17`, `run 17`, `restore 3`.
async fn by_number(visit: &Visit, asked: &str) -> Result<Vec<Hit>, WebError> {
    let mut words = asked.split_whitespace().rev();
    let number = words
        .next()
        .and_then(|word| word.trim_start_matches('#').parse().ok());
    let (Some(number), kind) = (number, words.next().unwrap_or_default()) else {
        return Ok(Vec::new());
    };
    let mut hits = Vec::new();
    let is = |name: &str| name.starts_with(&kind.to_lowercase());
    let (holdfast, caller) = (&visit.holdfast, &visit.caller);
    if is("run") || is("backup") {
        let found = there(holdfast.run(caller, RunId(number)).await)?;
        hits.extend(found.map(|run| Hit {
            path: format!("/runs/{number}"),
            icon: parts::icon("shield"),
            title: format!("Run {number}"),
            about: run.status,
        }));
    }
    if is("restore") {
        let found = there(holdfast.restore(caller, RestoreId(number)).await)?;
        hits.extend(found.map(|restore| Hit {
            path: format!("/restores/{number}"),
            icon: parts::icon("restore"),
            title: format!("Restore {number}"),
            about: format!("into {}, {}", restore.service, restore.status),
        }));
    }
    Ok(hits)
}

/// What is not there and what was not granted are the same to whoever looks for it.
fn there<T>(found: Result<T, AppError>) -> Result<Option<T>, AppError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(AppError::NotFound(_) | AppError::Hidden(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Everything that has a name, in the order in which it is offered.
struct Known(Vec<Hit>);

impl Known {
    async fn load(visit: &Visit) -> Result<Self, WebError> {
        let apps = visit.holdfast.apps(&visit.caller).await?;
        let mut hits: Vec<Hit> = apps.iter().map(Hit::app).collect();
        // One statement however many apps there are: this is asked for with each key that is pressed.
        let configs = configs::list(visit.holdfast.log().db()).await;
        for config in configs.map_err(AppError::from)? {
            // Apps that the caller may not see are not among them.
            if let Some(app) = apps.iter().find(|app| app.id == config.app_id) {
                hits.push(Hit::config(app, &config, visit));
            }
        }
        let pages = Section::ALL.into_iter();
        hits.extend(pages.map(|(_, path, label, icon)| Hit {
            path: path.to_owned(),
            icon: parts::icon(icon),
            title: label.to_owned(),
            about: "page".to_owned(),
        }));
        Ok(Self(hits))
    }

    /// Those that hold every word; what begins with the first one stands first.
    fn matching(self, asked: &str) -> Vec<Hit> {
        let asked = asked.to_lowercase();
        let words: Vec<&str> = asked.split_whitespace().collect();
        let mut hits: Vec<Hit> = self
            .0
            .into_iter()
            .filter(|hit| {
                let text = format!("{} {}", hit.title, hit.about).to_lowercase();
                words.iter().all(|word| text.contains(word))
            })
            .collect();
        let first = words.first().copied().unwrap_or_default();
        hits.sort_by_key(|hit| !hit.title.to_lowercase().starts_with(first));
        hits
    }
}

impl Hit {
    fn app(app: &apps::Model) -> Self {
        Self {
            path: format!("/apps/{}", app.slug),
            icon: parts::icon("apps"),
            title: app.name.clone(),
            about: format!("app {}", app.slug),
        }
    }

    /// Leads to the form for whoever may change it, else to the app.
    fn config(app: &apps::Model, config: &configs::Model, visit: &Visit) -> Self {
        let spec = config.spec();
        Self {
            path: if visit.caller.acts_in(app.app_id()) {
                format!("/configs/{}", config.id)
            } else {
                format!("/apps/{}", app.slug)
            },
            icon: catalog::strategy_tag(&spec.strategy).icon,
            title: catalog::config_title(&spec),
            about: format!("config of {}, {}", app.name, spec.service),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::samples;

    #[test]
    fn every_word_has_to_be_there_and_beginnings_come_first() {
        let names = [("webshop", "Web shop"), ("shop", "Shop"), ("blog", "Blog")];
        let known = || {
            let apps = names
                .iter()
                .zip(1..)
                .map(|((slug, name), id)| samples::app(id, slug, name));
            Known(apps.map(|app| Hit::app(&app)).collect())
        };
        let titles = |asked: &str| -> Vec<String> {
            known()
                .matching(asked)
                .into_iter()
                .map(|hit| hit.title)
                .collect()
        };
        assert_eq!(titles(""), ["Web shop", "Shop", "Blog"]);
        assert_eq!(titles("SHOP"), ["Shop", "Web shop"]);
        assert_eq!(titles("shop web"), ["Web shop"]);
        assert_eq!(titles("app blog"), ["Blog"]);
        assert_eq!(titles("nothing"), Vec::<String>::new());
    }
}
