//! Access requests from the side of the operator, who asks back, rejects or approves.
//!
//! An approval makes the organization, or widens the grant of the one that asked. A contact without one gets a link by which
//! the keys are claimed (`claims.rs`).

use std::time::Duration;

use permissions::{Environment, KeyId, PartnerId, RequestId, ServerSecret};
use rand::CryptoRng;
use serde_json::json;

use super::keys::{audit_key, settings};
use super::links::{self, NewLink};
use super::organizations::{self, find_organization};
use super::requests::{append, require_open};
use super::rules::{check_partner_name, check_text, not_found};
use super::{Actor, Committed, KeyUpdate, ProvisioningError, new_uuid, now, write};
use crate::clock::Clock;
use crate::store::requests::{AccessRequest, LinkKind, PerEnvironment, RequestAction, RequestState};
use crate::store::{Partner, Store, Write};

/// The organization that an access request is approved for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApprovedFor {
    /// The one that asked; for somebody without one, a new one of the name in the request.
    AsAsked,
    /// A new one of this name.
    New(String),
    /// One that exists, by its name or id: the operator knows that the contact is of it.
    Existing(String),
}

/// An approval.
#[derive(Clone, Debug)]
pub struct Approval {
    /// What is granted in staging; `None` for what was asked for.
    pub staging: Option<permissions::ApiAccessPermission>,
    /// What is granted in production; `None` for what was asked for.
    pub production: Option<permissions::ApiAccessPermission>,
    /// Whether this may be more than was asked for.
    pub wider: bool,
    /// For which organization.
    pub organization: ApprovedFor,
    /// The message to the contact; may be empty.
    pub text: String,
    /// How long the link to the keys works.
    pub claim_lifetime: Duration,
}

/// An access request that was approved.
#[derive(Clone, Debug)]
pub struct Approved {
    /// The request as it is now.
    pub request: AccessRequest,
    /// The organization as it is now.
    pub organization: Partner,
    /// Whether it was created.
    pub organization_created: bool,
    /// The link to the keys, unless an organization asked, which has its own.
    pub claim: Option<NewLink>,
    /// The key that asked and now has what was approved in its environment.
    pub key: Option<KeyId>,
    /// The write.
    pub change: Committed,
}

/// Approves an access request, as it was filed or narrower.
///
/// # Errors
/// No such open request, more than was asked for without saying so, a name that is taken, or an error of the store.
pub fn approve_request(
    store: &mut Store,
    clock: &dyn Clock,
    rng: &mut dyn CryptoRng,
    secret: &ServerSecret,
    actor: &Actor,
    id: RequestId,
    approval: &Approval,
) -> Result<Approved, ProvisioningError> {
    let now = now(clock);
    let text = optional_text(&approval.text, "the message to the contact")?;
    let (new_organization, drawn) =
        (PartnerId(new_uuid(rng, now)), links::draw(rng, LinkKind::Claim, approval.claim_lifetime, now)?);
    let ((request, organization, organization_created, key), change) = write(store, clock, now, |write| {
        let mut request = find_to_review(write, actor, id)?;
        let granted = granted_by(approval, &request)?;
        require_rights(write, actor, granted)?;
        let (organization, created) =
            organization_for(write, actor, new_organization, &request, &approval.organization)?;
        widen(write, actor, &organization, granted)?;
        let key = widen_key(write, actor, &request, granted)?;
        request.organization = Some(organization.id);
        request.granted = Some(granted);
        request.state = RequestState::Approved;
        request.updated = now;
        write.update_request(&request)?;
        if request.by_contact {
            links::insert(write, secret, (drawn.0, &drawn.1), request.id.0)?;
        }
        let after = json!({ "staging": granted.staging, "production": granted.production });
        append(write, actor, &request, (RequestAction::Approved, &text), ("request.approve", Some(&after)))?;
        let organization = find_organization(write, organization.id)?;
        Ok((request, organization, created, key))
    })?;
    let claim = request.by_contact.then_some(drawn.1);
    Ok(Approved { request, organization, organization_created, claim, key, change })
}

