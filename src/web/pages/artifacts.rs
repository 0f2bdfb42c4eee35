//! What lies in the targets, beside what the log says, for admins: files without a run, runs without their
//! file, and what can be done about each.

use askama::Template;
use poem::{Response, handler, http::StatusCode};

use crate::{
    app::{AppError, Compared, Difference, Expected, Lack, Remains, Stray},
    web::{
        errors::WebError,
        field::{Field, Token},
        page::Section,
        parts,
        request::{Form, Visit},
        words,
    },
};

#[derive(Template)]
#[template(path = "artifacts/content.html")]
struct Content {
    token: Token,
    places: Vec<PlaceView>,
    said: Option<Said>,
}

struct PlaceView {
    id: String,
    name: String,
    /// Why nobody knows what lies there, and what to do.
    away: Option<(String, String)>,
    present: String,
    strays: Vec<StrayRow>,
    lacking: Vec<LackRow>,
    /// Some of them are not red yet.
    untold: bool,
}

struct StrayRow {
    key: String,
    size: String,
    what: String,
    run: Option<i64>,
    adoptable: bool,
    confirm: Field,
    /// What was typed did not fit: the form stays open.
    open: bool,
}

struct LackRow {
    run: i64,
    key: String,
    what: String,
    todo: &'static str,
}

/// What came of what was asked for here.
struct Said {
    well: bool,
    sentence: String,
    /// The run that was made.
    run: Option<i64>,
}

impl Said {
    fn well(sentence: String) -> Self {
        Self {
            well: true,
            sentence,
            run: None,
        }
    }
}

/// What was typed to confirm the deletion of this one, in this place.
struct Mistyped<'a> {
    place: &'a str,
    key: &'a str,
    typed: &'a str,
}

#[handler]
pub async fn show(visit: Visit) -> Result<Response, WebError> {
    respond(&visit, StatusCode::OK, None, None).await
}

#[handler]
pub async fn adopt(visit: Visit, form: Form) -> Result<Response, WebError> {
    let (place, key) = (form.text("place"), form.text("key"));
    let adopted = visit.holdfast.adopt_stray(&visit.caller, place, key).await;
    let said = told(adopted.map(|run| Said {
        run: Some(run.0),
        ..Said::well(format!(
            "{key} is the backup of a run now. It is being read: it counts once it was found whole."
        ))
    }))?;
    respond(&visit, StatusCode::OK, Some(said), None).await
}

#[handler]
pub async fn delete(visit: Visit, form: Form) -> Result<Response, WebError> {
    let mistyped = Mistyped {
        place: form.text("place"),
        key: form.text("key"),
        typed: form.text("confirm"),
    };
    let Mistyped { place, key, typed } = mistyped;
    if typed != name_of(key) {
        let status = StatusCode::UNPROCESSABLE_ENTITY;
        return respond(&visit, status, None, Some(mistyped)).await;
    }
    let deleted = visit.holdfast.delete_stray(&visit.caller, place, key).await;
    let said = told(deleted.map(|()| Said::well(format!("{key} is deleted."))))?;
    respond(&visit, StatusCode::OK, Some(said), None).await
}

#[handler]
pub async fn verify(visit: Visit, form: Form) -> Result<Response, WebError> {
    let place = form.text("place");
    let asked = visit.holdfast.verify_lacking(&visit.caller, place).await;
    let said = told(asked.map(|asked| {
        let runs = words::plural(asked, "run");
        Said::well(format!(
            "{runs} will be read again, in every place. What is lost is said of them then."
        ))
    }))?;
    respond(&visit, StatusCode::OK, Some(said), None).await
}

/// What the present state does not allow is said on the page.
fn told(done: Result<Said, AppError>) -> Result<Said, WebError> {
    let sentence = match done {
        Ok(said) => return Ok(said),
        Err(AppError::Failed(failure)) => format!("{}. {}", failure.message, failure.hint),
        Err(error @ (AppError::Conflict(_) | AppError::NotFound(_))) => error.to_string(),
        Err(error) => return Err(error.into()),
    };
    Ok(Said {
        well: false,
        sentence,
        run: None,
    })
}

