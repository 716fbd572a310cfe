//! Keys: the text that a partner holds, the hash that the gateway stores, and the record of its settings.
//!
//! The text is `pgw_stg_` or `pgw_live_`, 43 random base62 characters (256 bits), then six that encode the
//! CRC-32 of all before them. The checksum refuses typing errors and scanner noise before any look-up; only
//! the keyed hash (BLAKE3) is stored and looked up, so neither a stolen store nor the duration of a look-up
//! reveals anything about a key.

use std::fmt;
use std::str::FromStr;

use ipnet::IpNet;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{ApiAccessPermission, Environment, Rate};

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const RANDOM_CHARACTERS: usize = 43;
const CHECKSUM_CHARACTERS: usize = 6;

/// The id of a key in logs, listings and commands. It is not secret (a UUIDv7, so ids sort by age).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub Uuid);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for KeyId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// The id of a partner, which stays when the partner is renamed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartnerId(pub Uuid);

impl fmt::Display for PartnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for PartnerId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// The prefix of every key of an installation, by which secret scanners recognize its owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Brand(String);

/// The text is not a brand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a brand; it is 2 to 16 of a-z and 0-9, beginning with a letter")]
pub struct BrandError(pub String);

impl TryFrom<String> for Brand {
    type Error = BrandError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let plain = text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let letter_first = text.starts_with(|first: char| first.is_ascii_lowercase());
        if plain && letter_first && (2..=16).contains(&text.len()) {
            Ok(Self(text))
        } else {
            Err(BrandError(text))
        }
    }
}

impl From<Brand> for String {
    fn from(brand: Brand) -> Self {
        brand.0
    }
}

/// The text of a key. It is printed once, when the key is created, and wiped from memory afterwards.
#[derive(Clone, PartialEq, Eq)]
pub struct KeySecret(Zeroizing<String>);

impl fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeySecret([redacted])")
    }
}

/// The text is not a key of this brand: wrong prefix, length, alphabet or checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Wrong brand, environment or length, or a character outside base62.
    #[error("the credential does not have the form of a key")]
    Form,
    /// The last six characters are not the CRC-32 of the others.
    #[error("the key's checksum is wrong; a character was lost or changed")]
    Checksum,
}

impl KeySecret {
    /// Generates a new key. `random_byte` must be as strong as the operating system's generator.
    pub fn generate(brand: &Brand, environment: Environment, mut random_byte: impl FnMut() -> u8) -> Self {
        let mark = environment.key_mark();
        let length = brand.0.len() + 1 + mark.len() + 1 + RANDOM_CHARACTERS + CHECKSUM_CHARACTERS;
        // The capacity is exact: a reallocation would leave a copy behind that nobody wipes.
        let mut text = Zeroizing::new(String::with_capacity(length));
        text.push_str(&brand.0);
        text.push('_');
        text.push_str(mark);
        text.push('_');
        let payload_end = text.len() + RANDOM_CHARACTERS;
        while text.len() < payload_end {
            // 248 is the largest multiple of 62 in a byte: larger values would favour some characters.
            let byte = random_byte();
            if byte < 248 {
                text.push(char::from(ALPHABET[usize::from(byte % 62)]));
            }
        }
        let checksum = checksum(text.as_bytes());
        text.extend(checksum.map(char::from));
        Self(text)
    }

    /// The text itself, for the code that prints or sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The last four characters, by which keys are recognized in a listing.
    #[must_use]
    pub fn hint(&self) -> String {
        self.0[self.0.len() - 4..].to_owned()
    }

    /// Checks the form of a presented credential; returns the environment in its prefix.
    ///
    /// # Errors
    /// [`Malformed`], for the log only; callers do not see the reason.
    pub fn check(brand: &Brand, credential: &[u8]) -> Result<Environment, Malformed> {
        let rest = credential
            .strip_prefix(brand.0.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"_"))
            .ok_or(Malformed::Form)?;
        let (environment, secret) = Environment::ALL
            .into_iter()
            .find_map(|environment| {
                let rest = rest.strip_prefix(environment.key_mark().as_bytes())?;
                Some((environment, rest.strip_prefix(b"_")?))
            })
            .ok_or(Malformed::Form)?;
        // Checks every character with a few SIMD instructions, which is faster than stopping early.
        let alphanumeric = secret.iter().fold(true, |all, byte| all & byte.is_ascii_alphanumeric());
        if secret.len() != RANDOM_CHARACTERS + CHECKSUM_CHARACTERS || !alphanumeric {
            return Err(Malformed::Form);
        }
        let (signed, claimed) = credential.split_at(credential.len() - CHECKSUM_CHARACTERS);
        if checksum(signed) != claimed {
            return Err(Malformed::Checksum);
        }
        Ok(environment)
    }
}

