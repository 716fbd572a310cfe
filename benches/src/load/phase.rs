//! A number of requests on all streams, as fast as they are answered or at a fixed rate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use hdrhistogram::Histogram;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::client::{Client, Endpoint};
use super::request::{Failure, Requests};
use super::target::Target;

/// Latencies are kept in nanoseconds, from 1 µs to 1 minute, to two digits.
const LATENCY_MIN: u64 = 1_000;
const LATENCY_MAX: u64 = 60_000_000_000;

/// A part of the run with separate counts.
pub(super) struct Phase {
    total: u64,
    next: AtomicU64,
    start: Instant,
    pace: Option<Pace>,
    counts: Mutex<Counts>,
}

/// A fixed rate of arrivals. Latency counts from when a request was due, so a slow server does not get fewer requests
/// (no coordinated omission).
struct Pace {
    per_second: u64,
    /// One permit for each request that is due and was not sent.
    due: Semaphore,
}

/// What came of a phase.
pub(super) struct Counts {
    pub(super) latencies: Histogram<u64>,
    pub(super) errors: u64,
    pub(super) first_error: Option<String>,
}

impl Counts {
    /// A quantile of the latencies, in microseconds.
    #[expect(clippy::cast_precision_loss, reason = "latencies are kept to two digits")]
    pub(super) fn quantile_us(&self, quantile: f64) -> f64 {
        self.latencies.value_at_quantile(quantile) as f64 / 1e3
    }
}

impl Phase {
    /// So many requests; with a rate, so many in each second.
    pub(super) fn new(total: u64, rate: Option<u64>) -> anyhow::Result<Self> {
        let latencies =
            Histogram::new_with_bounds(LATENCY_MIN, LATENCY_MAX, 2).map_err(|error| anyhow!("{error}"))?;
        let pace = rate.map(|per_second| Pace { per_second, due: Semaphore::new(0) });
        let counts = Mutex::new(Counts { latencies, errors: 0, first_error: None });
        Ok(Self { total, next: AtomicU64::new(0), start: Instant::now(), pace, counts })
    }

    /// Waits for the turn of the next request: its number, and the moment from which its latency counts.
    async fn begin(&self) -> Option<(u64, Instant)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.total {
            return None;
        }
        let Some(pace) = &self.pace else { return Some((number, Instant::now())) };
        // Permits come in the order in which they were asked for, so this one belongs to `number`.
        pace.due.acquire().await.ok()?.forget();
        Some((number, self.moment(number, pace)))
    }

    /// Releases each request when it is due. It polls the clock: tokio's timers have a resolution of a millisecond, in
    /// which dozens are due.
    async fn keep_pace(&self) {
        let Some(pace) = &self.pace else { return };
        for number in 0..self.total {
            while Instant::now() < self.moment(number, pace) {
                tokio::task::yield_now().await;
            }
            pace.due.add_permits(1);
        }
    }

    fn moment(&self, number: u64, pace: &Pace) -> Instant {
        #[expect(clippy::cast_precision_loss, reason = "no run comes near 2^53 requests")]
        let offset = Duration::from_secs_f64(number as f64 / pace.per_second as f64);
        self.start + offset
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

    /// The counts at the end. Requests that were not sent, because all connections had failed, are errors.
    pub(super) fn into_counts(self) -> Counts {
        let unsent = self.total.saturating_sub(self.next.into_inner());
        let mut counts = self.counts.into_inner().unwrap_or_else(PoisonError::into_inner);
        counts.errors += unsent;
        counts
    }
}

/// The connections and the runtime that they live on.
pub(super) struct Clients {
    // Declared before the runtime: they must be dropped while it exists.
    clients: Vec<Client>,
    endpoints: Vec<Endpoint>,
    runtime: Runtime,
    /// Whether the thread does not sleep while a phase runs.
    awake: bool,
}

