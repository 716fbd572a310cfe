//! Any values in the rows of the store: a key or partner is served as its row says or not at all, what is not served is
//! reported, and no row keeps the others from being read.
//!
//! The input is a row of each table: for each column a byte that says its type, and its value.

#![no_main]

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gateway::folder::DataFolder;
use gateway::store::{KeyFilter, Store, StoredKey};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use permissions::{ApiAccessPermission, Environment, KeyHash, KeyId, KeyRecord, PartnerId};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use tempfile::TempDir;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use uuid::Uuid;

/// The tables without the types that the store's own have, as a fault might leave their rows.
const TABLES: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF;
    DROP TABLE key; DROP TABLE change; DROP TABLE partner;
    CREATE TABLE partner (name UNIQUE, created, id UNIQUE, suspended, is_operator DEFAULT 0, granted_staging, granted_production);
    CREATE TABLE key (id UNIQUE, partner, name, environment, permissions, hash UNIQUE, algorithm, hint, created, not_before, expires,
        revoked, allow, rate, replaces, last_used, on_retired, partner_id);
    CREATE TABLE change (number INTEGER PRIMARY KEY AUTOINCREMENT, key_id, at, kind);";
const KEY_COLUMNS: usize = 18;
/// The columns of a partner before the row of `change` in the input, and behind it.
const PARTNER_COLUMNS: [usize; 2] = [4, 3];
/// The columns of a key that are looked at below.
const ID: usize = 0;
const ENVIRONMENT: usize = 3;
const PERMISSIONS: usize = 4;
const HASH: usize = 5;
const REVOKED: usize = 11;
const ALLOW: usize = 12;
const PARTNER_ID: usize = 17;

/// A key that is in order, and its partner.
const GOOD_ID: Uuid = Uuid::from_u128(1);
const GOOD_PARTNER: &str = "good partner";
const GOOD_HASH: KeyHash = KeyHash([9; 32]);

/// Counts what the store reports of rows that it cannot read.
struct Warnings;

static WARNINGS: AtomicUsize = AtomicUsize::new(0);

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {
        WARNINGS.fetch_add(1, Ordering::Relaxed);
    }

    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

struct Fixture {
    store: Store,
    other: Connection,
    _folder: TempDir,
}

impl Fixture {
    fn new() -> Self {
        tracing::subscriber::set_global_default(Warnings).expect("it is the first");
        let parent = tempfile::tempdir().expect("a temporary folder can be made");
        let folder = DataFolder::locate(Some(parent.path().join("data"))).expect("it has a place");
        let (store, _) = Store::open_with_secret(&folder, Duration::from_secs(5)).expect("it is made");
        let other = Connection::open(folder.store()).expect("it is there");
        other.execute_batch(TABLES).expect("they can be replaced");
        Self { store, other, _folder: parent }
    }
}

thread_local! {
    static FIXTURE: RefCell<Fixture> = RefCell::new(Fixture::new());
}

/// Takes the next value of the input.
fn value(input: &mut &[u8]) -> Value {
    let Some((&kind, rest)) = input.split_first() else { return Value::Null };
    *input = rest;
    let length = match kind {
        0..=31 => return Value::Null,
        32..=95 => 8,
        96..=191 => usize::from(kind) - 96,
        192.. => usize::from(kind) - 192,
    };
    let (bytes, rest) = input.split_at(length.min(input.len()));
    *input = rest;
    match kind {
        32..=79 => Value::Integer(bytes.iter().fold(0, |number, byte| number << 8 | i64::from(*byte))),
        80..=95 => Value::Real(bytes.iter().fold(0.0, |number, byte| number * 256.0 + f64::from(*byte))),
        96..=191 => match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_) => Value::Blob(bytes.to_owned()),
        },
        _ => Value::Blob(bytes.to_owned()),
    }
}

fn row(input: &mut &[u8], columns: usize) -> Vec<Value> {
    (0..columns).map(|_| value(input)).collect()
}

fn text(value: &Value) -> &str {
    match value {
        Value::Text(text) => text,
        other => panic!("{other:?} was read as a text"),
    }
}

