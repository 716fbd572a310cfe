//! Who may call: permissions, environments, keys and rates.
//!
//! Data and pure functions only: no I/O, no HTTP, no clock. Time and randomness are arguments, so every rule can be
//! tested at the second at which it applies.

#![warn(missing_docs)]

mod authorize;
mod environment;
mod key;
mod permission;
mod rate;

pub use authorize::{Denial, Validity};
pub use environment::{Environment, EnvironmentError, Environments};
pub use key::{
    Brand, BrandError, KeyHash, KeyId, KeyRecord, KeySecret, Malformed, OnRetired, PartnerId, ServerSecret,
    secrets_are_equal,
};
pub use permission::{ApiAccessPermission, UnknownPermission};
pub use rate::{Period, Rate, RateError};
