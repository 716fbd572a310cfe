//! Opens the store: creates it on a first launch, and refuses a file that is damaged or not a store.
//!
//! The order matters. The store is created before the server secret, so a secret without a store means that the
//! store was lost, and then no new one is created: a gateway that started with an empty store would refuse
//! every partner and hand out new keys with every permission.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

use super::super::StoreError;
use super::{Sqlite, failure, migrations, switch};
use crate::clock::{Clock, SystemClock};
use crate::folder::{DataFolder, make_private};

/// Marks the file as ours: "PGW1" in ASCII.
const APPLICATION_ID: i32 = 0x5047_5731;
/// The write-ahead log is truncated to this size after a burst of writes.
const LOG_BYTES_MAX: i64 = 16 * 1024 * 1024;
/// A connection's page cache, in KiB. Small, because a server reads every key once and then only changes, and
/// memory that SQLite has taken for pages stays with the process.
const CACHE_KIB: i64 = 256;

impl Sqlite {
    /// Opens the store of a data folder; creates the folder and the store on a first launch.
    pub(in crate::store) fn open(folder: &DataFolder, busy_timeout: Duration) -> Result<Self, StoreError> {
        folder.prepare()?;
        let path = folder.store();
        prepare_file(folder, &path)?;
        switch::wait_for_servers(&path)?;
        let mut store = Self::connect(&path, busy_timeout)?;
        migrations::migrate(&mut store.connection, &path, SystemClock.now())?;
        Ok(store)
    }

    /// Checks that the data folder was launched before.
    pub(in crate::store) fn require(folder: &DataFolder) -> Result<(), StoreError> {
        // If only the secret exists, opening reports that the store was lost.
        if exists(&folder.store())? || exists(&folder.secret())? {
            Ok(())
        } else {
            Err(StoreError::Missing { path: folder.store() })
        }
    }

    /// Connects to a file that must already be a store.
    pub(super) fn connect_existing(path: &Path, busy_timeout: Duration) -> Result<Self, StoreError> {
        Self::connect_to(path, busy_timeout, false)
    }

    fn connect(path: &Path, busy_timeout: Duration) -> Result<Self, StoreError> {
        Self::connect_to(path, busy_timeout, true)
    }

    fn connect_to(path: &Path, busy_timeout: Duration, may_be_new: bool) -> Result<Self, StoreError> {
        let sqlite = |source| failure::error(path, source);
        // Without CREATE: the file exists, with the permissions that `-wal` and `-shm` inherit.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
        connection.busy_timeout(busy_timeout).map_err(sqlite)?;
        // SQLite silently opens a file that it may not write for reading only.
        if connection.is_readonly(rusqlite::MAIN_DB).map_err(sqlite)? {
            return Err(sqlite(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_READONLY), None)));
        }
        let new = is_new(&connection, path)?;
        if new && !may_be_new {
            return Err(StoreError::Emptied { path: path.to_owned() });
        }
        enable_wal(&connection, busy_timeout).map_err(sqlite)?;
        if new {
            // Only after the switch to the log does waiting for another writer respect the busy timeout.
            connection.pragma_update(None, "application_id", APPLICATION_ID).map_err(sqlite)?;
        }
        let settings = || {
            connection.pragma_update(None, "synchronous", "FULL")?;
            connection.pragma_update(None, "foreign_keys", true)?;
            connection.pragma_update(None, "trusted_schema", false)?;
            connection.pragma_update(None, "cell_size_check", true)?;
            connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
            connection.pragma_update_and_check(None, "journal_size_limit", LOG_BYTES_MAX, |_| Ok(()))
        };
        settings().map_err(sqlite)?;
        Ok(Self::on(connection, path, busy_timeout))
    }
}

/// Whether the file exists. Unlike `Path::exists`, it fails where the folder may not be searched.
pub(super) fn exists(path: &Path) -> Result<bool, StoreError> {
    path.try_exists().map_err(|source| StoreError::Io { action: "look at", path: path.to_owned(), source })
}

