//! What a start prints: the listeners and, the first time, the keys or where they are.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;

use anyhow::Context as _;
use permissions::{Environment, Environments};
use serde_json::Value;

use super::listen::LOCAL;
use super::local::Panel;
use crate::config::{self, Config, FirstKeys, Service};
use crate::folder::{DataFolder, replace_private};
use crate::provisioning::{Created, FIRST_PARTNER, FirstLaunch};

/// Whether the first launch is to create keys.
pub(super) fn wants_keys(config: &Config) -> bool {
    config.first_launch.keys != FirstKeys::None
}

/// Prints to standard output. The keys of the first launch are printed only where a person reads that, or where the
/// configuration says so; otherwise each is written to a private file of the data folder.
///
/// # Errors
/// Keys were created that could be neither printed nor written. Without keys, a closed output is ignored.
pub(super) fn print(
    config: &Config,
    description: &Value,
    first_launch: Option<&FirstLaunch>,
    panel: Option<&Panel>,
    folder: &DataFolder,
) -> anyhow::Result<()> {
    let mut output = std::io::stdout().lock();
    let show = match config.first_launch.keys {
        FirstKeys::Auto => output.is_terminal(),
        FirstKeys::Show => true,
        FirstKeys::File | FirstKeys::None => false,
    };
    const LOST: &str =
        "the keys of the first launch are lost; create others with `partner-gateway key create`";
    if let Some(keys) = first_launch.filter(|_| !show) {
        for (environment, key) in by_environment(keys) {
            let file = folder.first_key(environment);
            let field = zeroize::Zeroizing::new(format!("Authorization: Bearer {}\n", key.secret.expose()));
            replace_private(&file, field.as_bytes())
                .with_context(|| format!("cannot write {}", file.display()))
                .context(LOST)?;
        }
    }
    let mut text = text(config, description, first_launch.map(|keys| (keys, show)), folder);
    if let Some(panel) = panel {
        text.push_str(&local(config, description, panel, output.is_terminal(), folder));
    }
    let printed = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    if first_launch.is_some() && show { printed.context(LOST) } else { Ok(()) }
}

fn by_environment(keys: &FirstLaunch) -> [(Environment, &Created); 2] {
    [(Environment::Staging, &keys.staging), (Environment::Production, &keys.production)]
}

fn text(
    config: &Config,
    description: &Value,
    first_launch: Option<(&FirstLaunch, bool)>,
    folder: &DataFolder,
) -> String {
    let mut text = format!("Partner Gateway {} is serving.\n\n", env!("CARGO_PKG_VERSION"));
    let listeners: Vec<&Value> = description["listeners"].as_array().into_iter().flatten().collect();
    for listener in &listeners {
        let list = |member: &str| -> String {
            let items = listener[member].as_array().into_iter().flatten().filter_map(Value::as_str);
            items.collect::<Vec<_>>().join(", ")
        };
        let sites = sites(config, listener);
        for (service, hosts) in &sites {
            // What tells several sites apart.
            let hosts = if sites.len() > 1 { format!("   {}", hosts.join(", ")) } else { String::new() };
            let (url, service) = (url(listener), service.name());
            let _ = writeln!(text, "  {url:<30} {service:<12} {}{hosts}", list("protocols"));
        }
    }
    let _ = writeln!(text, "  data folder                    {}", folder.path().display());
    let mut enabled = config.listeners.values().filter(|listener| listener.enabled);
    if enabled.any(|listener| listener.certificate.iter().any(|name| name == LOCAL)) {
        let file = folder.authority_certificate();
        let _ = writeln!(text, "  certificate authority          {}", file.display());
    }
    text.push('\n');
    let Some((keys, show)) = first_launch else { return text };
    let place = if show {
        "printed only now; store them"
    } else {
        "in files that only this user can read, as a\nheader field for `curl -H @FILE`; move them to where you keep secrets"
    };
    let _ = writeln!(
        text,
        "First launch: created the partner `{FIRST_PARTNER}` with a key for each environment. The keys are\n{place}.\n"
    );
    for (environment, key) in by_environment(keys) {
        let _ = match show {
            true => writeln!(text, "  {environment:<10}  {}", key.secret.expose()),
            false => writeln!(text, "  {environment:<10}  {}", folder.first_key(environment).display()),
        };
    }
    if let Some((environment, curl, url)) = curl(config, &listeners, folder) {
        let _ = if show {
            // The key is pasted into a prompt: it is then neither in the shell's history nor in a list of processes.
            writeln!(
                text,
                "\nTry it (the first line waits for you to paste the {environment} key):\n\n  read -r KEY\n  \
                 printf 'Authorization: Bearer %s\\n' \"$KEY\" | {curl} -H @- {url}"
            )
        } else {
            let file = quoted(&format!("@{}", folder.first_key(environment).display()));
            writeln!(text, "\nTry it:\n\n  {curl} -H {file} {url}")
        };
    }
    let hosts_of_docs = |listener: &&Value| {
        let hosts = sites(config, listener).into_iter().find(|(service, _)| *service == Service::Docs)?.1;
        Some((url(listener), hosts.first().cloned()))
    };
    if let Some((url, host)) = listeners.iter().find_map(hosts_of_docs) {
        let url = host.and_then(|host| at_host(&url, &host)).unwrap_or(url);
        let _ = writeln!(text, "\nRead the documentation:\n\n  {url}/\n");
    }
    text
}

