//! People: users, memberships, roles, app tokens, the audit log, replies kept for repeated calls, access requests, links
//! and invitations.

use permissions::{
    ApiAccessPermission, AppToken, BuiltInRole, CustomRole, Environment, Identity, InvitationId, KeyHash,
    LinkId, Membership, MembershipId, RequestId, RoleId, RoleOf, TokenId, User, UserId,
};
use uuid::Uuid;

use super::*;
use crate::store::people::{AuditEntry, AuditFilter, Idempotency, MemberFilter, StoredToken, TokenFilter};
use crate::store::requests::{
    AccessRequest, Invitation, Link, LinkKind, PerEnvironment, RequestAction, RequestFilter, RequestState,
};

const OWNER: RoleOf = RoleOf::BuiltIn(BuiltInRole::Owner);

fn user(number: u128) -> User {
    User {
        id: UserId(Uuid::from_u128(number)),
        name: format!("user {number}"),
        email: (number % 2 == 1).then(|| format!("{number}@example.com")),
        created: NOW,
    }
}

fn membership(number: u128, role: RoleOf) -> Membership {
    Membership {
        id: MembershipId(Uuid::from_u128(number)),
        user: user(number).id,
        organization: PARTNER,
        role,
        created: NOW,
    }
}

fn token(number: u128) -> StoredToken {
    let record = AppToken {
        id: TokenId(Uuid::from_u128(number)),
        membership: membership(1, OWNER).id,
        environment: Environment::Production,
        app: "app".to_owned(),
        device: "laptop".to_owned(),
        created: NOW,
        authenticated: second(-5),
        expires: second(60),
        revoked: None,
        last_used: None,
    };
    StoredToken { record, hash: hash(number) }
}

fn hash(number: u128) -> KeyHash {
    key(number).hash
}

fn organization(store: &mut Store) {
    write(store, |write| write.add_partner(PARTNER, "acme"));
}

pub(in super::super) fn people_read_back_and_leave_with_everything_of_theirs(setup: &impl Setup) {
    let mut store = setup.open();
    organization(&mut store);
    let identity = Identity { issuer: "https://id.example.com".to_owned(), subject: "1".to_owned() };
    let role = CustomRole {
        id: RoleId(Uuid::from_u128(9)),
        organization: PARTNER,
        name: "billing".to_owned(),
        permissions: ApiAccessPermission::PING_READ,
        created: NOW,
    };
    let custom = RoleOf::Custom(role.id);
    write(&mut store, |write| {
        for number in [1, 2] {
            write.insert_user(&user(number))?;
            assert!(write.insert_membership(&membership(number, OWNER))?);
            assert!(!write.insert_membership(&membership(number, OWNER))?, "a member already");
        }
        assert!(write.add_identity(user(1).id, &identity)?);
        assert!(!write.add_identity(user(2).id, &identity)?, "it is somebody's already");
        assert!(write.insert_role(&role)?);
        assert!(!write.insert_role(&CustomRole { id: RoleId(Uuid::from_u128(8)), ..role.clone() })?);
        assert!(write.set_role_of(membership(2, OWNER).id, custom)?);
        assert!(!write.remove_role(role.id)?, "it is in use");
        assert!(write.set_role(role.id, ApiAccessPermission::empty())?);
        write.insert_token(&token(1))
    });
    let mut other = setup.open();
    assert_eq!(other.list_users().unwrap(), [user(1), user(2)]);
    assert_eq!(other.find_user(&identity).unwrap(), Some(user(1)));
    assert_eq!(other.identities(user(1).id).unwrap(), [identity]);
    let filter = MemberFilter { organization: Some(PARTNER), user: Some(user(2).id) };
    let members = other.list_members(filter).unwrap();
    assert_eq!(members.len(), 1);
    assert_eq!((&members[0].membership, &members[0].user), (&membership(2, custom), &user(2)));
    assert_eq!(other.list_roles(Some(PARTNER)).unwrap()[0].permissions, ApiAccessPermission::empty());
    let mut tokens = Vec::new();
    other.each_token(&mut |token| tokens.push(token)).unwrap();
    assert_eq!(tokens, [token(1)]);
    assert!(write(&mut store, |write| write.revoke_token(token(1).record.id)).0);
    assert!(!write(&mut store, |write| write.revoke_token(token(1).record.id)).0, "it is revoked already");
    let filter = TokenFilter { environment: Some(Environment::Production), ..TokenFilter::default() };
    assert_eq!(other.list_tokens(filter).unwrap()[0].revoked, Some(NOW));

    let last = store.changes_since(0).unwrap().last;
    assert!(write(&mut store, |write| write.remove_membership(membership(1, OWNER).id)).0);
    assert_eq!(other.token(token(1).record.id).unwrap(), None);
    assert!(store.changes_since(last).unwrap().last > last, "servers learn of it");
    write(&mut store, |write| write.remove_partner(PARTNER));
    assert!(other.list_members(MemberFilter::default()).unwrap().is_empty());
    assert!(other.list_roles(None).unwrap().is_empty());
    assert_eq!(other.list_users().unwrap().len(), 2, "a person is nobody's");
}

