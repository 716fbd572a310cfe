//! Reload by SIGHUP: a valid configuration is applied without a restart, an invalid one changes nothing.

use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use tests::{
    Authority, Client, Family, Key, KeySpec, PATIENCE, Protocol, Raw, Start, TestGateway, Way, eventually,
};

use crate::contract::{PING, limit_item};

/// The quota in responses to a key without a rate.
async fn quota(gateway: &TestGateway, key: &Key) -> u64 {
    let client = Client::over(gateway, Protocol::H1).await;
    let answer = client.ask(key.get(PING)).await;
    limit_item(answer.field("ratelimit-policy").expect("every answer has it"), "q", "w").1
}

async fn quota_becomes(gateway: &TestGateway, key: &Key, wanted: u64) -> bool {
    eventually(Duration::from_secs(5), async || (quota(gateway, key).await == wanted).then_some(()))
        .await
        .is_some()
}

#[tokio::test]
async fn changed_limits_are_applied_without_a_restart() {
    let mut gateway = TestGateway::start("[limits]\nkey_rate = \"50/s+60\"").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let before = Client::over(&gateway, Protocol::H2).await;
    assert_eq!(before.ask(key.get(PING)).await.status, 200);
    assert_eq!(quota(&gateway, &key).await, 60);
    gateway.settings_mut().write_config("[limits]\nkey_rate = \"70/s+80\"\nheader_fields_max = 10");
    gateway.signal(Signal::HUP);
    assert!(quota_becomes(&gateway, &key, 80).await, "{}", gateway.log());
    let answer = before.ask(key.get(PING)).await;
    assert_eq!(answer.status, 200, "a connection from before goes on");
    assert_eq!(limit_item(answer.field("ratelimit-policy").unwrap(), "q", "w").1, 80, "under the new rate");
    let mut many = key.get(PING);
    for number in 0..20 {
        let name = http::HeaderName::try_from(format!("x-{number}")).unwrap();
        many.headers_mut().insert(name, "1".parse().unwrap());
    }
    assert_eq!(Client::over(&gateway, Protocol::H1).await.ask(many).await.status, 431);
}

#[tokio::test]
async fn an_invalid_configuration_changes_nothing_and_is_located_in_the_log() {
    let gateway = TestGateway::start("[limits]\nkey_rate = \"50/s+60\"").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    for (text, clue) in [
        ("[limits]\nkey_rate = \"90/s+90\"\nkey_rat = \"1/s\"\n", "key_rat"),
        ("[limits]\nkey_rate = \"fast\"\n", "fast"),
        ("[limits\nkey_rate = \"90/s+90\"\n", "gateway.toml:1"),
        ("[timeouts]\nidle = \"-1s\"\n[limits]\nkey_rate = \"90/s+90\"\n", "-1s"),
        ("\0\u{1}\u{2}", "gateway.toml"),
    ] {
        let logged = gateway.log().len();
        gateway.settings().write_config_text(text);
        gateway.signal(Signal::HUP);
        let named = eventually(Duration::from_secs(5), async || {
            gateway.log().get(logged..).is_some_and(|new| new.contains(clue)).then_some(())
        });
        assert!(named.await.is_some(), "{text:?} is not named: {}", &gateway.log()[logged..]);
        for line in gateway.log()[logged..].lines() {
            let record: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            let fields = record.as_object().expect("a record is an object").values();
            for field in fields.filter_map(serde_json::Value::as_str) {
                assert!(!field.contains(char::is_control), "{text:?} gives a record of many lines: {line}");
            }
        }
        assert_eq!(quota(&gateway, &key).await, 60, "{text:?}");
    }
    assert!(gateway.status().is_none(), "it serves on");
    gateway.settings().write_config_text(&tests::merged("[limits]\nkey_rate = \"70/s+80\""));
    gateway.signal(Signal::HUP);
    assert!(quota_becomes(&gateway, &key, 80).await, "a good one is taken over afterwards");
}

