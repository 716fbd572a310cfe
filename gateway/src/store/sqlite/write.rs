//! Write transactions, one at a time. Each write to a key or a partner adds a numbered row to the feed.

use std::path::Path;

use jiff::Timestamp;
use permissions::{KeyHash, KeyId, KeyRecord, PartnerId};
use rusqlite::{Connection, ToSql, Transaction, TransactionBehavior};
use uuid::Uuid;

use super::super::{KeyUpdate, StoreError, Write};
use super::feed::LAST_CHANGE;
use super::{Reads, Sqlite, failure, row};

/// A write transaction.
pub(super) struct SqliteWrite<'a> {
    transaction: Transaction<'a>,
    path: &'a Path,
    pub(super) now: Timestamp,
    changes_kept: i64,
    has_written: &'a mut bool,
    /// Whether this transaction has added a row to the feed.
    wrote: bool,
}

impl<'a> SqliteWrite<'a> {
    pub(super) fn begin(store: &'a mut Sqlite, now: Timestamp) -> Result<Self, StoreError> {
        let Sqlite { connection, path, changes_kept, has_written, .. } = store;
        let begun = connection.transaction_with_behavior(TransactionBehavior::Immediate);
        let transaction = begun.map_err(|source| failure::error(path, source))?;
        Ok(Self { transaction, path, now, changes_kept: *changes_kept, has_written, wrote: false })
    }

    pub(super) fn execute(&self, sql: &str, values: &[&dyn ToSql]) -> Result<usize, StoreError> {
        self.read(|transaction| transaction.prepare_cached(sql)?.execute(values))
    }

    /// Adds a row to the feed if `written`; returns `written`.
    pub(super) fn add_change_if(&mut self, written: bool, kind: &str, id: Uuid) -> Result<bool, StoreError> {
        if written {
            self.wrote = true;
            let sql = "INSERT INTO change (kind, key_id, at) VALUES (?1, ?2, ?3)";
            self.execute(sql, &[&kind, &id.to_string(), &self.now.as_microsecond()])?;
        }
        Ok(written)
    }
}

impl Reads for SqliteWrite<'_> {
    fn read<T>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        read(&self.transaction).map_err(|source| failure::error(self.path, source))
    }
}

