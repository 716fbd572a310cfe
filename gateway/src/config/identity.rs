//! Identity providers whose sessions are accepted, and through which people sign in.
//!
//! `config/gateway.toml` says what each option does. What a URL of a provider may look like is decided here once, for
//! the configuration and for what a provider announces itself.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use permissions::Environment;
use serde::{Deserialize, Serialize};

use super::values::{self, DAY, HOUR, Kind, MINUTE, SECOND};

/// Identity providers, and the sessions that are verified with their keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Verified sessions that each worker remembers until they expire.
    #[serde(deserialize_with = "values::count::<1, 1_048_576, _, _>")]
    pub sessions_cached_max: usize,
    /// The providers, by name.
    pub providers: BTreeMap<String, Provider>,
}

/// An identity provider (OpenID Connect).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Provider {
    /// Its identifier, exactly as it is in `iss`.
    #[serde(deserialize_with = "values::text::<ProviderUrl, _>")]
    pub issuer: String,
    /// What `aud` of a session must contain.
    #[serde(deserialize_with = "values::text::<Identifier, _>")]
    pub audience: String,
    /// Where its keys are; empty for the address that it announces.
    #[serde(deserialize_with = "values::text::<ProviderUrl, _>")]
    pub jwks_url: String,
    /// The environment of its sessions.
    pub environment: Environment,
    /// The algorithms of signatures that are accepted.
    pub algorithms: Vec<Algorithm>,
    /// How far its clock and ours may differ.
    #[serde(
        deserialize_with = "values::duration::<0, { 5 * MINUTE }, _>",
        serialize_with = "values::write_duration"
    )]
    pub clock_leeway: Duration,
    /// The claim that holds a person's organizations; empty for none.
    #[serde(deserialize_with = "values::text::<Identifier, _>")]
    pub organization_claim: String,
    /// The name or id of the organization that a value of this claim means.
    pub organizations: BTreeMap<String, String>,
    /// The domains of which verified e-mail addresses count.
    #[serde(deserialize_with = "values::list::<Domain, _>")]
    pub email_domains: Vec<String>,
    /// The client id for sign-in in a browser; empty for none.
    #[serde(deserialize_with = "values::text::<Identifier, _>")]
    pub client_id: String,
    /// The file with the client secret; empty for a public client.
    pub client_secret_file: PathBuf,
    /// The scopes that a sign-in asks for.
    #[serde(deserialize_with = "values::list::<Scope, _>")]
    pub scopes: Vec<String>,
    /// How often the keys are fetched.
    #[serde(
        deserialize_with = "values::duration::<MINUTE, DAY, _>",
        serialize_with = "values::write_duration"
    )]
    pub refresh_interval: Duration,
    /// How long after a fetch an unknown key id may cause another.
    #[serde(
        deserialize_with = "values::duration::<SECOND, HOUR, _>",
        serialize_with = "values::write_duration"
    )]
    pub refresh_interval_min: Duration,
    /// Certificate authorities to trust beside the system's, PEM; empty for none.
    pub ca_file: PathBuf,
    /// From the look-up of the provider's name to the end of the TLS handshake.
    #[serde(
        deserialize_with = "values::duration::<100, MINUTE, _>",
        serialize_with = "values::write_duration"
    )]
    pub connect_timeout: Duration,
    /// The whole of one request to the provider.
    #[serde(
        deserialize_with = "values::duration::<100, MINUTE, _>",
        serialize_with = "values::write_duration"
    )]
    pub request_timeout: Duration,
}

impl Default for Provider {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audience: String::new(),
            jwks_url: String::new(),
            environment: Environment::Staging,
            algorithms: vec![Algorithm::ES256, Algorithm::RS256, Algorithm::PS256, Algorithm::EdDSA],
            clock_leeway: Duration::from_secs(30),
            organization_claim: String::new(),
            organizations: BTreeMap::new(),
            email_domains: Vec::new(),
            client_id: String::new(),
            client_secret_file: PathBuf::new(),
            scopes: ["openid", "email", "profile"].map(str::to_owned).to_vec(),
            refresh_interval: Duration::from_secs(3600),
            refresh_interval_min: Duration::from_secs(30),
            ca_file: PathBuf::new(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(10),
        }
    }
}

/// An algorithm of signatures with a public key (RFC 7518 §3.1, RFC 8037). Those with a shared secret do not exist
/// here: anyone who can verify such a session can also make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// RSA PKCS#1 v1.5 with SHA-256.
    RS256,
    /// RSA PKCS#1 v1.5 with SHA-384.
    RS384,
    /// RSA PKCS#1 v1.5 with SHA-512.
    RS512,
    /// RSA-PSS with SHA-256.
    PS256,
    /// RSA-PSS with SHA-384.
    PS384,
    /// RSA-PSS with SHA-512.
    PS512,
    /// Ed25519.
    EdDSA,
}

