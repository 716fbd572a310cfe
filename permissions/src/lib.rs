//! Who may call: permissions, environments, keys, people and rates.
//!
//! Data and pure functions only: no I/O, no HTTP, no clock. Time and randomness are arguments, so every rule can be
//! tested at the second at which it applies.

#![warn(missing_docs)]

mod authorize;
mod environment;
mod ids;
mod key;
mod people;
mod permission;
mod rate;
mod role;

pub use authorize::{Denial, Validity};
pub use environment::{Environment, EnvironmentError, Environments};
pub use ids::{InvitationId, LinkId, MembershipId, RequestId, RoleId, SessionId, TokenId, UserId};
pub use key::{
    Brand, BrandError, KeyHash, KeyId, KeyRecord, KeySecret, Malformed, OnRetired, PartnerId, ServerSecret,
    secrets_are_equal,
};
pub use people::{AppToken, Credential, CustomRole, Identity, Membership, TokenSecret, User};
pub use permission::{ApiAccessPermission, UnknownPermission};
pub use rate::{Period, Rate, RateError};
pub use role::{BuiltInRole, RoleOf, ceiling};
