//! Provisioning: what may be changed, by whom, and under which rules: keys, organizations, people and their tokens.
//!
//! The functions here are behind the command line, the management endpoints and the pages alike. Each takes an
//! [`Actor`], is one transaction of the store, so that a crash leaves all of it or nothing, and leaves an entry in the
//! audit log in that same transaction. Errors are worded for the person who asked. Nothing here depends on requests,
//! servers or terminals.

mod actor;
mod claims;
mod devices;
mod invitations;
mod keys;
mod links;
mod operators;
mod organizations;
mod people;
mod requests;
#[cfg(test)]
mod requests_tests;
mod review;
mod rules;
mod sessions;
#[cfg(test)]
mod tests;
mod tokens;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use rand::CryptoRng;
use serde_json::Value;
use uuid::{Builder, Uuid};
use zeroize::Zeroizing;

use crate::clock::Clock;
pub use crate::store::KeyUpdate;
use crate::store::people::AuditEntry;
use crate::store::{Store, Write, to_stored_precision};
pub use actor::{Actor, STEP_UP_AGE_MAX, Who};
pub use claims::{ClaimInfo, Claimed, claim_info, claim_state};
pub use devices::{
    BeginDevice, BegunDevice, DEVICE_LIFETIME, DeviceLimits, DevicePoll, NewDevice, Poll, approve_device,
    begin_device, deny_device, find_device, poll_device,
};
pub use invitations::{
    INVITATIONS_LIST_MAX, INVITATIONS_OPEN_MAX, InvitationInfo, Invited, Invitee, NewInvitation,
    accept_invitation, invitation_info, invite, list_invitations, revoke_invitation,
};
pub use keys::{
    Created, FIRST_PARTNER, FirstLaunch, NewKey, Provisioning, Revoked, Updated, list_keys, revoke, show_key,
    update,
};
pub use links::{LinkCode, LinkState, NewLink, REQUEST_PATH, link_path};
pub use operators::{
    NewOperator, NewOperatorUser, OPERATOR_ORGANIZATION, SIGN_IN_LIFETIME, create_operator, sign_in_link,
    sign_in_link_state, use_sign_in_link,
};
pub use organizations::{
    PartnerChange, create_partner, grant, make_operator, remove_partner, rename_partner, resume_partner,
    suspend_partner,
};
pub use people::{
    NewMember, change_member, change_role, create_role, create_user, find_role_by_name, list_members,
    list_roles, remove_member, remove_role, role_name,
};
pub use requests::{
    EVENTS_MAX, Filed, LIST_MAX, NewRequest, OPEN_PER_ORGANIZATION_MAX, RequestView, Which, add_to_request,
    file_request, list_requests, request_by_code, show_request, withdraw_request,
};
pub use review::{
    Approval, Approved, ApprovedFor, approve_request, ask_back, new_claim_link, reject_request,
};
pub use rules::{NAME_CHARACTERS_MAX, NETWORKS_MAX, ProvisioningError, TEXT_CHARACTERS_MAX};
pub(crate) use rules::{not_found, sentence};
pub use sessions::{
    NewSession, SESSIONS_PER_USER_MAX, SessionTimes, create_session, end_session, find_session, list_sessions,
};
pub use tokens::{IssuedToken, NewToken, issue_token, list_tokens, revoke_all_tokens, revoke_token};

/// A committed write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The number of its change in the feed: a server whose receipt covers it has applied it.
    pub change: i64,
    /// When the commit was acknowledged.
    pub at: Timestamp,
}

/// Runs `body` in a transaction.
fn write<T>(
    store: &mut Store,
    clock: &dyn Clock,
    now: Timestamp,
    body: impl FnOnce(&mut dyn Write) -> Result<T, ProvisioningError>,
) -> Result<(T, Committed), ProvisioningError> {
    let (value, change) = store.write(now, body)?;
    Ok((value, Committed { change, at: to_stored_precision(clock.now()) }))
}

/// What was done, for the audit log.
struct Done<'a> {
    action: &'static str,
    organization: Option<permissions::PartnerId>,
    target: String,
    before: Option<&'a Value>,
    after: Option<&'a Value>,
}

/// Appends what was done to the audit log, in the transaction that does it.
fn audit(write: &mut dyn Write, actor: &Actor, done: &Done<'_>) -> Result<(), ProvisioningError> {
    let entry = AuditEntry {
        actor: actor.to_string(),
        organization: done.organization,
        action: done.action.to_owned(),
        target: done.target.clone(),
        before: done.before.cloned(),
        after: done.after.cloned(),
        address: actor.address.map(|address| address.to_string()),
        request_id: actor.request_id.clone(),
    };
    write.append_audit(&entry)?;
    Ok(())
}

/// The time of a change, in the store's precision.
fn now(clock: &dyn Clock) -> Timestamp {
    to_stored_precision(clock.now())
}

/// 256 random bits in base64url, 43 characters: the text of a secret that is in a link, a cookie or a form.
fn random_text(rng: &mut dyn CryptoRng) -> Zeroizing<String> {
    let mut random = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *random);
    Zeroizing::new(URL_SAFE_NO_PAD.encode(random.as_slice()))
}

/// Generates a UUIDv7.
fn new_uuid(rng: &mut dyn CryptoRng, now: Timestamp) -> Uuid {
    let mut random = [0; 10];
    rng.fill_bytes(&mut random);
    let milliseconds = u64::try_from(now.as_millisecond()).unwrap_or_default();
    Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid()
}
