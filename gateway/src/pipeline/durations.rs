//! How long requests take: a histogram for each route, method, protocol and status.
//!
//! Ours rather than the exporter's, because every request of every worker ends here: each worker counts
//! in memory of its own, and only who asks for the metrics adds the workers up. Labels come from the
//! catalog and from closed lists, never from the request, so their number is bounded.

use std::fmt::Write as _;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use http::Method;
use versions::{Entry, Protocol};

const NAME: &str = "http_server_request_duration_seconds";
const HELP: &str = "Time from a request's complete head to its answer.";

/// The bounds of the buckets, in microseconds: OpenTelemetry's, and four around them.
const BOUNDS: [u64; 18] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 75_000, 100_000, 250_000, 500_000, 750_000, 1_000_000,
    2_500_000, 5_000_000, 7_500_000, 10_000_000, 30_000_000,
];

/// Every status that a request can be reported with.
const STATUSES: [u16; 20] =
    [200, 204, 400, 401, 403, 404, 405, 406, 408, 410, 413, 414, 415, 421, 425, 429, 431, 499, 500, 503];

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

/// Durations of requests.
pub struct Durations {
    /// The label of each entry, by its index; the last is for requests that no endpoint was found for.
    routes: Vec<String>,
    /// Each worker's, and at the end those of all other threads.
    workers: Box<[Routes]>,
}

/// What one worker counts; made where there is something to count.
type Routes = Box<[OnceLock<Histograms>]>;
/// Those of one route, by method, protocol and status.
type Histograms = Box<[OnceLock<Box<Histogram>>]>;

const HISTOGRAMS: usize = MethodLabel::NAMES.len() * Protocol::ALL.len() * STATUSES.len();

#[derive(Default)]
struct Histogram {
    /// The last has no bound.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Durations {
    /// Nothing is counted yet of these entries, by so many workers.
    pub(super) fn new(entries: &[Entry], workers: usize) -> Self {
        let labels = entries.iter().map(|entry| entry.template.as_str()).chain(["none"]);
        let routes: Vec<String> = labels.map(str::to_owned).collect();
        let of_worker = || routes.iter().map(|_| OnceLock::new()).collect();
        Self { workers: (0..=workers).map(|_| of_worker()).collect(), routes }
    }

    /// Counts one request.
    pub(super) fn count(
        &self,
        entry: Option<&Entry>,
        method: MethodLabel,
        protocol: Protocol,
        status: u16,
        duration: Duration,
    ) {
        let others = self.workers.len() - 1;
        let worker = worker().min(others);
        let routes = &self.workers[worker];
        let route = entry.map_or(self.routes.len() - 1, |entry| entry.index);
        let histograms = routes[route].get_or_init(|| (0..HISTOGRAMS).map(|_| OnceLock::new()).collect());
        // A status outside the list would be a new one that the list lacks; a test walks all codes.
        let status = STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len() - 1);
        let place =
            (usize::from(method.0) * Protocol::ALL.len() + protocol as usize) * STATUSES.len() + status;
        let histogram = histograms[place].get_or_init(Box::default);
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let within = |bound: &u64| nanoseconds <= bound * 1_000;
        let bucket = BOUNDS.iter().position(within).unwrap_or(BOUNDS.len());
        for (sum, number) in [(&histogram.buckets[bucket], 1), (&histogram.nanoseconds, nanoseconds)] {
            if worker == others {
                sum.fetch_add(number, Relaxed);
            } else {
                // Only this thread writes it, so it takes no read-modify-write.
                sum.store(sum.load(Relaxed).wrapping_add(number), Relaxed);
            }
        }
    }

    /// All of it in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = format!("# HELP {NAME} {HELP}\n# TYPE {NAME} histogram\n");
        for (route, label) in self.routes.iter().enumerate() {
            for place in 0..HISTOGRAMS {
                let counted: Vec<&Histogram> = self
                    .workers
                    .iter()
                    .filter_map(|worker| Some(&**worker[route].get()?[place].get()?))
                    .collect();
                if !counted.is_empty() {
                    render(&mut text, &labels(label, place), &counted);
                }
            }
        }
        text.push('\n');
        text
    }
}

/// The labels of a histogram. None has a character that would have to be escaped.
fn labels(route: &str, place: usize) -> String {
    let method = MethodLabel::NAMES[place / (Protocol::ALL.len() * STATUSES.len())];
    let protocol = Protocol::ALL[place / STATUSES.len() % Protocol::ALL.len()].number();
    let status = STATUSES[place % STATUSES.len()];
    format!(
        "http_request_method=\"{method}\",http_route=\"{route}\",\
         http_response_status_code=\"{status}\",network_protocol_version=\"{protocol}\""
    )
}

/// Adds up what the workers have counted.
fn render(text: &mut String, labels: &str, counted: &[&Histogram]) {
    let sum = |of: &dyn Fn(&Histogram) -> &AtomicU64| -> u64 {
        counted.iter().map(|histogram| of(histogram).load(Relaxed)).sum()
    };
    let mut count = 0;
    let bounds = BOUNDS.map(|bound| Duration::from_micros(bound).as_secs_f64().to_string());
    for (place, bound) in bounds.iter().map(String::as_str).chain(["+Inf"]).enumerate() {
        count += sum(&|histogram| &histogram.buckets[place]);
        // Writing to a text cannot fail, here and below.
        let _ = writeln!(text, "{NAME}_bucket{{{labels},le=\"{bound}\"}} {count}");
    }
    let seconds = Duration::from_nanos(sum(&|histogram| &histogram.nanoseconds)).as_secs_f64();
    let _ = writeln!(text, "{NAME}_sum{{{labels}}} {seconds}\n{NAME}_count{{{labels}}} {count}");
}

/// The number of this thread among those that count, from 0: on a worker, its own place.
fn worker() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Relaxed);
    }
    NUMBER.with(|number| *number)
}

#[cfg(test)]
mod tests {
    use versions::{Catalog, ErrorCode, RELEASES};

    use super::*;
    use crate::pipeline::record::CLIENT_CLOSED_REQUEST;

    #[test]
    fn every_status_has_its_label() {
        for code in ErrorCode::ALL {
            assert!(STATUSES.contains(&code.status().as_u16()), "{code:?}");
        }
        for status in [200, 204, CLIENT_CLOSED_REQUEST] {
            assert!(STATUSES.contains(&status), "{status}");
        }
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
    fn what_all_workers_counted_is_told_as_one() {
        let catalog = Catalog::new(RELEASES).unwrap();
        let durations = Durations::new(catalog.entries(), 2);
        let ping = catalog.entries().iter().find(|entry| entry.template.ends_with("/ping.json"));
        let count = |micros: u64, method: Method, status| {
            let duration = Duration::from_micros(micros);
            durations.count(ping, MethodLabel::new(&method), Protocol::Http2, status, duration);
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
        durations.count(None, MethodLabel::new(&Method::GET), Protocol::Http3, 401, Duration::ZERO);
        let text = durations.render();
        let labels = |method, status| {
            let template = &ping.unwrap().template;
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
        ] {
            assert!(text.lines().any(|given| given == line), "{line} is not in\n{text}");
        }
        assert_eq!(
            text.lines().filter(|line| line.starts_with(&format!("{NAME}_count"))).count(),
            3,
            "{text}"
        );
    }
}