/// Asks the other side of an open access request a question.
///
/// # Errors
/// No such open request, a text that breaks the rules, or an error of the store.
pub fn ask_back(
    store: &mut Store,
    clock: &dyn Clock,
    actor: &Actor,
    id: RequestId,
    question: &str,
) -> Result<(AccessRequest, Committed), ProvisioningError> {
    let text = check_text(question, "the question")?;
    decide(
        store,
        clock,
        actor,
        id,
        RequestState::AwaitingAnswer,
        (RequestAction::Asked, &text),
        "request.ask",
    )
}

/// Rejects an open access request with a reason.
///
/// # Errors
/// No such open request, a text that breaks the rules, or an error of the store.
pub fn reject_request(
    store: &mut Store,
    clock: &dyn Clock,
    actor: &Actor,
    id: RequestId,
    reason: &str,
) -> Result<(AccessRequest, Committed), ProvisioningError> {
    let text = check_text(reason, "the reason")?;
    decide(
        store,
        clock,
        actor,
        id,
        RequestState::Rejected,
        (RequestAction::Rejected, &text),
        "request.reject",
    )
}

fn decide(
    store: &mut Store,
    clock: &dyn Clock,
    actor: &Actor,
    id: RequestId,
    state: RequestState,
    event: (RequestAction, &str),
    action: &'static str,
) -> Result<(AccessRequest, Committed), ProvisioningError> {
    let now = now(clock);
    write(store, clock, now, |write| {
        let request = AccessRequest { state, updated: now, ..find_to_review(write, actor, id)? };
        write.update_request(&request)?;
        append(write, actor, &request, event, (action, None))?;
        Ok(request)
    })
}

/// Makes another link to the keys of an approved access request; the one before ends. Keys that were claimed stay.
///
/// # Errors
/// No such approved request of somebody without an organization, or an error of the store.
pub fn new_claim_link(
    store: &mut Store,
    clock: &dyn Clock,
    rng: &mut dyn CryptoRng,
    secret: &ServerSecret,
    actor: &Actor,
    id: RequestId,
    lifetime: Duration,
) -> Result<(AccessRequest, NewLink, Committed), ProvisioningError> {
    let now = now(clock);
    let drawn = links::draw(rng, LinkKind::Claim, lifetime, now)?;
    let (request, change) = write(store, clock, now, |write| {
        actor.require_reviewer()?;
        let request = write.request(id)?.ok_or_else(|| not_found("request", id))?;
        let granted = request.granted.filter(|_| request.by_contact);
        require_rights(write, actor, granted.ok_or(ProvisioningError::NothingToClaim)?)?;
        links::insert(write, secret, (drawn.0, &drawn.1), request.id.0)?;
        append(write, actor, &request, (RequestAction::Linked, ""), ("request.link", None))?;
        Ok(request)
    })?;
    Ok((request, drawn.1, change))
}

fn optional_text(text: &str, what: &'static str) -> Result<String, ProvisioningError> {
    if text.trim().is_empty() { Ok(String::new()) } else { check_text(text, what) }
}

/// An open request, for a reviewer.
fn find_to_review(
    write: &mut dyn Write,
    actor: &Actor,
    id: RequestId,
) -> Result<AccessRequest, ProvisioningError> {
    actor.require_reviewer()?;
    let request = write.request(id)?.ok_or_else(|| not_found("request", id))?;
    require_open(&request)?;
    Ok(request)
}

/// Checks that the reviewer may hand out keys: a moment ago authenticated, and for production with a credential of it.
fn require_rights(
    write: &mut dyn Write,
    actor: &Actor,
    granted: PerEnvironment,
) -> Result<(), ProvisioningError> {
    actor.require_step_up(write.now())?;
    if !granted.production.is_empty() {
        actor.require_environment(Environment::Production)?;
    }
    Ok(())
}

