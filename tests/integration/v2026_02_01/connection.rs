//! `GET /2026-02-01/connection.json`.

use permissions::Environment;
use tests::{Family, KeySpec, TestGateway, WAYS};

use crate::contract::{CONNECTION, PING, assert_fields, assert_problem, connect};
use crate::statuses::errors_of;

#[tokio::test]
async fn status_200_describes_the_connection() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::production()).await;
    for way in WAYS {
        let client = connect(&gateway, way).await;
        let (family, address) = match way.family {
            Family::V4 => ("ipv4", "127.0.0.1"),
            Family::V6 => ("ipv6", "::1"),
        };
        let expected = |user_agent: &str| {
            format!(
                r#"{{"client":{{"userAgent":{user_agent},"ips":{{"{family}":"{address}"}}}},"endpoint":{{"apiVersion":"2026-02-01","env":"production","protocol":"{}"}}}}"#,
                way.protocol.protocol_name()
            )
        };
        let silent = client.ask(key.get(CONNECTION)).await;
        assert_eq!(silent.text(), expected("null"), "{way}");
        assert_fields(&gateway, way, &silent);
        for (user_agent, expected_agent) in [
            ("axios/1.6.0", r#""axios/1.6.0""#),
            (r#"a"b\c</script>"#, r#""a\"b\\c</script>""#),
            ("tab\there", r#""tab\there""#),
        ] {
            let mut request = key.get(CONNECTION);
            request.headers_mut().insert("user-agent", user_agent.parse().unwrap());
            let answer = client.ask(request).await;
            assert_eq!(answer.text(), expected(expected_agent), "{way}");
        }
    }
}

#[tokio::test]
async fn status_403_names_the_required_and_granted_permissions() {
    let gateway = TestGateway::start("").await;
    let ping_only = KeySpec::with_permissions(Environment::Staging, &["ping:read"]);
    let key = gateway.create_key(ping_only).await;
    for way in WAYS {
        let client = connect(&gateway, way).await;
        let answer = client.ask(key.get(CONNECTION)).await;
        let problem = assert_problem(&answer, 403, way);
        assert_eq!(problem["requiredPermission"], "connection:read", "{way}");
        assert_eq!(problem["grantedPermissions"], serde_json::json!(["ping:read"]), "{way}");
        assert_eq!(
            answer.field("www-authenticate"),
            Some(r#"Bearer realm="partner-api", error="insufficient_scope", scope="connection:read""#),
            "{way}"
        );
        assert_fields(&gateway, way, &answer);
        let held = client.ask(key.get(PING)).await;
        assert_eq!(held.status, 200, "{way}: a refusal leaves the connection good");
    }
}

errors_of!(CONNECTION, "connection:read");
