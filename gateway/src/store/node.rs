//! The processes that serve a folder, and their receipts for the changes that they have applied.
//!
//! A command that revokes a key finds here who is serving, and waits for their receipts, so it can
//! say when the key was really refused. A process announces itself **before** it loads the keys: a
//! command that finds nobody then knows that whoever comes later will load what it wrote.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rusqlite::Row;
use rusqlite::types::Type;
use serde::Serialize;
use uuid::Uuid;

use super::presence::{self, Life, Presence};
use super::row::moment;
use super::{Store, StoreError};

/// A node that has shown no sign of life for this long is struck off when another announces itself.
const STRUCK_OFF_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// How many receipts of a node are kept.
const RECEIPTS_KEPT: i64 = 1_000;

/// A process that serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Node {
    /// Drawn anew by each process.
    pub id: Uuid,
    /// Its process id.
    pub pid: u32,
    /// When it began.
    pub started: Timestamp,
    /// Its last sign of life.
    pub heartbeat: Timestamp,
    /// What it listens on, in the form of the ready file.
    pub listeners: serde_json::Value,
}

/// A node has applied every change up to this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// Whose.
    pub node: Uuid,
    /// Up to which change.
    pub change: i64,
    /// Since when.
    pub applied_at: Timestamp,
    /// How many connections were told to close for it.
    pub connections_closed: u32,
}

