//! Shows whether a node's process is alive: it holds a lock on a file for as long as it runs.
//!
//! A heartbeat alone is slow: for three intervals after a crash, every command would wait for receipts that
//! never come. The operating system releases the lock of a dead process at once, also between containers that
//! share the folder, where a process id means nothing.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// The lock of a live node. Dropping it, as the end of a process does, marks the node as dead.
pub(super) struct Presence {
    locked: File,
}

/// The content of a lock file that a process holds.
pub(super) struct LockHolder {
    /// The process id; 0 if an older build holds the lock.
    pub(super) pid: u32,
    /// The inode of the store that the process has open, unless an older build holds the lock.
    pub(super) inode: Option<u64>,
}

impl Presence {
    /// Takes the lock of this node; its file is beside the store's.
    pub(super) fn hold(store: &Path, node: Uuid) -> io::Result<Self> {
        let path = lock_file(store, node);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
        file.lock()?;
        Ok(Self { locked: file })
    }

    /// Records which store this process has open.
    pub(super) fn record(&mut self, inode: u64) -> io::Result<()> {
        let text = format!("{:>10} {inode:>20}\n", std::process::id());
        self.locked.write_all_at(text.as_bytes(), 0)
    }

    /// Whether the lock file is still where other processes look for it.
    pub(super) fn is_at(&self, store: &Path, node: Uuid) -> bool {
        let ours = self.locked.metadata().map(|metadata| (metadata.dev(), metadata.ino()));
        let there = fs::metadata(lock_file(store, node)).map(|metadata| (metadata.dev(), metadata.ino()));
        matches!((ours, there), (Ok(ours), Ok(there)) if ours == there)
    }
}

/// The nodes whose process holds its lock, registered or not.
pub(super) fn lock_holders(store: &Path) -> Vec<(Uuid, LockHolder)> {
    let folder = store.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let nodes = entries.filter_map(|entry| {
        let name = entry.ok()?.file_name();
        let node = name.to_str()?.strip_prefix("node-")?.strip_suffix(".lock")?.parse().ok()?;
        if liveness(store, node) != Liveness::Alive {
            return None;
        }
        let text = fs::read_to_string(lock_file(store, node)).ok()?;
        let mut words = text.split_ascii_whitespace();
        let pid = words.next().and_then(|word| word.parse().ok()).unwrap_or_default();
        Some((node, LockHolder { pid, inode: words.next().and_then(|word| word.parse().ok()) }))
    });
    nodes.collect()
}

/// What a node's lock says about its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Liveness {
    /// The process holds the lock.
    Alive,
    /// The process has released the lock.
    Dead,
    /// The file is missing, or the file system has no locks: only the heartbeat can tell.
    Unknown,
}

/// Checks the lock of a node.
pub(super) fn liveness(store: &Path, node: Uuid) -> Liveness {
    match File::open(lock_file(store, node)).map(|file| file.try_lock_shared()) {
        Ok(Ok(())) => Liveness::Dead,
        Ok(Err(TryLockError::WouldBlock)) => Liveness::Alive,
        Ok(Err(TryLockError::Error(_))) | Err(_) => Liveness::Unknown,
    }
}

/// Removes the lock file of a process that has ended or is about to.
pub(super) fn clean_up(store: &Path, node: Uuid) {
    // A file that stays or is gone already does no harm.
    let _ = fs::remove_file(lock_file(store, node));
}

fn lock_file(store: &Path, node: Uuid) -> PathBuf {
    store.with_file_name(format!("node-{node}.lock"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_lock_means_a_dead_process() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store.sqlite");
        let node = Uuid::from_u128(1);
        assert_eq!(liveness(&store, node), Liveness::Unknown);
        let mut presence = Presence::hold(&store, node).unwrap();
        assert_eq!(liveness(&store, node), Liveness::Alive);
        assert_eq!(lock_holders(&store)[0].1.inode, None, "an older build writes no inode");
        presence.record(42).unwrap();
        let (id, found) = lock_holders(&store).pop().unwrap();
        assert_eq!((id, found.pid, found.inode), (node, std::process::id(), Some(42)));
        assert!(presence.is_at(&store, node));
        drop(presence);
        assert_eq!(liveness(&store, node), Liveness::Dead);
        clean_up(&store, node);
        assert!(!lock_file(&store, node).exists() && lock_holders(&store).is_empty());
    }
}
