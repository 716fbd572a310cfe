//! Any forwarding fields of a trusted proxy: the client's address stands in the text, whatever cannot be read hides it,
//! and nothing before what the proxy wrote itself makes a difference.
//!
//! The first byte chooses the field; each line of the rest is one value.

#![no_main]

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};

use gateway::http::{ClientAddress, client_address};
use gateway::transport::{Listener, Peer};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use libfuzzer_sys::fuzz_target;

const PROXY: &str = "10.0.0.1";
/// As many as are looked at.
const HOPS_MAX: usize = 32;

static LEGACY: LazyLock<Arc<Peer>> =
    LazyLock::new(|| behind_proxy(HeaderName::from_static("x-forwarded-for")));
static STANDARD: LazyLock<Arc<Peer>> = LazyLock::new(|| behind_proxy(header::FORWARDED));

fn behind_proxy(forwarded_field: HeaderName) -> Arc<Peer> {
    let trusted_proxies = vec!["10.0.0.0/8".parse().expect("it is a network")];
    let listener = Listener { trusted_proxies, forwarded_field, ..Listener::plain() };
    Peer::alone(PROXY.parse().expect("it is an address"), listener)
}

fn client(peer: &Peer, values: &[HeaderValue]) -> ClientAddress {
    let mut fields = HeaderMap::new();
    for value in values {
        fields.append(&peer.listener.forwarded_field, value.clone());
    }
    client_address(&fields, peer)
}

/// Every address that stands in a text between characters that no address has.
fn addresses(text: &str) -> impl Iterator<Item = IpAddr> {
    let is_of_address = |c: char| c.is_ascii_hexdigit() || matches!(c, ':' | '.' | '%');
    text.split(move |c| !is_of_address(c)).flat_map(|word| {
        let bare = word.rsplit_once(':').map(|(bare, _port)| bare);
        [Some(word), bare].into_iter().flatten().filter_map(|word| word.parse().ok())
    })
}

/// The client by a plain reading of `X-Forwarded-For`.
fn plain_reading(peer: &Peer, values: &[HeaderValue]) -> Option<IpAddr> {
    let values: Vec<&str> = values.iter().map(|value| value.to_str().unwrap_or("unreadable")).collect();
    let joined = values.join(",");
    let hops: Vec<Option<IpAddr>> = joined.split(',').map(|hop| plain_node(hop.trim())).collect();
    let looked_at = &hops[hops.len().saturating_sub(HOPS_MAX)..];
    for hop in looked_at.iter().rev() {
        let address = (*hop)?;
        if !peer.listener.trusts(address) {
            return Some(address);
        }
    }
    if looked_at.len() < hops.len() { None } else { hops[0] }
}

fn plain_node(node: &str) -> Option<IpAddr> {
    // A zone means something on the proxy alone.
    if node.contains('%') {
        return None;
    }
    let bare = node.strip_prefix('[').and_then(|node| node.strip_suffix(']')).unwrap_or(node);
    let socket = || node.parse().ok().map(|address: SocketAddr| address.ip());
    bare.parse().ok().or_else(socket).map(|address: IpAddr| address.to_canonical())
}

fuzz_target!(|input: &[u8]| {
    let Some((&choice, rest)) = input.split_first() else { return };
    let lines = rest.split(|byte| *byte == b'\n');
    let mut values: Vec<HeaderValue> = lines.filter_map(|line| HeaderValue::from_bytes(line).ok()).collect();
    if values.is_empty() {
        return;
    }
    let is_standard = choice % 2 == 1;
    let peer = if is_standard { &*STANDARD } else { &*LEGACY };
    let found = client(peer, &values);
    if let Some(address) = found.visible() {
        let stands_there = |value: &HeaderValue| {
            let text = value.to_str().unwrap_or_default();
            addresses(text).any(|other| other.to_canonical() == address)
        };
        assert!(values.iter().any(stands_there), "{address} is not in {values:?}");
    }
    if !is_standard {
        assert_eq!(found.visible(), plain_reading(peer, &values), "{values:?}");
    }
    // What a proxy adds in a line of its own decides, and what it says of another proxy changes nothing.
    let own = |node: &str| {
        let text = if is_standard { format!("for={node}") } else { node.to_owned() };
        HeaderValue::try_from(text).expect("it is ASCII")
    };
    let hops = values.iter().map(|value| value.as_bytes().split(|byte| *byte == b',').count()).sum::<usize>();
    for (node, expected) in
        [("198.51.100.7", "198.51.100.7".parse().ok()), ("unknown", None), ("10.1.1.1", found.visible())]
    {
        // One more hop may be one too many.
        if peer.listener.trusts(node.parse().unwrap_or(peer.origin)) && node != "unknown" && hops >= HOPS_MAX
        {
            continue;
        }
        values.push(own(node));
        assert_eq!(client(peer, &values).visible(), expected, "{values:?}");
        values.pop();
    }
    // Behind no trusted proxy, the same fields say nothing.
    let (trusted_proxies, forwarded_field) =
        (peer.listener.trusted_proxies.clone(), peer.listener.forwarded_field.clone());
    let stranger = Peer::alone(
        "203.0.113.9".parse().expect("it is an address"),
        Listener { trusted_proxies, forwarded_field, ..Listener::plain() },
    );
    assert_eq!(client(&stranger, &values).visible(), Some(stranger.origin));
});
