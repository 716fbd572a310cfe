//! Whether a process still lives, known at once: it holds a lock on a file as long as it does.
//!
//! A heartbeat alone is slow: for three of its intervals after a crash, every command would wait
//! for receipts that never come. The operating system drops the lock of a dead process at once, and
//! that also holds between containers that share the folder, where a process id says nothing.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// A lock that says that a node lives. Dropping it, as the end of a process does, says the opposite.
pub(super) struct Presence {
    _locked: File,
}

impl Presence {
    /// Takes the lock of this node; `store` is the store's file, beside which it lies.
    pub(super) fn hold(store: &Path, node: Uuid) -> io::Result<Self> {
        let path = lock_file(store, node);
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        file.lock()?;
        Ok(Self { _locked: file })
    }
}

/// What the lock says of a node's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// It holds its lock.
    Alive,
    /// It has let go of it.
    Dead,
    /// The file is missing, or the file system has no locks: only the heartbeat tells.
    Unknown,
}

/// Looks at the lock of a node.
pub(super) fn look(store: &Path, node: Uuid) -> Life {
    match File::open(lock_file(store, node)).map(|file| file.try_lock_shared()) {
        Ok(Ok(())) => Life::Dead,
        Ok(Err(TryLockError::WouldBlock)) => Life::Alive,
        Ok(Err(TryLockError::Error(_))) | Err(_) => Life::Unknown,
    }
}

/// Removes the file of a process that is gone or takes its leave.
pub(super) fn clean_up(store: &Path, node: Uuid) {
    // Whether it is there or not makes no difference to anyone.
    let _ = fs::remove_file(lock_file(store, node));
}

fn lock_file(store: &Path, node: Uuid) -> PathBuf {
    store.with_file_name(format!("node-{node}.lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_nobody_holds_is_of_a_dead_process() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store.sqlite");
        let node = Uuid::from_u128(1);
        assert_eq!(look(&store, node), Life::Unknown);
        let presence = Presence::hold(&store, node).unwrap();
        assert_eq!(look(&store, node), Life::Alive);
        drop(presence);
        assert_eq!(look(&store, node), Life::Dead);
        clean_up(&store, node);
        assert!(!lock_file(&store, node).exists());
    }
}
