//! What a page says, before it has a form: [`super::html`] and [`super::markdown`] each write all of it.

use std::rc::Rc;

use bytes::Bytes;

use super::text::Text;

/// One page.
#[derive(Debug)]
pub(super) struct Page {
    /// Where it stands: `/`, or a path without a slash at its end.
    pub(super) address: String,
    /// Its kind, for metrics: the address with its variable parts in braces.
    pub(super) route: &'static str,
    /// Its heading.
    pub(super) title: String,
    /// What it is about, in a sentence or two.
    pub(super) lead: Text,
    /// The place of its date among all, where it belongs to one.
    pub(super) version: Option<usize>,
    /// What to know before anything else.
    pub(super) notice: Option<Notice>,
    /// What comes before the first section.
    pub(super) opening: Vec<Block>,
    /// The rest.
    pub(super) sections: Vec<Section>,
}

impl Page {
    /// The blocks that it shares with other pages, in their order.
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
    /// What it means, and where to go.
    pub(super) text: Text,
    /// Whether it is past warning.
    pub(super) is_final: bool,
}

/// A part of a page under its own heading.
#[derive(Debug)]
pub(super) struct Section {
    /// Its heading.
    pub(super) heading: String,
    /// What it says.
    pub(super) blocks: Vec<Block>,
}

impl Section {
    /// A section.
    pub(super) fn new(heading: impl Into<String>, blocks: Vec<Block>) -> Self {
        Self { heading: heading.into(), blocks }
    }

    /// What links to it end in.
    pub(super) fn id(&self) -> String {
        slug(&self.heading)
    }
}

/// A piece of a page.
#[derive(Debug)]
pub(super) enum Block {
    /// Prose.
    Paragraph(Text),
    /// A heading below the section's.
    Heading(String),
    /// Items in no order.
    List(Vec<Text>),
    /// Items in their order.
    Steps(Vec<Text>),
    /// Text in a language.
    Code(Code),
    /// A table.
    Table(Table),
    /// Names and what they are.
    Facts(Vec<(&'static str, Text)>),
    /// A method and an address.
    Call(String, String),
    /// One answer of an endpoint.
    Answer(Answer),
    /// What other pages say in the same words.
    Shared(Rc<Shared>),
}

/// Blocks in both of their forms, written once.
#[derive(Debug)]
pub(super) struct Shared {
    /// As HTML.
    pub(super) html: Bytes,
    /// As Markdown.
    pub(super) markdown: Bytes,
}

impl Block {
    /// Prose.
    pub(super) fn says(text: impl Into<Text>) -> Self {
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
    /// What stands above it.
    pub(super) label: &'static str,
    /// The language, as Markdown's fences name it.
    pub(super) language: &'static str,
    /// The text, without a line break at its end.
    pub(super) text: String,
}

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    /// What it lists, for those who do not see it.
    pub(super) label: &'static str,
    /// The heads of its columns.
    pub(super) head: Vec<&'static str>,
    /// Its rows, each as wide as the head.
    pub(super) rows: Vec<Vec<Text>>,
}

/// One answer of an endpoint.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status.
    pub(super) status: u16,
    /// What it is called.
    pub(super) title: &'static str,
    /// When it comes and where more is said.
    pub(super) text: Text,
    /// The content.
    pub(super) body: String,
    /// Whether it is worth seeing at once.
    pub(super) is_open: bool,
}

/// Words as the end of a link: lower case, dashes between.
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
