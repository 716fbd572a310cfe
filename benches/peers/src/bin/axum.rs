//! axum with the layers that an API usually has: traces, metrics, authentication and a rate limit.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::get;
use axum_server::accept::NoDelayAcceptor;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use clap::Parser as _;
use http::StatusCode;
use http::header::AUTHORIZATION;
use metrics::{counter, histogram};
use metrics_exporter_prometheus::PrometheusBuilder;
use peers::response::{ENDPOINTS, Responses};
use peers::{Keys, Options, RATE_INTERVAL, REQUESTS_PER_SECOND_MAX};
use tower_governor::governor::GovernorConfigBuilder;
use tower_governor::key_extractor::KeyExtractor;
use tower_governor::{GovernorError, GovernorLayer};
use tower_http::trace::TraceLayer;

/// The allocator of the gateway, so that every program of Rust pays the same for its memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The partner whose key it was.
#[derive(Clone)]
struct Partner(Arc<str>);

/// Limits each partner.
#[derive(Clone)]
struct ByPartner;

impl KeyExtractor for ByPartner {
    type Key = Arc<str>;

    fn extract<T>(&self, request: &Request<T>) -> Result<Self::Key, GovernorError> {
        let partner = request.extensions().get::<Partner>().ok_or(GovernorError::UnableToExtractKey)?;
        Ok(Arc::clone(&partner.0))
    }
}

/// One thread, like every other contestant.
fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(tracing_subscriber::filter::LevelFilter::INFO)
        .init();
    PrometheusBuilder::new().install_recorder()?;
    let options = Options::parse();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(&options))
}

async fn serve(options: &Options) -> anyhow::Result<()> {
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok().context("there is a provider")?;
    // It offers HTTP/2 and HTTP/1.1.
    let tls = RustlsConfig::from_pem_file(&options.certificate, &options.private_key).await?;
    let app = router(peers::read_keys(options)?, Responses::over_tcp(options.https.port())?)?;
    let clear = axum_server::bind(options.http).acceptor(NoDelayAcceptor);
    let encrypted =
        axum_server::bind(options.https).acceptor(RustlsAcceptor::new(tls).acceptor(NoDelayAcceptor));
    tokio::try_join!(clear.serve(app.clone().into_make_service()), encrypted.serve(app.into_make_service()))?;
    Ok(())
}

fn router(keys: Keys, responses: Responses) -> anyhow::Result<Router> {
    let limit = GovernorConfigBuilder::default()
        .period(RATE_INTERVAL)
        .burst_size(REQUESTS_PER_SECOND_MAX)
        .key_extractor(ByPartner)
        .finish()
        .context("there is no such limit")?;
    let routes =
        ENDPOINTS.iter().fold(Router::new(), |routes, endpoint| routes.route(endpoint.path, get(respond)));
    // The layer that is added last comes first.
    Ok(routes
        .layer(GovernorLayer::new(limit))
        .layer(from_fn_with_state(Arc::new(keys), authenticate))
        .layer(from_fn(measure))
        .layer(TraceLayer::new_for_http())
        .with_state(Arc::new(responses)))
}

async fn respond(State(responses): State<Arc<Responses>>, request: Request) -> Response {
    responses.to(request.uri().path()).map(Body::from)
}

async fn authenticate(
    State(keys): State<Arc<Keys>>,
    mut request: Request,
    next: Next,
) -> Result<Response, StatusCode> {
    let authorization = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let partner = authorization.and_then(|value| keys.get(value)).ok_or(StatusCode::UNAUTHORIZED)?;
    request.extensions_mut().insert(Partner(Arc::clone(partner)));
    Ok(next.run(request).await)
}

/// The two metrics of axum's example.
async fn measure(request: Request, next: Next) -> Result<Response, Infallible> {
    let start = Instant::now();
    let path = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str).to_owned();
    let method = request.method().as_str().to_owned();
    let response = next.run(request).await;
    let labels = [("method", method), ("path", path), ("status", response.status().as_u16().to_string())];
    counter!("http_requests_total", &labels).increment(1);
    histogram!("http_requests_duration_seconds", &labels).record(start.elapsed().as_secs_f64());
    Ok(response)
}
