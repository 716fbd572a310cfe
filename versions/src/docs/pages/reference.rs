//! The pages of a date and of its endpoints.

use std::any::TypeId;
use std::collections::HashMap;
use std::rc::Rc;

use permissions::ApiAccessPermission;
use serde_json::Value;

use super::members::members;
use super::page::{Answer, Block, Notice, Page, Section, Shared, Table};
use super::samples::{Call, exports};
use super::shared::shared;
use super::text::Text;
use super::{Site, changelog, errors, pretty, versions};
use crate::docs::{News, Parameter, Place, parameters, type_in_words};
use crate::{Entry, ErrorCode, Route, State, Version};

/// The address of an endpoint's page.
pub(super) fn address(entry: &Entry) -> String {
    format!("/{}/{}", entry.version, entry.route.name)
}

/// The example of a reply, as text.
pub(super) fn example(route: &Route) -> String {
    let example = (route.example)().unwrap_or_default();
    match serde_json::from_slice::<Value>(&example) {
        Ok(example) => pretty(&example),
        Err(_) => String::from_utf8(example).unwrap_or_default(),
    }
}

/// What many pages say in the same words, and what is the same of an endpoint at every date that inherits
/// it: written once.
#[derive(Default)]
pub(super) struct Known {
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

impl Known {
    fn of(&mut self, route: &Route) -> Rc<Described> {
        let described = self.endpoints.entry(route.endpoint).or_insert_with(|| {
            Rc::new(Described {
                // A test describes every endpoint of every date, so that none is described as empty.
                parameters: parameters(route).unwrap_or_default(),
                members: shared(&[Block::Table(Table {
                    label: "Members of the answer",
                    head: vec!["Member", "Type", "Meaning"],
                    rows: members(route).into_iter().map(Vec::from).collect(),
                })]),
                example: shared(&[Block::Answer(Answer {
                    status: 200,
                    title: "OK",
                    text: "The answer, as `application/json`.".into(),
                    body: example(route),
                    is_open: true,
                })]),
            })
        });
        Rc::clone(described)
    }

    /// An error as a call of this endpoint meets it.
    fn error(&mut self, site: &Site<'_>, code: ErrorCode, entry: &Entry) -> Rc<Shared> {
        // Only the one names a date, and only the other a permission.
        let version = (code == ErrorCode::RetiredVersion).then_some(entry.version);
        let required = entry.route.permission;
        let permission =
            if code == ErrorCode::PermissionMissing { required } else { ApiAccessPermission::empty() };
        let write = || {
            shared(&[Block::Answer(Answer {
                status: code.status().as_u16(),
                title: code.title(),
                text: format!(
                    "[`{}`]({}): what it means and what to do.",
                    code.name(),
                    errors::address(code)
                )
                .into(),
                body: errors::example(code, entry.version, required, site),
                is_open: code == ErrorCode::InvalidToken,
            })])
        };
        Rc::clone(self.errors.entry((code, version, permission)).or_insert_with(write))
    }
}

/// What to know of a date before using it; `name` is the endpoint whose page asks.
fn notice(site: &Site<'_>, index: usize, name: Option<&str>) -> Option<Notice> {
    let life = &site.calendar.lives()[index];
    let version = life.version;
    let successor = site.successor_of(version).map(|successor| {
        let same =
            name.filter(|name| site.catalog.entries_of(successor).any(|entry| entry.route.name == *name));
        match same {
            Some(name) => format!(" Move to [`{name}` of {successor}](/{successor}/{name})."),
            None => format!(" Move to [{successor}](/{successor})."),
        }
    });
    let successor = successor.unwrap_or_default();
    let (title, text, is_final) = match life.state(site.now) {
        State::Current => return None,
        State::Preview => (
            "Preview",
            match life.lifecycle.published {
                Some(day) => format!(
                    "{version} will be published on {day}. Until then only keys of staging are answered."
                ),
                None => format!("{version} may still change. Only keys of staging are answered."),
            },
            false,
        ),
        State::Deprecated => (
            "Deprecated",
            match life.lifecycle.sunset {
                Some(day) => format!(
                    "{version} will be retired on {day} and answered with 410 from then on.{successor}"
                ),
                None => format!("{version} will be retired; the day is not set yet.{successor}"),
            },
            false,
        ),
        State::Retired => (
            "Retired",
            format!(
                "{version} is no longer answered: every call gets [410](/errors/retired-version).{successor}"
            ),
            true,
        ),
    };
    Some(Notice { title, text: text.into(), is_final })
}

/// The page of a date.
pub(super) fn version(site: &Site<'_>, index: usize, news: &News) -> Page {
    let release = &site.catalog.releases()[index];
    let life = &site.calendar.lives()[index];
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
            head: vec!["Name", "Call", "Permission", "What it does"],
            rows: site.catalog.entries_of(version).map(link).collect(),
        })],
    )];
    let changes = changelog::changes(news);
    if !changes.is_empty() {
        sections.push(Section::new("What it brought", changes));
    }
    sections.push(Section::new(
        "For programs",
        vec![Block::List(vec![
            format!("[OpenAPI 3.1 document of {version}](/openapi/{version}.json)").into(),
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
            ("State", life.state(site.now).name().into()),
            ("Published", versions::day(life.lifecycle.published)),
            ("Deprecated", versions::day(life.lifecycle.deprecated)),
            ("Sunset", versions::day(life.lifecycle.sunset)),
            ("Address", format!("`{}/{version}/`", site.api_url).into()),
        ])],
        sections,
    }
}

