//! The path of a request alone: from authenticate to record, without a socket or a parser.
//!
//! Each request reuses the header map of the response before it, as hyper does. What making requests costs is measured
//! in the same rounds and subtracted.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::FutureExt as _;
use gateway::clock::SystemClock;
use gateway::config::{Config, Sources};
use gateway::http::Frontend;
use gateway::pipeline::{ConnectionCache, Pipeline};
use gateway::transport::{Listener, Peer, RequestBody, ResponseBody as _, Service as _};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use jiff::Timestamp;
use permissions::ServerSecret;
use versions::{Catalog, RELEASES};

use crate::options::Rounds;
use crate::seed;
use crate::statistics::Spread;

/// The command line.
pub type Options = Rounds;

/// Requests in each round.
pub(crate) const REQUESTS: u32 = 100_000;
/// The server secret.
pub(crate) const SECRET: [u8; 32] = [7; 32];

/// How many requests are made without being answered, and how many are answered.
#[derive(Clone, Debug, clap::Args)]
pub struct Exercise {
    #[arg(long)]
    made: u32,
    #[arg(long)]
    answered: u32,
}

/// A client of the newest date's ping.
pub(crate) struct Client {
    pub(crate) pipeline: &'static Pipeline,
    pub(crate) peer: Arc<Peer>,
    cache: Arc<ConnectionCache>,
    target: Uri,
    authorization: HeaderValue,
    fields: HeaderMap,
}

/// Measures nanoseconds and prints them.
pub fn run(Rounds { rounds }: Options) -> anyhow::Result<()> {
    let mut client = Client::new()?;
    let mut nanoseconds = Vec::new();
    client.answered(REQUESTS)?;
    for _ in 0..rounds {
        let made = client.made(REQUESTS);
        let answered = client.answered(REQUESTS)?;
        nanoseconds.push(answered.saturating_sub(made).as_secs_f64() * 1e9 / f64::from(REQUESTS));
    }
    let nanoseconds = Spread::of(nanoseconds);
    println!("pipeline: {nanoseconds:.0} ns (min / median / max of {rounds} rounds of {REQUESTS} requests)");
    Ok(())
}

/// Allocations of one request, as a mean over `requests`; `count` returns those of the process so far.
pub fn allocations(requests: u32, count: impl Fn() -> usize) -> anyhow::Result<f64> {
    let mut client = Client::new()?;
    // The first requests look up handles and let maps grow.
    client.answered(100)?;
    let before = count();
    client.made(requests);
    let made = count() - before;
    client.answered(requests)?;
    let answered = count() - before - made;
    Ok((answered as f64 - made as f64) / f64::from(requests))
}

impl Exercise {
    /// Makes requests and drops them, then makes others and has them answered: the difference of two runs that make as
    /// many in all is what the responses cost.
    pub fn run(&self) -> anyhow::Result<()> {
        let mut client = Client::new()?;
        client.made(self.made);
        client.answered(self.answered)?;
        Ok(())
    }
}

impl Client {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let flags = [("limits.key_rate", "1000000/s+1000000"), ("log.access", "false")];
        let flags = flags.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let config = Config::load(&Sources { flags, ..Sources::default() })?;
        let secret = ServerSecret::new(SECRET);
        let catalog = Catalog::new(RELEASES)?;
        let newest = catalog.tables().last().context("there is no version")?.version;
        gateway::telemetry::start_metrics()?;
        let frontend: &'static Frontend = Box::leak(Box::new(Frontend::new(Box::new(SystemClock), 1, false)));
        let pipeline = Pipeline::new(&config, Vec::new(), catalog, secret.clone(), frontend);
        let pipeline: &'static Pipeline = Box::leak(Box::new(pipeline));
        let (key, text) = seed::keys(&secret)?.next().context("there is no key")?;
        pipeline.keys().apply(&key, Timestamp::UNIX_EPOCH);
        let alt_svc = Some(HeaderValue::from_static(r#"h3=":8443"; ma=86400"#));
        let listener = Listener { tls: true, alt_svc, ..Listener::plain() };
        Ok(Self {
            pipeline,
            peer: Peer::alone([127, 0, 0, 1].into(), listener),
            cache: Arc::default(),
            target: format!("/{newest}/ping.json").parse()?,
            authorization: HeaderValue::try_from(format!("Bearer {}", text.expose()))?,
            fields: HeaderMap::with_capacity(16),
        })
    }

    fn request(&mut self) -> Request<RequestBody> {
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        fields.insert(header::HOST, HeaderValue::from_static("127.0.0.1:8443"));
        fields.insert(header::USER_AGENT, HeaderValue::from_static("bench"));
        fields.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        fields.insert(header::AUTHORIZATION, self.authorization.clone());
        let mut request = Request::new(RequestBody::Empty);
        *request.uri_mut() = self.target.clone();
        *request.headers_mut() = fields;
        request
    }

    /// The time to make so many requests.
    fn made(&mut self, requests: u32) -> Duration {
        let begin = Instant::now();
        for _ in 0..requests {
            let request = black_box(self.request());
            self.fields = request.into_parts().0.headers;
        }
        begin.elapsed()
    }

    /// The same with these credentials in turn.
    pub(crate) fn made_with(&mut self, requests: u32, bearers: [&HeaderValue; 2]) -> Duration {
        let begin = Instant::now();
        for number in 0..requests {
            self.authorization.clone_from(bearers[number as usize % 2]);
            self.made(1);
        }
        begin.elapsed()
    }

    /// The time to have so many requests answered with these credentials in turn.
    pub(crate) fn answered_with(
        &mut self,
        requests: u32,
        bearers: [&HeaderValue; 2],
    ) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        for number in 0..requests {
            self.authorization.clone_from(bearers[number as usize % 2]);
            self.answered(1)?;
        }
        Ok(begin.elapsed())
    }

    /// The time to make so many requests and have them answered.
    fn answered(&mut self, requests: u32) -> anyhow::Result<Duration> {
        let begin = Instant::now();
        for _ in 0..requests {
            let (head, body) = self.request().into_parts();
            let response = self
                .pipeline
                .serve(head, body, Arc::clone(&self.peer), Arc::clone(&self.cache))
                .now_or_never()
                .context("it waited")?;
            let (head, mut body) = black_box(response).into_parts();
            ensure!(head.status == StatusCode::OK, "it answered {}", head.status);
            // As a connection does that has sent it.
            body.complete();
            drop(body);
            self.fields = head.headers;
        }
        Ok(begin.elapsed())
    }
}
