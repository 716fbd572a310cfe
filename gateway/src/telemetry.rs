//! Logs and metrics: where they go and in which form.
//!
//! Log lines wait in a bounded [`queue`] for a thread that writes them to stderr; when it is full, lines are dropped and
//! counted, and no request waits. Label values of metrics come from closed sets only.

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
    /// Starts the log for this many workers; `color` allows colours on a terminal. Call it once: a second log
    /// in the same process has no effect. Keep the writer until the end: dropping it writes the last lines.
    ///
    /// # Errors
    /// Where its thread cannot be started.
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
        // An error means that there is a log already, as in a process of tests.
        if tracing_subscriber::registry().with(filter).with(lines).try_init().is_ok() {
            std::panic::set_hook(Box::new(log_panic));
        }
        Ok((Self { level, queue }, writer))
    }

    /// Changes the level.
    pub fn set_level(&self, level: Level) {
        // An error means that the log is gone.
        let _ = self.level.reload(targets(level));
    }

    /// Lines dropped because the queue was full.
    #[must_use]
    pub fn dropped_lines(&self) -> u64 {
        self.queue.dropped()
    }
}

/// Logs a panic as a record; the default would write plain lines between the records.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or_default().escape_debug();
    let thread = std::thread::current();
    // `RUST_BACKTRACE` enables it.
    let backtrace = std::backtrace::Backtrace::capture();
    let backtrace = (backtrace.status() == std::backtrace::BacktraceStatus::Captured).then_some(backtrace);
    tracing::error!(
        thread = thread.name(),
        location = panic.location().map(tracing::field::display),
        backtrace = backtrace.as_ref().map(tracing::field::debug),
        "Panicked: {message}"
    );
}

/// The level applies to the gateway's own records. Those of libraries are written from `debug` on, because
/// strangers can provoke any number of them, with text of their choice; the gateway logs what operators need.
/// The access log has a separate switch.
fn targets(level: Level) -> Targets {
    let level = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    let libraries = match level {
        LevelFilter::TRACE => LevelFilter::DEBUG,
        LevelFilter::DEBUG => LevelFilter::WARN,
        _ => LevelFilter::OFF,
    };
    Targets::new()
        .with_default(libraries)
        .with_target("gateway", level)
        .with_target("partner_gateway", level)
        .with_target("access", LevelFilter::INFO)
}

/// Starts collecting metrics.
///
/// # Errors
/// Where they are collected already.
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
        "Requests without a valid credential, by reason."
    );
    describe_counter!(
        "gateway_connections_refused_total",
        "Connections refused, by the limit that was reached."
    );
    describe_counter!(
        "gateway_connections_evicted_total",
        "Idle connections without a valid credential that were closed to make room for new ones, by listener."
    );
    describe_counter!("gateway_accept_errors_total", "Failures to accept a connection.");
    describe_counter!("gateway_handshake_errors_total", "Failed TLS and QUIC handshakes.");
    describe_counter!(
        "gateway_datagrams_forwarded_total",
        "QUIC datagrams that were forwarded to the connection's worker, by outcome."
    );
    describe_counter!("gateway_frames_refused_total", "HTTP/3 frames that were too large.");
    describe_counter!(
        "gateway_heads_refused_total",
        "HTTP/3 requests whose header section was malformed, too large or late."
    );
    describe_counter!("gateway_responses_incomplete_total", "Responses that were not sent completely.");
    describe_counter!("gateway_panics_total", "Requests whose handler panicked.");
    describe_counter!("gateway_reloads_total", "Reloads of the configuration, by outcome.");
    describe_counter!("gateway_changes_applied_total", "Changes of keys that this node applied.");
    describe_counter!("gateway_store_errors_total", "Failures to read or write the store.");
    describe_gauge!("gateway_connections", "Open connections.");
    describe_gauge!("gateway_requests_in_flight", "Requests in flight.");
    describe_gauge!("gateway_uploads_in_flight", "Requests whose body is being received.");
    describe_gauge!("gateway_keys", "Keys in memory, in any state.");
    describe_gauge!("gateway_log_lines_dropped", "Log lines dropped because the queue was full.");
    describe_gauge!(
        "gateway_certificate_not_after_timestamp_seconds",
        "When the certificate in use expires, as a Unix timestamp."
    );
    describe_gauge!("gateway_build_info", "Always 1; the labels describe the build.");
    // Exported from the start, at zero: a rule cannot watch a series that does not exist.
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
    for outcome in ["delivered", "dropped"] {
        metrics::counter!("gateway_datagrams_forwarded_total", "outcome" => outcome).absolute(0);
    }
    for outcome in ["done", "refused"] {
        metrics::counter!("gateway_reloads_total", "outcome" => outcome).absolute(0);
    }
    gauge!("gateway_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1);
}

#[cfg(test)]
mod tests {
    use tracing::Level as Severity;

    use super::*;

    #[test]
    fn libraries_are_silent_below_debug() {
        for (level, severest) in [
            (Level::Error, None),
            (Level::Warn, None),
            (Level::Info, None),
            (Level::Debug, Some(Severity::WARN)),
            (Level::Trace, Some(Severity::DEBUG)),
        ] {
            let targets = targets(level);
            for library in
                ["rustls::msgs::handshake", "h2::proto", "quinn::endpoint", "hyper::proto", "tokio", "h3"]
            {
                for severity in
                    [Severity::ERROR, Severity::WARN, Severity::INFO, Severity::DEBUG, Severity::TRACE]
                {
                    let expected = severest.is_some_and(|severest| severity <= severest);
                    assert_eq!(
                        targets.would_enable(library, &severity),
                        expected,
                        "{level:?} {library} {severity}"
                    );
                }
            }
            assert!(targets.would_enable("gateway::transport::tcp", &Severity::ERROR), "{level:?}");
            assert!(targets.would_enable("access", &Severity::INFO), "{level:?}");
        }
        assert!(targets(Level::Info).would_enable("gateway::app", &Severity::INFO));
        assert!(targets(Level::Warn).would_enable("gateway::app", &Severity::WARN));
    }
}
