//! The kernel's smoothed round-trip time of a TCP connection (RFC 6298 §2).
//!
//! `getsockopt(TCP_INFO)` has it, but no safe API offers that, and hyper owns a connection's socket. So the
//! kernel's socket diagnostics are queried, as `ss` does (netlink(7), sock_diag(7)): the kernel finds the
//! connection by its two addresses and responds within the call, in some ten microseconds. Only requests that
//! need the time pay for it. If a sandbox forbids netlink, there is no time.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

/// `SOCK_DIAG_BY_FAMILY`: the type of the query and of its response.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST`.
const IS_REQUEST: u16 = 1;
/// `IPPROTO_TCP`, and `AF_INET` and `AF_INET6`.
const TCP: u8 = 6;
const IPV4: u8 = 2;
const IPV6: u8 = 10;
/// `INET_DIAG_INFO`: the attribute that holds a `struct tcp_info`, and where `tcpi_rtt` stands in that.
const INFO: u16 = 2;
const ROUND_TRIP_AT: usize = 68;
/// `struct nlmsghdr`, and after it `struct inet_diag_req_v2` or `struct inet_diag_msg`.
const HEADER_BYTES: usize = 16;
const QUESTION_BYTES: usize = HEADER_BYTES + 56;
const ATTRIBUTES_AT: usize = HEADER_BYTES + 72;
/// A response has about 400 bytes; newer kernels add fields at the end.
const ANSWER_BYTES_MAX: usize = 4096;

thread_local! {
    /// One netlink socket per worker, opened for the first query.
    static DIAGNOSIS: RefCell<Option<OwnedFd>> = const { RefCell::new(None) };
}

/// The two addresses of a TCP connection.
#[derive(Clone, Copy, Debug)]
pub(in crate::transport) struct SocketPair {
    pub(in crate::transport) local: SocketAddr,
    pub(in crate::transport) remote: SocketAddr,
}

impl SocketPair {
    /// The smoothed round-trip time, if the kernel reports it.
    pub(in crate::transport) fn round_trip_time(&self) -> Option<Duration> {
        DIAGNOSIS.with_borrow_mut(|kept| {
            let socket = kept.take().map_or_else(open, Ok).ok()?;
            let mut answer = [0; ANSWER_BYTES_MAX];
            send(&socket, &self.question(), SendFlags::empty()).ok()?;
            let (read, _) = recv(&socket, &mut answer, RecvFlags::empty()).ok()?;
            // Kept only after the response was read: it must never be taken for the response to another
            // query.
            *kept = Some(socket);
            smoothed(answer.get(..read)?)
        })
    }

    fn question(&self) -> [u8; QUESTION_BYTES] {
        let mut bytes = [0; QUESTION_BYTES];
        bytes[..4].copy_from_slice(&(QUESTION_BYTES as u32).to_ne_bytes());
        bytes[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
        bytes[6..8].copy_from_slice(&IS_REQUEST.to_ne_bytes());
        let request = &mut bytes[HEADER_BYTES..];
        request[0] = if self.remote.is_ipv4() { IPV4 } else { IPV6 };
        request[1] = TCP;
        request[2] = 1 << (INFO - 1);
        // TCP states: any.
        request[4..8].fill(0xff);
        request[8..10].copy_from_slice(&self.local.port().to_be_bytes());
        request[10..12].copy_from_slice(&self.remote.port().to_be_bytes());
        for (address, at) in [(self.local, 12), (self.remote, 28)] {
            match address.ip() {
                IpAddr::V4(address) => request[at..at + 4].copy_from_slice(&address.octets()),
                IpAddr::V6(address) => request[at..at + 16].copy_from_slice(&address.octets()),
            }
        }
        // The interface of a link-local connection.
        if let SocketAddr::V6(remote) = self.remote {
            request[44..48].copy_from_slice(&remote.scope_id().to_ne_bytes());
        }
        // `INET_DIAG_NOCOOKIE`.
        request[48..56].fill(0xff);
        bytes
    }
}

fn open() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(netlink::SOCK_DIAG))?)
}

/// The time in a response; `None` if there is no such connection, or no measurement yet.
fn smoothed(answer: &[u8]) -> Option<Duration> {
    let half = |bytes: &[u8], at: usize| Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk()?));
    if half(answer, 4)? != BY_FAMILY {
        return None;
    }
    let mut attributes = answer.get(ATTRIBUTES_AT..)?;
    loop {
        let (length, kind) = (usize::from(half(attributes, 0)?), half(attributes, 2)?);
        if kind == INFO {
            let info = attributes.get(4..length)?;
            let microseconds = u32::from_ne_bytes(*info.get(ROUND_TRIP_AT..)?.first_chunk()?);
            return (microseconds > 0).then(|| Duration::from_micros(microseconds.into()));
        }
        // Each attribute starts at a multiple of four and has at least a header.
        attributes = attributes.get(length.max(4).next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use proptest::prelude::*;

    use super::*;

    /// A connection over which data went in both directions, from the accepting side.
    fn connected(address: &str) -> (TcpStream, TcpStream, SocketPair) {
        let listener = TcpListener::bind(address).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, remote) = listener.accept().unwrap();
        client.write_all(b"?").unwrap();
        server.read_exact(&mut [0]).unwrap();
        server.write_all(b"!").unwrap();
        client.read_exact(&mut [0]).unwrap();
        let sockets = SocketPair { local: server.local_addr().unwrap(), remote };
        (client, server, sockets)
    }

    #[test]
    fn each_connection_has_a_time_over_both_families() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let (_client, _server, sockets) = connected(address);
            for _ in 0..3 {
                let time = sockets.round_trip_time().unwrap();
                assert!(time > Duration::ZERO && time < Duration::from_secs(1), "{address}: {time:?}");
            }
        }
    }

    #[test]
    fn an_unknown_connection_has_no_time_and_does_not_affect_others() {
        let (_client, _server, sockets) = connected("127.0.0.1:0");
        let gone = SocketPair { remote: "192.0.2.1:1".parse().unwrap(), ..sockets };
        assert_eq!(gone.round_trip_time(), None);
        assert!(sockets.round_trip_time().is_some());
        assert_eq!(gone.round_trip_time(), None);
    }

    proptest! {
        #[test]
        fn any_response_can_be_parsed(bytes: Vec<u8>, length: u16) {
            let mut answer = [0; ATTRIBUTES_AT].to_vec();
            answer[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
            answer.extend(length.to_ne_bytes());
            answer.extend(bytes);
            smoothed(&answer);
        }
    }
}
