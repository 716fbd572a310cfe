//! The SQLite engine: the store in one file of the data folder. All SQL, locks and files of the store are here.
//!
//! A write is a transaction that takes the lock at once (`BEGIN IMMEDIATE`), is on disk before it is
//! acknowledged (WAL, `synchronous = FULL`), and leaves a numbered row in the feed.

mod audit;
mod backup;
mod failure;
mod feed;
mod migrations;
mod node;
mod open;
mod people;
mod presence;
mod read_only;
mod records;
mod requests;
mod row;
mod sign_in;
mod switch;
mod write;
mod write_people;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use permissions::{
    AppToken, Credential, CustomRole, Identity, KeyId, KeyRecord, MembershipId, PartnerId, RoleId, TokenId,
    User, UserId,
};
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};
use uuid::Uuid;

use super::people::{
    AuditCheck, AuditFilter, AuditRecord, Member, MemberFilter, People, StoredToken, TokenFilter,
};
use super::{Engine, KeyFilter, Partner, Records, StoreError, Write};
use presence::Presence;
use switch::FileId;
use write::SqliteWrite;

/// How many rows the feed keeps. A server that falls further behind loads every key again.
const CHANGES_KEPT: i64 = 100_000;

/// A connection to the file.
pub(super) struct Sqlite {
    connection: Connection,
    path: PathBuf,
    busy_timeout: Duration,
    /// The open file; `None` once it was closed because another file took its place.
    file: Option<FileId>,
    /// Its write-ahead log.
    log: Option<FileId>,
    /// The fingerprint of the server secret in the closed file: the next file must have the same.
    fingerprint: Option<Vec<u8>>,
    /// The last `PRAGMA data_version`, which changes when another connection commits.
    data_version: Option<i64>,
    /// Whether this connection has written a change since: `data_version` does not reflect its own writes.
    has_written: bool,
    changes_kept: i64,
    /// The nodes that this connection has announced; they are live as long as it is open.
    presences: BTreeMap<Uuid, Presence>,
}

impl Sqlite {
    fn on(connection: Connection, path: &Path, busy_timeout: Duration) -> Self {
        Self {
            connection,
            path: path.to_owned(),
            busy_timeout,
            file: FileId::of(path),
            log: None,
            fingerprint: None,
            data_version: None,
            has_written: false,
            changes_kept: CHANGES_KEPT,
            presences: BTreeMap::new(),
        }
    }

    /// Runs a short write that adds nothing to the feed.
    fn run<T>(&mut self, body: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let run = || {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = body(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        run().map_err(|source| failure::error(&self.path, source))
    }
}

impl Engine for Sqlite {
    fn location(&self) -> String {
        self.path.display().to_string()
    }

    fn check_current(&mut self) -> Result<(), StoreError> {
        if self.file.is_some() && self.file == FileId::of(&self.path) {
            Ok(())
        } else {
            Err(StoreError::Moved { path: self.path.clone() })
        }
    }

    fn reopen(&mut self) -> Result<(), StoreError> {
        self.reopen_file()
    }

    fn connect_again(&self) -> Result<Box<dyn Engine>, StoreError> {
        let second = Self::connect_existing(&self.path, self.busy_timeout)?;
        // A later commit with FULL also syncs what this one has written to the log.
        second.read(|connection| connection.pragma_update(None, "synchronous", "NORMAL"))?;
        Ok(Box::new(second))
    }

    fn begin(&mut self, now: Timestamp) -> Result<Box<dyn Write + '_>, StoreError> {
        Ok(Box::new(SqliteWrite::begin(self, now)?))
    }

    fn write_last_used(&mut self, used: &[(Credential, Timestamp)]) -> Result<(), StoreError> {
        self.run(|transaction| {
            // Another server may have seen the key later than this one.
            let sql = "UPDATE key SET last_used = max(coalesce(last_used, ?2), ?2) WHERE id = ?1";
            let mut keys = transaction.prepare_cached(sql)?;
            let sql = "UPDATE token SET last_used = max(coalesce(last_used, ?2), ?2) WHERE id = ?1";
            let mut tokens = transaction.prepare_cached(sql)?;
            for (credential, at) in used {
                match credential {
                    Credential::Key(id) => keys.execute((id.to_string(), at.as_microsecond()))?,
                    Credential::Token(id) => tokens.execute((id.to_string(), at.as_microsecond()))?,
                    // Sessions are their provider's.
                    Credential::Session(_) => 0,
                };
            }
            Ok(())
        })
    }

    fn fact(&mut self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|connection| fact(connection, name))
    }

