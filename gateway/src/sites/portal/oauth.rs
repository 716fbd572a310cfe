//! The OAuth endpoints: codes for a device (RFC 8628 §3.1), its token (§3.4), revocation (RFC 7009) and what this server
//! offers (RFC 8414). Errors have the form of RFC 6749 §5.2.
//!
//! Clients are public: an app has no secret of its own, and its `client_id` is the name that people see.

use http::{HeaderValue, StatusCode, header};
use permissions::TokenSecret;
use serde_json::{Value, json};
use tracing::error;

use super::Portal;
use crate::http::ClientAddress;
use crate::provisioning::{
    Actor, BeginDevice, DevicePoll, NewDevice, Poll, ProvisioningError, Who, begin_device, poll_device,
    revoke_token,
};
use crate::sites::page::{Page, Post};
use crate::store::StoreError;
use crate::transport::network;

const DEVICE_CODE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
const JSON: &str = "application/json";
/// What a device is called that has no name.
const UNNAMED_DEVICE: &str = "unnamed device";
/// Seconds to wait where too many devices wait for approval: some of their codes will have ended.
const FULL_RETRY_SECONDS: u32 = 60;

/// An error of RFC 6749 §5.2.
pub(super) struct OAuthError {
    status: StatusCode,
    error: &'static str,
    description: String,
    retry_after_seconds: Option<u32>,
    /// Whether the client tried to authenticate with a field.
    challenges: bool,
}

impl OAuthError {
    fn new(error: &'static str, description: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error,
            description: description.into(),
            retry_after_seconds: None,
            challenges: false,
        }
    }

    /// Not now. RFC 6749 has no code for it at these endpoints, but for another one.
    fn later(status: StatusCode, description: &str, seconds: u32) -> Self {
        let error = Self::new("temporarily_unavailable", description);
        Self { status, retry_after_seconds: Some(seconds), ..error }
    }
}

impl From<ProvisioningError> for OAuthError {
    fn from(failure: ProvisioningError) -> Self {
        match failure {
            ProvisioningError::Store(StoreError::QueueFull { .. } | StoreError::TimedOut { .. }) => {
                Self::later(StatusCode::SERVICE_UNAVAILABLE, "too much is going on; try again", 1)
            }
            ProvisioningError::Store(failure) => {
                error!(error = %failure, "The portal cannot use the store");
                let error = Self::new("server_error", "something is wrong here; try again later");
                Self { status: StatusCode::INTERNAL_SERVER_ERROR, ..error }
            }
            other => Self::new("invalid_request", other.to_string()),
        }
    }
}

/// A response, or an error, as a page.
pub(super) fn reply(outcome: Result<Option<Value>, OAuthError>) -> Page {
    match outcome {
        Ok(Some(body)) => Page::new(StatusCode::OK, JSON, body.to_string()),
        Ok(None) => Page::new(StatusCode::OK, JSON, ""),
        Err(error) => {
            let body = json!({ "error": error.error, "error_description": plain(&error.description) });
            let mut page = Page::new(error.status, JSON, body.to_string());
            if let Some(seconds) = error.retry_after_seconds {
                page.headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
            if error.challenges {
                let challenge = HeaderValue::from_static("Basic realm=\"oauth\"");
                page.headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
            page
        }
    }
}

/// A request that the checks of head and content refused.
pub(super) fn refusal(status: StatusCode, detail: &str) -> Page {
    let error = if status.is_server_error() { "temporarily_unavailable" } else { "invalid_request" };
    reply(Err(OAuthError { status, ..OAuthError::new(error, detail) }))
}

/// Text with only the characters that a description may have (RFC 6749 §5.2).
fn plain(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '"' | '\\' | '`' => '\'',
            ' '..='~' => character,
            _ => '?',
        })
        .collect()
}

/// Checks what all endpoints have in common: no parameter twice, no client that authenticates.
fn check_client(post: &Post<'_>) -> Result<(), OAuthError> {
    if post.form.is_ambiguous() {
        return Err(OAuthError::new("invalid_request", "a parameter is there more than once"));
    }
    let is_public = "clients of this server are public: send client_id without a secret";
    if post.head.headers.contains_key(header::AUTHORIZATION) {
        let error = OAuthError::new("invalid_client", is_public);
        return Err(OAuthError { status: StatusCode::UNAUTHORIZED, challenges: true, ..error });
    }
    if parameter(post, "client_secret").is_some() || parameter(post, "client_assertion").is_some() {
        return Err(OAuthError::new("invalid_client", is_public));
    }
    Ok(())
}

/// A parameter; one without a value is as if it were not there (RFC 6749 §3.2).
fn parameter<'p>(post: &'p Post<'_>, name: &str) -> Option<&'p str> {
    post.form.all(name).next().filter(|value| !value.is_empty())
}

fn required<'p>(post: &'p Post<'_>, name: &'static str) -> Result<&'p str, OAuthError> {
    parameter(post, name)
        .ok_or_else(|| OAuthError::new("invalid_request", format!("the parameter {name} is missing")))
}

impl Portal {
    fn count_token_request(&self, client: ClientAddress) -> Result<(), OAuthError> {
        let (rate, now) = (self.settings.token_requests_per_address, self.clock().monotonic());
        self.token_requests.count(network(client.nearest()), rate, now).map_err(|seconds| {
            let description = "too many requests from this address";
            OAuthError::later(StatusCode::TOO_MANY_REQUESTS, description, seconds)
        })
    }

