//! Links that work once or name an access request: the codes in them, and what has become of a link.
//!
//! A code is 256 random bits. Only its keyed hash is stored, and a link is found by that hash, so neither the store nor
//! the time of an answer reveals a code.

use std::fmt;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use permissions::{KeyHash, LinkId, ServerSecret};
use rand::CryptoRng;
use serde::Serialize;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{ProvisioningError, new_uuid, random_text};
use crate::store::requests::{Link, LinkKind, Requests};
use crate::store::{Write, to_stored_precision};

/// How long a link is kept after its end, to say when it was used or expired.
const KEPT_AFTER_END: SignedDuration = SignedDuration::from_hours(90 * 24);

/// The code in a link. It is shown once and wiped from memory.
#[derive(Clone, PartialEq, Eq)]
pub struct LinkCode(Zeroizing<String>);

impl fmt::Debug for LinkCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkCode([redacted])")
    }
}

impl LinkCode {
    /// The length of every code.
    pub const CHARACTERS: usize = 43;

    pub(super) fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self(random_text(rng))
    }

    /// The text itself, for the code that prints or sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The keyed hash, under which it is stored.
    pub(super) fn hash(&self, secret: &ServerSecret) -> KeyHash {
        hash(secret, &self.0)
    }
}

fn hash(secret: &ServerSecret, code: &str) -> KeyHash {
    secret.derive("partner-gateway 2026-11 code of a link").hash(code.as_bytes())
}

/// The hash of a code that was presented, if it has the form of one.
pub(super) fn presented(secret: &ServerSecret, code: &str) -> Result<KeyHash, ProvisioningError> {
    let has_form = code.len() == LinkCode::CHARACTERS
        && code.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if has_form { Ok(hash(secret, code)) } else { Err(ProvisioningError::UnknownLink) }
}

/// Where on the portal a link leads: the path before its code.
#[must_use]
pub const fn link_path(kind: LinkKind) -> &'static str {
    match kind {
        LinkKind::SignIn => "/sign-in/link/",
        LinkKind::Claim => "/claim/",
        LinkKind::Invitation => "/invitation/",
    }
}

/// As [`link_path`], for the link by which a contact follows an access request.
pub const REQUEST_PATH: &str = "/access/";

/// What has become of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum LinkState {
    /// It works, until this time.
    Ready {
        /// When it ends.
        expires: Timestamp,
    },
    /// It was used.
    Used {
        /// When that was.
        at: Timestamp,
    },
    /// It ended without being used.
    Expired {
        /// When that was.
        at: Timestamp,
    },
}

impl LinkState {
    pub(super) fn of(link: &Link, now: Timestamp) -> Self {
        match link.used {
            Some(at) => Self::Used { at },
            None if link.expires <= now => Self::Expired { at: link.expires },
            None => Self::Ready { expires: link.expires },
        }
    }

    fn require_ready(self) -> Result<(), ProvisioningError> {
        match self {
            Self::Ready { .. } => Ok(()),
            Self::Used { at } => Err(ProvisioningError::LinkUsed { at }),
            Self::Expired { at } => Err(ProvisioningError::LinkExpired { at }),
        }
    }
}

/// A link that was made. Its code is available only here.
#[derive(Clone, Debug)]
pub struct NewLink {
    /// What it is for.
    pub kind: LinkKind,
    /// The code.
    pub code: LinkCode,
    /// When it ends.
    pub expires: Timestamp,
}

/// Draws a link that is not stored yet.
pub(super) fn draw(
    rng: &mut dyn CryptoRng,
    kind: LinkKind,
    lifetime: Duration,
    now: Timestamp,
) -> Result<(LinkId, NewLink), ProvisioningError> {
    let expires = SignedDuration::try_from(lifetime).ok().and_then(|lifetime| now.checked_add(lifetime).ok());
    let expires = to_stored_precision(expires.ok_or(ProvisioningError::OverlapTooLong)?);
    Ok((LinkId(new_uuid(rng, now)), NewLink { kind, code: LinkCode::generate(rng), expires }))
}

/// Stores a drawn link. Earlier ones of its kind for the same subject end, so that one works at a time.
pub(super) fn insert(
    write: &mut dyn Write,
    secret: &ServerSecret,
    (id, new): (LinkId, &NewLink),
    subject: Uuid,
) -> Result<(), ProvisioningError> {
    let now = write.now();
    write.end_links(new.kind, subject)?;
    write.forget_links(now.checked_sub(KEPT_AFTER_END).unwrap_or(Timestamp::MIN))?;
    let link = Link { id, kind: new.kind, subject, created: now, expires: new.expires, used: None };
    Ok(write.insert_link(&link, &new.code.hash(secret))?)
}

/// The link of a code, used or not.
pub(super) fn find(
    store: &mut (impl Requests + ?Sized),
    secret: &ServerSecret,
    kind: LinkKind,
    code: &str,
) -> Result<Link, ProvisioningError> {
    store.find_link(kind, &presented(secret, code)?)?.ok_or(ProvisioningError::UnknownLink)
}

/// Uses the link of a code.
pub(super) fn take(
    write: &mut dyn Write,
    secret: &ServerSecret,
    kind: LinkKind,
    code: &str,
) -> Result<Link, ProvisioningError> {
    let now = write.now();
    let link = find(write, secret, kind, code)?;
    LinkState::of(&link, now).require_ready()?;
    if write.use_link(link.id)? { Ok(link) } else { Err(ProvisioningError::LinkUsed { at: now }) }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    #[test]
    fn a_code_has_256_random_bits_and_does_not_print() {
        let (one, two) = (LinkCode::generate(&mut rand::rng()), LinkCode::generate(&mut rand::rng()));
        assert_ne!(one, two);
        assert_eq!(one.expose().len(), LinkCode::CHARACTERS);
        assert_eq!(URL_SAFE_NO_PAD.decode(one.expose()).unwrap().len(), 32);
        assert_eq!(format!("{one:?}"), "LinkCode([redacted])");
        let secret = ServerSecret::new([7; 32]);
        assert_eq!(presented(&secret, one.expose()).unwrap(), one.hash(&secret));
        assert_ne!(one.hash(&secret), secret.hash(one.expose().as_bytes()), "it is never a key's hash");
        let long = "a".repeat(44);
        for wrong in ["", "a", &long, &"é".repeat(21), &format!("{} ", "a".repeat(42)), &"\0".repeat(43)] {
            assert!(matches!(presented(&secret, wrong), Err(ProvisioningError::UnknownLink)), "{wrong:?}");
        }
    }
}
