//! What a comparison came to, as JSON and as a table.

use std::fmt;

use serde::Serialize;

use crate::load::Outcome;
use crate::protocol::Protocol;
use crate::server::Server;
use crate::statistics::Spread;

/// The two runs of a round.
pub(super) struct Pair {
    pub(super) floor: Outcome,
    pub(super) subject: Outcome,
}

/// One of the two servers, beside its requests.
#[derive(Debug, Serialize)]
pub(super) struct Contestant {
    name: String,
    /// From the start of the process until it serves.
    ready_after_ms: f64,
    /// Resident memory after all rounds.
    memory_mb: f64,
}

impl Contestant {
    pub(super) fn new(name: &str, server: &Server) -> Self {
        Self {
            name: name.to_owned(),
            ready_after_ms: server.ready_after().as_secs_f64() * 1e3,
            memory_mb: server.memory_bytes() as f64 / 1e6,
        }
    }
}

/// All protocols.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    /// What it is compared with.
    pub(super) floor: String,
    pub(super) contestants: [Contestant; 2],
    /// What was compared with the floor.
    pub(super) subject: String,
    pub(super) rounds: u32,
    pub(super) requests: u64,
    pub(super) comparisons: Vec<Comparison>,
}

/// One protocol, over all rounds.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    protocol: Protocol,
    floor: Side,
    subject: Side,
    /// Subject by floor, within each round.
    cpu_ratio: Spread,
    rps_ratio: Spread,
    errors: u64,
    first_error: Option<String>,
}

/// One contestant's own figures.
#[derive(Debug, Serialize)]
struct Side {
    cpu_us: Spread,
    rps: Spread,
    p50_us: Spread,
    p99_us: Spread,
    /// Below 1 the load could not keep the server busy, and requests per second are the load's own figure.
    busy: Spread,
}

impl Side {
    fn of<'a>(outcomes: impl Iterator<Item = &'a Outcome> + Clone) -> Self {
        Self {
            cpu_us: Spread::of(outcomes.clone().map(|outcome| outcome.server_cpu_us)),
            rps: Spread::of(outcomes.clone().map(|outcome| outcome.rps)),
            p50_us: Spread::of(outcomes.clone().map(|outcome| outcome.p50_us)),
            p99_us: Spread::of(outcomes.clone().map(|outcome| outcome.p99_us)),
            busy: Spread::of(outcomes.map(|outcome| outcome.server_busy)),
        }
    }
}

impl Comparison {
    pub(super) fn new(protocol: Protocol, pairs: &[Pair]) -> Self {
        let ratio = |figure: fn(&Outcome) -> f64| {
            // A run in which nothing was answered has no ratio; its errors are counted all the same.
            let ratios = pairs.iter().map(move |pair| figure(&pair.subject) / figure(&pair.floor));
            Spread::of(ratios.filter(|ratio| ratio.is_finite()))
        };
        let both = || pairs.iter().flat_map(|pair| [&pair.floor, &pair.subject]);
        Self {
            protocol,
            floor: Side::of(pairs.iter().map(|pair| &pair.floor)),
            subject: Side::of(pairs.iter().map(|pair| &pair.subject)),
            cpu_ratio: ratio(|outcome| outcome.server_cpu_us),
            rps_ratio: ratio(|outcome| outcome.rps),
            errors: both().map(|outcome| outcome.errors).sum(),
            first_error: both().find_map(|outcome| outcome.first_error.clone()),
        }
    }
}

impl Report {
    pub(super) fn errors(&self) -> u64 {
        self.comparisons.iter().map(|comparison| comparison.errors).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { floor, contestants, subject, rounds, requests, comparisons } = self;
        writeln!(
            formatter,
            "{subject} ÷ {floor}: {rounds} rounds of {requests} requests each, on one core\n"
        )?;
        let ratio = "min / median / max";
        writeln!(
            formatter,
            "{:7} | {:48} | {:40} | {:15} |",
            "", "CPU per request, µs", "requests per second", "server busy"
        )?;
        writeln!(
            formatter,
            "{:7} | {:>6} {:>13} {:>7} {ratio:>19} | {:>9} {:>9} {ratio:>20} | {:>7} {:>7} | errors",
            "", floor, "(min..max)", subject, floor, subject, floor, subject
        )?;
        for Comparison { protocol, floor, subject, cpu_ratio, rps_ratio, errors, .. } in comparisons {
            let name = protocol.name();
            let noise = format!("({:.1}..{:.1})", floor.cpu_us.min, floor.cpu_us.max);
            write!(formatter, "{name:7} | {:6.1} {noise:>13} ", floor.cpu_us.median)?;
            write!(formatter, "{:7.1} {:>19} | ", subject.cpu_us.median, cpu_ratio.to_string())?;
            write!(
                formatter,
                "{:9.0} {:9.0} {:>20} | ",
                floor.rps.median,
                subject.rps.median,
                rps_ratio.to_string()
            )?;
            let (floor, subject) = (floor.busy.median * 100.0, subject.busy.median * 100.0);
            writeln!(formatter, "{floor:5.0} % {subject:5.0} % | {errors:6}")?;
        }
        writeln!(formatter)?;
        for Contestant { name, ready_after_ms, memory_mb } in contestants {
            writeln!(formatter, "{name}: ready after {ready_after_ms:.0} ms, {memory_mb:.1} MB resident")?;
        }
        for Comparison { protocol, first_error, .. } in comparisons {
            if let Some(error) = first_error {
                writeln!(formatter, "\n{}: {error}", protocol.name())?;
            }
        }
        Ok(())
    }
}
