//! Where the outside reaches what is served here, for links and samples: as the configuration says, or
//! else as it was bound.

use std::net::SocketAddr;

use versions::docs::pages::ServerUrl;

use super::listen::{Bindings, BoundListener};
use crate::config::{Config, Service};

/// The addresses that were bound, as URLs.
pub(super) struct Addresses {
    /// Where the documentation is; empty where it is not served, or at no address that leads anywhere.
    docs: String,
    /// Where samples call the API.
    api: String,
    /// Every address of the API.
    pub(super) server_urls: Vec<ServerUrl>,
}

impl Addresses {
    pub(super) fn new(bindings: &Bindings) -> Self {
        let mut docs = addresses_of(bindings, Service::Docs);
        let docs = docs.next().and_then(|(bound, hosts)| url(bound.listener.tls, hosts, bound.address));
        let mut api: Vec<_> = addresses_of(bindings, Service::Api).collect();
        // A key does not go out in cleartext where it need not.
        api.sort_by_key(|(bound, _)| !bound.listener.tls);
        let server_urls = api.iter().map(|(bound, hosts)| ServerUrl {
            url: url(bound.listener.tls, hosts, bound.address).unwrap_or_else(|| {
                let local = if bound.address.is_ipv4() { "127.0.0.1" } else { "[::1]" };
                with_port(bound.listener.tls, local, bound.address.port())
            }),
            environments: bound.listener.environments,
        });
        let mut server_urls: Vec<ServerUrl> = server_urls.collect();
        server_urls.dedup();
        Self {
            docs: docs.unwrap_or_default(),
            api: server_urls.first().map_or_else(String::new, |server| server.url.clone()),
            server_urls,
        }
    }

    /// Puts them where the configuration leaves them open.
    pub(super) fn fill(&self, config: &mut Config) {
        for (option, found) in
            [(&mut config.api.docs_url, &self.docs), (&mut config.api.public_url, &self.api)]
        {
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
fn url(tls: bool, hosts: &[String], address: SocketAddr) -> Option<String> {
    let host = match hosts.first() {
        Some(host) => host.clone(),
        None if address.ip().is_unspecified() => return None,
        None if address.is_ipv4() => address.ip().to_string(),
        None => format!("[{}]", address.ip()),
    };
    Some(with_port(tls, &host, address.port()))
}

fn with_port(tls: bool, host: &str, port: u16) -> String {
    match (tls, port) {
        (true, 443) => format!("https://{host}"),
        (false, 80) => format!("http://{host}"),
        (true, port) => format!("https://{host}:{port}"),
        (false, port) => format!("http://{host}:{port}"),
    }
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
            assert_eq!(url(tls, &hosts, address.parse().unwrap()).as_deref(), expected, "{address}");
        }
    }
}
