//! The members of the caller's organization: list, change the role of, remove.

use http::{Method, StatusCode};
use jiff::Timestamp;
use permissions::{ApiAccessPermission, MembershipId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keys::DateTime;
use super::list::{self, Limit};
use super::me::UserInfo;
use crate::management::MemberInfo;
use crate::{Context, Endpoint, Error, ErrorCode, Handler, NoContent};

/// A member.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Member {
    /// The id of the membership.
    pub id: Uuid,
    /// The person.
    pub user: UserInfo,
    /// The role: `owner`, `admin`, `developer`, `viewer`, or a role of the organization's own.
    pub role: String,
    /// When the person joined.
    #[schemars(with = "DateTime")]
    pub joined: Timestamp,
}

impl Member {
    fn new(MemberInfo { membership, user, role }: MemberInfo) -> Self {
        let user = UserInfo { id: user.id.0, name: user.name, email: user.email };
        Self { id: membership.id.0, user, role, joined: membership.created }
    }

    fn example() -> Self {
        let user = UserInfo {
            id: Uuid::from_u128(0x019a_2b3c_4d5e_7f60_8a9b_0c1d_2e3f_4a5d),
            name: "Ada Lovelace".to_owned(),
            email: Some("ada@example.com".to_owned()),
        };
        let id = Uuid::from_u128(0x019a_2b3c_4d5e_7f60_8a9b_0c1d_2e3f_4a5e);
        Self { id, user, role: "owner".to_owned(), joined: Timestamp::constant(1_795_000_000, 0) }
    }
}

/// Lists the organization's members.
pub struct ListMembers;

/// Which members to list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberFilter {
    /// Lists what follows this cursor: the `next` of the page before.
    #[schemars(length(max = 64))]
    pub after: Option<String>,
    /// How many members to return.
    #[serde(default)]
    pub limit: Limit,
}

/// A page of members.
#[derive(Debug, Serialize, JsonSchema)]
pub struct MemberPage {
    /// The members, in the order in which they joined.
    pub members: Vec<Member>,
    /// The cursor of the next page; null on the last one.
    pub next: Option<String>,
}

impl Endpoint for ListMembers {
    const NAME: &'static str = "list_members";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/members.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::MEMBERS_READ;
    const SUMMARY: &'static str = "List the members of your organization.";
    const SAFE: bool = true;

    type Request = MemberFilter;
    type Response = MemberPage;

    fn example() -> MemberPage {
        MemberPage { members: vec![Member::example()], next: None }
    }
}

impl Handler for ListMembers {
    async fn handle(context: &Context<'_>, filter: MemberFilter) -> Result<MemberPage, Error> {
        let page = list::page(filter.after, filter.limit)?;
        let count = page.count;
        let members = context.management()?.list_members(context.requester(), page).await?;
        let mut members: Vec<_> = members.into_iter().map(Member::new).collect();
        let next = list::cut(&mut members, count, |member| member.id.to_string());
        Ok(MemberPage { members, next })
    }
}

/// Gives a member another role.
pub struct UpdateMember;

/// The new role of a member.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberUpdate {
    /// The id of the membership.
    #[schemars(example = &"019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b")]
    pub id: Uuid,
    /// The name of the role, with nothing that you lack yourself.
    #[schemars(example = &"developer")]
    pub role: String,
}

impl Endpoint for UpdateMember {
    const NAME: &'static str = "update_member";
    const METHOD: Method = Method::PATCH;
    const PATH: &'static str = "/members/{id}.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::MEMBERS_WRITE;
    const SUMMARY: &'static str =
        "Give a member another role. It applies at once to all of the member's tokens and sessions.";
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::StepUpRequired, ErrorCode::Conflict];

    type Request = MemberUpdate;
    type Response = Member;

    fn example() -> Member {
        Member::example()
    }
}

impl Handler for UpdateMember {
    async fn handle(context: &Context<'_>, update: MemberUpdate) -> Result<Member, Error> {
        let id = MembershipId(update.id);
        let member = context.management()?.change_member(context.requester(), id, update.role).await?;
        Ok(Member::new(member))
    }
}

/// Removes a member.
pub struct RemoveMember;

/// A member, named by the id of the membership.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OneMember {
    /// The id of the membership.
    #[schemars(example = &"019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b")]
    pub id: Uuid,
}

impl Endpoint for RemoveMember {
    const NAME: &'static str = "remove_member";
    const METHOD: Method = Method::DELETE;
    const PATH: &'static str = "/members/{id}.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::MEMBERS_WRITE;
    const SUMMARY: &'static str =
        "Remove a member from your organization, and end all of the member's tokens and sessions in it.";
    const STATUS: StatusCode = StatusCode::NO_CONTENT;
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::StepUpRequired, ErrorCode::Conflict];

    type Request = OneMember;
    type Response = NoContent;

    fn example() -> NoContent {
        NoContent
    }
}

impl Handler for RemoveMember {
    async fn handle(context: &Context<'_>, OneMember { id }: OneMember) -> Result<NoContent, Error> {
        context.management()?.remove_member(context.requester(), MembershipId(id)).await?;
        Ok(NoContent)
    }
}
