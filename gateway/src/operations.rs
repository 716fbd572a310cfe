//! What the operator's tools ask, on a listener of its own: `/livez`, `/readyz`, `/metrics`, `/version`.
//!
//! It runs beside the workers, so it answers while they are full. It takes no credential: keep it on
//! loopback, or behind something that asks for one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures_util::future::Either;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, Version, header};
use metrics::gauge;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use versions::Services as _;

use crate::pipeline::{Pipeline, date};
use crate::readiness::Readiness;
use crate::telemetry::Logs;
use crate::transport::{Body, Connections, Peer, Served, Service};

/// Answers the operator's tools.
pub struct Operations {
    /// Whether the process can serve.
    pub readiness: Arc<Readiness>,
    /// What is collected.
    pub metrics: PrometheusHandle,
    /// The path of requests.
    pub pipeline: &'static Pipeline,
    /// The partners' connections.
    pub connections: Arc<Connections>,
    /// The log.
    pub logs: Arc<Logs>,
}

impl Operations {
    fn answer(&self, path: &str) -> (StatusCode, &'static str, String) {
        const JSON: &str = "application/json";
        match path {
            "/livez" => (StatusCode::OK, JSON, json!({ "status": "live" }).to_string()),
            "/readyz" => {
                let failing = self.readiness.store_failing.load(Ordering::Relaxed);
                let verdict = self.readiness.verdict();
                let code = if verdict.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                let mut body =
                    json!({ "status": verdict.status, "store": if failing { "failing" } else { "ok" } });
                if let Some(reason) = verdict.reason {
                    body["reason"] = reason.into();
                }
                (code, JSON, body.to_string())
            }
            "/metrics" => (StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", self.render()),
            "/version" => {
                let versions: Vec<String> =
                    versions::RELEASES.iter().map(|release| release.version.to_string()).collect();
                let body = json!({ "version": env!("CARGO_PKG_VERSION"), "apiVersions": versions });
                (StatusCode::OK, JSON, body.to_string())
            }
            _ => {
                let error = "There are /livez, /readyz, /metrics and /version here.";
                (StatusCode::NOT_FOUND, JSON, json!({ "error": error }).to_string())
            }
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of this size are exact in a double")]
    fn render(&self) -> String {
        gauge!("gateway_connections").set(self.connections.count() as f64);
        gauge!("gateway_requests_in_flight").set(self.pipeline.in_flight() as f64);
        gauge!("gateway_keys").set(self.pipeline.keys().count() as f64);
        gauge!("gateway_log_lines_dropped").set(self.logs.dropped_lines() as f64);
        self.metrics.render() + &self.pipeline.durations().render()
    }
}

impl Service for Operations {
    type Notes = ();

    fn serve(&'static self, head: Parts, _: Body, _: &Arc<Peer>, (): &mut ()) -> Served {
        let (status, kind, body) = match head.method {
            Method::GET | Method::HEAD => self.answer(head.uri.path()),
            _ => {
                let error = json!({ "error": "Only GET is answered here." }).to_string();
                (StatusCode::METHOD_NOT_ALLOWED, "application/json", error)
            }
        };
        let is_head = head.method == Method::HEAD;
        let length = body.len();
        let mut response = Response::new(if is_head { Body::Empty } else { Body::from(Bytes::from(body)) });
        *response.status_mut() = status;
        let fields = response.headers_mut();
        fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // Over HTTP/2 and HTTP/3 nothing else puts them in.
        fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        fields.insert(header::DATE, date(self.pipeline.now()));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            fields.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        Either::Left(std::future::ready(response))
    }

    fn refuse(&'static self, status: StatusCode, _: Version, _: &Arc<Peer>) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from_static(br#"{"error":"The request is malformed."}"#));
        *response.status_mut() = status;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response.headers_mut().insert(header::DATE, date(self.pipeline.now()));
        response
    }
}
