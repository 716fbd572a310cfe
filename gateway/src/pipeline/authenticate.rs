//! Authentication: exactly one credential, its form, its hash, its key, and whether the key is valid for this
//! request.
//!
//! A connection caches its last caller: while no key changes, the same credential is that caller's, and only
//! the key's validity is checked again.

use std::sync::{Arc, PoisonError};

use jiff::Timestamp;
use permissions::{Credential, Denial, Identity, KeySecret, Malformed, TokenSecret};
use versions::{Error, ErrorCode, Help};

use super::Pipeline;
use super::exchange::Exchange;
use super::trail::Owner;
use crate::callers::Caller;
use crate::callers::index::Key;
use crate::http::{ClientAddress, Field, is_proxy};
use crate::identity::{JwtError, Provider};
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
    /// The session of an identity provider is refused; with the name of the reason.
    Session(&'static str),
    /// The session's person is a member of no organization that it is for.
    NoMember,
}

/// Why there is no caller.
pub(super) enum Unauthenticated {
    /// The response.
    Refused(Error),
    /// A session was signed with a key that is not known yet: fetch the provider's keys, then try once more.
    KeysAreOld(Arc<Provider>),
}

/// Why a credential is not recognized, and which one it is, if that is known.
enum Unrecognized {
    Failure(AuthFailure, Option<Credential>),
    KeysAreOld(Arc<Provider>),
}

impl From<AuthFailure> for Unrecognized {
    fn from(failure: AuthFailure) -> Self {
        Self::Failure(failure, None)
    }
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
            Self::Session(name) => name,
            Self::NoMember => "jwt_no_member",
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
    ) -> Result<Arc<Caller>, Unauthenticated> {
        let mut remembered = exchange.cache.caller.lock().unwrap_or_else(PoisonError::into_inner);
        let recognized = self.recognize(exchange, authorization, remembered.take());
        let caller = recognized.map_err(|unrecognized| match unrecognized {
            Unrecognized::Failure(failure, credential) => {
                exchange.record.auth_failure = Some(failure.name());
                exchange.record.credential = credential;
                Unauthenticated::Refused(self.count_failure(exchange))
            }
            Unrecognized::KeysAreOld(provider) => Unauthenticated::KeysAreOld(provider),
        })?;
        // After the check: a refused key is looked up each time, like an unknown one.
        *remembered = Some(Arc::clone(&caller));
        exchange.record.credential = Some(caller.key().credential);
        caller.key().record_use(exchange.record.time, exchange.peer);
        Ok(caller)
    }

    fn recognize(
        &self,
        exchange: &mut Exchange<'_>,
        authorization: Field<'_>,
        remembered: Option<Arc<Caller>>,
    ) -> Result<Arc<Caller>, Unrecognized> {
        let authorization = match authorization {
            Field::Missing => return Err(AuthFailure::Missing.into()),
            Field::Repeated(_) => return Err(AuthFailure::Unreadable.into()),
            Field::Once(value) => value.as_bytes(),
        };
        // Read before the look-up: a key that changes meanwhile is looked up again with the next request.
        let generation = self.keys.generation();
        let caller = match remembered {
            Some(caller) if caller.presented(authorization, generation) => caller,
            _ => Arc::new(self.look_up(authorization, exchange.record.time, generation)?),
        };
        let credential = Some(caller.key().credential);
        let versions::Caller { credential: id, organization, environment, .. } = *caller.identity();
        exchange.owner = Some(Owner { credential: id, organization, environment });
        if let Some(over) = caller.session_is_over(exchange.record.time) {
            return Err(Unrecognized::Failure(AuthFailure::Session(over.name()), credential));
        }
        match check(caller.key(), exchange) {
            Ok(()) => Ok(caller),
            Err(denial) => Err(Unrecognized::Failure(AuthFailure::Denied(denial), credential)),
        }
    }

    /// The caller of a credential, whose shape tells its kind.
    fn look_up(&self, authorization: &[u8], now: Timestamp, generation: u64) -> Result<Caller, Unrecognized> {
        let credential = credential(authorization)?;
        if credential.iter().filter(|byte| **byte == b'.').count() == 2 {
            return self.look_up_session(credential, authorization, now, generation);
        }
        // A token has no checksum.
        if !TokenSecret::has_form(credential) {
            KeySecret::check(&self.brand, credential).map_err(|malformed| match malformed {
                Malformed::Form => AuthFailure::Malformed,
                Malformed::Checksum => AuthFailure::Checksum,
            })?;
        }
        let key = self.keys.find(&self.secret.hash(credential)).ok_or(AuthFailure::Unknown)?;
        Ok(Caller::new(key, authorization, generation))
    }

    /// The caller of a session of an identity provider.
    fn look_up_session(
        &self,
        token: &[u8],
        authorization: &[u8],
        now: Timestamp,
        generation: u64,
    ) -> Result<Caller, Unrecognized> {
        let identity = self.identity.get().ok_or(AuthFailure::Malformed)?;
        let session = match identity.verify(token, now) {
            Ok(session) => session,
            Err(JwtError::UnknownKey(provider)) => return Err(Unrecognized::KeysAreOld(provider)),
            Err(error) => return Err(AuthFailure::Session(error.name()).into()),
        };
        let identity = Identity { issuer: session.issuer().to_owned(), subject: session.subject.clone() };
        let people = self.keys.people();
        let member = people.member_by_identity(&identity, &session.organizations);
        let member = member.ok_or(AuthFailure::NoMember)?;
        let key = self.keys.session_of(&member, session.provider.environment());
        Ok(Caller::of_session(key, session, authorization, generation))
    }

    /// The response where there is no caller.
    pub(super) fn refusal(&self, exchange: &mut Exchange<'_>, refused: Unauthenticated) -> Error {
        match refused {
            Unauthenticated::Refused(error) => error,
            Unauthenticated::KeysAreOld(provider) => {
                exchange.record.auth_failure = Some(JwtError::UnknownKey(provider).name());
                self.count_failure(exchange)
            }
        }
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
