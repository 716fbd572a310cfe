//! Access requests: an organization asks for permissions, the operator's organization decides.

use http::{Method, StatusCode};
use jiff::Timestamp;
use permissions::{ApiAccessPermission, RequestId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::keys::DateTime;
use super::list::{self, Limit};
use crate::management::{AccessRequestInfo, Approval, RequestEventInfo};
use crate::{Context, Endpoint, Error, ErrorCode, Handler};

/// An access request.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessRequest {
    /// Its id.
    pub id: Uuid,
    /// The name of the organization that asks, as it was given.
    pub organization: String,
    /// The id of that organization; null for somebody without one, until the request is approved.
    pub organization_id: Option<Uuid>,
    /// Who asks.
    pub contact: String,
    /// The e-mail address of the contact; empty if it is not known.
    pub email: String,
    /// What the permissions are for.
    pub use_case: String,
    /// The wanted permissions.
    pub wanted: PerEnvironment,
    /// What was granted, or null.
    pub granted: Option<PerEnvironment>,
    /// The state.
    pub state: RequestState,
    /// When it was filed.
    #[schemars(with = "DateTime")]
    pub created: Timestamp,
    /// When something last happened to it.
    #[schemars(with = "DateTime")]
    pub updated: Timestamp,
}

/// Permissions in each environment.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PerEnvironment {
    /// In staging.
    #[schemars(with = "Vec<String>")]
    pub staging: ApiAccessPermission,
    /// In production.
    #[schemars(with = "Vec<String>")]
    pub production: ApiAccessPermission,
}

/// The state of an access request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "AccessRequestState")]
pub enum RequestState {
    /// It waits for an operator.
    Open,
    /// It waits for an answer to an operator's question.
    AwaitingAnswer,
    /// It was approved, as it was filed or narrower.
    Approved,
    /// It was rejected, with a reason.
    Rejected,
    /// It was withdrawn by the requester.
    Withdrawn,
}

impl RequestState {
    const ALL: [Self; 5] =
        [Self::Open, Self::AwaitingAnswer, Self::Approved, Self::Rejected, Self::Withdrawn];

    /// Its name in the store and in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::AwaitingAnswer => "awaiting_answer",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Withdrawn => "withdrawn",
        }
    }
}

impl AccessRequest {
    fn new(info: AccessRequestInfo) -> Result<Self, Error> {
        let state = RequestState::ALL.into_iter().find(|state| state.name() == info.state);
        let per = |(staging, production)| PerEnvironment { staging, production };
        Ok(Self {
            id: info.id.0,
            organization: info.organization,
            organization_id: info.organization_id.map(|id| id.0),
            contact: info.contact,
            email: info.email,
            use_case: info.use_case,
            wanted: per(info.wanted),
            granted: info.granted.map(per),
            state: state.ok_or_else(|| Error::internal("an access request has an unknown state"))?,
            created: info.created,
            updated: info.updated,
        })
    }

    fn example() -> Self {
        Self {
            id: Uuid::from_u128(0x019a_2b3c_4d5e_7f60_8a9b_0c1d_2e3f_4a63),
            organization: "acme".to_owned(),
            organization_id: Some(Uuid::from_u128(0x019a_2b3c_4d5e_7f60_8a9b_0c1d_2e3f_4a5c)),
            contact: "Ada Lovelace".to_owned(),
            email: "ada@example.com".to_owned(),
            use_case: "We show our users how they reach you.".to_owned(),
            wanted: PerEnvironment {
                staging: ApiAccessPermission::CONNECTION_READ,
                production: ApiAccessPermission::CONNECTION_READ,
            },
            granted: None,
            state: RequestState::Open,
            created: Timestamp::constant(1_795_000_000, 0),
            updated: Timestamp::constant(1_795_000_000, 0),
        }
    }
}

/// Lists access requests.
pub struct ListAccessRequests;

