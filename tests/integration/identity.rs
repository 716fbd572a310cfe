//! Identity providers of other makes: their keys, their tokens, and sign-in through them as a browser does it.
//!
//! The functions are called directly; the routes and pages that call them have tests of their own.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use gateway::clock::{Clock, ManualClock, SystemClock};
use gateway::config::{self, Algorithm};
use gateway::identity::{Identity, PendingSignIn, Provider, RefreshError, SignInError, VerifiedSession};
use tests::{Authority, IdentityProvider};

/// The clients that `oidc_provider.mjs` knows.
const SECRET: &str = "secret+with/special%characters";

/// A gateway's identity with one provider, `corp`, and the clock that bounds its fetches.
struct Side {
    identity: Arc<Identity>,
    clock: Arc<ManualClock>,
}

impl Side {
    fn new(provider: &IdentityProvider, client: &str, settings: config::Provider) -> Self {
        let settings = config::Provider {
            issuer: provider.issuer().to_owned(),
            audience: client.to_owned(),
            client_id: client.to_owned(),
            ..settings
        };
        let config =
            config::Identity { sessions_cached_max: 1000, providers: [("corp".to_owned(), settings)].into() };
        let clock = Arc::new(ManualClock::new(tests::now()));
        let shared: Arc<dyn Clock> = clock.clone();
        let identity = Identity::new(&config, 2, &shared, rand::random()).expect("the settings are valid");
        Self { identity: Arc::new(identity), clock }
    }

    fn corp(&self) -> &Arc<Provider> {
        self.identity.provider("corp").expect("it is configured")
    }

    fn begin(&self, provider: &IdentityProvider, max_age: Option<Duration>) -> (String, PendingSignIn) {
        let begun = self.corp().begin(provider.callback(), max_age, tests::now(), &mut rand::rng());
        begun.expect("the provider was reached")
    }

    async fn finish(&self, pending: PendingSignIn, query: &str) -> Result<VerifiedSession, SignInError> {
        self.corp().finish(pending, query, &SystemClock).await
    }
}

