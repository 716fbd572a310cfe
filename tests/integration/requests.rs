//! From a request for access to keys that work, as operators and contacts see it.

use gateway::clock::SystemClock;
use gateway::provisioning::{
    Actor, Claimed, NewRequest, Provisioning, ProvisioningError, file_request, request_by_code,
    use_sign_in_link,
};
use gateway::store::requests::PerEnvironment;
use permissions::{ApiAccessPermission, Brand};
use serde_json::{Value, json};
use tests::{Client, Family, Key, Protocol, SmtpSink, TestGateway};

use crate::contract::{CONNECTION, PING};

/// Files a request as a stranger; returns its id and the code of its link.
fn file(gateway: &TestGateway, organization: &str) -> (String, String) {
    let (mut store, secret) = gateway.store();
    let new = NewRequest {
        organization: organization.to_owned(),
        contact: "Ada".to_owned(),
        email: "ada@example.com".to_owned(),
        use_case: "Billing".to_owned(),
        wanted: PerEnvironment {
            staging: ApiAccessPermission::grantable(),
            production: ApiAccessPermission::PING_READ,
        },
    };
    let (rng, actor) = (&mut rand::rng(), Actor::contact(None));
    let filed = file_request(&mut store, &SystemClock, rng, &secret, &actor, &new, 10).expect("it is filed");
    (filed.request.id.to_string(), filed.code.expect("a contact gets one").expose().to_owned())
}

fn claim(gateway: &TestGateway, code: &str) -> Result<Claimed, ProvisioningError> {
    let (mut store, secret) = gateway.store();
    let brand = Brand::try_from("pgw".to_owned()).expect("it is the default brand");
    Provisioning {
        actor: &Actor::contact(None),
        store: &mut store,
        secret: &secret,
        brand: &brand,
        clock: &SystemClock,
        rng: &mut rand::rng(),
    }
    .claim(code)
}

/// The code at the end of a link.
fn code_of(link: &Value) -> String {
    let link = link.as_str().unwrap_or_else(|| panic!("no link in {link}"));
    link.rsplit_once('/').map(|(_, code)| code.to_owned()).expect("a link has a path")
}

#[tokio::test]
async fn a_request_is_approved_narrower_claimed_once_and_its_keys_work() {
    let gateway = TestGateway::start("[portal]\npublic_url = \"https://portal.example.com\"").await;
    let (id, code) = file(&gateway, "Acme");
    let listed: Value = gateway.json(&["request", "list", "--json"]).await;
    assert_eq!(listed["requests"][0]["id"], id.as_str(), "{listed}");
    assert_eq!(listed["requests"][0]["wanted"]["production"], json!(["ping:read"]), "{listed}");

    let asked: Value = gateway.json(&["request", "ask", &id, "--text", "How often?", "--json"]).await;
    assert_eq!((&asked["state"], &asked["mail"]), (&json!("awaiting_answer"), &json!("not_sent")));
    let refused =
        gateway.cli(&["request", "approve", &id, "--production", "ping:read,connection:read"]).await;
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("--wider"), "{refused:?}");
    let approved: Value =
        gateway.json(&["request", "approve", &id, "--staging", "ping:read", "--json"]).await;
    assert_eq!(approved["state"], "approved", "{approved}");
    assert_eq!(approved["organization_created"], true, "{approved}");
    assert_eq!(approved["granted"], json!({ "staging": ["ping:read"], "production": ["ping:read"] }));
    assert_eq!(approved["applied"]["nodes"][0]["applied"], true, "{approved}");
    let link = &approved["claim"]["link"];
    assert!(link.as_str().expect("a link").starts_with("https://portal.example.com/claim/"), "{link}");

    let claimed = claim(&gateway, &code_of(link)).expect("the link works");
    let again = claim(&gateway, &code_of(link)).unwrap_err();
    assert!(matches!(again, ProvisioningError::LinkUsed { .. }), "{again}");
    assert_eq!(claimed.keys.len(), 2);
    let client = Client::over(&gateway, Protocol::H1).await;
    for created in &claimed.keys {
        let key = Key {
            id: created.record.id.to_string(),
            key: created.secret.expose().to_owned(),
            environment: created.record.environment.to_string(),
            permissions: vec!["ping:read".to_owned()],
        };
        let answer = tests::eventually(tests::PATIENCE, async || {
            let answer = client.ask(key.get(PING)).await;
            (answer.status == 200).then_some(answer)
        });
        let answer = answer.await.expect("the key works");
        assert_eq!(answer.json()["env"], key.environment.as_str());
        assert_eq!(client.ask(key.get(CONNECTION)).await.status, 403, "no more than was approved");
    }

    let shown: Value = gateway.json(&["request", "show", &id, "--json"]).await;
    assert_eq!(shown["claim"]["state"], "used", "{shown}");
    let actions: Vec<&Value> =
        shown["events"].as_array().expect("a list").iter().map(|event| &event["action"]).collect();
    assert_eq!(actions, ["filed", "asked", "approved", "claimed"]);
    let people = gateway.cli(&["request", "show", &id]).await;
    let people = String::from_utf8_lossy(&people.stdout).into_owned();
    assert!(people.contains("How often?") && people.contains("claimed at"), "{people}");
    let (mut store, secret) = gateway.store();
    let theirs = request_by_code(&mut store, &secret, &code).expect("its own link");
    assert_eq!(theirs.events.len(), 4, "both sides see the same");
    for text in [code.as_str(), &code_of(link), claimed.keys[0].secret.expose()] {
        assert!(!gateway.log().contains(text) && !people.contains(text), "no secret is printed again");
    }
    let empty: Value = gateway.json(&["request", "list", "--json"]).await;
    assert_eq!(empty["requests"], json!([]), "it is decided");
    let new: Value = gateway.json(&["request", "claim-link", &id, "--json"]).await;
    assert_eq!(claim(&gateway, &code_of(&new["claim"]["link"])).expect("the new link works").keys.len(), 2);
}

