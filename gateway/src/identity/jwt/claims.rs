//! The claims of a token: parsed, then compared with what is expected of it.

use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use subtle::ConstantTimeEq as _;

use super::JwtError;
use crate::identity::provider::Provider;

/// Bytes of `sub` (OpenID Connect Core §2).
const SUBJECT_BYTES_MAX: usize = 255;
/// Bytes of an e-mail address (RFC 5321 §4.5.3.1.3).
const EMAIL_BYTES_MAX: usize = 254;

/// A session that a provider vouches for. The user is (`issuer`, `subject`) and nothing else: an address changes hands.
#[derive(Clone)]
pub struct VerifiedSession {
    /// The provider that vouches for it.
    pub provider: Arc<Provider>,
    /// The provider's identifier of the person.
    pub subject: String,
    /// From this time it is refused.
    pub expires: Timestamp,
    /// Before this time it is refused.
    pub not_before: Option<Timestamp>,
    /// When the token was issued; a token that was refreshed silently is newer than the sign-in.
    pub issued_at: Option<Timestamp>,
    /// When the person last proved who they are, if the provider says so.
    pub auth_time: Option<Timestamp>,
    /// The person's e-mail address, only if the provider has verified it.
    pub email: Option<String>,
    /// The organizations that the claim maps to by configuration, each once.
    pub organizations: Vec<String>,
    /// The key that verified it.
    pub(in crate::identity) key: [u8; 32],
}

impl fmt::Debug for VerifiedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedSession")
            .field("provider", &self.provider)
            .field("subject", &self.subject)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl VerifiedSession {
    /// The issuer, the first half of the user's identity.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.provider.issuer()
    }

    /// When the person was authenticated: `auth_time`, else when the token was issued. The latter is only an upper
    /// bound, because a token can be renewed without the person: ask [`VerifiedSession::auth_time`] for a step-up.
    #[must_use]
    pub fn authenticated_at(&self) -> Option<Timestamp> {
        self.auth_time.or(self.issued_at)
    }

    /// The e-mail address with which an invitation may be accepted: verified, and of a domain for which the
    /// configuration lists this provider.
    #[must_use]
    pub fn linking_email(&self) -> Option<&str> {
        self.email.as_deref().filter(|email| self.provider.speaks_for(email))
    }

    /// Whether the provider still has the key that verified it.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.provider.keys().holds(&self.key)
    }

    /// Checks that it is valid at `now`, within the leeway of its provider.
    ///
    /// # Errors
    /// It has expired or has not begun.
    pub fn check_time(&self, now: Timestamp) -> Result<(), JwtError> {
        let leeway = leeway(&self.provider);
        if now >= later(self.expires, leeway) {
            return Err(JwtError::Expired);
        }
        if self.not_before.is_some_and(|begin| begin > later(now, leeway)) {
            return Err(JwtError::NotYet);
        }
        let happened = [self.issued_at, self.auth_time];
        if happened.into_iter().flatten().any(|time| time > later(now, leeway)) {
            return Err(JwtError::Future);
        }
        Ok(())
    }
}

pub(in crate::identity) fn leeway(provider: &Provider) -> SignedDuration {
    SignedDuration::try_from(provider.settings.clock_leeway).unwrap_or_default()
}

fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// What a token must say, beside what every token must.
pub(in crate::identity) enum Expected<'e> {
    /// A session for this API: the provider's configured audience.
    Session,
    /// The id token of a sign-in: it is for the client that asked, with that request's nonce.
    SignIn { nonce: &'e str },
}

/// The claims of a token, of which nothing is verified.
pub(in crate::identity) struct Claims(Map<String, Value>);

impl Claims {
    pub(super) fn parse(document: &[u8]) -> Result<Self, JwtError> {
        object(document).map(Self)
    }

    pub(in crate::identity) fn issuer(&self) -> Result<&str, JwtError> {
        self.text("iss")
    }

    /// Whether `aud` has this value.
    pub(in crate::identity) fn is_for(&self, audience: &str) -> Result<bool, JwtError> {
        match self.0.get("aud") {
            Some(Value::String(only)) => Ok(only == audience),
            Some(Value::Array(all)) if !all.is_empty() && all.iter().all(Value::is_string) => {
                Ok(all.iter().any(|one| one == audience))
            }
            _ => Err(JwtError::Claim("aud")),
        }
    }

