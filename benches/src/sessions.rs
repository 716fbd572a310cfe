//! Credentials of people beside a partner's key: what a request costs with each, what the first look at a session costs,
//! and how long a change of role takes with many live tokens.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use gateway::callers::index::KeyIndex;
use gateway::clock::{Clock, SystemClock};
use gateway::config;
use gateway::identity::Identity;
use gateway::store::people::{Member, StoredToken};
use gateway::store::{Granted, Partner};
use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use permissions::{
    ApiAccessPermission, AppToken, CustomRole, Environment, Membership, MembershipId, PartnerId, RoleId,
    RoleOf, ServerSecret, TokenId, TokenSecret, User, UserId,
};
use serde_json::json;
use uuid::Uuid;

use crate::options::Rounds;
use crate::pipeline::{Client, REQUESTS, SECRET};
use crate::seed;
use crate::statistics::Spread;

/// The command line.
pub type Options = Rounds;

/// Sessions that are verified in a round.
const SESSIONS: usize = 500;
/// Tokens whose role changes.
const TOKENS: u128 = 10_000;
const AUDIENCE: &str = "https://api.example.com";
const ORGANIZATION: PartnerId = PartnerId(Uuid::from_u128(1 << 96));
const ROLE: RoleId = RoleId(Uuid::from_u128(1));

/// Measures and prints.
pub fn run(Rounds { rounds }: Options) -> anyhow::Result<()> {
    let provider = Provider::start()?;
    provider.verify(rounds)?;
    requests(&provider, rounds)?;
    change_role(rounds)
}

/// An identity provider, of which the gateway needs no more than its keys.
struct Provider {
    key: EncodingKey,
    config: config::Identity,
    clock: Arc<dyn Clock>,
}

impl Provider {
    fn start() -> anyhow::Result<Self> {
        let key = rcgen::KeyPair::generate()?;
        let key = EncodingKey::from_ec_der(&key.serialize_der());
        let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256)?;
        jwk.common.key_id = Some("bench".to_owned());
        let issuer = serve(&serde_json::to_vec(&JwkSet { keys: vec![jwk] })?)?;
        let provider = config::Provider {
            jwks_url: format!("{issuer}/keys"),
            issuer,
            audience: AUDIENCE.to_owned(),
            environment: Environment::Production,
            ..config::Provider::default()
        };
        let config = config::Identity {
            sessions_cached_max: SESSIONS * 2,
            providers: [("bench".to_owned(), provider)].into(),
        };
        Ok(Self { key, config, clock: Arc::new(SystemClock) })
    }

    /// What the gateway knows of it; a new one has verified nothing.
    fn identity(&self) -> anyhow::Result<Identity> {
        let identity = Identity::new(&self.config, 1, &self.clock, rand::random())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(identity.provider("bench").context("it is configured")?.refreshed())?;
        Ok(identity)
    }

    fn issuer(&self) -> &str {
        &self.config.providers["bench"].issuer
    }

    /// A session of this person.
    fn session(&self, number: usize, now: Timestamp) -> anyhow::Result<String> {
        let claims = json!({
            "iss": self.issuer(), "aud": AUDIENCE, "sub": format!("person-{number}"), "name": "Ada Lovelace",
            "email": "ada@example.com", "email_verified": true, "groups": ["partner-a", "developers"],
            "iat": now.as_second(), "nbf": now.as_second(), "exp": now.as_second() + 3600,
        });
        let header = Header { kid: Some("bench".to_owned()), ..Header::new(Algorithm::ES256) };
        Ok(jsonwebtoken::encode(&header, &claims, &self.key)?)
    }

    /// The first verification of a session, and finding it again.
    fn verify(&self, rounds: u32) -> anyhow::Result<()> {
        let (mut cold, mut cached, mut bytes) = (Vec::new(), Vec::new(), 0);
        for _ in 0..rounds {
            let identity = self.identity()?;
            let now = self.clock.now();
            let sessions: Vec<String> =
                (0..SESSIONS).map(|number| self.session(number, now)).collect::<anyhow::Result<_>>()?;
            bytes = sessions[0].len();
            for times in [&mut cold, &mut cached] {
                let begin = Instant::now();
                for session in &sessions {
                    std::hint::black_box(identity.verify(session.as_bytes(), now)?);
                }
                times.push(begin.elapsed().as_secs_f64() * 1e6 / SESSIONS as f64);
            }
        }
        let [cold, cached] = [cold, cached].map(Spread::of);
        println!(
            "session, ES256, {bytes} bytes: {cold:.1} µs for the first time (min / median / max of {rounds} rounds)"
        );
        println!("found again: {cached:.2} µs");
        Ok(())
    }
}

