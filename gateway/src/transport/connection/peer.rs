//! An open connection: its client, how long it has been waiting, and how it is closed.
//!
//! A connection has no timer. It records what it is waiting for, and a sweep over all connections, ten times
//! a second, counts how long each has waited; so a request costs a few stores, but no clock or timer. See
//! [`super::Connections::sweep`].

use std::net::IpAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use atomic_waker::AtomicWaker;

use super::encryption::Encryption;
use super::round_trip::SocketPair;
use crate::transport::listener::Listener;

/// The number of faults at which a connection is closed; each valid request cancels one. A normal client on a
/// bad network cancels a few requests before their heads have arrived, and sends many others.
const FAULTS_MAX: u32 = 256;

/// How a connection is closed, from gracefully to at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Close {
    /// Finish the requests in flight, accept no new ones.
    Drain = 1,
    /// The same, but with only `goodbye` as the time for requests in flight: the key was revoked.
    Revoked = 2,
    /// At once.
    Now = 3,
    /// At once, because the client is abusive (`H3_EXCESSIVE_LOAD`).
    Excess = 4,
}

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::transport) enum Phase {
    /// The TLS or QUIC handshake.
    Handshake = 0,
    /// A request's head: the first one, or one whose first byte has arrived.
    Head = 1,
    /// The next request.
    Idle = 2,
    /// A response.
    Busy = 3,
    /// The end, after it was announced.
    Goodbye = 4,
}

/// The transport of a connection.
pub(in crate::transport) enum Carrier {
    /// TCP, between these two sockets.
    Tcp(SocketPair),
    /// QUIC.
    Quic(quinn::Connection),
}

/// The properties of an established connection.
struct Established {
    encryption: Option<Encryption>,
    carrier: Carrier,
}

/// An open connection.
pub struct Peer {
    /// Unique in the process.
    pub number: u64,
    /// The address that it was opened from, which the handshake has validated; an IPv4-mapped one as IPv4.
    /// Limits per address use it for the connection's lifetime.
    pub origin: IpAddr,
    /// The address that a QUIC connection has migrated to (RFC 9000 §9), and whether it has; few do.
    moved: Mutex<Option<IpAddr>>,
    has_moved: AtomicBool,
    /// Its listener.
    pub listener: Arc<Listener>,
    /// The number of the key that was used on it last; 0 means none.
    pub last_key: AtomicU64,
    /// Whether a request on it has presented a valid credential, so that it is no longer counted below.
    authenticated: AtomicBool,
    unauthenticated_in_pool: Arc<AtomicUsize>,
    established: OnceLock<Established>,
    /// Whether it uses HTTP/2 or HTTP/3, which have GOAWAY.
    pub(in crate::transport) multiplexed: AtomicBool,
    /// Requests that have started, and how many of them may be served.
    requests: AtomicU64,
    requests_max: AtomicU64,
    phase: AtomicU8,
    /// Sweeps since the phase started.
    age: AtomicU32,
    in_flight: AtomicU32,
    faults: AtomicU32,
    /// Whether a write waits for the client, and sweeps since then.
    write_waits: AtomicBool,
    write_age: AtomicU32,
    /// Over HTTP/2: whether all bytes that have arrived were read since the connection's task was woken.
    pub(in crate::transport) has_read_all: AtomicBool,
    /// Sweeps since the connection was opened.
    sweeps: AtomicU32,
    close: AtomicU8,
    waker: AtomicWaker,
}

impl Peer {
    /// A new connection, counted as unauthenticated.
    pub(in crate::transport) fn new(
        number: u64,
        address: IpAddr,
        listener: Arc<Listener>,
        unauthenticated_in_pool: Arc<AtomicUsize>,
    ) -> Self {
        unauthenticated_in_pool.fetch_add(1, Relaxed);
        Self {
            number,
            origin: address.to_canonical(),
            moved: Mutex::new(None),
            has_moved: AtomicBool::new(false),
            listener,
            last_key: AtomicU64::new(0),
            authenticated: AtomicBool::new(false),
            unauthenticated_in_pool,
            established: OnceLock::new(),
            multiplexed: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            requests_max: AtomicU64::new(u64::MAX),
            phase: AtomicU8::new(Phase::Handshake as u8),
            age: AtomicU32::new(0),
            in_flight: AtomicU32::new(0),
            faults: AtomicU32::new(0),
            write_waits: AtomicBool::new(false),
            write_age: AtomicU32::new(0),
            has_read_all: AtomicBool::new(false),
            sweeps: AtomicU32::new(0),
            close: AtomicU8::new(0),
            waker: AtomicWaker::new(),
        }
    }