impl Write for SqliteWrite<'_> {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn fact(&mut self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(|transaction| super::fact(transaction, name))
    }

    fn set_fact(&mut self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        let sql = "INSERT INTO setting (name, value) VALUES (?1, ?2)
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.execute(sql, &[&name, &value]).map(|_| ())
    }

    fn add_partner(&mut self, id: PartnerId, name: &str) -> Result<bool, StoreError> {
        let sql = "INSERT INTO partner (id, name, created, granted_staging, granted_production)
                   VALUES (?1, ?2, ?3, '', '') ON CONFLICT (name) DO NOTHING";
        let rows = self.execute(sql, &[&id.to_string(), &name, &self.now.as_microsecond()])?;
        self.add_change_if(rows == 1, "partner", id.0)
    }

    fn rename_partner(&mut self, id: PartnerId, name: &str) -> Result<bool, StoreError> {
        // Keys repeat the name for older builds; the constraint is checked after both have changed.
        self.execute("PRAGMA defer_foreign_keys = ON", &[])?;
        let rows = self.execute(
            "UPDATE partner SET name = ?2 WHERE id = ?1 AND name <> ?2",
            &[&id.to_string(), &name],
        )?;
        self.execute("UPDATE key SET partner = ?2 WHERE partner_id = ?1", &[&id.to_string(), &name])?;
        self.add_change_if(rows == 1, "partner", id.0)
    }

    fn set_partner_suspended(&mut self, id: PartnerId, suspended: bool) -> Result<bool, StoreError> {
        let since = suspended.then(|| self.now.as_microsecond());
        let rows = self.execute(
            "UPDATE partner SET suspended = ?2 WHERE id = ?1 AND (suspended IS NULL) <> (?2 IS NULL)",
            &[&id.to_string(), &since],
        )?;
        // A build without suspension would serve this partner's keys, so it must not start.
        self.execute(
            "UPDATE migration SET compatible = NOT EXISTS (SELECT 1 FROM partner WHERE suspended IS NOT NULL)
             WHERE number = 3",
            &[],
        )?;
        self.add_change_if(rows == 1, "partner", id.0)
    }

    fn remove_partner(&mut self, id: PartnerId) -> Result<bool, StoreError> {
        let (partner, at) = (id.to_string(), self.now.as_microsecond());
        self.execute(
            "INSERT INTO change (kind, key_id, at) SELECT 'key', id, ?2 FROM key WHERE partner_id = ?1",
            &[&partner, &at],
        )?;
        self.execute("DELETE FROM key WHERE partner_id = ?1", &[&partner])?;
        let rows = self.execute("DELETE FROM partner WHERE id = ?1", &[&partner])?;
        self.add_change_if(rows == 1, "partner", id.0)
    }

    fn insert_key(&mut self, key: &KeyRecord, hash: &KeyHash) -> Result<(), StoreError> {
        let micros = |moment: Option<Timestamp>| moment.map(Timestamp::as_microsecond);
        self.execute(
            "INSERT INTO key (id, partner_id, partner, name, environment, permissions, hash, algorithm, hint, created,
                              not_before, expires, revoked, allow, rate, replaces, last_used,
                              on_retired)
             VALUES (?1, ?2, (SELECT name FROM partner WHERE id = ?2), ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
            &[
                &key.id.to_string(),
                &key.partner_id.to_string(),
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
        self.add_change_if(true, "key", key.id.0).map(drop)
    }

    fn update_key(&mut self, id: KeyId, update: &KeyUpdate) -> Result<bool, StoreError> {
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
            // The column is one of the seven names above, never a caller's text.
            let sql = format!("UPDATE key SET {column} = ?2 WHERE id = ?1");
            if self.execute(&sql, &[&id.to_string(), &**value])? == 0 {
                return Ok(false);
            }
        }
        self.add_change_if(true, "key", id.0)
    }

    fn revoke_key(&mut self, id: KeyId) -> Result<bool, StoreError> {
        let rows = self.execute(
            "UPDATE key SET revoked = ?2 WHERE id = ?1 AND revoked IS NULL",
            &[&id.to_string(), &self.now.as_microsecond()],
        )?;
        self.add_change_if(rows == 1, "key", id.0)
    }

    fn commit(self: Box<Self>) -> Result<i64, StoreError> {
        let number: i64 =
            self.read(|transaction| transaction.query_row(LAST_CHANGE, (), |row| row.get(0)))?;
        self.execute("DELETE FROM change WHERE number <= ?1", &[&(number - self.changes_kept)])?;
        let (path, has_written, wrote) = (self.path, self.has_written, self.wrote);
        self.transaction.commit().map_err(|source| failure::error(path, source))?;
        *has_written |= wrote;
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{Fixture, NOW, insert, key};
    use super::*;

    #[test]
    fn an_update_changes_only_the_settings_it_names() {
        let mut fixture = Fixture::new();
        let one = key(1);
        insert(&mut fixture.store, &one);
        fixture.execute_raw("UPDATE key SET permissions = 'ping:read future:write'");
        let update = KeyUpdate { rate: Some(None), name: Some("new".to_owned()), ..KeyUpdate::default() };
        let (found, number) =
            fixture.store.write(NOW, |write| write.update_key(one.record.id, &update)).unwrap();
        assert!(found);
        assert_eq!(number, 3, "one write to a key is one change");
        let stored: String = Connection::open(fixture.folder.store())
            .unwrap()
            .query_row("SELECT permissions || name || coalesce(rate, '-') FROM key", (), |row| row.get(0))
            .unwrap();
        assert_eq!(stored, "ping:read future:writenew-");
        let nobody = KeyId(Uuid::nil());
        assert!(!fixture.store.write(NOW, |write| write.update_key(nobody, &update)).unwrap().0);
        assert_eq!(
            fixture.store.changes_since(3).unwrap().last,
            3,
            "an update that writes nothing adds no change"
        );
    }
}
