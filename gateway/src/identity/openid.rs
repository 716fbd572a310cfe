//! Sign-in in a browser: the authorization code flow of OpenID Connect Core §3.1, with PKCE (RFC 7636), `state`,
//! `nonce`, and the issuer of the response (RFC 9207).
//!
//! The browser goes to the provider and comes back with a code, which is exchanged here for an id token. What must be
//! remembered in between is returned as data: the caller binds it to the browser and hands it over once.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use form_urlencoded::{Serializer, byte_serialize};
use http::{HeaderValue, StatusCode};
use jiff::{SignedDuration, Timestamp};
use rand::CryptoRng;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::discovery::Metadata;
use super::fetch::{FetchError, Form};
use super::jwt::{Expected, Token, leeway};
use super::{JwtError, Provider, VerifiedSession};
use crate::clock::Clock;

/// How long a sign-in may take at the provider.
pub const SIGN_IN_LIFETIME: SignedDuration = SignedDuration::from_mins(10);
/// Bytes of the query with which the browser comes back.
const QUERY_BYTES_MAX: usize = 8 << 10;
/// Bytes of an authorization code.
const CODE_BYTES_MAX: usize = 4 << 10;
/// Bytes of an error's code that are repeated in ours.
const ERROR_BYTES_MAX: usize = 64;

/// A sign-in failed. No variant holds a code, a token or a secret.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The provider has no client id.
    #[error("the provider has no `client_id`, so nobody can sign in through it")]
    NotOffered,
    /// Its discovery document was not fetched yet; [`Provider::refreshed`] does that.
    #[error("the provider has not been reached yet")]
    Undiscovered,
    /// It was begun with another provider.
    #[error("the sign-in was begun with another provider")]
    OtherProvider,
    /// It was begun too long ago.
    #[error("the sign-in took longer than {} minutes", SIGN_IN_LIFETIME.as_mins())]
    Expired,
    /// It was not begun in this browser.
    #[error("the sign-in was not begun in this browser")]
    State,
    /// Another issuer responded.
    #[error("another issuer responded")]
    Issuer,
    /// A parameter of the response is missing, invalid or there twice.
    #[error("the parameter `{0}` is missing, invalid or there twice")]
    Parameter(&'static str),
    /// The provider, or the person there, refused.
    #[error("the provider refused: {0}")]
    Refused(ErrorCode),
    /// The token request failed.
    #[error("the code cannot be exchanged")]
    Exchange(#[source] FetchError),
    /// The provider refused the code.
    #[error("the provider refused the code with status {}: {code}", status.as_u16())]
    Code {
        /// The status.
        status: StatusCode,
        /// Its reason.
        code: ErrorCode,
    },
    /// The response has no id token.
    #[error("the provider's response has no id token")]
    NoToken,
    /// The id token is refused.
    #[error("the id token is refused")]
    Token(#[source] JwtError),
    /// The person did not authenticate anew, although that was asked for.
    #[error("the provider did not authenticate the person anew")]
    NotRecent,
}

impl SignInError {
    /// Its name in the log.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NotOffered => "sign_in_not_offered",
            Self::Undiscovered => "sign_in_undiscovered",
            Self::OtherProvider => "sign_in_other_provider",
            Self::Expired => "sign_in_expired",
            Self::State => "sign_in_state",
            Self::Issuer => "sign_in_issuer",
            Self::Parameter(_) => "sign_in_parameter",
            Self::Refused(_) => "sign_in_refused",
            Self::Exchange(_) => "sign_in_exchange",
            Self::Code { .. } => "sign_in_code",
            Self::NoToken => "sign_in_no_token",
            Self::Token(error) => error.name(),
            Self::NotRecent => "sign_in_not_recent",
        }
    }
}

/// The code of an error (RFC 6749 §4.1.2.1, §5.2), of which nothing else than a plain word is repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorCode(String);