    /// A connection without a socket, for benches and tests of a service.
    #[must_use]
    pub fn alone(address: IpAddr, listener: Listener) -> Arc<Self> {
        Arc::new(Self::new(u64::MAX, address, Arc::new(listener), Arc::default()))
    }

    /// One of many connections, for tests.
    #[cfg(test)]
    pub(crate) fn numbered(number: u64) -> Arc<Self> {
        Arc::new(Self::new(number, [127, 0, 0, 1].into(), Arc::new(Listener::plain()), Arc::default()))
    }

    /// Marks it as established, so that it can have requests.
    pub(in crate::transport) fn establish(&self, encryption: Option<Encryption>, carrier: Carrier) {
        // A connection is established once.
        let _ = self.established.set(Established { encryption, carrier });
    }

    /// Its encryption; `None` in cleartext.
    pub fn encryption(&self) -> Option<Encryption> {
        self.established.get()?.encryption
    }

    /// Whether the client speaks HTTP in cleartext on a TLS listener.
    pub fn lacks_tls(&self) -> bool {
        self.listener.tls
            && !self.is_quic()
            && self.established.get().is_some_and(|it| it.encryption.is_none())
    }

    /// The transport's estimate of the round-trip time: QUIC's (RFC 9002 §5), or the kernel's for TCP. It is
    /// read each time, which takes one to ten microseconds.
    pub fn round_trip_time(&self) -> Option<Duration> {
        match &self.established.get()?.carrier {
            Carrier::Tcp(sockets) => sockets.round_trip_time(),
            Carrier::Quic(connection) => Some(connection.rtt()),
        }
    }

    /// Whether its transport is QUIC, so that it uses HTTP/3.
    pub fn is_quic(&self) -> bool {
        matches!(self.established.get(), Some(Established { carrier: Carrier::Quic(_), .. }))
    }

    /// The client's current address. One that the connection has migrated to may be spoofed until the path is
    /// validated, and quinn does not report when it is.
    pub fn address(&self) -> IpAddr {
        if !self.has_moved.load(Relaxed) {
            return self.origin;
        }
        self.moved.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(self.origin)
    }

    /// Records the client's current address.
    pub fn seen_at(&self, address: IpAddr) {
        let address = address.to_canonical();
        if address != self.address() {
            let moved = Some(address).filter(|address| *address != self.origin);
            *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = moved;
            self.has_moved.store(moved.is_some(), Relaxed);
        }
    }

    /// Counts faults that normal clients rarely cause; too many close the connection.
    pub(in crate::transport) fn count_faults(&self, faults: u32) {
        // Only the connection's worker writes it.
        let sum = self.faults.load(Relaxed).saturating_add(faults);
        self.faults.store(sum, Relaxed);
        if sum >= FAULTS_MAX {
            self.close(Close::Excess);
        }
    }

    /// Cancels a fault, after a valid request.
    pub(in crate::transport) fn forgive_fault(&self) {
        let faults = self.faults.load(Relaxed);
        if faults > 0 {
            self.faults.store(faults - 1, Relaxed);
        }
    }

    /// Records that a request on it has presented a valid credential.
    pub fn mark_authenticated(&self) {
        if !self.is_authenticated() {
            self.leave_unauthenticated();
        }
    }

    pub(in crate::transport) fn is_authenticated(&self) -> bool {
        self.authenticated.load(Relaxed)
    }

    /// Removes it from the count of unauthenticated connections; `false` if it was removed before.
    pub(in crate::transport) fn leave_unauthenticated(&self) -> bool {
        let left = !self.authenticated.swap(true, Relaxed);
        if left {
            self.unauthenticated_in_pool.fetch_sub(1, Relaxed);
        }
        left
    }

    /// Whether it has no request in flight.
    pub(in crate::transport) fn is_idle(&self) -> bool {
        self.in_flight.load(Relaxed) == 0
    }

    /// Whether it was asked to close.
    pub fn is_closing(&self) -> bool {
        self.close_wish().is_some()
    }

    /// Asks it to close, from any thread; a more graceful close never replaces a harder one.
    pub fn close(&self, how: Close) {
        self.close.fetch_max(how as u8, Relaxed);
        self.waker.wake();
    }

    /// Serves no more than this many requests: see [`crate::transport::HeadWatch`].
    pub(in crate::transport) fn serve_no_more_than(&self, requests: u64) {
        self.requests_max.store(requests, Relaxed);
    }

    /// Whether the request that has started last, on HTTP/1 the one in flight, is ambiguous or comes after
    /// something ambiguous.
    pub fn is_ambiguous(&self) -> bool {
        self.requests.load(Relaxed) > self.requests_max.load(Relaxed)
    }

    /// Whether its end can be announced at any time (HTTP/2, HTTP/3), not only with a response (HTTP/1).
    pub fn is_multiplexed(&self) -> bool {
        self.multiplexed.load(Relaxed)
    }

