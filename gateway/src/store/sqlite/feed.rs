//! The feed: numbered rows in table `change`, written with the change itself (see `write.rs`).

use std::str::FromStr;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::super::{Changed, Changes, Feed, StoreError, StoredKey};
use super::people::{
    MEMBER_COLUMNS, TOKEN_COLUMNS, identities, member, member_columns, readable_row, role, token,
    token_columns,
};
use super::records::{PARTNER_COLUMNS, partner_columns, readable_partner};
use permissions::UserId;

use super::row::{KEY_COLUMNS, key_columns, keys_with_partners, parsed, readable_key, short_text};
use super::{Reads as _, Sqlite, failure};

impl Feed for Sqlite {
    fn key_count(&mut self) -> Result<usize, StoreError> {
        let count = self.read(|connection| {
            connection.query_row("SELECT count(*) FROM key", (), |row| row.get::<_, u32>(0))
        });
        Ok(count? as usize)
    }

    fn each_key(&mut self, visit: &mut dyn FnMut(StoredKey)) -> Result<i64, StoreError> {
        let mut run = || {
            // One transaction, so that the number and the keys are of the same moment.
            let transaction = self.connection.transaction()?;
            let last = transaction.query_row(LAST_CHANGE, (), |row| row.get(0))?;
            let mut statement = transaction.prepare_cached(concat!(
                "SELECT ",
                key_columns!(),
                " FROM ",
                keys_with_partners!(),
                " ORDER BY key.id"
            ))?;
            let mut rows = statement.query(())?;
            while let Some(row) = rows.next()? {
                readable_key(row).into_iter().for_each(&mut *visit);
            }
            Ok(last)
        };
        let last = run().map_err(|source| failure::error(&self.path, source))?;
        // The keys are not read again soon: their pages in SQLite's cache would only take memory.
        self.read(|connection| connection.release_memory())?;
        Ok(last)
    }

    fn changed(&mut self) -> Result<bool, StoreError> {
        let version = self.read(|connection| {
            connection.prepare_cached("PRAGMA data_version")?.query_row((), |row| row.get(0))
        })?;
        let others = self.data_version.replace(version) != Some(version);
        Ok(std::mem::take(&mut self.has_written) || others)
    }

    fn changes_since(&mut self, number: i64) -> Result<Changes, StoreError> {
        let mut run = || {
            let transaction = self.connection.transaction()?;
            let (first, last): (Option<i64>, i64) =
                transaction.query_row(FIRST_AND_LAST_CHANGE, (), |row| Ok((row.get(0)?, row.get(1)?)))?;
            // A number beyond the last one means that the store was restored from a backup.
            if number > last || first.is_some_and(|first| number + 1 < first) {
                return Ok(Changes { last, gap: true, ..Changes::default() });
            }
            let mut changes = Changes { last, ..Changes::default() };
            changes.keys = changed(
                &transaction,
                concat!(
                    "SELECT ",
                    key_columns!(),
                    ", changed.id FROM (
                        SELECT key_id AS id FROM change WHERE number > ?1 AND kind = 'key'
                        UNION
                        SELECT key.id FROM change JOIN key ON key.partner_id = change.key_id
                            WHERE number > ?1 AND kind = 'partner'
                     ) AS changed LEFT JOIN key ON key.id = changed.id
                     LEFT JOIN partner ON partner.id = key.partner_id"
                ),
                (number, KEY_COLUMNS),
                readable_key,
            )?;
            changes.partners = changed(
                &transaction,
                concat!(
                    "SELECT ",
                    partner_columns!(),
                    ", changed.id FROM
                     (SELECT DISTINCT key_id AS id FROM change WHERE number > ?1 AND kind = 'partner') AS changed
                     LEFT JOIN partner ON partner.id = changed.id"
                ),
                (number, PARTNER_COLUMNS),
                readable_partner,
            )?;
            changes.tokens = changed(
                &transaction,
                concat!(
                    "SELECT ",
                    token_columns!(),
                    ", changed.id FROM
                     (SELECT DISTINCT key_id AS id FROM change WHERE number > ?1 AND kind = 'token') AS changed
                     LEFT JOIN token ON token.id = changed.id"
                ),
                (number, TOKEN_COLUMNS),
                |row| readable_row(row, "token", token),
            )?;
            changes.users = changed(
                &transaction,
                "SELECT user.id, changed.id FROM
                 (SELECT DISTINCT key_id AS id FROM change WHERE number > ?1 AND kind = 'user') AS changed
                 LEFT JOIN user ON user.id = changed.id",
                (number, 1),
                |row| {
                    readable_row(row, "user", |row| {
                        let id = parsed(row, 0, str::parse::<UserId>)?;
                        Ok((id, identities(&transaction, id)?))
                    })
                },
            )?;
            changes.members = changed(
                &transaction,
                concat!(
                    "SELECT ",
                    member_columns!(),
                    ", changed.id FROM
                     (SELECT DISTINCT key_id AS id FROM change WHERE number > ?1 AND kind = 'membership') AS changed
                     LEFT JOIN membership ON membership.id = changed.id
                     LEFT JOIN user ON user.id = membership.user_id"
                ),
                (number, MEMBER_COLUMNS),
                |row| readable_row(row, "membership", member),
            )?;
            changes.roles = changed(
                &transaction,
                "SELECT role.id, role.organization, role.name, role.permissions, role.created, changed.id FROM
                 (SELECT DISTINCT key_id AS id FROM change WHERE number > ?1 AND kind = 'role') AS changed
                 LEFT JOIN role ON role.id = changed.id",
                (number, 5),
                |row| readable_row(row, "role", role),
            )?;
            Ok(changes)
        };
        run().map_err(|source| failure::error(&self.path, source))
    }
}

