//! Sign-in in a browser: through an identity provider, or by a one-time link; and sign-out.

use askama::Template;
use form_urlencoded::byte_serialize;
use http::StatusCode;
use http::request::Parts;
use jiff::Timestamp;
use permissions::Identity as PersonIdentity;
use tracing::warn;

use super::pending::Pending;
use super::visitor::{Visitor, forget_session, set_invitation, set_sign_in, sign_ins};
use super::{Portal, SITE, contact, query_value, redirect};
use crate::identity::{SIGN_IN_LIFETIME, SignInError, VerifiedSession};
use crate::provisioning::{ProvisioningError, end_session, use_sign_in_link};
use crate::sites::html::{SiteView, message, page};
use crate::sites::page::{Page, Post, Source};

/// A user code as it is carried along is no longer than a person would write it.
const USER_CODE_BYTES_MAX: usize = 32;

#[derive(Template)]
#[template(path = "portal/sign_in.html")]
struct SignInPage<'a> {
    site: SiteView<'a>,
    providers: Vec<Choice<'a>>,
    is_for_device: bool,
}

struct Choice<'a> {
    name: &'a str,
    link: String,
}

#[derive(Template)]
#[template(path = "portal/link.html")]
struct LinkPage<'a> {
    site: SiteView<'a>,
    action: String,
}

/// Where a person goes after the sign-in.
fn destination(user_code: Option<&str>) -> String {
    with_code("/auth/device", user_code).filter(|_| user_code.is_some()).unwrap_or_else(|| "/".to_owned())
}

/// The path of a page, with the code of a device.
fn with_code(path: &str, user_code: Option<&str>) -> Option<String> {
    let code = user_code?;
    Some(format!("{path}?user_code={}", byte_serialize(code.as_bytes()).collect::<String>()))
}

/// The code of a device that a link carries; the device page without one where it is empty.
pub(super) fn carried_code(head: &Parts) -> Option<String> {
    query_value(head, "user_code").filter(|code| code.len() <= USER_CODE_BYTES_MAX)
}

/// Sends somebody who is not signed in to the sign-in, and back to the device afterwards.
fn sign_in_first(user_code: Option<&str>) -> Page {
    redirect(&with_code("/sign-in", user_code).unwrap_or_else(|| "/sign-in".to_owned()))
}

impl Portal {
    /// Who has sent this request, or the page that is sent instead: to sign in first, and to come back to the code of
    /// a device.
    pub(super) async fn require_visitor(
        &'static self,
        head: &Parts,
        user_code: Option<&str>,
    ) -> Result<Visitor, Page> {
        match self.visitor(head).await {
            Ok(Some(visitor)) => Ok(visitor),
            Ok(None) => Err(sign_in_first(user_code)),
            Err(error) => Err(self.failure(&error)),
        }
    }

    /// `/sign-in`: the ways to sign in. They are links: browsers apply the policy for forms to redirects too.
    pub(super) async fn sign_in(&'static self, head: &Parts) -> Page {
        let user_code = carried_code(head);
        match self.visitor(head).await {
            Ok(Some(_)) => return redirect(&destination(user_code.as_deref())),
            Ok(None) => {}
            Err(error) => return self.failure(&error),
        }
        let providers = self.identity.providers().filter(|provider| provider.signs_in());
        let choice = |name| {
            let path = format!("/sign-in/{name}");
            Choice { name, link: with_code(&path, user_code.as_deref()).unwrap_or(path) }
        };
        let providers = providers.map(|provider| choice(provider.name())).collect();
        page(StatusCode::OK, &SignInPage { site: SITE, providers, is_for_device: user_code.is_some() })
    }

    /// `/sign-in/{provider}`: off to the provider. With `again`, the person must prove anew who they are.
    pub(super) async fn begin_sign_in(&'static self, head: &Parts, name: &str) -> Page {
        let Some(provider) = self.identity.provider(name).filter(|provider| provider.signs_in()) else {
            return self.not_found();
        };
        let redirect_uri = self.url(&format!("/sign-in/{name}/callback"));
        let max_age = query_value(head, "again").map(|_| std::time::Duration::ZERO);
        let begin = || provider.begin(&redirect_uri, max_age, self.now(), &mut rand::rng());
        let begun = match begin() {
            Err(SignInError::Undiscovered) => {
                // Why it cannot be reached is logged by the fetch.
                let _ = provider.refreshed().await;
                begin()
            }
            begun => begun,
        };
        let Ok((location, sign_in)) = begun else {
            let text = format!("The identity provider {name} cannot be reached now. Try again in a moment.");
            return message(StatusCode::SERVICE_UNAVAILABLE, SITE, "Not reachable", &text, true);
        };
        let pending = Pending { sign_in, user_code: carried_code(head) };
        let Some(cookie) = self.sealer.seal(&pending) else {
            let text = "Something is wrong here. Try again later.";
            return message(StatusCode::INTERNAL_SERVER_ERROR, SITE, "That did not work", text, true);
        };
        let mut page = redirect(&location);
        page.status = StatusCode::FOUND;
        set_sign_in(&mut page, &cookie, SIGN_IN_LIFETIME.as_secs().unsigned_abs());
        page
    }

