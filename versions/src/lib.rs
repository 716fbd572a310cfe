//! What is offered: the dated API, declared once.
//!
//! An endpoint is one declaration ([`Endpoint`]) with its behaviour ([`Handler`]); erased to a row
//! ([`Route`]) it is what dispatch, the permission check, metrics and tests read. A date is a folder
//! with a [`Release`]; the [`Catalog`] folds all of them into one table. Nothing here knows sockets,
//! HTTP libraries, clocks or stores: what a handler may ask of the process is [`Services`].

#![warn(missing_docs)]

mod catalog;
mod context;
mod endpoint;
mod error;
mod release;
mod route;

pub mod v2026_02_01;

pub use catalog::{Catalog, Contradiction, Entry, Resource, VersionTable};
pub use context::{Context, Protocol, Services};
pub use endpoint::{Endpoint, Handler};
pub use error::{Error, ErrorCode, Help};
pub use release::{Release, Version, VersionError};
pub use route::{Action, Answer, Route};

/// Every date, oldest first.
pub const RELEASES: &[Release] = &[v2026_02_01::RELEASE];
