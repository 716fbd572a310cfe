//! The API's listener of the local profile, which is closed, opened and moved to another port while the server runs.
//!
//! The new port is bound before anything else changes: one that cannot be used costs nothing.

mod switch;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use permissions::{Brand, ServerSecret};
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use tokio::sync::{mpsc, watch};
use zeroize::Zeroizing;

use super::listen::Bindings;
use super::reload::Reloader;
use super::workers::Workers;
use crate::clock::Clock;
use crate::config::{Config, Service};
use crate::folder::{DataFolder, replace_private};
use crate::local::{LocalApi, Request, State, Wish, ensure_token, rotate_token};
use crate::pipeline::Pipeline;
use crate::provisioning::Provisioning;
use crate::sites::{Rotate, SettingsPage, Sites};
use crate::store::{Store, StoreError, StoreHandle};
use crate::transport::Connections;
use switch::{ApiListener, Parts, Switch};

/// The local profile of a start: which listener is switched, and the settings that the data folder holds.
pub(super) struct Local {
    name: String,
    address: SocketAddr,
    wish: Wish,
}

/// What the settings page of a start is reached by.
pub(super) struct Panel {
    /// Its path, a secret.
    base: Zeroizing<String>,
    /// Its URL, with that path.
    pub(super) url: Zeroizing<String>,
    /// Whether the token was made by this start.
    pub(super) is_token_new: bool,
}

impl Local {
    /// The local profile, where the configuration has a settings page.
    pub(super) fn read(config: &Config, store: &mut Store) -> Result<Option<Self>, StoreError> {
        let Some((name, address)) = config.local_api() else { return Ok(None) };
        Ok(Some(Self { name: name.to_owned(), address, wish: Wish::read(store)? }))
    }

    /// The configuration with the port of the settings.
    pub(super) fn apply(&self, config: &Config) -> Config {
        let mut config = config.clone();
        let api = config.listeners.get_mut(&self.name).and_then(|api| api.addresses.first_mut());
        if let (Some(address), Some(port)) = (api, self.wish.settings.port) {
            address.set_port(port);
        }
        config
    }

    /// The listener that stays closed.
    pub(super) fn closed(&self) -> Option<&str> {
        (!self.wish.settings.on).then_some(&self.name)
    }

    /// Makes the token where there is none, and a path for the settings page, which is written to its file.
    pub(super) fn launch(
        &self,
        provisioning: &mut Provisioning<'_>,
        folder: &DataFolder,
        bindings: &Bindings,
    ) -> anyhow::Result<Panel> {
        let is_token_new = ensure_token(provisioning, folder)?.is_some();
        let base = SettingsPage::new_base(provisioning.rng);
        let page = bindings.iter().find(|bound| bound.hosts_of(Service::Settings).is_some());
        let page = page.context("the settings page has no listener")?;
        let url = Zeroizing::new(format!("http://{}{}", page.address, *base));
        let path = folder.local_panel();
        replace_private(&path, format!("{}\n", *url).as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Panel { base, url, is_token_new })
    }
}

/// What serves the settings page: the page, and what changes the listener for it.
pub(super) struct Serving {
    pub(super) page: &'static SettingsPage,
    state: watch::Sender<State>,
    requests: mpsc::Receiver<Request>,
    api: ApiListener,
    local: Local,
}

impl Serving {
    /// Takes the listener out of what the workers serve from the start.
    pub(super) fn prepare(
        local: Local,
        panel: Panel,
        bindings: &mut Bindings,
        pipeline: &'static Pipeline,
        folder: &DataFolder,
        rotate: Rotate,
    ) -> anyhow::Result<Self> {
        let api = ApiListener::take(bindings, &local.name).context("the API has no listener")?;
        let (state, watched) = watch::channel(api.state());
        let (handle, requests) = LocalApi::new(watched);
        let page =
            SettingsPage::new(pipeline, folder.clone(), handle, rotate, panel.base, &mut OsRng.unwrap_err());
        Ok(Self { page: Box::leak(Box::new(page)), state, requests, api, local })
    }

    /// The name of the listener.
    pub(super) fn listener(&self) -> &str {
        &self.local.name
    }

    /// Opens the listener, and changes it as it is asked to, until the workers stop.
    pub(super) async fn start(
        self,
        workers: &Workers,
        sites: &'static Sites,
        pool: Arc<Connections>,
        store: StoreHandle,
        clock: Arc<dyn Clock>,
        reloader: Arc<Reloader>,
    ) {
        let Self { state, requests, api, local, .. } = self;
        let Local { address: default, wish, .. } = local;
        let parts = Parts { sites, pool, state, store, clock, reloader, default, wish };
        let switch = Switch::start(api, workers, parts).await;
        tokio::spawn(switch.run(requests, workers.stop.subscribe()));
    }
}

/// Rotates the token, for the settings page.
pub(super) fn rotate(
    store: StoreHandle,
    secret: ServerSecret,
    brand: Brand,
    folder: &DataFolder,
    clock: &Arc<dyn Clock>,
) -> Rotate {
    let shared = Arc::new((secret, brand, folder.clone(), Arc::clone(clock)));
    Box::new(move |actor| {
        let (store, shared) = (store.clone(), Arc::clone(&shared));
        Box::pin(async move {
            store
                .run(move |store| {
                    let (secret, brand, folder, clock) = &*shared;
                    let rng = &mut OsRng.unwrap_err();
                    let mut provisioning =
                        Provisioning { actor: &actor, store, secret, brand, clock: &**clock, rng };
                    rotate_token(&mut provisioning, folder).map(drop)
                })
                .await
        })
    })
}
