//! Organizations: create, rename, suspend and remove them, and what they are granted. One is found by its name or its
//! id. All of this is the operator's.

use jiff::Timestamp;
use permissions::{ApiAccessPermission, Environment, PartnerId};
use rand::CryptoRng;

use serde_json::{Value, json};

use super::rules::{check_partner_name, not_found};
use super::{Actor, Committed, Done, ProvisioningError, audit, new_uuid, now, write};
use crate::clock::Clock;
use crate::store::{KeyFilter, Partner, Store, Write};

/// A partner after a change.
#[derive(Clone, Debug)]
pub struct PartnerChange {
    /// The partner as it is now, or as it was before its removal.
    pub partner: Partner,
    /// Whether anything was changed.
    pub changed: bool,
    /// The write, or the newest change in the feed if nothing was changed.
    pub change: Committed,
}

/// Creates a partner.
///
/// # Errors
/// A name that breaks the rules or is taken, or an error of the store.
pub fn create_partner(
    store: &mut Store,
    clock: &dyn Clock,
    rng: &mut dyn CryptoRng,
    actor: &Actor,
    name: &str,
    is_operator: bool,
) -> Result<PartnerChange, ProvisioningError> {
    let name = check_partner_name(name)?;
    let now = now(clock);
    let id = PartnerId(new_uuid(rng, now));
    let (partner, change) = write(store, clock, now, |write| {
        add(write, actor, id, &name, is_operator)?
            .ok_or_else(|| ProvisioningError::PartnerExists(name.clone()))
    })?;
    Ok(PartnerChange { partner, changed: true, change })
}

/// Renames a partner. Its keys stay as they are.
///
/// # Errors
/// No such partner, a name that breaks the rules or is taken, or an error of the store.
pub fn rename_partner(
    store: &mut Store,
    clock: &dyn Clock,
    actor: &Actor,
    partner: &str,
    name: &str,
) -> Result<PartnerChange, ProvisioningError> {
    let name = check_partner_name(name)?;
    change(store, clock, partner, |write, partner| match write.find_partner(&name)? {
        Some(other) if other.id != partner.id => Err(ProvisioningError::PartnerExists(name.clone())),
        _ => {
            let renamed = write.rename_partner(partner.id, &name)?;
            if renamed {
                let (before, after) = (json!({ "name": partner.name }), json!({ "name": name }));
                record(write, actor, "organization.rename", partner.id, (Some(&before), Some(&after)))?;
            }
            Ok(renamed)
        }
    })
}

/// Suspends a partner: its keys are refused until it is resumed. Suspending it again changes nothing.
///
/// # Errors
/// No such partner, or an error of the store.
pub fn suspend_partner(
    store: &mut Store,
    clock: &dyn Clock,
    actor: &Actor,
    partner: &str,
) -> Result<PartnerChange, ProvisioningError> {
    set_suspended(store, clock, actor, partner, true)
}

/// Resumes a suspended partner. Resuming it again changes nothing.
///
/// # Errors
/// No such partner, or an error of the store.
pub fn resume_partner(
    store: &mut Store,
    clock: &dyn Clock,
    actor: &Actor,
    partner: &str,
) -> Result<PartnerChange, ProvisioningError> {
    set_suspended(store, clock, actor, partner, false)
}

fn set_suspended(
    store: &mut Store,
    clock: &dyn Clock,
    actor: &Actor,
    partner: &str,
    suspended: bool,
) -> Result<PartnerChange, ProvisioningError> {
    let action = if suspended { "organization.suspend" } else { "organization.resume" };
    change(store, clock, partner, |write, partner| {
        let changed = write.set_partner_suspended(partner.id, suspended)?;
        if changed {
            record(write, actor, action, partner.id, (None, None))?;
        }
        Ok(changed)
    })
}

/// Removes a partner and all its keys. Active keys (neither revoked nor expired) are removed only with
/// `revoke_keys`.
///
/// # Errors
/// No such partner, active keys, or an error of the store.
pub fn remove_partner(
    store: &mut Store,
    clock: &dyn Clock,
    actor: &Actor,
    partner: &str,
    revoke_keys: bool,
) -> Result<PartnerChange, ProvisioningError> {
    change(store, clock, partner, |write, partner| {
        let filter = KeyFilter { partner: Some(partner.id), ..KeyFilter::default() };
        let now = write.now();
        let is_over = |expires: Option<Timestamp>| expires.is_some_and(|expires| expires <= now);
        let keys = write.list_keys(&filter)?;
        let active = keys.iter().filter(|key| key.revoked.is_none() && !is_over(key.expires)).count();
        if active > 0 && !revoke_keys {
            return Err(ProvisioningError::ActiveKeys { partner: partner.name.clone(), active });
        }
        let before = json!({ "name": partner.name, "keys": keys.len() });
        record(write, actor, "organization.remove", partner.id, (Some(&before), None))?;
        Ok(write.remove_partner(partner.id)?)
    })
}

