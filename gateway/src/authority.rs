//! The local certificate authority: created at the first launch, it signs one certificate for `localhost`, `127.0.0.1`
//! and `::1`, so that TLS and HTTP/3 work before there is a certificate of a public authority.
//!
//! It is for development. Its key never leaves the data folder, and its name constraints keep it from signing for any
//! other host: a client that trusts `ca.pem` trusts it for this machine only.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, NameConstraints, PublicKeyData as _,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tracing::warn;
use zeroize::Zeroizing;

use crate::folder::{DataFolder, replace_private};
use crate::transport::{ServedCertificate, TlsError, load_certified_key};

/// The authority or its certificate cannot be created or read.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file cannot be read or written.
    #[error("{}: {source}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file of the authority holds something else.
    #[error(
        "{} {reason}; restore ca.pem and ca.key from a backup of the data folder, or remove both to have them created anew at the next start: then everyone who trusts ca.pem must be given the new one",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it; never anything of a key.
        reason: &'static str,
    },
    /// Signing failed.
    #[error("the local certificate cannot be created")]
    Sign(#[from] rcgen::Error),
    /// The new certificate cannot be loaded.
    #[error("the local certificate cannot be used")]
    Load(#[from] TlsError),
}

/// How long the authority and its certificate are valid.
const AUTHORITY_DAYS: i64 = 3650;
const CERTIFICATE_DAYS: i64 = 397;
/// A certificate that is valid for fewer days is replaced, at the start and while serving.
const RENEW_DAYS: i64 = 30;
/// Allows for clients whose clock is behind.
const BACKDATE: SignedDuration = SignedDuration::from_hours(24);

/// Creates what is missing or about to expire, and leaves the rest as it is.
///
/// # Errors
/// [`AuthorityError`] names the file.
pub fn ensure(folder: &DataFolder, now: Timestamp) -> Result<(), AuthorityError> {
    let (authority, authority_key) = (folder.authority_certificate(), folder.authority_key());
    let is_new = !authority.exists() || !authority_key.exists();
    if is_new {
        create_authority(&authority, &authority_key, now)?;
    }
    let issuer = issuer(&authority, &authority_key)?;
    let (certificate, key) = (folder.localhost_certificate(), folder.localhost_key());
    if is_new || !certificate.exists() || !key.exists() {
        return create_certificate(&issuer, &certificate, &key, now);
    }
    match load_certified_key(&certificate, &key) {
        Ok(loaded) if !expires_soon(ServedCertificate::not_after_of(&loaded), now) => Ok(()),
        Ok(_) => create_certificate(&issuer, &certificate, &key, now),
        Err(error) => {
            // Nobody trusts this certificate by itself, so another one of the same authority serves as well.
            warn!(%error, "The local certificate was damaged and is created anew");
            create_certificate(&issuer, &certificate, &key, now)
        }
    }
}

/// Replaces the local certificate of a running server when it expires soon; returns whether it did. Another server on
/// the same folder may have renewed the files already, which are then loaded.
///
/// # Errors
/// [`AuthorityError`] names the file; the old certificate stays in use.
pub fn renew(
    folder: &DataFolder,
    served: &ServedCertificate,
    now: Timestamp,
) -> Result<bool, AuthorityError> {
    if !expires_soon(served.not_after(), now) {
        return Ok(false);
    }
    ensure(folder, now)?;
    served.replace(load_certified_key(&folder.localhost_certificate(), &folder.localhost_key())?);
    Ok(true)
}

/// Reads the authority. It is read at each start, or damage would show only when the certificate is renewed.
fn issuer(certificate: &Path, key: &Path) -> Result<Issuer<'static, KeyPair>, AuthorityError> {
    let damaged = |file: &Path, reason| AuthorityError::Damaged { file: file.to_owned(), reason };
    let pair = KeyPair::from_pem(&read(key)?).map_err(|_| damaged(key, "holds no usable private key"))?;
    let no_certificate = || damaged(certificate, "holds no certificate of an authority");
    let text = read(certificate)?;
    let der = CertificateDer::from_pem_slice(text.as_bytes()).map_err(|_| no_certificate())?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&der).map_err(|_| no_certificate())?;
    if parsed.public_key().raw != pair.subject_public_key_info() {
        return Err(damaged(certificate, "does not belong to the key in ca.key"));
    }
    Issuer::from_ca_cert_der(&der, pair).map_err(|_| no_certificate())
}

fn create_authority(certificate: &Path, key: &Path, now: Timestamp) -> Result<(), AuthorityError> {
    let pair = KeyPair::generate()?;
    let mut params = validity(now, AUTHORITY_DAYS);
    params.distinguished_name.push(DnType::CommonName, "Partner Gateway local authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Names only: BoringSSL, which curl and others are built with, refuses every chain with a constraint on addresses.
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: vec![GeneralSubtree::DnsName("localhost".to_owned())],
        excluded_subtrees: Vec::new(),
    });
    let signed = params.self_signed(&pair)?;
    write(key, &pair.serialize_pem())?;
    write(certificate, &signed.pem())
}

