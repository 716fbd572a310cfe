//! Exit codes, and how errors are printed.
//!
//! The codes are those of `sysexits.h` where it has one: a service manager can distinguish an invalid configuration,
//! which no restart fixes, from a port that is in use.

use std::io;
use std::process::ExitCode;

use crate::config::ConfigError;
use crate::folder::FolderError;
use crate::provisioning::ProvisioningError;
use crate::store::{Failure, StoreError};
use crate::transport::TlsError;

const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;
const UNAVAILABLE: u8 = 69;
const NOT_PERMITTED: u8 = 77;
const WRONG_CONFIGURATION: u8 = 78;

/// A failure that may go away: a server that is not ready, an address in use.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unavailable(pub(super) String);

/// Arguments that are invalid whatever the state of the installation.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct WrongUsage(pub(super) String);

/// An invalid configuration, whose problems have been printed already.
#[derive(Debug, thiserror::Error)]
#[error("the configuration is invalid")]
pub(super) struct WrongConfiguration;

/// Prints the error on standard error and returns the exit code.
pub(super) fn report(error: &anyhow::Error, json: bool, color: bool) -> ExitCode {
    if let Some(error) = error.downcast_ref::<clap::Error>() {
        if json && error.use_stderr() {
            let text = error.render().to_string();
            let text = text.strip_prefix("error: ").unwrap_or(&text).trim_end();
            eprintln_quietly(&serde_json::json!({ "error": text }).to_string());
        } else {
            // Standard error may be closed.
            let _ = error.print();
        }
        return u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
    }
    if is_closed_pipe(error) {
        // The reader has read enough: `partner-gateway key list | head -1`.
        return ExitCode::SUCCESS;
    }
    let configuration = error.downcast_ref::<ConfigError>();
    if json {
        let mut object = serde_json::json!({ "error": message(error) });
        if let Some(error) = configuration {
            object =
                serde_json::json!({ "error": "the configuration is invalid", "problems": error.problems() });
        }
        eprintln_quietly(&object.to_string());
    } else if let Some(error) = configuration {
        eprintln_quietly(&error.render(color));
    } else if !error.is::<WrongConfiguration>() {
        eprintln_quietly(&format!("error: {}", message(error)));
    }
    ExitCode::from(code(error))
}

/// The chain of causes, without those that only repeat an earlier one, as SQLite's do.
fn message(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |message, cause| match message.as_str() {
        "" => cause,
        earlier if earlier.contains(&cause) => message,
        _ => format!("{message}: {cause}"),
    })
}

/// Prints to standard error. Unlike `eprintln!`, it does not panic when that is closed.
pub(super) fn eprintln_quietly(text: &str) {
    use io::Write;
    let _ = writeln!(io::stderr(), "{text}");
}

fn code(error: &anyhow::Error) -> u8 {
    for cause in error.chain() {
        if cause.is::<ConfigError>() || cause.is::<WrongConfiguration>() {
            return WRONG_CONFIGURATION;
        }
        // A certificate that cannot be used will not work at the next start either.
        if cause.is::<TlsError>() {
            return WRONG_CONFIGURATION;
        }
        if cause.is::<Unavailable>() {
            return UNAVAILABLE;
        }
        if cause.is::<WrongUsage>()
            || cause.downcast_ref::<ProvisioningError>().is_some_and(ProvisioningError::is_invalid_request)
        {
            return WRONG_USAGE;
        }
        if cause.downcast_ref::<FolderError>().is_some_and(FolderError::is_permission) {
            return NOT_PERMITTED;
        }
        let store = match cause.downcast_ref::<ProvisioningError>() {
            Some(ProvisioningError::Store(error)) => Some(error),
            _ => cause.downcast_ref::<StoreError>(),
        };
        if let Some(store) = store {
            return match store {
                StoreError::OtherBrand { .. } => WRONG_CONFIGURATION,
                _ if store.is_permission() => NOT_PERMITTED,
                _ if store.failure() == Some(Failure::Busy) => UNAVAILABLE,
                _ => FAILED,
            };
        }
        match cause.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
                return NOT_PERMITTED;
            }
            Some(io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable) => return UNAVAILABLE,
            _ => {}
        }
    }
    FAILED
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.downcast_ref::<io::Error>().is_some_and(broken)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;
    use crate::config::{Config, Sources};

    #[test]
    fn a_repeated_cause_is_printed_once() {
        let error = Err::<(), _>(io::Error::other("disk on fire")).context("disk on fire");
        assert_eq!(message(&error.context("cannot write").unwrap_err()), "cannot write: disk on fire");
    }

    #[test]
    fn each_kind_of_error_has_its_exit_code() {
        let io = |kind| anyhow::Error::from(io::Error::from(kind));
        assert_eq!(code(&anyhow::anyhow!("no")), 1);
        assert_eq!(code(&io(io::ErrorKind::NotFound)), 1);
        assert_eq!(code(&io(io::ErrorKind::PermissionDenied)), 77);
        assert_eq!(code(&Err::<(), _>(io(io::ErrorKind::AddrInUse)).context("bind").unwrap_err()), 69);
        assert_eq!(code(&Unavailable("no server".to_owned()).into()), 69);
        assert_eq!(code(&WrongConfiguration.into()), 78);
        let flags = vec![("nonsense".to_owned(), "1".to_owned())];
        let wrong = Config::load(&Sources { flags, ..Sources::default() }).unwrap_err();
        assert_eq!(code(&wrong.into()), 78);
        let folder = || FolderError::Shared { path: "/tmp".into() };
        assert_eq!(code(&folder().into()), 77);
        assert_eq!(code(&StoreError::Folder(folder()).into()), 77);
        assert_eq!(code(&ProvisioningError::Store(StoreError::Folder(folder())).into()), 77);
        assert_eq!(code(&ProvisioningError::NoPermission.into()), 2);
        assert_eq!(code(&ProvisioningError::OverlapTooLong.into()), 2);
        assert_eq!(code(&WrongUsage("never".to_owned()).into()), 2);
        assert_eq!(code(&ProvisioningError::PartnerExists("acme".to_owned()).into()), 1);
        let (stored, configured) = ("a".to_owned(), "b".to_owned());
        let brand = || StoreError::OtherBrand {
            store: "s".into(),
            stored: stored.clone(),
            configured: configured.clone(),
        };
        assert_eq!(code(&brand().into()), 78);
        assert_eq!(code(&ProvisioningError::Store(brand()).into()), 78);
        assert_eq!(code(&StoreError::Older { path: "s".into() }.into()), 77);
        assert_eq!(code(&StoreError::Missing { path: "s".into() }.into()), 1);
        assert_eq!(code(&FolderError::Nowhere.into()), 1);
    }
}
