//! The pages that lead in: the overview, and what becomes of a date.

use jiff::civil::Date;
use permissions::Environment;

use super::page::{Block, Code, Page, Section, Table};
use super::samples::{Call, VARIABLE, exports};
use super::text::Text;
use super::{Site, errors, pretty, reference};
use crate::docs::{Difference, News};
use crate::{Entry, ErrorCode, Life, State};

/// The overview.
pub(super) fn overview(site: &Site<'_>) -> Page {
    let ping = site.first_entry();
    let mut sections = vec![
        Section::new("Your first call", first_call(site, ping)),
        Section::new("Authentication", authentication(site)),
        Section::new("Staging and production", environments(site)),
        Section::new("Getting keys", getting_keys()),
        Section::new("Replacing and revoking keys", rotation()),
        Section::new("Limits", limits(site)),
        Section::new("Protocols", protocols()),
        Section::new("Versions", versions_in_short(site)),
    ];
    sections.push(Section::new(
        "For programs",
        vec![Block::List(vec![
            "[`/llms.txt`](/llms.txt) lists every page as Markdown, [`/llms-full.txt`](/llms-full.txt) holds them all."
                .into(),
            "Any address of a page with `.md` behind it is the page as Markdown; for this one it is \
             [`/index.md`](/index.md)."
                .into(),
            format!(
                "One OpenAPI 3.1 document for each version: {}.",
                site.listed(|version| format!("[{version}](/openapi/{version}.json)"))
            )
            .into(),
        ])],
    ));
    Page {
        address: "/".to_owned(),
        route: "/",
        title: "Overview".to_owned(),
        lead: "An HTTP API whose versions are dates. A key opens it; each endpoint requires one permission; answers \
               are JSON. Choose a date, put it into the path, and what you have built keeps working as it is."
            .into(),
        version: None,
        notice: None,
        opening: Vec::new(),
        sections,
    }
}

fn first_call(site: &Site<'_>, entry: Option<&Entry>) -> Vec<Block> {
    let Some(entry) = entry else { return vec![Block::says("No version has an endpoint yet.")] };
    let parameters = crate::docs::parameters(&entry.route).unwrap_or_default();
    let call = Call::new(&entry.route, &parameters, &format!("{}/{}", site.api_url, entry.version));
    let mut blocks =
        vec![Block::says("Put your key where the samples look for it. Use a key of staging to begin with.")];
    blocks.extend(exports(&format!("{}_stg_…", site.brand)));
    blocks.extend([
        Block::says(
            "A key that is typed into a shell stays in its history. Where that matters, let the shell ask for it: \
             `read -rs PARTNER_API_KEY && export PARTNER_API_KEY`.",
        ),
        Block::says("Then call:"),
        Block::Code(Code { label: "curl", language: "sh", text: call.curl() }),
        Block::says("The answer:"),
        Block::Code(Code { label: "200", language: "json", text: reference::example(&entry.route) }),
        Block::says(format!(
            "The page of [{}]({}) has the same call in JavaScript, Python and PowerShell.",
            entry.route.name,
            reference::address(entry)
        )),
    ]);
    blocks
}

fn authentication(site: &Site<'_>) -> Vec<Block> {
    let unauthorized = serde_json::json!({ "error": site.invalid_token_message });
    vec![
        Block::says(
            "Every call carries a key as a Bearer token (RFC 6750), in exactly one `Authorization` field. Without a \
             good key nothing is answered, not even whether a path exists.",
        ),
        Block::Code(Code {
            label: "Header field",
            language: "http",
            text: format!("Authorization: Bearer ${VARIABLE}"),
        }),
        Block::says(format!(
            "A key is one word: `{0}_stg_` or `{0}_live_` for its environment, 43 letters and digits, and a checksum \
             of 6. It is shown once, when it is made; only a hash is kept, so nobody can look it up for you later.",
            site.brand
        )),
        Block::says("A key that is missing, unknown, expired or revoked gets the same answer:"),
        Block::Code(Code { label: "401", language: "json", text: pretty(&unauthorized) }),
        Block::Heading("Keep it secret".to_owned()),
        Block::list([
            "Keys work for whoever holds them. Give them to servers, never to browsers, apps or repositories.",
            "Hold them in a secret manager or an environment variable, and leave them out of logs and screenshots.",
            "If one has leaked, have it revoked at once: it ends everywhere within moments, and open connections \
             that used it are closed.",
        ]),
        Block::Heading("Permissions".to_owned()),
        Block::says(
            "Each endpoint requires exactly one permission, such as `ping:read`, which its page names. A key holds \
             the permissions that it was made with. A call that lacks one gets \
             [403](/errors/permission-missing) with the name of what is missing.",
        ),
    ]
}