/// Which access requests to list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestFilter {
    /// Lists only requests in this state.
    #[schemars(example = &"open")]
    pub state: Option<RequestState>,
    /// Lists what follows this cursor: the `next` of the page before.
    pub after: Option<String>,
    /// How many requests to return.
    #[serde(default)]
    pub limit: Limit,
}

/// A page of access requests.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RequestPage {
    /// The requests, the oldest first.
    pub requests: Vec<AccessRequest>,
    /// The cursor of the next page; null on the last one.
    pub next: Option<String>,
}

impl Endpoint for ListAccessRequests {
    const NAME: &'static str = "list_access_requests";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/access-requests.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::REQUESTS_READ;
    const SUMMARY: &'static str =
        "List the access requests of your organization; those of everybody if you may review them.";
    const SAFE: bool = true;

    type Request = RequestFilter;
    type Response = RequestPage;

    fn example() -> RequestPage {
        RequestPage { requests: vec![AccessRequest::example()], next: None }
    }
}

impl Handler for ListAccessRequests {
    async fn handle(context: &Context<'_>, filter: RequestFilter) -> Result<RequestPage, Error> {
        let page = list::page(filter.after, filter.limit)?;
        let count = page.count;
        let state = filter.state.map(RequestState::name);
        let found = context.management()?.list_access_requests(context.requester(), state, page).await?;
        let mut requests = found.into_iter().map(AccessRequest::new).collect::<Result<Vec<_>, _>>()?;
        let next = list::cut(&mut requests, count, |request| request.id.to_string());
        Ok(RequestPage { requests, next })
    }
}

/// Asks for permissions.
pub struct CreateAccessRequest;

/// A new access request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct NewRequest {
    /// What the permissions are for.
    #[schemars(length(min = 1, max = 4000), example = &"We show our users how they reach you.")]
    pub use_case: String,
    /// The permissions that you want in staging; without it, none.
    #[schemars(with = "Option<Vec<String>>", length(min = 1), example = &["connection:read"])]
    pub staging: Option<ApiAccessPermission>,
    /// The permissions that you want in production; without it, none.
    #[schemars(with = "Option<Vec<String>>", length(min = 1), example = &["connection:read"])]
    pub production: Option<ApiAccessPermission>,
}

impl Endpoint for CreateAccessRequest {
    const NAME: &'static str = "create_access_request";
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/access-requests.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::REQUESTS_WRITE;
    const SUMMARY: &'static str = "Ask for permissions that your organization lacks.";
    const STATUS: StatusCode = StatusCode::CREATED;
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::Conflict];
    const IDEMPOTENCY_KEY: bool = true;

    type Request = NewRequest;
    type Response = AccessRequest;

    fn example() -> AccessRequest {
        AccessRequest::example()
    }
}

impl Handler for CreateAccessRequest {
    async fn handle(context: &Context<'_>, new: NewRequest) -> Result<AccessRequest, Error> {
        let NewRequest { use_case, staging, production } = new;
        if [staging, production].contains(&Some(ApiAccessPermission::empty())) {
            let detail = "A list of permissions has at least one; leave it out to ask for none there.";
            return Err(Error::new(ErrorCode::MalformedRequest, detail));
        }
        let wanted = (staging.unwrap_or_default(), production.unwrap_or_default());
        let management = context.management()?;
        let filed = management.create_access_request(context.requester(), use_case, wanted).await?;
        AccessRequest::new(filed)
    }
}

/// An access request, named by its id.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OneRequest {
    /// The request's id.
    #[schemars(example = &"019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b")]
    pub id: Uuid,
}

/// Shows an access request.
pub struct ShowAccessRequest;

/// An access request with all that happened to it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RequestHistory {
    /// The request.
    pub request: AccessRequest,
    /// What happened to it, in order.
    pub events: Vec<RequestEvent>,
}