    fn record_fact(&mut self, name: &str, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.read(|connection| {
            if let Some(recorded) = fact(connection, name)? {
                return Ok(recorded);
            }
            let insert = "INSERT OR IGNORE INTO setting (name, value) VALUES (?1, ?2)";
            connection.execute(insert, (name, value))?;
            // Another process may have been faster: then its value stays.
            fact(connection, name)?.ok_or(rusqlite::Error::QueryReturnedNoRows)
        })
    }

    fn backup_to(&mut self, path: &Path) -> Result<(), StoreError> {
        backup::copy(&self.connection, path)
    }
}

fn fact(connection: &Connection, name: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    connection.query_row("SELECT value FROM setting WHERE name = ?1", [name], |row| row.get(0)).optional()
}

/// A connection, or a transaction on one. Whatever can be read, both can read.
trait Reads {
    /// Runs a read and converts its error.
    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError>;
}

impl Reads for Sqlite {
    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        read(&self.connection).map_err(|source| failure::error(&self.path, source))
    }
}

impl<R: Reads> Records for R {
    fn is_empty(&mut self) -> Result<bool, StoreError> {
        self.read(records::is_empty)
    }

    fn list_partners(&mut self) -> Result<Vec<Partner>, StoreError> {
        self.read(records::list_partners)
    }

    fn find_partner(&mut self, name_or_id: &str) -> Result<Option<Partner>, StoreError> {
        self.read(|connection| records::find_partner(connection, name_or_id))
    }

    fn list_keys(&mut self, filter: &KeyFilter) -> Result<Vec<KeyRecord>, StoreError> {
        self.read(|connection| records::list_keys(connection, filter))
    }

    fn key(&mut self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        self.read(|connection| records::key(connection, id))
    }

    fn successor(&mut self, id: KeyId) -> Result<Option<KeyId>, StoreError> {
        self.read(|connection| records::successor(connection, id))
    }
}

impl<R: Reads> People for R {
    fn list_users(&mut self) -> Result<Vec<User>, StoreError> {
        self.read(people::list_users)
    }

    fn user(&mut self, id: UserId) -> Result<Option<User>, StoreError> {
        self.read(|connection| people::find_user_by_id(connection, id))
    }

    fn find_user(&mut self, identity: &Identity) -> Result<Option<User>, StoreError> {
        self.read(|connection| people::find_user(connection, identity))
    }

    fn identities(&mut self, user: UserId) -> Result<Vec<Identity>, StoreError> {
        self.read(|connection| people::identities(connection, user))
    }

    fn list_identities(&mut self) -> Result<Vec<(UserId, Identity)>, StoreError> {
        self.read(people::list_identities)
    }

    fn list_members(&mut self, filter: MemberFilter) -> Result<Vec<Member>, StoreError> {
        self.read(|connection| people::list_members(connection, filter))
    }

    fn member(&mut self, id: MembershipId) -> Result<Option<Member>, StoreError> {
        self.read(|connection| people::find_member(connection, id))
    }

    fn list_roles(&mut self, organization: Option<PartnerId>) -> Result<Vec<CustomRole>, StoreError> {
        self.read(|connection| people::list_roles(connection, organization))
    }

    fn role(&mut self, id: RoleId) -> Result<Option<CustomRole>, StoreError> {
        self.read(|connection| people::find_role(connection, id))
    }

    fn list_tokens(&mut self, filter: TokenFilter) -> Result<Vec<AppToken>, StoreError> {
        self.read(|connection| people::list_tokens(connection, filter))
    }

    fn token(&mut self, id: TokenId) -> Result<Option<AppToken>, StoreError> {
        self.read(|connection| people::find_token(connection, id))
    }

    fn each_token(&mut self, visit: &mut dyn FnMut(StoredToken)) -> Result<(), StoreError> {
        self.read(|connection| people::each_token(connection, visit))
    }

    fn list_audit(&mut self, filter: &AuditFilter) -> Result<Vec<AuditRecord>, StoreError> {
        self.read(|connection| audit::list(connection, filter))
    }

    fn check_audit(&mut self) -> Result<AuditCheck, StoreError> {
        self.read(audit::check)
    }
}

/// Runs SQL past all checks, to leave what a fault or another build might.
#[cfg(test)]
pub(super) fn execute_raw(path: &Path, sql: &str) {
    Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

#[cfg(test)]
mod tests {
    use super::super::Store;
    use super::super::conformance::{Setup, conformance_tests};
    use super::super::tests::Fixture;
    use super::*;

    struct Folder(Fixture);

    impl Setup for Folder {
        fn new() -> Self {
            Self(Fixture::new())
        }

        fn open(&self) -> Store {
            self.0.other()
        }

        fn open_keeping(&self, changes: i64) -> Store {
            let mut engine = Sqlite::open(&self.0.folder, Duration::from_secs(5)).unwrap();
            engine.changes_kept = changes;
            Store { engine: Box::new(engine) }
        }
    }

    conformance_tests!(Folder);
}
