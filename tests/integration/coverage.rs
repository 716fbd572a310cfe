//! Authorization of every route of every date: which credentials are refused and accepted, and that refusals
//! look alike.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use http::HeaderValue;
use permissions::Environment;
use tests::{
    Client, Family, Key, KeySpec, Protocol, Response, TestGateway, Way, forged, misprinted, never_issued,
};

use crate::contract::{PING, assert_problem, assert_unauthorized, fingerprint, permissions};
use crate::routes::{Route, routes};

/// A listener that serves only staging, beside the usual ones that serve both environments.
const STAGING_ONLY: &str = r#"
[listeners.staging]
enabled = true
addresses = ["127.0.0.1:0"]
protocols = ["http1", "http2", "http3"]
certificate = "local"
serves = ["api"]
environments = ["staging"]
"#;

/// These tests fail more often than one address may.
const PATIENT: &str = "[limits]\nfailures_per_address = \"100000/s\"\n";

/// Calls a route with these `Authorization` values on a new connection.
async fn ask(
    gateway: &TestGateway,
    listener: &str,
    protocol: Protocol,
    route: &Route,
    credentials: &[&str],
) -> Response {
    let way = Way { protocol, family: Family::V4 };
    let client =
        Client::open(gateway, listener, way).await.unwrap_or_else(|error| panic!("{way}: {error:#}"));
    let mut request = route.request();
    for credential in credentials {
        let value = HeaderValue::from_str(credential).expect("the credential is a field value");
        request.headers_mut().append("authorization", value);
    }
    client.ask(request).await
}

#[test]
fn the_routes_cover_every_date() {
    let walked: BTreeSet<_> = routes().into_iter().map(|route| route.version).collect();
    let dates: BTreeSet<_> = versions::RELEASES.iter().map(|release| release.version.to_string()).collect();
    assert_eq!(walked, dates);
    let paths: BTreeSet<_> = routes().into_iter().map(|route| route.template).collect();
    for path in ["/2026-02-01/ping.json", "/2026-11-01/ping.json", "/2026-11-15/keys/{id}.json"] {
        assert!(paths.contains(path), "{path} is not in {paths:?}");
    }
}

fn seconds_from_now(seconds: i64) -> String {
    let time = tests::now() + jiff::SignedDuration::from_secs(seconds);
    time.round(jiff::Unit::Second).expect("a moment close to now can be rounded").to_string()
}

#[tokio::test]
async fn every_refused_credential_gets_the_same_401_on_every_route() {
    let gateway = TestGateway::start(&format!("{PATIENT}{STAGING_ONLY}")).await;
    let good = gateway.create_key(KeySpec::staging()).await;
    let revoked = gateway.create_key(KeySpec::staging()).await;
    gateway.revoke(&revoked).await;
    let rotated = gateway.create_key(KeySpec::staging()).await;
    gateway.rotate(&rotated, None).await;
    let expiring = gateway.create_key(KeySpec::staging().option("--expires", &seconds_from_now(2))).await;
    let future = gateway.create_key(KeySpec::staging().option("--not-before", &seconds_from_now(3600))).await;
    let elsewhere = gateway.create_key(KeySpec::staging().option("--allow", "192.0.2.0/24")).await;
    let v6_only = gateway.create_key(KeySpec::staging().option("--allow", "::1/128")).await;
    tokio::time::sleep(Duration::from_secs(3)).await;

    let mut refused = vec![
        ("misprinted", misprinted(&good.key)),
        ("never issued", never_issued(Environment::Staging)),
        ("never issued, production", never_issued(Environment::Production)),
        ("revoked", revoked.key),
        ("rotated away", rotated.key),
        ("expired", expiring.key),
        ("not yet valid", future.key),
        ("for another network", elsewhere.key),
        ("for the other family", v6_only.key),
    ];
    refused.extend(forged(&good.key));
    let routes = routes();
    for protocol in Protocol::ALL {
        let listener = protocol.listener();
        for route in &routes {
            let mut fingerprints = Vec::new();
            for (what, credential) in &refused {
                let context = format!("{what} on {} of {} over {protocol:?}", route.name, route.version);
                let bearer = format!("Bearer {credential}");
                let answer = ask(&gateway, listener, protocol, route, &[&bearer]).await;
                assert_unauthorized(&answer, true, &context);
                assert_eq!(answer.field("api-version"), None, "{context}");
                fingerprints.push((context, fingerprint(&answer)));
            }
            for (context, other) in &fingerprints[1..] {
                assert_eq!(*other, fingerprints[0].1, "{context} differs from {}", fingerprints[0].0);
            }
        }
    }
}

