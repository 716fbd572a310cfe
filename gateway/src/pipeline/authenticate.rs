//! Who is calling: one credential, its form, its hash, its key, and whether that is good here and now.
//!
//! A connection remembers the caller that it was good for last: while no key changes, the same
//! credential is that key's, and only the last of these questions is asked again.

use std::net::IpAddr;
use std::sync::Arc;

use permissions::{Denial, KeyId, KeySecret, Malformed, secrets_are_equal};
use versions::{Error, ErrorCode, Help, Instant};
use zeroize::Zeroizing;

use super::client::is_proxy;
use super::record::Record;
use super::{Pipeline, Settings};
use crate::keys::index::Key;
use crate::limits::Field;
use crate::transport::{Peer, network};

/// Why nobody was recognised. The caller never learns which; the log and metrics do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// No `Authorization`.
    Missing,
    /// More than one `Authorization`, another scheme, or more than one word behind it.
    Unreadable,
    /// Not the form of a key.
    Malformed,
    /// The form of a key with a wrong checksum.
    Checksum,
    /// No key has this hash.
    Unknown,
    /// There is such a key and it is not good here and now.
    Denied(Denial),
}

impl Refused {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
            Self::Malformed => "malformed",
            Self::Checksum => "checksum",
            Self::Unknown => "unknown",
            Self::Denied(Denial::Revoked) => "revoked",
            Self::Denied(Denial::Expired) => "expired",
            Self::Denied(Denial::NotYetValid) => "not_yet_valid",
            Self::Denied(Denial::Address) => "address",
            Self::Denied(Denial::Environment) => "environment",
            Self::Denied(Denial::Permission) => "permission",
        }
    }
}

/// Who was recognised last on a connection, and by what. Its requests share it, and not the key itself: that one's
/// users would be counted by every worker with every request.
pub(super) struct Caller {
    /// The value of `Authorization`, where it is remembered. It is in the connection's read buffer anyway; here it
    /// is wiped.
    authorization: Option<Zeroizing<Box<[u8]>>>,
    /// The key index's, from before the key was looked up.
    generation: u64,
    pub(super) key: Arc<Key>,
}

/// No `Authorization` of a key of ours is longer, but for blanks: longer ones are not remembered.
pub(super) const REMEMBERED_BYTES_MAX: usize = 128;

impl Caller {
    /// Whether this is what it was recognised by, and no key has changed since.
    fn is_known_by(&self, authorization: &[u8], generation: u64) -> bool {
        let remembered = self.authorization.as_ref().filter(|_| self.generation == generation);
        remembered.is_some_and(|remembered| secrets_are_equal(remembered, authorization))
    }
}

impl Pipeline {
    /// Recognises the caller, whom the connection knows from then on.
    pub(super) fn authenticate<'k>(
        &self,
        authorization: Field<'_>,
        known: &'k mut Option<Arc<Caller>>,
        record: &Record,
        peer: &Peer,
    ) -> Result<&'k Arc<Caller>, (Refused, Option<KeyId>)> {
        let authorization = match authorization {
            Field::Missing => return Err((Refused::Missing, None)),
            Field::Repeated(_) => return Err((Refused::Unreadable, None)),
            Field::Once(value) => value.as_bytes(),
        };
        // Read first: a key that changes while it is looked up is looked up again with the next request.
        let generation = self.keys.generation();
        let caller = match known.take() {
            Some(caller) if caller.is_known_by(authorization, generation) => caller,
            _ => {
                let key = self.look_up(authorization).map_err(|refused| (refused, None))?;
                let is_remembered = authorization.len() <= REMEMBERED_BYTES_MAX;
                let authorization = is_remembered.then(|| Zeroizing::new(authorization.into()));
                Arc::new(Caller { authorization, generation, key })
            }
        };
        let check = |address| caller.key.check(record.time, address, peer.listener.environments);
        let checked = match check(record.client) {
            // Whoever has a stolen key could forge an address that the key allows, and say that the
            // connection has moved there: the one that the handshake has proven has to be allowed too.
            Ok(()) if record.client != peer.origin && !is_proxy(peer) => check(peer.origin),
            checked => checked,
        };
        match checked {
            // Only now: a key that is refused is looked up each time, as one that nobody has is.
            Ok(()) => Ok(known.insert(caller)),
            Err(denial) => Err((Refused::Denied(denial), Some(caller.key.id))),
        }
    }

    fn look_up(&self, authorization: &[u8]) -> Result<Arc<Key>, Refused> {
        let credential = credential(authorization)?;
        KeySecret::check(&self.brand, credential).map_err(|malformed| match malformed {
            Malformed::Form => Refused::Malformed,
            Malformed::Checksum => Refused::Checksum,
        })?;
        self.keys.find(&self.secret.hash(credential)).ok_or(Refused::Unknown)
    }

    /// The answer to who was not recognised: 401, or 429 to an address that fails too often.
    pub(super) fn refuse_credential(&self, client: IpAddr, now: Instant, settings: &Settings) -> Error {
        match self.failures.count(network(client), settings.limits.failures_per_address, now) {
            Ok(()) => Error::new(ErrorCode::InvalidToken, ""),
            Err(seconds) => Error::new(
                ErrorCode::TooManyFailures,
                "Too many requests from this address had no valid token. Wait as `Retry-After` says.",
            )
            .with_help(Help { retry_after_seconds: Some(seconds), ..Help::default() }),
        }
    }
}

/// The credential of `Bearer <credential>`: the scheme in any case (RFC 9110 §11.1), one or more blanks,
/// one word.
fn credential(authorization: &[u8]) -> Result<&[u8], Refused> {
    let (scheme, rest) = authorization.split_at_checked(7).ok_or(Refused::Unreadable)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return Err(Refused::Unreadable);
    }
    let credential = rest.trim_ascii();
    if credential.is_empty() || credential.contains(&b' ') {
        return Err(Refused::Unreadable);
    }
    Ok(credential)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(authorization: &str) -> Result<&str, Refused> {
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
            assert_eq!(read(authorization), Err(Refused::Unreadable), "{authorization:?}");
        }
    }
}
