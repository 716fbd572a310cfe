//! The comparison as a drawing: a panel for each number, in it a field for each protocol, in that a bar for
//! each contestant.

use std::fmt::{self, Write as _};

use super::figure::Metric;
use super::report::{Comparison, Report, Row, Value};

/// Lengths in pixels.
const WIDTH: f64 = 900.0;
const MARGIN: f64 = 20.0;
/// The contestants' names, left of the fields; a longer one is cut.
const NAMES: f64 = 120.0;
const NAME_CHARACTERS_MAX: usize = 17;
/// Between two fields.
const GAP: f64 = 12.0;
/// Behind the longest bar there is room for its number and its ratio.
const NUMBER: f64 = 42.0;
const RATIO: f64 = 34.0;
const ROW: f64 = 18.0;
const BAR: f64 = 11.0;
const LINE: f64 = 16.0;
const TITLE_BASELINE: f64 = 34.0;

const STYLE: &str = "\
  text { font: 12px system-ui, sans-serif; fill: #1f2328; }
  .title { font-size: 17px; font-weight: 600; }
  .panel { font-size: 13px; font-weight: 600; }
  .small { font-size: 11px; fill: #59636e; }
  .ratio { font-size: 11px; fill: #59636e; text-anchor: end; }
  .peer { fill: #8ca3b8; }
  .floor { fill: #c4cbd2; }
  .subject { fill: #0a69da; }
  .range { stroke: #1f2328; stroke-width: 1.2; }
  .rule { stroke: #d1d9e0; }
  .background { fill: #ffffff; }
";

/// Draws every number that is compared.
pub(super) fn svg(report: &Report) -> Result<String, fmt::Error> {
    let mut body = String::new();
    let mut y = TITLE_BASELINE;
    text(&mut body, "title", MARGIN, y, &format!("{} beside other servers", report.subject))?;
    y += LINE + 4.0;
    let legend = format!(
        "bar: median of the rounds, line: minimum to maximum, grey number: {} ÷ it; each field has its own scale",
        report.subject
    );
    text(&mut body, "small", MARGIN, y, &legend)?;
    y += LINE * 2.0;
    for (figure, comparisons) in report.figures() {
        for metric in figure.metrics().iter().filter(|metric| metric.is_compared) {
            y = panel(&mut body, report, metric, comparisons, y)?;
        }
    }
    writeln!(body, r#"<path class="rule" d="M{MARGIN} {y}H{}"/>"#, WIDTH - MARGIN)?;
    y += LINE + 2.0;
    let noise = report.noise().into_iter().map(|line| format!("noise of {}, {line}", report.floor));
    for line in noise.chain([report.machine.to_string()]).chain(report.notes()) {
        text(&mut body, "small", MARGIN, y, &line)?;
        y += LINE;
    }
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" width=\"{WIDTH}\" height=\"{y}\" role=\"img\" aria-label=\"{} beside other servers\">\n\
         <style>\n{STYLE}</style>\n<rect class=\"background\" width=\"100%\" height=\"100%\"/>\n{body}</svg>\n",
        report.subject
    ))
}

/// One number of all contestants over all protocols; gives where the next panel begins.
fn panel(
    body: &mut String,
    report: &Report,
    metric: &Metric,
    comparisons: &[Comparison],
    top: f64,
) -> Result<f64, fmt::Error> {
    let has_numbers =
        |comparison: &&Comparison| comparison.rows.iter().any(|row| row.value(metric).is_some());
    let fields: Vec<&Comparison> = comparisons.iter().filter(has_numbers).collect();
    if fields.is_empty() {
        return Ok(top);
    }
    writeln!(body, r#"<path class="rule" d="M{MARGIN} {:.1}H{}"/>"#, top - LINE, WIDTH - MARGIN)?;
    text(body, "panel", MARGIN, top + 2.0, metric.title)?;
    let first = top + LINE * 2.0;
    for (place, about) in report.contestants.iter().enumerate() {
        let name: String = about.name.chars().take(NAME_CHARACTERS_MAX).collect();
        text(body, "name", MARGIN, baseline(first, place), &name)?;
    }
    // As many fields as there are protocols in all figures: the same protocol stands in the same place.
    let places = protocols(report);
    #[expect(clippy::cast_precision_loss, reason = "there are four protocols")]
    let width = (WIDTH - 2.0 * MARGIN - NAMES) / places.len() as f64;
    for comparison in fields {
        let place = places.iter().position(|&name| name == comparison.protocol.name()).unwrap_or(0);
        #[expect(clippy::cast_precision_loss, reason = "there are four protocols")]
        let left = MARGIN + NAMES + place as f64 * width;
        text(body, "small", left, first - 6.0, comparison.protocol.name())?;
        let longest = comparison.rows.iter().filter_map(|row| Some(row.value(metric)?.own.max));
        let scale = (width - GAP - NUMBER - RATIO) / longest.fold(f64::MIN_POSITIVE, f64::max);
        for (place, row) in comparison.rows.iter().enumerate() {
            let y = baseline(first, place);
            let Some(value) = row.value(metric) else {
                text(body, "small", left, y, "—")?;
                continue;
            };
            let class = class(report, row);
            bar(body, class, (left, y), scale, value, metric.digits)?;
            if let Some(ratio) = value.ratio {
                text(body, "ratio", left + width - GAP, y, &format!("{:.2}", ratio.median))?;
            }
        }
    }
    Ok(baseline(first, report.contestants.len()) + LINE)
}

fn bar(
    body: &mut String,
    class: &str,
    (left, baseline): (f64, f64),
    scale: f64,
    Value { own, .. }: &Value,
    digits: usize,
) -> fmt::Result {
    let (top, middle) = (baseline - BAR + 1.5, baseline - BAR / 2.0 + 1.5);
    // Memory can shrink under a garbage collector: there is no bar to the left.
    let [from, median, to] = [own.min, own.median, own.max].map(|value| left + (value * scale).max(0.0));
    let width = median - left;
    writeln!(
        body,
        r#"<rect class="{class}" x="{left:.1}" y="{top:.1}" width="{width:.1}" height="{BAR}" rx="1.5"/>"#
    )?;
    writeln!(body, r#"<path class="range" d="M{from:.1} {middle:.1}H{to:.1}"/>"#)?;
    text(body, "number", to + 4.0, baseline, &short(own.median, digits))
}

/// Where the text of a row stands.
fn baseline(first: f64, place: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "there are a few contestants")]
    let place = place as f64;
    first + (place + 1.0) * ROW - 5.0
}

/// At most six characters, so that it fits between the bar and the ratio.
fn short(value: f64, digits: usize) -> String {
    if value.abs() >= 100_000.0 {
        return format!("{:.0}k", value / 1_000.0);
    }
    let digits = if value.abs() >= 100.0 { 0 } else { digits };
    format!("{value:.digits$}")
}

fn class(report: &Report, row: &Row) -> &'static str {
    match &row.contestant {
        name if *name == report.subject => "subject",
        name if *name == report.floor => "floor",
        _ => "peer",
    }
}

/// Each protocol once, in the order of the run.
fn protocols(report: &Report) -> Vec<&'static str> {
    let mut names = Vec::new();
    for comparison in &report.comparisons {
        let name = comparison.protocol.name();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn text(into: &mut String, class: &str, x: f64, y: f64, text: &str) -> fmt::Result {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(into, r#"<text class="{class}" x="{x:.1}" y="{y:.1}">{text}</text>"#)
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::report;
    use super::*;

    #[test]
    fn every_panel_names_every_contestant_and_has_a_bar_or_a_dash_for_each() -> anyhow::Result<()> {
        let plot = svg(&report())?;
        // CPU and requests per second over two protocols, instructions over one.
        for name in ["floor", "gateway", "peer"] {
            assert_eq!(plot.matches(&format!(">{name}</text>")).count(), 3, "{name}: {plot}");
        }
        assert_eq!(plot.matches("<rect class=\"subject\"").count(), 5, "{plot}");
        assert_eq!(plot.matches("<rect class=\"peer\"").count(), 2, "{plot}");
        assert_eq!(plot.matches(">—</text>").count(), 3, "{plot}");
        for panel in ["CPU per request, µs", "requests per second", "user instructions per request"] {
            assert_eq!(plot.matches(&format!(">{panel}</text>")).count(), 1, "{plot}");
        }
        assert!(plot.contains(">0.80</text>") && !plot.contains("busy"), "{plot}");
        assert!(plot.contains("h1 −33 to +33 %"), "{plot}");
        Ok(())
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(short(1_234_567.0, 0), "1235k");
        assert_eq!(short(99_999.4, 0), "99999");
        assert_eq!(short(109.93, 2), "110");
        assert_eq!(short(9.93, 2), "9.93");
    }

    #[test]
    fn text_cannot_break_out_of_the_drawing() -> anyhow::Result<()> {
        let mut report = report();
        report.contestants[2].name = "<peer> & co".to_owned();
        assert!(svg(&report)?.contains(">&lt;peer> &amp; co</text>"));
        Ok(())
    }
}
