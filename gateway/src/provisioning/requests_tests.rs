//! Tests of access requests, invitations and links, with a clock that is moved by hand.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use permissions::{
    ApiAccessPermission as P, Brand, BuiltInRole, Credential, Environment, Identity, PartnerId, RequestId,
    RoleOf,
};
use versions::{Caller, Person};

use super::*;
use crate::clock::ManualClock;
use crate::store::people::{AuditFilter, Member};
use crate::store::requests::{PerEnvironment, RequestAction, RequestFilter, RequestState};
use crate::store::tests::{Fixture, NOW};

const DAY: Duration = Duration::from_secs(86_400);
const OPEN_MAX: usize = 5;

struct Harness {
    fixture: Fixture,
    clock: ManualClock,
    brand: Brand,
}

/// Calls a function of provisioning with the harness' store, clock, randomness and secret.
macro_rules! with {
    ($harness:expr, $function:path, rng, $($argument:expr),*) => {
        $function(&mut $harness.fixture.store, &$harness.clock, &mut rand::rng(), &$harness.fixture.secret, $($argument),*)
    };
    ($harness:expr, $function:path, secret, $($argument:expr),*) => {
        $function(&mut $harness.fixture.store, &$harness.clock, &$harness.fixture.secret, $($argument),*)
    };
    ($harness:expr, $function:path, $($argument:expr),*) => {
        $function(&mut $harness.fixture.store, &$harness.clock, $($argument),*)
    };
}

fn contact() -> Actor {
    Actor::contact(Some("192.0.2.7".parse().unwrap()))
}

fn new_request() -> NewRequest {
    NewRequest {
        organization: "Acme".to_owned(),
        contact: "Ada".to_owned(),
        email: "ada@example.com".to_owned(),
        use_case: "We bill our customers.\r\nDaily.".to_owned(),
        wanted: PerEnvironment { staging: P::grantable(), production: P::PING_READ },
    }
}

fn approval() -> Approval {
    Approval {
        staging: None,
        production: None,
        wider: false,
        organization: ApprovedFor::AsAsked,
        text: String::new(),
        claim_lifetime: 7 * DAY,
    }
}

fn after(duration: Duration) -> Timestamp {
    NOW.checked_add(SignedDuration::try_from(duration).unwrap()).unwrap()
}

impl Harness {
    fn new() -> Self {
        let brand = Brand::try_from("pgw".to_owned()).unwrap();
        Self { fixture: Fixture::new(), clock: ManualClock::new(NOW), brand }
    }

    fn file(&mut self, new: &NewRequest) -> Result<Filed, ProvisioningError> {
        self.file_as(&contact(), new)
    }

    fn file_as(&mut self, actor: &Actor, new: &NewRequest) -> Result<Filed, ProvisioningError> {
        with!(self, file_request, rng, actor, new, OPEN_MAX)
    }

    fn approve(&mut self, id: RequestId, approval: &Approval) -> Result<Approved, ProvisioningError> {
        with!(self, approve_request, rng, &Actor::operator(), id, approval)
    }

    fn claim(&mut self, code: &str) -> Result<Claimed, ProvisioningError> {
        Provisioning {
            actor: &contact(),
            store: &mut self.fixture.store,
            secret: &self.fixture.secret,
            brand: &self.brand,
            clock: &self.clock,
            rng: &mut rand::rng(),
        }
        .claim(code)
    }

    fn organization(&mut self, name: &str) -> PartnerId {
        let created = with!(self, create_partner, &mut rand::rng(), &Actor::operator(), name, false);
        created.unwrap().partner.id
    }

    fn member(&mut self, organization: PartnerId, role: BuiltInRole) -> Member {
        let new = NewMember {
            name: "Bo".to_owned(),
            email: Some("bo@example.com".to_owned()),
            identity: None,
            organization,
            role: RoleOf::BuiltIn(role),
        };
        with!(self, create_user, &mut rand::rng(), &Actor::operator(), new).unwrap().0
    }

