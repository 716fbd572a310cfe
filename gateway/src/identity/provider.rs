//! A configured provider: what it announces about itself, its keys at present, and how they are kept fresh.
//!
//! Requests read the keys without a lock and never wait for a fetch, unless their key is unknown. However many of them
//! ask, one fetch runs at a time, and not more often than the configuration says; a failed one changes nothing.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use jiff::Timestamp;
use permissions::Environment;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};
use versions::Instant;
use zeroize::Zeroizing;

use super::discovery::{DISCOVERY_PATH, DiscoveryError, Metadata, is_tls};
use super::fetch::{FetchError, Fetcher};
use super::files::{self, FileError};
use super::keys::{KeySet, KeySetError};
use crate::clock::Clock;
use crate::config;

/// A client secret.
const SECRET_BYTES_MAX: u64 = 4096;

/// The keys of a provider were not fetched; those before stay in use.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RefreshError {
    /// They were fetched a moment ago.
    #[error("the keys were fetched less than {0:?} ago")]
    TooSoon(Duration),
    /// The fetch was given up, because its worker stops or it takes too long.
    #[error("the fetch did not end in time")]
    Unfinished,
    /// A request failed.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The discovery document cannot be used.
    #[error(transparent)]
    Discovery(#[from] DiscoveryError),
    /// The key set cannot be used.
    #[error(transparent)]
    Keys(#[from] KeySetError),
}

/// A client secret; it prints as `[redacted]` and is wiped when it is dropped.
pub(super) struct ClientSecret(Zeroizing<String>);

impl ClientSecret {
    fn read(file: &Path) -> Result<Option<Self>, FileError> {
        if file.as_os_str().is_empty() {
            return Ok(None);
        }
        let content = files::read(file, SECRET_BYTES_MAX)?;
        let text = content.strip_suffix(b"\n").unwrap_or(&content);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let is_secret = !text.is_empty() && text.iter().all(u8::is_ascii_graphic);
        let text = std::str::from_utf8(text).ok().filter(|_| is_secret);
        let text = text.ok_or_else(|| FileError::new(file, "it must hold the client secret in one line"))?;
        Ok(Some(Self(Zeroizing::new(text.to_owned()))))
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The keys of a provider, for an operator.
#[derive(Clone, Debug, Default)]
pub struct KeyStatus {
    /// How many keys verify sessions.
    pub keys: usize,
    /// When they were fetched last; `None` if never.
    pub fetched: Option<Timestamp>,
    /// Why the last fetch failed, if it did.
    pub failure: Option<String>,
}

/// A configured identity provider.
pub struct Provider {
    name: String,
    pub(super) settings: config::Provider,
    pub(super) secret: Option<ClientSecret>,
    pub(super) fetcher: Fetcher,
    clock: Arc<dyn Clock>,
    keys: ArcSwap<KeySet>,
    metadata: ArcSwapOption<Metadata>,
    flight: Mutex<Flight>,
    status: Mutex<KeyStatus>,
}

/// The fetch that runs, or the last one.
#[derive(Default)]
struct Flight {
    started: Option<Instant>,
    outcome: Option<watch::Receiver<Option<Result<(), RefreshError>>>>,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Provider {
    /// Reads the files that its settings name; nothing is fetched yet.
    pub(super) fn new(
        name: &str,
        settings: &config::Provider,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ProviderError> {
        let of = |source| ProviderError::File { provider: name.to_owned(), source };
        let fetcher = Fetcher::new(&settings.ca_file, settings.connect_timeout, settings.request_timeout);
        let fetcher = fetcher.map_err(of)?;
        if is_tls(&settings.issuer) || is_tls(&settings.jwks_url) {
            let of = |source| ProviderError::Roots { provider: name.to_owned(), source };
            fetcher.check_tls().map_err(of)?;
        }
        Ok(Self {
            name: name.to_owned(),
            settings: settings.clone(),
            secret: ClientSecret::read(&settings.client_secret_file).map_err(of)?,
            fetcher,
            clock,
            keys: ArcSwap::default(),
            metadata: ArcSwapOption::empty(),
            flight: Mutex::default(),
            status: Mutex::default(),
        })
    }

    /// Its name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its identifier, the first half of a user's identity.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// The environment of its sessions.
    #[must_use]
    pub const fn environment(&self) -> Environment {
        self.settings.environment
    }

    /// Whether people can sign in through it in a browser.
    #[must_use]
    pub fn signs_in(&self) -> bool {
        !self.settings.client_id.is_empty()
    }

    /// Whether a verified e-mail address of this provider may accept an invitation: it speaks for the address's domain.
    #[must_use]
    pub fn speaks_for(&self, email: &str) -> bool {
        let domain = email.rsplit_once('@').map(|(_, domain)| domain.to_ascii_lowercase());
        domain.is_some_and(|domain| self.settings.email_domains.contains(&domain))
    }

    /// The state of its keys.
    #[must_use]
    pub fn key_status(&self) -> KeyStatus {
        lock(&self.status).clone()
    }

    pub(super) fn keys(&self) -> arc_swap::Guard<Arc<KeySet>> {
        self.keys.load()
    }

    /// Puts keys in place as a fetch does.
    #[cfg(test)]
    pub(super) fn put_keys(&self, document: &serde_json::Value) {
        let keys = KeySet::parse(document.to_string().as_bytes()).expect("the keys are usable");
        self.keys.store(Arc::new(keys));
    }

    /// Puts what a provider announces in place as a fetch does.
    #[cfg(test)]
    pub(super) fn put_metadata(&self, document: &serde_json::Value) {
        let metadata = Metadata::parse(document.to_string().as_bytes(), self.issuer()).expect("it is valid");
        self.metadata.store(Some(Arc::new(metadata)));
    }

    pub(super) fn metadata(&self) -> Option<Arc<Metadata>> {
        self.metadata.load_full()
    }

    /// Fetches the keys and what the provider announces, or joins the fetch that runs, and waits for its end.
    ///
    /// The fetch is a task of its own: it is finished, and counts, even if the caller goes away.
    ///
    /// # Errors
    /// [`RefreshError::TooSoon`] within the interval of the configuration after the last one began; else why it failed.
    pub async fn refreshed(self: &Arc<Self>) -> Result<(), RefreshError> {
        let mut outcome = self.join_or_start()?;
        let fetched = timeout(self.wait_max(), outcome.wait_for(Option::is_some));
        match fetched.await {
            Ok(Ok(outcome)) => outcome.clone().unwrap_or(Err(RefreshError::Unfinished)),
            Ok(Err(_)) | Err(_) => Err(RefreshError::Unfinished),
        }
    }

    /// A fetch is two requests, each with its own limit.
    fn wait_max(&self) -> Duration {
        self.settings.request_timeout * 2 + Duration::from_millis(100)
    }

    fn join_or_start(
        self: &Arc<Self>,
    ) -> Result<watch::Receiver<Option<Result<(), RefreshError>>>, RefreshError> {
        let mut flight = lock(&self.flight);
        // A sender that is gone without an outcome belonged to a runtime that has stopped.
        let runs = |outcome: &&watch::Receiver<Option<Result<_, _>>>| {
            outcome.borrow().is_none() && outcome.has_changed().is_ok()
        };
        if let Some(outcome) = flight.outcome.as_ref().filter(runs) {
            return Ok(outcome.clone());
        }
        let (now, interval) = (self.clock.monotonic(), self.settings.refresh_interval_min);
        let is_recent = |started: Instant| now.saturating_duration_since(started) < interval;
        if flight.started.is_some_and(is_recent) {
            return Err(RefreshError::TooSoon(interval));
        }
        let (sender, outcome) = watch::channel(None);
        *flight = Flight { started: Some(now), outcome: Some(outcome.clone()) };
        let provider = self.clone();
        tokio::spawn(async move {
            let result = provider.fetch().await;
            provider.note(&result);
            sender.send_replace(Some(result));
        });
        Ok(outcome)
    }

    /// Fetches at once and then at the interval of the configuration, sooner after a failure; it never ends.
    pub(super) async fn keep_fresh(self: &Arc<Self>) {
        loop {
            let pause = match self.refreshed().await {
                Ok(()) => self.settings.refresh_interval,
                Err(_) => self.settings.refresh_interval_min,
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn fetch(&self) -> Result<(), RefreshError> {
        let config::Provider { issuer, jwks_url, .. } = &self.settings;
        let announced = if jwks_url.is_empty() {
            self.discover(issuer).await?.jwks_uri.clone()
        } else {
            jwks_url.clone()
        };
        let keys = KeySet::parse(&self.fetcher.get(&announced).await?)?;
        if !keys.is_same(&self.keys.load()) {
            info!(provider = %self.name, keys = keys.len(), "The identity provider {} has new keys", self.name);
            self.keys.store(Arc::new(keys));
        }
        // Sessions need nothing but the keys, so those come first; a sign-in needs the endpoints as well.
        if self.signs_in() && !jwks_url.is_empty() {
            self.discover(issuer).await?;
        }
        Ok(())
    }

    async fn discover(&self, issuer: &str) -> Result<Arc<Metadata>, RefreshError> {
        let url = format!("{}{DISCOVERY_PATH}", issuer.trim_end_matches('/'));
        let metadata = Arc::new(Metadata::parse(&self.fetcher.get(&url).await?, issuer)?);
        self.metadata.store(Some(metadata.clone()));
        Ok(metadata)
    }

    fn note(&self, result: &Result<(), RefreshError>) {
        let mut status = lock(&self.status);
        status.keys = self.keys.load().len();
        match result {
            Ok(()) => {
                status.fetched = Some(self.clock.now());
                status.failure = None;
            }
            Err(error) => {
                warn!(
                    provider = %self.name, error = %error, keys = status.keys,
                    "The identity provider {} cannot be asked, its keys from before stay in use: {error}",
                    self.name
                );
                status.failure = Some(error.to_string());
            }
        }
    }
}

/// A poisoned lock is used all the same: nothing in it can be half-written.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A provider cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// A file that its configuration names cannot be used.
    #[error("identity.providers.{provider}: {source}")]
    File {
        /// The provider.
        provider: String,
        /// The file and the reason.
        source: FileError,
    },
    /// There are no certificate authorities to trust.
    #[error(
        "identity.providers.{provider}: {source}; install the package `ca-certificates`, or set `ca_file`"
    )]
    Roots {
        /// The provider.
        provider: String,
        /// The reason.
        source: FetchError,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_secret_is_one_line_and_is_never_printed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        let read = |content: &str| {
            std::fs::write(&file, content).unwrap();
            ClientSecret::read(&file)
        };
        for content in ["s3cret", "s3cret\n", "s3cret\r\n"] {
            let secret = read(content).unwrap().unwrap();
            assert_eq!((secret.reveal(), format!("{secret:?}").as_str()), ("s3cret", "[redacted]"));
        }
        for content in ["", "\n", "two\nlines", "s3cret with spaces", &"s".repeat(5000)] {
            let error = read(content).unwrap_err().to_string();
            assert!(!error.contains("s3cret") && error.contains("secret"), "{error}");
        }
        assert!(ClientSecret::read(Path::new("")).unwrap().is_none());
        assert!(
            ClientSecret::read(&folder.path().join("none")).unwrap_err().to_string().contains("no such file")
        );
    }
}
