//! One open connection: who is at the other end, how long it has been waiting, and how it is ended.
//!
//! A connection keeps no timer. It says what it is waiting for, and a sweep over all connections, ten
//! times a second, counts how long each has waited; so a request costs a few stores, no clock and no
//! timer wheel. See [`super::Connections::sweep`].

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

/// Faults of one connection at which it is ended; each good request makes up for one. An honest client
/// on a bad network gives up a few requests before their heads have come, and sends many others.
const FAULTS_MAX: u32 = 256;

/// How a connection is ended, from gentle to at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Close {
    /// Finish what is in flight, take nothing new.
    Drain = 1,
    /// The same, but with the short time of `goodbye` for what is in flight: its key was revoked.
    Revoked = 2,
    /// At once.
    Now = 3,
    /// At once, because the client sends what no honest client sends (`H3_EXCESSIVE_LOAD`).
    Excess = 4,
}

/// What a connection is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(in crate::transport) enum Phase {
    /// The TLS or QUIC handshake.
    Handshake = 0,
    /// A request's head: the first one, or one whose first byte has come.
    Head = 1,
    /// The next request.
    Idle = 2,
    /// An answer of ours.
    Busy = 3,
    /// The end, which was announced.
    Goodbye = 4,
}

/// What carries a connection.
pub(in crate::transport) enum Carrier {
    /// TCP, between these two sockets.
    Tcp(SocketPair),
    /// QUIC.
    Quic(quinn::Connection),
}

/// What is known of a connection that stands.
struct Established {
    encryption: Option<Encryption>,
    carrier: Carrier,
}

/// One open connection.
pub struct Peer {
    /// Unique in the process.
    pub number: u64,
    /// The address that it was opened from, which the handshake has proven; an IPv4-mapped one is IPv4.
    /// Bounds per address go by it for as long as the connection lives.
    pub origin: IpAddr,
    /// Where a QUIC connection has moved to since (RFC 9000 §9), and whether it has: hardly any does.
    moved: Mutex<Option<IpAddr>>,
    has_moved: AtomicBool,
    /// The listener that it came by.
    pub listener: Arc<Listener>,
    /// The number of the key that was used on it last; 0 is none.
    pub last_key: AtomicU64,
    /// Whether a request on it has presented a valid credential, so that it left the pool's count below.
    authenticated: AtomicBool,
    unauthenticated_in_pool: Arc<AtomicUsize>,
    established: OnceLock<Established>,
    /// Whether it speaks HTTP/2 or HTTP/3, whose clients can be told to go away at any time.
    pub(in crate::transport) multiplexed: AtomicBool,
    /// Requests that have begun, and how many of them may be served.
    requests: AtomicU64,
    requests_max: AtomicU64,
    phase: AtomicU8,
    /// Sweeps since the phase began.
    age: AtomicU32,
    in_flight: AtomicU32,
    faults: AtomicU32,
    /// Whether a write waits for the client, and sweeps since then.
    write_waits: AtomicBool,
    write_age: AtomicU32,
    /// Over HTTP/2: whether all that has come was read since the connection's task was woken.
    pub(in crate::transport) has_read_all: AtomicBool,
    /// Sweeps since the connection was opened.
    sweeps: AtomicU32,
    close: AtomicU8,
    waker: AtomicWaker,
}

impl Peer {
    /// A connection that has not authenticated; it enters that count of its pool.
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

    /// A connection that no socket belongs to, for benches and tests of a service.
    #[must_use]
    pub fn alone(address: IpAddr, listener: Listener) -> Arc<Self> {
        Arc::new(Self::new(u64::MAX, address, Arc::new(listener), Arc::default()))
    }

    /// One of many connections, for tests of what keeps them.
    #[cfg(test)]
    pub(crate) fn numbered(number: u64) -> Arc<Self> {
        Arc::new(Self::new(number, [127, 0, 0, 1].into(), Arc::new(Listener::plain()), Arc::default()))
    }

    /// It stands: requests can come.
    pub(in crate::transport) fn establish(&self, encryption: Option<Encryption>, carrier: Carrier) {
        // A connection is established once.
        let _ = self.established.set(Established { encryption, carrier });
    }

    /// How it is encrypted; `None` in cleartext.
    pub fn encryption(&self) -> Option<Encryption> {
        self.established.get()?.encryption
    }

    /// Whether its client speaks HTTP in cleartext where TLS is expected.
    pub fn lacks_tls(&self) -> bool {
        self.listener.tls
            && !self.is_quic()
            && self.established.get().is_some_and(|it| it.encryption.is_none())
    }

    /// The transport's own estimate of the time to the other end and back: QUIC's (RFC 9002 §5), or the
    /// kernel's of TCP. It is asked anew each time, which takes a microsecond or ten.
    pub fn round_trip_time(&self) -> Option<Duration> {
        match &self.established.get()?.carrier {
            Carrier::Tcp(sockets) => sockets.round_trip_time(),
            Carrier::Quic(connection) => Some(connection.rtt()),
        }
    }

