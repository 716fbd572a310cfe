//! Devices: an app asks for codes, a person approves it in a browser, and it gets its token once (RFC 8628).

use std::net::IpAddr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use permissions::{KeyHash, MembershipId, ServerSecret};
use rand::CryptoRng;
use serde_json::json;
use zeroize::Zeroizing;

use super::people::{find_member, record};
use super::rules::{check_name, not_found};
use super::tokens::{draw_token, insert_token};
use super::{Actor, Committed, IssuedToken, NewToken, ProvisioningError, now, random_text, write};
use crate::clock::Clock;
use crate::store::sign_in::{Approval, DeviceAuthorization, DeviceState, SignIn};
use crate::store::{Store, Write};

/// How long the codes of a device are valid.
pub const DEVICE_LIFETIME: SignedDuration = SignedDuration::from_mins(10);
/// How long expired codes are kept, so that a device learns that they expired.
const EXPIRED_KEPT: SignedDuration = SignedDuration::from_mins(10);
/// Seconds between two polls, and what each poll that comes too early adds (RFC 8628 §3.5).
const INTERVAL_SECONDS: u32 = 5;
/// Beyond it an early poll adds nothing, so that a device that does not wait causes no more writes.
const INTERVAL_SECONDS_MAX: u32 = 60;
/// The letters of user codes: no vowels, so no words; nothing that looks like a digit.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// The letters of one code, about 34 bits.
const USER_CODE_LETTERS: usize = 8;
/// How often another user code is drawn where the first is taken.
const USER_CODE_TRIES: usize = 8;

/// How many devices may wait for approval.
#[derive(Clone, Copy, Debug)]
pub struct DeviceLimits {
    /// In all.
    pub pending_max: usize,
    /// Of one address.
    pub pending_per_address_max: usize,
}

/// A device that asks for codes.
#[derive(Clone, Debug)]
pub struct NewDevice {
    /// What the app calls itself.
    pub app: String,
    /// What the app calls the device.
    pub device: String,
    /// From where it asks, in the form in which addresses are counted.
    pub address: String,
}

/// What became of the question for codes.
#[derive(Debug)]
pub enum BeginDevice {
    /// Here they are.
    Begun(BegunDevice),
    /// Too many devices wait, in all.
    Full,
    /// Too many devices of this address wait.
    FullForAddress,
}

/// The codes of a device. They are available only here.
pub struct BegunDevice {
    /// The code with which the device polls: 256 random bits.
    pub device_code: Zeroizing<String>,
    /// The code that the user enters: two groups of four consonants, such as `NRMS-QWGX`.
    pub user_code: Zeroizing<String>,
    /// When both end.
    pub expires: Timestamp,
    /// Seconds between two polls.
    pub interval_seconds: u32,
}

impl std::fmt::Debug for BegunDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BegunDevice").field("expires", &self.expires).finish_non_exhaustive()
    }
}

/// What a device hears when it polls.
#[derive(Debug)]
pub enum Poll {
    /// Nobody has decided yet.
    Pending,
    /// The same, and it polls too often: it waits five seconds more from now on.
    SlowDown,
    /// A person has denied it.
    Denied,
    /// Its codes have expired.
    Expired,
    /// There is no such device, or it has its token already.
    Unknown,
    /// Its token, this once.
    Issued(Box<IssuedToken>),
}