fn entry(number: usize) -> AuditEntry {
    AuditEntry {
        actor: "operator".to_owned(),
        organization: (number % 2 == 1).then_some(PARTNER),
        action: "key.create".to_owned(),
        target: format!("key:{number}"),
        before: None,
        after: Some(serde_json::json!({ "number": number })),
        address: Some("192.0.2.7".to_owned()),
        request_id: Some("7".to_owned()),
    }
}

pub(in super::super) fn the_audit_log_is_a_chain_without_gaps(setup: &impl Setup) {
    let mut store = setup.open();
    assert_eq!(store.check_audit().unwrap().entries, 0);
    for number in 1..=5 {
        assert_eq!(write(&mut store, |write| write.append_audit(&entry(number))).0, number as i64);
    }
    let _ = store.write(NOW, |write| {
        write.append_audit(&entry(6))?;
        Err::<(), StoreError>(StoreError::Stopped)
    });
    let (number, _) = write(&mut setup.open(), |write| write.append_audit(&entry(6)));
    assert_eq!(number, 6, "what was rolled back leaves no gap");
    let check = store.check_audit().unwrap();
    assert_eq!((check.entries, check.broken_at), (6, None));
    let filter =
        AuditFilter { organization: Some(PARTNER), before: Some(5), count: 10, ..Default::default() };
    let listed = store.list_audit(&filter).unwrap();
    assert_eq!(listed.iter().map(|record| record.number).collect::<Vec<_>>(), [3, 1]);
    assert_eq!((&listed[0].entry, listed[0].at), (&entry(3), NOW));
    assert_eq!(store.list_audit(&AuditFilter { count: 2, ..Default::default() }).unwrap().len(), 2);
}

pub(in super::super) fn a_repeated_call_gets_the_reply_of_the_first(setup: &impl Setup) {
    let mut store = setup.open();
    let mut begin = |caller: &str, fingerprint: u8, since| {
        write(&mut store, |write| write.begin_idempotent(caller, &hash(1), &[fingerprint; 32], since)).0
    };
    let before = second(-60);
    assert_eq!(begin("a", 1, before), Idempotency::New);
    assert_eq!(begin("a", 1, before), Idempotency::Running);
    assert_eq!(begin("a", 2, before), Idempotency::Different);
    assert_eq!(begin("b", 2, before), Idempotency::New, "another caller's");
    let mut other = setup.open();
    write(&mut other, |write| write.end_idempotent("a", &hash(1), Some((201, b"made"))));
    assert_eq!(begin("a", 1, before), Idempotency::Done(201, b"made".to_vec()));
    write(&mut other, |write| write.end_idempotent("b", &hash(1), None));
    assert_eq!(begin("b", 3, before), Idempotency::New, "it may be made again");
    assert_eq!(begin("a", 4, second(1)), Idempotency::New, "it is forgotten");
}

fn request(number: u128) -> AccessRequest {
    AccessRequest {
        id: RequestId(Uuid::from_u128(number)),
        by_contact: true,
        organization: None,
        key: None,
        name: "Acme".to_owned(),
        contact: "Ada".to_owned(),
        email: "ada@example.com".to_owned(),
        use_case: "billing\n'\"\\%".to_owned(),
        wanted: PerEnvironment {
            staging: ApiAccessPermission::grantable(),
            production: ApiAccessPermission::empty(),
        },
        granted: None,
        state: RequestState::Open,
        created: NOW,
        updated: NOW,
    }
}

