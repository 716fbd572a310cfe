//! The peers that are libraries: the programs of `benches/peers`.

use super::{Installed, Launch, PARTNER, Peer, Place, TCP, install};
use crate::answer;

/// Builds the program if need be; `library` is the crate whose version is shown.
pub(super) fn installed(peer: Peer, name: &str, library: &str) -> anyhow::Result<Installed> {
    let tool = install::program(name)?;
    let name = format!("{name} {}", install::crate_version(library)?);
    Ok(Installed { peer, name, tool, protocols: TCP.to_vec() })
}

/// Writes the file of keys.
pub(super) fn launch(place: &Place) -> anyhow::Result<Launch> {
    let keys = place.write("keys", &format!("{PARTNER} {}\n", answer::PLACEHOLDER_AUTHORIZATION))?;
    let options = [
        ("--http", place.http.to_string()),
        ("--https", place.https.to_string()),
        ("--certificate", place.certificate.display().to_string()),
        ("--private-key", place.private_key.display().to_string()),
        ("--keys", keys),
    ];
    let arguments = options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect();
    Ok(Launch { arguments, variables: Vec::new() })
}
