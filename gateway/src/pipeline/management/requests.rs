//! Invitations and access requests: jobs on the store's thread, and the mail that follows from them.

use permissions::{InvitationId, RequestId};
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use uuid::Uuid;
use versions::management::{
    AccessRequestInfo, Approval, InvitationInfo, Page, PerEnvironment, RequestEventInfo, Requester,
};
use versions::{Error, v2026_11_15};

use crate::mail::Letter;
use crate::pipeline::Pipeline;
use crate::provisioning::{
    self, ApprovedFor, NewInvitation, NewLink, NewRequest, RequestView, Which, link_path,
};
use crate::store::requests;
use crate::store::requests::{AccessRequest, Invitation, RequestFilter, RequestState};

impl Pipeline {
    pub(super) async fn invitations(
        &self,
        requester: Requester,
        page: Page,
    ) -> Result<Vec<InvitationInfo>, Error> {
        let organization = requester.caller.organization;
        self.provision(requester, move |_, store, actor| {
            let after = page.after.map(|after| InvitationId(cursor(&after)));
            let found = provisioning::list_invitations(store, actor, organization, after, page.count)?;
            let info = |invitation: Invitation| {
                let role = provisioning::role_name(&mut **store, invitation.role)?;
                Ok(invitation_info(invitation, role))
            };
            found.into_iter().map(info).collect()
        })
        .await
    }

    pub(super) async fn invite(
        &self,
        requester: Requester,
        role: String,
        email: Option<String>,
    ) -> Result<(InvitationInfo, String), Error> {
        let (organization, lifetime) = (requester.caller.organization, self.requests.invitation_lifetime);
        let work =
            move |tools: &super::Tools, store: &mut crate::store::Store, actor: &provisioning::Actor| {
                // Before anything is said of roles.
                actor.require_step_up(tools.clock().now())?;
                let role = provisioning::find_role_by_name(&mut **store, organization, &role)?;
                let new = NewInvitation { organization, email, role, lifetime };
                let (rng, clock) = (&mut OsRng.unwrap_err(), tools.clock());
                let invited = provisioning::invite(store, clock, rng, &tools.secret, actor, &new)?;
                let role = provisioning::role_name(&mut **store, role)?;
                let name = store.find_partner(&organization.to_string())?.map(|found| found.name);
                Ok((invited, role, name.unwrap_or_default()))
            };
        let (invited, role, organization) = self.provision(requester, work).await?;
        let link = self.link(&invited.link);
        if let Some(to) = &invited.invitation.email {
            let expires = second(invited.invitation.expires);
            self.mail(Letter::invitation(to, &organization, &role, &link, &expires));
        }
        Ok((invitation_info(invited.invitation, role), link))
    }

    pub(super) async fn end_invitation(&self, requester: Requester, id: InvitationId) -> Result<(), Error> {
        let work =
            move |tools: &super::Tools, store: &mut crate::store::Store, actor: &provisioning::Actor| {
                provisioning::revoke_invitation(store, tools.clock(), actor, id).map(drop)
            };
        self.provision(requester, work).await
    }

    pub(super) async fn access_requests(
        &self,
        requester: Requester,
        state: Option<&'static str>,
        page: Page,
    ) -> Result<Vec<AccessRequestInfo>, Error> {
        self.provision(requester, move |_, store, actor| {
            let state = state.and_then(|name| name.parse::<RequestState>().ok());
            let after = page.after.map(|after| RequestId(cursor(&after)));
            let filter = RequestFilter { state, after, count: page.count, ..RequestFilter::default() };
            let found = provisioning::list_requests(store, actor, filter)?;
            Ok(found.into_iter().map(request_info).collect())
        })
        .await
    }

    pub(super) async fn file(
        &self,
        requester: Requester,
        use_case: String,
        (staging, production): PerEnvironment,
    ) -> Result<AccessRequestInfo, Error> {
        let (open_max, environment) = (self.requests.open_max, requester.caller.environment);
        let work =
            move |tools: &super::Tools, store: &mut crate::store::Store, actor: &provisioning::Actor| {
                let new = NewRequest {
                    organization: String::new(),
                    contact: String::new(),
                    email: String::new(),
                    use_case,
                    wanted: requests::PerEnvironment { staging, production },
                };
                let (rng, clock) = (&mut OsRng.unwrap_err(), tools.clock());
                provisioning::file_request(store, clock, rng, &tools.secret, actor, &new, open_max)
            };
        let request = self.provision(requester, work).await?.request;
        // A key has no mailbox.
        if !request.email.is_empty()
            && let Some(server) = self.snapshot().server(environment)
        {
            let list = v2026_11_15::ACCESS_REQUESTS.trim_end_matches(".json");
            let link = format!("{}{list}/{}.json", server.url, request.id);
            self.mail(Letter::permissions_asked(&request.email, &link));
        }
        Ok(request_info(request))
    }

