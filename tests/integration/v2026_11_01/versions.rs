//! `GET /2026-11-01/versions.json`.

use tests::{KeySpec, TestGateway, WAYS};

use crate::contract::{assert_problem, connect, versions_from};
use crate::statuses::errors_of;

const VERSIONS: &str = "/2026-11-01/versions.json";

#[tokio::test]
async fn versions_lists_every_date_with_its_state_and_dates() {
    let days = "[versions.2026-02-01]\ndeprecated = \"2026-02-02\"\nsunset = \"2199-01-01\"\n\
                [versions.2026-11-01]\npublished = \"2026-02-02\"";
    let gateway = TestGateway::start(days).await;
    let key =
        gateway.create_key(KeySpec::with_permissions(permissions::Environment::Production, &["ping:read"]));
    let key = key.await;
    // Versions that came later stand behind these.
    let later: Vec<_> = versions_from("2026-11-01")[1..]
        .iter()
        .map(|version| {
            format!(r#"{{"version":"{version}","state":"current","published":"{version}","deprecated":null,"sunset":null,"successor":null}}"#)
        })
        .collect();
    let later = later.join(",");
    let first = r#"{"version":"2026-02-01","state":"deprecated","published":"2026-02-01","deprecated":"2026-02-02","sunset":"2199-01-01","successor":"2026-11-01"}"#;
    let second = r#"{"version":"2026-11-01","state":"current","published":"2026-02-02","deprecated":null,"sunset":null,"successor":null}"#;
    for way in WAYS {
        let client = connect(&gateway, way).await;
        for (query, listed) in [
            ("", format!("{first},{second},{later}")),
            ("?state=current", format!("{second},{later}")),
            ("?state=deprecated", first.to_owned()),
            ("?state=retired", String::new()),
            ("?state=preview", String::new()),
        ] {
            let answer = client.ask(key.get(&format!("{VERSIONS}{query}"))).await;
            let expected = format!(r#"{{"versions":[{listed}]}}"#);
            assert_eq!((answer.status.as_u16(), answer.text()), (200, expected), "{way} {query}");
        }
        for query in ["?state=x", "?state=", "?state=Current", "?state=current&state=retired"] {
            // On a new connection: over HTTP/1.1, a 400 closes it.
            let client = connect(&gateway, way).await;
            let answer = client.ask(key.get(&format!("{VERSIONS}{query}"))).await;
            let problem = assert_problem(&answer, 400, format!("{way} {query}"));
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains("state"), "{way} {query}: {detail}");
        }
    }
}

errors_of!(VERSIONS, "ping:read");
