//! Tests of the configuration: the defaults, the reloadable options, and arbitrary input.

mod days;
mod identity;
mod problems;
mod risks;
mod sites;
mod sources;

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// Reads one document over the defaults, without a file.
fn read_text(text: &str) -> Result<Config, ConfigError> {
    let mut texts = Texts::default();
    let mut problems = Vec::new();
    let mut layers = layers::gather(DEFAULTS, &Sources::default(), &mut texts, &mut problems);
    texts.add("test.toml".to_owned(), text.to_owned());
    layers.push((texts.last(), Form::Document));
    match read(&layers, &texts, &mut problems) {
        Some(config) if problems.is_empty() => Ok(config),
        _ => Err(ConfigError::new(texts, problems)),
    }
}

fn defaults() -> Config {
    Config::load(&Sources::default()).unwrap()
}

/// The options of the defaults file: its dotted name, and the comment above it.
fn documented_options() -> Vec<(String, String)> {
    let mut options = Vec::new();
    let (mut section, mut comment, mut in_comment) = (String::new(), String::new(), false);
    for line in DEFAULTS.lines() {
        let is_comment = line.starts_with('#');
        if is_comment && !in_comment || line.is_empty() {
            comment.clear();
        }
        if is_comment {
            comment.push_str(line);
            comment.push('\n');
        } else if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']').to_owned();
            options.push((format!("{section}."), comment.clone()));
        } else if let Some((name, _)) = line.split_once(" = ") {
            options.push((format!("{section}.{name}"), comment.clone()));
        }
        in_comment = is_comment;
    }
    options
}

fn names_of(prefix: &str, table: &toml::Table, names: &mut BTreeSet<String>) {
    for (name, value) in table {
        let name = format!("{prefix}{name}");
        match value {
            toml::Value::Table(inner) => names_of(&format!("{name}."), inner, names),
            _ => {
                names.insert(name);
            }
        }
    }
}

#[test]
fn the_defaults_are_those_of_the_file() {
    let config = defaults();
    assert_eq!(config.api.realm, "partner-api");
    assert_eq!(config.listeners["https"].addresses[1].to_string(), "[::1]:8443");
    assert_eq!(config.listeners["https"].protocols, [Protocol::Http1, Protocol::Http2, Protocol::Http3]);
    assert_eq!(config.tls.minimum_version, TlsVersion::V1_2);
    assert_eq!(config.limits.key_rate.to_string(), "500/s+1000");
    assert_eq!(config.limits.header_bytes_max, 16 << 10);
    assert_eq!(config.limits.failure_addresses_max, 65_536);
    assert_eq!(config.timeouts.idle, Duration::from_secs(75));
    assert_eq!(config.store.change_interval, Duration::from_millis(20));
    assert_eq!(config.log.format, Format::Auto);
    assert!((1..=1024).contains(&config.runtime.worker_count()));
}

#[test]
fn every_file_of_the_config_directory_loads() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../config");
    let mut files = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let file = entry.unwrap().path();
        let sources = Sources { file: Some(file.clone()), ..Sources::default() };
        let config = Config::load(&sources).unwrap_or_else(|error| panic!("{}\n{error}", file.display()));
        if file.ends_with("local.toml") {
            assert_eq!(config.api.invalid_token_message, "missing or invalid bearer token");
            assert!(!config.listeners["https"].enabled);
            assert_eq!(config.listeners["http"].hosts, ["127.0.0.1", "localhost"]);
        }
        files += 1;
    }
    assert!(files >= 4);
}

#[test]
fn every_option_has_a_comment() {
    let options = documented_options();
    let listener = &options.iter().find(|(name, _)| name == "listeners.http.").unwrap().1;
    for (name, comment) in options.iter().filter(|(name, _)| !name.ends_with('.')) {
        match name.strip_prefix("listeners.").and_then(|name| name.split_once('.')) {
            Some((_, option)) => {
                assert!(
                    listener.contains(&format!(" {option} ")) || listener.contains(&format!("`{option} ="))
                );
            }
            None => assert!(!comment.is_empty(), "{name} has no comment"),
        }
    }
}

#[test]
fn every_field_is_in_the_file_and_every_option_has_a_field() {
    let (mut fields, mut options) = (BTreeSet::new(), BTreeSet::new());
    names_of("", &toml::Table::try_from(defaults()).unwrap(), &mut fields);
    names_of("", &DEFAULTS.parse().unwrap(), &mut options);
    assert_eq!(fields, options);
}

#[test]
fn every_option_that_a_reload_applies_is_marked_in_the_file() {
    let marked: BTreeSet<_> = documented_options()
        .into_iter()
        .filter(|(name, comment)| {
            let section = name == "certificates." || name == "versions.";
            comment.contains("(reload)") && (!name.ends_with('.') || section)
        })
        .map(|(name, _)| name)
        .collect();
    assert_eq!(marked, reload::RELOADABLE.iter().map(ToString::to_string).collect());
}

#[test]
fn only_options_that_need_a_restart_are_listed() {
    let old = defaults();
    assert!(differences_needing_restart(&old, &old).is_empty());
    let new = read_text(
        "[limits]\nkey_rate = \"5/s\"\nquic_handshakes_max = 200\n[log]\nlevel = \"debug\"\nformat = \"text\"\n\
         [listeners.http]\naddresses = [\"127.0.0.1:1\"]\n[listeners.new]\naddresses = [\"127.0.0.1:2\"]\n\
         serves = [\"operations\"]\n[certificates.a]\nchain_file = \"c\"\nkey_file = \"k\"\n",
    );
    assert_eq!(
        differences_needing_restart(&old, &new.unwrap()),
        ["limits.quic_handshakes_max", "listeners.http.addresses", "listeners.new", "log.format"]
    );
}

