//! Options against each other: what the type of a single value cannot express.
//!
//! Only enabled listeners are checked, because a disabled one is often incomplete.

mod identity;
mod listeners;
mod mail;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use versions::RELEASES;

use super::diagnostics::{Location, Problem, Span, closest};
use super::values::duration_text;
use super::{Config, Listener, Service};

/// The certificate that the first launch creates; the configuration cannot define another of this name.
const LOCAL: &str = "local";

/// Reports all options that contradict each other.
pub(super) fn check(config: &Config, tree: &DeTable<'_>, problems: &mut Vec<Problem>) {
    let locations = Locations(tree);
    listeners::check(config, &locations, problems);
    check_names(config, &locations, problems);
    check_certificates(config, &locations, problems);
    check_order(config, &locations, problems);
    check_versions(config, &locations, problems);
    identity::check(config, &locations, problems);
    mail::check(config, &locations, problems);
    let serves_api = |listener: &Listener| listener.enabled && listener.serves(Service::Api);
    if !config.listeners.values().any(serves_api) {
        let switches = config.listeners.keys().map(|name| locations.of(&["listeners", name, "enabled"]));
        let highest = switches.max_by_key(|location| location.span.start).unwrap_or_default();
        problems.push(
            Problem::new("no enabled listener serves the API")
                .at_option(highest, "")
                .help("one listener needs `enabled = true` and `serves = [\"api\"]`"),
        );
    }
}

/// Names are used in logs, metrics and environment variables, so they are limited to characters that need no escaping.
fn check_names(config: &Config, locations: &Locations<'_>, problems: &mut Vec<Problem>) {
    let listeners = config.listeners.keys().map(|name| ("listeners", name));
    let certificates = config.certificates.keys().map(|name| ("certificates", name));
    for (section, name) in listeners.chain(certificates) {
        let message = if !is_name(name) {
            format!("`{section}`: \"{name}\" is not a name: 1 to 32 of a-z, 0-9, `_` and `-`")
        } else if section == "certificates" && name == LOCAL {
            format!(
                "`{section}`: \"{LOCAL}\" is the certificate that the first launch creates; choose another name"
            )
        } else {
            continue;
        };
        problems.push(Problem::new(message).at_option(locations.of(&[section, name]), ""));
    }
}

fn is_name(name: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    (1..=32).contains(&name.len()) && name.bytes().all(plain)
}

fn check_certificates(config: &Config, locations: &Locations<'_>, problems: &mut Vec<Problem>) {
    for (name, certificate) in &config.certificates {
        for (option, file) in [("chain_file", &certificate.chain_file), ("key_file", &certificate.key_file)] {
            if file.as_os_str().is_empty() {
                problems.push(
                    Problem::new(format!("`certificates.{name}.{option}` is missing or empty"))
                        .at_option(locations.of(&["certificates", name, option]), "")
                        .help("a certificate needs `chain_file` and `key_file`, both PEM"),
                );
            }
        }
    }
}

/// Days must be of existing versions, and in the order of a version's life cycle.
fn check_versions(config: &Config, locations: &Locations<'_>, problems: &mut Vec<Problem>) {
    for name in config.versions.keys() {
        let location = locations.of(&["versions", name]);
        let existing: Vec<String> = RELEASES.iter().map(|release| release.version.to_string()).collect();
        let Some(release) = RELEASES.iter().find(|release| release.version.to_string() == *name) else {
            let help = match closest(name, existing.iter().map(String::as_str)) {
                Some(closest) => format!("did you mean `{closest}`?"),
                None => format!("the versions are {}", existing.join(", ")),
            };
            problems.push(
                Problem::new(format!("`versions`: there is no version `{name}`"))
                    .at_option(location, "")
                    .help(help),
            );
            continue;
        };
        if let Err(error) = release.lifecycle.with(config.days(release.version)) {
            problems.push(Problem::new(format!("`versions.{name}`: {error}")).at_option(location, ""));
        }
    }
}

/// Options that bound each other.
fn check_order(config: &Config, locations: &Locations<'_>, problems: &mut Vec<Problem>) {
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
                .at_option(locations.of(&[section, option]), value.clone())
                .at_option(locations.of(&[other_section, other]), limit.clone()),
            );
        }
    }
}

/// Finds where options are set in the merged tree.
struct Locations<'a>(&'a DeTable<'a>);

impl Locations<'_> {
    /// The location of an option, or of the innermost section around it where it is not set.
    fn of(&self, path: &[&str]) -> Location {
        let option = path.iter().map(|name| (*name).to_owned()).collect();
        Location { span: self.span(path).unwrap_or(0..0), option }
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
