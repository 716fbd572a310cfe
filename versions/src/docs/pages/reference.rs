//! The page of a version and those of its endpoints.

use std::any::TypeId;
use std::collections::HashMap;
use std::rc::Rc;

use permissions::ApiAccessPermission;
use serde_json::Value;

use super::page::{Answer, Block, Notice, Page, Section, Shared, Table};
use super::response_fields::response_fields;
use super::samples::{Call, exports};
use super::shared::shared;
use super::text::Text;
use super::{Site, changelog, errors, pretty, versions};
use crate::docs::{Location, Parameter, ReleaseNotes, parameters, type_name};
use crate::{Entry, ErrorCode, Route, Version, VersionState};

/// The path of an endpoint's page.
pub(super) fn address(entry: &Entry) -> String {
    format!("/{}/{}", entry.version, entry.route.name)
}

/// The example response as text.
pub(super) fn example(route: &Route) -> String {
    let example = (route.example)().unwrap_or_default();
    match serde_json::from_slice::<Value>(&example) {
        Ok(example) => pretty(&example),
        Err(_) => String::from_utf8(example).unwrap_or_default(),
    }
}

/// What pages share, rendered once: an endpoint that several versions inherit, errors, and fixed sections.
#[derive(Default)]
pub(super) struct SharedBlocks {
    endpoints: HashMap<TypeId, Rc<Described>>,
    errors: HashMap<(ErrorCode, Option<Version>, ApiAccessPermission), Rc<Shared>>,
    exports: Option<Rc<Shared>>,
    fields: Option<Rc<Shared>>,
}

struct Described {
    parameters: Vec<Parameter>,
    members: Rc<Shared>,
    example: Rc<Shared>,
}

impl SharedBlocks {
    fn of(&mut self, route: &Route) -> Rc<Described> {
        let described = self.endpoints.entry(route.endpoint).or_insert_with(|| {
            Rc::new(Described {
                // A test describes every endpoint of every date, so that none is described as empty.
                parameters: parameters(route).unwrap_or_default(),
                members: shared(&[Block::Table(Table {
                    label: "Response fields",
                    head: vec!["Field", "Type", "Description"],
                    rows: response_fields(route).into_iter().map(Vec::from).collect(),
                })]),
                example: shared(&[Block::Answer(Answer {
                    status: 200,
                    title: "OK",
                    text: "Success. The media type is `application/json`.".into(),
                    body: example(route),
                    is_open: true,
                })]),
            })
        });
        Rc::clone(described)
    }

    /// An error as this endpoint responds with it.
    fn error(&mut self, site: &Site<'_>, code: ErrorCode, entry: &Entry) -> Rc<Shared> {
        // Only the first depends on the version, and only the second on the permission.
        let version = (code == ErrorCode::RetiredVersion).then_some(entry.version);
        let required = entry.route.permission;
        let permission =
            if code == ErrorCode::PermissionMissing { required } else { ApiAccessPermission::empty() };
        let write = || {
            shared(&[Block::Answer(Answer {
                status: code.status().as_u16(),
                title: code.title(),
                text: format!("See [`{}`]({}) for causes and solutions.", code.name(), errors::address(code))
                    .into(),
                body: errors::example(code, entry.version, required, site),
                is_open: code == ErrorCode::InvalidToken,
            })])
        };
        Rc::clone(self.errors.entry((code, version, permission)).or_insert_with(write))
    }
}

/// The notice about the state of a version; `name` is the endpoint whose page shows it.
fn notice(site: &Site<'_>, index: usize, name: Option<&str>) -> Option<Notice> {
    let schedule = &site.calendar.schedules()[index];
    let version = schedule.version;
    let successor = site.successor_of(version).map(|successor| {
        let same =
            name.filter(|name| site.catalog.entries_of(successor).any(|entry| entry.route.name == *name));
        match same {
            Some(name) => format!(" Move to [`{name}` in {successor}](/{successor}/{name})."),
            None => format!(" Move to [{successor}](/{successor})."),
        }
    });
    let successor = successor.unwrap_or_default();
    let (title, text, is_final) = match schedule.state(site.now) {
        VersionState::Current => return None,
        VersionState::Preview => (
            "Preview",
            match schedule.lifecycle.published {
                Some(day) => format!(
                    "{version} will be published on {day}. Until then it is available to staging keys only."
                ),
                None => format!("{version} may still change and is available to staging keys only."),
            },
            false,
        ),
        VersionState::Deprecated => (
            "Deprecated",
            match schedule.lifecycle.sunset {
                Some(day) => format!(
                    "{version} will be retired on {day}. From then on it responds with 410.{successor}"
                ),
                None => format!("{version} will be retired. The date is not set yet.{successor}"),
            },
            false,
        ),
        VersionState::Retired => (
            "Retired",
            format!(
                "{version} is no longer available. Every call gets a [410](/errors/retired-version).{successor}"
            ),
            true,
        ),
    };
    Some(Notice { title, text: text.into(), is_final })
}

