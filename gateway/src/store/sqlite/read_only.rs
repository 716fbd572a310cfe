//! Opening the store for commands that only look: also where nothing can be written.
//!
//! Usually that is opening as for everything else, which mends rights and migrates. Where the folder
//! cannot be written, or the disk is full, the store is read as it lies there.

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
            Err(error) if is_for_want_of_writing(&error) => {
                Self::open_as_it_is(&folder.store(), busy_timeout).map_err(|read| match read {
                    // What keeps it from being read at all is what kept it from being written.
                    StoreError::Engine { .. } | StoreError::Io { .. } if is_for_want_of_writing(&read) => {
                        error
                    }
                    other => other,
                })
            }
            opened => opened,
        }
    }

    fn open_as_it_is(path: &Path, busy_timeout: Duration) -> Result<Self, StoreError> {
        let error = match Self::read_only(path, OpenFlags::empty(), path, busy_timeout) {
            Err(error) if is_for_want_of_writing(&error) => error,
            done => return done,
        };
        // Without rights to the files beside it, SQLite reads a store only where it is promised that
        // nobody writes: true where the log is empty, for whoever has the store open has a log.
        let log = log_file(path);
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

fn is_for_want_of_writing(error: &StoreError) -> bool {
    error.is_permission() || error.is_full()
}

fn log_file(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}

/// The address under which SQLite reads a file that nobody writes.
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
    fn a_store_is_read_as_it_lies_and_never_written() {
        let mut fixture = Fixture::new();
        insert(&mut fixture.store, &key(1));
        let path = fixture.folder.store();
        // Beside a process that has it open, with all that is still in its log.
        let mut look = Sqlite::open_as_it_is(&path, BUSY).unwrap();
        assert_eq!(look.list_keys(&KeyFilter::default()).unwrap(), [key(1).record]);
        let mut write = look.begin(NOW).unwrap();
        let refused = write.update_key(key(1).record.id, &KeyUpdate::default());
        assert!(refused.unwrap_err().is_permission());
    }

    #[test]
    fn damage_is_told_as_damage() {
        let mut fixture = Fixture::new();
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("store.sqlite");
        fixture.store.backup_to(&path).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let error = Sqlite::open_as_it_is(&path, BUSY).err().unwrap();
        assert_eq!(error.failure(), Some(Failure::Corrupt), "{error}");
        std::fs::write(&path, "Dear diary, ".repeat(1_000)).unwrap();
        let error = Sqlite::open_as_it_is(&path, BUSY).err().unwrap();
        assert_eq!(error.failure(), Some(Failure::NotADatabase), "{error}");
    }

    #[test]
    fn a_store_that_nobody_writes_is_read_without_its_companions() {
        let mut fixture = Fixture::new();
        insert(&mut fixture.store, &key(1));
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a store%20?#ä.sqlite");
        fixture.store.backup_to(&path).unwrap();
        let mut look =
            Sqlite::read_only(Path::new(&immutable(&path)), OpenFlags::SQLITE_OPEN_URI, &path, BUSY).unwrap();
        assert_eq!(look.list_keys(&KeyFilter::default()).unwrap(), [key(1).record]);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 1, "nothing was made beside it");
    }
}
