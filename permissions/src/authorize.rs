//! The two questions that decide a call: is this key good here and now, and may it do this.

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::Timestamp;

use crate::{ApiAccessPermission, Environment, Environments};

/// Why a call is refused. A caller learns of [`Denial::Permission`] only; every other reason looks
/// like an unknown key, and its name goes to the log and to metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The key was revoked.
    #[error("the key was revoked")]
    Revoked,
    /// The key's `expires` is reached.
    #[error("the key has expired")]
    Expired,
    /// The key's `not_before` is not reached.
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

/// The part of a key that decides, borrowed from wherever it is kept.
#[derive(Clone, Copy, Debug)]
pub struct Validity<'a> {
    /// Whether it was revoked.
    pub revoked: bool,
    /// The first moment at which it is good.
    pub not_before: Option<Timestamp>,
    /// The first moment at which it is no longer good.
    pub expires: Option<Timestamp>,
    /// The networks it may be used from; empty means any.
    pub allow: &'a [IpNet],
    /// The one environment it is good for.
    pub environment: Environment,
}

impl Validity<'_> {
    /// Whether the key is good at `now`, from `address`, on a listener that serves `environments`.
    ///
    /// # Errors
    /// The first reason that refuses it.
    pub fn check(self, now: Timestamp, address: IpAddr, environments: Environments) -> Result<(), Denial> {
        if self.revoked {
            return Err(Denial::Revoked);
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
    /// Whether a key that holds this set may call an endpoint that declares `required`.
    ///
    /// # Errors
    /// [`Denial::Permission`] where any bit of `required` is not held; also where `required` is
    /// empty, which no endpoint can declare.
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
    fn a_key_turns_at_the_second_that_it_names() {
        let check = |validity: Validity<'_>| validity.check(NOW, HERE, Environments::all());
        assert_eq!(check(good()), Ok(()));
        assert_eq!(check(Validity { expires: second(1), ..good() }), Ok(()));
        assert_eq!(check(Validity { expires: second(0), ..good() }), Err(Denial::Expired));
        assert_eq!(check(Validity { expires: second(-1), ..good() }), Err(Denial::Expired));
        assert_eq!(check(Validity { not_before: second(1), ..good() }), Err(Denial::NotYetValid));
        assert_eq!(check(Validity { not_before: second(0), ..good() }), Ok(()));
        assert_eq!(check(Validity { revoked: true, ..good() }), Err(Denial::Revoked));
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