/// The page of a version.
pub(super) fn version(site: &Site<'_>, index: usize, notes: &ReleaseNotes) -> Page {
    let release = &site.catalog.releases()[index];
    let schedule = &site.calendar.schedules()[index];
    let version = release.version;
    let link = |entry: &Entry| {
        let route = &entry.route;
        vec![
            Text::from(format!("[`{}`]({})", route.name, address(entry))),
            format!("`{} {}`", route.method, entry.template).into(),
            format!("`{}`", route.permission).into(),
            route.summary.into(),
        ]
    };
    let mut sections = vec![Section::new(
        "Endpoints",
        vec![Block::Table(Table {
            label: "Endpoints",
            head: vec!["Name", "Request", "Permission", "Description"],
            rows: site.catalog.entries_of(version).map(link).collect(),
        })],
    )];
    let changes = changelog::changes(notes);
    if !changes.is_empty() {
        sections.push(Section::new("Changes", changes));
    }
    sections.push(Section::new(
        "OpenAPI",
        vec![Block::List(vec![
            format!("[OpenAPI 3.1 document for {version}](/openapi/{version}.json)").into(),
        ])],
    ));
    Page {
        address: format!("/{version}"),
        route: "/{date}",
        title: version.to_string(),
        lead: release.summary.into(),
        version: Some(index),
        notice: notice(site, index, None),
        opening: vec![Block::Facts(vec![
            ("State", schedule.state(site.now).name().into()),
            ("Published", versions::day(schedule.lifecycle.published)),
            ("Deprecated", versions::day(schedule.lifecycle.deprecated)),
            ("Sunset", versions::day(schedule.lifecycle.sunset)),
            ("Base URL", format!("`{}/{version}/`", site.api_url).into()),
        ])],
        sections,
    }
}

/// The page of an endpoint.
pub(super) fn endpoint(
    site: &Site<'_>,
    index: usize,
    entry: &Entry,
    shared_blocks: &mut SharedBlocks,
) -> Page {
    let route = &entry.route;
    let described = shared_blocks.of(route);
    let call = Call::new(site, entry, &described.parameters);
    let mut sections = vec![Section::new("Parameters", parameter_tables(route, &described.parameters))];
    sections.push(Section::new("Code samples", call.samples().into()));
    let exports = shared_blocks.exports.get_or_insert_with(|| {
        let mut blocks = vec![Block::paragraph(
            "The code samples read your key from an environment variable. Set it like this:",
        )];
        blocks.extend(exports(site.key_variable, &format!("{}_stg_…", site.brand)));
        shared(&blocks)
    });
    sections.push(Section::new("Set your API key", vec![Block::Shared(Rc::clone(exports))]));
    let mut codes: Vec<ErrorCode> =
        ErrorCode::ALL.into_iter().filter(|code| can_meet(*code, route)).collect();
    codes.sort_by_key(|code| code.status());
    let mut responses = vec![Block::Shared(Rc::clone(&described.example))];
    responses.extend(codes.into_iter().map(|code| Block::Shared(shared_blocks.error(site, code, entry))));
    sections.push(Section::new("Responses", responses));
    sections.push(Section::new("Response fields", vec![Block::Shared(Rc::clone(&described.members))]));
    let fields = shared_blocks.fields.get_or_insert_with(|| shared(&header_fields()));
    sections.push(Section::new("Headers", vec![Block::Shared(Rc::clone(fields))]));
    if let Some(others) = other_dates(site, index, entry) {
        sections.push(Section::new("Other versions", others));
    }
    let constant = route.permission.iter_names().map(|(name, _)| name).next().unwrap_or_default();
    Page {
        address: address(entry),
        route: "/{date}/{endpoint}",
        title: route.name.to_owned(),
        lead: route.summary.into(),
        version: Some(index),
        notice: notice(site, index, Some(route.name)),
        opening: vec![
            Block::Call(route.method.to_string(), entry.template.clone()),
            Block::Facts(vec![
                ("Required permission", format!("`{}`", route.permission).into()),
                ("Permission constant", format!("`ApiAccessPermission::{constant}`").into()),
                ("Version", format!("[{0}](/{0})", entry.version).into()),
            ]),
        ],
        sections,
    }
}

