//! The file that tells whoever started the gateway that it is ready, and where it listens.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

/// The file, from when the process starts until it ends: then it names a process that is about to be gone, and is
/// removed.
pub(super) struct ReadyFile<'f>(&'f Path);

impl<'f> ReadyFile<'f> {
    /// Removes an earlier process's, which whoever waits must not find, and sees whether one can be written: better
    /// now than when keys have been made and shown that are then not served.
    ///
    /// # Errors
    /// Where it cannot.
    pub(super) fn prepare(file: &'f Path) -> anyhow::Result<Self> {
        // There usually is none.
        let _ = fs::remove_file(file);
        let ready = Self(file);
        let tried = fs::write(ready.unfinished(), "").and_then(|()| fs::remove_file(ready.unfinished()));
        tried.with_context(|| ready.refused())?;
        Ok(ready)
    }

    /// Writes what is listened on, whole or not at all: whoever sees the file can read it.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) fn write(&self, description: &Value) -> anyhow::Result<()> {
        fs::write(self.unfinished(), format!("{description}\n"))
            .and_then(|()| fs::rename(self.unfinished(), self.0))
            .with_context(|| self.refused())
    }

    /// What it is called until it is whole.
    fn unfinished(&self) -> PathBuf {
        let mut name = OsString::from(self.0);
        name.push(".new");
        name.into()
    }

    fn refused(&self) -> String {
        format!("cannot write the ready file {}", self.0.display())
    }
}

impl Drop for ReadyFile<'_> {
    fn drop(&mut self) {
        // Somebody else may have done so.
        let _ = fs::remove_file(self.0);
    }
}
