//! Nodes and receipts: their rows, and the lock files that show which processes are alive.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::super::{Node, Nodes, Receipt, StoreError};
use super::presence::{self, Liveness, Presence};
use super::row::{moment, parsed};
use super::{Reads as _, Sqlite};

/// A node without a heartbeat for this long is removed when another announces itself.
const REMOVED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);
/// How many receipts of a node are kept.
const RECEIPTS_KEPT: i64 = 1_000;

impl Nodes for Sqlite {
    fn announce_node(&mut self, node: &Node) -> Result<(), StoreError> {
        if !self.presences.contains_key(&node.id) {
            match Presence::hold(&self.path, node.id) {
                Ok(presence) => drop(self.presences.insert(node.id, presence)),
                // Some network file systems have no locks; there, only the heartbeat shows that a node is live.
                Err(error) => tracing::warn!(%error, "Cannot lock a file in the data folder"),
            }
        }
        let path = self.path.clone();
        let stale = before(node.heartbeat, REMOVED_AFTER);
        let gone = self.run(|connection| {
            connection.execute("DELETE FROM node WHERE heartbeat < ?1", [stale])?;
            let mut gone: Vec<Uuid> = connection
                .prepare("SELECT id FROM node")?
                .query_map((), |row| parsed(row, 0, |text| text.parse::<Uuid>()))?
                .collect::<rusqlite::Result<_>>()?;
            gone.retain(|id| presence::liveness(&path, *id) == Liveness::Dead);
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
        self.record_files();
        Ok(())
    }

    fn heartbeat(&mut self, node: Uuid, now: Timestamp) -> Result<bool, StoreError> {
        self.run(|connection| {
            let rows = connection.execute(
                "UPDATE node SET heartbeat = ?2 WHERE id = ?1",
                (node.to_string(), now.as_microsecond()),
            )?;
            Ok(rows == 1)
        })
    }

    fn leave(&mut self, node: Uuid) -> Result<(), StoreError> {
        self.run(|connection| {
            connection.execute("DELETE FROM node WHERE id = ?1", [node.to_string()])?;
            Ok(())
        })?;
        self.presences.remove(&node);
        presence::clean_up(&self.path, node);
        Ok(())
    }

    fn live_nodes(&mut self, now: Timestamp, stale_after: Duration) -> Result<Vec<Node>, StoreError> {
        let mut nodes = self.read(|connection| {
            connection
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
        })?;
        let stale = before(now, stale_after);
        nodes.retain(|node| match presence::liveness(&self.path, node.id) {
            Liveness::Alive => true,
            Liveness::Dead => false,
            Liveness::Unknown => node.heartbeat.as_microsecond() >= stale,
        });
        // A server without a row (the store was restored) still serves its keys.
        for (id, holder) in presence::lock_holders(&self.path) {
            if nodes.iter().all(|node| node.id != id) {
                let listeners = serde_json::json!([]);
                nodes.push(Node { id, pid: holder.pid, started: now, heartbeat: now, listeners });
            }
        }
        Ok(nodes)
    }

    fn write_receipt(&mut self, receipt: &Receipt) -> Result<(), StoreError> {
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

    fn receipts(&mut self, change: i64) -> Result<Vec<Receipt>, StoreError> {
        self.read(|connection| {
            connection
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
                .collect()
        })
    }
}

/// `span` before `moment`, or the beginning of time.
fn before(moment: Timestamp, span: Duration) -> i64 {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    moment.checked_sub(span).unwrap_or(Timestamp::MIN).as_microsecond()
}

#[cfg(test)]
mod tests {
    use super::super::super::conformance::{node, second};
    use super::super::super::tests::Fixture;
    use super::*;

    const STALE_AFTER: Duration = Duration::from_secs(15);

    #[test]
    fn a_node_is_live_by_its_lock_or_without_one_by_its_heartbeat() {
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
        let live = store.live_nodes(second(0), STALE_AFTER).unwrap();
        let ids: Vec<Uuid> = live.iter().map(|node| node.id).collect();
        assert_eq!(ids, [node(3, 0).id, node(2, 0).id], "node 2 has no row, but holds its lock");
        assert_eq!(live[1].pid, std::process::id());
    }

    #[test]
    fn a_node_that_died_is_not_waited_for() {
        let mut fixture = Fixture::new();
        fixture.store.announce_node(&node(1, 0)).unwrap();
        let lock = fixture.folder.path().join(format!("node-{}.lock", node(1, 0).id));
        let mut dying = fixture.other();
        dying.announce_node(&node(2, 0)).unwrap();
        assert_eq!(fixture.store.live_nodes(second(0), STALE_AFTER).unwrap().len(), 2);
        // A killed process leaves its row, and its file without the lock.
        let left = fixture.folder.path().join(format!("node-{}.lock", node(2, 0).id));
        drop(dying);
        assert!(left.exists());
        assert_eq!(fixture.store.live_nodes(second(0), STALE_AFTER).unwrap(), [node(1, 0)]);
        fixture.other().announce_node(&node(3, 0)).unwrap();
        assert!(!left.exists() && lock.exists());
        fixture.store.leave(node(1, 0).id).unwrap();
        assert!(!lock.exists());
    }
}
