//! Which options go together: what no single value can say about itself.
//!
//! Only listeners that are switched on are judged, because one that is off is often half-written.

use std::collections::HashMap;
use std::net::SocketAddr;

use permissions::Environments;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use versions::RELEASES;

use super::diagnostics::{Place, Problem, Span, near};
use super::sections::{Config, Listener, Protocol, Service};
use super::values::duration_text;

/// The certificate that the first launch makes; no file can define another of this name.
const LOCAL: &str = "local";

/// Reports everything that does not go together.
pub(super) fn check(config: &Config, tree: &DeTable<'_>, problems: &mut Vec<Problem>) {
    let places = Places(tree);
    for (name, listener) in config.listeners.iter().filter(|(_, listener)| listener.enabled) {
        check_listener(name, listener, config, &places, problems);
    }
    check_addresses(config, &places, problems);
    check_names(config, &places, problems);
    check_certificates(config, &places, problems);
    check_order(config, &places, problems);
    check_versions(config, &places, problems);
    let serves_api = |listener: &Listener| listener.enabled && listener.serves.contains(&Service::Api);
    if !config.listeners.values().any(serves_api) {
        let switches = config.listeners.keys().map(|name| places.of(&["listeners", name, "enabled"]));
        let highest = switches.max_by_key(|place| place.span.start).unwrap_or_default();
        problems.push(
            Problem::new("no listener that is switched on serves the API")
                .at_option(highest, "")
                .help("one listener needs `enabled = true` and `serves = [\"api\"]`"),
        );
    }
}

/// Names stand in logs, metrics and the environment, so they are made of what is plain in all of them.
fn check_names(config: &Config, places: &Places<'_>, problems: &mut Vec<Problem>) {
    let listeners = config.listeners.keys().map(|name| ("listeners", name));
    let certificates = config.certificates.keys().map(|name| ("certificates", name));
    for (section, name) in listeners.chain(certificates) {
        let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        let message = if !(1..=32).contains(&name.len()) || !name.bytes().all(plain) {
            format!("`{section}`: \"{name}\" is no name; it is 1 to 32 of a-z, 0-9, `_` and `-`")
        } else if section == "certificates" && name == LOCAL {
            format!(
                "`{section}`: \"{LOCAL}\" is the certificate that the first launch makes; choose another name"
            )
        } else {
            continue;
        };
        problems.push(Problem::new(message).at_option(places.of(&[section, name]), ""));
    }
}

fn check_listener(
    name: &str,
    listener: &Listener,
    config: &Config,
    places: &Places<'_>,
    problems: &mut Vec<Problem>,
) {
    let place = |option: &str| places.of(&["listeners", name, option]);
    let option = |option: &str| format!("listeners.{name}.{option}");
    let mut empty = |is_empty: bool, name: &str, help: &str| {
        if is_empty {
            let problem = Problem::new(format!("`{}` is missing or empty", option(name)));
            problems.push(problem.at_option(place(name), "").help(help));
        }
    };
    empty(
        listener.addresses.is_empty(),
        "addresses",
        "say where it binds: `addresses = [\"127.0.0.1:8080\"]`",
    );
    empty(listener.protocols.is_empty(), "protocols", "choose of \"http1\", \"http2\" and \"http3\"");
    empty(listener.serves.is_empty(), "serves", "say what it serves: `serves = [\"api\"]`");
    let api = listener.serves.contains(&Service::Api);
    if api && listener.environments == Environments::empty() {
        problems.push(
            Problem::new(format!("`{}` is missing or empty", option("environments")))
                .at_option(place("environments"), "")
                .at_option(place("serves"), "the API is served, so keys are accepted")
                .help("choose \"staging\", \"production\" or both"),
        );
    }
    if listener.serves.len() > 1 {
        problems.push(
            Problem::new(format!("`{}` names more than one thing", option("serves")))
                .at_option(place("serves"), "")
                .help("the API, the documentation and operations each need a listener of their own"),
        );
    }
    let certificate = listener.certificate.as_str();
    if certificate.is_empty() && listener.protocols.contains(&Protocol::Http3) {
        problems.push(
            Problem::new(format!("`{}` has \"http3\", which needs a certificate", option("protocols")))
                .at_option(place("protocols"), "")
                .at_option(place("certificate"), "none is named here")
                .help("name a certificate, or leave \"http3\" out"),
        );
    }
    if !matches!(certificate, "" | LOCAL) && !config.certificates.contains_key(certificate) {
        let names = config.certificates.keys().map(String::as_str).chain([LOCAL]);
        let help = match near(certificate, names) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!(
                "define it in `[certificates.{certificate}]`, or use \"{LOCAL}\", or \"\" for cleartext"
            ),
        };
        problems.push(
            Problem::new(format!("`{}`: there is no certificate \"{certificate}\"", option("certificate")))
                .at_option(place("certificate"), "")
                .help(help),
        );
    }
}

