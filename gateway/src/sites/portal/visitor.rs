//! Who visits a page: the session of a browser, and the memberships of its user.

use http::request::Parts;
use http::{HeaderValue, header};
use jiff::Timestamp;
use permissions::{Environment, MembershipId, User, UserId};
use zeroize::Zeroizing;

use super::Portal;
use crate::http::{SameSite, SetCookie, cookies};
use crate::identity::SIGN_IN_LIFETIME;
use crate::provisioning::{Actor, NewSession, ProvisioningError, create_session, find_session};
use crate::sites::page::{Page, Source};
use crate::store::people::{Member, MemberFilter};
use crate::store::sign_in::Session;

/// The cookie of a session. Browsers take it from this host only, and over TLS only.
const SESSION_COOKIE: &str = "__Host-session";
/// The cookie of a sign-in on its way.
const SIGN_IN_COOKIE: &str = "__Host-sign-in";
/// The cookie of an invitation that waits for its sign-in.
const INVITATION_COOKIE: &str = "__Host-invitation";
/// How many cookies of one name are looked at.
const COOKIES_MAX: usize = 4;

/// Somebody who is signed in.
pub(super) struct Visitor {
    pub(super) session: Session,
    pub(super) user: User,
    pub(super) places: Vec<Place>,
}

/// A membership, with the organization's name.
pub(super) struct Place {
    pub(super) member: Member,
    pub(super) organization: String,
}

impl Visitor {
    /// The visitor as a member.
    pub(super) fn actor(
        &self,
        membership: MembershipId,
        environment: Environment,
        source: &Source,
    ) -> Option<Actor> {
        let place = self.places.iter().find(|place| place.member.membership.id == membership)?;
        let authenticated = self.session.authenticated;
        let address = source.client.visible();
        let actor = Actor::member(&place.member.membership, environment, authenticated, address);
        Some(actor.in_request(&source.request_id))
    }

    /// The visitor as a member of their first organization, for what concerns only the visitor.
    pub(super) fn own_actor(&self, source: &Source) -> Option<Actor> {
        let membership = self.places.first()?.member.membership.id;
        self.actor(membership, Environment::Staging, source)
    }
}

impl Portal {
    /// Who has sent this request; none where nobody is signed in.
    pub(super) async fn visitor(&'static self, head: &Parts) -> Result<Option<Visitor>, ProvisioningError> {
        let texts: Vec<_> = cookies(head, SESSION_COOKIE)
            .take(COOKIES_MAX)
            .map(|text| Zeroizing::new(text.to_owned()))
            .collect();
        if texts.is_empty() {
            return Ok(None);
        }
        self.run(move |portal, store| {
            for text in &texts {
                let found =
                    find_session(store, portal.clock(), &portal.secret, portal.session_times(), text)?;
                let Some(session) = found else { continue };
                let Some(user) = store.user(session.user)? else { continue };
                let filter = MemberFilter { user: Some(user.id), ..MemberFilter::default() };
                let mut places = Vec::new();
                for member in store.list_members(filter)? {
                    let organization = store.find_partner(&member.membership.organization.to_string())?;
                    let organization = organization.map(|partner| partner.name).unwrap_or_default();
                    places.push(Place { member, organization });
                }
                return Ok(Some(Visitor { session, user, places }));
            }
            Ok(None)
        })
        .await
    }

    /// Signs a user in and sends the browser on; none for a user who is a member of no organization.
    pub(super) async fn enter(
        &'static self,
        head: &Parts,
        source: &Source,
        user: UserId,
        authenticated: Timestamp,
        location: &str,
    ) -> Result<Option<Page>, ProvisioningError> {
        let replaces = self.visitor(head).await?.filter(|visitor| visitor.user.id == user);
        let agent = head.headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
        let new = NewSession {
            user,
            authenticated,
            agent: agent.unwrap_or_default().to_owned(),
            address: source.client.visible(),
            request_id: Some(source.request_id.clone()),
            replaces: replaces.map(|visitor| visitor.session.id),
        };
        let created = self.run(move |portal, store| {
            let (rng, times) = (&mut rand::rng(), portal.session_times());
            create_session(store, portal.clock(), rng, &portal.secret, times, &new)
        });
        let Some((_, text)) = created.await? else { return Ok(None) };
        let mut page = super::redirect(location);
        add_cookie(&mut page, SESSION_COOKIE, &text, self.settings.session_lifetime.as_secs());
        Ok(Some(page))
    }
}

/// Removes the cookie of the session.
pub(super) fn forget_session(page: &mut Page) {
    add_cookie(page, SESSION_COOKIE, "", 0);
}

/// Adds the cookie of a sign-in on its way; an empty one removes it.
pub(super) fn set_sign_in(page: &mut Page, value: &str, seconds: u64) {
    add_cookie(page, SIGN_IN_COOKIE, value, seconds);
}

/// The sealed sign-ins that a browser brings back.
pub(super) fn sign_ins(head: &Parts) -> impl Iterator<Item = &str> {
    cookies(head, SIGN_IN_COOKIE).take(COOKIES_MAX)
}

/// Lets an invitation wait for the sign-in of the person who accepts it; none removes it. Its code must be one that was found.
pub(super) fn set_invitation(page: &mut Page, code: Option<&str>) {
    let seconds = code.map_or(0, |_| SIGN_IN_LIFETIME.as_secs().unsigned_abs());
    add_cookie(page, INVITATION_COOKIE, code.unwrap_or_default(), seconds);
}

/// The codes of the invitations that wait in a browser.
pub(super) fn invitations(head: &Parts) -> impl Iterator<Item = &str> {
    cookies(head, INVITATION_COOKIE).take(COOKIES_MAX)
}

fn add_cookie(page: &mut Page, name: &str, value: &str, seconds: u64) {
    let cookie = SetCookie {
        name,
        value,
        path: "/",
        is_secure: true,
        // The way back from a provider is a link of another site.
        same_site: SameSite::Lax,
        max_age_seconds: Some(seconds),
    };
    let field: HeaderValue =
        cookie.field().expect("names and values are of letters, digits, dashes and underscores");
    page.headers.append(header::SET_COOKIE, field);
}