fn secret_file(folder: &Path, secret: &str) -> config::Provider {
    let file = folder.join("secret");
    std::fs::write(&file, format!("{secret}\n")).expect("the folder is writable");
    config::Provider { client_secret_file: file, ..config::Provider::default() }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

/// A token whose header names a key that no provider has.
fn with_key_id(token: &str, id: &str) -> String {
    let claims_and_signature = token.split_once('.').expect("three parts").1;
    let header = base64(format!(r#"{{"alg":"ES256","kid":"{id}"}}"#).as_bytes());
    format!("{header}.{claims_and_signature}")
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

#[tokio::test]
async fn a_session_of_oidc_provider_is_verified_with_discovered_keys_over_tls() {
    let folder = folder();
    let [chain, key] = ["chain.pem", "key.pem"].map(|name| folder.path().join(name));
    let authority = Authority::new(folder.path(), "an identity provider's");
    authority.issue(&chain, &key);
    let ca = authority.certificate();
    let provider = IdentityProvider::node(Some([&chain, &key, &ca])).await;
    assert!(provider.issuer().starts_with("https://localhost:"));
    let settings = config::Provider {
        ca_file: ca,
        organization_claim: "groups".to_owned(),
        organizations: [("partner-a".to_owned(), "acme".to_owned())].into(),
        email_domains: vec!["example.com".to_owned()],
        ..config::Provider::default()
    };
    let side = Side::new(&provider, "gateway", settings);
    let token = provider.token("gateway", SECRET, "ada").await;
    let refused = side.identity.verify(token.as_bytes(), tests::now()).expect_err("no key was fetched yet");
    assert_eq!(refused.name(), "jwt_unknown_key");
    let session = side.identity.verify_fresh(token.as_bytes(), &SystemClock).await.expect("it is good");
    assert_eq!((session.issuer(), session.subject.as_str()), (provider.issuer(), "ada"));
    assert_eq!(session.linking_email(), Some("ada@example.com"));
    assert_eq!(session.organizations, ["acme"]);
    assert!(session.auth_time.is_some() && session.expires > tests::now());
    let status = side.corp().key_status();
    assert_eq!((status.keys, status.failure), (3, None), "the key of P-521 is skipped");
    let other_api = Side::new(&provider, "another", config::Provider::default());
    let refused =
        other_api.identity.verify(token.as_bytes(), tests::now()).expect_err("it is for another API");
    assert_eq!(refused.name(), "jwt_audience");
    // The system does not know the authority, so without the file nothing is fetched.
    let untrusting = Side::new(&provider, "gateway", config::Provider::default());
    let refused = untrusting.corp().refreshed().await.expect_err("the certificate is not trusted");
    assert!(refused.to_string().contains("certificate"), "{refused}");
}

#[tokio::test]
async fn a_session_of_authlib_is_verified_although_it_names_no_key() {
    let provider = IdentityProvider::python().await;
    let side = Side::new(&provider, "gateway", config::Provider::default());
    let token = provider.token("gateway", "any", "ada@example.com").await;
    let session = side.identity.verify_fresh(token.as_bytes(), &SystemClock).await.expect("it is good");
    assert_eq!((session.issuer(), session.subject.as_str()), (provider.issuer(), "ada@example.com"));
    assert_eq!(session.email, None, "the provider has not verified it");
    let settings = config::Provider { algorithms: vec![Algorithm::ES256], ..config::Provider::default() };
    let strict = Side::new(&provider, "gateway", settings);
    let refused = strict.identity.verify_fresh(token.as_bytes(), &SystemClock).await.expect_err("RS256");
    assert_eq!(refused.name(), "jwt_algorithm");
}

#[tokio::test]
async fn people_sign_in_through_oidc_provider() {
    let (provider, folder) = (IdentityProvider::node(None).await, folder());
    for (client, settings) in
        [("gateway", secret_file(folder.path(), SECRET)), ("public", config::Provider::default())]
    {
        let side = Side::new(&provider, client, settings);
        let before = side.corp().begin("https://a.example", None, tests::now(), &mut rand::rng());
        assert!(matches!(before, Err(SignInError::Undiscovered)));
        side.corp().refreshed().await.expect("the provider is there");
        let (url, pending) = side.begin(&provider, Some(Duration::from_secs(900)));
        let query = provider.sign_in(&url, "ada").await;
        assert!(query.contains("iss="), "{query}");
        let session = side.finish(pending.clone(), &query).await.expect("the sign-in is good");
        assert_eq!((session.subject.as_str(), session.email.as_deref()), ("ada", Some("ada@example.com")));
        // A code works once, whatever we remember.
        let again = side.finish(pending, &query).await.expect_err("the code was used");
        assert!(
            matches!(&again, SignInError::Code { code, .. } if code.as_str() == "invalid_grant"),
            "{again}"
        );
    }
}

#[tokio::test]
async fn people_sign_in_through_authlib() {
    let (provider, folder) = (IdentityProvider::python().await, folder());
    let side = Side::new(&provider, "gateway", secret_file(folder.path(), SECRET));
    side.corp().refreshed().await.expect("the provider is there");
    let (url, pending) = side.begin(&provider, None);
    let query = provider.sign_in(&url, "ada@example.com").await;
    assert!(!query.contains("iss="), "{query}");
    let session = side.finish(pending, &query).await.expect("the sign-in is good");
    assert_eq!(session.subject, "ada@example.com");
    // A step-up that the provider ignores is none: as if it had been asked for in an hour from now.
    let later = tests::now() + Duration::from_secs(3600);
    let minute = Some(Duration::from_secs(60));
    let begun = side.corp().begin(provider.callback(), minute, later, &mut rand::rng());
    let (url, pending) = begun.expect("the provider was reached");
    let query = provider.sign_in(&url, "ada@example.com").await;
    let refused = side.finish(pending, &query).await.expect_err("the authentication is too old");
    assert_eq!(refused.name(), "sign_in_not_recent");
}

#[tokio::test]
async fn a_sign_in_belongs_to_the_browser_that_began_it() {
    let folder = folder();
    for provider in [IdentityProvider::node(None).await, IdentityProvider::python().await] {
        let side = Side::new(&provider, "gateway", secret_file(folder.path(), SECRET));
        side.corp().refreshed().await.expect("the provider is there");
        let [(url, pending), (_, other)] = [side.begin(&provider, None), side.begin(&provider, None)];
        let query = provider.sign_in(&url, "ada").await;
        let refused = side.finish(other.clone(), &query).await.expect_err("the state is another's");
        assert_eq!(refused.name(), "sign_in_state");
        // With the state replaced, the stolen code still lacks its verifier.
        let stolen = query.replace(&pending.state, &other.state);
        let refused = side.finish(other, &stolen).await.expect_err("the verifier is another's");
        assert!(
            matches!(&refused, SignInError::Code { code, .. } if code.as_str() == "invalid_grant"),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_wrong_client_secret_is_reported_without_it() {
    let (provider, folder) = (IdentityProvider::node(None).await, folder());
    let side = Side::new(&provider, "gateway", secret_file(folder.path(), "not-the-secret"));
    side.corp().refreshed().await.expect("the provider is there");
    let (url, pending) = side.begin(&provider, None);
    let query = provider.sign_in(&url, "ada").await;
    let refused = side.finish(pending, &query).await.expect_err("the secret is wrong");
    assert!(
        matches!(&refused, SignInError::Code { code, .. } if code.as_str() == "invalid_client"),
        "{refused}"
    );
    assert!(!format!("{refused:?} {refused}").contains("not-the-secret"));
}

#[tokio::test]
async fn a_new_key_is_fetched_once_however_many_ask() {
    let mut provider = IdentityProvider::node(None).await;
    let side = Side::new(&provider, "gateway", config::Provider::default());
    let old = provider.token("gateway", SECRET, "ada").await;
    side.identity.verify_fresh(old.as_bytes(), &SystemClock).await.expect("it is good");
    assert_eq!(provider.fetches().await, 1);
    provider.rotate().await;
    let new = provider.token("gateway", SECRET, "ada").await;
    // Within the interval nothing is fetched for any caller.
    let refused = side.identity.verify_fresh(new.as_bytes(), &SystemClock).await.expect_err("too soon");
    assert_eq!((refused.name(), provider.fetches().await), ("jwt_unknown_key", 1));
    side.clock.advance(config::Provider::default().refresh_interval_min);
    let forged: Vec<_> = (0..100).map(|number| with_key_id(&new, &format!("unknown-{number}"))).collect();
    let verified =
        join_all(forged.iter().map(|token| side.identity.verify_fresh(token.as_bytes(), &SystemClock)));
    for result in verified.await {
        assert_eq!(result.expect_err("its key is unknown").name(), "jwt_unknown_key");
    }
    assert_eq!(provider.fetches().await, 2, "one fetch for all");
    let session = side.identity.verify(new.as_bytes(), tests::now()).expect("that fetch brought its key");
    assert_eq!(session.subject, "ada");
    let refused = side.identity.verify(old.as_bytes(), tests::now()).expect_err("its key was withdrawn");
    assert_eq!(refused.name(), "jwt_unknown_key", "although the session was remembered");
}

#[tokio::test]
async fn the_last_good_keys_are_kept_while_the_provider_is_down() {
    let mut provider = IdentityProvider::node(None).await;
    let side = Side::new(&provider, "gateway", config::Provider::default());
    let [first, second] =
        [provider.token("gateway", SECRET, "ada").await, provider.token("gateway", SECRET, "bob").await];
    side.identity.verify_fresh(first.as_bytes(), &SystemClock).await.expect("it is good");
    provider.stop();
    side.clock.advance(Duration::from_secs(3600));
    let failed = side.corp().refreshed().await.expect_err("the provider is down");
    assert!(matches!(failed, RefreshError::Fetch(_)), "{failed}");
    let status = side.corp().key_status();
    assert!(status.keys == 3 && status.fetched.is_some(), "{status:?}");
    assert!(status.failure.is_some_and(|failure| failure.contains("cannot connect to 127.0.0.1")));
    let session = side.identity.verify(second.as_bytes(), tests::now()).expect("the keys are still there");
    assert_eq!(session.subject, "bob", "a session that was not remembered");
}

#[tokio::test]
async fn a_request_that_goes_away_does_not_stop_the_fetch_that_it_began() {
    let mut provider = IdentityProvider::node(None).await;
    let side = Side::new(&provider, "gateway", config::Provider::default());
    let token = provider.token("gateway", SECRET, "ada").await;
    // Polled once, the fetch is begun; then the caller is dropped.
    let polled = tokio::time::timeout(Duration::ZERO, side.corp().refreshed()).await;
    assert!(polled.is_err(), "a fetch takes longer than that");
    let verified = tests::eventually(tests::PATIENCE, async || {
        side.identity.verify(token.as_bytes(), tests::now()).ok()
    });
    assert_eq!(verified.await.expect("the fetch was finished").subject, "ada");
    assert_eq!(provider.fetches().await, 1);
}

#[tokio::test]
async fn the_keys_are_fetched_at_the_start_and_kept_fresh() {
    let mut provider = IdentityProvider::node(None).await;
    let side = Side::new(&provider, "gateway", config::Provider::default());
    let token = provider.token("gateway", SECRET, "ada").await;
    let identity = side.identity.clone();
    let fresh = tokio::spawn(async move { identity.keep_fresh().await });
    let verified = tests::eventually(tests::PATIENCE, async || {
        side.identity.verify(token.as_bytes(), tests::now()).ok()
    });
    assert_eq!(verified.await.expect("the keys were fetched").subject, "ada");
    assert_eq!(provider.fetches().await, 1);
    fresh.abort();
}

/// Each worker has a runtime of its own, on which the fetch that it began runs.
#[tokio::test]
async fn workers_share_a_fetch_and_the_end_of_one_holds_up_no_other() {
    let mut provider = IdentityProvider::node(None).await;
    let side = Arc::new(Side::new(&provider, "gateway", config::Provider::default()));
    let token = provider.token("gateway", SECRET, "ada").await;
    let worker = || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let workers = [0, 1].map(|_| {
        let (side, token) = (side.clone(), token.clone());
        std::thread::spawn(move || {
            let requests = (0..50).map(|_| side.identity.verify_fresh(token.as_bytes(), &SystemClock));
            worker().block_on(join_all(requests)).into_iter().filter(Result::is_ok).count()
        })
    });
    for worker in workers {
        let accepted = tokio::task::spawn_blocking(|| worker.join()).await.expect("it is joined");
        assert_eq!(accepted.expect("it does not panic"), 50);
    }
    assert_eq!(provider.fetches().await, 1);
    assert!((1..=2).contains(&side.identity.cached()), "a worker remembers the session once");

    side.clock.advance(Duration::from_secs(3600));
    let began = side.corp().clone();
    let (started, wait) = (tokio::sync::oneshot::channel(), std::sync::mpsc::channel::<()>());
    let stopping = std::thread::spawn(move || {
        let runtime = worker();
        let polled =
            runtime.block_on(async { tokio::time::timeout(Duration::ZERO, began.refreshed()).await });
        started.0.send(polled.is_err()).expect("the test waits");
        // The runtime stands still, with the fetch in it, until it is dropped.
        wait.1.recv().expect("the test says when");
    });
    assert!(started.1.await.expect("the worker began"), "the fetch runs");
    let joined = tokio::spawn({
        let corp = side.corp().clone();
        async move { corp.refreshed().await }
    });
    tokio::task::yield_now().await;
    wait.0.send(()).expect("the worker waits");
    let unfinished = joined.await.expect("it does not panic").expect_err("its worker has stopped");
    assert!(matches!(unfinished, RefreshError::Unfinished), "{unfinished}");
    stopping.join().expect("it does not panic");
    side.clock.advance(config::Provider::default().refresh_interval_min);
    side.corp().refreshed().await.expect("another worker fetches");
}
