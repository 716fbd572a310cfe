//! A line of prose in the subset of Markdown that declarations use: `code`, `**strong**` and `[text](url)`; a
//! backslash escapes a character.
//!
//! It is parsed into pieces, from which both formats of a page are rendered, so that they cannot differ.

use std::borrow::Cow;

/// A line of prose.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Text(String);

impl<T: Into<String>> From<T> for Text {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

/// A piece of prose.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Plain(Cow<'a, str>),
    Code(&'a str),
    Strong(&'a str),
    Link(&'a str, &'a str),
}

impl Text {
    /// Escapes text that is to be taken literally.
    pub(super) fn plain(words: &str) -> Self {
        let mut text = String::with_capacity(words.len());
        for sign in words.chars() {
            if matches!(sign, '`' | '*' | '[' | '\\') {
                text.push('\\');
            }
            text.push(sign);
        }
        Self(text)
    }

    fn pieces(&self) -> Vec<Piece<'_>> {
        let mut pieces = Vec::new();
        let mut rest = self.0.as_str();
        let mut plain = Cow::Borrowed("");
        while let Some(place) = rest.find(['`', '*', '[', '\\']) {
            let (before, from) = rest.split_at(place);
            plain += before;
            let found = if let Some(code) = between(from, "`", "`") {
                Some((Piece::Code(code), code.len() + 2))
            } else if let Some(strong) = between(from, "**", "**") {
                Some((Piece::Strong(strong), strong.len() + 4))
            } else {
                between(from, "[", "](").and_then(|words| {
                    let address = between(&from[words.len() + 1..], "](", ")")?;
                    Some((Piece::Link(words, address), words.len() + address.len() + 4))
                })
            };
            if let Some((piece, length)) = found {
                if !plain.is_empty() {
                    pieces.push(Piece::Plain(std::mem::take(&mut plain)));
                }
                pieces.push(piece);
                rest = &from[length..];
            } else {
                // An escape, or a character without a meaning.
                let literal = from.strip_prefix('\\').unwrap_or(from);
                let length = literal.chars().next().map_or(0, char::len_utf8);
                plain += &literal[..length];
                rest = &literal[length..];
            }
        }
        plain += rest;
        if !plain.is_empty() {
            pieces.push(Piece::Plain(plain));
        }
        pieces
    }

    /// As HTML.
    pub(super) fn html(&self) -> String {
        let mut html = String::with_capacity(self.0.len() + 32);
        for piece in self.pieces() {
            match piece {
                Piece::Plain(words) => escape(&words, &mut html),
                Piece::Code(code) => tagged("code", code, &mut html),
                Piece::Strong(words) => tagged("strong", words, &mut html),
                Piece::Link(words, address) => {
                    html.push_str("<a href=\"");
                    escape(address, &mut html);
                    html.push_str("\">");
                    html.push_str(&Self::from(words).html());
                    html.push_str("</a>");
                }
            }
        }
        html
    }

    /// As Markdown; links to pages lead to their Markdown.
    pub(super) fn markdown(&self) -> String {
        let mut markdown = String::with_capacity(self.0.len() + 8);
        for piece in self.pieces() {
            match piece {
                Piece::Plain(words) => escape_markdown(&words, &mut markdown),
                Piece::Code(code) => markdown.extend(["`", code, "`"]),
                Piece::Strong(words) => {
                    markdown.push_str("**");
                    escape_markdown(words, &mut markdown);
                    markdown.push_str("**");
                }
                Piece::Link(words, address) => {
                    let words = Self::from(words).markdown();
                    markdown.extend(["[", &words, "](", &twin(address), ")"]);
                }
            }
        }
        markdown
    }

    /// Whether it is a single word: a date, a state.
    pub(super) fn is_word(&self) -> bool {
        self.0.len() < 48 && !self.plain_text().contains(char::is_whitespace)
    }

    /// The text without markup, for titles and descriptions.
    pub(super) fn plain_text(&self) -> String {
        let pieces = self.pieces();
        let words = pieces.iter().map(|piece| match piece {
            Piece::Plain(words) => words.as_ref(),
            Piece::Code(words) | Piece::Strong(words) | Piece::Link(words, _) => words,
        });
        words.collect()
    }
}

/// The text between two marks at the start, if they are there.
fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let inside = text.strip_prefix(open)?;
    inside.split_once(close).map(|(inside, _)| inside).filter(|inside| !inside.is_empty())
}

fn tagged(tag: &str, words: &str, html: &mut String) {
    html.extend(["<", tag, ">"]);
    escape(words, html);
    html.extend(["</", tag, ">"]);
}

/// Adds text escaped for HTML, also for attributes.
pub(super) fn escape(text: &str, html: &mut String) {
    for sign in text.chars() {
        match sign {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            other => html.push(other),
        }
    }
}

fn escape_markdown(text: &str, markdown: &mut String) {
    for sign in text.chars() {
        if matches!(sign, '\\' | '`' | '*' | '[' | ']' | '<') {
            markdown.push('\\');
        }
        markdown.push(sign);
    }
}

/// The URL of a page's Markdown version; any other URL is returned unchanged.
pub(super) fn twin(address: &str) -> Cow<'_, str> {
    let (page, anchor) = address.find('#').map_or((address, ""), |place| address.split_at(place));
    if page == "/" {
        return format!("/index.md{anchor}").into();
    }
    if !page.starts_with('/') || page.rsplit('/').next().is_some_and(|last| last.contains('.')) {
        return address.into();
    }
    format!("{page}.md{anchor}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_have_the_same_text() {
        for (text, html, markdown) in [
            ("A <b> & c", "A &lt;b&gt; &amp; c", "A \\<b> & c"),
            ("use `a < b`", "use <code>a &lt; b</code>", "use `a < b`"),
            ("**Never** do", "<strong>Never</strong> do", "**Never** do"),
            (
                "see [`ping`](/2026-02-01/ping#answers)",
                "see <a href=\"/2026-02-01/ping#answers\"><code>ping</code></a>",
                "see [`ping`](/2026-02-01/ping.md#answers)",
            ),
            ("2 * 3 [x] `", "2 * 3 [x] `", "2 \\* 3 \\[x\\] \\`"),
            ("", "", ""),
        ] {
            assert_eq!(Text::from(text).html(), html);
            assert_eq!(Text::from(text).markdown(), markdown);
        }
    }

    #[test]
    fn plain_text_is_escaped() {
        for words in ["`a` **b** [c](d)", "\\", "ä*", "x\\`"] {
            assert_eq!(Text::plain(words).plain_text(), words);
        }
    }

    #[test]
    fn only_links_to_pages_lead_to_markdown() {
        for (address, other) in [
            ("/", "/index.md"),
            ("/#a", "/index.md#a"),
            ("/errors", "/errors.md"),
            ("/v1/ping#b", "/v1/ping.md#b"),
            ("/llms.txt", "/llms.txt"),
            ("#here", "#here"),
            ("https://example.com/a", "https://example.com/a"),
        ] {
            assert_eq!(twin(address), other);
        }
    }
}
