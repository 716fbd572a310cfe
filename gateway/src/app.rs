//! The composition root: builds the parts from the configuration and starts, reloads and stops them in order.
//!
//! Threads: one worker per core, each with a separate runtime, sockets and connections; the calling thread,
//! for signals, sweeps and the operations listener; one that follows the store; one that writes the log.

mod addresses;
mod certificate_watch;
mod drain;
mod listen;
mod local;
mod pools;
mod ready_file;
mod reload;
mod reset_key;
mod welcome;
mod workers;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context as _;
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use tracing::info;
use versions::{Catalog, Release};

use addresses::Addresses;
use certificate_watch::CertificateWatch;
use listen::BoundListener;
use pools::Pools;
use ready_file::ReadyFile;
use workers::Workers;

use crate::authority;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Service, Sources};
use crate::folder::DataFolder;
use crate::http::Frontend;
use crate::identity::Identity;
use crate::mail;
use crate::node::Follower;
use crate::pipeline::Pipeline;
use crate::provisioning::{Actor, Provisioning};
use crate::readiness::Readiness;
use crate::sites::{Documents, Operations, Portal, Site, Sites};
use crate::store::Store;
use crate::telemetry::{Logs, start_metrics};
use crate::transport;
use crate::warnings;

/// How often collected metrics are folded into their buckets, so that they do not pile up, and stalled
/// threads are logged.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
/// How long the follower may take for its last writes at the end.
const FOLLOWER_END_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves these releases until a signal stops it and everything in flight is finished. `ready_file`, if
/// given, is written once all listeners are bound; `color` allows colours on a terminal.
///
/// # Errors
/// Why it cannot serve, or had to close connections with requests in flight, worded for the operator.
pub fn serve(
    releases: &[Release],
    sources: &Sources,
    config: Config,
    folder: &DataFolder,
    ready_file: Option<&Path>,
    color: bool,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // From here on signals are handled instead of ending the process.
    let signals = runtime.block_on(async { drain::Signals::catch() })?;
    let (logs, _last_lines) = Logs::start(&config.log, config.runtime.worker_count(), color)?;
    let logs = Arc::new(logs);
    harden();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    warnings::log(&config, sources, clock.now());
    let ready_file = ready_file.map(ReadyFile::prepare).transpose()?;

    folder.prepare()?;
    let (mut store, secret) = Store::open_with_secret(folder, config.store.busy_timeout)?;
    authority::ensure(folder, clock.now())?;
    let hash_key = *secret.derive("partner-gateway sessions").expose();
    let identity = Identity::new(&config.identity, config.runtime.worker_count(), &clock, hash_key)?;
    let identity: &'static Identity = Box::leak(Box::new(identity));
    let mail = mail::start(&config.mail, Arc::clone(&clock), Box::new(OsRng.unwrap_err()))?;
    let certificates = listen::certificates(&config, folder)?;
    let local = local::Local::read(&config, &mut store)?;
    let binding = local.as_ref().map_or_else(|| config.clone(), |local| local.apply(&config));
    let closed = local.as_ref().and_then(local::Local::closed);
    let mut bound = listen::bind(&binding, &certificates, folder, closed)?;
    let description = bound.describe();
    // After everything that may fail: keys that are created but never printed are lost.
    let brand = store.require_brand(&config.api.brand)?;
    let mut provisioning = Provisioning {
        actor: &Actor::gateway(),
        store: &mut store,
        secret: &secret,
        brand: &brand,
        clock: &*clock,
        rng: &mut OsRng.unwrap_err(),
    };
    let first_launch = if welcome::wants_keys(&config) { provisioning.first_launch()? } else { None };
    let panel = local.as_ref().map(|local| local.launch(&mut provisioning, folder, &bound)).transpose()?;
    welcome::print(&config, &description, first_launch.as_ref(), panel.as_ref(), folder)?;

    let reset_key: transport::ResetKey = Arc::new(reset_key::ResetKey::new(&secret));
    let catalog = Catalog::new(releases).context("the list of releases contradicts itself")?;
    let metrics = start_metrics()?;
    let addresses = Addresses::new(&bound);
    let mut filled = config.clone();
    addresses.fill(&mut filled);
    let workers = config.runtime.worker_count();
    // Leaked, because requests of any duration borrow these.
    let frontend: &'static Frontend =
        Box::leak(Box::new(Frontend::new(Box::new(SystemClock), workers, config.log.access)));
    let server_urls = addresses.server_urls(&filled);
    let portal_secret = secret.clone();
    let pipeline: &'static Pipeline =
        Box::leak(Box::new(Pipeline::new(&filled, server_urls, catalog, secret.clone(), frontend)));
    let documents: &'static Documents = Box::leak(Box::new(Documents::new(pipeline)));
    pipeline.accept_sessions(identity);
    let portal: &'static Portal =
        Box::leak(Box::new(Portal::new(pipeline, identity, portal_secret, &filled)));
    let pools = Arc::new(Pools::new(&config, &bound));
    let readiness = Arc::new(Readiness::new(
        Arc::clone(&clock),
        config.runtime.stalled_after,
        config.store.staleness_limit,
    ));
    let operations: &'static Operations = Box::leak(Box::new(Operations {
        readiness: Arc::clone(&readiness),
        metrics: metrics.clone(),
        pipeline,
        connections: pools.partners(),
        logs: Arc::clone(&logs),
    }));
    let (follower, store) = Follower::start(
        store,
        pipeline.keys(),
        Arc::clone(&clock),
        config.store.clone(),
        Arc::clone(&readiness),
        description["listeners"].clone(),
    )?;
    pipeline.open_store(store.clone());
    let serving = local.zip(panel).map(|(local, panel)| {
        let rotate = local::rotate(store.clone(), secret, brand, folder, &clock);
        local::Serving::prepare(local, panel, &mut bound, pipeline, folder, rotate)
    });
    let serving = serving.transpose()?;
    let page = serving.as_ref().map(|serving| serving.page);
    let sites = |bound: &BoundListener| -> anyhow::Result<&'static Sites> {
        let site = |service| {
            anyhow::Ok(match service {
                Service::Api => Site::Api(pipeline),
                Service::Docs => Site::Documents(documents),
                Service::Operations => Site::Operations(operations),
                Service::Portal => Site::Portal(portal),
                Service::Settings => Site::Settings(page.context("there is no settings page")?),
            })
        };
        let by_host = bound.sites.iter().map(|(service, hosts)| anyhow::Ok((hosts.clone(), site(*service)?)));
        Ok(Box::leak(Box::new(Sites::new(by_host.collect::<anyhow::Result<_>>()?)?)))
    };
    let is_switched = |bound: &&BoundListener| {
        serving.as_ref().is_some_and(|serving| serving.listener() == bound.listener.name)
    };
    let switched = bound.iter().find(is_switched).map(sites).transpose()?;
    let (follower_ends, follower_ended) = std::sync::mpsc::channel::<()>();
    let alive = readiness.register_thread("store");
    std::thread::Builder::new().name("store".to_owned()).spawn(move || {
        let _alive = alive;
        follower.run();
        drop(follower_ends);
    })?;

    let ended = runtime.block_on(async {
        let workers = Workers::start(bound.into_listeners(), workers, sites, &reset_key, &pools, &readiness)?;
        pools.start_sweeps();
        let reloader = Arc::new(reload::Reloader {
            sources: sources.clone(),
            started: config.clone(),
            folder: folder.clone(),
            certificates: certificates.clone(),
            addresses: Mutex::new(addresses),
            current: Mutex::new(config.clone()),
            pipeline,
            pools: Arc::clone(&pools),
            logs: Arc::clone(&logs),
        });
        if let (Some(serving), Some(sites)) = (serving, switched) {
            let pool = Arc::clone(pools.of(serving.listener()));
            let reloader = Arc::clone(&reloader);
            serving.start(&workers, sites, pool, store.clone(), Arc::clone(&clock), reloader).await;
        }
        readiness.started.store(true, Ordering::Relaxed);
        if let Some(file) = &ready_file {
            file.write(&description)?;
        }
        info!(workers = config.runtime.worker_count(), "Serving");

        tokio::spawn(identity.keep_fresh());
        if let Some((mailer, postman)) = mail {
            pipeline.open_mail(mailer);
            tokio::spawn(postman.run());
        }
        let watched = Arc::clone(&readiness);
        let mut certificate_watch = CertificateWatch::new(certificates, folder.clone());
        tokio::spawn(async move {
            let mut interval = tokio::time::interval(UPKEEP_INTERVAL);
            loop {
                interval.tick().await;
                metrics.run_upkeep();
                watched.log_stalls();
                certificate_watch.run(clock.now());
            }
        });
        anyhow::Ok(drain::until_ended(signals, workers, pipeline, &pools, &readiness, &reloader).await)
    })?;
    drop(ready_file);
    store.stop();
    // An error is expected: the follower has dropped its end, or is too slow.
    let _ = follower_ended.recv_timeout(FOLLOWER_END_TIMEOUT);
    match ended {
        Ended::Drained => Ok(()),
        Ended::Cut => {
            anyhow::bail!("stopped before everything was finished; the open connections were closed")
        }
    }
}

/// How serving ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// Everything that was in flight was finished.
    Drained,
    /// The deadline passed, or a second signal came: connections were closed.
    Cut,
}

/// Disables core dumps, which would contain keys, and raises the limit of file descriptors.
fn harden() {
    // If the system refuses, the process serves nevertheless, with fewer descriptors. The limit alone does
    // not keep the kernel from piping a dump to a program (`core_pattern`).
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    let files = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
}
