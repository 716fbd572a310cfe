//! Binds sockets: one per worker on the same address, so that the kernel distributes connections.

use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use socket2::{Domain, Protocol, Socket, Type};

/// An address could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({protocol}): {reason}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// `TCP` or `UDP`.
    pub protocol: &'static str,
    /// The system's reason.
    #[source]
    pub reason: io::Error,
}

/// The backlog: connections that the kernel queues until they are accepted, per worker.
const BACKLOG: i32 = 1024;
/// The socket buffer for datagrams, per worker: some 20 ms at a gigabit per second.
const UDP_BUFFER_BYTES: usize = 2 * 1024 * 1024;

/// Binds `count` TCP listeners to one address; port 0 becomes one free port for all. An IPv6 address accepts IPv4 too
/// if it is to accept `both_families`.
///
/// # Errors
/// [`BindError`], also if another process listens there already.
pub fn bind_tcp(
    address: SocketAddr,
    both_families: bool,
    count: usize,
) -> Result<Vec<TcpListener>, BindError> {
    let error = |reason| BindError { address, protocol: "TCP", reason };
    let sockets = bind(address, both_families, count, Type::STREAM, Protocol::TCP).map_err(error)?;
    sockets
        .into_iter()
        .map(|socket| {
            socket.listen(BACKLOG)?;
            Ok(socket.into())
        })
        .collect::<io::Result<_>>()
        .map_err(error)
}

/// Binds `count` UDP sockets to one address, as [`bind_tcp`] does.
///
/// # Errors
/// [`BindError`], also if another process has the address already.
pub fn bind_udp(address: SocketAddr, both_families: bool, count: usize) -> Result<Vec<UdpSocket>, BindError> {
    let error = |reason| BindError { address, protocol: "UDP", reason };
    let sockets = bind(address, both_families, count, Type::DGRAM, Protocol::UDP).map_err(error)?;
    for socket in &sockets {
        // The kernel may grant less, which only costs throughput under bursts.
        let _ = socket.set_recv_buffer_size(UDP_BUFFER_BYTES);
        let _ = socket.set_send_buffer_size(UDP_BUFFER_BYTES);
    }
    Ok(sockets.into_iter().map(Into::into).collect())
}

fn bind(
    address: SocketAddr,
    both_families: bool,
    count: usize,
    kind: Type,
    protocol: Protocol,
) -> io::Result<Vec<Socket>> {
    let open = |shared: bool| -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
        socket.set_nonblocking(true)?;
        if kind == Type::STREAM {
            socket.set_reuse_address(true)?;
        }
        if address.is_ipv6() {
            // Set either way: the system's default (`net.ipv6.bindv6only`) must not decide.
            socket.set_only_v6(!both_families)?;
        }
        socket.set_reuse_port(shared)?;
        Ok(socket)
    };
    // SO_REUSEPORT would let a second process of the same user silently take half of the connections. So a
    // socket without it is bound first, which fails if any process listens already.
    let probe = open(false)?;
    probe.bind(&address.into())?;
    if kind == Type::STREAM {
        probe.listen(1)?;
    }
    let bound = probe.local_addr()?;
    drop(probe);
    (0..count)
        .map(|_| {
            let socket = open(true)?;
            socket.bind(&bound)?;
            Ok(socket)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn workers_share_one_free_port_and_other_processes_do_not() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let tcp = bind_tcp(any, false, 3).unwrap();
        let address = tcp[0].local_addr().unwrap();
        assert!(tcp.iter().all(|socket| socket.local_addr().unwrap() == address));
        let error = bind_tcp(address, false, 1).unwrap_err();
        assert_eq!(error.reason.kind(), io::ErrorKind::AddrInUse);
        assert_eq!(error.to_string().find(&address.to_string()), Some("cannot listen on ".len()));

        let udp = bind_udp(any, false, 2).unwrap();
        let address = udp[0].local_addr().unwrap();
        assert_eq!(bind_udp(address, false, 1).unwrap_err().reason.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn an_address_of_ipv6_accepts_ipv4_where_it_is_to() {
        let mut address: SocketAddr = "[::]:0".parse().unwrap();
        for both_families in [true, false] {
            let tcp = bind_tcp(address, both_families, 2).unwrap();
            // The port that was free for both families serves the second round too.
            address = tcp[0].local_addr().unwrap();
            let port = address.port();
            assert_eq!(TcpStream::connect(("127.0.0.1", port)).is_ok(), both_families);
            assert!(TcpStream::connect(("::1", port)).is_ok());
            assert_eq!(bind_tcp(([0; 4], port).into(), false, 1).is_err(), both_families, "0.0.0.0 is free");
        }
    }
}
