//! Whether a key is valid for a call, and whether it has the permission.

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;

use crate::{ApiAccessPermission, Environment, Environments};

/// Why a call is denied. The caller sees [`Denial::Permission`] only; all other reasons look like an unknown key, and
/// are named in the log and in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The key was revoked.
    #[error("the key was revoked")]
    Revoked,
    /// The organization is suspended.
    #[error("the organization is suspended")]
    Suspended,
    /// The user is no longer a member of the organization.
    #[error("the user is no longer a member of the organization")]
    NotAMember,
    /// The key has expired.
    #[error("the key has expired")]
    Expired,
    /// The key is not valid yet.
    #[error("the key is not valid yet")]
    NotYetValid,
    /// The caller's address is in none of the key's networks.
    #[error("the address is outside the key's networks")]
    Address,
    /// The listener does not serve the key's environment.
    #[error("the listener does not serve the key's environment")]
    Environment,
    /// The key lacks the endpoint's permission.
    #[error("the key lacks the permission")]
    Permission,
}

/// The parts of a key that decide whether it is valid.
#[derive(Clone, Copy, Debug)]
pub struct Validity<'a> {
    /// Whether it was revoked.
    pub revoked: bool,
    /// Whether its partner is suspended.
    pub suspended: bool,
    /// From when it is valid.
    pub not_before: Option<Timestamp>,
    /// From when it is no longer valid.
    pub expires: Option<Timestamp>,
    /// The networks that it can be used from; empty means any.
    pub allow: &'a [IpNet],
    /// Its environment.
    pub environment: Environment,
}

impl Validity<'_> {
    /// Checks that the key is valid at `now`, from `address`, on a listener that serves `environments`.
    ///
    /// # Errors
    /// The first reason to deny it.
    pub fn check(self, now: Timestamp, address: IpAddr, environments: Environments) -> Result<(), Denial> {
        if self.revoked {
            return Err(Denial::Revoked);
        }
        if self.suspended {
            return Err(Denial::Suspended);
        }
        if self.expires.is_some_and(|expires| now >= expires) {
            return Err(Denial::Expired);
        }
        if self.not_before.is_some_and(|not_before| now < not_before) {
            return Err(Denial::NotYetValid);
        }
        if !environments.contains(self.environment.into()) {
            return Err(Denial::Environment);
        }
        if !self.allow.is_empty() && !self.allow.iter().any(|network| network.contains(&address)) {
            return Err(Denial::Address);
        }
        Ok(())
    }
}

impl ApiAccessPermission {
    /// Checks that a key with these permissions may call an endpoint that requires `required`.
    ///
    /// # Errors
    /// [`Denial::Permission`] if any bit of `required` is missing, or `required` is empty, which no endpoint can
    /// declare.
    pub fn authorize(self, required: Self) -> Result<(), Denial> {
        if !required.is_empty() && self.contains(required) { Ok(()) } else { Err(Denial::Permission) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);
    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

    fn good() -> Validity<'static> {
        Validity {
            revoked: false,
            suspended: false,
            not_before: None,
            expires: None,
            allow: &[],
            environment: Environment::Staging,
        }
    }

    fn second(offset: i64) -> Option<Timestamp> {
        Some(Timestamp::from_second(NOW.as_second() + offset).unwrap())
    }

    #[test]
    fn a_key_changes_at_the_exact_second() {
        let check = |validity: Validity<'_>| validity.check(NOW, HERE, Environments::all());
        assert_eq!(check(good()), Ok(()));
        assert_eq!(check(Validity { expires: second(1), ..good() }), Ok(()));
        assert_eq!(check(Validity { expires: second(0), ..good() }), Err(Denial::Expired));
        assert_eq!(check(Validity { expires: second(-1), ..good() }), Err(Denial::Expired));
        assert_eq!(check(Validity { not_before: second(1), ..good() }), Err(Denial::NotYetValid));
        assert_eq!(check(Validity { not_before: second(0), ..good() }), Ok(()));
        assert_eq!(check(Validity { revoked: true, ..good() }), Err(Denial::Revoked));
        assert_eq!(check(Validity { suspended: true, ..good() }), Err(Denial::Suspended));
    }

    #[test]
    fn a_key_is_bound_to_its_environment() {
        assert_eq!(good().check(NOW, HERE, Environments::STAGING), Ok(()));
        assert_eq!(good().check(NOW, HERE, Environments::PRODUCTION), Err(Denial::Environment));
        assert_eq!(good().check(NOW, HERE, Environments::empty()), Err(Denial::Environment));
    }

    #[test]
    fn a_key_with_networks_is_refused_elsewhere() {
        let networks = ["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        let listed = Validity { allow: &networks, ..good() };
        let from = |address: &str| listed.check(NOW, address.parse().unwrap(), Environments::all());
        assert_eq!(from("192.0.2.255"), Ok(()));
        assert_eq!(from("192.0.3.0"), Err(Denial::Address));
        assert_eq!(from("2001:db8::1"), Ok(()));
        assert_eq!(from("2001:db9::1"), Err(Denial::Address));
    }

    #[test]
    fn a_permission_is_held_or_denied() {
        let ping = ApiAccessPermission::PING_READ;
        let connection = ApiAccessPermission::CONNECTION_READ;
        assert_eq!(ping.authorize(ping), Ok(()));
        assert_eq!(ping.authorize(connection), Err(Denial::Permission));
        assert_eq!(ApiAccessPermission::empty().authorize(ping), Err(Denial::Permission));
        assert_eq!((ping | connection).authorize(connection), Ok(()));
        assert_eq!(ping.authorize(ApiAccessPermission::empty()), Err(Denial::Permission));
    }
}
