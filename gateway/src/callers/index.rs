//! The index of all credentials in memory: partner keys and app tokens. Requests look one up by the hash of what was
//! presented. What is said of keys here holds for tokens too, but that the rights of a token are its member's.
//!
//! A look-up takes no lock and does not touch the store. A change replaces a key's entry and keeps its usage
//! (spent rate, last use, the connections that it was used on). When a key loses rights, the connections that
//! used it are closed here, and a connection that is added a moment later closes itself.
//!
//! A cache that remembers a key compares the index's [`KeyIndex::generation`] with each request: any change
//! of any key begins a new generation, and the key is looked up again.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};

use ipnet::IpNet;
use jiff::Timestamp;
use permissions::{
    ApiAccessPermission, AppToken, Credential, Denial, Environment, Environments, KeyHash, KeyRecord,
    MembershipId, OnRetired, PartnerId, Rate, Validity,
};
use versions::Person;

use super::people::{Member, People};
use crate::limits::{Policy, RateLimit};
use crate::store::StoredKey;
use crate::store::people::StoredToken;
use crate::transport::{Close, Peer};

/// A key as requests use it: only the settings that decide about a call.
#[derive(Clone)]
pub struct Key {
    /// Its id, for logs.
    pub credential: Credential,
    /// Its environment.
    pub environment: Environment,
    /// Keys with the same rights share it, to keep entries small.
    owner: Arc<Owner>,
    /// Its rate limit.
    pub rate_limit: RateLimit,
    /// Whether the successor answers this key's calls to a retired version.
    pub forwards_retired: bool,
    rate_is_default: bool,
    revoked: bool,
    suspended: bool,
    /// Most keys have none, so they are boxed to keep entries small.
    bounds: Option<Box<Bounds>>,
    usage: Arc<Usage>,
}

/// Whose rights a credential has.
enum Owner {
    /// It is an organization's key: it has rights of its own, within what the organization was granted.
    Organization(PartnerId, ApiAccessPermission),
    /// It is a person's: it has the rights of the member now.
    Member { member: Arc<Member>, authenticated: Timestamp },
}

/// When a key is valid and from which networks.
#[derive(Clone, PartialEq, Eq)]
struct Bounds {
    not_before: Option<Timestamp>,
    expires: Option<Timestamp>,
    allow: Vec<IpNet>,
}

/// Valid at any time, from any network.
const NO_BOUNDS: Bounds = Bounds { not_before: None, expires: None, allow: Vec::new() };

/// The usage of a key, kept through its changes.
struct Usage {
    /// Unique in the process; never 0.
    number: u64,
    /// Unix seconds; 0 is never.
    last_used: AtomicI64,
    /// Requests that are being served.
    open_requests: AtomicU32,
    /// Most keys are idle: they have no map.
    connections: Mutex<Option<Box<KeyConnections>>>,
}

/// The connections that a key was used on.
enum KeyConnections {
    Open(HashMap<u64, Weak<Peer>>),
    /// The key is refused: a connection that is added is closed.
    Refused,
}

/// Above this size, a key's map is searched for connections that have ended.
const CONNECTIONS_SWEEP_SIZE: usize = 64;

impl Key {
    /// Its effective permissions.
    #[must_use]
    pub fn permissions(&self) -> ApiAccessPermission {
        match &*self.owner {
            Owner::Organization(_, permissions) => *permissions,
            Owner::Member { member, .. } => member.permissions(self.environment),
        }
    }

    /// The organization that it acts for.
    #[must_use]
    pub fn organization(&self) -> PartnerId {
        match &*self.owner {
            Owner::Organization(organization, _) => *organization,
            Owner::Member { member, .. } => member.organization,
        }
    }

    /// The person who acts with it; none where it is an organization's key.
    #[must_use]
    pub fn person(&self) -> Option<Person> {
        match &*self.owner {
            Owner::Organization(..) => None,
            Owner::Member { member, authenticated } => {
                Some(Person { user: member.user, membership: member.id, authenticated: *authenticated })
            }
        }
    }

    /// Checks that it is valid at `now`, from `address`, on a listener that serves `environments`.
    ///
    /// # Errors
    /// The first reason to refuse it.
    pub fn check(&self, now: Timestamp, address: IpAddr, environments: Environments) -> Result<(), Denial> {
        let Bounds { not_before, expires, ref allow } = *self.bounds();
        let of_owner = match &*self.owner {
            Owner::Organization(..) => Ok(()),
            Owner::Member { member, .. } => member.check(),
        };
        of_owner?;
        Validity {
            revoked: self.revoked,
            suspended: self.suspended,
            not_before,
            expires,
            allow,
            environment: self.environment,
        }
        .check(now, address, environments)
    }

    /// Whether it is refused everywhere, so that no connection may keep using it.
    fn is_refused(&self) -> bool {
        self.revoked || self.suspended || self.member().is_some_and(|member| member.is_refused())
    }