/// Two listeners cannot bind the same address, unless one takes only TCP and the other only UDP.
fn check_addresses(config: &Config, places: &Places<'_>, problems: &mut Vec<Problem>) {
    let mut taken: HashMap<(SocketAddr, bool), Place> = HashMap::new();
    for (name, listener) in config.listeners.iter().filter(|(_, listener)| listener.enabled) {
        let udp = listener.protocols.contains(&Protocol::Http3);
        let tcp = listener.protocols.iter().any(|protocol| *protocol != Protocol::Http3);
        for (index, address) in
            listener.addresses.iter().enumerate().filter(|(_, address)| address.port() != 0)
        {
            let place = places.of(&["listeners", name, "addresses", &index.to_string()]);
            let transports = [(tcp, false), (udp, true)].into_iter().filter(|(used, _)| *used);
            let clashes: Vec<_> = transports
                .filter_map(|(_, is_udp)| taken.insert((*address, is_udp), place.clone()))
                .collect();
            if let Some(other) = clashes.into_iter().next() {
                problems.push(
                    Problem::new(format!("`listeners.{name}.addresses`: {address} is bound twice"))
                        .at_option(place, "")
                        .at_option(other, "also bound here"),
                );
            }
        }
    }
}

fn check_certificates(config: &Config, places: &Places<'_>, problems: &mut Vec<Problem>) {
    for (name, certificate) in &config.certificates {
        for (option, file) in [("chain_file", &certificate.chain_file), ("key_file", &certificate.key_file)] {
            if file.as_os_str().is_empty() {
                problems.push(
                    Problem::new(format!("`certificates.{name}.{option}` is missing or empty"))
                        .at_option(places.of(&["certificates", name, option]), "")
                        .help("a certificate needs `chain_file` and `key_file`, both PEM"),
                );
            }
        }
    }
}

/// Days are for versions that there are, and in the order of a version's life.
fn check_versions(config: &Config, places: &Places<'_>, problems: &mut Vec<Problem>) {
    for name in config.versions.keys() {
        let place = places.of(&["versions", name]);
        let known: Vec<String> = RELEASES.iter().map(|release| release.version.to_string()).collect();
        let Some(release) = RELEASES.iter().find(|release| release.version.to_string() == *name) else {
            let help = match near(name, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", known.join(", ")),
            };
            problems.push(
                Problem::new(format!("`versions`: there is no version `{name}`"))
                    .at_option(place, "")
                    .help(help),
            );
            continue;
        };
        if let Err(error) = release.lifecycle.with(config.days(release.version)) {
            problems.push(Problem::new(format!("`versions.{name}`: {error}")).at_option(place, ""));
        }
    }
}

/// Options of which one may not exceed the other.
fn check_order(config: &Config, places: &Places<'_>, problems: &mut Vec<Problem>) {
    let Config { limits, drain, .. } = config;
    let rules = [
        (
            limits.uri_bytes_max > limits.header_bytes_max,
            ("limits", "uri_bytes_max", format!("{} bytes", limits.uri_bytes_max)),
            ("limits", "header_bytes_max", format!("{} bytes", limits.header_bytes_max)),
            "at most",
        ),
        (
            limits.quic_retry_threshold > limits.quic_handshakes_max,
            ("limits", "quic_retry_threshold", limits.quic_retry_threshold.to_string()),
            ("limits", "quic_handshakes_max", limits.quic_handshakes_max.to_string()),
            "at most",
        ),
        (
            drain.announce >= drain.deadline,
            ("drain", "announce", duration_text(&drain.announce)),
            ("drain", "deadline", duration_text(&drain.deadline)),
            "shorter than",
        ),
    ];
    for (broken, (section, option, value), (other_section, other, limit), relation) in rules {
        if broken {
            problems.push(
                Problem::new(format!(
                    "`{section}.{option}` must be {relation} `{other_section}.{other}`: it is {value}, the other {limit}"
                ))
                .at_option(places.of(&[section, option]), value.clone())
                .at_option(places.of(&[other_section, other]), limit.clone()),
            );
        }
    }
}

/// Finds the places of options in the merged tree.
struct Places<'a>(&'a DeTable<'a>);

impl Places<'_> {
    /// The place of the option, or of the nearest section around it where it was left out.
    fn of(&self, path: &[&str]) -> Place {
        let option = path.iter().map(|name| (*name).to_owned()).collect();
        Place { span: self.span(path).unwrap_or(0..0), option }
    }

    fn span(&self, path: &[&str]) -> Option<Span> {
        let (first, rest) = path.split_first()?;
        let mut value = self.0.get(*first)?;
        for name in rest {
            let inner = match value.get_ref() {
                DeValue::Array(array) => name.parse::<usize>().ok().and_then(|index| array.get(index)),
                DeValue::Table(table) => table.get(*name),
                _ => None,
            };
            let Some(inner) = inner else { break };
            value = inner;
        }
        Some(Spanned::span(value))
    }
}
