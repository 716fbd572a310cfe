//! From the declarations to what is said of them: documents for programs and words for people.
//!
//! Everything here is a pure function of the catalog. Nothing depends on the day or on a
//! configuration, so that what is said of a published date can be frozen.

pub mod changelog;
pub mod changes;
mod compare;
pub mod frozen;
pub mod openapi;
pub mod parameters;
mod responses;
pub mod words;

pub use changelog::{Added, Changed, News, Removed, changelog};
pub use changes::{Difference, Kind, differences};
pub use frozen::{Standing, standing};
pub use openapi::openapi;
pub use parameters::{Mismatch, Parameter, Place, parameters};
pub use words::type_in_words;
