//! How much: what a request may weigh, how many may run, how often a key may call, how often an
//! address may fail. Each bound is an option of `[limits]`; nothing here knows keys or connections.

mod admit;
mod failures;
mod fields;
mod rate;

pub use admit::{Slot, Slots, check_head, declared_length};
pub use failures::Failures;
pub use fields::{API_VERSION_PREVIEW, Field, Fields};
pub use rate::{Policy, RateLimit, Spent};
