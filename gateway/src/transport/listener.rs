//! The properties of a listener that its requests depend on.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use permissions::Environments;

/// A listener.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Its name in the configuration, which is `'static` like all listeners.
    pub name: &'static str,
    /// Whether its connections are encrypted.
    pub tls: bool,
    /// Whether its clients present credentials, so that connections without one are limited.
    pub takes_credentials: bool,
    /// The environments whose keys it accepts.
    pub environments: Environments,
    /// The hosts that it serves, in lower case; empty means any.
    pub hosts: Vec<String>,
    /// Networks whose forwarding fields are trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// The field in which they report the client's address.
    pub forwarded_field: HeaderName,
    /// The value of `alt-svc` on HTTP/1.1 and HTTP/2, if HTTP/3 is available.
    pub alt_svc: Option<HeaderValue>,
}

impl Listener {
    /// Whether this is the address of a trusted proxy.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }

    /// A cleartext listener that accepts every key and trusts no proxy, for benches and tests of a service.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            name: "test",
            tls: false,
            takes_credentials: true,
            environments: Environments::all(),
            hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            forwarded_field: HeaderName::from_static("x-forwarded-for"),
            alt_svc: None,
        }
    }
}
