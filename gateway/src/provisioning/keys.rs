//! Keys: create, rotate, revoke and change them, and the two of the first launch.

use std::time::Duration;

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use permissions::{
    ApiAccessPermission, Brand, Environment, KeyId, KeyRecord, KeySecret, OnRetired, PartnerId, Rate,
    ServerSecret,
};
use rand::CryptoRng;
use serde_json::{Value, json};

use super::organizations::{self, find_organization};
use super::rules::{check_key_name, check_partner_name, check_times, normalize_networks};
use super::{Actor, Committed, Done, ProvisioningError, Who, audit, new_uuid, now, write};
use crate::clock::Clock;
use crate::store::{KeyFilter, KeyUpdate, Partner, Store, Write, to_stored_precision};

/// The partner that the first launch creates.
pub const FIRST_PARTNER: &str = "first-partner";

/// Creates keys. Operations that create none need no secret: see [`revoke`] and [`update`].
pub struct Provisioning<'a> {
    /// Who asks.
    pub actor: &'a Actor,
    /// The store.
    pub store: &'a mut Store,
    /// The secret under which keys are hashed.
    pub secret: &'a ServerSecret,
    /// The brand with which a key's text begins.
    pub brand: &'a Brand,
    /// The clock.
    pub clock: &'a dyn Clock,
    /// The source of key secrets; must be as strong as the operating system's generator.
    pub rng: &'a mut dyn CryptoRng,
}

/// Settings of a new key.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// The name or id of the partner that holds it; the partner is created if the name is new.
    pub partner: String,
    /// Its name; may be empty.
    pub name: String,
    /// Its environment.
    pub environment: Environment,
    /// Its permissions; at least one.
    pub permissions: ApiAccessPermission,
    /// When it becomes valid.
    pub not_before: Option<Timestamp>,
    /// When it expires.
    pub expires: Option<Timestamp>,
    /// The networks it may be used from; empty means any.
    pub allow: Vec<IpNet>,
    /// Its rate; `None` means the default rate.
    pub rate: Option<Rate>,
    /// How its calls to a retired version are handled.
    pub on_retired: OnRetired,
}

/// A key that was created. Its text is available only here.
#[derive(Clone, Debug)]
pub struct Created {
    /// Its record.
    pub record: KeyRecord,
    /// Its text, with the secret.
    pub secret: KeySecret,
    /// Whether its partner was created with it.
    pub partner_created: bool,
    /// The write.
    pub change: Committed,
}

/// A key that was changed.
#[derive(Clone, Debug)]
pub struct Updated {
    /// Its record as it is now.
    pub record: KeyRecord,
    /// The write.
    pub change: Committed,
}

/// A key that was revoked.
#[derive(Clone, Debug)]
pub struct Revoked {
    /// Its record; `revoked` is the time of the revocation.
    pub record: KeyRecord,
    /// Whether it had been revoked before, so that this changed nothing.
    pub already: bool,
    /// The write, or the newest change in the feed if this changed nothing.
    pub change: Committed,
}

/// The keys of the first partner.
#[derive(Clone, Debug)]
pub struct FirstLaunch {
    /// The staging key.
    pub staging: Created,
    /// The production key.
    pub production: Created,
}