#[tokio::test]
async fn a_key_of_an_environment_that_the_listener_does_not_serve_is_refused_like_an_unknown_one() {
    let gateway = TestGateway::start(&format!("{PATIENT}{STAGING_ONLY}")).await;
    let production = gateway.create_key(KeySpec::with_all(Environment::Production)).await;
    let staging = gateway.create_key(KeySpec::with_all(Environment::Staging)).await;
    let routes = routes();
    for protocol in [Protocol::H1Tls, Protocol::H2, Protocol::H3] {
        for route in &routes {
            let context = format!("{} over {protocol:?}", route.name);
            let answer = ask(&gateway, "staging", protocol, route, &[&production.bearer()]).await;
            assert_unauthorized(&answer, true, &context);
            let unknown = format!("Bearer {}", never_issued(Environment::Production));
            let stranger = ask(&gateway, "staging", protocol, route, &[&unknown]).await;
            assert_eq!(fingerprint(&answer), fingerprint(&stranger), "{context}");
            let own = ask(&gateway, "staging", protocol, route, &[&staging.bearer()]).await;
            route.assert_handled(&own, &context);
            let both = ask(&gateway, "https", protocol, route, &[&production.bearer()]).await;
            route.assert_handled(&both, &context);
        }
    }
}

#[tokio::test]
async fn every_route_refuses_a_key_that_lacks_just_its_permission() {
    let gateway = TestGateway::start("").await;
    let mut people = gateway.people();
    let operator = people.operator();
    // A pair of keys for each permission, whichever endpoints require it.
    let mut keys = BTreeMap::new();
    for route in &routes() {
        let permission = route.permission.to_string();
        let others = permissions();
        let others: Vec<_> = others.iter().map(String::as_str).filter(|other| *other != permission).collect();
        if !keys.contains_key(&permission) {
            let key = async |names: &[&str]| {
                gateway.create_key(KeySpec::with_permissions(Environment::Staging, names)).await
            };
            // Only the operator's organization has keys that review.
            let holding = if route.is_review() {
                people.key(operator, Environment::Staging, route.permission)
            } else {
                key(&[&permission]).await
            };
            people.applied().await;
            keys.insert(permission.clone(), (key(&others).await, holding));
        }
        let (lacking, holding) = &keys[&permission];
        for protocol in Protocol::ALL {
            let context = format!("{} over {protocol:?}", route.name);
            let listener = protocol.listener();
            let answer = ask(&gateway, listener, protocol, route, &[&lacking.bearer()]).await;
            let problem = assert_problem(&answer, 403, &context);
            assert_eq!(problem["requiredPermission"], permission, "{context}");
            assert_eq!(problem["grantedPermissions"], serde_json::json!(others), "{context}");
            let answer = ask(&gateway, listener, protocol, route, &[&holding.bearer()]).await;
            if route.is_review() {
                assert_problem(&answer, 404, &context);
            } else {
                route.assert_handled(&answer, &context);
            }
        }
    }
}

#[tokio::test]
async fn without_a_credential_every_route_asks_for_one() {
    let gateway = TestGateway::start(PATIENT).await;
    let routes = routes();
    for protocol in Protocol::ALL {
        for route in &routes {
            let answer = ask(&gateway, protocol.listener(), protocol, route, &[]).await;
            assert_unauthorized(&answer, false, format!("{} over {protocol:?}", route.name));
        }
    }
}

