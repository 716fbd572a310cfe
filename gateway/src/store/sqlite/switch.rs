//! Detects that the store's file was replaced, and switches to the new file.
//!
//! SQLite keeps using the file that it has opened, whatever its path leads to. When a file is moved into its
//! place, the old file's log is still there, and SQLite would read it as the log of the new one. So only a
//! server that has the old file open removes that log, before it opens the new file; every other process waits
//! until the servers have switched (see `presence.rs`).

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::super::{FINGERPRINT, StoreError};
use super::presence;
use super::{Reads as _, Sqlite, fact, failure, migrations};
use crate::clock::{Clock as _, SystemClock};

/// How long a process waits for the servers to switch: they check at least once a second.
const SWITCH_WAIT_MAX: Duration = Duration::from_secs(3);
const SWITCH_PAUSE: Duration = Duration::from_millis(5);

/// Identifies a file, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    pub(super) inode: u64,
}

impl FileId {
    /// The file at this path, if there is one.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

impl Sqlite {
    /// Opens the file that is at the path now, in place of the one that is open.
    pub(super) fn reopen_file(&mut self) -> Result<(), StoreError> {
        // An empty file is one that is still being copied.
        if !fs::metadata(&self.path).is_ok_and(|metadata| metadata.len() > 1) {
            return Err(StoreError::Moved { path: self.path.clone() });
        }
        if self.file.is_some() {
            self.close_old_file()?;
        }
        let mut new = Self::connect_existing(&self.path, self.busy_timeout)?;
        migrations::migrate(&mut new.connection, &self.path, SystemClock.now())?;
        if new.read(|connection| fact(connection, FINGERPRINT))? != self.fingerprint {
            return Err(StoreError::WrongSecret { secret: self.path.with_file_name("server.secret") });
        }
        new.presences = std::mem::take(&mut self.presences);
        new.presences.retain(|node, presence| presence.is_at(&self.path, *node));
        *self = new;
        Ok(())
    }

    /// Closes the open file and removes its log. It must be closed first: if the same file comes back, SQLite
    /// would keep using the removed log's index in this process.
    fn close_old_file(&mut self) -> Result<(), StoreError> {
        self.fingerprint = self.read(|connection| fact(connection, FINGERPRINT))?;
        // Move the log into the old file, which may come back.
        let _ = self.connection.pragma_query(None, "wal_checkpoint", |_| Ok(()));
        let log = companion(&self.path, "-wal");
        let is_ours = self.log.is_some() && FileId::of(&log) == self.log;
        self.read(|connection| {
            // Closing must not remove the log of another file.
            connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        })?;
        self.connection =
            Connection::open_in_memory().map_err(|source| failure::error(&self.path, source))?;
        self.file = None;
        if is_ours {
            for path in [log, companion(&self.path, "-shm")] {
                let removed = fs::remove_file(&path);
                removed.map_err(|source| StoreError::Io { action: "remove", path, source })?;
            }
        }
        self.record_files();
        Ok(())
    }

    /// Remembers the log that this connection writes, and records for other processes which file it has open.
    pub(super) fn record_files(&mut self) {
        self.log = FileId::of(&companion(&self.path, "-wal"));
        let inode = self.file.map_or(0, |file| file.inode);
        for presence in self.presences.values_mut() {
            if let Err(error) = presence.record(inode) {
                tracing::warn!(%error, "Cannot write a lock file in the data folder");
            }
        }
    }
}

/// Waits until every running server has opened the file that is at the path.
pub(super) fn wait_for_servers(path: &Path) -> Result<(), StoreError> {
    let start = Instant::now();
    loop {
        let Some(file) = FileId::of(path) else { return Ok(()) };
        let elsewhere =
            |(_, holder): &(_, presence::LockHolder)| holder.inode.is_some_and(|inode| inode != file.inode);
        let Some((_, holder)) = presence::lock_holders(path).into_iter().find(elsewhere) else {
            return Ok(());
        };
        if start.elapsed() >= SWITCH_WAIT_MAX {
            return Err(StoreError::Replaced { path: path.to_owned(), pid: holder.pid });
        }
        std::thread::sleep(SWITCH_PAUSE);
    }
}

fn companion(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
