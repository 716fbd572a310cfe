//! Sessions of browsers: begun at a sign-in, listed, and ended.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use permissions::{Environment, KeyHash, ServerSecret, SessionId, UserId};
use rand::CryptoRng;
use serde_json::json;
use zeroize::Zeroizing;

use super::rules::not_found;
use super::{Actor, Committed, Done, ProvisioningError, audit, new_uuid, now, random_text, write};
use crate::clock::Clock;
use crate::store::people::MemberFilter;
use crate::store::sign_in::Session;
use crate::store::{Store, Write, to_stored_precision};

/// The most sessions of a user; beyond it a new one ends the oldest.
pub const SESSIONS_PER_USER_MAX: usize = 32;
/// How old `last_seen` may become before it is written again.
const SEEN_INTERVAL: SignedDuration = SignedDuration::from_mins(1);
/// How much of a browser's name for itself is kept, in characters.
const AGENT_CHARACTERS_MAX: usize = 200;
/// The length of a session's id.
const TEXT_BYTES: usize = 43;

/// How long sessions last.
#[derive(Clone, Copy, Debug)]
pub struct SessionTimes {
    /// Without being used.
    pub idle: Duration,
    /// In all.
    pub lifetime: Duration,
}

impl SessionTimes {
    /// A session that was not used since then has ended.
    fn idle_since(&self, now: Timestamp) -> Timestamp {
        SignedDuration::try_from(self.idle)
            .ok()
            .and_then(|idle| now.checked_sub(idle).ok())
            .map_or(Timestamp::MIN, to_stored_precision)
    }
}

/// A sign-in.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Who signed in.
    pub user: UserId,
    /// When the person proved who they are.
    pub authenticated: Timestamp,
    /// What the browser calls itself.
    pub agent: String,
    /// From where.
    pub address: Option<std::net::IpAddr>,
    /// In which request.
    pub request_id: Option<String>,
    /// The session of this browser until now, which ends.
    pub replaces: Option<SessionId>,
}

/// Begins a session, with a new id whatever the browser had before; `None` for a user who is a member of no
/// organization.
///
/// # Errors
/// Errors of the store.
pub fn create_session(
    store: &mut Store,
    clock: &dyn Clock,
    rng: &mut dyn CryptoRng,
    secret: &ServerSecret,
    times: SessionTimes,
    new: &NewSession,
) -> Result<Option<(Session, Zeroizing<String>)>, ProvisioningError> {
    let now = now(clock);
    let text = random_text(rng);
    let lifetime = SignedDuration::try_from(times.lifetime).unwrap_or(SignedDuration::MAX);
    let session = Session {
        id: SessionId(new_uuid(rng, now)),
        user: new.user,
        created: now,
        authenticated: to_stored_precision(new.authenticated.min(now)),
        last_seen: now,
        expires: to_stored_precision(now.checked_add(lifetime).unwrap_or(Timestamp::MAX)),
        agent: agent_of(&new.agent),
        address: new.address.map(|address| address.to_string()).unwrap_or_default(),
    };
    let (created, _) = write(store, clock, now, |write| {
        let Some(actor) = actor_of(write, new)? else { return Ok(false) };
        write.sweep_sessions(times.idle_since(now))?;
        if let Some(id) = new.replaces {
            remove(write, &actor, new.user, id, "replaced")?;
        }
        let sessions = write.list_sessions(new.user)?;
        for old in sessions.iter().take((sessions.len() + 1).saturating_sub(SESSIONS_PER_USER_MAX)) {
            remove(write, &actor, new.user, old.id, "too many")?;
        }
        write.insert_session(&session, &session_hash(secret, &text))?;
        let after = json!({ "agent": session.agent, "authenticated": session.authenticated });
        let target = format!("session:{}", session.id);
        let done =
            Done { action: "session.create", organization: None, target, before: None, after: Some(&after) };
        audit(write, &actor, &done)?;
        Ok(true)
    })?;
    Ok(created.then_some((session, text)))
}

