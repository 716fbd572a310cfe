//! Queries for partners and keys, on a connection or inside a transaction.

use permissions::{ApiAccessPermission, Environment, KeyId, KeyRecord, PartnerId};
use rusqlite::{Connection, OptionalExtension, Result, Row};

use super::super::{Granted, KeyFilter, Partner};
use super::row::{self, key_columns, keys_with_partners, readable_key};

/// The columns of a partner in the order in which [`partner`] reads them.
macro_rules! partner_columns {
    () => {
        "partner.id, partner.name, partner.created, partner.suspended, \
         (SELECT count(*) FROM key WHERE key.partner_id = partner.id), \
         partner.is_operator, partner.granted_staging, partner.granted_production"
    };
}
pub(super) use partner_columns;

/// How many columns [`partner_columns`] names.
pub(super) const PARTNER_COLUMNS: usize = 8;

pub(super) fn is_empty(connection: &Connection) -> Result<bool> {
    connection.query_row(
        "SELECT NOT EXISTS (SELECT 1 FROM partner) AND NOT EXISTS (SELECT 1 FROM key)",
        (),
        |row| row.get(0),
    )
}

pub(super) fn list_partners(connection: &Connection) -> Result<Vec<Partner>> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        partner_columns!(),
        " FROM partner ORDER BY partner.name"
    ))?;
    let mut rows = statement.query(())?;
    let mut partners = Vec::new();
    while let Some(row) = rows.next()? {
        partners.extend(readable_partner(row));
    }
    Ok(partners)
}

/// Reads the partner in a row; one that cannot be read is reported and left out, as keys are.
pub(super) fn readable_partner(row: &Row<'_>) -> Option<Partner> {
    match partner(row) {
        Ok(partner) => Some(partner),
        Err(reason) => {
            let id = row::short_text(row, 0);
            tracing::warn!(partner.id = ?id, "Partner {id:?} cannot be read and is left out: {reason}");
            None
        }
    }
}

pub(super) fn find_partner(connection: &Connection, name_or_id: &str) -> Result<Option<Partner>> {
    connection
        .prepare_cached(concat!(
            "SELECT ",
            partner_columns!(),
            " FROM partner WHERE partner.name = ?1 OR partner.id = ?1 ORDER BY partner.name = ?1 DESC LIMIT 1"
        ))?
        .query_row([name_or_id], partner)
        .optional()
}

fn partner(row: &Row<'_>) -> Result<Partner> {
    Ok(Partner {
        id: row::parsed(row, 0, |text| text.parse::<PartnerId>())?,
        name: row.get(1)?,
        created: row::moment(row, 2)?,
        suspended: row.get::<_, Option<i64>>(3)?.map(|_| row::moment(row, 3)).transpose()?,
        keys: row.get(4)?,
        is_operator: row.get(5)?,
        granted: Granted { staging: granted(row, 6)?, production: granted(row, 7)? },
    })
}

fn granted(row: &Row<'_>, column: usize) -> Result<Option<ApiAccessPermission>> {
    let names: Option<String> = row.get(column)?;
    Ok(names.map(|names| ApiAccessPermission::from_stored(&names).0))
}

pub(super) fn list_keys(connection: &Connection, filter: &KeyFilter) -> Result<Vec<KeyRecord>> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        key_columns!(),
        " FROM ",
        keys_with_partners!(),
        " WHERE (?1 IS NULL OR key.partner_id = ?1) AND (?2 IS NULL OR key.environment = ?2)
           AND (?3 IS NULL OR key.id > ?3) ORDER BY key.id LIMIT ?4"
    ))?;
    // A negative limit is none.
    let count = filter.count.map_or(-1, |count| i64::try_from(count).unwrap_or(i64::MAX));
    let (partner, environment) =
        (filter.partner.map(|id| id.to_string()), filter.environment.map(Environment::name));
    let mut rows = statement.query((partner, environment, &filter.after, count))?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        keys.extend(readable_key(row).map(|key| key.record));
    }
    Ok(keys)
}

pub(super) fn key(connection: &Connection, id: KeyId) -> Result<Option<KeyRecord>> {
    connection
        .prepare_cached(concat!(
            "SELECT ",
            key_columns!(),
            " FROM ",
            keys_with_partners!(),
            " WHERE key.id = ?1"
        ))?
        .query_row([id.to_string()], |row| Ok(readable_key(row).map(|key| key.record)))
        .optional()
        .map(Option::flatten)
}

pub(super) fn successor(connection: &Connection, id: KeyId) -> Result<Option<KeyId>> {
    let found = connection
        .prepare_cached("SELECT id FROM key WHERE replaces = ?1 AND revoked IS NULL ORDER BY id LIMIT 1")?
        .query_row([id.to_string()], |row| row.get::<_, String>(0))
        .optional()?;
    Ok(found.and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{Fixture, NOW, PARTNER};
    use super::*;

    #[test]
    fn a_partner_that_cannot_be_read_is_left_out_and_the_others_are_not() {
        for damage in ["id = 'nonsense'", "name = CAST(x'ff' AS TEXT)", "created = 9223372036854775807"] {
            let mut fixture = Fixture::new();
            let ids = [PARTNER, PartnerId(uuid::Uuid::from_u128(2))];
            let names = ["acme", "zenith"];
            let add = |(id, name): (PartnerId, &str)| {
                fixture.store.write(NOW, |write| write.add_partner(id, name)).unwrap();
            };
            ids.into_iter().zip(names).for_each(add);
            fixture.execute_raw(&format!("UPDATE partner SET {damage} WHERE name = 'acme'"));
            let listed = fixture.store.list_partners().unwrap();
            assert_eq!(listed.iter().map(|partner| partner.id).collect::<Vec<_>>(), [ids[1]], "{damage}");
        }
    }
}
