//! The section of a listener: where it listens, what it serves, and with which certificates.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use permissions::Environments;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::values;

/// A listener: its addresses, and what it serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listener {
    /// Whether it is opened.
    #[serde(deserialize_with = "values::switch")]
    pub enabled: bool,
    /// The addresses to bind to; port 0 is any free port.
    #[serde(deserialize_with = "values::list::<values::Address, _>")]
    pub addresses: Vec<SocketAddr>,
    /// Its protocols.
    pub protocols: Vec<Protocol>,
    /// `local`, or names from [`Config::certificates`](super::Config::certificates); the first one is used where a
    /// client asks for a name that none of them has. Empty for cleartext.
    #[serde(deserialize_with = "one_or_more", serialize_with = "write_one_or_more")]
    pub certificate: Vec<String>,
    /// What it serves.
    pub serves: Serves,
    /// The environments of the keys that it accepts.
    pub environments: Environments,
    /// The host names of its one site, normalised and without port; empty for every name.
    #[serde(deserialize_with = "values::list::<values::Host, _>")]
    pub hosts: Vec<String>,
    /// Networks whose forwarding fields are trusted.
    #[serde(deserialize_with = "values::list::<values::Network, _>")]
    pub trusted_proxies: Vec<IpNet>,
    /// The field in which they report the client's address.
    pub forwarded_field: ForwardedField,
    /// The UDP port in `alt-svc`; 0 is the one that was bound.
    #[serde(deserialize_with = "values::count::<0, 65535, _, _>")]
    pub alt_svc_port: u16,
}

/// The defaults of a new listener: no UDP port, no keys. The checks refuse one without addresses or a service.
impl Default for Listener {
    fn default() -> Self {
        Self {
            enabled: true,
            addresses: Vec::new(),
            protocols: vec![Protocol::Http1, Protocol::Http2],
            certificate: Vec::new(),
            serves: Serves::List(Vec::new()),
            environments: Environments::empty(),
            hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            forwarded_field: ForwardedField::XForwardedFor,
            alt_svc_port: 0,
        }
    }
}

impl Listener {
    /// Its sites, each with the hosts that it serves; no hosts are every host.
    pub fn sites(&self) -> impl Iterator<Item = (Service, &[String])> {
        let (list, sites) = match &self.serves {
            Serves::List(list) => (Some(list), None),
            Serves::Sites(sites) => (None, Some(sites)),
        };
        let listed = list.into_iter().flatten().map(|service| (*service, &self.hosts[..]));
        listed.chain(sites.into_iter().flatten().map(|(service, site)| (*service, &site.hosts[..])))
    }

    /// Whether one of its sites is this.
    #[must_use]
    pub fn serves(&self, service: Service) -> bool {
        self.sites().any(|(served, _)| served == service)
    }

    /// Whether it is for the operator of this machine: such a listener is not served by the workers, and to the end.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.serves(Service::Operations) || self.serves(Service::Settings)
    }

    /// The hosts of one of its sites; none are every host.
    #[must_use]
    pub fn hosts_of(&self, service: Service) -> &[String] {
        self.sites().find(|(served, _)| *served == service).map_or(&[][..], |(_, hosts)| hosts)
    }
}

