//! `GET /2026-11-01/versions.json`: every date of the API, its state and its days.

use http::Method;
use jiff::civil::{Date, date};
use permissions::ApiAccessPermission;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Context, Endpoint, Error, Handler, State, Version};

/// Lists the dates of the API.
pub struct Versions;

/// Which dates are asked for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub struct Wanted {
    /// Only the dates in this state.
    #[schemars(example = &"current")]
    pub state: Option<State>,
}

/// The dates of the API.
#[derive(Debug, Serialize, JsonSchema)]
pub struct List {
    /// Every date that your key may be told of, oldest first.
    pub versions: Vec<Dated>,
}

/// One date with its state and its days. A state begins with its day's first second, UTC.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Dated {
    /// The date, as it stands in paths.
    pub version: Version,
    /// Its state now.
    pub state: State,
    /// The day from which on every key may use it; null while it is a preview.
    #[schemars(with = "Option<Day>")]
    pub published: Option<Date>,
    /// The day from which on its answers tell that it will end, or null.
    #[schemars(with = "Option<Day>")]
    pub deprecated: Option<Date>,
    /// The day from which on it is answered with 410, or null.
    #[schemars(with = "Option<Day>")]
    pub sunset: Option<Date>,
    /// The date to move to, where this one is deprecated or retired; else null.
    pub successor: Option<Version>,
}

/// A day.
#[derive(JsonSchema)]
#[schemars(inline, transparent, extend("format" = "date"))]
#[expect(dead_code, reason = "only its schema is used: jiff's date has none in the form of OpenAPI")]
struct Day(String);

impl Endpoint for Versions {
    const NAME: &'static str = "versions";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/versions.json";
    /// Whoever may ask whether the API answers may ask for its dates: no key needs a new right for it.
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::PING_READ;
    const SUMMARY: &'static str = "List the dates of the API, their states and their days.";
    const SAFE: bool = true;

    type Request = Wanted;
    type Response = List;

    fn example() -> List {
        List {
            versions: vec![
                Dated {
                    version: crate::v2026_02_01::RELEASE.version,
                    state: State::Deprecated,
                    published: Some(date(2026, 2, 1)),
                    deprecated: Some(date(2026, 12, 1)),
                    sunset: Some(date(2027, 6, 1)),
                    successor: Some(super::RELEASE.version),
                },
                Dated {
                    version: super::RELEASE.version,
                    state: State::Current,
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
    async fn handle(context: &Context<'_>, wanted: Wanted) -> Result<List, Error> {
        let now = context.services.now();
        let calendar = context.services.calendar();
        let versions = calendar.lives().iter().enumerate().filter_map(|(index, life)| {
            let state = life.state(now);
            // A retired date is told of, a preview only to those who may use it.
            let told = state == State::Retired || state.is_open_to(context.caller.environment);
            let ends = matches!(state, State::Deprecated | State::Retired);
            let successor = calendar.successor(index, now).filter(|_| ends);
            (told && wanted.state.is_none_or(|wanted| wanted == state)).then(|| Dated {
                version: life.version,
                state,
                published: life.lifecycle.published,
                deprecated: life.lifecycle.deprecated,
                sunset: life.lifecycle.sunset,
                successor: successor.map(|index| calendar.lives()[index].version),
            })
        });
        Ok(List { versions: versions.collect() })
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

    fn told(now: &str, environment: Environment, wanted: Option<State>) -> String {
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
        let list = Versions::handle(&context, Wanted { state: wanted }).now_or_never().unwrap().unwrap();
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
    fn each_date_has_its_state_and_where_to_go() {
        let told = told("2026-12-01T00:00:00Z", Environment::Production, None);
        assert_eq!(told, r#"2026-02-01 deprecated Some("2026-11-01"); 2026-11-01 current None"#);
    }

    #[test]
    fn a_preview_is_told_to_staging_only() {
        let told = told("2027-06-01T00:00:00Z", Environment::Staging, None);
        assert_eq!(
            told,
            r#"2026-02-01 retired Some("2026-11-01"); 2026-11-01 current None; 2027-01-01 preview None"#
        );
    }

    #[test]
    fn a_state_can_be_asked_for() {
        let told = told("2026-12-01T00:00:00Z", Environment::Staging, Some(State::Current));
        assert_eq!(told, "2026-11-01 current None");
    }
}
