//! The store: partners, keys, the feed of changes and the processes that serve, in one SQLite file.
//!
//! Commands write to it beside running servers, and a server reads from it at start and after a
//! change, never on the way of a request. A write is a transaction that takes the lock at once
//! (`BEGIN IMMEDIATE`), is on disk before it is acknowledged (WAL, `synchronous = FULL`), and leaves
//! a numbered row in the feed. This room knows tables and rows; what a rotation is, or who may ask
//! for one, it does not know.

mod backup;
mod error;
mod feed;
mod look;
mod migrations;
mod node;
mod open;
mod presence;
mod row;
mod setting;
mod write;

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::Timestamp;
use permissions::{Environment, KeyHash, KeyId, KeyRecord};
use rusqlite::Connection;
use uuid::Uuid;

pub use error::{Failure, StoreError};
pub use feed::Changes;
pub use node::{Node, Receipt};
use presence::Presence;
pub use write::{KeyUpdate, Write};

/// How many rows the feed keeps: a server that fell further behind loads every key anew.
const CHANGES_KEPT: i64 = 100_000;

/// One connection to the store.
pub struct Store {
    connection: Connection,
    path: PathBuf,
    /// What `PRAGMA data_version` said last; it moves when another connection has committed.
    data_version: Option<i64>,
    changes_kept: i64,
    /// The nodes that this connection has announced; they live as long as it does.
    presences: BTreeMap<Uuid, Presence>,
}

/// A key as it is stored: what is known of it, and the hash it is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// What is known of it.
    pub record: KeyRecord,
    /// What it is found by.
    pub hash: KeyHash,
}

/// A partner, with the number of its keys.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Partner {
    /// Its name, which is also its identity.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// How many keys it has, revoked ones included.
    pub keys: u32,
}

/// Which keys to list; the default is all of them.
#[derive(Clone, Debug, Default)]
pub struct KeyFilter {
    /// Only this partner's.
    pub partner: Option<String>,
    /// Only this environment's.
    pub environment: Option<Environment>,
}

/// A moment as the store keeps it: to the microsecond.
#[must_use]
pub fn to_stored_precision(moment: Timestamp) -> Timestamp {
    row::from_microseconds(moment.as_microsecond()).unwrap_or(moment)
}

impl Store {
    /// Every partner, by name.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn list_partners(&self) -> Result<Vec<Partner>, StoreError> {
        let read = || {
            self.connection
                .prepare_cached(
                    "SELECT partner.name, partner.created, count(key.id)
                     FROM partner LEFT JOIN key ON key.partner = partner.name
                     GROUP BY partner.name ORDER BY partner.name",
                )?
                .query_map((), |row| {
                    Ok(Partner { name: row.get(0)?, created: row::moment(row, 1)?, keys: row.get(2)? })
                })?
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|source| self.failed(source))
    }

    /// The keys that pass the filter, oldest first.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn list_keys(&self, filter: &KeyFilter) -> Result<Vec<KeyRecord>, StoreError> {
        let read = || {
            let mut statement = self.connection.prepare_cached(concat!(
                "SELECT ",
                row::key_columns!(),
                " FROM key WHERE (?1 IS NULL OR key.partner = ?1) AND (?2 IS NULL OR key.environment = ?2)
                 ORDER BY key.id"
            ))?;
            let mut rows = statement.query((&filter.partner, filter.environment.map(Environment::name)))?;
            let mut keys = Vec::new();
            while let Some(row) = rows.next()? {
                keys.extend(row::readable_key(row).map(|key| key.record));
            }
            Ok::<_, rusqlite::Error>(keys)
        };
        read().map_err(|source| self.failed(source))
    }

    /// The key of this id.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn key(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        row::key(&self.connection, id).map_err(|source| self.failed(source))
    }

    /// Whether no partner and no key was ever made.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn is_empty(&self) -> Result<bool, StoreError> {
        row::is_empty(&self.connection).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: rusqlite::Error) -> StoreError {
        StoreError::sqlite(&self.path, source)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::folder::DataFolder;

    /// A store in a folder of its own, which goes with the value.
    pub(crate) struct Fixture {
        pub(crate) store: Store,
        pub(crate) secret: permissions::ServerSecret,
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

        /// Runs SQL past all rules, as a fault or another build might have.
        pub(crate) fn meddle(&self, sql: &str) {
            self.store.connection.execute_batch(sql).unwrap();
        }
    }

    pub(crate) const NOW: Timestamp = Timestamp::constant(1_800_000_000, 123_456_000);

    /// The `number`th of a row of keys, with every member set.
    pub(crate) fn key(number: u128) -> StoredKey {
        let mut hash = [7; 32];
        hash[..16].copy_from_slice(&number.to_le_bytes());
        StoredKey {
            record: KeyRecord {
                id: KeyId(Uuid::from_u128(number)),
                partner: "acme".to_owned(),
                name: format!("key {number}"),
                environment: Environment::Staging,
                permissions: permissions::ApiAccessPermission::all(),
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
                write.add_partner(&key.record.partner)?;
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

    #[test]
    fn a_key_reads_back_as_it_was_written() {
        let mut fixture = Fixture::new();
        assert!(fixture.store.is_empty().unwrap());
        let (first, mut second) = (key(1), key(2));
        second.record.environment = Environment::Production;
        second.record.not_before = None;
        second.record.expires = None;
        second.record.rate = None;
        second.record.allow = Vec::new();
        second.record.replaces = Some(first.record.id);
        insert(&mut fixture.store, &first);
        insert(&mut fixture.store, &second);
        assert!(!fixture.store.is_empty().unwrap());
        assert_eq!(fixture.store.key(first.record.id).unwrap(), Some(first.record.clone()));
        assert_eq!(fixture.store.key(KeyId(Uuid::nil())).unwrap(), None);
        let list = |filter| fixture.store.list_keys(&filter).unwrap();
        assert_eq!(list(KeyFilter::default()), [first.record.clone(), second.record.clone()]);
        let production =
            KeyFilter { environment: Some(Environment::Production), partner: Some("acme".to_owned()) };
        assert_eq!(list(production), [second.record]);
        assert_eq!(list(KeyFilter { partner: Some("other".to_owned()), ..KeyFilter::default() }), []);
        let partners = fixture.store.list_partners().unwrap();
        assert_eq!(partners, [Partner { name: "acme".to_owned(), created: NOW, keys: 2 }]);
    }
}