    /// Watches for a close, from one task.
    pub(in crate::transport) const fn watch_close(&self) -> CloseWatch<'_> {
        CloseWatch { peer: self, registered: false }
    }

    /// Awaits `future` until the connection is asked to close.
    pub(in crate::transport) async fn until_closed<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut watch = self.watch_close();
        std::future::poll_fn(|context| match watch.poll(context) {
            Some(_) => Poll::Ready(None),
            None => future.as_mut().poll(context).map(Some),
        })
        .await
    }

    pub(in crate::transport) fn close_wish(&self) -> Option<Close> {
        match self.close.load(Relaxed) {
            0 => None,
            1 => Some(Close::Drain),
            2 => Some(Close::Revoked),
            3 => Some(Close::Now),
            _ => Some(Close::Excess),
        }
    }

    pub(in crate::transport) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::Handshake,
            1 => Phase::Head,
            2 => Phase::Idle,
            3 => Phase::Busy,
            _ => Phase::Goodbye,
        }
    }

    /// Starts a phase. An announced end is final.
    pub(in crate::transport) fn enter(&self, phase: Phase) {
        if self.phase() != Phase::Goodbye {
            self.phase.store(phase as u8, Relaxed);
            self.age.store(0, Relaxed);
        }
    }

    /// Records that a write waits for the client, or has completed.
    pub(in crate::transport) fn write_waits(&self, waits: bool) {
        if self.write_waits.load(Relaxed) != waits {
            self.write_age.store(0, Relaxed);
            self.write_waits.store(waits, Relaxed);
        }
    }

    /// The age of the connection, in sweeps.
    pub(in crate::transport) fn sweeps(&self) -> u32 {
        self.sweeps.load(Relaxed)
    }

    /// Counts a sweep, and closes the connection if it has waited too long.
    pub(in crate::transport) fn sweep(&self, limits: &SweepLimits) {
        self.sweeps.fetch_add(1, Relaxed);
        let age = self.age.fetch_add(1, Relaxed);
        if self.write_waits.load(Relaxed) && self.write_age.fetch_add(1, Relaxed) >= limits.write {
            self.close(Close::Now);
        }
        match self.phase() {
            Phase::Handshake if age >= limits.handshake => self.close(Close::Now),
            Phase::Head if age >= limits.head => self.close(Close::Now),
            Phase::Idle if age >= limits.idle => self.close(Close::Drain),
            Phase::Goodbye if age >= limits.goodbye => {
                let revoked = self.close_wish() >= Some(Close::Revoked);
                if revoked || self.in_flight.load(Relaxed) == 0 {
                    self.close(Close::Now);
                }
            }
            _ => {}
        }
    }
}

/// Watches for a connection's close, from the task that drives it.
pub(in crate::transport) struct CloseWatch<'p> {
    peer: &'p Peer,
    registered: bool,
}

impl CloseWatch<'_> {
    /// The requested close, if any; the task is woken when that changes.
    pub(in crate::transport) fn poll(&mut self, context: &Context<'_>) -> Option<Close> {
        // The waker stays until a close takes it, and a task has one waker, so it is not registered at every
        // poll.
        let wish = self.peer.close_wish();
        if !self.registered || wish.is_some() {
            self.registered = true;
            self.peer.waker.register(context.waker());
            return self.peer.close_wish();
        }
        wish
    }
}

/// The limits of a sweep, in sweeps.
#[derive(Clone, Copy, Debug)]
pub(in crate::transport) struct SweepLimits {
    pub(in crate::transport) handshake: u32,
    pub(in crate::transport) head: u32,
    pub(in crate::transport) idle: u32,
    pub(in crate::transport) write: u32,
    pub(in crate::transport) goodbye: u32,
}

/// A request in flight on a connection, counted until this is dropped: at the end of its response.
pub(in crate::transport) struct InFlight(Arc<Peer>);

impl InFlight {
    pub(in crate::transport) fn begin(peer: Arc<Peer>) -> Self {
        // Only the connection's worker writes them, so no read-modify-write is needed.
        peer.in_flight.store(peer.in_flight.load(Relaxed) + 1, Relaxed);
        peer.requests.store(peer.requests.load(Relaxed) + 1, Relaxed);
        peer.enter(Phase::Busy);
        Self(peer)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let left = self.0.in_flight.load(Relaxed).saturating_sub(1);
        self.0.in_flight.store(left, Relaxed);
        if left == 0 {
            self.0.enter(Phase::Idle);
            if self.0.close_wish() == Some(Close::Drain) {
                // The end was announced, and no other phase starts: `goodbye` counts from the last response.
                self.0.age.store(0, Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests;
