//! A number of requests on all streams, as fast as they are answered or at a fixed rate.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use hdrhistogram::Histogram;
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
    latencies: Mutex<Histogram<u64>>,
}

impl Phase {
    /// So many requests; with a rate, so many in each second.
    pub(super) fn new(total: u64, rate: Option<u64>) -> anyhow::Result<Self> {
        let latencies = Histogram::new_with_bounds(LATENCY_MIN, LATENCY_MAX, 2);
        let latencies = Mutex::new(latencies.map_err(|error| anyhow!("{error}"))?);
        Ok(Self { total, next: AtomicU64::new(0), start: Instant::now(), rate, latencies })
    }

    /// Waits for the turn of the next request: its number, and the moment from which its latency counts.
    async fn begin(&self) -> Option<(u64, Instant)> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        if number >= self.total {
            return None;
        }
        let Some(rate) = self.rate else { return Some((number, Instant::now())) };
        #[expect(clippy::cast_precision_loss, reason = "no run comes near 2^53 requests")]
        let moment = self.start + Duration::from_secs_f64(number as f64 / rate as f64);
        // tokio's timers have a resolution of a millisecond, in which dozens are due.
        while Instant::now() < moment {
            tokio::task::yield_now().await;
        }
        Some((number, moment))
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
        while let Some(client) = tasks.join_next().await {
            self.clients.push(client.context("a stream panicked")??);
        }
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
        let mut moments = Vec::new();
        while let Some((_, moment)) = phase.begin().await {
            assert!(moment <= Instant::now());
            moments.push(moment);
            if moments.len() == 10 {
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        }
        assert_eq!(moments.len(), 100);
        let mut gaps = moments.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.all(|gap| gap.abs_diff(Duration::from_millis(10)) < Duration::from_micros(2)));
        Ok(())
    }
}
