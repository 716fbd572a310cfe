//! Logs and metrics: where they go and in which form. What they say is decided where it happens.
//!
//! Log lines wait in a bounded [`queue`] for a thread that writes them to stderr; when it is full, lines are
//! dropped and counted, and no request waits. Labels of metrics come from closed lists only.

mod access;
mod queue;

use std::io::{self, IsTerminal as _};

use metrics::{describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, Registry, fmt, reload};

use crate::config::{Format, Level, Log};

pub(crate) use access::Access;
pub use queue::LogWriter;
use queue::Queue;

/// The running log.
pub struct Logs {
    level: reload::Handle<Targets, Registry>,
    queue: Queue,
}

impl Logs {
    /// Begins to log for so many `workers`; `color` says whether a terminal may be shown colours. Called once; a
    /// second log in the same process stays with the first. The writer is to be kept until the end, where it
    /// writes the last lines.
    ///
    /// # Errors
    /// Where no thread can be started to write it.
    pub fn start(log: &Log, workers: usize, color: bool) -> io::Result<(Self, LogWriter)> {
        let (queue, writer) = Queue::start(log.queue_lines_max, workers, io::stderr())?;
        let (filter, level) = reload::Layer::new(targets(log.level));
        let terminal = io::stderr().is_terminal();
        let json = match log.format {
            Format::Json => true,
            Format::Text => false,
            Format::Auto => !terminal,
        };
        let lines = fmt::layer().with_writer(queue.clone());
        let lines = if json {
            access::write_json_to(queue.clone());
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
        } else {
            lines.with_ansi(terminal && color).boxed()
        };
        // An error says that a log is there already, as in a process of tests.
        if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
            std::panic::set_hook(Box::new(log_panic));
        }
        Ok((Self { level, queue }, writer))
    }

    /// Takes over another level.
    pub fn set_level(&self, level: Level) {
        // An error says that there is no log any more.
        let _ = self.level.reload(targets(level));
    }

    /// Lines that were dropped because the queue was full.
    #[must_use]
    pub fn dropped_lines(&self) -> u64 {
        self.queue.dropped()
    }
}

/// A panic as a record like any other, where the default would write lines of its own between the records.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or_default().escape_debug();
    let thread = std::thread::current();
    // `RUST_BACKTRACE` says whether there is one.
    let backtrace = std::backtrace::Backtrace::capture();
    let backtrace = (backtrace.status() == std::backtrace::BacktraceStatus::Captured).then_some(backtrace);
    tracing::error!(
        thread = thread.name(),
        place = panic.location().map(tracing::field::display),
        backtrace = backtrace.as_ref().map(tracing::field::debug),
        "Panicked: {message}"
    );
}

/// The level is ours; libraries are heard from `warn` on, and only in detail when everything is. The
/// access log has a switch of its own.
fn targets(level: Level) -> Targets {
    let level = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let libraries =
        if level == LevelFilter::TRACE { LevelFilter::DEBUG } else { level.min(LevelFilter::WARN) };
    Targets::new()
        .with_default(libraries)
        .with_target("gateway", level)
        .with_target("partner_gateway", level)
        .with_target("access", LevelFilter::INFO)
}

/// Begins to collect metrics.
///
/// # Errors
/// Where metrics are collected already.
pub fn start_metrics() -> Result<PrometheusHandle, BuildError> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(BuildError::FailedToSetGlobalRecorder)?;
    describe();
    Ok(handle)
}

fn describe() {
    describe_counter!(
        "gateway_authentication_failures_total",
        "Requests without a good credential, by reason."
    );
    describe_counter!(
        "gateway_connections_refused_total",
        "Connections that were not taken, by the bound that was reached."
    );
    describe_counter!("gateway_accept_errors_total", "Times that accepting a connection failed.");
    describe_counter!("gateway_handshake_errors_total", "TLS and QUIC handshakes that failed.");
    describe_counter!(
        "gateway_datagrams_handed_over_total",
        "QUIC datagrams that came to another worker's socket than their connection's, by outcome."
    );
    describe_counter!("gateway_frames_refused_total", "HTTP/3 frames of absurd size.");
    describe_counter!(
        "gateway_heads_refused_total",
        "HTTP/3 requests whose head was malformed, too large or late."
    );
    describe_counter!("gateway_panics_total", "Requests whose handling panicked.");
    describe_counter!("gateway_reloads_total", "Reloads of the configuration, by outcome.");
    describe_counter!("gateway_changes_applied_total", "Changes of keys that this node has applied.");
    describe_counter!("gateway_store_errors_total", "Times that the store could not be read or written.");
    describe_gauge!("gateway_connections", "Open connections.");
    describe_gauge!("gateway_requests_in_flight", "Requests that are being answered.");
    describe_gauge!("gateway_keys", "Keys in memory, in whatever state.");
    describe_gauge!("gateway_log_lines_dropped", "Log lines that were dropped because the queue was full.");
    describe_gauge!("gateway_build_info", "Always 1; the labels say what runs.");
    // There from the start, at zero: what is not there cannot be watched.
    for name in [
        "gateway_accept_errors_total",
        "gateway_frames_refused_total",
        "gateway_panics_total",
        "gateway_changes_applied_total",
        "gateway_store_errors_total",
    ] {
        metrics::counter!(name).absolute(0);
    }
    for reason in ["connections_max", "connections_per_address_max", "quic_handshakes_max", "draining"] {
        metrics::counter!("gateway_connections_refused_total", "reason" => reason).absolute(0);
    }
    for outcome in ["taken", "dropped"] {
        metrics::counter!("gateway_datagrams_handed_over_total", "outcome" => outcome).absolute(0);
    }
    for outcome in ["done", "refused"] {
        metrics::counter!("gateway_reloads_total", "outcome" => outcome).absolute(0);
    }
    gauge!("gateway_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
}