fn environments(site: &Site<'_>) -> Vec<Block> {
    let row = |environment: Environment, prefix: &str, purpose: &str| {
        let doors = site.doors.iter().filter(|door| door.environments.contains(environment.into()));
        let doors: Vec<_> = doors.map(|door| format!("`{}`", door.url)).collect();
        let doors = if doors.is_empty() { "not here".to_owned() } else { doors.join(", ") };
        vec![
            Text::from(format!("**{environment}**")),
            format!("`{}_{prefix}_`", site.brand).into(),
            doors.into(),
            purpose.into(),
        ]
    };
    vec![
        Block::says(
            "The key decides which environment a call is for, and answers name it as `env`. You get a key of its own for \
             each; neither works where only the other is served.",
        ),
        Block::Table(Table {
            label: "Environments",
            head: vec!["Environment", "Keys begin with", "Address", "Purpose"],
            rows: vec![
                row(
                    Environment::Staging,
                    "stg",
                    "A sandbox to develop and try things in. Previews of coming versions are answered here only.",
                ),
                row(Environment::Production, "live", "Live traffic of your customers."),
            ],
        }),
    ]
}

fn getting_keys() -> Vec<Block> {
    vec![
        Block::says("Access is given to partners one by one."),
        Block::Steps(vec![
            "**Ask.** Tell the team that runs this API what you want to build, which endpoints you need, and from which \
             networks you will call."
                .into(),
            "**Review.** The team looks at the use case, agrees the permissions with you and sets up what you need."
                .into(),
            "**Keys.** You receive two, one for staging and one for production, each with its own permissions and rate."
                .into(),
            "**Try.** Call the first endpoint with the key of staging. When all works, change the key, and nothing else."
                .into(),
        ]),
    ]
}

fn rotation() -> Vec<Block> {
    vec![
        Block::says(
            "Ask the team to rotate a key: you get a new one with the same rights. Without an overlap the old one ends \
             at once; with an overlap, of a day for example, both work until it has passed.",
        ),
        Block::Steps(vec![
            "Have the key rotated with an overlap.".into(),
            "Put the new key in place everywhere.".into(),
            "Let the old one run out, or have it revoked when nothing uses it any more.".into(),
        ]),
        Block::says(
            "A revoked key gets a 401 from the next call on, and connections on which it was used are closed.",
        ),
    ]
}

fn limits(site: &Site<'_>) -> Vec<Block> {
    vec![Block::says(format!(
        "A key has a rate; where nothing else was agreed it is {} calls per second, of which {} may come at once after \
         a pause. Every answer to a good key tells what is left in \
         `ratelimit` and the rate itself in `ratelimit-policy`. Beyond it there is [429](/errors/rate-limited) with \
         `retry-after` in seconds.",
        site.key_rate.per_second, site.key_rate.burst
    ))]
}

fn protocols() -> Vec<Block> {
    vec![Block::says(
        "HTTP/1.1, HTTP/2 and HTTP/3 give the same answers. Answers over the first two tell in `alt-svc` where HTTP/3 is \
         offered; clients that speak it move there by themselves. `GET` endpoints answer `HEAD` too, and every \
         endpoint answers `OPTIONS` with its methods in `allow`.",
    )]
}

fn versions_in_short(site: &Site<'_>) -> Vec<Block> {
    vec![
        Block::Table(table(site, 8)),
        Block::says(
            "[Versions](/versions) tells what becomes of a date, the [changelog](/changelog) what each brought.",
        ),
    ]
}

/// The newest dates, at most `max`.
fn table(site: &Site<'_>, max: usize) -> Table {
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

/// All dates, and what becomes of one.
pub(super) fn versions(site: &Site<'_>) -> Page {
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

/// What each date brought, newest first.
pub(super) fn changelog(site: &Site<'_>, news: &[News]) -> Page {
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
