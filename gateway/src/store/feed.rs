//! The feed: how a running server learns what other processes wrote.
//!
//! `changed` is a doorbell that costs about a microsecond and misses nothing; `changes_since` says
//! what happened since a number. Both read; nothing here decides what a change means.

use permissions::KeyId;

use super::row::{KEY_COLUMNS, key_columns, readable_key};
use super::{Store, StoreError, StoredKey};

/// What happened since a number.
#[derive(Debug, Default)]
pub struct Changes {
    /// The number up to which this tells everything: ask from here the next time.
    pub last: i64,
    /// The keys that were written, as they are now; each once.
    pub keys: Vec<StoredKey>,
    /// The keys that are gone, or whose rows cannot be read any more: refuse them.
    pub removed: Vec<KeyId>,
    /// The feed no longer reaches back to the number: load every key anew.
    pub gap: bool,
}

impl Store {
    /// How many keys there are, readable or not.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn key_count(&self) -> Result<usize, StoreError> {
        self.connection
            .query_row("SELECT count(*) FROM key", (), |row| row.get::<_, u32>(0))
            .map(|count| count as usize)
            .map_err(|source| StoreError::sqlite(&self.path, source))
    }

    /// Shows every readable key to `visit`; returns the number of the last change that they contain.
    ///
    /// Rows that cannot be read are left out with a warning (see `row.rs`).
    ///
    /// # Errors
    /// What SQLite says; what was shown until then is not everything.
    pub fn each_key(&mut self, mut visit: impl FnMut(StoredKey)) -> Result<i64, StoreError> {
        let path = &self.path;
        let connection = &mut self.connection;
        let mut run = || {
            // One transaction: the number and the keys are of the same moment.
            let transaction = connection.transaction()?;
            let last = transaction.query_row(LAST_CHANGE, (), |row| row.get(0))?;
            let mut statement = transaction.prepare_cached(concat!(
                "SELECT ",
                key_columns!(),
                " FROM key ORDER BY key.id"
            ))?;
            let mut rows = statement.query(())?;
            while let Some(row) = rows.next()? {
                readable_key(row).into_iter().for_each(&mut visit);
            }
            Ok(last)
        };
        let last = run().map_err(|source| StoreError::sqlite(path, source))?;
        // What was read is not read again soon: the pages that SQLite keeps of it are only in the way.
        self.connection.release_memory().map_err(|source| StoreError::sqlite(&self.path, source))?;
        Ok(last)
    }

    /// Whether another connection has committed since the last call; true on the first.
    ///
    /// What this connection wrote itself it does not report.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn changed(&mut self) -> Result<bool, StoreError> {
        let version = self
            .connection
            .prepare_cached("PRAGMA data_version")
            .and_then(|mut statement| statement.query_row((), |row| row.get(0)))
            .map_err(|source| StoreError::sqlite(&self.path, source))?;
        Ok(self.data_version.replace(version) != Some(version))
    }

    /// What happened after change `number`.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn changes_since(&mut self, number: i64) -> Result<Changes, StoreError> {
        let path = &self.path;
        let connection = &mut self.connection;
        let mut run = || {
            let transaction = connection.transaction()?;
            let (first, last): (Option<i64>, i64) =
                transaction.query_row(FIRST_AND_LAST_CHANGE, (), |row| Ok((row.get(0)?, row.get(1)?)))?;
            // A number from the future means that the store was put back from a backup meanwhile.
            if number > last || first.is_some_and(|first| number + 1 < first) {
                return Ok(Changes { last, gap: true, ..Changes::default() });
            }
            let mut changes = Changes { last, ..Changes::default() };
            let mut statement = transaction.prepare_cached(concat!(
                "SELECT ",
                key_columns!(),
                ", changed.key_id FROM (SELECT DISTINCT key_id FROM change WHERE number > ?1) AS changed
                 LEFT JOIN key ON key.id = changed.key_id"
            ))?;
            let mut rows = statement.query([number])?;
            while let Some(row) = rows.next()? {
                let id: String = row.get(KEY_COLUMNS)?;
                let exists = row.get_ref(0)? != rusqlite::types::ValueRef::Null;
                match (exists.then(|| readable_key(row)).flatten(), id.parse()) {
                    (Some(key), _) => changes.keys.push(key),
                    (None, Ok(id)) => changes.removed.push(id),
                    (None, Err(_)) => tracing::warn!("The feed names {id:?}, which is not the id of a key"),
                }
            }
            Ok(changes)
        };
        run().map_err(|source| StoreError::sqlite(path, source))
    }
}

