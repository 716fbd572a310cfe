//! The tests that every storage engine must pass, written against the store's traits alone. An engine runs them
//! with [`conformance_tests!`].

mod people;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use permissions::{ApiAccessPermission, Credential, Environment, KeyId, OnRetired, PartnerId};
use uuid::Uuid;

use super::tests::{NOW, PARTNER, insert, key};
use super::*;

/// An empty installation of the engine under test.
pub(super) trait Setup {
    fn new() -> Self;

    /// Another connection to it.
    fn open(&self) -> Store;

    /// A connection that keeps only this many rows of the feed.
    fn open_keeping(&self, changes: i64) -> Store;
}

/// Turns each function of the suite into a test of one engine.
macro_rules! conformance_tests {
    ($setup:ty) => {
        $crate::store::conformance::conformance_tests!($setup:
            records_read_back_as_they_were_written
            values_of_every_length_read_back
            filters_select_keys
            a_partner_is_found_by_its_name_and_its_id
            a_unique_value_is_refused_the_second_time
            an_error_rolls_everything_back
            every_connection_detects_every_write_including_its_own
            the_feed_names_what_changed_by_kind
            a_change_of_a_partner_reaches_all_its_keys
            eight_writers_lose_nothing_and_numbers_never_go_back
            a_reader_that_fell_behind_the_feed_sees_a_gap_and_resumes
            the_last_use_only_moves_forward
            facts_are_recorded_once
            a_fact_that_may_change_is_replaced_in_a_transaction
            receipts_cover_every_change_before_them
            nodes_come_and_go
            people_read_back_and_leave_with_everything_of_theirs
            the_audit_log_is_a_chain_without_gaps
            a_repeated_call_gets_the_reply_of_the_first
            access_requests_are_listed_by_cursor_and_keep_their_events
            a_link_works_once_and_until_its_end
            an_invitation_is_accepted_or_revoked
        );
    };
    ($setup:ty: $($name:ident)*) => {$(
        #[test]
        fn $name() {
            $crate::store::conformance::$name(&<$setup as $crate::store::conformance::Setup>::new());
        }
    )*};
}
pub(super) use conformance_tests;
pub(super) use people::*;

const OTHER: PartnerId = PartnerId(Uuid::from_u128(0x07e4));

/// `offset` seconds after [`NOW`].
pub(super) fn second(offset: i64) -> Timestamp {
    NOW + SignedDuration::from_secs(offset)
}

fn write<T>(store: &mut Store, body: impl FnOnce(&mut dyn Write) -> Result<T, StoreError>) -> (T, i64) {
    store.write(NOW, body).unwrap()
}

fn all_keys(store: &mut Store) -> (Vec<StoredKey>, i64) {
    let mut keys = Vec::new();
    let last = store.each_key(&mut |key| keys.push(key)).unwrap();
    (keys, last)
}

pub(super) fn records_read_back_as_they_were_written(setup: &impl Setup) {
    let mut store = setup.open();
    assert!(store.is_empty().unwrap());
    let (first, mut second) = (key(1), key(2));
    second.record.environment = Environment::Production;
    second.record.not_before = None;
    second.record.expires = None;
    second.record.rate = None;
    second.record.allow = Vec::new();
    second.record.on_retired = OnRetired::Refuse;
    second.record.permissions = ApiAccessPermission::empty();
    second.record.replaces = Some(first.record.id);
    insert(&mut store, &first);
    insert(&mut store, &second);
    let mut other = setup.open();
    assert!(!other.is_empty().unwrap());
    assert_eq!(other.key(first.record.id).unwrap(), Some(first.record.clone()));
    assert_eq!(other.key(KeyId(Uuid::nil())).unwrap(), None);
    assert_eq!(other.successor(first.record.id).unwrap(), Some(second.record.id));
    assert_eq!(other.successor(second.record.id).unwrap(), None);
    assert_eq!(all_keys(&mut other).0, [first, second.clone()]);
    assert_eq!(other.key_count().unwrap(), 2);
    let partner = Partner {
        id: PARTNER,
        name: "acme".to_owned(),
        created: NOW,
        suspended: None,
        keys: 2,
        is_operator: false,
        granted: Granted {
            staging: Some(ApiAccessPermission::empty()),
            production: Some(ApiAccessPermission::empty()),
        },
    };
    assert_eq!(other.list_partners().unwrap(), [partner]);
    let update = KeyUpdate {
        permissions: Some(ApiAccessPermission::PING_READ),
        allow: Some(vec!["203.0.113.0/24".parse().unwrap()]),
        not_before: Some(Some(NOW)),
        expires: Some(Some(NOW)),
        rate: Some(Some("7/s+9".parse().unwrap())),
        name: Some("new".to_owned()),
        on_retired: Some(OnRetired::Forward),
    };
    let (found, _) = write(&mut store, |write| write.update_key(second.record.id, &update));
    assert!(found);
    let record = other.key(second.record.id).unwrap().unwrap();
    assert_eq!(Some(record.permissions), update.permissions);
    assert_eq!(Some(record.allow), update.allow);
    assert_eq!((record.not_before, record.expires), (Some(NOW), Some(NOW)));
    assert_eq!(Some(record.rate), update.rate);
    assert_eq!((record.name.as_str(), record.on_retired), ("new", OnRetired::Forward));
    assert!(write(&mut store, |write| write.revoke_key(second.record.id)).0);
    assert!(!write(&mut store, |write| write.revoke_key(second.record.id)).0, "it is revoked already");
    assert_eq!(other.key(second.record.id).unwrap().unwrap().revoked, Some(NOW));
    assert!(!write(&mut store, |write| write.update_key(KeyId(Uuid::nil()), &update)).0);
    assert!(!write(&mut store, |write| write.revoke_key(KeyId(Uuid::nil()))).0);
}

