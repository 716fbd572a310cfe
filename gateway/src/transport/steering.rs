//! One QUIC connection stays with one worker, whatever address its client comes from.
//!
//! The kernel spreads datagrams over the workers' sockets by address and port. A client whose address
//! changes (RFC 9000 §9) would meet another worker, which knows nothing of its connection. So every
//! connection id names its worker, and a worker that reads another's datagram hands it over in memory.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, ConnectionId, ConnectionIdGenerator, Runtime as _, UdpPoller};
use quinn_proto::InvalidCid;
use tokio::sync::mpsc;

/// Datagrams that wait for a worker at which they did not arrive; beyond it they are lost, as in a
/// kernel's full buffer, and sent again.
const HANDED_OVER_MAX: usize = 1024;
/// The length of our connection ids.
const ID_BYTES: usize = 8;

/// One worker's UDP socket, and its ways to the other workers of the same address.
pub struct QuicSocket {
    socket: UdpSocket,
    inbox: mpsc::Receiver<Datagram>,
    worker: Worker,
}

/// Connects the sockets of all workers that share one address.
#[must_use]
pub fn steer(sockets: Vec<UdpSocket>) -> Vec<QuicSocket> {
    let (ways, inboxes): (Vec<_>, Vec<_>) = sockets.iter().map(|_| mpsc::channel(HANDED_OVER_MAX)).unzip();
    let (ids, ways) = (Ids::new(ways.len()), Arc::<[_]>::from(ways));
    let workers = (0..).map(|number| Worker { number, ids: ids.clone(), ways: Arc::clone(&ways) });
    let sockets = sockets.into_iter().zip(inboxes).zip(workers);
    sockets.map(|((socket, inbox), worker)| QuicSocket { socket, inbox, worker }).collect()
}

impl QuicSocket {
    /// What makes the ids of this worker's connections.
    pub(super) fn id_generator(&self) -> impl Fn() -> Box<dyn ConnectionIdGenerator> + Send + Sync + 'static {
        let Worker { number, ids, .. } = &self.worker;
        let generator = Generator { worker: *number, ids: ids.clone() };
        move || Box::new(generator.clone())
    }

    /// The socket as quinn wants it.
    pub(super) fn into_steered(self) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let socket = quinn::TokioRuntime.wrap_udp_socket(self.socket)?;
        if self.worker.ways.len() == 1 {
            return Ok(socket);
        }
        Ok(Arc::new(Steered { socket, inbox: Mutex::new(self.inbox), worker: self.worker }))
    }
}

/// Writes and reads connection ids: random bytes, and a keyed hash of them with the worker's number laid
/// over it. Nobody but this process can tell the number, or forge an id that is taken for one of ours.
#[derive(Clone)]
struct Ids {
    workers: u32,
    key: RandomState,
}

impl Ids {
    fn new(workers: usize) -> Self {
        Self { workers: u32::try_from(workers).unwrap_or(u32::MAX), key: RandomState::new() }
    }

    fn write(&self, worker: u32, random: [u8; 4]) -> [u8; ID_BYTES] {
        let [a, b, c, d] = random;
        let [e, f, g, h] = (self.mask(random) ^ worker).to_be_bytes();
        [a, b, c, d, e, f, g, h]
    }

    /// The worker that an id names; `None` if it is none of ours.
    fn read(&self, id: [u8; ID_BYTES]) -> Option<u32> {
        let [a, b, c, d, e, f, g, h] = id;
        let worker = u32::from_be_bytes([e, f, g, h]) ^ self.mask([a, b, c, d]);
        (worker < self.workers).then_some(worker)
    }

    fn mask(&self, random: [u8; 4]) -> u32 {
        let [a, b, c, d, ..] = self.key.hash_one(random).to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }
}

/// Makes the ids of one worker's connections.
#[derive(Clone)]
struct Generator {
    worker: u32,
    ids: Ids,
}

impl ConnectionIdGenerator for Generator {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&self.ids.write(self.worker, rand::random()))
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        let id = <[u8; ID_BYTES]>::try_from(&id[..]).map_err(|_| InvalidCid)?;
        self.ids.read(id).filter(|worker| *worker == self.worker).map(|_| ()).ok_or(InvalidCid)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// The connection id of a datagram, where it can be one of ours. The id in a client's first packets is the
/// client's own choice; those belong to whoever reads them.
fn steered_id(datagram: &[u8]) -> Option<[u8; ID_BYTES]> {
    let first = datagram.first()?;
    let id = if first & 0x80 == 0 {
        // A short header (RFC 9000 §17.3): the id follows.
        datagram.get(1..)?
    } else if first & 0x30 == 0x20 && usize::from(*datagram.get(5)?) == ID_BYTES {
        // A Handshake packet (§17.2.4): version and the id's length stand before it.
        datagram.get(6..)?
    } else {
        return None;
    };
    id.first_chunk().copied()
}

