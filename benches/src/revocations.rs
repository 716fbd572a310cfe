//! How long a revocation takes where many keys are in use: each request of a key makes its last use a row to write, and
//! the thread that writes those also follows the changes.
//!
//! The load uses every key in turn over a few connections for as long as the measurement lasts, and the last uses are
//! written without a pause, which a server does for a few seconds of each minute. Both figures are of the processes'
//! clocks: from the commit until the server refuses the key, and the whole command with its own write.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use gateway::clock::SystemClock;
use gateway::folder::DataFolder;
use gateway::provisioning::{Actor, revoke};
use gateway::store::Store;
use permissions::KeyId;

use crate::contestant::{Contestant, Settings};
use crate::options::GATEWAY;
use crate::protocol::Protocol;
use crate::runner::{Runner, block_on};
use crate::seed::{KEYS, texts};

/// Requests that are sent at once; their responses fit into the buffers of a socket.
const BATCH: usize = 64;
const STATUS_LINE: &[u8] = b"HTTP/1.1 200";
const PURPOSE: &str = "revocations";
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// A revocation that takes longer has failed.
const APPLIED_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(1);
/// The longest pause before a revocation.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// The command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// The gateway's binary.
    #[arg(long, value_name = "FILE", default_value = GATEWAY)]
    gateway: PathBuf,
    /// Keys in use.
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    keys: u32,
    /// Revocations.
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    revocations: u32,
    /// Do as little as shows that it works; the figures mean nothing.
    #[arg(long)]
    smoke: bool,
}

/// Measures and prints.
pub fn run(options: &Options) -> anyhow::Result<()> {
    block_on(measure(options))
}

async fn measure(options: &Options) -> anyhow::Result<()> {
    let (keys, revocations) =
        if options.smoke { (1_000, 5) } else { (options.keys as usize, options.revocations as usize) };
    let runner = Runner::new()?;
    let settings =
        Settings { more_keys: keys.saturating_sub(KEYS), writes_last_use: true, ..Settings::default() };
    let contestant = Contestant::gateway("gateway", &options.gateway, settings)?;
    let subject = contestant.start(&runner, PURPOSE, None).await?;
    let address = subject.server.ready.address(Protocol::H1)?;
    let folder = DataFolder::locate(Some(runner.file(PURPOSE).join("gateway").join("data")))?;
    let mut store = Store::open(&folder, BUSY_TIMEOUT)?;

    let (stopping, rounds) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load = std::thread::spawn({
        let (stopping, rounds) = (Arc::clone(&stopping), Arc::clone(&rounds));
        move || use_keys(address, keys, &stopping, &rounds)
    });
    // From the first round on, every key is in use.
    while rounds.load(Ordering::Relaxed) == 0 && !load.is_finished() {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    let listed = store.list_keys(&gateway::store::KeyFilter::default())?;
    // Those that the load uses last, so that it does not meet a revoked key in its first round.
    let chosen: Vec<KeyId> =
        listed.iter().rev().step_by((keys / revocations).max(1)).map(|key| key.id).collect();
    let (mut applied, mut commands) = (Vec::new(), Vec::new());
    for id in chosen.into_iter().take(revocations) {
        tokio::time::sleep(PAUSE_MAX.mul_f64(rand::random())).await;
        let begin = Instant::now();
        let revoked =
            revoke(&mut store, &SystemClock, &Actor::operator(), id).context("cannot revoke a key")?;
        let receipt = loop {
            if let Some(receipt) = store.receipts(revoked.change.change)?.pop() {
                break receipt;
            }
            ensure!(begin.elapsed() < APPLIED_TIMEOUT, "a revocation is not applied");
            tokio::time::sleep(POLL_INTERVAL).await;
        };
        commands.push(begin.elapsed());
        let since = receipt.applied_at.duration_since(revoked.change.at);
        applied.push(Duration::try_from(since).unwrap_or_default());
    }
    stopping.store(true, Ordering::Relaxed);
    let requests = load.join().map_err(|_| anyhow::anyhow!("the load panicked"))??;
    subject.end().await?;
    println!("{keys} keys in use, {requests} requests, {revocations} revocations: p50 / p99 / worst");
    for (what, mut took) in
        [("from the commit until applied", applied), ("the command from start to end", commands)]
    {
        took.sort_unstable();
        let at = |part: f64| took[((took.len() - 1) as f64 * part).ceil() as usize].as_secs_f64() * 1e3;
        println!("{what}: {:.1} / {:.1} / {:.1} ms", at(0.5), at(0.99), at(1.0));
    }
    Ok(())
}

/// Sends requests with one key after the other; returns how many.
fn use_keys(
    address: SocketAddr,
    keys: usize,
    stopping: &AtomicBool,
    rounds: &AtomicU64,
) -> anyhow::Result<u64> {
    let texts: Vec<String> = texts()?.take(keys).map(|text| text.expose().to_owned()).collect();
    let mut requests = 0;
    while !stopping.load(Ordering::Relaxed) {
        // A connection is closed when a key that was used on it is revoked, so none is kept for long.
        for batch in texts.chunks(BATCH) {
            let mut stream = TcpStream::connect(address).context("cannot connect")?;
            stream.set_read_timeout(Some(APPLIED_TIMEOUT))?;
            let (mut bytes, mut responses) = (Vec::new(), Vec::new());
            for (number, text) in batch.iter().enumerate() {
                let close = if number + 1 == batch.len() { "connection: close\r\n" } else { "" };
                write!(
                    bytes,
                    "GET /2026-11-01/ping.json HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {text}\r\n{close}\r\n"
                )?;
            }
            // Where the connection is closed before its end, the rest is not counted.
            let _ = stream.write_all(&bytes).and_then(|()| stream.read_to_end(&mut responses));
            let answered =
                responses.windows(STATUS_LINE.len()).filter(|window| *window == STATUS_LINE).count();
            requests += answered as u64;
            if stopping.load(Ordering::Relaxed) {
                break;
            }
        }
        rounds.fetch_add(1, Ordering::Relaxed);
    }
    Ok(requests)
}
