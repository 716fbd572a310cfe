//! Tests of the follower, with a store that other processes write to, and one that is replaced.

use std::thread::JoinHandle;

use permissions::{Denial, Environments, KeyId, ServerSecret};
use versions::Instant as Monotonic;

use super::*;
use crate::clock::SystemClock;
use crate::config::{Config, Sources};
use crate::store::tests::{Fixture, NOW, insert, key};
use crate::store::{StoredKey, Write};
use crate::transport::Peer;

struct Running {
    handle: StoreHandle,
    keys: &'static KeyIndex,
    readiness: Arc<Readiness>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn on(fixture: &Fixture, flags: &[(&str, &str)]) -> Self {
        let flags = flags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let settings = Config::load(&Sources { flags, ..Sources::default() }).unwrap().store;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let keys: &'static KeyIndex = Box::leak(Box::new(KeyIndex::new("10/s".parse().unwrap())));
        let limit = settings.staleness_limit;
        let readiness = Arc::new(Readiness::new(Arc::clone(&clock), Duration::from_secs(60), limit));
        readiness.started.store(true, Ordering::Relaxed);
        let listeners = serde_json::json!([]);
        let started =
            Follower::start(fixture.other(), keys, clock, settings, Arc::clone(&readiness), listeners);
        let (follower, handle) = started.unwrap();
        let thread = Some(std::thread::spawn(|| follower.run()));
        Self { handle, keys, readiness, thread }
    }

    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(self.handle.run(work))
    }

    fn check(&self, key: &StoredKey) -> Option<Result<(), Denial>> {
        let found = self.keys.find(&key.hash)?;
        Some(found.check(NOW, [192, 0, 2, 1].into(), Environments::all()))
    }

    fn becomes(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !condition(self) {
            assert!(Instant::now() < deadline, "{what}: {:?}", self.readiness.verdict());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.stop();
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))));
    }
}

fn revoke(key: &StoredKey) -> impl FnOnce(&mut Store) -> Result<bool, StoreError> + Send + use<> {
    let id = key.record.id;
    move |store| Ok(store.write(NOW, |write| write.revoke_key(id))?.0)
}

#[test]
fn a_write_through_the_handle_is_applied_before_it_is_acknowledged() {
    let mut fixture = Fixture::new();
    let running = Running::on(&fixture, &[("store.change_interval", "\"1s\"")]);
    std::thread::scope(|scope| {
        for writer in 0..8_u128 {
            let running = &running;
            scope.spawn(move || {
                for number in 1..=10 {
                    let key = key(writer * 100 + number);
                    let made = key.clone();
                    running.run(move |store| Ok(insert(store, &made))).unwrap();
                    assert_eq!(running.check(&key), Some(Ok(())));
                    assert!(running.run(revoke(&key)).unwrap());
                    assert_eq!(running.check(&key), Some(Err(Denial::Revoked)));
                }
            });
        }
    });
    let last = fixture.store.changes_since(0).unwrap().last;
    assert_eq!(fixture.store.receipts(last).unwrap().len(), 1, "the last write has its receipt");
    let failed =
        running.run(|store| store.write(NOW, |write| write.insert_key(&key(1).record, &key(1).hash)));
    assert_eq!(failed.unwrap_err().failure(), Some(crate::store::Failure::Conflict));
}

#[test]
fn a_suspended_partners_keys_are_refused_and_a_removed_ones_forgotten() {
    let mut fixture = Fixture::new();
    insert(&mut fixture.store, &key(1));
    let running = Running::on(&fixture, &[]);
    let partner = key(1).record.partner_id;
    let write = |fixture: &mut Fixture, body: &dyn Fn(&mut dyn Write) -> Result<bool, StoreError>| {
        assert!(fixture.store.write(NOW, |write| body(write)).unwrap().0);
    };
    write(&mut fixture, &|write| write.set_partner_suspended(partner, true));
    running.becomes("suspended", |running| running.check(&key(1)) == Some(Err(Denial::Suspended)));
    write(&mut fixture, &|write| write.set_partner_suspended(partner, false));
    running.becomes("resumed", |running| running.check(&key(1)) == Some(Ok(())));
    write(&mut fixture, &|write| write.remove_partner(partner));
    running.becomes("removed", |running| running.check(&key(1)).is_none());
}

#[test]
fn a_restored_store_that_is_moved_into_place_is_followed_from_then_on() {
    let mut fixture = Fixture::new();
    insert(&mut fixture.store, &key(1));
    let restored = fixture.folder.path().join("restored");
    fixture.store.backup_to(&restored).unwrap();
    let running = Running::on(&fixture, &[]);
    insert(&mut fixture.store, &key(2));
    running.becomes("loaded", |running| running.check(&key(2)) == Some(Ok(())));
    std::fs::rename(&restored, fixture.folder.store()).unwrap();
    // Opening waits until the server has switched.
    let mut store = fixture.other();
    running.becomes("gone", |running| running.check(&key(2)).is_none());
    assert_eq!(running.check(&key(1)), Some(Ok(())));
    revoke(&key(1))(&mut store).unwrap();
    running.becomes("revoked", |running| running.check(&key(1)) == Some(Err(Denial::Revoked)));
    assert_eq!(store.live_nodes(SystemClock.now(), Duration::from_secs(60)).unwrap().len(), 1);
    running.run(|store| Ok(insert(store, &key(3)))).unwrap();
    assert!(store.key(key(3).record.id).unwrap().is_some(), "it writes to the new file");
    running.becomes("ready", |running| running.readiness.verdict().ready);
}

