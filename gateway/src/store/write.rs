//! Writing: one transaction at a time, and a numbered row in the feed for each write to a key.
//!
//! The feed row is written here and nowhere else, in the transaction of the write itself, so there
//! is no write to a key that a running server does not hear of. Which writes belong together is for
//! the caller to say.

use std::path::Path;

use ipnet::IpNet;
use jiff::Timestamp;
use permissions::{ApiAccessPermission, KeyHash, KeyId, KeyRecord, OnRetired, Rate};
use rusqlite::{OptionalExtension as _, ToSql, Transaction, TransactionBehavior};

use super::{Store, StoreError, row};

/// How many rows one transaction of `write_last_used` changes, so that a command that revokes a key
/// never waits long for it.
const LAST_USED_ROWS_MAX: usize = 1_000;

/// A transaction that writes. It is gone without a trace unless [`Store::write`] commits it.
pub struct Write<'a> {
    transaction: Transaction<'a>,
    path: &'a Path,
    now: Timestamp,
}

/// What to change of a key; `None` leaves a member as it is, `Some(None)` takes it away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyUpdate {
    /// What it may do.
    pub permissions: Option<ApiAccessPermission>,
    /// The networks it may be used from; empty means any.
    pub allow: Option<Vec<IpNet>>,
    /// From when on it is good.
    pub not_before: Option<Option<Timestamp>>,
    /// From when on it is refused.
    pub expires: Option<Option<Timestamp>>,
    /// Its own rate.
    pub rate: Option<Option<Rate>>,
    /// What its holder calls it.
    pub name: Option<String>,
    /// What answers its calls to a retired version.
    pub on_retired: Option<OnRetired>,
}