    /// A caller of this member's, who signed in just now.
    fn caller(&self, member: &Member, environment: Environment) -> Actor {
        let RoleOf::BuiltIn(role) = member.membership.role else { panic!("a built-in role") };
        let person = Person {
            user: member.user.id,
            membership: member.membership.id,
            authenticated: self.clock.now(),
        };
        let caller = Caller {
            credential: Credential::Session(member.user.id),
            organization: member.membership.organization,
            person: Some(person),
            environment,
            permissions: role.permissions() - P::OPERATION,
        };
        Actor { who: Who::Caller(caller), address: None, request_id: None }
    }

    fn actions(&mut self) -> Vec<String> {
        let filter = AuditFilter { count: 100, ..AuditFilter::default() };
        let entries = self.fixture.store.list_audit(&filter).unwrap();
        entries.into_iter().rev().map(|record| record.entry.action).collect()
    }
}

#[test]
fn a_request_that_breaks_a_rule_is_not_filed() {
    let mut harness = Harness::new();
    let mut refused = |change: fn(&mut NewRequest)| {
        let mut new = new_request();
        change(&mut new);
        harness.file(&new).unwrap_err()
    };
    assert!(matches!(refused(|new| new.organization = " x".to_owned()), ProvisioningError::PartnerName));
    assert!(matches!(refused(|new| new.contact.clear()), ProvisioningError::Name));
    assert!(matches!(refused(|new| new.email = "ada".to_owned()), ProvisioningError::Email(_)));
    for text in ["", " \n ", "\u{202e}x", "a\0b", &"x".repeat(4_001)] {
        let wrong = harness.file(&NewRequest { use_case: text.to_owned(), ..new_request() }).unwrap_err();
        assert!(matches!(wrong, ProvisioningError::Text { what: "the use case" }), "{text:?}");
    }
    let mut refused = |staging| {
        let wanted = PerEnvironment { staging, production: P::empty() };
        harness.file(&NewRequest { wanted, ..new_request() }).unwrap_err()
    };
    assert!(matches!(refused(P::empty()), ProvisioningError::NothingWanted));
    for never in [P::REQUESTS_REVIEW, P::KEYS_WRITE | P::PING_READ] {
        assert!(matches!(refused(never), ProvisioningError::NotGrantable(_)), "{never}");
    }
    let longest = NewRequest { use_case: "ü".repeat(4_000), ..new_request() };
    assert_eq!(harness.file(&longest).unwrap().request.use_case.chars().count(), 4_000);
}

#[test]
fn a_strangers_request_is_answered_alike_whatever_exists() {
    let mut harness = Harness::new();
    let organization = harness.organization("Acme");
    harness.member(organization, BuiltInRole::Owner);
    for _ in 0..2 {
        let filed = harness.file(&new_request()).unwrap();
        assert_eq!((filed.request.organization, filed.request.state), (None, RequestState::Open));
        assert!(filed.code.is_some() && filed.request.by_contact);
        assert_eq!(filed.request.use_case, "We bill our customers.\nDaily.");
    }
    let filter = RequestFilter { count: 10, ..RequestFilter::default() };
    let listed = list_requests(&mut harness.fixture.store, &Actor::operator(), filter).unwrap();
    assert_eq!(listed.len(), 2, "the second is a request of its own");
    for _ in 2..OPEN_MAX {
        harness.file(&new_request()).unwrap();
    }
    assert!(matches!(harness.file(&new_request()), Err(ProvisioningError::QueueFull)));
}