/// The host by which a site with these hosts is reached at an address; `None` where nothing says so. For readers on
/// other machines it is none that leads to their own.
#[must_use]
pub fn host_at(hosts: &[String], address: IpAddr, is_public: bool) -> Option<String> {
    let leads_there = |host: &String| !(is_public && is_loopback(host));
    if !hosts.is_empty() {
        return hosts.iter().find(|host| leads_there(host)).cloned();
    }
    let host = match address {
        address if address.is_unspecified() => return None,
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    Some(host).filter(leads_there)
}

/// A URL without a path; the port is left out where it is the scheme's own.
#[must_use]
pub fn origin(tls: bool, host: &str, port: u16) -> String {
    match (tls, port) {
        (true, 443) => format!("https://{host}"),
        (false, 80) => format!("http://{host}"),
        (true, port) => format!("https://{host}:{port}"),
        (false, port) => format!("http://{host}:{port}"),
    }
}

/// The URL of the portal where the configuration has none: that of the first of the listeners that serve it, TLS before
/// cleartext, each with whether it has TLS, the portal's hosts there, and its address.
pub fn portal_url<'h>(
    listeners: impl IntoIterator<Item = (bool, &'h [String], SocketAddr)>,
) -> Option<String> {
    let (tls, hosts, address) = listeners.into_iter().min_by_key(|(tls, ..)| !tls)?;
    // Where no host is configured, this machine is called by its name.
    let named = !hosts.is_empty() || !address.ip().is_loopback();
    let host = if named { host_at(hosts, address.ip(), false) } else { None };
    let host = host.unwrap_or_else(|| "localhost".to_owned());
    Some(origin(tls, &host, address.port()))
}

/// Whether a site with these hosts at this address is read from other machines, directly or through a proxy.
#[must_use]
pub fn is_public(hosts: &[String], address: IpAddr) -> bool {
    !address.to_canonical().is_loopback() || hosts.iter().any(|host| !is_loopback(host))
}

/// Whether a host leads to the machine that it is looked up on.
fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    address.is_ok_and(|address| address.to_canonical().is_loopback())
        || host == "localhost"
        || host.ends_with(".localhost")
}

/// What a listener serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Serves {
    /// `serves = ["api"]`: one site, with the listener's `hosts`.
    List(Vec<Service>),
    /// `serves.api.hosts = ["api.example.com"]`: sites, chosen by the host of a request.
    Sites(BTreeMap<Service, SiteOptions>),
}

impl<'de> Deserialize<'de> for Serves {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ServesVisitor)
    }
}

struct ServesVisitor;

impl<'de> Visitor<'de> for ServesVisitor {
    type Value = Serves;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list such as `[\"api\"]`, or a section for each site")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Serves, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(list)).map(Serves::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, sites: A) -> Result<Serves, A::Error> {
        BTreeMap::deserialize(MapAccessDeserializer::new(sites)).map(Serves::Sites)
    }
}

/// The options of one of several sites.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SiteOptions {
    /// The host names that it serves, normalised and without port.
    #[serde(deserialize_with = "values::list::<values::Host, _>")]
    pub hosts: Vec<String>,
}

/// What a site is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Service {
    /// The partners' API.
    Api,
    /// The API's documentation, without authentication.
    Docs,
    /// Probes, metrics and the version, for operators.
    Operations,
    /// The settings page of the local profile.
    Settings,
    /// Sign-in of people, and of the devices that they approve.
    Portal,
}

impl Service {
    /// Its name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Docs => "docs",
            Self::Operations => "operations",
            Self::Settings => "settings",
            Self::Portal => "portal",
        }
    }
}

/// A protocol of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1 and HTTP/1.0.
    Http1,
    /// HTTP/2, over TLS by ALPN or in cleartext by prior knowledge.
    Http2,
    /// HTTP/3 over QUIC.
    Http3,
}

/// The field in which a trusted proxy reports the client's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ForwardedField {
    /// `X-Forwarded-For`: addresses in a list.
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// Reads one name, a list of names, or "" for none.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    deserializer.deserialize_any(OneOrMore)
}

struct OneOrMore;

impl<'de> Visitor<'de> for OneOrMore {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a certificate, a list of names, or \"\" for cleartext")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Vec<String>, E> {
        Ok(if name.is_empty() { Vec::new() } else { vec![name.to_owned()] })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, names: A) -> Result<Vec<String>, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(names))
    }
}

/// Writes names in the form that is read.
fn write_one_or_more<S: Serializer>(names: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    match names {
        [] => serializer.serialize_str(""),
        [name] => serializer.serialize_str(name),
        names => names.serialize(serializer),
    }
}
