//! The metric of request durations: a histogram for each route, method, protocol and status.
//!
//! Not the exporter's histogram, because every request of every worker is counted here: each worker counts in
//! separate memory, and the counts are added up when metrics are rendered. Labels come from the sites and
//! from closed lists, never from the request, so their number is bounded.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use http::Method;
use versions::Protocol;

const NAME: &str = "http_server_request_duration_seconds";
const HELP: &str = "Time from a request's complete head to the end of its response.";

/// The bounds of the buckets, in microseconds: OpenTelemetry's, and four around them.
const BOUNDS: [u64; 18] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000, 1_000_000,
    2_500_000, 5_000_000, 7_500_000, 10_000_000, 30_000_000,
];

/// The statuses of IANA's registry that a response can have, and 499 for a client that disconnected. Any
/// other is counted as `_OTHER`.
const STATUSES: [u16; 58] = [
    200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 307, 308, 400, 401, 402,
    403, 404, 405, 406, 407, 408, 409, 410, 411, 412, 413, 414, 415, 416, 417, 421, 422, 423, 424, 425, 426,
    428, 429, 431, 451, 499, 500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511,
];

/// A method as a label: those of RFC 9110 and PATCH, and one for all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MethodLabel(u8);

impl MethodLabel {
    const NAMES: [&str; 8] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "_OTHER"];

    pub(super) fn new(method: &Method) -> Self {
        Self(match *method {
            Method::GET => 0,
            Method::HEAD => 1,
            Method::OPTIONS => 2,
            Method::POST => 3,
            Method::PUT => 4,
            Method::DELETE => 5,
            Method::PATCH => 6,
            _ => 7,
        })
    }

    pub(super) fn name(self) -> &'static str {
        Self::NAMES[usize::from(self.0)]
    }
}

/// The durations of all routes.
pub struct Durations {
    /// By label. Routes are never removed, because a counter must not decrease.
    routes: Mutex<BTreeMap<String, &'static RouteDurations>>,
    unmatched: &'static RouteDurations,
    workers: usize,
}

/// The durations of one route.
pub struct RouteDurations {
    label: String,
    /// One entry per worker, and a last one for all other threads.
    workers: Box<[OnceLock<ByCall>]>,
}

/// By method and protocol; allocated when there is something to count.
type ByCall = Box<[OnceLock<ByStatus>]>;
type ByStatus = Box<[OnceLock<Box<Histogram>>]>;

const CALLS: usize = MethodLabel::NAMES.len() * Protocol::ALL.len();

#[derive(Default)]
struct Histogram {
    /// The last bucket has no upper bound.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Durations {
    /// Creates empty counts for this many workers.
    pub(super) fn new(workers: usize) -> Self {
        let unmatched = RouteDurations::leak("none", workers);
        let routes = BTreeMap::from([("none".to_owned(), unmatched)]);
        Self { routes: Mutex::new(routes), unmatched, workers }
    }

    /// The durations of the route with this label, which has no quote, backslash or line feed.
    pub fn route(&self, label: &str) -> &'static RouteDurations {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(route) = routes.get(label) {
            return route;
        }
        // Leaked, because every worker would write a reference count.
        let route = RouteDurations::leak(label, self.workers);
        routes.insert(label.to_owned(), route);
        route
    }

    /// The durations of requests without a route.
    pub const fn unmatched(&self) -> &'static RouteDurations {
        self.unmatched
    }

    /// Renders all durations in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = format!("# HELP {NAME} {HELP}\n# TYPE {NAME} histogram\n");
        for route in self.routes.lock().unwrap_or_else(PoisonError::into_inner).values() {
            route.render(&mut text);
        }
        text.push('\n');
        text
    }
}

impl RouteDurations {
    fn leak(label: &str, workers: usize) -> &'static Self {
        let workers = (0..=workers).map(|_| OnceLock::new()).collect();
        Box::leak(Box::new(Self { label: label.to_owned(), workers }))
    }

    /// The label `http_route`.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Counts one request.
    pub(super) fn count(&self, method: MethodLabel, protocol: Protocol, status: u16, duration: Duration) {
        let others = self.workers.len() - 1;
        let worker = worker().min(others);
        let calls = self.workers[worker].get_or_init(|| (0..CALLS).map(|_| OnceLock::new()).collect());
        let call = usize::from(method.0) * Protocol::ALL.len() + protocol as usize;
        let statuses = calls[call].get_or_init(|| (0..=STATUSES.len()).map(|_| OnceLock::new()).collect());
        let status = STATUSES.binary_search(&status).unwrap_or(STATUSES.len());
        let histogram = statuses[status].get_or_init(Box::default);
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let within = |bound: &u64| nanoseconds <= bound * 1_000;
        let bucket = BOUNDS.iter().position(within).unwrap_or(BOUNDS.len());
        for (sum, number) in [(&histogram.buckets[bucket], 1), (&histogram.nanoseconds, nanoseconds)] {
            if worker == others {
                sum.fetch_add(number, Relaxed);
            } else {
                // Only this thread writes it, so no read-modify-write is needed.
                sum.store(sum.load(Relaxed).wrapping_add(number), Relaxed);
            }
        }
    }

    fn render(&self, text: &mut String) {
        for call in 0..CALLS {
            for status in 0..=STATUSES.len() {
                let workers = self.workers.iter();
                let counted: Vec<&Histogram> =
                    workers.filter_map(|worker| Some(&**worker.get()?[call].get()?[status].get()?)).collect();
                if !counted.is_empty() {
                    render(text, &labels(&self.label, call, status), &counted);
                }
            }
        }
    }
}

