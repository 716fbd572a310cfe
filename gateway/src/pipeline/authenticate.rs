//! Who is calling: one credential, its form, its hash, its key, and whether that is good here and now.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, header};
use jiff::Timestamp;
use permissions::{Denial, KeySecret, Malformed};
use versions::{Error, ErrorCode, Help};

use super::client::is_proxy;
use super::{Pipeline, Settings};
use crate::keys::index::Key;
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

impl Pipeline {
    pub(super) fn authenticate(
        &self,
        fields: &HeaderMap,
        now: Timestamp,
        client: IpAddr,
        peer: &Peer,
    ) -> Result<Arc<Key>, (Refused, Option<Arc<Key>>)> {
        let unknown = |refused| (refused, None);
        let credential = credential(fields).map_err(unknown)?;
        KeySecret::check(&self.brand, credential).map_err(|malformed| match malformed {
            Malformed::Form => unknown(Refused::Malformed),
            Malformed::Checksum => unknown(Refused::Checksum),
        })?;
        let hash = self.secret.hash(credential);
        let key = self.keys.find(&hash).ok_or_else(|| unknown(Refused::Unknown))?;
        let check = |address| key.check(now, address, peer.listener.environments);
        let checked = match check(client) {
            // Whoever has a stolen key could forge an address that the key allows, and say that the
            // connection has moved there: the one that the handshake has proven has to be allowed too.
            Ok(()) if client != peer.origin && !is_proxy(peer) => check(peer.origin),
            checked => checked,
        };
        match checked {
            Ok(()) => Ok(key),
            Err(denial) => Err((Refused::Denied(denial), Some(key))),
        }
    }

    /// The answer to who was not recognised: 401, or 429 to an address that fails too often.
    pub(super) fn refuse_credential(&self, client: IpAddr, settings: &Settings) -> Error {
        match self.failures.count(network(client), settings.limits.failures_per_address) {
            Ok(()) => Error::new(ErrorCode::InvalidToken, ""),
            Err(seconds) => Error::new(
                ErrorCode::TooManyFailures,
                "Too many requests from this address had no valid token. Wait as `Retry-After` says.",
            )
            .with_help(Help { retry_after_seconds: Some(seconds), ..Help::default() }),
        }
    }
}

/// The credential of `Authorization: Bearer <credential>`: exactly one field, the scheme in any case
/// (RFC 9110 §11.1), one or more blanks, one word.
fn credential(fields: &HeaderMap) -> Result<&[u8], Refused> {
    let mut values = fields.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(Refused::Missing)?.as_bytes();
    if values.next().is_some() {
        return Err(Refused::Unreadable);
    }
    let (scheme, rest) = value.split_at_checked(7).ok_or(Refused::Unreadable)?;
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
    use http::HeaderValue;

    use super::*;

    fn read(values: &[&str]) -> Result<String, Refused> {
        let mut fields = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            fields.append(header::AUTHORIZATION, value);
        }
        credential(&fields).map(|credential| String::from_utf8_lossy(credential).into_owned())
    }

    #[test]
    fn one_bearer_credential_is_read() {
        for value in ["Bearer abc", "bearer abc", "BEARER   abc", "Bearer abc "] {
            assert_eq!(read(&[value]), Ok("abc".to_owned()), "{value}");
        }
    }

    #[test]
    fn anything_else_is_not() {
        assert_eq!(read(&[]), Err(Refused::Missing));
        for values in [
            &["Bearer abc", "Bearer abc"][..],
            &["Bearer abc", "Basic abc"],
            &[""],
            &["Bearer"],
            &["Bearer "],
            &["Bearer    "],
            &["Bearerabc"],
            &["Basic abc"],
            &["abc"],
            &["Bearer abc def"],
            &["Bearer\u{a0}abc"],
        ] {
            assert_eq!(read(values), Err(Refused::Unreadable), "{values:?}");
        }
    }
}