/// The page of an endpoint.
pub(super) fn endpoint(site: &Site<'_>, index: usize, entry: &Entry, known: &mut Known) -> Page {
    let route = &entry.route;
    let described = known.of(route);
    let call = Call::new(route, &described.parameters, &format!("{}/{}", site.api_url, entry.version));
    let mut sections = vec![Section::new("Parameters", parameter_tables(route, &described.parameters))];
    sections.push(Section::new("Samples", call.samples().into()));
    let exports = known.exports.get_or_insert_with(|| {
        let mut blocks = vec![Block::says(
            "The samples take the key from an environment variable. Set it like this, with your own key:",
        )];
        blocks.extend(exports(&format!("{}_stg_…", site.brand)));
        shared(&blocks)
    });
    sections.push(Section::new("Set your key", vec![Block::Shared(Rc::clone(exports))]));
    let mut codes: Vec<ErrorCode> =
        ErrorCode::ALL.into_iter().filter(|code| can_meet(*code, route)).collect();
    codes.sort_by_key(|code| code.status());
    let mut answers = vec![Block::Shared(Rc::clone(&described.example))];
    answers.extend(codes.into_iter().map(|code| Block::Shared(known.error(site, code, entry))));
    sections.push(Section::new("Answers", answers));
    sections.push(Section::new("Members of the answer", vec![Block::Shared(Rc::clone(&described.members))]));
    let fields = known.fields.get_or_insert_with(|| shared(&header_fields()));
    sections.push(Section::new("Header fields", vec![Block::Shared(Rc::clone(fields))]));
    if let Some(others) = other_dates(site, index, entry) {
        sections.push(Section::new("Other dates", others));
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
                ("In the gateway's code", format!("`ApiAccessPermission::{constant}`").into()),
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
        (Place::Path, "In the path", "path parameters"),
        (Place::Query, "In the query", "query parameters"),
        (Place::Content, "In the content", "content"),
    ] {
        let rows: Vec<_> = parameters.iter().filter(|part| part.place == place).map(parameter_row).collect();
        if !rows.is_empty() {
            blocks.push(Block::Heading(heading.to_owned()));
            let head = vec!["Name", "Type", "Required", "Meaning", "Example"];
            blocks.push(Block::Table(Table { label: heading, head, rows }));
        } else if place == Place::Path || content == (place == Place::Content) {
            silent.push(none);
        }
    }
    if !silent.is_empty() {
        blocks.push(Block::says(format!("This endpoint takes no {}.", silent.join(" and no "))));
    }
    blocks
}

fn parameter_row(part: &Parameter) -> Vec<Text> {
    let example = part.example.as_ref();
    let example = example.map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    vec![
        Text::from(format!("`{}`", part.name)),
        Text::plain(&type_in_words(&part.schema, &part.schema)),
        if part.required { "yes" } else { "no" }.into(),
        part.description.as_str().into(),
        example.map(|example| Text::from(format!("`{example}`"))).unwrap_or_default(),
    ]
}

/// Whether a call of this endpoint, at its path, can be answered so.
fn can_meet(code: ErrorCode, route: &Route) -> bool {
    match code {
        // That is what other paths are answered with.
        ErrorCode::UnknownVersion | ErrorCode::UnknownResource => false,
        ErrorCode::TooEarly => !route.early_data_safe,
        _ => true,
    }
}

fn header_fields() -> Vec<Block> {
    let table = |label: &'static str, rows: &[(&str, &str)]| {
        let rows =
            rows.iter().map(|(name, meaning)| vec![Text::from(format!("`{name}`")), (*meaning).into()]);
        Block::Table(Table { label, head: vec!["Header field", "Meaning"], rows: rows.collect() })
    };
    vec![
        Block::Heading("Of a call".to_owned()),
        table(
            "Header fields of a call",
            &[
                ("authorization", "Required: `Bearer`, a blank and your key."),
                ("accept", "Must allow `application/json`, if it is sent."),
                (
                    "api-version-preview",
                    "A newer date, to be told what it would have answered: [how](/versions#trying-the-next-date).",
                ),
            ],
        ),
        Block::Heading("Of an answer".to_owned()),
        table(
            "Header fields of an answer",
            &[
                (
                    "content-type",
                    "`application/json`; of errors other than a 401 `application/problem+json`.",
                ),
                ("api-version", "The version that answered."),
                ("x-request-id", "Names this call. Tell it when you report a problem."),
                ("ratelimit", "What is left of your key's rate."),
                ("ratelimit-policy", "Your key's rate."),
                ("cache-control", "Always `no-store`: an answer is for its caller alone."),
                ("alt-svc", "Where HTTP/3 is offered; on HTTP/1.1 and HTTP/2."),
                (
                    "deprecation, sunset, link",
                    "That the version ends, when, and what follows: [versions](/versions#what-answers-tell).",
                ),
            ],
        ),
    ]
}

/// How the endpoint came to be as it is here, and where else it is.
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
            items.push(Text::from(format!("Changed with this date: {}", replaced.note)));
        }
    }
    let mut link = |word: &str, other: Option<usize>| {
        if let Some((version, same)) = other.and_then(at) {
            let same = if same { "the same" } else { "different" };
            items.push(Text::from(format!("{word}: [{version}](/{version}/{name}), where it is {same}.")));
        }
    };
    let last = site.catalog.releases().len() - 1;
    link("The date before", index.checked_sub(1));
    link("The date after", Some(index + 1).filter(|after| *after <= last));
    link("The newest date", Some(last).filter(|last| *last > index + 1));
    (!items.is_empty()).then(|| vec![Block::List(items)])
}