#[test]
fn a_store_that_is_moved_away_makes_the_server_not_ready_until_it_is_back() {
    let mut fixture = Fixture::new();
    insert(&mut fixture.store, &key(1));
    let running = Running::on(&fixture, &[]);
    let elsewhere = fixture.folder.path().join("elsewhere");
    std::fs::rename(fixture.folder.store(), &elsewhere).unwrap();
    running.becomes("not ready", |running| !running.readiness.verdict().ready);
    assert_eq!(running.check(&key(1)), Some(Ok(())), "traffic continues");
    let refused = running.run(|store| Ok(insert(store, &key(2))));
    assert!(matches!(refused, Err(StoreError::Moved { .. })), "{refused:?}");
    std::fs::rename(&elsewhere, fixture.folder.store()).unwrap();
    running.becomes("ready", |running| running.readiness.verdict().ready);
    running.run(|store| Ok(insert(store, &key(2)))).unwrap();
}

#[test]
fn a_store_of_another_installation_is_not_followed() {
    let mut fixture = Fixture::new();
    insert(&mut fixture.store, &key(1));
    let running = Running::on(&fixture, &[]);
    let mut other = Fixture::new();
    let foreign = fixture.folder.path().join("foreign");
    other.store.backup_to(&foreign).unwrap();
    std::fs::rename(&foreign, fixture.folder.store()).unwrap();
    running.becomes("not ready", |running| !running.readiness.verdict().ready);
    let error = Store::open(&fixture.folder, Duration::from_secs(5)).err().unwrap();
    assert!(matches!(error, StoreError::Replaced { pid, .. } if pid == std::process::id()), "{error}");
    assert_eq!(running.check(&key(1)), Some(Ok(())), "traffic continues");
}

#[test]
fn the_same_store_may_come_back_after_another_replaced_it() {
    let mut fixture = Fixture::new();
    insert(&mut fixture.store, &key(1));
    let running = Running::on(&fixture, &[]);
    let (aside, garbage) = (fixture.folder.path().join("aside"), fixture.folder.path().join("garbage"));
    std::fs::write(&garbage, "Dear diary, ".repeat(1_000)).unwrap();
    std::fs::rename(fixture.folder.store(), &aside).unwrap();
    std::fs::rename(&garbage, fixture.folder.store()).unwrap();
    running.becomes("not ready", |running| !running.readiness.verdict().ready);
    std::thread::sleep(REOPEN_INTERVAL);
    std::fs::rename(&aside, fixture.folder.store()).unwrap();
    let mut store = fixture.other();
    running.becomes("ready", |running| running.readiness.verdict().ready);
    revoke(&key(1))(&mut store).unwrap();
    running.becomes("revoked", |running| running.check(&key(1)) == Some(Err(Denial::Revoked)));
}

/// Measures the time from a revocation's commit until it is applied, while the last use of every key is
/// written repeatedly.
#[test]
fn a_revocation_does_not_wait_for_the_last_use_of_all_keys_to_be_written() {
    const KEYS: u128 = 10_000;
    const REVOCATIONS: u128 = 50;
    let mut fixture = Fixture::new();
    let all: Vec<StoredKey> = (1..=KEYS).map(spread_key).collect();
    fixture
        .store
        .write(NOW, |write| {
            write.add_partner(all[0].record.partner_id, "acme")?;
            all.iter().try_for_each(|key| write.insert_key(&key.record, &key.hash))
        })
        .unwrap();
    let running = Running::on(&fixture, &[("store.last_used_interval", "\"100ms\"")]);
    let peer = Peer::numbered(1);
    let mut took = Vec::new();
    for revoked in &all[..REVOCATIONS as usize] {
        let now = SystemClock.now();
        all.iter().for_each(|key| running.keys.find(&key.hash).unwrap().record_use(now, &peer));
        std::thread::sleep(Duration::from_millis(rand::random_range(0..50)));
        revoke(revoked)(&mut fixture.store).unwrap();
        let committed = Monotonic::now();
        while running.check(revoked) != Some(Err(Denial::Revoked)) {
            std::thread::sleep(Duration::from_micros(200));
        }
        took.push(committed.elapsed());
    }
    took.sort_unstable();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    println!("{KEYS} keys: p50 {:?}, p99 {:?}, worst {:?}", at(50), at(99), at(100));
    // In a single transaction, these last uses take half a second.
    assert!(at(90) < Duration::from_millis(200), "{took:?}");
}

/// A key whose id is far from the previous one's, so that used keys are spread over the file.
fn spread_key(number: u128) -> StoredKey {
    let mut key = key(number);
    let digest = ServerSecret::new([1; 32]).hash(&number.to_le_bytes());
    key.record.id = KeyId(Builder::from_slice(&digest.0[..16]).unwrap().into_uuid());
    key
}