/// Gives a device its codes.
///
/// # Errors
/// A name that breaks the rules, or an error of the store.
pub fn begin_device(
    store: &mut Store,
    clock: &dyn Clock,
    rng: &mut dyn CryptoRng,
    secret: &ServerSecret,
    limits: DeviceLimits,
    new: &NewDevice,
) -> Result<BeginDevice, ProvisioningError> {
    let now = now(clock);
    let (app, device) = (check_name(&new.app)?, check_name(&new.device)?);
    // Read first: a flood that is refused writes nothing.
    if let Some(refusal) = room(&mut **store, limits, &new.address, now)? {
        return Ok(refusal);
    }
    let expires = now.checked_add(DEVICE_LIFETIME).unwrap_or(Timestamp::MAX);
    let device_code = random_text(rng);
    let (begun, _) = write(store, clock, now, |write| {
        write.sweep_devices(now.checked_sub(EXPIRED_KEPT).unwrap_or(Timestamp::MIN))?;
        if let Some(refusal) = room(write, limits, &new.address, now)? {
            return Ok(refusal);
        }
        for _ in 0..USER_CODE_TRIES {
            let letters = draw_user_code(rng);
            let authorization = DeviceAuthorization {
                hash: device_code_hash(secret, &device_code),
                user_code_hash: user_code_hash(secret, &letters),
                app: app.clone(),
                device: device.clone(),
                address: new.address.clone(),
                created: now,
                expires,
                interval_seconds: INTERVAL_SECONDS,
                polled: None,
                state: DeviceState::Pending,
            };
            if write.insert_device(&authorization)? {
                return Ok(BeginDevice::Begun(BegunDevice {
                    device_code: device_code.clone(),
                    user_code: Zeroizing::new(format!("{}-{}", &letters[..4], &letters[4..])),
                    expires,
                    interval_seconds: INTERVAL_SECONDS,
                }));
            }
        }
        // With so few codes in use this does not happen by chance.
        Ok(BeginDevice::Full)
    })?;
    Ok(begun)
}

fn room(
    store: &mut (impl SignIn + ?Sized),
    limits: DeviceLimits,
    address: &str,
    now: Timestamp,
) -> Result<Option<BeginDevice>, ProvisioningError> {
    let [all, of_address] = store.count_devices(address, now)?;
    let is_full = |count: i64, max: usize| usize::try_from(count).is_ok_and(|count| count >= max);
    Ok(if is_full(of_address, limits.pending_per_address_max) {
        Some(BeginDevice::FullForAddress)
    } else if is_full(all, limits.pending_max) {
        Some(BeginDevice::Full)
    } else {
        None
    })
}

/// A device that asks whether it was approved.
#[derive(Clone, Copy)]
pub struct DevicePoll<'a> {
    /// What it called itself when it asked for codes.
    pub app: &'a str,
    /// The code that it got.
    pub device_code: &'a str,
    /// From which address it asks.
    pub address: Option<IpAddr>,
    /// In which request.
    pub request_id: Option<&'a str>,
}

/// A device asks whether it was approved.
///
/// # Errors
/// Errors of the store.
pub fn poll_device(
    store: &mut Store,
    clock: &dyn Clock,
    rng: &mut dyn CryptoRng,
    secret: &ServerSecret,
    lifetime: Duration,
    poll: DevicePoll<'_>,
) -> Result<Poll, ProvisioningError> {
    let now = now(clock);
    let hash = device_code_hash(secret, poll.device_code);
    // Read first: unknown codes, decided ones and most early polls write nothing.
    let (state, changed) = next(store.find_device(&hash)?, poll.app, now);
    if changed.is_none() {
        return Ok(state);
    }
    let (issued, change) = write(store, clock, now, |write| {
        let (state, changed) = next(write.find_device(&hash)?, poll.app, now);
        let Some(mut device) = changed else { return Ok(Err(state)) };
        let DeviceState::Approved(approval) = device.state else {
            write.update_device(&device)?;
            return Ok(Err(state));
        };
        let new = NewToken {
            membership: approval.membership,
            environment: approval.environment,
            app: device.app.clone(),
            device: device.device.clone(),
            authenticated: approval.authenticated,
            lifetime,
        };
        let (stored, text) = draw_token(rng, secret, &new, now)?;
        let actor = actor_of(write, approval, poll)?;
        let record = insert_token(write, &actor, &stored)?;
        device.state = DeviceState::Issued;
        write.update_device(&device)?;
        Ok(Ok((record, text)))
    })?;
    Ok(match issued {
        Ok((record, secret)) => Poll::Issued(Box::new(IssuedToken { record, secret, change })),
        Err(state) => state,
    })
}

/// Who approved a device, with the request by which the device gets its token, for the audit log.
fn actor_of(
    write: &mut dyn Write,
    approval: Approval,
    poll: DevicePoll<'_>,
) -> Result<Actor, ProvisioningError> {
    let member = write.member(approval.membership)?;
    let member = member.ok_or_else(|| not_found("member", approval.membership))?;
    let (environment, authenticated) = (approval.environment, approval.authenticated);
    let actor = Actor::member(&member.membership, environment, authenticated, poll.address);
    Ok(Actor { request_id: poll.request_id.map(str::to_owned), ..actor })
}