/// The person who signs in, as a member of their first organization; `None` where there is none.
fn actor_of(write: &mut dyn Write, new: &NewSession) -> Result<Option<Actor>, ProvisioningError> {
    let filter = MemberFilter { user: Some(new.user), ..MemberFilter::default() };
    let members = write.list_members(filter)?;
    let actor = |member: &crate::store::people::Member| {
        let actor = Actor::member(&member.membership, Environment::Staging, new.authenticated, new.address);
        Actor { request_id: new.request_id.clone(), ..actor }
    };
    Ok(members.first().map(actor))
}

/// The session of this id, if it has not ended. Notes that it is in use.
///
/// # Errors
/// Errors of the store.
pub fn find_session(
    store: &mut Store,
    clock: &dyn Clock,
    secret: &ServerSecret,
    times: SessionTimes,
    text: &str,
) -> Result<Option<Session>, ProvisioningError> {
    if text.len() != TEXT_BYTES {
        return Ok(None);
    }
    let now = now(clock);
    let lasts = |session: &Session| session.expires > now && session.last_seen > times.idle_since(now);
    let Some(session) = store.find_session(&session_hash(secret, text))?.filter(lasts) else {
        return Ok(None);
    };
    if now.duration_since(session.last_seen) >= SEEN_INTERVAL {
        write(store, clock, now, |write| Ok(write.touch_session(session.id)?))?;
    }
    Ok(Some(session))
}

/// The sessions of a user that have not ended, the oldest first.
///
/// # Errors
/// Errors of the store.
pub fn list_sessions(
    store: &mut Store,
    clock: &dyn Clock,
    times: SessionTimes,
    user: UserId,
) -> Result<Vec<Session>, ProvisioningError> {
    let now = now(clock);
    let mut sessions = store.list_sessions(user)?;
    sessions.retain(|session| session.expires > now && session.last_seen > times.idle_since(now));
    Ok(sessions)
}

/// Ends a session of the actor's own, or as the operator any.
///
/// # Errors
/// No such session of theirs, or an error of the store.
pub fn end_session(
    store: &mut Store,
    clock: &dyn Clock,
    actor: &Actor,
    user: UserId,
    id: SessionId,
) -> Result<Committed, ProvisioningError> {
    let is_own = actor.caller().is_none_or(|caller| caller.person.is_some_and(|person| person.user == user));
    let now = now(clock);
    let (ended, change) =
        write(
            store,
            clock,
            now,
            |write| {
                if is_own { remove(write, actor, user, id, "ended") } else { Ok(false) }
            },
        )?;
    if ended { Ok(change) } else { Err(not_found("session", id)) }
}

fn remove(
    write: &mut dyn Write,
    actor: &Actor,
    user: UserId,
    id: SessionId,
    why: &str,
) -> Result<bool, ProvisioningError> {
    let of_user = write.list_sessions(user)?.into_iter().any(|session| session.id == id);
    if !of_user || !write.remove_session(id)? {
        return Ok(false);
    }
    let before = json!({ "user": user, "because": why });
    let target = format!("session:{id}");
    let done = Done { action: "session.end", organization: None, target, before: Some(&before), after: None };
    audit(write, actor, &done)?;
    Ok(true)
}

fn session_hash(secret: &ServerSecret, text: &str) -> KeyHash {
    secret.derive("partner-gateway session").hash(text.as_bytes())
}