#[test]
fn a_contact_follows_a_request_by_its_code_adds_to_it_and_withdraws_it() {
    let mut harness = Harness::new();
    let filed = harness.file(&new_request()).unwrap();
    let (id, code) = (filed.request.id, filed.code.unwrap());
    let asked = with!(harness, ask_back, &Actor::operator(), id, "How often?").unwrap().0;
    assert_eq!(asked.state, RequestState::AwaitingAnswer);
    let by_code = Which::Code(code.expose());
    let added = with!(harness, add_to_request, secret, &contact(), by_code, "Once a day.").unwrap().0;
    assert_eq!(added.state, RequestState::Open);
    let view = request_by_code(&mut harness.fixture.store, &harness.fixture.secret, code.expose()).unwrap();
    let events: Vec<_> = view.events.iter().map(|event| (event.action, event.text.as_str())).collect();
    let expected = [
        (RequestAction::Filed, ""),
        (RequestAction::Asked, "How often?"),
        (RequestAction::Added, "Once a day."),
    ];
    assert_eq!(events, expected);
    let by_id = Which::Id(id);
    let wrong = with!(harness, add_to_request, secret, &contact(), by_id, "x");
    assert!(matches!(wrong, Err(ProvisioningError::NotFound { .. })), "an id is no code");
    let other = "A".repeat(LinkCode::CHARACTERS);
    let wrong = with!(harness, withdraw_request, secret, &contact(), Which::Code(&other));
    assert!(matches!(wrong, Err(ProvisioningError::UnknownLink)));

    let withdrawn = with!(harness, withdraw_request, secret, &contact(), by_code).unwrap().0;
    assert_eq!(withdrawn.state, RequestState::Withdrawn);
    let late = with!(harness, add_to_request, secret, &contact(), by_code, "x");
    assert!(matches!(late, Err(ProvisioningError::RequestEnded(RequestState::Withdrawn))));
    assert!(matches!(harness.approve(id, &approval()), Err(ProvisioningError::RequestEnded(_))));
    assert_eq!(harness.actions(), ["request.file", "request.ask", "request.add", "request.withdraw"]);
}

#[test]
fn what_is_added_to_a_request_is_bounded_and_it_can_still_be_decided() {
    let mut harness = Harness::new();
    let filed = harness.file(&new_request()).unwrap();
    let code = filed.code.unwrap();
    let mut add = || with!(harness, add_to_request, secret, &contact(), Which::Code(code.expose()), "more");
    for _ in 1..EVENTS_MAX {
        add().unwrap();
    }
    assert!(matches!(add(), Err(ProvisioningError::TooMany { max: EVENTS_MAX, .. })));
    let rejected = with!(harness, reject_request, &Actor::operator(), filed.request.id, "Too chatty.");
    assert_eq!(rejected.unwrap().0.state, RequestState::Rejected);
}

#[test]
fn an_approval_makes_the_organization_and_its_keys_are_claimed_once() {
    let mut harness = Harness::new();
    let id = harness.file(&new_request()).unwrap().request.id;
    let narrower = Approval { staging: Some(P::PING_READ), ..approval() };
    let approved = harness.approve(id, &narrower).unwrap();
    assert!(approved.organization_created);
    assert_eq!(approved.organization.name, "Acme");
    assert_eq!(approved.organization.granted.staging, Some(P::PING_READ));
    assert_eq!(approved.organization.granted.production, Some(P::PING_READ));
    let link = approved.claim.unwrap();
    assert_eq!(link.expires, after(7 * DAY));
    for _ in 0..2 {
        let info = with!(harness, claim_info, secret, link.code.expose()).unwrap();
        assert_eq!((info.organization.as_str(), info.contact.as_str()), ("Acme", "Ada"));
        assert_eq!(info.state, LinkState::Ready { expires: link.expires }, "looking changes nothing");
    }
    let claimed = harness.claim(link.code.expose()).unwrap();
    let keys: Vec<_> =
        claimed.keys.iter().map(|key| (key.record.environment, key.record.effective())).collect();
    // What was granted, and to ask for more.
    let expected = P::PING_READ | P::REQUESTS_READ | P::REQUESTS_WRITE;
    assert_eq!(keys, [(Environment::Staging, expected), (Environment::Production, expected)]);
    for key in &claimed.keys {
        assert_eq!(harness.fixture.store.key(key.record.id).unwrap().as_ref(), Some(&key.record));
        assert!(!format!("{key:?}").contains(key.secret.expose()));
    }
    harness.clock.advance(DAY);
    let again = harness.claim(link.code.expose());
    assert!(matches!(again, Err(ProvisioningError::LinkUsed { at }) if at == NOW));
    let stored = harness.fixture.store.list_keys(&Default::default()).unwrap();
    assert_eq!(stored.len(), 2);
    assert!(stored.iter().all(|key| key.revoked.is_none()), "a second use revokes nothing");
    let state = with!(harness, claim_info, secret, link.code.expose()).unwrap().state;
    assert_eq!(state, LinkState::Used { at: NOW });
    let audited = harness.actions().join(" ");
    assert!(audited.contains("request.approve key.create key.create request.claim"), "{audited}");
}

