//! The changelog: what each version changed.

use super::Site;
use super::page::{Block, Page, Section};
use super::text::Text;
use crate::docs::{Difference, ReleaseNotes};

/// The changelog, newest version first.
pub(super) fn page(site: &Site<'_>, notes: &[ReleaseNotes]) -> Page {
    let section = |(index, notes): (usize, &ReleaseNotes)| {
        let version = notes.version;
        let state = site.calendar.state(index, site.now);
        let mut blocks = vec![Block::paragraph(format!(
            "{} This version is {state}; see [its page](/{version}).",
            notes.summary
        ))];
        blocks.extend(changes(notes));
        Section::new(version.to_string(), blocks)
    };
    let releases = notes.iter().enumerate().rev();
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
pub(super) fn changes(notes: &ReleaseNotes) -> Vec<Block> {
    let version = notes.version;
    let added = notes
        .added
        .iter()
        .map(|added| format!("**Added** [`{0}`](/{version}/{0}): {1}", added.endpoint, added.summary));
    let changed = notes
        .changed
        .iter()
        .map(|changed| format!("**Changed** [`{0}`](/{version}/{0}): {1}", changed.endpoint, changed.note));
    let removed =
        notes.removed.iter().map(|removed| format!("**Removed** `{}`: {}", removed.endpoint, removed.note));
    let items: Vec<Text> = added.chain(changed).chain(removed).map(Text::from).collect();
    let mut blocks = if items.is_empty() { Vec::new() } else { vec![Block::List(items)] };
    for changed in notes.changed.iter().filter(|changed| !changed.differences.is_empty()) {
        blocks.push(Block::paragraph(format!("Changes to `{}` in detail:", changed.endpoint)));
        let line = |difference: &Difference| {
            let mark = if difference.breaking { "**Breaking:** " } else { "" };
            Text::from(format!("{mark}{} {}", difference.place, difference.text))
        };
        blocks.push(Block::List(changed.differences.iter().map(line).collect()));
    }
    blocks
}
