//! The lifecycle of a version: preview, current, deprecated, retired.
//!
//! Each state begins at 00:00 UTC on its date. A [`crate::Release`] sets the dates, the configuration may override
//! them, and [`Calendar`] holds those in force. Time is always an argument.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use permissions::Environment;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Version;

/// The dates of a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifecycle {
    /// From this date every key may use the version and its contract is frozen. Without one it is a preview.
    pub published: Option<Date>,
    /// From this date responses announce that the version will be retired.
    pub deprecated: Option<Date>,
    /// From this date the version responds with 410. Never before `deprecated`.
    pub sunset: Option<Date>,
}

/// The state of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum VersionState {
    /// Available to staging keys only, and may still change.
    Preview,
    /// Available to every key. Its contract does not change.
    Current,
    /// Available to every key until its sunset date, if one is set.
    Deprecated,
    /// No longer available; responds with 410.
    Retired,
}

impl VersionState {
    /// The name in JSON, on pages and in the CLI.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Preview => "preview",
            Self::Current => "current",
            Self::Deprecated => "deprecated",
            Self::Retired => "retired",
        }
    }

    /// Whether a key of this environment may use a version in this state.
    #[must_use]
    pub const fn is_open_to(self, environment: Environment) -> bool {
        match self {
            Self::Preview => matches!(environment, Environment::Staging),
            Self::Current | Self::Deprecated => true,
            Self::Retired => false,
        }
    }
}

impl fmt::Display for VersionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The dates of a version contradict each other or its state in this build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LifecycleError {
    /// `deprecated` is before `published`.
    #[error("a version cannot be deprecated ({deprecated}) before it is published ({published})")]
    DeprecatedBeforePublished {
        /// The date as set.
        published: Date,
        /// The date as set.
        deprecated: Date,
    },
    /// `sunset` is before `deprecated`.
    #[error("a version's sunset ({sunset}) cannot be before its deprecation ({deprecated})")]
    SunsetBeforeDeprecated {
        /// The date as set.
        deprecated: Date,
        /// The date as set.
        sunset: Date,
    },
    /// `sunset` without `deprecated`.
    #[error(
        "a version with a sunset date needs a deprecation date, so that partners know before it is retired"
    )]
    SunsetAlone,
    /// Dates for a version that is a preview in this build.
    #[error(
        "this version is a preview in this build, so its contract may still change; only a new build can publish it"
    )]
    StillPreview,
}

impl Lifecycle {
    /// A version that may still change.
    #[must_use]
    pub const fn preview() -> Self {
        Self { published: None, deprecated: None, sunset: None }
    }

    /// A version that is published on this date and frozen in this build.
    ///
    /// # Panics
    /// If the date does not exist; in a constant that is a compile error.
    #[must_use]
    pub const fn published(year: i16, month: i8, day: i8) -> Self {
        Self { published: Some(Date::constant(year, month, day)), deprecated: None, sunset: None }
    }

    /// These dates, overridden by those that `days` sets.
    ///
    /// # Errors
    /// [`LifecycleError`], if the result would contradict itself.
    pub fn with(self, days: Self) -> Result<Self, LifecycleError> {
        if self.published.is_none() && days != Self::default() {
            return Err(LifecycleError::StillPreview);
        }
        let with = Self {
            published: days.published.or(self.published),
            deprecated: days.deprecated.or(self.deprecated),
            sunset: days.sunset.or(self.sunset),
        };
        with.check().map(|()| with)
    }

    fn check(self) -> Result<(), LifecycleError> {
        match (self.published, self.deprecated, self.sunset) {
            (Some(published), Some(deprecated), _) if deprecated < published => {
                Err(LifecycleError::DeprecatedBeforePublished { published, deprecated })
            }
            (_, Some(deprecated), Some(sunset)) if sunset < deprecated => {
                Err(LifecycleError::SunsetBeforeDeprecated { deprecated, sunset })
            }
            (_, None, Some(_)) => Err(LifecycleError::SunsetAlone),
            _ => Ok(()),
        }
    }
}

/// The first second of a date, UTC.
#[must_use]
pub fn midnight(day: Date) -> Timestamp {
    day.to_zoned(TimeZone::UTC).map_or(Timestamp::MAX, |zoned| zoned.timestamp())
}

/// One version with its dates in force.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// The version.
    pub version: Version,
    /// Its dates.
    pub lifecycle: Lifecycle,
    /// When the states after preview begin, in seconds; `i64::MAX` for never.
    begins: [i64; 3],
}

impl Schedule {
    fn new(version: Version, lifecycle: Lifecycle) -> Self {
        let begin = |day: Option<Date>| day.map_or(i64::MAX, |day| midnight(day).as_second());
        let begins = [begin(lifecycle.published), begin(lifecycle.deprecated), begin(lifecycle.sunset)];
        Self { version, lifecycle, begins }
    }

    /// The state of the version.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> VersionState {
        let second = now.as_second();
        let [published, deprecated, sunset] = self.begins;
        if second >= sunset {
            VersionState::Retired
        } else if second < published {
            VersionState::Preview
        } else if second >= deprecated {
            VersionState::Deprecated
        } else {
            VersionState::Current
        }
    }
}

/// Every version with its dates in force, in the order of the catalog's tables.
#[derive(Clone, Debug)]
pub struct Calendar(Vec<Schedule>);

