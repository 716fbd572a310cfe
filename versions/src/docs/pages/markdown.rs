//! Renders pages as Markdown.

use std::fmt::Write as _;

use super::content::{Content, MARK};
use super::page::{Block, Code, Page, Table};
use super::text::Text;

/// Renders the page.
pub(super) fn page(page: &Page) -> Content {
    Content::woven(&text(page), page.shared().map(|shared| shared.markdown.clone()))
}

/// Renders blocks for pages that share them.
pub(super) fn shared(shared: &[Block]) -> String {
    let mut out = String::new();
    blocks(shared, &mut out);
    out
}

fn text(page: &Page) -> String {
    let mut out = String::with_capacity(4096);
    let _ = writeln!(out, "# {}\n\n{}\n", Text::plain(&page.title).markdown(), page.lead.markdown());
    if let Some(notice) = &page.notice {
        let _ = writeln!(out, "> **{}.** {}\n", notice.title, notice.text.markdown());
    }
    blocks(&page.opening, &mut out);
    for section in &page.sections {
        let _ = writeln!(out, "## {}\n", Text::plain(&section.heading).markdown());
        blocks(&section.blocks, &mut out);
    }
    out.truncate(out.trim_end().len());
    if !out.ends_with(MARK) {
        out.push('\n');
    }
    out
}

fn blocks(blocks: &[Block], out: &mut String) {
    for block in blocks {
        let _ = match block {
            Block::Paragraph(text) => writeln!(out, "{}\n", text.markdown()),
            Block::Heading(heading) => writeln!(out, "### {}\n", Text::plain(heading).markdown()),
            Block::List(items) => {
                items.iter().for_each(|item| out.extend(["- ", &item.markdown(), "\n"]));
                writeln!(out)
            }
            Block::Steps(items) => {
                for (number, item) in (1..).zip(items) {
                    let _ = writeln!(out, "{number}. {}", item.markdown());
                }
                writeln!(out)
            }
            Block::Code(code) => {
                let Code { label, language, text } = code;
                if label.is_empty() { Ok(()) } else { writeln!(out, "{label}:\n") }
                    .and_then(|()| fence(language, text, out))
            }
            Block::Table(rows) => table(rows, out),
            Block::Facts(facts) => {
                for (name, text) in facts {
                    let _ = writeln!(out, "- **{name}:** {}", text.markdown());
                }
                writeln!(out)
            }
            // It ends with an empty line already.
            Block::Shared(_) => write!(out, "{MARK}"),
            Block::Call(method, address) => fence("http", &format!("{method} {address}"), out),
            Block::Answer(answer) => {
                writeln!(out, "### {} {}\n\n{}\n", answer.status, answer.title, answer.text.markdown())
                    .and_then(|()| fence("json", &answer.body, out))
            }
        };
    }
}

fn fence(language: &str, text: &str, out: &mut String) -> std::fmt::Result {
    writeln!(out, "```{language}\n{text}\n```\n")
}

fn table(table: &Table, out: &mut String) -> std::fmt::Result {
    let line = |cells: &mut dyn Iterator<Item = String>, out: &mut String| {
        out.push('|');
        // A bar would end its cell, even in code.
        cells.for_each(|cell| out.extend([" ", &cell.replace('|', "\\|"), " |"]));
        out.push('\n');
    };
    line(&mut table.head.iter().map(|name| (*name).to_owned()), out);
    line(&mut table.head.iter().map(|_| "---".to_owned()), out);
    for row in &table.rows {
        line(&mut row.iter().map(Text::markdown), out);
    }
    writeln!(out)
}
