//! Facts about the installation as a whole. Each is written once, by whoever comes first, and stays.

use permissions::{Brand, KeyHash, ServerSecret};
use rusqlite::{Connection, OptionalExtension};

use super::error::Failure;
use super::{Store, StoreError};
use crate::folder::DataFolder;

/// What is hashed under the server secret to recognise it. No credential has this text.
const FINGERPRINT_TEXT: &[u8] = b"partner-gateway: fingerprint of the server secret";
const FINGERPRINT: &str = "secret_fingerprint";
const BRAND: &str = "brand";

impl Store {
    /// The brand that the keys of this store begin with: the one recorded, else `configured`, which is
    /// recorded by this and stays for the life of the store.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn brand(&mut self, configured: &Brand) -> Result<Brand, StoreError> {
        let configured = String::from(configured.clone());
        let recorded = self.settle(BRAND, configured.as_bytes()).map_err(|source| self.failed(source))?;
        let text = String::from_utf8_lossy(&recorded).into_owned();
        Brand::try_from(text).map_err(|error| StoreError::Sqlite {
            failure: Failure::Corrupt,
            path: self.path.clone(),
            source: rusqlite::Error::FromSqlConversionFailure(
                0,
                rusqlite::types::Type::Blob,
                Box::new(error),
            ),
        })
    }

    /// The brand that is recorded, where it is not the configured one: keys would be made that the
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
        Err(StoreError::OtherBrand { path: self.path.clone(), stored, configured })
    }

    /// Makes sure that this is the secret that the keys were made under. A store that knows none yet
    /// takes this one.
    pub(super) fn settle_secret(&mut self, secret: &ServerSecret) -> rusqlite::Result<bool> {
        let fingerprint = secret.hash(FINGERPRINT_TEXT);
        let recorded = self.settle(FINGERPRINT, &fingerprint.0)?;
        Ok(<[u8; 32]>::try_from(recorded).is_ok_and(|recorded| KeyHash(recorded) == fingerprint))
    }

    /// Makes sure that the secret of this folder is the one that the keys were made under, and writes
    /// nothing: for a store that is opened to be looked at.
    ///
    /// # Errors
    /// A missing, malformed or wrong secret, and what SQLite says.
    pub fn check_secret(&self, folder: &DataFolder) -> Result<(), StoreError> {
        let Some(recorded) = setting(&self.connection, FINGERPRINT).map_err(|source| self.failed(source))?
        else {
            // It was never used.
            return Ok(());
        };
        if folder.server_secret(false)?.hash(FINGERPRINT_TEXT).0[..] == recorded[..] {
            Ok(())
        } else {
            Err(StoreError::WrongSecret { secret: folder.secret() })
        }
    }

    /// Records a fact if it is not known yet; returns what is.
    fn settle(&mut self, name: &str, value: &[u8]) -> rusqlite::Result<Vec<u8>> {
        if let Some(recorded) = setting(&self.connection, name)? {
            return Ok(recorded);
        }
        self.connection
            .execute("INSERT OR IGNORE INTO setting (name, value) VALUES (?1, ?2)", (name, value))?;
        // Another process may have been quicker: then its word holds.
        setting(&self.connection, name)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
    }
}

fn setting(connection: &Connection, name: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    connection.query_row("SELECT value FROM setting WHERE name = ?1", [name], |row| row.get(0)).optional()
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