impl ErrorCode {
    fn of(text: &str) -> Self {
        let is_word = (1..=ERROR_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        Self(if is_word { text } else { "unknown" }.to_owned())
    }

    /// The word.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A sign-in that was begun. Its verifier is a secret of this server and its state one of this browser, so it prints
/// neither; a caller that stores it in a cookie encrypts it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PendingSignIn {
    /// The provider's name.
    pub provider: String,
    /// What the response must repeat; unique, so that it can be the name under which this is stored.
    pub state: String,
    nonce: String,
    verifier: String,
    redirect_uri: String,
    /// From this time it is refused.
    pub expires: Timestamp,
    /// When the person must have authenticated at the earliest, in a step-up.
    authenticated_after: Option<Timestamp>,
}

impl fmt::Debug for PendingSignIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingSignIn")
            .field("provider", &self.provider)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// What the browser comes back with.
struct Returned {
    state: String,
    issuer: Option<String>,
    code: Option<Zeroizing<String>>,
    error: Option<ErrorCode>,
}

/// The token response (OpenID Connect Core §3.1.3.3), of which only the id token is used.
#[derive(Deserialize)]
struct TokenResponse {
    id_token: String,
}

#[derive(Deserialize)]
struct TokenFailure {
    error: String,
}

impl Provider {
    /// Begins a sign-in: the URL to which the browser is sent, and what to remember until it comes back.
    ///
    /// With `max_age`, for a step-up, the person must have authenticated at most so long ago or do it anew.
    ///
    /// # Errors
    /// [`SignInError::NotOffered`] and [`SignInError::Undiscovered`].
    pub fn begin(
        &self,
        redirect_uri: &str,
        max_age: Option<Duration>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<(String, PendingSignIn), SignInError> {
        let metadata = self.sign_in_metadata()?;
        let endpoint = metadata.authorization_endpoint.as_ref().ok_or(SignInError::NotOffered)?;
        let [state, nonce, verifier] = std::array::from_fn(|_| {
            let mut secret = [0; 32];
            rng.fill_bytes(&mut secret);
            URL_SAFE_NO_PAD.encode(secret)
        });
        let challenge = URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
        let mut query = Serializer::new(String::new());
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.settings.client_id)
            .append_pair("redirect_uri", redirect_uri)
            .append_pair("scope", &self.settings.scopes.join(" "))
            .append_pair("state", &state)
            .append_pair("nonce", &nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        if let Some(age) = max_age {
            query.append_pair("max_age", &age.as_secs().to_string());
        }
        let separator = if endpoint.contains('?') { '&' } else { '?' };
        let url = format!("{endpoint}{separator}{}", query.finish());
        let max_age = max_age.map(|age| SignedDuration::try_from(age).unwrap_or(SignedDuration::MAX));
        let pending = PendingSignIn {
            provider: self.name().to_owned(),
            state,
            nonce,
            verifier,
            redirect_uri: redirect_uri.to_owned(),
            expires: now.checked_add(SIGN_IN_LIFETIME).unwrap_or(Timestamp::MAX),
            authenticated_after: max_age.map(|age| now.checked_sub(age).unwrap_or(Timestamp::MIN)),
        };
        Ok((url, pending))
    }

    /// Finishes a sign-in with the query of the URL at which the browser came back.
    ///
    /// It takes the pending sign-in, because that must not be used twice.
    ///
    /// # Errors
    /// Why nobody is signed in.
    pub async fn finish(
        self: &Arc<Self>,
        pending: PendingSignIn,
        query: &str,
        clock: &dyn Clock,
    ) -> Result<VerifiedSession, SignInError> {
        let metadata = self.sign_in_metadata()?;
        let endpoint = metadata.token_endpoint.as_ref().ok_or(SignInError::NotOffered)?;
        let code = self.code(&pending, query, metadata.names_issuer, clock.now())?;
        let form = self.token_form(&pending, &code);
        let response = self.fetcher.post(endpoint, form).await.map_err(SignInError::Exchange)?;
        if response.status != StatusCode::OK {
            let failure = serde_json::from_slice::<TokenFailure>(&response.body);
            let code = ErrorCode::of(failure.as_ref().map_or("", |failure| &failure.error));
            return Err(SignInError::Code { status: response.status, code });
        }
        let answer: TokenResponse =
            serde_json::from_slice(&response.body).map_err(|_| SignInError::NoToken)?;
        let session = self.id_token(&pending, answer.id_token.as_bytes(), clock).await?;
        let is_recent = |earliest: Timestamp| {
            let earliest = earliest.checked_sub(leeway(self)).unwrap_or(Timestamp::MIN);
            session.auth_time.is_some_and(|time| time >= earliest)
        };
        if pending.authenticated_after.is_none_or(is_recent) {
            Ok(session)
        } else {
            Err(SignInError::NotRecent)
        }
    }

    fn sign_in_metadata(&self) -> Result<Arc<Metadata>, SignInError> {
        if !self.signs_in() {
            return Err(SignInError::NotOffered);
        }
        self.metadata().ok_or(SignInError::Undiscovered)
    }

    /// Checks that the response belongs to this sign-in, and takes the code from it.
    fn code(
        &self,
        pending: &PendingSignIn,
        query: &str,
        names_issuer: bool,
        now: Timestamp,
    ) -> Result<Zeroizing<String>, SignInError> {
        if pending.provider != self.name() {
            return Err(SignInError::OtherProvider);
        }
        if now >= pending.expires {
            return Err(SignInError::Expired);
        }
        let returned = Returned::parse(query)?;
        if !bool::from(returned.state.as_bytes().ct_eq(pending.state.as_bytes())) {
            return Err(SignInError::State);
        }
        // A response of another provider to which this one's code would be sent (RFC 9207 §2.4).
        match returned.issuer {
            Some(issuer) if issuer == self.issuer() => {}
            None if !names_issuer => {}
            _ => return Err(SignInError::Issuer),
        }
        match (returned.error, returned.code) {
            (Some(error), _) => Err(SignInError::Refused(error)),
            (None, Some(code)) => Ok(code),
            (None, None) => Err(SignInError::Parameter("code")),
        }
    }

    /// The token request (RFC 6749 §4.1.3), with `client_secret_basic` or as a public client.
    fn token_form(&self, pending: &PendingSignIn, code: &str) -> Form {
        let client = &self.settings.client_id;
        let mut body = Serializer::new(String::new());
        body.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", &pending.redirect_uri)
            .append_pair("code_verifier", &pending.verifier);
        let Some(secret) = &self.secret else {
            body.append_pair("client_id", client);
            return Form { body: body.finish(), authorization: None };
        };
        let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let pair = Zeroizing::new(format!("{}:{}", encoded(client), encoded(secret.reveal())));
        let value = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
        let mut value = HeaderValue::from_str(&value).expect("base64 is valid in a field");
        value.set_sensitive(true);
        Form { body: body.finish(), authorization: Some(value) }
    }

    /// Verifies the id token. Its key may be newer than ours.
    async fn id_token(
        self: &Arc<Self>,
        pending: &PendingSignIn,
        token: &[u8],
        clock: &dyn Clock,
    ) -> Result<VerifiedSession, SignInError> {
        let token = Token::parse(token).map_err(SignInError::Token)?;
        let expected = Expected::SignIn { nonce: &pending.nonce };
        let verified = match token.verify(self, &expected, clock.now()) {
            Err(JwtError::UnknownKey(_)) => {
                // Without new keys the second attempt says the same.
                let _ = self.refreshed().await;
                token.verify(self, &expected, clock.now())
            }
            verified => verified,
        };
        verified.map_err(SignInError::Token)
    }
}

impl Returned {
    fn parse(query: &str) -> Result<Self, SignInError> {
        if query.len() > QUERY_BYTES_MAX {
            return Err(SignInError::Parameter("query"));
        }
        let [mut state, mut issuer, mut code, mut error] = [const { None::<String> }; 4];
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let (place, name) = match &*name {
                "state" => (&mut state, "state"),
                "iss" => (&mut issuer, "iss"),
                "code" => (&mut code, "code"),
                "error" => (&mut error, "error"),
                // Providers add parameters of their own (RFC 6749 §4.1.2).
                _ => continue,
            };
            if place.replace(value.into_owned()).is_some() {
                return Err(SignInError::Parameter(name));
            }
        }
        if code.as_ref().is_some_and(|code| code.is_empty() || code.len() > CODE_BYTES_MAX) {
            return Err(SignInError::Parameter("code"));
        }
        Ok(Self {
            state: state.ok_or(SignInError::Parameter("state"))?,
            issuer,
            code: code.map(Zeroizing::new),
            error: error.map(|error| ErrorCode::of(&error)),
        })
    }
}
