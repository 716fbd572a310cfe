//! The traits that a storage engine implements.
//!
//! An engine is one connection, used from one thread at a time; every method may wait for the disk or the
//! network. Methods take `&mut self` because a connection does one thing at a time. They fail with
//! [`StoreError`] only; the error of the engine's library is its source.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use permissions::{Credential, KeyHash, KeyId, KeyRecord, PartnerId};
use uuid::Uuid;

use super::people::{People, WritePeople};
use super::requests::{Requests, WriteRequests};
use super::sign_in::{SignIn, WriteSignIn};
use super::{Changes, KeyFilter, KeyUpdate, Node, Partner, Receipt, StoreError, StoredKey};

/// A connection to a storage engine.
pub trait Engine: Records + People + Requests + SignIn + Feed + Nodes + Send {
    /// Where the store is, for error messages.
    fn location(&self) -> String;

    /// Checks that this connection still uses the store that is at its location. Costs about a microsecond.
    ///
    /// # Errors
    /// [`StoreError::Moved`] if the store was replaced: call [`Engine::reopen`].
    fn check_current(&mut self) -> Result<(), StoreError>;

    /// Connects to the store that is at the location now. It must belong to the same installation: its keys
    /// hashed under the same server secret. Nodes must be announced again. May be retried after an error.
    fn reopen(&mut self) -> Result<(), StoreError>;

    /// Opens a second connection to the same store, for another thread. It is for writes that may be lost in a power
    /// failure: they do not wait for the disk, and block other writers for less time.
    fn connect_again(&self) -> Result<Box<dyn Engine>, StoreError>;

    /// Begins a write transaction; everything in it happens at `now`.
    fn begin(&mut self, now: Timestamp) -> Result<Box<dyn Write + '_>, StoreError>;

    /// Records when keys and app tokens were last used, in one transaction that other writers wait for. Servers do not
    /// need it, so it adds nothing to the feed.
    fn write_last_used(&mut self, used: &[(Credential, Timestamp)]) -> Result<(), StoreError>;

    /// Reads a fact about the installation.
    fn fact(&mut self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Records a fact unless there is one of this name; returns the recorded value.
    fn record_fact(&mut self, name: &str, value: &[u8]) -> Result<Vec<u8>, StoreError>;

    /// Copies the store to a new file, private to its owner and on disk before this returns. Nodes are left
    /// out, because no process serves the copy.
    fn backup_to(&mut self, path: &Path) -> Result<(), StoreError>;
}

/// Reads partners and keys, inside or outside a transaction.
pub trait Records {
    /// Whether there is no partner and no key.
    fn is_empty(&mut self) -> Result<bool, StoreError>;

    /// Every partner, by name.
    fn list_partners(&mut self) -> Result<Vec<Partner>, StoreError>;

    /// The partner of this name, or else of this id.
    fn find_partner(&mut self, name_or_id: &str) -> Result<Option<Partner>, StoreError>;

    /// The keys that pass the filter, oldest first.
    fn list_keys(&mut self, filter: &KeyFilter) -> Result<Vec<KeyRecord>, StoreError>;

    /// The key of this id.
    fn key(&mut self, id: KeyId) -> Result<Option<KeyRecord>, StoreError>;

    /// The key that replaced this one in a rotation, unless it was revoked since.
    fn successor(&mut self, id: KeyId) -> Result<Option<KeyId>, StoreError>;
}

/// How a running server learns what was written.
pub trait Feed {
    /// How many keys there are, readable or not.
    fn key_count(&mut self) -> Result<usize, StoreError>;

    /// Calls `visit` with every readable key; returns the number of the last change that they include. Rows
    /// that cannot be read are skipped with a warning. After an error, keys may be missing.
    fn each_key(&mut self, visit: &mut dyn FnMut(StoredKey)) -> Result<i64, StoreError>;

