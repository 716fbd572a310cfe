//! Limits: how many requests are served at once, how often a key may call, how often an address may fail to
//! authenticate. Each is an option of `[limits]`.

mod failures;
mod rate;
mod slots;

pub use failures::Failures;
pub use rate::{Policy, RateLimit, Spent};
pub(crate) use slots::overloaded;
pub use slots::{Slot, Slots};
