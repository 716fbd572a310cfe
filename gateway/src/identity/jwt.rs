//! Verification of a session: a JSON Web Token (RFC 7519) that a configured provider has signed.
//!
//! Everything in a token is an attacker's text until its signature is verified, and the header stays one: it chooses
//! among the keys that the provider published, never brings one. The cheap checks come first, so that a token that
//! cannot be accepted costs no signature. Best practice: RFC 8725.

mod claims;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::Value;

use super::keys::{KEY_ID_BYTES_MAX, NoKey};
use super::provider::Provider;
use crate::config::Algorithm;

pub use claims::VerifiedSession;
pub(super) use claims::{Claims, Expected, leeway};

/// Bytes of a token. Providers put groups into them; beyond this a request's fields would not fit either.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;

/// Why a token is refused. [`JwtError::name`] is for the log; a caller learns only that it is not valid.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JwtError {
    /// Larger than [`TOKEN_BYTES_MAX`].
    #[error("the token is larger than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    /// No JWT.
    #[error("this is no JSON Web Token")]
    Malformed,
    /// Encrypted (JWE).
    #[error("the token is encrypted")]
    Encrypted,
    /// A token within a token.
    #[error("the token holds another token")]
    Nested,
    /// A member is there twice, which two readers may read differently.
    #[error("the token has a member twice")]
    Duplicate,
    /// The header has extensions that must be understood.
    #[error("the token has critical extensions")]
    Critical,
    /// The header brings or links a key.
    #[error("the token names a key of its own")]
    OwnKey,
    /// The token is for something else, such as a logout.
    #[error("the token is not a session's")]
    Type,
    /// The algorithm is not accepted from this provider.
    #[error("the algorithm is not accepted")]
    Algorithm,
    /// No provider has this issuer.
    #[error("the issuer is not a configured provider")]
    Issuer,
    /// The audience is another.
    #[error("the audience is not this API")]
    Audience,
    /// The authorized party is another client (OpenID Connect Core §3.1.3.7).
    #[error("the token was issued to another client")]
    Party,
    /// The nonce is not that of the sign-in.
    #[error("the nonce is not that of this sign-in")]
    Nonce,
    /// A claim is missing or has the wrong form.
    #[error("the claim `{0}` is missing or invalid")]
    Claim(&'static str),
    /// Over.
    #[error("the token has expired")]
    Expired,
    /// Not begun.
    #[error("the token is not valid yet")]
    NotYet,
    /// Issued, or its person authenticated, in the future.
    #[error("the token was issued in the future")]
    Future,
    /// The key is not among the provider's, at least not yet.
    #[error("the key is unknown")]
    UnknownKey(Arc<Provider>),
    /// The token names no key and several fit.
    #[error("the token does not say which key signed it")]
    NoKeyId,
    /// The key is of another type than the algorithm.
    #[error("the key does not fit the algorithm")]
    KeyType,
    /// The signature is not the key's.
    #[error("the signature is wrong")]
    Signature,
}

impl JwtError {
    /// Its name in the log.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::TooLong => "jwt_too_long",
            Self::Malformed => "jwt_malformed",
            Self::Encrypted => "jwt_encrypted",
            Self::Nested => "jwt_nested",
            Self::Duplicate => "jwt_duplicate",
            Self::Critical => "jwt_critical",
            Self::OwnKey => "jwt_own_key",
            Self::Type => "jwt_type",
            Self::Algorithm => "jwt_algorithm",
            Self::Issuer => "jwt_issuer",
            Self::Audience => "jwt_audience",
            Self::Party => "jwt_party",
            Self::Nonce => "jwt_nonce",
            Self::Claim(_) => "jwt_claim",
            Self::Expired => "jwt_expired",
            Self::NotYet => "jwt_not_yet",
            Self::Future => "jwt_future",
            Self::UnknownKey(_) => "jwt_unknown_key",
            Self::NoKeyId => "jwt_no_key_id",
            Self::KeyType => "jwt_key_type",
            Self::Signature => "jwt_signature",
        }
    }
}

