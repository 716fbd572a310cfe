//! The page about versions: all dates, and what becomes of one.

use jiff::civil::Date;

use super::page::{Block, Code, Page, Section, Table};
use super::samples::VARIABLE;
use super::text::Text;
use super::{Site, errors};
use crate::{ErrorCode, Life, State};

/// All dates, and what becomes of one.
pub(super) fn page(site: &Site<'_>) -> Page {
    let states = [
        (State::Preview, "It may still change. Only keys of staging are answered."),
        (State::Current, "In force for every key. What it answers never changes again."),
        (
            State::Deprecated,
            "In force and unchanged, and about to end: every answer says so. Move before the sunset.",
        ),
        (State::Retired, "Answered with [410](/errors/retired-version), which names the version to move to."),
    ];
    let states = states.map(|(state, meaning)| vec![Text::from(format!("**{state}**")), Text::from(meaning)]);
    let retired = site.calendar.lives().iter().position(|life| life.state(site.now) == State::Retired);
    let gone = site.catalog.tables().get(retired.unwrap_or_default()).map(|table| table.version);
    let (newest, permission) = site.newest();
    let gone = errors::example(ErrorCode::RetiredVersion, gone.unwrap_or(newest), permission, site);
    Page {
        address: "/versions".to_owned(),
        route: "/versions",
        title: "Versions".to_owned(),
        lead: "A version is a date, and the first part of every path. Yours changes when you change it, and never by \
               itself."
            .into(),
        version: None,
        notice: None,
        opening: vec![Block::Table(table(site, usize::MAX))],
        sections: vec![
            Section::new(
                "The life of a date",
                vec![
                    Block::Table(Table {
                        label: "States of a version",
                        head: vec!["State", "Meaning"],
                        rows: states.into(),
                    }),
                    Block::says(
                        "A state begins with the first second of its day, in UTC. A date is never retired without \
                         having been deprecated before.",
                    ),
                ],
            ),
            Section::new(
                "What answers tell",
                vec![Block::Table(Table {
                    label: "Header fields about versions",
                    head: vec!["Header field", "Meaning"],
                    rows: [
                        ("api-version", "The version that answered."),
                        (
                            "deprecation",
                            "From the deprecation on: its moment, as `@` and seconds since 1970 (RFC 9745).",
                        ),
                        (
                            "sunset",
                            "From the deprecation on, where the day is known: the moment from which on there is a 410 \
                             (RFC 8594).",
                        ),
                        (
                            "link",
                            "From the deprecation on: the page of the version, and with `rel=\"successor-version\"` \
                             where to move.",
                        ),
                    ]
                    .map(|(name, meaning)| vec![Text::from(format!("`{name}`")), meaning.into()])
                    .into(),
                })],
            ),
            Section::new("Trying the next date", preview(site)),
            Section::new(
                "After the sunset",
                vec![
                    Block::says(
                        "A retired date answers 410. It never answers in the form of another date by itself, because a \
                         program that meets a form it does not know fails in worse ways.",
                    ),
                    Block::Code(Code { label: "410", language: "json", text: gone }),
                    Block::says(
                        "Where a program cannot be changed in time, ask for its key to be set to `on_retired=forward`: \
                         calls to a retired date are then answered by its successor, and `api-version` on each answer \
                         says which one that was.",
                    ),
                ],
            ),
        ],
    }
}

fn preview(site: &Site<'_>) -> Vec<Block> {
    let mut blocks = vec![Block::says(
        "Send `api-version-preview` with a newer date along with a call that changes nothing. Your answer stays as it \
         is; beside it the gateway tells what that date would have answered, on your real traffic and before you \
         change a line.",
    )];
    let lives = site.calendar.lives();
    let pair = lives.len().checked_sub(2).map(|older| (lives[older].version, lives[older + 1].version));
    let entry = pair.and_then(|(older, _)| site.catalog.entries_of(older).next());
    if let (Some((_, newer)), Some(entry)) = (pair, entry) {
        blocks.push(Block::Code(Code {
            label: "curl",
            language: "sh",
            text: format!(
                "curl --silent --show-error --dump-header - \\\n  --header \"Authorization: Bearer ${VARIABLE}\" \\\n  \
                 --header 'api-version-preview: {newer}' \\\n  '{}{}'",
                site.api_url, entry.template
            ),
        }));
    }
    blocks.push(Block::Table(Table {
        label: "Header fields of a preview",
        head: vec!["Header field", "Meaning"],
        rows: [
            ("api-version-preview", "The date that was asked about."),
            ("api-version-preview-status", "The status that it would have answered with."),
            (
                "api-version-preview-patch",
                "What would be different in the body: a JSON Patch (RFC 6902) from your answer to that one.",
            ),
            (
                "api-version-preview-omitted",
                "Comes instead of a patch that is too large for a header field, or where a second call would change \
                 something.",
            ),
        ]
        .map(|(name, meaning)| vec![Text::from(format!("`{name}`")), meaning.into()])
        .into(),
    }));
    blocks
}

/// The newest dates, at most `max`.
pub(super) fn table(site: &Site<'_>, max: usize) -> Table {
    let rows = site.calendar.lives().iter().zip(site.catalog.releases()).rev().take(max);
    let row = |(life, release): (&Life, &crate::Release)| {
        let version = life.version;
        vec![
            Text::from(format!("[{version}](/{version})")),
            life.state(site.now).name().into(),
            day(life.lifecycle.published),
            day(life.lifecycle.deprecated),
            day(life.lifecycle.sunset),
            release.summary.into(),
        ]
    };
    Table {
        label: "Versions",
        head: vec!["Version", "State", "Published", "Deprecated", "Sunset", "About"],
        rows: rows.map(row).collect(),
    }
}

/// A day, or a dash.
pub(super) fn day(day: Option<Date>) -> Text {
    day.map_or_else(|| "–".into(), |day| Text::from(day.to_string()))
}
