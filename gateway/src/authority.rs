//! The local certificate authority: made at the first launch, it signs one certificate for `localhost`,
//! `127.0.0.1` and `::1`, so that TLS and HTTP/3 work before anybody has bought a certificate.
//!
//! It is for development. Its key never leaves the data folder; whoever trusts `ca.pem` trusts that folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData as _,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tracing::warn;
use zeroize::Zeroizing;

use crate::folder::{DataFolder, write_private};
use crate::transport::load_certified_key;

/// The authority or its certificate cannot be made or kept.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A file of it cannot be read or written.
    #[error("{}: {source}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file of the authority holds something else.
    #[error(
        "{} {reason}; put ca.pem and ca.key back from a backup of the data folder, or remove both to have them made anew at the next start: then everyone who trusts ca.pem must be given the new one",
        file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it; never anything of a key.
        reason: &'static str,
    },
    /// What was to be signed makes no certificate.
    #[error("the local certificate cannot be made")]
    Making(#[from] rcgen::Error),
}

/// How long the authority and its certificate are good.
const AUTHORITY_DAYS: i64 = 3650;
const CERTIFICATE_DAYS: i64 = 397;
/// A certificate that ends sooner is replaced at the next start.
const RENEW_DAYS: i64 = 30;
/// Allows for clients whose clock is behind.
const BACKDATE: SignedDuration = SignedDuration::from_hours(24);

/// Makes what is missing or about to end, and leaves the rest as it is.
///
/// # Errors
/// [`AuthorityError`] names the file.
pub fn ensure(folder: &DataFolder, now: Timestamp) -> Result<(), AuthorityError> {
    let (authority, authority_key) = (folder.authority_certificate(), folder.authority_key());
    let made_anew = !authority.exists() || !authority_key.exists();
    if made_anew {
        make_authority(&authority, &authority_key, now)?;
    }
    let issuer = issuer(&authority, &authority_key)?;
    let (certificate, key) = (folder.localhost_certificate(), folder.localhost_key());
    if made_anew || !key.exists() || ends_soon(&certificate, now) {
        make_certificate(&issuer, &certificate, &key, now)?;
    } else if let Err(error) = load_certified_key(&certificate, &key) {
        // Nobody trusts the leaf for itself, so a new one of the same authority is as good.
        warn!(%error, "The local certificate was damaged; it is made anew");
        make_certificate(&issuer, &certificate, &key, now)?;
    }
    Ok(())
}

/// Reads the authority. It is read at each start, or damage would show only when the leaf is renewed.
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

fn make_authority(certificate: &Path, key: &Path, now: Timestamp) -> Result<(), AuthorityError> {
    let pair = KeyPair::generate()?;
    let mut params = validity(now, AUTHORITY_DAYS);
    params.distinguished_name.push(DnType::CommonName, "Partner Gateway local authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let signed = params.self_signed(&pair)?;
    write(key, &pair.serialize_pem())?;
    write(certificate, &signed.pem())
}

fn make_certificate(
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

/// Parameters that are good from a day ago for so many days.
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

/// Whether a certificate ends within [`RENEW_DAYS`], or cannot be read at all.
fn ends_soon(certificate: &Path, now: Timestamp) -> bool {
    let limit = now.as_second() + RENEW_DAYS * 24 * 60 * 60;
    let end = CertificateDer::from_pem_file(certificate).ok().and_then(|der| {
        let (_, parsed) = x509_parser::parse_x509_certificate(&der).ok()?;
        Some(parsed.validity().not_after.timestamp())
    });
    end.is_none_or(|end| end < limit)
}

fn read(file: &Path) -> Result<Zeroizing<String>, AuthorityError> {
    fs::read(file)
        // What is no text is no PEM either, and is told as that.
        .map(|bytes| Zeroizing::new(String::from_utf8(bytes).unwrap_or_default()))
        .map_err(|source| AuthorityError::File { file: file.to_owned(), source })
}

/// Replaces a file of the data folder: whole or not at all.
fn write(file: &Path, text: &str) -> Result<(), AuthorityError> {
    let new = file.with_extension("new");
    // One that a crash left behind; that there is none is the usual case.
    let _ = fs::remove_file(&new);
    write_private(&new, text.as_bytes())
        .and_then(|()| fs::rename(&new, file))
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
    fn the_pair_is_made_once_kept_and_renewed_before_it_ends() {
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
    fn a_damaged_authority_is_named_and_not_replaced() {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::locate(Some(parent.path().join("data"))).unwrap();
        folder.prepare().unwrap();
        let now = Timestamp::from_second(1_790_000_000).unwrap();
        ensure(&folder, now).unwrap();
        let leaf = fs::read(folder.localhost_certificate()).unwrap();
        let other = KeyPair::generate().unwrap().serialize_pem();
        for (file, content, told) in [
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
            let whole = fs::read(&file).unwrap();
            fs::write(&file, content).unwrap();
            let error = ensure(&folder, now).unwrap_err();
            assert!(matches!(error, AuthorityError::Damaged { .. }), "{error:?}");
            let text = error.to_string();
            assert!(text.contains(told) && text.contains(folder.path().to_str().unwrap()), "{text}");
            assert!(text.contains("made anew") && text.contains("backup"), "{text}");
            assert_eq!(fs::read(&file).unwrap(), content, "it is left as it is");
            fs::write(&file, whole).unwrap();
        }
        ensure(&folder, now).unwrap();
        assert_eq!(fs::read(folder.localhost_certificate()).unwrap(), leaf);

        // What the words say helps.
        fs::write(folder.authority_key(), "nonsense").unwrap();
        fs::remove_file(folder.authority_key()).unwrap();
        fs::remove_file(folder.authority_certificate()).unwrap();
        ensure(&folder, now).unwrap();
        load_certified_key(&folder.localhost_certificate(), &folder.localhost_key()).unwrap();
    }

    #[test]
    fn a_damaged_leaf_is_made_anew_by_the_same_authority() {
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
}
