//! All open connections of the process: how many there may be, and the sweep that ends what waits too long.
//!
//! One lock guards the list; it is taken when a connection opens, closes or is swept, never for a request.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use super::peer::{Close, Peer, SweepLimits};
use crate::transport::listener::Listener;

/// Bounds of connections; each is an option of `[limits]` or `[timeouts]` in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each field is documented as an option of the same name in config/gateway.toml"
)]
pub struct Settings {
    pub connections_max: usize,
    pub connections_per_address_max: usize,
    pub streams_per_connection_max: u32,
    pub quic_handshakes_max: usize,
    pub quic_retry_threshold: usize,
    pub handshake: Duration,
    pub header: Duration,
    pub idle: Duration,
    pub write: Duration,
    pub goodbye: Duration,
}

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::transport) enum LimitReached {
    All,
    Address,
}

impl LimitReached {
    pub(in crate::transport) const fn name(self) -> &'static str {
        match self {
            Self::All => "connections_max",
            Self::Address => "connections_per_address_max",
        }
    }
}

/// The open connections.
pub struct Connections {
    settings: ArcSwap<Settings>,
    open: AtomicUsize,
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    peers: HashMap<u64, Arc<Peer>>,
    by_address: HashMap<IpAddr, usize>,
}

impl Connections {
    /// How often [`Self::sweep`] is to be called; time limits of connections are kept to this.
    pub const SWEEP_INTERVAL: Duration = Duration::from_millis(100);

    /// No connections yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings: ArcSwap::from_pointee(settings), open: AtomicUsize::new(0), list: Mutex::default() }
    }

    /// Takes over new bounds, for new connections and for the times of open ones.
    pub fn reload(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    /// The bounds in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// How many connections are open.
    pub fn count(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Takes a connection into the list until the guard is dropped.
    pub(in crate::transport) fn open(
        self: &Arc<Self>,
        address: IpAddr,
        listener: &Arc<Listener>,
    ) -> Result<Open, LimitReached> {
        let settings = self.settings.load();
        let mut list = self.list();
        if list.peers.len() >= settings.connections_max {
            return Err(LimitReached::All);
        }
        // A trusted proxy's connections are those of many clients.
        let network = (!listener.trusts(address.to_canonical())).then(|| network(address));
        if let Some(network) = network {
            let of_address = list.by_address.entry(network).or_insert(0);
            if *of_address >= settings.connections_per_address_max {
                return Err(LimitReached::Address);
            }
            *of_address += 1;
        }
        // Unique in the process, not in the pool: a key is used on connections of several.
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let peer = Arc::new(Peer::new(number, address, Arc::clone(listener)));
        list.peers.insert(number, Arc::clone(&peer));
        self.open.store(list.peers.len(), Ordering::Relaxed);
        Ok(Open { peer, network, connections: Arc::clone(self) })
    }

    /// Waits until no connection is open.
    pub async fn all_closed(&self) {
        while self.count() > 0 {
            tokio::time::sleep(Self::SWEEP_INTERVAL / 10).await;
        }
    }

    /// Lets every connection grow older, and asks for the end of those that have waited too long.
    pub fn sweep(&self) {
        let settings = self.settings.load();
        let limits = SweepLimits {
            handshake: sweeps(settings.handshake),
            head: sweeps(settings.header),
            idle: sweeps(settings.idle),
            write: sweeps(settings.write),
            goodbye: sweeps(settings.goodbye),
        };
        for peer in self.list().peers.values() {
            peer.sweep(&limits);
        }
    }

    /// Asks for the end of all connections that are chosen.
    pub fn close(&self, how: Close, choose: impl Fn(&Peer) -> bool) {
        for peer in self.list().peers.values().filter(|peer| choose(peer)) {
            peer.close(how);
        }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        // Nothing that can panic runs under the lock; were it to, the list would still be whole.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection in the list.
pub(in crate::transport) struct Open {
    pub(in crate::transport) peer: Arc<Peer>,
    /// Where it is counted, if it is.
    network: Option<IpAddr>,
    connections: Arc<Connections>,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut list = self.connections.list();
        list.peers.remove(&self.peer.number);
        if let Some(network) = self.network
            && let Some(count) = list.by_address.get_mut(&network)
        {
            *count -= 1;
            if *count == 0 {
                list.by_address.remove(&network);
            }
        }
        self.connections.open.store(list.peers.len(), Ordering::Relaxed);
    }
}

/// What counts as one client: an IPv4 address, or the /64 that an IPv6 address lies in.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// A time in sweeps, rounded up; at least one.
fn sweeps(time: Duration) -> u32 {
    let sweeps = time.as_millis().div_ceil(Connections::SWEEP_INTERVAL.as_millis());
    u32::try_from(sweeps).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connections(max: usize, per_address: usize) -> Arc<Connections> {
        let second = Duration::from_secs(1);
        Arc::new(Connections::new(Settings {
            connections_max: max,
            connections_per_address_max: per_address,
            streams_per_connection_max: 1,
            quic_handshakes_max: 1,
            quic_retry_threshold: 1,
            handshake: second,
            header: second,
            idle: second,
            write: second,
            goodbye: second,
        }))
    }

    fn listener() -> Arc<Listener> {
        Arc::new(Listener::plain())
    }

    #[test]
    fn connections_are_bounded_in_all_and_per_network() {
        let (connections, listener) = (connections(3, 2), listener());
        let open = |address: &str| connections.open(address.parse().unwrap(), &listener);
        let first = open("2001:db8::1").ok().unwrap();
        let _second = open("2001:db8::ffff:1").ok().unwrap();
        assert_eq!(open("2001:db8::2").err(), Some(LimitReached::Address));
        let _third = open("192.0.2.1").ok().unwrap();
        assert_eq!(open("192.0.2.2").err(), Some(LimitReached::All));
        drop(first);
        assert_eq!(connections.count(), 2);
        assert!(open("2001:db8::2").is_ok());
    }

    #[test]
    fn a_trusted_proxy_is_bounded_in_all_only() {
        let trusted_proxies = vec!["192.0.2.0/24".parse().unwrap()];
        let listener = Arc::new(Listener { trusted_proxies, ..Listener::plain() });
        let connections = connections(3, 1);
        let open = |address: &str| connections.open(address.parse().unwrap(), &listener);
        let first = open("192.0.2.1").ok().unwrap();
        let _second = open("::ffff:192.0.2.1").ok().unwrap();
        let _stranger = open("198.51.100.1").ok().unwrap();
        assert_eq!(open("192.0.2.1").err(), Some(LimitReached::All));
        drop(first);
        assert_eq!(open("198.51.100.1").err(), Some(LimitReached::Address));
        assert!(open("192.0.2.1").is_ok());
    }

    #[test]
    fn nothing_is_kept_of_closed_connections() {
        let (connections, listener) = (connections(10, 10), listener());
        for last in 0..=255 {
            drop(connections.open([192, 0, 2, last].into(), &listener).ok().unwrap());
        }
        let list = connections.list();
        assert_eq!((list.peers.len(), list.by_address.len()), (0, 0));
    }

    #[test]
    fn a_time_is_rounded_up_to_sweeps() {
        assert_eq!(sweeps(Duration::from_secs(10)), 100);
        assert_eq!(sweeps(Duration::from_millis(101)), 2);
        assert_eq!(sweeps(Duration::ZERO), 1);
    }
}