/// The labels of a histogram. None needs escaping.
fn labels(route: &str, call: usize, status: usize) -> String {
    let method = MethodLabel::NAMES[call / Protocol::ALL.len()];
    let protocol = Protocol::ALL[call % Protocol::ALL.len()].number();
    let status = STATUSES.get(status).map_or_else(|| "_OTHER".to_owned(), u16::to_string);
    format!(
        "http_request_method=\"{method}\",http_route=\"{route}\",\
         http_response_status_code=\"{status}\",network_protocol_version=\"{protocol}\""
    )
}

/// Adds up and renders the counts of the workers.
fn render(text: &mut String, labels: &str, counted: &[&Histogram]) {
    let sum = |of: &dyn Fn(&Histogram) -> &AtomicU64| -> u64 {
        counted.iter().map(|histogram| of(histogram).load(Relaxed)).sum()
    };
    let mut count = 0;
    let bounds = BOUNDS.map(|bound| Duration::from_micros(bound).as_secs_f64().to_string());
    for (place, bound) in bounds.iter().map(String::as_str).chain(["+Inf"]).enumerate() {
        count += sum(&|histogram| &histogram.buckets[place]);
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(text, "{NAME}_bucket{{{labels},le=\"{bound}\"}} {count}");
    }
    let seconds = Duration::from_nanos(sum(&|histogram| &histogram.nanoseconds)).as_secs_f64();
    let _ = writeln!(text, "{NAME}_sum{{{labels}}} {seconds}\n{NAME}_count{{{labels}}} {count}");
}

/// The number of this worker, from 0, by which what workers hold is kept apart. Threads are numbered as they first serve.
pub(crate) fn worker() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Relaxed);
    }
    NUMBER.with(|number| *number)
}

#[cfg(test)]
mod tests {
    use versions::ErrorCode;

    use super::*;
    use crate::http::record::CLIENT_CLOSED_REQUEST;

    #[test]
    fn every_status_has_its_label() {
        for code in ErrorCode::ALL {
            assert!(STATUSES.contains(&code.status().as_u16()), "{code:?}");
        }
        assert!(STATUSES.contains(&CLIENT_CLOSED_REQUEST));
        assert!(STATUSES.is_sorted());
    }

    #[test]
    fn an_unknown_method_is_other() {
        for name in MethodLabel::NAMES {
            let method = Method::from_bytes(name.as_bytes()).unwrap();
            assert_eq!(MethodLabel::new(&method).name(), name);
        }
        assert_eq!(MethodLabel::new(&Method::TRACE).name(), "_OTHER");
        assert_eq!(MethodLabel::new(&Method::from_bytes(b"X").unwrap()).name(), "_OTHER");
    }

    #[test]
    fn the_counts_of_all_workers_are_added_up() {
        let durations = Durations::new(2);
        let template = "/2026-02-01/ping.json";
        let ping = durations.route(template);
        assert!(std::ptr::eq(ping, durations.route(template)), "a label is one route");
        let count = |micros: u64, method: Method, status| {
            let duration = Duration::from_micros(micros);
            ping.count(MethodLabel::new(&method), Protocol::Http2, status, duration);
        };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for micros in [1, 500, 501, 30_000_001] {
                        count(micros, Method::GET, 200);
                    }
                });
            }
        });
        count(7_000, Method::HEAD, 404);
        durations.unmatched().count(MethodLabel::new(&Method::GET), Protocol::Http3, 401, Duration::ZERO);
        durations.unmatched().count(MethodLabel::new(&Method::GET), Protocol::Http3, 799, Duration::ZERO);
        let text = durations.render();
        let labels = |method, status| {
            format!(
                "{{http_request_method=\"{method}\",http_route=\"{template}\",\
                 http_response_status_code=\"{status}\",network_protocol_version=\"2\""
            )
        };
        let (get, head) = (labels("GET", 200), labels("HEAD", 404));
        for line in [
            format!("{NAME}_bucket{get},le=\"0.0005\"}} 6"),
            format!("{NAME}_bucket{get},le=\"0.001\"}} 9"),
            format!("{NAME}_bucket{get},le=\"30\"}} 9"),
            format!("{NAME}_bucket{get},le=\"+Inf\"}} 12"),
            format!("{NAME}_sum{get}}} 90.003009"),
            format!("{NAME}_count{get}}} 12"),
            format!("{NAME}_bucket{head},le=\"0.005\"}} 0"),
            format!("{NAME}_bucket{head},le=\"0.01\"}} 1"),
            format!("{NAME}_count{head}}} 1"),
            format!(
                "{NAME}_count{{http_request_method=\"GET\",http_route=\"none\",\
                 http_response_status_code=\"_OTHER\",network_protocol_version=\"3\"}} 1"
            ),
        ] {
            assert!(text.lines().any(|given| given == line), "{line} is not in\n{text}");
        }
        assert_eq!(
            text.lines().filter(|line| line.starts_with(&format!("{NAME}_count"))).count(),
            4,
            "{text}"
        );
    }
}
