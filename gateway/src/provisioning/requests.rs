//! Access requests, for the requester: file, follow, add, withdraw.
//!
//! Anyone may file one. Somebody without an organization follows it by a link of its own; nothing that is answered
//! depends on which organizations, people or other requests exist. A caller's request is one for more permissions of
//! its organization. How requests are decided is in `review.rs`.

use permissions::{ApiAccessPermission, Credential, PartnerId, RequestId, ServerSecret};
use rand::CryptoRng;
use serde::Serialize;
use serde_json::json;
use versions::Caller;

use super::links::{self, LinkCode};
use super::organizations::find_organization;
use super::rules::{check_email, check_name, check_partner_name, check_text, not_found};
use super::{Actor, Committed, Done, ProvisioningError, Who, audit, new_uuid, now, write};
use crate::clock::Clock;
use crate::store::requests::{
    AccessRequest, PerEnvironment, RequestAction, RequestEvent, RequestFilter, RequestState, Requests,
};
use crate::store::{Store, Write};

/// Open access requests of one organization.
pub const OPEN_PER_ORGANIZATION_MAX: usize = 20;
/// Events of one access request, beyond which nothing is added or asked; it can still be decided.
pub const EVENTS_MAX: usize = 100;
/// Events that are read of one access request: decisions and links come on top of [`EVENTS_MAX`].
const EVENTS_READ_MAX: usize = 1_000;
/// Access requests in one answer.
pub const LIST_MAX: usize = 100;
/// Withdrawn access requests of strangers that are kept; anyone could make more and more of them.
const WITHDRAWN_KEPT: usize = 1_000;

/// A request for access.
#[derive(Clone, Debug)]
pub struct NewRequest {
    /// The name of the organization. For a caller, this and the contact are those of its own organization.
    pub organization: String,
    /// The contact's name.
    pub contact: String,
    /// The contact's e-mail address.
    pub email: String,
    /// What the access is for.
    pub use_case: String,
    /// The permissions that are asked for.
    pub wanted: PerEnvironment,
}

/// An access request that was filed. The code of its link is available only here.
#[derive(Clone, Debug)]
pub struct Filed {
    /// The request.
    pub request: AccessRequest,
    /// The code of its link, unless an organization filed it.
    pub code: Option<LinkCode>,
    /// The write.
    pub change: Committed,
}

/// How an access request is named.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// By the code of its link: its holder may follow the request and add to it.
    Code(&'a str),
    /// By its id: for its organization.
    Id(RequestId),
}

/// An access request with what happened to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestView {
    /// The request.
    #[serde(flatten)]
    pub request: AccessRequest,
    /// Its events, the oldest first.
    pub events: Vec<RequestEvent>,
}

/// Files an access request. Of everybody together at most `open_max` may be open.
///
/// # Errors
/// A text that breaks the rules, permissions that are not granted to anyone, too many open requests, or an error of the
/// store.
pub fn file_request(
    store: &mut Store,
    clock: &dyn Clock,
    rng: &mut dyn CryptoRng,
    secret: &ServerSecret,
    actor: &Actor,
    new: &NewRequest,
    open_max: usize,
) -> Result<Filed, ProvisioningError> {
    let now = now(clock);
    let use_case = check_text(&new.use_case, "the use case")?;
    let missing = (new.wanted.staging | new.wanted.production) - ApiAccessPermission::grantable();
    if !missing.is_empty() {
        return Err(ProvisioningError::NotGrantable(missing));
    }
    if new.wanted.is_empty() {
        return Err(ProvisioningError::NothingWanted);
    }
    let mut request = AccessRequest {
        id: RequestId(new_uuid(rng, now)),
        by_contact: true,
        organization: None,
        key: None,
        name: String::new(),
        contact: String::new(),
        email: String::new(),
        use_case,
        wanted: new.wanted,
        granted: None,
        state: RequestState::Open,
        created: now,
        updated: now,
    };
    let code = match actor.caller() {
        Some(_) => None,
        None => {
            request.name = check_partner_name(&new.organization)?;
            request.contact = check_name(&new.contact)?;
            request.email = check_email(&new.email)?;
            Some(LinkCode::generate(rng))
        }
    };
    let (request, change) = write(store, clock, now, |write| {
        match actor.caller() {
            Some(caller) => fill_from(write, caller, &mut request)?,
            None => {
                write.forget_withdrawn_requests(WITHDRAWN_KEPT)?;
                if write.count_open_requests(None)? >= open_max {
                    return Err(ProvisioningError::QueueFull);
                }
            }
        }
        write.insert_request(&request, code.as_ref().map(|code| code.hash(secret)).as_ref())?;
        let after = json!({
            "organization": request.name,
            "staging": request.wanted.staging,
            "production": request.wanted.production,
        });
        append(write, actor, &request, (RequestAction::Filed, ""), ("request.file", Some(&after)))?;
        Ok(request)
    })?;
    Ok(Filed { request, code, change })
}

