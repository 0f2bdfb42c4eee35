//! Which database, as which user, with which password: the config first, else the container's own
//! environment as the official image reads it, `*_FILE` forms included (read inside the container).

use super::names;
use crate::{
    docker::Container,
    domain::{failure::FieldErrors, form::Field, secret::Secret},
    strategy::{Options, Site, StrategyError, stderr::Mask},
};

pub const DATABASE: &str = "database";
pub const USER: &str = "user";
pub const FORMAT: &str = "format";
pub const PASSWORD: &str = "password";

/// Instead of a database's name: all of the server, without its templates.
pub const ALL: &str = "*";

/// The same as fields of the API, for what only the server can say of them.
pub const DATABASE_FIELD: &str = "options.database";
pub const USER_FIELD: &str = "options.user";
pub const PASSWORD_FIELD: &str = "credentials.password";

pub const FIELDS: &[Field] = &[
    Field {
        name: DATABASE,
        label: "Database",
        help: "Empty: the one that the container was made for. *: all of the server, without templates.",
        required: false,
        secret: false,
    },
    Field {
        name: USER,
        label: "User",
        help: "Empty: the one that the container was made with.",
        required: false,
        secret: false,
    },
    Field {
        name: PASSWORD,
        label: "Password",
        help: "Empty: the one in the container's environment.",
        required: false,
        secret: true,
    },
];

#[derive(Debug, Clone)]
pub struct Settings {
    /// Where `all` are meant: the one that the container was made for.
    pub database: String,
    pub all: bool,
    pub user: String,
    pub password: Option<Secret>,
    /// The password is the config's own, so it has to be right. One from the environment counted
    /// when the server was first started, and may have been changed since.
    pub password_is_explicit: bool,
}

/// Checks what can be checked without a container.
pub fn check(options: &Options) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    for (name, value) in &options.plain {
        let problem = match name.as_str() {
            DATABASE | USER if value.is_empty() => Ok(()),
            DATABASE if value == ALL => Ok(()),
            DATABASE => names::check(value).and_then(|()| not_template(value)),
            USER => names::check(value),
            FORMAT if ["", "plain"].contains(&value.as_str()) => Ok(()),
            FORMAT => Err("must be plain".to_owned()),
            _ => Err("is not an option of postgres; it knows database, user, format".to_owned()),
        };
        if let Err(problem) = problem {
            errors.add(format!("options.{name}"), problem);
        }
    }
    for (name, value) in &options.credentials {
        if name != PASSWORD {
            errors.add(name, "is not a credential of postgres; it knows password");
        } else if value.expose().contains(['\0', '\n', '\r']) {
            errors.add(name, "must be one line");
        }
    }
    errors.into_result()
}

/// The templates hold nothing of an app, and a restore could not swap them.
pub fn not_template(database: &str) -> Result<(), String> {
    if ["template0", "template1"].contains(&database) {
        return Err("must not be a template database".to_owned());
    }
    Ok(())
}

impl Settings {
    pub async fn of(site: &Site) -> Result<Self, StrategyError> {
        let explicit = |name: &str| {
            site.options
                .plain
                .get(name)
                .filter(|v| !v.is_empty())
                .cloned()
        };
        let user = match explicit(USER) {
            Some(user) => user,
            None => site
                .told(&["POSTGRES_USER"])
                .await?
                .unwrap_or_else(|| "postgres".to_owned()),
        };
        let named = explicit(DATABASE);
        let all = named.as_deref() == Some(ALL);
        let database = match named.filter(|_| !all) {
            Some(database) => database,
            None => site
                .told(&["POSTGRES_DB"])
                .await?
                .unwrap_or_else(|| user.clone()),
        };
        let refused = |field, what, name: &str, problem| StrategyError::Option {
            field,
            message: format!("the {what} name {name:?} {problem}"),
            hint: "Name another one in the config.".to_owned(),
        };
        names::check(&user).map_err(|problem| refused(USER_FIELD, "user", &user, problem))?;
        names::check(&database)
            .and_then(|()| not_template(&database))
            .map_err(|problem| refused(DATABASE_FIELD, "database", &database, problem))?;
        let explicit = site.options.credentials.get(PASSWORD);
        let explicit = explicit.filter(|password| !password.expose().is_empty());
        let password = match explicit {
            Some(password) => Some(password.clone()),
            None => site.told(&["POSTGRES_PASSWORD"]).await?.map(Secret::new),
        };
        Ok(Self {
            database,
            all,
            user,
            password,
            password_is_explicit: explicit.is_some(),
        })
    }

    pub fn mask(&self) -> Mask {
        Mask::new(&self.password, &[&self.database, &self.user, "postgres"])
    }
}

/// What detection can say without running anything: the database, and where its name comes from.
pub fn database_of(container: &Container) -> (String, &'static str) {
    let set = |name: &str| container.env(name).filter(|value| !value.is_empty());
    match (set("POSTGRES_DB"), set("POSTGRES_USER")) {
        (Some(database), _) => (database.to_owned(), "POSTGRES_DB"),
        (None, Some(user)) => (user.to_owned(), "POSTGRES_USER"),
        (None, None) => ("postgres".to_owned(), "the image's default"),
    }
}
