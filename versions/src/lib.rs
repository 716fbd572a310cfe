//! What is offered: the dated API, declared once.
//!
//! An endpoint is one declaration ([`Endpoint`]) with its behaviour ([`Handler`]); erased to a row
//! ([`Route`]) it is what dispatch, the permission check, metrics and tests read. A date is a folder
//! with a [`Release`], which lists what it adds, what it changes (each a [`Change`], by which callers of
//! the date before keep working) and what it removes; the [`Catalog`] folds all of them into one table. Nothing here knows sockets,
//! HTTP libraries, clocks or stores: what a handler may ask of the process is [`Services`].

#![warn(missing_docs)]

mod caller;
mod catalog;
mod context;
pub mod docs;
mod endpoint;
mod error;
mod lifecycle;
mod release;
pub mod reply;
mod request;
mod route;
mod version;

pub mod v2026_02_01;
pub mod v2026_11_01;

pub use caller::{Caller, Credential};
pub use catalog::{Catalog, Contradiction, Entry, Resource, VersionTable};
pub use context::{Connection, Context, Instant, Protocol, Services, Tls};
pub use endpoint::{Change, Endpoint, Handler, successor};
pub use error::{Error, ErrorCode, Help};
pub use lifecycle::{Calendar, Life, Lifecycle, LifecycleError, State, midnight};
pub use release::{Release, Removal};
pub use reply::{Body, BoxError, IntoReply, NoContent, Reply};
pub use request::{Empty, Input, has_content};
pub use route::{Action, Replaced, ReplyFuture, Route};
pub use version::{Version, VersionError};

/// Every date, oldest first; a label stands before all of them.
pub const RELEASES: &[Release] = &[v2026_02_01::RELEASE, v2026_11_01::RELEASE];
