//! The permissions that endpoints declare and keys hold.
//!
//! A permission is a bit in memory and a name everywhere else, such as `ping:read`; bits never leave the process. The
//! name is derived from the constant: lower case, with the last underscore as a colon (`ACCESS_REQUEST_READ` is
//! `access_request:read`). A test pins every name and bit.

use std::fmt;
use std::str::FromStr;

use bitflags::bitflags;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

bitflags! {
    /// A set of permissions. An endpoint requires exactly one; a key has any number.
    ///
    /// A new one is a line here and a line in the test below. A bit is never reused.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
    pub struct ApiAccessPermission: u128 {
        /// Check whether the API is up.
        const PING_READ = 1 << 0;
        /// Read metadata of the caller's connection.
        const CONNECTION_READ = 1 << 1;

        /// Read who the caller is.
        const ME_READ = 1 << 2;
        /// Read the organization's keys.
        const KEYS_READ = 1 << 3;
        /// Create, rotate, change and revoke the organization's keys.
        const KEYS_WRITE = 1 << 4;
        /// Read the organization's members and invitations.
        const MEMBERS_READ = 1 << 5;
        /// Invite members, change their roles, and remove them.
        const MEMBERS_WRITE = 1 << 6;
        /// Read the organization's roles.
        const ROLES_READ = 1 << 7;
        /// Create, change and remove the organization's own roles.
        const ROLES_WRITE = 1 << 8;
        /// Read the organization's access requests.
        const REQUESTS_READ = 1 << 9;
        /// File and withdraw access requests for the organization.
        const REQUESTS_WRITE = 1 << 10;
        /// Read and decide every organization's access requests.
        const REQUESTS_REVIEW = 1 << 11;
        /// Read the caller's own devices.
        const DEVICES_READ = 1 << 12;
        /// Revoke the tokens of the caller's own devices.
        const DEVICES_WRITE = 1 << 13;
        /// Read the organization's audit log.
        const AUDIT_READ = 1 << 14;
        /// Read the caller's own requests and why they were refused.
        const LOGS_READ = 1 << 15;
    }
}

/// The length of the longest name. Longer text is rejected.
const NAME_BYTES_MAX: usize = 64;

impl ApiAccessPermission {
    /// What an organization may do with its own keys, members and requests. Every organization has these, so they are
    /// not granted.
    pub const SELF_MANAGEMENT: Self = Self::ME_READ
        .union(Self::KEYS_READ)
        .union(Self::KEYS_WRITE)
        .union(Self::MEMBERS_READ)
        .union(Self::MEMBERS_WRITE)
        .union(Self::ROLES_READ)
        .union(Self::ROLES_WRITE)
        .union(Self::REQUESTS_READ)
        .union(Self::REQUESTS_WRITE)
        .union(Self::DEVICES_READ)
        .union(Self::DEVICES_WRITE)
        .union(Self::AUDIT_READ)
        .union(Self::LOGS_READ);

    /// What only the operator's organization can have.
    pub const OPERATION: Self = Self::REQUESTS_REVIEW;

    /// The API itself: what an operator grants to an organization.
    #[must_use]
    pub const fn grantable() -> Self {
        Self::all().difference(Self::SELF_MANAGEMENT).difference(Self::OPERATION)
    }

    /// The names in this set, in the order of their bits.
    pub fn names(self) -> impl Iterator<Item = String> {
        self.iter_names().map(|(constant, _)| public_name(constant))
    }

    /// Parses stored names, which are separated by spaces like an OAuth scope (RFC 6749 §3.3).
    ///
    /// Returns the set and the unknown names. An unknown name grants nothing, so a store that a newer build wrote never
    /// widens what this build allows.
    #[must_use]
    pub fn from_stored(names: &str) -> (Self, Vec<String>) {
        let mut set = Self::empty();
        let mut unknown = Vec::new();
        for name in names.split_ascii_whitespace() {
            match name.parse::<Self>() {
                Ok(permission) => set |= permission,
                Err(_) => unknown.push(name.to_owned()),
            }
        }
        (set, unknown)
    }

    /// Whether this is exactly one permission.
    #[must_use]
    pub const fn is_single(self) -> bool {
        self.bits().count_ones() == 1
    }
}

/// `PING_READ` → `ping:read`.
fn public_name(constant: &str) -> String {
    let mut name = constant.to_ascii_lowercase();
    if let Some(last) = name.rfind('_') {
        name.replace_range(last..=last, ":");
    }
    name
}

/// Whether `name` is the public name, without making that: a store with 100,000 keys has some million names.
fn has_public_name(constant: &str, name: &str) -> bool {
    if constant.len() != name.len() {
        return false;
    }
    let colon = constant.rfind('_');
    let public = |(place, byte): (usize, u8)| match colon {
        Some(colon) if colon == place => b':',
        _ => byte.to_ascii_lowercase(),
    };
    constant.bytes().enumerate().map(public).eq(name.bytes())
}

/// The names, separated by spaces.
impl fmt::Display for ApiAccessPermission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, name) in self.names().enumerate() {
            if position > 0 {
                f.write_str(" ")?;
            }
            f.write_str(&name)?;
        }
        Ok(())
    }
}

/// No permission has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown permission `{name}`; it is one of: {}", ApiAccessPermission::all().names().collect::<Vec<_>>().join(", "))]
pub struct UnknownPermission {
    /// The name, cut to 64 characters.
    pub name: String,
}