#[test]
fn a_configuration_that_is_printed_loads_again() {
    let changed = "[api]\nbrand = \"acme\"\n[listeners.https]\ntrusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n\
         hosts = [\"API.Example.com\"]\ncertificate = \"own\"\n[certificates.own]\nchain_file = \"c\"\nkey_file = \"k\"\n\
         [limits]\nheader_bytes_max = 5001\nuri_bytes_max = \"1kB\"\nbody_bytes_max = 0\n\
         [timeouts]\nidle = \"1h 2m 3s 4ms\"\n[drain]\nannounce = \"0s\"\n";
    let sites = "[listeners.https]\ncertificate = [\"local\", \"own\"]\nserves.api.hosts = [\"a.example\"]\n\
         serves.docs.hosts = [\"b.example\"]\n[certificates.own]\nchain_file = \"c\"\nkey_file = \"k\"\n";
    for config in [defaults(), read_text(changed).unwrap(), read_text(sites).unwrap()] {
        let printed = toml::to_string(&config).unwrap();
        assert_eq!(read_text(&printed).unwrap(), config, "{printed}");
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&json).unwrap(), config);
    }
}

#[test]
fn a_new_listener_gets_defaults_for_missing_options() {
    let text = "[listeners.extra]\naddresses = [\"127.0.0.1:9000\"]\nserves = [\"operations\"]\n";
    let listener = &read_text(text).unwrap().listeners["extra"];
    assert!(listener.enabled);
    assert_eq!(listener.protocols, [Protocol::Http1, Protocol::Http2]);
    assert_eq!((listener.certificate.len(), listener.alt_svc_port), (0, 0));
}

/// Text that resembles a configuration closely enough to reach every part of the reader.
fn mutated_defaults() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "\\PC{0,8}",
        "[\\x00-\\x7f]{0,4}",
        Just("\u{feff}".to_owned()),
        Just("[[listeners.http]]\n".to_owned()),
        Just("-1".to_owned()),
        Just("99999999999999999999999999999999999999999999".to_owned()),
        Just("\"ä\u{1f600}\"".to_owned()),
        Just("{}".to_owned()),
        Just("\r\n".to_owned()),
        Just("nan".to_owned()),
        Just("1979-05-27".to_owned()),
    ];
    let edit = (any::<prop::sample::Index>(), 0_usize..24, piece);
    prop::collection::vec(edit, 1..4).prop_map(|edits| {
        let mut text = DEFAULTS.to_owned();
        for (at, removed, piece) in edits {
            let start = text.floor_char_boundary(at.index(text.len()));
            let end = text.ceil_char_boundary((start + removed).min(text.len()));
            text.replace_range(start..end, &piece);
        }
        text
    })
}

/// Reads a text and prints its problems: neither may panic. What loads is the same when it is printed and read.
fn read_and_print(text: &str) {
    match read_text(text) {
        Ok(config) => assert_eq!(read_text(&toml::to_string(&config).unwrap()).unwrap(), config),
        Err(error) => {
            assert!(!error.problems().is_empty());
            assert!(!error.render(true).is_empty() && !error.render(false).contains('\u{1b}'));
        }
    }
}

#[test]
fn an_unspecified_ipv6_address_accepts_ipv4_where_nothing_else_does() {
    let other = |addresses: &str| format!("[listeners.http]\naddresses = {addresses}\n");
    for (addresses, more, expected) in [
        ("[\"[::]:443\"]", String::new(), true),
        ("[\"[::]:0\"]", String::new(), true),
        ("[\"[::1]:443\"]", String::new(), false),
        ("[\"0.0.0.0:443\", \"[::]:443\"]", String::new(), false),
        ("[\"0.0.0.0:0\", \"[::]:0\"]", String::new(), false),
        ("[\"0.0.0.0:80\", \"[::]:443\"]", String::new(), true),
        ("[\"[::]:443\"]", other("[\"127.0.0.1:443\"]"), false),
        ("[\"[::]:443\"]", other("[\"127.0.0.1:443\"]\nenabled = false"), true),
        ("[\"[::]:0\"]", other("[\"127.0.0.1:0\"]"), true),
    ] {
        let config = read_text(&format!("{more}[listeners.https]\naddresses = {addresses}\n")).unwrap();
        let listener = &config.listeners["https"];
        let address = *listener.addresses.last().unwrap();
        assert_eq!(config.accepts_both_families(listener, address), expected, "{addresses} {more}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,80}") {
        read_and_print(&text);
    }

    #[test]
    fn any_value_is_read_or_refused(option in any::<prop::sample::Index>(), value in "\\PC{0,24}") {
        let options = documented_options();
        let (name, _) = &options[option.index(options.len())];
        let name = name.trim_end_matches('.');
        read_and_print(&format!("{name} = {value}"));
        let flags = vec![(name.to_owned(), value.clone())];
        let variable = format!("GATEWAY__{}", name.replace('.', "__").to_uppercase());
        for sources in [
            Sources { flags, ..Sources::default() },
            Sources { environment: vec![(variable, value)], ..Sources::default() },
        ] {
            if let Err(error) = Config::load(&sources) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }

    #[test]
    fn any_mutation_of_the_defaults_is_read_or_refused(text in mutated_defaults()) {
        read_and_print(&text);
    }
}
