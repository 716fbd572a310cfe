//! The ids of people's records. None of them is secret.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Ids are UUIDv7, so they sort by age. None of them is secret.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )*};
}

ids! {
    /// The id of a user.
    UserId;
    /// The id of an organization's own role.
    RoleId;
    /// The id of a membership.
    MembershipId;
    /// The id of an app token.
    TokenId;
    /// The id of a browser session.
    SessionId;
    /// The id of an invitation.
    InvitationId;
    /// The id of an access request.
    RequestId;
    /// The id of a one-time link.
    LinkId;
}
