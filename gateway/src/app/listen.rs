//! Listeners: certificates loaded, addresses bound.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use anyhow::Context as _;
use http::{HeaderName, HeaderValue, header};
use serde_json::{Value, json};
use tracing::warn;

use crate::config::{self, Config, ForwardedField, Protocol, Service, TlsVersion};
use crate::folder::DataFolder;
use crate::transport::{
    BindError, Certificates, Listener, ServedCertificate, bind_tcp, bind_udp, load_certified_key,
    quic_config, tcp_config,
};

/// The name of the certificate that the first launch makes.
pub(super) const LOCAL: &str = "local";
/// Where TCP's free port is taken on UDP, or the other way about, another one is tried this often.
const FREE_PORT_TRIES: usize = 16;

/// The certificates in use, by their names in the configuration.
pub(super) type CertificatesByName = BTreeMap<String, Arc<ServedCertificate>>;

/// Loads every certificate that an enabled listener names.
pub(super) fn certificates(config: &Config, folder: &DataFolder) -> anyhow::Result<CertificatesByName> {
    let mut loaded = CertificatesByName::new();
    let enabled = config.listeners.values().filter(|listener| listener.enabled);
    for name in enabled.flat_map(|listener| &listener.certificate) {
        if !loaded.contains_key(name) {
            loaded.insert(name.clone(), ServedCertificate::new(load(config, folder, name)?)?);
        }
    }
    Ok(loaded)
}

/// Loads the certificate of a name.
pub(super) fn load(
    config: &Config,
    folder: &DataFolder,
    name: &str,
) -> anyhow::Result<rustls::sign::CertifiedKey> {
    let (chain, key) = match config.certificates.get(name) {
        Some(files) => (files.chain_file.clone(), files.key_file.clone()),
        None if name == LOCAL => (folder.localhost_certificate(), folder.localhost_key()),
        None => anyhow::bail!("there is no certificate named `{name}`"),
    };
    load_certified_key(&chain, &key).with_context(|| format!("the certificate `{name}` cannot be used"))
}

/// One bound address of one listener.
pub(super) struct BoundListener {
    pub(super) listener: Listener,
    pub(super) address: SocketAddr,
    /// Whether the address is of IPv6 and accepts IPv4 too.
    both_families: bool,
    /// The port that `alt-svc` is to name; 0 is the one that HTTP/3 is bound to.
    alt_svc_port: u16,
    pub(super) protocols: Vec<Protocol>,
    /// Whether its certificate is the local one alone.
    pub(super) is_local: bool,
    /// Its sites, each with the hosts that it serves; no hosts are every host.
    pub(super) sites: Vec<(Service, Vec<String>)>,
    /// One per worker; empty where neither HTTP/1 nor HTTP/2 is spoken.
    pub(super) tcp: Vec<TcpListener>,
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    /// One per worker; empty where HTTP/3 is not spoken.
    pub(super) udp: Vec<UdpSocket>,
    pub(super) quic: Option<Arc<rustls::ServerConfig>>,
}

/// Every bound address.
pub(super) struct Bindings {
    bound: Vec<BoundListener>,
    /// The file of the authority of the local certificate.
    pub(super) authority: std::path::PathBuf,
}

/// Binds every address of every enabled listener, other than the one that is to stay `closed`.
pub(super) fn bind(
    config: &Config,
    certificates: &CertificatesByName,
    folder: &DataFolder,
    closed: Option<&str>,
) -> anyhow::Result<Bindings> {
    let mut bound = Vec::new();
    for (name, listener) in config.listeners.iter().filter(|(_, listener)| listener.enabled) {
        let before = bound.len();
        let mut port = 0;
        let workers = match closed {
            Some(closed) if closed == name => 0,
            _ if listener.is_internal() => 1,
            _ => config.runtime.worker_count(),
        };
        for address in &listener.addresses {
            match bind_address(config, certificates, name, listener, *address, port, workers) {
                Ok(one) => {
                    port = one.address.port();
                    bound.push(one);
                }
                // A machine without IPv6 serves on IPv4, if the listener has an address there.
                Err(error) if address.is_ipv6() && is_absent(&error) && bound.len() > before => {
                    warn!(%address, listener = name, "This machine has no such address; the listener does without it");
                }
                Err(error) => {
                    let taken = error.downcast_ref::<BindError>().map(|error| error.reason.kind());
                    let help = if taken == Some(io::ErrorKind::AddrInUse) {
                        let local = config.local_api().is_some_and(|(api, _)| api == name);
                        let local = if local {
                            ", or another port with `partner-gateway local port PORT`"
                        } else {
                            ""
                        };
                        format!(
                            "; end what has its address, or set another in `listeners.{name}.addresses`{local}"
                        )
                    } else {
                        String::new()
                    };
                    return Err(error.context(format!("the listener `{name}` cannot be served{help}")));
                }
            }
        }
    }
    announce_http3(&mut bound)?;
    Ok(Bindings { bound, authority: folder.authority_certificate() })
}