    pub(super) async fn access_request(
        &self,
        requester: Requester,
        id: RequestId,
    ) -> Result<(AccessRequestInfo, Vec<RequestEventInfo>), Error> {
        let view =
            self.provision(requester, move |_, store, actor| provisioning::show_request(store, actor, id));
        let RequestView { request, events, .. } = view.await?;
        let event = |event: requests::RequestEvent| RequestEventInfo {
            at: event.at,
            actor: event.actor,
            action: event.action.name(),
            text: event.text,
        };
        Ok((request_info(request), events.into_iter().map(event).collect()))
    }

    /// Adds a text to a request, or without one withdraws it.
    pub(super) async fn add_or_withdraw(
        &self,
        requester: Requester,
        id: RequestId,
        text: Option<String>,
    ) -> Result<AccessRequestInfo, Error> {
        let work = move |tools: &super::Tools,
                         store: &mut crate::store::Store,
                         actor: &provisioning::Actor| {
            let (clock, secret) = (tools.clock(), &tools.secret);
            match text {
                Some(text) => provisioning::add_to_request(store, clock, secret, actor, Which::Id(id), &text),
                None => provisioning::withdraw_request(store, clock, secret, actor, Which::Id(id)),
            }
        };
        self.provision(requester, work).await.map(|(request, _)| request_info(request))
    }

    pub(super) async fn approve(
        &self,
        requester: Requester,
        id: RequestId,
        approval: Approval,
    ) -> Result<(AccessRequestInfo, Option<String>), Error> {
        let text = approval.text.clone();
        let approval = provisioning::Approval {
            staging: approval.staging,
            production: approval.production,
            wider: approval.wider,
            organization: approval.organization.map_or(ApprovedFor::AsAsked, ApprovedFor::Existing),
            text: approval.text,
            claim_lifetime: self.requests.claim_lifetime,
        };
        let work =
            move |tools: &super::Tools, store: &mut crate::store::Store, actor: &provisioning::Actor| {
                let (rng, clock) = (&mut OsRng.unwrap_err(), tools.clock());
                provisioning::approve_request(store, clock, rng, &tools.secret, actor, id, &approval)
            };
        let approved = self.provision(requester, work).await?;
        let link = approved.claim.as_ref().map(|claim| (self.link(claim), second(claim.expires)));
        let to = &approved.request.email;
        match &link {
            Some((link, expires)) => self.mail(Letter::approved(to, link, expires, &text)),
            None if !to.is_empty() => self.mail(Letter::widened(to, &text)),
            None => {}
        }
        Ok((request_info(approved.request), link.map(|(link, _)| link)))
    }

    pub(super) async fn ask(
        &self,
        requester: Requester,
        id: RequestId,
        question: String,
    ) -> Result<AccessRequestInfo, Error> {
        let asked = question.clone();
        let work =
            move |tools: &super::Tools, store: &mut crate::store::Store, actor: &provisioning::Actor| {
                provisioning::ask_back(store, tools.clock(), actor, id, &question)
            };
        let (request, _) = self.provision(requester, work).await?;
        if !request.email.is_empty() {
            self.mail(Letter::asked_back(&request.email, &asked));
        }
        Ok(request_info(request))
    }

    pub(super) async fn reject(
        &self,
        requester: Requester,
        id: RequestId,
        reason: String,
    ) -> Result<AccessRequestInfo, Error> {
        let because = reason.clone();
        let work =
            move |tools: &super::Tools, store: &mut crate::store::Store, actor: &provisioning::Actor| {
                provisioning::reject_request(store, tools.clock(), actor, id, &reason)
            };
        let (request, _) = self.provision(requester, work).await?;
        if !request.email.is_empty() {
            self.mail(Letter::rejected(&request.email, &because));
        }
        Ok(request_info(request))
    }

    /// Where a link leads: a URL, or without the portal's address a path there.
    fn link(&self, link: &NewLink) -> String {
        format!("{}{}{}", self.portal_url, link_path(link.kind), link.code.expose())
    }

    /// Sends a letter, where mail is configured and links lead somewhere.
    fn mail(&self, letter: Letter) {
        if let Some(mailer) = self.mailer().filter(|_| !self.portal_url.is_empty()) {
            // A full queue drops it, and says so in the log.
            mailer.send(letter);
        }
    }
}

/// The id of a cursor; nothing follows what is none.
fn cursor(text: &str) -> Uuid {
    text.parse().unwrap_or(Uuid::max())
}

fn second(moment: jiff::Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn invitation_info(invitation: Invitation, role: String) -> InvitationInfo {
    InvitationInfo {
        id: invitation.id,
        email: invitation.email,
        role,
        created: invitation.created,
        expires: invitation.expires,
        accepted: invitation.accepted.is_some(),
        revoked: invitation.revoked.is_some(),
    }
}

fn request_info(request: AccessRequest) -> AccessRequestInfo {
    let per = |per: requests::PerEnvironment| (per.staging, per.production);
    AccessRequestInfo {
        id: request.id,
        organization: request.name,
        organization_id: request.organization,
        contact: request.contact,
        email: request.email,
        use_case: request.use_case,
        wanted: per(request.wanted),
        granted: request.granted.map(per),
        state: request.state.name(),
        created: request.created,
        updated: request.updated,
    }
}
