//! Callers: a valid credential, with the rights and limits that follow from it.

pub mod index;
pub mod people;

use std::sync::Arc;

use jiff::Timestamp;
use permissions::{ApiAccessPermission, secrets_are_equal};
use versions::{Error, ErrorCode, Help, Person, Version, v2026_11_15};
use zeroize::Zeroizing;

use crate::callers::index::Key;
use crate::identity::{JwtError, VerifiedSession};
use crate::limits::{RateLimit, overloaded};

/// A caller, as of one generation of the key index. A connection remembers its last one.
///
/// Its requests share the caller rather than the key, whose reference count every worker would write.
pub struct Caller {
    /// The caller as handlers see it.
    identity: versions::Caller,
    /// The value of `Authorization`, to recognize the credential; wiped on drop.
    authorization: Option<Zeroizing<Box<[u8]>>>,
    /// The key index's generation from before the key was looked up.
    generation: u64,
    key: Arc<Key>,
    /// The session at an identity provider, which ends by itself.
    session: Option<Arc<VerifiedSession>>,
}

/// The longest `Authorization` with a key, without extra spaces: longer ones are not remembered.
pub(crate) const REMEMBERED_BYTES_MAX: usize = 128;
/// The longest `Authorization` with a session that is remembered; a longer one is found among the verified sessions.
const SESSION_BYTES_MAX: usize = 2_048;

impl Caller {
    /// The caller that presented `authorization`, which was this key's in this generation.
    pub(crate) fn new(key: Arc<Key>, authorization: &[u8], generation: u64) -> Self {
        Self::with(key, None, authorization, generation)
    }

    /// The caller that presented a session, whose member's key this is.
    pub(crate) fn of_session(
        key: Arc<Key>,
        session: Arc<VerifiedSession>,
        authorization: &[u8],
        generation: u64,
    ) -> Self {
        Self::with(key, Some(session), authorization, generation)
    }

    fn with(
        key: Arc<Key>,
        session: Option<Arc<VerifiedSession>>,
        authorization: &[u8],
        generation: u64,
    ) -> Self {
        // A silent renewal moves the time of issue, so only the time of authentication counts.
        let authenticated =
            session.as_ref().map(|session| session.auth_time.unwrap_or(Timestamp::UNIX_EPOCH));
        let person = key
            .person()
            .map(|person| Person { authenticated: authenticated.unwrap_or(person.authenticated), ..person });
        let identity = versions::Caller {
            credential: key.credential,
            organization: key.organization(),
            person,
            environment: key.environment,
            permissions: key.permissions(),
        };
        let bytes_max = if session.is_some() { SESSION_BYTES_MAX } else { REMEMBERED_BYTES_MAX };
        let is_remembered = authorization.len() <= bytes_max;
        let authorization = is_remembered.then(|| Zeroizing::new(authorization.into()));
        Self { identity, authorization, generation, key, session }
    }

    /// Whether this is the same credential and no key has changed since.
    pub(crate) fn presented(&self, authorization: &[u8], generation: u64) -> bool {
        let remembered = self.authorization.as_ref().filter(|_| self.generation == generation);
        remembered.is_some_and(|remembered| secrets_are_equal(remembered, authorization))
    }

    /// The caller as handlers see it.
    pub(crate) const fn identity(&self) -> &versions::Caller {
        &self.identity
    }

    pub(crate) const fn key(&self) -> &Arc<Key> {
        &self.key
    }

    /// Why the session at an identity provider is over, if it is one and is over.
    pub(crate) fn session_is_over(&self, now: Timestamp) -> Option<JwtError> {
        let session = self.session.as_ref()?;
        if !session.is_current() {
            return Some(JwtError::Signature);
        }
        session.check_time(now).err()
    }

    /// The rate limit.
    pub(crate) fn rate_limit(&self) -> &RateLimit {
        &self.key.rate_limit
    }

    /// Whether the successor answers calls to a retired date.
    pub(crate) fn forwards_retired(&self) -> bool {
        self.key.forwards_retired
    }

    /// Checks that the caller has the permission that an endpoint requires.
    ///
    /// # Errors
    /// [`ErrorCode::PermissionMissing`], with the required and the granted permissions; from the version on that has access
    /// requests, with what is missing and where to ask for it. The errors of older versions stay as they are.
    pub(crate) fn authorize(&self, required: ApiAccessPermission, version: Version) -> Result<(), Error> {
        let granted = self.identity.permissions;
        granted.authorize(required).map_err(|_| {
            let detail =
                format!("This key lacks the permission `{required}`. Ask for it, or use a key that has it.");
            let has_requests = version >= v2026_11_15::RELEASE.version;
            Error::new(ErrorCode::PermissionMissing, detail).with_help(Help {
                required_permission: Some(required),
                granted_permissions: Some(granted),
                missing_permissions: has_requests.then_some(required - granted),
                access_requests: has_requests.then_some(v2026_11_15::ACCESS_REQUESTS),
                ..Help::default()
            })
        })
    }
}

/// A request of a caller, counted until it is dropped.
pub struct CallerSlot(Arc<Caller>);

impl CallerSlot {
    /// Counts a request of this caller; where `is_busy`, only up to `max`.
    ///
    /// # Errors
    /// [`ErrorCode::Overloaded`].
    pub(crate) fn take(caller: &Arc<Caller>, max: usize, is_busy: bool) -> Result<Self, Error> {
        let slot = Self(Arc::clone(caller));
        if caller.key.begin_request() >= max && is_busy {
            return Err(overloaded(
                "This key has more requests open than its share, and the gateway is busy. Wait for responses first.",
            ));
        }
        Ok(slot)
    }
}

impl Drop for CallerSlot {
    fn drop(&mut self) {
        self.0.key.end_request();
    }
}