    /// `/sign-in/{provider}/callback`: back from the provider.
    pub(super) async fn finish_sign_in(&'static self, head: &Parts, name: &str, source: &Source) -> Page {
        let Some(provider) = self.identity.provider(name).filter(|provider| provider.signs_in()) else {
            return self.not_found();
        };
        let mut page = match sign_ins(head).find_map(|cookie| self.sealer.open(cookie)) {
            None => refused("The sign-in was not begun in this browser, or too long ago. Start it again."),
            Some(Pending { sign_in, user_code }) => {
                let query = head.uri.query().unwrap_or_default();
                match provider.finish(sign_in, query, self.clock()).await {
                    Ok(session) => self.signed_in(head, source, &session, user_code.as_deref()).await,
                    Err(error) => {
                        let cause = std::error::Error::source(&error).map(ToString::to_string);
                        warn!(provider = name, error.name = error.name(), error = %error, cause, "A sign-in failed");
                        let mut text = error.to_string();
                        if let Some(first) = text.get_mut(..1) {
                            first.make_ascii_uppercase();
                        }
                        refused(&format!("{text}. Start the sign-in again."))
                    }
                }
            }
        };
        set_sign_in(&mut page, "", 0);
        page
    }

    async fn signed_in(
        &'static self,
        head: &Parts,
        source: &Source,
        session: &VerifiedSession,
        user_code: Option<&str>,
    ) -> Page {
        let waiting = self.accept_waiting(head, source, session).await;
        let is_waiting = waiting.is_some();
        let mut page = match waiting {
            Some(Err(page)) => page,
            Some(Ok(())) | None => self.enter_as(head, source, session, user_code).await,
        };
        if is_waiting {
            set_invitation(&mut page, None);
        }
        page
    }

    async fn enter_as(
        &'static self,
        head: &Parts,
        source: &Source,
        session: &VerifiedSession,
        user_code: Option<&str>,
    ) -> Page {
        let identity =
            PersonIdentity { issuer: session.issuer().to_owned(), subject: session.subject.clone() };
        let user = self.run(move |_, store| Ok(store.find_user(&identity)?)).await;
        // Without its word, nobody knows when the person proved who they are, and it counts as long ago.
        let authenticated = session.auth_time.unwrap_or(Timestamp::UNIX_EPOCH);
        let entered = match user {
            Ok(Some(user)) => self.enter(head, source, user.id, authenticated, &destination(user_code)).await,
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        };
        match entered {
            Ok(Some(page)) => page,
            Ok(None) => no_member(),
            Err(error) => self.failure(&error),
        }
    }

    /// `GET /sign-in/link/{code}`: a button. The link works once, and programs that scan mail open links.
    pub(super) fn link(&self, code: &str) -> Page {
        let code: String = byte_serialize(code.as_bytes()).collect();
        page(StatusCode::OK, &LinkPage { site: SITE, action: format!("/sign-in/link/{code}") })
    }

    /// `POST /sign-in/link/{code}`.
    pub(super) async fn use_link(&'static self, post: &Post<'_>, code: &str) -> Page {
        if let Err(seconds) = self.count_code(post.source.client) {
            return self.too_many_codes(seconds);
        }
        let code = zeroize::Zeroizing::new(code.to_owned());
        let actor = contact(&post.source);
        let used = self
            .run(move |portal, store| use_sign_in_link(store, portal.clock(), &portal.secret, &actor, &code));
        let user = match used.await {
            Ok((user, _)) => user.id,
            Err(ProvisioningError::LinkUsed { .. }) => {
                return refused("This link was used already, and works once. Ask for another.");
            }
            Err(ProvisioningError::UnknownLink | ProvisioningError::LinkExpired { .. }) => {
                return refused("There is no such link, or it has expired. Ask for another.");
            }
            Err(error) => return self.failure(&error),
        };
        match self.enter(post.head, &post.source, user, self.now(), "/").await {
            Ok(Some(page)) => page,
            Ok(None) => no_member(),
            Err(error) => self.failure(&error),
        }
    }

    /// `POST /sign-out`.
    pub(super) async fn sign_out(&'static self, post: &Post<'_>) -> Page {
        let ended = match self.visitor(post.head).await {
            Ok(Some(visitor)) => {
                let actor = visitor.own_actor(&post.source);
                self.run(move |portal, store| {
                    let Some(actor) = actor else { return Ok(()) };
                    let session = &visitor.session;
                    end_session(store, portal.clock(), &actor, session.user, session.id).map(drop)
                })
                .await
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error),
        };
        let mut page = match ended {
            Ok(()) => {
                message(StatusCode::OK, SITE, "Signed out", "You are signed out in this browser.", true)
            }
            Err(error) => self.failure(&error),
        };
        forget_session(&mut page);
        page
    }
}

fn refused(text: &str) -> Page {
    message(StatusCode::FORBIDDEN, SITE, "Not signed in", text, true)
}

fn no_member() -> Page {
    let text = "You have proved who you are, but you are a member of no organization here. Ask an owner of your \
                organization for an invitation.";
    message(StatusCode::FORBIDDEN, SITE, "No access yet", text, false)
}