/// The records of one kind that changed after `number`; their ids are in column `id`, behind their own columns.
fn changed<Id: FromStr, T>(
    connection: &Connection,
    sql: &str,
    (number, id): (i64, usize),
    read: impl Fn(&Row<'_>) -> Option<T>,
) -> rusqlite::Result<Changed<Id, T>> {
    let mut changed = Changed::default();
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([number])?;
    while let Some(row) = rows.next()? {
        let exists = row.get_ref(0)? != ValueRef::Null;
        let text = short_text(row, id);
        match (exists.then(|| read(row)).flatten(), text.parse()) {
            (Some(record), _) => changed.written.push(record),
            (None, Ok(id)) => changed.removed.push(id),
            (None, Err(_)) => tracing::warn!("The feed names {text:?}, which is not an id"),
        }
    }
    Ok(changed)
}

/// The number of the last change, or 0.
pub(super) const LAST_CHANGE: &str = "SELECT coalesce(max(number), 0) FROM change";

/// Two subqueries, because `SELECT min(number), max(number)` would scan the entire table.
const FIRST_AND_LAST_CHANGE: &str =
    "SELECT (SELECT min(number) FROM change), (SELECT coalesce(max(number), 0) FROM change)";

#[cfg(test)]
mod tests {
    use permissions::Credential;

    use super::super::super::tests::{Fixture, NOW, insert, key};

    #[test]
    fn the_last_use_of_a_key_is_not_in_the_feed() {
        let mut fixture = Fixture::new();
        insert(&mut fixture.store, &key(1));
        fixture.store.changed().unwrap();
        fixture.store.write_last_used(&[(Credential::Key(key(1).record.id), NOW)]).unwrap();
        assert!(!fixture.store.changed().unwrap());
    }

    #[test]
    fn a_key_that_is_gone_or_unreadable_is_reported_as_removed() {
        let mut fixture = Fixture::new();
        insert(&mut fixture.store, &key(1));
        insert(&mut fixture.store, &key(2));
        insert(&mut fixture.store, &key(3));
        fixture
            .execute_raw("DELETE FROM key WHERE id LIKE '%1'; UPDATE key SET allow = '?' WHERE id LIKE '%2'");
        fixture.execute_raw("INSERT INTO change (key_id, at) VALUES ('nonsense', 0)");
        fixture.execute_raw("INSERT INTO change (kind, key_id, at) VALUES ('of a newer build', 'x', 0)");
        // If this were an error, no later change would ever be applied.
        fixture.execute_raw("INSERT INTO change (key_id, at) VALUES (CAST(x'ff' AS TEXT), 0)");
        fixture
            .execute_raw("INSERT INTO change (kind, key_id, at) VALUES ('partner', CAST(x'ff' AS TEXT), 0)");
        let mut changes = fixture.store.changes_since(0).unwrap();
        changes.keys.removed.sort();
        assert_eq!(changes.keys.removed, [key(1).record.id, key(2).record.id]);
        assert_eq!(changes.keys.written, [key(3)]);
        assert_eq!(changes.last, 8);
    }
}
