//! Waits until the running servers have applied a change.
//!
//! The change is on disk before the wait begins. A command waits for each server's receipt, so "applied"
//! means that a revoked key is refused. If a running server does not apply the change in time, the command
//! fails, although the change is stored.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::exit::Unavailable;
use super::{Form, arguments};
use crate::clock::Clock;
use crate::provisioning::Committed;
use crate::store::{Node, Receipt, Store, StoreError};

/// The polling interval; the servers poll about as often.
const PAUSE: Duration = Duration::from_millis(2);

/// The options of every command that makes a change.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct After {
    /// How long to wait for the running servers to apply the change
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = arguments::wait)]
    pub(super) wait: Duration,
    #[command(flatten)]
    pub(super) form: Form,
}

/// The paragraph on exit codes in the help of these commands.
macro_rules! exit_code {
    () => {
        "\
Exits with 69 when a running server has not applied the change within --wait: the change is
stored, and until that server applies it, it goes on as before.

"
    };
}
pub(super) use exit_code;

/// Which servers have applied a change.
#[derive(Debug, Serialize)]
pub(super) struct Applied {
    /// The change's number.
    change: i64,
    /// Every live server.
    nodes: Vec<AppliedBy>,
}

/// One server's receipt.
#[derive(Debug, Serialize)]
struct AppliedBy {
    id: Uuid,
    pid: u32,
    applied: bool,
    /// From the commit until the change was in force.
    milliseconds: Option<f64>,
    connections_closed: Option<u32>,
}

/// Waits until every live server has applied the change, at most as long as `wait`.
pub(super) fn wait(
    store: &mut Store,
    stale_after: Duration,
    clock: &dyn Clock,
    change: Committed,
    wait: Duration,
) -> Result<Applied, StoreError> {
    let start = clock.monotonic();
    loop {
        let nodes = store.live_nodes(clock.now(), stale_after)?;
        let receipts = store.receipts(change.change)?;
        let applied = Applied::new(change, nodes, &receipts);
        if applied.by_all() || clock.monotonic().duration_since(start) >= wait {
            return Ok(applied);
        }
        std::thread::sleep(PAUSE);
    }
}

impl Applied {
    fn new(change: Committed, nodes: Vec<Node>, receipts: &[Receipt]) -> Self {
        let by = |node: Node| {
            let receipt = receipts.iter().find(|receipt| receipt.node == node.id);
            AppliedBy {
                id: node.id,
                pid: node.pid,
                applied: receipt.is_some(),
                milliseconds: receipt.map(|receipt| milliseconds(change.at, receipt.applied_at)),
                connections_closed: receipt.map(|receipt| receipt.connections_closed),
            }
        };
        Self { change: change.change, nodes: nodes.into_iter().map(by).collect() }
    }

    fn by_all(&self) -> bool {
        self.nodes.iter().all(|node| node.applied)
    }

    /// Returns an error that names the servers that have not applied it. The change is stored nevertheless.
    pub(super) fn require_all(&self) -> anyhow::Result<()> {
        let late = self.nodes.iter().filter(|node| !node.applied);
        let late: Vec<String> = late.map(|node| node.pid.to_string()).collect();
        if late.is_empty() {
            return Ok(());
        }
        Err(Unavailable(format!(
            "the change is stored, but not applied yet by the server with process id {}",
            late.join(", ")
        ))
        .into())
    }

    /// One line per server, for a person.
    pub(super) fn lines(&self) -> String {
        if self.nodes.is_empty() {
            return "no server is running on this folder; it applies at the next start\n".to_owned();
        }
        let done = self.nodes.iter().filter_map(|node| {
            let (milliseconds, closed) = (node.milliseconds?, node.connections_closed?);
            let connections = if closed == 1 { "connection" } else { "connections" };
            Some(format!(
                "applied by the server with process id {} after {milliseconds} ms; {closed} {connections} closed\n",
                node.pid
            ))
        });
        done.collect()
    }
}

/// The time between the two, to a hundredth; not negative, although a server may see a commit before it is
/// acknowledged.
fn milliseconds(from: Timestamp, to: Timestamp) -> f64 {
    let span = to.duration_since(from).as_secs_f64() * 1_000.0;
    (span.max(0.0) * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{ManualClock, SystemClock};
    use crate::store::tests::{Fixture, NOW};

    const STALE_AFTER: Duration = Duration::from_secs(15);

    fn node() -> Node {
        Node {
            id: Uuid::from_u128(1),
            pid: 42,
            started: NOW,
            heartbeat: NOW,
            listeners: serde_json::json!([]),
        }
    }

    const CHANGE: Committed = Committed { change: 3, at: NOW };

    #[test]
    fn without_a_server_there_is_no_wait() {
        let mut fixture = Fixture::new();
        let applied = wait(&mut fixture.store, STALE_AFTER, &SystemClock, CHANGE, Duration::MAX).unwrap();
        assert_eq!(serde_json::to_string(&applied).unwrap(), r#"{"change":3,"nodes":[]}"#);
        assert!(applied.lines().contains("at the next start"));
        applied.require_all().unwrap();
    }

    #[test]
    fn the_report_has_the_time_and_the_closed_connections() {
        let mut fixture = Fixture::new();
        fixture.store.announce_node(&node()).unwrap();
        let applied_at = NOW.checked_add(jiff::SignedDuration::from_micros(12_345)).unwrap();
        let receipt = Receipt { node: node().id, change: 4, applied_at, connections_closed: 2 };
        fixture.store.write_receipt(&receipt).unwrap();
        let clock = ManualClock::new(NOW);
        let applied = wait(&mut fixture.store, STALE_AFTER, &clock, CHANGE, Duration::MAX).unwrap();
        let json = serde_json::to_value(&applied).unwrap();
        let by = serde_json::json!([{"id": node().id, "pid": 42, "applied": true, "milliseconds": 12.35, "connections_closed": 2}]);
        assert_eq!(json, serde_json::json!({"change": 3, "nodes": by}));
        assert_eq!(
            applied.lines(),
            "applied by the server with process id 42 after 12.35 ms; 2 connections closed\n"
        );
        assert_eq!(milliseconds(applied_at, NOW), 0.0);
    }

    #[test]
    fn a_server_that_does_not_apply_the_change_is_named() {
        let mut fixture = Fixture::new();
        fixture.store.announce_node(&node()).unwrap();
        let clock = ManualClock::new(NOW);
        let applied = wait(&mut fixture.store, STALE_AFTER, &clock, CHANGE, Duration::ZERO).unwrap();
        let error = applied.require_all().unwrap_err();
        assert!(error.is::<Unavailable>() && error.to_string().ends_with("process id 42"), "{error}");
        assert_eq!(applied.lines(), "");
        // Without a lock, the heartbeat decides.
        std::fs::remove_file(fixture.folder.path().join(format!("node-{}.lock", node().id))).unwrap();
        clock.advance(Duration::from_secs(60));
        let applied = wait(&mut fixture.store, STALE_AFTER, &clock, CHANGE, Duration::MAX).unwrap();
        assert!(applied.nodes.is_empty(), "its heartbeat is too old");
    }
}
