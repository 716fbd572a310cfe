//! `health`: asks the running servers whether they are ready, over their operations listeners.
//!
//! Each server has written the address that it bound into the store. All servers on the folder are asked in parallel,
//! and one that does not respond is not ready. A single request over a plain socket needs no client library.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::exit::Unavailable;
use super::output::{print, print_json};
use super::{Form, Session, arguments};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Service};
use crate::store::{Node, Store, StoreError};

/// A response is a status line, some fields and one word; more is not read.
const RESPONSE_BYTES_MAX: u64 = 16 * 1024;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How long the responses may take, from 1ms to 24h
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = arguments::timeout)]
    timeout: Duration,
    #[command(flatten)]
    form: Form,
}

/// A listener as a server describes it; the form is that of the ready file.
#[derive(Debug, Deserialize)]
pub(super) struct Listener {
    pub(super) name: String,
    pub(super) address: SocketAddr,
    #[serde(default)]
    pub(super) tls: bool,
    #[serde(default)]
    serves: Vec<String>,
}

impl Listener {
    /// The listeners of a server that serve this.
    pub(super) fn of(node: &Node, service: Service) -> impl Iterator<Item = Self> {
        let listeners = Vec::<Self>::deserialize(&node.listeners).unwrap_or_default();
        listeners
            .into_iter()
            .filter(move |listener| listener.serves.iter().any(|what| what == service.name()))
    }

    /// The hosts that the configuration gives one of its sites; none are every host.
    pub(super) fn hosts<'c>(&self, config: &'c Config, service: Service) -> &'c [String] {
        config.listeners.get(&self.name).map_or(&[][..], |configured| configured.hosts_of(service))
    }
}

/// The output with `--json`.
#[derive(Serialize)]
struct Health<'a> {
    ready: bool,
    nodes: &'a [NodeHealth],
}

/// The health of one server.
#[derive(Debug, Serialize)]
struct NodeHealth {
    id: uuid::Uuid,
    pid: u32,
    address: Option<SocketAddr>,
    ready: bool,
    status: Option<u16>,
    error: Option<String>,
}

pub(super) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<()> {
    let (nodes, absent) = nodes(session, arguments.timeout)?;
    let health = ask_all(&nodes, session, arguments.timeout);
    let ready = is_ready(&health);
    if arguments.form.json {
        print_json(&Health { ready, nodes: &health })?;
    } else if ready {
        print("ready\n")?;
    }
    if ready { Ok(()) } else { Err(Unavailable(absent.unwrap_or_else(|| reason(&health))).into()) }
}

/// The servers that run on the folder, or the reason why there can be none.
fn nodes(session: &Session, timeout: Duration) -> Result<(Vec<Node>, Option<String>), StoreError> {
    // The store gets no more time than the servers.
    match Store::open_existing(&session.folder, session.busy_timeout().min(timeout)) {
        Ok(mut store) => Ok((store.live_nodes(SystemClock.now(), session.stale_after())?, None)),
        // Without a store no server has ever run here, which is a result and not an error.
        Err(error @ StoreError::Missing { .. }) => Ok((Vec::new(), Some(error.to_string()))),
        Err(error) => Err(error),
    }
}

/// Whether every server is ready, and there is at least one.
fn is_ready(nodes: &[NodeHealth]) -> bool {
    !nodes.is_empty() && nodes.iter().all(|node| node.ready)
}

/// Asks in parallel: several servers that hang take no longer than one.
fn ask_all(nodes: &[Node], session: &Session, timeout: Duration) -> Vec<NodeHealth> {
    thread::scope(|scope| {
        let asked: Vec<_> = nodes.iter().map(|node| scope.spawn(|| ask(node, session, timeout))).collect();
        let join = |asked: thread::ScopedJoinHandle<'_, NodeHealth>| match asked.join() {
            Ok(health) => health,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        asked.into_iter().map(join).collect()
    })
}

fn reason(nodes: &[NodeHealth]) -> String {
    if nodes.is_empty() {
        return "no server is running on this folder".to_owned();
    }
    let reasons = nodes.iter().filter(|node| !node.ready).map(|node| {
        let reason = match (node.status, &node.error) {
            (Some(status), _) => format!("is not ready (status {status})"),
            (None, Some(error)) => format!("does not respond: {error}"),
            (None, None) => "does not respond".to_owned(),
        };
        format!("the server with process id {} {reason}", node.pid)
    });
    reasons.collect::<Vec<_>>().join("; ")
}

fn ask(node: &Node, session: &Session, timeout: Duration) -> NodeHealth {
    let mut health =
        NodeHealth { id: node.id, pid: node.pid, address: None, ready: false, status: None, error: None };
    let mut operations = Listener::of(node, Service::Operations);
    let Some(listener) = operations.find(|listener| !listener.tls) else {
        health.error = Some("it has no operations listener in cleartext".to_owned());
        return health;
    };
    let address = reachable(listener.address);
    health.address = Some(address);
    // A listener with `hosts` must be called by one of them.
    let host = listener.hosts(&session.config, Service::Operations).first().cloned();
    match status(address, &host.unwrap_or_else(|| address.to_string()), timeout) {
        Ok(status) => (health.status, health.ready) = (Some(status), status == 200),
        Err(error) => health.error = Some(error.to_string()),
    }
    health
}

