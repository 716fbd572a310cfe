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
    KeyUsagePurpose,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use crate::folder::{DataFolder, write_private};

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
    /// What was to be signed, or what is kept, makes no certificate.
    #[error(
        "the local certificate authority failed; remove ca.pem, ca.key, localhost.pem and localhost.key to have it made anew"
    )]
    Certificate(#[from] rcgen::Error),
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
    let authority = (folder.authority_certificate(), folder.authority_key());
    let made_anew = !authority.0.exists() || !authority.1.exists();
    if made_anew {
        make_authority(&authority.0, &authority.1, now)?;
    }
    let certificate = folder.localhost_certificate();
    if made_anew || !folder.localhost_key().exists() || ends_soon(&certificate, now) {
        make_certificate(&authority.0, &authority.1, &certificate, &folder.localhost_key(), now)?;
    }
    Ok(())
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
    authority: &Path,
    authority_key: &Path,
    certificate: &Path,
    key: &Path,
    now: Timestamp,
) -> Result<(), AuthorityError> {
    let issuer = Issuer::from_ca_cert_pem(&read(authority)?, KeyPair::from_pem(&read(authority_key)?)?)?;
    let pair = KeyPair::generate()?;
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let dates = validity(now, CERTIFICATE_DAYS);
    let mut params = CertificateParams::new(names)?;
    (params.not_before, params.not_after) = (dates.not_before, dates.not_after);
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let signed = params.signed_by(&pair, &issuer)?;
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
    fs::read_to_string(file)
        .map(Zeroizing::new)
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
        crate::transport::load_certified_key(&folder.localhost_certificate(), &folder.localhost_key())
            .unwrap();

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
        fs::write(folder.authority_key(), "nonsense").unwrap();
        fs::remove_file(folder.localhost_key()).unwrap();
        let error = ensure(&folder, now).unwrap_err();
        assert!(error.to_string().contains("have it made anew"), "{error}");
        assert_eq!(fs::read(folder.authority_key()).unwrap(), b"nonsense");
    }
}
