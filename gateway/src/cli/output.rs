//! How data is printed: JSON for programs, aligned columns for people.

use std::io::{self, Write};

use jiff::Timestamp;
use serde::Serialize;

/// Prints a value as JSON, indented: `jq` reads both, people only one.
pub(super) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    print(&text)
}

/// Prints text. Unlike `print!`, a reader that went away is an error and no panic.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

/// Rows below a head, each column as wide as its widest cell.
pub(super) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let head: Vec<String> = head.iter().map(|title| (*title).to_owned()).collect();
    let width = |column: usize| {
        let cells = std::iter::once(&head).chain(rows).filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&printable(cell));
            line.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count()));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Names and values, one pair per line.
pub(super) fn pairs(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    pairs.iter().map(|(name, value)| format!("  {name:width$}  {}\n", printable(value))).collect()
}

/// A moment to the second.
pub(super) fn second(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A moment to the second, or a dash.
pub(super) fn second_or_dash(moment: Option<Timestamp>) -> String {
    moment.map_or_else(|| "-".to_owned(), second)
}

/// New names cannot hold control characters, but a store may be older than that rule: what is shown
/// must not steer the terminal.
fn printable(cell: &str) -> String {
    cell.chars().map(|character| if character.is_control() { '\u{fffd}' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_nothing_steers_the_terminal() {
        let rows = vec![
            vec!["a".to_owned(), "long cell".to_owned(), String::new()],
            vec!["ünï".to_owned(), "\u{1b}[31m".to_owned(), "end".to_owned()],
        ];
        let expected = "ID   NAME       X\na    long cell\nünï  \u{fffd}[31m      end\n";
        assert_eq!(table(&["ID", "NAME", "X"], &rows), expected);
        assert_eq!(table(&["ID", "NAME"], &[]), "ID  NAME\n");
    }

    #[test]
    fn a_moment_is_shown_to_the_second() {
        assert_eq!(second(Timestamp::constant(1_800_000_000, 999_000_000)), "2027-01-15T08:00:00Z");
        assert_eq!(second_or_dash(None), "-");
    }
}