impl Algorithm {
    /// All of them.
    pub(crate) const ALL: [Self; 9] = [
        Self::ES256,
        Self::ES384,
        Self::RS256,
        Self::RS384,
        Self::RS512,
        Self::PS256,
        Self::PS384,
        Self::PS512,
        Self::EdDSA,
    ];

    /// The algorithm of this name in a token.
    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Its name in a token.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ES256 => "ES256",
            Self::ES384 => "ES384",
            Self::RS256 => "RS256",
            Self::RS384 => "RS384",
            Self::RS512 => "RS512",
            Self::PS256 => "PS256",
            Self::PS384 => "PS384",
            Self::PS512 => "PS512",
            Self::EdDSA => "EdDSA",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No URL of a provider is longer.
const URL_BYTES_MAX: usize = 2048;

/// Parses a URL to which requests may go: `https`, or `http` to this machine only, where nobody listens in. It has no
/// user name, which would be sent, and no fragment, which would not.
pub(crate) fn provider_url(text: &str) -> Option<Uri> {
    let is_plain = text.len() <= URL_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"#\"\\<>`".contains(&byte));
    let uri = text.parse::<Uri>().ok().filter(|_| is_plain)?;
    let authority = uri.authority().filter(|authority| !authority.as_str().contains('@'))?;
    if authority.host().is_empty() || authority.as_str().ends_with(':') {
        return None;
    }
    let is_allowed = match uri.scheme()? {
        scheme if *scheme == Scheme::HTTPS => true,
        scheme if *scheme == Scheme::HTTP => is_loopback(authority.host()),
        _ => false,
    };
    is_allowed.then_some(uri)
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// A URL of a provider, kept exactly as it is written, because issuers are compared byte by byte.
enum ProviderUrl {}

impl Kind for ProviderUrl {
    type Value = String;
    const EXPECTED: &str = "a URL such as `https://id.example.com`, exactly as the provider writes it; `http://` is accepted only for this machine, such as `http://127.0.0.1:4000`";

    fn read(text: &str) -> Option<String> {
        (text.is_empty() || provider_url(text).is_some()).then(|| text.to_owned())
    }
}

/// A name that a provider has chosen: an audience, a client id or a claim.
enum Identifier {}

impl Kind for Identifier {
    type Value = String;
    const EXPECTED: &str = "up to 255 printable ASCII characters without spaces";

    fn read(text: &str) -> Option<String> {
        (text.len() <= 255 && text.bytes().all(|byte| byte.is_ascii_graphic())).then(|| text.to_owned())
    }
}

/// A scope (RFC 6749 §3.3).
enum Scope {}

impl Kind for Scope {
    type Value = String;
    const EXPECTED: &str = "the name of a scope, such as `openid`";

    fn read(text: &str) -> Option<String> {
        let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
        ((1..=128).contains(&text.len()) && is_plain).then(|| text.to_owned())
    }
}

/// The domain of an e-mail address, in lower case.
enum Domain {}

impl Kind for Domain {
    type Value = String;
    const EXPECTED: &str = "the domain of e-mail addresses, such as `example.com`, without `@` or a wildcard";

    fn read(text: &str) -> Option<String> {
        let host = values::Host::read(text)?;
        let is_name = host.contains('.') && !host.starts_with(['.', '[']) && host.parse::<IpAddr>().is_err();
        is_name.then_some(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_a_provider_is_https_or_of_this_machine() {
        for url in [
            "https://id.example.com",
            "https://id.example.com/",
            "https://id.example.com:8443/realms/a?b=c",
            "http://127.0.0.1:4000",
            "http://localhost:4000/a",
            "http://[::1]:4000",
        ] {
            assert_eq!(ProviderUrl::read(url).as_deref(), Some(url));
        }
        for url in [
            "http://id.example.com",
            "http://10.0.0.1",
            "http://localhost.example.com",
            "id.example.com",
            "/jwks",
            "ftp://127.0.0.1",
            "https://",
            "https://:443",
            "https://id.example.com:",
            "https://user@id.example.com",
            "https://id.example.com#keys",
            "https://id.example.com/a b",
            "https://id.example.com/\u{e4}",
        ] {
            assert_eq!(ProviderUrl::read(url), None, "{url}");
        }
        assert_eq!(ProviderUrl::read(&format!("https://id.example.com/{}", "a".repeat(URL_BYTES_MAX))), None);
    }

    #[test]
    fn a_domain_is_a_name_in_lower_case() {
        assert_eq!(Domain::read("Example.COM").as_deref(), Some("example.com"));
        for wrong in ["", "com", "@example.com", "*.example.com", "10.0.0.1", "[::1]", ".example.com"] {
            assert_eq!(Domain::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_algorithm_is_written_in_the_configuration_as_in_a_token() {
        for algorithm in Algorithm::ALL {
            assert_eq!(serde_json::to_value(algorithm).unwrap(), algorithm.name());
            assert_eq!(Algorithm::of(algorithm.name()), Some(algorithm));
        }
        for name in ["none", "None", "HS256", "es256", "ES256K", ""] {
            assert_eq!(Algorithm::of(name), None, "{name}");
        }
    }
}
