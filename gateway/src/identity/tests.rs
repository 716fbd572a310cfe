//! Sessions that are remembered, and sign-ins as far as they need no provider.

use jiff::SignedDuration;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::json;

use super::signer::{AUDIENCE, ISSUER, NOW, SigningKey, claims, claims_with, identity};
use super::*;
use crate::clock::ManualClock;

fn header() -> &'static str {
    r#"{"alg":"ES256","kid":"a"}"#
}

#[test]
fn a_session_is_remembered_until_it_expires() {
    let key = SigningKey::p256();
    let identity = identity(config::Provider::default(), &[key.jwk("a")]);
    let token = key.token(header(), &claims().to_string());
    let first = identity.verify(token.as_bytes(), NOW).unwrap();
    let second = identity.verify(token.as_bytes(), NOW).unwrap();
    assert!(Arc::ptr_eq(&first, &second) && identity.cached() == 1);
    let last = NOW + SignedDuration::from_secs(3600 + 29);
    assert!(identity.verify(token.as_bytes(), last).is_ok());
    let over = last + SignedDuration::from_secs(1);
    assert_eq!(identity.verify(token.as_bytes(), over).unwrap_err().name(), "jwt_expired");
    assert_eq!(identity.cached(), 0);
}

#[test]
fn a_remembered_session_ends_with_its_key() {
    let [old, new] = std::array::from_fn(|_| SigningKey::p256());
    let identity = identity(config::Provider::default(), &[old.jwk("a")]);
    let provider = identity.provider("corp").unwrap().clone();
    let token = old.token(header(), &claims().to_string());
    let first = identity.verify(token.as_bytes(), NOW).unwrap();
    provider.put_keys(&json!({"keys": [new.jwk("b"), old.jwk("a")]}));
    assert!(Arc::ptr_eq(&first, &identity.verify(token.as_bytes(), NOW).unwrap()), "its key is still there");
    provider.put_keys(&json!({"keys": [new.jwk("a")]}));
    assert_eq!(identity.verify(token.as_bytes(), NOW).unwrap_err().name(), "jwt_signature");
    assert_eq!(identity.cached(), 0);
    provider.put_keys(&json!({"keys": [new.jwk("b")]}));
    assert_eq!(identity.verify(token.as_bytes(), NOW).unwrap_err().name(), "jwt_unknown_key");
}

#[test]
fn no_more_sessions_are_remembered_than_configured() {
    let key = SigningKey::p256();
    let identity = identity(config::Provider::default(), &[key.jwk("a")]);
    for number in 0..200 {
        let token = key.token(header(), &claims_with(json!({"sub": number.to_string()})));
        assert_eq!(identity.verify(token.as_bytes(), NOW).unwrap().subject, number.to_string());
    }
    assert!((1..=64).contains(&identity.cached()), "{}", identity.cached());
}

#[test]
fn the_audience_chooses_among_the_environments_of_an_issuer() {
    let key = SigningKey::p256();
    let settings = |audience: &str, environment| config::Provider {
        issuer: ISSUER.to_owned(),
        audience: audience.to_owned(),
        environment,
        ..config::Provider::default()
    };
    let config = config::Identity {
        sessions_cached_max: 8,
        providers: [
            ("live".to_owned(), settings("live", permissions::Environment::Production)),
            ("test".to_owned(), settings("test", permissions::Environment::Staging)),
        ]
        .into(),
    };
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(NOW));
    let identity = Identity::new(&config, 1, &clock, [0; 32]).unwrap();
    for provider in identity.providers() {
        provider.put_keys(&json!({"keys": [key.jwk("a")]}));
    }
    let verify = |audience| {
        let token = key.token(header(), &claims_with(json!({ "aud": audience })));
        identity.verify(token.as_bytes(), NOW).map(|session| session.provider.environment())
    };
    assert_eq!(verify(json!("live")).unwrap(), permissions::Environment::Production);
    assert_eq!(verify(json!(["test", "x"])).unwrap(), permissions::Environment::Staging);
    assert_eq!(verify(json!(["test", "live"])).unwrap_err().name(), "jwt_audience");
    assert_eq!(verify(json!(AUDIENCE)).unwrap_err().name(), "jwt_audience");
}

fn sign_in_provider(names_issuer: bool) -> Arc<Provider> {
    let settings = config::Provider { client_id: "gateway".to_owned(), ..config::Provider::default() };
    let identity = identity(settings, &[SigningKey::p256().jwk("a")]);
    let provider = identity.provider("corp").unwrap().clone();
    provider.put_metadata(&json!({
        "issuer": ISSUER, "jwks_uri": format!("{ISSUER}/keys"),
        "authorization_endpoint": format!("{ISSUER}/authorize?tenant=a"), "token_endpoint": format!("{ISSUER}/token"),
        "authorization_response_iss_parameter_supported": names_issuer,
    }));
    provider
}

