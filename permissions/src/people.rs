//! People: users, their memberships in organizations, and what they sign in with. Data only.

use std::fmt;

use jiff::Timestamp;
use zeroize::Zeroizing;

use crate::ids::{MembershipId, RoleId, TokenId, UserId};
use crate::role::RoleOf;
use crate::{ApiAccessPermission, Environment, KeyId, PartnerId};

/// What a caller presented, without its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Credential {
    /// A partner's key.
    Key(KeyId),
    /// An app token of a user.
    Token(TokenId),
    /// A session of this user at an identity provider.
    Session(UserId),
}

/// `key:019a…`, `token:019a…` or `session:019a…`.
impl fmt::Display for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Token(id) => write!(f, "token:{id}"),
            Self::Session(user) => write!(f, "session:{user}"),
        }
    }
}

/// The text of an app token: 64 hexadecimal characters (256 random bits). It is shown once and wiped from memory.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSecret(Zeroizing<String>);

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenSecret([redacted])")
    }
}

impl TokenSecret {
    /// The length of every token.
    pub const CHARACTERS: usize = 64;

    /// Makes a token of random bytes, which must be as strong as the operating system's generator.
    #[must_use]
    pub fn new(random: &Zeroizing<[u8; 32]>) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = Zeroizing::new(String::with_capacity(Self::CHARACTERS));
        for byte in random.iter() {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from(DIGITS[usize::from(digit)]));
            }
        }
        Self(text)
    }

    /// The text itself, for the code that prints or sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether a presented credential has the form of a token.
    #[must_use]
    pub fn has_form(credential: &[u8]) -> bool {
        // Every character is looked at, which is faster than stopping early.
        credential.len() == Self::CHARACTERS
            && credential.iter().fold(true, |all, byte| all & matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    }
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// The name that others see.
    pub name: String,
    /// An e-mail address, where one is known.
    pub email: Option<String>,
    /// When the user was created.
    pub created: Timestamp,
}

/// How an identity provider names a user (OpenID Connect Core §2: `iss` and `sub`).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The provider.
    pub issuer: String,
    /// The user there.
    pub subject: String,
}

/// A role that an organization has made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomRole {
    /// Its id.
    pub id: RoleId,
    /// The organization.
    pub organization: PartnerId,
    /// Its name, unique in the organization.
    pub name: String,
    /// Its permissions.
    pub permissions: ApiAccessPermission,
    /// When it was created.
    pub created: Timestamp,
}

/// A user's place in an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Its id.
    pub id: MembershipId,
    /// The user.
    pub user: UserId,
    /// The organization.
    pub organization: PartnerId,
    /// The role.
    pub role: RoleOf,
    /// When the user joined.
    pub created: Timestamp,
}

/// A token by which an app acts for a user in an organization.
///
/// It has no permissions of its own: those are of the user's current role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppToken {
    /// Its id.
    pub id: TokenId,
    /// The membership.
    pub membership: MembershipId,
    /// The environment, chosen at approval.
    pub environment: Environment,
    /// The name of the app, as it gave it.
    pub app: String,
    /// The name of the device.
    pub device: String,
    /// When it was issued.
    pub created: Timestamp,
    /// When the user authenticated to approve it.
    pub authenticated: Timestamp,
    /// When it expires.
    pub expires: Timestamp,
    /// When it was revoked, if it was.
    pub revoked: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_64_hexadecimal_characters_and_does_not_print() {
        let token = TokenSecret::new(&Zeroizing::new([0xa5; 32]));
        assert_eq!(token.expose(), "a5".repeat(32));
        assert!(TokenSecret::has_form(token.expose().as_bytes()));
        assert_eq!(format!("{token:?}"), "TokenSecret([redacted])");
        for other in ["A5".repeat(32), "a5".repeat(31), "a5".repeat(33), format!("{}g", "a".repeat(63))] {
            assert!(!TokenSecret::has_form(other.as_bytes()), "{other}");
        }
    }
}
