//! Running the loop: a number of requests, or a time, shared by all streams of all threads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use hdrhistogram::Histogram;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_rustls::client::TlsStream;

use super::http1::Http1;
use super::http2::Http2;
use super::http3::{self, Http3};
use super::job::{Failure, Job};
use super::pace::Pace;
use super::streams::Streams;
use super::target::Target;
use crate::protocol::Protocol;

/// Latencies are kept in nanoseconds, from 1 µs to 1 minute, to two digits.
const LATENCY_MIN: u64 = 1_000;
const LATENCY_MAX: u64 = 60_000_000_000;

/// A part of the run with its own count.
pub(super) struct Phase {
    /// Requests that nobody has begun yet.
    left: AtomicU64,
    /// When no further request is begun.
    until: Option<Instant>,
    /// When each request begins, if not as soon as a stream is free.
    pace: Option<Pace>,
    /// When the requests under way are given up.
    limit: Duration,
    counts: Mutex<Counts>,
}

struct Counts {
    latencies: Histogram<u64>,
    errors: u64,
    first_error: Option<String>,
}

/// What a phase came to.
pub(super) struct Tally {
    pub(super) answered: u64,
    pub(super) errors: u64,
    pub(super) first_error: Option<String>,
    pub(super) p50_us: f64,
    pub(super) p99_us: f64,
    pub(super) p999_us: f64,
}

impl Phase {
    /// So many requests, given up after `limit`.
    pub(super) fn of_requests(requests: u64, limit: Duration) -> anyhow::Result<Self> {
        Self::new(requests, None, None, limit)
    }

    /// As many requests as there is time for; those under way then have `grace`.
    pub(super) fn of_time(time: Duration, grace: Duration) -> anyhow::Result<Self> {
        Self::new(u64::MAX, Some(Instant::now() + time), None, time + grace)
    }

    /// So many requests per second, whether or not the answers come as fast; those that are late at the end
    /// then have `grace`.
    pub(super) fn of_rate(per_second: u64, seconds: u64, grace: Duration) -> anyhow::Result<Self> {
        let pace = Pace::new(per_second, seconds);
        Self::new(pace.total(), None, Some(pace), Duration::from_secs(seconds) + grace)
    }

    fn new(
        requests: u64,
        until: Option<Instant>,
        pace: Option<Pace>,
        limit: Duration,
    ) -> anyhow::Result<Self> {
        let latencies =
            Histogram::new_with_bounds(LATENCY_MIN, LATENCY_MAX, 2).map_err(|e| anyhow!("{e}"))?;
        let counts = Mutex::new(Counts { latencies, errors: 0, first_error: None });
        Ok(Self { left: AtomicU64::new(requests), until, pace, limit, counts })
    }

    /// Takes one request to send, if there is one.
    fn take(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
            && self
                .left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                .is_ok()
    }

    /// Waits for the turn of the next request, and gives the moment from which its latency counts.
    async fn begin(&self) -> Option<Instant> {
        match &self.pace {
            Some(pace) => pace.next().await,
            None => self.take().then(Instant::now),
        }
    }

    /// Goes on while requests have yet to become due.
    async fn keep_pace(&self) {
        if let Some(pace) = &self.pace {
            pace.release().await;
        }
    }

    fn count(&self, result: Result<Duration, String>) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(latency) => {
                let nanos = u64::try_from(latency.as_nanos()).unwrap_or(LATENCY_MAX);
                counts.latencies.saturating_record(nanos);
            }
            Err(error) => {
                counts.errors += 1;
                counts.first_error.get_or_insert(error);
            }
        }
    }

    /// The counts at the end. Requests that were never sent, because every stream had failed, are errors.
    pub(super) fn tally(&self) -> Tally {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let unsent = match (&self.pace, self.until) {
            (Some(pace), _) => pace.left(),
            (None, Some(_)) => 0,
            (None, None) => self.left.load(Ordering::Relaxed),
        };
        #[expect(clippy::cast_precision_loss, reason = "latencies are kept to two digits")]
        let micros = |quantile: f64| counts.latencies.value_at_quantile(quantile) as f64 / 1e3;
        Tally {
            answered: counts.latencies.len(),
            errors: counts.errors + unsent,
            first_error: counts.first_error.clone(),
            p50_us: micros(0.50),
            p99_us: micros(0.99),
            p999_us: micros(0.999),
        }
    }
}

/// A place for one request at a time.
enum Stream {
    Clear(Http1<TcpStream>),
    Encrypted(Box<Http1<TlsStream<TcpStream>>>),
    Two(Http2),
    Three(Http3),
    Bare(Streams),
}

