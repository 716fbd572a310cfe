//! A provider's signing keys, for tests: they make tokens, good ones and forged ones.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Identity;
use crate::clock::{Clock, ManualClock};
use crate::config;

pub(super) const ISSUER: &str = "https://id.example.com";
pub(super) const AUDIENCE: &str = "https://api.example.com";
/// When the tests' tokens are made.
pub(super) const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

pub(super) enum SigningKey {
    Ec(EcdsaKeyPair),
    Rsa(Box<RsaKeyPair>),
    Ed(Ed25519KeyPair),
}

impl SigningKey {
    pub(super) fn p256() -> Self {
        Self::ec(&ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    pub(super) fn p384() -> Self {
        Self::ec(&ECDSA_P384_SHA384_FIXED_SIGNING)
    }

    fn ec(algorithm: &'static EcdsaSigningAlgorithm) -> Self {
        Self::Ec(EcdsaKeyPair::generate(algorithm).unwrap())
    }

    pub(super) fn rsa() -> Self {
        Self::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()))
    }

    pub(super) fn ed25519() -> Self {
        Self::Ed(Ed25519KeyPair::generate().unwrap())
    }

    /// The bytes of the public key, as some would take them for a shared secret.
    pub(super) fn public(&self) -> &[u8] {
        match self {
            Self::Ec(key) => key.public_key().as_ref(),
            Self::Rsa(key) => key.public_key().as_ref(),
            Self::Ed(key) => key.public_key().as_ref(),
        }
    }

    pub(super) fn jwk(&self, id: &str) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Ec(key) => {
                let (x, y) = key.public_key().as_ref()[1..].split_at(key.public_key().as_ref().len() / 2);
                let curve = if x.len() == 32 { "P-256" } else { "P-384" };
                json!({"kty": "EC", "crv": curve, "kid": id, "x": text(x), "y": text(y)})
            }
            Self::Rsa(key) => {
                let (n, e) = (key.public_key().modulus(), key.public_key().exponent());
                let bytes = |integer: &[u8]| text(integer);
                json!({"kty": "RSA", "kid": id, "n": bytes(n.big_endian_without_leading_zero()), "e": bytes(e.big_endian_without_leading_zero())})
            }
            Self::Ed(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": text(key.public_key().as_ref())})
            }
        }
    }

    /// Signs as `header` says: PSS where its algorithm is one, else the key's first algorithm.
    pub(super) fn token(&self, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let random = SystemRandom::new();
        let signature = match self {
            Self::Ec(key) => key.sign(&random, message.as_bytes()).unwrap().as_ref().to_vec(),
            Self::Rsa(key) => {
                let padding: &dyn RsaEncoding =
                    if header.contains("PS256") { &RSA_PSS_SHA256 } else { &RSA_PKCS1_SHA256 };
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(padding, &random, message.as_bytes(), &mut signature).unwrap();
                signature
            }
            Self::Ed(key) => key.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

/// What every session claims at [`NOW`].
pub(super) fn claims() -> Value {
    let now = NOW.as_second();
    json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "person-1", "iat": now, "nbf": now, "exp": now + 3600})
}

/// The claims of [`claims`] with changes; `null` removes one.
pub(super) fn claims_with(changes: Value) -> String {
    let mut all = claims();
    for (name, value) in changes.as_object().unwrap() {
        all[name] = value.clone();
    }
    all.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    all.to_string()
}

/// An identity with one provider, `corp`, which has these keys.
pub(super) fn identity(settings: config::Provider, keys: &[Value]) -> Identity {
    let settings = config::Provider { issuer: ISSUER.to_owned(), audience: AUDIENCE.to_owned(), ..settings };
    let config =
        config::Identity { sessions_cached_max: 64, providers: [("corp".to_owned(), settings)].into() };
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(NOW));
    let identity = Identity::new(&config, 1, &clock, [7; 32]).unwrap();
    identity.provider("corp").unwrap().put_keys(&json!({ "keys": keys }));
    identity
}
