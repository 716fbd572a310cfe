//! A sign-in on its way to a provider and back, in a sealed cookie of the browser that began it.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use permissions::ServerSecret;
use serde::{Deserialize, Serialize};

use crate::identity::PendingSignIn;

/// A larger cookie is none of ours; browsers keep no larger one.
const COOKIE_BYTES_MAX: usize = 4096;

/// What the cookie holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pending {
    pub(super) sign_in: PendingSignIn,
    /// The code of the device that is to be approved afterwards.
    pub(super) user_code: Option<String>,
}

/// Encrypts and decrypts it, with a key of this installation.
pub(super) struct Sealer(RandomizedNonceKey);

impl Sealer {
    pub(super) fn new(secret: &ServerSecret) -> Self {
        let key = secret.derive("partner-gateway sign-in cookie");
        Self(
            RandomizedNonceKey::new(&AES_256_GCM, key.expose())
                .expect("the key has 32 bytes, as AES-256 needs"),
        )
    }

    /// The value of the cookie; none where it would be too large, or there is no randomness.
    pub(super) fn seal(&self, pending: &Pending) -> Option<String> {
        let mut sealed = serde_json::to_vec(pending).ok()?;
        let nonce = self.0.seal_in_place_append_tag(Aad::empty(), &mut sealed).ok()?;
        sealed.extend_from_slice(nonce.as_ref());
        let value = URL_SAFE_NO_PAD.encode(sealed);
        (value.len() <= COOKIE_BYTES_MAX).then_some(value)
    }

    /// What a cookie of ours holds.
    pub(super) fn open(&self, value: &str) -> Option<Pending> {
        if value.len() > COOKIE_BYTES_MAX {
            return None;
        }
        let mut sealed = URL_SAFE_NO_PAD.decode(value).ok()?;
        let nonce = sealed.split_off(sealed.len().checked_sub(NONCE_LEN)?);
        let nonce = Nonce::try_assume_unique_for_key(&nonce).ok()?;
        let opened = self.0.open_in_place(nonce, Aad::empty(), &mut sealed).ok()?;
        serde_json::from_slice(opened).ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cookie_opens_only_as_it_was_sealed() {
        let sealer = Sealer::new(&ServerSecret::new([1; 32]));
        let sign_in = json!({
            "provider": "corp", "state": "s", "nonce": "n", "verifier": "v3rifier", "redirect_uri": "https://a/c",
            "expires": "2026-01-01T00:00:00Z", "authenticated_after": null,
        });
        let sign_in: PendingSignIn = serde_json::from_value(sign_in).unwrap();
        let pending = Pending { sign_in: sign_in.clone(), user_code: Some("BCDF-GHJK".to_owned()) };
        let [value, again] = [sealer.seal(&pending).unwrap(), sealer.seal(&pending).unwrap()];
        assert_ne!(value, again);
        let opened = sealer.open(&value).unwrap();
        assert!(opened.sign_in == sign_in && opened.user_code == pending.user_code);
        let other = Sealer::new(&ServerSecret::new([2; 32]));
        assert!(other.open(&value).is_none());
        let mut changed = value.clone().into_bytes();
        changed[10] ^= 1;
        assert!(sealer.open(&String::from_utf8(changed).unwrap()).is_none());
        for wrong in ["", "a", "!", &value[1..], &"a".repeat(COOKIE_BYTES_MAX + 1)] {
            assert!(sealer.open(wrong).is_none(), "{wrong}");
        }
    }
}