pub(in super::super) fn access_requests_are_listed_by_cursor_and_keep_their_events(setup: &impl Setup) {
    let mut store = setup.open();
    organization(&mut store);
    let scope = AccessRequest {
        by_contact: false,
        organization: Some(PARTNER),
        key: Some(key(1).record.id),
        ..request(4)
    };
    write(&mut store, |write| {
        for number in 1..=3 {
            write.insert_request(&request(number), Some(&hash(number)))?;
        }
        write.insert_request(&scope, None)
    });
    assert_eq!(store.find_request(&hash(2)).unwrap(), Some(request(2)));
    assert_eq!(store.find_request(&hash(4)).unwrap(), None);
    assert_eq!(store.request(scope.id).unwrap(), Some(scope.clone()));
    assert_eq!(store.count_open_requests(None).unwrap(), 4);
    assert_eq!(store.count_open_requests(Some(PARTNER)).unwrap(), 1);
    let approved = AccessRequest {
        organization: Some(PARTNER),
        granted: Some(request(1).wanted),
        state: RequestState::Approved,
        ..request(1)
    };
    assert!(write(&mut store, |write| write.update_request(&approved)).0);
    assert!(!write(&mut store, |write| write.update_request(&request(9))).0);
    let mut ids = |filter: RequestFilter| {
        let listed = store.list_requests(&filter).unwrap();
        listed.iter().map(|request| request.id.0.as_u128()).collect::<Vec<_>>()
    };
    let all = RequestFilter { count: 10, ..RequestFilter::default() };
    assert_eq!(ids(all), [1, 2, 3, 4]);
    assert_eq!(ids(RequestFilter { after: Some(request(1).id), count: 2, ..all }), [2, 3]);
    assert_eq!(ids(RequestFilter { state: Some(RequestState::Approved), ..all }), [1]);
    assert_eq!(ids(RequestFilter { is_open: true, ..all }), [2, 3, 4]);
    assert_eq!(ids(RequestFilter { organization: Some(PARTNER), ..all }), [1, 4]);
    assert_eq!(store.request(approved.id).unwrap(), Some(approved));

    for (number, text) in [(1, "why?"), (2, "")] {
        let append = |write: &mut dyn Write| {
            write.append_request_event(request(2).id, "operator", RequestAction::Asked, text)
        };
        assert_eq!(write(&mut store, append).0, number);
    }
    let events = store.list_request_events(request(2).id, 0, 1).unwrap();
    assert_eq!((events.len(), events[0].text.as_str(), events[0].at), (1, "why?", NOW));
    assert_eq!(store.list_request_events(request(2).id, 1, 9).unwrap()[0].number, 2);

    write(&mut store, |write| {
        for number in [2, 3] {
            let state = RequestState::Withdrawn;
            write.update_request(&AccessRequest { state, ..request(number) })?;
        }
        assert_eq!(write.forget_withdrawn_requests(1)?, 1);
        Ok(())
    });
    assert_eq!(store.request(request(2).id).unwrap(), None);
    assert!(store.list_request_events(request(2).id, 0, 9).unwrap().is_empty());
    write(&mut store, |write| write.remove_partner(PARTNER));
    assert_eq!(store.list_requests(&all).unwrap().len(), 1);
}

pub(in super::super) fn a_link_works_once_and_until_its_end(setup: &impl Setup) {
    let mut store = setup.open();
    let subject = Uuid::from_u128(42);
    let link = |number: u128, ends: i64| Link {
        id: LinkId(Uuid::from_u128(number)),
        kind: LinkKind::Claim,
        subject,
        created: second(number as i64 - 10),
        expires: second(ends),
        used: None,
    };
    write(&mut store, |write| {
        for (number, ends) in [(1, 60), (2, 0), (3, 60)] {
            write.insert_link(&link(number, ends), &hash(number))?;
        }
        Ok(())
    });
    assert_eq!(store.find_link(LinkKind::Claim, &hash(1)).unwrap(), Some(link(1, 60)));
    assert_eq!(store.find_link(LinkKind::SignIn, &hash(1)).unwrap(), None, "each kind is for itself");
    assert_eq!(store.newest_link(LinkKind::Claim, subject).unwrap(), Some(link(3, 60)));
    let mut take = |number| write(&mut setup.open(), |write| write.use_link(link(number, 0).id)).0;
    assert_eq!([1, 1, 2, 9].map(&mut take), [true, false, false, false]);
    assert_eq!(store.find_link(LinkKind::Claim, &hash(1)).unwrap().unwrap().used, Some(NOW));
    assert_eq!(write(&mut store, |write| write.end_links(LinkKind::Claim, subject)).0, 1);
    assert!(!take(3));
    assert_eq!(write(&mut store, |write| write.forget_links(second(1))).0, 2);
    assert_eq!(store.find_link(LinkKind::Claim, &hash(2)).unwrap(), None);
}

pub(in super::super) fn an_invitation_is_accepted_or_revoked(setup: &impl Setup) {
    let mut store = setup.open();
    organization(&mut store);
    let invitation = |number: u128| Invitation {
        id: InvitationId(Uuid::from_u128(number)),
        organization: PARTNER,
        email: (number == 1).then(|| "ada@example.com".to_owned()),
        role: OWNER,
        created: NOW,
        expires: second(60 * number as i64),
        accepted: None,
        revoked: None,
    };
    write(&mut store, |write| (1..=3).try_for_each(|number| write.insert_invitation(&invitation(number))));
    assert_eq!(store.invitation(invitation(1).id).unwrap(), Some(invitation(1)));
    assert_eq!(store.count_open_invitations(PARTNER, second(60)).unwrap(), 2);
    write(&mut store, |write| {
        assert!(write.accept_invitation(invitation(2).id)?);
        assert!(!write.revoke_invitation(invitation(2).id)?);
        assert!(write.revoke_invitation(invitation(3).id)?);
        assert!(!write.accept_invitation(invitation(3).id)?);
        Ok(())
    });
    assert_eq!(store.count_open_invitations(PARTNER, NOW).unwrap(), 1);
    let listed = store.list_invitations(PARTNER, Some(invitation(1).id), 1).unwrap();
    assert_eq!(listed, [Invitation { accepted: Some(NOW), ..invitation(2) }]);
    assert!(store.list_invitations(OTHER, None, 9).unwrap().is_empty());
    assert_eq!(write(&mut store, |write| write.forget_invitations(PARTNER, second(61))).0, 1);
}
