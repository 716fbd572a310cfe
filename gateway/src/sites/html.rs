//! HTML of pages with forms: one layout, in the style of the documentation.
//!
//! A page is a template that extends `templates/layout.html` and has a member `site`. Its forms need no script.

use askama::Template;
use bytes::Bytes;
use http::StatusCode;
use versions::docs::pages::{FAVICON, HTML, STYLE};

use super::page::Page;

const FORMS: &str = include_str!("../../templates/forms.css");

/// What the layout says of the site.
#[derive(Clone, Copy, Debug)]
pub(super) struct SiteView<'a> {
    /// The path below which its pages are, with a slash at both ends.
    pub(super) base: &'a str,
    /// Its name.
    pub(super) name: &'a str,
    /// What it is, beside the name.
    pub(super) what: &'a str,
}

/// A page that only says something: an error, or what was done.
#[derive(Template)]
#[template(path = "message.html")]
struct Message<'a> {
    site: SiteView<'a>,
    title: &'a str,
    text: &'a str,
    is_home_linked: bool,
}

/// Renders a template.
pub(super) fn page(status: StatusCode, template: &impl Template) -> Page {
    let text = template.render().expect("a page is written to memory, from parts that cannot fail");
    Page::new(status, HTML, text)
}

/// A page with a title and a sentence. Strangers get no link to the start of a site whose address is a secret.
pub(super) fn message(
    status: StatusCode,
    site: SiteView<'_>,
    title: &str,
    text: &str,
    is_home_linked: bool,
) -> Page {
    page(status, &Message { site, title, text, is_home_linked })
}

/// The style sheet or the icon, at its name below the site's base.
pub(super) fn asset(name: &str) -> Option<Page> {
    let (media_type, content) = match name {
        "style.css" => ("text/css; charset=utf-8", Bytes::from(format!("{STYLE}{FORMS}"))),
        "favicon.svg" => ("image/svg+xml", Bytes::from_static(FAVICON.as_bytes())),
        _ => return None,
    };
    Some(Page::new(StatusCode::OK, media_type, content))
}
