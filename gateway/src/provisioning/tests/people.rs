//! The rules for people: who may give what to whom, and when.

use permissions::{BuiltInRole, Credential, CustomRole, MembershipId, PartnerId, RoleId, RoleOf, TokenId};
use versions::{Caller, Person};

use super::*;
use crate::store::people::{Member, TokenFilter};

const GRANTED: ApiAccessPermission = ApiAccessPermission::PING_READ;

/// An organization that was granted `ping:read` in both environments, with an owner.
struct Company {
    harness: Harness,
    id: PartnerId,
    owner: Member,
}

impl Company {
    fn new() -> Self {
        let mut harness = Harness::new();
        let id = organization(&mut harness, "acme");
        let owner = member_of(&mut harness, id, RoleOf::BuiltIn(BuiltInRole::Owner)).unwrap();
        Self { harness, id, owner }
    }

    fn member(&mut self, role: BuiltInRole) -> Member {
        member_of(&mut self.harness, self.id, RoleOf::BuiltIn(role)).unwrap()
    }

    fn role(&mut self, name: &str, permissions: ApiAccessPermission) -> CustomRole {
        self.create_role(&Actor::operator(), name, permissions).unwrap()
    }

    fn create_role(
        &mut self,
        actor: &Actor,
        name: &str,
        permissions: ApiAccessPermission,
    ) -> Result<CustomRole, ProvisioningError> {
        let Harness { fixture, clock, .. } = &mut self.harness;
        create_role(&mut fixture.store, clock, &mut rand::rng(), actor, self.id, name, permissions)
            .map(|(role, _)| role)
    }

    fn change(&mut self, actor: &Actor, id: MembershipId, role: RoleOf) -> Result<Member, ProvisioningError> {
        let Harness { fixture, clock, .. } = &mut self.harness;
        change_member(&mut fixture.store, clock, actor, id, role).map(|(member, _)| member)
    }

    fn remove(&mut self, actor: &Actor, id: MembershipId) -> Result<Member, ProvisioningError> {
        let Harness { fixture, clock, .. } = &mut self.harness;
        remove_member(&mut fixture.store, clock, actor, id).map(|(member, _)| member)
    }

    fn token(&mut self, membership: MembershipId, environment: Environment) -> IssuedToken {
        let Harness { fixture, clock, .. } = &mut self.harness;
        let new = NewToken {
            membership,
            environment,
            app: "app".to_owned(),
            device: "laptop".to_owned(),
            authenticated: clock.now(),
            lifetime: HOUR,
        };
        let operator = Actor::operator();
        let rng = &mut rand::rng();
        issue_token(&mut fixture.store, clock, rng, &fixture.secret, &operator, &new).unwrap()
    }

    fn create_key(
        &mut self,
        actor: &Actor,
        environment: Environment,
        permissions: ApiAccessPermission,
    ) -> Result<KeyRecord, ProvisioningError> {
        let new = NewKey { permissions, partner: self.id.to_string(), ..first_key(environment) };
        let Harness { fixture, clock, brand } = &mut self.harness;
        let (store, secret, rng) = (&mut fixture.store, &fixture.secret, &mut rand::rng());
        Provisioning { actor, store, secret, brand, clock, rng }.create(new).map(|created| created.record)
    }
}

fn organization(harness: &mut Harness, name: &str) -> PartnerId {
    let Harness { fixture, clock, .. } = harness;
    let (store, operator) = (&mut fixture.store, Actor::operator());
    let made = create_partner(store, clock, &mut rand::rng(), &operator, name, false).unwrap();
    for environment in Environment::ALL {
        grant(store, clock, &operator, name, environment, GRANTED).unwrap();
    }
    made.partner.id
}

fn member_of(
    harness: &mut Harness,
    organization: PartnerId,
    role: RoleOf,
) -> Result<Member, ProvisioningError> {
    let Harness { fixture, clock, .. } = harness;
    let new = NewMember { name: "Ada".to_owned(), email: None, identity: None, organization, role };
    let made = create_user(&mut fixture.store, clock, &mut rand::rng(), &Actor::operator(), new);
    made.map(|(member, _)| member)
}

/// A person who acts with a token of an environment, and authenticated at this time.
fn person(member: &Member, environment: Environment, authenticated: Timestamp) -> Actor {
    let person = Person { user: member.user.id, membership: member.membership.id, authenticated };
    Actor {
        who: Who::Caller(Caller {
            credential: Credential::Token(TokenId(Uuid::nil())),
            organization: member.membership.organization,
            person: Some(person),
            environment,
            // The rules ask the store for the role as it is now.
            permissions: ApiAccessPermission::empty(),
        }),
        address: None,
        request_id: None,
    }
}

