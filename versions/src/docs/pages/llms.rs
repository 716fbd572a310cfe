//! `/llms.txt`, the list of all pages, and `/llms-full.txt`, all pages in one file (llmstxt.org).

use std::fmt::Write as _;

use super::page::Page;
use super::text::twin;
use super::{NAME, Site};
use crate::VersionState;

/// The list of pages.
pub(super) fn index(site: &Site<'_>, pages: &[Page]) -> String {
    let mut text = format!(
        "# {NAME}\n\n> A JSON API over HTTP/1.1, HTTP/2 and HTTP/3 with dated versions. Every call is authenticated with a \
         Bearer API key, and every endpoint requires one permission.\n\nThe base URL is `{}`. The pages below are \
         Markdown.\n",
        site.api_url
    );
    let mut section = |heading: &str, wanted: &dyn Fn(&Page) -> bool| {
        let mut found = pages.iter().filter(|page| wanted(page)).peekable();
        if found.peek().is_none() {
            return;
        }
        let _ = writeln!(text, "\n## {heading}\n");
        for page in found {
            let title = match page.version {
                Some(index) if page.route != "/{date}" => {
                    format!("{} ({})", page.title, site.catalog.releases()[index].version)
                }
                _ => page.title.clone(),
            };
            let lead = page.lead.plain_text();
            let _ = writeln!(text, "- [{title}]({}{}): {lead}", site.docs_url, twin(&page.address));
        }
    };
    section("Guide", &|page| page.version.is_none() && page.route != "/errors/{code}");
    let state = |page: &Page| page.version.map(|index| site.calendar.state(index, site.now));
    for (index, release) in site.catalog.releases().iter().enumerate().rev() {
        let is_current = site.calendar.state(index, site.now) == VersionState::Current;
        if is_current {
            section(&format!("Version {}", release.version), &|page| page.version == Some(index));
        }
    }
    // What a reader with a small context can leave out.
    section("Optional", &|page| {
        page.route == "/errors/{code}" || state(page).is_some_and(|state| state != VersionState::Current)
    });
    text
}

/// The pages of the guide, the newest current version and the errors in one file.
pub(super) fn full(site: &Site<'_>, pages: &[Page]) -> String {
    let newest = site.newest_index();
    let wanted = |page: &&Page| page.version.is_none() || page.version == newest;
    let mut text = String::new();
    for page in pages.iter().filter(wanted) {
        let _ = write!(text, "<!-- {}{} -->\n\n", site.docs_url, page.address);
        let page_bytes = super::markdown::page(page).to_bytes();
        text.extend([&String::from_utf8_lossy(&page_bytes), "\n"]);
    }
    text
}
