//! Sessions that were verified, so that the next request with the same token costs a hash and no signature.
//!
//! Each worker has a cache of its own: a request takes no lock that another worker's request takes, and a token is
//! verified once by each worker that meets it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quick_cache::unsync::Cache;

use super::VerifiedSession;

/// A keyed hash of the whole token: nobody can choose what collides, and no token is kept.
pub(super) type TokenHash = [u8; 32];

type Sessions = Cache<TokenHash, Arc<VerifiedSession>>;

/// The sessions of all workers.
pub(super) struct Verified {
    workers: Box<[Mutex<Sessions>]>,
    hash_key: [u8; 32],
}

/// The number of the next thread that asks.
static NEXT_THREAD: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static THREAD: usize = NEXT_THREAD.fetch_add(1, Ordering::Relaxed);
}

impl Verified {
    /// Caches for so many workers, each for so many sessions.
    pub(super) fn new(workers: usize, sessions_max: usize, hash_key: [u8; 32]) -> Self {
        let workers = (0..workers.max(1)).map(|_| Mutex::new(Cache::new(sessions_max))).collect();
        Self { workers, hash_key }
    }

    pub(super) fn hash(&self, token: &[u8]) -> TokenHash {
        blake3::keyed_hash(&self.hash_key, token).into()
    }

    pub(super) fn get(&self, hash: &TokenHash) -> Option<Arc<VerifiedSession>> {
        self.of_this_worker().get(hash).cloned()
    }

    pub(super) fn insert(&self, hash: TokenHash, session: Arc<VerifiedSession>) {
        self.of_this_worker().insert(hash, session);
    }

    pub(super) fn remove(&self, hash: &TokenHash) {
        self.of_this_worker().remove(hash);
    }

    pub(super) fn len(&self) -> usize {
        self.workers.iter().map(|sessions| lock(sessions).len()).sum()
    }

    /// Threads are numbered as they come, so workers share a cache only where other threads verify sessions too.
    fn of_this_worker(&self) -> MutexGuard<'_, Sessions> {
        lock(&self.workers[THREAD.with(|number| *number) % self.workers.len()])
    }
}

/// A poisoned lock is used all the same: a cache without an entry verifies it again.
fn lock(sessions: &Mutex<Sessions>) -> MutexGuard<'_, Sessions> {
    sessions.lock().unwrap_or_else(PoisonError::into_inner)
}