fn fresh(member: &Member) -> Actor {
    person(member, Environment::Production, NOW)
}

#[test]
fn an_authentication_is_recent_for_15_minutes_to_the_second() {
    let company = Company::new();
    let age = i64::try_from(STEP_UP_AGE_MAX.as_secs()).unwrap();
    for (seconds, good) in [(0, true), (age - 1, true), (age, true), (age + 1, false), (-1, true)] {
        let checked = person(&company.owner, Environment::Staging, second(-seconds)).require_step_up(NOW);
        assert_eq!(checked.is_ok(), good, "{seconds} s: {checked:?}");
    }
    let Who::Caller(caller) = fresh(&company.owner).who else { unreachable!("it is a person") };
    let key = Caller { credential: Credential::Key(KeyId(Uuid::nil())), person: None, ..caller };
    let key = Actor { who: Who::Caller(key), address: None, request_id: None };
    assert!(matches!(key.require_step_up(NOW), Err(ProvisioningError::StepUpRequired)));
    for actor in [Actor::operator(), Actor::gateway()] {
        assert!(actor.require_step_up(NOW).is_ok(), "{actor}");
    }
}

#[test]
fn nobody_removes_the_last_owner() {
    let mut company = Company::new();
    let owner = company.owner.clone();
    let viewer = RoleOf::BuiltIn(BuiltInRole::Viewer);
    for actor in [Actor::operator(), fresh(&owner)] {
        let id = owner.membership.id;
        assert!(matches!(company.change(&actor, id, viewer), Err(ProvisioningError::LastOwner)), "{actor}");
        assert!(matches!(company.remove(&actor, id), Err(ProvisioningError::LastOwner)), "{actor}");
        let same = company.change(&actor, id, RoleOf::BuiltIn(BuiltInRole::Owner)).unwrap();
        assert_eq!(same, owner, "to stay an owner is no change");
    }
    let second_owner = company.member(BuiltInRole::Owner);
    company.remove(&fresh(&second_owner), owner.membership.id).unwrap();
    let left = company.remove(&fresh(&second_owner), second_owner.membership.id);
    assert!(matches!(left, Err(ProvisioningError::LastOwner)));
}

#[test]
fn nobody_gives_or_takes_a_role_above_their_own() {
    let mut company = Company::new();
    let [admin, developer] = [BuiltInRole::Admin, BuiltInRole::Developer].map(|role| company.member(role));
    let [owner_role, viewer_role] = [BuiltInRole::Owner, BuiltInRole::Viewer].map(RoleOf::BuiltIn);
    let owner = company.owner.membership.id;
    let exceeds = |result: Result<Member, ProvisioningError>| {
        assert!(matches!(result, Err(ProvisioningError::Exceeds { .. })), "{result:?}");
    };
    exceeds(company.change(&fresh(&admin), developer.membership.id, owner_role));
    exceeds(company.change(&fresh(&admin), admin.membership.id, owner_role));
    exceeds(company.change(&fresh(&admin), owner, viewer_role));
    exceeds(company.remove(&fresh(&admin), owner));
    exceeds(company.change(&fresh(&developer), admin.membership.id, viewer_role));
    company.change(&fresh(&admin), developer.membership.id, viewer_role).unwrap();

    let of_role = company.create_role(&fresh(&admin), "more", ApiAccessPermission::ROLES_WRITE);
    assert!(
        matches!(of_role, Err(ProvisioningError::Exceeds { missing, .. }) if missing == ApiAccessPermission::ROLES_WRITE)
    );
    let beyond_grant = ApiAccessPermission::CONNECTION_READ;
    for actor in [Actor::operator(), fresh(&company.owner.clone())] {
        let result = company.create_role(&actor, "more", beyond_grant);
        assert!(matches!(result, Err(ProvisioningError::Exceeds { .. })), "{actor}: {result:?}");
    }
}

