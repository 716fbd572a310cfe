//! The connection pools: one for each listener, so that a flood at one does not affect the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::listen::Bindings;
use crate::config::Config;
use crate::transport::{Close, Connections, Peer, Settings};

/// The pools, by the names of their listeners.
pub(super) struct Pools {
    partners: BTreeMap<&'static str, Arc<Connections>>,
    /// The pools of operators' listeners, which stay open to the end.
    operators: BTreeMap<&'static str, Arc<Connections>>,
}

impl Pools {
    pub(super) fn new(config: &Config, bindings: &Bindings) -> Self {
        let mut pools = Self { partners: BTreeMap::new(), operators: BTreeMap::new() };
        for bound in bindings.iter() {
            let of = if bound.is_internal() { &mut pools.operators } else { &mut pools.partners };
            of.entry(bound.listener.name).or_insert_with(|| Arc::new(Connections::new(settings(config))));
            if bound.listener.takes_credentials {
                // Exported from the start, at zero: a rule cannot watch a series that does not exist.
                metrics::counter!("gateway_connections_evicted_total", "listener" => bound.listener.name)
                    .absolute(0);
            }
        }
        pools
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Connections>> {
        self.partners.values().chain(self.operators.values())
    }

    /// The pool of a bound listener.
    pub(super) fn of(&self, listener: &str) -> &Arc<Connections> {
        let pool = self.partners.get(listener).or_else(|| self.operators.get(listener));
        pool.expect("every bound listener has a pool")
    }

    /// The pools of partners' listeners, which a drain empties.
    pub(super) fn partners(&self) -> Vec<Arc<Connections>> {
        self.partners.values().cloned().collect()
    }

    /// How many connections of partners are open.
    pub(super) fn count(&self) -> usize {
        self.partners.values().map(|pool| pool.count()).sum()
    }

    /// Closes those connections of partners that `choose` selects.
    pub(super) fn close(&self, how: Close, choose: impl Fn(&Peer) -> bool) {
        self.partners.values().for_each(|pool| pool.close(how, &choose));
    }

    /// Applies new limits.
    pub(super) fn reload(&self, config: &Config) {
        self.all().for_each(|pool| pool.reload(settings(config)));
    }

    /// Starts tasks that close connections that have waited too long, until the runtime ends.
    pub(super) fn start_sweeps(&self) {
        for pool in self.all() {
            let pool = Arc::clone(pool);
            tokio::spawn(async move {
                let mut interval = tokio::time::interval(Connections::SWEEP_INTERVAL);
                loop {
                    interval.tick().await;
                    pool.sweep();
                }
            });
        }
    }
}

/// The transport's part of the configuration.
fn settings(config: &Config) -> Settings {
    let (limits, timeouts) = (&config.limits, &config.timeouts);
    Settings {
        connections_max: limits.connections_max,
        connections_per_address_max: limits.connections_per_address_max,
        streams_per_connection_max: limits.streams_per_connection_max,
        quic_handshakes_max: limits.quic_handshakes_max,
        quic_retry_threshold: limits.quic_retry_threshold,
        handshake: timeouts.handshake,
        header: timeouts.header,
        idle: timeouts.idle,
        write: timeouts.write,
        goodbye: timeouts.goodbye,
    }
}