    fn member(&self) -> Option<&Arc<Member>> {
        match &*self.owner {
            Owner::Organization(..) => None,
            Owner::Member { member, .. } => Some(member),
        }
    }

    fn bounds(&self) -> &Bounds {
        self.bounds.as_deref().unwrap_or(const { &NO_BOUNDS })
    }

    /// Records that it was used, and on which connection. Takes a lock only if the connection's last key was
    /// another one.
    pub fn record_use(&self, now: Timestamp, peer: &Arc<Peer>) {
        // Compared first, because each write moves the cache line between workers.
        if self.usage.last_used.load(Ordering::Relaxed) != now.as_second() {
            self.usage.last_used.store(now.as_second(), Ordering::Relaxed);
        }
        // Requests of one connection run on one worker; only a revocation writes it from elsewhere.
        if peer.last_key.load(Ordering::Relaxed) != self.usage.number {
            peer.last_key.store(self.usage.number, Ordering::Relaxed);
            peer.mark_authenticated();
            self.usage.connect(peer);
        }
    }

    /// Counts a request that starts; returns how many were open before.
    pub fn begin_request(&self) -> usize {
        self.usage.open_requests.fetch_add(1, Ordering::Relaxed) as usize
    }

    /// Counts a request that has ended.
    pub fn end_request(&self) {
        self.usage.open_requests.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether it may be used from some networks only.
    pub fn has_networks(&self) -> bool {
        !self.bounds().allow.is_empty()
    }

    /// Whether `next` allows less than this at `now`. A future expiry does not count, because each request
    /// checks it.
    fn is_narrowed_by(&self, next: &Self, now: Timestamp) -> bool {
        let Bounds { not_before, expires, allow } = next.bounds();
        let over = expires.is_some_and(|expires| expires <= now);
        let ahead = not_before.is_some_and(|not_before| not_before > now);
        next.is_refused()
            || over
            || ahead
            || !next.permissions().contains(self.permissions())
            || (*allow != self.bounds().allow && !allow.is_empty())
    }
}

impl Usage {
    fn connections(&self) -> MutexGuard<'_, Option<Box<KeyConnections>>> {
        // Nothing that can panic runs under the lock.
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(&self, peer: &Arc<Peer>) {
        let mut connections = self.connections();
        let used_on =
            connections.get_or_insert_with(|| Box::new(KeyConnections::Open(HashMap::with_capacity(1))));
        match &mut **used_on {
            KeyConnections::Refused => peer.close(Close::Revoked),
            KeyConnections::Open(peers) => {
                if peers.len() >= CONNECTIONS_SWEEP_SIZE && peers.len() == peers.capacity() {
                    peers.retain(|_, peer| peer.strong_count() > 0);
                }
                peers.insert(peer.number, Arc::downgrade(peer));
            }
        }
    }

    /// As [`Self::accept_connections`], where it is not clear that the credential was refused.
    fn reopen(&self) {
        self.connections().take_if(|used_on| matches!(**used_on, KeyConnections::Refused));
    }

    /// The key is accepted again: connections may use it.
    fn accept_connections(&self) {
        *self.connections() = None;
    }

    /// Closes the connections that the key was used on; returns how many were still open.
    fn close_connections(&self, refused: bool) -> usize {
        let after = refused.then(|| Box::new(KeyConnections::Refused));
        let before = std::mem::replace(&mut *self.connections(), after);
        let Some(KeyConnections::Open(peers)) = before.map(|used_on| *used_on) else { return 0 };
        let open = peers.values().filter_map(Weak::upgrade);
        open.map(|peer| {
            // The connection may use the key again, and then must be added again.
            peer.last_key.store(0, Ordering::Relaxed);
            peer.close(Close::Revoked);
        })
        .count()
    }
}

/// A hasher for [`KeyHash`], which is uniformly distributed already and writes eight bytes of itself.
#[derive(Default)]
struct DigestHasher(u64);

impl Hasher for DigestHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // `KeyHash` does not call this; folding keeps any other use correct, if slow.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, digest: u64) {
        self.0 = digest;
    }
}

/// All keys of the process.
pub struct KeyIndex {
    keys: papaya::HashMap<KeyHash, Arc<Key>, BuildHasherDefault<DigestHasher>>,
    /// The rate of keys without one. Only changes and reloads read and write it.
    default_rate: RwLock<Arc<Policy>>,
    /// What a person's sessions at a provider share: the rate, and the connections that they are used on.
    sessions: papaya::HashMap<(MembershipId, Environment), Arc<Key>>,
    people: People,
    numbers: AtomicU64,
    count: AtomicUsize,
    generation: AtomicU64,
    /// Held while entries change, never by a request: a reload must not write back an entry that a revocation
    /// has just replaced.
    changing: Mutex<Owners>,
}