/// Makes it a request of the caller's organization.
fn fill_from(
    write: &mut dyn Write,
    caller: &Caller,
    request: &mut AccessRequest,
) -> Result<(), ProvisioningError> {
    let organization = find_organization(write, caller.organization)?;
    let has = |environment| organization.ceiling(environment).contains(request.wanted.of(environment));
    if permissions::Environment::ALL.into_iter().all(has) {
        return Err(ProvisioningError::AlreadyGranted);
    }
    if write.count_open_requests(Some(organization.id))? >= OPEN_PER_ORGANIZATION_MAX {
        let (what, max) = ("open requests of the organization", OPEN_PER_ORGANIZATION_MAX);
        return Err(ProvisioningError::TooMany { what, max });
    }
    request.by_contact = false;
    request.organization = Some(organization.id);
    request.name = organization.name;
    if let Some(person) = caller.person {
        let user = write.user(person.user)?.ok_or_else(|| not_found("user", person.user))?;
        request.contact = user.name;
        request.email = user.email.unwrap_or_default();
    } else {
        request.contact = caller.credential.to_string();
        request.key = match caller.credential {
            Credential::Key(id) => Some(id),
            Credential::Token(_) | Credential::Session(_) => None,
        };
    }
    Ok(())
}

/// The access request whose link has this code.
///
/// # Errors
/// [`ProvisioningError::UnknownLink`], or an error of the store.
pub fn request_by_code(
    store: &mut Store,
    secret: &ServerSecret,
    code: &str,
) -> Result<RequestView, ProvisioningError> {
    let request = find_by_code(&mut **store, secret, code)?;
    view(store, request, false)
}

/// The access request of this id: the operator sees all, an organization its own.
///
/// # Errors
/// There is none that the actor sees, or an error of the store.
pub fn show_request(
    store: &mut Store,
    actor: &Actor,
    id: RequestId,
) -> Result<RequestView, ProvisioningError> {
    let is_reviewer = actor.reviews();
    let request = store.request(id)?.filter(|request| is_reviewer || is_own(actor, request));
    view(store, request.ok_or_else(|| not_found("request", id))?, is_reviewer)
}

/// The access requests that pass the filter, the oldest first, at most [`LIST_MAX`]: the operator sees all, an
/// organization its own.
///
/// # Errors
/// Errors of the store.
pub fn list_requests(
    store: &mut Store,
    actor: &Actor,
    filter: RequestFilter,
) -> Result<Vec<AccessRequest>, ProvisioningError> {
    let mut filter = RequestFilter { count: filter.count.min(LIST_MAX), ..filter };
    if !actor.reviews() {
        let Some(caller) = actor.caller() else { return Err(ProvisioningError::OperatorOnly) };
        filter.organization = Some(caller.organization);
    }
    Ok(store.list_requests(&filter)?)
}

/// Adds something to an open access request; it answers an operator's question.
///
/// # Errors
/// No such request of the actor's, one that was decided, a text that breaks the rules, or an error of the store.
pub fn add_to_request(
    store: &mut Store,
    clock: &dyn Clock,
    secret: &ServerSecret,
    actor: &Actor,
    which: Which<'_>,
    text: &str,
) -> Result<(AccessRequest, Committed), ProvisioningError> {
    let now = now(clock);
    let text = check_text(text, "what you add")?;
    write(store, clock, now, |write| {
        let mut request = find_own(write, secret, actor, which)?;
        request.state = RequestState::Open;
        write.update_request(&request)?;
        append(write, actor, &request, (RequestAction::Added, &text), ("request.add", None))?;
        Ok(AccessRequest { updated: now, ..request })
    })
}