pub(super) fn values_of_every_length_read_back(setup: &impl Setup) {
    let mut store = setup.open();
    let mut expected = Vec::new();
    for (number, length) in [0, 1, 2, 63, 64, 127, 128, 255, 256, 1_000, 65_536].into_iter().enumerate() {
        let mut key = key(number as u128 + 1);
        key.record.name = "é'\"\\%_".chars().cycle().take(length).collect();
        let networks = (0..length.min(300)).map(|last| format!("2001:db8::{last:x}/128").parse().unwrap());
        key.record.allow = networks.collect();
        let moments = [Timestamp::MIN, Timestamp::MAX, Timestamp::UNIX_EPOCH, NOW];
        key.record.not_before = Some(to_stored_precision(moments[number % moments.len()]));
        insert(&mut store, &key);
        expected.push(key);
    }
    assert_eq!(all_keys(&mut setup.open()).0, expected);
}

pub(super) fn filters_select_keys(setup: &impl Setup) {
    let mut store = setup.open();
    let (staging, mut production, mut others) = (key(1), key(2), key(3));
    production.record.environment = Environment::Production;
    others.record.partner_id = OTHER;
    others.record.partner = "other".to_owned();
    for key in [&staging, &production, &others] {
        insert(&mut store, key);
    }
    let mut list = |partner, environment| {
        let keys = store.list_keys(&KeyFilter { partner, environment, ..KeyFilter::default() }).unwrap();
        keys.iter().map(|key| key.id.0.as_u128()).collect::<Vec<_>>()
    };
    assert_eq!(list(None, None), [1, 2, 3]);
    assert_eq!(list(Some(PARTNER), None), [1, 2]);
    assert_eq!(list(None, Some(Environment::Staging)), [1, 3]);
    assert_eq!(list(Some(PARTNER), Some(Environment::Production)), [2]);
    assert_eq!(list(Some(PartnerId(Uuid::nil())), None), [0_u128; 0]);
}

pub(super) fn a_partner_is_found_by_its_name_and_its_id(setup: &impl Setup) {
    let mut store = setup.open();
    assert!(write(&mut store, |write| write.add_partner(PARTNER, "acme")).0);
    for text in ["acme", &PARTNER.to_string()] {
        let found = store.find_partner(text).unwrap();
        assert_eq!(found.map(|partner| partner.id), Some(PARTNER), "{text}");
    }
    for text in ["", "ACME", "acme ", &OTHER.to_string()] {
        assert_eq!(store.find_partner(text).unwrap(), None, "{text}");
    }
}