#[test]
fn what_a_person_may_give_follows_the_role_of_now() {
    let mut company = Company::new();
    let developer = company.member(BuiltInRole::Developer);
    let actor = fresh(&developer);
    company.create_key(&actor, Environment::Staging, GRANTED).unwrap();
    company
        .change(&Actor::operator(), developer.membership.id, RoleOf::BuiltIn(BuiltInRole::Viewer))
        .unwrap();
    let refused = company.create_key(&actor, Environment::Staging, GRANTED);
    assert!(matches!(refused, Err(ProvisioningError::Exceeds { .. })), "{refused:?}");
    company.remove(&Actor::operator(), developer.membership.id).unwrap();
    let refused = company.create_key(&actor, Environment::Staging, ApiAccessPermission::ME_READ);
    assert!(matches!(refused, Err(ProvisioningError::Exceeds { .. })), "{refused:?}");
}

#[test]
fn a_credential_of_staging_manages_staging_only() {
    let mut company = Company::new();
    let owner = company.owner.clone();
    let staging = person(&owner, Environment::Staging, NOW);
    let refused = company.create_key(&staging, Environment::Production, GRANTED);
    assert!(matches!(refused, Err(ProvisioningError::StagingOnly)), "{refused:?}");
    let key = company.create_key(&fresh(&owner), Environment::Production, GRANTED).unwrap();
    let store = &mut company.harness.fixture.store;
    assert!(matches!(show_key(store, &staging, key.id), Err(ProvisioningError::Unknown(_))));
    assert!(show_key(store, &fresh(&owner), key.id).is_ok());
    let clock = &company.harness.clock;
    assert!(matches!(revoke(store, clock, &staging, key.id), Err(ProvisioningError::Unknown(_))));
    assert_eq!(list_keys(store, &staging, &KeyFilter::default()).unwrap(), []);

    let [of_staging, of_production] =
        Environment::ALL.map(|environment| company.token(owner.membership.id, environment).record.id);
    let Harness { fixture, clock, .. } = &mut company.harness;
    let mut sign_out = |actor: &Actor, id| revoke_token(&mut fixture.store, clock, actor, id);
    assert!(matches!(sign_out(&staging, of_production), Err(ProvisioningError::NotFound { .. })));
    assert!(sign_out(&staging, of_staging).unwrap().1);
    assert!(sign_out(&fresh(&owner), of_production).unwrap().1);
}

#[test]
fn things_of_another_organization_are_not_found() {
    let mut company = Company::new();
    let elsewhere = organization(&mut company.harness, "rival");
    let stranger = member_of(&mut company.harness, elsewhere, RoleOf::BuiltIn(BuiltInRole::Owner)).unwrap();
    let (owner, actor) = (company.owner.membership.id, fresh(&stranger));
    let viewer = RoleOf::BuiltIn(BuiltInRole::Viewer);
    let role = company.role("pinger", GRANTED);
    assert!(matches!(company.change(&actor, owner, viewer), Err(ProvisioningError::NotFound { .. })));
    assert!(matches!(company.remove(&actor, owner), Err(ProvisioningError::NotFound { .. })));
    let token = company.token(owner, Environment::Staging);
    // Their role is none for our members either.
    let ours = company.change(&Actor::operator(), stranger.membership.id, RoleOf::Custom(role.id));
    assert!(matches!(ours, Err(ProvisioningError::NotFound { what: "role", .. })), "{ours:?}");
    let made = company.create_role(&actor, "x", ApiAccessPermission::empty());
    assert!(matches!(made, Err(ProvisioningError::NotFound { .. })), "{made:?}");
    let Harness { fixture, clock, .. } = &mut company.harness;
    let store = &mut fixture.store;
    let nothing = ApiAccessPermission::empty();
    assert!(matches!(
        change_role(store, clock, &actor, role.id, nothing),
        Err(ProvisioningError::NotFound { .. })
    ));
    assert!(matches!(remove_role(store, clock, &actor, role.id), Err(ProvisioningError::NotFound { .. })));
    assert!(matches!(
        revoke_token(store, clock, &actor, token.record.id),
        Err(ProvisioningError::NotFound { .. })
    ));
    let ours = store.list_members(Default::default()).unwrap().len();
    assert_eq!((list_members(store, &actor, elsewhere).unwrap().len(), ours), (1, 2));
    assert!(list_members(store, &actor, company.id).unwrap().is_empty());
    assert!(list_roles(store, &actor, company.id).unwrap().is_empty());
}

