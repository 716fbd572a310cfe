//! The keys of a provider: a JSON Web Key Set (RFC 7517) that comes from the network, as keys that can verify.
//!
//! A key is taken only if its type, curve and size are supported, it is meant for signatures, and it fits the
//! algorithm that it names itself. What else a set holds is skipped, because providers add new kinds beside the old.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::Value;

use crate::config::Algorithm;

/// Keys of one set. A set with more is refused: it was not made for this.
const KEYS_MAX: usize = 64;
/// Bytes of a key id.
pub(super) const KEY_ID_BYTES_MAX: usize = 256;
/// Bits of an RSA modulus. Below, it can be factored; above, each forged signature costs milliseconds.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// A key set cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeySetError {
    /// It is no JSON, or no key set.
    #[error("this is not a JSON Web Key Set")]
    Malformed,
    /// It has too many keys.
    #[error("the key set has more than {KEYS_MAX} keys")]
    TooMany,
    /// No key can verify anything.
    #[error("the key set has no key that can be used: {skipped} were skipped")]
    Empty {
        /// How many it has of other kinds.
        skipped: usize,
    },
}

/// The type of a key, with its curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyType {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl KeyType {
    /// The only type with which an algorithm is used: this pinning is why a public key never serves as a secret.
    const fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::ES256 => Self::P256,
            Algorithm::ES384 => Self::P384,
            Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 => Self::Rsa,
            Algorithm::PS256 | Algorithm::PS384 | Algorithm::PS512 => Self::Rsa,
            Algorithm::EdDSA => Self::Ed25519,
        }
    }
}

/// A public key of a provider.
pub(super) struct Key {
    id: Option<String>,
    kind: KeyType,
    /// The only algorithm that it is for, if it says so.
    algorithm: Option<Algorithm>,
    decoding: DecodingKey,
    /// Of the id, the type and the material: two fetches hold the same key if it is equal.
    fingerprint: [u8; 32],
}

impl Key {
    fn fits(&self, algorithm: Algorithm) -> bool {
        self.kind == KeyType::of(algorithm) && self.algorithm.is_none_or(|only| only == algorithm)
    }

    pub(super) const fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// Whether it made a signature.
    pub(super) fn verifies(&self, message: &[u8], signature: &str, algorithm: Algorithm) -> bool {
        jsonwebtoken::crypto::verify(signature, message, &self.decoding, native(algorithm)).unwrap_or(false)
    }
}

const fn native(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    use jsonwebtoken::Algorithm as Native;
    match algorithm {
        Algorithm::ES256 => Native::ES256,
        Algorithm::ES384 => Native::ES384,
        Algorithm::RS256 => Native::RS256,
        Algorithm::RS384 => Native::RS384,
        Algorithm::RS512 => Native::RS512,
        Algorithm::PS256 => Native::PS256,
        Algorithm::PS384 => Native::PS384,
        Algorithm::PS512 => Native::PS512,
        Algorithm::EdDSA => Native::EdDSA,
    }
}

/// Why no key of a set is the one that a token asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoKey {
    /// None has this id; a newer set may.
    Unknown,
    /// The one with this id is of another type than the algorithm.
    Mismatch,
    /// The token names none and several fit.
    Ambiguous,
}

/// The keys that verify at present.
#[derive(Default)]
pub(super) struct KeySet {
    keys: Vec<Key>,
}

impl KeySet {
    /// Parses a set.
    pub(super) fn parse(document: &[u8]) -> Result<Self, KeySetError> {
        let Document { keys: found } =
            serde_json::from_slice(document).map_err(|_| KeySetError::Malformed)?;
        if found.len() > KEYS_MAX {
            return Err(KeySetError::TooMany);
        }
        let (mut keys, total) = (Vec::<Key>::new(), found.len());
        for key in found.into_iter().filter_map(key) {
            // An id may be there once for each type; a second key behind it could never be chosen.
            if !keys.iter().any(|other| other.id == key.id && other.kind == key.kind && key.id.is_some()) {
                keys.push(key);
            }
        }
        if keys.is_empty() {
            return Err(KeySetError::Empty { skipped: total });
        }
        Ok(Self { keys })
    }

    pub(super) const fn len(&self) -> usize {
        self.keys.len()
    }

