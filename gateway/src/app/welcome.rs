//! What a start says to the person who started it: where it listens and, the first time, the keys.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::Context as _;
use permissions::Environments;
use serde_json::Value;

use super::listen::LOCAL;
use crate::config::{self, Config};
use crate::folder::DataFolder;
use crate::keys::{Created, FIRST_PARTNER, FirstLaunch};

/// Prints to standard output.
///
/// # Errors
/// Where keys were made and nobody can read them. Otherwise the process serves all the same.
pub(super) fn print(
    config: &Config,
    description: &Value,
    first_launch: Option<&FirstLaunch>,
    folder: &DataFolder,
) -> anyhow::Result<()> {
    let text = text(config, description, first_launch, folder);
    let mut output = std::io::stdout().lock();
    let printed = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    match first_launch {
        Some(_) => printed.context(
            "the keys of the first launch could not be shown; make others with `partner-gateway key create`",
        ),
        None => Ok(()),
    }
}

fn text(
    config: &Config,
    description: &Value,
    first_launch: Option<&FirstLaunch>,
    folder: &DataFolder,
) -> String {
    let mut text = format!("Partner Gateway {} is serving.\n\n", env!("CARGO_PKG_VERSION"));
    let listeners: Vec<&Value> = description["listeners"].as_array().into_iter().flatten().collect();
    for listener in &listeners {
        let scheme = if listener["tls"] == true { "https" } else { "http" };
        let list = |member: &str| -> String {
            let words = listener[member].as_array().into_iter().flatten().filter_map(Value::as_str);
            words.collect::<Vec<_>>().join(", ")
        };
        let address = format!("{scheme}://{}", listener["address"].as_str().unwrap_or_default());
        let _ = writeln!(text, "  {address:<30} {:<12} {}", list("serves"), list("protocols"));
    }
    let _ = writeln!(text, "  data folder                    {}", folder.path().display());
    let local = |listener: &config::Listener| listener.enabled && listener.certificate == LOCAL;
    if config.listeners.values().any(local) {
        let file = folder.authority_certificate();
        let _ = writeln!(text, "  certificate authority          {}", file.display());
    }
    if let Some(FirstLaunch { staging, production }) = first_launch {
        let _ = writeln!(
            text,
            "\nFirst launch: this made the partner `{FIRST_PARTNER}` with a key for each environment. They are shown\n\
             this once; keep them now.\n\n  staging     {}\n  production  {}\n",
            staging.secret.expose(),
            production.secret.expose(),
        );
        if let Some(line) = curl(config, &listeners, staging, production, folder) {
            let _ = writeln!(text, "Try it:\n\n  {line}\n");
        }
        if let Some(docs) = listeners.iter().find(|listener| listener["serves"][0] == "docs") {
            let scheme = if docs["tls"] == true { "https" } else { "http" };
            let address = docs["address"].as_str().unwrap_or_default();
            let _ = writeln!(text, "Read how to go on:\n\n  {scheme}://{address}/\n");
        }
    } else {
        text.push('\n');
    }
    text
}

/// A line that works when it is pasted: over TLS where the local certificate is served, else in cleartext.
fn curl(
    config: &Config,
    listeners: &[&Value],
    staging: &Created,
    production: &Created,
    folder: &DataFolder,
) -> Option<String> {
    let settings = |listener: &Value| config.listeners.get(listener["name"].as_str()?);
    let usable = |certificate: &str| {
        listeners.iter().find(|listener| {
            listener["serves"][0] == "api"
                && settings(listener).is_some_and(|settings| settings.certificate == certificate)
        })
    };
    let listener = usable(LOCAL).or_else(|| usable(""))?;
    let settings = settings(listener)?;
    let address: SocketAddr = listener["address"].as_str()?.parse().ok()?;
    let host = match settings.hosts.first() {
        // The name may lead elsewhere from here, but no other is answered.
        Some(host) if !settings.hosts.iter().any(|host| host == "localhost") => host.clone(),
        _ if address.ip().is_loopback() || address.ip().is_unspecified() => "localhost".to_owned(),
        _ => address.ip().to_string(),
    };
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
    let key = if settings.environments.contains(Environments::STAGING) { staging } else { production };
    let (scheme, trust) = if settings.certificate == LOCAL {
        let file = folder.authority_certificate().display().to_string().replace('\'', r"'\''");
        ("https", format!("--cacert '{file}' "))
    } else {
        ("http", String::new())
    };
    let version = versions::RELEASES.last()?.version;
    Some(format!(
        "curl {trust}-H 'Authorization: Bearer {}' {scheme}://{host}:{}/{version}/ping.json",
        key.secret.expose(),
        address.port(),
    ))
}
