//! App tokens: issued to a device for a member, listed, and revoked.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use permissions::{
    AppToken, Environment, MembershipId, PartnerId, ServerSecret, TokenId, TokenSecret, UserId,
};
use rand::CryptoRng;
use serde_json::json;
use zeroize::Zeroizing;

use super::people::{find_member, record};
use super::rules::{check_name, not_found};
use super::{Actor, Committed, ProvisioningError, new_uuid, now, write};
use crate::clock::Clock;
use crate::store::people::{StoredToken, TokenFilter};
use crate::store::{Store, Write, to_stored_precision};

/// Settings of a new token.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// The member whom it acts for.
    pub membership: MembershipId,
    /// Its environment.
    pub environment: Environment,
    /// The name of the app.
    pub app: String,
    /// The name of the device.
    pub device: String,
    /// When the person authenticated to approve it.
    pub authenticated: Timestamp,
    /// How long it is valid.
    pub lifetime: Duration,
}

/// A token that was issued. Its text is available only here.
#[derive(Clone, Debug)]
pub struct IssuedToken {
    /// Its record.
    pub record: AppToken,
    /// Its text.
    pub secret: TokenSecret,
    /// The write.
    pub change: Committed,
}

/// Issues an app token to a device.
///
/// # Errors
/// No such member, a name that breaks the rules, or an error of the store.
pub fn issue_token(
    store: &mut Store,
    clock: &dyn Clock,
    rng: &mut dyn CryptoRng,
    secret: &ServerSecret,
    actor: &Actor,
    new: &NewToken,
) -> Result<IssuedToken, ProvisioningError> {
    let now = now(clock);
    let (stored, text) = draw_token(rng, secret, new, now)?;
    let (record, change) = write(store, clock, now, |write| insert_token(write, actor, &stored))?;
    Ok(IssuedToken { record, secret: text, change })
}

/// Draws a token that is not stored yet.
pub(super) fn draw_token(
    rng: &mut dyn CryptoRng,
    secret: &ServerSecret,
    new: &NewToken,
    now: Timestamp,
) -> Result<(StoredToken, TokenSecret), ProvisioningError> {
    let mut random = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *random);
    let text = TokenSecret::new(&random);
    let expires =
        SignedDuration::try_from(new.lifetime).ok().and_then(|lifetime| now.checked_add(lifetime).ok());
    let record = AppToken {
        id: TokenId(new_uuid(rng, now)),
        membership: new.membership,
        environment: new.environment,
        app: check_name(&new.app)?,
        device: check_name(&new.device)?,
        created: now,
        authenticated: to_stored_precision(new.authenticated),
        expires: to_stored_precision(expires.ok_or(ProvisioningError::OverlapTooLong)?),
        revoked: None,
        last_used: None,
    };
    Ok((StoredToken { record, hash: secret.hash(text.expose().as_bytes()) }, text))
}

/// Stores a drawn token, in a transaction that may do more.
pub(super) fn insert_token(
    write: &mut dyn Write,
    actor: &Actor,
    stored: &StoredToken,
) -> Result<AppToken, ProvisioningError> {
    let token = &stored.record;
    let member = find_member(write, actor, token.membership)?;
    write.insert_token(stored)?;
    let after = json!({
        "user": member.user.id,
        "environment": token.environment,
        "app": token.app,
        "device": token.device,
        "expires": token.expires,
    });
    let target = format!("token:{}", token.id);
    record(write, actor, "token.issue", member.membership.organization, target, (None, Some(&after)))?;
    Ok(token.clone())
}

/// The tokens that pass the filter, the oldest first.
///
/// # Errors
/// Errors of the store.
pub fn list_tokens(store: &mut Store, filter: TokenFilter) -> Result<Vec<AppToken>, ProvisioningError> {
    Ok(store.list_tokens(filter)?)
}

/// Revokes a token: of a caller's own, or as the operator. Revoking it again changes nothing.
///
/// # Errors
/// No such token that the actor may revoke, or an error of the store.
pub fn revoke_token(
    store: &mut Store,
    clock: &dyn Clock,
    actor: &Actor,
    id: TokenId,
) -> Result<(AppToken, bool, Committed), ProvisioningError> {
    let now = now(clock);
    let ((token, revoked), change) = write(store, clock, now, |write| {
        let token = write.token(id)?.ok_or_else(|| not_found("device", id))?;
        let member = write.member(token.membership)?.ok_or_else(|| not_found("device", id))?;
        let may = actor.caller().is_none_or(|caller| {
            // One's own in this organization; with a credential of staging, those of staging.
            caller.person.is_some_and(|person| person.user == member.user.id)
                && actor.sees(member.membership.organization, token.environment)
        });
        if !may {
            return Err(not_found("device", id));
        }
        let revoked = revoke_in(write, actor, &token, member.membership.organization)?;
        let token = write.token(id)?.ok_or_else(|| not_found("device", id))?;
        Ok((token, revoked))
    })?;
    Ok((token, revoked, change))
}

/// Revokes every token of an organization, of a user, or of everybody, after a leak; returns how many.
///
/// # Errors
/// Errors of the store.
pub fn revoke_all_tokens(
    store: &mut Store,
    clock: &dyn Clock,
    actor: &Actor,
    organization: Option<PartnerId>,
    user: Option<UserId>,
) -> Result<(usize, Committed), ProvisioningError> {
    let now = now(clock);
    write(store, clock, now, |write| {
        let mut revoked = 0;
        for token in write.list_tokens(TokenFilter { organization, user, ..TokenFilter::default() })? {
            let member = write.member(token.membership)?;
            if let Some(member) = member {
                revoked += usize::from(revoke_in(write, actor, &token, member.membership.organization)?);
            }
        }
        Ok(revoked)
    })
}

/// Revokes a token in a transaction; returns whether it was not revoked before.
fn revoke_in(
    write: &mut dyn Write,
    actor: &Actor,
    token: &AppToken,
    organization: PartnerId,
) -> Result<bool, ProvisioningError> {
    let revoked = write.revoke_token(token.id)?;
    if revoked {
        let before = json!({ "app": token.app, "device": token.device });
        let target = format!("token:{}", token.id);
        record(write, actor, "token.revoke", organization, target, (Some(&before), None))?;
    }
    Ok(revoked)
}