#[test]
fn an_expired_link_to_keys_says_so_and_a_new_one_replaces_it() {
    let mut harness = Harness::new();
    let id = harness.file(&new_request()).unwrap().request.id;
    let new_link = |harness: &mut Harness| {
        with!(harness, new_claim_link, rng, &Actor::operator(), id, DAY).map(|(_, link, _)| link)
    };
    assert!(matches!(new_link(&mut harness), Err(ProvisioningError::NothingToClaim)));
    let first = harness.approve(id, &approval()).unwrap().claim.unwrap();
    harness.clock.advance(7 * DAY);
    let expired = harness.claim(first.code.expose());
    assert!(matches!(expired, Err(ProvisioningError::LinkExpired { at }) if at == after(7 * DAY)));
    let second = new_link(&mut harness).unwrap();
    // The newest is the one that was made last.
    harness.clock.advance(Duration::from_secs(1));
    let third = new_link(&mut harness).unwrap();
    let ended = harness.claim(second.code.expose());
    assert!(matches!(ended, Err(ProvisioningError::LinkExpired { .. })), "one works at a time");
    assert_eq!(harness.claim(third.code.expose()).unwrap().keys.len(), 2);
    assert!(matches!(
        claim_state(&mut harness.fixture.store, &harness.clock, id).unwrap(),
        Some(LinkState::Used { .. })
    ));
}

#[test]
fn a_claim_gives_no_more_than_is_still_granted() {
    let mut harness = Harness::new();
    let id = harness.file(&new_request()).unwrap().request.id;
    let link = harness.approve(id, &approval()).unwrap().claim.unwrap();
    let mut narrow =
        |environment| with!(harness, grant, &Actor::operator(), "Acme", environment, P::empty()).unwrap();
    narrow(Environment::Production);
    let keys = harness.claim(link.code.expose()).unwrap().keys;
    assert_eq!(keys.len(), 1);
    assert_eq!(keys[0].record.environment, Environment::Staging);

    let other = NewRequest { organization: "Other".to_owned(), ..new_request() };
    let id = harness.file(&other).unwrap().request.id;
    let link = harness.approve(id, &approval()).unwrap().claim.unwrap();
    for environment in Environment::ALL {
        with!(harness, grant, &Actor::operator(), "Other", environment, P::empty()).unwrap();
    }
    assert!(matches!(harness.claim(link.code.expose()), Err(ProvisioningError::NothingGranted)));
    let state = with!(harness, claim_info, secret, link.code.expose()).unwrap().state;
    assert!(matches!(state, LinkState::Ready { .. }), "a claim that fails uses nothing up");
}

