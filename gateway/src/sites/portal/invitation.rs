//! `/invitation/{code}`: a person joins the organization that invites them.

use askama::Template;
use http::StatusCode;
use http::request::Parts;
use permissions::Identity as PersonIdentity;
use versions::Error;
use zeroize::Zeroizing;

use super::visitor::{invitations, set_invitation};
use super::{Portal, SITE, contact, redirect, shown};
use crate::http::ClientAddress;
use crate::identity::VerifiedSession;
use crate::provisioning::{
    Invitee, LinkState, ProvisioningError, accept_invitation, invitation_info, sentence,
};
use crate::sites::html::{SiteView, message, page};
use crate::sites::page::{Page, Post, Source};

#[derive(Template)]
#[template(path = "portal/invitation.html")]
struct InvitationPage<'a> {
    site: SiteView<'a>,
    organization: &'a str,
    role: &'a str,
    expires: String,
    action: String,
    user: Option<&'a str>,
    has_providers: bool,
    is_addressed: bool,
    name: &'a str,
    problem: Option<&'a str>,
}

impl Portal {
    /// `GET /invitation/{code}`: who invites, and a button.
    pub(super) async fn invitation(&'static self, head: &Parts, code: &str, client: ClientAddress) -> Page {
        if let Err(seconds) = self.count_code(client) {
            return self.too_many_codes(seconds);
        }
        self.show_invitation(StatusCode::OK, head, code, "", None).await
    }

    /// `POST /invitation/{code}`: a signed-in user joins. Others sign in first, or where no provider does
    /// that, gives a name and is signed in.
    ///
    /// # Errors
    /// [`versions::ErrorCode::MalformedRequest`] for a field that is there twice.
    pub(super) async fn accept_invitation(&'static self, post: &Post<'_>, code: &str) -> Result<Page, Error> {
        let name = post.form.one("name")?.unwrap_or_default().to_owned();
        if let Err(seconds) = self.count_code(post.source.client) {
            return Ok(self.too_many_codes(seconds));
        }
        let (invitee, authenticated) = match self.visitor(post.head).await {
            Ok(Some(visitor)) => (Invitee::User(visitor.user.id), visitor.session.authenticated),
            Ok(None) if self.has_providers() => {
                // The code waits in the browser, set by a form of this site: a link of another site accepts nothing.
                let shown = self.show_invitation(StatusCode::OK, post.head, code, "", None).await;
                if shown.status != StatusCode::OK {
                    return Ok(shown);
                }
                let mut page = redirect("/sign-in");
                set_invitation(&mut page, Some(code));
                return Ok(page);
            }
            Ok(None) => (Invitee::New { name: name.clone(), email: None, identity: None }, self.now()),
            Err(error) => return Ok(self.failure(&error)),
        };
        let accepted = self.accept(&post.source, code, invitee).await;
        Ok(match accepted {
            Ok(user) => match self.enter(post.head, &post.source, user, authenticated, "/").await {
                Ok(Some(page)) => page,
                Ok(None) => self.unknown_link(),
                Err(error) => self.failure(&error),
            },
            Err(ProvisioningError::Name) => {
                let problem = sentence(&ProvisioningError::Name.to_string());
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                self.show_invitation(status, post.head, code, &name, Some(&problem)).await
            }
            Err(error) => self.invitation_failure(&error),
        })
    }

    /// Accepts the invitation that waits in a browser, for somebody who is back from a provider; none where none waits.
    pub(super) async fn accept_waiting(
        &'static self,
        head: &Parts,
        source: &Source,
        session: &VerifiedSession,
    ) -> Option<Result<(), Page>> {
        let code = Zeroizing::new(invitations(head).next()?.to_owned());
        // An address counts only where the provider speaks for its domain.
        let email = session.linking_email().map(str::to_owned);
        let name = email.clone().unwrap_or_else(|| session.subject.clone());
        let identity =
            PersonIdentity { issuer: session.issuer().to_owned(), subject: session.subject.clone() };
        let invitee = Invitee::New { name, email, identity: Some(identity) };
        Some(match self.accept(source, &code, invitee).await {
            Ok(_) | Err(ProvisioningError::MemberExists) => Ok(()),
            Err(error) => Err(self.invitation_failure(&error)),
        })
    }

    async fn accept(
        &'static self,
        source: &Source,
        code: &str,
        invitee: Invitee,
    ) -> Result<permissions::UserId, ProvisioningError> {
        let (actor, owned) = (contact(source), Zeroizing::new(code.to_owned()));
        let accepted = self.run(move |portal, store| {
            let (clock, secret, rng) = (portal.clock(), &portal.secret, &mut rand::rng());
            accept_invitation(store, clock, rng, secret, &actor, &owned, &invitee)
        });
        accepted.await.map(|(member, _)| member.user.id)
    }

    async fn show_invitation(
        &'static self,
        status: StatusCode,
        head: &Parts,
        code: &str,
        name: &str,
        problem: Option<&str>,
    ) -> Page {
        let owned = Zeroizing::new(code.to_owned());
        let found = self
            .run(move |portal, store| invitation_info(store, portal.clock(), &portal.secret, &owned))
            .await;
        let info = match found {
            Ok(info) => info,
            Err(error) => return self.invitation_failure(&error),
        };
        if let Some(at) = info.invitation.revoked {
            return self.invitation_failure(&ProvisioningError::InvitationRevoked { at });
        }
        let expires = match info.state {
            LinkState::Ready { expires } => shown(expires),
            LinkState::Used { at } => return self.invitation_failure(&ProvisioningError::LinkUsed { at }),
            LinkState::Expired { at } => {
                return self.invitation_failure(&ProvisioningError::LinkExpired { at });
            }
        };
        let visitor = match self.visitor(head).await {
            Ok(visitor) => visitor,
            Err(error) => return self.failure(&error),
        };
        let view = InvitationPage {
            site: SITE,
            organization: &info.organization,
            role: &info.role,
            expires,
            action: format!("/invitation/{code}"),
            user: visitor.as_ref().map(|visitor| &*visitor.user.name),
            has_providers: self.has_providers(),
            is_addressed: info.invitation.email.is_some(),
            name,
            problem,
        };
        page(status, &view)
    }

    fn has_providers(&self) -> bool {
        self.identity.providers().any(|provider| provider.signs_in())
    }

    fn invitation_failure(&self, error: &ProvisioningError) -> Page {
        let (title, text) = match error {
            ProvisioningError::UnknownLink => return self.unknown_link(),
            ProvisioningError::LinkUsed { at } => {
                ("Accepted already", format!("This invitation was accepted on {}.", shown(*at)))
            }
            ProvisioningError::LinkExpired { at } => {
                ("Expired", format!("This invitation expired on {}. Ask for another.", shown(*at)))
            }
            ProvisioningError::InvitationRevoked { at } => {
                ("Revoked", format!("This invitation was revoked on {}.", shown(*at)))
            }
            ProvisioningError::InvitedAddress => {
                let text = "The invitation is for an e-mail address that is not known to be yours. Sign out, open \
                            the link again and sign in with an account whose provider has verified that address, or ask for \
                            an invitation without an address. This one stays open.";
                return message(StatusCode::FORBIDDEN, SITE, "For somebody else", text, true);
            }
            ProvisioningError::MemberExists => {
                let text = "You are a member of this organization already. The invitation stays open.";
                return message(StatusCode::CONFLICT, SITE, "Member already", text, true);
            }
            error => return self.failure(error),
        };
        message(StatusCode::GONE, SITE, title, &text, true)
    }
}