#[tokio::test]
async fn a_reload_applies_to_connections_of_the_operations_listener_too() {
    let mut gateway = TestGateway::start("[timeouts]\nidle = \"60s\"").await;
    let address = gateway.listener("operations", Family::V4).address;
    let mut raw = Raw::connect(address).await;
    assert!(raw.write(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await);
    assert_eq!(raw.answer(PATIENCE).await.status, 200);
    assert!(!raw.read_for(Duration::from_millis(500)).await, "it is kept");
    gateway.settings_mut().write_config("[timeouts]\nidle = \"200ms\"");
    gateway.signal(Signal::HUP);
    assert!(raw.read_for(Duration::from_secs(10)).await, "the new time ends it");
}

#[tokio::test]
async fn the_log_level_is_applied() {
    let mut gateway = TestGateway::start("[log]\naccess = false").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let ask = async |gateway: &TestGateway| {
        let answer = Client::over(gateway, Protocol::H1).await.ask(key.get(PING)).await;
        answer.field("x-request-id").expect("every answer has one").to_owned()
    };
    let unseen = ask(&gateway).await;
    gateway.settings_mut().write_config("[log]\naccess = true");
    gateway.signal(Signal::HUP);
    let seen = eventually(Duration::from_secs(5), async || {
        let id = ask(&gateway).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        gateway.log().contains(&id).then_some(())
    });
    assert!(seen.await.is_some(), "the access log is on now");
    assert!(!gateway.log().contains(&unseen), "and was off before");
}

struct Certificates {
    chain: PathBuf,
    key: PathBuf,
    first: Authority,
    second: Authority,
}

/// A gateway whose certificate comes from files, issued by the first of two authorities.
async fn with_certificate_files() -> (TestGateway, Certificates) {
    let start = Start::with("");
    let folder = start.folder().to_owned();
    let authority = |name: &str| {
        let authority_folder = folder.join(name);
        std::fs::create_dir(&authority_folder).expect("the folder is writable");
        Authority::new(&authority_folder, name)
    };
    let (chain, key) = (folder.join("chain.pem"), folder.join("key.pem"));
    let certificates = Certificates { first: authority("first"), second: authority("second"), chain, key };
    certificates.first.issue(&certificates.chain, &certificates.key);
    let mut start = start;
    start.write_config(&format!(
        "[listeners.https]\ncertificate = \"issued\"\n[certificates.issued]\nchain_file = {:?}\nkey_file = {:?}",
        certificates.chain, certificates.key
    ));
    (start.launch().await, certificates)
}

/// Whether a new handshake succeeds for a client that trusts only this authority.
async fn trusts(gateway: &TestGateway, protocol: Protocol, authority: &Authority) -> bool {
    let way = Way { protocol, family: Family::V4 };
    Client::to(gateway.address(protocol), way, &authority.certificate()).await.is_ok()
}

const SECURE: [Protocol; 3] = [Protocol::H1Tls, Protocol::H2, Protocol::H3];

#[tokio::test]
async fn a_new_certificate_is_used_for_new_connections_and_old_ones_stay_open() {
    let (gateway, certificates) = with_certificate_files().await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let mut open = Vec::new();
    for protocol in SECURE {
        let way = Way { protocol, family: Family::V4 };
        let ca = certificates.first.certificate();
        let client =
            Client::to(gateway.address(protocol), way, &ca).await.expect("the first certificate is used");
        assert_eq!(client.ask(key.get(PING)).await.status, 200);
        assert!(!trusts(&gateway, protocol, &certificates.second).await, "{protocol:?}");
        open.push(client);
    }
    certificates.second.issue(&certificates.chain, &certificates.key);
    gateway.signal(Signal::HUP);
    for protocol in SECURE {
        let used = eventually(Duration::from_secs(5), async || {
            trusts(&gateway, protocol, &certificates.second).await.then_some(())
        });
        assert!(used.await.is_some(), "{protocol:?}: the second certificate is used");
        assert!(
            !trusts(&gateway, protocol, &certificates.first).await,
            "{protocol:?}: the first one is gone"
        );
    }
    for client in open {
        assert_eq!(client.ask(key.get(PING)).await.status, 200, "{}: opened before", client.way());
    }
}

#[tokio::test]
async fn an_invalid_certificate_changes_nothing_and_is_named_in_the_log() {
    let (gateway, certificates) = with_certificate_files().await;
    let good_chain = std::fs::read(&certificates.chain).expect("it was just written");
    let good_key = std::fs::read(&certificates.key).expect("it was just written");
    let other_key = certificates.key.with_extension("other");
    certificates.second.issue(&certificates.chain.with_extension("other"), &other_key);
    let foreign_key = std::fs::read(&other_key).expect("it was just written");
    let nonsense = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
    for (what, chain, key) in [
        ("nonsense", &nonsense, &good_key),
        ("an empty chain", &Vec::new(), &good_key),
        ("an empty key", &good_chain, &Vec::new()),
        ("another certificate's key", &good_chain, &foreign_key),
        ("the chain as key", &good_chain, &good_chain),
    ] {
        let logged = gateway.log().len();
        std::fs::write(&certificates.chain, chain).expect("the folder is writable");
        std::fs::write(&certificates.key, key).expect("the folder is writable");
        gateway.signal(Signal::HUP);
        let named = eventually(Duration::from_secs(5), async || {
            let log = gateway.log();
            let new = log.get(logged..)?;
            (new.contains("chain.pem") || new.contains("key.pem") || new.contains("issued")).then_some(())
        });
        assert!(named.await.is_some(), "{what}: the log does not name it: {}", &gateway.log()[logged..]);
        for protocol in SECURE {
            assert!(trusts(&gateway, protocol, &certificates.first).await, "{what}: {protocol:?}");
        }
    }
    certificates.second.issue(&certificates.chain, &certificates.key);
    gateway.signal(Signal::HUP);
    let mended = eventually(PATIENCE, async || {
        trusts(&gateway, Protocol::H3, &certificates.second).await.then_some(())
    });
    assert!(mended.await.is_some(), "a good pair is taken over afterwards");
}

#[tokio::test]
async fn no_request_is_lost_during_repeated_reloads() {
    let _turn = tests::heavy().await;
    let (gateway, certificates) = with_certificate_files().await;
    let key = gateway.create_key(KeySpec::staging().option("--rate", "1000000/s")).await;
    let mut asking = Vec::new();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    for protocol in SECURE {
        let way = Way { protocol, family: Family::V4 };
        let ca = certificates.first.certificate();
        let client =
            Client::to(gateway.address(protocol), way, &ca).await.expect("the certificate is trusted");
        let (key, stopped) = (key.clone(), stopped.clone());
        asking.push(tokio::spawn(async move {
            let mut served = 0_u32;
            while !*stopped.borrow() {
                let answer =
                    client.send(key.get(PING)).await.unwrap_or_else(|error| panic!("{way}: {error:#}"));
                assert_eq!(answer.status, 200, "{way}: {answer:?}");
                served += 1;
            }
            served
        }));
    }
    for _ in 0..20 {
        certificates.first.issue(&certificates.chain, &certificates.key);
        gateway.signal(Signal::HUP);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stop.send_replace(true);
    for asking in asking {
        let served = asking.await.expect("no request was lost");
        assert!(served > 20, "there was load: {served}");
    }
}
