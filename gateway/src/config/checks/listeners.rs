//! The options of a listener against each other, and listeners against each other.

use std::collections::HashMap;
use std::net::SocketAddr;

use permissions::Environments;

use super::{LOCAL, Locations, is_name};
use crate::config::diagnostics::{Location, Problem, closest};
use crate::config::{Config, Listener, Protocol, Serves, Service};

/// Reports what is wrong with enabled listeners.
pub(super) fn check(config: &Config, locations: &Locations<'_>, problems: &mut Vec<Problem>) {
    for (name, listener) in config.listeners.iter().filter(|(_, listener)| listener.enabled) {
        check_listener(name, listener, locations, problems);
        check_sites(name, listener, locations, problems);
        check_certificates(name, listener, config, locations, problems);
    }
    check_addresses(config, locations, problems);
    check_settings(config, locations, problems);
}

/// The settings page shows a token that has every permission, and switches the API's one listener.
fn check_settings(config: &Config, locations: &Locations<'_>, problems: &mut Vec<Problem>) {
    let enabled = || config.listeners.iter().filter(|(_, listener)| listener.enabled);
    let settings: Vec<_> = enabled().filter(|(_, listener)| listener.serves(Service::Settings)).collect();
    let Some((name, first)) = settings.first() else { return };
    let serves = |name: &str| locations.of(&["listeners", name, "serves"]);
    for (other, _) in settings.iter().skip(1) {
        problems.push(
            Problem::new(format!("`listeners.{other}.serves`: the settings page is served twice"))
                .at_option(serves(other), "")
                .at_option(serves(name), "also served here")
                .help("serve it on one listener"),
        );
    }
    let is_loopback =
        |listener: &Listener| listener.addresses.iter().all(|address| address.ip().is_loopback());
    if !is_loopback(first) || !first.trusted_proxies.is_empty() {
        problems.push(
            Problem::new(format!(
                "`listeners.{name}` serves the settings page, which is for this machine only"
            ))
            .at_option(locations.of(&["listeners", name, "addresses"]), "")
            .help("give it loopback addresses, such as \"127.0.0.1:10109\", and no `trusted_proxies`"),
        );
    }
    let apis: Vec<_> = enabled().filter(|(_, listener)| listener.serves(Service::Api)).collect();
    let is_plain = |api: &Listener| {
        api.addresses.len() == 1 && is_loopback(api) && api.certificate.is_empty() && api.sites().count() == 1
    };
    if let Some((api, _)) = apis.iter().find(|(_, api)| apis.len() > 1 || !is_plain(api)) {
        problems.push(
            Problem::new(format!(
                "`listeners.{api}`: with a settings page, the API has one listener, with one loopback address and no certificate"
            ))
            .at_option(locations.of(&["listeners", api, "addresses"]), "")
            .at_option(serves(name), "the settings page is served here")
            .help("start with `--profile local`, or disable the listener of the settings page"),
        );
    }
}

fn check_listener(name: &str, listener: &Listener, locations: &Locations<'_>, problems: &mut Vec<Problem>) {
    let location = |option: &str| locations.of(&["listeners", name, option]);
    let option = |option: &str| format!("listeners.{name}.{option}");
    let mut empty = |is_empty: bool, name: &str, help: &str| {
        if is_empty {
            let problem = Problem::new(format!("`{}` is missing or empty", option(name)));
            problems.push(problem.at_option(location(name), "").help(help));
        }
    };
    empty(
        listener.addresses.is_empty(),
        "addresses",
        "set the addresses to bind to: `addresses = [\"127.0.0.1:8080\"]`",
    );
    empty(listener.protocols.is_empty(), "protocols", "choose from \"http1\", \"http2\" and \"http3\"");
    empty(listener.sites().next().is_none(), "serves", "set what it serves: `serves = [\"api\"]`");
    if listener.serves(Service::Api) && listener.environments == Environments::empty() {
        problems.push(
            Problem::new(format!("`{}` is missing or empty", option("environments")))
                .at_option(location("environments"), "")
                .at_option(location("serves"), "it serves the API, so it accepts keys")
                .help("choose \"staging\", \"production\" or both"),
        );
    }
}

/// The sites of one listener are chosen by host.
fn check_sites(name: &str, listener: &Listener, locations: &Locations<'_>, problems: &mut Vec<Problem>) {
    let services: Vec<Service> = listener.sites().map(|(service, _)| service).collect();
    let location = locations.of(&["listeners", name, "serves"]);
    let option = format!("listeners.{name}.serves");
    let twice = services.iter().enumerate().find(|(index, service)| services[..*index].contains(service));
    if let Some((index, service)) = twice {
        let location = locations.of(&["listeners", name, "serves", &index.to_string()]);
        problems.push(
            Problem::new(format!("`{option}` has \"{}\" twice", service.name()))
                .at_option(location, "")
                .help("a listener serves a site once; remove one of them"),
        );
        return;
    }
    let internal = [Service::Operations, Service::Settings].into_iter().find(|site| services.contains(site));
    if let Some(internal) = internal.filter(|_| services.len() > 1) {
        let name = internal.name();
        problems.push(
            Problem::new(format!("`{option}` has \"{name}\" beside another site"))
                .at_option(location, "")
                .help(format!(
                    "{name} need a listener of their own, which responds while the others are busy"
                )),
        );
        return;
    }
    match &listener.serves {
        Serves::List(_) if services.len() > 1 => {
            let hosts =
                |service: &Service| format!("`serves.{0}.hosts = [\"{0}.example.com\"]`", service.name());
            let hosts: Vec<String> = services.iter().map(hosts).collect();
            problems.push(
                Problem::new(format!("`{option}` has more than one entry, and no hosts to tell them apart"))
                    .at_option(location, "")
                    .help(format!("write {} instead", hosts.join(" and "))),
            );
        }
        Serves::List(_) => {}
        Serves::Sites(_) => check_hosts(name, listener, locations, problems),
    }
}

