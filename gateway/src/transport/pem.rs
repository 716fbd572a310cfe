//! Certificates and private keys as PEM files, read as common tools write them, and what is wrong with those that
//! cannot be used.
//!
//! Text around the blocks, CRLF line ends, a byte order mark, trailing spaces and `EC PARAMETERS` are
//! accepted. A private key is PKCS#8, PKCS#1 or SEC1.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use zeroize::Zeroizing;

/// No chain or key is larger; a larger file was named by mistake.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// A certificate or its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or holds something else.
    #[error("{}: {reason}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The private key is of a kind that is not supported.
    #[error("{}: this private key cannot be used: {source}", file.display())]
    Key {
        /// The key's file.
        file: PathBuf,
        /// rustls' reason.
        source: rustls::Error,
    },
    /// The key does not belong to the certificate.
    #[error("the certificate in {} and the key in {} do not belong together: {reason}", chain.display(), key.display())]
    Pair {
        /// The certificate's file.
        chain: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// rustls refused the settings.
    #[error("TLS cannot be set up")]
    Setup(#[from] rustls::Error),
}

impl TlsError {
    fn file(file: &Path, reason: impl Into<String>) -> Self {
        Self::File { file: file.to_owned(), reason: reason.into() }
    }

    /// Names the certificate of the chain that the key belongs to, because the root is often put first.
    pub(super) fn pair(chain: &Path, key: &Path, certified: &CertifiedKey, source: rustls::Error) -> Self {
        let belongs = |certificate: &CertificateDer<'static>| {
            CertifiedKey::new(vec![certificate.clone()], certified.key.clone()).keys_match().is_ok()
        };
        let reason = match certified.cert.iter().position(belongs) {
            Some(index) => format!(
                "the key belongs to certificate {} of {} in the file; put that one first, then the one that signed it, and so on",
                index + 1,
                certified.cert.len()
            ),
            None => source.to_string(),
        };
        Self::Pair { chain: chain.to_owned(), key: key.to_owned(), reason }
    }
}

/// Reads a certificate chain.
pub(super) fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(file)?;
    let chain = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|reason| TlsError::file(file, format!("the PEM is damaged: {reason}")))?;
    if chain.is_empty() {
        return Err(TlsError::file(file, missing(&text, "CERTIFICATE", "certificate")));
    }
    if let Some(index) = chain.iter().position(|der| x509_parser::parse_x509_certificate(der).is_err()) {
        return Err(TlsError::file(file, format!("certificate {} of the file is damaged", index + 1)));
    }
    Ok(chain)
}

/// Reads the first private key of a file.
pub(super) fn read_key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(file)?;
    if has(&text, "BEGIN ENCRYPTED PRIVATE KEY") || has(&text, "Proc-Type: 4,ENCRYPTED") {
        let reason = format!(
            "the private key is encrypted, and there is nobody to ask for its passphrase; decrypt it: openssl pkey -in {} -out decrypted.key",
            file.display()
        );
        return Err(TlsError::file(file, reason));
    }
    match PrivateKeyDer::pem_slice_iter(&text).next() {
        Some(Ok(key)) => Ok(key),
        // The error may quote the file, which holds a key.
        Some(Err(_)) => Err(TlsError::file(file, "the PEM of the private key is damaged")),
        None => Err(TlsError::file(file, missing(&text, "PRIVATE KEY", "private key"))),
    }
}

/// The validity of the leaf, if it can be read.
pub(super) fn validity(certificate: &CertifiedKey) -> Option<(Timestamp, Timestamp)> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate.cert.first()?).ok()?;
    let validity = parsed.validity();
    let moment = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).ok();
    Some((moment(validity.not_before)?, moment(validity.not_after)?))
}

/// The names and addresses that the leaf is valid for, an IPv6 address in brackets; the subject's common name counts no
/// more (RFC 9525 §2).
pub(super) fn names(certificate: &CertifiedKey) -> Vec<String> {
    let Some(leaf) = certificate.cert.first() else { return Vec::new() };
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(leaf) else { return Vec::new() };
    let Ok(Some(alternatives)) = parsed.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match *bytes {
            &[a, b, c, d] => Some(Ipv4Addr::new(a, b, c, d).to_string()),
            bytes => <[u8; 16]>::try_from(bytes).ok().map(|bytes| format!("[{}]", Ipv6Addr::from(bytes))),
        },
        _ => None,
    };
    alternatives.value.general_names.iter().filter_map(name).collect()
}

