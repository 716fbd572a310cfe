//! Two servers in turn, and what that came to: figures of each, and the ratio within each round.

use std::fmt;

use serde::Serialize;

use crate::statistics::Spread;

/// Measures both in each round, the first one first in odd rounds.
pub(super) async fn rounds<S: Copy, T>(
    number: u32,
    [one, other]: [S; 2],
    measure: impl AsyncFn(S) -> anyhow::Result<T>,
) -> anyhow::Result<Vec<[T; 2]>> {
    let mut pairs = Vec::new();
    for round in 1..=number {
        pairs.push(if round % 2 == 1 {
            let first = measure(one).await?;
            [first, measure(other).await?]
        } else {
            let second = measure(other).await?;
            [measure(one).await?, second]
        });
    }
    Ok(pairs)
}

/// One figure of both.
#[derive(Debug, Serialize)]
struct Row {
    what: String,
    unit: String,
    one: Spread,
    other: Spread,
    /// The second by the first, within each round.
    ratio: Spread,
}

/// A table of figures.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    title: String,
    subjects: [String; 2],
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Report {
    pub(super) fn new(title: impl Into<String>, subjects: [&str; 2]) -> Self {
        let subjects = subjects.map(str::to_owned);
        Self { title: title.into(), subjects, rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a figure of all rounds.
    pub(super) fn row<T>(
        &mut self,
        what: impl Into<String>,
        unit: &str,
        pairs: &[[T; 2]],
        figure: impl Fn(&T) -> f64,
    ) {
        let ratios = pairs.iter().map(|[one, other]| figure(other) / figure(one));
        self.rows.push(Row {
            what: what.into(),
            unit: unit.to_owned(),
            one: Spread::of(pairs.iter().map(|[one, _]| figure(one))),
            other: Spread::of(pairs.iter().map(|[_, other]| figure(other))),
            ratio: Spread::of(ratios.filter(|ratio| ratio.is_finite())),
        });
    }

    /// Adds a line below the table.
    pub(super) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { title, subjects: [one, other], rows, notes } = self;
        let ratio = format!("{other} ÷ {one}");
        writeln!(formatter, "{title}\n")?;
        writeln!(formatter, "{:28} | {one:>12} {other:>12} | {ratio:>24}", "")?;
        writeln!(formatter, "{:28} | {:>25} | {:>24}", "", "median", "min / median / max")?;
        for Row { what, unit, one, other, ratio } in rows {
            let what = format!("{what}, {unit}");
            let (one, other) = (one.median, other.median);
            writeln!(formatter, "{what:28} | {one:12.2} {other:12.2} | {:>24}", ratio.to_string())?;
        }
        for note in notes {
            writeln!(formatter, "\n{note}")?;
        }
        Ok(())
    }
}