/// Something that happened to an access request.
#[derive(Debug, Serialize, JsonSchema)]
pub struct RequestEvent {
    /// When.
    #[schemars(with = "DateTime")]
    pub at: Timestamp,
    /// By whom: `contact`, `operator`, or `user:` or `key:` with an id.
    pub actor: String,
    /// What: `filed`, `added`, `asked`, `approved`, `rejected`, `withdrawn`, `linked` or `claimed`.
    pub action: String,
    /// The text that belongs to it: what was added, a question, a reason; may be empty.
    pub text: String,
}

impl RequestHistory {
    fn new((info, events): (AccessRequestInfo, Vec<RequestEventInfo>)) -> Result<Self, Error> {
        let event = |event: RequestEventInfo| {
            let RequestEventInfo { at, actor, action, text } = event;
            RequestEvent { at, actor, action: action.to_owned(), text }
        };
        let events = events.into_iter().map(event).collect();
        Ok(Self { request: AccessRequest::new(info)?, events })
    }
}

impl Endpoint for ShowAccessRequest {
    const NAME: &'static str = "show_access_request";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/access-requests/{id}.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::REQUESTS_READ;
    const SUMMARY: &'static str = "Get an access request with all that happened to it.";
    const SAFE: bool = true;

    type Request = OneRequest;
    type Response = RequestHistory;

    fn example() -> RequestHistory {
        let event = RequestEvent {
            at: Timestamp::constant(1_795_000_000, 0),
            actor: "user:019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5d".to_owned(),
            action: "filed".to_owned(),
            text: String::new(),
        };
        RequestHistory { request: AccessRequest::example(), events: vec![event] }
    }
}

impl Handler for ShowAccessRequest {
    async fn handle(context: &Context<'_>, OneRequest { id }: OneRequest) -> Result<RequestHistory, Error> {
        let found = context.management()?.show_access_request(context.requester(), RequestId(id)).await?;
        RequestHistory::new(found)
    }
}

/// A text that is added to an access request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestText {
    /// The request's id.
    #[schemars(example = &"019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b")]
    pub id: Uuid,
    /// The text.
    #[schemars(length(min = 1, max = 4000), example = &"About 200 calls a day.")]
    pub text: String,
}

/// Adds to an access request.
pub struct AddToAccessRequest;

impl Endpoint for AddToAccessRequest {
    const NAME: &'static str = "add_to_access_request";
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/access-requests/{id}/add.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::REQUESTS_WRITE;
    const SUMMARY: &'static str =
        "Add something to an open access request, such as the answer to a question.";
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::Conflict];

    type Request = RequestText;
    type Response = AccessRequest;

    fn example() -> AccessRequest {
        AccessRequest::example()
    }
}

impl Handler for AddToAccessRequest {
    async fn handle(
        context: &Context<'_>,
        RequestText { id, text }: RequestText,
    ) -> Result<AccessRequest, Error> {
        let management = context.management()?;
        AccessRequest::new(management.add_to_access_request(context.requester(), RequestId(id), text).await?)
    }
}

/// Withdraws an access request.
pub struct WithdrawAccessRequest;

impl Endpoint for WithdrawAccessRequest {
    const NAME: &'static str = "withdraw_access_request";
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/access-requests/{id}/withdraw.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::REQUESTS_WRITE;
    const SUMMARY: &'static str = "Withdraw an open access request.";
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::Conflict];

    type Request = OneRequest;
    type Response = AccessRequest;

    fn example() -> AccessRequest {
        AccessRequest { state: RequestState::Withdrawn, ..AccessRequest::example() }
    }
}

impl Handler for WithdrawAccessRequest {
    async fn handle(context: &Context<'_>, OneRequest { id }: OneRequest) -> Result<AccessRequest, Error> {
        let management = context.management()?;
        AccessRequest::new(management.withdraw_access_request(context.requester(), RequestId(id)).await?)
    }
}

/// Approves an access request.
pub struct ApproveAccessRequest;