#[test]
fn an_approval_exceeds_what_was_asked_for_only_where_it_says_so() {
    let mut harness = Harness::new();
    let id = harness.file(&new_request()).unwrap().request.id;
    let wider = Approval { production: Some(P::grantable()), ..approval() };
    let refused = harness.approve(id, &wider);
    assert!(matches!(
        refused,
        Err(ProvisioningError::WiderThanAsked {
            extra: P::CONNECTION_READ,
            environment: Environment::Production
        })
    ));
    let never = Approval { staging: Some(P::REQUESTS_REVIEW), wider: true, ..approval() };
    assert!(matches!(harness.approve(id, &never), Err(ProvisioningError::NotGrantable(_))));
    let nothing = Approval { staging: Some(P::empty()), production: Some(P::empty()), ..approval() };
    assert!(matches!(harness.approve(id, &nothing), Err(ProvisioningError::NothingGranted)));
    let approved = harness.approve(id, &Approval { wider: true, ..wider }).unwrap();
    assert_eq!(approved.organization.granted.production, Some(P::grantable()));
}

#[test]
fn a_stranger_gets_into_no_organization_by_naming_it() {
    let mut harness = Harness::new();
    let theirs = harness.organization("Acme");
    let id = harness.file(&new_request()).unwrap().request.id;
    let taken = harness.approve(id, &approval());
    assert!(matches!(taken, Err(ProvisioningError::OrganizationTaken(name)) if name == "Acme"));
    let as_new = |name: &str| Approval { organization: ApprovedFor::New(name.to_owned()), ..approval() };
    let into = |name: &str| Approval { organization: ApprovedFor::Existing(name.to_owned()), ..approval() };
    assert!(matches!(harness.approve(id, &as_new("Acme")), Err(ProvisioningError::OrganizationTaken(_))));
    assert!(matches!(harness.approve(id, &into("Acne")), Err(ProvisioningError::UnknownPartner(_))));
    let approved = harness.approve(id, &as_new("Acme (2)")).unwrap();
    assert_ne!(approved.organization.id, theirs);

    let id = harness.file(&new_request()).unwrap().request.id;
    let approved = harness.approve(id, &into("Acme")).unwrap();
    assert_eq!((approved.organization.id, approved.organization_created), (theirs, false));

    let new = NewOperator { name: "Op".to_owned(), email: None, organization: "operator".to_owned() };
    with!(harness, create_operator, rng, &Actor::operator(), &new).unwrap();
    let id = harness.file(&new_request()).unwrap().request.id;
    let never = harness.approve(id, &into("operator"));
    assert!(matches!(never, Err(ProvisioningError::OperatorOrganization)));
}

#[test]
fn only_the_operator_reviews() {
    let mut harness = Harness::new();
    let organization = harness.organization("Globex");
    let owner = harness.member(organization, BuiltInRole::Owner);
    let id = harness.file(&new_request()).unwrap().request.id;
    let caller = harness.caller(&owner, Environment::Production);
    for actor in [caller.clone(), contact(), Actor::gateway()] {
        let refused = with!(harness, approve_request, rng, &actor, id, &approval());
        assert!(matches!(refused, Err(ProvisioningError::OperatorOnly)), "{actor}");
        let refused = with!(harness, reject_request, &actor, id, "no");
        assert!(matches!(refused, Err(ProvisioningError::OperatorOnly)), "{actor}");
        let refused = with!(harness, ask_back, &actor, id, "why?");
        assert!(matches!(refused, Err(ProvisioningError::OperatorOnly)), "{actor}");
        let hidden = show_request(&mut harness.fixture.store, &actor, id);
        assert!(matches!(hidden, Err(ProvisioningError::NotFound { .. })), "{actor}");
    }
    let filter = RequestFilter { count: 10, ..RequestFilter::default() };
    assert!(list_requests(&mut harness.fixture.store, &caller, filter).unwrap().is_empty());
    assert!(list_requests(&mut harness.fixture.store, &contact(), filter).is_err());

    // A member of the operator's organization, first with an authentication that is too old.
    let mut reviewer = harness.caller(&owner, Environment::Staging);
    if let Who::Caller(caller) = &mut reviewer.who {
        caller.permissions |= P::REQUESTS_REVIEW;
    }
    harness.clock.advance(STEP_UP_AGE_MAX + Duration::from_secs(1));
    let old = with!(harness, approve_request, rng, &reviewer, id, &approval());
    assert!(matches!(old, Err(ProvisioningError::StepUpRequired)));
    if let Who::Caller(Caller { person: Some(person), .. }) = &mut reviewer.who {
        person.authenticated = harness.clock.now();
    }
    let staging = with!(harness, approve_request, rng, &reviewer, id, &approval());
    assert!(matches!(staging, Err(ProvisioningError::StagingOnly)));
    let narrower = Approval { production: Some(P::empty()), ..approval() };
    with!(harness, approve_request, rng, &reviewer, id, &narrower).unwrap();
}

