//! pingora without an upstream: its HTTP service with a map of keys and pingora's rate estimator.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clap::Parser as _;
use http::header::AUTHORIZATION;
use http::{Response, StatusCode};
use peers::response::Responses;
use peers::{Keys, Options, REQUESTS_PER_SECOND_MAX};
use pingora_core::apps::http_app::ServeHttp;
use pingora_core::listeners::tls::TlsSettings;
use pingora_core::protocols::http::ServerSession;
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;
use pingora_core::services::listening::Service;
use pingora_limits::rate::Rate;

/// The allocator of the gateway, so that every program of Rust pays the same for its memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// What a request needs.
struct Api {
    keys: Keys,
    rate: Rate,
    responses: Responses,
}

impl Api {
    /// The response, or the status of an error.
    fn respond(&self, session: &ServerSession) -> Result<Response<Vec<u8>>, StatusCode> {
        let request = session.req_header();
        let authorization = request.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let partner: &Arc<str> =
            authorization.and_then(|value| self.keys.get(value)).ok_or(StatusCode::UNAUTHORIZED)?;
        if self.rate.observe(partner, 1) > REQUESTS_PER_SECOND_MAX as isize {
            return Err(StatusCode::TOO_MANY_REQUESTS);
        }
        match self.responses.to(request.uri.path()) {
            response if response.status() == StatusCode::OK => Ok(response.map(|body| body.to_vec())),
            response => Err(response.status()),
        }
    }
}

#[async_trait]
impl ServeHttp for Api {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        self.respond(session).unwrap_or_else(|status| {
            let mut response = Response::new(Vec::new());
            *response.status_mut() = status;
            response.headers_mut().insert(http::header::CONTENT_LENGTH, 0.into());
            response
        })
    }
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut responses = Responses::over_tcp(options.https.port())?;
    responses.add_constant_date();
    let api = Api { keys: peers::read_keys(&options)?, rate: Rate::new(Duration::from_secs(1)), responses };
    let mut tls = TlsSettings::intermediate(
        &options.certificate.to_string_lossy(),
        &options.private_key.to_string_lossy(),
    )?;
    tls.enable_h2();
    let mut service = Service::new("api".to_owned(), api);
    service.add_tcp(&options.http.to_string());
    service.add_tls_with_settings(&options.https.to_string(), None, tls);
    // One thread that shares its tasks with none: with work stealing each costs more.
    let conf = ServerConf { threads: 1, work_stealing: false, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.add_service(service);
    server.bootstrap();
    server.run_forever()
}
