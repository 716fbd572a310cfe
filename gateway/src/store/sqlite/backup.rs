//! Backup: a consistent copy of the store, taken while servers and commands keep running.
//!
//! A plain copy of the file would miss the newest writes, which are in the write-ahead log, and a
//! distribution's `sqlite3` may lack the latest fix of that log. So this uses SQLite's backup API, in one read
//! transaction.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::super::StoreError;
use super::failure;
use crate::folder::{sync_folder, write_private};

/// How often a copy is tried while another process holds the store, and the wait between tries.
const TRIES_MAX: u32 = 100;
const PAUSE: Duration = Duration::from_millis(50);

/// Copies the store to a new file, private to its owner and on disk before this returns.
pub(super) fn copy(from: &Connection, path: &Path) -> Result<(), StoreError> {
    let failed = |action| move |source| StoreError::Io { action, path: path.to_owned(), source };
    write_private(path, &[]).map_err(failed("make"))?;
    copy_pages(from, path).map_err(|source| failure::error(path, source))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    sync_folder(folder.unwrap_or(Path::new("."))).map_err(failed("write"))
}

fn copy_pages(from: &Connection, path: &Path) -> rusqlite::Result<()> {
    let mut to = Connection::open(path)?;
    {
        let backup = Backup::new(from, &mut to)?;
        let mut tries = 0;
        // All pages in one step: a copy in several steps restarts whenever another process writes.
        loop {
            match backup.step(-1)? {
                StepResult::Done => break,
                _ if tries < TRIES_MAX => tries += 1,
                _ => return Err(rusqlite::Error::SqliteFailure(busy(), None)),
            }
            std::thread::sleep(PAUSE);
        }
    }
    to.pragma_update(None, "foreign_keys", true)?;
    to.execute("DELETE FROM node", ())?;
    // Closing the last connection moves the log into the file, so the copy is a single file.
    to.close().map_err(|(_, error)| error)
}

fn busy() -> rusqlite::ffi::Error {
    rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::super::super::tests::{Fixture, NOW, insert, key};
    use super::super::super::{KeyFilter, Node, Store};
    use super::*;
    use crate::folder::DataFolder;

    #[test]
    fn a_backup_is_one_private_file_that_opens_as_a_store() {
        let mut fixture = Fixture::new();
        insert(&mut fixture.store, &key(1));
        let node = Node {
            id: uuid::Uuid::nil(),
            pid: 1,
            started: NOW,
            heartbeat: NOW,
            listeners: serde_json::json!([]),
        };
        fixture.store.announce_node(&node).unwrap();
        let parent = tempfile::tempdir().unwrap();
        let copy = DataFolder::locate(Some(parent.path().join("copy"))).unwrap();
        copy.prepare().unwrap();
        fixture.store.backup_to(&copy.store()).unwrap();
        assert_eq!(std::fs::metadata(copy.store()).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(copy.path()).unwrap().count(), 1);
        std::fs::copy(fixture.folder.secret(), copy.secret()).unwrap();

        insert(&mut fixture.store, &key(2));
        let (mut store, secret) = Store::open_with_secret(&copy, Duration::from_secs(1)).unwrap();
        assert_eq!(secret.expose(), fixture.secret.expose());
        assert_eq!(store.list_keys(&KeyFilter::default()).unwrap(), [key(1).record]);
        assert_eq!(store.live_nodes(NOW, Duration::from_secs(1)).unwrap(), []);
        assert_eq!(store.changes_since(0).unwrap().last, 2, "numbering continues");
        assert!(fixture.store.backup_to(&copy.store()).is_err(), "an existing file is not overwritten");
    }
}
