//! Tests of the errors that depend on the endpoint, for the files of the endpoints. Those that depend on the
//! form of a request alone (400, 408, 413, 414, 415, 421, 431) are in `bad_input.rs` and `smuggling.rs`, and
//! so is 503.

use http::HeaderValue;
use permissions::Environment;
use tests::{Client, KeySpec, Protocol, Response, TestGateway, get};

use crate::contract::{assert_problem, assert_unauthorized};

const PROTOCOLS: [Protocol; 3] = [Protocol::H1Tls, Protocol::H2, Protocol::H3];

/// One test for each status, for the endpoint at a path that requires a permission.
macro_rules! errors_of {
    ($path:expr, $permission:expr) => {
        #[tokio::test]
        async fn status_401_without_a_key() {
            $crate::statuses::unauthorized($path).await;
        }

        #[tokio::test]
        async fn status_403_without_the_permission() {
            $crate::statuses::forbidden($path, $permission).await;
        }

        #[tokio::test]
        async fn status_405_for_another_method() {
            $crate::statuses::method_not_allowed($path).await;
        }

        #[tokio::test]
        async fn status_406_if_json_is_not_accepted() {
            $crate::statuses::with_header($path, "accept", "text/html", 406).await;
        }

        #[tokio::test]
        async fn status_410_once_the_version_is_retired() {
            $crate::statuses::retired($path).await;
        }

        #[tokio::test]
        async fn status_425_for_early_data() {
            $crate::statuses::with_header($path, "early-data", "1", 425).await;
        }

        #[tokio::test]
        async fn status_429_beyond_the_rate_limit() {
            $crate::statuses::rate_limited($path).await;
        }
    };
}
pub(crate) use errors_of;

pub(crate) async fn unauthorized(path: &str) {
    let gateway = TestGateway::start("").await;
    for protocol in PROTOCOLS {
        let response = Client::over(&gateway, protocol).await.ask(get(path)).await;
        assert_unauthorized(&response, false, format!("{protocol:?}"));
    }
}

pub(crate) async fn forbidden(path: &str, permission: &str) {
    let gateway = TestGateway::start("").await;
    let others: Vec<String> =
        crate::contract::permissions().into_iter().filter(|name| name != permission).collect();
    let others: Vec<&str> = others.iter().map(String::as_str).collect();
    let key = gateway.create_key(KeySpec::with_permissions(Environment::Production, &others)).await;
    for protocol in PROTOCOLS {
        let response = Client::over(&gateway, protocol).await.ask(key.get(path)).await;
        let problem = assert_problem(&response, 403, format!("{protocol:?}"));
        assert_eq!(problem["requiredPermission"], permission, "{protocol:?}");
        assert_eq!(problem["grantedPermissions"], serde_json::json!(others), "{protocol:?}");
    }
}

pub(crate) async fn method_not_allowed(path: &str) {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    for protocol in PROTOCOLS {
        let response =
            Client::over(&gateway, protocol).await.ask(key.request(&http::Method::DELETE, path)).await;
        assert_problem(&response, 405, format!("{protocol:?}"));
        assert_eq!(response.field("allow"), Some("GET, HEAD, OPTIONS"), "{protocol:?}");
    }
}

pub(crate) async fn with_header(path: &str, name: &'static str, value: &'static str, status: u16) {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    for protocol in PROTOCOLS {
        let mut request = key.get(path);
        request.headers_mut().insert(name, HeaderValue::from_static(value));
        let response = Client::over(&gateway, protocol).await.ask(request).await;
        assert_problem(&response, status, format!("{protocol:?}"));
    }
}

pub(crate) async fn retired(path: &str) {
    let version = path.split('/').nth(1).expect("a path begins with its version");
    let dates = "published = \"2026-02-01\"\ndeprecated = \"2026-02-02\"\nsunset = \"2026-02-03\"";
    let gateway = TestGateway::start(&format!("[versions.{version}]\n{dates}")).await;
    let key = gateway.create_key(KeySpec::staging()).await;
    for protocol in PROTOCOLS {
        let response = Client::over(&gateway, protocol).await.ask(key.get(path)).await;
        assert_problem(&response, 410, format!("{protocol:?}"));
        assert_eq!(response.field("sunset"), Some("Tue, 03 Feb 2026 00:00:00 GMT"), "{protocol:?}");
    }
}

pub(crate) async fn rate_limited(path: &str) {
    /// A second may pass between two calls, so that the second one is within the rate again.
    const CALLS_MAX: usize = 10;
    let gateway = TestGateway::start("").await;
    for protocol in PROTOCOLS {
        let key = gateway.create_key(KeySpec::staging().option("--rate", "1/s")).await;
        let client = Client::over(&gateway, protocol).await;
        let mut limited: Option<Response> = None;
        for _ in 0..CALLS_MAX {
            let response = client.ask(key.get(path)).await;
            if response.status == 429 {
                limited = Some(response);
                break;
            }
            assert_eq!(response.status, 200, "{protocol:?}: {response:?}");
        }
        let limited = limited.unwrap_or_else(|| panic!("{protocol:?}: {CALLS_MAX} calls and no 429"));
        let problem = assert_problem(&limited, 429, format!("{protocol:?}"));
        let retry_after = problem["retryAfterSeconds"].to_string();
        assert_eq!(limited.field("retry-after"), Some(retry_after.as_str()), "{protocol:?}");
    }
}
