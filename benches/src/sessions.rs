//! A session JWT, verified for the first time and found again.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use gateway::clock::{Clock, SystemClock};
use gateway::config;
use gateway::identity::Identity;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::json;

use crate::options::Rounds;
use crate::statistics::Spread;

/// The command line.
pub type Options = Rounds;

/// Tokens of a round.
const TOKENS: usize = 500;
const AUDIENCE: &str = "https://api.example.com";

/// Measures and prints.
pub fn run(Rounds { rounds }: Options) -> anyhow::Result<()> {
    let key = rcgen::KeyPair::generate()?;
    let key = EncodingKey::from_ec_der(&key.serialize_der());
    let mut jwk = Jwk::from_encoding_key(&key, Algorithm::ES256)?;
    jwk.common.key_id = Some("bench".to_owned());
    let issuer = serve(&serde_json::to_vec(&JwkSet { keys: vec![jwk] })?)?;
    let provider = config::Provider {
        jwks_url: format!("{issuer}/keys"),
        issuer: issuer.clone(),
        audience: AUDIENCE.to_owned(),
        ..config::Provider::default()
    };
    let config = config::Identity {
        sessions_cached_max: TOKENS * 2,
        providers: [("bench".to_owned(), provider)].into(),
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (mut cold, mut cached, mut bytes) = (Vec::new(), Vec::new(), 0);
    for _ in 0..rounds {
        // A new identity remembers nothing.
        let identity = Identity::new(&config, 1, &clock, rand::random())?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(identity.provider("bench").context("it is configured")?.refreshed())?;
        let now = clock.now();
        let tokens: Vec<String> = (0..TOKENS)
            .map(|number| {
                let claims = json!({
                    "iss": issuer, "aud": AUDIENCE, "sub": format!("person-{number}"), "name": "Ada Lovelace",
                    "email": "ada@example.com", "email_verified": true, "groups": ["partner-a", "developers"],
                    "iat": now.as_second(), "nbf": now.as_second(), "exp": now.as_second() + 3600,
                });
                let header = Header { kid: Some("bench".to_owned()), ..Header::new(Algorithm::ES256) };
                jsonwebtoken::encode(&header, &claims, &key)
            })
            .collect::<Result<_, _>>()?;
        bytes = tokens[0].len();
        for times in [&mut cold, &mut cached] {
            let begin = Instant::now();
            for token in &tokens {
                std::hint::black_box(identity.verify(token.as_bytes(), now)?);
            }
            times.push(begin.elapsed().as_secs_f64() * 1e6 / TOKENS as f64);
        }
    }
    let [cold, cached] = [cold, cached].map(Spread::of);
    println!(
        "sessions, ES256, {bytes} bytes: {cold:.1} µs for the first time (min / median / max of {rounds} rounds)"
    );
    println!("found again: {cached:.2} µs");
    Ok(())
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
