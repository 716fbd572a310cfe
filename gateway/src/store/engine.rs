//! The questions that may be asked of a storage engine, in the store's words.
//!
//! An engine is one connection, used from one thread at a time; every method may wait for the disk or
//! the network. Methods take `&mut self` because a connection does one thing at a time. All of them
//! fail with [`StoreError`] alone: what the engine's library says is its source.

use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use permissions::{KeyHash, KeyId, KeyRecord, PartnerId};
use uuid::Uuid;

use super::{Changes, KeyFilter, KeyUpdate, Node, Partner, Receipt, StoreError, StoredKey};

/// A connection to a storage engine.
pub trait Engine: Records + Feed + Nodes + Send {
    /// Where the store is, for messages.
    fn location(&self) -> String;

    /// Whether this connection still leads to the store that is at its place. Costs about a microsecond.
    ///
    /// # Errors
    /// [`StoreError::Moved`] where it does not: see [`Engine::reopen`].
    fn check_current(&mut self) -> Result<(), StoreError>;

    /// Connects anew to the store that is at its place now. It must be of the same installation: made under
    /// the same server secret. Nodes have to be announced again. After an error, it may be tried again.
    fn reopen(&mut self) -> Result<(), StoreError>;

    /// A second connection to the same store, for another thread. It is for what may be lost where the power fails: its
    /// writes do not wait for the disk, and hold up those of others for less time.
    fn connect_again(&self) -> Result<Box<dyn Engine>, StoreError>;

    /// Begins a transaction that writes; `now` is the moment of everything in it.
    fn begin(&mut self, now: Timestamp) -> Result<Box<dyn Write + '_>, StoreError>;

    /// Records when keys were last used, in one transaction: others wait as long as it takes. Servers need
    /// not hear of it, so it is no change.
    fn write_last_used(&mut self, used: &[(KeyId, Timestamp)]) -> Result<(), StoreError>;

    /// A fact about the installation.
    fn fact(&mut self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Records a fact unless there is one of this name; returns what is recorded then.
    fn record_fact(&mut self, name: &str, value: &[u8]) -> Result<Vec<u8>, StoreError>;

    /// Copies the store to a new file, private to its owner and on disk before this returns. Nodes are
    /// left out: nobody serves the copy.
    fn backup_to(&mut self, path: &Path) -> Result<(), StoreError>;
}

/// Reading partners and keys, inside a transaction or outside.
pub trait Records {
    /// Whether no partner and no key was ever made.
    fn is_empty(&mut self) -> Result<bool, StoreError>;

    /// Every partner, by name.
    fn list_partners(&mut self) -> Result<Vec<Partner>, StoreError>;

    /// The partner of this name, or else of this id.
    fn find_partner(&mut self, name_or_id: &str) -> Result<Option<Partner>, StoreError>;

    /// The keys that pass the filter, oldest first.
    fn list_keys(&mut self, filter: &KeyFilter) -> Result<Vec<KeyRecord>, StoreError>;

    /// The key of this id.
    fn key(&mut self, id: KeyId) -> Result<Option<KeyRecord>, StoreError>;

    /// The key that replaced this one in a rotation, if any, and was not revoked since.
    fn successor(&mut self, id: KeyId) -> Result<Option<KeyId>, StoreError>;
}

/// How a running server learns what was written.
pub trait Feed {
    /// How many keys there are, readable or not.
    fn key_count(&mut self) -> Result<usize, StoreError>;

    /// Hands every readable key to `visit`; returns the last change that they include. Rows that cannot
    /// be read are left out with a warning. After an error, keys may be missing.
    fn each_key(&mut self, visit: &mut dyn FnMut(StoredKey)) -> Result<i64, StoreError>;

    /// Whether a change was written since the last call, by this connection or another; true on the first.
    /// It costs about a microsecond and misses nothing.
    fn changed(&mut self) -> Result<bool, StoreError>;

    /// What happened after change `number`.
    fn changes_since(&mut self, number: i64) -> Result<Changes, StoreError>;
}

/// The processes that serve, and their receipts for the changes that they have applied.
///
/// A command that revokes a key finds here who serves, and waits for their receipts, so that it can say
/// when the key was really refused. A process announces itself before it loads the keys: a command that
/// finds nobody then knows that later processes load what it wrote.
pub trait Nodes {
    /// Registers a process, or updates what it listens on. It counts as live until [`Nodes::leave`], or
    /// until this connection is gone: announce it on the connection that lives as long as the process.
    fn announce_node(&mut self, node: &Node) -> Result<(), StoreError>;

    /// Records a sign of life. `false` means that the node is not registered (the machine slept for a
    /// day, the store was restored): it must announce itself again.
    fn heartbeat(&mut self, node: Uuid, now: Timestamp) -> Result<bool, StoreError>;

    /// Removes a process that ends, and its receipts.
    fn leave(&mut self, node: Uuid) -> Result<(), StoreError>;

    /// The live nodes, the oldest first: those whose process is known to run, registered or not, and where
    /// that cannot be found out, those with a heartbeat within `stale_after`.
    fn live_nodes(&mut self, now: Timestamp, stale_after: Duration) -> Result<Vec<Node>, StoreError>;

    /// Confirms that a node has applied every change up to `receipt.change`. Nothing happens where the
    /// node is not registered.
    fn write_receipt(&mut self, receipt: &Receipt) -> Result<(), StoreError>;

    /// For each node that has applied `change`, the first of its receipts that covers it.
    fn receipts(&mut self, change: i64) -> Result<Vec<Receipt>, StoreError>;
}

/// A transaction that writes. Dropping it undoes everything; [`Write::commit`] keeps it.
///
/// Each write to a key or a partner adds a row to the feed in the same transaction, so no server misses one.
pub trait Write: Records {
    /// The moment of this transaction.
    fn now(&self) -> Timestamp;

    /// Makes a partner unless there is one of this name; says whether it is new.
    fn add_partner(&mut self, id: PartnerId, name: &str) -> Result<bool, StoreError>;

    /// Renames a partner; says whether there is such a partner. A name that is taken is a
    /// [`Failure::Conflict`](super::Failure::Conflict).
    fn rename_partner(&mut self, id: PartnerId, name: &str) -> Result<bool, StoreError>;

    /// Suspends a partner from now on, or ends that; says whether this changed anything.
    fn set_partner_suspended(&mut self, id: PartnerId, suspended: bool) -> Result<bool, StoreError>;

    /// Removes a partner with all its keys; says whether there was such a partner.
    fn remove_partner(&mut self, id: PartnerId) -> Result<bool, StoreError>;

    /// Makes a key. Its partner must exist.
    fn insert_key(&mut self, key: &KeyRecord, hash: &KeyHash) -> Result<(), StoreError>;

    /// Changes the settings that the update names, and no other: what a newer build wrote into the rest
    /// of the row stays. Says whether there is such a key.
    fn update_key(&mut self, id: KeyId, update: &KeyUpdate) -> Result<bool, StoreError>;

    /// Revokes a key from now on; says whether there is such a key that was not revoked before.
    fn revoke_key(&mut self, id: KeyId) -> Result<bool, StoreError>;

    /// Has everything on disk; returns the number of the last change there is.
    fn commit(self: Box<Self>) -> Result<i64, StoreError>;
}