async fn respond(
    visit: &Visit,
    status: StatusCode,
    said: Option<Said>,
    mistyped: Option<Mistyped<'_>>,
) -> Result<Response, WebError> {
    let compared = visit.holdfast.reconcile(&visit.caller).await?;
    let places = compared
        .into_iter()
        .map(|place| view(place, mistyped.as_ref()));
    let content = Content {
        token: Token(visit.browser.form_token()),
        places: places.collect(),
        said,
    };
    visit.page_with(
        status,
        "Backups in the targets",
        Section::Activity,
        &content,
    )
}

fn view(place: Compared, mistyped: Option<&Mistyped<'_>>) -> PlaceView {
    let Compared { id, place, found } = place;
    let (found, away) = match found {
        Ok(found) => (found, None),
        Err(failure) => (Difference::default(), Some((failure.message, failure.hint))),
    };
    let mistyped = mistyped.filter(|it| it.place == id);
    PlaceView {
        present: match found.present {
            0 => "no backup of a run".to_owned(),
            present => format!("{} as the log says", words::plural(present, "backup")),
        },
        untold: found.lacking.iter().any(|(it, _)| !it.told),
        lacking: found
            .lacking
            .iter()
            .map(|(it, lack)| lacking(it, *lack))
            .collect(),
        strays: found.strays.iter().map(|it| stray(it, mistyped)).collect(),
        name: place,
        away,
        id,
    }
}

fn stray(stray: &Stray, mistyped: Option<&Mistyped<'_>>) -> StrayRow {
    let key = stray.key.to_string();
    let mistyped = mistyped.filter(|it| it.key == key);
    let name = name_of(&key);
    let mut confirm = Field::new("confirm", format!("Type {name} to delete it"))
        .value(mistyped.map_or("", |it| it.typed))
        .required();
    confirm.error = mistyped.map(|_| format!("type {name} to confirm"));
    confirm.autofocus = confirm.error.is_some();
    StrayRow {
        size: words::size(stray.size),
        what: match (stray.run, stray.remains) {
            (Some(run), _) => format!("Left over: run {run} let it go, and it was deleted once"),
            (None, Remains::Whole) => {
                "A backup with its manifest, of which the log knows nothing".to_owned()
            }
            (None, Remains::Artifact) => {
                "No manifest: an attempt that was cut off, or somebody deleted it".to_owned()
            }
            (None, Remains::Manifest) => "A manifest without its backup".to_owned(),
        },
        run: stray.run.map(|run| run.0),
        adoptable: stray.may_be_adopted(),
        open: mistyped.is_some(),
        confirm,
        key,
    }
}

fn lacking(it: &Expected, lack: Lack) -> LackRow {
    let what = match lack {
        Lack::Artifact => "It is not there".to_owned(),
        Lack::Manifest => {
            "Its manifest is not there, without which nothing can be restored".to_owned()
        }
        Lack::Length { found } => {
            let (found, stored) = (words::count(found), words::count(it.size));
            format!("It has {found} bytes instead of {stored}")
        }
    };
    LackRow {
        run: it.run.0,
        key: it.key.clone(),
        what,
        todo: match (it.told, it.copy, it.elsewhere) {
            (true, Some(_), _) => "The run says so. Copy it again there.",
            (true, None, 0) => "The run says so: nothing is left to restore.",
            (true, None, _) => "The run says so; a restore reads the copy.",
            (false, _, 0) => {
                "Nothing else holds it. Put the file back, or have it read again: then the run is red."
            }
            (false, Some(_), _) => {
                "Have it read again: then it can be copied again on the run's page."
            }
            (false, None, _) => {
                "A copy holds it, and a restore reads that. Have it read again, so that the run says so."
            }
        },
    }
}

fn name_of(key: &str) -> &str {
    key.rsplit('/').next().unwrap_or(key)
}
