//! The floor: the gateway's stack with no gateway in it.
//!
//! hyper's concrete builders, tokio-rustls, quinn and h3 on one current-thread runtime, set as the
//! gateway sets them, answering the gateway's bytes from memory. What the gateway costs above this is
//! its own work; what this costs is the price of the stack. Beside HTTP it answers bare QUIC streams, which
//! is the price of HTTP/3 without HTTP. It knows no keys and looks at no path.

mod quic;
mod streams;
mod tcp;
pub(crate) mod tls;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::answer::Answer;
use crate::ready::{Listener, Ready};

/// The gateway's `timeouts.handshake` and `timeouts.header`: timers cost something, so they are set.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The gateway's `limits.header_bytes_max`.
const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// The gateway's `limits.streams_per_connection_max`.
const STREAMS_PER_CONNECTION_MAX: u32 = 128;
/// How often another port is tried when TCP got one that is taken for UDP.
const PORT_ATTEMPTS_MAX: u32 = 32;

/// The command line of the floor.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Where to write, once ready, which ports were bound; the certificate is put beside it.
    #[arg(long, value_name = "FILE")]
    pub ready_file: PathBuf,
}

/// Serves on free ports of 127.0.0.1 until the process is ended.
///
/// # Errors
/// If a socket cannot be bound or the ready file cannot be written.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(options))
}

async fn serve(options: &Options) -> anyhow::Result<()> {
    let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let clear = TcpListener::bind(any_port).context("cannot bind a port for cleartext")?;
    let (encrypted, datagrams) = bind_pair(any_port)?;
    let bare = UdpSocket::bind(any_port).context("cannot bind a port for bare streams")?;
    let encrypted_address = encrypted.local_addr()?;

    let ca = std::path::absolute(options.ready_file.with_extension("ca.pem"))?;
    let identity = tls::Identity::generate()?;
    std::fs::write(&ca, identity.pem()).with_context(|| format!("cannot write {}", ca.display()))?;

    let ready = Ready {
        listeners: vec![
            listener("http", clear.local_addr()?, &["http1"], false),
            listener("https", encrypted_address, &["http1", "http2", "http3"], true),
            listener("streams", bare.local_addr()?, &["quic-streams"], true),
        ],
        pid: std::process::id(),
        ca: Some(ca),
    };

    let answer = Arc::new(Answer::over_tcp(encrypted_address.port())?);
    let acceptor = identity.acceptor()?;
    let endpoint = quic::endpoint(datagrams, &identity, b"h3")?;
    let bare = quic::endpoint(bare, &identity, b"streams")?;
    ready.write(&options.ready_file)?;

    tokio::join!(
        tcp::accept(tcp::listen(clear)?, None, Arc::clone(&answer)),
        tcp::accept(tcp::listen(encrypted)?, Some(acceptor), answer),
        quic::accept(endpoint, Arc::new(Answer::over_quic())),
        streams::accept(bare),
    );
    Ok(())
}

/// One port number, free for TCP and for UDP.
pub(crate) fn bind_pair(any_port: SocketAddr) -> anyhow::Result<(TcpListener, UdpSocket)> {
    for _ in 0..PORT_ATTEMPTS_MAX {
        let stream = TcpListener::bind(any_port).context("cannot bind a port for TLS")?;
        if let Ok(datagrams) = UdpSocket::bind(stream.local_addr()?) {
            return Ok((stream, datagrams));
        }
    }
    bail!("found no port that is free for TCP and for UDP in {PORT_ATTEMPTS_MAX} attempts")
}

pub(crate) fn listener(name: &str, address: SocketAddr, protocols: &[&str], tls: bool) -> Listener {
    Listener {
        name: name.to_owned(),
        address,
        protocols: protocols.iter().map(|&name| name.to_owned()).collect(),
        tls,
        serves: vec!["api".to_owned()],
        environments: vec!["staging".to_owned(), "production".to_owned()],
    }
}