/// Whether there was no other of the same name or id.
fn insert(connection: &Connection, table: &str, row: &[Value]) -> bool {
    let places = vec!["?"; row.len()].join(", ");
    let columns = if table == "change" { "(key_id, at, kind)" } else { "" };
    let sql = format!("INSERT OR IGNORE INTO {table} {columns} VALUES ({places})");
    let inserted =
        connection.prepare_cached(&sql).and_then(|mut insert| insert.execute(params_from_iter(row)));
    inserted.expect("nothing else forbids it") == 1
}

/// Nothing that the row forbids is taken back, and nothing is granted that it does not grant.
fn check(key: &StoredKey, row: &[Value]) {
    let record = &key.record;
    assert_eq!(Some(record.id), text(&row[ID]).parse().ok());
    assert_eq!(record.environment.name(), text(&row[ENVIRONMENT]));
    assert_eq!(Some(record.partner_id), text(&row[PARTNER_ID]).parse().ok());
    assert_eq!(Value::Blob(key.hash.0.to_vec()), row[HASH]);
    assert_eq!(record.revoked.is_some(), row[REVOKED] != Value::Null);
    let granted = text(&row[PERMISSIONS]).split_ascii_whitespace();
    assert!(record.permissions.names().all(|name| granted.clone().any(|word| word == name)));
    assert_eq!(record.allow.is_empty(), text(&row[ALLOW]).trim_ascii().is_empty());
}

fn good_key() -> KeyRecord {
    KeyRecord::new(
        KeyId(GOOD_ID),
        PartnerId(GOOD_ID),
        Environment::Staging,
        ApiAccessPermission::all(),
        "abcd".to_owned(),
        Timestamp::UNIX_EPOCH,
    )
}

/// What is reported while something is done.
fn reported<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = WARNINGS.load(Ordering::Relaxed);
    let result = work();
    (result, WARNINGS.load(Ordering::Relaxed) - before)
}

fuzz_target!(|input: &[u8]| {
    let mut input = input;
    let key = row(&mut input, KEY_COLUMNS);
    let mut partner = row(&mut input, PARTNER_COLUMNS[0]);
    let change = row(&mut input, 3);
    partner.extend(row(&mut input, PARTNER_COLUMNS[1]));
    FIXTURE.with_borrow_mut(|Fixture { store, other, .. }| {
        other
            .execute_batch("DELETE FROM key; DELETE FROM partner; DELETE FROM change")
            .expect("it can be written");
        let (_, first) = store
            .write(Timestamp::UNIX_EPOCH, |write| {
                write.add_partner(good_key().partner_id, GOOD_PARTNER)?;
                write.insert_key(&good_key(), &GOOD_HASH)
            })
            .expect("a good key can be added");
        other.execute_batch("BEGIN").expect("it can be written");
        let has_partner = insert(other, "partner", &partner);
        let has_key = insert(other, "key", &key);
        insert(other, "change", &change);
        other.execute_batch("COMMIT").expect("it can be written");

        let mut loaded = Vec::new();
        let ((), warnings) = reported(|| {
            store.each_key(&mut |key| loaded.push(key)).expect("every row is passed over or read");
        });
        let is_good = |key: &&StoredKey| key.hash == GOOD_HASH && key.record.partner == GOOD_PARTNER;
        assert!(loaded.iter().any(|key| is_good(&key)), "the good key is served");
        let others: Vec<&StoredKey> = loaded.iter().filter(|key| !is_good(key)).collect();
        others.iter().for_each(|read| check(read, &key));
        assert!(others.len() == usize::from(has_key) || warnings > 0, "a row that is not served is reported");

        let listed = store.list_keys(&KeyFilter::default()).expect("every row is passed over or read");
        assert_eq!(listed, loaded.iter().map(|key| key.record.clone()).collect::<Vec<_>>());

        let changes = store.changes_since(first - 1).expect("every row is passed over or read");
        assert!(changes.keys.written.iter().any(|key| is_good(&key)), "the good key's change is followed");
        changes.keys.written.iter().filter(|key| !is_good(key)).for_each(|read| check(read, &key));

        let (partners, warnings) = reported(|| store.list_partners());
        let partners = partners.expect("every row is passed over or read");
        assert!(partners.iter().any(|partner| partner.name == GOOD_PARTNER), "the good partner is listed");
        assert!(
            partners.len() == 1 + usize::from(has_partner) || warnings > 0,
            "a partner that is not listed is reported"
        );
    });
});
