//! The token of the local profile: a staging key with every permission, whose text is kept in a private file of the
//! data folder, because its owner copies it from there again and again.

use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;

use permissions::{ApiAccessPermission, Environment, KeyId, KeyRecord, OnRetired};
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use super::LocalError;
use crate::folder::{DataFolder, replace_private, sync_folder};
use crate::provisioning::{Committed, NewKey, Provisioning, create_partner, make_operator, revoke};
use crate::store::KeyFilter;

/// The partner that holds the token.
pub const PARTNER: &str = "local";
/// The name of its key.
const NAME: &str = "token of the local profile";
/// No token is longer.
const TOKEN_BYTES_MAX: u64 = 256;

/// A token that took the place of every earlier one.
pub struct Rotated {
    /// Its text.
    pub token: Zeroizing<String>,
    /// Its key.
    pub key: KeyId,
    /// The write that revoked the earlier ones, or made this one where there was none.
    pub change: Committed,
}

/// The token in the file; none where there is no file.
///
/// # Errors
/// The file cannot be read.
pub fn read_token(folder: &DataFolder) -> Result<Option<Zeroizing<String>>, LocalError> {
    let path = folder.local_token();
    let open = OpenOptions::new().read(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(&path);
    let mut text = Zeroizing::new(String::new());
    match open.and_then(|file| file.take(TOKEN_BYTES_MAX).read_to_string(&mut text)) {
        Ok(_) => Ok(Some(Zeroizing::new(text.trim_ascii().to_owned()))),
        // What is not text is no token either, and is replaced at the next start.
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(Some(Zeroizing::default())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LocalError::File { action: "read", path, source }),
    }
}

/// Makes the token where the file has none that is valid, as at the first launch. Returns it if it was made.
///
/// # Errors
/// As [`rotate_token`].
pub fn ensure_token(
    provisioning: &mut Provisioning<'_>,
    folder: &DataFolder,
) -> Result<Option<Rotated>, LocalError> {
    let now = provisioning.clock.now();
    let is_valid = |key: &KeyRecord| {
        key.partner == PARTNER && key.revoked.is_none() && key.expires.is_none_or(|expires| expires > now)
    };
    match key_in_file(provisioning, folder)? {
        Some(key) if is_valid(&key) => Ok(None),
        _ => rotate_token(provisioning, folder).map(Some),
    }
}

/// A key that may do everything.
fn new_key(name: &str) -> NewKey {
    NewKey {
        partner: PARTNER.to_owned(),
        name: name.to_owned(),
        environment: Environment::Staging,
        permissions: ApiAccessPermission::all(),
        not_before: None,
        expires: None,
        allow: Vec::new(),
        rate: None,
        on_retired: OnRetired::Refuse,
    }
}

/// The key whose text is in the file.
fn key_in_file(
    provisioning: &mut Provisioning<'_>,
    folder: &DataFolder,
) -> Result<Option<KeyRecord>, LocalError> {
    let Some(token) = read_token(folder)? else { return Ok(None) };
    let hash = provisioning.secret.hash(token.as_bytes());
    let mut found = None;
    provisioning.store.each_key(&mut |key| {
        if key.hash == hash {
            found = Some(key.record);
        }
    })?;
    Ok(found)
}

/// The token has every permission, also those of an operator: its organization is the operator's.
fn ensure_organization(provisioning: &mut Provisioning<'_>) -> Result<(), LocalError> {
    let Provisioning { store, clock, rng, actor, .. } = provisioning;
    match store.find_partner(PARTNER)? {
        None => drop(create_partner(store, *clock, *rng, actor, PARTNER, true)?),
        Some(found) if found.is_operator => {}
        Some(_) => drop(make_operator(store, *clock, actor, PARTNER)?),
    }
    Ok(())
}

/// Makes a new token and revokes every earlier one. In this order, so that a crash in between leaves a file with a
/// valid token: the new key is made, the file replaced, the earlier keys revoked.
///
/// # Errors
/// [`LocalError`]. Where the file cannot be written, nothing has changed.
pub fn rotate_token(provisioning: &mut Provisioning<'_>, folder: &DataFolder) -> Result<Rotated, LocalError> {
    // Found by its text, because a key can be renamed.
    let current = key_in_file(provisioning, folder)?.map(|key| key.id);
    ensure_organization(provisioning)?;
    let created = provisioning.create(new_key(NAME))?;
    let token = Zeroizing::new(created.secret.expose().to_owned());
    let path = folder.local_token();
    let line = Zeroizing::new(format!("{}\n", *token));
    let written = replace_private(&path, line.as_bytes()).and_then(|()| sync_folder(folder.path()));
    if let Err(source) = written {
        revoke(provisioning.store, provisioning.clock, provisioning.actor, created.record.id)?;
        return Err(LocalError::File { action: "write", path, source });
    }
    let filter = KeyFilter { partner: Some(created.record.partner_id), ..KeyFilter::default() };
    let mut change = created.change;
    for key in provisioning.store.list_keys(&filter)? {
        // A partner of this name may have keys of its own, of before the profile was used.
        let is_earlier = key.name == NAME || Some(key.id) == current;
        if is_earlier && key.id != created.record.id && key.revoked.is_none() {
            change = revoke(provisioning.store, provisioning.clock, provisioning.actor, key.id)?.change;
        }
    }
    Ok(Rotated { token, key: created.record.id, change })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use permissions::Brand;

    use super::*;
    use crate::clock::ManualClock;
    use crate::provisioning::{Actor, KeyUpdate, update};
    use crate::store::people::AuditFilter;
    use crate::store::tests::{Fixture, NOW};

    fn with<T>(fixture: &mut Fixture, work: impl FnOnce(&mut Provisioning<'_>, &DataFolder) -> T) -> T {
        let folder = fixture.folder.clone();
        let brand = Brand::try_from("pgw".to_owned()).unwrap();
        let provisioning = &mut Provisioning {
            actor: &Actor::operator(),
            store: &mut fixture.store,
            secret: &fixture.secret,
            brand: &brand,
            clock: &ManualClock::new(NOW),
            rng: &mut rand::rng(),
        };
        work(provisioning, &folder)
    }

    fn valid(fixture: &mut Fixture) -> Vec<KeyRecord> {
        let mut keys = fixture.store.list_keys(&KeyFilter::default()).unwrap();
        keys.retain(|key| key.revoked.is_none());
        keys
    }

    #[test]
    fn the_token_is_made_once_and_a_rotation_ends_every_earlier_one() {
        let mut fixture = Fixture::new();
        let first = with(&mut fixture, ensure_token).unwrap().unwrap();
        let file = fixture.folder.local_token();
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(*read_token(&fixture.folder).unwrap().unwrap(), *first.token);
        assert!(with(&mut fixture, ensure_token).unwrap().is_none());

        let second = with(&mut fixture, rotate_token).unwrap();
        assert_ne!(*second.token, *first.token);
        assert_eq!(fs::read_to_string(&file).unwrap().trim(), *second.token);
        let keys = valid(&mut fixture);
        assert_eq!(keys.iter().map(|key| key.id).collect::<Vec<_>>(), [second.key]);
        assert_eq!(keys[0].permissions, ApiAccessPermission::all());
        assert_eq!(keys[0].environment, Environment::Staging);
        let audit = fixture.store.list_audit(&AuditFilter { count: 1, ..AuditFilter::default() }).unwrap();
        assert_eq!(
            (&*audit[0].entry.action, audit[0].entry.target.contains(&first.key.to_string())),
            ("key.revoke", true)
        );
    }

    #[test]
    fn an_organization_that_has_the_name_becomes_the_operators_and_the_log_says_so() {
        let mut fixture = Fixture::new();
        with(&mut fixture, |Provisioning { store, clock, rng, actor, .. }, _| {
            create_partner(store, *clock, *rng, actor, PARTNER, false).unwrap();
        });
        with(&mut fixture, ensure_token).unwrap().unwrap();
        assert!(fixture.store.find_partner(PARTNER).unwrap().unwrap().is_operator);
        let audit = fixture.store.list_audit(&AuditFilter { count: 10, ..AuditFilter::default() }).unwrap();
        assert!(audit.iter().any(|record| record.entry.action == "organization.operator"), "{audit:?}");
    }

    #[test]
    fn a_rotation_finds_a_renamed_token_and_leaves_other_keys() {
        let mut fixture = Fixture::new();
        let first = with(&mut fixture, ensure_token).unwrap().unwrap();
        let other = with(&mut fixture, |provisioning, _| {
            let renamed = KeyUpdate { name: Some("renamed".to_owned()), ..KeyUpdate::default() };
            update(provisioning.store, provisioning.clock, provisioning.actor, first.key, renamed).unwrap();
            provisioning.create(new_key("another"))
        });
        let second = with(&mut fixture, rotate_token).unwrap();
        let mut left: Vec<_> = valid(&mut fixture).iter().map(|key| key.id).collect();
        left.sort();
        let mut expected = [other.unwrap().record.id, second.key];
        expected.sort();
        assert_eq!(left, expected);
    }

    #[test]
    fn a_file_without_a_valid_token_is_replaced() {
        let mut fixture = Fixture::new();
        for content in [&b""[..], b"pgw_stg_nonsense", &[0xff, 0xfe], &[b'x'; 1000]] {
            fs::write(fixture.folder.local_token(), content).unwrap();
            let made = with(&mut fixture, ensure_token).unwrap().unwrap();
            assert_eq!(*read_token(&fixture.folder).unwrap().unwrap(), *made.token);
            assert_eq!(valid(&mut fixture).len(), 1);
        }
        let token = read_token(&fixture.folder).unwrap().unwrap();
        let key = valid(&mut fixture)[0].id;
        revoke(&mut fixture.store, &ManualClock::new(NOW), &Actor::operator(), key).unwrap();
        assert_ne!(*with(&mut fixture, ensure_token).unwrap().unwrap().token, *token);
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_the_token_as_it_was() {
        let mut fixture = Fixture::new();
        let first = with(&mut fixture, ensure_token).unwrap().unwrap();
        // A folder in its place: a file cannot be renamed onto it.
        let file = fixture.folder.local_token();
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert!(matches!(with(&mut fixture, rotate_token), Err(LocalError::File { .. })));
        assert_eq!(valid(&mut fixture).iter().map(|key| key.id).collect::<Vec<_>>(), [first.key]);
    }
}
