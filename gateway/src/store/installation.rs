//! Facts about the installation: its brand, and which server secret its keys are hashed under. Each is recorded
//! once and never changes.

use permissions::{Brand, KeyHash, ServerSecret};

use super::error::Failure;
use super::{Store, StoreError};
use crate::folder::DataFolder;

/// The text that is hashed under the server secret to recognise the secret. No credential has this text.
const FINGERPRINT_TEXT: &[u8] = b"partner-gateway: fingerprint of the server secret";
/// The name of the fact that holds the hash.
pub(super) const FINGERPRINT: &str = "secret_fingerprint";
const BRAND: &str = "brand";

impl Store {
    /// The brand of this store's keys: the recorded one, else `configured`, which is then recorded for good.
    ///
    /// # Errors
    /// Errors of the engine.
    pub fn brand(&mut self, configured: &Brand) -> Result<Brand, StoreError> {
        let configured = String::from(configured.clone());
        let recorded = self.record_fact(BRAND, configured.as_bytes())?;
        let text = String::from_utf8_lossy(&recorded).into_owned();
        Brand::try_from(text).map_err(|error| StoreError::Engine {
            failure: Failure::Corrupt,
            store: self.location(),
            source: Box::new(error),
        })
    }

    /// The brand of this store's keys, which must be the configured one: otherwise commands would create keys
    /// that the server refuses, or a server would refuse every key.
    ///
    /// # Errors
    /// [`StoreError::OtherBrand`], else as [`Store::brand`].
    pub fn require_brand(&mut self, configured: &Brand) -> Result<Brand, StoreError> {
        let stored = self.brand(configured)?;
        if stored == *configured {
            return Ok(stored);
        }
        let (stored, configured) = (stored.into(), configured.clone().into());
        Err(StoreError::OtherBrand { store: self.location(), stored, configured })
    }

    /// Whether this is the secret that the keys are hashed under. If none is recorded, this records it.
    pub(super) fn record_secret(&mut self, secret: &ServerSecret) -> Result<bool, StoreError> {
        let fingerprint = secret.hash(FINGERPRINT_TEXT);
        let recorded = self.record_fact(FINGERPRINT, &fingerprint.0)?;
        Ok(<[u8; 32]>::try_from(recorded).is_ok_and(|recorded| KeyHash(recorded) == fingerprint))
    }

    /// Checks that the secret of this folder is the one that the keys are hashed under. Writes nothing, so it
    /// also works on a store that is opened for reading.
    ///
    /// # Errors
    /// A missing, malformed or wrong secret, and errors of the engine.
    pub fn check_secret(&mut self, folder: &DataFolder) -> Result<(), StoreError> {
        let Some(recorded) = self.fact(FINGERPRINT)? else {
            // No key was hashed yet.
            return Ok(());
        };
        if folder.server_secret(false)?.hash(FINGERPRINT_TEXT).0[..] == recorded[..] {
            Ok(())
        } else {
            Err(StoreError::WrongSecret { secret: folder.secret() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::Fixture;
    use super::*;

    fn brand(text: &str) -> Brand {
        Brand::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn the_first_brand_stays_and_another_is_refused_with_both_names() {
        let mut fixture = Fixture::new();
        assert_eq!(fixture.store.require_brand(&brand("acme")).unwrap(), brand("acme"));
        assert_eq!(fixture.other().brand(&brand("pgw")).unwrap(), brand("acme"));
        let error = fixture.other().require_brand(&brand("pgw")).unwrap_err();
        let message = error.to_string();
        for part in ["\"acme\"", "\"pgw\"", "api.brand", "--config", "--data-dir", "store.sqlite"] {
            assert!(message.contains(part), "no {part} in {message}");
        }
    }

    #[test]
    fn a_malformed_recorded_brand_is_corruption() {
        let mut fixture = Fixture::new();
        fixture.execute_raw("INSERT INTO setting (name, value) VALUES ('brand', x'ff')");
        let error = fixture.store.brand(&brand("pgw")).unwrap_err();
        assert_eq!(error.failure(), Some(Failure::Corrupt), "{error}");
    }
}