#[tokio::test]
async fn only_one_bearer_credential_in_its_field_counts() {
    let gateway = TestGateway::start(PATIENT).await;
    let key = gateway.create_key(KeySpec::with_all(Environment::Staging)).await;
    let good = key.bearer();
    let unknown = format!("Bearer {}", never_issued(Environment::Staging));
    let basic = "Basic dXNlcjpwYXNz";
    let routes = routes();
    for protocol in Protocol::ALL {
        let listener = protocol.listener();
        for route in &routes {
            let context = format!("{} over {protocol:?}", route.name);
            for fields in [
                &[good.as_str(), good.as_str()][..],
                &[&good, &unknown],
                &[&unknown, &good],
                &[&good, basic],
                &[basic, &good],
                &[basic],
                &["Bearer"],
                &["Bearer "],
                &[&key.key],
                &[&format!("Token {}", key.key)],
                &[&format!("Bearer {} {}", key.key, key.key)],
            ] {
                let answer = ask(&gateway, listener, protocol, route, fields).await;
                assert!([400, 401].contains(&answer.status.as_u16()), "{fields:?} on {context}: {answer:?}");
            }
            for scheme in ["bearer", "BEARER", "bEaReR"] {
                let field = format!("{scheme} {}", key.key);
                let answer = ask(&gateway, listener, protocol, route, &[&field]).await;
                route.assert_handled(&answer, format!("{scheme} on {context}"));
            }
        }
    }
}

#[tokio::test]
async fn a_key_anywhere_else_than_in_its_field_is_ignored() {
    let gateway = TestGateway::start(PATIENT).await;
    let Key { key, .. } = gateway.create_key(KeySpec::staging()).await;
    let routes = routes();
    for protocol in Protocol::ALL {
        for route in &routes {
            for name in ["cookie", "x-api-key", "proxy-authorization", "x-authorization", "api-key"] {
                // A refusal before the content closes an HTTP/1.1 connection.
                let client = Client::over(&gateway, protocol).await;
                let mut request = route.request();
                request.headers_mut().insert(name, format!("Bearer {key}").parse().unwrap());
                assert_unauthorized(&client.ask(request).await, false, format!("{name} over {protocol:?}"));
            }
            let client = Client::over(&gateway, protocol).await;
            let query = format!("?access_token={key}&key={key}");
            let request = Route { path: format!("{}{query}", route.path), ..route.clone() }.request();
            assert_unauthorized(&client.ask(request).await, false, format!("query over {protocol:?}"));
        }
    }
    assert!(!gateway.log().contains(&key), "a key in a query or a stray field must not reach the log");
}

#[tokio::test]
async fn a_key_is_valid_from_its_first_second_to_its_last() {
    let gateway = TestGateway::start("").await;
    let soon = KeySpec::staging().option("--not-before", &seconds_from_now(3));
    let early = gateway.create_key(soon).await;
    let late = gateway.create_key(KeySpec::staging().option("--expires", &seconds_from_now(3))).await;
    let status = async |key: &Key| Client::over(&gateway, Protocol::H1).await.ask(key.get(PING)).await.status;
    assert_eq!(status(&early).await, 401);
    assert_eq!(status(&late).await, 200);
    tokio::time::sleep(Duration::from_millis(4200)).await;
    assert_eq!(status(&early).await, 200);
    assert_eq!(status(&late).await, 401);
}

#[tokio::test]
async fn a_key_works_from_its_own_networks_only() {
    let gateway = TestGateway::start("").await;
    let v4 = gateway.create_key(KeySpec::staging().option("--allow", "127.0.0.0/8")).await;
    let v6 = gateway.create_key(KeySpec::staging().option("--allow", "::1/128")).await;
    let both = KeySpec::staging().option("--allow", "127.0.0.1/32").option("--allow", "::1/128");
    let both = gateway.create_key(both).await;
    for way in tests::WAYS {
        let client = Client::connect(&gateway, way).await.unwrap_or_else(|error| panic!("{way}: {error:#}"));
        let is_v4 = way.family == Family::V4;
        for (key, expected) in [(&v4, is_v4), (&v6, !is_v4), (&both, true)] {
            let answer = client.ask(key.get(PING)).await;
            assert_eq!(answer.status == 200, expected, "{way}: {answer:?}");
        }
    }
}