#[test]
fn an_organization_asks_for_more_and_its_grant_and_the_asking_key_are_widened() {
    let mut harness = Harness::new();
    let id = harness.file(&new_request()).unwrap().request.id;
    let narrower = Approval { staging: Some(P::PING_READ), production: Some(P::empty()), ..approval() };
    let link = harness.approve(id, &narrower).unwrap().claim.unwrap();
    let key = harness.claim(link.code.expose()).unwrap().keys.remove(0).record;
    let caller = Caller {
        credential: Credential::Key(key.id),
        organization: key.partner_id,
        person: None,
        environment: key.environment,
        permissions: key.effective(),
    };
    let actor = Actor { who: Who::Caller(caller), address: None, request_id: None };
    let wanted = |staging| NewRequest {
        wanted: PerEnvironment { staging, production: P::empty() },
        organization: "ignored".to_owned(),
        ..new_request()
    };
    let pointless = harness.file_as(&actor, &wanted(P::PING_READ));
    assert!(matches!(pointless, Err(ProvisioningError::AlreadyGranted)));
    let filed = harness.file_as(&actor, &wanted(P::CONNECTION_READ)).unwrap();
    assert!(filed.code.is_none());
    assert_eq!((filed.request.name.as_str(), filed.request.key), ("Acme", Some(key.id)));
    assert!(show_request(&mut harness.fixture.store, &actor, filed.request.id).is_ok());
    let elsewhere = Approval { organization: ApprovedFor::New("X".to_owned()), ..approval() };
    assert!(matches!(
        harness.approve(filed.request.id, &elsewhere),
        Err(ProvisioningError::OrganizationFixed)
    ));
    let approved = harness.approve(filed.request.id, &approval()).unwrap();
    assert!(approved.claim.is_none(), "it has its own keys");
    assert_eq!(approved.key, Some(key.id));
    assert_eq!(approved.organization.granted.staging, Some(P::grantable()));
    let key = harness.fixture.store.key(key.id).unwrap().unwrap();
    assert_eq!(key.effective(), P::grantable() | P::REQUESTS_READ | P::REQUESTS_WRITE);
    let view = show_request(&mut harness.fixture.store, &actor, filed.request.id).unwrap();
    assert_eq!(view.events.last().map(|event| event.actor.as_str()), Some("operator"));

    let production = NewRequest {
        wanted: PerEnvironment { staging: P::empty(), production: P::PING_READ },
        ..new_request()
    };
    for _ in 0..OPEN_PER_ORGANIZATION_MAX {
        harness.file_as(&actor, &production).unwrap();
    }
    let full = harness.file_as(&actor, &production);
    assert!(matches!(full, Err(ProvisioningError::TooMany { max: OPEN_PER_ORGANIZATION_MAX, .. })));
}

