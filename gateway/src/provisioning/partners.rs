//! Creates, renames, suspends and removes partners. A partner is found by its name or its id.

use jiff::Timestamp;
use permissions::PartnerId;
use rand::CryptoRng;

use super::rules::check_partner_name;
use super::{Committed, KeyError, new_uuid, write};
use crate::clock::Clock;
use crate::store::{KeyFilter, Partner, Store, Write, to_stored_precision};

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
    name: &str,
) -> Result<PartnerChange, KeyError> {
    check_partner_name(name)?;
    let now = to_stored_precision(clock.now());
    let id = PartnerId(new_uuid(rng, now));
    let (partner, change) = write(store, clock, now, |write| {
        if !write.add_partner(id, name)? {
            return Err(KeyError::PartnerExists(name.to_owned()));
        }
        find(write, name)
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
    partner: &str,
    name: &str,
) -> Result<PartnerChange, KeyError> {
    check_partner_name(name)?;
    change(store, clock, partner, |write, partner| match write.find_partner(name)? {
        Some(other) if other.id != partner.id => Err(KeyError::PartnerExists(name.to_owned())),
        _ => Ok(write.rename_partner(partner.id, name)?),
    })
}

/// Suspends a partner: its keys are refused until it is resumed. Suspending it again changes nothing.
///
/// # Errors
/// No such partner, or an error of the store.
pub fn suspend_partner(
    store: &mut Store,
    clock: &dyn Clock,
    partner: &str,
) -> Result<PartnerChange, KeyError> {
    change(store, clock, partner, |write, partner| Ok(write.set_partner_suspended(partner.id, true)?))
}

/// Resumes a suspended partner. Resuming it again changes nothing.
///
/// # Errors
/// No such partner, or an error of the store.
pub fn resume_partner(
    store: &mut Store,
    clock: &dyn Clock,
    partner: &str,
) -> Result<PartnerChange, KeyError> {
    change(store, clock, partner, |write, partner| Ok(write.set_partner_suspended(partner.id, false)?))
}

/// Removes a partner and all its keys. Active keys (neither revoked nor expired) are removed only with
/// `revoke_keys`.
///
/// # Errors
/// No such partner, active keys, or an error of the store.
pub fn remove_partner(
    store: &mut Store,
    clock: &dyn Clock,
    partner: &str,
    revoke_keys: bool,
) -> Result<PartnerChange, KeyError> {
    change(store, clock, partner, |write, partner| {
        let filter = KeyFilter { partner: Some(partner.id), ..KeyFilter::default() };
        let now = write.now();
        let is_over = |expires: Option<Timestamp>| expires.is_some_and(|expires| expires <= now);
        let keys = write.list_keys(&filter)?;
        let active = keys.iter().filter(|key| key.revoked.is_none() && !is_over(key.expires)).count();
        if active > 0 && !revoke_keys {
            return Err(KeyError::ActiveKeys { partner: partner.name.clone(), active });
        }
        Ok(write.remove_partner(partner.id)?)
    })
}

fn change(
    store: &mut Store,
    clock: &dyn Clock,
    name_or_id: &str,
    body: impl FnOnce(&mut dyn Write, &Partner) -> Result<bool, KeyError>,
) -> Result<PartnerChange, KeyError> {
    let now = to_stored_precision(clock.now());
    let ((partner, changed), change) = write(store, clock, now, |write| {
        let partner = find(write, name_or_id)?;
        let changed = body(write, &partner)?;
        let partner = write.find_partner(&partner.id.to_string())?.unwrap_or(partner);
        Ok((partner, changed))
    })?;
    Ok(PartnerChange { partner, changed, change })
}

fn find(write: &mut dyn Write, name_or_id: &str) -> Result<Partner, KeyError> {
    write.find_partner(name_or_id)?.ok_or_else(|| KeyError::UnknownPartner(name_or_id.to_owned()))
}
