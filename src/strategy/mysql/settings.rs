//! Which databases, as which user, with which password: the config first, else the container's own
//! environment as the official images read it, with the names of both vendors and the `*_FILE`
//! forms (read inside the container).

use super::names;
use crate::{
    docker::Container,
    domain::{failure::FieldErrors, form::Field, secret::Secret},
    strategy::{Options, Site, StrategyError, stderr::Mask},
};

pub const DATABASES: &str = "databases";
pub const USER: &str = "user";
pub const PASSWORD: &str = "password";

/// The same as fields of the API, for what only the server can say of them.
pub const DATABASES_FIELD: &str = "options.databases";
pub const USER_FIELD: &str = "options.user";
pub const PASSWORD_FIELD: &str = "credentials.password";

/// The vendors' names; those of MariaDB count first, as in its own image.
const VENDORS: [&str; 2] = ["MARIADB", "MYSQL"];
const ROOT: &str = "root";

pub const FIELDS: &[Field] = &[
    Field {
        name: DATABASES,
        label: "Databases",
        help: "Names, separated by commas. Empty: all of the server, without its own.",
        required: false,
        secret: false,
    },
    Field {
        name: USER,
        label: "User",
        help: "Empty: root, with the password that the container was given.",
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
    /// Those that the config names; empty: all.
    pub databases: Vec<String>,
    pub user: String,
    pub password: Option<Secret>,
}

/// Checks what can be checked without a container.
pub fn check(options: &Options) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    for (name, value) in &options.plain {
        let problem = match name.as_str() {
            DATABASES => databases(value).map(|_| ()),
            USER if value.is_empty() => Ok(()),
            USER => names::check_user(value),
            _ => Err("is not an option of mysql; it knows databases, user".to_owned()),
        };
        if let Err(problem) = problem {
            errors.add(format!("options.{name}"), problem);
        }
    }
    for (name, value) in &options.credentials {
        if name != PASSWORD {
            errors.add(name, "is not a credential of mysql; it knows password");
        } else if value.expose().contains('\0') {
            errors.add(name, "must not contain a zero byte");
        }
    }
    errors.into_result()
}

fn databases(list: &str) -> Result<Vec<String>, String> {
    let databases = names::parse_list(list)?;
    databases
        .iter()
        .try_for_each(|name| names::check_database(name))?;
    Ok(databases)
}

impl Settings {
    pub async fn of(site: &Site) -> Result<Self, StrategyError> {
        let explicit = |name: &str| site.options.plain.get(name).filter(|v| !v.is_empty());
        let refused = |field, problem: String| StrategyError::Option {
            field,
            message: problem,
            hint: "Name another one in the config.".to_owned(),
        };
        let databases = match explicit(DATABASES) {
            Some(list) => databases(list).map_err(|problem| refused(DATABASES_FIELD, problem))?,
            None => Vec::new(),
        };
        let password = site.options.credentials.get(PASSWORD);
        let password = password.filter(|password| !password.expose().is_empty());
        let (user, password) = match (explicit(USER), password) {
            (user, Some(password)) => {
                let user = user.map_or(ROOT, String::as_str);
                (user.to_owned(), Some(password.clone()))
            }
            (Some(user), None) => (user.clone(), password_of(site, user).await?),
            (None, None) => login(site).await?,
        };
        names::check_user(&user).map_err(|problem| refused(USER_FIELD, problem))?;
        Ok(Self {
            databases,
            user,
            password,
        })
    }

    pub fn mask(&self) -> Mask {
        let mut public = vec![self.user.as_str(), "mysql", "mariadb", "localhost"];
        public.extend(self.databases.iter().map(String::as_str));
        Mask::new(&self.password, &public)
    }
}

/// Who may log in by the container's environment: root where it was given a password or none, else
/// the image's user; root once more where nothing is said, which some images let in by the socket.
async fn login(site: &Site) -> Result<(String, Option<Secret>), StrategyError> {
    if let Some(password) = from_environment(site, "ROOT_PASSWORD").await? {
        return Ok((ROOT.to_owned(), Some(Secret::new(password))));
    }
    let empty = ["ALLOW_EMPTY_ROOT_PASSWORD", "ALLOW_EMPTY_PASSWORD"];
    let set = |name: &&str| VENDORS.iter().any(|v| is_set(site, &format!("{v}_{name}")));
    if empty.iter().any(set) {
        return Ok((ROOT.to_owned(), None));
    }
    match from_environment(site, "USER").await? {
        Some(user) => {
            let password = from_environment(site, "PASSWORD").await?;
            Ok((user, password.map(Secret::new)))
        }
        None => Ok((ROOT.to_owned(), None)),
    }
}

async fn password_of(site: &Site, user: &str) -> Result<Option<Secret>, StrategyError> {
    let password = if user == ROOT {
        from_environment(site, "ROOT_PASSWORD").await?
    } else if from_environment(site, "USER").await?.as_deref() == Some(user) {
        from_environment(site, "PASSWORD").await?
    } else {
        None
    };
    Ok(password.map(Secret::new))
}

/// What detection can say without running anything: the database that the image was to make.
pub fn database_of(container: &Container) -> Option<String> {
    let set = |vendor: &&str| container.env(&format!("{vendor}_DATABASE"));
    let found = VENDORS.iter().find_map(set);
    found.filter(|name| !name.is_empty()).map(ToOwned::to_owned)
}

fn is_set(site: &Site, name: &str) -> bool {
    site.container
        .env(name)
        .is_some_and(|value| !value.is_empty())
}

/// `MARIADB_NAME`, `MYSQL_NAME`, or what the file holds that one of them names with `_FILE`.
async fn from_environment(site: &Site, name: &str) -> Result<Option<String>, StrategyError> {
    let [first, second] = VENDORS.map(|vendor| format!("{vendor}_{name}"));
    site.told(&[&first, &second]).await
}
