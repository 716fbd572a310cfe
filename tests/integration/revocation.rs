//! Revoking, rotating and narrowing keys by another process: the running server applies it at once, also on
//! open connections, and to no other key.

use std::time::{Duration, Instant};

use permissions::Environment;
use tests::{
    Client, Content, Key, KeySpec, PATIENCE, Protocol, RawH2, TestGateway, client_script, eventually, kind,
    tool,
};

use crate::contract::{CONNECTION, PING, assert_problem, assert_unauthorized};

/// The bound of the assertion; the documented bound is 100 ms, and the measured value is printed.
const AT_ONCE: Duration = Duration::from_secs(1);
/// From the change until a connection is closed: `timeouts.goodbye` and some slack.
const GOODBYE: Duration = Duration::from_secs(4);

/// Waits until a key is refused on a new connection; returns how long that took.
async fn refused_after(gateway: &TestGateway, key: &Key, since: Instant) -> Duration {
    let refused = eventually(PATIENCE, async || {
        let client = Client::over(gateway, Protocol::H1).await;
        (client.ask(key.get(PING)).await.status == 401).then(|| since.elapsed())
    });
    refused.await.expect("the key is refused in the end")
}

/// A connection over each protocol that has used this key.
pub(crate) async fn connections_of(gateway: &TestGateway, key: &Key) -> Vec<Client> {
    let mut clients = Vec::new();
    for protocol in Protocol::ALL {
        let client = Client::over(gateway, protocol).await;
        assert_eq!(client.ask(key.get(PING)).await.status, 200, "{protocol:?}");
        clients.push(client);
    }
    clients
}

/// Asserts that all of these are closed, in an orderly way if the library reports that.
async fn assert_closed(clients: &[Client], what: &str) {
    for client in clients {
        let closed = client.closed(GOODBYE).await;
        let closed = closed.unwrap_or_else(|| panic!("{what}: {} is still open", client.way()));
        assert_eq!(closed.error, "", "{what}: {} was torn", client.way());
    }
}

async fn assert_serving(clients: &[Client], key: &Key, what: &str) {
    for client in clients {
        assert!(client.is_open(), "{what}: {} was closed", client.way());
        assert_eq!(client.ask(key.get(PING)).await.status, 200, "{what}: {}", client.way());
    }
}

#[tokio::test]
async fn a_revoked_key_is_refused_at_once_and_its_connections_end() {
    let _turn = tests::heavy().await;
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let other = gateway.create_key(KeySpec::staging()).await;
    let clients = connections_of(&gateway, &key).await;
    let neighbours = connections_of(&gateway, &other).await;
    let before = Instant::now();
    let report = gateway.revoke(&key).await;
    let returned = Instant::now();
    let took = refused_after(&gateway, &key, returned).await;
    println!("revoked: refused {took:?} after the command returned, which took {:?}", returned - before);
    let node = &report["applied"]["nodes"][0];
    println!("the server reports {} ms from the commit", node["milliseconds"]);
    assert_eq!(node["applied"], true, "{report}");
    assert!(node["milliseconds"].as_f64().is_some_and(|took| took < AT_ONCE.as_secs_f64() * 1e3), "{report}");
    assert_eq!(node["connections_closed"].as_u64(), Some(clients.len() as u64), "{report}");
    assert!(took < AT_ONCE, "refused after {took:?}");
    assert_closed(&clients, "revoked").await;
    assert_serving(&neighbours, &other, "a neighbour's key was revoked").await;
    for protocol in Protocol::ALL {
        let client = Client::over(&gateway, protocol).await;
        assert_unauthorized(&client.ask(key.get(PING)).await, true, format!("{protocol:?}"));
    }
}