pub(super) fn a_unique_value_is_refused_the_second_time(setup: &impl Setup) {
    let mut store = setup.open();
    let (one, two) = (key(1), key(2));
    insert(&mut store, &one);
    let mut refused = |what: &str, body: &dyn Fn(&mut dyn Write) -> Result<(), StoreError>| {
        let error = store.write(NOW, |write| body(write)).unwrap_err();
        assert_eq!(error.failure(), Some(Failure::Conflict), "{what}: {error}");
    };
    refused("an id", &|write| write.insert_key(&one.record, &two.hash));
    refused("a hash", &|write| write.insert_key(&two.record, &one.hash));
    refused("a key without its partner", &|write| {
        let mut orphan = two.record.clone();
        orphan.partner_id = OTHER;
        write.insert_key(&orphan, &two.hash)
    });
    refused("an id of a partner", &|write| write.add_partner(PARTNER, "other").map(drop));
    refused("a name", &|write| {
        write.add_partner(OTHER, "other")?;
        write.rename_partner(OTHER, "acme").map(drop)
    });
    assert!(!write(&mut store, |write| write.add_partner(OTHER, "acme")).0, "the name is taken");
    assert_eq!(all_keys(&mut store).0.len(), 1);
    assert_eq!(store.list_partners().unwrap().len(), 1);
}

pub(super) fn an_error_rolls_everything_back(setup: &impl Setup) {
    let mut store = setup.open();
    let one = key(1);
    let result = store.write(NOW, |write| {
        write.add_partner(PARTNER, "acme")?;
        write.insert_key(&one.record, &one.hash)?;
        assert_eq!(write.key(one.record.id)?, Some(one.record.clone()), "it sees its own writes");
        write.insert_key(&one.record, &one.hash)
    });
    result.unwrap_err();
    assert!(store.is_empty().unwrap());
    let dropped = store.begin(NOW).unwrap().add_partner(PARTNER, "acme").unwrap();
    assert!(dropped && store.is_empty().unwrap(), "dropping a transaction rolls it back");
    assert_eq!(store.changes_since(0).unwrap().last, 0);
}

pub(super) fn every_connection_detects_every_write_including_its_own(setup: &impl Setup) {
    let (mut store, mut server) = (setup.open(), setup.open());
    assert!(server.changed().unwrap(), "the first call returns true");
    assert!(!server.changed().unwrap());
    insert(&mut store, &key(1));
    insert(&mut store, &key(2));
    assert!(server.changed().unwrap());
    assert!(!server.changed().unwrap());
    insert(&mut server, &key(3));
    assert!(server.changed().unwrap(), "its own write");
    assert!(!server.changed().unwrap());
    drop(server.begin(NOW).unwrap());
    assert!(!server.changed().unwrap(), "nothing was written");
}

pub(super) fn the_feed_names_what_changed_by_kind(setup: &impl Setup) {
    let mut store = setup.open();
    let first = insert(&mut store, &key(1));
    let last = insert(&mut store, &key(2));
    let changes = store.changes_since(0).unwrap();
    assert_eq!((changes.last, changes.gap), (last, false));
    assert_eq!(changes.keys.written, [key(1), key(2)]);
    assert_eq!(changes.partners.written.len(), 1);
    let changes = store.changes_since(first).unwrap();
    assert_eq!(changes.keys.written, [key(2)]);
    assert_eq!(changes.partners, Changed::default());
    assert_eq!(store.changes_since(last).unwrap().keys, Changed::default());

    let update = KeyUpdate { name: Some("n".to_owned()), ..KeyUpdate::default() };
    write(&mut store, |write| write.revoke_key(key(1).record.id));
    let (_, end) = write(&mut store, |write| write.update_key(key(1).record.id, &update));
    let changes = store.changes_since(last).unwrap();
    assert_eq!((changes.last, changes.keys.written.len()), (end, 1), "written twice, reported once");
    let record = &changes.keys.written[0].record;
    assert_eq!((record.revoked, record.name.as_str()), (Some(NOW), "n"));
    assert_eq!(all_keys(&mut store).1, end);
}