    /// The key that a token names, for its algorithm.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&Key, NoKey> {
        let Some(id) = id else {
            // Without an id, a token can only mean the one key of its kind.
            let mut fitting = self.keys.iter().filter(|key| key.fits(algorithm));
            return match (fitting.next(), fitting.next()) {
                (Some(key), None) => Ok(key),
                (Some(_), Some(_)) => Err(NoKey::Ambiguous),
                (None, _) => Err(NoKey::Unknown),
            };
        };
        let mut named = self.keys.iter().filter(|key| key.id.as_deref() == Some(id)).peekable();
        if named.peek().is_none() {
            return Err(NoKey::Unknown);
        }
        named.find(|key| key.fits(algorithm)).ok_or(NoKey::Mismatch)
    }

    pub(super) fn holds(&self, fingerprint: &[u8; 32]) -> bool {
        self.keys.iter().any(|key| key.fingerprint == *fingerprint)
    }

    /// Whether it has the same keys in the same order.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let fingerprints = |set: &Self| set.keys.iter().map(|key| key.fingerprint).collect::<Vec<_>>();
        fingerprints(self) == fingerprints(other)
    }
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

/// The members of a key that matter (RFC 7517 §4, RFC 7518 §6, RFC 8037 §2).
#[derive(Deserialize)]
struct Members {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<Value>,
}

/// The key, unless it is of a kind that is skipped.
fn key(value: Value) -> Option<Key> {
    let members: Members = serde_json::from_value(value).ok()?;
    let is_for_signatures = members.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
        && members.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|name| name == "verify"));
    // A provider that publishes a private key has lost it.
    if !is_for_signatures || members.d.is_some() {
        return None;
    }
    let id_is_short = members.kid.as_ref().is_none_or(|id| id.len() <= KEY_ID_BYTES_MAX);
    // A key for an algorithm that is not known here is for no other either.
    let algorithm = match &members.alg {
        Some(name) => Some(Algorithm::of(name)?),
        None => None,
    };
    let (kind, material, decoding) = material(&members)?;
    let fits = algorithm.is_none_or(|algorithm| KeyType::of(algorithm) == kind);
    (id_is_short && fits).then(|| Key {
        fingerprint: fingerprint(members.kid.as_deref(), kind, algorithm, &material),
        id: members.kid,
        kind,
        algorithm,
        decoding,
    })
}

fn material(members: &Members) -> Option<(KeyType, Vec<Vec<u8>>, DecodingKey)> {
    let decoded = |member: &Option<String>| URL_SAFE_NO_PAD.decode(member.as_deref()?).ok();
    let coordinate =
        |member: &Option<String>, size: usize| decoded(member).filter(|bytes| bytes.len() == size);
    match (members.kty.as_str(), members.crv.as_deref()) {
        ("RSA", _) => {
            let (n, e) = (decoded(&members.n)?, decoded(&members.e)?);
            let zeros = n.iter().take_while(|byte| **byte == 0).count();
            let bits = (n.len() - zeros) * 8 - n.get(zeros)?.leading_zeros() as usize;
            let decoding = DecodingKey::from_rsa_raw_components(&n, &e);
            RSA_BITS.contains(&bits).then(|| (KeyType::Rsa, vec![n, e], decoding))
        }
        ("EC", Some(curve)) => {
            let (kind, size) = match curve {
                "P-256" => (KeyType::P256, 32),
                "P-384" => (KeyType::P384, 48),
                _ => return None,
            };
            let (x, y) = (coordinate(&members.x, size)?, coordinate(&members.y, size)?);
            let decoding = DecodingKey::from_ec_components(members.x.as_ref()?, members.y.as_ref()?).ok()?;
            Some((kind, vec![x, y], decoding))
        }
        ("OKP", Some("Ed25519")) => {
            let x = coordinate(&members.x, 32)?;
            let decoding = DecodingKey::from_ed_components(members.x.as_ref()?).ok()?;
            Some((KeyType::Ed25519, vec![x], decoding))
        }
        // Symmetric keys ("oct") too: see [`Algorithm`].
        _ => None,
    }
}

