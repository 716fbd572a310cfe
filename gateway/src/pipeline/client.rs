//! Whose address a request has: the peer's, or, behind a proxy that the operator trusts, the one that
//! the proxy reports (RFC 7239 `Forwarded` first, then `X-Forwarded-For`, both read from the right).

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, header};

use crate::transport::Peer;

/// Addresses that are looked at in a forwarding field, from the right; what lies beyond is not believed.
const HOPS_MAX: usize = 32;

/// The client's address; an IPv4-mapped one is IPv4.
pub(super) fn address(fields: &HeaderMap, peer: &Peer) -> IpAddr {
    if !trusts(peer, peer.address) {
        return peer.address;
    }
    let forwarded = if fields.contains_key(header::FORWARDED) {
        last_untrusted(fields, &header::FORWARDED, peer, |element| {
            element.split(';').find_map(|pair| {
                let (name, value) = pair.split_once('=')?;
                name.trim().eq_ignore_ascii_case("for").then(|| value.trim().trim_matches('"'))
            })
        })
    } else {
        last_untrusted(fields, &HeaderName::from_static("x-forwarded-for"), peer, |element| Some(element))
    };
    forwarded.unwrap_or(peer.address)
}

/// Whether the peer is a proxy whose fields are believed.
pub(super) fn is_proxy(peer: &Peer) -> bool {
    trusts(peer, peer.address)
}

fn trusts(peer: &Peer, address: IpAddr) -> bool {
    peer.listener.trusted_proxies.iter().any(|network| network.contains(&address))
}

/// From the right, the first address that is no trusted proxy, or the leftmost one if all are. An
/// element that is no address ends the search: what stands left of it, anybody may have written.
fn last_untrusted(
    fields: &HeaderMap,
    name: &HeaderName,
    peer: &Peer,
    node: impl Fn(&str) -> Option<&str>,
) -> Option<IpAddr> {
    let values: Vec<&str> =
        fields.get_all(name).iter().map(|value| value.to_str().unwrap_or_default()).collect();
    let mut found = None;
    for element in values.iter().rev().flat_map(|value| value.rsplit(',')).take(HOPS_MAX) {
        let Some(address) = node(element.trim()).and_then(parse) else { break };
        found = Some(address);
        if !trusts(peer, address) {
            break;
        }
    }
    found
}

/// An address with or without brackets and port.
fn parse(node: &str) -> Option<IpAddr> {
    let bare = node.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(node);
    let address = bare.parse().ok().or_else(|| node.parse::<SocketAddr>().ok().map(|socket| socket.ip()))?;
    Some(address.to_canonical())
}
