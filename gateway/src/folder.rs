//! The data folder: where it is, who may read it, and the names of the files in it.
//!
//! It holds the store, the server secret and the local certificates, and it is the unit of backup:
//! one folder, one installation. This module makes and mends the folder and keeps the server secret;
//! what is inside the other files is none of its business.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use permissions::ServerSecret;
use rand::TryRngCore;
use rand::rngs::OsRng;
use zeroize::Zeroizing;

/// The folder's name below the state folder of the user.
const FOLDER_NAME: &str = "partner-gateway";
/// The server secret is 32 bytes, written as hexadecimal text.
const SECRET_BYTES: usize = 32;

/// One installation's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFolder {
    path: PathBuf,
}

/// The data folder, or its secret, cannot be used as it is.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Neither the flag nor the environment says where the folder is.
    #[error(
        "no data folder: neither XDG_STATE_HOME nor HOME is set to an absolute path; name one with --data-dir"
    )]
    Nowhere,
    /// The path is something else.
    #[error("{path} is not a folder; name another with --data-dir")]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// Others may read the folder, and it holds things that are not ours.
    #[error("{path} is open to other users and holds other files; name a folder of its own with --data-dir")]
    Shared {
        /// The folder.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is no server secret, and none may be made.
    #[error(
        "{path} is missing, and without it no stored key can be recognised; put it back from a backup of the data folder"
    )]
    SecretMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The server secret's file holds something else.
    #[error(
        "{path} is not a server secret (64 hexadecimal characters); put it back from a backup of the data folder"
    )]
    SecretMalformed {
        /// The file.
        path: PathBuf,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes for the server secret")]
    NoRandomness {
        /// Why not.
        source: rand::rand_core::OsError,
    },
}

impl FolderError {
    /// Whether the operating system refused for want of rights.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        match self {
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
            }
            Self::Shared { .. } => true,
            _ => false,
        }
    }
}

impl DataFolder {
    /// Finds the folder: the one named, else `$XDG_STATE_HOME/partner-gateway`, else
    /// `~/.local/state/partner-gateway`. Touches nothing; [`DataFolder::prepare`] makes it.
    ///
    /// # Errors
    /// [`FolderError::Nowhere`] where nothing says it.
    pub fn locate(named: Option<PathBuf>) -> Result<Self, FolderError> {
        let variable = |name| std::env::var_os(name).map(PathBuf::from);
        Self::choose(named, variable("XDG_STATE_HOME"), variable("HOME")).ok_or(FolderError::Nowhere)
    }

    /// The XDG specification says that a relative path in its variables is to be ignored.
    fn choose(named: Option<PathBuf>, state: Option<PathBuf>, home: Option<PathBuf>) -> Option<Self> {
        let state = state.filter(|path| path.is_absolute()).map(|path| path.join(FOLDER_NAME));
        let home =
            home.filter(|path| path.is_absolute()).map(|path| path.join(".local/state").join(FOLDER_NAME));
        let path = named.or(state).or(home)?;
        // Absolute, because it is shown to people and written into files that are read elsewhere.
        Some(Self { path: std::path::absolute(&path).unwrap_or(path) })
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The SQLite store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.path.join("store.sqlite")
    }

    /// The secret under which key hashes are made.
    #[must_use]
    pub fn secret(&self) -> PathBuf {
        self.path.join("server.secret")
    }

    /// The certificate of the local authority.
    #[must_use]
    pub fn authority_certificate(&self) -> PathBuf {
        self.path.join("ca.pem")
    }

    /// The private key of the local authority.
    #[must_use]
    pub fn authority_key(&self) -> PathBuf {
        self.path.join("ca.key")
    }

    /// The leaf for `localhost`.
    #[must_use]
    pub fn localhost_certificate(&self) -> PathBuf {
        self.path.join("localhost.pem")
    }

    /// The leaf's private key.
    #[must_use]
    pub fn localhost_key(&self) -> PathBuf {
        self.path.join("localhost.key")
    }

    /// Every file that makes an installation, in the order in which a backup takes them.
    #[must_use]
    pub fn files(&self) -> [PathBuf; 6] {
        [
            self.store(),
            self.secret(),
            self.authority_certificate(),
            self.authority_key(),
            self.localhost_certificate(),
            self.localhost_key(),
        ]
    }

