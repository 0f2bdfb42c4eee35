//! Typed ids. All are positive integers, given inside the append transaction and never reused.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

ids! {
    /// A compose project that Holdfast looks after.
    AppId,
    /// What is backed up, where to, when, and how long it is kept.
    ConfigId,
    /// One backup.
    RunId,
    RestoreId,
    UserId,
    /// A bearer token of a user.
    TokenId,
    /// Somebody outside who is told.
    WebhookId,
}

impl AppId {
    /// Holdfast itself, which is no compose project and stands in no list of apps.
    pub const OWN: Self = Self(0);
}

impl ConfigId {
    /// The config of the server's own database.
    pub const OWN: Self = Self(0);
}
