//! What a provider announces about itself (OpenID Connect Discovery §3), and what of it is believed.

use http::uri::Scheme;
use serde::Deserialize;

use crate::config::provider_url;

/// The document cannot be used.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the discovery document {0}")]
pub struct DiscoveryError(&'static str);

/// Where a provider describes itself (§4), behind its issuer.
pub(super) const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";

/// A discovery document, as far as it is used.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    pub(super) jwks_uri: String,
    pub(super) authorization_endpoint: Option<String>,
    pub(super) token_endpoint: Option<String>,
    /// Whether responses to the browser name their issuer (RFC 9207 §3).
    #[serde(default, rename = "authorization_response_iss_parameter_supported")]
    pub(super) names_issuer: bool,
}

impl Metadata {
    pub(super) fn parse(document: &[u8], issuer: &str) -> Result<Self, DiscoveryError> {
        let metadata: Self = serde_json::from_slice(document).map_err(|_| DiscoveryError("is not valid"))?;
        // Compared byte by byte (§4.3): who controls another path of the host must not speak for this issuer.
        if metadata.issuer != issuer {
            return Err(DiscoveryError("names another issuer"));
        }
        let endpoints = [metadata.authorization_endpoint.as_ref(), metadata.token_endpoint.as_ref()];
        // A provider on this machine may name addresses on it; any other that does is after what listens there.
        let is_refused = |url: &String| provider_url(url).is_none() || is_tls(issuer) && !is_tls(url);
        if endpoints.into_iter().flatten().chain([&metadata.jwks_uri]).any(is_refused) {
            return Err(DiscoveryError("has an address that is not https"));
        }
        Ok(metadata)
    }
}

/// Whether requests to a URL are encrypted.
pub(super) fn is_tls(url: &str) -> bool {
    provider_url(url).is_some_and(|url| url.scheme() == Some(&Scheme::HTTPS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(changes: &[(&str, &str)]) -> Result<Metadata, DiscoveryError> {
        let mut document = serde_json::json!({
            "issuer": "https://id.example.com", "jwks_uri": "https://keys.example.com/keys",
            "authorization_endpoint": "https://id.example.com/authorize", "token_endpoint": "https://id.example.com/token",
        });
        for (name, value) in changes {
            document[*name] = (*value).into();
        }
        Metadata::parse(document.to_string().as_bytes(), "https://id.example.com")
    }

    #[test]
    fn a_discovery_document_speaks_for_its_issuer_over_tls_only() {
        assert!(!parse(&[]).unwrap().names_issuer);
        for wrong in [
            ("issuer", "https://id.example.com/"),
            ("issuer", "https://ID.example.com"),
            ("issuer", "https://id.example.com/other"),
            ("jwks_uri", "http://keys.example.com"),
            ("jwks_uri", "http://127.0.0.1/keys"),
            ("token_endpoint", "http://localhost:8080/token"),
            ("authorization_endpoint", "javascript:alert(1)"),
        ] {
            assert!(matches!(parse(&[wrong]), Err(DiscoveryError(_))), "{wrong:?}");
        }
        assert!(matches!(Metadata::parse(b"{", "a"), Err(DiscoveryError("is not valid"))));
    }
}
