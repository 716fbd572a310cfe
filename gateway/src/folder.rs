//! The data folder: where it is, who may read it, and the names of the files in it.
//!
//! It holds the store, the server secret and the local certificates, and it is the unit of backup: one folder, one
//! installation. This module creates the folder, keeps it private and reads the server secret; the other files are
//! read and written by their own modules.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use permissions::{Environment, ServerSecret};
use rand::TryRngCore;
use rand::rngs::OsRng;
use rustix::fs::{Access, OFlags, access};
use rustix::process::geteuid;
use zeroize::Zeroizing;

/// The folder's name below the state folder of the user.
const FOLDER_NAME: &str = "partner-gateway";
/// The server secret is 32 bytes, written as hexadecimal text.
const SECRET_BYTES: usize = 32;
/// Rights of other users: none may be left.
const OTHERS: u32 = 0o077;

/// The data folder of one installation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFolder {
    path: PathBuf,
}

/// The data folder or a file in it cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Neither the flag nor the environment names the folder.
    #[error(
        "no data folder: neither XDG_STATE_HOME nor HOME is set to an absolute path; name one with --data-dir"
    )]
    Nowhere,
    /// The path is not a folder.
    #[error("{path} is not a folder; name another with --data-dir")]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// Other users may read the folder, and it holds files of something else.
    #[error(
        "{path} is open to other users and holds other files; name a folder for the gateway alone: --data-dir {path}/partner-gateway"
    )]
    Shared {
        /// The folder.
        path: PathBuf,
    },
    /// The folder, or a secret in it, belongs to another user.
    #[error("{path} belongs to user {owner}, and this process runs as user {user}; {remedy}")]
    NotOwner {
        /// The folder or file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The user of this process.
        user: u32,
        /// What works instead.
        remedy: String,
    },
    /// A secret of the folder is a symbolic link.
    #[error("{path} is a symbolic link, which is not followed; put the file itself there")]
    SymbolicLink {
        /// The link.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// There is no server secret, and none may be created.
    #[error(
        "{path} is missing, and without it no stored key can be verified; restore it from a backup of the data folder"
    )]
    SecretMissing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The server secret's file holds something else.
    #[error(
        "{path} is not a server secret (64 hexadecimal characters); restore it from a backup of the data folder"
    )]
    SecretMalformed {
        /// The file.
        path: PathBuf,
    },
    /// The operating system returned no random bytes.
    #[error("the operating system returned no random bytes for the server secret")]
    NoRandomness {
        /// The system's reason.
        source: rand::rand_core::OsError,
    },
}

impl FolderError {
    /// Whether it is about missing rights.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        match self {
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
            }
            Self::Shared { .. } | Self::NotOwner { .. } | Self::SymbolicLink { .. } => true,
            _ => false,
        }
    }
}

impl DataFolder {
    /// Finds the folder: the given one, else `$XDG_STATE_HOME/partner-gateway`, else
    /// `~/.local/state/partner-gateway`. Creates nothing; see [`DataFolder::prepare`].
    ///
    /// # Errors
    /// [`FolderError::Nowhere`] where none of them is set.
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
        // Absolute, because it is printed and written into files that are read elsewhere.
        Some(Self { path: std::path::absolute(&path).unwrap_or(path) })
    }

    /// The folder's path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The SQLite store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.path.join("store.sqlite")
    }

    /// The secret with which keys are hashed.
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

    /// The local certificate for `localhost`.
    #[must_use]
    pub fn localhost_certificate(&self) -> PathBuf {
        self.path.join("localhost.pem")
    }

    /// The private key of the local certificate.
    #[must_use]
    pub fn localhost_key(&self) -> PathBuf {
        self.path.join("localhost.key")
    }

    /// The key that the first launch made for an environment, as a header field for `curl -H @FILE`. It is there
    /// only until the operator has moved it elsewhere.
    #[must_use]
    pub fn first_key(&self, environment: Environment) -> PathBuf {
        self.path.join(format!("first-key.{environment}"))
    }

    /// The token of the local profile.
    #[must_use]
    pub fn local_token(&self) -> PathBuf {
        self.path.join("local.token")
    }

    /// The address of the settings page of the local profile, with its secret path; of the newest start.
    #[must_use]
    pub fn local_panel(&self) -> PathBuf {
        self.path.join("local.panel")
    }

    /// The files of an installation, in the order in which a backup copies them.
    #[must_use]
    pub fn files(&self) -> [PathBuf; 7] {
        [
            self.store(),
            self.secret(),
            self.authority_certificate(),
            self.authority_key(),
            self.localhost_certificate(),
            self.localhost_key(),
            self.local_token(),
        ]
    }

    /// The files that only their owner may read.
    fn secrets(&self) -> [PathBuf; 10] {
        [
            self.local_token(),
            self.local_panel(),
            self.store(),
            self.path.join("store.sqlite-wal"),
            self.path.join("store.sqlite-shm"),
            self.secret(),
            self.authority_key(),
            self.localhost_key(),
            self.first_key(Environment::Staging),
            self.first_key(Environment::Production),
        ]
    }

    /// Creates the folder where it is missing, and removes other users' rights from it and from every secret in it.
    ///
    /// A folder that is open to others is tightened only if it is empty or already holds an installation: with
    /// `--data-dir /tmp`, tightening would lock everyone else out of `/tmp`.
    ///
    /// # Errors
    /// A path that is not a folder, a folder or secret of another user, a folder shared with others, a secret that is
    /// a symbolic link, or what the operating system says.
    pub fn prepare(&self) -> Result<(), FolderError> {
        let path = &self.path;
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                FolderError::NotAFolder { path: path.clone() }
            }
            _ => FolderError::Io { action: "create the data folder", path: path.clone(), source },
        })?;
        let failed = |action| move |source| FolderError::Io { action, path: path.clone(), source };
        let metadata = fs::metadata(path).map_err(failed("read the metadata of the data folder"))?;
        check_owner(path, &metadata, || elsewhere(path))?;
        if metadata.mode() & OTHERS != 0 {
            let mut entries = fs::read_dir(path).map_err(failed("list the data folder"))?;
            if entries.next().is_some() && !self.store().exists() && !self.secret().exists() {
                return Err(FolderError::Shared { path: path.clone() });
            }
            fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed(REMOVE_RIGHTS))?;
            tracing::warn!(folder = %path.display(), "The data folder was open to other users; it is private now");
        }
        self.secrets().iter().try_for_each(|path| tighten(path))
    }

    /// Reads the server secret; creates it first where it is missing and `create` allows it.
    ///
    /// `create` may be set only while the store holds no key: a new secret makes every stored hash worthless. Of
    /// several processes that create it at once, all get the same secret.
    ///
    /// # Errors
    /// It is missing and must not be created, it is malformed, or what the operating system says.
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
        let file = match open_without_link(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(_) if path.is_symlink() => return Err(FolderError::SymbolicLink { path }),
            Err(error) => return Err(failed(error)),
        };
        make_private(&file, &path)?;
        let mut text = Zeroizing::new(Vec::with_capacity(256));
        file.take(256).read_to_end(&mut text).map_err(failed)?;
        let secret = from_hexadecimal(text.trim_ascii());
        secret.map(Some).ok_or(FolderError::SecretMalformed { path: path.clone() })
    }

    /// Writes a new secret to a draft, so that nobody reads half of one, and links the draft to its name. That fails
    /// if another process was quicker, whose secret is then used.
    fn write_secret(&self) -> Result<(), FolderError> {
        let mut bytes = Zeroizing::new([0_u8; SECRET_BYTES]);
        OsRng.try_fill_bytes(bytes.as_mut()).map_err(|source| FolderError::NoRandomness { source })?;
        let path = self.secret();
        let draft = draft(&path);
        let failed = |source| FolderError::Io { action: "write", path: path.clone(), source };
        let written = write_private(&draft, &to_hexadecimal(&bytes)).and_then(|()| {
            match fs::hard_link(&draft, &path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                other => other,
            }
        });
        // Removed in any case; a draft that a crash leaves behind is never read.
        let removed = fs::remove_file(&draft);
        written.and(removed).and_then(|()| sync_folder(&self.path)).map_err(failed)
    }
}

