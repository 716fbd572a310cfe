//! A certificate authority for one test, for certificates that change while the gateway runs.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};

/// An authority that issues certificates, for `localhost` unless a test says otherwise.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: PathBuf,
}

impl Authority {
    /// Creates one that keeps its files in `folder`.
    ///
    /// # Panics
    /// When the folder is not writable.
    pub fn new(folder: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are valid names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key can be made");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("it signs itself");
        let authority = Self { issuer, folder: folder.to_owned() };
        std::fs::write(authority.certificate(), authority.issuer.pem()).expect("the folder is writable");
        authority
    }

    /// Its own certificate, for clients.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join("authority.pem")
    }

    /// Writes a new certificate and key for `localhost` to these files.
    ///
    /// # Panics
    /// When the files are not writable.
    pub fn issue(&self, chain_file: &Path, key_file: &Path) {
        self.issue_for(&["localhost", "127.0.0.1", "::1"], chain_file, key_file);
    }

    /// The same for these names and addresses.
    ///
    /// # Panics
    /// When the files are not writable.
    pub fn issue_for(&self, names: &[&str], chain_file: &Path, key_file: &Path) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let params = CertificateParams::new(names).expect("the names are valid");
        let key = KeyPair::generate().expect("a key can be made");
        let leaf = params.signed_by(&key, &self.issuer).expect("the authority signs");
        std::fs::write(chain_file, leaf.pem()).expect("the folder is writable");
        std::fs::write(key_file, key.serialize_pem()).expect("the folder is writable");
    }
}