impl Store {
    /// Makes a process known, or what it listens on anew. It is known until [`Store::leave`], or
    /// until this connection is gone: announce it on the connection that lives as long as the process.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn announce_node(&mut self, node: &Node) -> Result<(), StoreError> {
        if !self.presences.contains_key(&node.id) {
            match Presence::hold(&self.path, node.id) {
                Ok(presence) => drop(self.presences.insert(node.id, presence)),
                // Some network file systems have no locks; then the heartbeat alone must do.
                Err(error) => tracing::warn!(%error, "Cannot lock a file in the data folder"),
            }
        }
        let path = self.path.clone();
        let stale = before(node.heartbeat, STRUCK_OFF_AFTER);
        let gone = self.run(|connection| {
            connection.execute("DELETE FROM node WHERE heartbeat < ?1", [stale])?;
            let mut gone: Vec<Uuid> = connection
                .prepare("SELECT id FROM node")?
                .query_map((), |row| parsed(row, 0, |text| text.parse::<Uuid>()))?
                .collect::<rusqlite::Result<_>>()?;
            gone.retain(|id| presence::look(&path, *id) == Life::Dead);
            for id in &gone {
                connection.execute("DELETE FROM node WHERE id = ?1", [id.to_string()])?;
            }
            connection.execute(
                "INSERT INTO node (id, pid, started, heartbeat, listeners) VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT (id) DO UPDATE SET heartbeat = excluded.heartbeat, listeners = excluded.listeners",
                (
                    node.id.to_string(),
                    node.pid,
                    node.started.as_microsecond(),
                    node.heartbeat.as_microsecond(),
                    node.listeners.to_string(),
                ),
            )?;
            Ok(gone)
        })?;
        gone.into_iter().for_each(|id| presence::clean_up(&self.path, id));
        Ok(())
    }

    /// Notes a sign of life. `false` means that the node was struck off (the machine slept for a day,
    /// the store was put back): it must announce itself again.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn heartbeat(&mut self, node: Uuid, now: Timestamp) -> Result<bool, StoreError> {
        self.run(|connection| {
            let rows = connection.execute(
                "UPDATE node SET heartbeat = ?2 WHERE id = ?1",
                (node.to_string(), now.as_microsecond()),
            )?;
            Ok(rows == 1)
        })
    }

    /// Strikes a process off that ends, its receipts with it.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn leave(&mut self, node: Uuid) -> Result<(), StoreError> {
        self.run(|connection| {
            connection.execute("DELETE FROM node WHERE id = ?1", [node.to_string()])?;
            Ok(())
        })?;
        self.presences.remove(&node);
        presence::clean_up(&self.path, node);
        Ok(())
    }

    /// The nodes whose process holds its lock, the oldest first; where locks say nothing, those that showed
    /// a sign of life within `stale_after`.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn live_nodes(&self, now: Timestamp, stale_after: Duration) -> Result<Vec<Node>, StoreError> {
        let read = || {
            self.connection
                .prepare_cached(
                    "SELECT id, pid, started, heartbeat, listeners FROM node ORDER BY started, id",
                )?
                .query_map((), |row| {
                    Ok(Node {
                        id: parsed(row, 0, |text| text.parse::<Uuid>())?,
                        pid: row.get(1)?,
                        started: moment(row, 2)?,
                        heartbeat: moment(row, 3)?,
                        listeners: parsed(row, 4, |text| serde_json::from_str(text))?,
                    })
                })?
                .collect::<rusqlite::Result<Vec<Node>>>()
        };
        let mut nodes = read().map_err(|source| self.failed(source))?;
        let stale = before(now, stale_after);
        nodes.retain(|node| match presence::look(&self.path, node.id) {
            Life::Alive => true,
            Life::Dead => false,
            Life::Unknown => node.heartbeat.as_microsecond() >= stale,
        });
        Ok(nodes)
    }

    /// Confirms that a node has applied every change up to `receipt.change`. Nothing happens where
    /// the node is not announced.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn write_receipt(&mut self, receipt: &Receipt) -> Result<(), StoreError> {
        let node = receipt.node.to_string();
        self.run(|connection| {
            connection
                .prepare_cached(
                    "INSERT INTO receipt (node, change, applied_at, connections_closed)
                     SELECT id, ?2, ?3, ?4 FROM node WHERE id = ?1
                     ON CONFLICT (node, change) DO UPDATE SET
                        connections_closed = connections_closed + excluded.connections_closed",
                )?
                .execute((
                    &node,
                    receipt.change,
                    receipt.applied_at.as_microsecond(),
                    receipt.connections_closed,
                ))?;
            connection
                .prepare_cached("DELETE FROM receipt WHERE node = ?1 AND change <= ?2")?
                .execute((&node, receipt.change - RECEIPTS_KEPT))?;
            Ok(())
        })
    }

    /// For each node that has applied `change`, the first of its receipts that covers it.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn receipts(&self, change: i64) -> Result<Vec<Receipt>, StoreError> {
        let read = || {
            self.connection
                .prepare_cached(
                    "SELECT node, min(change), applied_at, connections_closed FROM receipt
                     WHERE change >= ?1 GROUP BY node",
                )?
                .query_map([change], |row| {
                    Ok(Receipt {
                        node: parsed(row, 0, |text| text.parse::<Uuid>())?,
                        change: row.get(1)?,
                        applied_at: moment(row, 2)?,
                        connections_closed: row.get(3)?,
                    })
                })?
                .collect::<rusqlite::Result<Vec<_>>>()
        };
        read().map_err(|source| self.failed(source))
    }

    /// Runs a short write that is no change to a key.
    fn run<T>(
        &mut self,
        body: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        let path = &self.path;
        let connection = &mut self.connection;
        let run = || {
            let behavior = rusqlite::TransactionBehavior::Immediate;
            let transaction = connection.transaction_with_behavior(behavior)?;
            let value = body(&transaction)?;
            transaction.commit()?;
            Ok(value)
        };
        run().map_err(|source| StoreError::sqlite(path, source))
    }
}

/// `span` before `moment`, or the beginning of time.
fn before(moment: Timestamp, span: Duration) -> i64 {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    moment.checked_sub(span).unwrap_or(Timestamp::MIN).as_microsecond()
}