impl Stream {
    async fn request(&mut self, job: &Job) -> Result<(), Failure> {
        match self {
            Self::Clear(stream) => stream.request(job).await,
            Self::Encrypted(stream) => stream.request(job).await,
            Self::Two(stream) => stream.request(job).await,
            Self::Three(stream) => stream.request(job).await,
            Self::Bare(stream) => stream.request(job).await,
        }
    }
}

/// A thread's runtime and its share of the connections, which live from phase to phase.
pub(super) struct Worker {
    // Declared before the runtime, because what they hold must be dropped while it exists.
    streams: Vec<Stream>,
    endpoints: Vec<quinn::Endpoint>,
    runtime: Runtime,
    /// Whether the thread does not sleep while a phase runs.
    awake: bool,
}

impl Worker {
    /// Opens the connections, one after the other.
    pub(super) fn connect(
        target: &Target,
        connections: usize,
        streams: usize,
        awake: bool,
    ) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut worker = Self { streams: Vec::new(), endpoints: Vec::new(), runtime, awake };
        for _ in 0..connections {
            worker.runtime.block_on(async {
                match target.protocol {
                    Protocol::H1 => worker.streams.push(Stream::Clear(Http1::new(target.tcp().await?))),
                    Protocol::H1Tls => {
                        let stream = Http1::new(target.tls().await?);
                        worker.streams.push(Stream::Encrypted(Box::new(stream)));
                    }
                    Protocol::H2Tls => {
                        let opened = Http2::open(target.tls().await?, streams).await?;
                        worker.streams.extend(opened.into_iter().map(Stream::Two));
                    }
                    Protocol::H3 => {
                        let (endpoint, connection) = target.quic().await?;
                        let opened = Http3::open(connection, streams).await?;
                        worker.endpoints.push(endpoint);
                        worker.streams.extend(opened.into_iter().map(Stream::Three));
                    }
                    Protocol::QuicStreams => {
                        let (endpoint, connection) = target.quic().await?;
                        worker.endpoints.push(endpoint);
                        let opened = (0..streams).map(|_| Stream::Bare(Streams::new(connection.clone())));
                        worker.streams.extend(opened);
                    }
                }
                anyhow::Ok(())
            })?;
        }
        Ok(worker)
    }

    /// One request on every stream, one after the other.
    pub(super) fn each_once(&mut self, job: &Job) -> anyhow::Result<()> {
        self.runtime.block_on(async {
            for stream in &mut self.streams {
                stream.request(job).await.map_err(Failure::into_error)?;
            }
            Ok(())
        })
    }

    /// Lets the connections answer what the server sends them on its own, for a time.
    pub(super) fn idle(&self, time: Duration) {
        self.runtime.block_on(async { tokio::time::sleep(time).await });
    }

    /// Ends the connections in order.
    pub(super) fn close(self) {
        let Self { streams, endpoints, runtime, .. } = self;
        runtime.block_on(async {
            drop(streams);
            for endpoint in &endpoints {
                http3::goodbye(endpoint).await;
            }
        });
    }

    fn run(&mut self, job: &Arc<Job>, phase: &Arc<Phase>) -> anyhow::Result<()> {
        let streams = std::mem::take(&mut self.streams);
        self.runtime.block_on(async {
            let mut tasks: JoinSet<Option<Stream>> =
                streams.into_iter().map(|stream| drive(stream, Arc::clone(job), Arc::clone(phase))).collect();
            let all = async {
                while let Some(stream) = tasks.join_next().await {
                    self.streams.extend(stream.context("a stream panicked")?);
                }
                anyhow::Ok(())
            };
            // Ends when it is dropped.
            let mut awake = JoinSet::new();
            if self.awake {
                // A runtime that has something to do looks for events without waiting for them.
                awake.spawn(async {
                    loop {
                        tokio::task::yield_now().await;
                    }
                });
            }
            let (all, ()) = tokio::time::timeout(phase.limit, async { tokio::join!(all, phase.keep_pace()) })
                .await
                .with_context(|| format!("the requests took more than {:?}", phase.limit))?;
            all
        })
    }
}

/// Sends one request after the other; gives the stream back while it is of use.
async fn drive(mut stream: Stream, job: Arc<Job>, phase: Arc<Phase>) -> Option<Stream> {
    while let Some(start) = phase.begin().await {
        match stream.request(&job).await {
            Ok(()) => phase.count(Ok(start.elapsed())),
            Err(Failure::Answer(error)) => phase.count(Err(error)),
            Err(Failure::Connection(error)) => {
                phase.count(Err(format!("{error:#}")));
                return None;
            }
        }
    }
    Some(stream)
}

/// Runs a phase on all workers and waits for its end.
pub(super) fn run(workers: &mut [Worker], job: &Arc<Job>, phase: &Arc<Phase>) -> anyhow::Result<()> {
    thread::scope(|scope| {
        let threads: Vec<_> =
            workers.iter_mut().map(|worker| scope.spawn(move || worker.run(job, phase))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?)
    })
}