#[test]
fn a_role_in_use_stays_and_its_name_is_unique() {
    let mut company = Company::new();
    let role = company.role("pinger", GRANTED);
    for taken in ["pinger", "owner", &role.id.to_string()] {
        let again = company.create_role(&Actor::operator(), taken, GRANTED);
        assert!(matches!(again, Err(ProvisioningError::RoleExists(_))), "{taken}: {again:?}");
    }
    let member = member_of(&mut company.harness, company.id, RoleOf::Custom(role.id)).unwrap();
    let Harness { fixture, clock, .. } = &mut company.harness;
    let mut remove = |id: RoleId| remove_role(&mut fixture.store, clock, &Actor::operator(), id);
    assert!(matches!(remove(role.id), Err(ProvisioningError::RoleInUse)));
    company.remove(&Actor::operator(), member.membership.id).unwrap();
    let Harness { fixture, clock, .. } = &mut company.harness;
    let mut remove = |id: RoleId| remove_role(&mut fixture.store, clock, &Actor::operator(), id);
    assert_eq!(remove(role.id).unwrap().0, role);
    assert!(matches!(remove(role.id), Err(ProvisioningError::NotFound { .. })));
}

#[test]
fn tokens_are_stored_by_their_hash_and_go_with_the_membership() {
    let mut company = Company::new();
    let developer = company.member(BuiltInRole::Developer);
    let token = company.token(developer.membership.id, Environment::Staging);
    let other = company.token(company.owner.membership.id, Environment::Staging);
    let mut hashes = Vec::new();
    company.harness.fixture.store.each_token(&mut |token| hashes.push(token.hash)).unwrap();
    let hash = |token: &IssuedToken| company.harness.fixture.secret.hash(token.secret.expose().as_bytes());
    // Ids of one millisecond are in any order.
    assert_eq!(hashes.len(), 2);
    assert!(hashes.contains(&hash(&token)) && hashes.contains(&hash(&other)));
    assert_eq!(token.record.expires, second(3_600));
    assert!(!format!("{token:?}").contains(token.secret.expose()));
    let nobody = MembershipId(Uuid::nil());
    company.remove(&Actor::operator(), developer.membership.id).unwrap();
    let store = &mut company.harness.fixture.store;
    let left: Vec<_> =
        list_tokens(store, TokenFilter::default()).unwrap().into_iter().map(|token| token.id).collect();
    assert_eq!(left, [other.record.id]);
    assert!(store.member(nobody).unwrap().is_none());
    let clock = &company.harness.clock;
    let all = |store: &mut Store| {
        revoke_all_tokens(store, clock, &Actor::operator(), Some(company.id), None).unwrap().0
    };
    assert_eq!((all(store), all(store)), (1, 0), "revoking again changes nothing");
}

#[test]
fn a_changed_a_removed_and_a_forged_row_of_the_audit_log_are_found() {
    for (damage, broken_at) in [
        ("UPDATE audit SET actor = 'user:somebody' WHERE number = 2", 2),
        ("UPDATE audit SET after = '{\"name\":\"other\"}' WHERE number = 1", 1),
        ("UPDATE audit SET at = at + 1 WHERE number = 3", 3),
        ("DELETE FROM audit WHERE number = 2", 2),
        ("DELETE FROM audit WHERE number = 1", 1),
        ("UPDATE audit SET number = 99 WHERE number = 3", 3),
        ("UPDATE audit SET hash = zeroblob(32) WHERE number = 1", 1),
    ] {
        let mut company = Company::new();
        let whole = company.harness.fixture.store.check_audit().unwrap();
        assert_eq!(whole.broken_at, None);
        assert!(
            whole.entries > 3 && whole.last_hash.as_ref().is_some_and(|hash| hash.len() == 64),
            "{whole:?}"
        );
        // An ordinary statement is refused.
        let triggers = "DROP TRIGGER audit_is_never_changed; DROP TRIGGER audit_is_never_removed;";
        company.harness.fixture.execute_raw(&format!("{triggers} {damage}"));
        let check = company.harness.fixture.store.check_audit().unwrap();
        assert_eq!(check.broken_at, Some(broken_at), "{damage}: {check:?}");
    }
    // Cutting off the end leaves a whole chain: its last hash is to be kept elsewhere.
    let mut company = Company::new();
    let before = company.harness.fixture.store.check_audit().unwrap();
    company.harness.fixture.execute_raw(&format!(
        "DROP TRIGGER audit_is_never_removed; DELETE FROM audit WHERE number = {}",
        before.entries
    ));
    let after = company.harness.fixture.store.check_audit().unwrap();
    assert_eq!((after.broken_at, after.entries), (None, before.entries - 1));
    assert_ne!(after.last_hash, before.last_hash);
}