fn parsed<T, E: std::error::Error + Send + Sync + 'static>(
    row: &Row<'_>,
    column: usize,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    parse(&text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error)))
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Fixture, NOW};
    use super::*;

    const STALE_AFTER: Duration = Duration::from_secs(15);

    fn second(offset: i64) -> Timestamp {
        Timestamp::from_second(NOW.as_second() + offset).unwrap()
    }

    fn node(number: u128, started: i64) -> Node {
        Node {
            id: Uuid::from_u128(number),
            pid: 42,
            started: second(started),
            heartbeat: second(started),
            listeners: serde_json::json!([{"name": "http", "address": "127.0.0.1:8080"}]),
        }
    }

    fn receipt(node: u128, change: i64, closed: u32) -> Receipt {
        Receipt {
            node: Uuid::from_u128(node),
            change,
            applied_at: second(change),
            connections_closed: closed,
        }
    }

    #[test]
    fn a_node_lives_by_its_lock_and_without_one_by_its_heartbeat() {
        let mut fixture = Fixture::new();
        let lock = fixture.folder.path().join(format!("node-{}.lock", node(1, 0).id));
        let store = &mut fixture.store;
        store.announce_node(&node(1, 0)).unwrap();
        store.announce_node(&node(2, 10)).unwrap();
        assert_eq!(store.live_nodes(second(16), STALE_AFTER).unwrap(), [node(1, 0), node(2, 10)]);
        std::fs::remove_file(lock).unwrap();
        assert_eq!(store.live_nodes(second(15), STALE_AFTER).unwrap(), [node(1, 0), node(2, 10)]);
        assert_eq!(store.live_nodes(second(16), STALE_AFTER).unwrap(), [node(2, 10)]);
        assert!(store.heartbeat(node(1, 0).id, second(16)).unwrap());
        assert_eq!(store.live_nodes(second(16), STALE_AFTER).unwrap().len(), 2);
        store.leave(node(1, 0).id).unwrap();
        assert_eq!(store.live_nodes(second(16), STALE_AFTER).unwrap(), [node(2, 10)]);
        assert!(!store.heartbeat(node(1, 0).id, second(16)).unwrap(), "it must announce itself again");
        let day = 24 * 60 * 60;
        store.announce_node(&node(3, day + 11)).unwrap();
        assert_eq!(store.live_nodes(second(0), STALE_AFTER).unwrap(), [node(3, day + 11)]);
    }

    #[test]
    fn a_node_that_died_is_not_waited_for() {
        let mut fixture = Fixture::new();
        fixture.store.announce_node(&node(1, 0)).unwrap();
        let lock = fixture.folder.path().join(format!("node-{}.lock", node(1, 0).id));
        let mut dying = fixture.other();
        dying.announce_node(&node(2, 0)).unwrap();
        assert_eq!(fixture.store.live_nodes(second(0), STALE_AFTER).unwrap().len(), 2);
        // What a killed process leaves: its row, and its file without the lock.
        let left = fixture.folder.path().join(format!("node-{}.lock", node(2, 0).id));
        drop(dying);
        assert!(left.exists());
        assert_eq!(fixture.store.live_nodes(second(0), STALE_AFTER).unwrap(), [node(1, 0)]);
        fixture.other().announce_node(&node(3, 0)).unwrap();
        assert!(!left.exists() && lock.exists());
        fixture.store.leave(node(1, 0).id).unwrap();
        assert!(!lock.exists());
    }

    #[test]
    fn a_receipt_covers_every_change_before_it() {
        let mut fixture = Fixture::new();
        let store = &mut fixture.store;
        store.announce_node(&node(1, 0)).unwrap();
        store.announce_node(&node(2, 0)).unwrap();
        for receipt in [receipt(1, 5, 2), receipt(1, 7, 1), receipt(2, 4, 0)] {
            store.write_receipt(&receipt).unwrap();
        }
        assert_eq!(store.receipts(4).unwrap(), [receipt(1, 5, 2), receipt(2, 4, 0)]);
        assert_eq!(store.receipts(6).unwrap(), [receipt(1, 7, 1)]);
        assert_eq!(store.receipts(8).unwrap(), []);
        store.write_receipt(&receipt(9, 8, 0)).unwrap();
        assert_eq!(store.receipts(8).unwrap(), [], "nobody knows node 9");
        store.write_receipt(&receipt(1, 7 + RECEIPTS_KEPT, 0)).unwrap();
        assert_eq!(store.receipts(1).unwrap(), [receipt(1, 7 + RECEIPTS_KEPT, 0), receipt(2, 4, 0)]);
        store.leave(node(2, 0).id).unwrap();
        assert_eq!(store.receipts(1).unwrap().len(), 1);
    }
}
