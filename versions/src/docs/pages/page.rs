//! A page before it is rendered by [`super::html`] and [`super::markdown`].

use std::rc::Rc;

use bytes::Bytes;

use super::text::Text;

/// One page.
#[derive(Debug)]
pub(super) struct Page {
    /// Its path: `/`, or a path without a trailing slash.
    pub(super) address: String,
    /// Its route, for metrics: the path with variable parts in braces.
    pub(super) route: &'static str,
    /// Its heading.
    pub(super) title: String,
    /// The introduction.
    pub(super) lead: Text,
    /// The index of its version, if it belongs to one.
    pub(super) version: Option<usize>,
    /// The notice at the top.
    pub(super) notice: Option<Notice>,
    /// The blocks before the first section.
    pub(super) opening: Vec<Block>,
    /// The sections.
    pub(super) sections: Vec<Section>,
}

impl Page {
    /// The blocks that it shares with other pages, in order.
    pub(super) fn shared(&self) -> impl Iterator<Item = &Shared> {
        let blocks = self.opening.iter().chain(self.sections.iter().flat_map(|section| &section.blocks));
        blocks.filter_map(|block| match block {
            Block::Shared(shared) => Some(&**shared),
            _ => None,
        })
    }
}

/// A warning at the top.
#[derive(Debug)]
pub(super) struct Notice {
    /// One or two words.
    pub(super) title: &'static str,
    /// The text.
    pub(super) text: Text,
    /// Whether the version is retired.
    pub(super) is_final: bool,
}

/// A section of a page.
#[derive(Debug)]
pub(super) struct Section {
    /// Its heading.
    pub(super) heading: String,
    /// Its blocks.
    pub(super) blocks: Vec<Block>,
}

impl Section {
    /// A section.
    pub(super) fn new(heading: impl Into<String>, blocks: Vec<Block>) -> Self {
        Self { heading: heading.into(), blocks }
    }

    /// Its anchor.
    pub(super) fn id(&self) -> String {
        slug(&self.heading)
    }
}

/// A block of a page.
#[derive(Debug)]
pub(super) enum Block {
    /// A paragraph.
    Paragraph(Text),
    /// A subheading.
    Heading(String),
    /// A bulleted list.
    List(Vec<Text>),
    /// A numbered list.
    Steps(Vec<Text>),
    /// A code sample.
    Code(Code),
    /// A table.
    Table(Table),
    /// Names with their values.
    Facts(Vec<(&'static str, Text)>),
    /// A method and a path.
    Call(String, String),
    /// One response of an endpoint.
    Answer(Answer),
    /// Blocks that other pages have too.
    Shared(Rc<Shared>),
}

/// Blocks in both formats, rendered once.
#[derive(Debug)]
pub(super) struct Shared {
    /// As HTML.
    pub(super) html: Bytes,
    /// As Markdown.
    pub(super) markdown: Bytes,
}

impl Block {
    /// Prose.
    pub(super) fn paragraph(text: impl Into<Text>) -> Self {
        Self::Paragraph(text.into())
    }

    /// A list of prose.
    pub(super) fn list<const N: usize>(items: [&str; N]) -> Self {
        Self::List(items.map(Text::from).into())
    }
}

/// Text in a language.
#[derive(Debug)]
pub(super) struct Code {
    /// The label above it.
    pub(super) label: &'static str,
    /// The language, as Markdown's fences name it.
    pub(super) language: &'static str,
    /// The text, without a line break at its end.
    pub(super) text: String,
}

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    /// Its caption, for screen readers.
    pub(super) label: &'static str,
    /// The headings of its columns.
    pub(super) head: Vec<&'static str>,
    /// Its rows, each as wide as the head.
    pub(super) rows: Vec<Vec<Text>>,
}

/// One response of an endpoint.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status.
    pub(super) status: u16,
    /// Its name.
    pub(super) title: &'static str,
    /// When it is sent, and a link to more information.
    pub(super) text: Text,
    /// The content.
    pub(super) body: String,
    /// Whether it is expanded by default.
    pub(super) is_open: bool,
}

/// Converts text to an anchor: lower case, with dashes.
pub(super) fn slug(words: &str) -> String {
    let mut slug = String::with_capacity(words.len());
    for sign in words.chars() {
        if sign.is_ascii_alphanumeric() {
            slug.push(sign.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(slug.trim_end_matches('-').len());
    slug
}
