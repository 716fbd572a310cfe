//! The numbered migrations that bring a store of any age to this build's schema.
//!
//! A migration never changes once it is released: its checksum is stored with it. Migrations expand before they
//! contract: one that the previous build can run on (a new table, a new column with a default) is marked
//! compatible, so that build keeps running on the migrated store while servers are replaced one by one. The
//! previous build refuses to start on one that is not compatible.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, TransactionBehavior};

use super::super::StoreError;
use super::failure;

/// A migration.
#[derive(Clone, Copy)]
pub(super) struct Migration {
    number: u32,
    name: &'static str,
    sql: &'static str,
    /// Whether the previous build can run on a store that has this migration.
    compatible: bool,
}

/// Every migration there ever was, in order.
const MIGRATIONS: &[Migration] = &[
    Migration { number: 1, name: "init", sql: include_str!("migrations/0001_init.sql"), compatible: false },
    Migration {
        number: 2,
        name: "on_retired",
        sql: include_str!("migrations/0002_on_retired.sql"),
        compatible: true,
    },
    Migration {
        number: 3,
        name: "partner_id",
        sql: include_str!("migrations/0003_partner_id.sql"),
        compatible: true,
    },
    Migration {
        number: 4,
        name: "people",
        sql: include_str!("migrations/0004_people.sql"),
        compatible: true,
    },
];

/// The record of a migration in the store it was applied to.
struct Applied {
    number: u32,
    name: String,
    checksum: Vec<u8>,
    compatible: bool,
}

impl Migration {
    /// A keyed hash with a public key is a checksum; this avoids a second hash function.
    fn checksum(&self) -> [u8; 32] {
        permissions::ServerSecret::new([0; 32]).hash(self.sql.as_bytes()).0
    }
}

/// Applies the migrations that the store lacks.
pub(super) fn migrate(connection: &mut Connection, path: &Path, now: Timestamp) -> Result<(), StoreError> {
    run(connection, path, now, MIGRATIONS)
}

/// Checks that the store lacks no migration, where none can be applied.
pub(super) fn require_all(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let applied = applied(connection).map_err(|source| failure::error(path, source))?;
    if missing(MIGRATIONS, &applied, path)?.is_empty() {
        Ok(())
    } else {
        Err(StoreError::Older { path: path.to_owned() })
    }
}

fn run(
    connection: &mut Connection,
    path: &Path,
    now: Timestamp,
    migrations: &[Migration],
) -> Result<(), StoreError> {
    let sqlite = |source| failure::error(path, source);
    // Usually nothing is missing: then no lock is taken, and a command that only reads never waits for one that
    // writes.
    if missing(migrations, &applied(connection).map_err(sqlite)?, path)?.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
    // Another process may have migrated while this one waited for the lock.
    let missing = missing(migrations, &applied(&transaction).map_err(sqlite)?, path)?;
    transaction
        .execute_batch(
            "CREATE TABLE IF NOT EXISTS migration (
                number INTEGER NOT NULL PRIMARY KEY,
                name TEXT NOT NULL,
                checksum BLOB NOT NULL,
                compatible INTEGER NOT NULL,
                applied INTEGER NOT NULL
            ) STRICT",
        )
        .map_err(sqlite)?;
    for migration in missing {
        transaction.execute_batch(migration.sql).map_err(sqlite)?;
        transaction
            .execute(
                "INSERT INTO migration (number, name, checksum, compatible, applied) VALUES (?1, ?2, ?3, ?4, ?5)",
                (
                    migration.number,
                    migration.name,
                    migration.checksum(),
                    migration.compatible,
                    now.as_microsecond(),
                ),
            )
            .map_err(sqlite)?;
    }
    transaction.commit().map_err(sqlite)
}

/// The migrations that were applied to the store, oldest first; none if it is new.
fn applied(connection: &Connection) -> rusqlite::Result<Vec<Applied>> {
    let exists: bool = connection.query_row(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'migration')",
        (),
        |row| row.get(0),
    )?;
    if !exists {
        return Ok(Vec::new());
    }
    connection
        .prepare("SELECT number, name, checksum, compatible FROM migration ORDER BY number")?
        .query_map((), |row| {
            Ok(Applied {
                number: row.get(0)?,
                name: row.get(1)?,
                checksum: row.get(2)?,
                compatible: row.get(3)?,
            })
        })?
        .collect()
}