/// What an approval grants, which is at most what was asked for unless it says so.
fn granted_by(approval: &Approval, request: &AccessRequest) -> Result<PerEnvironment, ProvisioningError> {
    let granted = PerEnvironment {
        staging: approval.staging.unwrap_or(request.wanted.staging),
        production: approval.production.unwrap_or(request.wanted.production),
    };
    let never = (granted.staging | granted.production) - permissions::ApiAccessPermission::grantable();
    if !never.is_empty() {
        return Err(ProvisioningError::NotGrantable(never));
    }
    if granted.is_empty() {
        return Err(ProvisioningError::NothingGranted);
    }
    for environment in Environment::ALL {
        let extra = granted.of(environment) - request.wanted.of(environment);
        if !extra.is_empty() && !approval.wider {
            return Err(ProvisioningError::WiderThanAsked { extra, environment });
        }
    }
    Ok(granted)
}

/// The organization of an approval, and whether it was created. A stranger never gets into one that exists by naming it.
fn organization_for(
    write: &mut dyn Write,
    actor: &Actor,
    new: PartnerId,
    request: &AccessRequest,
    chosen: &ApprovedFor,
) -> Result<(Partner, bool), ProvisioningError> {
    if !request.by_contact {
        let id = request.organization.ok_or(ProvisioningError::OrganizationFixed)?;
        let is_own = *chosen == ApprovedFor::AsAsked;
        return if is_own {
            Ok((find_organization(write, id)?, false))
        } else {
            Err(ProvisioningError::OrganizationFixed)
        };
    }
    let name = match chosen {
        ApprovedFor::Existing(name_or_id) => {
            let found = write.find_partner(name_or_id)?;
            let found = found.ok_or_else(|| ProvisioningError::UnknownPartner(name_or_id.clone()))?;
            return if found.is_operator {
                Err(ProvisioningError::OperatorOrganization)
            } else {
                Ok((found, false))
            };
        }
        ApprovedFor::New(name) => check_partner_name(name)?,
        ApprovedFor::AsAsked => request.name.clone(),
    };
    match organizations::add(write, actor, new, &name, false)? {
        Some(added) => Ok((added, true)),
        None => Err(ProvisioningError::OrganizationTaken(name)),
    }
}

/// Adds to what an organization was granted.
fn widen(
    write: &mut dyn Write,
    actor: &Actor,
    organization: &Partner,
    granted: PerEnvironment,
) -> Result<(), ProvisioningError> {
    for environment in Environment::ALL {
        // One that was never granted anything is bounded by its keys alone; a first grant would narrow it.
        let Some(before) = organization.granted.of(environment) else { continue };
        let after = before | granted.of(environment);
        organizations::set_granted(write, actor, organization, environment, after)?;
    }
    Ok(())
}

/// Gives the key that asked what was approved in its environment: its next call works.
fn widen_key(
    write: &mut dyn Write,
    actor: &Actor,
    request: &AccessRequest,
    granted: PerEnvironment,
) -> Result<Option<KeyId>, ProvisioningError> {
    let key = match request.key {
        Some(id) => {
            write.key(id)?.filter(|key| key.revoked.is_none() && Some(key.partner_id) == request.organization)
        }
        None => None,
    };
    let Some(before) = key else { return Ok(None) };
    let permissions = before.permissions | granted.of(before.environment);
    if permissions == before.permissions {
        return Ok(None);
    }
    write.update_key(before.id, &KeyUpdate { permissions: Some(permissions), ..KeyUpdate::default() })?;
    let after = write.key(before.id)?.ok_or(ProvisioningError::Unknown(before.id))?;
    audit_key(write, actor, "key.update", &after, Some(&settings(&before)), Some(&settings(&after)))?;
    Ok(Some(before.id))
}
