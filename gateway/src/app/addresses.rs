//! Where the outside reaches what is served here, for links and samples: as the configuration says, or
//! else as it was bound.

use std::net::SocketAddr;

use permissions::Environments;
use versions::docs::pages::ServerUrl;

use super::listen::{Bindings, BoundListener};
use crate::config::{self, Config, Service, host_at, origin, portal_url};

/// The addresses that were bound, as URLs.
pub(super) struct Addresses {
    /// Where the documentation is; empty where it is not served, or at no address that leads anywhere.
    docs: String,
    /// Where samples call the API.
    api: String,
    /// Where people sign in; empty where they do not.
    portal: String,
    /// Every address of the API that leads there from where the documentation is read.
    server_urls: Vec<ServerUrl>,
    /// Whose keys the API takes at any address.
    environments: Environments,
}

/// Where samples call an API of which nothing says how it is reached: a name that is never resolved (RFC 6761 §6.4), so
/// that no key goes anywhere.
const UNKNOWN: &str = "https://public-url-is-not-set.invalid";

impl Addresses {
    pub(super) fn new(bindings: &Bindings) -> Self {
        let docs: Vec<_> = addresses_of(bindings, Service::Docs).collect();
        let is_public = docs.iter().any(|(bound, hosts)| config::is_public(hosts, bound.address.ip()));
        let mut api: Vec<_> = addresses_of(bindings, Service::Api).collect();
        // A key does not go out in cleartext where it need not.
        api.sort_by_key(|(bound, _)| !bound.listener.tls);
        let server_urls = api.iter().filter_map(|(bound, hosts)| {
            let local = || {
                let local = if bound.address.is_ipv4() { "127.0.0.1" } else { "[::1]" };
                (!is_public).then(|| origin(bound.listener.tls, local, bound.address.port()))
            };
            Some(ServerUrl {
                url: url(bound.listener.tls, hosts, bound.address, is_public).or_else(local)?,
                environments: bound.listener.environments,
                authority: (bound.is_local && !is_public).then(|| bindings.authority.display().to_string()),
            })
        });
        let mut server_urls: Vec<ServerUrl> = server_urls.collect();
        server_urls.dedup();
        let unknown = || if is_public { UNKNOWN.to_owned() } else { String::new() };
        let portal = addresses_of(bindings, Service::Portal);
        let portal = portal_url(portal.map(|(bound, hosts)| (bound.listener.tls, hosts, bound.address)));
        let docs =
            docs.first().and_then(|(bound, hosts)| url(bound.listener.tls, hosts, bound.address, false));
        Self {
            docs: docs.unwrap_or_default(),
            portal: portal.unwrap_or_default(),
            api: server_urls.first().map_or_else(unknown, |server| server.url.clone()),
            server_urls,
            environments: api
                .iter()
                .fold(Environments::empty(), |all, (bound, _)| all | bound.listener.environments),
        }
    }

    /// Every address of the API; what the filled configuration says, where no listener does.
    pub(super) fn server_urls(&self, filled: &Config) -> Vec<ServerUrl> {
        if !self.server_urls.is_empty() {
            return self.server_urls.clone();
        }
        vec![ServerUrl {
            url: filled.api.public_url.clone(),
            environments: self.environments,
            authority: None,
        }]
    }

    /// From now on, the API is at another port.
    pub(super) fn move_api(&mut self, from: SocketAddr, to: SocketAddr) {
        let (from, to) = (format!(":{}", from.port()), format!(":{}", to.port()));
        let urls = self.server_urls.iter_mut().map(|server| &mut server.url);
        for url in urls.chain([&mut self.api]) {
            if let Some(start) = url.strip_suffix(&from) {
                *url = format!("{start}{to}");
            }
        }
    }

    /// Puts them where the configuration leaves them open.
    pub(super) fn fill(&self, config: &mut Config) {
        for (option, found) in [
            (&mut config.api.docs_url, &self.docs),
            (&mut config.api.public_url, &self.api),
            (&mut config.portal.public_url, &self.portal),
        ] {
            if option.is_empty() {
                option.clone_from(found);
            }
        }
    }
}

/// The bound addresses of a site, each with the hosts that the site has there.
fn addresses_of(bindings: &Bindings, service: Service) -> impl Iterator<Item = (&BoundListener, &[String])> {
    bindings.iter().filter_map(move |bound| Some((bound, bound.hosts_of(service)?)))
}

/// The URL of a site with these hosts at a bound address; `None` where nothing tells how it is reached.
fn url(tls: bool, hosts: &[String], address: SocketAddr, is_public: bool) -> Option<String> {
    let host = host_at(hosts, address.ip(), is_public)?;
    Some(origin(tls, &host, address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_names_what_leads_there() {
        for (tls, hosts, address, expected) in [
            (true, &[][..], "127.0.0.1:8443", Some("https://127.0.0.1:8443")),
            (true, &[], "192.0.2.1:443", Some("https://192.0.2.1")),
            (false, &[], "[::1]:80", Some("http://[::1]")),
            (false, &[], "[::1]:443", Some("http://[::1]:443")),
            (true, &["api.example.com", "b"], "0.0.0.0:443", Some("https://api.example.com")),
            (true, &["api.example.com"], "0.0.0.0:8443", Some("https://api.example.com:8443")),
            (true, &[], "0.0.0.0:443", None),
            (true, &[], "[::]:443", None),
        ] {
            let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
            assert_eq!(url(tls, &hosts, address.parse().unwrap(), false).as_deref(), expected, "{address}");
        }
    }

    #[test]
    fn the_api_moves_to_another_port() {
        let url = "http://127.0.0.1:10108".to_owned();
        let server = ServerUrl { url: url.clone(), environments: Environments::STAGING, authority: None };
        let mut addresses = Addresses {
            docs: "http://127.0.0.1:8180".to_owned(),
            portal: String::new(),
            api: url,
            server_urls: vec![server],
            environments: Environments::STAGING,
        };
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        addresses.move_api(address(10_108), address(4000));
        assert_eq!(
            (&*addresses.api, &*addresses.server_urls[0].url),
            ("http://127.0.0.1:4000", "http://127.0.0.1:4000")
        );
        assert_eq!(addresses.docs, "http://127.0.0.1:8180");
    }

    #[test]
    fn a_url_for_other_machines_does_not_lead_to_their_own() {
        for (hosts, address, expected) in [
            (&[][..], "127.0.0.1:8443", None),
            (&[], "[::1]:8443", None),
            (&[], "0.0.0.0:443", None),
            (&[], "192.0.2.1:443", Some("https://192.0.2.1")),
            (&["localhost", "127.0.0.1", "[::1]", "a.localhost"], "0.0.0.0:443", None),
            (&["localhost", "api.example.com"], "127.0.0.1:443", Some("https://api.example.com")),
        ] {
            let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
            assert_eq!(
                url(true, &hosts, address.parse().unwrap(), true).as_deref(),
                expected,
                "{hosts:?} {address}"
            );
        }
    }
}
