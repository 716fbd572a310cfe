//! Renders pages as HTML that is readable without styles and scripts, and on small screens.

use askama::Template;
use bytes::Bytes;

use super::content::{Content, MARK};
use super::page::{Block, Page, slug};
use super::text::{escape, twin};

/// The navigation beside every page.
#[derive(Template)]
#[template(path = "navigation.html")]
pub(super) struct Navigation {
    /// The groups of links, from top to bottom.
    pub(super) groups: Vec<Group>,
}

impl Navigation {
    /// Renders it once, for all pages that share it.
    pub(super) fn written(&self) -> Bytes {
        self.render().expect("links are written to memory, from parts that cannot fail").into()
    }
}

/// Links under a heading.
pub(super) struct Group {
    /// The heading.
    pub(super) heading: String,
    /// A note beside it: the state of a date.
    pub(super) state: &'static str,
    /// URL and text of each link.
    pub(super) links: Vec<(String, String)>,
}

/// Renders the page with its rendered navigation.
pub(super) fn page(page: &Page, navigation: &Bytes, site: &str) -> Content {
    let mut shared = Vec::new();
    let mut beside = String::new();
    let link = format!("<a href=\"{}\"", page.address);
    let place = std::str::from_utf8(navigation).ok().and_then(|text| text.find(&format!("{link}>")));
    match place.filter(|_| !page.route.is_empty()) {
        Some(place) => {
            // Only the link to this page itself differs; the text before and after it is shared.
            let end = place + link.len();
            beside.extend([MARK, ' ']);
            beside.push_str("aria-current=\"page\"");
            beside.push(MARK);
            shared.extend([navigation.slice(..end), navigation.slice(end..)]);
        }
        None => {
            beside.push(MARK);
            shared.push(navigation.clone());
        }
    }
    shared.extend(page.shared().map(|shared| shared.html.clone()));
    let description = page.lead.plain_text();
    let contents: Vec<(String, &str)> =
        page.sections.iter().map(|section| (section.id(), section.heading.as_str())).collect();
    let view = View { page, beside, site, description, contents, markdown: twin(&page.address) };
    let text = view.render().expect("a page is written to memory, from parts that cannot fail");
    Content::woven(&text, shared)
}

/// Renders the page for unknown paths.
pub(super) fn missing(navigation: &Bytes, site: &str) -> Content {
    let found = Page {
        address: "/".to_owned(),
        route: "",
        title: "Page not found".to_owned(),
        lead:
            "There is no page at this address. Start at the [overview](/) or choose a [version](/versions)."
                .into(),
        version: None,
        notice: None,
        opening: Vec::new(),
        sections: Vec::new(),
    };
    page(&found, navigation, site)
}

#[derive(Template)]
#[template(path = "page.html")]
struct View<'a> {
    page: &'a Page,
    beside: String,
    site: &'a str,
    description: String,
    contents: Vec<(String, &'a str)>,
    markdown: std::borrow::Cow<'a, str>,
}

#[derive(Template)]
#[template(path = "block.html")]
struct One<'a> {
    block: &'a Block,
}

/// Renders a block, without the white space of its template.
pub(super) fn block(block: &Block) -> String {
    One { block }.render().expect("a block is written to memory, from parts that cannot fail")
}

/// Renders text that is code entirely.
fn literal(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + 16);
    escape(text, &mut html);
    html
}
