//! The changelog: what each version changed.

use super::Site;
use super::page::{Block, Page, Section};
use super::text::Text;
use crate::docs::{Difference, ReleaseNotes};

/// The changelog, newest version first.
pub(super) fn page(site: &Site<'_>, news: &[ReleaseNotes]) -> Page {
    let section = |(index, news): (usize, &ReleaseNotes)| {
        let version = news.version;
        let state = site.calendar.state(index, site.now);
        let mut blocks = vec![Block::says(format!(
            "{} This version is {state}; see [its page](/{version}).",
            news.summary
        ))];
        blocks.extend(changes(news));
        Section::new(version.to_string(), blocks)
    };
    let releases = news.iter().enumerate().rev();
    Page {
        address: "/changelog".to_owned(),
        route: "/changelog",
        title: "Changelog".to_owned(),
        lead: "What each version changed over the one before. Endpoints that are not listed under a version are \
               unchanged."
            .into(),
        version: None,
        notice: None,
        opening: Vec::new(),
        sections: releases.map(section).collect(),
    }
}

/// What a version changed over the one before; empty if nothing.
pub(super) fn changes(news: &ReleaseNotes) -> Vec<Block> {
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
        blocks.push(Block::says(format!("Changes to `{}` in detail:", changed.endpoint)));
        let line = |difference: &Difference| {
            let mark = if difference.breaking { "**Breaking:** " } else { "" };
            Text::from(format!("{mark}{} {}", difference.place, difference.text))
        };
        blocks.push(Block::List(changed.differences.iter().map(line).collect()));
    }
    blocks
}
