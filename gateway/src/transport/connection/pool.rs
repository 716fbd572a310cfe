//! The pool of a listener's open connections: its limits, and the sweep that closes connections that wait too
//! long.
//!
//! One lock guards the list; it is taken when a connection opens or closes and for each sweep, never for a
//! request.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::{IpNet, Ipv6Net};

use super::peer::{Close, Peer, SweepLimits};
use crate::transport::listener::Listener;

/// At most one in this many connections of a listener with authentication may be unauthenticated.
const UNAUTHENTICATED_SHARE: usize = 2;
/// How many candidates are examined to find a connection to close for a new one.
const VICTIM_LOOKS: usize = 32;
/// How many connections may be closing to make room; while there are more, new ones are refused.
const EVICTIONS_MAX: usize = 64;
/// The IPv6 networks in which connections are counted: prefix lengths, and how many times
/// `connections_per_address_max` each may have. One subscriber is given a /64, a /56 or a /48 (RFC 6177).
const IPV6_BOUNDS: [(u8, usize); 3] = [(64, 1), (56, 4), (48, 16)];

/// Limits of connections; each is an option of `[limits]` or `[timeouts]` in the configuration.
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

/// Why a connection is refused.
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
    /// How many of them are unauthenticated; each [`Peer`] decrements it itself.
    unauthenticated: Arc<AtomicUsize>,
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    peers: HashMap<u64, Arc<Peer>>,
    by_network: HashMap<IpNet, usize>,
    /// Numbers of unauthenticated connections, oldest first. Those that have authenticated or closed since
    /// are removed lazily: when they are examined, or when the queue has grown to twice the list.
    arrivals: VecDeque<u64>,
    /// Connections that are closing to make room, which no longer count.
    evicted: HashSet<u64>,
}

impl List {
    /// Closes the oldest idle unauthenticated connection; `false` if none was found.
    fn evict(&mut self) -> bool {
        if self.evicted.len() >= EVICTIONS_MAX {
            return false;
        }
        for _ in 0..VICTIM_LOOKS {
            let Some(number) = self.arrivals.pop_front() else { return false };
            let Some(peer) = self.peers.get(&number) else { continue };
            if !peer.is_idle() {
                if !peer.is_authenticated() {
                    self.arrivals.push_back(number);
                }
            } else if peer.leave_unauthenticated() {
                peer.close(Close::Now);
                self.evicted.insert(number);
                metrics::counter!("gateway_connections_evicted_total", "listener" => peer.listener.name)
                    .increment(1);
                return true;
            }
        }
        false
    }

    fn is_full(&self, settings: &Settings) -> bool {
        self.peers.len() - self.evicted.len() >= settings.connections_max
    }

    fn arrived(&mut self, number: u64) {
        if self.arrivals.len() > 2 * self.peers.len() + VICTIM_LOOKS {
            let peers = &self.peers;
            self.arrivals.retain(|number| peers.get(number).is_some_and(|peer| !peer.is_authenticated()));
        }
        self.arrivals.push_back(number);
    }
}

impl Connections {
    /// How often [`Self::sweep`] must be called; the precision of connection timeouts.
    pub const SWEEP_INTERVAL: Duration = Duration::from_millis(100);

