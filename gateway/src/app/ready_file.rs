//! The ready file: shows that the gateway is ready, and which addresses it has bound.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde_json::Value;

/// The file of this process. It is removed at the end, because it then names a process that is gone.
pub(super) struct ReadyFile<'f>(&'f Path);

impl<'f> ReadyFile<'f> {
    /// Removes the file of an earlier process, and checks that one can be written: before keys are created
    /// that would then not be served.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) fn prepare(file: &'f Path) -> anyhow::Result<Self> {
        // Usually there is none.
        let _ = fs::remove_file(file);
        let ready = Self(file);
        let tried = ready.write_draft("").and_then(|()| fs::remove_file(ready.draft()));
        tried.with_context(|| ready.error())?;
        Ok(ready)
    }

    /// Writes the file in one step: a reader sees all of it or none.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(super) fn write(&self, description: &Value) -> anyhow::Result<()> {
        self.write_draft(&format!("{description}\n"))
            .and_then(|()| fs::rename(self.draft(), self.0))
            .with_context(|| self.error())
    }

    /// Creates the draft. It is never opened if it exists: in a folder that others may write it could be a link to
    /// another file.
    fn write_draft(&self, text: &str) -> io::Result<()> {
        match fs::remove_file(self.draft()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).open(self.draft())?;
        file.write_all(text.as_bytes())
    }

    /// Its name until it is complete.
    fn draft(&self) -> PathBuf {
        let mut name = OsString::from(self.0);
        name.push(".new");
        name.into()
    }

    fn error(&self) -> String {
        format!("cannot write the ready file {}", self.0.display())
    }
}

impl Drop for ReadyFile<'_> {
    fn drop(&mut self) {
        // Someone else may have removed it.
        let _ = fs::remove_file(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_in_place_of_the_draft_is_not_followed() {
        let parent = tempfile::tempdir().unwrap();
        let (target, file) = (parent.path().join("target"), parent.path().join("ready.json"));
        fs::write(&target, "precious").unwrap();
        let link = || std::os::unix::fs::symlink(&target, parent.path().join("ready.json.new")).unwrap();
        link();
        let ready = ReadyFile::prepare(&file).unwrap();
        link();
        ready.write(&serde_json::json!({ "pid": 1 })).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), "precious");
        assert_eq!(fs::read_to_string(&file).unwrap(), "{\"pid\":1}\n");
        drop(ready);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }
}
