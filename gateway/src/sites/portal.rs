//! The portal: sign-in of people, approval of their devices, and the OAuth endpoints of those (RFC 8628, RFC 7009,
//! RFC 8414).
//!
//! Strangers ask for access here, claim their keys and accept invitations, by the codes in their links.
//!
//! Pages need no script. A form is refused where a page of another origin made it; the OAuth endpoints take no cookie.

mod access;
mod account;
mod claim;
mod device;
mod invitation;
mod oauth;
mod pending;
mod route;
mod sign_in;
mod visitor;

use std::time::Duration;

use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use permissions::{Brand, ServerSecret};
use tracing::error;
use versions::docs::pages::NAME;
use versions::{Error, ErrorCode};

use super::form::add_form_fields;
use super::html::{SiteView, asset, message};
use super::page::{Methods, Page, PageSite, Post, Source};
use crate::clock::Clock;
use crate::config;
use crate::http::{ClientAddress, CrossOrigin, check_same_origin};
use crate::identity::Identity;
use crate::limits::{Failures, Policy, RateLimit};
use crate::pipeline::Pipeline;
use crate::provisioning::{Actor, DeviceLimits, ProvisioningError, SessionTimes, sentence};
use crate::store::{Store, StoreError};
use crate::transport::network;
use pending::Sealer;
use route::Route;

/// Serves the portal; one for the entire process.
pub struct Portal {
    pipeline: &'static Pipeline,
    identity: &'static Identity,
    secret: ServerSecret,
    sealer: Sealer,
    settings: config::Portal,
    token_lifetime: Duration,
    token_requests: Failures,
    codes_of_addresses: Failures,
    codes: RateLimit,
    access_of_addresses: Failures,
    access: RateLimit,
    requests_open_max: usize,
    brand: Brand,
}

/// Where people are on this site.
const SITE: SiteView<'_> = SiteView { base: "/", name: NAME, what: "Sign-in" };

impl Portal {
    /// A portal at `settings.public_url`, which must be filled.
    #[must_use]
    pub fn new(
        pipeline: &'static Pipeline,
        identity: &'static Identity,
        secret: ServerSecret,
        config: &config::Config,
    ) -> Self {
        let settings = config.portal.clone();
        Self {
            pipeline,
            identity,
            sealer: Sealer::new(&secret),
            secret,
            token_lifetime: config.tokens.lifetime,
            token_requests: Failures::new(config.limits.failure_addresses_max),
            codes_of_addresses: Failures::new(config.limits.failure_addresses_max),
            codes: RateLimit::new(Policy::new(settings.codes)),
            access_of_addresses: Failures::new(config.limits.failure_addresses_max),
            access: RateLimit::new(Policy::new(settings.access_requests)),
            requests_open_max: config.requests.open_max,
            brand: config.api.brand.clone(),
            settings,
        }
    }

