//! A listener, as the requests that come by it see it.

use std::net::IpAddr;

use http::{HeaderName, HeaderValue};
use ipnet::IpNet;
use permissions::Environments;

/// What requests need to know of the listener that they came by.
#[derive(Debug)]
pub struct Listener {
    /// Its name in the configuration. Listeners live as long as the process.
    pub name: &'static str,
    /// Whether its connections are encrypted.
    pub tls: bool,
    /// Whether its clients present credentials, so that its connections are told apart by that.
    pub takes_credentials: bool,
    /// Whose keys it accepts.
    pub environments: Environments,
    /// The hosts that it answers for, in lower case; empty is any.
    pub hosts: Vec<String>,
    /// Networks whose forwarding fields are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The one field that is believed of them for the client's address.
    pub forwarded_field: HeaderName,
    /// The value of `alt-svc` on HTTP/1.1 and HTTP/2, where the listener serves HTTP/3.
    pub alt_svc: Option<HeaderValue>,
}

impl Listener {
    /// Whether this is the address of a proxy whose fields are believed.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }
}

#[cfg(test)]
impl Listener {
    /// Takes every key in cleartext and trusts nobody.
    pub(crate) fn plain() -> Self {
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