/// The rights that keys share.
type Owners = HashMap<(PartnerId, ApiAccessPermission), Arc<Owner>>;

impl KeyIndex {
    /// Creates an empty index.
    #[must_use]
    pub fn new(default_rate: Rate) -> Self {
        Self {
            keys: papaya::HashMap::default(),
            default_rate: RwLock::new(Policy::new(default_rate)),
            sessions: papaya::HashMap::default(),
            people: People::default(),
            numbers: AtomicU64::new(1),
            count: AtomicUsize::new(0),
            generation: AtomicU64::new(0),
            changing: Mutex::default(),
        }
    }

    /// Reserves room for this many keys at once: a table that grows keeps the smaller ones in memory for a
    /// while.
    pub fn reserve(&self, keys: usize) {
        self.keys.pin().reserve(keys);
    }

    /// Finds the key with this hash, whatever its state.
    #[must_use]
    pub fn find(&self, hash: &KeyHash) -> Option<Arc<Key>> {
        self.keys.pin().get(hash).cloned()
    }

    /// What all sessions of a member in an environment share. There are at most two for each member.
    #[must_use]
    pub fn session_of(&self, member: &Arc<Member>, environment: Environment) -> Arc<Key> {
        let sessions = self.sessions.pin();
        Arc::clone(sessions.get_or_insert_with((member.id, environment), || {
            Arc::new(Key {
                credential: Credential::Session(member.user),
                environment,
                owner: Arc::new(Owner::Member {
                    member: Arc::clone(member),
                    authenticated: Timestamp::UNIX_EPOCH,
                }),
                rate_limit: RateLimit::new(self.default_policy()),
                forwards_retired: false,
                rate_is_default: true,
                revoked: false,
                suspended: false,
                bounds: None,
                usage: self.usage(None),
            })
        }))
    }

