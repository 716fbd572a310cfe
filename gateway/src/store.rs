//! The store: partners, keys, people, the feed of changes and the nodes that serve them.
//!
//! Commands write to it beside running servers. A server reads it at start and after a change, never while it
//! handles a request. This module holds the records and the traits that a storage engine implements; each
//! engine has its own folder, and `Store` opens the right one. What a rotation is, or who may ask for one, is
//! decided elsewhere.

#[cfg(test)]
mod conformance;
mod engine;
mod error;
mod handle;
mod installation;
pub mod people;
mod records;
pub mod requests;
pub mod sign_in;
mod sqlite;

use std::ops::{Deref, DerefMut};
use std::time::Duration;

use jiff::Timestamp;
use permissions::ServerSecret;

use crate::folder::DataFolder;
pub use engine::{Engine, Feed, Nodes, Records, Write};
pub use error::{Failure, StoreError};
pub use handle::{Job, Jobs, Reply, StoreHandle, job_queue};
use installation::FINGERPRINT;
pub use records::{
    Changed, Changes, Granted, KeyFilter, KeyUpdate, Node, Partner, Receipt, StoredKey, to_stored_precision,
};
use sqlite::Sqlite;

/// One connection to the store of an installation.
pub struct Store {
    engine: Box<dyn Engine>,
}

impl Store {
    /// Opens the store of a data folder; creates the folder and the store on a first launch.
    ///
    /// # Errors
    /// A lost, emptied, damaged, foreign or newer store, and errors of the operating system.
    pub fn open(folder: &DataFolder, busy_timeout: Duration) -> Result<Self, StoreError> {
        Ok(Self { engine: Box::new(Sqlite::open(folder, busy_timeout)?) })
    }

    /// Opens a store for reading; it must exist. Its folder may be read-only, or its disk full.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where there is none, else as [`Store::open`].
    pub fn open_existing(folder: &DataFolder, busy_timeout: Duration) -> Result<Self, StoreError> {
        Ok(Self { engine: Box::new(Sqlite::open_existing(folder, busy_timeout)?) })
    }

    /// Checks that the data folder was launched before, so that opening it creates nothing.
    ///
    /// # Errors
    /// [`StoreError::Missing`] where it was not.
    pub fn require(folder: &DataFolder) -> Result<(), StoreError> {
        Sqlite::require(folder)
    }

    /// Opens the store and the server secret that its keys are hashed under; creates the secret if there is no
    /// key yet.
    ///
    /// # Errors
    /// As [`Store::open`]; also a missing, malformed or wrong secret.
    pub fn open_with_secret(
        folder: &DataFolder,
        busy_timeout: Duration,
    ) -> Result<(Self, ServerSecret), StoreError> {
        let mut store = Self::open(folder, busy_timeout)?;
        let secret = folder.server_secret(store.is_empty()?)?;
        if store.record_secret(&secret)? {
            Ok((store, secret))
        } else {
            Err(StoreError::WrongSecret { secret: folder.secret() })
        }
    }

    /// Runs `body` in one transaction and commits it; returns its result and the number of the last
    /// change. An error rolls everything back.
    ///
    /// # Errors
    /// Errors of `body` and of the engine.
    pub fn write<T, E: From<StoreError>>(
        &mut self,
        now: Timestamp,
        body: impl FnOnce(&mut dyn Write) -> Result<T, E>,
    ) -> Result<(T, i64), E> {
        let mut write = self.engine.begin(now)?;
        let value = body(&mut *write)?;
        Ok((value, write.commit()?))
    }
}

impl Deref for Store {
    type Target = dyn Engine;

    fn deref(&self) -> &Self::Target {
        &*self.engine
    }
}

impl DerefMut for Store {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut *self.engine
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use permissions::{Environment, KeyHash, KeyId, KeyRecord, PartnerId};
    use uuid::Uuid;

    use super::*;

    /// A store in a temporary folder, which is removed when the value is dropped.
    pub(crate) struct Fixture {
        pub(crate) store: Store,
        pub(crate) secret: ServerSecret,
        pub(crate) folder: DataFolder,
        _parent: tempfile::TempDir,
    }

    impl Fixture {
        pub(crate) fn new() -> Self {
            let parent = tempfile::tempdir().unwrap();
            let folder = DataFolder::locate(Some(parent.path().join("data"))).unwrap();
            let (store, secret) = Store::open_with_secret(&folder, Duration::from_secs(5)).unwrap();
            Self { store, secret, folder, _parent: parent }
        }

        /// Another connection to the same file, as another process has it.
        pub(crate) fn other(&self) -> Store {
            Store::open(&self.folder, Duration::from_secs(5)).unwrap()
        }

        /// Runs SQL past all checks, to leave what a fault or another build might.
        pub(crate) fn execute_raw(&self, sql: &str) {
            sqlite::execute_raw(&self.folder.store(), sql);
        }
    }

    pub(crate) const NOW: Timestamp = Timestamp::constant(1_800_000_000, 123_456_000);

    pub(crate) const PARTNER: PartnerId = PartnerId(Uuid::from_u128(0xac3e));

    /// The `number`th of a series of keys, with every field set.
    pub(crate) fn key(number: u128) -> StoredKey {
        let mut hash = [7; 32];
        hash[..16].copy_from_slice(&number.to_le_bytes());
        StoredKey {
            record: KeyRecord {
                id: KeyId(Uuid::from_u128(number)),
                partner_id: PARTNER,
                partner: "acme".to_owned(),
                suspended: false,
                name: format!("key {number}"),
                environment: Environment::Staging,
                permissions: permissions::ApiAccessPermission::all(),
                ceiling: permissions::ApiAccessPermission::SELF_MANAGEMENT,
                hint: "abcd".to_owned(),
                created: NOW,
                not_before: Some(NOW),
                expires: Some(to_stored_precision(Timestamp::MAX)),
                revoked: None,
                allow: vec!["192.0.2.0/24".parse().unwrap(), "2001:db8::/32".parse().unwrap()],
                rate: Some("50/s+100".parse().unwrap()),
                on_retired: permissions::OnRetired::Forward,
                replaces: None,
                last_used: None,
            },
            hash: KeyHash(hash),
        }
    }

    pub(crate) fn insert(store: &mut Store, key: &StoredKey) -> i64 {
        store
            .write(NOW, |write| {
                write.add_partner(key.record.partner_id, &key.record.partner)?;
                write.insert_key(&key.record, &key.hash)
            })
            .unwrap()
            .1
    }

    #[test]
    fn every_moment_of_the_calendar_can_be_stored() {
        for moment in [Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH, Timestamp::constant(-1, -1_500)]
        {
            let stored = to_stored_precision(moment);
            assert_eq!(stored.as_microsecond(), moment.as_microsecond(), "{moment}");
            assert_eq!(stored.subsec_nanosecond() % 1_000, 0, "{moment}");
        }
    }
}