/// Tells clients of HTTP/1.1 and HTTP/2 where HTTP/3 is: at the listener's own port, or, where it speaks no
/// HTTP/3, at that of the first listener of the same sites, on the same family of addresses, that does and
/// answers there whatever the listener answers: a client that follows takes all of its requests along.
fn announce_http3(bound: &mut [BoundListener]) -> anyhow::Result<()> {
    let ports: Vec<Option<u16>> = bound
        .iter()
        .map(|from| {
            let able = |to: &&BoundListener| to.speaks_http3() && to.serves_all_of(from);
            let own = bound.iter().filter(able).find(|to| to.address == from.address);
            let other = bound.iter().filter(able).find(|to| to.accepts_families_of(from));
            let to = own.or(other)?;
            let said = [from.alt_svc_port, to.alt_svc_port].into_iter().find(|port| *port != 0);
            Some(said.unwrap_or(to.address.port()))
        })
        .collect();
    for (bound, port) in bound.iter_mut().zip(ports) {
        if let Some(port) = port {
            // A value that counted its users would be written by every worker with every answer.
            let text: &'static str = Box::leak(format!(r#"h3=":{port}"; ma=86400"#).into_boxed_str());
            bound.listener.alt_svc = Some(HeaderValue::from_static(text));
        }
    }
    Ok(())
}

fn is_absent(error: &anyhow::Error) -> bool {
    error.downcast_ref::<BindError>().is_some_and(|error| {
        error.reason.kind() == io::ErrorKind::AddrNotAvailable
            || error.reason.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
    })
}

fn bind_address(
    config: &Config,
    certificates: &CertificatesByName,
    name: &str,
    listener: &config::Listener,
    address: SocketAddr,
    sibling_port: u16,
    workers: usize,
) -> anyhow::Result<BoundListener> {
    let speaks = |protocol| listener.protocols.contains(&protocol);
    let over_tcp = speaks(Protocol::Http1) || speaks(Protocol::Http2);
    let over_udp = speaks(Protocol::Http3);
    let both_families = config.accepts_both_families(listener, address);
    let (address, tcp, udp) = match workers {
        0 => (address, Vec::new(), Vec::new()),
        _ => bind_sockets(address, both_families, sibling_port, over_tcp, over_udp, workers)?,
    };

    let mut sites: Vec<_> = listener.sites().map(|(service, hosts)| (service, hosts.to_vec())).collect();
    for (service, hosts) in &mut sites {
        let is_guarded = matches!(service, Service::Operations | Service::Settings | Service::Portal);
        if hosts.is_empty() && is_guarded && address.ip().is_loopback() {
            // A page in a browser of this machine must not reach it by a name of its own (DNS rebinding).
            *hosts = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).to_vec();
            if *service == Service::Portal {
                // A proxy on this machine passes it on.
                hosts.extend(config.portal.host());
            }
        }
    }
    let names = listener.certificate.iter();
    let certificates = Certificates::new(names.filter_map(|name| certificates.get(name).cloned()).collect());
    let tls13_only = config.tls.minimum_version == TlsVersion::V1_3;
    let alpn: Vec<&str> = [(Protocol::Http2, "h2"), (Protocol::Http1, "http/1.1")]
        .into_iter()
        .filter(|(protocol, _)| speaks(*protocol))
        .map(|(_, alpn)| alpn)
        .collect();
    Ok(BoundListener {
        listener: Listener {
            name: name.to_owned().leak(),
            tls: certificates.is_some(),
            takes_credentials: listener.serves(Service::Api),
            environments: listener.environments,
            hosts: sites.iter().flat_map(|(_, hosts)| hosts.clone()).collect(),
            trusted_proxies: listener.trusted_proxies.clone(),
            forwarded_field: match listener.forwarded_field {
                ForwardedField::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
                ForwardedField::Forwarded => header::FORWARDED,
            },
            alt_svc: None,
        },
        alt_svc_port: listener.alt_svc_port,
        address,
        both_families,
        protocols: listener.protocols.clone(),
        is_local: listener.certificate == [LOCAL],
        sites,
        tcp,
        tls: certificates
            .as_ref()
            .map(|certificates| tcp_config(certificates, tls13_only, &alpn))
            .transpose()?,
        udp,
        quic: certificates.as_ref().filter(|_| over_udp).map(quic_config).transpose()?,
    })
}

