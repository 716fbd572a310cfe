//! Identity providers: what a provider must have, and what only makes sense with something else.

use std::collections::HashMap;

use super::{Config, Locations, Problem, duration_text, is_name};

/// The scope without which a provider issues no id token (OpenID Connect Core §3.1.2.1).
const OPENID: &str = "openid";

/// Reports providers that cannot work.
pub(super) fn check(config: &Config, locations: &Locations<'_>, problems: &mut Vec<Problem>) {
    let mut known = HashMap::new();
    for (name, provider) in &config.identity.providers {
        let of = |option: &str| locations.of(&["identity", "providers", name, option]);
        let path = format!("identity.providers.{name}");
        if !is_name(name) {
            let message =
                format!("`identity.providers`: \"{name}\" is not a name: 1 to 32 of a-z, 0-9, `_` and `-`");
            problems
                .push(Problem::new(message).at_option(locations.of(&["identity", "providers", name]), ""));
        }
        for (option, value, help) in [
            (
                "issuer",
                &provider.issuer,
                "write the provider's `iss` exactly, such as \"https://id.example.com\"",
            ),
            (
                "audience",
                &provider.audience,
                "write what the provider puts in `aud` of sessions for this API: without it, a session that was made for any other API would be accepted",
            ),
        ] {
            if value.is_empty() {
                problems.push(
                    Problem::new(format!("`{path}.{option}` is missing or empty"))
                        .at_option(of(option), "")
                        .help(help),
                );
            }
        }
        if provider.algorithms.is_empty() {
            problems.push(
                Problem::new(format!("`{path}.algorithms` is empty, so no session can be verified"))
                    .at_option(of("algorithms"), "")
                    .help("leave it out for the default"),
            );
        }
        if provider.organization_claim.is_empty() && !provider.organizations.is_empty() {
            problems.push(
                Problem::new(format!("`{path}.organizations` is set, but no claim has their values"))
                    .at_option(of("organizations"), "")
                    .help(format!("set `{path}.organization_claim`")),
            );
        }
        if provider.client_id.is_empty() && !provider.client_secret_file.as_os_str().is_empty() {
            problems.push(
                Problem::new(format!("`{path}.client_secret_file` is set, but no client id"))
                    .at_option(of("client_secret_file"), "")
                    .help(format!("set `{path}.client_id`, with which people sign in in a browser")),
            );
        }
        if !provider.client_id.is_empty() && !provider.scopes.iter().any(|scope| scope == OPENID) {
            problems.push(
                Problem::new(format!("`{path}.scopes` lacks \"{OPENID}\""))
                    .at_option(of("scopes"), "")
                    .help("without it the provider says nothing about who signed in"),
            );
        }
        if provider.refresh_interval_min > provider.refresh_interval {
            let [min, interval] =
                [provider.refresh_interval_min, provider.refresh_interval].map(|time| duration_text(&time));
            problems.push(
                Problem::new(format!(
                    "`{path}.refresh_interval_min` must be at most `{path}.refresh_interval`: it is {min}, the other {interval}"
                ))
                .at_option(of("refresh_interval_min"), "")
                .at_option(of("refresh_interval"), ""),
            );
        }
        // A session must belong to exactly one provider: its environment follows from it.
        let identity = (provider.issuer.as_str(), provider.audience.as_str());
        if let Some(other) = known.insert(identity, name).filter(|_| !provider.issuer.is_empty()) {
            problems.push(
                Problem::new(format!(
                    "`{path}` has the issuer and the audience of `identity.providers.{other}`"
                ))
                .at_option(of("audience"), "")
                .at_option(locations.of(&["identity", "providers", other, "audience"]), "the same here")
                .help("give each an audience of its own, or remove one of them"),
            );
        }
    }
}