fn create_certificate(
    issuer: &Issuer<'_, KeyPair>,
    certificate: &Path,
    key: &Path,
    now: Timestamp,
) -> Result<(), AuthorityError> {
    let pair = KeyPair::generate()?;
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let dates = validity(now, CERTIFICATE_DAYS);
    let mut params = CertificateParams::new(names)?;
    (params.not_before, params.not_after) = (dates.not_before, dates.not_after);
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let signed = params.signed_by(&pair, issuer)?;
    write(key, &pair.serialize_pem())?;
    write(certificate, &signed.pem())
}

/// Parameters of a certificate that is valid from a day ago for this many days.
fn validity(now: Timestamp, days: i64) -> CertificateParams {
    let civil = |moment: Timestamp| {
        let date = moment.to_zoned(jiff::tz::TimeZone::UTC).date();
        rcgen::date_time_ymd(
            i32::from(date.year()),
            u8::try_from(date.month()).unwrap_or(1),
            u8::try_from(date.day()).unwrap_or(1),
        )
    };
    let mut params = CertificateParams::default();
    params.not_before = civil(now.saturating_sub(BACKDATE).unwrap_or(now));
    params.not_after = civil(now.saturating_add(SignedDuration::from_hours(24 * days)).unwrap_or(now));
    params
}

/// Whether fewer than [`RENEW_DAYS`] are left; also where the end is unknown.
fn expires_soon(not_after: Option<Timestamp>, now: Timestamp) -> bool {
    let limit = now.as_second() + RENEW_DAYS * 24 * 60 * 60;
    not_after.is_none_or(|end| end.as_second() < limit)
}

fn read(file: &Path) -> Result<Zeroizing<String>, AuthorityError> {
    fs::read(file)
        // Bytes that are not text are not PEM, and are reported as that.
        .map(|bytes| Zeroizing::new(String::from_utf8(bytes).unwrap_or_default()))
        .map_err(|source| AuthorityError::File { file: file.to_owned(), source })
}

