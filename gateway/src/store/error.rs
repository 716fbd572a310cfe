//! Errors of the store, each with a message that says what to do about it.
//!
//! The error of the engine's library ("unable to open database file") is kept as the source; the message before
//! it is for the person at the terminal. Exit codes and HTTP statuses are decided elsewhere.

use std::io;
use std::path::PathBuf;

use crate::folder::FolderError;

/// Why the store cannot be used, or not for this.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data folder or the server secret cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// There is no store, and this operation does not create one.
    #[error(
        "there is no store at {path}; `partner-gateway serve` and `partner-gateway key create` create one"
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// There is a server secret, but no store.
    #[error(
        "{path} is missing, but its server secret is there: restore the store from a backup, or, to start over, remove server.secret too"
    )]
    Lost {
        /// Where it should be.
        path: PathBuf,
    },
    /// The file is empty, but had content before.
    #[error("{path} is empty, but its server secret is there: restore the store from a backup")]
    Emptied {
        /// The file.
        path: PathBuf,
    },
    /// The file is the database of another program.
    #[error("{path} is the database of another program; name another folder with --data-dir")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer build has migrated the store in a way that this build is not compatible with.
    #[error(
        "{store} was migrated by a newer build (migration {number}, `{name}`); this build has migrations up to {latest}: run the newer build"
    )]
    Newer {
        /// Where the store is.
        store: String,
        /// The first migration that this build does not have.
        number: u32,
        /// Its name.
        name: String,
        /// The last one that it has.
        latest: u32,
    },
    /// An older build created the store, and it cannot be migrated because it cannot be written.
    #[error(
        "{path} was created by an older build and cannot be migrated, because it cannot be written; run the command once where it can be"
    )]
    Older {
        /// The file.
        path: PathBuf,
    },
    /// The newest writes are in the write-ahead log, which cannot be read without write access.
    #[error(
        "{path} cannot be read where its folder cannot be written: its newest writes are in {log}; copy the entire folder to where it can be written, and name the copy with --data-dir"
    )]
    LogNeedsWriting {
        /// The store's file.
        path: PathBuf,
        /// The log's.
        log: PathBuf,
    },
    /// The store's keys have another brand than the configured one.
    #[error(
        "the configuration says `api.brand = \"{configured}\"`, but the keys in {store} begin with \"{stored}\"; write `api.brand = \"{stored}\"`, or name the server's own configuration with --config; a data folder keeps its brand, because all its keys would be refused under another: to have keys that begin with \"{configured}\", use a new data folder (--data-dir) and give every partner a new key"
    )]
    OtherBrand {
        /// Where the store is.
        store: String,
        /// The brand of its keys.
        stored: String,
        /// The brand in the configuration.
        configured: String,
    },
    /// A migration was applied whose SQL differs from this build's.
    #[error(
        "migration {number} of {store} differs from this build's; the store was created by a build that was never released"
    )]
    Differs {
        /// Where the store is.
        store: String,
        /// The migration.
        number: u32,
    },
    /// The server secret is not the one that the keys were hashed under.
    #[error(
        "{secret} is not the secret that the keys of this store were hashed under; restore the right one from a backup of the data folder"
    )]
    WrongSecret {
        /// The secret's file.
        secret: PathBuf,
    },
    /// An operation of the operating system failed.
    #[error("cannot {action} {path}")]
    Io {
        /// The operation, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The store is no longer where this process opened it.
    #[error(
        "{path} is not the file that this server has opened: it was replaced, moved or unmounted; put the file back, or restart the server"
    )]
    Moved {
        /// Where it should be.
        path: PathBuf,
    },
    /// The store's file was replaced, and a running server has not switched to the new one yet.
    #[error(
        "{path} was replaced while the server with process id {pid} was running, and that server still uses the old file; restart it"
    )]
    Replaced {
        /// The file.
        path: PathBuf,
        /// The server's process id.
        pid: u32,
    },
    /// Too many jobs wait for the store.
    #[error("{jobs_max} jobs wait for the store already; nothing was done; try again")]
    QueueFull {
        /// How many may wait.
        jobs_max: usize,
    },
    /// A job took too long.
    #[error("the store took longer than {seconds} s; if the job had begun, it may still be done")]
    TimedOut {
        /// How long the caller waited.
        seconds: u64,
    },
    /// The store's thread is stopping or has stopped.
    #[error("the server is stopping; nothing was done")]
    Stopped,
    /// The change is stored, but this process has not applied it.
    #[error("the change is stored, but this server could not apply it yet")]
    NotApplied {
        /// The cause.
        source: Box<Self>,
    },
    /// The storage engine failed.
    #[error("{failure} ({store})")]
    Engine {
        /// The kind of failure.
        failure: Failure,
        /// Where the store is.
        store: String,
        /// The error of the engine's library.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Kinds of failure of a storage engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The disk is full.
    #[error("the disk is full; nothing was written; make room and try again")]
    Full,
    /// The file or its folder cannot be written.
    #[error(
        "the store cannot be written; check the rights of the data folder and whether its file system is mounted read-only"
    )]
    ReadOnly,
    /// The file cannot be opened.
    #[error("the store cannot be opened; check the rights of the data folder and its files")]
    CannotOpen,
    /// Another process was writing for longer than the busy timeout.
    #[error(
        "another process kept the store locked for longer than store.busy_timeout; nothing was written; try again"
    )]
    Busy,
    /// The file is corrupt.
    #[error("the store is damaged; restore it from a backup")]
    Corrupt,
    /// The file is not a database.
    #[error("the file is not a store; restore the store from a backup")]
    NotADatabase,
    /// The disk failed to read or write.
    #[error("the disk failed to read or write the store; look at the system's log")]
    Disk,
    /// Anything else: a bug in this program.
    #[error("the store refused a statement; this is a bug in the gateway")]
    Statement,
    /// A uniqueness or foreign key constraint was violated.
    #[error("the store holds this already, or does not hold what it refers to; nothing was written")]
    Conflict,
}

impl StoreError {
    /// The kind of failure, if it was the engine that failed.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        match self {
            Self::Engine { failure, .. } => Some(*failure),
            _ => None,
        }
    }

    /// Whether it failed for lack of permission.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        match self {
            Self::Folder(error) => error.is_permission(),
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
            }
            Self::Engine { failure, .. } => matches!(failure, Failure::ReadOnly | Failure::CannotOpen),
            Self::Older { .. } | Self::LogNeedsWriting { .. } => true,
            _ => false,
        }
    }

    /// Whether it failed because the disk is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        match self {
            Self::Folder(FolderError::Io { source, .. }) | Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            Self::Engine { failure, .. } => *failure == Failure::Full,
            _ => false,
        }
    }
}
