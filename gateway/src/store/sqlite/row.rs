//! Converts rows to keys and back.
//!
//! A row that cannot be read completely grants nothing: it is skipped with a warning that names the key, and
//! every other key is served. That applies to damage and to what a newer build wrote (an environment, a hash
//! algorithm) alike.

use ipnet::IpNet;
use jiff::Timestamp;
use permissions::{ApiAccessPermission, Environment, KeyHash, KeyId, KeyRecord, OnRetired, ceiling};
use rusqlite::Row;
use rusqlite::types::{Type, ValueRef};

use super::super::StoredKey;
use super::super::records::from_microseconds;

/// The columns of a key in the order in which [`read_key`] takes them.
macro_rules! key_columns {
    () => {
        "key.id, partner.name, key.name, key.environment, key.permissions, key.hash, key.algorithm, key.hint, \
         key.created, key.not_before, key.expires, key.revoked, key.allow, key.rate, key.replaces, key.last_used, \
         key.on_retired, key.partner_id, partner.suspended, partner.is_operator, partner.granted_staging, \
         partner.granted_production"
    };
}
pub(super) use key_columns;

/// The tables of [`key_columns`]. A key without a partner cannot be read, so it is refused.
macro_rules! keys_with_partners {
    () => {
        "key LEFT JOIN partner ON partner.id = key.partner_id"
    };
}
pub(super) use keys_with_partners;

/// The number of columns in [`key_columns`]: where further columns of a query begin.
pub(super) const KEY_COLUMNS: usize = 22;

/// Reads the key in a row; a row that cannot be read is logged and skipped.
pub(super) fn readable_key(row: &Row<'_>) -> Option<StoredKey> {
    match read_key(row) {
        Ok(key) => Some(key),
        Err(reason) => {
            let id = short_text(row, 0);
            tracing::warn!(key.id = ?id, "Key {id:?} cannot be read and is refused: {reason}");
            None
        }
    }
}

/// Reads the key in a row, or returns what is wrong with the row.
fn read_key(row: &Row<'_>) -> Result<StoredKey, &'static str> {
    let id: KeyId = text(row, 0)?.parse().map_err(|_| "its id is not a UUID")?;
    let environment = text(row, 3)?.parse::<Environment>().map_err(|_| "its environment is unknown")?;
    let (permissions, unknown) = ApiAccessPermission::from_stored(text(row, 4)?);
    if text(row, 6)? != KeyHash::ALGORITHM {
        return Err("its hash algorithm is unknown");
    }
    let ValueRef::Blob(hash) = value(row, 5)? else { return Err("its hash is not a blob") };
    let hash = KeyHash(hash.try_into().map_err(|_| "its hash has the wrong length")?);
    let allow = text(row, 12)?.split_ascii_whitespace().map(str::parse).collect::<Result<Vec<IpNet>, _>>();
    let rate = optional_text(row, 13)?.map(str::parse).transpose().map_err(|_| "its rate is malformed")?;
    let replaces = optional_text(row, 14)?.map(str::parse).transpose();
    let granted = match environment {
        Environment::Staging => optional_text(row, 20)?,
        Environment::Production => optional_text(row, 21)?,
    };
    let granted = granted.map(|names| ApiAccessPermission::from_stored(names).0);
    let is_operator = matches!(value(row, 19)?, ValueRef::Integer(number) if number != 0);
    let record = KeyRecord {
        id,
        partner_id: text(row, 17)?.parse().map_err(|_| "the id of its partner is not a UUID")?,
        partner: text(row, 1)?.to_owned(),
        suspended: optional_moment(row, 18)?.is_some(),
        name: text(row, 2)?.to_owned(),
        environment,
        permissions,
        ceiling: ceiling(is_operator, granted),
        hint: text(row, 7)?.to_owned(),
        created: optional_moment(row, 8)?.ok_or("a column that must be set is null")?,
        not_before: optional_moment(row, 9)?,
        expires: optional_moment(row, 10)?,
        revoked: optional_moment(row, 11)?,
        allow: allow.map_err(|_| "one of its networks is malformed")?,
        rate,
        replaces: replaces.map_err(|_| "the id of the key that it replaces is not a UUID")?,
        last_used: optional_moment(row, 15)?,
        // A value that only a newer build has is read as the stricter of the two.
        on_retired: if text(row, 16)? == OnRetired::Forward.name() {
            OnRetired::Forward
        } else {
            OnRetired::Refuse
        },
    };
    if !unknown.is_empty() {
        // A newer build may have granted them. One line per key, whatever the row holds.
        let names = unknown.join(" ").chars().take(256).collect::<String>();
        tracing::warn!(key.id = %id, "Key {id} has permissions that this build does not have and does not grant: {names:?}");
    }
    Ok(StoredKey { record, hash })
}

fn value<'a>(row: &'a Row<'_>, column: usize) -> Result<ValueRef<'a>, &'static str> {
    row.get_ref(column).map_err(|_| "a column is missing")
}

