//! Provisioning: creates, rotates, revokes and updates keys, and creates the two keys of the first launch.
//!
//! The rules for keys are here, for every caller: the command line today, a portal later. Errors are worded
//! for the person who asked. Each operation is one transaction of the store, so a crash leaves all of it or
//! nothing. Nothing here depends on requests, servers or terminals.

mod partners;
mod rules;
#[cfg(test)]
mod tests;

use std::time::Duration;

use ipnet::IpNet;
use jiff::{SignedDuration, Timestamp};
use permissions::{
    ApiAccessPermission, Brand, Environment, KeyId, KeyRecord, KeySecret, OnRetired, PartnerId, Rate,
    ServerSecret,
};
use rand::CryptoRng;
use uuid::{Builder, Uuid};

use crate::clock::Clock;
pub use crate::store::KeyUpdate;
use crate::store::{Store, Write, to_stored_precision};
pub use partners::{
    PartnerChange, create_partner, remove_partner, rename_partner, resume_partner, suspend_partner,
};
pub use rules::{KeyError, NAME_CHARACTERS_MAX, NETWORKS_MAX};
use rules::{check_key_name, check_partner_name, check_times, normalize_networks};

/// The partner that the first launch creates.
pub const FIRST_PARTNER: &str = "first-partner";

/// Creates keys. Operations that create none need no secret: see [`revoke`], [`update`] and the functions for
/// partners.
pub struct Provisioning<'a> {
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

