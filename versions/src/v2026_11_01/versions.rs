//! `GET /2026-11-01/versions.json`: the API's versions with their states and dates.

use http::Method;
use jiff::civil::{Date, date};
use permissions::ApiAccessPermission;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Context, Endpoint, Error, Handler, Version, VersionState};

/// Lists the API's versions.
pub struct Versions;

/// Which versions to list.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct VersionFilter {
    /// Lists only versions in this state.
    #[schemars(example = &"current")]
    pub state: Option<VersionState>,
}

/// The API's versions.
#[derive(Debug, Serialize, JsonSchema)]
pub struct VersionsResponse {
    /// The versions, oldest first. Previews are listed for staging keys only.
    pub versions: Vec<VersionInfo>,
}

/// A version with its state and dates. A state begins at 00:00 UTC on its date.
#[derive(Debug, Serialize, JsonSchema)]
pub struct VersionInfo {
    /// The version, as in paths.
    pub version: Version,
    /// The current state.
    pub state: VersionState,
    /// The date from which every key can use the version; null for a preview.
    #[schemars(with = "Option<Day>")]
    pub published: Option<Date>,
    /// The date on which the version is deprecated, or null.
    #[schemars(with = "Option<Day>")]
    pub deprecated: Option<Date>,
    /// The date on which the version is retired and responds with 410, or null.
    #[schemars(with = "Option<Day>")]
    pub sunset: Option<Date>,
    /// The version to move to; null unless this one is deprecated or retired.
    pub successor: Option<Version>,
}

/// A date.
#[derive(JsonSchema)]
#[schemars(inline, transparent, extend("format" = "date"))]
#[expect(dead_code, reason = "only its schema is used: jiff's date has none with a format")]
struct Day(String);

impl Endpoint for Versions {
    const NAME: &'static str = "versions";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/versions.json";
    /// The permission of `ping`, so that no existing key needs a new one.
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::PING_READ;
    const SUMMARY: &'static str = "List the API's versions with their states and dates.";
    const SAFE: bool = true;

    type Request = VersionFilter;
    type Response = VersionsResponse;

    fn example() -> VersionsResponse {
        VersionsResponse {
            versions: vec![
                VersionInfo {
                    version: crate::v2026_02_01::RELEASE.version,
                    state: VersionState::Deprecated,
                    published: Some(date(2026, 2, 1)),
                    deprecated: Some(date(2026, 12, 1)),
                    sunset: Some(date(2027, 6, 1)),
                    successor: Some(super::RELEASE.version),
                },
                VersionInfo {
                    version: super::RELEASE.version,
                    state: VersionState::Current,
                    published: Some(date(2026, 11, 1)),
                    deprecated: None,
                    sunset: None,
                    successor: None,
                },
            ],
        }
    }
}

impl Handler for Versions {
    async fn handle(context: &Context<'_>, wanted: VersionFilter) -> Result<VersionsResponse, Error> {
        let now = context.services.now();
        let calendar = context.services.calendar();
        let versions = calendar.schedules().iter().enumerate().filter_map(|(index, schedule)| {
            let state = schedule.state(now);
            // Retired versions are listed; a preview only to keys that may use it.
            let listed = state == VersionState::Retired || state.is_open_to(context.caller.environment);
            let ends = matches!(state, VersionState::Deprecated | VersionState::Retired);
            let successor = calendar.successor(index, now).filter(|_| ends);
            (listed && wanted.state.is_none_or(|wanted| wanted == state)).then(|| VersionInfo {
                version: schedule.version,
                state,
                published: schedule.lifecycle.published,
                deprecated: schedule.lifecycle.deprecated,
                sunset: schedule.lifecycle.sunset,
                successor: successor.map(|index| calendar.schedules()[index].version),
            })
        });
        Ok(VersionsResponse { versions: versions.collect() })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use http::HeaderMap;
    use permissions::Environment;

    use super::*;
    use crate::context::tests::{Still, context};
    use crate::{Calendar, Instant, Lifecycle, Release};

    fn listed(now: &str, environment: Environment, wanted: Option<VersionState>) -> String {
        let days = |day| Some(day);
        let first = Lifecycle {
            published: days(date(2026, 2, 1)),
            deprecated: days(date(2026, 12, 1)),
            sunset: days(date(2027, 6, 1)),
        };
        let releases = [
            Release::new(Version::new(2026, 2, 1), "", first),
            Release::new(Version::new(2026, 11, 1), "", Lifecycle::published(2026, 11, 1)),
            Release::new(Version::new(2027, 1, 1), "", Lifecycle::preview()),
        ];
        let calendar = Calendar::new(&releases, |_| Lifecycle::default()).unwrap();
        let mut services =
            Still { calendar: calendar.into(), now: now.parse().unwrap(), ..Still::new(Instant::now()) };
        let headers = HeaderMap::new();
        services.caller.environment = environment;
        let context = context(&services, &headers, Duration::ZERO);
        let list =
            Versions::handle(&context, VersionFilter { state: wanted }).now_or_never().unwrap().unwrap();
        list.versions
            .iter()
            .map(|dated| {
                format!(
                    "{} {} {:?}",
                    dated.version,
                    dated.state,
                    dated.successor.map(|version| version.to_string())
                )
            })
            .collect::<Vec<_>>()
            .join("; ")
    }

    #[test]
    fn each_version_has_its_state_and_successor() {
        let listed = listed("2026-12-01T00:00:00Z", Environment::Production, None);
        assert_eq!(listed, r#"2026-02-01 deprecated Some("2026-11-01"); 2026-11-01 current None"#);
    }

    #[test]
    fn a_preview_is_listed_to_staging_only() {
        let listed = listed("2027-06-01T00:00:00Z", Environment::Staging, None);
        assert_eq!(
            listed,
            r#"2026-02-01 retired Some("2026-11-01"); 2026-11-01 current None; 2027-01-01 preview None"#
        );
    }

    #[test]
    fn versions_can_be_filtered_by_state() {
        let listed = listed("2026-12-01T00:00:00Z", Environment::Staging, Some(VersionState::Current));
        assert_eq!(listed, "2026-11-01 current None");
    }
}
