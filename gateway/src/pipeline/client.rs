//! Whose address a request has: the peer's, or, behind a proxy that the operator trusts, the one that
//! the proxy reports (RFC 7239 `Forwarded` first, then `X-Forwarded-For`, both read from the right).

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, header};

use crate::transport::Peer;

/// Addresses that are looked at in a forwarding field, from the right; what lies beyond is not believed.
const HOPS_MAX: usize = 32;

/// The client's address; an IPv4-mapped one is IPv4.
pub(super) fn address(fields: &HeaderMap, peer: &Peer) -> IpAddr {
    let nearest = peer.address();
    if !is_proxy(peer) {
        return nearest;
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
    forwarded.unwrap_or(nearest)
}

/// Whether the peer is a proxy whose fields are believed: by the address that it has, which may not be
/// proven yet, and by the one that is.
pub(super) fn is_proxy(peer: &Peer) -> bool {
    trusts(peer, peer.address()) && trusts(peer, peer.origin)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::HeaderValue;

    use super::*;
    use crate::transport::Listener;

    /// A connection from 10.0.0.1, on a listener that trusts 10.0.0.0/8 and 2001:db8::/32.
    fn behind_proxy() -> Arc<Peer> {
        peer("10.0.0.1", &["10.0.0.0/8", "2001:db8::/32"])
    }

    fn peer(address: &str, trusted: &[&str]) -> Arc<Peer> {
        let trusted_proxies = trusted.iter().map(|network| network.parse().unwrap()).collect();
        let listener = Listener { trusted_proxies, ..Listener::plain() };
        Peer::alone(address.parse().unwrap(), listener)
    }

    fn client(peer: &Peer, fields: &[(&'static str, &str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        address(&map, peer).to_string()
    }

    #[test]
    fn nobody_is_believed_but_a_trusted_proxy() {
        let fields = [("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "192.0.2.1")];
        assert_eq!(client(&peer("203.0.113.9", &[]), &fields), "203.0.113.9");
        assert_eq!(client(&peer("203.0.113.9", &["10.0.0.0/8"]), &fields), "203.0.113.9");
        assert_eq!(client(&behind_proxy(), &fields), "192.0.2.1");
        assert_eq!(client(&behind_proxy(), &[]), "10.0.0.1");
    }

    #[test]
    fn a_connection_that_has_moved_to_a_proxys_address_is_no_proxy() {
        let fields = [("x-forwarded-for", "192.0.2.1")];
        let moved = peer("203.0.113.9", &["10.0.0.0/8"]);
        moved.seen_at("10.0.0.1".parse().unwrap());
        assert_eq!(client(&moved, &fields), "10.0.0.1");
        let within = behind_proxy();
        within.seen_at("10.0.0.2".parse().unwrap());
        assert_eq!(client(&within, &fields), "192.0.2.1");
        within.seen_at("203.0.113.9".parse().unwrap());
        assert_eq!(client(&within, &fields), "203.0.113.9");
    }

    #[test]
    fn the_last_address_that_is_no_proxy_is_the_clients() {
        for (field, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.66, 192.0.2.1", "192.0.2.1"),
            ("192.0.2.66, 192.0.2.1, 10.2.3.4", "192.0.2.1"),
            ("10.9.9.9, 10.2.3.4", "10.9.9.9"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("[2001:db9::1]:4711", "2001:db9::1"),
            ("2001:db9::1", "2001:db9::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("192.0.2.66, unknown", "10.0.0.1"),
            ("192.0.2.66, _hidden, 10.2.3.4", "10.2.3.4"),
            ("", "10.0.0.1"),
            (",,", "10.0.0.1"),
        ] {
            assert_eq!(client(&behind_proxy(), &[("x-forwarded-for", field)]), expected, "{field}");
        }
        let two = [("x-forwarded-for", "192.0.2.66"), ("x-forwarded-for", "192.0.2.1, 10.1.1.1")];
        assert_eq!(client(&behind_proxy(), &two), "192.0.2.1");
    }

    #[test]
    fn forwarded_goes_before_x_forwarded_for() {
        for (field, expected) in [
            ("for=192.0.2.1;proto=https;by=10.0.0.1", "192.0.2.1"),
            (r#"proto=https; For="[2001:db9::1]:4711""#, "2001:db9::1"),
            ("for=192.0.2.66, for=192.0.2.1", "192.0.2.1"),
            ("for=unknown", "10.0.0.1"),
            ("proto=https", "10.0.0.1"),
        ] {
            let fields = [("forwarded", field), ("x-forwarded-for", "198.51.100.1")];
            assert_eq!(client(&behind_proxy(), &fields), expected, "{field}");
        }
    }

    #[test]
    fn a_long_chain_is_looked_at_only_so_far() {
        let chain = ["10.1.1.1"; HOPS_MAX + 1].join(",");
        assert_eq!(
            client(&behind_proxy(), &[("x-forwarded-for", &format!("192.0.2.1,{chain}"))]),
            "10.1.1.1"
        );
    }
}