/// What a poll at `now` hears, and the device as it is to be stored, where that changes. An approved one is returned
/// as it is: its token is to be issued.
fn next(
    device: Option<DeviceAuthorization>,
    app: &str,
    now: Timestamp,
) -> (Poll, Option<DeviceAuthorization>) {
    let Some(mut device) = device.filter(|device| device.app == app) else { return (Poll::Unknown, None) };
    match device.state {
        DeviceState::Issued => (Poll::Unknown, None),
        _ if device.expires <= now => (Poll::Expired, None),
        DeviceState::Denied => (Poll::Denied, None),
        DeviceState::Approved(_) => (Poll::Pending, Some(device)),
        DeviceState::Pending => {
            let interval = SignedDuration::from_secs(device.interval_seconds.into());
            if device.polled.is_some_and(|last| now.duration_since(last) < interval) {
                // The last poll stays where it is: else a device that is always a little early would never be on time.
                let slower = (device.interval_seconds + INTERVAL_SECONDS).min(INTERVAL_SECONDS_MAX);
                let is_slower = slower > device.interval_seconds;
                device.interval_seconds = slower;
                (Poll::SlowDown, is_slower.then_some(device))
            } else {
                device.polled = Some(now);
                (Poll::Pending, Some(device))
            }
        }
    }
}

/// The device that waits under this user code.
///
/// # Errors
/// Errors of the store.
pub fn find_device(
    store: &mut Store,
    clock: &dyn Clock,
    secret: &ServerSecret,
    user_code: &str,
) -> Result<Option<DeviceAuthorization>, ProvisioningError> {
    pending(&mut **store, secret, user_code, now(clock))
}

fn pending(
    store: &mut (impl SignIn + ?Sized),
    secret: &ServerSecret,
    user_code: &str,
    now: Timestamp,
) -> Result<Option<DeviceAuthorization>, ProvisioningError> {
    let Some(letters) = letters_of(user_code) else { return Ok(None) };
    let device = store.find_device_by_user_code(&user_code_hash(secret, &letters))?;
    Ok(device.filter(|device| device.state == DeviceState::Pending && device.expires > now))
}

/// Approves the device that waits under this user code: it will act for the actor, a person, in the organization for which
/// the actor acts.
///
/// # Errors
/// No such device, or an error of the store.
pub fn approve_device(
    store: &mut Store,
    clock: &dyn Clock,
    secret: &ServerSecret,
    actor: &Actor,
    user_code: &str,
) -> Result<(DeviceAuthorization, Committed), ProvisioningError> {
    let caller = actor.caller().and_then(|caller| Some((caller.person?, caller.environment)));
    let (person, environment) = caller.ok_or_else(|| not_found("device", user_code))?;
    let approval =
        Approval { membership: person.membership, environment, authenticated: person.authenticated };
    decide(store, clock, secret, actor, user_code, Some(approval))
}

/// Denies the device that waits under this user code.
///
/// # Errors
/// No such device, or an error of the store.
pub fn deny_device(
    store: &mut Store,
    clock: &dyn Clock,
    secret: &ServerSecret,
    actor: &Actor,
    user_code: &str,
) -> Result<(DeviceAuthorization, Committed), ProvisioningError> {
    decide(store, clock, secret, actor, user_code, None)
}

fn decide(
    store: &mut Store,
    clock: &dyn Clock,
    secret: &ServerSecret,
    actor: &Actor,
    user_code: &str,
    approval: Option<Approval>,
) -> Result<(DeviceAuthorization, Committed), ProvisioningError> {
    let now = now(clock);
    write(store, clock, now, |write| {
        let device = pending(write, secret, user_code, now)?;
        let mut device = device.ok_or_else(|| not_found("code", user_code))?;
        let membership = |actor: &Actor| actor.caller()?.person.map(|person| person.membership);
        let membership: MembershipId = membership(actor).ok_or_else(|| not_found("code", user_code))?;
        let member = find_member(write, actor, membership)?;
        device.state = approval.map_or(DeviceState::Denied, DeviceState::Approved);
        write.update_device(&device)?;
        let action = if approval.is_some() { "device.approve" } else { "device.deny" };
        let after = json!({
            "app": device.app,
            "device": device.device,
            "address": device.address,
            "environment": approval.map(|approval| approval.environment),
        });
        let target = format!("member:{}", member.membership.id);
        record(write, actor, action, member.membership.organization, target, (None, Some(&after)))?;
        Ok(device)
    })
}

