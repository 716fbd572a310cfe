//! Suspending, resuming, renaming and removing partners while a server runs.

use serde_json::Value;
use tests::{Client, Key, KeySpec, PATIENCE, Protocol, TestGateway};

use crate::contract::{PING, assert_unauthorized};
use crate::revocation::connections_of;

async fn key_of(gateway: &TestGateway, partner: &str) -> Key {
    let command = ["key", "create", "--json", "--environment", "staging", "--permission", "ping:read"];
    gateway.json(&[&command[..], &["--partner", partner]].concat()).await
}

async fn partner(gateway: &TestGateway, arguments: &[&str]) -> Value {
    let done: Value = gateway.json(&[&["partner"], arguments, &["--json"]].concat()).await;
    assert_eq!(done["applied"]["nodes"][0]["applied"], true, "{done}");
    done
}

#[tokio::test]
async fn a_suspended_partners_keys_are_refused_at_once_until_it_is_resumed() {
    let gateway = TestGateway::start("").await;
    let key = key_of(&gateway, "acme").await;
    let other = gateway.create_key(KeySpec::staging()).await;
    let (clients, neighbours) =
        (connections_of(&gateway, &key).await, connections_of(&gateway, &other).await);
    let suspended = partner(&gateway, &["suspend", "acme"]).await;
    let closed = &suspended["applied"]["nodes"][0]["connections_closed"];
    assert_eq!(closed.as_u64(), Some(clients.len() as u64), "{suspended}");
    for client in &clients {
        assert!(client.closed(PATIENCE).await.is_some(), "{} is still open", client.way());
    }
    for protocol in Protocol::ALL {
        let client = Client::over(&gateway, protocol).await;
        assert_unauthorized(&client.ask(key.get(PING)).await, true, format!("{protocol:?}"));
    }
    for client in &neighbours {
        assert_eq!(client.ask(other.get(PING)).await.status, 200, "{}", client.way());
    }
    let key_view: Value = gateway.json(&["key", "show", &key.id, "--json"]).await;
    assert_eq!(key_view["state"], "suspended", "{key_view}");
    let made = key_of(&gateway, "acme").await;
    let client = Client::over(&gateway, Protocol::H1).await;
    assert_eq!(client.ask(made.get(PING)).await.status, 401, "a new key of it is refused as well");
    assert_eq!(partner(&gateway, &["suspend", "acme"]).await["changed"], false);

    partner(&gateway, &["resume", "acme"]).await;
    connections_of(&gateway, &key).await;
    connections_of(&gateway, &made).await;
    assert!(gateway.log().contains("\"suspended\""), "the log gives the reason");
}

#[tokio::test]
async fn a_renamed_partner_keeps_its_keys_and_their_connections() {
    let gateway = TestGateway::start("").await;
    let key = key_of(&gateway, "acme").await;
    let clients = connections_of(&gateway, &key).await;
    let renamed = partner(&gateway, &["rename", "acme", "Acme GmbH"]).await;
    for client in &clients {
        assert_eq!(client.ask(key.get(PING)).await.status, 200, "{}", client.way());
    }
    let listed: Value = gateway.json(&["key", "list", "--partner", "Acme GmbH", "--json"]).await;
    assert_eq!(listed["keys"][0]["id"], key.id.as_str(), "{listed}");
    let id = renamed["id"].as_str().expect("it has an id");
    let listed: Value = gateway.json(&["key", "list", "--partner", id, "--json"]).await;
    assert_eq!(listed["keys"][0]["partner"], "Acme GmbH", "{listed}");
    let unknown = gateway.cli(&["partner", "rename", "acme", "x"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("no partner `acme`"));
}

#[tokio::test]
async fn a_partner_with_active_keys_is_removed_only_with_revoke_keys() {
    let gateway = TestGateway::start("").await;
    let key = key_of(&gateway, "acme").await;
    let refused = gateway.cli(&["partner", "remove", "acme"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("1 active"), "{refused:?}");
    let clients = connections_of(&gateway, &key).await;
    partner(&gateway, &["remove", "acme", "--revoke-keys"]).await;
    for client in &clients {
        assert!(client.closed(PATIENCE).await.is_some(), "{} is still open", client.way());
    }
    let client = Client::over(&gateway, Protocol::H1).await;
    assert_eq!(client.ask(key.get(PING)).await.status, 401);
    let listed: Value = gateway.json(&["partner", "list", "--json"]).await;
    assert!(!listed.to_string().contains("acme"), "{listed}");
}

#[tokio::test]
async fn an_endpoint_waits_for_the_store_and_sees_what_was_written_last() {
    let gateway = TestGateway::start_with_test_endpoints("").await;
    let mut name = "acme".to_owned();
    let key = key_of(&gateway, &name).await;
    for protocol in Protocol::ALL {
        let client = Client::over(&gateway, protocol).await;
        let partner_of_key = async || client.ask(key.get("/test/key.json")).await.json()["partner"].clone();
        assert_eq!(partner_of_key().await, name.as_str(), "{protocol:?}");
        let renamed = format!("acme of {protocol:?}");
        partner(&gateway, &["rename", &name, &renamed]).await;
        assert_eq!(partner_of_key().await, renamed.as_str(), "{protocol:?}: on the same connection");
        name = renamed;
    }
}