/// A listener that is bound to all addresses is reached over loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Requests `/readyz` and returns the status, within `timeout`.
fn status(address: SocketAddr, host: &str, timeout: Duration) -> io::Result<u16> {
    let start = Instant::now();
    // A socket's timeout of zero would mean none.
    let left = || match timeout.saturating_sub(start.elapsed()) {
        Duration::ZERO => Err(io::Error::from(io::ErrorKind::TimedOut)),
        left => Ok(left),
    };
    let mut stream = TcpStream::connect_timeout(&address, left()?)?;
    stream.set_write_timeout(Some(left()?))?;
    stream.write_all(
        format!(
            "GET /readyz HTTP/1.1\r\nhost: {host}\r\nuser-agent: partner-gateway\r\nconnection: close\r\n\r\n"
        )
        .as_bytes(),
    )?;
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.windows(2).any(|end| end == b"\r\n") {
        stream.set_read_timeout(Some(left()?))?;
        let read = match stream.read(&mut piece) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            read => read?,
        };
        if read == 0 || head.len() as u64 > RESPONSE_BYTES_MAX {
            break;
        }
        head.extend_from_slice(&piece[..read]);
    }
    let line = head.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3));
    let status = line.and_then(|digits| std::str::from_utf8(digits).ok()).and_then(|text| text.parse().ok());
    status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the response is not HTTP/1.1"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::config::Sources;
    use crate::store::tests::{Fixture, NOW};

    /// A server that responds to one request with these bytes, or hangs if there are none.
    fn server(response: &'static [u8]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap();
            assert!(request[..length].starts_with(b"GET /readyz HTTP/1.1\r\nhost: 127.0.0.1:"));
            if response.is_empty() {
                thread::sleep(Duration::from_secs(5));
            }
            stream.write_all(response).unwrap();
        });
        address
    }

    fn node(listeners: serde_json::Value) -> Node {
        Node { id: uuid::Uuid::nil(), pid: 42, started: NOW, heartbeat: NOW, listeners }
    }

    fn session() -> Session {
        let fixture = Fixture::new();
        Session { folder: fixture.folder, config: Config::load(&Sources::default()).unwrap() }
    }

    fn node_at(address: SocketAddr) -> Node {
        node(serde_json::json!([
            {"name": "https", "address": "127.0.0.1:1", "protocols": ["http1"], "tls": true, "serves": ["api"], "environments": ["staging"]},
            {"name": "operations", "address": address, "protocols": ["http1"], "tls": false, "serves": ["operations"], "environments": []},
        ]))
    }

    fn asked(address: SocketAddr, timeout: Duration) -> NodeHealth {
        ask(&node_at(address), &session(), timeout)
    }

    const TIMEOUT: Duration = Duration::from_secs(5);

    #[test]
    fn a_server_is_ready_when_it_responds_with_200() {
        let node = asked(server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"), TIMEOUT);
        assert!(node.ready && is_ready(&[node]));
        let node = asked(server(b"HTTP/1.1 503 Service Unavailable\r\n\r\n"), TIMEOUT);
        assert_eq!(node.status, Some(503));
        let nodes = [node];
        assert!(!is_ready(&nodes));
        assert_eq!(reason(&nodes), "the server with process id 42 is not ready (status 503)");
    }

    #[test]
    fn a_late_or_malformed_response_is_not_ready() {
        let silent = asked(server(b""), Duration::from_millis(50));
        assert!(silent.error.is_some() && !is_ready(&[silent]));
        let strange = asked(server(b"SSH-2.0-OpenSSH_9.2\r\n"), TIMEOUT);
        assert_eq!(strange.error.as_deref(), Some("the response is not HTTP/1.1"));
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(asked(closed, TIMEOUT).error.is_some());
        assert_eq!(reason(&[]), "no server is running on this folder");
    }

    #[test]
    fn servers_that_hang_are_not_ready_and_cost_one_timeout() {
        const READY: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
        let nodes = [b"", READY, b"", b"", b"", b""].map(server).map(node_at);
        let (session, timeout) = (session(), Duration::from_secs(1));
        let start = Instant::now();
        let health = ask_all(&nodes, &session, timeout);
        assert!(start.elapsed() < timeout * 4, "one after the other takes longer: {:?}", start.elapsed());
        let ready: Vec<bool> = health.iter().map(|node| node.ready).collect();
        assert_eq!(ready, [false, true, false, false, false, false]);
        assert!(!is_ready(&health) && is_ready(&health[1..2]));
        assert!(reason(&health).contains("does not respond"), "{}", reason(&health));
    }

    #[test]
    fn a_wildcard_is_reached_over_loopback() {
        let reach = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(reach("0.0.0.0:9180"), "127.0.0.1:9180");
        assert_eq!(reach("[::]:9180"), "[::1]:9180");
        assert_eq!(reach("192.0.2.1:9180"), "192.0.2.1:9180");
    }
}
