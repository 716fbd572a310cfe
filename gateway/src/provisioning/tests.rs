//! Tests of provisioning, with a clock that is moved by hand.

mod people;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use permissions::{
    ApiAccessPermission, Brand, BuiltInRole, Environment, KeyId, KeyRecord, KeySecret, RoleOf,
};

use super::keys::first_key;
use super::*;
use crate::clock::ManualClock;
use crate::store::KeyFilter;
use crate::store::people::{AuditFilter, Member};
use crate::store::tests::{Fixture, NOW};

struct Harness {
    fixture: Fixture,
    clock: ManualClock,
    brand: Brand,
}

impl Harness {
    fn new() -> Self {
        let brand = Brand::try_from("pgw".to_owned()).unwrap();
        Self { fixture: Fixture::new(), clock: ManualClock::new(NOW), brand }
    }

    fn run<T>(&mut self, body: impl FnOnce(&mut Provisioning<'_>) -> T) -> T {
        body(&mut Provisioning {
            actor: &Actor::operator(),
            store: &mut self.fixture.store,
            secret: &self.fixture.secret,
            brand: &self.brand,
            clock: &self.clock,
            rng: &mut rand::rng(),
        })
    }

    fn create(&mut self, change: impl FnOnce(&mut NewKey)) -> Result<Created, ProvisioningError> {
        let mut new = NewKey { partner: "acme".to_owned(), ..first_key(Environment::Staging) };
        change(&mut new);
        self.run(|provisioning| provisioning.create(new))
    }

    fn revoke(&mut self, id: KeyId) -> Result<Revoked, ProvisioningError> {
        revoke(&mut self.fixture.store, &self.clock, &Actor::operator(), id)
    }

    fn stored(&mut self, id: KeyId) -> KeyRecord {
        self.fixture.store.key(id).unwrap().unwrap()
    }

    fn keys(&mut self) -> usize {
        self.fixture.store.list_keys(&KeyFilter::default()).unwrap().len()
    }
}

/// One of the two owners of a new organization.
pub(super) fn owner(store: &mut Store, clock: &dyn Clock) -> Member {
    let operator = Actor::operator();
    let made = create_partner(store, clock, &mut rand::rng(), &operator, "acme", false).unwrap();
    let organization = made.partner.id;
    let [_, member] = ["Owner", "Ada"].map(|name| {
        let role = RoleOf::BuiltIn(BuiltInRole::Owner);
        let new = NewMember { name: name.to_owned(), email: None, identity: None, organization, role };
        create_user(store, clock, &mut rand::rng(), &operator, new).unwrap().0
    });
    member
}

fn second(offset: i64) -> Timestamp {
    NOW.checked_add(SignedDuration::from_secs(offset)).unwrap()
}

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn an_error_is_shown_as_a_sentence() {
    let text = ProvisioningError::MemberExists.to_string();
    assert_eq!(sentence(&text), "The user is a member of the organization already.");
    assert_eq!(sentence(""), ".");
}

#[test]
fn a_created_key_is_stored_by_its_hash() {
    let mut harness = Harness::new();
    let created = harness
        .create(|new| {
            new.not_before = Some(second(-5));
            new.expires = Some(second(60));
            new.rate = Some("5/s".parse().unwrap());
        })
        .unwrap();
    assert_eq!(harness.stored(created.record.id), created.record);
    assert_eq!(created.record.created, NOW);
    assert_eq!(created.record.id.0.get_version_num(), 7);
    assert_eq!(created.change, Committed { change: 3, at: NOW });
    let text = created.secret.expose();
    assert_eq!(KeySecret::check(&harness.brand, text.as_bytes()), Ok(Environment::Staging));
    let mut hashes = Vec::new();
    harness.fixture.store.each_key(&mut |key| hashes.push(key.hash)).unwrap();
    assert_eq!(hashes, [harness.fixture.secret.hash(text.as_bytes())]);
    assert!(!format!("{created:?}").contains(text));
    let other = harness.create(|_| ()).unwrap();
    assert_ne!(other.secret, created.secret);
    assert_eq!(harness.fixture.store.list_partners().unwrap()[0].keys, 2);
}

#[test]
fn the_audit_log_has_what_a_key_brings_with_it() {
    let mut harness = Harness::new();
    let actions = |harness: &mut Harness| -> Vec<String> {
        let filter = AuditFilter { count: 100, ..AuditFilter::default() };
        let entries = harness.fixture.store.list_audit(&filter).unwrap();
        entries.into_iter().rev().map(|record| record.entry.action).collect()
    };
    let ping = ApiAccessPermission::PING_READ;
    harness.create(|new| new.permissions = ping).unwrap();
    let first = ["organization.create", "organization.grant", "key.create"];
    assert_eq!(actions(&mut harness), first, "the organization is new");
    harness.create(|new| new.permissions = ping).unwrap();
    assert_eq!(actions(&mut harness)[3..], ["key.create"], "nothing else changed");
    harness.create(|new| new.permissions = ping | ApiAccessPermission::CONNECTION_READ).unwrap();
    assert_eq!(actions(&mut harness)[4..], ["organization.grant", "key.create"], "it is granted more");

    let mut harness = Harness::new();
    harness.run(|provisioning| provisioning.first_launch().unwrap().unwrap());
    let grant = "organization.grant";
    let launched = ["organization.create", grant, grant, "key.create", "key.create"];
    assert_eq!(actions(&mut harness), launched);
}

#[test]
fn a_key_that_would_break_a_rule_is_not_created() {
    let mut harness = Harness::new();
    let refused = |harness: &mut Harness, change: fn(&mut NewKey)| harness.create(change).unwrap_err();
    assert!(matches!(refused(&mut harness, |new| new.partner.clear()), ProvisioningError::PartnerName));
    assert!(matches!(refused(&mut harness, |new| new.name = "a\nb".into()), ProvisioningError::KeyName));
    let none = ApiAccessPermission::empty();
    assert!(matches!(
        harness.create(|new| new.permissions = none).unwrap_err(),
        ProvisioningError::NoPermission
    ));
    assert!(matches!(
        refused(&mut harness, |new| new.expires = Some(NOW)),
        ProvisioningError::ExpiresPassed { .. }
    ));
    let never = refused(&mut harness, |new| {
        new.expires = Some(second(5));
        new.not_before = Some(second(5));
    });
    assert!(matches!(never, ProvisioningError::NeverValid { .. }), "{never}");
    let many = vec!["192.0.2.0/24".parse().unwrap(); 65];
    assert!(matches!(
        harness.create(|new| new.allow = many).unwrap_err(),
        ProvisioningError::TooManyNetworks(65)
    ));
    assert!(harness.fixture.store.is_empty().unwrap(), "the partner was not created either");
}

#[test]
fn a_rotation_without_overlap_ends_the_old_key_at_once() {
    let mut harness = Harness::new();
    let old = harness.create(|new| new.rate = Some("5/s+9".parse().unwrap())).unwrap();
    harness.clock.advance(HOUR);
    let new = harness.run(|provisioning| provisioning.rotate(old.record.id, Duration::ZERO)).unwrap();
    assert_eq!(harness.stored(old.record.id).revoked, Some(second(3_600)));
    let expected = KeyRecord {
        id: new.record.id,
        hint: new.secret.hint(),
        created: second(3_600),
        replaces: Some(old.record.id),
        ..old.record.clone()
    };
    assert_eq!(harness.stored(new.record.id), expected);
    assert_ne!(new.record.id, old.record.id);
    assert_ne!(new.secret, old.secret);
    assert_eq!(new.change.change, 5, "both writes are in the feed, committed together");
}

#[test]
fn an_overlap_never_postpones_an_expiry() {
    let mut harness = Harness::new();
    for (expires, overlap, end) in
        [(None, 60, 60), (Some(3_600), 60, 60), (Some(30), 60, 30), (Some(60), 60, 60)]
    {
        let old = harness.create(|new| new.expires = expires.map(second)).unwrap();
        let overlap = Duration::from_secs(overlap);
        let new = harness.run(|provisioning| provisioning.rotate(old.record.id, overlap)).unwrap();
        let stored = harness.stored(old.record.id);
        assert_eq!((stored.expires, stored.revoked), (Some(second(end)), None));
        assert_eq!(new.record.expires, expires.map(second));
    }
}

#[test]
fn a_revoked_or_expired_key_is_not_rotated() {
    let mut harness = Harness::new();
    let nobody = KeyId(Uuid::nil());
    let rotate =
        |harness: &mut Harness, id, overlap| harness.run(|provisioning| provisioning.rotate(id, overlap));
    assert!(
        matches!(rotate(&mut harness, nobody, HOUR), Err(ProvisioningError::Unknown(id)) if id == nobody)
    );
    let expired = harness.create(|new| new.expires = Some(second(1))).unwrap().record.id;
    let revoked = harness.create(|_| ()).unwrap().record.id;
    harness.revoke(revoked).unwrap();
    harness.clock.advance(Duration::from_secs(1));
    assert!(
        matches!(rotate(&mut harness, expired, HOUR), Err(ProvisioningError::Expired { at, .. }) if at == second(1))
    );
    assert!(
        matches!(rotate(&mut harness, revoked, HOUR), Err(ProvisioningError::Revoked { at, .. }) if at == NOW)
    );
    let fresh = harness.create(|_| ()).unwrap().record.id;
    assert!(matches!(rotate(&mut harness, fresh, Duration::MAX), Err(ProvisioningError::OverlapTooLong)));
    assert_eq!(harness.keys(), 3);
    assert_eq!(harness.stored(fresh).expires, None);
}

#[test]
fn a_key_is_revoked_once() {
    let mut harness = Harness::new();
    let id = harness.create(|_| ()).unwrap().record.id;
    let first = harness.revoke(id).unwrap();
    assert!(!first.already);
    assert_eq!((first.record.revoked, first.change.change), (Some(NOW), 4));
    harness.clock.advance(HOUR);
    let again = harness.revoke(id).unwrap();
    assert!(again.already);
    assert_eq!((again.record.revoked, again.change.change), (Some(NOW), 4));
    let nobody = KeyId(Uuid::nil());
    assert!(matches!(harness.revoke(nobody), Err(ProvisioningError::Unknown(_))));
}

#[test]
fn an_update_follows_the_rules_of_creation() {
    let mut harness = Harness::new();
    let id = harness.create(|new| new.expires = Some(second(60))).unwrap().record.id;
    let update = |harness: &mut Harness, change| {
        update(&mut harness.fixture.store, &harness.clock, &Actor::operator(), id, change)
    };
    let none = KeyUpdate::default;
    let narrowed = update(
        &mut harness,
        KeyUpdate {
            permissions: Some(ApiAccessPermission::PING_READ),
            allow: Some(vec!["192.0.2.7/24".parse().unwrap()]),
            ..none()
        },
    )
    .unwrap();
    assert_eq!(narrowed.record.permissions, ApiAccessPermission::PING_READ);
    assert_eq!(narrowed.record.allow, ["192.0.2.0/24".parse::<ipnet::IpNet>().unwrap()]);
    assert_eq!(narrowed.record.expires, Some(second(60)));
    assert_eq!(harness.stored(id), narrowed.record);

    let empty = Some(ApiAccessPermission::empty());
    let wrong = update(&mut harness, KeyUpdate { permissions: empty, ..none() });
    assert!(matches!(wrong, Err(ProvisioningError::NoPermission)));
    let wrong = update(&mut harness, KeyUpdate { expires: Some(Some(NOW)), ..none() });
    assert!(matches!(wrong, Err(ProvisioningError::ExpiresPassed { .. })));
    let wrong = update(&mut harness, KeyUpdate { not_before: Some(Some(second(60))), ..none() });
    assert!(matches!(wrong, Err(ProvisioningError::NeverValid { .. })));
    let wrong = update(&mut harness, KeyUpdate { name: Some("\u{7}".into()), ..none() });
    assert!(matches!(wrong, Err(ProvisioningError::KeyName)));
    assert_eq!(harness.stored(id), narrowed.record, "a refused update changes nothing");

    let open = update(&mut harness, KeyUpdate { expires: Some(None), allow: Some(Vec::new()), ..none() });
    let open = open.unwrap().record;
    assert_eq!((open.expires, open.allow), (None, Vec::new()));
    harness.revoke(id).unwrap();
    let wrong = update(&mut harness, KeyUpdate { name: Some("late".into()), ..none() });
    assert!(matches!(wrong, Err(ProvisioningError::Revoked { .. })));
}

#[test]
fn a_first_launch_happens_once_even_when_two_launch_at_once() {
    let mut harness = Harness::new();
    let launches: Vec<Option<FirstLaunch>> = std::thread::scope(|scope| {
        let (secret, brand, clock) = (&harness.fixture.secret, &harness.brand, &harness.clock);
        let launch = |mut store: Store| {
            scope.spawn(move || {
                let rng = &mut rand::rng();
                Provisioning { actor: &Actor::gateway(), store: &mut store, secret, brand, clock, rng }
                    .first_launch()
                    .unwrap()
            })
        };
        let threads: Vec<_> = (0..4).map(|_| launch(harness.fixture.other())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let made: Vec<&FirstLaunch> = launches.iter().flatten().collect();
    assert_eq!(made.len(), 1);
    assert_eq!(harness.keys(), 2);
    for (created, environment) in
        [(&made[0].staging, Environment::Staging), (&made[0].production, Environment::Production)]
    {
        let stored = harness.stored(created.record.id);
        assert_eq!((stored.environment, stored.partner.as_str()), (environment, FIRST_PARTNER));
        assert_eq!(stored.effective(), ApiAccessPermission::grantable());
    }
    harness.revoke(made[0].staging.record.id).unwrap();
    assert!(harness.run(|provisioning| provisioning.first_launch()).unwrap().is_none());
}

#[test]
fn a_partner_is_created_once() {
    let mut harness = Harness::new();
    let create = |harness: &mut Harness| {
        create_partner(
            &mut harness.fixture.store,
            &harness.clock,
            &mut rand::rng(),
            &Actor::operator(),
            "acme",
            false,
        )
    };
    assert_eq!(create(&mut harness).unwrap().partner.created, NOW);
    let again = create(&mut harness);
    assert!(matches!(again, Err(ProvisioningError::PartnerExists(name)) if name == "acme"));
    assert!(!harness.create(|_| ()).unwrap().partner_created, "it was there");
    assert_eq!(harness.fixture.store.list_partners().unwrap().len(), 1);
    assert!(harness.create(|new| new.partner = "acne".to_owned()).unwrap().partner_created);
}

#[test]
fn a_renamed_partner_keeps_its_keys_and_frees_its_name() {
    let mut harness = Harness::new();
    let id = harness.create(|_| ()).unwrap().record.id;
    harness.create(|new| new.partner = "other".to_owned()).unwrap();
    let rename = |harness: &mut Harness, old, new| {
        rename_partner(&mut harness.fixture.store, &harness.clock, &Actor::operator(), old, new)
    };
    assert!(matches!(rename(&mut harness, "acme", "other"), Err(ProvisioningError::PartnerExists(_))));
    assert!(matches!(rename(&mut harness, "nobody", "x"), Err(ProvisioningError::UnknownPartner(_))));
    assert!(matches!(rename(&mut harness, "acme", " x"), Err(ProvisioningError::PartnerName)));
    let renamed = rename(&mut harness, "acme", "Acme GmbH").unwrap();
    assert!(renamed.changed);
    let record = harness.stored(id);
    assert_eq!((record.partner.as_str(), record.partner_id), ("Acme GmbH", renamed.partner.id));
    assert!(!rename(&mut harness, "Acme GmbH", "Acme GmbH").unwrap().changed);
    assert!(harness.create(|_| ()).unwrap().partner_created, "the name is free");
    let by_id = renamed.partner.id.to_string();
    assert_eq!(rename(&mut harness, &by_id, "Acme AG").unwrap().partner.name, "Acme AG");
    let again = harness.create(|new| new.partner = by_id.clone()).unwrap();
    assert_eq!((again.partner_created, again.record.partner.as_str()), (false, "Acme AG"));
}

#[test]
fn suspending_a_partner_suspends_its_keys_and_doing_it_again_changes_nothing() {
    let mut harness = Harness::new();
    let id = harness.create(|_| ()).unwrap().record.id;
    let suspend = |harness: &mut Harness| {
        suspend_partner(&mut harness.fixture.store, &harness.clock, &Actor::operator(), "acme").unwrap()
    };
    let first = suspend(&mut harness);
    assert_eq!((first.changed, first.partner.suspended), (true, Some(NOW)));
    harness.clock.advance(HOUR);
    let again = suspend(&mut harness);
    assert_eq!((again.changed, again.partner.suspended), (false, Some(NOW)));
    assert!(harness.stored(id).suspended);
    assert!(harness.create(|_| ()).unwrap().record.suspended, "a new key is refused as well");
    let resumed =
        resume_partner(&mut harness.fixture.store, &harness.clock, &Actor::operator(), "acme").unwrap();
    assert_eq!((resumed.changed, resumed.partner.suspended), (true, None));
    assert!(!harness.stored(id).suspended);
}

#[test]
fn a_partner_with_active_keys_is_removed_only_with_revoke_keys() {
    let mut harness = Harness::new();
    harness.create(|new| new.expires = Some(second(1))).unwrap();
    let revoked = harness.create(|_| ()).unwrap().record.id;
    harness.revoke(revoked).unwrap();
    let remove = |harness: &mut Harness, revoke| {
        remove_partner(&mut harness.fixture.store, &harness.clock, &Actor::operator(), "acme", revoke)
    };
    assert!(matches!(remove(&mut harness, false), Err(ProvisioningError::ActiveKeys { active: 1, .. })));
    harness.clock.advance(HOUR);
    assert!(remove(&mut harness, false).unwrap().changed);
    assert!(harness.fixture.store.is_empty().unwrap());
    assert!(matches!(remove(&mut harness, true), Err(ProvisioningError::UnknownPartner(_))));
    let old = harness.create(|_| ()).unwrap().record.id;
    harness.run(|provisioning| provisioning.rotate(old, HOUR)).unwrap();
    assert_eq!(remove(&mut harness, true).unwrap().partner.keys, 2);
    assert!(harness.fixture.store.is_empty().unwrap());
}