#[test]
fn nobody_invites_to_more_than_they_have() {
    let mut harness = Harness::new();
    let (organization, other) = (harness.organization("Acme"), harness.organization("Other"));
    let admin = harness.member(organization, BuiltInRole::Admin);
    let caller = harness.caller(&admin, Environment::Production);
    let invitation = |organization, role| NewInvitation {
        organization,
        email: None,
        role: RoleOf::BuiltIn(role),
        lifetime: DAY,
    };
    let mut invite_as = |actor: &Actor, new: NewInvitation| with!(harness, invite, rng, actor, &new);
    invite_as(&caller, invitation(organization, BuiltInRole::Admin)).unwrap();
    let above = invite_as(&caller, invitation(organization, BuiltInRole::Owner));
    assert!(matches!(above, Err(ProvisioningError::Exceeds { .. })));
    for (actor, organization) in [(&caller, other), (&contact(), organization)] {
        let refused = invite_as(actor, invitation(organization, BuiltInRole::Viewer));
        assert!(matches!(refused, Err(ProvisioningError::NotFound { .. })), "{actor}");
    }
    for _ in 1..INVITATIONS_OPEN_MAX {
        invite_as(&Actor::operator(), invitation(organization, BuiltInRole::Viewer)).unwrap();
    }
    let full = invite_as(&Actor::operator(), invitation(organization, BuiltInRole::Viewer));
    assert!(matches!(full, Err(ProvisioningError::TooMany { .. })));
    harness.clock.advance(STEP_UP_AGE_MAX + Duration::from_secs(1));
    let new = invitation(organization, BuiltInRole::Viewer);
    let old = with!(harness, invite, rng, &caller, &new);
    assert!(matches!(old, Err(ProvisioningError::StepUpRequired)));
}

#[test]
fn an_invitation_makes_one_member() {
    let mut harness = Harness::new();
    let organization = harness.organization("Acme");
    let new = NewInvitation {
        organization,
        email: Some("cy@example.com".to_owned()),
        role: RoleOf::BuiltIn(BuiltInRole::Owner),
        lifetime: DAY,
    };
    let invited = with!(harness, invite, rng, &Actor::operator(), &new).unwrap();
    let code = invited.link.code.expose();
    let info = with!(harness, invitation_info, secret, code).unwrap();
    assert_eq!((info.organization.as_str(), info.role.as_str()), ("Acme", "owner"));
    let identity = Identity { issuer: "https://id.example.com".to_owned(), subject: "cy".to_owned() };
    let with_address = |address: Option<&str>| {
        let email = address.map(str::to_owned);
        Invitee::New { name: "Cy".to_owned(), email, identity: Some(identity.clone()) }
    };
    let member_of_another = Invitee::User(harness.member(organization, BuiltInRole::Viewer).user.id);
    for other in [with_address(None), with_address(Some("eve@example.com")), member_of_another] {
        let refused = with!(harness, accept_invitation, rng, &contact(), code, &other);
        assert!(matches!(refused, Err(ProvisioningError::InvitedAddress)), "{other:?}");
    }
    assert_eq!(harness.fixture.store.find_user(&identity).unwrap(), None, "a refusal links nothing");
    let invitee = with_address(Some("Cy@example.com"));
    let member = with!(harness, accept_invitation, rng, &contact(), code, &invitee).unwrap().0;
    assert_eq!(member.membership.role, RoleOf::BuiltIn(BuiltInRole::Owner));
    assert_eq!(member.user.email.as_deref(), Some("Cy@example.com"));
    assert_eq!(harness.fixture.store.find_user(&identity).unwrap(), Some(member.user.clone()));
    let again = with!(harness, accept_invitation, rng, &contact(), code, &invitee);
    assert!(matches!(again, Err(ProvisioningError::LinkUsed { .. })));

    // The same person, into another organization.
    let new = NewInvitation { organization: harness.organization("Other"), ..new };
    let second = with!(harness, invite, rng, &Actor::operator(), &new).unwrap();
    let invitee = Invitee::User(member.user.id);
    let code = second.link.code.expose();
    let joined = with!(harness, accept_invitation, rng, &contact(), code, &invitee).unwrap().0;
    assert_eq!(joined.user, member.user);
    let third = with!(harness, invite, rng, &Actor::operator(), &new).unwrap();
    let code = third.link.code.expose();
    let twice = with!(harness, accept_invitation, rng, &contact(), code, &invitee);
    assert!(matches!(twice, Err(ProvisioningError::MemberExists)));

    let revoked = with!(harness, revoke_invitation, &Actor::operator(), third.invitation.id).unwrap().0;
    assert_eq!(revoked.revoked, Some(NOW));
    let late = with!(harness, accept_invitation, rng, &contact(), code, &invitee);
    assert!(matches!(late, Err(ProvisioningError::InvitationRevoked { at }) if at == NOW));
    let hidden = with!(harness, revoke_invitation, &contact(), third.invitation.id);
    assert!(matches!(hidden, Err(ProvisioningError::NotFound { .. })));
    let listed = list_invitations(&mut harness.fixture.store, &Actor::operator(), organization, None, 10);
    assert_eq!(listed.unwrap().len(), 1);

    let expired = with!(harness, invite, rng, &Actor::operator(), &new).unwrap();
    harness.clock.advance(DAY);
    let late = with!(harness, accept_invitation, rng, &contact(), expired.link.code.expose(), &invitee);
    assert!(matches!(late, Err(ProvisioningError::LinkExpired { .. })));
}