impl Calendar {
    /// The dates of the releases, overridden by those that `days` sets.
    ///
    /// # Errors
    /// The version whose dates contradict each other, and how.
    pub fn new(
        releases: impl IntoIterator<Item = impl Into<(Version, Lifecycle)>>,
        days: impl Fn(Version) -> Lifecycle,
    ) -> Result<Self, (Version, LifecycleError)> {
        let schedules = releases.into_iter().map(|release| {
            let (version, lifecycle) = release.into();
            let lifecycle = lifecycle.check().and_then(|()| lifecycle.with(days(version)));
            lifecycle.map(|lifecycle| Schedule::new(version, lifecycle)).map_err(|error| (version, error))
        });
        schedules.collect::<Result<_, _>>().map(Self)
    }

    /// Every version, oldest first.
    #[must_use]
    pub fn schedules(&self) -> &[Schedule] {
        &self.0
    }

    /// The state of the version with this index in the catalog.
    #[must_use]
    pub fn state(&self, index: usize, now: Timestamp) -> VersionState {
        self.0[index].state(now)
    }

    /// The index of the version to move to from this one: the next later date that is current, or else the next that is
    /// deprecated.
    #[must_use]
    pub fn successor(&self, index: usize, now: Timestamp) -> Option<usize> {
        let later = |wanted: VersionState| {
            (index + 1..self.0.len())
                .find(|later| self.0[*later].version.date().is_some() && self.state(*later, now) == wanted)
        };
        later(VersionState::Current).or_else(|| later(VersionState::Deprecated))
    }

    /// The next time after `now` at which a version changes state.
    #[must_use]
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let begins = self.0.iter().flat_map(|schedule| schedule.begins);
        let next = begins.filter(|second| *second > now.as_second()).min()?;
        Timestamp::from_second(next).ok()
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    const PUBLISHED: Lifecycle = Lifecycle::published(2026, 2, 1);

    fn schedule(lifecycle: Lifecycle) -> Schedule {
        Schedule::new(Version::new(2026, 2, 1), lifecycle)
    }

    #[test]
    fn each_state_begins_with_the_first_second_of_its_date() {
        let days = Lifecycle {
            deprecated: Some(date(2026, 11, 1)),
            sunset: Some(date(2027, 5, 1)),
            ..Lifecycle::default()
        };
        let schedule = schedule(PUBLISHED.with(days).unwrap());
        for (moment, state) in [
            ("2026-01-31T23:59:59Z", VersionState::Preview),
            ("2026-02-01T00:00:00Z", VersionState::Current),
            ("2026-10-31T23:59:59.999999999Z", VersionState::Current),
            ("2026-11-01T00:00:00Z", VersionState::Deprecated),
            ("2027-04-30T23:59:59Z", VersionState::Deprecated),
            ("2027-05-01T00:00:00Z", VersionState::Retired),
        ] {
            assert_eq!(schedule.state(moment.parse().unwrap()), state, "{moment}");
        }
    }

    #[test]
    fn dates_that_contradict_each_other_are_rejected() {
        let days = |published, deprecated, sunset| Lifecycle { published, deprecated, sunset };
        let (early, late) = (date(2026, 1, 1), date(2027, 1, 1));
        for (set, error) in [
            (
                days(None, Some(early), None),
                LifecycleError::DeprecatedBeforePublished { published: date(2026, 2, 1), deprecated: early },
            ),
            (
                days(None, Some(late), Some(date(2026, 12, 31))),
                LifecycleError::SunsetBeforeDeprecated { deprecated: late, sunset: date(2026, 12, 31) },
            ),
            (days(None, None, Some(late)), LifecycleError::SunsetAlone),
        ] {
            assert_eq!(PUBLISHED.with(set), Err(error));
        }
        assert_eq!(
            Lifecycle::preview().with(days(Some(late), None, None)),
            Err(LifecycleError::StillPreview)
        );
        assert!(PUBLISHED.with(days(Some(late), Some(late), Some(late))).is_ok());
    }

    #[test]
    fn the_successor_is_the_next_current_date_or_else_the_next_deprecated_one() {
        let over = Lifecycle {
            published: Some(date(2026, 1, 1)),
            deprecated: Some(date(2026, 1, 2)),
            sunset: Some(date(2026, 1, 3)),
        };
        let ending = Lifecycle { sunset: None, ..over };
        let releases = [
            (Version::label("v1"), over),
            (Version::new(2026, 1, 1), over),
            (Version::new(2026, 2, 1), ending),
            (Version::new(2026, 3, 1), Lifecycle::published(2026, 3, 1)),
            (Version::new(2026, 4, 1), Lifecycle::preview()),
        ];
        let calendar = Calendar::new(releases, |_| Lifecycle::default()).unwrap();
        let at = |day: &str| -> Timestamp { format!("{day}T12:00:00Z").parse().unwrap() };
        assert_eq!(calendar.successor(0, at("2026-03-01")), Some(3));
        assert_eq!(calendar.successor(1, at("2026-03-01")), Some(3));
        assert_eq!(calendar.successor(1, at("2026-02-28")), Some(2), "the current one is not out yet");
        assert_eq!(calendar.successor(3, at("2026-03-01")), None, "a preview follows nothing");
        assert_eq!(calendar.next_change(at("2026-01-02")), Some("2026-01-03T00:00:00Z".parse().unwrap()));
        assert_eq!(calendar.next_change(at("2026-03-01")), None);
    }
}