pub(super) fn a_change_of_a_partner_reaches_all_its_keys(setup: &impl Setup) {
    let mut store = setup.open();
    let mut others = key(3);
    others.record.partner_id = OTHER;
    others.record.partner = "other".to_owned();
    insert(&mut store, &key(1));
    insert(&mut store, &key(2));
    let mut last = insert(&mut store, &others);
    let mut after = |store: &mut Store, body: &dyn Fn(&mut dyn Write) -> Result<bool, StoreError>| {
        assert!(write(store, |write| body(write)).0);
        let changes = store.changes_since(last).unwrap();
        last = changes.last;
        changes
    };
    let suspended = after(&mut store, &|write| write.set_partner_suspended(PARTNER, true));
    assert_eq!(suspended.partners.written[0].suspended, Some(NOW));
    assert_eq!(suspended.keys.written.len(), 2);
    assert!(suspended.keys.written.iter().all(|key| key.record.suspended));
    let renamed = after(&mut store, &|write| write.rename_partner(PARTNER, "Acme GmbH"));
    assert!(renamed.keys.written.iter().all(|key| key.record.partner == "Acme GmbH"));
    let resumed = after(&mut store, &|write| write.set_partner_suspended(PARTNER, false));
    assert!(resumed.keys.written.iter().all(|key| !key.record.suspended));
    assert!(!write(&mut store, |write| write.set_partner_suspended(PARTNER, false)).0);
    let mut removed = after(&mut store, &|write| write.remove_partner(PARTNER));
    removed.keys.removed.sort();
    assert_eq!(removed.keys.removed, [key(1).record.id, key(2).record.id]);
    assert_eq!(removed.partners.removed, [PARTNER]);
    assert_eq!(all_keys(&mut store).0, [others]);
    for nobody in [PARTNER, PartnerId(Uuid::nil())] {
        assert!(!write(&mut store, |write| write.remove_partner(nobody)).0);
        assert!(!write(&mut store, |write| write.rename_partner(nobody, "x")).0);
        assert!(!write(&mut store, |write| write.set_partner_suspended(nobody, true)).0);
    }
}

pub(super) fn eight_writers_lose_nothing_and_numbers_never_go_back(setup: &impl Setup) {
    const EACH: u128 = 25;
    std::thread::scope(|scope| {
        for writer in 0..8_u128 {
            let mut store = setup.open();
            scope.spawn(move || {
                let mut last = 0;
                for number in 1..=EACH {
                    let change = insert(&mut store, &key(writer * 1_000 + number));
                    assert!(change > last, "{change} after {last}");
                    last = change;
                }
            });
        }
        let mut reader = setup.open();
        scope.spawn(move || {
            let (mut last, mut seen) = (0, 0);
            while seen < 8 * EACH as usize {
                let changes = reader.changes_since(last).unwrap();
                assert!(changes.last >= last && !changes.gap);
                last = changes.last;
                seen += changes.keys.written.len();
                std::thread::sleep(Duration::from_millis(1));
            }
        });
    });
    let mut store = setup.open();
    assert_eq!(all_keys(&mut store).0.len(), 8 * EACH as usize);
    let last = store.changes_since(0).unwrap().last;
    // Numbers are never reused, whatever is removed.
    write(&mut store, |write| write.remove_partner(PARTNER));
    assert!(insert(&mut setup.open(), &key(1)) > last);
}

pub(super) fn a_reader_that_fell_behind_the_feed_sees_a_gap_and_resumes(setup: &impl Setup) {
    let mut store = setup.open_keeping(2);
    let last = (1..=5).map(|number| insert(&mut store, &key(number))).max().unwrap();
    let mut server = setup.open();
    assert!(server.changes_since(last - 3).unwrap().gap, "the next change is no longer in the feed");
    let changes = server.changes_since(last - 2).unwrap();
    assert_eq!((changes.gap, changes.keys.written.len(), changes.last), (false, 2, last));
    assert!(server.changes_since(0).unwrap().gap);
    assert!(!server.changes_since(last).unwrap().gap);
    let future = server.changes_since(last + 1).unwrap();
    assert!(future.gap, "the store is older than the server");
    assert_eq!(future.last, last);
    let (keys, from) = all_keys(&mut server);
    assert_eq!((keys.len(), from), (5, last));
    insert(&mut store, &key(6));
    let changes = server.changes_since(from).unwrap();
    assert_eq!((changes.gap, changes.keys.written), (false, vec![key(6)]));
}

pub(super) fn the_last_use_only_moves_forward(setup: &impl Setup) {
    let mut store = setup.open();
    let id = key(1).record.id;
    let last = insert(&mut store, &key(1));
    for (at, expected) in [(0, 0), (60, 60), (30, 60)] {
        store
            .write_last_used(&[(Credential::Key(id), second(at)), (Credential::Key(key(9).record.id), NOW)])
            .unwrap();
        assert_eq!(store.key(id).unwrap().unwrap().last_used, Some(second(expected)));
    }
    assert_eq!(store.changes_since(0).unwrap().last, last, "a last use is not in the feed");
}

