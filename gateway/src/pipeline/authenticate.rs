//! Authentication: exactly one credential, its form, its hash, its key, and whether the key is valid for this
//! request.
//!
//! A connection caches its last caller: while no key changes, the same credential is that caller's, and only
//! the key's validity is checked again.

use std::sync::{Arc, PoisonError};

use permissions::{Credential, Denial, KeySecret, Malformed, TokenSecret};
use versions::{Error, ErrorCode, Help};

use super::Pipeline;
use super::exchange::Exchange;
use crate::callers::Caller;
use crate::callers::index::Key;
use crate::http::{ClientAddress, Field, is_proxy};
use crate::transport::network;

/// Why authentication failed; for the log and the metrics, not for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AuthFailure {
    /// No `Authorization`.
    Missing,
    /// More than one `Authorization`, another scheme, or more than one token after it.
    Unreadable,
    /// Not the form of a key.
    Malformed,
    /// The form of a key with a wrong checksum.
    Checksum,
    /// No key has this hash.
    Unknown,
    /// There is such a key, but it is not valid for this request.
    Denied(Denial),
}

/// The only failure that the response distinguishes: there was no credential at all.
pub(super) const NO_CREDENTIAL: &str = "missing";

impl AuthFailure {
    const fn name(self) -> &'static str {
        match self {
            Self::Missing => NO_CREDENTIAL,
            Self::Unreadable => "unreadable",
            Self::Malformed => "malformed",
            Self::Checksum => "checksum",
            Self::Unknown => "unknown",
            Self::Denied(Denial::Revoked) => "revoked",
            Self::Denied(Denial::Suspended) => "suspended",
            Self::Denied(Denial::NotAMember) => "not_a_member",
            Self::Denied(Denial::Expired) => "expired",
            Self::Denied(Denial::NotYetValid) => "not_yet_valid",
            Self::Denied(Denial::Address) => "address",
            Self::Denied(Denial::Environment) => "environment",
            Self::Denied(Denial::Permission) => "permission",
        }
    }
}

impl Pipeline {
    /// Authenticates the caller, and caches it for the connection.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidToken`], or [`ErrorCode::TooManyFailures`] for an address that fails too often.
    pub(super) fn authenticate(
        &self,
        exchange: &mut Exchange<'_>,
        authorization: Field<'_>,
    ) -> Result<Arc<Caller>, Error> {
        let mut remembered = exchange.cache.caller.lock().unwrap_or_else(PoisonError::into_inner);
        let caller =
            self.recognize(exchange, authorization, remembered.take()).map_err(|(failure, key)| {
                exchange.record.auth_failure = Some(failure.name());
                exchange.record.credential = key;
                self.count_failure(exchange)
            })?;
        // After the check: a refused key is looked up each time, like an unknown one.
        *remembered = Some(Arc::clone(&caller));
        exchange.record.credential = Some(caller.key().credential);
        caller.key().record_use(exchange.record.time, exchange.peer);
        Ok(caller)
    }

    fn recognize(
        &self,
        exchange: &Exchange<'_>,
        authorization: Field<'_>,
        remembered: Option<Arc<Caller>>,
    ) -> Result<Arc<Caller>, (AuthFailure, Option<Credential>)> {
        let authorization = match authorization {
            Field::Missing => return Err((AuthFailure::Missing, None)),
            Field::Repeated(_) => return Err((AuthFailure::Unreadable, None)),
            Field::Once(value) => value.as_bytes(),
        };
        // Read before the look-up: a key that changes meanwhile is looked up again with the next request.
        let generation = self.keys.generation();
        let caller = match remembered {
            Some(caller) if caller.presented(authorization, generation) => caller,
            _ => {
                let key = self.look_up(authorization).map_err(|failure| (failure, None))?;
                Arc::new(Caller::new(key, authorization, generation))
            }
        };
        match check(caller.key(), exchange) {
            Ok(()) => Ok(caller),
            Err(denial) => Err((AuthFailure::Denied(denial), Some(caller.key().credential))),
        }
    }

    fn look_up(&self, authorization: &[u8]) -> Result<Arc<Key>, AuthFailure> {
        let credential = credential(authorization)?;
        // The shape tells the kind. A token has no checksum.
        if !TokenSecret::has_form(credential) {
            KeySecret::check(&self.brand, credential).map_err(|malformed| match malformed {
                Malformed::Form => AuthFailure::Malformed,
                Malformed::Checksum => AuthFailure::Checksum,
            })?;
        }
        self.keys.find(&self.secret.hash(credential)).ok_or(AuthFailure::Unknown)
    }

    /// The response to a failure: 401, or 429 to an address that fails too often. A proxy that hides its clients
    /// is not held responsible for them.
    fn count_failure(&self, exchange: &Exchange<'_>) -> Error {
        let (limits, now) = (&exchange.snapshot.limits, exchange.record.received);
        let counted = match exchange.record.client {
            ClientAddress::Visible(address) => {
                self.failures.count(network(address), limits.failures_per_address, now)
            }
            ClientAddress::Hidden(_) => Ok(()),
        };
        match counted {
            Ok(()) => Error::new(ErrorCode::InvalidToken, ""),
            Err(seconds) => Error::new(
                ErrorCode::TooManyFailures,
                "Too many requests from this address had no valid token. Wait as `Retry-After` says.",
            )
            .with_help(Help { retry_after_seconds: Some(seconds), ..Help::default() }),
        }
    }
}

/// Whether a key is valid for this request.
fn check(key: &Key, exchange: &Exchange<'_>) -> Result<(), Denial> {
    let (peer, record) = (exchange.peer, &exchange.record);
    let check = |address| key.check(record.time, address, peer.listener.environments);
    match record.client {
        // A thief of a key could spoof an allowed address as the connection's new one, so the address
        // that the handshake has validated must be allowed too.
        ClientAddress::Visible(address) if address != peer.origin && !is_proxy(peer) => {
            check(address).and_then(|()| check(peer.origin))
        }
        ClientAddress::Visible(address) => check(address),
        // The other reasons come first, so that the log has the decisive one.
        ClientAddress::Hidden(proxy) => match check(proxy) {
            Ok(()) if key.has_networks() => Err(Denial::Address),
            checked => checked,
        },
    }
}

/// The credential of `Bearer <credential>`: the scheme in any case (RFC 9110 §11.1), one or more spaces, one
/// token.
fn credential(authorization: &[u8]) -> Result<&[u8], AuthFailure> {
    let (scheme, rest) = authorization.split_at_checked(7).ok_or(AuthFailure::Unreadable)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return Err(AuthFailure::Unreadable);
    }
    let credential = rest.trim_ascii();
    if credential.is_empty() || credential.contains(&b' ') {
        return Err(AuthFailure::Unreadable);
    }
    Ok(credential)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(authorization: &str) -> Result<&str, AuthFailure> {
        credential(authorization.as_bytes()).map(|credential| str::from_utf8(credential).unwrap())
    }

    #[test]
    fn one_bearer_credential_is_read() {
        for authorization in ["Bearer abc", "bearer abc", "BEARER   abc", "Bearer abc "] {
            assert_eq!(read(authorization), Ok("abc"), "{authorization}");
        }
    }

    #[test]
    fn anything_else_is_not() {
        for authorization in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer    ",
            "Bearerabc",
            "Basic abc",
            "abc",
            "Bearer abc def",
            "Bearer\u{a0}abc",
        ] {
            assert_eq!(read(authorization), Err(AuthFailure::Unreadable), "{authorization:?}");
        }
    }
}
