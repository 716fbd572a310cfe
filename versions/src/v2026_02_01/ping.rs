//! `GET /2026-02-01/ping.json`: whether the API is up, and how fast it responds.

use std::sync::LazyLock;
use std::time::Duration;

use http::Method;
use permissions::{ApiAccessPermission, Environment};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::{Empty, Endpoint};

/// Checks that the API is up and that the key works.
pub struct Ping;

/// The API is up and the key works.
#[derive(Debug, Serialize, JsonSchema)]
pub struct PingResponse {
    /// Always `success`.
    #[schemars(extend("const" = "success"))]
    pub status: &'static str,
    /// The environment of your key.
    pub env: Environment,
    /// The processing time: milliseconds with two decimals, and the unit. Measured from the complete request header.
    #[serde(rename = "RRT")]
    pub rrt: Milliseconds,
}

/// A duration as text: `0.08 ms`.
#[derive(Debug, Clone, Copy, JsonSchema)]
#[schemars(with = "String", inline, extend("pattern" = r"^\d+\.\d\d ms$"))]
pub struct Milliseconds(pub Duration);

impl Serialize for Milliseconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// The texts below one millisecond, which is nearly all: formatting would cost more than the rest of the response.
        static SHORT: LazyLock<Vec<String>> = LazyLock::new(|| (0..100).map(text).collect());
        fn text(hundredths: u64) -> String {
            format!("{}.{:02} ms", hundredths / 100, hundredths % 100)
        }
        // Rounded half up.
        let nanoseconds = u64::try_from(self.0.as_nanos()).unwrap_or(u64::MAX);
        let hundredths = nanoseconds.saturating_add(5_000) / 10_000;
        match usize::try_from(hundredths).ok().and_then(|index| SHORT.get(index)) {
            Some(text) => serializer.serialize_str(text),
            None => serializer.serialize_str(&text(hundredths)),
        }
    }
}

impl Endpoint for Ping {
    const NAME: &'static str = "ping";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/ping.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::PING_READ;
    const SUMMARY: &'static str = "Check that the API is up and that your key works.";
    const SAFE: bool = true;

    type Request = Empty;
    type Response = PingResponse;

    fn example() -> PingResponse {
        PingResponse {
            status: "success",
            env: Environment::Production,
            rrt: Milliseconds(Duration::from_micros(80)),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::context::tests::{Still, context};
    use crate::{Handler as _, Instant};

    #[test]
    fn the_example_is_the_documented_body() {
        let json = serde_json::to_string(&Ping::example()).unwrap();
        assert_eq!(json, r#"{"status":"success","env":"production","RRT":"0.08 ms"}"#);
    }

    #[test]
    fn the_response_has_the_environment_and_milliseconds() {
        let services = Still::new(Instant::now());
        let headers = HeaderMap::new();
        for (age, rrt) in [
            (Duration::ZERO, "0.00 ms"),
            (Duration::from_nanos(4_999), "0.00 ms"),
            (Duration::from_nanos(5_000), "0.01 ms"),
            (Duration::from_micros(80), "0.08 ms"),
            (Duration::from_micros(999_995), "1000.00 ms"),
            (Duration::from_micros(1_234_567), "1234.57 ms"),
            (Duration::from_secs(10), "10000.00 ms"),
        ] {
            let context = context(&services, &headers, age);
            let answer =
                futures_util::FutureExt::now_or_never(Ping::handle(&context, Empty {})).unwrap().unwrap();
            assert_eq!(
                serde_json::to_string(&answer).unwrap(),
                format!(r#"{{"status":"success","env":"staging","RRT":"{rrt}"}}"#)
            );
        }
    }
}