/// Sets what an organization is granted in an environment: no key, role or member of it exceeds that.
///
/// # Errors
/// No such organization, something that is not to be granted, or an error of the store.
pub fn grant(
    store: &mut Store,
    clock: &dyn Clock,
    actor: &Actor,
    partner: &str,
    environment: Environment,
    permissions: ApiAccessPermission,
) -> Result<PartnerChange, ProvisioningError> {
    let missing = permissions - ApiAccessPermission::grantable();
    if !missing.is_empty() {
        return Err(ProvisioningError::NotGrantable(missing));
    }
    change(store, clock, partner, |write, partner| {
        set_granted(write, actor, partner, environment, permissions)
    })
}

/// Makes an organization the operator's, if it is not.
///
/// # Errors
/// No such organization, or an error of the store.
pub fn make_operator(
    store: &mut Store,
    clock: &dyn Clock,
    actor: &Actor,
    partner: &str,
) -> Result<PartnerChange, ProvisioningError> {
    change(store, clock, partner, |write, partner| {
        let changed = write.set_operator(partner.id)?;
        if changed {
            let after = json!({ "operator": true });
            record(write, actor, "organization.operator", partner.id, (None, Some(&after)))?;
        }
        Ok(changed)
    })
}

/// Adds an organization in a transaction, with its entry in the audit log; `None` if its name is taken.
pub(super) fn add(
    write: &mut dyn Write,
    actor: &Actor,
    id: PartnerId,
    name: &str,
    is_operator: bool,
) -> Result<Option<Partner>, ProvisioningError> {
    if !write.add_partner(id, name)? {
        return Ok(None);
    }
    if is_operator {
        write.set_operator(id)?;
    }
    let after = json!({ "name": name, "operator": is_operator });
    record(write, actor, "organization.create", id, (None, Some(&after)))?;
    find_organization(write, id).map(Some)
}

/// Sets in a transaction what an organization is granted, with its entry in the audit log; says whether that changed
/// anything.
pub(super) fn set_granted(
    write: &mut dyn Write,
    actor: &Actor,
    partner: &Partner,
    environment: Environment,
    permissions: ApiAccessPermission,
) -> Result<bool, ProvisioningError> {
    let changed = write.set_granted(partner.id, environment, permissions)?;
    if changed {
        let name = environment.name();
        let (before, after) = (partner.granted.of(environment), permissions);
        let (before, after) = (json!({ name: before }), json!({ name: after }));
        record(write, actor, "organization.grant", partner.id, (Some(&before), Some(&after)))?;
    }
    Ok(changed)
}

pub(super) fn find_organization(write: &mut dyn Write, id: PartnerId) -> Result<Partner, ProvisioningError> {
    write.find_partner(&id.to_string())?.ok_or_else(|| not_found("organization", id))
}

fn record(
    write: &mut dyn Write,
    actor: &Actor,
    action: &'static str,
    id: PartnerId,
    (before, after): (Option<&Value>, Option<&Value>),
) -> Result<(), ProvisioningError> {
    audit(
        write,
        actor,
        &Done { action, organization: Some(id), target: format!("organization:{id}"), before, after },
    )
}

fn change(
    store: &mut Store,
    clock: &dyn Clock,
    name_or_id: &str,
    body: impl FnOnce(&mut dyn Write, &Partner) -> Result<bool, ProvisioningError>,
) -> Result<PartnerChange, ProvisioningError> {
    let now = now(clock);
    let ((partner, changed), change) = write(store, clock, now, |write| {
        let partner = find(write, name_or_id)?;
        let changed = body(write, &partner)?;
        let partner = write.find_partner(&partner.id.to_string())?.unwrap_or(partner);
        Ok((partner, changed))
    })?;
    Ok(PartnerChange { partner, changed, change })
}

fn find(write: &mut dyn Write, name_or_id: &str) -> Result<Partner, ProvisioningError> {
    write.find_partner(name_or_id)?.ok_or_else(|| ProvisioningError::UnknownPartner(name_or_id.to_owned()))
}