const LAST_CHANGE: &str = "SELECT coalesce(max(number), 0) FROM change";

/// Two queries in one: asked for both ends at once, SQLite would read the whole feed.
const FIRST_AND_LAST_CHANGE: &str =
    "SELECT (SELECT min(number) FROM change), (SELECT coalesce(max(number), 0) FROM change)";

#[cfg(test)]
mod tests {
    use super::super::KeyUpdate;
    use super::super::tests::{Fixture, NOW, insert, key};

    #[test]
    fn one_connection_hears_what_another_writes() {
        let mut fixture = Fixture::new();
        let mut server = fixture.other();
        assert_eq!(server.each_key(|_| ()).unwrap(), 0);
        assert!(server.changed().unwrap(), "the first call has nothing to compare with");
        assert!(!server.changed().unwrap());

        assert_eq!(insert(&mut fixture.store, &key(1)), 1);
        assert_eq!(insert(&mut fixture.store, &key(2)), 2);
        assert!(server.changed().unwrap());
        assert!(!server.changed().unwrap());
        let changes = server.changes_since(0).unwrap();
        assert_eq!((changes.last, changes.gap), (2, false));
        assert_eq!(changes.keys, [key(1), key(2)]);
        assert_eq!(server.changes_since(2).unwrap().keys, []);

        fixture.store.write(NOW, |write| write.revoke_key(key(1).record.id)).unwrap();
        let update = KeyUpdate { name: Some("n".to_owned()), ..KeyUpdate::default() };
        fixture.store.write(NOW, |write| write.update_key(key(1).record.id, &update)).unwrap();
        let changes = server.changes_since(2).unwrap();
        assert_eq!(changes.last, 4);
        assert_eq!(changes.keys.len(), 1, "a key that was written twice is told once");
        assert_eq!(changes.keys[0].record.revoked, Some(NOW));
        assert_eq!(changes.keys[0].record.name, "n");
        let mut loaded = Vec::new();
        assert_eq!(server.each_key(|key| loaded.push(key)).unwrap(), 4);
        assert_eq!(loaded.len(), 2);
        assert_eq!(server.key_count().unwrap(), 2);
    }

    #[test]
    fn what_a_server_writes_does_not_wake_it() {
        let mut fixture = Fixture::new();
        insert(&mut fixture.store, &key(1));
        fixture.store.changed().unwrap();
        fixture.store.write_last_used(&[(key(1).record.id, NOW)]).unwrap();
        assert!(!fixture.store.changed().unwrap());
    }

    #[test]
    fn a_key_that_is_gone_or_unreadable_is_told_as_removed() {
        let mut fixture = Fixture::new();
        insert(&mut fixture.store, &key(1));
        insert(&mut fixture.store, &key(2));
        insert(&mut fixture.store, &key(3));
        fixture.meddle("DELETE FROM key WHERE id LIKE '%1'; UPDATE key SET allow = '?' WHERE id LIKE '%2'");
        fixture.meddle("INSERT INTO change (key_id, at) VALUES ('nonsense', 0)");
        let mut changes = fixture.store.changes_since(0).unwrap();
        changes.removed.sort();
        assert_eq!(changes.removed, [key(1).record.id, key(2).record.id]);
        assert_eq!(changes.keys, [key(3)]);
        assert_eq!(changes.last, 4);
    }

    #[test]
    fn a_server_that_fell_behind_the_feed_is_told_so() {
        let mut fixture = Fixture::new();
        fixture.store.changes_kept = 2;
        for number in 1..=5 {
            insert(&mut fixture.store, &key(number));
        }
        assert!(fixture.store.changes_since(2).unwrap().gap, "change 3 is gone");
        let changes = fixture.store.changes_since(3).unwrap();
        assert_eq!((changes.gap, changes.keys.len(), changes.last), (false, 2, 5));
        assert!(fixture.store.changes_since(0).unwrap().gap);
        assert!(!fixture.store.changes_since(5).unwrap().gap);
        assert!(fixture.store.changes_since(6).unwrap().gap, "the store is older than the server");
        assert_eq!(fixture.store.changes_since(6).unwrap().last, 5);
    }
}