#[tokio::test]
async fn a_contact_hears_of_each_decision_by_mail() {
    let mut sink = SmtpSink::plain().await;
    let overlay = format!("[portal]\npublic_url = \"https://portal.example.com\"\n{}", sink.overlay());
    let gateway = TestGateway::start(&overlay).await;
    let (first, _) = file(&gateway, "Acme");
    let (second, _) = file(&gateway, "Acme");
    let asked: Value = gateway.json(&["request", "ask", &first, "--text", "Why?", "--json"]).await;
    assert_eq!(asked["mail"], "sent", "{asked}");
    assert!(sink.next().await["text"].as_str().expect("a text").contains("> Why?"));
    let approved: Value = gateway.json(&["request", "approve", &first, "--json"]).await;
    let link = approved["claim"]["link"].as_str().expect("a link");
    let mail = sink.next().await;
    assert_eq!(mail["to"], json!(["ada@example.com"]));
    assert!(mail["text"].as_str().expect("a text").contains(link), "{mail}");
    let taken = gateway.cli(&["request", "approve", &second]).await;
    assert_eq!(taken.status.code(), Some(1), "{taken:?}");
    assert!(String::from_utf8_lossy(&taken.stderr).contains("--organization"), "{taken:?}");
    let rejected: Value = gateway.json(&["request", "reject", &second, "--reason", "Twice.", "--json"]).await;
    assert_eq!((&rejected["state"], &rejected["mail"]), (&json!("rejected"), &json!("sent")));
    assert!(sink.next().await["text"].as_str().expect("a text").contains("> Twice."));

    let invited: Value =
        gateway.json(&["org", "invite", "Acme", "--email", "bo@example.com", "--json"]).await;
    let mail = sink.next().await;
    assert_eq!(mail["to"], json!(["bo@example.com"]));
    let link = invited["link"].as_str().expect("a link");
    assert!(mail["text"].as_str().expect("a text").contains(link), "{mail}");
    assert_eq!((&invited["role"], &invited["state"]), (&json!("owner"), &json!("open")), "{invited}");
    let id = invited["id"].as_str().expect("an id");
    let revoked: Value = gateway.json(&["org", "invitation", "revoke", id, "--json"]).await;
    assert_eq!(revoked["state"], "revoked", "{revoked}");
    let listed: Value = gateway.json(&["org", "invitation", "list", "Acme", "--json"]).await;
    assert_eq!(listed["invitations"][0]["state"], "revoked", "{listed}");
    let log = gateway.log();
    assert!(
        !log.contains("ada@example.com") && !log.contains(link),
        "neither addresses nor links are logged"
    );
}

#[tokio::test]
async fn the_first_operator_gets_a_link_that_signs_in_once() {
    let gateway = TestGateway::start("").await;
    let arguments = ["user", "create", "--operator", "--name", "Op", "--email", "op@example.com", "--json"];
    let made: Value = gateway.json(&arguments).await;
    assert_eq!((&made["organization"], &made["organization_created"]), (&json!("operator"), &json!(true)));
    let portal =
        format!("https://localhost:{}/sign-in/link/", gateway.listener("portal", Family::V4).address.port());
    assert!(made["link"].as_str().expect("a URL").starts_with(&portal), "where it was bound: {made}");
    let (mut store, secret) = gateway.store();
    let mut sign_in = |code: &str| {
        use_sign_in_link(&mut store, &SystemClock, &secret, &Actor::contact(None), code).map(|(user, _)| user)
    };
    let code = code_of(&made["link"]);
    assert_eq!(sign_in(&code).expect("it signs in").name, "Op");
    assert!(matches!(sign_in(&code), Err(ProvisioningError::LinkUsed { .. })));
    let user = made["user"].as_str().expect("an id");
    let next: Value = gateway.json(&["user", "sign-in", user, "--json"]).await;
    sign_in(&code_of(&next["link"])).expect("the next one signs in");
    let printed = gateway.cli(&["user", "sign-in", user]).await;
    assert!(String::from_utf8_lossy(&printed.stdout).contains("printed only now"), "{printed:?}");
    assert_eq!(String::from_utf8_lossy(&printed.stderr), "");
}

#[tokio::test]
async fn without_a_portal_only_the_path_of_a_link_is_printed() {
    let gateway = TestGateway::start("[listeners.portal]\nenabled = false").await;
    let printed = gateway.cli(&["user", "create", "--operator", "--name", "Op"]).await;
    assert!(String::from_utf8_lossy(&printed.stdout).contains("  /sign-in/link/"), "{printed:?}");
    assert!(String::from_utf8_lossy(&printed.stderr).contains("portal.public_url"), "{printed:?}");
}