/// Withdraws an open access request.
///
/// # Errors
/// No such request of the actor's, one that was decided, or an error of the store.
pub fn withdraw_request(
    store: &mut Store,
    clock: &dyn Clock,
    secret: &ServerSecret,
    actor: &Actor,
    which: Which<'_>,
) -> Result<(AccessRequest, Committed), ProvisioningError> {
    let now = now(clock);
    write(store, clock, now, |write| {
        let mut request = find_own(write, secret, actor, which)?;
        request.state = RequestState::Withdrawn;
        write.update_request(&request)?;
        append(write, actor, &request, (RequestAction::Withdrawn, ""), ("request.withdraw", None))?;
        Ok(AccessRequest { updated: now, ..request })
    })
}

/// An open request of the actor's own.
fn find_own(
    write: &mut dyn Write,
    secret: &ServerSecret,
    actor: &Actor,
    which: Which<'_>,
) -> Result<AccessRequest, ProvisioningError> {
    let request = match which {
        Which::Code(code) => find_by_code(write, secret, code)?,
        Which::Id(id) => {
            let request = write.request(id)?.filter(|request| is_own(actor, request));
            request.ok_or_else(|| not_found("request", id))?
        }
    };
    require_open(&request)?;
    Ok(request)
}

fn find_by_code(
    store: &mut (impl Requests + ?Sized),
    secret: &ServerSecret,
    code: &str,
) -> Result<AccessRequest, ProvisioningError> {
    store.find_request(&links::presented(secret, code)?)?.ok_or(ProvisioningError::UnknownLink)
}

pub(super) fn require_open(request: &AccessRequest) -> Result<(), ProvisioningError> {
    if request.state.is_open() { Ok(()) } else { Err(ProvisioningError::RequestEnded(request.state)) }
}

fn is_own(actor: &Actor, request: &AccessRequest) -> bool {
    actor.caller().is_some_and(|caller| request.organization == Some(caller.organization))
}

fn view(
    store: &mut Store,
    request: AccessRequest,
    is_reviewer: bool,
) -> Result<RequestView, ProvisioningError> {
    let mut events = store.list_request_events(request.id, 0, EVENTS_READ_MAX)?;
    if !is_reviewer {
        for event in &mut events {
            let is_reviewers = matches!(
                event.action,
                RequestAction::Asked
                    | RequestAction::Approved
                    | RequestAction::Rejected
                    | RequestAction::Linked
            );
            // Who reviews is nobody else's business.
            if is_reviewers {
                "operator".clone_into(&mut event.actor);
            }
        }
    }
    Ok(RequestView { request, events })
}

/// Appends an event to a request and an entry to the audit log.
pub(super) fn append(
    write: &mut dyn Write,
    actor: &Actor,
    request: &AccessRequest,
    (event, text): (RequestAction, &str),
    (action, after): (&'static str, Option<&serde_json::Value>),
) -> Result<(), ProvisioningError> {
    let number = write.append_request_event(request.id, &actor.to_string(), event, text)?;
    let is_bounded = matches!(event, RequestAction::Added | RequestAction::Asked);
    if is_bounded && number > i64::try_from(EVENTS_MAX).unwrap_or(i64::MAX) {
        return Err(ProvisioningError::TooMany { what: "entries in this request", max: EVENTS_MAX });
    }
    let organization: Option<PartnerId> = request.organization;
    let target = format!("request:{}", request.id);
    audit(write, actor, &Done { action, organization, target, before: None, after })
}

impl Actor {
    /// Whether the actor reviews access requests: the operator, and callers whom the operator's organization lets.
    #[must_use]
    pub fn reviews(&self) -> bool {
        match &self.who {
            Who::Operator => true,
            Who::Caller(caller) => caller.permissions.contains(ApiAccessPermission::REQUESTS_REVIEW),
            Who::Contact | Who::Gateway => false,
        }
    }

    pub(super) fn require_reviewer(&self) -> Result<(), ProvisioningError> {
        if self.reviews() { Ok(()) } else { Err(ProvisioningError::OperatorOnly) }
    }

    /// Checks that the operator asks at the command line, or the gateway itself.
    pub(super) fn require_operator(&self) -> Result<(), ProvisioningError> {
        match self.who {
            Who::Operator | Who::Gateway => Ok(()),
            Who::Caller(_) | Who::Contact => Err(ProvisioningError::OperatorOnly),
        }
    }
}