fn write(file: &Path, text: &str) -> Result<(), AuthorityError> {
    replace_private(file, text.as_bytes())
        .map_err(|source| AuthorityError::File { file: file.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn days(now: Timestamp, days: i64) -> Timestamp {
        now + SignedDuration::from_hours(24 * days)
    }

    #[test]
    fn the_pair_is_created_once_and_renewed_before_it_expires() {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::locate(Some(parent.path().join("data"))).unwrap();
        folder.prepare().unwrap();
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        let read = |file: PathBuf| fs::read(file).unwrap();

        ensure(&folder, now).unwrap();
        let (authority, certificate) =
            (read(folder.authority_certificate()), read(folder.localhost_certificate()));
        for file in [folder.authority_key(), folder.localhost_key()] {
            assert_eq!(
                fs::metadata(&file).unwrap().permissions().mode() & 0o777,
                0o600,
                "{}",
                file.display()
            );
        }
        load_certified_key(&folder.localhost_certificate(), &folder.localhost_key()).unwrap();

        ensure(&folder, days(now, CERTIFICATE_DAYS - RENEW_DAYS - 2)).unwrap();
        assert_eq!(read(folder.localhost_certificate()), certificate);
        ensure(&folder, days(now, CERTIFICATE_DAYS - RENEW_DAYS + 2)).unwrap();
        assert_ne!(read(folder.localhost_certificate()), certificate);
        assert_eq!(read(folder.authority_certificate()), authority);
    }

    #[test]
    fn a_damaged_authority_is_reported_and_not_replaced() {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::locate(Some(parent.path().join("data"))).unwrap();
        folder.prepare().unwrap();
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        ensure(&folder, now).unwrap();
        let certificate = fs::read(folder.localhost_certificate()).unwrap();
        let other = KeyPair::generate().unwrap().serialize_pem();
        for (file, content, message) in [
            (folder.authority_key(), &b"nonsense"[..], "ca.key"),
            (folder.authority_key(), b"", "ca.key"),
            (folder.authority_key(), b"\xff\xfe", "ca.key"),
            (folder.authority_key(), other.as_bytes(), "ca.pem does not belong to the key in ca.key"),
            (folder.authority_certificate(), b"nonsense", "ca.pem"),
            (folder.authority_certificate(), b"", "ca.pem"),
            (folder.authority_certificate(), other.as_bytes(), "ca.pem"),
            (
                folder.authority_certificate(),
                b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                "ca.pem",
            ),
        ] {
            let original = fs::read(&file).unwrap();
            fs::write(&file, content).unwrap();
            let error = ensure(&folder, now).unwrap_err();
            assert!(matches!(error, AuthorityError::Damaged { .. }), "{error:?}");
            let text = error.to_string();
            assert!(text.contains(message) && text.contains(folder.path().to_str().unwrap()), "{text}");
            assert!(text.contains("created anew") && text.contains("backup"), "{text}");
            assert_eq!(fs::read(&file).unwrap(), content, "the file is not changed");
            fs::write(&file, original).unwrap();
        }
        ensure(&folder, now).unwrap();
        assert_eq!(fs::read(folder.localhost_certificate()).unwrap(), certificate);

        // The advice of the message works.
        fs::write(folder.authority_key(), "nonsense").unwrap();
        fs::remove_file(folder.authority_key()).unwrap();
        fs::remove_file(folder.authority_certificate()).unwrap();
        ensure(&folder, now).unwrap();
        load_certified_key(&folder.localhost_certificate(), &folder.localhost_key()).unwrap();
    }

    #[test]
    fn a_damaged_certificate_is_created_anew_by_the_same_authority() {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::locate(Some(parent.path().join("data"))).unwrap();
        folder.prepare().unwrap();
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        ensure(&folder, now).unwrap();
        let authority = fs::read(folder.authority_certificate()).unwrap();
        let other = KeyPair::generate().unwrap().serialize_pem();
        for (file, content) in [
            (folder.localhost_key(), "nonsense"),
            (folder.localhost_key(), other.as_str()),
            (folder.localhost_certificate(), ""),
            (folder.localhost_certificate(), "nonsense"),
        ] {
            fs::write(&file, content).unwrap();
            ensure(&folder, now).unwrap();
            load_certified_key(&folder.localhost_certificate(), &folder.localhost_key()).unwrap();
        }
        assert_eq!(fs::read(folder.authority_certificate()).unwrap(), authority);
    }

    #[test]
    fn a_running_server_renews_its_certificate() {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::locate(Some(parent.path().join("data"))).unwrap();
        folder.prepare().unwrap();
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        ensure(&folder, now).unwrap();
        let load = || load_certified_key(&folder.localhost_certificate(), &folder.localhost_key()).unwrap();
        let [served, other] = [load(), load()].map(|loaded| ServedCertificate::new(loaded).unwrap());
        let end = served.not_after().unwrap();
        assert!(!renew(&folder, &served, days(now, CERTIFICATE_DAYS - RENEW_DAYS - 2)).unwrap());
        assert_eq!(served.not_after(), Some(end));

        let later = days(now, CERTIFICATE_DAYS - RENEW_DAYS + 2);
        assert!(renew(&folder, &served, later).unwrap());
        assert!(served.not_after().unwrap() > end);
        // A second server takes over the files that the first one wrote.
        let written = fs::read(folder.localhost_certificate()).unwrap();
        assert!(renew(&folder, &other, later).unwrap());
        assert_eq!(fs::read(folder.localhost_certificate()).unwrap(), written);
        assert_eq!(other.not_after(), served.not_after());

        // A damaged authority leaves the certificate in use.
        fs::write(folder.authority_key(), "nonsense").unwrap();
        let last = other.not_after();
        assert!(renew(&folder, &other, days(later, CERTIFICATE_DAYS)).is_err());
        assert_eq!(other.not_after(), last);
    }

    #[test]
    fn the_authority_is_valid_for_this_machine_only() {
        use rustls::pki_types::{ServerName, UnixTime};

        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::locate(Some(parent.path().join("data"))).unwrap();
        folder.prepare().unwrap();
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        ensure(&folder, now).unwrap();
        let issuer = issuer(&folder.authority_certificate(), &folder.authority_key()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(folder.authority_certificate()).unwrap()).unwrap();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let verify = |certificate: &CertificateDer<'_>, name: &str| {
            let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_790_000_000));
            let certificate = rustls::server::ParsedCertificate::try_from(certificate)?;
            let algorithms = provider.signature_verification_algorithms.all;
            rustls::client::verify_server_cert_signed_by_trust_anchor(
                &certificate,
                &roots,
                &[],
                time,
                algorithms,
            )?;
            let name = ServerName::try_from(name.to_owned()).unwrap();
            rustls::client::verify_server_name(&certificate, &name)
        };
        let local = CertificateDer::from_pem_file(folder.localhost_certificate()).unwrap();
        for name in ["localhost", "127.0.0.1", "::1"] {
            verify(&local, name).unwrap();
        }
        for name in ["example.com", "example.local", "localhost.example"] {
            let mut params = CertificateParams::new([name.to_owned()]).unwrap();
            let dates = validity(now, 1);
            (params.not_before, params.not_after) = (dates.not_before, dates.not_after);
            let signed = params.signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
            let error = verify(signed.der(), name).unwrap_err();
            assert!(error.to_string().contains("NameConstraintViolation"), "{name}: {error}");
        }
    }
}
