//! The workers: one thread per core, each with a separate runtime, sockets and connections.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::error;

use super::listen::BoundListener;
use super::pools::Pools;
use crate::config::Protocol;
use crate::readiness::Readiness;
use crate::sites::Sites;
use crate::transport::{
    Connections, Protocols, QuicListener, QuicSocket, ResetKey, TcpService, serve_quic, serve_tcp, steer,
};

/// The running workers.
pub(super) struct Workers {
    /// `true` once no new connections are accepted.
    pub(super) stop: watch::Sender<bool>,
    /// `true` once everything must stop.
    pub(super) end: watch::Sender<bool>,
    /// Resolves when all threads have ended.
    pub(super) threads: JoinHandle<()>,
    /// Gives each worker further sockets.
    pub(super) added: Vec<mpsc::Sender<Added>>,
}

/// A socket that a worker serves from now on, until its own `stop` is `true`.
pub(super) struct Added {
    pub(super) socket: TcpListener,
    pub(super) tcp: TcpService<Sites>,
    pub(super) pool: Arc<Connections>,
    pub(super) stop: watch::Receiver<bool>,
}

/// How many sockets may wait for a worker.
const ADDED_MAX: usize = 4;

impl Workers {
    /// Starts `count` workers, and the operations listeners on the calling runtime: they respond while the
    /// workers are busy, and until the very end.
    pub(super) fn start(
        bound: Vec<BoundListener>,
        count: usize,
        sites: impl Fn(&BoundListener) -> anyhow::Result<&'static Sites>,
        reset_key: &ResetKey,
        pools: &Pools,
        readiness: &Arc<Readiness>,
    ) -> anyhow::Result<Self> {
        let (stop, _) = watch::channel(false);
        let (end, _) = watch::channel(false);
        let mut workers: Vec<WorkerSockets> = (0..count).map(|_| WorkerSockets::default()).collect();
        let mut operations = WorkerSockets::default();
        for listener in bound {
            let sites = sites(&listener)?;
            let pool = pools.of(listener.listener.name);
            let workers =
                if listener.is_internal() { std::slice::from_mut(&mut operations) } else { &mut workers[..] };
            distribute(listener, workers, sites, reset_key, pool)?;
        }
        tokio::spawn(operations.serve(end.subscribe()));

        let mut threads = Vec::new();
        let mut added = Vec::new();
        for (number, mut sockets) in workers.into_iter().enumerate() {
            let (stop, mut end) = (stop.subscribe(), end.subscribe());
            let (sender, receiver) = mpsc::channel(ADDED_MAX);
            added.push(sender);
            sockets.added = Some(receiver);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let name = format!("worker-{number}");
            let alive = readiness.register_thread(&name);
            let work = move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = sockets.serve(stop) => {}
                        () = alive.heartbeat() => {}
                        _ = end.wait_for(|end| *end) => {}
                    }
                });
            };
            threads.push(std::thread::Builder::new().name(name).spawn(work)?);
        }
        let threads = tokio::task::spawn_blocking(move || {
            for thread in threads {
                // A panic was logged already.
                let _ = thread.join();
            }
        });
        Ok(Self { stop, end, threads, added })
    }
}

/// One worker's sockets, each with the pool of its connections.
#[derive(Default)]
struct WorkerSockets {
    tcp: Vec<(TcpListener, TcpService<Sites>, Arc<Connections>)>,
    udp: Vec<(QuicSocket, QuicListener<Sites>, Arc<Connections>)>,
    /// Sockets that come later.
    added: Option<mpsc::Receiver<Added>>,
}

/// Gives each worker its socket of a listener.
fn distribute(
    bound: BoundListener,
    workers: &mut [WorkerSockets],
    service: &'static Sites,
    reset_key: &ResetKey,
    pool: &Arc<Connections>,
) -> anyhow::Result<()> {
    let protocols = Protocols {
        http1: bound.protocols.contains(&Protocol::Http1),
        http2: bound.protocols.contains(&Protocol::Http2),
    };
    let listener = Arc::new(bound.listener);
    for (worker, socket) in workers.iter_mut().zip(bound.tcp) {
        let (listener, tls) = (Arc::clone(&listener), bound.tls.clone());
        worker.tcp.push((socket, TcpService { listener, protocols, tls, service }, Arc::clone(pool)));
    }
    for (worker, socket) in workers.iter_mut().zip(steer(bound.udp)) {
        let tls = bound.quic.clone().context("HTTP/3 needs a certificate")?;
        let quic =
            QuicListener { listener: Arc::clone(&listener), tls, reset_key: Arc::clone(reset_key), service };
        worker.udp.push((socket, quic, Arc::clone(pool)));
    }
    Ok(())
}

impl WorkerSockets {
    /// Serves until `stop` is `true`, and then until no connection is open.
    async fn serve(self, stop: watch::Receiver<bool>) {
        let tcp = self.tcp.into_iter().map(async |(socket, service, pool)| {
            report("TCP", serve_tcp(socket, service, Arc::clone(&pool), stop.clone()).await);
            pool.all_closed().await;
        });
        let udp = self.udp.into_iter().map(async |(socket, quic, pool)| {
            report("UDP", serve_quic(socket, quic, Arc::clone(&pool), stop.clone()).await);
            pool.all_closed().await;
        });
        tokio::join!(join_all(tcp), join_all(udp), serve_added(self.added, stop.clone()));
    }
}

/// Serves sockets as they come, each until it is stopped by itself; after `stop`, until no connection is open.
async fn serve_added(added: Option<mpsc::Receiver<Added>>, mut stop: watch::Receiver<bool>) {
    let Some(mut added) = added else { return };
    let mut serving = FuturesUnordered::new();
    let mut last_pool = None;
    loop {
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(Added { socket, tcp, pool, stop }) = added.recv() => {
                last_pool = Some(Arc::clone(&pool));
                serving.push(async move { report("TCP", serve_tcp(socket, tcp, pool, stop).await) });
            }
            Some(()) = serving.next() => {}
        }
    }
    // The caller that gave the sockets stops them as well.
    while serving.next().await.is_some() {}
    if let Some(pool) = last_pool {
        pool.all_closed().await;
    }
}

fn report(protocol: &str, served: io::Result<()>) {
    if let Err(error) = served {
        error!(%error, "A {protocol} socket cannot be served");
    }
}