/// Parses one name.
impl FromStr for ApiAccessPermission {
    type Err = UnknownPermission;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownPermission { name: name.chars().take(NAME_BYTES_MAX).collect() };
        if name.len() > NAME_BYTES_MAX {
            return Err(unknown());
        }
        Self::all()
            .iter_names()
            .find(|(constant, _)| has_public_name(constant, name))
            .map(|(_, permission)| permission)
            .ok_or_else(unknown)
    }
}

/// A list of names: `["ping:read","connection:read"]`.
impl Serialize for ApiAccessPermission {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.names())
    }
}

/// A list of names. An unknown name is an error, other than in [`ApiAccessPermission::from_stored`].
impl<'de> Deserialize<'de> for ApiAccessPermission {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        names.iter().try_fold(Self::empty(), |set, name| {
            name.parse::<Self>().map(|permission| set | permission).map_err(serde::de::Error::custom)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Every permission. Lines are added here and never changed.
    const PINNED: &[(&str, u128)] = &[
        ("ping:read", 1 << 0),
        ("connection:read", 1 << 1),
        ("me:read", 1 << 2),
        ("keys:read", 1 << 3),
        ("keys:write", 1 << 4),
        ("members:read", 1 << 5),
        ("members:write", 1 << 6),
        ("roles:read", 1 << 7),
        ("roles:write", 1 << 8),
        ("requests:read", 1 << 9),
        ("requests:write", 1 << 10),
        ("requests:review", 1 << 11),
        ("devices:read", 1 << 12),
        ("devices:write", 1 << 13),
        ("audit:read", 1 << 14),
        ("logs:read", 1 << 15),
    ];

    #[test]
    fn names_and_bits_never_change() {
        let now: Vec<(String, u128)> = ApiAccessPermission::all()
            .iter()
            .map(|permission| (permission.to_string(), permission.bits()))
            .collect();
        let pinned: Vec<(String, u128)> =
            PINNED.iter().map(|(name, bit)| ((*name).to_owned(), *bit)).collect();
        assert_eq!(now, pinned);
    }

    #[test]
    fn a_name_is_lower_case_with_one_colon() {
        assert_eq!(public_name("ACCESS_REQUEST_READ"), "access_request:read");
        assert!(has_public_name("ACCESS_REQUEST_READ", "access_request:read"));
        assert!(has_public_name("PLAIN", "plain") && !has_public_name("PLAIN", "plane"));
        for name in ApiAccessPermission::all().names() {
            assert_eq!(name.matches(':').count(), 1, "{name}");
            assert!(name.len() <= NAME_BYTES_MAX, "{name}");
        }
    }

    #[test]
    fn every_permission_is_granted_inherent_or_the_operators() {
        let sets = [
            ApiAccessPermission::grantable(),
            ApiAccessPermission::SELF_MANAGEMENT,
            ApiAccessPermission::OPERATION,
        ];
        let union = sets.iter().fold(ApiAccessPermission::empty(), |union, set| union | *set);
        assert_eq!(union, ApiAccessPermission::all());
        assert_eq!(sets.iter().map(|set| set.bits().count_ones()).sum::<u32>(), union.bits().count_ones());
        assert_eq!(
            ApiAccessPermission::grantable(),
            ApiAccessPermission::PING_READ | ApiAccessPermission::CONNECTION_READ
        );
    }

    #[test]
    fn an_unknown_stored_name_grants_nothing() {
        let (set, unknown) = ApiAccessPermission::from_stored("ping:read  everything:write");
        assert_eq!(set, ApiAccessPermission::PING_READ);
        assert_eq!(unknown, ["everything:write"]);
    }

    #[test]
    fn other_spellings_are_unknown() {
        for name in ["PING_READ", "Ping:Read", "ping_read", "ping:read ", "", "1", "*", "ping:"] {
            let error = name.parse::<ApiAccessPermission>().unwrap_err();
            assert_eq!(error.name, name);
        }
    }

    #[test]
    fn json_is_a_list_of_names_and_refuses_unknown_ones() {
        let two = ApiAccessPermission::PING_READ | ApiAccessPermission::CONNECTION_READ;
        let json = serde_json::to_string(&two).unwrap();
        assert_eq!(json, r#"["ping:read","connection:read"]"#);
        assert_eq!(serde_json::from_str::<ApiAccessPermission>(&json).unwrap(), two);
        let error = serde_json::from_str::<ApiAccessPermission>(r#"["ping:raed"]"#).unwrap_err();
        assert!(error.to_string().contains("unknown permission `ping:raed`"), "{error}");
    }

    fn any_set() -> impl Strategy<Value = ApiAccessPermission> {
        any::<u128>().prop_map(ApiAccessPermission::from_bits_truncate)
    }

    proptest! {
        #[test]
        fn the_stored_form_reads_back(set in any_set()) {
            prop_assert_eq!(ApiAccessPermission::from_stored(&set.to_string()), (set, vec![]));
        }

        #[test]
        fn sets_obey_their_algebra(a in any_set(), b in any_set(), c in any_set()) {
            prop_assert_eq!(a | b, b | a);
            prop_assert_eq!(a & (b | c), (a & b) | (a & c));
            prop_assert_eq!(a - b, a & !b);
            prop_assert!((a | b).contains(a));
            prop_assert!(a.contains(a & b));
            prop_assert_eq!((a - b) & b, ApiAccessPermission::empty());
            prop_assert_eq!(a.contains(b), a | b == a);
        }

        #[test]
        fn any_text_is_a_name_of_ours_or_refused(text in ".{0,80}") {
            if let Ok(permission) = text.parse::<ApiAccessPermission>() {
                prop_assert!(permission.is_single());
                prop_assert_eq!(permission.to_string(), text);
            }
        }
    }
}