impl Provisioning<'_> {
    /// Creates a key. The operator also creates its partner if there is none of this name, and grants it what the key
    /// has.
    ///
    /// # Errors
    /// The rule that it would break, or an error of the store.
    pub fn create(&mut self, new: NewKey) -> Result<Created, ProvisioningError> {
        let now = now(self.clock);
        let new = NewKey { name: check_key_name(&new.name)?, ..new };
        if new.permissions.is_empty() {
            return Err(ProvisioningError::NoPermission);
        }
        self.actor.require_environment(new.environment)?;
        if new.environment == Environment::Production {
            self.actor.require_step_up(now)?;
        }
        let partner = PartnerId(new_uuid(self.rng, now));
        let (mut record, secret) = self.draw(new, partner, now)?;
        check_times(&record, now)?;
        let hash = self.secret.hash(secret.expose().as_bytes());
        let actor = self.actor;
        let ((record, partner_created), change) = write(self.store, self.clock, now, |write| {
            let (partner, created) = partner_of(write, actor, &record, partner)?;
            allow(write, actor, &partner, record.environment, record.permissions)?;
            // As it is after the grant.
            let partner = find_organization(write, partner.id)?;
            record.partner_id = partner.id;
            record.suspended = partner.suspended.is_some();
            record.ceiling = partner.ceiling(record.environment);
            record.partner = partner.name;
            write.insert_key(&record, &hash)?;
            audit_key(write, actor, "key.create", &record, None, Some(&settings(&record)))?;
            Ok((record, created))
        })?;
        Ok(Created { record, secret, partner_created, change })
    }

    /// Replaces a key by a new one with the same settings. The old key expires after the overlap, at once if
    /// it is zero, and never later than it would have expired anyway.
    ///
    /// # Errors
    /// An unknown, revoked or expired key, or an error of the store.
    pub fn rotate(&mut self, id: KeyId, overlap: Duration) -> Result<Created, ProvisioningError> {
        let now = now(self.clock);
        let end = SignedDuration::try_from(overlap).ok().and_then(|overlap| now.checked_add(overlap).ok());
        let end = to_stored_precision(end.ok_or(ProvisioningError::OverlapTooLong)?);
        // A key never changes its environment, so the secret can be drawn before the transaction; all
        // other settings are read in the transaction that writes.
        let environment = self.store.key(id)?.ok_or(ProvisioningError::Unknown(id))?.environment;
        let id_of_new = KeyId(new_uuid(self.rng, now));
        let secret = KeySecret::generate(self.brand, environment, || random_byte(self.rng));
        let hash = self.secret.hash(secret.expose().as_bytes());
        let actor = self.actor;
        let (record, change) = write(self.store, self.clock, now, |write| {
            let old = find_changeable(write, actor, id)?;
            actor.require_step_up(now)?;
            if let Some(at) = old.expires.filter(|expires| *expires <= now) {
                return Err(ProvisioningError::Expired { id, at });
            }
            if let Some(successor) = write.successor(id)? {
                return Err(ProvisioningError::Rotated { id, successor });
            }
            let before = settings(&old);
            if overlap.is_zero() {
                write.revoke_key(id)?;
            } else if old.expires.is_none_or(|expires| end < expires) {
                write.update_key(id, &KeyUpdate { expires: Some(Some(end)), ..KeyUpdate::default() })?;
            }
            let record = KeyRecord {
                id: id_of_new,
                hint: secret.hint(),
                created: now,
                replaces: Some(id),
                last_used: None,
                ..old
            };
            write.insert_key(&record, &hash)?;
            let after = json!({ "replacedBy": record.id, "oldKeyEnds": end });
            let old = KeyRecord { id, ..record.clone() };
            audit_key(write, actor, "key.rotate", &old, Some(&before), Some(&after))?;
            Ok(record)
        })?;
        Ok(Created { record, secret, partner_created: false, change })
    }

    /// Creates the first partner with one key for each environment, each with every permission, in an empty
    /// store. Of several processes that launch at once, one creates them; the others get `None`.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn first_launch(&mut self) -> Result<Option<FirstLaunch>, ProvisioningError> {
        let now = now(self.clock);
        let partner = PartnerId(new_uuid(self.rng, now));
        let (staging, staging_secret) = self.draw(first_key(Environment::Staging), partner, now)?;
        let (production, production_secret) = self.draw(first_key(Environment::Production), partner, now)?;
        let hash = |secret: &KeySecret| self.secret.hash(secret.expose().as_bytes());
        let (staging_hash, production_hash) = (hash(&staging_secret), hash(&production_secret));
        let actor = self.actor;
        let (made, change) = write(self.store, self.clock, now, |write| {
            if !write.is_empty()? {
                return Ok(false);
            }
            // The store is empty, so the name is free.
            if let Some(partner) = organizations::add(write, actor, partner, FIRST_PARTNER, false)? {
                for environment in Environment::ALL {
                    let all = ApiAccessPermission::grantable();
                    organizations::set_granted(write, actor, &partner, environment, all)?;
                }
            }
            for (key, hash) in [(&staging, &staging_hash), (&production, &production_hash)] {
                write.insert_key(key, hash)?;
                audit_key(write, actor, "key.create", key, None, Some(&settings(key)))?;
            }
            Ok(true)
        })?;
        Ok(made.then(|| FirstLaunch {
            staging: Created { record: staging, secret: staging_secret, partner_created: true, change },
            production: Created {
                record: production,
                secret: production_secret,
                partner_created: true,
                change,
            },
        }))
    }

    /// Generates the id and the secret of a new key.
    pub(super) fn draw(
        &mut self,
        new: NewKey,
        partner_id: PartnerId,
        now: Timestamp,
    ) -> Result<(KeyRecord, KeySecret), ProvisioningError> {
        let id = KeyId(new_uuid(self.rng, now));
        let secret = KeySecret::generate(self.brand, new.environment, || random_byte(self.rng));
        let record = KeyRecord {
            id,
            partner_id,
            partner: new.partner,
            suspended: false,
            name: new.name,
            environment: new.environment,
            permissions: new.permissions,
            ceiling: new.permissions,
            hint: secret.hint(),
            created: now,
            not_before: new.not_before.map(to_stored_precision),
            expires: new.expires.map(to_stored_precision),
            revoked: None,
            allow: normalize_networks(new.allow)?,
            rate: new.rate,
            on_retired: new.on_retired,
            replaces: None,
            last_used: None,
        };
        Ok((record, secret))
    }
}

