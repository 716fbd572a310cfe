//! Opens the store for commands that only read, even where nothing can be written.
//!
//! Usually it is opened as for every other command, which fixes file permissions and migrates. Where the folder
//! cannot be written, or the disk is full, the store is read as it is.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::super::StoreError;
use super::open::{exists, is_new};
use super::{Sqlite, failure, migrations};
use crate::folder::DataFolder;

impl Sqlite {
    /// Opens a store for reading.
    pub(in crate::store) fn open_existing(
        folder: &DataFolder,
        busy_timeout: Duration,
    ) -> Result<Self, StoreError> {
        Self::require(folder)?;
        match Self::open(folder, busy_timeout) {
            Err(error) if is_write_failure(&error) => {
                Self::open_as_it_is(&folder.store(), busy_timeout).map_err(|read| match read {
                    // If it cannot be read either, the first error is the cause.
                    StoreError::Engine { .. } | StoreError::Io { .. } if is_write_failure(&read) => error,
                    other => other,
                })
            }
            opened => opened,
        }
    }

    fn open_as_it_is(path: &Path, busy_timeout: Duration) -> Result<Self, StoreError> {
        let error = match Self::read_only(path, OpenFlags::empty(), path, busy_timeout) {
            Err(error) if is_write_failure(&error) => error,
            done => return done,
        };
        // Without access to `-wal` and `-shm`, SQLite reads a database only as `immutable`, which promises that
        // nobody writes. That is true if the log is empty, because any process that writes has a log.
        let log = wal_file(path);
        if !exists(&log)? || std::fs::metadata(&log).is_ok_and(|log| log.len() == 0) {
            let uri = immutable(path);
            return Self::read_only(Path::new(&uri), OpenFlags::SQLITE_OPEN_URI, path, busy_timeout);
        }
        if std::fs::File::open(&log).is_ok() {
            return Err(StoreError::LogNeedsWriting { path: path.to_owned(), log });
        }
        Err(error)
    }

    fn read_only(
        name: &Path,
        flags: OpenFlags,
        path: &Path,
        busy_timeout: Duration,
    ) -> Result<Self, StoreError> {
        let sqlite = |source| failure::error(path, source);
        let flags = flags | OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(name, flags).map_err(sqlite)?;
        connection.busy_timeout(busy_timeout).map_err(sqlite)?;
        connection.pragma_update(None, "trusted_schema", false).map_err(sqlite)?;
        if is_new(&connection, path)? {
            return Err(StoreError::Missing { path: path.to_owned() });
        }
        migrations::require_all(&connection, path)?;
        Ok(Self::on(connection, path, busy_timeout))
    }
}

fn is_write_failure(error: &StoreError) -> bool {
    error.is_permission() || error.is_full()
}

fn wal_file(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// The URI with which SQLite reads a file that nobody writes.
fn immutable(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                uri.push(char::from(*byte))
            }
            // Writing to a string cannot fail.
            _ => drop(write!(uri, "%{byte:02x}")),
        }
    }
    uri + "?immutable=1"
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{Fixture, NOW, insert, key};
    use super::super::super::{Engine as _, Failure, KeyFilter, KeyUpdate, Records as _};
    use super::*;

    const BUSY: Duration = Duration::from_secs(1);

    #[test]
    fn a_store_opened_read_only_is_read_and_never_written() {
        let mut fixture = Fixture::new();
        insert(&mut fixture.store, &key(1));
        let path = fixture.folder.store();
        // While another process has it open, with its newest writes still in the log.
        let mut reader = Sqlite::open_as_it_is(&path, BUSY).unwrap();
        assert_eq!(reader.list_keys(&KeyFilter::default()).unwrap(), [key(1).record]);
        let mut write = reader.begin(NOW).unwrap();
        let refused = write.update_key(key(1).record.id, &KeyUpdate::default());
        assert!(refused.unwrap_err().is_permission());
    }

    #[test]
    fn damage_is_reported_as_damage() {
        let mut fixture = Fixture::new();
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("store.sqlite");
        fixture.store.backup_to(&path).unwrap();
        let content = std::fs::read(&path).unwrap();
        std::fs::write(&path, &content[..content.len() / 2]).unwrap();
        let error = Sqlite::open_as_it_is(&path, BUSY).err().unwrap();
        assert_eq!(error.failure(), Some(Failure::Corrupt), "{error}");
        std::fs::write(&path, "Dear diary, ".repeat(1_000)).unwrap();
        let error = Sqlite::open_as_it_is(&path, BUSY).err().unwrap();
        assert_eq!(error.failure(), Some(Failure::NotADatabase), "{error}");
    }

    #[test]
    fn a_closed_store_is_read_without_creating_wal_and_shm() {
        let mut fixture = Fixture::new();
        insert(&mut fixture.store, &key(1));
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a store%20?#ä.sqlite");
        fixture.store.backup_to(&path).unwrap();
        let mut reader =
            Sqlite::read_only(Path::new(&immutable(&path)), OpenFlags::SQLITE_OPEN_URI, &path, BUSY).unwrap();
        assert_eq!(reader.list_keys(&KeyFilter::default()).unwrap(), [key(1).record]);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 1, "no file was created beside it");
    }
}