    /// A number that every change increases. A key that was looked up after reading it is current as long as
    /// the number stays the same.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Called after the entries are changed, so that a reader of the new number finds the new entries.
    fn begin_generation(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// The number of keys, in any state.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// The members of all organizations, whose rights the credentials of people have. After a change of theirs call
    /// [`Self::people_changed`].
    pub const fn people(&self) -> &People {
        &self.people
    }

    /// Makes every request look its credential up again, and closes the connections of people who are no longer
    /// accepted; returns how many.
    pub fn people_changed(&self) -> usize {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.begin_generation();
        let keys = self.keys.pin();
        let sessions = self.sessions.pin();
        let mut closed = 0;
        for key in keys.values().chain(sessions.values()) {
            let Some(member) = key.member() else { continue };
            if member.is_refused() {
                closed += key.usage.close_connections(true);
            } else if !key.revoked {
                key.usage.reopen();
            }
        }
        // A member who was removed does not come back with this membership.
        sessions.retain(|_, key| key.member().is_none_or(|member| member.check() != Err(Denial::NotAMember)));
        closed
    }

    /// Applies a key from the store at `now`; returns how many connections this closed.
    pub fn apply(&self, stored: &StoredKey, now: Timestamp) -> usize {
        self.put(&stored.hash, now, |before, owners| self.build(&stored.record, before, owners))
    }

    /// Applies an app token from the store at `now`, after its member; returns how many connections this closed. A
    /// token without a member is refused.
    pub fn apply_token(&self, stored: &StoredToken, now: Timestamp) -> usize {
        match self.people.member(stored.record.membership) {
            Some(member) => {
                self.put(&stored.hash, now, |before, _| self.build_token(&stored.record, member, before))
            }
            None => self.remove(&HashSet::from([Credential::Token(stored.record.id)])),
        }
    }

    fn put(
        &self,
        hash: &KeyHash,
        now: Timestamp,
        build: impl FnOnce(Option<&Arc<Key>>, &mut Owners) -> Key,
    ) -> usize {
        let mut owners = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = self.keys.pin();
        let before = keys.get(hash);
        let key = Arc::new(build(before, &mut owners));
        let refused = key.is_refused();
        let was_refused = before.is_some_and(|before| before.is_refused());
        let narrowed = before.is_some_and(|before| before.is_narrowed_by(&key, now));
        let usage = Arc::clone(&key.usage);
        if keys.insert(*hash, key).is_none() {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        self.begin_generation();
        // After the entry is replaced: a client that reconnects must not find the old key.
        if narrowed || refused {
            usage.close_connections(refused)
        } else {
            if was_refused {
                usage.accept_connections();
            }
            0
        }
    }

    /// Removes keys that are gone or cannot be read; returns how many connections this closed. It scans every
    /// key, so several are best removed at once.
    pub fn remove(&self, ids: &HashSet<Credential>) -> usize {
        if ids.is_empty() { 0 } else { self.remove_where(|key| ids.contains(&key.credential)) }
    }

    /// Removes every key but these; returns how many connections this closed.
    pub fn retain(&self, kept: &HashSet<Credential>) -> usize {
        self.remove_where(|key| !kept.contains(&key.credential))
    }

    fn remove_where(&self, gone: impl Fn(&Key) -> bool) -> usize {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = self.keys.pin();
        let mut closed = 0;
        for (hash, key) in keys.iter().filter(|(_, key)| gone(key)) {
            let usage = Arc::clone(&key.usage);
            if keys.remove(hash).is_some() {
                self.count.fetch_sub(1, Ordering::Relaxed);
            }
            self.begin_generation();
            closed += usage.close_connections(true);
        }
        closed
    }

    /// Sets the rate of all keys without one.
    pub fn set_default_rate(&self, rate: Rate) {
        if self.default_policy().rate == rate {
            return;
        }
        let policy = Policy::new(rate);
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        *self.default_rate.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&policy);
        let keys = self.keys.pin();
        // Made anew when they are next used.
        self.sessions.pin().clear();
        for (hash, key) in keys.iter().filter(|(_, key)| key.rate_is_default) {
            let key = Key { rate_limit: RateLimit::new(Arc::clone(&policy)), ..Key::clone(key) };
            keys.insert(*hash, Arc::new(key));
        }
        self.begin_generation();
    }

    /// The keys that were used since `since`, with the second of their last use.
    #[must_use]
    pub fn used_since(&self, since: Timestamp) -> Vec<(Credential, Timestamp)> {
        let keys = self.keys.pin();
        keys.values()
            .filter_map(|key| {
                let second = key.usage.last_used.load(Ordering::Relaxed);
                (second != 0 && second >= since.as_second())
                    .then(|| Some((key.credential, Timestamp::from_second(second).ok()?)))
                    .flatten()
            })
            .collect()
    }

    fn default_policy(&self) -> Arc<Policy> {
        Arc::clone(&self.default_rate.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn build(&self, record: &KeyRecord, before: Option<&Arc<Key>>, owners: &mut Owners) -> Key {
        let default = self.default_policy();
        let rate = record.rate.unwrap_or(default.rate);
        let policy = || if rate == default.rate { Arc::clone(&default) } else { Policy::new(rate) };
        let same_rate = before.filter(|before| before.rate_limit.policy().rate == rate);
        let bounds =
            Bounds { not_before: record.not_before, expires: record.expires, allow: record.allow.clone() };
        Key {
            credential: Credential::Key(record.id),
            environment: record.environment,
            owner: shared(owners, record.partner_id, record.effective()),
            rate_limit: match same_rate {
                Some(before) => before.rate_limit.clone(),
                None => RateLimit::new(policy()),
            },
            forwards_retired: record.on_retired == OnRetired::Forward,
            rate_is_default: record.rate.is_none(),
            revoked: record.revoked.is_some(),
            suspended: record.suspended,
            bounds: (bounds != NO_BOUNDS).then(|| Box::new(bounds)),
            usage: self.usage(before),
        }
    }

    fn build_token(&self, record: &AppToken, member: Arc<Member>, before: Option<&Arc<Key>>) -> Key {
        let bounds = Bounds { expires: Some(record.expires), ..NO_BOUNDS };
        Key {
            credential: Credential::Token(record.id),
            environment: record.environment,
            owner: Arc::new(Owner::Member { member, authenticated: record.authenticated }),
            rate_limit: match before {
                Some(before) => before.rate_limit.clone(),
                None => RateLimit::new(self.default_policy()),
            },
            forwards_retired: false,
            rate_is_default: true,
            revoked: record.revoked.is_some(),
            // The member is asked.
            suspended: false,
            bounds: Some(Box::new(bounds)),
            usage: self.usage(before),
        }
    }

    /// The usage of a credential, which survives its changes.
    fn usage(&self, before: Option<&Arc<Key>>) -> Arc<Usage> {
        before.map_or_else(
            || {
                Arc::new(Usage {
                    number: self.numbers.fetch_add(1, Ordering::Relaxed),
                    last_used: AtomicI64::new(0),
                    open_requests: AtomicU32::new(0),
                    connections: Mutex::new(None),
                })
            },
            |before| Arc::clone(&before.usage),
        )
    }
}

/// The rights of a key, shared with the keys that have the same.
fn shared(owners: &mut Owners, organization: PartnerId, permissions: ApiAccessPermission) -> Arc<Owner> {
    if owners.len() == owners.capacity() {
        owners.retain(|_, owner| Arc::strong_count(owner) > 1);
    }
    let owner = owners
        .entry((organization, permissions))
        .or_insert_with(|| Arc::new(Owner::Organization(organization, permissions)));
    Arc::clone(owner)
}

#[cfg(test)]
mod tests;
