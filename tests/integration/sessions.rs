//! Session JWTs of an identity provider on the path of a request, over all protocols.

use permissions::Environment;
use serde_json::Value;
use tests::{Client, IdentityProvider, Key, Protocol, TestGateway, never_issued};

use crate::contract::{PING, assert_unauthorized};

const SECRET: &str = "secret+with/special%characters";

/// A gateway that accepts this provider's sessions in staging, with an organization that is granted everything there.
async fn gateway(provider: &IdentityProvider) -> TestGateway {
    let config = format!(
        "[identity.providers.corp]\nissuer = \"{}\"\naudience = \"gateway\"\nenvironment = \"staging\"\n",
        provider.issuer()
    );
    let gateway = TestGateway::start(&config).await;
    let _: Value = gateway.json(&["org", "create", "acme", "--json"]).await;
    let granted = ["--permission", "ping:read,connection:read"];
    let grant = ["org", "grant", "acme", "--environment", "staging", "--json"];
    let _: Value = gateway.json(&[&grant[..], &granted[..]].concat()).await;
    gateway
}

/// Makes this person a member; returns the id of the membership.
async fn member(gateway: &TestGateway, provider: &IdentityProvider, subject: &str, role: &str) -> String {
    let arguments = ["user", "create", "--name", subject, "--org", "acme", "--role", role, "--json"];
    let identity = ["--issuer", provider.issuer(), "--subject", subject];
    let created: Value = gateway.json(&[&arguments[..], &identity[..]].concat()).await;
    created["id"].as_str().expect("a membership has an id").to_owned()
}

fn bearer(token: &str) -> Key {
    let environment = Environment::Staging.to_string();
    Key { id: String::new(), key: token.to_owned(), environment, permissions: Vec::new() }
}

#[tokio::test]
async fn a_session_has_the_rights_of_its_members_role_until_the_member_leaves() {
    let provider = IdentityProvider::node(None).await;
    let gateway = gateway(&provider).await;
    let session = bearer(&provider.token("gateway", SECRET, "ada").await);
    let mut clients = Vec::new();
    for protocol in Protocol::ALL {
        let client = Client::over(&gateway, protocol).await;
        let answer = client.ask(session.get(PING)).await;
        assert_unauthorized(&answer, true, format!("a stranger over {protocol:?}"));
        clients.push((protocol, client));
    }
    let membership = member(&gateway, &provider, "ada", "developer").await;
    for (protocol, client) in &clients {
        let answer = client.ask(session.get(PING)).await;
        assert_eq!(answer.status, 200, "{protocol:?}: {answer:?}");
        assert_eq!(answer.json()["env"], "staging", "{protocol:?}");
        let me = client.ask(session.get("/2026-11-15/me.json")).await.json();
        assert_eq!((&me["credential"]["kind"], &me["role"]), (&"session".into(), &"developer".into()));
        assert_eq!((&me["organization"]["name"], &me["user"]["name"]), (&"acme".into(), &"ada".into()));
    }
    let _: Value = gateway.json(&["org", "change-member", &membership, "--role", "viewer", "--json"]).await;
    for (protocol, client) in &clients {
        let answer = client.ask(session.get(PING)).await;
        assert_eq!(answer.status, 403, "{protocol:?}, on the same connection: {answer:?}");
    }
    let _: Value = gateway.json(&["org", "remove-member", &membership, "--json"]).await;
    for protocol in Protocol::ALL {
        let answer = Client::over(&gateway, protocol).await.ask(session.get(PING)).await;
        assert_unauthorized(&answer, true, format!("after leaving, over {protocol:?}"));
    }
}

#[tokio::test]
async fn forged_sessions_look_like_unknown_keys() {
    let provider = IdentityProvider::node(None).await;
    let gateway = gateway(&provider).await;
    member(&gateway, &provider, "ada", "owner").await;
    let good = provider.token("gateway", SECRET, "ada").await;
    let [header, claims, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!("{good}") };
    let encoded = |text: &str| {
        use base64::Engine as _;
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
    };
    let none = encoded(r#"{"alg":"none"}"#);
    let hmac = encoded(r#"{"alg":"HS256"}"#);
    let unknown = encoded(r#"{"alg":"ES256","kid":"nobody"}"#);
    let other_person = encoded(r#"{"iss":"x","sub":"root","aud":"gateway","exp":9999999999}"#);
    let client = Client::over(&gateway, Protocol::H2).await;
    assert_eq!(client.ask(bearer(&good).get(PING)).await.status, 200);
    let stranger = client.ask(bearer(&never_issued(Environment::Staging)).get(PING)).await;
    for forged in [
        format!("{none}.{claims}."),
        format!("{none}.{claims}.{signature}"),
        format!("{hmac}.{claims}.{signature}"),
        format!("{unknown}.{claims}.{signature}"),
        format!("{header}.{other_person}.{signature}"),
        format!("{header}.{claims}."),
        format!("{header}.{claims}.{}", signature.to_ascii_uppercase()),
        "..".to_owned(),
        format!("{header}.{claims}.{}", "A".repeat(7_000)),
    ] {
        let answer = client.ask(bearer(&forged).get(PING)).await;
        assert_unauthorized(&answer, true, &forged);
        assert_eq!(answer.body, stranger.body, "{forged}");
    }
    let answer = client.ask(bearer(&good).get(PING)).await;
    assert_eq!(answer.status, 200, "the good one is good still");
}
