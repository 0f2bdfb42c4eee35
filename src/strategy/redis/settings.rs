//! How to log in: the config first, else the container's own environment as the usual images read it,
//! `*_FILE` forms included (read inside the container).

use crate::{
    domain::{failure::FieldErrors, form::Field, secret::Secret},
    strategy::{Options, Site, StrategyError, stderr::Mask},
};

const USER: &str = "user";
const PORT: &str = "port";
const PASSWORD: &str = "password";

/// The same as fields of the API, for what only the server can say of them.
pub const USER_FIELD: &str = "options.user";
pub const PASSWORD_FIELD: &str = "credentials.password";

pub const DEFAULT_PORT: u16 = 6379;

/// Variables in which images take the password of the default user.
const VARIABLES: [&str; 4] = [
    "REDIS_PASSWORD",
    "VALKEY_PASSWORD",
    "KEYDB_PASSWORD",
    "REDISCLI_AUTH",
];

pub const FIELDS: &[Field] = &[
    Field {
        name: USER,
        label: "User",
        help: "Of the server's access list. Empty for the default user.",
        required: false,
        secret: false,
    },
    Field {
        name: PASSWORD,
        label: "Password",
        help: "Empty to take it from the container's environment, if the server wants one.",
        required: false,
        secret: true,
    },
    Field {
        name: PORT,
        label: "Port",
        help: "Inside the container. Empty for 6379.",
        required: false,
        secret: false,
    },
];

/// Who to be.
#[derive(Debug, Clone, Default)]
pub struct Login {
    pub user: Option<String>,
    pub password: Option<Secret>,
}

impl Login {
    pub fn mask(&self) -> Mask {
        Mask::new(&self.password, &[self.user.as_deref().unwrap_or("default")])
    }
}

/// Checks what can be checked without a container.
pub fn check(options: &Options) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    for (name, value) in &options.plain {
        let problem = match name.as_str() {
            USER if value.chars().any(|c| c.is_control() || c == ' ') => {
                Err("must not contain blanks or control characters")
            }
            PORT if !value.is_empty() && port_of(value).is_none() => {
                Err("must be a number from 1 to 65535")
            }
            USER | PORT => Ok(()),
            _ => Err("is not an option of redis; it knows user, port"),
        };
        if let Err(problem) = problem {
            errors.add(format!("options.{name}"), problem);
        }
    }
    for (name, value) in &options.credentials {
        if name != PASSWORD {
            errors.add(name, "is not a credential of redis; it knows password");
        } else if value.expose().contains('\0') {
            errors.add(name, "must not contain a zero byte");
        }
    }
    errors.into_result()
}

pub fn port(options: &Options) -> u16 {
    let explicit = options.plain.get(PORT);
    explicit
        .and_then(|port| port_of(port))
        .unwrap_or(DEFAULT_PORT)
}

fn port_of(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port > 0)
}

/// The logins to try, in order. The config's own password has to be right, so it is the only one then.
/// One from the environment may be meant for a client: the server may want none.
pub async fn logins(site: &Site) -> Result<Vec<Login>, StrategyError> {
    check(&site.options).map_err(|errors| first(&errors))?;
    let plain = |name: &str| {
        site.options
            .plain
            .get(name)
            .filter(|value| !value.is_empty())
    };
    let user = plain(USER).cloned();
    let explicit = site.options.credentials.get(PASSWORD);
    let explicit = explicit
        .filter(|password| !password.expose().is_empty())
        .cloned();
    if let Some(password) = explicit {
        let password = Some(password);
        return Ok(vec![Login { user, password }]);
    }
    let password = site.told(&VARIABLES).await?.map(Secret::new);
    match (user, password) {
        (None, None) => Ok(vec![Login::default()]),
        (None, password) => {
            let login = Login {
                user: None,
                password,
            };
            Ok(vec![login, Login::default()])
        }
        (user, Some(password)) => {
            let password = Some(password);
            Ok(vec![Login { user, password }])
        }
        (Some(_), None) => Err(StrategyError::Option {
            field: USER_FIELD,
            message: "a user needs a password".to_owned(),
            hint: "Set the user's password in the config, or leave the user out.".to_owned(),
        }),
    }
}

/// Even when nobody checked before.
fn first(errors: &FieldErrors) -> StrategyError {
    let (name, problem) = errors.0.first_key_value().map_or(("", ""), |(n, p)| (n, p));
    let field = match name {
        "options.user" => USER_FIELD,
        "options.port" => "options.port",
        PASSWORD => PASSWORD_FIELD,
        _ => "options",
    };
    StrategyError::Option {
        field,
        message: format!("{name} {problem}"),
        hint: "Correct the config.".to_owned(),
    }
}
