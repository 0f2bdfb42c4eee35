//! What somebody may do where: grants of users, scopes of tokens. Both only ever take away from a role.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{access::Role, ids::AppId};

/// The apps that a user may see, and as what. An admin needs none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct Grants {
    /// In every app, those to come among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub everywhere: Option<Role>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub apps: BTreeMap<AppId, Role>,
}

impl Grants {
    /// As far as the role goes, everywhere: what users have unless somebody says otherwise.
    pub fn all() -> Self {
        Self {
            everywhere: Some(Role::Operator),
            apps: BTreeMap::new(),
        }
    }

    /// What a user of the role `most` is in the app; none: it is as if it did not exist.
    pub fn role_in(&self, app: AppId, most: Role) -> Option<Role> {
        if most == Role::Admin {
            return Some(most);
        }
        let own = self.apps.get(&app).copied();
        own.max(self.everywhere).map(|role| role.min(most))
    }

    /// What a user of the role `most` is in all apps together.
    pub fn role_everywhere(&self, most: Role) -> Option<Role> {
        if most == Role::Admin {
            return Some(most);
        }
        self.everywhere.map(|role| role.min(most))
    }
}

/// What a token may be used for, within its role. Names are stored data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenScope {
    /// Look.
    Read,
    /// Apps and configs, and runs of them.
    Backup,
    /// Restore, undo, download.
    Restore,
    /// Remove apps and configs.
    Delete,
    /// Users, tokens, sessions, webhooks, the server itself.
    Admin,
}

impl TokenScope {
    pub const ALL: [Self; 5] = [
        Self::Read,
        Self::Backup,
        Self::Restore,
        Self::Delete,
        Self::Admin,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Backup => "backup",
            Self::Restore => "restore",
            Self::Delete => "delete",
            Self::Admin => "admin",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_never_lifts_a_role_and_an_admin_needs_none() {
        let (shop, blog) = (AppId(1), AppId(2));
        let one = Grants {
            everywhere: None,
            apps: BTreeMap::from([(shop, Role::Operator)]),
        };
        assert_eq!(one.role_in(shop, Role::Operator), Some(Role::Operator));
        assert_eq!(one.role_in(shop, Role::Viewer), Some(Role::Viewer));
        assert_eq!(one.role_in(blog, Role::Operator), None);
        assert_eq!(one.role_everywhere(Role::Operator), None);
        assert_eq!(one.role_in(blog, Role::Admin), Some(Role::Admin));

        let looks = Grants {
            everywhere: Some(Role::Viewer),
            ..one
        };
        assert_eq!(looks.role_in(shop, Role::Operator), Some(Role::Operator));
        assert_eq!(looks.role_in(blog, Role::Operator), Some(Role::Viewer));
        assert_eq!(Grants::default().role_in(shop, Role::Operator), None);
        assert_eq!(
            Grants::all().role_in(blog, Role::Viewer),
            Some(Role::Viewer)
        );
    }
}