impl Store {
    /// Runs `body` in one transaction and commits it; returns what it returned, with the number of
    /// the last change. An error rolls everything back.
    ///
    /// # Errors
    /// What `body` or SQLite says.
    pub fn write<T, E: From<StoreError>>(
        &mut self,
        now: Timestamp,
        body: impl FnOnce(&Write<'_>) -> Result<T, E>,
    ) -> Result<(T, i64), E> {
        let path = &self.path;
        let failed = |source| E::from(StoreError::sqlite(path, source));
        let begun = self.connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let write = Write { transaction: begun.map_err(failed)?, path, now };
        let value = body(&write)?;
        let transaction = write.transaction;
        let number: i64 = transaction
            .query_row("SELECT coalesce(max(number), 0) FROM change", (), |row| row.get(0))
            .map_err(failed)?;
        transaction
            .execute("DELETE FROM change WHERE number <= ?1", [number - self.changes_kept])
            .map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok((value, number))
    }

    /// Notes when keys were last used. It is no change: servers need not hear of it.
    ///
    /// # Errors
    /// What SQLite says; the keys before the failure are noted.
    pub fn write_last_used(&mut self, used: &[(KeyId, Timestamp)]) -> Result<(), StoreError> {
        let path = &self.path;
        let connection = &mut self.connection;
        let mut run = || -> rusqlite::Result<()> {
            for some in used.chunks(LAST_USED_ROWS_MAX) {
                let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
                {
                    // Another server may have seen the key later than this one.
                    let mut statement = transaction.prepare_cached(
                        "UPDATE key SET last_used = max(coalesce(last_used, ?2), ?2) WHERE id = ?1",
                    )?;
                    for (id, at) in some {
                        statement.execute((id.to_string(), at.as_microsecond()))?;
                    }
                }
                transaction.commit()?;
            }
            Ok(())
        };
        run().map_err(|source| StoreError::sqlite(path, source))
    }
}

impl Write<'_> {
    /// The moment of this transaction.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Makes a partner; says whether it is new.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn add_partner(&self, name: &str) -> Result<bool, StoreError> {
        let rows = self.execute(
            "INSERT OR IGNORE INTO partner (name, created) VALUES (?1, ?2)",
            &[&name, &self.now.as_microsecond()],
        )?;
        Ok(rows == 1)
    }

    /// Makes a key. Its partner must be there.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn insert_key(&self, key: &KeyRecord, hash: &KeyHash) -> Result<(), StoreError> {
        let micros = |moment: Option<Timestamp>| moment.map(Timestamp::as_microsecond);
        self.execute(
            "INSERT INTO key (id, partner, name, environment, permissions, hash, algorithm, hint, created,
                              not_before, expires, revoked, allow, rate, replaces, last_used,
                              on_retired)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
            &[
                &key.id.to_string(),
                &key.partner,
                &key.name,
                &key.environment.name(),
                &key.permissions.to_string(),
                &hash.0,
                &KeyHash::ALGORITHM,
                &key.hint,
                &key.created.as_microsecond(),
                &micros(key.not_before),
                &micros(key.expires),
                &micros(key.revoked),
                &row::networks(&key.allow),
                &key.rate.map(|rate| rate.to_string()),
                &key.replaces.map(|id| id.to_string()),
                &micros(key.last_used),
                &key.on_retired.name(),
            ],
        )?;
        self.announce(key.id)
    }

    /// Changes the members that the update names, and no other: what a newer build wrote into the
    /// rest of the row stays. Says whether there is such a key.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn update_key(&self, id: KeyId, update: &KeyUpdate) -> Result<bool, StoreError> {
        let mut sets: Vec<(&str, Box<dyn ToSql>)> = Vec::new();
        if let Some(permissions) = update.permissions {
            sets.push(("permissions", Box::new(permissions.to_string())));
        }
        if let Some(allow) = &update.allow {
            sets.push(("allow", Box::new(row::networks(allow))));
        }
        if let Some(not_before) = update.not_before {
            sets.push(("not_before", Box::new(not_before.map(Timestamp::as_microsecond))));
        }
        if let Some(expires) = update.expires {
            sets.push(("expires", Box::new(expires.map(Timestamp::as_microsecond))));
        }
        if let Some(rate) = update.rate {
            sets.push(("rate", Box::new(rate.map(|rate| rate.to_string()))));
        }
        if let Some(name) = &update.name {
            sets.push(("name", Box::new(name.clone())));
        }
        if let Some(on_retired) = update.on_retired {
            sets.push(("on_retired", Box::new(on_retired.name())));
        }
        for (column, value) in &sets {
            // The column is one of the seven words above, never a caller's text.
            let sql = format!("UPDATE key SET {column} = ?2 WHERE id = ?1");
            if self.execute(&sql, &[&id.to_string(), &**value])? == 0 {
                return Ok(false);
            }
        }
        self.announce(id)?;
        Ok(true)
    }

    /// Revokes a key from now on; says whether there is such a key that was not revoked before.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn revoke_key(&self, id: KeyId) -> Result<bool, StoreError> {
        let rows = self.execute(
            "UPDATE key SET revoked = ?2 WHERE id = ?1 AND revoked IS NULL",
            &[&id.to_string(), &self.now.as_microsecond()],
        )?;
        if rows == 1 {
            self.announce(id)?;
        }
        Ok(rows == 1)
    }

    /// The key of this id, as this transaction sees it.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn key(&self, id: KeyId) -> Result<Option<KeyRecord>, StoreError> {
        row::key(&self.transaction, id).map_err(|source| StoreError::sqlite(self.path, source))
    }

    /// The key that took the place of this one in a rotation, if any, and was not revoked since.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn successor(&self, id: KeyId) -> Result<Option<KeyId>, StoreError> {
        let failed = |source| StoreError::sqlite(self.path, source);
        let mut statement = self
            .transaction
            .prepare_cached("SELECT id FROM key WHERE replaces = ?1 AND revoked IS NULL ORDER BY id LIMIT 1")
            .map_err(failed)?;
        let found = statement.query_row([id.to_string()], |row| row.get::<_, String>(0)).optional();
        Ok(found.map_err(failed)?.and_then(|text| text.parse().ok()))
    }

    /// Whether no partner and no key was ever made.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn is_empty(&self) -> Result<bool, StoreError> {
        row::is_empty(&self.transaction).map_err(|source| StoreError::sqlite(self.path, source))
    }

    /// Puts a write to a key into the feed.
    fn announce(&self, id: KeyId) -> Result<(), StoreError> {
        let at = self.now.as_microsecond();
        self.execute("INSERT INTO change (key_id, at) VALUES (?1, ?2)", &[&id.to_string(), &at])?;
        Ok(())
    }

    fn execute(&self, sql: &str, values: &[&dyn ToSql]) -> Result<usize, StoreError> {
        self.transaction
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(values))
            .map_err(|source| StoreError::sqlite(self.path, source))
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Fixture, NOW, insert, key};
    use super::super::{Failure, KeyFilter};
    use super::*;

    #[test]
    fn an_error_rolls_everything_back() {
        let mut fixture = Fixture::new();
        let one = key(1);
        let error = fixture
            .store
            .write(NOW, |write| {
                write.add_partner(&one.record.partner)?;
                write.insert_key(&one.record, &one.hash)?;
                write.insert_key(&one.record, &one.hash)
            })
            .unwrap_err();
        assert_eq!(error.failure(), Some(Failure::Statement), "an id is given once");
        assert!(fixture.store.is_empty().unwrap());
        assert_eq!(insert(&mut fixture.store, &one), 1, "the number was not used up");
    }

    #[test]
    fn a_key_needs_its_partner_and_a_hash_of_its_own() {
        let mut fixture = Fixture::new();
        let (one, mut two) = (key(1), key(2));
        assert!(fixture.store.write(NOW, |write| write.insert_key(&one.record, &one.hash)).is_err());
        insert(&mut fixture.store, &one);
        two.hash = one.hash;
        assert!(fixture.store.write(NOW, |write| write.insert_key(&two.record, &two.hash)).is_err());
    }

    #[test]
    fn an_update_touches_only_what_it_names() {
        let mut fixture = Fixture::new();
        let one = key(1);
        insert(&mut fixture.store, &one);
        fixture.meddle("UPDATE key SET permissions = 'ping:read future:write'");
        let update = KeyUpdate { rate: Some(None), name: Some("new".to_owned()), ..KeyUpdate::default() };
        let (found, number) =
            fixture.store.write(NOW, |write| write.update_key(one.record.id, &update)).unwrap();
        assert!(found);
        assert_eq!(number, 2, "one write to a key is one change");
        let stored: String = fixture
            .store
            .connection
            .query_row("SELECT permissions || name || coalesce(rate, '-') FROM key", (), |row| row.get(0))
            .unwrap();
        assert_eq!(stored, "ping:read future:writenew-");
        let nobody = KeyId(uuid::Uuid::nil());
        assert!(!fixture.store.write(NOW, |write| write.update_key(nobody, &update)).unwrap().0);
        assert_eq!(fixture.store.changes_since(2).unwrap().last, 2, "nothing was announced for nobody");
    }

    #[test]
    fn two_writers_lose_nothing() {
        let fixture = Fixture::new();
        std::thread::scope(|scope| {
            for writer in 0..2_u128 {
                let mut store = fixture.other();
                scope.spawn(move || {
                    for number in 1..=50 {
                        insert(&mut store, &key(writer * 1_000 + number));
                    }
                });
            }
        });
        let mut store = fixture.other();
        assert_eq!(store.list_keys(&KeyFilter::default()).unwrap().len(), 100);
        let changes = store.changes_since(0).unwrap();
        assert_eq!((changes.last, changes.keys.len()), (100, 100));
    }

    #[test]
    fn last_used_only_moves_forward_and_is_no_change() {
        let mut fixture = Fixture::new();
        let id = key(1).record.id;
        insert(&mut fixture.store, &key(1));
        let second = |offset: i64| Timestamp::from_second(NOW.as_second() + offset).unwrap();
        for (at, expected) in [(0, 0), (60, 60), (30, 60)] {
            fixture.store.write_last_used(&[(id, second(at)), (key(9).record.id, NOW)]).unwrap();
            assert_eq!(fixture.store.key(id).unwrap().unwrap().last_used, Some(second(expected)));
        }
        assert_eq!(fixture.store.changes_since(0).unwrap().last, 1);
    }
}
