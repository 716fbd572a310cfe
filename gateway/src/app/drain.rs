//! Signals, and the drain, in which no accepted request is lost.
//!
//! On the first SIGTERM, SIGINT or SIGQUIT the process is no longer ready, accepts no new connections, asks
//! every client to reconnect elsewhere, and finishes the requests in flight, all within one deadline. A
//! second signal stops it at once.

use std::future::poll_fn;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{info, warn};

use super::Ended;
use super::pools::Pools;
use super::reload::Reloader;
use super::workers::Workers;
use crate::pipeline::Pipeline;
use crate::readiness::Readiness;
use crate::transport::{Close, Peer};

/// How long closed connections may take to end.
const CUT_WAIT: Duration = Duration::from_millis(200);
/// How often open connections are counted.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// The interval between two warnings about an ignored signal.
const IGNORED_WARNING_INTERVAL: Duration = Duration::from_secs(1);

/// The signals that are handled.
pub(super) struct Signals {
    ending: Ending,
    hangup: Signal,
    ignored: [Ignored; 3],
}

/// The signals that stop the process.
struct Ending {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
}

/// A signal that is ignored, and would end the process if it were not handled.
struct Ignored {
    name: &'static str,
    signal: Signal,
    warned: Option<Instant>,
}

impl Signals {
    pub(super) fn catch() -> std::io::Result<Self> {
        Ok(Self {
            ending: Ending {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
                quit: signal(SignalKind::quit())?,
            },
            hangup: signal(SignalKind::hangup())?,
            ignored: [
                Ignored::catch("SIGUSR1", SignalKind::user_defined1())?,
                Ignored::catch("SIGUSR2", SignalKind::user_defined2())?,
                Ignored::catch("SIGALRM", SignalKind::alarm())?,
            ],
        })
    }
}

impl Ending {
    async fn recv(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.quit.recv() => {}
        }
    }
}

impl Ignored {
    fn catch(name: &'static str, kind: SignalKind) -> std::io::Result<Self> {
        Ok(Self { name, signal: signal(kind)?, warned: None })
    }

    fn warn(&mut self) {
        if self.warned.is_none_or(|warned| warned.elapsed() >= IGNORED_WARNING_INTERVAL) {
            self.warned = Some(Instant::now());
            warn!(signal = self.name, "Ignored {}; SIGTERM drains and ends, SIGHUP reloads", self.name);
        }
    }
}

/// Warns about ignored signals as they arrive.
async fn warn_of_ignored(signals: &mut [Ignored]) {
    poll_fn(|context| {
        for ignored in &mut *signals {
            while ignored.signal.poll_recv(context).is_ready() {
                ignored.warn();
            }
        }
        Poll::Pending
    })
    .await
}

/// Serves, reloads on SIGHUP, and returns when a signal has stopped everything.
pub(super) async fn until_ended(
    mut signals: Signals,
    workers: Workers,
    pipeline: &Pipeline,
    connections: &Pools,
    readiness: &Readiness,
    reloader: &Reloader,
) -> Ended {
    loop {
        tokio::select! {
            () = signals.ending.recv() => break,
            _ = signals.hangup.recv() => reloader.reload(),
            () = warn_of_ignored(&mut signals.ignored) => {}
        }
    }
    let settings = &reloader.started.drain;
    let deadline = Instant::now() + settings.deadline;
    info!(deadline_s = settings.deadline.as_secs_f64(), "Draining");
    readiness.draining.store(true, Ordering::Relaxed);
    pipeline.frontend().drain();
    // An error means that the receivers are gone already.
    let _ = workers.stop.send(true);

    let mut threads = workers.threads;
    let drained = async {
        // First, responses to requests in flight announce the end; then connections with GOAWAY frames send
        // one; then, after the rest of `announce`, all other connections close.
        let begun = Instant::now();
        let goaway_at = begun + settings.announce / 4;
        let announced = begun + settings.announce;
        while Instant::now() < announced && connections.count() > 0 {
            if Instant::now() >= goaway_at {
                connections.close(Close::Drain, Peer::is_multiplexed);
            }
            sleep(LOOK_INTERVAL).await;
        }
        // Repeatedly, because a connection may just have been accepted or have finished its handshake.
        while connections.count() > 0 {
            connections.close(Close::Drain, |_| true);
            sleep(LOOK_INTERVAL).await;
        }
        // The workers end when no connection is left.
        let _ = (&mut threads).await;
    };
    let in_time = tokio::select! {
        in_time = timeout_at(deadline, drained) => in_time.is_ok(),
        () = signals.ending.recv() => false,
    };
    if in_time {
        info!("Drained");
        let _ = workers.end.send(true);
        return Ended::Drained;
    }
    warn!(
        connections = connections.count(),
        "Stopping at once; {} connections are closed",
        connections.count()
    );
    connections.close(Close::Now, |_| true);
    sleep(CUT_WAIT).await;
    let _ = workers.end.send(true);
    let _ = timeout_at(Instant::now() + CUT_WAIT, threads).await;
    Ended::Cut
}