    /// Makes the folder where it is missing, and takes others' rights away where they have any.
    ///
    /// A folder that is open to others is mended only if it is empty or already ours: with
    /// `--data-dir /tmp`, mending would lock everyone else out of `/tmp`.
    ///
    /// # Errors
    /// A file in its place, a folder shared with others, or what the operating system says.
    pub fn prepare(&self) -> Result<(), FolderError> {
        let path = &self.path;
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                FolderError::NotAFolder { path: path.clone() }
            }
            _ => FolderError::Io { action: "make the data folder", path: path.clone(), source },
        })?;
        let failed = |action| move |source| FolderError::Io { action, path: path.clone(), source };
        let metadata = fs::metadata(path).map_err(failed("look at the data folder"))?;
        if metadata.mode() & 0o077 == 0 {
            return Ok(());
        }
        let mut entries = fs::read_dir(path).map_err(failed("list the data folder"))?;
        if entries.next().is_some() && !self.store().exists() && !self.secret().exists() {
            return Err(FolderError::Shared { path: path.clone() });
        }
        fs::set_permissions(path, Permissions::from_mode(0o700))
            .map_err(failed("take the rights of other users away from"))?;
        tracing::warn!(folder = %path.display(), "The data folder was open to other users; it is private now");
        Ok(())
    }

    /// Reads the server secret; makes it first where it is missing and `create` allows it.
    ///
    /// `create` is right only while the store holds no key: a new secret makes every stored hash
    /// worthless. Of several processes that create at once, all get the same secret.
    ///
    /// # Errors
    /// It is missing and must not be made, it is malformed, or what the operating system says.
    pub fn server_secret(&self, create: bool) -> Result<ServerSecret, FolderError> {
        if let Some(secret) = self.read_secret()? {
            return Ok(secret);
        }
        if !create {
            return Err(FolderError::SecretMissing { path: self.secret() });
        }
        self.write_secret()?;
        self.read_secret()?.ok_or_else(|| FolderError::SecretMissing { path: self.secret() })
    }

    fn read_secret(&self) -> Result<Option<ServerSecret>, FolderError> {
        let path = self.secret();
        let failed = |source| FolderError::Io { action: "read", path: path.clone(), source };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        make_private(&file, &path)?;
        let mut text = Zeroizing::new(Vec::with_capacity(256));
        file.take(256).read_to_end(&mut text).map_err(failed)?;
        let secret = from_hexadecimal(text.trim_ascii());
        secret.map(Some).ok_or(FolderError::SecretMalformed { path: path.clone() })
    }

    /// Writes a new secret under another name first, so that nobody ever reads half of one, and then
    /// links it into place, which fails if another process was quicker: that one's secret stands.
    fn write_secret(&self) -> Result<(), FolderError> {
        let mut bytes = Zeroizing::new([0_u8; SECRET_BYTES]);
        OsRng.try_fill_bytes(bytes.as_mut()).map_err(|source| FolderError::NoRandomness { source })?;
        let path = self.secret();
        let draft =
            self.path.join(format!("server.secret.{}.{:08x}", std::process::id(), rand::random::<u32>()));
        let failed = |source| FolderError::Io { action: "write", path: path.clone(), source };
        let written = write_private(&draft, &to_hexadecimal(&bytes)).and_then(|()| {
            match fs::hard_link(&draft, &path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                other => other,
            }
        });
        // The draft goes whatever happened; one that stays behind after a crash is never read.
        let removed = fs::remove_file(&draft);
        written.and(removed).and_then(|()| sync_folder(&self.path)).map_err(failed)
    }
}

/// Makes a new file that only its owner may read, and has it on disk before it returns.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Has the names in a folder on disk: without it a new file may be gone after a loss of power.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Takes the rights of others away from a file of ours.
pub(crate) fn make_private(file: &File, path: &Path) -> Result<(), FolderError> {
    let failed = |source| FolderError::Io {
        action: "take the rights of other users away from",
        path: path.to_owned(),
        source,
    };
    let metadata = file.metadata().map_err(failed)?;
    if metadata.mode() & 0o077 != 0 {
        file.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
        tracing::warn!(file = %path.display(), "A file of the data folder was open to other users; it is private now");
    }
    Ok(())
}

fn to_hexadecimal(bytes: &[u8; SECRET_BYTES]) -> Zeroizing<Vec<u8>> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    // The capacity is exact: a reallocation would leave a copy behind that nobody wipes.
    let mut text = Zeroizing::new(Vec::with_capacity(SECRET_BYTES * 2 + 1));
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)]);
        text.push(DIGITS[usize::from(byte & 15)]);
    }
    text.push(b'\n');
    text
}