/// Each of several sites has hosts, and none that is another's.
fn check_hosts(name: &str, listener: &Listener, locations: &Locations<'_>, problems: &mut Vec<Problem>) {
    if !listener.hosts.is_empty() {
        problems.push(
            Problem::new(format!("`listeners.{name}.hosts` belongs to no site"))
                .at_option(locations.of(&["listeners", name, "hosts"]), "")
                .at_option(locations.of(&["listeners", name, "serves"]), "each site has its own hosts")
                .help(format!("move them to `listeners.{name}.serves.SITE.hosts`")),
        );
    }
    let is_alone = listener.sites().count() == 1;
    let mut owners: HashMap<&str, (Service, Location)> = HashMap::new();
    for (service, hosts) in listener.sites() {
        let option = format!("listeners.{name}.serves.{}.hosts", service.name());
        let of = |index: &str| locations.of(&["listeners", name, "serves", service.name(), "hosts", index]);
        if hosts.is_empty() && !is_alone {
            problems.push(
                Problem::new(format!("`{option}` is missing or empty"))
                    .at_option(locations.of(&["listeners", name, "serves", service.name()]), "")
                    .help("the sites of one listener are chosen by host, so each needs its own"),
            );
        }
        for (index, host) in hosts.iter().enumerate() {
            let location = of(&index.to_string());
            match owners.get(host.as_str()) {
                Some((owner, other)) if *owner != service => problems.push(
                    Problem::new(format!("`{option}`: \"{host}\" is a host of `{}` too", owner.name()))
                        .at_option(location, "")
                        .at_option(other.clone(), "also listed here")
                        .help("the sites of one listener are chosen by host; remove one of them"),
                ),
                Some(_) => {}
                None => {
                    owners.insert(host, (service, location));
                }
            }
        }
    }
}

fn check_certificates(
    name: &str,
    listener: &Listener,
    config: &Config,
    locations: &Locations<'_>,
    problems: &mut Vec<Problem>,
) {
    let option = format!("listeners.{name}.certificate");
    if listener.certificate.is_empty() && listener.protocols.contains(&Protocol::Http3) {
        problems.push(
            Problem::new(format!("`listeners.{name}.protocols` has \"http3\", which needs a certificate"))
                .at_option(locations.of(&["listeners", name, "protocols"]), "")
                .at_option(locations.of(&["listeners", name, "certificate"]), "no certificate is set")
                .help("set a certificate, or remove \"http3\""),
        );
    }
    for (index, certificate) in listener.certificate.iter().enumerate() {
        let location = locations.of(&["listeners", name, "certificate", &index.to_string()]);
        if listener.certificate[..index].contains(certificate) {
            problems.push(
                Problem::new(format!("`{option}` has \"{certificate}\" twice"))
                    .at_option(location, "")
                    .help("remove one of them"),
            );
            continue;
        }
        if certificate == LOCAL || config.certificates.contains_key(certificate) {
            continue;
        }
        let names = config.certificates.keys().map(String::as_str).chain([LOCAL]);
        let help = match closest(certificate, names) {
            _ if certificate.is_empty() => {
                "remove it; cleartext and TLS need listeners of their own".to_owned()
            }
            Some(closest) => format!("did you mean \"{closest}\"?"),
            None if !is_name(certificate) => format!(
                "this is the name of a section: write `certificate = \"partners\"`, and below `[certificates.partners]` write `chain_file = {0}` and the `key_file` that belongs to it",
                toml::Value::from(certificate.as_str())
            ),
            None => format!(
                "define it in `[certificates.{certificate}]`, or use \"{LOCAL}\", or \"\" for cleartext"
            ),
        };
        problems.push(
            Problem::new(format!("`{option}`: there is no certificate \"{certificate}\""))
                .at_option(location, "")
                .help(help),
        );
    }
}

/// Two listeners cannot bind the same address, unless one takes only TCP and the other only UDP.
fn check_addresses(config: &Config, locations: &Locations<'_>, problems: &mut Vec<Problem>) {
    let mut taken: HashMap<(SocketAddr, bool), Location> = HashMap::new();
    for (name, listener) in config.listeners.iter().filter(|(_, listener)| listener.enabled) {
        let udp = listener.protocols.contains(&Protocol::Http3);
        let tcp = listener.protocols.iter().any(|protocol| *protocol != Protocol::Http3);
        for (index, address) in
            listener.addresses.iter().enumerate().filter(|(_, address)| address.port() != 0)
        {
            let location = locations.of(&["listeners", name, "addresses", &index.to_string()]);
            let transports = [(tcp, false), (udp, true)].into_iter().filter(|(used, _)| *used);
            let clashes: Vec<_> = transports
                .filter_map(|(_, is_udp)| taken.insert((*address, is_udp), location.clone()))
                .collect();
            if let Some(other) = clashes.into_iter().next() {
                problems.push(
                    Problem::new(format!("`listeners.{name}.addresses`: {address} is bound twice"))
                        .at_option(location, "")
                        .at_option(other, "also bound here"),
                );
            }
        }
    }
}
