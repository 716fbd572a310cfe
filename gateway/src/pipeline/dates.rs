//! The life of the dates, as requests meet it: whether a date still answers, which one answers in its
//! place, and what answers say of a date that will end (RFC 9745, RFC 8594).

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::Timestamp;
use permissions::Environment;
use versions::{Calendar, Catalog, Error, ErrorCode, Help, State, VersionTable, midnight};

use super::fields::http_date;
use crate::config::Config;
use crate::keys::index::Key;

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// The days that are in force, and the fields that follow from them.
#[derive(Debug)]
pub(super) struct Dates {
    pub(super) calendar: Arc<Calendar>,
    docs_url: String,
    /// The second at which the first version is deprecated: before it, no answer says anything.
    first_deprecation: i64,
    farewells: ArcSwap<Farewells>,
}

/// What answers say, by the version's index; until a version changes its state.
#[derive(Debug, Default)]
struct Farewells {
    until: i64,
    versions: Vec<Option<Farewell>>,
}

/// What the answers of one version say from its deprecation on.
#[derive(Debug)]
struct Farewell {
    deprecation: HeaderValue,
    sunset: Option<HeaderValue>,
    /// By the entry's index, from `first_entry` on; and last where no endpoint is known.
    links: Vec<HeaderValue>,
    first_entry: usize,
}

impl Dates {
    pub(super) fn new(config: &Config, catalog: &Catalog) -> Self {
        let calendar = Calendar::new(catalog.releases(), |version| config.days(version))
            .expect("the configuration was checked against the releases");
        let deprecations = calendar.lives().iter().filter_map(|life| life.lifecycle.deprecated);
        let first = deprecations.min().map_or(i64::MAX, |day| midnight(day).as_second());
        Self {
            calendar: Arc::new(calendar),
            docs_url: config.api.docs_url.clone(),
            first_deprecation: first,
            farewells: ArcSwap::default(),
        }
    }

    /// The table that answers for the one that was asked for.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownVersion`] for a preview that is not for this key, [`ErrorCode::RetiredVersion`]
    /// for a date that has ended, unless the key takes the successor's answers instead.
    pub(super) fn answering(
        &self,
        asked: &'static VersionTable,
        catalog: &'static Catalog,
        key: &Key,
        now: Timestamp,
    ) -> Result<&'static VersionTable, Error> {
        let version = asked.version;
        match self.calendar.state(asked.index, now) {
            State::Current | State::Deprecated => Ok(asked),
            State::Preview if State::Preview.is_open_to(key.environment) => Ok(asked),
            State::Preview => {
                let detail = format!("{version} is a preview, for keys of staging; see `supportedVersions`.");
                Err(self.unknown(detail, key.environment, now))
            }
            State::Retired => {
                let successor =
                    self.calendar.successor(asked.index, now).map(|index| &catalog.tables()[index]);
                match successor {
                    Some(successor) if key.forwards_retired => Ok(successor),
                    successor => Err(self.retired(asked, successor.map(|table| table.version), key, now)),
                }
            }
        }
    }

    /// The 404 that lists the dates a key may use.
    pub(super) fn unknown(
        &self,
        detail: impl Into<String>,
        environment: Environment,
        now: Timestamp,
    ) -> Error {
        let supported = self.supported(environment, now);
        Error::new(ErrorCode::UnknownVersion, detail.into())
            .with_help(Help { supported_versions: Some(supported), ..Help::default() })
    }

    fn retired(
        &self,
        asked: &VersionTable,
        successor: Option<versions::Version>,
        key: &Key,
        now: Timestamp,
    ) -> Error {
        let ended = self.calendar.lives()[asked.index].lifecycle.sunset;
        let ended = ended.map_or_else(String::new, |day| format!(" since {day}"));
        let advice = match successor {
            Some(successor) => format!(" Move to {successor}."),
            None => String::new(),
        };
        let detail = format!("{} is retired{ended}.{advice}", asked.version);
        Error::new(ErrorCode::RetiredVersion, detail).with_help(Help {
            successor_version: successor,
            supported_versions: Some(self.supported(key.environment, now)),
            ..Help::default()
        })
    }

    fn supported(&self, environment: Environment, now: Timestamp) -> Vec<versions::Version> {
        let lives = self.calendar.lives().iter();
        lives.filter(|life| life.state(now).is_open_to(environment)).map(|life| life.version).collect()
    }

    /// Adds what the answers of a version say from its deprecation on; `entry` is the endpoint, if known.
    pub(super) fn announce(
        &self,
        fields: &mut HeaderMap,
        table: &VersionTable,
        entry: Option<usize>,
        catalog: &Catalog,
        now: Timestamp,
    ) {
        if now.as_second() < self.first_deprecation {
            return;
        }
        let mut farewells = self.farewells.load();
        if now.as_second() >= farewells.until {
            // Once per change of a state: two that meet here do the same work.
            self.farewells.store(Arc::new(self.farewells(catalog, now)));
            farewells = self.farewells.load();
        }
        let Some(Some(farewell)) = farewells.versions.get(table.index) else { return };
        fields.insert(DEPRECATION, farewell.deprecation.clone());
        if let Some(sunset) = &farewell.sunset {
            fields.insert(SUNSET, sunset.clone());
        }
        let known = entry.and_then(|entry| farewell.links.get(entry.checked_sub(farewell.first_entry)?));
        if let Some(link) = known.or(farewell.links.last()) {
            fields.insert(header::LINK, link.clone());
        }
    }

    fn farewells(&self, catalog: &Catalog, now: Timestamp) -> Farewells {
        let farewell = |(index, life): (usize, &versions::Life)| {
            let deprecated = midnight(life.lifecycle.deprecated?);
            if now < deprecated {
                return None;
            }
            let text = |text: String| HeaderValue::try_from(text).expect("dates and addresses are ASCII");
            let version = life.version;
            let successor = self.calendar.successor(index, now).map(|index| &catalog.tables()[index]);
            let link = |template: Option<&str>| {
                text(self.link(version, successor, template, life.lifecycle.sunset.is_some()))
            };
            let entries: Vec<_> = catalog.entries_of(version).collect();
            let links = entries.iter().map(|entry| link(Some(entry.route.path)));
            Some(Farewell {
                deprecation: text(format!("@{}", deprecated.as_second())),
                sunset: life.lifecycle.sunset.map(|day| http_date(midnight(day))),
                links: links.chain([link(None)]).collect(),
                first_entry: entries.first().map_or(0, |entry| entry.index),
            })
        };
        Farewells {
            until: self.calendar.next_change(now).map_or(i64::MAX, Timestamp::as_second),
            versions: self.calendar.lives().iter().enumerate().map(farewell).collect(),
        }
    }

    /// Where the end of a version is told of, and what follows it: the same path at the successor where
    /// that answers there, else the page of the successor.
    fn link(
        &self,
        version: versions::Version,
        successor: Option<&VersionTable>,
        path: Option<&str>,
        sunset: bool,
    ) -> String {
        let docs = &self.docs_url;
        let mut link = format!(r#"<{docs}/{version}>; rel="deprecation"; type="text/html""#);
        if sunset {
            link.push_str(&format!(r#", <{docs}/{version}>; rel="sunset"; type="text/html""#));
        }
        if let Some(table) = successor {
            let follows = path.filter(|path| !path.contains('{') && table.resource(path).is_ok());
            let target = match follows {
                Some(path) => format!("/{}{path}", table.version),
                None => format!("{docs}/{}", table.version),
            };
            link.push_str(&format!(r#", <{target}>; rel="successor-version""#));
        }
        link
    }
}