#[tokio::test]
async fn a_key_in_constant_use_is_refused_at_once_too() {
    let _turn = tests::heavy().await;
    let gateway = TestGateway::start("").await;
    for protocol in Protocol::ALL {
        let key = gateway.create_key(KeySpec::staging().option("--rate", "1000000/s")).await;
        let client = Client::over(&gateway, protocol).await;
        let asking = tokio::spawn({
            let key = key.clone();
            async move {
                let mut last_good = Instant::now();
                let deadline = Instant::now() + PATIENCE;
                while Instant::now() < deadline {
                    match client.send(key.get(PING)).await {
                        Ok(answer) if answer.status == 200 => last_good = Instant::now(),
                        Ok(answer) => return (last_good, Some(answer.status.as_u16())),
                        Err(_) => return (last_good, None),
                    }
                }
                (last_good, Some(200))
            }
        });
        tokio::time::sleep(Duration::from_millis(200)).await;
        gateway.revoke(&key).await;
        let returned = Instant::now();
        let (last_good, ended_with) = asking.await.expect("the asking task does not panic");
        let late = last_good.saturating_duration_since(returned);
        println!("{protocol:?}: last served {late:?} after the command returned, then {ended_with:?}");
        assert!(late < AT_ONCE, "{protocol:?}: served {late:?} after the command had returned");
        assert!(matches!(ended_with, Some(401) | None), "{protocol:?}: {ended_with:?}");
    }
}

#[tokio::test]
async fn revoking_ends_http_2_with_goaway_and_no_error() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let bearer = key.bearer();
    let mut connection = RawH2::connect(gateway.address(Protocol::H2c)).await;
    assert!(connection.get(1, PING, &[("authorization", &bearer)]).await);
    assert_eq!(connection.status(1, PATIENCE).await, Some(200));
    gateway.revoke(&key).await;
    let goaway = connection.find(AT_ONCE, |frame| frame.kind == kind::GOAWAY).await;
    let goaway = goaway.expect("GOAWAY comes at once");
    assert_eq!(goaway.error_code(), Some(0), "NO_ERROR");
    let (_, closed) = connection.read_to_end(GOODBYE).await;
    assert!(closed, "the connection is closed after GOAWAY");
}

#[tokio::test]
async fn revoking_ends_http_3_with_goaway_and_no_error() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let ready = gateway.settings().folder().join("probe-is-waiting");
    let arguments = [
        gateway.address(Protocol::H3).port().to_string(),
        gateway.ready().ca.display().to_string(),
        key.key.clone(),
        ready.display().to_string(),
    ];
    let probe =
        client_script(tool("py-aioquic/bin/python"), "goaway.py", &arguments, Duration::from_secs(40));
    let revoke = async {
        eventually(PATIENCE, async || ready.exists().then_some(())).await.expect("the probe gets its answer");
        gateway.revoke(&key).await;
    };
    let (seen, ()) = tokio::join!(probe, revoke);
    assert_eq!(seen["status"], 200, "{seen}");
    assert_eq!(seen["goaway"], true, "{seen}");
    assert_eq!(seen["closeCode"], 0x100, "H3_NO_ERROR: {seen}");
    assert_eq!(seen["statusAfter"], serde_json::Value::Null, "nothing is served behind GOAWAY: {seen}");
}

#[tokio::test]
async fn a_request_in_flight_delays_the_close_for_a_bounded_time() {
    let gateway = TestGateway::start("[timeouts]\nbody = \"30s\"\ngoodbye = \"500ms\"").await;
    for protocol in Protocol::ALL {
        let key = gateway.create_key(KeySpec::staging()).await;
        let client = Client::over(&gateway, protocol).await;
        assert_eq!(client.ask(key.get(PING)).await.status, 200);
        let (pieces, content) = Content::pieces();
        let mut request = key.get(PING).map(|_| content);
        request.headers_mut().insert("content-type", "application/json".parse().unwrap());
        let (_, closed) = tokio::join!(client.send_content(request), async {
            pieces.send(bytes::Bytes::from_static(b"{")).await.expect("the request is being sent");
            tokio::time::sleep(Duration::from_millis(100)).await;
            gateway.revoke(&key).await;
            client.closed(GOODBYE).await
        });
        assert!(closed.is_some(), "{protocol:?}: a body that never ends keeps nothing open");
    }
}