#[test]
fn a_sign_in_begins_with_secrets_of_its_own() {
    let provider = sign_in_provider(true);
    let mut rng = StdRng::seed_from_u64(1);
    let mut begin = || {
        provider.begin("https://portal.example.com/callback", None, NOW, &mut rng).expect("it is configured")
    };
    let ((url, pending), (other_url, other)) = (begin(), begin());
    assert!(
        url.starts_with("https://id.example.com/authorize?tenant=a&response_type=code&client_id=gateway&"),
        "{url}"
    );
    for part in
        ["scope=openid+email+profile", "code_challenge_method=S256", &format!("state={}", pending.state)]
    {
        assert!(url.contains(part), "{part}: {url}");
    }
    assert!(url != other_url && pending.state != other.state && pending.state.len() == 43);
    let stored = serde_json::to_value(&pending).unwrap();
    for secret in ["nonce", "verifier", "state"] {
        let secret = stored[secret].as_str().unwrap();
        assert!(secret.len() == 43 && !format!("{pending:?}").contains(secret));
    }
    assert!(!url.contains(stored["verifier"].as_str().unwrap()));
    assert_eq!(serde_json::from_value::<PendingSignIn>(stored).unwrap(), pending);
    let unreached = identity(config::Provider::default(), &[SigningKey::p256().jwk("a")]);
    let refused = unreached.provider("corp").unwrap().begin("https://a", None, NOW, &mut rng);
    assert!(matches!(refused, Err(SignInError::NotOffered)));
}

/// None of these reaches the provider: the test has no network, and a request would fail as `sign_in_exchange`.
#[tokio::test]
async fn a_response_that_is_not_this_sign_ins_is_refused() {
    let issuer = "iss=https%3A%2F%2Fid.example.com";
    for (names_issuer, query, name) in [
        (true, "code=a&state=STATE", "sign_in_issuer"),
        (true, "code=a&state=STATE&iss=https%3A%2F%2Fevil.example.com", "sign_in_issuer"),
        (false, "code=a&state=STATE&iss=https%3A%2F%2Fevil.example.com", "sign_in_issuer"),
        (true, "code=a&state=other&ISS", "sign_in_state"),
        (true, "code=a&state=&ISS", "sign_in_state"),
        (true, "code=a&ISS", "sign_in_parameter"),
        (true, "state=STATE&ISS", "sign_in_parameter"),
        (true, "code=&state=STATE&ISS", "sign_in_parameter"),
        (true, "code=a&code=b&state=STATE&ISS", "sign_in_parameter"),
        (true, "code=a&state=STATE&state=STATE&ISS", "sign_in_parameter"),
        (true, "code=a&state=STATE&ISS&ISS", "sign_in_parameter"),
        (true, "error=access_denied&state=STATE&ISS", "sign_in_refused"),
        (true, "error=access_denied&state=other&ISS", "sign_in_state"),
        (true, "", "sign_in_parameter"),
    ] {
        let provider = sign_in_provider(names_issuer);
        let clock = ManualClock::new(NOW);
        let (_, pending) =
            provider.begin("https://a.example", None, NOW, &mut StdRng::seed_from_u64(2)).unwrap();
        let query = query.replace("STATE", &pending.state).replace("ISS", issuer);
        let refused = provider.finish(pending.clone(), &query, &clock).await.unwrap_err();
        assert_eq!(refused.name(), name, "{query}");
        clock.set(pending.expires);
        let refused = provider.finish(pending, &query, &clock).await.unwrap_err();
        assert_eq!(refused.name(), "sign_in_expired");
    }
}

#[tokio::test]
async fn an_error_of_a_provider_is_repeated_as_a_plain_word_only() {
    let provider = sign_in_provider(false);
    for (error, word) in
        [("access_denied", "access_denied"), ("<b>", "unknown"), ("A", "unknown"), ("", "unknown")]
    {
        let (_, pending) =
            provider.begin("https://a.example", None, NOW, &mut StdRng::seed_from_u64(3)).unwrap();
        let query = format!("error={error}&state={}", pending.state);
        let refused = provider.finish(pending, &query, &ManualClock::new(NOW)).await;
        assert!(matches!(refused, Err(SignInError::Refused(code)) if code.as_str() == word), "{error}");
    }
}