/// Creates the file on a first launch; refuses one that was lost or emptied.
fn prepare_file(folder: &DataFolder, path: &Path) -> Result<(), StoreError> {
    let failed = |action| move |source| StoreError::Io { action, path: path.to_owned(), source };
    // The secret first: if it exists now, the store was complete before it, even if another process is
    // launching at this moment.
    let launched = exists(&folder.secret())?;
    match File::open(path) {
        Ok(file) => {
            let metadata = file.metadata().map_err(failed("look at"))?;
            // SQLite treats a file of one byte as empty.
            if metadata.len() <= 1 && launched {
                return Err(StoreError::Emptied { path: path.to_owned() });
            }
            Ok(make_private(&file, path)?)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && launched => {
            Err(StoreError::Lost { path: path.to_owned() })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(failed("make")(error)),
                _ => Ok(()),
            }
        }
        Err(error) => Err(failed("open")(error)),
    }
}

/// Whether the database is new; if not, it must be a gateway's. This first read also detects a file that is
/// truncated or not a database.
pub(super) fn is_new(connection: &Connection, path: &Path) -> Result<bool, StoreError> {
    let read = || -> rusqlite::Result<(i32, bool)> {
        // One snapshot for both reads: another process may be creating the store right now.
        let transaction = connection.unchecked_transaction()?;
        let tables = "SELECT EXISTS (SELECT 1 FROM sqlite_schema)";
        Ok((
            transaction.pragma_query_value(None, "application_id", |row| row.get(0))?,
            transaction.query_row(tables, (), |row| row.get(0))?,
        ))
    };
    match read().map_err(|source| failure::error(path, source))? {
        (APPLICATION_ID, _) => Ok(false),
        (0, false) => Ok(true),
        _ => Err(StoreError::Foreign { path: path.to_owned() }),
    }
}

