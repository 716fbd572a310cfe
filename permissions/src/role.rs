//! Roles: what a member of an organization may do.
//!
//! Four are built in and the same everywhere; an organization may add its own, each a named set of permissions. A
//! member's rights are those of the current role, within what the organization was granted ([`ceiling`]).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ApiAccessPermission;
use crate::ids::RoleId;

/// A role that every organization has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BuiltInRole {
    /// Everything. An organization always has an owner.
    Owner,
    /// Everything but changing roles, and so no owner can be made or removed.
    Admin,
    /// Calls the API, manages keys, and asks for access.
    Developer,
    /// Reads.
    Viewer,
}

impl BuiltInRole {
    /// All of them, the most powerful first.
    pub const ALL: [Self; 4] = [Self::Owner, Self::Admin, Self::Developer, Self::Viewer];

    /// Its name in the store, in JSON and in the CLI.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Developer => "developer",
            Self::Viewer => "viewer",
        }
    }

    /// Its permissions, before the organization's ceiling.
    #[must_use]
    pub fn permissions(self) -> ApiAccessPermission {
        use ApiAccessPermission as P;
        let reads = P::ME_READ
            | P::KEYS_READ
            | P::MEMBERS_READ
            | P::ROLES_READ
            | P::REQUESTS_READ
            | P::DEVICES_READ
            | P::LOGS_READ;
        match self {
            Self::Owner => P::all(),
            Self::Admin => P::all() - P::ROLES_WRITE,
            Self::Developer => P::grantable() | reads | P::KEYS_WRITE | P::REQUESTS_WRITE | P::DEVICES_WRITE,
            // Signing out a device of one's own is nobody's to forbid.
            Self::Viewer => reads | P::DEVICES_WRITE,
        }
    }
}

impl fmt::Display for BuiltInRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The role of a member: one that is built in, or one of the organization's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoleOf {
    /// Built in.
    BuiltIn(BuiltInRole),
    /// The organization's own.
    Custom(RoleId),
}

/// The stored form: the name of a built-in role, or the id of a custom one.
impl fmt::Display for RoleOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn(role) => role.fmt(f),
            Self::Custom(id) => id.fmt(f),
        }
    }
}

impl FromStr for RoleOf {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match BuiltInRole::ALL.into_iter().find(|role| role.name() == text) {
            Some(role) => Ok(Self::BuiltIn(role)),
            None => text.parse().map(Self::Custom),
        }
    }
}

/// What no key, role or member of an organization exceeds.
///
/// `granted` is what an operator granted it in the environment; `None` for an organization that an older build made,
/// whose keys are bounded by their own sets only.
#[must_use]
pub fn ceiling(is_operator: bool, granted: Option<ApiAccessPermission>) -> ApiAccessPermission {
    match granted {
        _ if is_operator => ApiAccessPermission::all(),
        Some(granted) => granted | ApiAccessPermission::SELF_MANAGEMENT,
        None => ApiAccessPermission::all() - ApiAccessPermission::OPERATION,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_allows_less_than_the_one_before() {
        for pair in BuiltInRole::ALL.windows(2) {
            let [more, less] = [pair[0].permissions(), pair[1].permissions()];
            assert!(more.contains(less) && more != less, "{} and {}", pair[0], pair[1]);
        }
        assert!(!BuiltInRole::Viewer.permissions().contains(ApiAccessPermission::AUDIT_READ));
    }

    #[test]
    fn the_stored_form_reads_back() {
        let custom = RoleOf::Custom(RoleId(uuid::Uuid::from_u128(7)));
        for role in BuiltInRole::ALL.map(RoleOf::BuiltIn).into_iter().chain([custom]) {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert!("root".parse::<RoleOf>().is_err());
    }

    #[test]
    fn only_the_operators_organization_reviews() {
        let review = ApiAccessPermission::REQUESTS_REVIEW;
        assert!(ceiling(true, None).contains(review));
        for granted in [None, Some(ApiAccessPermission::all() - review)] {
            assert!(!ceiling(false, granted).contains(review));
        }
        let granted = ceiling(false, Some(ApiAccessPermission::PING_READ));
        assert!(granted.contains(ApiAccessPermission::PING_READ | ApiAccessPermission::KEYS_WRITE));
        assert!(!granted.contains(ApiAccessPermission::CONNECTION_READ));
    }
}
