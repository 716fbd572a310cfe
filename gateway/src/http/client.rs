//! The client's address of a request: the peer's, or, behind a proxy that the operator trusts, the one that
//! the proxy reports.
//!
//! A proxy appends to one field, `X-Forwarded-For` or `Forwarded` (RFC 7239), and forwards the other as the
//! client wrote it. So each listener trusts exactly one, read from the right, and ignores the other.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, header};

use crate::transport::{Listener, Peer};

/// How many addresses of a forwarding field are read, from the right; with more, the client is hidden.
const HOPS_MAX: usize = 32;

/// The address of a request's client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAddress {
    /// The client's address; an IPv4-mapped one as IPv4.
    Visible(IpAddr),
    /// Hidden: the address is that of a trusted proxy whose report cannot be read.
    Hidden(IpAddr),
}

impl ClientAddress {
    /// The client's address, unless it is hidden.
    pub const fn visible(self) -> Option<IpAddr> {
        match self {
            Self::Visible(address) => Some(address),
            Self::Hidden(_) => None,
        }
    }

    /// The client's address, or that of the proxy that hides it.
    pub(crate) const fn nearest(self) -> IpAddr {
        match self {
            Self::Visible(address) | Self::Hidden(address) => address,
        }
    }
}

/// Determines the client's address.
pub fn client_address(fields: &HeaderMap, peer: &Peer) -> ClientAddress {
    let (listener, nearest) = (&peer.listener, peer.address());
    if !is_proxy(peer) || !fields.contains_key(&listener.forwarded_field) {
        return ClientAddress::Visible(nearest);
    }
    let values: Vec<&str> = fields
        .get_all(&listener.forwarded_field)
        .iter()
        .map(|value| value.to_str().unwrap_or("unreadable"))
        .collect();
    let values = values.into_iter().rev();
    let forwarded = if listener.forwarded_field == header::FORWARDED {
        last_untrusted(values.flat_map(|value| elements(value).into_iter().rev()).map(for_node), listener)
    } else {
        last_untrusted(values.flat_map(|value| value.rsplit(',')).map(|node| parse(node.trim())), listener)
    };
    forwarded.map_or(ClientAddress::Hidden(nearest), ClientAddress::Visible)
}

/// Whether the peer is a trusted proxy: both its current address, which may not be validated yet, and its
/// validated one must be.
pub(crate) fn is_proxy(peer: &Peer) -> bool {
    let listener = &peer.listener;
    // Most listeners trust no proxy.
    !listener.trusted_proxies.is_empty() && listener.trusts(peer.address()) && listener.trusts(peer.origin)
}

/// The first address from the right that is no trusted proxy, or the leftmost one if all are. `None` if one
/// before it cannot be read, or there are too many.
fn last_untrusted(mut nodes: impl Iterator<Item = Option<IpAddr>>, listener: &Listener) -> Option<IpAddr> {
    let mut found = None;
    for node in nodes.by_ref().take(HOPS_MAX) {
        let address = node?;
        found = Some(address);
        if !listener.trusts(address) {
            return found;
        }
    }
    if nodes.next().is_some() { None } else { found }
}

/// The elements of a `Forwarded` field. Separators within quoted strings do not count, because a proxy may
/// quote text of the client; if the quotes do not match, there are no elements.
fn elements(value: &str) -> Vec<&str> {
    parts(value, b',').unwrap_or_else(|| vec![""])
}