fn text<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a str, &'static str> {
    optional_text(row, column)?.ok_or("a column that must be set is null")
}

/// The beginning of a text that names a row in a report, whatever stands there.
pub(super) fn short_text(row: &Row<'_>, column: usize) -> String {
    text(row, column).unwrap_or("not a text").chars().take(64).collect()
}

fn optional_text<'a>(row: &'a Row<'_>, column: usize) -> Result<Option<&'a str>, &'static str> {
    match value(row, column)? {
        ValueRef::Null => Ok(None),
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).map(Some).map_err(|_| "a column is not UTF-8"),
        _ => Err("a column has the wrong type"),
    }
}

fn optional_moment(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>, &'static str> {
    match value(row, column)? {
        ValueRef::Null => Ok(None),
        ValueRef::Integer(microseconds) => {
            from_microseconds(microseconds).map(Some).map_err(|_| "one of its times is out of range")
        }
        _ => Err("a column has the wrong type"),
    }
}

/// Reads a time that must be set, from rows other than keys.
pub(super) fn moment(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    from_microseconds(row.get(column)?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, Box::new(error)))
}

/// Reads a time that may be missing, from rows other than keys.
pub(super) fn optional_moment_of(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    row.get::<_, Option<i64>>(column)?.map(|_| moment(row, column)).transpose()
}

/// Parses a text column, from rows other than keys.
pub(super) fn parsed<T, E: std::error::Error + Send + Sync + 'static>(
    row: &Row<'_>,
    column: usize,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    parse(&text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

/// Formats networks as they are stored: separated by spaces.
pub(super) fn networks(allow: &[IpNet]) -> String {
    allow.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::super::KeyFilter;
    use super::super::super::tests::{Fixture, insert, key};
    use super::*;

    /// The keys that can be read after the first key's row was changed past all checks.
    fn after(assignment: &str) -> Vec<KeyRecord> {
        let mut fixture = Fixture::new();
        insert(&mut fixture.store, &key(1));
        insert(&mut fixture.store, &key(2));
        fixture.execute_raw(&format!(
            "PRAGMA foreign_keys = OFF; UPDATE key SET {assignment} WHERE id LIKE '%1'"
        ));
        let listed = fixture.store.list_keys(&KeyFilter::default()).unwrap();
        let mut loaded = Vec::new();
        fixture.store.each_key(&mut |key| loaded.push(key.record)).unwrap();
        assert_eq!(listed, loaded);
        listed
    }

    #[test]
    fn a_row_that_cannot_be_read_is_skipped_and_the_others_are_not() {
        for assignment in [
            "id = 'nonsense1'",
            "partner_id = NULL",
            "environment = 'sandbox'",
            "environment = ''",
            "hash = x'0102'",
            "hash = x''",
            "algorithm = 'md5'",
            "allow = '192.0.2.0/24 10.0.0.0/33'",
            "allow = '*'",
            "rate = 'unlimited'",
            "replaces = NULL, created = 9223372036854775807",
            "expires = -9223372036854775808",
            "name = CAST(x'ff' AS TEXT)",
        ] {
            assert_eq!(after(assignment), [key(2).record], "{assignment}");
        }
    }

    #[test]
    fn an_unknown_permission_grants_nothing_and_the_rest_stays() {
        let keys = after("permissions = 'ping:read everything:write'");
        assert_eq!(keys.len(), 2);
        assert_eq!(keys[0].permissions, ApiAccessPermission::PING_READ);
        let keys = after("permissions = 'everything:write'");
        assert_eq!(keys[0].permissions, ApiAccessPermission::empty());
    }
}