fn device_code_hash(secret: &ServerSecret, code: &str) -> KeyHash {
    secret.derive("partner-gateway device code").hash(code.as_bytes())
}

fn user_code_hash(secret: &ServerSecret, letters: &str) -> KeyHash {
    secret.derive("partner-gateway user code").hash(letters.as_bytes())
}

/// Draws the letters of a user code, each with the same probability.
fn draw_user_code(rng: &mut dyn CryptoRng) -> Zeroizing<String> {
    const USABLE: u8 = 240;
    let mut letters = Zeroizing::new(String::with_capacity(USER_CODE_LETTERS));
    while letters.len() < USER_CODE_LETTERS {
        let mut random = [0; 16];
        rng.fill_bytes(&mut random);
        for byte in random.into_iter().filter(|byte| *byte < USABLE) {
            if letters.len() < USER_CODE_LETTERS {
                letters.push(char::from(LETTERS[usize::from(byte) % LETTERS.len()]));
            }
        }
    }
    letters
}

/// The letters of a code as a person entered it: in any case, with dashes and spaces wherever they like.
fn letters_of(entered: &str) -> Option<Zeroizing<String>> {
    const ENTERED_BYTES_MAX: usize = 64;
    if entered.len() > ENTERED_BYTES_MAX {
        return None;
    }
    let mut letters = Zeroizing::new(String::with_capacity(ENTERED_BYTES_MAX));
    letters.extend(
        entered
            .chars()
            .filter(|character| !character.is_whitespace() && *character != '-')
            .map(|character| character.to_ascii_uppercase()),
    );
    let is_code = letters.len() == USER_CODE_LETTERS && letters.bytes().all(|byte| LETTERS.contains(&byte));
    is_code.then_some(letters)
}

#[cfg(test)]
mod tests {
    use permissions::Environment;

    use super::*;
    use crate::clock::ManualClock;
    use crate::provisioning::remove_member;
    use crate::provisioning::tests::owner;
    use crate::store::people::Member;
    use crate::store::tests::{Fixture, NOW};

    const LIMITS: DeviceLimits = DeviceLimits { pending_max: 4, pending_per_address_max: 2 };
    const LIFETIME: Duration = Duration::from_secs(90 * 86_400);

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

        fn begin_at(&mut self, address: &str) -> BeginDevice {
            let new =
                NewDevice { app: "app".to_owned(), device: "laptop".to_owned(), address: address.to_owned() };
            let (store, secret) = (&mut self.fixture.store, &self.fixture.secret);
            begin_device(store, &self.clock, &mut rand::rng(), secret, LIMITS, &new).unwrap()
        }

        fn begin(&mut self) -> BegunDevice {
            let BeginDevice::Begun(begun) = self.begin_at("192.0.2.1") else { panic!("there is room") };
            begun
        }

        fn poll(&mut self, code: &str) -> Poll {
            let (store, secret) = (&mut self.fixture.store, &self.fixture.secret);
            let poll = DevicePoll { app: "app", device_code: code, address: None, request_id: None };
            poll_device(store, &self.clock, &mut rand::rng(), secret, LIFETIME, poll).unwrap()
        }

        fn decide(&mut self, code: &str, approve: bool) -> Result<(), ProvisioningError> {
            let actor = Actor::member(&self.member.membership, Environment::Staging, NOW, None);
            let (store, secret) = (&mut self.fixture.store, &self.fixture.secret);
            let decide = if approve { approve_device } else { deny_device };
            decide(store, &self.clock, secret, &actor, code).map(drop)
        }

