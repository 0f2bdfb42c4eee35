//! Users and their tokens. Password and token digests are not events: they lie in the vault's
//! tables, so that an export of the log holds nothing to attack.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{
    aggregate::{Aggregate, Refusal},
    event::{Scope, StreamKind},
    grant::{Grants, TokenScope},
    ids::{TokenId, UserId},
    text,
};

/// What somebody may do. Ordered: each may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look.
    #[default]
    Viewer,
    /// Run, restore, change configs.
    Operator,
    /// Users, tokens of others, the server itself.
    Admin,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenSpec {
    pub name: String,
    /// Never above the user's own role at the time of use.
    pub role: Role,
    pub expires_at: Option<DateTime<Utc>>,
    /// What it may be used for; none: whatever its role may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<BTreeSet<TokenScope>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserCommand {
    Add {
        user: UserId,
        name: String,
        role: Role,
    },
    /// The digest itself goes to the vault in the same transaction.
    ChangePassword,
    ChangeRole {
        role: Role,
    },
    Grant {
        grants: Grants,
    },
    /// Whether they may log in, and their tokens be used.
    Enable {
        enabled: bool,
    },
    /// The secret itself lies in the vault.
    SetSecondFactor {
        on: bool,
    },
    /// They are who that issuer calls so.
    Link {
        issuer: String,
        subject: String,
    },
    IssueToken {
        token: TokenId,
        spec: TokenSpec,
    },
    RevokeToken {
        token: TokenId,
    },
    Remove,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", content = "data")]
pub enum AccessEvent {
    #[serde(rename = "user.added")]
    UserAdded {
        user: UserId,
        name: String,
        role: Role,
    },
    #[serde(rename = "user.password_changed")]
    PasswordChanged {},
    #[serde(rename = "user.role_changed")]
    RoleChanged { role: Role },
    #[serde(rename = "user.granted")]
    Granted { grants: Grants },
    #[serde(rename = "user.disabled")]
    Disabled {},
    #[serde(rename = "user.enabled")]
    Enabled {},
    #[serde(rename = "user.second_factor_added")]
    SecondFactorAdded {},
    #[serde(rename = "user.second_factor_removed")]
    SecondFactorRemoved {},
    #[serde(rename = "user.linked")]
    Linked { issuer: String, subject: String },
    #[serde(rename = "user.token_issued")]
    TokenIssued { token: TokenId, spec: TokenSpec },
    #[serde(rename = "user.token_revoked")]
    TokenRevoked { token: TokenId },
    #[serde(rename = "user.removed")]
    UserRemoved {},
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub name: String,
    pub role: Role,
    pub grants: Grants,
    pub tokens: BTreeMap<TokenId, TokenSpec>,
    exists: bool,
    disabled: bool,
    has_second_factor: bool,
}

impl Aggregate for User {
    type Command = UserCommand;
    type Event = AccessEvent;
    const KIND: StreamKind = StreamKind::User;

    fn decide(&self, command: UserCommand) -> Result<Vec<AccessEvent>, Refusal> {
        if !self.exists && !matches!(command, UserCommand::Add { .. } | UserCommand::Remove) {
            return Err(Refusal::NotFound("the user".into()));
        }
        Ok(match command {
            UserCommand::Add { user, name, role } => {
                if self.exists {
                    return Err(Refusal::Conflict(format!("user {} exists", self.name)));
                }
                text::container_name("name", &name).map_err(Refusal::Invalid)?;
                vec![AccessEvent::UserAdded { user, name, role }]
            }
            UserCommand::ChangePassword => vec![AccessEvent::PasswordChanged {}],
            UserCommand::ChangeRole { role } if role == self.role => vec![],
            UserCommand::ChangeRole { role } => vec![AccessEvent::RoleChanged { role }],
            UserCommand::Grant { grants } if grants == self.grants => vec![],
            UserCommand::Grant { grants } => {
                let admin = |role: &Role| *role == Role::Admin;
                if grants
                    .everywhere
                    .iter()
                    .chain(grants.apps.values())
                    .any(admin)
                {
                    let problem = "grant viewer or operator; an admin needs no grant";
                    return Err(Refusal::field("grants", problem));
                }
                vec![AccessEvent::Granted { grants }]
            }
            UserCommand::Enable { enabled } if enabled != self.disabled => vec![],
            UserCommand::Enable { enabled: true } => vec![AccessEvent::Enabled {}],
            UserCommand::Enable { enabled: false } => vec![AccessEvent::Disabled {}],
            UserCommand::SetSecondFactor { on } if on == self.has_second_factor => vec![],
            UserCommand::SetSecondFactor { on: true } => vec![AccessEvent::SecondFactorAdded {}],
            UserCommand::SetSecondFactor { on: false } => {
                vec![AccessEvent::SecondFactorRemoved {}]
            }
            UserCommand::Link { issuer, subject } => {
                vec![AccessEvent::Linked { issuer, subject }]
            }
            UserCommand::IssueToken { token, spec } => {
                if spec.scopes.as_ref().is_some_and(BTreeSet::is_empty) {
                    return Err(Refusal::field("scopes", "choose at least one"));
                }
                text::label("name", &spec.name).map_err(Refusal::Invalid)?;
                if spec.role > self.role {
                    return Err(Refusal::field(
                        "role",
                        format!(
                            "a token of {} can be at most {}",
                            self.name,
                            self.role.name()
                        ),
                    ));
                }
                vec![AccessEvent::TokenIssued { token, spec }]
            }
            UserCommand::RevokeToken { token } if self.tokens.contains_key(&token) => {
                vec![AccessEvent::TokenRevoked { token }]
            }
            UserCommand::RevokeToken { .. } => vec![],
            UserCommand::Remove if self.exists => vec![AccessEvent::UserRemoved {}],
            UserCommand::Remove => vec![],
        })
    }

    fn evolve(&mut self, event: &AccessEvent) {
        match event {
            AccessEvent::UserAdded { user, name, role } => {
                self.id = *user;
                self.name.clone_from(name);
                self.role = *role;
                self.grants = Grants::all();
                self.exists = true;
            }
            AccessEvent::PasswordChanged {} | AccessEvent::Linked { .. } => {}
            AccessEvent::RoleChanged { role } => self.role = *role,
            AccessEvent::Granted { grants } => self.grants.clone_from(grants),
            AccessEvent::SecondFactorAdded {} => self.has_second_factor = true,
            AccessEvent::SecondFactorRemoved {} => self.has_second_factor = false,
            AccessEvent::Disabled {} => self.disabled = true,
            AccessEvent::Enabled {} => self.disabled = false,
            AccessEvent::TokenIssued { token, spec } => {
                self.tokens.insert(*token, spec.clone());
            }
            AccessEvent::TokenRevoked { token } => {
                self.tokens.remove(token);
            }
            AccessEvent::UserRemoved {} => {
                self.exists = false;
                self.tokens.clear();
            }
        }
    }

    fn scope(&self) -> Scope {
        Scope::default()
    }
}
