//! Tests of the key index: look-ups, and which connections a change closes.

use permissions::{KeyId, ServerSecret};
use versions::Instant;

use super::*;

const NOW: Timestamp = Timestamp::constant(1_790_000_000, 0);

fn stored(name: &str) -> StoredKey {
    let id = KeyId(uuid::Builder::from_random_bytes([u8::try_from(name.len()).unwrap(); 16]).into_uuid());
    let (partner, hint) = (PartnerId(id.0), "abcd".to_owned());
    let record = KeyRecord::new(id, partner, Environment::Staging, ApiAccessPermission::all(), hint, NOW);
    StoredKey { record, hash: ServerSecret::new([1; 32]).hash(name.as_bytes()) }
}

fn changed(key: &StoredKey, change: impl FnOnce(&mut KeyRecord)) -> StoredKey {
    let mut record = key.record.clone();
    change(&mut record);
    StoredKey { record, hash: key.hash }
}

fn index() -> KeyIndex {
    KeyIndex::new("10/s".parse().unwrap())
}

fn peer() -> Arc<Peer> {
    Peer::numbered(1)
}

fn check(index: &KeyIndex, key: &StoredKey) -> Result<(), Denial> {
    let key = index.find(&key.hash).expect("it was applied");
    key.check(NOW, [192, 0, 2, 1].into(), Environments::all())
}

#[test]
fn only_a_change_that_takes_rights_away_closes_connections() {
    let second = |offset| Some(Timestamp::from_second(NOW.as_second() + offset).unwrap());
    type Change = fn(&mut KeyRecord);
    let ping: Change = |record| record.permissions = ApiAccessPermission::PING_READ;
    let elsewhere: Change = |record| record.allow = vec!["203.0.113.0/24".parse().unwrap()];
    let revoked: Change = |record| record.revoked = Some(NOW);
    let slower: Change = |record| record.rate = Some("1/s".parse().unwrap());
    let renamed: Change = |record| record.name = "another".to_owned();
    for (what, change, closed) in [
        ("permission", ping, 1),
        ("networks", elsewhere, 1),
        ("revoked", revoked, 1),
        ("rate", slower, 0),
        ("name", renamed, 0),
    ] {
        assert_eq!(closed_by(change), closed, "{what}");
    }
    assert_eq!(closed_by(|record| record.expires = second(60)), 0, "an end that lies ahead");
    assert_eq!(closed_by(|record| record.expires = second(0)), 1, "an end that is here");
    assert_eq!(closed_by(|record| record.not_before = second(1)), 1, "a beginning that lies ahead");
}

/// How many connections a change closes, of one.
fn closed_by(change: impl FnOnce(&mut KeyRecord)) -> usize {
    let (index, key, peer) = (index(), stored("key"), peer());
    index.apply(&key, NOW);
    index.find(&key.hash).unwrap().record_use(NOW, &peer);
    index.apply(&changed(&key, change), NOW)
}

#[test]
fn connections_of_other_keys_stay_open() {
    let (index, ours, others) = (index(), stored("a"), stored("bb"));
    index.apply(&ours, NOW);
    index.apply(&others, NOW);
    let (our_peer, other_peer) = (peer(), peer());
    index.find(&ours.hash).unwrap().record_use(NOW, &our_peer);
    index.find(&others.hash).unwrap().record_use(NOW, &other_peer);
    assert_eq!(index.apply(&changed(&ours, |record| record.revoked = Some(NOW)), NOW), 1);
    assert_eq!(check(&index, &ours), Err(Denial::Revoked));
    assert_eq!(check(&index, &others), Ok(()));
    assert_eq!(index.apply(&changed(&others, |record| record.revoked = Some(NOW)), NOW), 1);
}

#[test]
fn a_connection_that_is_added_after_a_revocation_is_closed() {
    let (index, key, peer) = (index(), stored("key"), peer());
    index.apply(&key, NOW);
    let found_before = index.find(&key.hash).unwrap();
    index.apply(&changed(&key, |record| record.revoked = Some(NOW)), NOW);
    assert!(!peer.is_closing());
    found_before.record_use(NOW, &peer);
    assert!(peer.is_closing());
}

