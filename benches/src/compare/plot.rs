//! The CPU per request of every contestant as a drawing, for light and dark pages alike.

use std::fmt::Write as _;

use super::report::{Figures, Report, Row};

/// Lengths in pixels.
const WIDTH: f64 = 760.0;
const MARGIN: f64 = 20.0;
const NAMES: f64 = 140.0;
/// Behind the longest bar there is room for its figure and its ratio.
const BARS: f64 = 370.0;
const ROW: f64 = 24.0;
const BAR: f64 = 14.0;
const HEAD: f64 = 76.0;
const FOOT: f64 = 56.0;

const STYLE: &str = "\
  text { font: 13px system-ui, sans-serif; fill: #1f2328; }
  .title { font-size: 17px; font-weight: 600; }
  .panel { font-weight: 600; }
  .small { font-size: 11px; fill: #59636e; }
  .peer { fill: #8ca3b8; }
  .floor { fill: #c4cbd2; }
  .subject { fill: #0a69da; }
  .range { stroke: #1f2328; stroke-width: 1.5; }
  .background { fill: #ffffff; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .small { fill: #9198a1; }
    .peer { fill: #62788c; }
    .floor { fill: #3d444d; }
    .subject { fill: #4493f8; }
    .range { stroke: #e6edf3; }
    .background { fill: #0d1117; }
  }
";

/// One panel for each protocol with a bar for each contestant that speaks it, each panel on its own scale.
pub(super) fn svg(report: &Report) -> Result<String, std::fmt::Error> {
    let mut body = String::new();
    let mut y = HEAD;
    for comparison in &report.comparisons {
        let bars: Vec<(&Row, &Figures)> =
            comparison.rows.iter().filter_map(|row| Some((row, row.figures.as_ref()?))).collect();
        let longest = bars.iter().map(|(_, figures)| figures.cpu_us.max).fold(f64::MIN_POSITIVE, f64::max);
        let scale = BARS / longest;
        text(&mut body, "panel", MARGIN, y, comparison.protocol.name())?;
        y += ROW / 2.0;
        for (Row { contestant, .. }, Figures { cpu_us, cpu_ratio, .. }) in bars {
            let class = match contestant {
                name if *name == report.subject => "subject",
                name if *name == report.floor => "floor",
                _ => "peer",
            };
            let (x, middle) = (MARGIN + NAMES, y + BAR / 2.0);
            text(&mut body, "name", MARGIN, y + BAR - 2.0, contestant)?;
            let width = cpu_us.median * scale;
            writeln!(
                body,
                r#"<rect class="{class}" x="{x}" y="{y}" width="{width:.1}" height="{BAR}" rx="2"/>"#
            )?;
            let (from, to) = (x + cpu_us.min * scale, x + cpu_us.max * scale);
            writeln!(body, r#"<path class="range" d="M{from:.1} {middle}H{to:.1}"/>"#)?;
            let ratio = cpu_ratio.map(|ratio| format!("   ({} ÷ it: {:.2})", report.subject, ratio.median));
            let figure = format!("{:.1} µs{}", cpu_us.median, ratio.unwrap_or_default());
            text(&mut body, "figure", to + 8.0, y + BAR - 2.0, &figure)?;
            y += ROW;
        }
        y += ROW;
    }
    let mut head = String::new();
    text(&mut head, "title", MARGIN, 32.0, "CPU time of the server for one request")?;
    let how = format!(
        "µs, less is better; bar: median of {} rounds of {} requests, line: minimum to maximum; each protocol has its own scale",
        report.rounds, report.requests
    );
    text(&mut head, "small", MARGIN, 50.0, &how)?;
    text(&mut body, "small", MARGIN, y, &format!("Noise: {}", report.noise()))?;
    text(&mut body, "small", MARGIN, y + 16.0, &report.machine.to_string())?;
    let height = y + FOOT - ROW;
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-label=\"CPU time of the server for one request\">\n\
         <style>\n{STYLE}</style>\n<rect class=\"background\" width=\"100%\" height=\"100%\"/>\n{head}{body}</svg>\n"
    ))
}

fn text(into: &mut String, class: &str, x: f64, y: f64, text: &str) -> std::fmt::Result {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    writeln!(into, r#"<text class="{class}" x="{x:.1}" y="{y:.1}" xml:space="preserve">{text}</text>"#)
}
