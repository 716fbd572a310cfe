//! The operations site, for the operator's tools: `/livez`, `/readyz`, `/metrics`, `/version`.
//!
//! It runs on another thread than the workers, so it responds while they are full. It requires no credential:
//! keep it on loopback, or behind something that authenticates.

use std::sync::Arc;

use http::StatusCode;
use http::request::Parts;
use metrics::gauge;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;

use super::page::{Page, PageSite};
use super::process;
use crate::pipeline::Pipeline;
use crate::readiness::Readiness;
use crate::telemetry::Logs;
use crate::transport::Connections;

const PATHS: [&str; 4] = ["/livez", "/readyz", "/metrics", "/version"];

/// Serves the operator's tools.
pub struct Operations {
    /// Readiness, for `/readyz`.
    pub readiness: Arc<Readiness>,
    /// The collected metrics.
    pub metrics: PrometheusHandle,
    /// The API.
    pub pipeline: &'static Pipeline,
    /// The pools of the partners' connections.
    pub connections: Vec<Arc<Connections>>,
    /// The log.
    pub logs: Arc<Logs>,
}

impl Operations {
    fn answer(&self, path: &str) -> (StatusCode, &'static str, String) {
        const JSON: &str = "application/json";
        match path {
            "/livez" => (StatusCode::OK, JSON, json!({ "status": "live" }).to_string()),
            "/readyz" => {
                if self.pipeline.is_full() {
                    let body =
                        json!({ "status": "busy", "reason": "no more requests are taken at the moment" });
                    return (StatusCode::SERVICE_UNAVAILABLE, JSON, body.to_string());
                }
                let (store, age) = self.readiness.store_report();
                let verdict = self.readiness.verdict();
                let code = if verdict.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                let mut body = json!({ "status": verdict.status, "store": store });
                if let Some(age) = age {
                    body["storeAgeSeconds"] = age.into();
                }
                if let Some(reason) = verdict.reason {
                    body["reason"] = reason.into();
                }
                (code, JSON, body.to_string())
            }
            "/metrics" => (StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", self.render()),
            "/version" => {
                let versions: Vec<String> = self
                    .pipeline
                    .snapshot()
                    .catalog
                    .tables()
                    .iter()
                    .map(|table| table.version.to_string())
                    .collect();
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
        let connections: usize = self.connections.iter().map(|pool| pool.count()).sum();
        gauge!("gateway_connections").set(connections as f64);
        let [answering, receiving] = self.pipeline.in_flight();
        gauge!("gateway_requests_in_flight").set(answering as f64);
        gauge!("gateway_uploads_in_flight").set(receiving as f64);
        gauge!("gateway_keys").set(self.pipeline.keys().count() as f64);
        gauge!("gateway_log_lines_dropped").set(self.logs.dropped_lines() as f64);
        self.metrics.render() + &self.pipeline.frontend().durations.render() + &process::render()
    }
}

impl PageSite for Operations {
    /// Probes come every few seconds.
    const LOGGED: bool = false;

    fn pipeline(&self) -> &'static Pipeline {
        self.pipeline
    }

    async fn page(&'static self, head: &Parts) -> Page {
        let path = head.uri.path();
        let (status, media_type, body) = self.answer(path);
        let mut page = Page::new(status, media_type, body);
        if let Some(path) = PATHS.iter().find(|candidate| **candidate == path) {
            page.route = Some(self.pipeline.frontend().durations.route(path));
        }
        page
    }

    fn error(&self, status: StatusCode, detail: &str) -> Page {
        Page::new(status, "application/json", json!({ "error": detail }).to_string())
    }
}