/// The approval of an access request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RequestApproval {
    /// The request's id.
    #[schemars(example = &"019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b")]
    pub id: Uuid,
    /// What is granted in staging; without it, what was asked for.
    #[schemars(with = "Option<Vec<String>>", length(min = 1), example = &["connection:read"])]
    pub staging: Option<ApiAccessPermission>,
    /// What is granted in production; without it, what was asked for.
    #[schemars(with = "Option<Vec<String>>", length(min = 1), example = &["connection:read"])]
    pub production: Option<ApiAccessPermission>,
    /// Whether this may be more than was asked for.
    #[serde(default)]
    pub wider: bool,
    /// The existing organization that the contact belongs to, by name or id; without it, a new one is created for somebody
    /// without one.
    pub organization: Option<String>,
    /// The message to the contact.
    #[serde(default)]
    pub text: String,
}

/// An approved access request.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovedRequest {
    /// The request.
    pub request: AccessRequest,
    /// The link by which the contact reveals the keys, which works once and is shown only now; null for an organization,
    /// which has its own keys. Without the portal's address, it is a path there.
    pub claim_link: Option<String>,
}

impl Endpoint for ApproveAccessRequest {
    const NAME: &'static str = "approve_access_request";
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/access-requests/{id}/approve.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::REQUESTS_REVIEW;
    const SUMMARY: &'static str = "Approve an access request, as it was filed or narrower.";
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::Conflict];

    type Request = RequestApproval;
    type Response = ApprovedRequest;

    fn example() -> ApprovedRequest {
        let request = AccessRequest { state: RequestState::Approved, ..AccessRequest::example() };
        let claim_link = Some("https://portal.example.com/claim/…".to_owned());
        ApprovedRequest { request, claim_link }
    }
}

impl Handler for ApproveAccessRequest {
    async fn handle(context: &Context<'_>, approval: RequestApproval) -> Result<ApprovedRequest, Error> {
        let RequestApproval { id, staging, production, wider, organization, text } = approval;
        let approval = Approval { staging, production, wider, organization, text };
        let management = context.management()?;
        let approved =
            management.approve_access_request(context.requester(), RequestId(id), approval).await?;
        let (request, claim_link) = approved;
        Ok(ApprovedRequest { request: AccessRequest::new(request)?, claim_link })
    }
}

/// Asks the other side of an access request a question.
pub struct AskAboutAccessRequest;

impl Endpoint for AskAboutAccessRequest {
    const NAME: &'static str = "ask_about_access_request";
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/access-requests/{id}/ask.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::REQUESTS_REVIEW;
    const SUMMARY: &'static str = "Ask the requester of an access request a question.";
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::Conflict];

    type Request = RequestText;
    type Response = AccessRequest;

    fn example() -> AccessRequest {
        AccessRequest { state: RequestState::AwaitingAnswer, ..AccessRequest::example() }
    }
}

impl Handler for AskAboutAccessRequest {
    async fn handle(
        context: &Context<'_>,
        RequestText { id, text }: RequestText,
    ) -> Result<AccessRequest, Error> {
        let management = context.management()?;
        AccessRequest::new(
            management.ask_about_access_request(context.requester(), RequestId(id), text).await?,
        )
    }
}

/// Rejects an access request.
pub struct RejectAccessRequest;

impl Endpoint for RejectAccessRequest {
    const NAME: &'static str = "reject_access_request";
    const METHOD: Method = Method::POST;
    const PATH: &'static str = "/access-requests/{id}/reject.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::REQUESTS_REVIEW;
    const SUMMARY: &'static str = "Reject an access request with a reason.";
    const ERRORS: &'static [ErrorCode] = &[ErrorCode::Conflict];

    type Request = RequestText;
    type Response = AccessRequest;

    fn example() -> AccessRequest {
        AccessRequest { state: RequestState::Rejected, ..AccessRequest::example() }
    }
}

impl Handler for RejectAccessRequest {
    async fn handle(
        context: &Context<'_>,
        RequestText { id, text }: RequestText,
    ) -> Result<AccessRequest, Error> {
        let management = context.management()?;
        AccessRequest::new(management.reject_access_request(context.requester(), RequestId(id), text).await?)
    }
}
