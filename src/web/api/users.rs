//! Users: who may log in, and as what.

use poem_openapi::{Object, OpenApi, param::Path, payload::Json};
use serde::Deserialize;

use super::{
    answer::{Answer, Created, Done},
    body::Body,
    error::ApiError,
    values::Time,
    visit::Visit,
};
use crate::{
    app::{GrantInput, UserChange},
    domain::{access::Role, failure::one_of, ids::UserId, secret::Secret},
    readmodel::users,
};

#[derive(Object)]
#[oai(read_only_all)]
pub struct User {
    id: i64,
    name: String,
    /// `viewer`, `operator` or `admin`.
    role: String,
    /// May not log in, and the tokens are of no use.
    disabled: bool,
    created_at: Time,
}

/// What a user may see of one app, or of all.
#[derive(Object, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Slug of an app; `*` for every app, those to come among them.
    app: String,
    /// `viewer` or `operator`; never above the user's own.
    role: String,
}

/// Absent fields keep their value.
#[derive(Object, Deserialize, Default)]
#[oai(write_only_all)]
#[serde(deny_unknown_fields, default)]
pub struct UserBody {
    /// `viewer`, `operator` or `admin`.
    role: Option<String>,
    /// Ends all of the user's sessions.
    disabled: Option<bool>,
}

#[derive(Object, Deserialize)]
#[oai(write_only_all)]
#[serde(deny_unknown_fields)]
pub struct GrantsBody {
    grants: Vec<Grant>,
}

impl From<GrantInput> for Grant {
    fn from(grant: GrantInput) -> Self {
        Self {
            app: grant.app,
            role: grant.role,
        }
    }
}

impl From<users::Model> for User {
    fn from(user: users::Model) -> Self {
        Self {
            id: user.id,
            name: user.name,
            role: user.role,
            disabled: user.disabled_at.is_some(),
            created_at: Time::of(user.created_at),
        }
    }
}

#[derive(Object, Deserialize)]
#[oai(write_only_all)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    name: String,
    /// `viewer`, `operator` or `admin`.
    role: String,
    /// At least 12 characters.
    password: String,
}

#[derive(Object, Deserialize)]
#[oai(write_only_all)]
#[serde(deny_unknown_fields)]
pub struct NewPassword {
    /// At least 12 characters.
    password: String,
}

pub struct Users;

#[OpenApi]
impl Users {
    /// Users, by name
    #[oai(path = "/users", method = "get", operation_id = "list_users")]
    async fn list_users(&self, visit: Visit) -> Answer<Vec<User>> {
        let users = visit.holdfast.users(&visit.caller).await?;
        Ok(Json(users.into_iter().map(Into::into).collect()))
    }

    /// Adds a user
    #[oai(path = "/users", method = "post", operation_id = "add_user")]
    async fn add_user(&self, visit: Visit, body: Body<NewUser>) -> Result<Created<User>, ApiError> {
        let sent = body.0;
        let role = role(&sent.role)?;
        let password = Secret::new(sent.password);
        visit
            .holdfast
            .add_user(&visit.caller, &sent.name, role, &password)
            .await?;
        let user = visit.holdfast.user_by_name(&sent.name).await?;
        Ok(Created(user.into()))
    }

    /// Changes a user's role, or whether they may come in
    #[oai(path = "/users/:id", method = "put", operation_id = "change_user")]
    async fn change_user(&self, visit: Visit, id: Path<i64>, body: Body<UserBody>) -> Answer<User> {
        let change = UserChange {
            role: body.0.role.as_deref().map(role).transpose()?,
            disabled: body.0.disabled,
        };
        let user = visit
            .holdfast
            .change_user(&visit.caller, UserId(*id), change)
            .await?;
        Ok(Json(user.into()))
    }

    /// The apps that a user may see; an admin sees all
    #[oai(
        path = "/users/:id/grants",
        method = "get",
        operation_id = "list_grants"
    )]
    async fn list_grants(&self, visit: Visit, id: Path<i64>) -> Answer<Vec<Grant>> {
        let grants = visit.holdfast.grants(&visit.caller, UserId(*id)).await?;
        Ok(Json(grants.into_iter().map(Into::into).collect()))
    }

    /// Grants these apps in place of those before; what is not granted does not exist for the user
    #[oai(
        path = "/users/:id/grants",
        method = "put",
        operation_id = "set_grants"
    )]
    async fn set_grants(
        &self,
        visit: Visit,
        id: Path<i64>,
        body: Body<GrantsBody>,
    ) -> Answer<Vec<Grant>> {
        let (holdfast, caller, id) = (&visit.holdfast, &visit.caller, UserId(*id));
        let input = body.0.grants.into_iter().map(|grant| GrantInput {
            app: grant.app,
            role: grant.role,
        });
        holdfast.set_grants(caller, id, input.collect()).await?;
        let grants = holdfast.grants(caller, id).await?;
        Ok(Json(grants.into_iter().map(Into::into).collect()))
    }

    /// Removes a user, with all sessions and tokens
    #[oai(path = "/users/:id", method = "delete", operation_id = "remove_user")]
    async fn remove_user(&self, visit: Visit, id: Path<i64>) -> Result<Done, ApiError> {
        visit
            .holdfast
            .remove_user(&visit.caller, UserId(*id))
            .await?;
        Ok(Done)
    }

    /// Sets a user's password, and ends all of the user's sessions
    #[oai(
        path = "/users/:id/password",
        method = "put",
        operation_id = "set_password"
    )]
    async fn set_password(
        &self,
        visit: Visit,
        id: Path<i64>,
        body: Body<NewPassword>,
    ) -> Result<Done, ApiError> {
        let password = Secret::new(body.0.password);
        visit
            .holdfast
            .change_password(&visit.caller, UserId(*id), &password)
            .await?;
        Ok(Done)
    }
}

/// The role of that name.
pub fn role(name: &str) -> Result<Role, ApiError> {
    Role::parse(name).ok_or_else(|| ApiError::invalid("role", one_of(Role::ALL.map(Role::name))))
}
