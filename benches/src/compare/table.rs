//! A comparison as text: a table for each figure, then what is to be known about the run.

use std::fmt::{self, Formatter};

use super::figure::{Detail, Figure, Metric};
use super::report::{About, Comparison, Report, Row};
use crate::statistics::Spread;

/// What stands where there is no number.
const NONE: &str = "—";
/// Characters of a number and of a ratio.
const NUMBER: usize = 9;
const RATIO: usize = 24;
/// Parts of a number below this are not shown.
const SHOWN_MIN: f64 = 0.005;
/// Details with longer names have lines of their own.
const SHORT_NAMES: [&str; 2] = ["system calls", "instructions"];

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        for (figure, comparisons) in self.figures() {
            self.figure(formatter, figure, comparisons)?;
        }
        writeln!(formatter, "machine: {}", self.machine)?;
        writeln!(formatter, "noise, {}'s own figures around their median:", self.floor)?;
        for line in self.noise() {
            writeln!(formatter, "  {line}")?;
        }
        for About { name, ready_after_ms, idle_mb, memory_mb } in &self.contestants {
            writeln!(
                formatter,
                "{name}: ready after {ready_after_ms:.0} ms, {idle_mb:.1} MB resident, {memory_mb:.1} MB in the end"
            )?;
        }
        for note in self.notes() {
            writeln!(formatter, "{note}")?;
        }
        for comparison in &self.comparisons {
            for row in &comparison.rows {
                details(formatter, comparison, row)?;
            }
        }
        Ok(())
    }
}

impl Report {
    fn figure(
        &self,
        formatter: &mut Formatter<'_>,
        figure: Figure,
        comparisons: &[Comparison],
    ) -> fmt::Result {
        let names = self.contestants.iter().map(|about| about.name.chars().count());
        let width = names.max().unwrap_or(0);
        let Some(Comparison { rounds, how, .. }) = comparisons.first() else { return Ok(()) };
        let rounds = if *rounds == 1 { "1 round".to_owned() } else { format!("{rounds} rounds") };
        writeln!(formatter, "{}: {how}; {rounds}", figure.name())?;
        write!(formatter, "{:7} {:width$}", "", "")?;
        for metric in figure.metrics() {
            write!(formatter, " | {:^1$}", metric.title, column(metric))?;
        }
        write!(formatter, "\n{:7} {:width$}", "", "")?;
        for metric in figure.metrics() {
            let ratio = if metric.is_compared { format!("{} ÷ it", self.subject) } else { String::new() };
            let rest = column(metric) - NUMBER;
            write!(formatter, " | {:>NUMBER$}{ratio:>rest$}", "median")?;
        }
        writeln!(formatter)?;
        for Comparison { protocol, rows, rounds, .. } in comparisons {
            for (place, row) in rows.iter().enumerate() {
                let protocol = if place == 0 { protocol.name() } else { "" };
                write!(formatter, "{protocol:7} {:width$}", row.contestant)?;
                for metric in figure.metrics() {
                    let (own, ratio) = numbers(row, metric, *rounds);
                    let rest = column(metric) - NUMBER;
                    write!(formatter, " | {own:>NUMBER$}{ratio:>rest$}")?;
                }
                writeln!(formatter)?;
            }
        }
        writeln!(formatter)
    }
}

/// Characters of a metric's column.
fn column(metric: &Metric) -> usize {
    let numbers = if metric.is_compared { NUMBER + 1 + RATIO } else { NUMBER };
    numbers.max(metric.title.chars().count())
}

/// The median, and the ratio of the rounds: all three of it, or the one where there is but one.
fn numbers(row: &Row, metric: &Metric, rounds: usize) -> (String, String) {
    let Some(value) = row.value(metric) else { return (NONE.to_owned(), String::new()) };
    let text = |ratio: Spread| if rounds == 1 { format!("{:.2}", ratio.median) } else { ratio.to_string() };
    (format!("{:.1$}", value.own.median, metric.digits), value.ratio.map(text).unwrap_or_default())
}

/// What the numbers of a row are made up of: on one line what has short names, then a line each.
fn details(formatter: &mut Formatter<'_>, comparison: &Comparison, row: &Row) -> fmt::Result {
    let head = format!("{}, {}", comparison.protocol.name(), row.contestant);
    for same in row.details.chunk_by(|one, other| one.of == other.of) {
        let Some(Detail { of, .. }) = same.first() else { continue };
        let number = |value: f64| if value < 100.0 { format!("{value:.2}") } else { format!("{value:.0}") };
        if SHORT_NAMES.contains(of) {
            let shown = same.iter().filter(|detail| detail.value.abs() >= SHOWN_MIN);
            let all: Vec<String> =
                shown.map(|detail| format!("{} {}", detail.name, number(detail.value))).collect();
            writeln!(formatter, "{head}, {of}: {}", all.join(", "))?;
            continue;
        }
        writeln!(formatter, "{head}, {of}:")?;
        for Detail { name, value, inclusive, .. } in same {
            let inclusive = inclusive.map(number).unwrap_or_default();
            writeln!(formatter, "{:>9} {inclusive:>9}  {name}", number(*value))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;

    #[test]
    fn every_contestant_has_a_row_and_what_is_missing_says_so() {
        let text = report().to_string();
        let tables: Vec<&str> = text.split("\n\n").collect();
        let lines = |table: &str, name: &str| {
            let named = table.lines().filter(|line| line.contains(&format!(" {name} ")));
            named.map(str::to_owned).collect::<Vec<String>>()
        };
        for (table, protocols) in [(tables[0], 2), (tables[1], 1)] {
            for name in ["floor", "gateway", "peer"] {
                assert!(lines(table, name).len() >= protocols, "{name}: {text}");
            }
        }
        let peer = lines(tables[0], "peer");
        assert!(peer[0].contains("7.5       0.80 / 0.80 / 0.80"), "{text}");
        assert_eq!(peer[1].matches('—').count(), 3, "{text}");
        assert!(lines(tables[1], "floor")[0].contains("8000                     1.25"), "{text}");
        assert_eq!(lines(tables[1], "peer")[0].matches('—').count(), 2, "{text}");
        assert!(text.contains("\npeer, instructions: written in Go\n"), "{text}");
    }

    #[test]
    fn the_text_says_how_noisy_the_run_was() {
        let text = report().to_string();
        assert!(text.contains("  cpu: h1 −33 to +33 %, h3 −33 to +33 %\n"), "{text}");
        assert!(text.contains("  instructions: counted once"), "{text}");
    }
}
