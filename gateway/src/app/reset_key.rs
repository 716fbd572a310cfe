//! The key of QUIC's stateless resets (RFC 9000 §10.3).

use permissions::{KeyHash, ServerSecret};
use quinn_proto::crypto::{CryptoError, HmacKey};

/// Signs the reset token of each connection id. Derived from the server secret, so that a restarted process
/// can reset the connections of the one before it.
pub(super) struct ResetKey(ServerSecret);

impl ResetKey {
    pub(super) fn new(secret: &ServerSecret) -> Self {
        Self(secret.derive("partner-gateway 2026-11 QUIC stateless reset key"))
    }
}

impl HmacKey for ResetKey {
    fn sign(&self, data: &[u8], signature_out: &mut [u8]) {
        signature_out.copy_from_slice(&self.0.hash(data).0);
    }

    fn signature_len(&self) -> usize {
        32
    }

    fn verify(&self, data: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let signature = <[u8; 32]>::try_from(signature).map_err(|_| CryptoError)?;
        if self.0.hash(data) == KeyHash(signature) { Ok(()) } else { Err(CryptoError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sign(secret: u8, data: &[u8]) -> [u8; 32] {
        let mut signature = [0; 32];
        ResetKey::new(&ServerSecret::new([secret; 32])).sign(data, &mut signature);
        signature
    }

    #[test]
    fn tokens_depend_on_the_secret_and_the_id_alone() {
        assert_eq!(sign(1, b"id"), sign(1, b"id"));
        assert_ne!(sign(1, b"id"), sign(2, b"id"));
        assert_ne!(sign(1, b"id"), sign(1, b"other"));
        assert_ne!(sign(1, b"id"), ServerSecret::new([1; 32]).hash(b"id").0, "not the hash of a credential");
        let key = ResetKey::new(&ServerSecret::new([1; 32]));
        assert!(key.verify(b"id", &sign(1, b"id")).is_ok());
        assert!(key.verify(b"id", &sign(2, b"id")).is_err());
        assert!(key.verify(b"id", b"short").is_err());
    }
}
