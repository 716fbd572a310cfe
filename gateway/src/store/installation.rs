//! Facts about the installation as a whole: its brand, and which server secret its keys were made under.
//! Each is recorded once and stays.

use permissions::{Brand, KeyHash, ServerSecret};

use super::error::Failure;
use super::{Store, StoreError};
use crate::folder::DataFolder;

/// What is hashed under the server secret to recognise it. No credential has this text.
const FINGERPRINT_TEXT: &[u8] = b"partner-gateway: fingerprint of the server secret";
/// The fact that holds it.
pub(super) const FINGERPRINT: &str = "secret_fingerprint";
const BRAND: &str = "brand";

impl Store {
    /// The brand that the keys of this store begin with: the one recorded, else `configured`, which is
    /// recorded by this and stays as long as the store.
    ///
    /// # Errors
    /// What the engine says.
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

    /// The recorded brand, which has to be the configured one: otherwise keys would be made that the
    /// server refuses, or a server would refuse all keys there are.
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

    /// Whether this is the secret that the keys were made under. A store that has recorded none records
    /// this one.
    pub(super) fn record_secret(&mut self, secret: &ServerSecret) -> Result<bool, StoreError> {
        let fingerprint = secret.hash(FINGERPRINT_TEXT);
        let recorded = self.record_fact(FINGERPRINT, &fingerprint.0)?;
        Ok(<[u8; 32]>::try_from(recorded).is_ok_and(|recorded| KeyHash(recorded) == fingerprint))
    }

    /// Makes sure that the secret of this folder is the one that the keys were made under, and writes
    /// nothing: for a store that is only read.
    ///
    /// # Errors
    /// A missing, malformed or wrong secret, and what the engine says.
    pub fn check_secret(&mut self, folder: &DataFolder) -> Result<(), StoreError> {
        let Some(recorded) = self.fact(FINGERPRINT)? else {
            // It was never used.
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
        let told = error.to_string();
        for part in ["\"acme\"", "\"pgw\"", "api.brand", "--config", "--data-dir", "store.sqlite"] {
            assert!(told.contains(part), "no {part} in {told}");
        }
    }

    #[test]
    fn a_brand_that_is_none_is_damage() {
        let mut fixture = Fixture::new();
        fixture.meddle("INSERT INTO setting (name, value) VALUES ('brand', x'ff')");
        let error = fixture.store.brand(&brand("pgw")).unwrap_err();
        assert_eq!(error.failure(), Some(Failure::Corrupt), "{error}");
    }
}