/// The migrations still to be applied, if this build can run on what was applied already.
fn missing<'a>(
    migrations: &'a [Migration],
    applied: &[Applied],
    path: &Path,
) -> Result<Vec<&'a Migration>, StoreError> {
    for step in applied {
        match migrations.iter().find(|migration| migration.number == step.number) {
            Some(migration) if migration.checksum()[..] == step.checksum[..] => {}
            Some(migration) => {
                return Err(StoreError::Differs {
                    store: path.display().to_string(),
                    number: migration.number,
                });
            }
            None if step.compatible => {}
            None => {
                return Err(StoreError::Newer {
                    store: path.display().to_string(),
                    number: step.number,
                    name: step.name.clone(),
                    latest: migrations.last().map_or(0, |last| last.number),
                });
            }
        }
    }
    Ok(migrations
        .iter()
        .filter(|migration| applied.iter().all(|step| step.number != migration.number))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);
    const PATH: &str = "store.sqlite";

    /// The next migration after the existing ones.
    const NEXT: Migration =
        Migration { number: 5, name: "notes", sql: "CREATE TABLE note (text TEXT) STRICT", compatible: true };

    fn and(next: Migration) -> Vec<Migration> {
        [MIGRATIONS, &[next]].concat()
    }

    fn migrated(migrations: &[Migration]) -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        run(&mut connection, Path::new(PATH), NOW, migrations).unwrap();
        connection
    }

    fn numbers(connection: &Connection) -> Vec<u32> {
        applied(connection).unwrap().iter().map(|step| step.number).collect()
    }

    #[test]
    fn numbers_count_up_from_one() {
        let numbers: Vec<u32> = MIGRATIONS.iter().map(|migration| migration.number).collect();
        assert_eq!(numbers, (1..=u32::try_from(MIGRATIONS.len()).unwrap()).collect::<Vec<_>>());
    }

    #[test]
    fn each_migration_is_applied_once() {
        let mut connection = migrated(MIGRATIONS);
        assert_eq!(numbers(&connection), [1, 2, 3, 4]);
        migrate(&mut connection, Path::new(PATH), NOW).unwrap();
        assert_eq!(numbers(&connection), [1, 2, 3, 4]);
        run(&mut connection, Path::new(PATH), NOW, &and(NEXT)).unwrap();
        assert_eq!(numbers(&connection), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn a_store_that_lacks_a_migration_is_not_read() {
        let old = Connection::open_in_memory().unwrap();
        let error = require_all(&old, Path::new(PATH)).unwrap_err();
        assert!(matches!(error, StoreError::Older { .. }), "{error}");
        require_all(&migrated(MIGRATIONS), Path::new(PATH)).unwrap();
    }

    #[test]
    fn a_compatible_migration_of_a_newer_build_is_accepted() {
        let mut connection = migrated(&and(NEXT));
        migrate(&mut connection, Path::new(PATH), NOW).unwrap();
    }

    #[test]
    fn an_incompatible_migration_of_a_newer_build_is_refused() {
        let mut connection = migrated(&and(Migration { compatible: false, ..NEXT }));
        let error = migrate(&mut connection, Path::new(PATH), NOW).unwrap_err();
        assert!(matches!(error, StoreError::Newer { number: 5, latest: 4, .. }), "{error}");
    }

    #[test]
    fn a_migration_with_another_checksum_is_refused() {
        let mut connection = migrated(&and(NEXT));
        let changed = Migration { sql: "CREATE TABLE note (text BLOB) STRICT", ..NEXT };
        let error = run(&mut connection, Path::new(PATH), NOW, &and(changed)).unwrap_err();
        assert!(matches!(error, StoreError::Differs { number: 5, .. }), "{error}");
    }

    #[test]
    fn a_failed_migration_is_rolled_back() {
        let mut connection = migrated(MIGRATIONS);
        let broken = Migration { sql: "CREATE TABLE note (text TEXT) STRICT; CREATE NONSENSE", ..NEXT };
        run(&mut connection, Path::new(PATH), NOW, &and(broken)).unwrap_err();
        assert_eq!(numbers(&connection), [1, 2, 3, 4]);
        run(&mut connection, Path::new(PATH), NOW, &and(NEXT)).unwrap();
    }

    /// A store as the build with two migrations leaves it.
    fn of_migration_2() -> Connection {
        let folder = tempfile::tempdir().unwrap();
        let copy = folder.path().join("store.sqlite");
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/migration-2/store.sqlite");
        std::fs::copy(file, &copy).unwrap();
        let mut store = Connection::open_in_memory().unwrap();
        store.restore(rusqlite::MAIN_DB, copy, None::<fn(_)>).unwrap();
        store.pragma_update(None, "foreign_keys", true).unwrap();
        store.pragma_update(None, "trusted_schema", false).unwrap();
        store
    }

    fn texts(store: &Connection, sql: &str) -> Vec<String> {
        store.prepare(sql).unwrap().query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn every_row_of_the_previous_build_is_kept_and_gets_its_partners_id() {
        let mut store = of_migration_2();
        assert_eq!(numbers(&store), [1, 2]);
        let rows = "SELECT id || name || environment || permissions || hex(hash) || hint || created
            || coalesce(not_before, '-') || coalesce(expires, '-') || coalesce(revoked, '-') || allow
            || coalesce(rate, '-') || coalesce(replaces, '-') || on_retired || partner FROM key ORDER BY id";
        let before = texts(&store, rows);
        migrate(&mut store, Path::new(PATH), NOW).unwrap();
        assert_eq!(before.len(), 14);
        assert_eq!(texts(&store, rows), before);
        let pairs =
            "SELECT key.id FROM key JOIN partner ON partner.id = partner_id AND partner.name = key.partner";
        assert_eq!(texts(&store, pairs).len(), 14);
        let changes: u32 =
            store.query_row("SELECT count(*) FROM change WHERE kind = 'key'", (), |row| row.get(0)).unwrap();
        assert_eq!(changes, 17);
        for row in texts(&store, "SELECT id || ' ' || (created / 1000) FROM partner") {
            let (id, created) = row.split_once(' ').unwrap();
            let id: uuid::Uuid = id.parse().unwrap();
            assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122), "{row}");
            let (seconds, nanoseconds) = id.get_timestamp().unwrap().to_unix();
            let milliseconds = seconds * 1_000 + u64::from(nanoseconds / 1_000_000);
            assert_eq!(milliseconds.to_string(), created, "{row}");
        }
    }

    #[test]
    fn an_organization_of_an_older_folder_is_granted_the_union_of_its_keys() {
        let mut store = of_migration_2();
        migrate(&mut store, Path::new(PATH), NOW).unwrap();
        for environment in ["staging", "production"] {
            let rows = format!(
                "SELECT granted_{environment} || '|' || coalesce((SELECT group_concat(permissions, ' ') FROM key
                 WHERE partner_id = partner.id AND environment = '{environment}'), '') FROM partner"
            );
            let rows = texts(&store, &rows);
            assert!(rows.iter().any(|row| row.contains(':')), "{rows:?}");
            for row in rows {
                let (granted, keys) = row.split_once('|').unwrap();
                let set = |names| permissions::ApiAccessPermission::from_stored(names).0;
                assert_eq!(set(granted), set(keys), "{row}");
            }
        }
    }

    #[test]
    fn the_previous_build_can_write_to_a_migrated_store() {
        let mut store = of_migration_2();
        migrate(&mut store, Path::new(PATH), NOW).unwrap();
        let as_before = "INSERT INTO partner (name, created) VALUES ('late', 1800000000000000);
            INSERT INTO key (id, partner, name, environment, permissions, hash, algorithm, hint, created, allow)
            VALUES ('k', 'late', '', 'staging', '', x'00', '', '', 0, '');
            INSERT INTO change (key_id, at) VALUES ('k', 0);";
        store.execute_batch(as_before).unwrap();
        let partner = "SELECT partner.id FROM key JOIN partner ON partner.id = partner_id WHERE key.id = 'k'";
        assert_eq!(texts(&store, partner)[0].parse::<uuid::Uuid>().unwrap().get_version_num(), 7);
    }

    #[test]
    fn a_build_that_does_not_know_of_suspension_does_not_start_while_a_partner_is_suspended() {
        use super::super::super::tests::{Fixture, NOW, PARTNER, insert, key};
        let mut fixture = Fixture::new();
        insert(&mut fixture.store, &key(1));
        let mut check = |suspended| {
            let change =
                |write: &mut dyn crate::store::Write| write.set_partner_suspended(PARTNER, suspended);
            fixture.store.write(NOW, change).unwrap();
            let connection = Connection::open(fixture.folder.store()).unwrap();
            let applied = applied(&connection).unwrap();
            missing(&MIGRATIONS[..2], &applied, Path::new(PATH)).map(|missing| missing.len())
        };
        assert!(matches!(check(true), Err(StoreError::Newer { number: 3, latest: 2, .. })));
        assert!(matches!(check(false), Ok(0)));
    }
}
