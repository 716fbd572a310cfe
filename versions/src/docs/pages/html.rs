//! A page as HTML: readable without a style, without a script, and from the smallest screen on.

use askama::Template;

use super::page::{Block, Page, slug};
use super::text::{escape, twin};

/// What stands beside every page.
pub(super) struct Navigation {
    /// The groups of links, from top to bottom.
    pub(super) groups: Vec<Group>,
}

/// Links under a heading.
pub(super) struct Group {
    /// The heading.
    pub(super) heading: String,
    /// What is said beside it: the state of a date.
    pub(super) state: &'static str,
    /// Address and words of each link.
    pub(super) links: Vec<(String, String)>,
}

/// The whole page.
pub(super) fn page(page: &Page, navigation: &Navigation, site: &str) -> String {
    let description = page.lead.words();
    let contents: Vec<(String, &str)> =
        page.sections.iter().map(|section| (section.id(), section.heading.as_str())).collect();
    let view = View { page, navigation, site, description, contents, markdown: twin(&page.address) };
    view.render().expect("a page is written to memory, from parts that cannot fail")
}

/// The page that says that there is none.
pub(super) fn missing(navigation: &Navigation, site: &str) -> String {
    let found = Page {
        address: "/".to_owned(),
        route: "",
        title: "There is no such page".to_owned(),
        lead: "The address leads nowhere. Begin at the [overview](/), or look through the [versions](/versions)."
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
    navigation: &'a Navigation,
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

impl View<'_> {
    fn is_here(&self, address: &str) -> bool {
        self.page.address == address
    }
}

/// One block, without the blanks of its template.
fn block(block: &Block) -> String {
    One { block }.render().expect("a block is written to memory, from parts that cannot fail")
}

/// Text that is code, whole.
fn literal(text: &str) -> String {
    let mut html = String::with_capacity(text.len() + 16);
    escape(text, &mut html);
    html
}
