//! Warnings about valid but risky configurations: options that expose more than was probably intended, and
//! files that others may change.

use std::fs::{self, Metadata};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use rustix::process::{getegid, geteuid};

use super::layers::{directory, files};
use super::{Certificate, Config, Listener, Mail, MailTls, Service, Sources, host_at, is_public};

/// The warnings for a configuration that was read from these sources, each in one sentence.
#[must_use]
pub fn warnings(config: &Config, sources: &Sources) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, listener) in config.listeners.iter().filter(|(_, listener)| listener.enabled) {
        check_listener(name, listener, &mut warnings);
    }
    check_public_url(config, &mut warnings);
    for (name, Certificate { key_file, .. }) in &config.certificates {
        check_secret(&format!("certificates.{name}.key_file"), key_file, "private key", &mut warnings);
    }
    for (name, provider) in &config.identity.providers {
        let option = format!("identity.providers.{name}.client_secret_file");
        check_secret(&option, &provider.client_secret_file, "client secret", &mut warnings);
    }
    check_portal(config, &mut warnings);
    check_mail(config, &mut warnings);
    check_files(sources, &mut warnings);
    warnings
}

fn check_listener(name: &str, listener: &Listener, warnings: &mut Vec<String>) {
    if let Some(all) = listener.trusted_proxies.iter().find(|network| network.prefix_len() == 0) {
        warnings.push(format!(
            "`listeners.{name}.trusted_proxies` has {all}: every client is trusted to name its own address, which defeats limits and networks of keys; list the proxies only"
        ));
    }
    let everywhere = |address: &&SocketAddr| address.ip().is_unspecified();
    let Some(address) = listener.addresses.iter().find(everywhere) else { return };
    if listener.serves(Service::Operations) {
        warnings.push(format!(
            "`listeners.{name}.addresses` has {address}: metrics and probes can be read from every network; bind to loopback or to an internal address"
        ));
    }
    // Behind a proxy that terminates TLS, cleartext stays within the operator's network.
    let behind_proxy = listener.trusted_proxies.iter().any(|network: &IpNet| network.prefix_len() > 0);
    if listener.serves(Service::Api) && listener.certificate.is_empty() && !behind_proxy {
        warnings.push(format!(
            "`listeners.{name}.addresses` has {address} without a certificate: keys cross the network in cleartext; set `listeners.{name}.certificate`, or name the proxy that terminates TLS in `listeners.{name}.trusted_proxies`"
        ));
    }
}

/// Documentation that other machines can read has to say where the API is.
fn check_public_url(config: &Config, warnings: &mut Vec<String>) {
    let addresses = |service| {
        let enabled = config.listeners.values().filter(|listener| listener.enabled);
        enabled.filter(move |listener| listener.serves(service)).flat_map(move |listener| {
            listener.addresses.iter().map(move |address| (listener.hosts_of(service), address.ip()))
        })
    };
    let docs_are_public = addresses(Service::Docs).any(|(hosts, address)| is_public(hosts, address));
    let has_host = addresses(Service::Api).any(|(hosts, address)| host_at(hosts, address, true).is_some());
    if docs_are_public && !has_host && config.api.public_url.is_empty() {
        warnings.push(
            "`api.public_url` is empty: the documentation can be read from other machines and cannot say where the API is; set `api.public_url`, or the host names of a listener that serves it"
                .to_owned(),
        );
    }
}

/// Where the portal says that it is must lead there from other machines, and over TLS.
fn check_portal(config: &Config, warnings: &mut Vec<String>) {
    let url = &config.portal.public_url;
    let is_local = |host: &str| !is_public(&[host.to_owned()], std::net::Ipv4Addr::LOCALHOST.into());
    if url.starts_with("http://") && !config.portal.host().is_some_and(|host| is_local(&host)) {
        warnings.push(
            "`portal.public_url` begins with `http://`: browsers keep no session without TLS, and codes cross the network in cleartext; use `https://`"
                .to_owned(),
        );
    }
    let mut portals =
        config.listeners.values().filter(|listener| listener.enabled && listener.serves(Service::Portal));
    let has_no_name = |listener: &Listener| {
        listener.hosts_of(Service::Portal).is_empty()
            && listener.addresses.iter().any(|address| !address.ip().is_loopback())
    };
    if url.is_empty() && portals.any(has_no_name) {
        warnings.push(
            "`portal.public_url` is empty: the portal can be read from other machines and does not know its name, to which sign-in and devices return; set `portal.public_url`, or the host names of the listener"
                .to_owned(),
        );
    }
}

fn check_secret(option: &str, file: &Path, secret: &str, warnings: &mut Vec<String>) {
    // Group permissions are common: packages have a group for certificates.
    if fs::metadata(file).is_ok_and(|metadata| metadata.mode() & 0o007 != 0) {
        let file = file.display();
        warnings.push(format!(
            "`{option}`: every user of this machine may read the {secret}; run: chmod o-rwx {file}"
        ));
    }
}

/// Links to keys are in mails.
fn check_mail(config: &Config, warnings: &mut Vec<String>) {
    let Mail { host, tls, password_file, .. } = &config.mail;
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    let is_local = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    if config.mail.is_enabled() && *tls == MailTls::None && !is_local {
        warnings.push(format!(
            "`mail.tls` is \"none\": links to keys cross the network to {host} in cleartext; set \"starttls\" or \"implicit\""
        ));
    }
    if fs::metadata(password_file).is_ok_and(|metadata| metadata.mode() & 0o007 != 0) {
        let file = password_file.display();
        warnings.push(format!(
            "`mail.password_file`: every user of this machine may read the password; run: chmod o-rwx {file}"
        ));
    }
}

/// Anyone who can write a configuration file, or add one to its directory, decides what the gateway does.
fn check_files(sources: &Sources, warnings: &mut Vec<String>) {
    let files = files(sources, &mut Vec::new());
    let mut paths: Vec<PathBuf> = directory(sources).into_iter().filter(|path| path.exists()).collect();
    paths.extend(files);
    let parents: Vec<PathBuf> = paths.iter().filter_map(|path| parent(path)).collect();
    paths.extend(parents);
    paths.sort();
    paths.dedup();
    for path in paths {
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if let Some(who) = writable_by(&metadata) {
            let path = path.display();
            warnings.push(format!(
                "{path} can be changed by {who}, who thereby can change this configuration; run: chmod go-w {path}"
            ));
        }
    }
}

fn parent(path: &Path) -> Option<PathBuf> {
    let parent = path.parent()?;
    Some(if parent.as_os_str().is_empty() { ".".into() } else { parent.to_owned() })
}

/// Who else may write a file, or create files in a directory.
fn writable_by(metadata: &Metadata) -> Option<String> {
    let (owner, group, mode) = (metadata.uid(), metadata.gid(), metadata.mode());
    // In a sticky directory, such as /tmp, nobody can replace the files of others.
    let is_sticky = metadata.is_dir() && mode & 0o1000 != 0;
    if owner != 0 && owner != geteuid().as_raw() {
        Some(format!("user {owner}"))
    } else if mode & 0o002 != 0 && !is_sticky {
        Some("every user".to_owned())
    } else if mode & 0o020 != 0 && !is_sticky && group != 0 && group != getegid().as_raw() {
        Some(format!("group {group}"))
    } else {
        None
    }
}