/// CRC-32 (ISO-HDLC, as zip and GitHub's tokens) in base62, left-padded with `0`.
fn checksum(signed: &[u8]) -> [u8; CHECKSUM_CHARACTERS] {
    let mut rest = crc32fast::hash(signed);
    let mut text = [b'0'; CHECKSUM_CHARACTERS];
    for digit in text.iter_mut().rev() {
        *digit = ALPHABET[(rest % 62) as usize];
        rest /= 62;
    }
    text
}

/// The secret under which keys are hashed; without it, guesses cannot be tested against a stolen store.
#[derive(Clone)]
pub struct ServerSecret(Zeroizing<[u8; 32]>);

impl ServerSecret {
    /// Takes 32 random bytes.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for the code that stores them.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// Derives a secret for another purpose, which `context` names; it reveals nothing of this one.
    #[must_use]
    pub fn derive(&self, context: &str) -> Self {
        Self(Zeroizing::new(blake3::derive_key(context, &*self.0)))
    }

    /// Hashes a credential, for storage and look-up.
    #[must_use]
    pub fn hash(&self, credential: &[u8]) -> KeyHash {
        KeyHash(*blake3::keyed_hash(&self.0, credential).as_bytes())
    }
}

impl fmt::Debug for ServerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerSecret([redacted])")
    }
}

/// A credential's keyed hash, compared in constant time.
#[derive(Clone, Copy)]
pub struct KeyHash(pub [u8; 32]);

impl KeyHash {
    /// The algorithm's name, stored with each hash so that another one can follow.
    pub const ALGORITHM: &'static str = "blake3-keyed";
}

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        secrets_are_equal(&self.0, &other.0)
    }
}

/// Whether two secrets are equal, in a time that depends on their lengths only.
#[must_use]
pub fn secrets_are_equal(ours: &[u8], theirs: &[u8]) -> bool {
    // Eight bytes at a time: `subtle` compares the bytes of a slice one by one.
    let (our_words, our_rest) = ours.as_chunks::<8>();
    let (their_words, their_rest) = theirs.as_chunks::<8>();
    let words = our_words.iter().zip(their_words).fold(0, |differing, (ours, theirs)| {
        differing | (u64::from_le_bytes(*ours) ^ u64::from_le_bytes(*theirs))
    });
    let rest =
        our_rest.iter().zip(their_rest).fold(0, |differing, (ours, theirs)| differing | (ours ^ theirs));
    ours.len() == theirs.len() && (words | u64::from(rest)).ct_eq(&0).into()
}

impl Eq for KeyHash {}

/// A digest is uniformly distributed already: its first eight bytes serve as its hash.
impl std::hash::Hash for KeyHash {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        let first = self.0.first_chunk().expect("a digest has 32 bytes");
        state.write_u64(u64::from_le_bytes(*first));
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash([redacted])")
    }
}

/// The record of a key: everything but its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRecord {
    /// Its id.
    pub id: KeyId,
    /// The partner that holds it.
    pub partner_id: PartnerId,
    /// That partner's current name.
    pub partner: String,
    /// Whether that partner is suspended, so that its keys are refused.
    pub suspended: bool,
    /// Its name.
    pub name: String,
    /// Its environment.
    pub environment: Environment,
    /// Its own permissions.
    pub permissions: ApiAccessPermission,
    /// What no key of its partner exceeds in its environment.
    pub ceiling: ApiAccessPermission,
    /// The last four characters of its text.
    pub hint: String,
    /// When it was created.
    pub created: Timestamp,
    /// When it becomes valid, if set.
    pub not_before: Option<Timestamp>,
    /// When it expires, if set.
    pub expires: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked: Option<Timestamp>,
    /// The networks it may be used from; empty means any.
    pub allow: Vec<IpNet>,
    /// Its rate; `None` means the default rate.
    pub rate: Option<Rate>,
    /// How its calls to a retired version are handled.
    pub on_retired: OnRetired,
    /// The key that this one replaced in a rotation.
    pub replaces: Option<KeyId>,
    /// When it last passed authentication, to the minute.
    pub last_used: Option<Timestamp>,
}

/// How a key's calls to a retired version of the API are handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnRetired {
    /// 410, which names the version to move to.
    #[default]
    Refuse,
    /// A response of the successor, whose headers name both versions.
    Forward,
}

impl OnRetired {
    /// Both choices.
    pub const ALL: [Self; 2] = [Self::Refuse, Self::Forward];

    /// The name in the store, in JSON and in the CLI: `refuse` or `forward`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Forward => "forward",
        }
    }
}

impl fmt::Display for OnRetired {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl KeyRecord {
    /// What the key may do now: its own permissions, as far as its partner is granted them.
    #[must_use]
    pub fn effective(&self) -> ApiAccessPermission {
        self.permissions & self.ceiling
    }

