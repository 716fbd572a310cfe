//! The schedule of the dates: whether a date is still served, which one is served in its place, and the
//! fields that announce its end (RFC 9745, RFC 8594).

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::Timestamp;
use permissions::Environment;
use versions::{Calendar, Catalog, Error, ErrorCode, Help, VersionState, VersionTable, midnight};

use crate::callers::Caller;
use crate::config::Config;
use crate::http::http_date;

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// The days in force, and the response fields that follow from them.
#[derive(Debug)]
pub(crate) struct Dates {
    pub(crate) calendar: Arc<Calendar>,
    docs_url: String,
    /// When the first version is deprecated: before that, there is nothing to announce.
    first_deprecation: i64,
    announcements: ArcSwap<Announcements>,
}

/// The headers of each version, by its index, until a version changes its state.
#[derive(Debug, Default)]
struct Announcements {
    until: i64,
    versions: Vec<Option<DeprecationHeaders>>,
}

/// The headers of one version from its deprecation on.
#[derive(Debug)]
struct DeprecationHeaders {
    deprecation: HeaderValue,
    sunset: Option<HeaderValue>,
    /// By the entry's index, from `first_entry` on; the last is for responses without an endpoint.
    links: Vec<HeaderValue>,
    first_entry: usize,
}

impl Dates {
    pub(crate) fn new(config: &Config, catalog: &Catalog) -> Self {
        let calendar = Calendar::new(catalog.releases(), |version| config.days(version))
            .expect("the configuration was checked against the releases");
        let deprecations = calendar.schedules().iter().filter_map(|schedule| schedule.lifecycle.deprecated);
        let first = deprecations.min().map_or(i64::MAX, |day| midnight(day).as_second());
        Self {
            calendar: Arc::new(calendar),
            docs_url: config.api.docs_url.clone(),
            first_deprecation: first,
            announcements: ArcSwap::default(),
        }
    }

    /// The table that serves requests for a version.
    ///
    /// # Errors
    /// [`ErrorCode::UnknownVersion`] for a preview that is not for this key, [`ErrorCode::RetiredVersion`]
    /// for a date that has ended, unless the key accepts the successor's responses instead.
    pub(crate) fn answering<'c>(
        &self,
        asked: &'c VersionTable,
        catalog: &'c Catalog,
        caller: &Caller,
        now: Timestamp,
    ) -> Result<&'c VersionTable, Error> {
        let version = asked.version;
        match self.calendar.state(asked.index, now) {
            VersionState::Current | VersionState::Deprecated => Ok(asked),
            VersionState::Preview if VersionState::Preview.is_open_to(caller.identity().environment) => {
                Ok(asked)
            }
            VersionState::Preview => {
                let detail = format!("{version} is a preview, for keys of staging; see `supportedVersions`.");
                Err(self.unknown(detail, caller.identity().environment, now))
            }
            VersionState::Retired => {
                let successor =
                    self.calendar.successor(asked.index, now).map(|index| &catalog.tables()[index]);
                match successor {
                    Some(successor) if caller.forwards_retired() => Ok(successor),
                    successor => Err(self.retired(asked, successor.map(|table| table.version), caller, now)),
                }
            }
        }
    }

    /// The 404 that lists the dates that a caller may use.
    pub(crate) fn unknown(
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
        caller: &Caller,
        now: Timestamp,
    ) -> Error {
        let ended = self.calendar.schedules()[asked.index].lifecycle.sunset;
        let ended = ended.map_or_else(String::new, |day| format!(" since {day}"));
        let advice = match successor {
            Some(successor) => format!(" Move to {successor}."),
            None => String::new(),
        };
        let detail = format!("{} is retired{ended}.{advice}", asked.version);
        Error::new(ErrorCode::RetiredVersion, detail).with_help(Help {
            successor_version: successor,
            supported_versions: Some(self.supported(caller.identity().environment, now)),
            ..Help::default()
        })
    }

    /// The versions that are open to an environment, oldest first.
    pub(crate) fn supported(&self, environment: Environment, now: Timestamp) -> Vec<versions::Version> {
        let schedules = self.calendar.schedules().iter();
        schedules
            .filter(|schedule| schedule.state(now).is_open_to(environment))
            .map(|schedule| schedule.version)
            .collect()
    }

    /// Adds the headers of a version that is deprecated; `entry` is the index of the endpoint, if there is one.
    pub(crate) fn announce(
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
        let mut announcements = self.announcements.load();
        if now.as_second() >= announcements.until {
            // Once per change of a state: two that meet here do the same work.
            self.announcements.store(Arc::new(self.announcements(catalog, now)));
            announcements = self.announcements.load();
        }
        let Some(Some(headers)) = announcements.versions.get(table.index) else { return };
        fields.insert(DEPRECATION, headers.deprecation.clone());
        if let Some(sunset) = &headers.sunset {
            fields.insert(SUNSET, sunset.clone());
        }
        let link = entry.and_then(|entry| headers.links.get(entry.checked_sub(headers.first_entry)?));
        if let Some(link) = link.or(headers.links.last()) {
            fields.insert(header::LINK, link.clone());
        }
    }

    fn announcements(&self, catalog: &Catalog, now: Timestamp) -> Announcements {
        let headers = |(index, schedule): (usize, &versions::Schedule)| {
            let deprecated = midnight(schedule.lifecycle.deprecated?);
            if now < deprecated {
                return None;
            }
            let text = |text: String| HeaderValue::try_from(text).expect("dates and addresses are ASCII");
            let version = schedule.version;
            let successor = self.calendar.successor(index, now).map(|index| &catalog.tables()[index]);
            let link = |template: Option<&str>| {
                text(self.link(version, successor, template, schedule.lifecycle.sunset.is_some()))
            };
            let entries: Vec<_> = catalog.entries_of(version).collect();
            let links = entries.iter().map(|entry| link(Some(entry.route.path)));
            Some(DeprecationHeaders {
                deprecation: text(format!("@{}", deprecated.as_second())),
                sunset: schedule.lifecycle.sunset.map(|day| http_date(midnight(day))),
                links: links.chain([link(None)]).collect(),
                first_entry: entries.first().map_or(0, |entry| entry.index),
            })
        };
        Announcements {
            until: self.calendar.next_change(now).map_or(i64::MAX, Timestamp::as_second),
            versions: self.calendar.schedules().iter().enumerate().map(headers).collect(),
        }
    }

    /// Links to the documentation of the deprecation, and to what follows: the same path at the successor if
    /// there is one, else the successor's page.
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
