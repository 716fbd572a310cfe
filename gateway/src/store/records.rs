//! The records of the store: partners, keys, changes, nodes and their receipts. Those of people are in `people.rs`.

use ipnet::IpNet;
use jiff::Timestamp;
use permissions::{
    ApiAccessPermission, CustomRole, Environment, Identity, KeyHash, KeyId, KeyRecord, MembershipId,
    OnRetired, PartnerId, Rate, RoleId, TokenId, UserId, ceiling,
};
use serde::Serialize;
use uuid::Uuid;

use super::people::{Member, StoredToken};

/// A key as it is stored: its record, and the hash by which it is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    /// Everything but the hash.
    pub record: KeyRecord,
    /// The keyed hash of its secret.
    pub hash: KeyHash,
}

/// A partner, with the number of its keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Partner {
    /// Its id, which stays when it is renamed.
    pub id: PartnerId,
    /// Its name, which no other partner has.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// Since when it has been suspended: while it is, none of its keys is accepted.
    pub suspended: Option<Timestamp>,
    /// How many keys it has, revoked ones included.
    pub keys: u32,
    /// Whether it is the operator's own organization.
    pub is_operator: bool,
    /// What it was granted in each environment; `None` where an older build made it: then its keys are bounded by their
    /// own permissions only.
    pub granted: Granted,
}

/// What an organization was granted in each environment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Granted {
    /// In staging.
    pub staging: Option<ApiAccessPermission>,
    /// In production.
    pub production: Option<ApiAccessPermission>,
}

impl Granted {
    /// What it was granted in this environment.
    #[must_use]
    pub const fn of(&self, environment: Environment) -> Option<ApiAccessPermission> {
        match environment {
            Environment::Staging => self.staging,
            Environment::Production => self.production,
        }
    }
}

impl Partner {
    /// What no key, role or member of it exceeds in this environment.
    #[must_use]
    pub fn ceiling(&self, environment: Environment) -> ApiAccessPermission {
        ceiling(self.is_operator, self.granted.of(environment))
    }
}

/// Which keys to list; the default is all of them.
#[derive(Clone, Debug, Default)]
pub struct KeyFilter {
    /// Only keys of this partner.
    pub partner: Option<PartnerId>,
    /// Only keys of this environment.
    pub environment: Option<Environment>,
    /// Only keys whose ids follow this one.
    pub after: Option<String>,
    /// At most this many.
    pub count: Option<usize>,
}

/// Changes to a key. `None` leaves a setting as it is, `Some(None)` clears it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyUpdate {
    /// Its permissions.
    pub permissions: Option<ApiAccessPermission>,
    /// The networks it may be used from; empty means any.
    pub allow: Option<Vec<IpNet>>,
    /// When it becomes valid.
    pub not_before: Option<Option<Timestamp>>,
    /// When it expires.
    pub expires: Option<Option<Timestamp>>,
    /// Its rate limit.
    pub rate: Option<Option<Rate>>,
    /// Its name.
    pub name: Option<String>,
    /// How its calls to a retired version are handled.
    pub on_retired: Option<OnRetired>,
}

/// What changed since a change number.
#[derive(Debug, Default)]
pub struct Changes {
    /// The last change included: where the next call continues.
    pub last: i64,
    /// The keys that were written, and those of every partner that was.
    pub keys: Changed<KeyId, StoredKey>,
    /// The partners that were written.
    pub partners: Changed<PartnerId, Partner>,
    /// The app tokens that were written.
    pub tokens: Changed<TokenId, StoredToken>,
    /// The users whose identities were written, with those that they have now.
    pub users: Changed<UserId, (UserId, Vec<Identity>)>,
    /// The memberships that were written.
    pub members: Changed<MembershipId, Member>,
    /// The organizations' own roles that were written.
    pub roles: Changed<RoleId, CustomRole>,
    /// The feed no longer reaches back to the number: load every key again.
    pub gap: bool,
}

/// Changes to records of one kind.
#[derive(Debug, PartialEq, Eq)]
pub struct Changed<Id, T> {
    /// Records that were written, as they are now, each once.
    pub written: Vec<T>,
    /// Ids of records that were removed or can no longer be read.
    pub removed: Vec<Id>,
}

impl<Id, T> Changed<Id, T> {
    /// Whether nothing of this kind changed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.written.is_empty() && self.removed.is_empty()
    }
}

impl<Id, T> Default for Changed<Id, T> {
    fn default() -> Self {
        Self { written: Vec::new(), removed: Vec::new() }
    }
}

/// A server process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Random; each process draws its own.
    pub id: Uuid,
    /// Its process id.
    pub pid: u32,
    /// When it started.
    pub started: Timestamp,
    /// Its last heartbeat.
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

/// Truncates a time to the store's precision, microseconds.
#[must_use]
pub fn to_stored_precision(moment: Timestamp) -> Timestamp {
    from_microseconds(moment.as_microsecond()).unwrap_or(moment)
}

/// Unlike `Timestamp::from_microsecond`, this also accepts the last second of the calendar, so everything that
/// `as_microsecond` returns reads back.
pub(super) fn from_microseconds(microseconds: i64) -> Result<Timestamp, jiff::Error> {
    let nanoseconds = microseconds.rem_euclid(1_000_000) * 1_000;
    Timestamp::new(microseconds.div_euclid(1_000_000), i32::try_from(nanoseconds).unwrap_or_default())
}
