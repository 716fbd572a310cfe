//! What can go wrong with the store, each with a sentence that says what to do about it.
//!
//! What the engine's library says ("unable to open database file") stays available as the source; the
//! sentence in front of it is for the person at the terminal. Nothing here knows exit codes or HTTP.

use std::io;
use std::path::PathBuf;

use crate::folder::FolderError;

/// The store cannot be used, or not for this.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data folder or the server secret is the trouble.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// There is no store, and this was not the moment to make one.
    #[error("there is no store at {path}; `partner-gateway serve` and `partner-gateway key create` make one")]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The server secret is there and the store is gone.
    #[error(
        "{path} is missing, but its server secret is there: put the store back from a backup, or, to begin anew, remove server.secret too"
    )]
    Lost {
        /// Where it should be.
        path: PathBuf,
    },
    /// The file has no content, but it had once.
    #[error("{path} is empty, but its server secret is there: put the store back from a backup")]
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
    /// A newer build has changed the store in a way that this one cannot live with.
    #[error(
        "{store} was migrated by a newer build (migration {number}, `{name}`); this build knows migrations up to {known}: run the newer build"
    )]
    Newer {
        /// Where the store is.
        store: String,
        /// The first migration that this build does not know.
        number: u32,
        /// Its name.
        name: String,
        /// The last one that it knows.
        known: u32,
    },
    /// An older build made the store, and nothing can be written here to bring it up to date.
    #[error(
        "{path} was made by an older build and cannot be brought up to date, because it cannot be written; run the command once where it can"
    )]
    Older {
        /// The file.
        path: PathBuf,
    },
    /// What was written last is in the log beside the store, which cannot be read without writing.
    #[error(
        "{path} cannot be read where its folder cannot be written: its newest writes are in {log}; copy the whole folder to where it can be written, and name that with --data-dir"
    )]
    LogNeedsWriting {
        /// The store's file.
        path: PathBuf,
        /// The log's.
        log: PathBuf,
    },
    /// Keys of another brand than the configured one are in the store.
    #[error(
        "the configuration says `api.brand = \"{configured}\"`, but the keys in {store} begin with \"{stored}\"; write `api.brand = \"{stored}\"`, or name the server's own configuration with --config; a data folder keeps its brand, for with another all its keys would be refused: keys that begin with \"{configured}\" take a new folder (--data-dir), and every partner a new key"
    )]
    OtherBrand {
        /// Where the store is.
        store: String,
        /// What its keys begin with.
        stored: String,
        /// What the configuration says.
        configured: String,
    },
    /// A migration was applied that has another text in this build.
    #[error(
        "migration {number} of {store} differs from this build's; the store was made by a build that was never released"
    )]
    Differs {
        /// Where the store is.
        store: String,
        /// The migration.
        number: u32,
    },
    /// The server secret is not the one that the keys were made under.
    #[error(
        "{secret} is not the secret that the keys of this store were made under; put back the right one from a backup of the data folder"
    )]
    WrongSecret {
        /// The secret's file.
        secret: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The store is no longer where this process opened it.
    #[error(
        "{path} is not the file that this server has opened: it was replaced, moved or unmounted; put the store back, or restart the server"
    )]
    Moved {
        /// Where it should be.
        path: PathBuf,
    },
    /// A running server has not yet switched to the file that took the place of another.
    #[error(
        "{path} was replaced while the server with process id {pid} runs, and that server still serves the old one; restart it"
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
    /// The store's thread ends or has ended.
    #[error("the server is stopping; nothing was done")]
    Stopped,
    /// The change is stored, but this process does not act by it yet.
    #[error("the change is stored, but this server could not apply it yet")]
    NotApplied {
        /// Why not.
        source: Box<Self>,
    },
    /// The engine failed.
    #[error("{failure} ({store})")]
    Engine {
        /// The kind of failure.
        failure: Failure,
        /// Where the store is.
        store: String,
        /// What the engine's library said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The kind of an engine's failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No room.
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
    /// The content contradicts itself.
    #[error("the store is damaged; put it back from a backup")]
    Corrupt,
    /// The content is something else.
    #[error("the file is not a store; put the store back from a backup")]
    NotADatabase,
    /// The disk failed to read or write.
    #[error("the disk failed to read or write the store; look at the system's log")]
    Disk,
    /// Anything else: a fault of this program.
    #[error("the store refused a statement; this is a fault of the gateway")]
    Statement,
    /// Something unique is there already, or something referred to is not.
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

    /// Whether it is for want of rights.
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

    /// Whether it is for want of room.
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