    /// Whether a change was written since the last call, by this connection or another; true on the first.
    /// It costs about a microsecond and misses nothing.
    fn changed(&mut self) -> Result<bool, StoreError>;

    /// What happened after change `number`.
    fn changes_since(&mut self, number: i64) -> Result<Changes, StoreError>;
}

/// The processes that serve, and their receipts for the changes that they have applied.
///
/// A command that revokes a key waits for the receipts of all live nodes, so that it can report when the key
/// was really refused. A process announces itself before it loads the keys: if a command finds no node, any
/// process that starts later loads what the command wrote.
pub trait Nodes {
    /// Registers a process, or updates what it listens on. It counts as live until [`Nodes::leave`], or until
    /// this connection closes: announce it on the connection that stays open as long as the process runs.
    fn announce_node(&mut self, node: &Node) -> Result<(), StoreError>;

    /// Records a heartbeat. `false` means that the node is not registered (the machine slept for a day, the
    /// store was restored) and must announce itself again.
    fn heartbeat(&mut self, node: Uuid, now: Timestamp) -> Result<bool, StoreError>;

    /// Removes a process that ends, and its receipts.
    fn leave(&mut self, node: Uuid) -> Result<(), StoreError>;

    /// The live nodes, oldest first: those whose process runs, registered or not, and where that cannot be
    /// determined, those with a heartbeat within `stale_after`.
    fn live_nodes(&mut self, now: Timestamp, stale_after: Duration) -> Result<Vec<Node>, StoreError>;

    /// Confirms that a node has applied every change up to `receipt.change`. Does nothing if the node is not
    /// registered.
    fn write_receipt(&mut self, receipt: &Receipt) -> Result<(), StoreError>;

    /// For each node that has applied `change`, the first of its receipts that covers it.
    fn receipts(&mut self, change: i64) -> Result<Vec<Receipt>, StoreError>;
}

/// A write transaction. Dropping it rolls it back; [`Write::commit`] commits it.
///
/// Each write to a key or a partner adds a row to the feed in the same transaction, so no server misses one.
pub trait Write: Records + WritePeople + WriteRequests + WriteSignIn {
    /// The time of this transaction.
    fn now(&self) -> Timestamp;

    /// Creates a partner unless there is one of this name; returns whether it did.
    fn add_partner(&mut self, id: PartnerId, name: &str) -> Result<bool, StoreError>;

    /// Renames a partner; returns whether there is such a partner. A name that is taken is a
    /// [`Failure::Conflict`](super::Failure::Conflict).
    fn rename_partner(&mut self, id: PartnerId, name: &str) -> Result<bool, StoreError>;

    /// Suspends or resumes a partner; returns whether this changed anything.
    fn set_partner_suspended(&mut self, id: PartnerId, suspended: bool) -> Result<bool, StoreError>;

    /// Removes a partner with all its keys; returns whether there was such a partner.
    fn remove_partner(&mut self, id: PartnerId) -> Result<bool, StoreError>;

    /// Creates a key. Its partner must exist.
    fn insert_key(&mut self, key: &KeyRecord, hash: &KeyHash) -> Result<(), StoreError>;

    /// Changes the settings that the update names and no others: what a newer build wrote into the rest of the
    /// row stays. Returns whether there is such a key.
    fn update_key(&mut self, id: KeyId, update: &KeyUpdate) -> Result<bool, StoreError>;

    /// Revokes a key from now on; returns whether there is such a key that was not revoked before.
    fn revoke_key(&mut self, id: KeyId) -> Result<bool, StoreError>;

    /// Reads a fact about the installation.
    fn fact(&mut self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Records a fact that may change, in place of the one of this name. It adds nothing to the feed.
    fn set_fact(&mut self, name: &str, value: &[u8]) -> Result<(), StoreError>;

    /// Commits to disk; returns the number of the last change in the feed.
    fn commit(self: Box<Self>) -> Result<i64, StoreError>;
}