/// A committed write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The number of its change in the feed: a server whose receipt covers it has applied it.
    pub change: i64,
    /// When the commit was acknowledged.
    pub at: Timestamp,
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
    /// Creates a key, and its partner if there is none of this name.
    ///
    /// # Errors
    /// The rule that it would break, or an error of the store.
    pub fn create(&mut self, new: NewKey) -> Result<Created, KeyError> {
        let now = self.now();
        check_key_name(&new.name)?;
        if new.permissions.is_empty() {
            return Err(KeyError::NoPermission);
        }
        let partner = PartnerId(new_uuid(self.rng, now));
        let (mut record, secret) = self.draw(new, partner, now)?;
        check_times(&record, now)?;
        let hash = self.secret.hash(secret.expose().as_bytes());
        let ((record, partner_created), change) = self.write(now, |write| {
            let partner_created = match write.find_partner(&record.partner)? {
                Some(partner) => {
                    record.partner_id = partner.id;
                    record.partner = partner.name;
                    record.suspended = partner.suspended.is_some();
                    false
                }
                None => {
                    check_partner_name(&record.partner)?;
                    write.add_partner(partner, &record.partner)?
                }
            };
            write.insert_key(&record, &hash)?;
            Ok((record, partner_created))
        })?;
        Ok(Created { record, secret, partner_created, change })
    }

    /// Replaces a key by a new one with the same settings. The old key expires after the overlap, at once if
    /// it is zero, and never later than it would have expired anyway.
    ///
    /// # Errors
    /// An unknown, revoked or expired key, or an error of the store.
    pub fn rotate(&mut self, id: KeyId, overlap: Duration) -> Result<Created, KeyError> {
        let now = self.now();
        let end = SignedDuration::try_from(overlap).ok().and_then(|overlap| now.checked_add(overlap).ok());
        let end = to_stored_precision(end.ok_or(KeyError::OverlapTooLong)?);
        // A key never changes its environment, so the secret can be drawn before the transaction; all
        // other settings are read in the transaction that writes.
        let environment = self.store.key(id)?.ok_or(KeyError::Unknown(id))?.environment;
        let id_of_new = KeyId(new_uuid(self.rng, now));
        let secret = KeySecret::generate(self.brand, environment, || random_byte(self.rng));
        let hash = self.secret.hash(secret.expose().as_bytes());
        let (record, change) = self.write(now, |write| {
            let old = find_changeable(write, id)?;
            if let Some(at) = old.expires.filter(|expires| *expires <= now) {
                return Err(KeyError::Expired { id, at });
            }
            if let Some(successor) = write.successor(id)? {
                return Err(KeyError::Rotated { id, successor });
            }
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
            Ok(record)
        })?;
        Ok(Created { record, secret, partner_created: false, change })
    }

    /// Creates the first partner with one key for each environment, each with every permission, in an empty
    /// store. Of several processes that launch at once, one creates them; the others get `None`.
    ///
    /// # Errors
    /// Errors of the store.
    pub fn first_launch(&mut self) -> Result<Option<FirstLaunch>, KeyError> {
        let now = self.now();
        let partner = PartnerId(new_uuid(self.rng, now));
        let (staging, staging_secret) = self.draw(first_key(Environment::Staging), partner, now)?;
        let (production, production_secret) = self.draw(first_key(Environment::Production), partner, now)?;
        let hash = |secret: &KeySecret| self.secret.hash(secret.expose().as_bytes());
        let (staging_hash, production_hash) = (hash(&staging_secret), hash(&production_secret));
        let (made, change) = self.write(now, |write| {
            if !write.is_empty()? {
                return Ok(false);
            }
            write.add_partner(partner, FIRST_PARTNER)?;
            write.insert_key(&staging, &staging_hash)?;
            write.insert_key(&production, &production_hash)?;
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
    fn draw(
        &mut self,
        new: NewKey,
        partner_id: PartnerId,
        now: Timestamp,
    ) -> Result<(KeyRecord, KeySecret), KeyError> {
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

    fn now(&self) -> Timestamp {
        to_stored_precision(self.clock.now())
    }

    fn write<T>(
        &mut self,
        now: Timestamp,
        body: impl FnOnce(&mut dyn Write) -> Result<T, KeyError>,
    ) -> Result<(T, Committed), KeyError> {
        write(self.store, self.clock, now, body)
    }
}

/// Revokes a key permanently. Revoking it again changes nothing and is no error.
///
/// # Errors
/// An unknown key, or an error of the store.
pub fn revoke(store: &mut Store, clock: &dyn Clock, id: KeyId) -> Result<Revoked, KeyError> {
    let now = to_stored_precision(clock.now());
    let ((record, new), change) = write(store, clock, now, |write| {
        let new = write.revoke_key(id)?;
        Ok((write.key(id)?.ok_or(KeyError::Unknown(id))?, new))
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
    id: KeyId,
    mut update: KeyUpdate,
) -> Result<Updated, KeyError> {
    let now = to_stored_precision(clock.now());
    update.not_before = update.not_before.map(|moment| moment.map(to_stored_precision));
    update.expires = update.expires.map(|moment| moment.map(to_stored_precision));
    update.allow = update.allow.map(normalize_networks).transpose()?;
    update.name.as_deref().map(check_key_name).transpose()?;
    if update.permissions.is_some_and(|permissions| permissions.is_empty()) {
        return Err(KeyError::NoPermission);
    }
    let (record, change) = write(store, clock, now, |write| {
        find_changeable(write, id)?;
        write.update_key(id, &update)?;
        let record = write.key(id)?.ok_or(KeyError::Unknown(id))?;
        // Only times that are being set are checked: an expired key may still be renamed.
        if update.expires.is_some() || update.not_before.is_some() {
            check_times(&record, now)?;
        }
        Ok(record)
    })?;
    Ok(Updated { record, change })
}

fn write<T>(
    store: &mut Store,
    clock: &dyn Clock,
    now: Timestamp,
    body: impl FnOnce(&mut dyn Write) -> Result<T, KeyError>,
) -> Result<(T, Committed), KeyError> {
    let (value, change) = store.write(now, body)?;
    Ok((value, Committed { change, at: to_stored_precision(clock.now()) }))
}

/// Settings of the first partner's key for this environment.
fn first_key(environment: Environment) -> NewKey {
    NewKey {
        partner: FIRST_PARTNER.to_owned(),
        name: "made at the first launch".to_owned(),
        environment,
        permissions: ApiAccessPermission::all(),
        not_before: None,
        expires: None,
        allow: Vec::new(),
        rate: None,
        on_retired: OnRetired::Refuse,
    }
}

/// Reads the key in the transaction; fails if it is missing or revoked.
fn find_changeable(write: &mut dyn Write, id: KeyId) -> Result<KeyRecord, KeyError> {
    let record = write.key(id)?.ok_or(KeyError::Unknown(id))?;
    match record.revoked {
        Some(at) => Err(KeyError::Revoked { id, at }),
        None => Ok(record),
    }
}

/// Generates a UUIDv7.
fn new_uuid(rng: &mut dyn CryptoRng, now: Timestamp) -> Uuid {
    let mut random = [0; 10];
    rng.fill_bytes(&mut random);
    let milliseconds = u64::try_from(now.as_millisecond()).unwrap_or_default();
    Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid()
}

fn random_byte(rng: &mut dyn CryptoRng) -> u8 {
    let mut byte = [0];
    rng.fill_bytes(&mut byte);
    byte[0]
}
