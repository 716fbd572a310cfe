//! What the store holds: partners, keys, changes, nodes and their receipts.

use ipnet::IpNet;
use jiff::Timestamp;
use permissions::{ApiAccessPermission, Environment, KeyHash, KeyId, KeyRecord, OnRetired, PartnerId, Rate};
use serde::Serialize;
use uuid::Uuid;

/// A key as it is stored: its record, and the hash it is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// Everything but its secret.
    pub record: KeyRecord,
    /// The keyed hash of its secret.
    pub hash: KeyHash,
}

/// A partner, with the number of its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Partner {
    /// Names it, whatever its name.
    pub id: PartnerId,
    /// Its name, which no other partner has.
    pub name: String,
    /// When it was made.
    pub created: Timestamp,
    /// Since when it is suspended: none of its keys is accepted.
    pub suspended: Option<Timestamp>,
    /// How many keys it has, revoked ones included.
    pub keys: u32,
}

/// Which keys to list; the default is all of them.
#[derive(Clone, Debug, Default)]
pub struct KeyFilter {
    /// Only this partner's.
    pub partner: Option<PartnerId>,
    /// Only this environment's.
    pub environment: Option<Environment>,
}

/// What to change of a key. `None` leaves a setting as it is, `Some(None)` clears it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyUpdate {
    /// What it may do.
    pub permissions: Option<ApiAccessPermission>,
    /// The networks it may be used from; empty means any.
    pub allow: Option<Vec<IpNet>>,
    /// When it becomes valid.
    pub not_before: Option<Option<Timestamp>>,
    /// When it expires.
    pub expires: Option<Option<Timestamp>>,
    /// Its rate limit.
    pub rate: Option<Option<Rate>>,
    /// What its holder calls it.
    pub name: Option<String>,
    /// How its calls to a retired version are handled.
    pub on_retired: Option<OnRetired>,
}

/// What changed since a change number.
#[derive(Debug, Default)]
pub struct Changes {
    /// The last change included: the number to ask from the next time.
    pub last: i64,
    /// The keys that were written, and those of every partner that was.
    pub keys: Changed<KeyId, StoredKey>,
    /// The partners that were written.
    pub partners: Changed<PartnerId, Partner>,
    /// The feed no longer reaches back to the number: load every key again.
    pub gap: bool,
}

/// What changed of one kind.
#[derive(Debug, PartialEq, Eq)]
pub struct Changed<Id, T> {
    /// What was written, as it is now; each once.
    pub written: Vec<T>,
    /// What is gone or can no longer be read.
    pub removed: Vec<Id>,
}

impl<Id, T> Default for Changed<Id, T> {
    fn default() -> Self {
        Self { written: Vec::new(), removed: Vec::new() }
    }
}

/// A server process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Drawn at random by each process.
    pub id: Uuid,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub started: Timestamp,
    /// Its last sign of life.
    pub heartbeat: Timestamp,
    /// What it listens on, in the form of the ready file.
    pub listeners: serde_json::Value,
}

/// Confirms that a node has applied every change up to this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// The node.
    pub node: Uuid,
    /// The last change that it has applied.
    pub change: i64,
    /// When it had applied it.
    pub applied_at: Timestamp,
    /// How many connections it closed for it.
    pub connections_closed: u32,
}

/// A moment as the store keeps it: to the microsecond.
#[must_use]
pub fn to_stored_precision(moment: Timestamp) -> Timestamp {
    from_microseconds(moment.as_microsecond()).unwrap_or(moment)
}

/// Unlike `Timestamp::from_microsecond`, this also takes the last second of the calendar, so whatever
/// `as_microsecond` gave reads back.
pub(super) fn from_microseconds(microseconds: i64) -> Result<Timestamp, jiff::Error> {
    let nanoseconds = microseconds.rem_euclid(1_000_000) * 1_000;
    Timestamp::new(microseconds.div_euclid(1_000_000), i32::try_from(nanoseconds).unwrap_or_default())
}
