//! From the declarations to what is said of them: documents for programs and words for people.
//!
//! Everything here is a pure function of the catalog. But for [`pages`], nothing depends on the day or on a
//! configuration, so that what is said of a published date can be frozen.

pub mod changelog;
pub mod changes;
mod compare;
pub mod frozen;
pub mod openapi;
pub mod pages;
pub mod parameters;
mod responses;
mod schemas;
pub mod words;

pub use changelog::{Added, Changed, ReleaseNotes, Removed, changelog};
pub use changes::{Difference, Kind, differences};
pub use frozen::{ContractStatus, contract_status};
pub use openapi::openapi;
pub use parameters::{DeclarationError, Location, Parameter, parameters};
pub use words::type_name;
