//! Identity providers: who a person is, by the word of a provider that the operator has configured.
//!
//! A session is a JWT that such a provider signed (`jwt`); `keys` and `provider` keep the keys that verify it, `openid`
//! lets people sign in in a browser; `discovery` and `fetch` are the way to the provider. What a person may do is not decided here.

mod discovery;
mod fetch;
pub(crate) mod files;
mod jwt;
mod keys;
mod openid;
mod provider;
#[cfg(test)]
mod signer;
#[cfg(test)]
mod tests;
mod verified;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future;
use jiff::Timestamp;

use crate::clock::Clock;
use crate::config;
use jwt::{Expected, Token};
use verified::Verified;

pub use discovery::DiscoveryError;
pub use fetch::FetchError;
pub(crate) use fetch::{Fetcher, Form};
pub use files::FileError;
pub use jwt::{JwtError, TOKEN_BYTES_MAX, VerifiedSession};
pub use keys::KeySetError;
pub use openid::{ErrorCode, PendingSignIn, SIGN_IN_LIFETIME, SignInError};
pub use provider::{KeyStatus, Provider, ProviderError, RefreshError};

/// The providers, and the sessions that were verified. One for the process.
pub struct Identity {
    providers: BTreeMap<String, Arc<Provider>>,
    verified: Verified,
}

impl Identity {
    /// Reads the files that the configuration names. No key is fetched yet: [`Identity::keep_fresh`] does that.
    ///
    /// `workers` is how many threads verify sessions; `hash_key` is random and need not outlive the process.
    ///
    /// # Errors
    /// [`ProviderError`] names the provider and the file.
    pub fn new(
        config: &config::Identity,
        workers: usize,
        clock: &Arc<dyn Clock>,
        hash_key: [u8; 32],
    ) -> Result<Self, ProviderError> {
        let provider = |(name, settings): (&String, &config::Provider)| {
            Ok((name.clone(), Arc::new(Provider::new(name, settings, clock.clone())?)))
        };
        Ok(Self {
            providers: config.providers.iter().map(provider).collect::<Result<_, _>>()?,
            verified: Verified::new(workers, config.sessions_cached_max, hash_key),
        })
    }

    /// The providers, sorted by name.
    pub fn providers(&self) -> impl Iterator<Item = &Arc<Provider>> {
        self.providers.values()
    }

    /// The provider of this name.
    #[must_use]
    pub fn provider(&self, name: &str) -> Option<&Arc<Provider>> {
        self.providers.get(name)
    }

    /// Fetches the keys of all providers now and then at their intervals; it never ends. Run it once in the process, on a
    /// runtime with I/O and time.
    pub async fn keep_fresh(&self) {
        future::join_all(self.providers.values().map(|provider| provider.keep_fresh())).await;
    }

    /// Verifies a session, or finds that it was verified before and still holds. Never waits.
    ///
    /// # Errors
    /// Why it is refused. After [`JwtError::UnknownKey`], a caller that can wait calls [`Provider::refreshed`] and tries
    /// once more, as [`Identity::verify_fresh`] does.
    pub fn verify(&self, token: &[u8], now: Timestamp) -> Result<Arc<VerifiedSession>, JwtError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(JwtError::TooLong);
        }
        let hash = self.verified.hash(token);
        if let Some(session) = self.verified.get(&hash) {
            // The provider may have withdrawn the key since.
            if session.check_time(now).is_ok() && session.is_current() {
                return Ok(session);
            }
            // The whole token is looked at again, which says why.
            self.verified.remove(&hash);
        }
        let token = Token::parse(token)?;
        let provider = self.provider_of(&token)?;
        let session = Arc::new(token.verify(provider, &Expected::Session, now)?);
        self.verified.insert(hash, session.clone());
        Ok(session)
    }

    /// Verifies a session; where its key is unknown, fetches the provider's keys first, if they are old enough for that.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn verify_fresh(
        &self,
        token: &[u8],
        clock: &dyn Clock,
    ) -> Result<Arc<VerifiedSession>, JwtError> {
        let provider = match self.verify(token, clock.now()) {
            Err(JwtError::UnknownKey(provider)) => provider,
            verified => return verified,
        };
        // Without new keys the second attempt says the same; why there are none is logged by the fetch.
        let _ = provider.refreshed().await;
        self.verify(token, clock.now())
    }

    /// How many sessions are remembered, one that several workers remember for each of them.
    #[must_use]
    pub fn cached(&self) -> usize {
        self.verified.len()
    }

    /// The provider whose issuer and audience a token has. An issuer may be there for each environment.
    fn provider_of(&self, token: &Token<'_>) -> Result<&Arc<Provider>, JwtError> {
        let issuer = token.claims.issuer()?;
        let mut known = false;
        let mut found = None;
        for provider in self.providers.values().filter(|provider| provider.issuer() == issuer) {
            known = true;
            if token.claims.is_for(&provider.settings.audience)? {
                // A token for two environments has none.
                if found.is_some() {
                    return Err(JwtError::Audience);
                }
                found = Some(provider);
            }
        }
        found.ok_or(if known { JwtError::Audience } else { JwtError::Issuer })
    }
}
