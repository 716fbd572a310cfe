//! The life of a version: preview, current, deprecated, retired, each from a day on.
//!
//! A day begins at midnight, UTC: that second belongs to it. The days stand in the [`crate::Release`]
//! and may be set otherwise by the configuration; [`Calendar`] holds those that are in force. Time is
//! an argument everywhere.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use permissions::Environment;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Version;

/// The days of a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lifecycle {
    /// From this day on every key may use it, and its contract is frozen. Without one it is a preview.
    pub published: Option<Date>,
    /// From this day on its answers tell that it will end.
    pub deprecated: Option<Date>,
    /// From this day on it is answered with 410. Never before `deprecated`.
    pub sunset: Option<Date>,
}

/// Where in its life a version is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// For keys of staging only; it may still change.
    Preview,
    /// In force; its contract never changes again.
    Current,
    /// In force, and will end on its sunset day, if that is known.
    Deprecated,
    /// Ended: 410.
    Retired,
}

impl State {
    /// The name that is shown and sent.
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

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The days of a version contradict each other, or its state in this build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LifecycleError {
    /// `deprecated` lies before `published`.
    #[error(
        "a version is deprecated on or after the day on which it is published ({published}), not on {deprecated}"
    )]
    DeprecatedBeforePublished {
        /// As it is set.
        published: Date,
        /// As it is set.
        deprecated: Date,
    },
    /// `sunset` lies before `deprecated`.
    #[error(
        "a version's sunset is on or after the day on which it is deprecated ({deprecated}), not on {sunset}"
    )]
    SunsetBeforeDeprecated {
        /// As it is set.
        deprecated: Date,
        /// As it is set.
        sunset: Date,
    },
    /// `sunset` without `deprecated`.
    #[error(
        "a version with a sunset needs the day on which it is deprecated: partners are to know before it ends"
    )]
    SunsetAlone,
    /// Days for a version that this build holds for a preview.
    #[error("this version is a preview in this build, whose contract may still change; a build publishes it")]
    StillPreview,
}

impl Lifecycle {
    /// A version that may still change.
    #[must_use]
    pub const fn preview() -> Self {
        Self { published: None, deprecated: None, sunset: None }
    }

    /// A version that is published on a day and frozen in this build.
    ///
    /// # Panics
    /// Where there is no such day; in a constant that is an error of compilation.
    #[must_use]
    pub const fn published(year: i16, month: i8, day: i8) -> Self {
        Self { published: Some(Date::constant(year, month, day)), deprecated: None, sunset: None }
    }

    /// These days, where `days` does not set others.
    ///
    /// # Errors
    /// [`LifecycleError`], where the outcome would contradict itself.
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

/// The first second of a day.
#[must_use]
pub fn midnight(day: Date) -> Timestamp {
    day.to_zoned(TimeZone::UTC).map_or(Timestamp::MAX, |zoned| zoned.timestamp())
}

/// One version with the days that are in force.
#[derive(Clone, Debug)]
pub struct Life {
    /// The version.
    pub version: Version,
    /// Its days.
    pub lifecycle: Lifecycle,
    /// The seconds at which the states after preview begin; what never comes is the end of time.
    begins: [i64; 3],
}

impl Life {
    fn new(version: Version, lifecycle: Lifecycle) -> Self {
        let begin = |day: Option<Date>| day.map_or(i64::MAX, |day| midnight(day).as_second());
        let begins = [begin(lifecycle.published), begin(lifecycle.deprecated), begin(lifecycle.sunset)];
        Self { version, lifecycle, begins }
    }

    /// Where in its life the version is.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> State {
        let second = now.as_second();
        let [published, deprecated, sunset] = self.begins;
        if second >= sunset {
            State::Retired
        } else if second < published {
            State::Preview
        } else if second >= deprecated {
            State::Deprecated
        } else {
            State::Current
        }
    }
}

/// Every version with the days that are in force, in the order of the catalog's tables.
#[derive(Clone, Debug)]
pub struct Calendar(Vec<Life>);

impl Calendar {
    /// The days of the releases, where `days` does not set others.
    ///
    /// # Errors
    /// The version whose days contradict each other, and how.
    pub fn new(
        releases: impl IntoIterator<Item = impl Into<(Version, Lifecycle)>>,
        days: impl Fn(Version) -> Lifecycle,
    ) -> Result<Self, (Version, LifecycleError)> {
        let lives = releases.into_iter().map(|release| {
            let (version, lifecycle) = release.into();
            let lifecycle = lifecycle.check().and_then(|()| lifecycle.with(days(version)));
            lifecycle.map(|lifecycle| Life::new(version, lifecycle)).map_err(|error| (version, error))
        });
        lives.collect::<Result<_, _>>().map(Self)
    }

    /// Every version, oldest first.
    #[must_use]
    pub fn lives(&self) -> &[Life] {
        &self.0
    }

    /// The state of the version with this index in the catalog.
    #[must_use]
    pub fn state(&self, index: usize, now: Timestamp) -> State {
        self.0[index].state(now)
    }

    /// The index of the version that follows the one with this index: the next later date that is
    /// current, or else the next that is at least not yet retired.
    #[must_use]
    pub fn successor(&self, index: usize, now: Timestamp) -> Option<usize> {
        let later = |wanted: State| {
            (index + 1..self.0.len())
                .find(|later| self.0[*later].version.date().is_some() && self.state(*later, now) == wanted)
        };
        later(State::Current).or_else(|| later(State::Deprecated))
    }

    /// The first moment after `now` at which a version changes its state.
    #[must_use]
    pub fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let begins = self.0.iter().flat_map(|life| life.begins);
        let next = begins.filter(|second| *second > now.as_second()).min()?;
        Timestamp::from_second(next).ok()
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    const PUBLISHED: Lifecycle = Lifecycle::published(2026, 2, 1);

    fn life(lifecycle: Lifecycle) -> Life {
        Life::new(Version::new(2026, 2, 1), lifecycle)
    }

    #[test]
    fn each_state_begins_with_the_first_second_of_its_day() {
        let days = Lifecycle {
            deprecated: Some(date(2026, 11, 1)),
            sunset: Some(date(2027, 5, 1)),
            ..Lifecycle::default()
        };
        let life = life(PUBLISHED.with(days).unwrap());
        for (moment, state) in [
            ("2026-01-31T23:59:59Z", State::Preview),
            ("2026-02-01T00:00:00Z", State::Current),
            ("2026-10-31T23:59:59.999999999Z", State::Current),
            ("2026-11-01T00:00:00Z", State::Deprecated),
            ("2027-04-30T23:59:59Z", State::Deprecated),
            ("2027-05-01T00:00:00Z", State::Retired),
        ] {
            assert_eq!(life.state(moment.parse().unwrap()), state, "{moment}");
        }
    }

    #[test]
    fn days_that_contradict_each_other_are_refused() {
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
    fn the_successor_is_the_next_current_date_then_the_next_that_lives() {
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