/// What the local profile says: where the token is, and the settings page. That page shows the token, so its address goes
/// to a terminal only, as a key does.
fn local(
    config: &Config,
    description: &Value,
    panel: &Panel,
    is_terminal: bool,
    folder: &DataFolder,
) -> String {
    let made = if panel.is_token_new { "was made; it is" } else { "is" };
    let file = folder.local_token();
    let mut text = format!(
        "Local profile: the token {made} in a file that only this user can read.\n\n  {}\n\n",
        file.display()
    );
    let listeners: Vec<&Value> = description["listeners"].as_array().into_iter().flatten().collect();
    match curl(config, &listeners, folder) {
        Some((_, curl, url)) => {
            let file = quoted(&file.display().to_string());
            let _ = writeln!(
                text,
                "Try it:\n\n  printf 'Authorization: Bearer %s\\n' \"$(cat {file})\" | {curl} -H @- {url}\n"
            );
        }
        None => text.push_str("The API is switched off; `partner-gateway local on` switches it on.\n\n"),
    }
    let page = if is_terminal { &panel.url } else { "`partner-gateway local panel` prints its address" };
    let _ = writeln!(text, "Settings (port, token, on and off):\n\n  {page}\n");
    text
}

/// The sites of a listener of the description, each with the hosts that the configuration gives it.
fn sites<'c>(config: &'c Config, listener: &Value) -> Vec<(Service, &'c [String])> {
    let settings = listener["name"].as_str().and_then(|name| config.listeners.get(name));
    settings.into_iter().flat_map(config::Listener::sites).collect()
}

/// A URL with this host in place of its own.
fn at_host(url: &str, host: &str) -> Option<String> {
    let (scheme, authority) = url.split_once("://")?;
    let (_, port) = authority.rsplit_once(':')?;
    Some(format!("{scheme}://{host}:{port}"))
}

fn url(listener: &Value) -> String {
    let scheme = if listener["tls"] == true { "https" } else { "http" };
    format!("{scheme}://{}", listener["address"].as_str().unwrap_or_default())
}

/// The environment, the command and the URL of a call that works: over TLS where the local certificate is served, else
/// in cleartext.
fn curl(config: &Config, listeners: &[&Value], folder: &DataFolder) -> Option<(Environment, String, String)> {
    let settings = |listener: &Value| config.listeners.get(listener["name"].as_str()?);
    let usable = |certificate: &[&str]| {
        listeners.iter().find(|listener| {
            settings(listener)
                .is_some_and(|settings| settings.serves(Service::Api) && settings.certificate == certificate)
        })
    };
    let listener = usable(&[LOCAL]).or_else(|| usable(&[]))?;
    let settings = settings(listener)?;
    let hosts = settings.hosts_of(Service::Api);
    let address: SocketAddr = listener["address"].as_str()?.parse().ok()?;
    let host = match hosts.first() {
        // The name may resolve to another machine here, but no other name is served.
        Some(host) if !hosts.iter().any(|host| host == "localhost") => host.clone(),
        _ if address.ip().is_loopback() || address.ip().is_unspecified() => "localhost".to_owned(),
        _ => address.ip().to_string(),
    };
    let host = if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host };
    let is_staging = settings.environments.contains(Environments::STAGING);
    let environment = if is_staging { Environment::Staging } else { Environment::Production };
    let (scheme, curl) = if settings.certificate == [LOCAL] {
        let file = quoted(&folder.authority_certificate().display().to_string());
        ("https", format!("curl --cacert {file}"))
    } else {
        ("http", "curl".to_owned())
    };
    let version = versions::RELEASES.last()?.version;
    Some((environment, curl, format!("{scheme}://{host}:{}/{version}/ping.json", address.port())))
}

/// Text as one word of a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
