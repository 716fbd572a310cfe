//! Who may: permissions, environments, keys, and the questions that decide a call.
//!
//! Data and pure functions only. Nothing here does I/O, knows HTTP or reads a clock: time is an
//! argument, randomness is an argument, so every rule can be tested at the second where it turns.

#![warn(missing_docs)]

mod authorize;
mod environment;
mod key;
mod permission;
mod rate;

pub use authorize::{Denial, Validity};
pub use environment::{Environment, EnvironmentError, Environments};
pub use key::{
    Brand, BrandError, KeyHash, KeyId, KeyRecord, KeySecret, Malformed, OnRetired, ServerSecret,
    secrets_are_equal,
};
pub use permission::{ApiAccessPermission, UnknownPermission};
pub use rate::{Rate, RateError};
