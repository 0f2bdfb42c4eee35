//! What a config's dead man's switch was told, and the newest once more.

use askama::Template;
use poem::{Response, handler, web::Path};

use crate::{
    app::Delivery,
    domain::{
        access::Role,
        ids::{AppId, ConfigId},
    },
    web::{
        catalog,
        errors::WebError,
        field::Token,
        page::Section,
        request::{Form, Visit},
        words::Moment,
    },
};

const SHOWN: u64 = 50;

#[derive(Template)]
#[template(path = "pings/content.html")]
struct Content {
    token: Token,
    id: i64,
    slug: String,
    app: String,
    title: String,
    /// Where they go, as much of it as may be shown.
    origin: Option<String>,
    may_act: bool,
    told: Vec<Told>,
}

/// Something that was told outside, or is to be.
pub struct Told {
    pub what: String,
    pub status: String,
    pub attempts: i32,
    pub error: String,
    pub at: Moment,
    /// Where to ask for it once more.
    pub again: Option<String>,
}

impl Told {
    /// `ask_at`: where to ask for it once more, once it is over.
    pub fn of(visit: &Visit, row: Delivery, ask_at: Option<String>) -> Self {
        Self {
            again: ask_at.filter(|_| row.status != "pending"),
            what: row.message().map_or_else(String::new, |it| it.text),
            status: row.status,
            attempts: row.attempts,
            error: row.last_error.unwrap_or_default(),
            at: Moment::of_millis(visit.now, row.created_at),
        }
    }
}

#[handler]
pub async fn show(visit: Visit, Path(id): Path<i64>) -> Result<Response, WebError> {
    let id = ConfigId(id);
    let config = visit.holdfast.present_config(&visit.caller, id).await?;
    let app = AppId(config.app_id);
    let named = visit.holdfast.app_by_id(&visit.caller, app).await?;
    let told = visit.holdfast.pings(&visit.caller, id, SHOWN).await?;
    let may_act = visit.caller.must_be_in(Role::Operator, app).is_ok();
    let spec = config.spec();
    let content = Content {
        token: Token(visit.browser.form_token()),
        id: id.0,
        title: catalog::config_title(&spec),
        told: told
            .into_iter()
            .enumerate()
            .map(|(older, it)| {
                let may = may_act && older == 0 && spec.ping.is_some();
                Told::of(
                    &visit,
                    it,
                    may.then(|| format!("/configs/{id}/pings/again")),
                )
            })
            .collect(),
        origin: spec.ping.map(|ping| ping.origin),
        may_act,
        slug: named.slug,
        app: named.name,
    };
    let title = format!("Pings of {}", content.title);
    visit.page(&title, Section::Apps, &content)
}

#[handler]
pub async fn again(visit: Visit, Path(id): Path<i64>, _form: Form) -> Result<Response, WebError> {
    visit
        .holdfast
        .ping_again(&visit.caller, ConfigId(id))
        .await?;
    Ok(visit.browser.go(&format!("/configs/{id}/pings")))
}