    /// Creates an empty pool.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings: ArcSwap::from_pointee(settings),
            open: AtomicUsize::new(0),
            unauthenticated: Arc::default(),
            list: Mutex::default(),
        }
    }

    /// Applies new limits to new connections, and new timeouts to open ones as well.
    pub fn reload(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// How many connections are open.
    pub fn count(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Adds a connection until the guard is dropped.
    pub(in crate::transport) fn open(
        self: &Arc<Self>,
        address: IpAddr,
        listener: &Arc<Listener>,
    ) -> Result<Open, LimitReached> {
        let settings = self.settings.load();
        let mut list = self.list();
        // A trusted proxy's connections serve many clients.
        let is_counted = !listener.trusts(address.to_canonical());
        if is_counted {
            let is_full = |(network, share): (IpNet, usize)| {
                let bound = settings.connections_per_address_max.saturating_mul(share);
                list.by_network.get(&network).is_some_and(|count| *count >= bound)
            };
            // First, so that an address above its limit does not cause another connection to close.
            if networks(address).any(is_full) {
                return Err(LimitReached::Address);
            }
        }
        let is_full = list.is_full(&settings);
        let evicts = listener.takes_credentials && (is_full || self.are_too_many_unauthenticated(&settings));
        if (evicts && !list.evict()) || (is_full && !evicts) {
            return Err(LimitReached::All);
        }
        if is_counted {
            networks(address).for_each(|(network, _)| *list.by_network.entry(network).or_insert(0) += 1);
        }
        // Unique in the process, not only in the pool, because a key is used on connections of several pools.
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let peer = Peer::new(number, address, Arc::clone(listener), Arc::clone(&self.unauthenticated));
        let peer = Arc::new(peer);
        list.peers.insert(number, Arc::clone(&peer));
        if listener.takes_credentials {
            list.arrived(number);
        }
        self.open.store(list.peers.len(), Ordering::Relaxed);
        Ok(Open { peer, is_counted, connections: Arc::clone(self) })
    }

    /// Whether the next connection closes another one.
    pub(in crate::transport) fn is_crowded(&self) -> bool {
        let settings = self.settings.load();
        self.are_too_many_unauthenticated(&settings) || self.list().is_full(&settings)
    }

    fn are_too_many_unauthenticated(&self, settings: &Settings) -> bool {
        let max = (settings.connections_max / UNAUTHENTICATED_SHARE).max(1);
        self.unauthenticated.load(Ordering::Relaxed) >= max
    }

    /// Waits until no connection is open.
    pub async fn all_closed(&self) {
        while self.count() > 0 {
            tokio::time::sleep(Self::SWEEP_INTERVAL / 10).await;
        }
    }

    /// Counts a sweep for every connection, and closes those that have waited too long.
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

    /// Closes all connections that `choose` selects.
    pub fn close(&self, how: Close, choose: impl Fn(&Peer) -> bool) {
        for peer in self.list().peers.values().filter(|peer| choose(peer)) {
            peer.close(how);
        }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        // Nothing that can panic runs under the lock; if it did, the list would still be valid.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection in the pool.
pub(in crate::transport) struct Open {
    pub(in crate::transport) peer: Arc<Peer>,
    /// Whether it counts towards the limits of its networks.
    is_counted: bool,
    connections: Arc<Connections>,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut list = self.connections.list();
        list.peers.remove(&self.peer.number);
        list.evicted.remove(&self.peer.number);
        self.peer.leave_unauthenticated();
        for (network, _) in networks(self.peer.origin).filter(|_| self.is_counted) {
            if let Some(count) = list.by_network.get_mut(&network) {
                *count -= 1;
                if *count == 0 {
                    list.by_network.remove(&network);
                }
            }
        }
        self.connections.open.store(list.peers.len(), Ordering::Relaxed);
    }
}

/// The network that counts as one client: an IPv4 address, or the /64 of an IPv6 address.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

/// The networks in which a connection from `address` counts, and how many times `connections_per_address_max`
/// each may have.
fn networks(address: IpAddr) -> impl Iterator<Item = (IpNet, usize)> {
    let address = address.to_canonical();
    let ipv6 = IPV6_BOUNDS.into_iter().filter_map(move |(length, share)| match address {
        IpAddr::V6(address) => Some((Ipv6Net::new(address, length).ok()?.trunc().into(), share)),
        IpAddr::V4(_) => None,
    });
    address.is_ipv4().then(|| (address.into(), 1)).into_iter().chain(ipv6)
}

/// Converts a time to sweeps, rounded up, at least one.
fn sweeps(time: Duration) -> u32 {
    let sweeps = time.as_millis().div_ceil(Connections::SWEEP_INTERVAL.as_millis());
    u32::try_from(sweeps).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::connection::InFlight;

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
        Arc::new(Listener { takes_credentials: false, ..Listener::plain() })
    }

    fn api() -> Arc<Listener> {
        Arc::new(Listener::plain())
    }

    fn is_closed(open: &Open) -> bool {
        open.peer.close_wish() == Some(Close::Now)
    }

    #[test]
    fn connections_are_bounded_in_total_and_per_network() {
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
    fn a_trusted_proxy_is_bounded_in_total_only() {
        let trusted_proxies = vec!["192.0.2.0/24".parse().unwrap()];
        let listener = Arc::new(Listener { trusted_proxies, takes_credentials: false, ..Listener::plain() });
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
    fn closed_connections_leave_nothing_behind() {
        let (connections, listener) = (connections(10, 10), listener());
        for last in 0..=255 {
            drop(connections.open([192, 0, 2, last].into(), &listener).ok().unwrap());
        }
        let list = connections.list();
        assert_eq!((list.peers.len(), list.by_network.len()), (0, 0));
    }

    #[test]
    fn an_ipv6_network_holds_more_the_larger_it_is() {
        let (connections, listener) = (connections(1000, 2), listener());
        let open = |network: u128, host: u128| {
            let address = Ipv6Addr::from_bits((0x2001_0db8 << 96) | (network << 64) | host);
            connections.open(address.into(), &listener)
        };
        let mut held = Vec::new();
        // A /56 is four times a /64, a /48 sixteen times.
        for (slash_56, networks) in [(0, 4), (1, 4), (2, 4), (3, 4)] {
            for slash_64 in 0..networks {
                let network = (slash_56 << 8) | slash_64;
                held.extend((0..2).map(|host| open(network, host).ok().unwrap()));
                assert_eq!(open(network, 9).err(), Some(LimitReached::Address), "a /64 is full");
            }
            assert_eq!(open((slash_56 << 8) | 99, 0).err(), Some(LimitReached::Address), "a /56 is full");
        }
        assert_eq!(open(99 << 8, 0).err(), Some(LimitReached::Address), "the /48 is full");
        assert!(open(1 << 16, 0).is_ok(), "the next /48 is free");
        held.clear();
        assert!(connections.list().by_network.is_empty());
    }

    #[test]
    fn unauthenticated_connections_hold_at_most_half_and_the_oldest_idle_one_goes_first() {
        let (connections, listener) = (connections(4, 100), api());
        let open = || connections.open([192, 0, 2, 1].into(), &listener);
        let authenticated = open().ok().unwrap();
        authenticated.peer.mark_authenticated();
        authenticated.peer.mark_authenticated();
        let oldest = open().ok().unwrap();
        let next = open().ok().unwrap();
        assert!(!is_closed(&oldest), "half is not exceeded");
        let newest = open().ok().unwrap();
        assert!(is_closed(&oldest) && !is_closed(&next) && !is_closed(&authenticated));
        drop(oldest);
        assert_eq!(connections.unauthenticated.load(Ordering::Relaxed), 2);
        drop((authenticated, next, newest));
        let list = connections.list();
        assert_eq!((list.peers.len(), list.evicted.len()), (0, 0));
        assert_eq!(connections.unauthenticated.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_full_pool_closes_the_unauthenticated_and_refuses_where_there_are_none() {
        let (connections, listener) = (connections(4, 100), api());
        let open = || connections.open([192, 0, 2, 1].into(), &listener);
        let authenticated = [(); 3].map(|()| {
            let open = open().ok().unwrap();
            open.peer.mark_authenticated();
            open
        });
        let silent = open().ok().unwrap();
        let new = open().ok().unwrap();
        assert!(is_closed(&silent), "it makes room");
        new.peer.mark_authenticated();
        assert_eq!(open().err(), Some(LimitReached::All));
        assert!(!authenticated.iter().chain([&new]).any(is_closed), "authenticated connections stay");
    }

    #[test]
    fn a_connection_with_a_request_in_flight_is_not_closed_for_another() {
        let (connections, listener) = (connections(4, 100), api());
        let open = || connections.open([192, 0, 2, 1].into(), &listener);
        let busy = open().ok().unwrap();
        let request = InFlight::begin(Arc::clone(&busy.peer));
        let idle = open().ok().unwrap();
        let third = open().ok().unwrap();
        assert!(!is_closed(&busy) && is_closed(&idle));
        let other_request = InFlight::begin(Arc::clone(&third.peer));
        assert_eq!(open().err(), Some(LimitReached::All), "all are busy");
        drop(request);
        assert!(open().is_ok());
        assert!(is_closed(&busy) && !is_closed(&third));
        drop(other_request);
    }

    #[test]
    fn connections_that_are_slow_to_close_are_bounded_and_so_is_the_queue() {
        let (connections, listener) = (connections(4, 1000), api());
        let open = || connections.open([192, 0, 2, 1].into(), &listener);
        let held: Vec<Open> = (0..2 + EVICTIONS_MAX).map(|_| open().ok().unwrap()).collect();
        assert_eq!(open().err(), Some(LimitReached::All));
        drop(held);
        for _ in 0..1000 {
            drop(open().ok().unwrap());
        }
        assert!(connections.list().arrivals.len() <= VICTIM_LOOKS + 1);
    }

    #[test]
    fn a_time_is_rounded_up_to_sweeps() {
        assert_eq!(sweeps(Duration::from_secs(10)), 100);
        assert_eq!(sweeps(Duration::from_millis(101)), 2);
        assert_eq!(sweeps(Duration::ZERO), 1);
    }
}
