//! The result of a TLS handshake, with the names of IANA's registries.

use rustls::{CipherSuite, CommonState, HandshakeKind, NamedGroup, ProtocolVersion};

/// How a connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encryption {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite, such as `TLS_AES_256_GCM_SHA384`.
    pub cipher_suite: &'static str,
    /// The group of the key exchange, such as `x25519`; TLS 1.2 resumes a session without one.
    pub key_exchange_group: Option<&'static str>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
}

impl Encryption {
    /// The encryption of a session; `None` until the handshake is complete.
    pub(in crate::transport) fn agreed(session: &CommonState) -> Option<Self> {
        let group = session.negotiated_key_exchange_group().map(|group| group.name());
        Some(Self {
            version: match session.protocol_version()? {
                ProtocolVersion::TLSv1_3 => "TLSv1.3",
                ProtocolVersion::TLSv1_2 => "TLSv1.2",
                _ => return None,
            },
            cipher_suite: suite_name(session.negotiated_cipher_suite()?.suite())?,
            key_exchange_group: group.and_then(group_name),
            resumed: session.handshake_kind()? == HandshakeKind::Resumed,
        })
    }
}

/// The name in "TLS Cipher Suites": rustls marks those of TLS 1.3.
fn suite_name(suite: CipherSuite) -> Option<&'static str> {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => Some("TLS_AES_128_GCM_SHA256"),
        CipherSuite::TLS13_AES_256_GCM_SHA384 => Some("TLS_AES_256_GCM_SHA384"),
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => Some("TLS_CHACHA20_POLY1305_SHA256"),
        suite => suite.as_str(),
    }
}

/// The name in "TLS Supported Groups": rustls writes some of them in another case.
fn group_name(group: NamedGroup) -> Option<&'static str> {
    match group {
        NamedGroup::X25519 => Some("x25519"),
        NamedGroup::secp256r1MLKEM768 => Some("SecP256r1MLKEM768"),
        group => group.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs::{ALL_CIPHER_SUITES, ALL_KX_GROUPS};

    use super::*;

    /// The names in the registries "TLS Cipher Suites" and "TLS Supported Groups".
    const SUITES: [&str; 9] = [
        "TLS_AES_128_GCM_SHA256",
        "TLS_AES_256_GCM_SHA384",
        "TLS_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    ];
    const GROUPS: [&str; 8] = [
        "MLKEM1024",
        "MLKEM768",
        "SecP256r1MLKEM768",
        "X25519MLKEM768",
        "secp256r1",
        "secp384r1",
        "secp521r1",
        "x25519",
    ];

    #[test]
    fn every_supported_suite_and_group_has_its_registered_name() {
        for suite in ALL_CIPHER_SUITES.iter().map(|suite| suite.suite()) {
            let name = suite_name(suite).unwrap();
            assert!(SUITES.contains(&name), "{name}");
        }
        for group in ALL_KX_GROUPS.iter().map(|group| group.name()) {
            let name = group_name(group).unwrap();
            assert!(GROUPS.contains(&name), "{name}");
        }
    }
}
