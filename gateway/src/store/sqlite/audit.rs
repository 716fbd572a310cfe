//! The audit log: each row's hash covers the row and the hash of the row before, so that a change or a gap shows.

use permissions::PartnerId;
use rusqlite::{Connection, OptionalExtension as _, Result, Row};
use serde_json::Value;

use super::super::people::{AuditCheck, AuditEntry, AuditFilter, AuditRecord};
use super::row::{moment, parsed};

const COLUMNS: &str =
    "number, at, actor, organization, action, target, before, after, address, request_id, hash";

/// The number and the hash of the last row; 0 and zeros where there is none.
pub(super) fn last(connection: &Connection) -> Result<(i64, [u8; 32])> {
    connection
        .prepare_cached("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1")?
        .query_row((), |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .map(|found| found.unwrap_or_default())
}

/// The hash of a row: of the hash before, and of the row in JSON.
pub(super) fn hash(before: &[u8; 32], record: &AuditRecord) -> [u8; 32] {
    let row = serde_json::to_vec(record).expect("text, numbers and JSON are always JSON");
    // A keyed hash with a public key is a hash; this avoids a second hash function.
    permissions::ServerSecret::new(*before).hash(&row).0
}

pub(super) fn list(connection: &Connection, filter: &AuditFilter) -> Result<Vec<AuditRecord>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM audit
         WHERE (?1 IS NULL OR organization = ?1) AND (?2 IS NULL OR target = ?2) AND (?3 IS NULL OR action = ?3)
           AND (?4 IS NULL OR number < ?4) ORDER BY number DESC LIMIT ?5"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let count = i64::try_from(filter.count).unwrap_or(i64::MAX);
    let organization = filter.organization.map(|id| id.to_string());
    let rows =
        statement.query_map((organization, &filter.target, &filter.action, filter.before, count), record)?;
    rows.collect()
}

/// Walks the entire chain, row by row.
pub(super) fn check(connection: &Connection) -> Result<AuditCheck> {
    let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM audit ORDER BY number"))?;
    let mut rows = statement.query(())?;
    let (mut entries, mut before, mut broken_at) = (0, [0; 32], None);
    while let Some(row) = rows.next()? {
        let (number, stored): (i64, Vec<u8>) = (row.get(0)?, row.get(10)?);
        let is_next = number == entries + 1;
        let is_whole = record(row).is_ok_and(|record| hash(&before, &record)[..] == stored[..]);
        if !is_next || !is_whole {
            broken_at = Some(if is_next { number } else { entries + 1 });
            break;
        }
        entries = number;
        before = stored.try_into().unwrap_or_default();
    }
    let last_hash = (entries > 0).then(|| before.iter().map(|byte| format!("{byte:02x}")).collect());
    Ok(AuditCheck { entries, last_hash, broken_at })
}

fn record(row: &Row<'_>) -> Result<AuditRecord> {
    let json = |column| row.get::<_, Option<String>>(column)?.map(|_| parsed(row, column, json)).transpose();
    let entry = AuditEntry {
        actor: row.get(2)?,
        organization: optional(row, 3, str::parse::<PartnerId>)?,
        action: row.get(4)?,
        target: row.get(5)?,
        before: json(6)?,
        after: json(7)?,
        address: row.get(8)?,
        request_id: row.get(9)?,
    };
    Ok(AuditRecord { number: row.get(0)?, at: moment(row, 1)?, entry })
}

fn json(text: &str) -> std::result::Result<Value, serde_json::Error> {
    serde_json::from_str(text)
}

fn optional<T, E: std::error::Error + Send + Sync + 'static>(
    row: &Row<'_>,
    column: usize,
    parse: impl FnOnce(&str) -> std::result::Result<T, E>,
) -> Result<Option<T>> {
    row.get::<_, Option<String>>(column)?.map(|_| parsed(row, column, parse)).transpose()
}