        fn wait(&self, seconds: u64) {
            self.clock.advance(Duration::from_secs(seconds));
        }
    }

    #[test]
    fn a_device_that_polls_too_early_slows_down_and_recovers() {
        let mut harness = Harness::new();
        let begun = harness.begin();
        assert!(matches!(harness.poll(&begun.device_code), Poll::Pending), "the first");
        harness.wait(4);
        assert!(matches!(harness.poll(&begun.device_code), Poll::SlowDown), "now every 10 seconds");
        harness.wait(5);
        assert!(matches!(harness.poll(&begun.device_code), Poll::SlowDown), "now every 15");
        harness.wait(6);
        assert!(matches!(harness.poll(&begun.device_code), Poll::Pending), "15 after the last good one");
        harness.wait(15);
        assert!(matches!(harness.poll(&begun.device_code), Poll::Pending));
        for _ in 0..100 {
            assert!(matches!(harness.poll(&begun.device_code), Poll::SlowDown));
        }
        harness.wait(INTERVAL_SECONDS_MAX.into());
        assert!(matches!(harness.poll(&begun.device_code), Poll::Pending), "the interval is bounded");
    }

    #[test]
    fn an_approved_device_gets_its_token_once() {
        let mut harness = Harness::new();
        let begun = harness.begin();
        let entered = begun.user_code.to_lowercase().replace('-', " ");
        harness.decide(&entered, true).unwrap();
        let again = harness.decide(&begun.user_code, false).unwrap_err();
        assert!(matches!(again, ProvisioningError::NotFound { what: "code", .. }), "it was decided");
        assert!(matches!(harness.poll("another"), Poll::Unknown));
        let Poll::Issued(token) = harness.poll(&begun.device_code) else { panic!("it was approved") };
        assert_eq!(token.record.membership, harness.member.membership.id);
        assert_eq!((token.record.app.as_str(), token.record.device.as_str()), ("app", "laptop"));
        assert_eq!(token.record.environment, Environment::Staging);
        assert_eq!(token.record.expires.duration_since(NOW).as_hours(), 90 * 24);
        assert!(matches!(harness.poll(&begun.device_code), Poll::Unknown), "it was issued");
        assert_eq!(harness.fixture.store.list_tokens(Default::default()).unwrap().len(), 1);
    }

    #[test]
    fn a_denied_or_expired_device_gets_none() {
        let mut harness = Harness::new();
        let [denied, late] = [harness.begin(), harness.begin()];
        harness.decide(&denied.user_code, false).unwrap();
        assert!(matches!(harness.poll(&denied.device_code), Poll::Denied));
        harness.wait(599);
        assert!(matches!(harness.poll(&late.device_code), Poll::Pending));
        harness.wait(1);
        assert!(matches!(harness.poll(&late.device_code), Poll::Expired));
        assert!(harness.decide(&late.user_code, true).is_err());
        harness.wait(601);
        harness.begin();
        assert!(matches!(harness.poll(&late.device_code), Poll::Unknown), "it was swept");
    }

    #[test]
    fn a_device_of_a_member_who_left_gets_none() {
        let mut harness = Harness::new();
        let begun = harness.begin();
        harness.decide(&begun.user_code, true).unwrap();
        let id = harness.member.membership.id;
        remove_member(&mut harness.fixture.store, &harness.clock, &Actor::operator(), id).unwrap();
        assert!(matches!(harness.poll(&begun.device_code), Poll::Unknown));
    }

    #[test]
    fn devices_that_wait_are_bounded_in_all_and_for_an_address() {
        let mut harness = Harness::new();
        for _ in 0..2 {
            assert!(matches!(harness.begin_at("192.0.2.1"), BeginDevice::Begun(_)));
        }
        assert!(matches!(harness.begin_at("192.0.2.1"), BeginDevice::FullForAddress));
        for last in [2, 3] {
            assert!(matches!(harness.begin_at(&format!("192.0.2.{last}")), BeginDevice::Begun(_)));
        }
        assert!(matches!(harness.begin_at("192.0.2.4"), BeginDevice::Full));
        harness.wait(600);
        assert!(matches!(harness.begin_at("192.0.2.1"), BeginDevice::Begun(_)), "the others have expired");
    }

    #[test]
    fn a_code_is_eight_consonants_however_it_is_written() {
        for _ in 0..100 {
            let code = draw_user_code(&mut rand::rng());
            assert_eq!(letters_of(&code).as_ref(), Some(&code));
        }
        for entered in ["BCDF-GHJK", "bcdfghjk", " b c-d f g-h j k ", "BCDF\u{a0}GHJK"] {
            assert_eq!(letters_of(entered).map(|code| code.to_string()).as_deref(), Some("BCDFGHJK"));
        }
        for wrong in ["", "BCDF-GHJ", "BCDF-GHJKL", "ACDF-GHJK", "BCDF-GHJ1", "BCDF_GHJK", &"-".repeat(65)] {
            assert_eq!(letters_of(wrong), None, "{wrong}");
        }
    }
}