    fn clock(&self) -> &'static dyn Clock {
        &*self.pipeline.frontend().clock
    }

    fn now(&self) -> Timestamp {
        self.clock().now()
    }

    const fn session_times(&self) -> SessionTimes {
        SessionTimes { idle: self.settings.session_idle, lifetime: self.settings.session_lifetime }
    }

    const fn device_limits(&self) -> DeviceLimits {
        DeviceLimits {
            pending_max: self.settings.devices_pending_max,
            pending_per_address_max: self.settings.devices_pending_per_address_max,
        }
    }

    /// Runs a job on the store's thread.
    async fn run<T: Send + 'static>(
        &'static self,
        work: impl FnOnce(&'static Self, &mut Store) -> Result<T, ProvisioningError> + Send + 'static,
    ) -> Result<T, ProvisioningError> {
        let store = self.pipeline.store().ok_or(StoreError::Stopped)?;
        store.run(move |store| work(self, store)).await
    }

    /// Counts a code that somebody enters, right or wrong: a good one between two guesses resets nothing.
    ///
    /// # Errors
    /// Seconds to wait.
    fn count_code(&self, client: ClientAddress) -> Result<(), u32> {
        let now = self.clock().monotonic();
        let address = network(client.nearest());
        self.codes_of_addresses.count(address, self.settings.codes_per_address, now)?;
        self.codes.spend(now).map(drop).map_err(|spent| spent.reset_seconds)
    }

    /// The page for a code that is entered too often.
    fn too_many_codes(&self, seconds: u32) -> Page {
        let text = format!("Too many codes were entered. Try again in {seconds} seconds.");
        let mut page = message(StatusCode::TOO_MANY_REQUESTS, SITE, "Too many codes", &text, true);
        page.headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        page
    }

    /// The page for an error of provisioning.
    fn failure(&self, failure: &ProvisioningError) -> Page {
        let (status, text) = match failure {
            ProvisioningError::Store(StoreError::QueueFull { .. } | StoreError::TimedOut { .. }) => {
                (StatusCode::SERVICE_UNAVAILABLE, "Too much is going on. Try again in a moment.".to_owned())
            }
            ProvisioningError::Store(failure) => {
                error!(error = %failure, "The portal cannot use the store");
                (StatusCode::INTERNAL_SERVER_ERROR, "Something is wrong here. Try again later.".to_owned())
            }
            ProvisioningError::NotFound { what, .. } => {
                (StatusCode::NOT_FOUND, format!("There is no such {what} any more."))
            }
            other => (StatusCode::BAD_REQUEST, sentence(&other.to_string())),
        };
        message(status, SITE, "That did not work", &text, true)
    }

    /// Where a page of this site is.
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.settings.public_url)
    }

    async fn get(&'static self, route: Route<'_>, head: &Parts, source: &Source) -> Page {
        match route {
            Route::Account => self.account(head).await,
            Route::SignIn => self.sign_in(head).await,
            Route::Provider(name) => self.begin_sign_in(head, name).await,
            Route::Callback(name) => self.finish_sign_in(head, name, source).await,
            Route::Link(code) => self.link(code),
            Route::Access => self.access_form(),
            Route::AccessRequest(code) => self.access(code, source.client).await,
            Route::Claim(code) => self.claim(code, source.client).await,
            Route::Invitation(code) => self.invitation(head, code, source.client).await,
            Route::Device => self.device(head).await,
            Route::Metadata => self.metadata(),
            Route::Asset(name) => asset(name).unwrap_or_else(|| self.not_found()),
            Route::EndDevice
            | Route::EndSession
            | Route::Withdraw(_)
            | Route::SignOut
            | Route::DeviceCode
            | Route::Token
            | Route::Revoke => self.not_found(),
        }
    }

    async fn post_to(&'static self, route: Route<'_>, post: Post<'_>) -> Page {
        if !route.is_oauth() {
            let scheme = self.settings.public_url.split(':').next().unwrap_or_default();
            let checked = match check_same_origin(post.head, scheme) {
                // Some client that is no browser: nobody's cookie is with it.
                Err(CrossOrigin::Unknown) if route.takes_no_cookie() => Ok(()),
                checked => checked,
            };
            if let Err(refusal) = checked {
                return message(
                    StatusCode::FORBIDDEN,
                    SITE,
                    "Not from this page",
                    &refusal.to_string(),
                    true,
                );
            }
        }
        // OAuth clients may send more than this server knows (RFC 6749 §3.2); the forms of its own pages do not.
        let unknown = if route.is_oauth() { None } else { post.form.other_than(route.fields()) };
        if let Some(name) = unknown {
            let detail = format!("The form has a field that this page does not know: `{name}`.");
            return self.error(StatusCode::BAD_REQUEST, &detail);
        }
        let outcome = match route {
            Route::DeviceCode => return oauth::reply(self.device_code(&post).await),
            Route::Token => return oauth::reply(self.token(&post).await),
            Route::Revoke => return oauth::reply(self.revoke(&post).await),
            Route::Device => self.decide_device(&post).await,
            Route::EndDevice => self.end_device(&post).await,
            Route::EndSession => self.end_session(&post).await,
            Route::Link(code) => Ok(self.use_link(&post, code).await),
            Route::Access => self.file_access(&post).await,
            Route::AccessRequest(code) => self.add_access(&post, code).await,
            Route::Withdraw(code) => Ok(self.withdraw_access(&post, code).await),
            Route::Claim(code) => Ok(self.use_claim(&post, code).await),
            Route::Invitation(code) => self.accept_invitation(&post, code).await,
            Route::SignOut => Ok(self.sign_out(&post).await),
            Route::Account
            | Route::SignIn
            | Route::Provider(_)
            | Route::Callback(_)
            | Route::Metadata
            | Route::Asset(_) => Ok(self.not_found()),
        };
        outcome.unwrap_or_else(|error: Error| self.error_of(post.head, &error))
    }

    fn not_found(&self) -> Page {
        self.error(StatusCode::NOT_FOUND, "There is no such page.")
    }

    fn counted(&self, route: Option<Route<'_>>, mut page: Page) -> Page {
        if let Some(route) = route.filter(|_| page.status != StatusCode::NOT_FOUND) {
            page.route = Some(self.pipeline.frontend().durations.route(route.label()));
        }
        page
    }
}

