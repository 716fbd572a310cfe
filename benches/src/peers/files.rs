//! What a peer is configured with.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::floor;
use crate::identity::Identity;
use crate::response::Responses;
use crate::seed::{KEYS, texts};

/// The rate of a partner, and its burst where there is one; the gateway has the same.
pub(super) const REQUESTS_PER_SECOND_MAX: u32 = 1_000_000;
/// A file that nginx and caddy serve, which takes no space on the disk.
pub(super) const STREAM_FILE: &str = "stream.bin";
pub(super) const STREAM_PATH: &str = "/stream.bin";
pub(super) const STREAM_BYTES: u64 = 1024 * 1024 * 1024;

/// What a peer is configured with.
pub(super) struct Files {
    pub(super) folder: PathBuf,
    pub(super) http: SocketAddr,
    pub(super) https: SocketAddr,
    pub(super) certificate: PathBuf,
    pub(super) private_key: PathBuf,
    /// Partners with the value of `Authorization`.
    keys: Vec<(String, String)>,
    pub(super) responses: Responses,
}

impl Files {
    pub(super) fn new(folder: &Path) -> anyhow::Result<Self> {
        // Most peers take no bound socket, so the ports are released right before they are bound again.
        let (clear, encrypted, _datagrams) = floor::bind()?;
        let https = encrypted.local_addr()?;
        let keys = texts()?.take(KEYS).enumerate();
        let identity = Identity::generate()?;
        let files = Self {
            folder: folder.to_owned(),
            http: clear.local_addr()?,
            https,
            certificate: folder.join("certificate.pem"),
            private_key: folder.join("private-key.pem"),
            keys: keys
                .map(|(n, text)| (format!("partner-{n}"), format!("Bearer {}", text.expose())))
                .collect(),
            responses: Responses::over_tcp(https.port())?,
        };
        fs::File::create(folder.join(STREAM_FILE))?.set_len(STREAM_BYTES)?;
        fs::write(&files.certificate, identity.certificate_pem())?;
        fs::write(&files.private_key, identity.private_key_pem())?;
        Ok(files)
    }

    /// The keys in the form of a configuration, by partner and value of `Authorization`.
    pub(super) fn keys(&self, line: impl Fn(&str, &str) -> String) -> String {
        self.keys.iter().map(|(partner, authorization)| line(partner, authorization)).collect()
    }

    /// Writes a file and returns its path.
    pub(super) fn write(&self, name: &str, text: &str) -> anyhow::Result<String> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path.display().to_string())
    }
}
