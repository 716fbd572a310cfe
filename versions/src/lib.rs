//! The dated API, declared once.
//!
//! An endpoint is a declaration ([`Endpoint`]) and its behaviour ([`Handler`]). With its types erased it is a
//! [`Route`], which dispatch, the permission check, metrics, documentation and tests read. A version is a
//! folder with a [`Release`], which lists the endpoints that it adds, changes (each with a [`Change`], so
//! that callers of the version before keep working) and removes. The [`Catalog`] folds all releases into one
//! table. Nothing here does I/O or reads a clock: what a handler may use of the process is [`Services`].

#![warn(missing_docs)]

mod caller;
mod catalog;
mod context;
pub mod docs;
mod endpoint;
mod error;
mod lifecycle;
pub mod management;
mod release;
pub mod reply;
mod request;
mod route;
mod version;

pub mod v2026_02_01;
pub mod v2026_11_01;
pub mod v2026_11_15;

pub use caller::{Caller, Credential, Person};
pub use catalog::{Catalog, CatalogError, Entry, Resource, VersionTable};
pub use context::{ConnectionInfo, Context, Instant, Protocol, ServiceFuture, Services, Tls};
pub use endpoint::{Change, Endpoint, Handler, successor};
pub use error::{Error, ErrorCode, Help};
pub use lifecycle::{Calendar, Lifecycle, LifecycleError, Schedule, VersionState, midnight};
pub use release::{Release, Removal};
pub use reply::{Body, BoxError, IntoReply, NoContent, Reply};
pub use request::{Empty, Input, has_content};
pub use route::{Action, Replaced, ReplyFuture, Route};
pub use version::{Version, VersionError};

/// Every release, oldest first; labels come before dates.
pub const RELEASES: &[Release] = &[v2026_02_01::RELEASE, v2026_11_01::RELEASE, v2026_11_15::RELEASE];
