//! Replacing or moving the store's file, or the data folder, while a server runs.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;
use tests::{Client, Key, KeySpec, PATIENCE, Protocol, TestGateway, eventually};

use crate::contract::PING;

async fn becomes(gateway: &TestGateway, what: &str, key: &Key, status: u16) {
    let reached = eventually(PATIENCE, async || {
        let client = Client::over(gateway, Protocol::H1).await;
        (client.ask(key.get(PING)).await.status == status).then_some(())
    });
    assert!(reached.await.is_some(), "{what}: {}", gateway.log());
}

/// The body of `/readyz` once its status is this.
async fn readyz(gateway: &TestGateway, status: u16) -> Value {
    let body = eventually(PATIENCE, async || {
        let answer = gateway.operations("/readyz").await;
        (answer.status == status).then(|| answer.json())
    });
    body.await.unwrap_or_else(|| panic!("/readyz never has status {status}: {}", gateway.log()))
}

#[tokio::test]
async fn a_backup_that_is_moved_over_the_store_is_served_and_its_keys_can_be_revoked() {
    let gateway = TestGateway::start("").await;
    let kept = gateway.create_key(KeySpec::staging()).await;
    let backup = gateway.settings().folder().join("backup");
    let copied = gateway.cli(&["backup", backup.to_str().expect("temporary paths are UTF-8")]).await;
    assert!(copied.status.success(), "{copied:?}");
    let lost = gateway.create_key(KeySpec::staging()).await;
    becomes(&gateway, "made", &lost, 200).await;
    let client = Client::over(&gateway, Protocol::H2c).await;
    assert_eq!(client.ask(lost.get(PING)).await.status, 200);

    fs::rename(backup.join("store.sqlite"), gateway.settings().data().join("store.sqlite"))
        .expect("it moves");
    // Before the server has noticed.
    let revoked = gateway.revoke(&kept).await;
    assert_eq!(revoked["applied"]["nodes"][0]["applied"], true, "{revoked}");
    let fresh = Client::over(&gateway, Protocol::H1).await;
    assert_eq!(fresh.ask(kept.get(PING)).await.status, 401, "revoked");
    becomes(&gateway, "the backup does not have it", &lost, 401).await;
    assert!(client.closed(PATIENCE).await.is_some(), "its connections are closed");
    let made = gateway.create_key(KeySpec::staging()).await;
    becomes(&gateway, "made after", &made, 200).await;
    readyz(&gateway, 200).await;
    assert_eq!(gateway.cli(&["health"]).await.status.code(), Some(0));
}

#[tokio::test]
async fn a_store_that_cannot_be_opened_makes_the_server_not_ready_and_no_revocation_succeeds() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let store = gateway.settings().data().join("store.sqlite");
    let aside = gateway.settings().folder().join("aside");
    let garbage = gateway.settings().folder().join("garbage");
    fs::write(&garbage, "Dear diary, ".repeat(1_000)).expect("the folder is writable");
    fs::rename(&store, &aside).expect("it moves");
    let body = readyz(&gateway, 503).await;
    assert_eq!((&body["status"], &body["store"]), (&"failing".into(), &"failing".into()), "{body}");
    assert!(body["storeAgeSeconds"].is_u64() && body["reason"].to_string().contains("moved"), "{body}");
    fs::rename(&garbage, &store).expect("it moves");
    let revoked = gateway.cli(&["key", "revoke", &key.id]).await;
    assert!(!revoked.status.success(), "{revoked:?}");
    becomes(&gateway, "traffic goes on", &key, 200).await;
    readyz(&gateway, 503).await;
    fs::rename(&aside, &store).expect("it moves");
    readyz(&gateway, 200).await;
    gateway.revoke(&key).await;
    becomes(&gateway, "revoked", &key, 401).await;
}

#[tokio::test]
async fn a_moved_data_folder_is_still_followed_and_reported_as_missing() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let (data, moved) = (gateway.settings().data(), gateway.settings().folder().join("moved"));
    fs::rename(data, &moved).expect("it moves");
    readyz(&gateway, 503).await;
    let revoked = gateway.cli(&["key", "revoke", &key.id]).await;
    assert!(!revoked.status.success(), "{revoked:?}");
    becomes(&gateway, "traffic goes on", &key, 200).await;
    let there = gateway.settings().clone().data_folder(&moved);
    let revoked = there.run(&["key", "revoke", &key.id, "--json"]).await;
    assert!(revoked.status.success(), "{revoked:?}");
    becomes(&gateway, "the server still has that file open", &key, 401).await;
    fs::rename(&moved, data).expect("it moves");
    readyz(&gateway, 200).await;
}

#[tokio::test]
async fn a_command_fails_if_a_running_server_has_not_applied_its_change() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    gateway.signal(Signal::STOP);
    for command in [
        &["key", "revoke", &key.id, "--wait", "300ms", "--json"][..],
        &["partner", "suspend", "Tests", "--wait", "0s", "--json"],
    ] {
        let late = gateway.cli(command).await;
        assert_eq!(late.status.code(), Some(69), "{command:?}: {late:?}");
        let printed: Value = serde_json::from_slice(&late.stdout).expect("the data is printed all the same");
        assert_eq!(printed["applied"]["nodes"][0]["applied"], false, "{printed}");
        let complaint = String::from_utf8_lossy(&late.stderr);
        assert!(complaint.contains("stored, but not applied"), "{complaint}");
    }
    gateway.signal(Signal::CONT);
    becomes(&gateway, "it is applied in the end", &key, 401).await;
}