/// What a browser calls itself, in one bounded line.
fn agent_of(text: &str) -> String {
    text.chars().filter(|character| matches!(character, ' '..='~')).take(AGENT_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::provisioning::remove_member;
    use crate::provisioning::tests::owner;
    use crate::store::people::Member;
    use crate::store::tests::{Fixture, NOW};

    const TIMES: SessionTimes =
        SessionTimes { idle: Duration::from_secs(12 * 3600), lifetime: Duration::from_secs(7 * 86_400) };

    struct Harness {
        fixture: Fixture,
        clock: ManualClock,
        member: Member,
    }

    impl Harness {
        fn new() -> Self {
            let (mut fixture, clock) = (Fixture::new(), ManualClock::new(NOW));
            let member = owner(&mut fixture.store, &clock);
            Self { fixture, clock, member }
        }

        fn create(&mut self, replaces: Option<SessionId>) -> Option<(Session, Zeroizing<String>)> {
            let new = NewSession {
                user: self.member.user.id,
                authenticated: NOW,
                agent: "Mozilla/5.0\u{1b}[31m".to_owned(),
                address: None,
                request_id: None,
                replaces,
            };
            let (store, secret) = (&mut self.fixture.store, &self.fixture.secret);
            create_session(store, &self.clock, &mut rand::rng(), secret, TIMES, &new).unwrap()
        }

        fn find(&mut self, text: &str) -> Option<Session> {
            let (store, secret) = (&mut self.fixture.store, &self.fixture.secret);
            find_session(store, &self.clock, secret, TIMES, text).unwrap()
        }

        fn wait(&self, hours: u64) {
            self.clock.advance(Duration::from_secs(hours * 3600));
        }
    }

    #[test]
    fn a_session_ends_when_it_is_idle_and_after_its_lifetime() {
        let mut harness = Harness::new();
        let (session, text) = harness.create(None).unwrap();
        assert_eq!(session.agent, "Mozilla/5.0[31m");
        assert_eq!(harness.find(&text), Some(session));
        assert!(harness.find(&text.to_lowercase()).is_none() && harness.find("").is_none());
        harness.wait(12);
        assert!(harness.find(&text).is_none(), "it was idle");
        let (_, text) = harness.create(None).unwrap();
        for _ in 0..15 {
            harness.wait(11);
            assert!(harness.find(&text).is_some(), "it is in use");
        }
        harness.wait(3);
        assert!(harness.find(&text).is_none(), "seven days have passed");
    }

    #[test]
    fn a_sign_in_ends_the_session_before_it_and_sessions_are_bounded() {
        let mut harness = Harness::new();
        let (first, first_text) = harness.create(None).unwrap();
        let (second, second_text) = harness.create(Some(first.id)).unwrap();
        assert_ne!((first.id, &first_text), (second.id, &second_text));
        assert!(harness.find(&first_text).is_none() && harness.find(&second_text).is_some());
        for _ in 0..SESSIONS_PER_USER_MAX {
            harness.clock.advance(Duration::from_secs(1));
            harness.create(None).unwrap();
        }
        assert!(harness.find(&second_text).is_none(), "the oldest ended");
        let user = harness.member.user.id;
        let sessions = list_sessions(&mut harness.fixture.store, &harness.clock, TIMES, user).unwrap();
        assert_eq!(sessions.len(), SESSIONS_PER_USER_MAX);
    }

    #[test]
    fn nobody_ends_the_session_of_another() {
        let mut harness = Harness::new();
        let (session, text) = harness.create(None).unwrap();
        let organization = harness.member.membership.organization;
        let store = &mut harness.fixture.store;
        let members = crate::provisioning::list_members(store, &Actor::operator(), organization).unwrap();
        // Ids of one moment have no order.
        let other = members.iter().find(|member| member.user.id != session.user).unwrap();
        let other_user = other.user.id;
        let other = Actor::member(&other.membership, Environment::Staging, NOW, None);
        for user in [session.user, other_user] {
            assert!(end_session(store, &harness.clock, &other, user, session.id).is_err());
        }
        let own = Actor::member(&harness.member.membership, Environment::Staging, NOW, None);
        end_session(store, &harness.clock, &own, session.user, session.id).unwrap();
        assert!(harness.find(&text).is_none());
    }

    #[test]
    fn who_is_a_member_nowhere_is_signed_in_nowhere() {
        let mut harness = Harness::new();
        let (_, text) = harness.create(None).unwrap();
        let id = harness.member.membership.id;
        remove_member(&mut harness.fixture.store, &harness.clock, &Actor::operator(), id).unwrap();
        assert!(harness.find(&text).is_none());
        assert!(harness.fixture.store.list_sessions(harness.member.user.id).unwrap().is_empty());
        assert!(harness.create(None).is_none());
    }
}
