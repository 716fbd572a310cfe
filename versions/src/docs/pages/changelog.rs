//! The changelog: what each date brought.

use super::Site;
use super::page::{Block, Page, Section};
use super::text::Text;
use crate::docs::{Difference, News};

/// What each date brought, newest first.
pub(super) fn page(site: &Site<'_>, news: &[News]) -> Page {
    let section = |(index, news): (usize, &News)| {
        let version = news.version;
        let state = site.calendar.state(index, site.now);
        let mut blocks =
            vec![Block::says(format!("{} It is {state}: [its page](/{version}).", news.summary))];
        blocks.extend(changes(news));
        Section::new(version.to_string(), blocks)
    };
    let releases = news.iter().enumerate().rev();
    Page {
        address: "/changelog".to_owned(),
        route: "/changelog",
        title: "Changelog".to_owned(),
        lead: "What each date brought over the one before. An endpoint that is not named under a date answers there as \
               it did before."
            .into(),
        version: None,
        notice: None,
        opening: Vec::new(),
        sections: releases.map(section).collect(),
    }
}

/// What a date brought over the one before; nothing where it brought nothing.
pub(super) fn changes(news: &News) -> Vec<Block> {
    let version = news.version;
    let added = news
        .added
        .iter()
        .map(|added| format!("**Added** [`{0}`](/{version}/{0}): {1}", added.endpoint, added.summary));
    let changed = news
        .changed
        .iter()
        .map(|changed| format!("**Changed** [`{0}`](/{version}/{0}): {1}", changed.endpoint, changed.note));
    let removed =
        news.removed.iter().map(|removed| format!("**Removed** `{}`: {}", removed.endpoint, removed.note));
    let items: Vec<Text> = added.chain(changed).chain(removed).map(Text::from).collect();
    let mut blocks = if items.is_empty() { Vec::new() } else { vec![Block::List(items)] };
    for changed in news.changed.iter().filter(|changed| !changed.differences.is_empty()) {
        blocks.push(Block::says(format!("What that means for `{}`, member by member:", changed.endpoint)));
        let told = |difference: &Difference| {
            let mark = if difference.breaking { "**Breaking:** " } else { "" };
            Text::from(format!("{mark}{} {}", difference.place, difference.text))
        };
        blocks.push(Block::List(changed.differences.iter().map(told).collect()));
    }
    blocks
}