const REMOVE_RIGHTS: &str = "remove the rights of other users from";

fn check_owner(path: &Path, metadata: &Metadata, remedy: impl FnOnce() -> String) -> Result<(), FolderError> {
    let (owner, user) = (metadata.uid(), geteuid().as_raw());
    if owner == user {
        return Ok(());
    }
    Err(FolderError::NotOwner { path: path.to_owned(), owner, user, remedy: remedy() })
}

/// What works where a folder belongs to another user, such as a volume that belongs to root.
fn elsewhere(path: &Path) -> String {
    let below = path.join(FOLDER_NAME);
    let (below, user) = (below.display(), geteuid());
    if user.is_root() {
        format!(
            "run it as that user, or name another folder with --data-dir ({} stays as it is)",
            path.display()
        )
    } else if access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok() {
        format!("name a folder below it, which is then created: --data-dir {below}")
    } else {
        let install = format!("install -d -m 700 -o {} {below}", user.as_raw());
        format!("have root create a folder below it, `{install}`, and name that: --data-dir {below}")
    }
}

/// Removes the rights of other users from a secret, if it is there. By path: the folder is private by now, so nobody
/// else can put another file there, and to close an open file would drop SQLite's locks on it.
fn tighten(path: &Path) -> Result<(), FolderError> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            return Err(FolderError::Io { action: "read the metadata of", path: path.to_owned(), source });
        }
    };
    if metadata.is_symlink() {
        return Err(FolderError::SymbolicLink { path: path.to_owned() });
    }
    check_owner(path, &metadata, || {
        "have root give it to this user, or restore it from a backup".to_owned()
    })?;
    if metadata.is_file() && metadata.mode() & OTHERS != 0 {
        let private = fs::set_permissions(path, Permissions::from_mode(0o600));
        private.map_err(|source| FolderError::Io { action: REMOVE_RIGHTS, path: path.to_owned(), source })?;
        warn_made_private(path);
    }
    Ok(())
}

/// Opens a file for reading, unless its name is a symbolic link.
fn open_without_link(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(path)
}

/// Creates a file that only its owner may read; it is on disk when this returns. An existing file or link fails.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Replaces a file, or a link, by a private file with this content, in one step.
pub(crate) fn replace_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let draft = draft(path);
    let replaced = write_private(&draft, content).and_then(|()| fs::rename(&draft, path));
    if replaced.is_err() {
        // It may not have been created.
        let _ = fs::remove_file(&draft);
    }
    replaced
}

/// A name beside a file that no other process uses.
fn draft(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.{:08x}", std::process::id(), rand::random::<u32>()));
    name.into()
}

/// Flushes the names in a folder to disk: without it a new file may be gone after a power failure.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Removes the rights of other users from an open file of the folder.
pub(crate) fn make_private(file: &File, path: &Path) -> Result<(), FolderError> {
    let failed = |source| FolderError::Io { action: REMOVE_RIGHTS, path: path.to_owned(), source };
    if file.metadata().map_err(failed)?.mode() & OTHERS != 0 {
        file.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
        warn_made_private(path);
    }
    Ok(())
}

fn warn_made_private(path: &Path) {
    tracing::warn!(file = %path.display(), "A file of the data folder was open to other users; it is private now");
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
mod tests;