impl PageSite for Portal {
    const LOGGED: bool = true;

    fn pipeline(&self) -> &'static Pipeline {
        self.pipeline
    }

    async fn page_for(&'static self, head: &Parts, source: &Source) -> Page {
        let route = Route::of(head.uri.path());
        let page = match route {
            Some(route) => Box::pin(self.get(route, head, source)).await,
            None => self.not_found(),
        };
        self.counted(route, page)
    }

    fn methods(&self, head: &Parts) -> Methods {
        // What does not exist has no methods; the page says that it does not exist.
        Route::of(head.uri.path()).map_or(Methods::ReadAndPost, Route::methods)
    }

    async fn post(&'static self, post: Post<'_>) -> Page {
        let route = Route::of(post.head.uri.path());
        let page = match route {
            Some(route) => Box::pin(self.post_to(route, post)).await,
            None => self.not_found(),
        };
        self.counted(route, page)
    }

    fn error(&self, status: StatusCode, detail: &str) -> Page {
        message(status, SITE, status.canonical_reason().unwrap_or("Error"), detail, true)
    }

    fn error_of(&self, head: &Parts, error: &Error) -> Page {
        let status = error.code.status();
        if Route::of(head.uri.path()).is_some_and(Route::is_oauth) {
            return oauth::refusal(status, &error.detail);
        }
        let detail = match error.code {
            ErrorCode::Internal => "Something is wrong here. Try again later.",
            _ => &error.detail,
        };
        self.error(status, detail)
    }

    fn add_fields(&self, fields: &mut HeaderMap) {
        add_form_fields(fields);
    }
}

/// The browser goes on to another page.
fn redirect(location: &str) -> Page {
    let mut page = message(StatusCode::SEE_OTHER, SITE, "Go on", "The next page opens by itself.", true);
    match HeaderValue::try_from(location) {
        Ok(location) => {
            page.headers.insert(header::LOCATION, location);
            page
        }
        Err(_) => message(StatusCode::BAD_REQUEST, SITE, "Bad Request", "The address is not valid.", true),
    }
}

/// A time, as a page shows it.
fn shown(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// The first value of a parameter of the query.
fn query_value(head: &Parts, name: &str) -> Option<String> {
    let query = head.uri.query()?;
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find_map(|(found, value)| (found == name).then(|| value.into_owned()))
}

/// Somebody without a credential, for the audit log: with the address, unless a proxy hides it.
fn contact(source: &Source) -> Actor {
    Actor::contact(source.client.visible()).in_request(&source.request_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_one_route_and_its_label_has_no_secret() {
        for (path, expected) in [
            ("/", Some(Route::Account)),
            ("/auth/device", Some(Route::Device)),
            ("/auth/device/", None),
            ("/access", Some(Route::Access)),
            ("/access/", None),
            ("/access/s3cret", Some(Route::AccessRequest("s3cret"))),
            ("/access/s3cret/withdraw", Some(Route::Withdraw("s3cret"))),
            ("/access//withdraw", None),
            ("/access/s3cret/other", None),
            ("/claim/s3cret", Some(Route::Claim("s3cret"))),
            ("/claim/", None),
            ("/claim/a/b", None),
            ("/invitation/s3cret", Some(Route::Invitation("s3cret"))),
            ("/sign-in", Some(Route::SignIn)),
            ("/sign-in/", None),
            ("/sign-in/corp", Some(Route::Provider("corp"))),
            ("/sign-in/corp/callback", Some(Route::Callback("corp"))),
            ("/sign-in/link/callback", Some(Route::Callback("link"))),
            ("/sign-in/link/s3cret", Some(Route::Link("s3cret"))),
            ("/sign-in/link/", None),
            ("/sign-in/link/a/b", None),
            ("/sign-in/corp/other", None),
            ("/oauth/token", Some(Route::Token)),
            ("/style.css", Some(Route::Asset("style.css"))),
            ("/other.css", None),
        ] {
            let route = Route::of(path);
            assert_eq!(route, expected, "{path}");
            assert!(route.is_none_or(|route| !route.label().contains("s3cret")));
        }
    }
}