/// The keys that the actor sees, the oldest first.
///
/// # Errors
/// Errors of the store.
pub fn list_keys(
    store: &mut Store,
    actor: &Actor,
    filter: &KeyFilter,
) -> Result<Vec<KeyRecord>, ProvisioningError> {
    let mut keys = store.list_keys(filter)?;
    keys.retain(|key| actor.sees(key.partner_id, key.environment));
    Ok(keys)
}

/// One key.
///
/// # Errors
/// [`ProvisioningError::Unknown`] where there is none that the actor sees; errors of the store.
pub fn show_key(store: &mut Store, actor: &Actor, id: KeyId) -> Result<KeyRecord, ProvisioningError> {
    let key = store.key(id)?.filter(|key| actor.sees(key.partner_id, key.environment));
    key.ok_or(ProvisioningError::Unknown(id))
}

/// Revokes a key permanently. Revoking it again changes nothing and is no error.
///
/// # Errors
/// An unknown key, or an error of the store.
pub fn revoke(
    store: &mut Store,
    clock: &dyn Clock,
    actor: &Actor,
    id: KeyId,
) -> Result<Revoked, ProvisioningError> {
    let now = now(clock);
    let ((record, new), change) = write(store, clock, now, |write| {
        let before = find(write, actor, id)?;
        actor.require_step_up(now)?;
        let new = write.revoke_key(id)?;
        if new {
            audit_key(write, actor, "key.revoke", &before, None, None)?;
        }
        Ok((write.key(id)?.ok_or(ProvisioningError::Unknown(id))?, new))
    })?;
    Ok(Revoked { record, already: !new, change })
}

/// Changes the settings that the update names and leaves the others as they are.
///
/// # Errors
/// An unknown or revoked key, the rule that it would break, or an error of the store.
pub fn update(
    store: &mut Store,
    clock: &dyn Clock,
    actor: &Actor,
    id: KeyId,
    mut update: KeyUpdate,
) -> Result<Updated, ProvisioningError> {
    let now = now(clock);
    update.not_before = update.not_before.map(|moment| moment.map(to_stored_precision));
    update.expires = update.expires.map(|moment| moment.map(to_stored_precision));
    update.allow = update.allow.map(normalize_networks).transpose()?;
    update.name = update.name.as_deref().map(check_key_name).transpose()?;
    if update.permissions.is_some_and(|permissions| permissions.is_empty()) {
        return Err(ProvisioningError::NoPermission);
    }
    let (record, change) = write(store, clock, now, |write| {
        let old = find_changeable(write, actor, id)?;
        if old.environment == Environment::Production {
            actor.require_step_up(now)?;
        }
        if let Some(permissions) = update.permissions {
            let partner = find_organization(write, old.partner_id)?;
            // What the key has already may stay.
            allow(write, actor, &partner, old.environment, permissions - old.permissions)?;
        }
        write.update_key(id, &update)?;
        let record = write.key(id)?.ok_or(ProvisioningError::Unknown(id))?;
        // Only times that are being set are checked: an expired key may still be renamed.
        if update.expires.is_some() || update.not_before.is_some() {
            check_times(&record, now)?;
        }
        audit_key(write, actor, "key.update", &record, Some(&settings(&old)), Some(&settings(&record)))?;
        Ok(record)
    })?;
    Ok(Updated { record, change })
}