impl Clients {
    /// Opens the connections, one after the other.
    pub(super) fn connect(
        target: &Target,
        connections: usize,
        streams: usize,
        awake: bool,
    ) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (mut clients, mut endpoints) = (Vec::new(), Vec::new());
        for _ in 0..connections {
            let (opened, endpoint) = runtime.block_on(Client::open(target, streams))?;
            clients.extend(opened);
            endpoints.push(endpoint);
        }
        Ok(Self { clients, endpoints, runtime, awake })
    }

    /// One request on every connection, one after the other; then the server has `settle` to finish its work.
    pub(super) fn each_once(&mut self, requests: &Requests, settle: Duration) -> anyhow::Result<()> {
        self.runtime.block_on(async {
            for (number, client) in self.clients.iter_mut().enumerate() {
                client.request(requests.get(number as u64)).await.map_err(Failure::into_error)?;
            }
            tokio::time::sleep(settle).await;
            Ok(())
        })
    }

    /// Runs a phase to its end, or gives up after `limit`.
    pub(super) fn run(
        &mut self,
        requests: &Arc<Requests>,
        phase: Phase,
        limit: Duration,
    ) -> anyhow::Result<Counts> {
        let phase = Arc::new(phase);
        let clients = std::mem::take(&mut self.clients);
        self.runtime.block_on(async {
            let drive = |client| drive(client, Arc::clone(requests), Arc::clone(&phase));
            let mut tasks: JoinSet<Option<Client>> = clients.into_iter().map(drive).collect();
            let all = async {
                while let Some(client) = tasks.join_next().await {
                    self.clients.extend(client.context("a stream panicked")?);
                }
                anyhow::Ok(())
            };
            // Aborted when it is dropped.
            let mut spinning = JoinSet::new();
            if self.awake {
                // A runtime that has a task to run polls for events instead of waiting for them.
                spinning.spawn(async {
                    loop {
                        tokio::task::yield_now().await;
                    }
                });
            }
            let (all, ()) = tokio::time::timeout(limit, async { tokio::join!(all, phase.keep_pace()) })
                .await
                .with_context(|| format!("the requests took more than {limit:?}"))?;
            all
        })?;
        Ok(Arc::into_inner(phase).context("a stream is still running")?.into_counts())
    }

    /// Closes the connections in order.
    pub(super) fn close(self) {
        let Self { clients, endpoints, runtime, .. } = self;
        runtime.block_on(async {
            drop(clients);
            for endpoint in &endpoints {
                endpoint.close();
                endpoint.wait_closed().await;
            }
        });
    }
}

/// Sends one request after the other; returns the client unless its connection failed.
async fn drive(mut client: Client, requests: Arc<Requests>, phase: Arc<Phase>) -> Option<Client> {
    while let Some((number, start)) = phase.begin().await {
        match client.request(requests.get(number)).await {
            Ok(()) => phase.count(Ok(start.elapsed())),
            Err(Failure::Response(error)) => phase.count(Err(error)),
            Err(Failure::Connection(error)) => {
                phase.count(Err(format!("{error:#}")));
                return None;
            }
        }
    }
    Some(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn requests_are_due_one_after_the_other_however_late_they_are_sent() -> anyhow::Result<()> {
        let phase = Phase::new(100, Some(100))?;
        let send = async {
            let mut moments = Vec::new();
            while let Some((_, moment)) = phase.begin().await {
                assert!(moment <= Instant::now());
                moments.push(moment);
                if moments.len() == 10 {
                    tokio::time::sleep(Duration::from_millis(300)).await;
                }
            }
            moments
        };
        let (moments, ()) = tokio::join!(send, phase.keep_pace());
        assert_eq!(moments.len(), 100);
        let mut gaps = moments.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.all(|gap| gap.abs_diff(Duration::from_millis(10)) < Duration::from_micros(2)));
        assert_eq!(phase.into_counts().errors, 0);
        Ok(())
    }
}
