//! Steering: a QUIC connection stays with one worker, whatever address its client uses.
//!
//! The kernel distributes datagrams to the workers' sockets by address and port. After a client's address
//! changes (RFC 9000 §9), its datagrams reach another worker, which does not have the connection. So every
//! connection id identifies its worker, and a worker that reads another's datagram forwards it in memory.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, ConnectionIdGenerator, Runtime as _, UdpPoller};
use tokio::sync::mpsc;

use super::connection_ids::{Ids, steered_id};

/// Forwarded datagrams that may wait for a worker; more are dropped, as by a full kernel buffer, and sent
/// again.
const FORWARDED_MAX: usize = 1024;

/// One worker's UDP socket, and its queues to the other workers of the same address.
pub struct QuicSocket {
    socket: UdpSocket,
    inbox: mpsc::Receiver<Datagram>,
    worker: Worker,
}

/// Connects the sockets of all workers that share one address.
#[must_use]
pub fn steer(sockets: Vec<UdpSocket>) -> Vec<QuicSocket> {
    let (ways, inboxes): (Vec<_>, Vec<_>) = sockets.iter().map(|_| mpsc::channel(FORWARDED_MAX)).unzip();
    let (ids, ways) = (Ids::new(ways.len()), Arc::<[_]>::from(ways));
    let workers = (0..).map(|number| Worker { number, ids: ids.clone(), ways: Arc::clone(&ways) });
    let sockets = sockets.into_iter().zip(inboxes).zip(workers);
    sockets.map(|((socket, inbox), worker)| QuicSocket { socket, inbox, worker }).collect()
}

impl QuicSocket {
    /// Returns the factory of id generators for this worker's connections.
    pub(super) fn id_generator(&self) -> impl Fn() -> Box<dyn ConnectionIdGenerator> + Send + Sync + 'static {
        let (worker, ids) = (self.worker.number, self.worker.ids.clone());
        move || Box::new(ids.generator(worker))
    }

    /// Converts the socket for quinn.
    pub(super) fn into_steered(self) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let socket = quinn::TokioRuntime.wrap_udp_socket(self.socket)?;
        if self.worker.ways.len() == 1 {
            return Ok(socket);
        }
        Ok(Arc::new(Steered { socket, inbox: Mutex::new(self.inbox), worker: self.worker }))
    }
}

/// A datagram that is forwarded to another worker.
struct Datagram {
    bytes: Box<[u8]>,
    meta: RecvMeta,
}

/// A worker among those of its address.
struct Worker {
    number: u32,
    ids: Ids,
    /// To all workers, in the order of their numbers.
    ways: Arc<[mpsc::Sender<Datagram>]>,
}

impl Worker {
    /// Forwards the datagrams of other workers in a buffer, and closes the gaps. With GRO a buffer has many,
    /// `stride` bytes each, and only the last may be shorter.
    fn forward_foreign(&self, buffer: &mut [u8], meta: &mut RecvMeta) {
        let (mut kept, mut start) = (0, 0);
        while start < meta.len {
            let end = (start + meta.stride.max(1)).min(meta.len);
            let owner = steered_id(&buffer[start..end]).and_then(|id| self.ids.read(id));
            if let Some(owner) = owner.filter(|owner| *owner != self.number) {
                self.forward(owner, &buffer[start..end], meta);
            } else {
                if kept != start {
                    buffer.copy_within(start..end, kept);
                }
                kept += end - start;
            }
            start = end;
        }
        meta.len = kept;
    }

    fn forward(&self, owner: u32, bytes: &[u8], meta: &RecvMeta) {
        let meta = RecvMeta { len: bytes.len(), stride: bytes.len(), ..*meta };
        let Some(way) = self.ways.get(owner as usize) else { return };
        let outcome = match way.try_send(Datagram { bytes: bytes.into(), meta }) {
            Ok(()) => "delivered",
            Err(_) => "dropped",
        };
        metrics::counter!("gateway_datagrams_forwarded_total", "outcome" => outcome).increment(1);
    }
}

/// A worker's socket, which also returns datagrams that other workers forward.
struct Steered {
    socket: Arc<dyn AsyncUdpSocket>,
    /// Only the endpoint's task reads it, so the lock is never contended.
    inbox: Mutex<mpsc::Receiver<Datagram>>,
    worker: Worker,
}

impl Steered {
    /// Fills at most half of the buffers from the inbox, so that neither source starves the other.
    fn take_forwarded(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> usize {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken = 0;
        while taken < buffers.len().div_ceil(2)
            && let Poll::Ready(Some(Datagram { bytes, meta })) = inbox.poll_recv(context)
        {
            // All workers' buffers have the same size, so it fits.
            if let Some(place) = buffers[taken].get_mut(..bytes.len()) {
                place.copy_from_slice(&bytes);
                metas[taken] = meta;
                taken += 1;
            }
        }
        taken
    }
}

impl AsyncUdpSocket for Steered {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(&self.socket).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let taken = self.take_forwarded(context, buffers, metas);
        let (buffers, metas) = (&mut buffers[taken..], &mut metas[taken..]);
        if buffers.is_empty() {
            return Poll::Ready(Ok(taken));
        }
        match self.socket.poll_recv(context, buffers, metas) {
            Poll::Ready(Ok(received)) => {
                for (buffer, meta) in buffers.iter_mut().zip(metas).take(received) {
                    self.worker.forward_foreign(buffer, meta);
                }
                Poll::Ready(Ok(taken + received))
            }
            Poll::Pending if taken > 0 => Poll::Ready(Ok(taken)),
            other => other,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

impl fmt::Debug for Steered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Steered").field("socket", &self.socket).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use proptest::prelude::*;

    use super::*;
    use crate::transport::quic::connection_ids::ID_BYTES;

    fn any_port() -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        socket
    }

