//! What a storage engine answers about signing in: the sessions of browsers, one-time links, and devices that wait for
//! approval. Requests to the API need none of it, so nothing here is in the feed.

use jiff::Timestamp;
use permissions::{Environment, KeyHash, MembershipId, SessionId, UserId};

use super::StoreError;

/// The session of a browser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its id, which is no secret.
    pub id: SessionId,
    /// Who is signed in.
    pub user: UserId,
    /// When it began.
    pub created: Timestamp,
    /// When the person last proved who they are.
    pub authenticated: Timestamp,
    /// When it was last used, to the minute.
    pub last_seen: Timestamp,
    /// When it ends, however it is used.
    pub expires: Timestamp,
    /// What the browser calls itself.
    pub agent: String,
    /// The address from which it began.
    pub address: String,
}

/// What became of a device that asked for approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceState {
    /// Nobody has decided.
    Pending,
    /// A person has approved it.
    Approved(Approval),
    /// A person has denied it.
    Denied,
    /// It has its token.
    Issued,
}

/// The approval of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Approval {
    /// The member for whom the device will act.
    pub membership: MembershipId,
    /// In which environment.
    pub environment: Environment,
    /// When the person authenticated.
    pub authenticated: Timestamp,
}

/// A device that asked for approval (RFC 8628).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceAuthorization {
    /// The keyed hash of its device code.
    pub hash: KeyHash,
    /// The keyed hash of its user code.
    pub user_code_hash: KeyHash,
    /// What the app calls itself.
    pub app: String,
    /// What the app calls the device.
    pub device: String,
    /// The address from which it asked.
    pub address: String,
    /// When it asked.
    pub created: Timestamp,
    /// When its codes end.
    pub expires: Timestamp,
    /// Seconds that it waits between two polls.
    pub interval_seconds: u32,
    /// The last poll that was not too early.
    pub polled: Option<Timestamp>,
    /// What became of it.
    pub state: DeviceState,
}

/// Reads sessions and devices, inside or outside a transaction.
pub trait SignIn {
    /// The session whose id has this hash, if its user is a member of any organization.
    fn find_session(&mut self, hash: &KeyHash) -> Result<Option<Session>, StoreError>;

    /// The sessions of a user, the oldest first.
    fn list_sessions(&mut self, user: UserId) -> Result<Vec<Session>, StoreError>;

    /// The device whose device code has this hash.
    fn find_device(&mut self, hash: &KeyHash) -> Result<Option<DeviceAuthorization>, StoreError>;

    /// The device whose user code has this hash.
    fn find_device_by_user_code(&mut self, hash: &KeyHash)
    -> Result<Option<DeviceAuthorization>, StoreError>;

    /// How many devices have codes that are valid still, and how many of them asked from this address.
    fn count_devices(&mut self, address: &str, now: Timestamp) -> Result<[i64; 2], StoreError>;
}

/// Writes sessions and devices, in a transaction.
pub trait WriteSignIn: SignIn {
    /// Adds a session.
    fn insert_session(&mut self, session: &Session, hash: &KeyHash) -> Result<(), StoreError>;

    /// Notes that a session is in use now.
    fn touch_session(&mut self, id: SessionId) -> Result<(), StoreError>;

    /// Ends a session; returns whether there was one.
    fn remove_session(&mut self, id: SessionId) -> Result<bool, StoreError>;

    /// Removes sessions that have ended: those that expired, and those that were not used since `idle_since`.
    fn sweep_sessions(&mut self, idle_since: Timestamp) -> Result<(), StoreError>;

    /// Adds a device; `false` where another has its user code.
    fn insert_device(&mut self, device: &DeviceAuthorization) -> Result<bool, StoreError>;

    /// Sets what polls and people change of a device: interval, last poll and state.
    fn update_device(&mut self, device: &DeviceAuthorization) -> Result<(), StoreError>;

    /// Removes devices whose codes ended before this time.
    fn sweep_devices(&mut self, before: Timestamp) -> Result<(), StoreError>;
}