/// A token in its parts, of which nothing is verified.
pub(super) struct Token<'t> {
    /// What was signed: header and claims as they were sent.
    message: &'t [u8],
    signature: &'t str,
    algorithm: String,
    key_id: Option<String>,
    pub(super) claims: Claims,
}

impl<'t> Token<'t> {
    /// Parses a token in compact form (RFC 7515 §7.1).
    pub(super) fn parse(token: &'t [u8]) -> Result<Self, JwtError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(JwtError::TooLong);
        }
        let text = std::str::from_utf8(token).map_err(|_| JwtError::Malformed)?;
        let parts: Vec<&str> = text.splitn(6, '.').collect();
        let [header, claims, signature] = parts[..] else {
            return Err(if parts.len() == 5 { JwtError::Encrypted } else { JwtError::Malformed });
        };
        if signature.is_empty() {
            return Err(JwtError::Signature);
        }
        let (algorithm, key_id) = read_header(header)?;
        let claims = Claims::parse(&decode(claims)?)?;
        let message = &token[..token.len() - signature.len() - 1];
        Ok(Self { message, signature, algorithm, key_id, claims })
    }

    /// Verifies the token as one of this provider: claims, then signature.
    pub(super) fn verify(
        &self,
        provider: &Arc<Provider>,
        expected: &Expected<'_>,
        now: Timestamp,
    ) -> Result<VerifiedSession, JwtError> {
        let algorithm = Algorithm::of(&self.algorithm)
            .filter(|algorithm| provider.settings.algorithms.contains(algorithm))
            .ok_or(JwtError::Algorithm)?;
        let mut session = self.claims.check(provider, expected, now)?;
        let keys = provider.keys();
        let key = keys.find(self.key_id.as_deref(), algorithm).map_err(|none| match none {
            NoKey::Unknown => JwtError::UnknownKey(provider.clone()),
            NoKey::Mismatch => JwtError::KeyType,
            NoKey::Ambiguous => JwtError::NoKeyId,
        })?;
        if !key.verifies(self.message, self.signature, algorithm) {
            return Err(JwtError::Signature);
        }
        session.key = *key.fingerprint();
        Ok(session)
    }
}

/// The algorithm and the key id of a header (RFC 7515 §4.1).
fn read_header(part: &str) -> Result<(String, Option<String>), JwtError> {
    let header = claims::object(&decode(part)?)?;
    if header.contains_key("enc") {
        return Err(JwtError::Encrypted);
    }
    if header.contains_key("crit") {
        return Err(JwtError::Critical);
    }
    if ["jwk", "jku", "x5u", "x5c"].iter().any(|member| header.contains_key(*member)) {
        return Err(JwtError::OwnKey);
    }
    if header.contains_key("cty") {
        return Err(JwtError::Nested);
    }
    match header.get("typ") {
        None => {}
        Some(Value::String(name)) if is_session(name) => {}
        Some(_) => return Err(JwtError::Type),
    }
    let Some(Value::String(algorithm)) = header.get("alg") else { return Err(JwtError::Algorithm) };
    let key_id = match header.get("kid") {
        None => None,
        Some(Value::String(id)) if id.len() <= KEY_ID_BYTES_MAX => Some(id.clone()),
        Some(_) => return Err(JwtError::Malformed),
    };
    Ok((algorithm.clone(), key_id))
}

/// Whether a token of this type may be a session. Logout tokens, security events and proofs are signed with the same
/// keys for other purposes (RFC 8725 §3.11).
fn is_session(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    matches!(name.strip_prefix("application/").unwrap_or(&name), "jwt" | "at+jwt")
}

fn decode(part: &str) -> Result<Vec<u8>, JwtError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtError::Malformed)
}