pub(super) fn facts_are_recorded_once(setup: &impl Setup) {
    let mut store = setup.open();
    assert_eq!(store.fact("a").unwrap(), None);
    assert_eq!(store.record_fact("a", b"\0first").unwrap(), b"\0first");
    assert_eq!(setup.open().record_fact("a", b"second").unwrap(), b"\0first");
    assert_eq!(store.fact("a").unwrap().as_deref(), Some(&b"\0first"[..]));
}

pub(super) fn a_fact_that_may_change_is_replaced_in_a_transaction(setup: &impl Setup) {
    let (mut store, mut other) = (setup.open(), setup.open());
    for value in [&b"first"[..], b"\0second", b""] {
        let set = store.write(NOW, |write| {
            write.set_fact("a", value)?;
            write.fact("a")
        });
        assert_eq!(set.map_err(|error: StoreError| error).unwrap().0.as_deref(), Some(value));
        assert_eq!(other.fact("a").unwrap().as_deref(), Some(value));
    }
    let last = other.each_key(&mut |_| ()).unwrap();
    assert_eq!(last, 0, "it is not in the feed");
    let dropped = store.write::<(), StoreError>(NOW, |write| {
        write.set_fact("a", b"lost")?;
        Err(StoreError::Stopped)
    });
    assert!(dropped.is_err());
    assert_eq!(other.fact("a").unwrap().as_deref(), Some(&b""[..]));
}

/// The `number`th of a series of nodes.
pub(super) fn node(number: u128, started: i64) -> Node {
    Node {
        id: Uuid::from_u128(number),
        pid: 42,
        started: second(started),
        heartbeat: second(started),
        listeners: serde_json::json!([{"name": "http", "address": "127.0.0.1:8080"}]),
    }
}

fn receipt(node: u128, change: i64, connections_closed: u32) -> Receipt {
    Receipt { node: Uuid::from_u128(node), change, applied_at: second(change), connections_closed }
}

pub(super) fn receipts_cover_every_change_before_them(setup: &impl Setup) {
    let mut store = setup.open();
    store.announce_node(&node(1, 0)).unwrap();
    store.announce_node(&node(2, 0)).unwrap();
    for receipt in [receipt(1, 5, 2), receipt(1, 7, 1), receipt(2, 4, 0)] {
        store.write_receipt(&receipt).unwrap();
    }
    assert_eq!(store.receipts(4).unwrap(), [receipt(1, 5, 2), receipt(2, 4, 0)]);
    assert_eq!(store.receipts(6).unwrap(), [receipt(1, 7, 1)]);
    assert_eq!(store.receipts(8).unwrap(), []);
    store.write_receipt(&receipt(9, 8, 0)).unwrap();
    assert_eq!(store.receipts(8).unwrap(), [], "node 9 is not registered");
    store.write_receipt(&receipt(1, 1_000_000, 0)).unwrap();
    assert_eq!(store.receipts(1).unwrap(), [receipt(1, 1_000_000, 0), receipt(2, 4, 0)], "old ones go");
    store.leave(node(2, 0).id).unwrap();
    assert_eq!(store.receipts(1).unwrap().len(), 1);
}

pub(super) fn nodes_come_and_go(setup: &impl Setup) {
    const STALE_AFTER: Duration = Duration::from_secs(15);
    let (mut store, mut other) = (setup.open(), setup.open());
    store.announce_node(&node(1, 0)).unwrap();
    other.announce_node(&node(2, 10)).unwrap();
    assert_eq!(setup.open().live_nodes(second(10), STALE_AFTER).unwrap(), [node(1, 0), node(2, 10)]);
    assert!(store.heartbeat(node(1, 0).id, second(16)).unwrap());
    assert_eq!(store.live_nodes(second(10), STALE_AFTER).unwrap()[0].heartbeat, second(16));
    let moved = Node { listeners: serde_json::json!([]), ..node(2, 10) };
    other.announce_node(&moved).unwrap();
    assert_eq!(store.live_nodes(second(10), STALE_AFTER).unwrap()[1], moved);
    store.leave(node(1, 0).id).unwrap();
    assert_eq!(store.live_nodes(second(10), STALE_AFTER).unwrap(), [moved]);
    assert!(!store.heartbeat(node(1, 0).id, second(16)).unwrap(), "it must announce itself again");
}