/// Binds TCP and UDP to one port; where any port will do, to the port that the listener's other addresses
/// have, or else to one that is free for both.
fn bind_sockets(
    wanted: SocketAddr,
    both_families: bool,
    sibling_port: u16,
    tcp: bool,
    udp: bool,
    workers: usize,
) -> Result<(SocketAddr, Vec<TcpListener>, Vec<UdpSocket>), BindError> {
    let bind = |address: SocketAddr| {
        let mut address = address;
        let tcp = if tcp { bind_tcp(address, both_families, workers)? } else { Vec::new() };
        if let Some(Ok(bound)) = tcp.first().map(TcpListener::local_addr) {
            address = bound;
        }
        let udp = if udp { bind_udp(address, both_families, workers)? } else { Vec::new() };
        if let Some(Ok(bound)) = udp.first().map(UdpSocket::local_addr) {
            address = bound;
        }
        Ok((address, tcp, udp))
    };
    if wanted.port() != 0 {
        return bind(wanted);
    }
    let mut outcome = bind(SocketAddr::new(wanted.ip(), sibling_port));
    for _ in 0..FREE_PORT_TRIES {
        match outcome {
            Err(error) if error.reason.kind() == io::ErrorKind::AddrInUse => outcome = bind(wanted),
            other => return other,
        }
    }
    outcome
}

impl Bindings {
    /// What is listened on, in the form of the ready file.
    pub(super) fn describe(&self) -> Value {
        let listeners: Vec<Value> = self
            .bound
            .iter()
            .filter(|bound| !(bound.tcp.is_empty() && bound.udp.is_empty()))
            .map(|bound| {
                json!({
                    "name": bound.listener.name,
                    "address": bound.address,
                    "protocols": bound.protocols,
                    "tls": bound.listener.tls,
                    "serves": bound.sites.iter().map(|(service, _)| service).collect::<Vec<_>>(),
                    "environments": bound.listener.environments,
                })
            })
            .collect();
        json!({ "listeners": listeners, "pid": std::process::id(), "ca": self.authority })
    }

    /// In the order of the listeners' names.
    pub(super) fn iter(&self) -> impl Iterator<Item = &BoundListener> {
        self.bound.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut BoundListener> {
        self.bound.iter_mut()
    }

    pub(super) fn into_listeners(self) -> Vec<BoundListener> {
        self.bound
    }
}

impl BoundListener {
    pub(super) fn is_internal(&self) -> bool {
        [Service::Operations, Service::Settings].into_iter().any(|service| self.hosts_of(service).is_some())
    }

    /// The hosts of one of its sites.
    pub(super) fn hosts_of(&self, service: Service) -> Option<&[String]> {
        self.sites.iter().find(|(served, _)| *served == service).map(|(_, hosts)| &hosts[..])
    }

    fn speaks_http3(&self) -> bool {
        !self.udp.is_empty() && !self.is_internal()
    }

    /// Whether it accepts every family of addresses that the other accepts.
    fn accepts_families_of(&self, other: &Self) -> bool {
        self.both_families || (!other.both_families && self.address.is_ipv4() == other.address.is_ipv4())
    }

    /// Whether it takes every key, and serves every site at every host, that the other does.
    fn serves_all_of(&self, other: &Self) -> bool {
        let every_site = other.sites.iter().all(|(service, theirs)| {
            self.hosts_of(*service).is_some_and(|ours| {
                ours.is_empty() || (!theirs.is_empty() && theirs.iter().all(|host| ours.contains(host)))
            })
        });
        self.listener.environments.contains(other.listener.environments) && every_site
    }
}