/// Reads a file without what editors and other systems add to its lines.
fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let mut content = Zeroizing::new(Vec::new());
    let read = File::open(file).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content));
    read.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => TlsError::file(file, "there is no such file"),
        _ => TlsError::file(file, format!("cannot read it: {error}")),
    })?;
    if content.len() as u64 > FILE_BYTES_MAX {
        return Err(TlsError::file(file, "it is larger than 1 MiB"));
    }
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&content);
    // The capacity is exact: a reallocation would leave a copy behind that is not wiped.
    let mut text = Zeroizing::new(Vec::with_capacity(content.len() + 1));
    for line in content.split(|byte| *byte == b'\n') {
        text.extend_from_slice(line.trim_ascii());
        text.push(b'\n');
    }
    Ok(text)
}

fn has(text: &[u8], label: &str) -> bool {
    memchr::memmem::find(text, label.as_bytes()).is_some()
}

/// The message for a file without a block of this label.
fn missing(text: &[u8], label: &str, what: &str) -> String {
    let found = if text.starts_with(&[0x30]) {
        "it looks like DER; convert it to PEM with `openssl x509 -inform der` or `openssl pkey -inform der`"
    } else if has(text, "PRIVATE KEY-----") {
        "it holds a private key; `chain_file` and `key_file` may be swapped"
    } else if has(text, "BEGIN CERTIFICATE-----") {
        "it holds a certificate; `chain_file` and `key_file` may be swapped"
    } else if has(text, "CERTIFICATE REQUEST-----") {
        "it holds a certificate request, which a certificate authority has yet to sign"
    } else if has(text, "TRUSTED CERTIFICATE-----") {
        "it holds a certificate with OpenSSL's trust settings; convert it with `openssl x509`"
    } else {
        "it is not PEM, or empty"
    };
    format!("there is no {what} (a block `BEGIN {label}`) in it: {found}")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_RSA_SHA256};

    use super::super::tls::{load_certified_key, validity_warning};
    use super::*;

    /// A root, a leaf that it signed, and the leaf's key, all PEM.
    struct Pki {
        root: String,
        leaf: String,
        key: String,
    }

    fn pki() -> Pki {
        let (root_key, key) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let root = params.self_signed(&root_key).unwrap().pem();
        let issuer = Issuer::new(params, root_key);
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 4, 1);
        let leaf = params.signed_by(&key, &issuer).unwrap().pem();
        Pki { root, leaf, key: key.serialize_pem() }
    }

    fn load(chain: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<CertifiedKey, String> {
        let folder = tempfile::tempdir().unwrap();
        let (chain_file, key_file) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
        fs::write(&chain_file, chain).unwrap();
        fs::write(&key_file, key).unwrap();
        load_certified_key(&chain_file, &key_file).map_err(|error| error.to_string())
    }

    /// What `openssl ARGUMENTS` writes for this input.
    fn openssl(arguments: &[&str], input: &str) -> String {
        use std::io::Write as _;
        use std::process::{Command, Stdio};

        let mut command = Command::new("openssl");
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("openssl can be started: apt-get install openssl");
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn pem_is_read_as_common_tools_write_it() {
        let Pki { root, leaf, key } = pki();
        let chain = format!("{leaf}{root}");
        let sec1 = openssl(&["ec"], &key);
        assert!(sec1.contains("BEGIN EC PRIVATE KEY"), "{sec1}");
        let parameters = openssl(&["ecparam", "-name", "prime256v1"], "");
        for key in
            [key.clone(), sec1.clone(), format!("{parameters}{sec1}"), format!("Bag Attributes\n{key}")]
        {
            load(&chain, key).unwrap();
        }
        let text = openssl(&["x509", "-text"], &leaf);
        assert!(text.starts_with("Certificate:"), "{text}");
        for edited in [
            chain.replace('\n', "\r\n"),
            format!("\u{feff}{chain}"),
            chain.replace('\n', " \t\n"),
            chain.trim_end().to_owned(),
            format!("subject=CN = localhost\n{leaf}\n\nissuer\n{root}"),
            format!("{text}{root}"),
        ] {
            assert_eq!(load(&edited, &key).unwrap_or_else(|error| panic!("{error}: {edited}")).cert.len(), 2);
            load(&edited, key.replace('\n', "\r\n")).unwrap();
        }
    }

    #[test]
    fn rsa_keys_are_read_as_pkcs_8_and_pkcs_1() {
        let pem = openssl(&["genrsa", "2048"], "");
        let pair = KeyPair::from_pkcs8_pem_and_sign_algo(
            &openssl(&["pkcs8", "-topk8", "-nocrypt"], &pem),
            &PKCS_RSA_SHA256,
        );
        let leaf = CertificateParams::default().self_signed(&pair.unwrap()).unwrap().pem();
        for form in [openssl(&["pkcs8", "-topk8", "-nocrypt"], &pem), openssl(&["rsa", "-traditional"], &pem)]
        {
            load(&leaf, form).unwrap();
        }
    }

    #[test]
    fn each_mistake_has_its_message() {
        let Pki { root, leaf, key } = pki();
        let chain = format!("{leaf}{root}");
        let encrypted = openssl(&["pkcs8", "-topk8", "-passout", "pass:secret"], &key);
        let encrypted_sec1 = openssl(&["ec", "-aes256", "-passout", "pass:secret"], &key);
        let other = KeyPair::generate().unwrap().serialize_pem();
        let damaged = key.replacen("MIG", "M!G", 1);
        let request = CertificateParams::default().serialize_request(&KeyPair::generate().unwrap());
        let request = request.unwrap().pem().unwrap();
        let der = CertificateDer::from_pem_slice(leaf.as_bytes()).unwrap().to_vec();
        for (chain, key, message) in [
            (chain.as_bytes(), encrypted.as_str(), "key is encrypted"),
            (chain.as_bytes(), &encrypted_sec1, "openssl pkey -in"),
            (format!("{root}{leaf}").as_bytes(), &key, "belongs to certificate 2 of 2"),
            (chain.as_bytes(), &other, "do not belong together"),
            (key.as_bytes(), &leaf, "may be swapped"),
            (chain.as_bytes(), &leaf, "may be swapped"),
            (chain.as_bytes(), &damaged, "private key is damaged"),
            (chain.as_bytes(), "", "not PEM, or empty"),
            (request.as_bytes(), &key, "yet to sign"),
            (&der, &key, "looks like DER"),
            (
                b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                &key,
                "certificate 1 of the file is damaged",
            ),
            (b"-----BEGIN CERTIFICATE-----\nAAAA\n", &key, "PEM is damaged"),
        ] {
            let error = load(chain, key).unwrap_err();
            assert!(error.contains(message), "{message}: {error}");
            let secret = key.lines().nth(1).unwrap_or("nothing");
            assert!(!error.contains(secret), "{error}");
        }
        let error = load_certified_key(Path::new("/nowhere/chain.pem"), Path::new("/nowhere/key.pem"));
        assert_eq!(error.unwrap_err().to_string(), "/nowhere/chain.pem: there is no such file");
    }

    #[test]
    fn an_expiry_that_is_near_or_past_is_reported() {
        let Pki { root, leaf, key } = pki();
        let certified = load(format!("{leaf}{root}"), key).unwrap();
        let soon = jiff::SignedDuration::from_hours(14 * 24);
        let warning = |now: &str| validity_warning(&certified, now.parse().unwrap(), soon);
        assert_eq!(warning("2025-12-31T23:59:59Z").unwrap(), "is not valid before 2026-01-01T00:00:00Z");
        assert_eq!(warning("2026-01-01T00:00:00Z"), None);
        assert_eq!(warning("2026-03-17T23:59:59Z"), None);
        assert_eq!(warning("2026-03-18T00:00:00Z").unwrap(), "expires at 2026-04-01T00:00:00Z");
        assert_eq!(warning("2026-04-01T00:00:00Z").unwrap(), "expired at 2026-04-01T00:00:00Z");
    }
}