fn from_hexadecimal(text: &[u8]) -> Option<ServerSecret> {
    let digit = |character: u8| char::from(character).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    if text.len() != SECRET_BYTES * 2 {
        return None;
    }
    let mut bytes = Zeroizing::new([0_u8; SECRET_BYTES]);
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(ServerSecret::new(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    fn folder(parent: &tempfile::TempDir) -> DataFolder {
        DataFolder::locate(Some(parent.path().join("state/data"))).unwrap()
    }

    #[test]
    fn the_flag_wins_then_xdg_then_home() {
        let choose = |named: Option<&str>, state: Option<&str>, home: Option<&str>| {
            DataFolder::choose(named.map(Into::into), state.map(Into::into), home.map(Into::into))
                .map(|folder| folder.path.to_str().unwrap().to_owned())
        };
        assert_eq!(choose(Some("/d"), Some("/x"), Some("/h")).unwrap(), "/d");
        let here = std::env::current_dir().unwrap();
        assert_eq!(choose(Some("d"), None, None).unwrap(), here.join("d").to_str().unwrap());
        assert_eq!(choose(None, Some("/x"), Some("/h")).unwrap(), "/x/partner-gateway");
        assert_eq!(choose(None, Some("relative"), Some("/h")).unwrap(), "/h/.local/state/partner-gateway");
        assert_eq!(choose(None, None, Some("/h")).unwrap(), "/h/.local/state/partner-gateway");
        assert_eq!(choose(None, Some(""), None), None);
    }

    #[test]
    fn the_folder_and_its_secret_are_private() {
        let parent = tempfile::tempdir().unwrap();
        let folder = folder(&parent);
        folder.prepare().unwrap();
        folder.prepare().unwrap();
        assert_eq!(mode(folder.path()), 0o700);
        folder.server_secret(true).unwrap();
        assert_eq!(mode(&folder.secret()), 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the draft is gone");
    }

    #[test]
    fn an_open_folder_is_mended_when_it_is_empty_or_ours() {
        let parent = tempfile::tempdir().unwrap();
        let folder = folder(&parent);
        fs::create_dir_all(folder.path()).unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        folder.prepare().unwrap();
        assert_eq!(mode(folder.path()), 0o700);

        folder.server_secret(true).unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        folder.prepare().unwrap();
        assert_eq!(mode(folder.path()), 0o700);
    }

    #[test]
    fn an_open_folder_with_other_files_is_refused_and_left_as_it_was() {
        let parent = tempfile::tempdir().unwrap();
        let folder = folder(&parent);
        fs::create_dir_all(folder.path()).unwrap();
        fs::write(folder.path().join("letter.txt"), "").unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let error = folder.prepare().unwrap_err();
        assert!(matches!(error, FolderError::Shared { .. }), "{error}");
        assert!(error.is_permission());
        assert_eq!(mode(folder.path()), 0o755);
    }

    #[test]
    fn a_file_in_the_folders_place_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        for path in [file.clone(), file.join("below")] {
            let error = DataFolder::locate(Some(path)).unwrap().prepare().unwrap_err();
            assert!(matches!(error, FolderError::NotAFolder { .. }), "{error}");
        }
    }

    #[test]
    fn a_secret_stays_the_same_and_is_never_made_unasked() {
        let parent = tempfile::tempdir().unwrap();
        let folder = folder(&parent);
        folder.prepare().unwrap();
        let error = folder.server_secret(false).unwrap_err();
        assert!(matches!(error, FolderError::SecretMissing { .. }), "{error}");
        assert!(!folder.secret().exists());
        let first = folder.server_secret(true).unwrap();
        assert_eq!(first.expose(), folder.server_secret(true).unwrap().expose());
        assert_eq!(first.expose(), folder.server_secret(false).unwrap().expose());
        assert_ne!(first.expose(), &[0; 32]);
    }

    #[test]
    fn many_who_create_at_once_get_one_secret() {
        let parent = tempfile::tempdir().unwrap();
        let folder = folder(&parent);
        folder.prepare().unwrap();
        let secrets: Vec<[u8; 32]> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..8).map(|_| scope.spawn(|| *folder.server_secret(true).unwrap().expose())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(secrets.iter().all(|secret| secret == &secrets[0]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_secret_is_refused_and_not_shown() {
        let parent = tempfile::tempdir().unwrap();
        let folder = folder(&parent);
        folder.prepare().unwrap();
        for content in ["", "abc123", &"g".repeat(64), &"a".repeat(63), &"a".repeat(66), &"é".repeat(32)] {
            fs::write(folder.secret(), content).unwrap();
            let error = folder.server_secret(true).unwrap_err();
            assert!(matches!(error, FolderError::SecretMalformed { .. }), "{error}");
            assert!(content.is_empty() || !format!("{error} {error:?}").contains(content));
        }
    }

    #[test]
    fn an_open_secret_is_made_private() {
        let parent = tempfile::tempdir().unwrap();
        let folder = folder(&parent);
        folder.prepare().unwrap();
        folder.server_secret(true).unwrap();
        fs::set_permissions(folder.secret(), Permissions::from_mode(0o644)).unwrap();
        folder.server_secret(false).unwrap();
        assert_eq!(mode(&folder.secret()), 0o600);
    }
}