/// A datagram on its way from the worker that read it to the worker that it is for.
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
    /// Hands over what is another worker's among the datagrams in a buffer, and closes the gaps. With
    /// GRO a buffer has many, `stride` bytes each, and only the last may be shorter.
    fn sort(&self, buffer: &mut [u8], meta: &mut RecvMeta) {
        let (mut kept, mut start) = (0, 0);
        while start < meta.len {
            let end = (start + meta.stride.max(1)).min(meta.len);
            let owner = steered_id(&buffer[start..end]).and_then(|id| self.ids.read(id));
            if let Some(owner) = owner.filter(|owner| *owner != self.number) {
                self.hand_over(owner, &buffer[start..end], meta);
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

    fn hand_over(&self, owner: u32, bytes: &[u8], meta: &RecvMeta) {
        let meta = RecvMeta { len: bytes.len(), stride: bytes.len(), ..*meta };
        let Some(way) = self.ways.get(owner as usize) else { return };
        let outcome = match way.try_send(Datagram { bytes: bytes.into(), meta }) {
            Ok(()) => "taken",
            Err(_) => "dropped",
        };
        metrics::counter!("gateway_datagrams_handed_over_total", "outcome" => outcome).increment(1);
    }
}

/// A worker's socket that reads what the other workers hand over as well.
struct Steered {
    socket: Arc<dyn AsyncUdpSocket>,
    /// Only the endpoint's own task reads it: the lock is never waited for.
    inbox: Mutex<mpsc::Receiver<Datagram>>,
    worker: Worker,
}

impl Steered {
    /// Fills at most half of the buffers from the inbox, so that neither source starves the other.
    fn take_handed_over(
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
        let taken = self.take_handed_over(context, buffers, metas);
        let (buffers, metas) = (&mut buffers[taken..], &mut metas[taken..]);
        if buffers.is_empty() {
            return Poll::Ready(Ok(taken));
        }
        match self.socket.poll_recv(context, buffers, metas) {
            Poll::Ready(Ok(received)) => {
                for (buffer, meta) in buffers.iter_mut().zip(metas).take(received) {
                    self.worker.sort(buffer, meta);
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

    /// What quinn would be given next, datagram by datagram.
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
        fn an_id_names_its_worker_and_nobody_elses_id_does(worker in 0_u32..64, random: [u8; 4], other: [u8; 8]) {
            let ids = Ids::new(64);
            let id = ids.write(worker, random);
            prop_assert_eq!(ids.read(id), Some(worker));
            // Another process's key, and any bytes: 64 of 2^32 are taken for ours.
            prop_assert_eq!(Ids::new(64).read(id), None);
            prop_assert_eq!(ids.read(other), None);
        }

        #[test]
        fn any_bytes_are_kept_or_handed_over(bytes: Vec<u8>, stride in 0_usize..50) {
            let sockets = steer(vec![any_port(), any_port()]);
            let mut meta = RecvMeta { len: bytes.len(), stride, ..RecvMeta::default() };
            let mut buffer = bytes.clone();
            sockets[0].worker.sort(&mut buffer, &mut meta);
            prop_assert_eq!(&buffer[..meta.len], &bytes[..]);
        }
    }

    #[test]
    fn ids_of_one_worker_have_nothing_in_common() {
        let ids = Ids::new(2);
        let tails: std::collections::HashSet<_> =
            (0..100_u8).map(|random| ids.write(1, [random, 0, 0, 0])[4..].to_vec()).collect();
        assert_eq!(tails.len(), 100);
    }

    #[test]
    fn a_generator_knows_its_own_ids_only() {
        let sockets = steer(vec![any_port(), any_port()]);
        let [first, second] = [&sockets[0], &sockets[1]].map(|socket| socket.id_generator());
        for _ in 0..1000 {
            let id = first().generate_cid();
            assert_eq!(id.len(), first().cid_len());
            assert!(first().validate(&id).is_ok());
            assert!(second().validate(&id).is_err());
        }
    }

    #[test]
    fn only_ids_that_the_server_chose_are_looked_at() {
        let id = [7; ID_BYTES];
        assert_eq!(steered_id(&short(id, b"x")), Some(id));
        assert_eq!(steered_id(&short(id, b"")[..8]), None);
        let long = |first: u8, length: u8| [&[first, 0, 0, 0, 1, length], &id[..], b"x"].concat();
        assert_eq!(steered_id(&long(0xe0, 8)), Some(id));
        assert_eq!(steered_id(&long(0xe0, 7)), None);
        // Initial, 0-RTT and Retry.
        for first in [0xc0, 0xd0, 0xf0] {
            assert_eq!(steered_id(&long(first, 8)), None);
        }
        assert_eq!(steered_id(&[]), None);
        assert_eq!(steered_id(&[0xe0, 0, 0, 0, 1]), None);
    }

    #[tokio::test]
    async fn another_workers_datagram_is_handed_over_with_its_address() {
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
        sockets[0].worker.sort(&mut buffer, &mut meta);
        assert_eq!(&buffer[..meta.len], [&ours[..], &ours, &last].concat());
        assert_eq!(meta.stride, ours.len());
        for _ in 0..2 {
            let handed = sockets[1].inbox.try_recv().unwrap();
            assert_eq!((&handed.bytes[..], handed.meta.len), (&theirs[..], theirs.len()));
        }
        assert!(sockets[1].inbox.try_recv().is_err());
    }

    #[tokio::test]
    async fn a_flood_is_dropped_at_the_bound_and_starves_nobody() {
        let mut sockets = steer(vec![any_port(), any_port()]);
        let theirs = short(id(&sockets[1], [1; 4]), b"theirs");
        for _ in 0..HANDED_OVER_MAX + 10 {
            let mut buffer = theirs.clone();
            let mut meta = RecvMeta { len: buffer.len(), stride: buffer.len(), ..RecvMeta::default() };
            sockets[0].worker.sort(&mut buffer, &mut meta);
            assert_eq!(meta.len, 0);
        }
        assert_eq!(sockets[1].inbox.len(), HANDED_OVER_MAX);
        let address = sockets[1].socket.local_addr().unwrap();
        any_port().send_to(b"@own", address).unwrap();
        let second = sockets.pop().unwrap().into_steered().unwrap();
        // Readiness of the socket takes a turn of the runtime to be seen; the inbox alone would last 1024 reads.
        let mut reads = 0;
        while !next(&*second).await.contains(&b"@own".to_vec()) {
            reads += 1;
            assert!(reads < HANDED_OVER_MAX / 2, "the socket starves");
            tokio::task::yield_now().await;
        }
    }
}
