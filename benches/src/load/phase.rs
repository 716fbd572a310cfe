//! A number of requests on all streams, as fast as they are answered or at a fixed rate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use hdrhistogram::Histogram;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::client::{Client, Endpoint};
use super::request::Requests;
use super::target::Target;

/// Latencies are kept in nanoseconds, from 1 µs to 1 minute, to two digits.
const LATENCY_MIN: u64 = 1_000;
const LATENCY_MAX: u64 = 60_000_000_000;

/// A part of the run, with its latencies.
pub(super) struct Phase {
    total: u64,
    next: AtomicU64,
    start: Instant,
    /// Requests in each second. Latency counts from when a request was due, so a slow server does not get fewer
    /// requests (no coordinated omission).
    rate: Option<u64>,
    /// With a rate, one permit for each request that is due and was not sent.
    due: Semaphore,
    latencies: Mutex<Histogram<u64>>,
}

impl Phase {
    /// So many requests; with a rate, so many in each second.
    pub(super) fn new(total: u64, rate: Option<u64>) -> anyhow::Result<Self> {
        let latencies = Histogram::new_with_bounds(LATENCY_MIN, LATENCY_MAX, 2);
        let latencies = Mutex::new(latencies.map_err(|error| anyhow!("{error}"))?);
        Ok(Self {
            total,
            next: AtomicU64::new(0),
            start: Instant::now(),
            rate,
            due: Semaphore::new(0),
            latencies,
        })
    }

    /// Waits for the turn of the next request: its number, and the moment from which its latency counts.
    async fn begin(&self) -> Option<(u64, Instant)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.total {
            return None;
        }
        let Some(rate) = self.rate else { return Some((number, Instant::now())) };
        // Permits come in the order in which they were asked for, so this one belongs to `number`.
        self.due.acquire().await.ok()?.forget();
        Some((number, self.moment(number, rate)))
    }

    /// Releases each request when it is due. It polls the clock: tokio's timers have a resolution of a millisecond, in
    /// which dozens are due.
    async fn keep_pace(&self) {
        let Some(rate) = self.rate else { return };
        for number in 0..self.total {
            while Instant::now() < self.moment(number, rate) {
                tokio::task::yield_now().await;
            }
            self.due.add_permits(1);
        }
    }

    fn moment(&self, number: u64, rate: u64) -> Instant {
        #[expect(clippy::cast_precision_loss, reason = "no run comes near 2^53 requests")]
        let offset = Duration::from_secs_f64(number as f64 / rate as f64);
        self.start + offset
    }

    fn record(&self, latency: Duration) {
        let mut latencies = self.latencies.lock().unwrap_or_else(PoisonError::into_inner);
        latencies.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(LATENCY_MAX));
    }
}

/// Open connections.
pub struct Clients {
    clients: Vec<Client>,
    endpoints: Vec<Endpoint>,
}

impl Clients {
    /// Opens the connections, one after the other.
    pub(super) async fn connect(target: &Target, connections: usize, streams: usize) -> anyhow::Result<Self> {
        let (mut clients, mut endpoints) = (Vec::new(), Vec::new());
        for _ in 0..connections {
            let (opened, endpoint) = Client::open(target, streams).await?;
            clients.extend(opened);
            endpoints.push(endpoint);
        }
        Ok(Self { clients, endpoints })
    }

    /// One request on every stream, one after the other.
    pub(super) async fn each_once(&mut self, requests: &Requests) -> anyhow::Result<()> {
        for (number, client) in self.clients.iter_mut().enumerate() {
            client.request(requests.get(number as u64)).await?;
        }
        Ok(())
    }

    /// Runs a phase to its end; if `awake`, without sleeping.
    pub(super) async fn run(
        &mut self,
        requests: &Arc<Requests>,
        phase: Phase,
        awake: bool,
    ) -> anyhow::Result<Histogram<u64>> {
        let phase = Arc::new(phase);
        let clients = std::mem::take(&mut self.clients);
        let drive = |client| drive(client, Arc::clone(requests), Arc::clone(&phase));
        let mut tasks: JoinSet<anyhow::Result<Client>> = clients.into_iter().map(drive).collect();
        let all = async {
            while let Some(client) = tasks.join_next().await {
                self.clients.push(client.context("a stream panicked")??);
            }
            Ok(())
        };
        // Aborted when it is dropped.
        let mut spinning = JoinSet::new();
        if awake {
            // A runtime that has a task to run polls for events instead of waiting for them.
            spinning.spawn(async {
                loop {
                    tokio::task::yield_now().await;
                }
            });
        }
        let pace = async {
            phase.keep_pace().await;
            anyhow::Ok(())
        };
        tokio::try_join!(all, pace)?;
        let phase = Arc::into_inner(phase).context("a stream is still running")?;
        Ok(phase.latencies.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Closes the connections in order.
    pub async fn close(self) {
        drop(self.clients);
        for endpoint in &self.endpoints {
            endpoint.close();
            endpoint.wait_closed().await;
        }
    }
}

/// Sends one request after the other.
async fn drive(mut client: Client, requests: Arc<Requests>, phase: Arc<Phase>) -> anyhow::Result<Client> {
    while let Some((number, start)) = phase.begin().await {
        client.request(requests.get(number)).await?;
        phase.record(start.elapsed());
    }
    Ok(client)
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
        Ok(())
    }
}
