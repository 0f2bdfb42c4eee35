//! What becomes of users once they are there: role, grants, whether they may come in.

use super::{AppError, Caller, Holdfast, Result, auth};
use crate::{
    domain::{
        access::{Role, User, UserCommand},
        aggregate::Refusal,
        failure::{FieldErrors, one_of},
        grant::Grants,
        ids::UserId,
    },
    log::{LogError, Unit},
    readmodel::{apps, users},
};

/// Stands for every app, those to come among them.
const EVERY_APP: &str = "*";

/// What is to be changed; what is absent stays.
#[derive(Debug, Clone, Default)]
pub struct UserChange {
    pub role: Option<Role>,
    pub disabled: Option<bool>,
}

/// On one app, by its slug, or on all (`*`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantInput {
    pub app: String,
    pub role: String,
}

impl Holdfast {
    pub async fn user(&self, caller: &Caller, id: UserId) -> Result<users::Model> {
        caller.must_be(Role::Admin)?;
        let found = users::get(self.db(), id).await?;
        found.ok_or_else(|| AppError::NotFound(format!("the user {id}")))
    }

    /// The sessions of a user who is disabled end.
    pub async fn change_user(
        &self,
        caller: &Caller,
        id: UserId,
        change: UserChange,
    ) -> Result<users::Model> {
        self.user(caller, id).await?;
        self.must_be_fresh(caller)?;
        self.log()
            .write(caller.cause(), move |unit| {
                Box::pin(async move {
                    if let Some(role) = change.role {
                        if role != Role::Admin {
                            must_leave_an_admin(unit, id).await?;
                        }
                        unit.execute::<User>(id.0, UserCommand::ChangeRole { role })
                            .await?;
                    }
                    if let Some(disabled) = change.disabled {
                        if disabled {
                            must_leave_an_admin(unit, id).await?;
                            auth::end_sessions(unit.tx(), id).await?;
                        }
                        let enabled = !disabled;
                        unit.execute::<User>(id.0, UserCommand::Enable { enabled })
                            .await?;
                    }
                    Ok(())
                })
            })
            .await?;
        self.user(caller, id).await
    }

    /// By slug and role, `*` first. Grants on apps that were removed are not told.
    pub async fn grants(&self, caller: &Caller, id: UserId) -> Result<Vec<GrantInput>> {
        let grants = self.user(caller, id).await?.grants();
        let grant = |app: &str, role: Role| GrantInput {
            app: app.to_owned(),
            role: role.name().to_owned(),
        };
        let everywhere = grants.everywhere.map(|role| grant(EVERY_APP, role));
        let apps = apps::list(self.db()).await?;
        let apps = apps.iter().filter_map(|app| {
            let role = grants.apps.get(&app.app_id())?;
            Some(grant(&app.slug, *role))
        });
        Ok(everywhere.into_iter().chain(apps).collect())
    }

    /// In place of those there were.
    pub async fn set_grants(
        &self,
        caller: &Caller,
        id: UserId,
        input: Vec<GrantInput>,
    ) -> Result<()> {
        self.user(caller, id).await?;
        self.must_be_fresh(caller)?;
        let grants = self.read_grants(input).await?;
        self.log()
            .execute::<User>(caller.cause(), id.0, UserCommand::Grant { grants })
            .await?;
        Ok(())
    }

    async fn read_grants(&self, input: Vec<GrantInput>) -> Result<Grants> {
        let (mut grants, mut errors) = (Grants::default(), FieldErrors::default());
        for grant in input {
            let known = Role::parse(&grant.role).filter(|role| *role != Role::Admin);
            let Some(role) = known else {
                errors.add("grants", one_of(["viewer", "operator"]));
                continue;
            };
            if grant.app == EVERY_APP {
                grants.everywhere = Some(role);
                continue;
            }
            match apps::by_slug(self.db(), &grant.app).await? {
                Some(app) => drop(grants.apps.insert(app.app_id(), role)),
                None => {
                    let slug = super::apps::shown(&grant.app);
                    errors.add("grants", format!("there is no app {slug}"));
                }
            }
        }
        errors.into_result()?;
        Ok(grants)
    }
}

/// Refused when nobody else could let anybody in.
pub(super) async fn must_leave_an_admin(unit: &Unit, user: UserId) -> Result<(), LogError> {
    let others = users::list(unit.tx()).await?;
    let admin = |other: &users::Model| {
        other.role() == Role::Admin && other.disabled_at.is_none() && other.user_id() != user
    };
    if others.iter().any(admin) {
        return Ok(());
    }
    let last = "this is the last admin; make another one first";
    Err(Refusal::Conflict(last.into()).into())
}
