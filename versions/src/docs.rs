//! Documentation generated from the declarations, for programs and for people.
//!
//! Everything here is a pure function of the catalog. Except for [`pages`], nothing depends on the current
//! day or on a configuration, so that the contract of a published date can be frozen.

pub mod changelog;
pub mod changes;
mod compare;
pub mod frozen;
pub mod openapi;
pub mod pages;
pub mod parameters;
mod responses;
mod schemas;
pub mod type_names;

pub use changelog::{Added, Changed, ReleaseNotes, Removed, changelog};
pub use changes::{Difference, Kind, differences};
pub use frozen::{ContractStatus, contract_status};
pub use openapi::openapi;
pub use parameters::{DeclarationError, Location, Parameter, parameters};
pub use type_names::type_name;