#[tokio::test]
async fn rotating_without_overlap_ends_the_old_key_and_gives_a_new_one() {
    let _turn = tests::heavy().await;
    let gateway = TestGateway::start("").await;
    let old = gateway.create_key(KeySpec::staging().option("--rate", "7/s").option("--name", "kept")).await;
    let clients = connections_of(&gateway, &old).await;
    let new = gateway.rotate(&old, None).await;
    let returned = Instant::now();
    assert_ne!((&new.id, &new.key), (&old.id, &old.key));
    assert_eq!((&new.environment, &new.permissions), (&old.environment, &old.permissions));
    let took = refused_after(&gateway, &old, returned).await;
    println!("rotated: the old key was refused {took:?} after the command returned");
    assert!(took < AT_ONCE, "refused after {took:?}");
    assert_closed(&clients, "rotated").await;
    let client = Client::over(&gateway, Protocol::H1).await;
    let answer = client.ask(new.get(PING)).await;
    assert_eq!(answer.status, 200);
    let policy = answer.field("ratelimit-policy").expect("every answer has it");
    assert!(policy.contains("q=7"), "the new key has the old one's rate: {policy}");
}

#[tokio::test]
async fn rotating_with_an_overlap_keeps_both_until_it_ends() {
    let gateway = TestGateway::start("").await;
    let old = gateway.create_key(KeySpec::staging()).await;
    let clients = connections_of(&gateway, &old).await;
    let new = gateway.rotate(&old, Some("4s")).await;
    let since = Instant::now();
    assert_serving(&clients, &old, "the overlap runs").await;
    let fresh = Client::over(&gateway, Protocol::H2).await;
    assert_eq!(fresh.ask(old.get(PING)).await.status, 200);
    assert_eq!(fresh.ask(new.get(PING)).await.status, 200);
    let took = refused_after(&gateway, &old, since).await;
    assert!((3..=6).contains(&took.as_secs()), "an overlap of 4 s ended after {took:?}");
    let client = Client::over(&gateway, Protocol::H1).await;
    assert_eq!(client.ask(new.get(PING)).await.status, 200);
}

#[tokio::test]
async fn narrowing_a_key_applies_at_once_and_closes_its_connections() {
    let _turn = tests::heavy().await;
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let other = gateway.create_key(KeySpec::staging()).await;
    let clients = connections_of(&gateway, &key).await;
    let neighbours = connections_of(&gateway, &other).await;
    let update = ["key", "update", &key.id, "--permission", "ping:read", "--json"];
    let changed: serde_json::Value = gateway.json(&update).await;
    let returned = Instant::now();
    assert_eq!(changed["permissions"], serde_json::json!(["ping:read"]), "{changed}");
    let narrowed = eventually(PATIENCE, async || {
        let client = Client::over(&gateway, Protocol::H1).await;
        (client.ask(key.get(CONNECTION)).await.status == 403).then(|| returned.elapsed())
    });
    let took = narrowed.await.expect("the permission is gone in the end");
    println!("narrowed: refused {took:?} after the command returned");
    assert!(took < AT_ONCE, "refused after {took:?}");
    assert_closed(&clients, "narrowed").await;
    assert_serving(&neighbours, &other, "a neighbour's key was narrowed").await;
    let client = Client::over(&gateway, Protocol::H1).await;
    assert_eq!(client.ask(key.get(PING)).await.status, 200, "what it still holds is served");
    assert_problem(&client.ask(key.get(CONNECTION)).await, 403, "narrowed");
}

#[tokio::test]
async fn a_new_key_works_when_its_command_returns() {
    let gateway = TestGateway::start("").await;
    let client = Client::over(&gateway, Protocol::H2c).await;
    for round in 0..10 {
        let environment = Environment::ALL[round % 2];
        let key = gateway.create_key(KeySpec::new(environment)).await;
        let answer = client.ask(key.get(PING)).await;
        assert_eq!(answer.status, 200, "key {round}, just made");
    }
}

#[tokio::test]
async fn a_revocation_survives_a_restart() {
    let gateway = TestGateway::start("").await;
    let revoked = gateway.create_key(KeySpec::staging()).await;
    let good = gateway.create_key(KeySpec::staging()).await;
    gateway.revoke(&revoked).await;
    gateway.signal(rustix::process::Signal::KILL);
    gateway.ended(PATIENCE).await.expect("SIGKILL ends it");
    let gateway = gateway.settings().clone().launch().await;
    let client = Client::over(&gateway, Protocol::H1).await;
    assert_unauthorized(&client.ask(revoked.get(PING)).await, true, "after a restart");
    assert_eq!(client.ask(good.get(PING)).await.status, 200);
}
