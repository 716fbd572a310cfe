//! Maps errors of SQLite to the store's kinds of failure.

use std::path::Path;

use rusqlite::{ErrorCode, ffi};

use super::super::{Failure, StoreError};

pub(super) fn error(path: &Path, source: rusqlite::Error) -> StoreError {
    let store = path.display().to_string();
    StoreError::Engine { failure: failure(&source), store, source: Box::new(source) }
}

fn failure(error: &rusqlite::Error) -> Failure {
    // On a full disk, sizing the index of a new log fails with what SQLite calls an I/O error.
    if error.sqlite_extended_error_code() == Some(ffi::SQLITE_IOERR_SHMSIZE) {
        return Failure::Full;
    }
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Failure::Full,
        Some(ErrorCode::ReadOnly) => Failure::ReadOnly,
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => Failure::CannotOpen,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed) => {
            Failure::Busy
        }
        Some(ErrorCode::DatabaseCorrupt) => Failure::Corrupt,
        Some(ErrorCode::NotADatabase) => Failure::NotADatabase,
        Some(ErrorCode::SystemIoFailure) => Failure::Disk,
        Some(ErrorCode::ConstraintViolation) => Failure::Conflict,
        _ => Failure::Statement,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_sqlite_has_its_message() {
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
            (ffi::SQLITE_CONSTRAINT, Failure::Conflict),
            (ffi::SQLITE_ERROR, Failure::Statement),
        ] {
            let source = rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
            let mapped = error(Path::new("/d/store.sqlite"), source);
            assert_eq!(mapped.failure(), Some(failure), "{code}");
            assert!(mapped.to_string().ends_with("(/d/store.sqlite)"), "{mapped}");
            let rights = matches!(failure, Failure::ReadOnly | Failure::CannotOpen);
            assert_eq!(mapped.is_permission(), rights, "{code}");
            assert_eq!(mapped.is_full(), failure == Failure::Full, "{code}");
        }
    }
}