/// Switches to the write-ahead log. SQLite fails with "busy" at once, ignoring the busy timeout, when two
/// processes do this to a new file at the same time.
fn enable_wal(connection: &Connection, busy_timeout: Duration) -> rusqlite::Result<()> {
    let start = Instant::now();
    loop {
        match connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())) {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && start.elapsed() < busy_timeout =>
            {
                std::thread::sleep(Duration::from_millis(5));
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::super::super::tests::{Fixture, NOW, PARTNER, insert, key};
    use super::super::super::{Failure, KeyFilter, Store};
    use super::*;

    const BUSY: Duration = Duration::from_secs(5);

    fn folder(parent: &tempfile::TempDir) -> DataFolder {
        DataFolder::locate(Some(parent.path().join("data"))).unwrap()
    }

    /// A folder with a closed store of 200 keys.
    fn filled(parent: &tempfile::TempDir) -> DataFolder {
        let folder = folder(parent);
        let (mut store, _) = Store::open_with_secret(&folder, BUSY).unwrap();
        for number in 1..=200 {
            insert(&mut store, &key(number));
        }
        folder
    }

    fn refusal(folder: &DataFolder) -> StoreError {
        match Store::open_with_secret(folder, BUSY) {
            Ok(_) => panic!("the store was opened"),
            Err(error) => error,
        }
    }

    #[test]
    fn every_file_of_the_store_is_private() {
        let mut fixture = Fixture::new();
        insert(&mut fixture.store, &key(1));
        let mut files = 0;
        for entry in fs::read_dir(fixture.folder.path()).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().mode() & 0o777, 0o600, "{:?}", entry.file_name());
            files += 1;
        }
        assert_eq!(files, 4, "store, -wal, -shm and the secret");
    }

    #[test]
    fn writes_are_on_disk_before_they_are_acknowledged() {
        let fixture = Fixture::new();
        let store = Sqlite::open(&fixture.folder, BUSY).unwrap();
        let pragma = |name| -> String {
            store
                .connection
                .pragma_query_value(None, name, |row| Ok(format!("{:?}", row.get_ref(0)?)))
                .unwrap()
        };
        assert_eq!(pragma("synchronous"), "Integer(2)");
        assert_eq!(pragma("foreign_keys"), "Integer(1)");
        let mode: String =
            store.connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
    }

    #[test]
    fn a_store_open_to_others_is_made_private() {
        let parent = tempfile::tempdir().unwrap();
        let folder = filled(&parent);
        fs::set_permissions(folder.store(), Permissions::from_mode(0o644)).unwrap();
        Store::open(&folder, BUSY).unwrap();
        assert_eq!(fs::metadata(folder.store()).unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn commands_that_only_read_create_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let folder = folder(&parent);
        let error = Store::open_existing(&folder, BUSY).err().unwrap();
        assert!(matches!(error, StoreError::Missing { .. }), "{error}");
        assert!(!folder.path().exists());
    }

    #[test]
    fn a_lost_store_is_not_created_again() {
        let parent = tempfile::tempdir().unwrap();
        let folder = filled(&parent);
        fs::remove_file(folder.store()).unwrap();
        assert!(matches!(refusal(&folder), StoreError::Lost { .. }));
        assert!(!folder.store().exists());
        let error = Store::open_existing(&folder, BUSY).err().unwrap();
        assert!(matches!(error, StoreError::Lost { .. }), "{error}");
    }

    #[test]
    fn an_empty_file_is_a_store_only_on_a_first_launch() {
        let parent = tempfile::tempdir().unwrap();
        let folder = filled(&parent);
        for content in ["-", ""] {
            fs::write(folder.store(), content).unwrap();
            assert!(matches!(refusal(&folder), StoreError::Emptied { .. }));
        }
        fs::remove_file(folder.secret()).unwrap();
        Store::open_with_secret(&folder, BUSY).unwrap();
    }

    #[test]
    fn a_store_with_keys_is_refused_without_its_secret() {
        let parent = tempfile::tempdir().unwrap();
        let folder = filled(&parent);
        let secret = fs::read_to_string(folder.secret()).unwrap();
        fs::remove_file(folder.secret()).unwrap();
        let error = refusal(&folder);
        assert!(error.to_string().contains("server.secret is missing"), "{error}");
        assert!(!folder.secret().exists());
        fs::write(folder.secret(), secret.replace(|digit: char| digit != '\n', "5")).unwrap();
        assert!(matches!(refusal(&folder), StoreError::WrongSecret { .. }));
        fs::write(folder.secret(), secret).unwrap();
        Store::open_with_secret(&folder, BUSY).unwrap();
    }

    #[test]
    fn a_truncated_store_is_refused_even_at_a_page_boundary() {
        let parent = tempfile::tempdir().unwrap();
        let folder = filled(&parent);
        let content = fs::read(folder.store()).unwrap();
        assert!(content.len() > 40_000, "the keys are in the file itself: {}", content.len());
        for length in [2, 99, 100, 512, 4_095, 4_096, 8_192, 20_000, content.len() - 4_096] {
            fs::write(folder.store(), &content[..length]).unwrap();
            let error = refusal(&folder);
            let failure = error.failure();
            assert!(matches!(failure, Some(Failure::Corrupt | Failure::NotADatabase)), "{length}: {error:?}");
        }
        fs::write(folder.store(), &content).unwrap();
        let (mut store, _) = Store::open_with_secret(&folder, BUSY).unwrap();
        assert_eq!(store.list_keys(&KeyFilter::default()).unwrap().len(), 200);
    }

    #[test]
    fn a_file_that_is_not_a_store_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let folder = folder(&parent);
        folder.prepare().unwrap();
        fs::write(folder.store(), "Dear diary, ".repeat(1_000)).unwrap();
        assert_eq!(refusal(&folder).failure(), Some(Failure::NotADatabase));
        fs::remove_file(folder.store()).unwrap();
        let other = Connection::open(folder.store()).unwrap();
        other.execute_batch("CREATE TABLE bookmark (address TEXT)").unwrap();
        drop(other);
        assert!(matches!(refusal(&folder), StoreError::Foreign { .. }));
    }

    #[test]
    fn many_first_launches_at_once_agree() {
        let parent = tempfile::tempdir().unwrap();
        let folder = folder(&parent);
        let secrets: Vec<[u8; 32]> = std::thread::scope(|scope| {
            let launch = || *Store::open_with_secret(&folder, BUSY).unwrap().1.expose();
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(launch)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(secrets.iter().all(|secret| secret == &secrets[0]));
    }

    #[test]
    fn a_writer_that_waits_too_long_gets_a_busy_error() {
        let fixture = Fixture::new();
        let holder = Connection::open(fixture.folder.store()).unwrap();
        holder.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut other = Store::open(&fixture.folder, Duration::from_millis(20)).unwrap();
        let error = other.write(NOW, |write| write.add_partner(PARTNER, "acme")).unwrap_err();
        assert_eq!(error.failure(), Some(Failure::Busy));
    }
}
