//! `/`: a person's devices and sessions, each of which can be ended.

use askama::Template;
use http::StatusCode;
use http::request::Parts;
use permissions::{SessionId, TokenId};
use versions::{Error, ErrorCode};

use super::{Portal, SITE, redirect, shown};
use crate::provisioning::{
    ProvisioningError, end_session, list_sessions, list_tokens, not_found, revoke_token,
};
use crate::sites::html::{SiteView, page};
use crate::sites::page::{Page, Post, Source};
use crate::store::people::TokenFilter;

#[derive(Template)]
#[template(path = "portal/account.html")]
struct AccountPage<'a> {
    site: SiteView<'a>,
    user: &'a str,
    providers: Vec<&'a str>,
    devices: Vec<Device>,
    sessions: Vec<Browser>,
}

struct Device {
    id: String,
    app: String,
    device: String,
    organization: String,
    environment: &'static str,
    created: String,
    last_used: String,
    expires: String,
}

struct Browser {
    id: String,
    agent: String,
    address: String,
    created: String,
    last_seen: String,
    is_this: bool,
}

impl Portal {
    pub(super) async fn account(&'static self, head: &Parts) -> Page {
        let visitor = match self.require_visitor(head, None).await {
            Ok(visitor) => visitor,
            Err(page) => return page,
        };
        let user = visitor.user.id;
        let listed = self.run(move |portal, store| {
            let filter = TokenFilter { user: Some(user), ..TokenFilter::default() };
            let tokens = list_tokens(store, filter)?;
            Ok((tokens, list_sessions(store, portal.clock(), portal.session_times(), user)?))
        });
        let (tokens, sessions) = match listed.await {
            Ok(listed) => listed,
            Err(error) => return self.failure(&error),
        };
        let now = self.now();
        let tokens = tokens.into_iter().filter(|token| token.revoked.is_none() && token.expires > now);
        let devices = tokens.map(|token| {
            let place = visitor.places.iter().find(|place| place.member.membership.id == token.membership);
            Device {
                id: token.id.to_string(),
                app: token.app,
                device: token.device,
                organization: place.map(|place| place.organization.clone()).unwrap_or_default(),
                environment: token.environment.name(),
                created: shown(token.created),
                last_used: token.last_used.map_or_else(|| "never".to_owned(), shown),
                expires: shown(token.expires),
            }
        });
        let sessions = sessions.into_iter().map(|session| Browser {
            is_this: session.id == visitor.session.id,
            id: session.id.to_string(),
            agent: session.agent,
            address: session.address,
            created: shown(session.created),
            last_seen: shown(session.last_seen),
        });
        let providers = self.identity.providers().filter(|provider| provider.signs_in());
        let view = AccountPage {
            site: SITE,
            user: &visitor.user.name,
            providers: providers.map(|provider| provider.name()).collect(),
            devices: devices.collect(),
            sessions: sessions.collect(),
        };
        page(StatusCode::OK, &view)
    }

    /// `POST /devices/end`: revokes the token of a device of one's own.
    pub(super) async fn end_device(&'static self, post: &Post<'_>) -> Result<Page, Error> {
        let id: TokenId = id_of(post)?;
        let visitor = match self.require_visitor(post.head, None).await {
            Ok(visitor) => visitor,
            Err(page) => return Ok(page),
        };
        let source = Source::clone(&post.source);
        let ended = self.run(move |portal, store| {
            let absent = || not_found("device", id);
            let token = store.token(id)?.ok_or_else(absent)?;
            // One of another person's is as absent as any.
            let actor = visitor.actor(token.membership, token.environment, &source).ok_or_else(absent)?;
            revoke_token(store, portal.clock(), &actor, id).map(drop)
        });
        Ok(self.back(ended.await))
    }

    /// `POST /sessions/end`: ends a session of one's own.
    pub(super) async fn end_session(&'static self, post: &Post<'_>) -> Result<Page, Error> {
        let id: SessionId = id_of(post)?;
        let visitor = match self.require_visitor(post.head, None).await {
            Ok(visitor) => visitor,
            Err(page) => return Ok(page),
        };
        let actor = visitor.own_actor(&post.source);
        let ended = self.run(move |portal, store| {
            let actor = actor.ok_or_else(|| not_found("session", id))?;
            end_session(store, portal.clock(), &actor, visitor.user.id, id).map(drop)
        });
        Ok(self.back(ended.await))
    }

    fn back(&self, outcome: Result<(), ProvisioningError>) -> Page {
        match outcome {
            Ok(()) => redirect("/"),
            Err(error) => self.failure(&error),
        }
    }
}

fn id_of<T: std::str::FromStr>(post: &Post<'_>) -> Result<T, Error> {
    let id = post.form.one("id")?.and_then(|id| id.parse().ok());
    id.ok_or_else(|| Error::new(ErrorCode::MalformedRequest, "The form needs the field `id`."))
}