    /// Whether it is carried by QUIC, so that it speaks HTTP/3.
    pub fn is_quic(&self) -> bool {
        matches!(self.established.get(), Some(Established { carrier: Carrier::Quic(_), .. }))
    }

    /// The address at the other end now. One that the connection has moved to may be forged until the
    /// client answers from there, and quinn does not tell when it has.
    pub fn address(&self) -> IpAddr {
        if !self.has_moved.load(Relaxed) {
            return self.origin;
        }
        self.moved.lock().unwrap_or_else(PoisonError::into_inner).unwrap_or(self.origin)
    }

    /// The client was seen at this address.
    pub fn seen_at(&self, address: IpAddr) {
        let address = address.to_canonical();
        if address != self.address() {
            let moved = Some(address).filter(|address| *address != self.origin);
            *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = moved;
            self.has_moved.store(moved.is_some(), Relaxed);
        }
    }

    /// Counts what no honest client does often; too much of it ends the connection.
    pub(in crate::transport) fn count_faults(&self, faults: u32) {
        // Only the connection's own worker writes it.
        let sum = self.faults.load(Relaxed).saturating_add(faults);
        self.faults.store(sum, Relaxed);
        if sum >= FAULTS_MAX {
            self.close(Close::Excess);
        }
    }

    /// A good request makes up for a fault.
    pub(in crate::transport) fn forgive_fault(&self) {
        let faults = self.faults.load(Relaxed);
        if faults > 0 {
            self.faults.store(faults - 1, Relaxed);
        }
    }

    /// A request on it has presented a valid credential.
    pub fn mark_authenticated(&self) {
        if !self.is_authenticated() {
            self.leave_unauthenticated();
        }
    }

    pub(in crate::transport) fn is_authenticated(&self) -> bool {
        self.authenticated.load(Relaxed)
    }

    /// Leaves the pool's count of unauthenticated connections; `false` where it had left before.
    pub(in crate::transport) fn leave_unauthenticated(&self) -> bool {
        let left = !self.authenticated.swap(true, Relaxed);
        if left {
            self.unauthenticated_in_pool.fetch_sub(1, Relaxed);
        }
        left
    }

    /// Whether no request is in flight on it.
    pub(in crate::transport) fn is_idle(&self) -> bool {
        self.in_flight.load(Relaxed) == 0
    }

    /// Whether its end was asked for.
    pub fn is_closing(&self) -> bool {
        self.close_wish().is_some()
    }

    /// Asks for the end of this connection, from any thread; a gentler wish never takes back a harder one.
    pub fn close(&self, how: Close) {
        self.close.fetch_max(how as u8, Relaxed);
        self.waker.wake();
    }

    /// The requests behind so many are not served: see [`crate::transport::HeadWatch`].
    pub(in crate::transport) fn serve_no_more_than(&self, requests: u64) {
        self.requests_max.store(requests, Relaxed);
    }

    /// Whether the request that has begun last, on HTTP/1 the one in flight, can be read in two ways, or
    /// stands behind something that can.
    pub fn is_ambiguous(&self) -> bool {
        self.requests.load(Relaxed) > self.requests_max.load(Relaxed)
    }

    /// Whether it can be told to go away at any time (HTTP/2, HTTP/3), not only with an answer (HTTP/1).
    pub fn is_multiplexed(&self) -> bool {
        self.multiplexed.load(Relaxed)
    }

    /// Watches for the end, from one task.
    pub(in crate::transport) const fn watch_close(&self) -> CloseWatch<'_> {
        CloseWatch { peer: self, registered: false }
    }

    /// Awaits `future` until the end is asked for.
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

    /// Begins a phase. The end that was announced is never taken back.
    pub(in crate::transport) fn enter(&self, phase: Phase) {
        if self.phase() != Phase::Goodbye {
            self.phase.store(phase as u8, Relaxed);
            self.age.store(0, Relaxed);
        }
    }

    /// A write waits for the client, or went through.
    pub(in crate::transport) fn write_waits(&self, waits: bool) {
        if self.write_waits.load(Relaxed) != waits {
            self.write_age.store(0, Relaxed);
            self.write_waits.store(waits, Relaxed);
        }
    }

    /// How old the connection is, in sweeps.
    pub(in crate::transport) fn sweeps(&self) -> u32 {
        self.sweeps.load(Relaxed)
    }

    /// One sweep: grows older by one and asks for the end of what has waited too long.
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

/// Watches for a connection's end from the one task that drives it.
pub(in crate::transport) struct CloseWatch<'p> {
    peer: &'p Peer,
    registered: bool,
}

impl CloseWatch<'_> {
    /// What was asked for, if anything; the task is woken when that changes.
    pub(in crate::transport) fn poll(&mut self, context: &Context<'_>) -> Option<Close> {
        // The waker stays until a wish takes it, and a task has one waker: registering at every poll
        // would only cost.
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
        // Only the connection's own worker writes them, so they take no read-modify-write.
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
                // The end was announced, and no phase begins: `goodbye` counts from the last response.
                self.0.age.store(0, Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests;