    fn id(socket: &QuicSocket, random: [u8; 4]) -> [u8; ID_BYTES] {
        socket.worker.ids.write(socket.worker.number, random)
    }

    fn short(id: [u8; ID_BYTES], text: &[u8]) -> Vec<u8> {
        [&[0x40], &id[..], text].concat()
    }

    /// The datagrams that quinn would read next.
    async fn next(socket: &dyn AsyncUdpSocket) -> Vec<Vec<u8>> {
        let (mut first, mut second) = ([0; 2048], [0; 2048]);
        let mut metas = [RecvMeta::default(); 2];
        let mut buffers = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
        let read = poll_fn(|context| socket.poll_recv(context, &mut buffers, &mut metas)).await.unwrap();
        let read = buffers.iter().zip(metas).take(read).filter(|(_, meta)| meta.len > 0);
        read.map(|(buffer, meta)| buffer[..meta.len].to_vec()).collect()
    }

    proptest! {
        #[test]
        fn any_bytes_are_kept_or_forwarded(bytes: Vec<u8>, stride in 0_usize..50) {
            let sockets = steer(vec![any_port(), any_port()]);
            let mut meta = RecvMeta { len: bytes.len(), stride, ..RecvMeta::default() };
            let mut buffer = bytes.clone();
            sockets[0].worker.forward_foreign(&mut buffer, &mut meta);
            prop_assert_eq!(&buffer[..meta.len], &bytes[..]);
        }
    }

    #[tokio::test]
    async fn another_workers_datagram_is_forwarded_with_its_address() {
        let mut sockets = steer(vec![any_port(), any_port()]);
        let (theirs, ours) =
            (short(id(&sockets[1], [1; 4]), b"theirs"), short(id(&sockets[0], [2; 4]), b"ours"));
        let unknown = short([9; ID_BYTES], b"unknown");
        let address = sockets[0].socket.local_addr().unwrap();
        let sender = any_port();
        for datagram in [&theirs, &ours, &unknown] {
            sender.send_to(datagram, address).unwrap();
        }
        let second = sockets.pop().unwrap().into_steered().unwrap();
        let first = sockets.pop().unwrap().into_steered().unwrap();
        let mut read = Vec::new();
        while read.len() < 2 {
            read.extend(next(&*first).await);
        }
        assert_eq!(read, [ours, unknown]);
        let mut buffer = [0; 2048];
        let mut metas = [RecvMeta::default()];
        let mut buffers = [IoSliceMut::new(&mut buffer)];
        let read = poll_fn(|context| second.poll_recv(context, &mut buffers, &mut metas)).await.unwrap();
        assert_eq!((read, &buffers[0][..metas[0].len]), (1, &theirs[..]));
        assert_eq!(metas[0].addr, sender.local_addr().unwrap());
    }

    #[test]
    fn a_batch_is_sorted_datagram_by_datagram() {
        let mut sockets = steer(vec![any_port(), any_port()]);
        let ours = short(id(&sockets[0], [1; 4]), b"--");
        let theirs = short(id(&sockets[1], [2; 4]), b"++");
        let last = short(id(&sockets[0], [3; 4]), b"");
        let mut buffer = [&theirs[..], &ours, &theirs, &ours, &last].concat();
        let mut meta = RecvMeta { len: buffer.len(), stride: ours.len(), ..RecvMeta::default() };
        sockets[0].worker.forward_foreign(&mut buffer, &mut meta);
        assert_eq!(&buffer[..meta.len], [&ours[..], &ours, &last].concat());
        assert_eq!(meta.stride, ours.len());
        for _ in 0..2 {
            let handed = sockets[1].inbox.try_recv().unwrap();
            assert_eq!((&handed.bytes[..], handed.meta.len), (&theirs[..], theirs.len()));
        }
        assert!(sockets[1].inbox.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_flood_is_dropped_at_the_bound_and_does_not_starve_the_socket() {
        let mut sockets = steer(vec![any_port(), any_port()]);
        let theirs = short(id(&sockets[1], [1; 4]), b"theirs");
        for _ in 0..FORWARDED_MAX + 10 {
            let mut buffer = theirs.clone();
            let mut meta = RecvMeta { len: buffer.len(), stride: buffer.len(), ..RecvMeta::default() };
            sockets[0].worker.forward_foreign(&mut buffer, &mut meta);
            assert_eq!(meta.len, 0);
        }
        assert_eq!(sockets[1].inbox.len(), FORWARDED_MAX);
        let address = sockets[1].socket.local_addr().unwrap();
        any_port().send_to(b"@own", address).unwrap();
        let second = sockets.pop().unwrap().into_steered().unwrap();
        // The runtime needs a turn to detect that the socket is ready; the inbox alone would last 1024 reads.
        let mut reads = 0;
        while !next(&*second).await.contains(&b"@own".to_vec()) {
            reads += 1;
            assert!(reads < FORWARDED_MAX / 2, "the socket starves");
            tokio::task::yield_now().await;
        }
    }
}