    /// Compares all claims with what is expected and takes from them what a session is.
    pub(super) fn check(
        &self,
        provider: &Arc<Provider>,
        expected: &Expected<'_>,
        now: Timestamp,
    ) -> Result<VerifiedSession, JwtError> {
        if self.issuer()? != provider.issuer() {
            return Err(JwtError::Issuer);
        }
        match expected {
            Expected::Session if !self.is_for(&provider.settings.audience)? => {
                return Err(JwtError::Audience);
            }
            Expected::Session => {}
            Expected::SignIn { nonce } => self.check_sign_in(&provider.settings.client_id, nonce)?,
        }
        // A security event (RFC 8417 §2.2), such as a logout token without its type.
        if self.0.contains_key("events") {
            return Err(JwtError::Type);
        }
        let session = VerifiedSession {
            provider: provider.clone(),
            subject: self.subject()?.to_owned(),
            expires: self.time("exp")?.ok_or(JwtError::Claim("exp"))?,
            not_before: self.time("nbf")?,
            issued_at: self.time("iat")?,
            auth_time: self.time("auth_time")?,
            email: self.email(),
            organizations: self.organizations(provider),
            key: [0; 32],
        };
        session.check_time(now)?;
        Ok(session)
    }

    /// An id token is for this client alone, or says that it was issued to it (OpenID Connect Core §3.1.3.7).
    fn check_sign_in(&self, client: &str, nonce: &str) -> Result<(), JwtError> {
        if !self.is_for(client)? {
            return Err(JwtError::Audience);
        }
        let has_several = matches!(self.0.get("aud"), Some(Value::Array(all)) if all.len() > 1);
        match self.0.get("azp") {
            Some(party) if party == client => {}
            None if !has_several => {}
            _ => return Err(JwtError::Party),
        }
        let given = self.text("nonce").map_err(|_| JwtError::Nonce)?;
        if bool::from(given.as_bytes().ct_eq(nonce.as_bytes())) { Ok(()) } else { Err(JwtError::Nonce) }
    }

    fn text(&self, name: &'static str) -> Result<&str, JwtError> {
        self.0.get(name).and_then(Value::as_str).ok_or(JwtError::Claim(name))
    }

    fn subject(&self) -> Result<&str, JwtError> {
        let subject = self.text("sub")?;
        let is_plain =
            (1..=SUBJECT_BYTES_MAX).contains(&subject.len()) && !subject.chars().any(char::is_control);
        if is_plain { Ok(subject) } else { Err(JwtError::Claim("sub")) }
    }

    /// A time in seconds (RFC 7519 §2), of which a fraction is cut.
    fn time(&self, name: &'static str) -> Result<Option<Timestamp>, JwtError> {
        let Some(value) = self.0.get(name) else { return Ok(None) };
        #[expect(clippy::cast_possible_truncation, reason = "what does not fit saturates and is refused")]
        let seconds = value.as_i64().or_else(|| value.as_f64().map(|seconds| seconds.floor() as i64));
        let time = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
        time.map(Some).ok_or(JwtError::Claim(name))
    }

    /// The e-mail address, if it is verified. Some providers write the boolean as text.
    fn email(&self) -> Option<String> {
        let is_verified = match self.0.get("email_verified")? {
            Value::Bool(verified) => *verified,
            Value::String(verified) => verified == "true",
            _ => false,
        };
        let email = self.0.get("email")?.as_str().filter(|_| is_verified)?;
        let (name, domain) = email.split_once('@')?;
        let is_plain = email.len() <= EMAIL_BYTES_MAX
            && !email.chars().any(|sign| sign.is_control() || sign.is_whitespace());
        (is_plain && !name.is_empty() && !domain.is_empty() && !domain.contains('@'))
            .then(|| email.to_owned())
    }

    fn organizations(&self, provider: &Provider) -> Vec<String> {
        let settings = &provider.settings;
        let values = match self.0.get(&settings.organization_claim) {
            Some(Value::Array(values)) => values.as_slice(),
            Some(value) => std::slice::from_ref(value),
            None => &[],
        };
        let mapped = values.iter().filter_map(|value| settings.organizations.get(value.as_str()?));
        // At most as many as the configuration names, whatever the token holds.
        let mut organizations: Vec<String> = mapped.cloned().collect();
        organizations.sort();
        organizations.dedup();
        organizations
    }
}

/// Parses an object, of which no member is there twice.
pub(super) fn object(document: &[u8]) -> Result<Map<String, Value>, JwtError> {
    let Object { members, has_duplicate } =
        serde_json::from_slice(document).map_err(|_| JwtError::Malformed)?;
    if has_duplicate { Err(JwtError::Duplicate) } else { Ok(members) }
}

struct Object {
    members: Map<String, Value>,
    has_duplicate: bool,
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
        let mut object = Object { members: Map::new(), has_duplicate: false };
        while let Some((name, value)) = map.next_entry()? {
            object.has_duplicate |= object.members.insert(name, value).is_some();
        }
        Ok(object)
    }
}