    /// A record without names and without limits of time, network or rate, which are set afterwards.
    #[must_use]
    pub fn new(
        id: KeyId,
        partner_id: PartnerId,
        environment: Environment,
        permissions: ApiAccessPermission,
        hint: String,
        created: Timestamp,
    ) -> Self {
        Self {
            id,
            partner_id,
            partner: String::new(),
            suspended: false,
            name: String::new(),
            environment,
            permissions,
            ceiling: ApiAccessPermission::all(),
            hint,
            created,
            not_before: None,
            expires: None,
            revoked: None,
            allow: Vec::new(),
            rate: None,
            on_retired: OnRetired::Refuse,
            replaces: None,
            last_used: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn brand() -> Brand {
        Brand::try_from("pgw".to_owned()).unwrap()
    }

    fn key(environment: Environment, seed: u8) -> KeySecret {
        let mut state = seed;
        KeySecret::generate(&brand(), environment, || {
            state = state.wrapping_mul(37).wrapping_add(11);
            state
        })
    }

    #[test]
    fn a_key_has_the_published_form() {
        let staging = key(Environment::Staging, 1);
        assert_eq!(staging.expose().len(), 57);
        assert!(staging.expose().starts_with("pgw_stg_"));
        let live = key(Environment::Production, 1);
        assert_eq!(live.expose().len(), 58);
        assert!(live.expose().starts_with("pgw_live_"));
        assert_eq!(live.hint(), live.expose()[54..]);
    }

    #[test]
    fn the_checksum_is_crc32_in_base62_left_padded() {
        // CRC-32 of "123456789" is the algorithm's published check value, 0xCBF43926 = 3421780262.
        assert_eq!(&checksum(b"123456789"), b"3jZRME");
        assert_eq!(&checksum(b""), b"000000");
    }

    #[test]
    fn another_form_is_refused() {
        let good = key(Environment::Staging, 7).expose().to_owned();
        assert_eq!(KeySecret::check(&brand(), good.as_bytes()), Ok(Environment::Staging));
        for wrong in [
            "",
            "pgw",
            "pgw_stg_",
            &good[1..],
            &format!("{good}0"),
            &good.replacen("stg", "prod", 1),
            &good.replacen("pgw", "abc", 1),
            &good.replacen("pgw", "PGW", 1),
            &format!("{}-", &good[..56]),
            &"é".repeat(30),
        ] {
            assert_eq!(KeySecret::check(&brand(), wrong.as_bytes()), Err(Malformed::Form), "{wrong}");
        }
        let crossed = good.replacen("stg", "live", 1);
        assert_eq!(KeySecret::check(&brand(), crossed.as_bytes()), Err(Malformed::Checksum));
    }

    #[test]
    fn secrets_are_equal_only_if_every_byte_is() {
        for length in [0, 1, 7, 8, 9, 58, 66] {
            let ours: Vec<u8> = (0..length).collect();
            assert!(secrets_are_equal(&ours, &ours.clone()), "{length}");
            assert!(!secrets_are_equal(&ours, &[&ours[..], b"x"].concat()), "{length}");
            for place in 0..ours.len() {
                let mut theirs = ours.clone();
                theirs[place] ^= 0x80;
                assert!(!secrets_are_equal(&ours, &theirs), "{length}: {place}");
            }
        }
    }

    #[test]
    fn secrets_do_not_print() {
        let secret = key(Environment::Staging, 3);
        let server = ServerSecret::new([7; 32]);
        let expected = format!("{secret:?} {server:?} {:?}", server.hash(b"x"));
        assert_eq!(expected, "KeySecret([redacted]) ServerSecret([redacted]) KeyHash([redacted])");
    }

    #[test]
    fn a_brand_is_short_and_plain() {
        for good in ["pgw", "a1", "abcdefghijklmnop"] {
            assert!(Brand::try_from(good.to_owned()).is_ok(), "{good}");
        }
        for wrong in ["", "a", "1a", "Pgw", "p_w", "abcdefghijklmnopq", "pgé"] {
            assert_eq!(Brand::try_from(wrong.to_owned()), Err(BrandError(wrong.to_owned())));
        }
    }

    proptest! {
        #[test]
        fn every_generated_key_passes_and_any_changed_character_fails(
            bytes in proptest::collection::vec(any::<u8>(), 200),
            position in 0_usize..57,
            replacement in any::<u8>(),
        ) {
            let mut bytes = bytes.into_iter().cycle();
            let good = KeySecret::generate(&brand(), Environment::Staging, || {
                // Bytes of 248 and more are drawn again; a cycle of nothing else would never end.
                bytes.next().unwrap_or_default() % 248
            });
            let mut text = good.expose().as_bytes().to_vec();
            prop_assert_eq!(KeySecret::check(&brand(), &text), Ok(Environment::Staging));
            if text[position] != replacement {
                text[position] = replacement;
                prop_assert!(KeySecret::check(&brand(), &text).is_err());
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            prop_assert!(KeySecret::check(&brand(), &bytes).is_err());
        }
    }
}
