//! What a start says to the person who started it: where it listens and, the first time, the keys.

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::Value;

use crate::folder::DataFolder;
use crate::keys::{Created, FIRST_PARTNER, FirstLaunch};

/// Prints to standard output. Where nobody can read it, the process serves all the same.
pub(super) fn print(description: &Value, first_launch: Option<&FirstLaunch>, folder: &DataFolder) {
    let text = text(description, first_launch, folder);
    let mut output = std::io::stdout().lock();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}

fn text(description: &Value, first_launch: Option<&FirstLaunch>, folder: &DataFolder) -> String {
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
    if let Some(FirstLaunch { staging, production }) = first_launch {
        let _ = writeln!(
            text,
            "\nFirst launch: this made the partner `{FIRST_PARTNER}` with a key for each environment. They are shown\n\
             this once; keep them now.\n\n  staging     {}\n  production  {}\n\n\
             Certificate authority of the local certificate:\n\n  {}\n\nTry it:\n\n  {}\n",
            staging.secret.expose(),
            production.secret.expose(),
            folder.authority_certificate().display(),
            curl(&listeners, staging, production, folder),
        );
    } else {
        text.push('\n');
    }
    text
}

/// A line that works when it is pasted: over TLS where the local certificate is served, else in cleartext.
fn curl(listeners: &[&Value], staging: &Created, production: &Created, folder: &DataFolder) -> String {
    let serves_api = |listener: &&&Value| listener["serves"][0] == "api";
    let tls = listeners.iter().filter(serves_api).find(|listener| listener["tls"] == true);
    let any = tls.or_else(|| listeners.iter().find(serves_api));
    let Some(listener) = any else { return String::new() };
    let port =
        listener["address"].as_str().and_then(|address| address.rsplit(':').next()).unwrap_or_default();
    let environments = listener["environments"].as_array().into_iter().flatten();
    let key = if environments.into_iter().any(|name| name == "staging") { staging } else { production };
    let (scheme, trust) = if listener["tls"] == true {
        ("https", format!("--cacert '{}' ", folder.authority_certificate().display()))
    } else {
        ("http", String::new())
    };
    format!(
        "curl {trust}-H 'Authorization: Bearer {}' {scheme}://localhost:{port}/{}/ping.json",
        key.secret.expose(),
        versions::RELEASES.last().map(|release| release.version.to_string()).unwrap_or_default(),
    )
}
