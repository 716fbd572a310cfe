//! What can go wrong with the store, each with a sentence that says what to do about it.
//!
//! SQLite's own words ("unable to open database file") stay available as the source; the sentence
//! in front of them is for the person at the terminal. Nothing here knows exit codes or HTTP.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{ErrorCode, ffi};

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
    /// SQLite can read the file, and it is of another program.
    #[error("{path} is the database of another program; name another folder with --data-dir")]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer build has changed the store in a way that this one cannot live with.
    #[error(
        "{path} was migrated by a newer build (migration {number}, `{name}`); this build knows migrations up to {known}: run the newer build"
    )]
    Newer {
        /// The file.
        path: PathBuf,
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
    /// What was written last is in the log beside the store, which SQLite cannot read without writing.
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
        "the configuration says `api.brand = \"{configured}\"`, but the keys in {path} begin with \"{stored}\"; write `api.brand = \"{stored}\"`, or name the server's own configuration with --config; a data folder keeps its brand, for with another all its keys would be refused: keys that begin with \"{configured}\" take a new folder (--data-dir), and every partner a new key"
    )]
    OtherBrand {
        /// The store's file.
        path: PathBuf,
        /// What its keys begin with.
        stored: String,
        /// What the configuration says.
        configured: String,
    },
    /// A migration was applied that has another text in this build.
    #[error(
        "migration {number} of {path} differs from this build's; the store was made by a build that was never released"
    )]
    Differs {
        /// The file.
        path: PathBuf,
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
    /// SQLite refused.
    #[error("{failure} ({path})")]
    Sqlite {
        /// What it comes down to.
        failure: Failure,
        /// The file.
        path: PathBuf,
        /// In SQLite's words.
        source: rusqlite::Error,
    },
}

/// What a refusal of SQLite comes down to.
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
    /// Reading or writing failed below SQLite.
    #[error("the disk failed to read or write the store; look at the system's log")]
    Disk,
    /// Anything else: a fault of this program.
    #[error("the store refused a statement; this is a fault of the gateway")]
    Statement,
}

impl StoreError {
    /// Puts SQLite's refusal into our words.
    pub(super) fn sqlite(path: &Path, source: rusqlite::Error) -> Self {
        Self::Sqlite { failure: Failure::of(&source), path: path.to_owned(), source }
    }

    /// What SQLite's refusal came down to, if it was SQLite that refused.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        match self {
            Self::Sqlite { failure, .. } => Some(*failure),
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
            Self::Sqlite { failure, .. } => matches!(failure, Failure::ReadOnly | Failure::CannotOpen),
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
            Self::Sqlite { failure, .. } => *failure == Failure::Full,
            _ => false,
        }
    }
}

impl Failure {
    fn of(error: &rusqlite::Error) -> Self {
        // Sizing the index of a new log fails for want of room, which SQLite calls an I/O error.
        if error.sqlite_extended_error_code() == Some(ffi::SQLITE_IOERR_SHMSIZE) {
            return Self::Full;
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::ReadOnly) => Self::ReadOnly,
            Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => Self::CannotOpen,
            Some(
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed,
            ) => Self::Busy,
            Some(ErrorCode::DatabaseCorrupt) => Self::Corrupt,
            Some(ErrorCode::NotADatabase) => Self::NotADatabase,
            Some(ErrorCode::SystemIoFailure) => Self::Disk,
            _ => Self::Statement,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_of_sqlite_has_its_sentence() {
        for (code, failure) in [
            (ffi::SQLITE_FULL, Failure::Full),
            (ffi::SQLITE_IOERR_SHMSIZE, Failure::Full),
            (ffi::SQLITE_READONLY, Failure::ReadOnly),
            (ffi::SQLITE_READONLY_DIRECTORY, Failure::ReadOnly),
            (ffi::SQLITE_CANTOPEN, Failure::CannotOpen),
            (ffi::SQLITE_PERM, Failure::CannotOpen),
            (ffi::SQLITE_BUSY, Failure::Busy),
            (ffi::SQLITE_BUSY_SNAPSHOT, Failure::Busy),
            (ffi::SQLITE_LOCKED, Failure::Busy),
            (ffi::SQLITE_PROTOCOL, Failure::Busy),
            (ffi::SQLITE_CORRUPT, Failure::Corrupt),
            (ffi::SQLITE_NOTADB, Failure::NotADatabase),
            (ffi::SQLITE_IOERR_FSYNC, Failure::Disk),
            (ffi::SQLITE_CONSTRAINT, Failure::Statement),
        ] {
            let source = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            let error = StoreError::sqlite(Path::new("/d/store.sqlite"), source);
            assert_eq!(error.failure(), Some(failure), "{code}");
            assert!(error.to_string().ends_with("(/d/store.sqlite)"), "{error}");
            let rights = matches!(failure, Failure::ReadOnly | Failure::CannotOpen);
            assert_eq!(error.is_permission(), rights, "{code}");
            assert_eq!(error.is_full(), failure == Failure::Full, "{code}");
        }
    }
}
