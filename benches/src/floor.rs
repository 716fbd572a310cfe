//! The floor: the gateway's stack with no gateway in it.
//!
//! hyper's builders, tokio-rustls, quinn and h3 on one current-thread runtime, configured like the gateway, responding
//! with the gateway's bytes from memory: what the gateway costs above the floor is the gateway's work. It also serves plain QUIC
//! streams, which is the price of HTTP/3 without HTTP. It checks no keys.
//!
//! Errors of a connection are dropped: the load counts the requests that got no response.

mod quic;
mod tcp;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::identity::Identity;
use crate::protocol::Protocol;
use crate::ready::{Listener, Ready};
use crate::response::Responses;

/// The gateway's `timeouts.handshake` and `timeouts.header`: timers have a cost.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The gateway's `limits.header_bytes_max`.
const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// The gateway's `limits.streams_per_connection_max`.
const STREAMS_PER_CONNECTION_MAX: u32 = 128;
/// How often another port is tried when the one for TCP is taken for UDP.
const PORT_ATTEMPTS_MAX: u32 = 32;
/// A free port of the loopback interface.
const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// The command line of the floor.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where to write the ready file; the certificate is put beside it.
    #[arg(long, value_name = "FILE")]
    pub ready_file: PathBuf,
}

/// Serves on free ports of 127.0.0.1 until the process is ended.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(options))
}

async fn serve(options: &Options) -> anyhow::Result<()> {
    let (clear, encrypted, datagrams) = bind()?;
    let streams = UdpSocket::bind(ANY_PORT).context("cannot bind a port for plain streams")?;
    let address = encrypted.local_addr()?;

    let ca = std::path::absolute(options.ready_file.with_extension("ca.pem"))?;
    let identity = Identity::generate()?;
    std::fs::write(&ca, identity.certificate_pem())
        .with_context(|| format!("cannot write {}", ca.display()))?;
    let ready = Ready {
        listeners: vec![
            Listener::api(clear.local_addr()?, [Protocol::H1], false),
            Listener::api(address, [Protocol::H1Tls, Protocol::H2Tls, Protocol::H3], true),
            Listener::api(streams.local_addr()?, [Protocol::QuicStreams], true),
        ],
        pid: std::process::id(),
        ca: Some(ca),
    };

    let responses = Arc::new(Responses::over_tcp(address.port())?);
    let acceptor = identity.tls()?;
    let http3 = quic::endpoint(datagrams, &identity, b"h3")?;
    let streams = quic::endpoint(streams, &identity, b"streams")?;
    ready.write(&options.ready_file)?;
    tokio::join!(
        tcp::accept(tcp::listen(clear)?, None, Arc::clone(&responses)),
        tcp::accept(tcp::listen(encrypted)?, Some(acceptor), responses),
        quic::accept_http3(http3, Arc::new(Responses::over_quic())),
        quic::accept_streams(streams),
    );
    Ok(())
}

/// A port for cleartext, and one that is free for TCP and for UDP.
pub(crate) fn bind() -> anyhow::Result<(TcpListener, TcpListener, UdpSocket)> {
    let clear = TcpListener::bind(ANY_PORT).context("cannot bind a port")?;
    for _ in 0..PORT_ATTEMPTS_MAX {
        let encrypted = TcpListener::bind(ANY_PORT).context("cannot bind a port for TLS")?;
        if let Ok(datagrams) = UdpSocket::bind(encrypted.local_addr()?) {
            return Ok((clear, encrypted, datagrams));
        }
    }
    bail!("found no port that is free for TCP and for UDP in {PORT_ATTEMPTS_MAX} attempts")
}
