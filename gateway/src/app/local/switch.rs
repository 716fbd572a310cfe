//! Opens, moves and closes the API's listener. The settings page asks through a queue; commands of other processes
//! write to the store, which is looked at several times a second.

use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::MissedTickBehavior;
use tracing::{error, info, warn};

use super::super::listen::{Bindings, BoundListener};
use super::super::reload::Reloader;
use super::super::workers::{Added, Workers};
use crate::clock::Clock;
use crate::config::Protocol;
use crate::local::{Answer, Change, LocalError, Request, Settings, State, Wish};
use crate::sites::Sites;
use crate::store::{StoreError, StoreHandle};
use crate::transport::{Close, Connections, Listener, Protocols, TcpService, bind_tcp};

/// How often the store is looked at for changes of commands.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// The sockets and properties of the API's listener, taken out of what the workers serve from the start.
pub(super) struct ApiListener {
    listener: Listener,
    protocols: Protocols,
    address: SocketAddr,
    /// Bound at the start; empty where the API is switched off.
    sockets: Vec<TcpListener>,
}

impl ApiListener {
    /// Takes the sockets of the listener of this name, which is left without any.
    pub(super) fn take(bindings: &mut Bindings, name: &str) -> Option<Self> {
        let bound: &mut BoundListener = bindings.iter_mut().find(|bound| bound.listener.name == name)?;
        Some(Self {
            listener: bound.listener.clone(),
            protocols: Protocols {
                http1: bound.protocols.contains(&Protocol::Http1),
                http2: bound.protocols.contains(&Protocol::Http2),
            },
            address: bound.address,
            sockets: std::mem::take(&mut bound.tcp),
        })
    }

    pub(super) const fn state(&self) -> State {
        State { on: !self.sockets.is_empty(), address: self.address }
    }
}

/// Serves the API's listener and changes it.
pub(super) struct Switch {
    listener: Listener,
    protocols: Protocols,
    /// Where it was bound at the start, for settings without a port.
    default: SocketAddr,
    sites: &'static Sites,
    pool: Arc<Connections>,
    workers: Vec<mpsc::Sender<Added>>,
    open: Option<Open>,
    wish: Wish,
    state: watch::Sender<State>,
    store: StoreHandle,
    clock: Arc<dyn Clock>,
    reloader: Arc<Reloader>,
}

/// What is open.
struct Open {
    listener: Arc<Listener>,
    /// `true` closes its sockets.
    stop: watch::Sender<bool>,
}

/// What a switch works with.
pub(super) struct Parts {
    pub(super) sites: &'static Sites,
    pub(super) pool: Arc<Connections>,
    pub(super) state: watch::Sender<State>,
    pub(super) store: StoreHandle,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) reloader: Arc<Reloader>,
    /// Where it is without a port of the settings.
    pub(super) default: SocketAddr,
    /// The settings of the start.
    pub(super) wish: Wish,
}

impl Switch {
    /// Opens what was bound at the start.
    pub(super) async fn start(api: ApiListener, workers: &Workers, parts: Parts) -> Self {
        let ApiListener { listener, protocols, address, sockets } = api;
        let Parts { sites, pool, state, store, clock, reloader, default, wish } = parts;
        let workers = workers.added.clone();
        let default = if default.port() == 0 { address } else { default };
        let mut switch = Self {
            listener,
            protocols,
            default,
            sites,
            pool,
            workers,
            open: None,
            wish,
            state,
            store,
            clock,
            reloader,
        };
        if !sockets.is_empty() {
            switch.open(sockets).await;
        }
        switch
    }