/// The path of a request with each kind of credential: always the same one on a connection, and two in turn, each of
/// which is then looked up.
fn requests(provider: &Provider, rounds: u32) -> anyhow::Result<()> {
    let mut client = Client::new()?;
    let (pipeline, secret, now) = (client.pipeline, ServerSecret::new(SECRET), provider.clock.now());
    pipeline.accept_sessions(Box::leak(Box::new(provider.identity()?)));
    let index = pipeline.keys();
    fill(index, 2);
    let mut keys = Vec::new();
    for (key, text) in seed::keys(&secret)?.take(2) {
        index.apply(&key, Timestamp::UNIX_EPOCH);
        keys.push(text.expose().to_owned());
    }
    let mut tokens = Vec::new();
    for number in 0..2_u8 {
        let text = TokenSecret::new(&[number; 32].into());
        index.apply_token(&token(number.into(), &secret, text.expose(), now), now);
        tokens.push(text.expose().to_owned());
        let subject = format!("person-{number}");
        let identity = permissions::Identity { issuer: provider.issuer().to_owned(), subject };
        index.people().apply_identities(user(number.into()).id, [identity]);
    }
    let sessions = vec![provider.session(0, now)?, provider.session(1, now)?];
    let kinds = [("key", keys), ("app token", tokens), ("session", sessions)];
    let bearers = |texts: &[String]| -> anyhow::Result<[HeaderValue; 2]> {
        let bearer = |text: &String| HeaderValue::try_from(format!("Bearer {text}"));
        Ok([bearer(&texts[0])?, bearer(&texts[1])?])
    };
    for (title, second) in [("one credential on a connection", 0), ("two in turn", 1)] {
        let mut times = [Vec::new(), Vec::new(), Vec::new()];
        for round in 0..=rounds {
            for ((_, texts), times) in kinds.iter().zip(&mut times) {
                let pair = bearers(texts)?;
                let pair = [&pair[0], &pair[second]];
                let made = client.made_with(REQUESTS, pair);
                let answered = client.answered_with(REQUESTS, pair)?;
                // The first round warms up.
                if round > 0 {
                    times.push(answered.saturating_sub(made).as_secs_f64() * 1e9 / f64::from(REQUESTS));
                }
            }
        }
        for ((kind, _), of_kind) in kinds.iter().zip(&times) {
            let ratios: Vec<f64> = of_kind.iter().zip(&times[0]).map(|(time, key)| time / key).collect();
            let (time, ratio) = (Spread::of(of_kind.clone()), Spread::of(ratios));
            println!(
                "{title}: {kind} {time:.0} ns, {ratio:.3} of a key's (min / median / max of {rounds} rounds)"
            );
        }
    }
    Ok(())
}

/// From a change of a role that all tokens have until every one of them is looked up anew.
fn change_role(rounds: u32) -> anyhow::Result<()> {
    let index = KeyIndex::new("1/s".parse()?);
    fill(&index, TOKENS);
    let (secret, now) = (ServerSecret::new(SECRET), SystemClock.now());
    for number in 0..TOKENS {
        index.apply_token(&token(number, &secret, &format!("{number:064x}"), now), now);
    }
    let mut times = Vec::new();
    for round in 0..rounds {
        let permissions =
            if round % 2 == 0 { ApiAccessPermission::empty() } else { ApiAccessPermission::grantable() };
        let begin = Instant::now();
        index.people().apply_role(&role(permissions));
        std::hint::black_box(index.people_changed());
        times.push(begin.elapsed().as_secs_f64() * 1e3);
        let found = index.find(&secret.hash(format!("{:064x}", TOKENS - 1).as_bytes()));
        assert_eq!(found.map(|key| key.permissions()), Some(permissions), "the change acts on each token");
    }
    let times = Spread::of(times);
    println!("a change of role with {TOKENS} tokens: {times:.2} ms (min / median / max of {rounds} rounds)");
    Ok(())
}

/// An organization with this many members of one role.
fn fill(index: &KeyIndex, members: u128) {
    let all = ApiAccessPermission::grantable();
    index.people().apply_organization(&Partner {
        id: ORGANIZATION,
        name: "acme".to_owned(),
        created: Timestamp::UNIX_EPOCH,
        suspended: None,
        keys: 0,
        is_operator: false,
        granted: Granted { staging: Some(all), production: Some(all) },
    });
    index.people().apply_role(&role(all));
    for number in 0..members {
        let user = user(number);
        let membership = Membership {
            id: MembershipId(user.id.0),
            user: user.id,
            organization: ORGANIZATION,
            role: RoleOf::Custom(ROLE),
            created: Timestamp::UNIX_EPOCH,
        };
        index.people().apply_member(&Member { membership, user });
    }
}

fn role(permissions: ApiAccessPermission) -> CustomRole {
    let name = "caller".to_owned();
    CustomRole { id: ROLE, organization: ORGANIZATION, name, permissions, created: Timestamp::UNIX_EPOCH }
}

fn user(number: u128) -> User {
    let id = UserId(Uuid::from_u128(number));
    User { id, name: "Ada Lovelace".to_owned(), email: None, created: Timestamp::UNIX_EPOCH }
}

fn token(number: u128, secret: &ServerSecret, text: &str, now: Timestamp) -> StoredToken {
    let record = AppToken {
        id: TokenId(Uuid::from_u128(number)),
        membership: MembershipId(Uuid::from_u128(number)),
        environment: Environment::Production,
        app: "bench".to_owned(),
        device: "here".to_owned(),
        created: now,
        authenticated: now,
        expires: now + SignedDuration::from_hours(24),
        revoked: None,
        last_used: None,
    };
    StoredToken { record, hash: secret.hash(text.as_bytes()) }
}

/// Serves a key set on this machine until the process ends; returns the URL before its path.
fn serve(keys: &[u8]) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    let mut response = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", keys.len()).into_bytes();
    response.extend_from_slice(keys);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(&response);
        }
    });
    Ok(url)
}