/// Splits outside of quoted strings; `None` if one is not closed.
fn parts(text: &str, separator: u8) -> Option<Vec<&str>> {
    let (mut parts, mut start, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (place, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if byte == separator && !quoted => {
                parts.push(&text[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    (!quoted).then_some(parts)
}

/// The address of an element's one `for`, such as `192.0.2.1` or `"[2001:db8::1]:4711"`.
fn for_node(element: &str) -> Option<IpAddr> {
    let pairs = parts(element, b';')?;
    let mut nodes = pairs.into_iter().filter_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        name.trim().eq_ignore_ascii_case("for").then(|| value.trim())
    });
    let node = nodes.next()?;
    let bare = node.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(node);
    if nodes.next().is_some() { None } else { parse(bare) }
}

/// An address with or without brackets and port, and without a zone: that means something on the proxy alone.
fn parse(node: &str) -> Option<IpAddr> {
    if node.contains('%') {
        return None;
    }
    let bare = node.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(node);
    let address = bare.parse().ok().or_else(|| node.parse::<SocketAddr>().ok().map(|socket| socket.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderName, HeaderValue};

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

    /// The same, but the listener trusts `Forwarded`.
    fn behind_modern_proxy() -> Arc<Peer> {
        let trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        let forwarded_field = header::FORWARDED;
        Peer::alone([10, 0, 0, 1].into(), Listener { trusted_proxies, forwarded_field, ..Listener::plain() })
    }

    /// The client's address, or `hidden`.
    fn client(peer: &Peer, fields: &[(&'static str, &str)]) -> String {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        client_address(&map, peer).visible().map_or("hidden".to_owned(), |address| address.to_string())
    }

    #[test]
    fn only_a_trusted_proxy_may_report_an_address() {
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
    fn the_last_address_that_is_no_trusted_proxy_is_the_client() {
        for (field, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            ("192.0.2.66, 192.0.2.1", "192.0.2.1"),
            ("192.0.2.66, 192.0.2.1, 10.2.3.4", "192.0.2.1"),
            ("10.9.9.9, 10.2.3.4", "10.9.9.9"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("[2001:db9::1]:4711", "2001:db9::1"),
            ("2001:db9::1", "2001:db9::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("192.0.2.66, unknown", "hidden"),
            ("192.0.2.66, _hidden, 10.2.3.4", "hidden"),
            ("192.0.2.1:99999", "hidden"),
            ("203.0.113.009", "hidden"),
            ("fe80::1%eth0", "hidden"),
            ("[fe80::1%2]:4711", "hidden"),
            ("", "hidden"),
            (",,", "hidden"),
        ] {
            assert_eq!(client(&behind_proxy(), &[("x-forwarded-for", field)]), expected, "{field}");
        }
        let two = [("x-forwarded-for", "192.0.2.66"), ("x-forwarded-for", "192.0.2.1, 10.1.1.1")];
        assert_eq!(client(&behind_proxy(), &two), "192.0.2.1");
    }

    #[test]
    fn the_field_that_the_listener_does_not_trust_is_ignored() {
        let both = [("forwarded", "for=192.0.2.1"), ("x-forwarded-for", "198.51.100.1")];
        assert_eq!(client(&behind_proxy(), &both), "198.51.100.1");
        assert_eq!(client(&behind_modern_proxy(), &both), "192.0.2.1");
        // Even if the trusted field is missing or malformed.
        for peer in [behind_proxy(), behind_modern_proxy()] {
            let (believed, other) = if peer.listener.forwarded_field == header::FORWARDED {
                (("forwarded", "for=unknown"), ("x-forwarded-for", "192.0.2.66"))
            } else {
                (("x-forwarded-for", "unknown"), ("forwarded", "for=192.0.2.66"))
            };
            assert_eq!(client(&peer, &[other]), "10.0.0.1", "{other:?} alone");
            assert_eq!(client(&peer, &[other, believed]), "hidden", "{other:?} and {believed:?}");
        }
    }

    #[test]
    fn forwarded_is_read_from_the_right_by_its_own_grammar() {
        for (field, expected) in [
            ("for=192.0.2.1;proto=https;by=10.0.0.1", "192.0.2.1"),
            (r#"proto=https; For="[2001:db9::1]:4711""#, "2001:db9::1"),
            (r#"for="192.0.2.1:4711""#, "192.0.2.1"),
            ("for=192.0.2.66, for=192.0.2.1", "192.0.2.1"),
            ("for=192.0.2.66, for=192.0.2.1, for=10.2.3.4;by=10.0.0.1, for=10.3.4.5", "192.0.2.1"),
            ("for=10.9.9.9,for=10.2.3.4", "10.9.9.9"),
            ("for=192.0.2.66, for=_hidden, for=10.2.3.4", "hidden"),
            // Text of the client that a proxy quotes is not parsed.
            (r#"for=192.0.2.1;host="a, for=192.0.2.66""#, "192.0.2.1"),
            (r#"for=192.0.2.1;host="a;for=192.0.2.66""#, "192.0.2.1"),
            (r#"for=192.0.2.1;host="a\", for=192.0.2.66, \"""#, "192.0.2.1"),
            // A malformed field hides the client.
            ("for=unknown", "hidden"),
            ("proto=https", "hidden"),
            ("192.0.2.66", "hidden"),
            ("for=", "hidden"),
            (r#"for="192.0.2.66"#, "hidden"),
            (r#"for="192.0.2.66, for=192.0.2.1"#, "hidden"),
            (r#"for=192.0.2.66""#, "hidden"),
            ("for=192.0.2.66;for=192.0.2.1", "hidden"),
            (r#"for="\192.0.2.66""#, "hidden"),
            ("for=192.0.2.66,", "hidden"),
            ("", "hidden"),
        ] {
            assert_eq!(client(&behind_modern_proxy(), &[("forwarded", field)]), expected, "{field}");
        }
        let two = [("forwarded", "for=192.0.2.66"), ("forwarded", "for=192.0.2.1, for=10.1.1.1")];
        assert_eq!(client(&behind_modern_proxy(), &two), "192.0.2.1");
        let open = [("forwarded", r#"for="192.0.2.66"#), ("forwarded", "for=192.0.2.1")];
        assert_eq!(client(&behind_modern_proxy(), &open), "192.0.2.1", "quotes do not span field lines");
    }

    #[test]
    fn a_chain_longer_than_the_bound_hides_the_client() {
        let chain = ["10.1.1.1"; HOPS_MAX + 1].join(",");
        assert_eq!(client(&behind_proxy(), &[("x-forwarded-for", &format!("192.0.2.1,{chain}"))]), "hidden");
    }
}
