//! Tests of the days of versions.

use jiff::civil::date;
use versions::Lifecycle;

use super::problems::problems_of;
use super::*;

#[test]
fn days_apply_to_the_version_that_they_name() {
    let config =
        read_text("[versions.2026-02-01]\ndeprecated = \"2027-01-01\"\nsunset = \"2027-07-01\"\n").unwrap();
    let days = config.days(versions::v2026_02_01::RELEASE.version);
    let (deprecated, sunset) = (Some(date(2027, 1, 1)), Some(date(2027, 7, 1)));
    assert_eq!(days, Lifecycle { published: None, deprecated, sunset });
    assert_eq!(config.days(versions::v2026_11_01::RELEASE.version), Lifecycle::default());
    let sources = Sources {
        environment: vec![("GATEWAY__VERSIONS__2026-02-01__DEPRECATED".to_owned(), "2027-01-01".to_owned())],
        ..Sources::default()
    };
    let config = Config::load(&sources).unwrap();
    assert_eq!(config.days(versions::v2026_02_01::RELEASE.version).deprecated, deprecated);
}

#[test]
fn wrong_days_are_refused_with_their_location() {
    for (text, problem) in [
        (
            "[versions.2026-02-02]\nsunset = \"2027-01-01\"\n",
            "1:1 `versions`: there is no version `2026-02-02` | did you mean `2026-02-01`?",
        ),
        (
            "[versions.v1]\n",
            "1:1 `versions`: there is no version `v1` | the versions are 2026-02-01, 2026-11-01, 2026-11-15",
        ),
        (
            "[versions.2026-02-01]\nsunset = \"2027-01-01\"\n",
            "1:1 `versions.2026-02-01`: a version with a sunset date needs a deprecation date, so that partners know before it is retired",
        ),
        (
            "[versions.2026-02-01]\ndeprecated = \"2027-01-02\"\nsunset = \"2027-01-01\"\n",
            "1:1 `versions.2026-02-01`: a version's sunset (2027-01-01) cannot be before its deprecation (2027-01-02)",
        ),
        (
            "[versions.2026-02-01]\ndeprecated = \"2026-01-31\"\n",
            "1:1 `versions.2026-02-01`: a version cannot be deprecated (2026-01-31) before it is published (2026-02-01)",
        ),
        (
            "[versions.2026-02-01]\nsunsets = \"2027-01-01\"\n",
            "2:1 unknown option `versions.2026-02-01.sunsets` | did you mean `sunset`?",
        ),
    ] {
        assert_eq!(problems_of(text), [problem]);
    }
    for day in ["\"2027-1-1\"", "\"2027-02-30\"", "\"soon\"", "2027-01-01", "5"] {
        let problems = problems_of(&format!("[versions.2026-02-01]\ndeprecated = {day}\n"));
        assert!(problems[0].starts_with("2:14 `versions.2026-02-01.deprecated`: "), "{problems:?}");
        assert!(problems[0].contains("expected a day in quotes, such as \"2027-01-01\""), "{problems:?}");
    }
}
