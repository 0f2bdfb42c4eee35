//! Who may come in, as what, and into which apps. For admins.

use askama::Template;
use poem::{Response, handler, http::StatusCode, web::Path};

use crate::{
    app::{AppError, GrantInput, UserChange},
    domain::{access::Role, failure::FieldErrors, ids::UserId},
    readmodel::{apps, users},
    web::{
        errors::WebError,
        field::{Field, Token, focus_first_error},
        page::Section,
        parts,
        request::{Form, Visit},
        words::Moment,
    },
};

#[derive(Template)]
#[template(path = "users/content.html")]
struct Content {
    token: Token,
    users: Vec<UserRow>,
    fields: [Field; 2],
    roles: Vec<Choice>,
    problem: Option<String>,
}

struct UserRow {
    id: i64,
    name: String,
    is_self: bool,
    disabled: bool,
    is_admin: bool,
    roles: Vec<Choice>,
    grants: Vec<GrantRow>,
    since: Moment,
}

/// What somebody is in one app; `*` first, for every app.
struct GrantRow {
    app: String,
    name: String,
    choices: Vec<Choice>,
}

struct Choice {
    value: &'static str,
    label: &'static str,
    chosen: bool,
}

#[handler]
pub async fn show(visit: Visit) -> Result<Response, WebError> {
    respond(
        &visit,
        StatusCode::OK,
        &Form::default(),
        &FieldErrors::default(),
    )
    .await
}

#[handler]
pub async fn add(visit: Visit, form: Form) -> Result<Response, WebError> {
    let role = Role::parse(form.text("role")).unwrap_or_default();
    let password = form.secret("password");
    let added = visit
        .holdfast
        .add_user(&visit.caller, form.text("name"), role, &password)
        .await;
    match added {
        Ok(_) => Ok(visit.browser.go("/users")),
        Err(AppError::Invalid(errors)) => {
            respond(&visit, StatusCode::UNPROCESSABLE_ENTITY, &form, &errors).await
        }
        Err(error) => Err(error.into()),
    }
}

/// Role and grants of one user, as the whole of its form says.
#[handler]
pub async fn change(visit: Visit, Path(id): Path<i64>, form: Form) -> Result<Response, WebError> {
    let (holdfast, caller, id) = (&visit.holdfast, &visit.caller, UserId(id));
    let grants = form.group("grant").into_iter();
    let given = grants.filter(|(_, role)| !role.is_empty());
    let grants = given.map(|(app, role)| GrantInput { app, role }).collect();
    let wanted = UserChange {
        role: Role::parse(form.text("role")),
        disabled: None,
    };
    holdfast.change_user(caller, id, wanted).await?;
    holdfast.set_grants(caller, id, grants).await?;
    Ok(visit.browser.go("/users"))
}

#[handler]
pub async fn switch(visit: Visit, Path(id): Path<i64>, form: Form) -> Result<Response, WebError> {
    let wanted = UserChange {
        role: None,
        disabled: Some(!form.checked("enabled")),
    };
    visit
        .holdfast
        .change_user(&visit.caller, UserId(id), wanted)
        .await?;
    Ok(visit.browser.go("/users"))
}

#[handler]
pub async fn delete(visit: Visit, Path(id): Path<i64>, _form: Form) -> Result<Response, WebError> {
    visit
        .holdfast
        .remove_user(&visit.caller, UserId(id))
        .await?;
    Ok(visit.browser.go("/users"))
}

async fn respond(
    visit: &Visit,
    status: StatusCode,
    sent: &Form,
    errors: &FieldErrors,
) -> Result<Response, WebError> {
    let all = visit.holdfast.users(&visit.caller).await?;
    let apps = visit.holdfast.apps(&visit.caller).await?;
    let mut fields = [
        Field::new("name", "Name")
            .help("Letters, digits, dots, dashes and underscores.")
            .value(sent.text("name"))
            .required()
            .error(errors, "name"),
        Field::new("password", "Password")
            .kind("password")
            .help("At least 12 characters. Give it to them in person; they can change it.")
            .autocomplete("new-password")
            .required()
            .error(errors, "password"),
    ];
    focus_first_error(&mut fields);
    let content = Content {
        token: Token(visit.browser.form_token()),
        users: all.iter().map(|user| row(visit, user, &apps)).collect(),
        fields,
        roles: roles(Role::parse(sent.text("role")).unwrap_or_default()),
        problem: errors.0.get("role").cloned(),
    };
    visit.page_with(status, "Users", Section::Activity, &content)
}

fn row(visit: &Visit, user: &users::Model, apps: &[apps::Model]) -> UserRow {
    let grants = user.grants();
    let mut rows = vec![GrantRow {
        app: "*".to_owned(),
        name: "Every app, those to come too".to_owned(),
        choices: grant_choices(grants.everywhere),
    }];
    rows.extend(apps.iter().map(|app| GrantRow {
        app: app.slug.clone(),
        name: app.name.clone(),
        choices: grant_choices(grants.apps.get(&app.app_id()).copied()),
    }));
    UserRow {
        id: user.id,
        name: user.name.clone(),
        is_self: visit.caller.user == Some(user.user_id()),
        disabled: user.disabled_at.is_some(),
        is_admin: user.role() == Role::Admin,
        roles: roles(user.role()),
        grants: rows,
        since: Moment::of_millis(visit.now, user.created_at),
    }
}

fn roles(present: Role) -> Vec<Choice> {
    let label = |role| match role {
        Role::Viewer => "Viewer: looks",
        Role::Operator => "Operator: backs up and restores",
        Role::Admin => "Admin: everything",
    };
    Role::ALL
        .map(|role| Choice {
            value: role.name(),
            label: label(role),
            chosen: role == present,
        })
        .into()
}

fn grant_choices(present: Option<Role>) -> Vec<Choice> {
    [
        ("", "No grant", None),
        ("viewer", "Viewer", Some(Role::Viewer)),
        ("operator", "Operator", Some(Role::Operator)),
    ]
    .map(|(value, label, role)| Choice {
        value,
        label,
        chosen: role == present,
    })
    .into()
}
