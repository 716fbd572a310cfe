//! The peers that are libraries: the programs of `benches/peers`.

use std::fmt::Write as _;

use super::install;
use super::peer::{CommandLine, Files, Installed, Peer, TCP};

/// Builds the program if necessary; `library` is the crate whose version is reported.
pub(super) fn installed(peer: Peer, name: &str, library: &str) -> anyhow::Result<Installed> {
    let tool = install::program(name)?;
    let name = format!("{name} {}", install::crate_version(library)?);
    Ok(Installed { peer, name, tool, protocols: TCP.to_vec() })
}

/// Writes the file of keys.
pub(super) fn configure(files: &Files) -> anyhow::Result<CommandLine> {
    let mut keys = String::new();
    for (partner, authorization) in &files.keys {
        writeln!(keys, "{partner} {authorization}")?;
    }
    let keys = files.write("keys", &keys)?;
    let (http, https) = (files.http.to_string(), files.https.to_string());
    let (certificate, private_key) =
        (files.certificate.to_string_lossy(), files.private_key.to_string_lossy());
    Ok(CommandLine::new([
        "--http",
        &http,
        "--https",
        &https,
        "--certificate",
        &certificate,
        "--private-key",
        &private_key,
        "--keys",
        &keys,
    ]))
}
