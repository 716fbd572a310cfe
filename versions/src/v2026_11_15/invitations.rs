//! Invitations to the caller's organization: list, create, revoke. The invited person accepts on the portal.

use http::{Method, StatusCode};
use jiff::Timestamp;
use permissions::{ApiAccessPermission, InvitationId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keys::DateTime;
use super::list::{self, Limit};
use crate::management::InvitationInfo;
use crate::{Context, Endpoint, Error, ErrorCode, Handler, NoContent};

/// An invitation.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Invitation {
    /// Its id.
    pub id: Uuid,
    /// The e-mail address of the person, or null.
    pub email: Option<String>,
    /// The role that the person will have.
    pub role: String,
    /// What has become of it.
    pub state: InvitationState,
    /// When it was created.
    #[schemars(with = "DateTime")]
    pub created: Timestamp,
    /// When it expires.
    #[schemars(with = "DateTime")]
    pub expires: Timestamp,
}

/// What has become of an invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum InvitationState {
    /// It can be accepted.
    Open,
    /// It was accepted.
    Accepted,
    /// It was revoked.
    Revoked,
    /// It has expired.
    Expired,
}

impl Invitation {
    fn new(info: InvitationInfo, now: Timestamp) -> Self {
        let state = if info.revoked {
            InvitationState::Revoked
        } else if info.accepted {
            InvitationState::Accepted
        } else if info.expires <= now {
            InvitationState::Expired
        } else {
            InvitationState::Open
        };
        let InvitationInfo { id, email, role, created, expires, .. } = info;
        Self { id: id.0, email, role, state, created, expires }
    }

    fn example() -> Self {
        Self {
            id: Uuid::from_u128(0x019a_2b3c_4d5e_7f60_8a9b_0c1d_2e3f_4a62),
            email: Some("bob@example.com".to_owned()),
            role: "developer".to_owned(),
            state: InvitationState::Open,
            created: Timestamp::constant(1_795_000_000, 0),
            expires: Timestamp::constant(1_795_604_800, 0),
        }
    }
}

/// Lists the organization's invitations.
pub struct ListInvitations;

/// Which invitations to list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InvitationFilter {
    /// Lists what follows this cursor: the `next` of the page before.
    pub after: Option<String>,
    /// How many invitations to return.
    #[serde(default)]
    pub limit: Limit,
}

/// A page of invitations.
#[derive(Debug, Serialize, JsonSchema)]
pub struct InvitationPage {
    /// The invitations, the oldest first.
    pub invitations: Vec<Invitation>,
    /// The cursor of the next page; null on the last one.
    pub next: Option<String>,
}

impl Endpoint for ListInvitations {
    const NAME: &'static str = "list_invitations";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/invitations.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::MEMBERS_READ;
    const SUMMARY: &'static str = "List the invitations to your organization.";
    const SAFE: bool = true;

    type Request = InvitationFilter;
    type Response = InvitationPage;

    fn example() -> InvitationPage {
        InvitationPage { invitations: vec![Invitation::example()], next: None }
    }
}

impl Handler for ListInvitations {
    async fn handle(context: &Context<'_>, filter: InvitationFilter) -> Result<InvitationPage, Error> {
        let page = list::page(filter.after, filter.limit)?;
        let (count, now) = (page.count, context.services.now());
        let found = context.management()?.list_invitations(context.requester(), page).await?;
        let mut invitations: Vec<_> = found.into_iter().map(|info| Invitation::new(info, now)).collect();
        let next = list::cut(&mut invitations, count, |invitation| invitation.id.to_string());
        Ok(InvitationPage { invitations, next })
    }
}

/// Invites a person.
pub struct CreateInvitation;

/// A new invitation.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInvitation {
    /// The name of the role, with nothing that you lack yourself.
    #[schemars(example = &"developer")]
    pub role: String,
    /// The person's e-mail address. The invitation is mailed there, if the gateway sends mail.
    #[schemars(example = &"bob@example.com")]
    pub email: Option<String>,
}

/// An invitation that was just created.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreatedInvitation {
    /// The invitation.
    pub invitation: Invitation,
    /// The link by which it is accepted, which works once and is shown only now; null if an earlier response to the same
    /// `Idempotency-Key` has shown it. Without the portal's address, it is a path there.
    pub link: Option<String>,
}

impl Endpoint for CreateInvitation {
    const NAME: &'static str = "create_invitation";
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/invitations.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::MEMBERS_WRITE;
    const SUMMARY: &'static str = "Invite a person to your organization. The link is shown only once.";
    const STATUS: StatusCode = StatusCode::CREATED;
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::StepUpRequired, ErrorCode::Conflict];
    const IDEMPOTENCY_KEY: bool = true;

    type Request = NewInvitation;
    type Response = CreatedInvitation;

    fn example() -> CreatedInvitation {
        let link = Some("https://portal.example.com/invitation/…".to_owned());
        CreatedInvitation { invitation: Invitation::example(), link }
    }
}

impl Handler for CreateInvitation {
    async fn handle(context: &Context<'_>, new: NewInvitation) -> Result<CreatedInvitation, Error> {
        let management = context.management()?;
        let (info, link) = management.create_invitation(context.requester(), new.role, new.email).await?;
        let invitation = Invitation::new(info, context.services.now());
        Ok(CreatedInvitation { invitation, link: Some(link) })
    }
}

/// Revokes an invitation.
pub struct RevokeInvitation;

/// An invitation, named by its id.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OneInvitation {
    /// The invitation's id.
    #[schemars(example = &"019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b")]
    pub id: Uuid,
}

impl Endpoint for RevokeInvitation {
    const NAME: &'static str = "revoke_invitation";
    const METHOD: Method = Method::DELETE;
    const PATH: &'static str = "/invitations/{id}.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::MEMBERS_WRITE;
    const SUMMARY: &'static str = "Revoke an invitation, so that it can no longer be accepted.";
    const STATUS: StatusCode = StatusCode::NO_CONTENT;
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::StepUpRequired, ErrorCode::Conflict];

    type Request = OneInvitation;
    type Response = NoContent;

    fn example() -> NoContent {
        NoContent
    }
}

impl Handler for RevokeInvitation {
    async fn handle(context: &Context<'_>, OneInvitation { id }: OneInvitation) -> Result<NoContent, Error> {
        context.management()?.revoke_invitation(context.requester(), InvitationId(id)).await?;
        Ok(NoContent)
    }
}
