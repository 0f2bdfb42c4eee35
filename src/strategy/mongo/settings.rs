//! Which database, as which user, with which password: the config first, else the container's own
//! environment as the usual images read it, `*_FILE` forms included (read inside the container).

use crate::{
    domain::{failure::FieldErrors, form::Field, secret::Secret},
    strategy::{Options, Site, StrategyError, stderr::Mask},
};

pub const DATABASE: &str = "database";
pub const USER: &str = "user";
pub const PASSWORD: &str = "password";

/// The same as fields of the API, for what only the server can say of them.
pub const DATABASE_FIELD: &str = "options.database";
pub const USER_FIELD: &str = "options.user";
pub const PASSWORD_FIELD: &str = "credentials.password";

/// Names in the environment of the official image and of the other common one. The config may use
/// the first ones for its own words, as the module before Holdfast did.
const USER_VARIABLES: [&str; 2] = ["MONGO_INITDB_ROOT_USERNAME", "MONGODB_ROOT_USER"];
const PASSWORD_VARIABLES: [&str; 2] = ["MONGO_INITDB_ROOT_PASSWORD", "MONGODB_ROOT_PASSWORD"];
/// Of an image that asks only for a password.
const USUAL_USER: &str = "root";

/// Longest name of a database, in bytes.
const LONGEST: usize = 63;

pub const FIELDS: &[Field] = &[
    Field {
        name: DATABASE,
        label: "Database",
        help: "Empty: all of the server, without its own.",
        required: false,
        secret: false,
    },
    Field {
        name: USER,
        label: "User",
        help: "Empty: the one in the container's environment, if there is one.",
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
    /// `None`: all databases of the server.
    pub database: Option<String>,
    /// `None`: the server asks for no login.
    pub login: Option<Login>,
}

#[derive(Debug, Clone)]
pub struct Login {
    pub user: String,
    pub password: Secret,
}

/// Checks what can be checked without a container.
pub fn check(options: &Options) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    for (name, value) in &options.plain {
        let problem = match name.as_str() {
            DATABASE | USER if value.is_empty() => Ok(()),
            DATABASE => check_database(value),
            USER => check_user(value),
            _ => Err("is not an option of mongo; it knows database, user".to_owned()),
        };
        if let Err(problem) = problem {
            errors.add(format!("options.{name}"), problem);
        }
    }
    for (name, value) in &options.credentials {
        let problem = match name.as_str() {
            PASSWORD => check_password(value),
            name if name == PASSWORD_VARIABLES[0] => check_password(value),
            name if name == USER_VARIABLES[0] => check_user(value.expose()),
            _ => Err("is not a credential of mongo; it knows password".to_owned()),
        };
        if let Err(problem) = problem {
            errors.add(name, problem);
        }
    }
    errors.into_result()
}

/// Says what is wrong with the name of a database: the server's own rules, and no option.
pub fn check_database(name: &str) -> Result<(), String> {
    let problem = if name.is_empty() {
        "must not be empty"
    } else if name.len() > LONGEST {
        "must not be longer than 63 bytes"
    } else if name.starts_with('-') {
        "must not begin with a dash"
    } else if name.contains(['/', '\\', '.', ' ', '"', '$']) || name.chars().any(char::is_control) {
        "must not contain / \\ . \" $, blanks or control characters"
    } else if ["admin", "config", "local"].contains(&name) {
        "must not be one of the server's own; leave it empty for all databases"
    } else {
        return Ok(());
    };
    Err(problem.to_owned())
}

fn check_user(name: &str) -> Result<(), String> {
    let problem = if name.is_empty() {
        "must not be empty"
    } else if name.starts_with('-') {
        "must not begin with a dash"
    } else if name.chars().any(char::is_control) {
        "must not contain control characters"
    } else {
        return Ok(());
    };
    Err(problem.to_owned())
}

/// The tools read it up to the first control character.
fn check_password(password: &Secret) -> Result<(), String> {
    if password.expose().chars().any(char::is_control) {
        return Err("must not contain control characters".to_owned());
    }
    Ok(())
}

impl Settings {
    pub async fn of(site: &Site) -> Result<Self, StrategyError> {
        let Options {
            plain, credentials, ..
        } = &site.options;
        let given = |value: Option<&String>| value.filter(|value| !value.is_empty()).cloned();
        let secret = |name: &str| given(credentials.get(name).map(Secret::expose));
        let user = match given(plain.get(USER)).or_else(|| secret(USER_VARIABLES[0])) {
            Some(user) => Some(user),
            None => site.told(&USER_VARIABLES).await?,
        };
        let password = match secret(PASSWORD).or_else(|| secret(PASSWORD_VARIABLES[0])) {
            Some(password) => Some(password),
            None => site.told(&PASSWORD_VARIABLES).await?,
        };
        let database = given(plain.get(DATABASE));
        if let Some(name) = &database {
            let refused =
                |problem| refused(DATABASE_FIELD, &format!("database name {name:?}"), problem);
            check_database(name).map_err(refused)?;
        }
        Ok(Self {
            database,
            login: login(user, password)?,
        })
    }

    pub fn mask(&self) -> Mask {
        let login = self.login.as_ref();
        let public: Vec<&str> = (login.map(|login| login.user.as_str()).into_iter())
            .chain(self.database.as_deref())
            .chain(["mongo", "mongodb", "admin", USUAL_USER])
            .collect();
        Mask::new(login.map(|login| &login.password), &public)
    }
}

fn login(user: Option<String>, password: Option<String>) -> Result<Option<Login>, StrategyError> {
    let (user, password) = match (user, password) {
        (None, None) => return Ok(None),
        (Some(user), None) => {
            let problem = "has no password".to_owned();
            return Err(refused(PASSWORD_FIELD, &format!("user {user:?}"), problem));
        }
        (user, Some(password)) => (
            user.unwrap_or_else(|| USUAL_USER.to_owned()),
            Secret::new(password),
        ),
    };
    check_user(&user)
        .map_err(|problem| refused(USER_FIELD, &format!("user name {user:?}"), problem))?;
    check_password(&password).map_err(|problem| refused(PASSWORD_FIELD, "password", problem))?;
    Ok(Some(Login { user, password }))
}

fn refused(field: &'static str, what: &str, problem: String) -> StrategyError {
    StrategyError::Option {
        field,
        message: format!("the {what} {problem}"),
        hint: "Set another one in the config.".to_owned(),
    }
}
