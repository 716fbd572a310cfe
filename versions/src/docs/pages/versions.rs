//! The page about versions and their lifecycle.

use jiff::civil::Date;

use super::page::{Block, Code, Page, Section, Table};
use super::samples::cacert;
use super::text::Text;
use super::{Site, errors};
use crate::{ErrorCode, Schedule, VersionState};

/// The page about versions.
pub(super) fn page(site: &Site<'_>) -> Page {
    let states = [
        (VersionState::Preview, "Available to staging keys only. It may still change."),
        (VersionState::Current, "Available to every key. Its contract does not change."),
        (
            VersionState::Deprecated,
            "Still available and unchanged, but about to be retired. Responses say so in their headers. Move to a newer \
             version before the sunset date.",
        ),
        (
            VersionState::Retired,
            "No longer available. The response is a [410](/errors/retired-version) that names the version to move to.",
        ),
    ];
    let states = states.map(|(state, meaning)| vec![Text::from(format!("**{state}**")), Text::from(meaning)]);
    let retired = site
        .calendar
        .schedules()
        .iter()
        .position(|schedule| schedule.state(site.now) == VersionState::Retired);
    let gone = site.catalog.tables().get(retired.unwrap_or_default()).map(|table| table.version);
    let (newest, permission) = site.newest();
    let gone = errors::example(ErrorCode::RetiredVersion, gone.unwrap_or(newest), permission, site);
    Page {
        address: "/versions".to_owned(),
        route: "/versions",
        title: "Versions".to_owned(),
        lead: "A version is a date and the first segment of every path. You stay on a version until you change the path \
               yourself."
            .into(),
        version: None,
        notice: None,
        opening: vec![Block::Table(table(site, usize::MAX))],
        sections: vec![
            Section::new(
                "Lifecycle",
                vec![
                    Block::Table(Table {
                        label: "States of a version",
                        head: vec!["State", "Meaning"],
                        rows: states.into(),
                    }),
                    Block::paragraph(
                        "Each state begins at 00:00 UTC on its date. A version is always deprecated before it is retired.",
                    ),
                ],
            ),
            Section::new(
                "Response headers",
                vec![Block::Table(Table {
                    label: "Response headers about versions",
                    head: vec!["Header", "Description"],
                    rows: [
                        ("api-version", "The version that produced the response."),
                        (
                            "deprecation",
                            "Once deprecated: when, as `@` and a Unix timestamp (RFC 9745).",
                        ),
                        (
                            "sunset",
                            "Once deprecated, if the date is set: when the version is retired (RFC 8594).",
                        ),
                        (
                            "link",
                            "Once deprecated: links to the version's page and, with `rel=\"successor-version\"`, to the \
                             version to move to.",
                        ),
                    ]
                    .map(|(name, meaning)| vec![Text::from(format!("`{name}`")), meaning.into()])
                    .into(),
                })],
            ),
            Section::new("Preview a newer version", preview(site)),
            Section::new(
                "Retired versions",
                vec![
                    Block::paragraph(
                        "A retired version responds with a 410. It never silently responds in the format of another version, \
                         which an integration could misread.",
                    ),
                    Block::Code(Code { label: "410", language: "json", text: gone }),
                    Block::paragraph(
                        "If you cannot update your integration in time, ask for `on_retired=forward` to be set on your key. Calls \
                         to a retired version then get the response of its successor, which the `api-version` header \
                         names.",
                    ),
                ],
            ),
        ],
    }
}

fn preview(site: &Site<'_>) -> Vec<Block> {
    let mut blocks = vec![Block::paragraph(
        "To see how a newer version would respond to your real traffic, send its date in the `api-version-preview` header of \
         a read-only call. Your response stays the same; additional headers describe the newer version's response.",
    )];
    let schedules = site.calendar.schedules();
    let pair =
        schedules.len().checked_sub(2).map(|older| (schedules[older].version, schedules[older + 1].version));
    let entry = pair.and_then(|(older, _)| site.catalog.entries_of(older).next());
    if let (Some((_, newer)), Some(entry)) = (pair, entry) {
        blocks.push(Block::Code(Code {
            label: "curl",
            language: "sh",
            text: format!(
                "curl --silent --show-error --dump-header - {}\\\n  --header \"Authorization: Bearer ${}\" \\\n  \
                 --header 'api-version-preview: {newer}' \\\n  '{}{}'",
                cacert(site.authority()),
                site.key_variable,
                site.api_url,
                entry.template
            ),
        }));
    }
    blocks.push(Block::Table(Table {
        label: "Headers of a preview",
        head: vec!["Header", "Description"],
        rows: [
            ("api-version-preview", "The version that was previewed."),
            ("api-version-preview-status", "The status code that it would have responded with."),
            (
                "api-version-preview-patch",
                "The differences in the body, as a JSON Patch (RFC 6902) from your response to the newer one.",
            ),
            (
                "api-version-preview-omitted",
                "Why there is no patch: it is too large for a header, or the call is not read-only.",
            ),
        ]
        .map(|(name, meaning)| vec![Text::from(format!("`{name}`")), meaning.into()])
        .into(),
    }));
    blocks
}

/// The newest versions, at most `max`.
pub(super) fn table(site: &Site<'_>, max: usize) -> Table {
    let rows = site.calendar.schedules().iter().zip(site.catalog.releases()).rev().take(max);
    let row = |(schedule, release): (&Schedule, &crate::Release)| {
        let version = schedule.version;
        vec![
            Text::from(format!("[{version}](/{version})")),
            schedule.state(site.now).name().into(),
            day(schedule.lifecycle.published),
            day(schedule.lifecycle.deprecated),
            day(schedule.lifecycle.sunset),
            release.summary.into(),
        ]
    };
    Table {
        label: "Versions",
        head: vec!["Version", "State", "Published", "Deprecated", "Sunset", "Summary"],
        rows: rows.map(row).collect(),
    }
}

/// A date, or a dash.
pub(super) fn day(day: Option<Date>) -> Text {
    day.map_or_else(|| "–".into(), |day| Text::from(day.to_string()))
}