fn fingerprint(
    id: Option<&str>,
    kind: KeyType,
    algorithm: Option<Algorithm>,
    material: &[Vec<u8>],
) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let labels = [format!("{kind:?}"), format!("{algorithm:?}"), format!("{id:?}")];
    for part in labels.iter().map(String::as_bytes).chain(material.iter().map(Vec::as_slice)) {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn ec(id: &str) -> Value {
        json!({"kty": "EC", "crv": "P-256", "kid": id, "use": "sig", "alg": "ES256",
            "x": URL_SAFE_NO_PAD.encode([1; 32]), "y": URL_SAFE_NO_PAD.encode([2; 32])})
    }

    fn parse(keys: &[Value]) -> Result<KeySet, KeySetError> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    fn with(mut key: Value, changes: Value) -> Value {
        for (name, value) in changes.as_object().unwrap() {
            key[name] = value.clone();
        }
        key
    }

    #[test]
    fn keys_of_other_kinds_are_skipped() {
        let rsa = |bytes: usize| json!({"kty": "RSA", "kid": "r", "e": "AQAB", "n": URL_SAFE_NO_PAD.encode(vec![0xff; bytes])});
        for unusable in [
            json!({"kty": "oct", "kid": "a", "k": "c2VjcmV0"}),
            json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"}),
            json!({"kty": 5}),
            json!("a"),
            json!(null),
            with(ec("a"), json!({"use": "enc"})),
            with(ec("a"), json!({"key_ops": ["sign"]})),
            with(ec("a"), json!({"alg": "ES384"})),
            with(ec("a"), json!({"alg": "RS256"})),
            with(ec("a"), json!({"alg": "HS256"})),
            with(ec("a"), json!({"crv": "secp256k1"})),
            with(ec("a"), json!({"crv": "P-384"})),
            with(ec("a"), json!({"d": "c2VjcmV0"})),
            with(ec("a"), json!({"x": "AA"})),
            with(ec("a"), json!({"x": "*"})),
            with(ec("a"), json!({"y": null})),
            with(ec("a"), json!({"kid": "k".repeat(KEY_ID_BYTES_MAX + 1)})),
            rsa(128),
            rsa(1024),
            rsa(0),
            json!({"kty": "OKP", "crv": "X25519", "x": URL_SAFE_NO_PAD.encode([1; 32])}),
        ] {
            let set = parse(&[unusable.clone(), ec("good")]).unwrap();
            assert_eq!(set.len(), 1, "{unusable}");
            assert!(matches!(parse(&[unusable]), Err(KeySetError::Empty { skipped: 1 })));
        }
        assert_eq!(parse(&[rsa(256), rsa(512)]).unwrap().len(), 1, "the second has the first one's id");
    }

    #[test]
    fn a_set_that_is_none_or_too_large_is_refused() {
        for document in ["", "{}", "[]", "{\"keys\":{}}", "{\"keys\":5}", "<html>", "{\"keys\":[]"] {
            assert!(matches!(KeySet::parse(document.as_bytes()), Err(KeySetError::Malformed)), "{document}");
        }
        let keys = |count: usize| (0..count).map(|number| ec(&number.to_string())).collect::<Vec<_>>();
        assert_eq!(parse(&keys(KEYS_MAX)).unwrap().len(), KEYS_MAX);
        assert!(matches!(parse(&keys(KEYS_MAX + 1)), Err(KeySetError::TooMany)));
    }

    #[test]
    fn a_key_is_found_by_id_and_algorithm() {
        let ed = json!({"kty": "OKP", "crv": "Ed25519", "kid": "a", "x": URL_SAFE_NO_PAD.encode([1; 32])});
        let set = parse(&[ec("a"), ec("b"), ed]).unwrap();
        let find = |id, algorithm| set.find(id, algorithm).map(|key| key.kind);
        assert_eq!(find(Some("a"), Algorithm::ES256), Ok(KeyType::P256));
        assert_eq!(find(Some("a"), Algorithm::EdDSA), Ok(KeyType::Ed25519));
        assert_eq!(find(Some("a"), Algorithm::RS256), Err(NoKey::Mismatch));
        assert_eq!(find(Some("b"), Algorithm::EdDSA), Err(NoKey::Mismatch));
        assert_eq!(find(Some("c"), Algorithm::ES256), Err(NoKey::Unknown));
        assert_eq!(find(None, Algorithm::ES256), Err(NoKey::Ambiguous));
        assert_eq!(find(None, Algorithm::EdDSA), Ok(KeyType::Ed25519));
        assert_eq!(find(None, Algorithm::RS256), Err(NoKey::Unknown));
    }

    #[test]
    fn a_key_that_changed_behind_its_id_is_another() {
        let set = parse(&[ec("a"), ec("b")]).unwrap();
        let fingerprint = *set.find(Some("a"), Algorithm::ES256).unwrap().fingerprint();
        assert!(set.is_same(&parse(&[ec("a"), ec("b")]).unwrap()));
        assert!(parse(&[ec("b"), ec("a")]).unwrap().holds(&fingerprint));
        let changed = parse(&[with(ec("a"), json!({"x": URL_SAFE_NO_PAD.encode([3; 32])}))]).unwrap();
        assert!(!changed.holds(&fingerprint) && !changed.is_same(&set));
    }

    proptest! {
        #[test]
        fn any_document_is_parsed_or_refused(document in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = KeySet::parse(&document);
        }

        #[test]
        fn any_member_is_taken_or_skipped(name in "kty|kid|use|alg|crv|x|y|n|e|key_ops", value in "\\PC{0,40}") {
            let changed = with(ec("a"), json!({ name: value }));
            let set = parse(&[changed, ec("b")]);
            prop_assert!(set.is_ok());
        }
    }
}