    /// `POST /oauth/device/code`.
    pub(super) async fn device_code(&'static self, post: &Post<'_>) -> Result<Option<Value>, OAuthError> {
        self.count_token_request(post.source.client)?;
        check_client(post)?;
        let app = required(post, "client_id")?.to_owned();
        let device = parameter(post, "device_name").unwrap_or(UNNAMED_DEVICE).to_owned();
        let address = network(post.source.client.nearest()).to_string();
        let new = NewDevice { app, device, address };
        let begun = self.run(move |portal, store| {
            let (rng, limits) = (&mut rand::rng(), portal.device_limits());
            begin_device(store, portal.clock(), rng, &portal.secret, limits, &new)
        });
        let codes = match begun.await {
            Ok(BeginDevice::Begun(codes)) => codes,
            Ok(full @ (BeginDevice::Full | BeginDevice::FullForAddress)) => {
                let whose = if matches!(full, BeginDevice::Full) { "" } else { " of this address" };
                let text = format!("too many devices{whose} wait for approval");
                return Err(OAuthError::later(StatusCode::TOO_MANY_REQUESTS, &text, FULL_RETRY_SECONDS));
            }
            Err(ProvisioningError::Name) => {
                let text = "client_id and device_name are 1 to 128 printable characters, without spaces at either end";
                return Err(OAuthError::new("invalid_request", text));
            }
            Err(error) => return Err(error.into()),
        };
        let page = self.url("/auth/device");
        Ok(Some(json!({
            "device_code": *codes.device_code,
            "user_code": *codes.user_code,
            "verification_uri": page,
            "verification_uri_complete": format!("{page}?user_code={}", *codes.user_code),
            "expires_in": codes.expires.duration_since(self.now()).as_secs().max(0),
            "interval": codes.interval_seconds,
        })))
    }

    /// `POST /oauth/token`.
    pub(super) async fn token(&'static self, post: &Post<'_>) -> Result<Option<Value>, OAuthError> {
        self.count_token_request(post.source.client)?;
        check_client(post)?;
        if required(post, "grant_type")? != DEVICE_CODE_GRANT {
            let description = format!("the only grant type is {DEVICE_CODE_GRANT}");
            return Err(OAuthError::new("unsupported_grant_type", description));
        }
        let app = required(post, "client_id")?.to_owned();
        let code = zeroize::Zeroizing::new(required(post, "device_code")?.to_owned());
        let (address, request_id) = (post.source.client.visible(), post.source.request_id.clone());
        let polled = self.run(move |portal, store| {
            let (rng, lifetime) = (&mut rand::rng(), portal.token_lifetime);
            let poll = DevicePoll { app: &app, device_code: &code, address, request_id: Some(&request_id) };
            poll_device(store, portal.clock(), rng, &portal.secret, lifetime, poll)
        });
        let (error, description) = match polled.await? {
            Poll::Issued(token) => {
                let record = &token.record;
                let mut body = json!({
                    "access_token": token.secret.expose(),
                    "token_type": "Bearer",
                    "expires_in": record.expires.duration_since(record.created).as_secs(),
                });
                // A token has the rights of its owner's role, whatever scope was asked for (RFC 6749 §3.3).
                let scope = self.pipeline.keys().people().member(record.membership);
                let scope = scope.map(|member| member.permissions(record.environment).to_string());
                if let Some(scope) = scope.filter(|scope| !scope.is_empty()) {
                    body["scope"] = scope.into();
                }
                return Ok(Some(body));
            }
            Poll::Pending => ("authorization_pending", "nobody has approved the device yet"),
            Poll::SlowDown => ("slow_down", "wait 5 seconds longer between two requests from now on"),
            Poll::Denied => ("access_denied", "the device was denied"),
            Poll::Expired => ("expired_token", "the device code has expired; ask for another"),
            Poll::Unknown => ("invalid_grant", "there is no such device code of this client, or it was used"),
        };
        Err(OAuthError::new(error, description))
    }

    /// `POST /oauth/revoke`: the holder of a token may revoke it. An unknown token counts as revoked.
    pub(super) async fn revoke(&'static self, post: &Post<'_>) -> Result<Option<Value>, OAuthError> {
        self.count_token_request(post.source.client)?;
        check_client(post)?;
        let token = required(post, "token")?;
        // A key is none: it belongs to an organization, which revokes it elsewhere.
        let caller = Some(token).filter(|token| TokenSecret::has_form(token.as_bytes()));
        let Some(caller) = caller.and_then(|token| self.pipeline.credential(token)) else { return Ok(None) };
        let permissions::Credential::Token(id) = caller.credential else { return Ok(None) };
        let (address, request_id) = (post.source.client.visible(), Some(post.source.request_id.clone()));
        let actor = Actor { who: Who::Caller(caller), address, request_id };
        let revoked = self.run(move |portal, store| revoke_token(store, portal.clock(), &actor, id));
        match revoked.await {
            // The member has left, and the token with them.
            Ok(_) | Err(ProvisioningError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// `GET /.well-known/oauth-authorization-server`.
    pub(super) fn metadata(&self) -> Page {
        let body = json!({
            "issuer": self.settings.public_url,
            "token_endpoint": self.url("/oauth/token"),
            "device_authorization_endpoint": self.url("/oauth/device/code"),
            "revocation_endpoint": self.url("/oauth/revoke"),
            "grant_types_supported": [DEVICE_CODE_GRANT],
            "response_types_supported": Vec::<&str>::new(),
            "token_endpoint_auth_methods_supported": ["none"],
            "revocation_endpoint_auth_methods_supported": ["none"],
        });
        Page::new(StatusCode::OK, JSON, body.to_string())
    }
}