#[test]
fn the_first_operator_signs_in_once_by_a_link() {
    let mut harness = Harness::new();
    harness.organization("partner");
    let new = |organization: &str| NewOperator {
        name: "Op".to_owned(),
        email: Some("op@example.com".to_owned()),
        organization: organization.to_owned(),
    };
    let taken = with!(harness, create_operator, rng, &Actor::operator(), &new("partner"));
    assert!(matches!(taken, Err(ProvisioningError::PartnerExists(_))), "a partner is not made the operator");
    let first = with!(harness, create_operator, rng, &Actor::operator(), &new("The Company")).unwrap();
    assert!(first.organization_created && first.organization.is_operator);
    let second = with!(harness, create_operator, rng, &Actor::operator(), &new("other")).unwrap();
    assert_eq!((second.organization_created, second.organization.id), (false, first.organization.id));

    let code = first.link.code.expose();
    let state = with!(harness, sign_in_link_state, secret, code).unwrap();
    assert_eq!(state, LinkState::Ready { expires: after(SIGN_IN_LIFETIME) });
    let user = with!(harness, use_sign_in_link, secret, &contact(), code).unwrap().0;
    assert_eq!(user, first.member.user);
    let again = with!(harness, use_sign_in_link, secret, &contact(), code);
    assert!(matches!(again, Err(ProvisioningError::LinkUsed { .. })));
    let wrong_kind = harness.claim(second.link.code.expose());
    assert!(matches!(wrong_kind, Err(ProvisioningError::UnknownLink)), "each link is for one thing");
    harness.clock.advance(SIGN_IN_LIFETIME);
    let late = with!(harness, use_sign_in_link, secret, &contact(), second.link.code.expose());
    assert!(matches!(late, Err(ProvisioningError::LinkExpired { .. })));
    let refused = with!(harness, sign_in_link, rng, &contact(), user.id);
    assert!(matches!(refused, Err(ProvisioningError::OperatorOnly)));
    let (_, link, _) = with!(harness, sign_in_link, rng, &Actor::operator(), user.id).unwrap();
    with!(harness, use_sign_in_link, secret, &contact(), link.code.expose()).unwrap();
}

#[test]
fn a_link_of_something_that_is_gone_is_unknown() {
    let mut harness = Harness::new();
    let id = harness.file(&new_request()).unwrap().request.id;
    let link = harness.approve(id, &approval()).unwrap().claim.unwrap();
    with!(harness, remove_partner, &Actor::operator(), "Acme", false).unwrap();
    assert!(matches!(harness.claim(link.code.expose()), Err(ProvisioningError::UnknownLink)));
    let gone = with!(harness, reject_request, &Actor::operator(), id, "no");
    assert!(matches!(gone, Err(ProvisioningError::NotFound { .. })));
}