/// The partner of a new key: the operator names it and may create it; a caller's is its own.
fn partner_of(
    write: &mut dyn Write,
    actor: &Actor,
    record: &KeyRecord,
    new: PartnerId,
) -> Result<(Partner, bool), ProvisioningError> {
    if let Who::Caller(caller) = &actor.who {
        return Ok((find_organization(write, caller.organization)?, false));
    }
    if let Some(partner) = write.find_partner(&record.partner)? {
        return Ok((partner, false));
    }
    check_partner_name(&record.partner)?;
    let added = organizations::add(write, actor, new, &record.partner, false)?;
    Ok((added.ok_or_else(|| ProvisioningError::PartnerExists(record.partner.clone()))?, true))
}

/// Checks that a key may have these permissions. What the operator gives to a key, its partner is granted with it.
fn allow(
    write: &mut dyn Write,
    actor: &Actor,
    partner: &Partner,
    environment: Environment,
    permissions: ApiAccessPermission,
) -> Result<(), ProvisioningError> {
    let missing = (permissions - partner.ceiling(environment)) & ApiAccessPermission::grantable();
    if let (None, Some(granted)) = (actor.caller(), partner.granted.of(environment)) {
        if !missing.is_empty() {
            organizations::set_granted(write, actor, partner, environment, granted | missing)?;
        }
        let never = permissions & ApiAccessPermission::OPERATION;
        let never = if partner.is_operator { ApiAccessPermission::empty() } else { never };
        return if never.is_empty() {
            Ok(())
        } else {
            Err(ProvisioningError::Exceeds { missing: never, environment })
        };
    }
    actor.require_within(write, partner, environment, permissions)
}

/// The settings of a key, as the audit log shows them.
pub(super) fn settings(record: &KeyRecord) -> Value {
    json!({
        "name": record.name,
        "environment": record.environment,
        "permissions": record.permissions,
        "notBefore": record.not_before,
        "expires": record.expires,
        "allow": record.allow,
        "rate": record.rate,
        "onRetired": record.on_retired,
    })
}

pub(super) fn audit_key(
    write: &mut dyn Write,
    actor: &Actor,
    action: &'static str,
    key: &KeyRecord,
    before: Option<&Value>,
    after: Option<&Value>,
) -> Result<(), ProvisioningError> {
    let (organization, target) = (Some(key.partner_id), format!("key:{}", key.id));
    audit(write, actor, &Done { action, organization, target, before, after })
}

/// Settings of the first partner's key for this environment.
pub(super) fn first_key(environment: Environment) -> NewKey {
    NewKey {
        partner: FIRST_PARTNER.to_owned(),
        name: "made at the first launch".to_owned(),
        environment,
        permissions: ApiAccessPermission::grantable(),
        not_before: None,
        expires: None,
        allow: Vec::new(),
        rate: None,
        on_retired: OnRetired::Refuse,
    }
}

/// Reads the key in the transaction; fails if the actor sees none.
fn find(write: &mut dyn Write, actor: &Actor, id: KeyId) -> Result<KeyRecord, ProvisioningError> {
    let key = write.key(id)?.filter(|key| actor.sees(key.partner_id, key.environment));
    key.ok_or(ProvisioningError::Unknown(id))
}

/// As [`find`]; fails also if the key is revoked.
fn find_changeable(write: &mut dyn Write, actor: &Actor, id: KeyId) -> Result<KeyRecord, ProvisioningError> {
    let record = find(write, actor, id)?;
    match record.revoked {
        Some(at) => Err(ProvisioningError::Revoked { id, at }),
        None => Ok(record),
    }
}

fn random_byte(rng: &mut dyn CryptoRng) -> u8 {
    let mut byte = [0];
    rng.fill_bytes(&mut byte);
    byte[0]
}
