//! Files that the configuration names: secrets and certificate authorities, read once at the start.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// A file that the configuration names cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", file.display())]
pub struct FileError {
    file: PathBuf,
    /// Never anything of a secret.
    reason: String,
}

impl FileError {
    pub(crate) fn new(file: &Path, reason: impl Into<String>) -> Self {
        Self { file: file.to_owned(), reason: reason.into() }
    }
}

/// Reads a file of at most `bytes_max`; what was read is wiped when it is dropped.
pub(crate) fn read(file: &Path, bytes_max: u64) -> Result<Zeroizing<Vec<u8>>, FileError> {
    // The capacity is exact for a secret: a reallocation would leave a copy behind that is not wiped.
    let capacity = usize::try_from(bytes_max.min(64 << 10) + 1).unwrap_or_default();
    let mut content = Zeroizing::new(Vec::with_capacity(capacity));
    let read = File::open(file).and_then(|file| file.take(bytes_max + 1).read_to_end(&mut content));
    read.map_err(|error| match error.kind() {
        ErrorKind::NotFound => FileError::new(file, "there is no such file"),
        _ => FileError::new(file, format!("cannot read it: {error}")),
    })?;
    if content.len() as u64 > bytes_max {
        return Err(FileError::new(file, format!("it is larger than {bytes_max} bytes")));
    }
    Ok(content)
}