#[test]
fn a_suspended_key_is_refused_and_closes_connections_until_it_is_resumed() {
    let (index, key, first) = (index(), stored("key"), peer());
    index.apply(&key, NOW);
    let found_before = index.find(&key.hash).unwrap();
    found_before.record_use(NOW, &first);
    assert_eq!(index.apply(&changed(&key, |record| record.suspended = true), NOW), 1);
    assert_eq!(check(&index, &key), Err(Denial::Suspended));
    let late = Peer::numbered(2);
    found_before.record_use(NOW, &late);
    assert!(first.is_closing() && late.is_closing());
    assert_eq!(index.apply(&key, NOW), 0);
    assert_eq!(check(&index, &key), Ok(()));
    let next = Peer::numbered(3);
    index.find(&key.hash).unwrap().record_use(NOW, &next);
    assert!(!next.is_closing());
}

#[test]
fn connections_that_ended_are_forgotten() {
    let (index, key) = (index(), stored("key"));
    index.apply(&key, NOW);
    let found = index.find(&key.hash).unwrap();
    for number in 0..1000 {
        found.usage.connect(&Peer::numbered(number));
    }
    let connections = found.usage.connections();
    let Some(KeyConnections::Open(peers)) = connections.as_deref() else { panic!("it was used") };
    assert!(peers.capacity() < 4 * CONNECTIONS_SWEEP_SIZE, "{}", peers.capacity());
}

#[test]
fn the_default_rate_reaches_keys_without_their_own_and_spent_rates_survive_changes() {
    let (index, key) = (index(), stored("key"));
    index.apply(&key, NOW);
    let own = changed(&stored("own"), |record| record.rate = Some("5/s".parse().unwrap()));
    index.apply(&own, NOW);
    let rate = |key: &StoredKey| index.find(&key.hash).unwrap().rate_limit.policy().rate.to_string();
    let now = Instant::now();
    index.find(&key.hash).unwrap().rate_limit.spend(now).unwrap();
    index.apply(&changed(&key, |record| record.name = "another".to_owned()), NOW);
    assert_eq!(index.find(&key.hash).unwrap().rate_limit.spend(now).unwrap().remaining, 8);
    index.set_default_rate("20/s".parse().unwrap());
    assert_eq!((rate(&key), rate(&own)), ("20/s".to_owned(), "5/s".to_owned()));
}

#[test]
fn used_since_lists_only_keys_used_since_then() {
    let (index, key, idle) = (index(), stored("key"), stored("idle"));
    index.apply(&key, NOW);
    index.apply(&idle, NOW);
    index.find(&key.hash).unwrap().record_use(NOW, &peer());
    assert_eq!(index.used_since(NOW), [(Credential::Key(key.record.id), NOW)]);
    assert_eq!(index.used_since(NOW + jiff::SignedDuration::from_secs(1)), []);
}

#[test]
fn every_change_begins_a_new_generation() {
    let (index, key) = (index(), stored("key"));
    let mut generations = vec![index.generation()];
    index.apply(&key, NOW);
    generations.push(index.generation());
    index.apply(&changed(&key, |record| record.revoked = Some(NOW)), NOW);
    generations.push(index.generation());
    index.set_default_rate("20/s".parse().unwrap());
    generations.push(index.generation());
    index.retain(&HashSet::new());
    generations.push(index.generation());
    assert!(generations.is_sorted_by(|before, after| before < after), "{generations:?}");
    let last = index.generation();
    index.remove(&HashSet::from([Credential::Key(key.record.id)]));
    index.set_default_rate("20/s".parse().unwrap());
    assert_eq!(index.generation(), last, "nothing was changed");
}

#[test]
fn a_removed_key_is_not_found() {
    let (index, key) = (index(), stored("key"));
    index.apply(&key, NOW);
    index.remove(&HashSet::from([Credential::Key(key.record.id)]));
    assert!(index.find(&key.hash).is_none());
    assert_eq!(index.count(), 0);
    assert_eq!(index.remove(&HashSet::from([Credential::Key(key.record.id)])), 0);
}

#[test]
fn keys_that_a_restored_store_lacks_are_removed() {
    let (index, kept, lost, peer) = (index(), stored("a"), stored("bb"), peer());
    index.apply(&kept, NOW);
    index.apply(&lost, NOW);
    index.find(&lost.hash).unwrap().record_use(NOW, &peer);
    assert_eq!(index.retain(&HashSet::from([Credential::Key(kept.record.id)])), 1);
    assert!(peer.is_closing());
    assert!(index.find(&lost.hash).is_none());
    assert_eq!(check(&index, &kept), Ok(()));
}