    /// Changes the listener as it is asked to, until `stop` is `true`.
    pub(super) async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        mut stop: watch::Receiver<bool>,
    ) {
        // What was wished while no server ran is in force now.
        self.answer(self.wish, None).await;
        let mut looks = tokio::time::interval(LOOK_INTERVAL);
        // By itself, because its result holds a lock.
        let mut stopped = pin!(async move {
            let _ = stop.wait_for(|stop| *stop).await;
        });
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                () = &mut stopped => break,
                Some(Request { change, outcome }) = requests.recv() => {
                    // Who asked may have given up; the change stays.
                    let _ = outcome.send(self.change(change).await);
                }
                _ = looks.tick() => self.look().await,
            }
        }
        self.close_sockets();
    }

    /// Makes a change of the settings page: in force first, then stored. What cannot be stored is taken back.
    async fn change(&mut self, change: Change) -> Result<(), LocalError> {
        let before = self.wish.settings;
        self.apply(before.with(change)).await?;
        let now = self.clock.now();
        let stored = self.store.run(move |store| {
            store.write(now, |write| {
                let wish = Wish::change(write, change)?;
                Answer { number: wish.number, refused: None }.write(write)?;
                Ok::<_, StoreError>(wish)
            })
        });
        match stored.await {
            Ok((wish, _)) => {
                let settings = before.with(change);
                // A command may have written another change meanwhile: then the next look applies it.
                let number = if wish.settings == settings { wish.number } else { self.wish.number };
                self.wish = Wish { number, settings };
                Ok(())
            }
            Err(error) => {
                if let Err(error) = self.apply(before).await {
                    let error = &error as &dyn std::error::Error;
                    error!(error, "The API's listener cannot be put back as it was");
                }
                Err(error.into())
            }
        }
    }

    /// Looks for a change that a command wrote.
    async fn look(&mut self) {
        // A store that cannot be read is reported by the thread that follows it.
        let Ok(wish) = self.store.run(Wish::read).await else { return };
        if wish.number == self.wish.number {
            return;
        }
        let in_force = self.wish.settings;
        let refused = match self.apply(wish.settings).await {
            Ok(()) => None,
            Err(error) => {
                warn!(%error, "A change of the local profile's settings is refused");
                Some(error.to_string())
            }
        };
        let settings = if refused.is_some() { in_force } else { wish.settings };
        self.wish = Wish { number: wish.number, settings };
        self.answer(wish, refused).await;
    }

    /// Answers a wish, which is in force or refused.
    async fn answer(&self, wish: Wish, refused: Option<String>) {
        let (now, in_force) = (self.clock.now(), self.wish.settings);
        let answered = self.store.run(move |store| {
            store.write(now, |write| {
                if refused.is_some() {
                    wish.take_back(write, in_force)?;
                }
                Answer { number: wish.number, refused }.write(write)
            })
        });
        if let Err(error) = answered.await {
            let error = &error as &dyn std::error::Error;
            error!(error, "The answer to a change of the settings cannot be stored");
        }
    }

    /// Brings the listener to what the settings say.
    async fn apply(&mut self, settings: Settings) -> Result<(), LocalError> {
        let port = settings.port.unwrap_or(self.default.port());
        let address = SocketAddr::new(self.default.ip(), port);
        let before = *self.state.borrow();
        if !settings.on {
            self.close_sockets();
            self.state.send_replace(State { on: false, address });
        } else if !before.on || before.address != address {
            let sockets = bind_tcp(address, false, self.workers.len())
                .map_err(|error| LocalError::Port { port, source: error.reason })?;
            let old = self.open.take();
            // With port 0 in the configuration, the system chooses.
            let address = sockets.first().and_then(|socket| socket.local_addr().ok()).unwrap_or(address);
            self.open(sockets).await;
            close(old, &self.pool);
            self.state.send_replace(State { on: true, address });
        }
        let after = *self.state.borrow();
        if after != before {
            info!(on = after.on, address = %after.address, "The local profile's settings have changed");
        }
        if after.address != before.address {
            self.reloader.move_api(before.address, after.address);
        }
        Ok(())
    }

    /// Gives each worker its socket.
    async fn open(&mut self, sockets: Vec<TcpListener>) {
        let listener = Arc::new(self.listener.clone());
        let (stop, stopped) = watch::channel(false);
        for (worker, socket) in self.workers.iter().zip(sockets) {
            let tcp = TcpService {
                listener: Arc::clone(&listener),
                protocols: self.protocols,
                tls: None,
                service: self.sites,
            };
            let added = Added { socket, tcp, pool: Arc::clone(&self.pool), stop: stopped.clone() };
            // An error means that the worker has ended.
            let _ = worker.send(added).await;
        }
        self.open = Some(Open { listener, stop });
    }

    fn close_sockets(&mut self) {
        close(self.open.take(), &self.pool);
    }
}

/// Closes the sockets, and the connections that came over them: what is in flight gets as long as after a revocation.
fn close(open: Option<Open>, pool: &Connections) {
    let Some(Open { listener, stop }) = open else { return };
    stop.send_replace(true);
    pool.close(Close::Revoked, |peer| Arc::ptr_eq(&peer.listener, &listener));
}
