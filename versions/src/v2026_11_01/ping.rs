//! `GET /2026-11-01/ping.json`: whether the API is up, and how fast it responds.

use std::time::Duration;

use http::Method;
use permissions::{ApiAccessPermission, Environment};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::v2026_02_01::ping as before;
use crate::{Change, Context, Empty, Endpoint, Error, Handler, Version, successor};

/// Checks that the API is up and that the key works.
pub struct Ping;

/// The API is up and the key works.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PingResponse {
    /// Always `success`.
    #[schemars(extend("const" = "success"))]
    pub status: &'static str,
    /// The environment of your key.
    pub env: Environment,
    /// The version of the response.
    pub api_version: Version,
    /// The processing time in milliseconds, measured from the complete request header.
    #[serde(rename = "processingTimeMs")]
    pub processing_time: Milliseconds,
}

/// A duration in milliseconds, to the microsecond: `0.081`.
#[derive(Debug, Clone, Copy, JsonSchema)]
#[schemars(with = "f64", inline, extend("minimum" = 0))]
pub struct Milliseconds(pub Duration);

impl Serialize for Milliseconds {
    #[expect(clippy::cast_precision_loss, reason = "no duration measured here lasts for centuries")]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0.as_micros() as f64 / 1e3)
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
            api_version: super::RELEASE.version,
            processing_time: Milliseconds(Duration::from_micros(81)),
        }
    }
}

impl Handler for Ping {
    async fn handle(context: &Context<'_>, _: Empty) -> Result<PingResponse, Error> {
        Ok(PingResponse {
            status: "success",
            env: context.caller.environment,
            api_version: context.version,
            processing_time: Milliseconds(context.elapsed()),
        })
    }
}

impl Change for Ping {
    type Before = before::Ping;
    const NOTE: &'static str = "`RRT`, a string such as `0.08 ms`, is replaced by the number `processingTimeMs`; \
                                `apiVersion` is new.";

    fn up(request: Empty) -> Result<Empty, Error> {
        Ok(request)
    }

    fn down(_: &Context<'_>, response: PingResponse) -> before::PingResponse {
        let rrt = before::Milliseconds(response.processing_time.0);
        before::PingResponse { status: response.status, env: response.env, rrt }
    }
}

impl Handler for before::Ping {
    async fn handle(context: &Context<'_>, request: Empty) -> Result<before::PingResponse, Error> {
        successor::<Ping>(context, request).await
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;
    use crate::Instant;
    use crate::context::tests::{Still, context};

    #[test]
    fn the_example_is_the_documented_body() {
        let json = serde_json::to_string(&Ping::example()).unwrap();
        assert_eq!(
            json,
            r#"{"status":"success","env":"production","apiVersion":"2026-11-01","processingTimeMs":0.081}"#
        );
    }

    #[test]
    fn the_processing_time_is_a_number_to_the_microsecond() {
        let services = Still::new(Instant::now());
        let headers = HeaderMap::new();
        for (age, time) in [
            (Duration::ZERO, "0.0"),
            (Duration::from_nanos(999), "0.0"),
            (Duration::from_micros(80), "0.08"),
            (Duration::from_micros(1_234_567), "1234.567"),
        ] {
            let mut context = context(&services, &headers, age);
            context.version = super::super::RELEASE.version;
            let answer = Ping::handle(&context, Empty {});
            let answer = futures_util::FutureExt::now_or_never(answer).unwrap().unwrap();
            assert_eq!(
                serde_json::to_string(&answer).unwrap(),
                format!(
                    "{{\"status\":\"success\",\"env\":\"staging\",\"apiVersion\":\"2026-11-01\",\"processingTimeMs\":{time}}}"
                )
            );
        }
    }
}