fn parameter_tables(route: &Route, parameters: &[Parameter]) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut silent = Vec::new();
    let content = crate::has_content(&route.method);
    for (place, heading, none) in [
        (Location::Path, "Path parameters", "path parameters"),
        (Location::Query, "Query parameters", "query parameters"),
        (Location::Content, "Request fields", "request body"),
    ] {
        let rows: Vec<_> = parameters.iter().filter(|part| part.place == place).map(parameter_row).collect();
        if !rows.is_empty() {
            blocks.push(Block::Heading(heading.to_owned()));
            let head = vec!["Name", "Type", "Required", "Description", "Example"];
            blocks.push(Block::Table(Table { label: heading, head, rows }));
        } else if place == Location::Path || content == (place == Location::Content) {
            silent.push(none);
        }
    }
    if !silent.is_empty() {
        blocks.push(Block::paragraph(format!("This endpoint has no {}.", silent.join(" and no "))));
    }
    blocks
}

fn parameter_row(part: &Parameter) -> Vec<Text> {
    let example = part.example.as_ref();
    let example = example.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    vec![
        Text::from(format!("`{}`", part.name)),
        Text::plain(&type_name(&part.schema, &part.schema)),
        if part.required { "yes" } else { "no" }.into(),
        // The values that follow in further lines are in the column of types.
        part.description.lines().next().unwrap_or_default().into(),
        example.map(|example| Text::from(format!("`{example}`"))).unwrap_or_default(),
    ]
}

/// Whether a call to this endpoint can get this error.
fn can_meet(code: ErrorCode, route: &Route) -> bool {
    match code {
        // It is an error of other paths.
        ErrorCode::UnknownVersion => false,
        // So is this one, unless the path names one of several things.
        ErrorCode::UnknownResource => route.path.contains('{'),
        ErrorCode::TooEarly => !route.early_data_safe,
        ErrorCode::NotAcceptable => route.media_type.is_some(),
        ErrorCode::IdempotencyKeyReused => route.takes_idempotency_key,
        ErrorCode::Conflict if route.takes_idempotency_key => true,
        code => code.is_general() || route.errors.contains(&code),
    }
}

fn header_fields() -> Vec<Block> {
    let table = |label: &'static str, rows: &[(&str, &str)]| {
        let rows =
            rows.iter().map(|(name, meaning)| vec![Text::from(format!("`{name}`")), (*meaning).into()]);
        Block::Table(Table { label, head: vec!["Header", "Description"], rows: rows.collect() })
    };
    vec![
        Block::Heading("Request headers".to_owned()),
        table(
            "Request headers",
            &[
                ("authorization", "Required: `Bearer`, a space and your API key."),
                ("accept", "Optional. Must allow `application/json`."),
                (
                    "api-version-preview",
                    "Optional. A newer version to [preview](/versions#preview-a-newer-version).",
                ),
            ],
        ),
        Block::Heading("Response headers".to_owned()),
        table(
            "Response headers",
            &[
                (
                    "content-type",
                    "`application/json`, or `application/problem+json` for errors other than 401.",
                ),
                ("api-version", "The version that produced the response."),
                ("x-request-id", "Identifies the call. Include it when you report a problem."),
                ("ratelimit", "How many calls your key has left."),
                ("ratelimit-policy", "The rate limit of your key."),
                ("cache-control", "Always `no-store`: responses must not be cached."),
                ("alt-svc", "Where HTTP/3 is available. Sent over HTTP/1.1 and HTTP/2."),
                ("deprecation, sunset, link", "Sent by [deprecated versions](/versions#response-headers)."),
            ],
        ),
    ]
}

/// What changed about the endpoint in this version, and where to find it in other versions.
fn other_dates(site: &Site<'_>, index: usize, entry: &Entry) -> Option<Vec<Block>> {
    let name = entry.route.name;
    let at = |other: usize| {
        let version = site.catalog.releases()[other].version;
        let found = site.catalog.entries_of(version).find(|other| other.route.name == name)?;
        Some((version, found.route.endpoint == entry.route.endpoint))
    };
    let mut items = Vec::new();
    if let Some(replaced) = &entry.route.replaced {
        let here = site.catalog.releases()[index].changed.iter().any(|route| route.name == name);
        if here {
            items.push(Text::from(format!("Changed in this version: {}", replaced.note)));
        }
    }
    let mut link = |word: &str, other: Option<usize>| {
        if let Some((version, same)) = other.and_then(at) {
            let same = if same { "unchanged" } else { "different" };
            items.push(Text::from(format!("{word}: [{version}](/{version}/{name}) ({same}).")));
        }
    };
    let last = site.catalog.releases().len() - 1;
    link("Previous version", index.checked_sub(1));
    link("Next version", Some(index + 1).filter(|after| *after <= last));
    link("Newest version", Some(last).filter(|last| *last > index + 1));
    (!items.is_empty()).then(|| vec![Block::List(items)])
}
