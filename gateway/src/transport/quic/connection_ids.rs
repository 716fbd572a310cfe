//! QUIC connection ids that identify the connection's worker, readable by this process only.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use quinn::{ConnectionId, ConnectionIdGenerator};
use quinn_proto::InvalidCid;

/// The length of the server's connection ids.
pub(super) const ID_BYTES: usize = 8;

/// Writes and reads connection ids: random bytes, and the worker's number XORed with a keyed hash of them.
/// Only this process can read the number or create a valid id.
#[derive(Clone)]
pub(super) struct Ids {
    workers: u32,
    key: RandomState,
}

impl Ids {
    pub(super) fn new(workers: usize) -> Self {
        Self { workers: u32::try_from(workers).unwrap_or(u32::MAX), key: RandomState::new() }
    }

    /// Writes a new id of a worker.
    pub(super) fn write(&self, worker: u32, random: [u8; 4]) -> [u8; ID_BYTES] {
        let [a, b, c, d] = random;
        let [e, f, g, h] = (self.mask(random) ^ worker).to_be_bytes();
        [a, b, c, d, e, f, g, h]
    }

    /// The worker that an id identifies; `None` if the id is not valid.
    pub(super) fn read(&self, id: [u8; ID_BYTES]) -> Option<u32> {
        let [a, b, c, d, e, f, g, h] = id;
        let worker = u32::from_be_bytes([e, f, g, h]) ^ self.mask([a, b, c, d]);
        (worker < self.workers).then_some(worker)
    }

    /// Returns a generator of ids for one worker's connections.
    pub(super) fn generator(&self, worker: u32) -> Generator {
        Generator { worker, ids: self.clone() }
    }

    fn mask(&self, random: [u8; 4]) -> u32 {
        let [a, b, c, d, ..] = self.key.hash_one(random).to_be_bytes();
        u32::from_be_bytes([a, b, c, d])
    }
}

/// Generates the ids of one worker's connections.
pub(super) struct Generator {
    worker: u32,
    ids: Ids,
}

impl ConnectionIdGenerator for Generator {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&self.ids.write(self.worker, rand::random()))
    }

    fn validate(&self, id: &ConnectionId) -> Result<(), InvalidCid> {
        // quinn calls this before it sends a stateless reset. An id without a worker may be of the previous
        // process, whose clients need a reset.
        let id = <[u8; ID_BYTES]>::try_from(&id[..]).map_err(|_| InvalidCid)?;
        if self.ids.read(id).is_none_or(|worker| worker == self.worker) { Ok(()) } else { Err(InvalidCid) }
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// The connection id of a datagram, if the server may have chosen it. The id in a client's first packets is
/// chosen by the client; those are handled by the worker that reads them.
pub(super) fn steered_id(datagram: &[u8]) -> Option<[u8; ID_BYTES]> {
    let first = datagram.first()?;
    let id = if first & 0x80 == 0 {
        // A short header (RFC 9000 §17.3): the id follows.
        datagram.get(1..)?
    } else if first & 0x30 == 0x20 && usize::from(*datagram.get(5)?) == ID_BYTES {
        // A Handshake packet (§17.2.4): version and the id's length come before it.
        datagram.get(6..)?
    } else {
        return None;
    };
    id.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn short(id: [u8; ID_BYTES], text: &[u8]) -> Vec<u8> {
        [&[0x40], &id[..], text].concat()
    }

    proptest! {
        #[test]
        fn only_an_id_of_this_process_identifies_a_worker(worker in 0_u32..64, random: [u8; 4], other: [u8; 8]) {
            let ids = Ids::new(64);
            let id = ids.write(worker, random);
            prop_assert_eq!(ids.read(id), Some(worker));
            // Another process's key, and any bytes: 64 of 2^32 are valid by chance.
            prop_assert_eq!(Ids::new(64).read(id), None);
            prop_assert_eq!(ids.read(other), None);
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
    fn another_workers_ids_are_invalid_and_another_processs_are_not() {
        let ids = Ids::new(2);
        let restarted = Ids::new(2).generator(0);
        let [mut first, second] = [0, 1].map(|worker| ids.generator(worker));
        for _ in 0..1000 {
            let id = first.generate_cid();
            assert_eq!(id.len(), first.cid_len());
            assert!(first.validate(&id).is_ok());
            assert!(second.validate(&id).is_err());
            assert!(restarted.validate(&id).is_ok());
        }
    }

    #[test]
    fn only_ids_that_the_server_chose_are_read() {
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
}
