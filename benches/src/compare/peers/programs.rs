//! The peers that are libraries: the programs of `benches/peers`.

use super::{Launch, PARTNER, Place, TCP, install};
use crate::answer;

/// Builds the program if need be; `library` is the crate whose version is shown.
pub(super) fn launch(name: &str, library: &str, place: &Place) -> anyhow::Result<Launch> {
    let tool = install::program(name)?;
    let keys = place.write("keys", &format!("{PARTNER} {}\n", answer::PLACEHOLDER_AUTHORIZATION))?;
    let options = [
        ("--http", place.http.to_string()),
        ("--https", place.https.to_string()),
        ("--certificate", place.certificate.display().to_string()),
        ("--private-key", place.private_key.display().to_string()),
        ("--keys", keys),
    ];
    Ok(Launch {
        name: format!("{name} {}", install::crate_version(library)?),
        program: tool.program,
        arguments: options.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect(),
        variables: Vec::new(),
        protocols: TCP.to_vec(),
    })
}
