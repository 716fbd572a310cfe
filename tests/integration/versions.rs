//! The commands `versions list|diff|openapi`.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tests::{Start, repository};
use versions::RELEASES;

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a command that must succeed; returns its output.
async fn printed(start: &Start, arguments: &[&str]) -> String {
    let output = start.run(arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}", err(&output));
    out(&output)
}

async fn json(start: &Start, arguments: &[&str]) -> Value {
    serde_json::from_str(&printed(start, arguments).await).expect("it is JSON")
}

#[tokio::test]
async fn the_list_has_the_configured_days() {
    let mut start = Start::with("");
    start.write_config("[versions.2026-02-01]\ndeprecated = \"2026-03-01\"\nsunset = \"2026-03-02\"\n");
    let list = json(&start, &["versions", "list", "--json"]).await;
    let dates = list["versions"].as_array().unwrap();
    assert_eq!(dates.len(), RELEASES.len(), "{list}");
    for (date, release) in dates.iter().zip(RELEASES) {
        assert_eq!(date["version"], release.version.to_string(), "{list}");
        assert_eq!(date["summary"], release.summary, "{list}");
    }
    assert_eq!(dates[0]["state"], "retired", "{list}");
    assert_eq!(
        [&dates[0]["published"], &dates[0]["deprecated"], &dates[0]["sunset"]],
        ["2026-02-01", "2026-03-01", "2026-03-02"]
    );
    assert_eq!((&dates[1]["state"], &dates[1]["sunset"]), (&json!("current"), &Value::Null), "{list}");
    let table = printed(&start, &["versions", "list"]).await;
    let cells: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(cells[0], ["VERSION", "STATE", "PUBLISHED", "DEPRECATED", "SUNSET"]);
    assert_eq!(cells[1], ["2026-02-01", "retired", "2026-02-01", "2026-03-01", "2026-03-02"]);
    assert_eq!(cells[2], ["2026-11-01", "current", "2026-11-01", "-", "-"]);
}

#[tokio::test]
async fn the_diff_has_the_same_content_for_people_and_for_programs() {
    let start = Start::with("");
    let arguments = ["versions", "diff", "2026-02-01", "2026-11-01"];
    let text = printed(&start, &arguments).await;
    let diff = json(&start, &[&arguments[..], &["--json"]].concat()).await;
    assert_eq!((&diff["from"], &diff["to"]), (&json!("2026-02-01"), &json!("2026-11-01")));
    assert_eq!(diff["breaking"], true);
    let dates = diff["dates"].as_array().unwrap();
    let versions: Vec<_> = dates.iter().map(|date| date["version"].as_str().unwrap()).collect();
    assert_eq!(versions, ["2026-11-01"], "the changes of 2026-02-01 itself are not listed");
    let date = &dates[0];
    assert!(text.contains(date["summary"].as_str().unwrap()), "{text}");
    assert_eq!(date["added"][0]["endpoint"], "versions", "{diff:#}");
    assert!(text.contains("+ GET /versions.json (needs ping:read)"), "{text}");
    let mut listed = 0;
    for changed in date["changed"].as_array().unwrap() {
        assert!(text.contains(changed["note"].as_str().unwrap()), "{text}");
        for difference in changed["differences"].as_array().unwrap() {
            let mark = if difference["breaking"] == true { '!' } else { ' ' };
            let (place, how) = (difference["place"].as_str().unwrap(), difference["text"].as_str().unwrap());
            let line = format!("    {mark} {place} {how}\n");
            assert!(text.contains(&line), "no {line:?} in\n{text}");
            listed += 1;
        }
    }
    assert!(text.contains("    ! response field `RRT` was removed: string\n"), "{text}");
    assert_eq!(listed, text.matches(" field `").count(), "a line that is missing in the JSON:\n{text}");
    let same = printed(&start, &["versions", "diff", "2026-11-01", "2026-11-01"]).await;
    assert_eq!(same, "nothing changes from 2026-11-01 to 2026-11-01\n");
}

#[tokio::test]
async fn unknown_dates_and_dates_in_the_wrong_order_are_wrong_usage() {
    let start = Start::with("");
    for (arguments, clues) in [
        (&["diff", "2026-02-01", "2026-02-02"][..], &["2026-02-02", "2026-02-01", "2026-11-01"][..]),
        (&["diff", "v1", "2026-11-01"], &["v1", "2026-02-01", "2026-11-01"]),
        (&["openapi", "2027-01-01"], &["2027-01-01", "2026-02-01", "2026-11-01"]),
        (&["diff", "2026-11-01", "2026-02-01"], &["is older", "versions diff 2026-02-01 2026-11-01"]),
        (&["openapi"], &["<DATE>"]),
        (&["openapi", "2026-02-01", "--write", "x"], &["--write"]),
    ] {
        let output = start.run(&[&["versions"], arguments].concat()).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", err(&output));
        assert_eq!(out(&output), "", "{arguments:?}");
        for clue in clues {
            assert!(err(&output).contains(clue), "{arguments:?}: no {clue} in {}", err(&output));
        }
    }
}

#[tokio::test]
async fn the_printed_document_is_the_committed_one() {
    let start = Start::with("");
    for release in RELEASES {
        let version = release.version.to_string();
        let committed = repository().join(format!("versions/openapi/{version}.json"));
        let committed = std::fs::read_to_string(committed).expect("every date has its document");
        assert_eq!(printed(&start, &["versions", "openapi", &version]).await, committed);
    }
}

#[tokio::test]
async fn a_published_document_is_never_overwritten() {
    let start = Start::with("");
    let folder = start.folder().join("new/openapi");
    let write = ["versions", "openapi", "--write", folder.to_str().unwrap()];
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();

    let text = printed(&start, &write).await;
    assert_eq!(text.lines().filter(|line| line.ends_with(" written")).count(), RELEASES.len(), "{text}");
    let text = printed(&start, &write).await;
    assert_eq!(text.lines().filter(|line| line.ends_with(" kept")).count(), RELEASES.len(), "{text}");

    let (first, second) = ("2026-02-01.json", "2026-11-01.json");
    let promised = read(first).unwrap().replace("\"RRT\"", "\"roundTrip\"");
    std::fs::write(folder.join(first), &promised).unwrap();
    std::fs::remove_file(folder.join(second)).unwrap();
    let output = start.run(&write).await;
    assert_eq!(output.status.code(), Some(1), "{}", out(&output));
    assert_eq!(out(&output), "");
    for clue in [
        "2026-02-01 is published",
        "GET /ping.json: response field `roundTrip` was removed: string",
        "GET /ping.json: response field `RRT` was added: string",
        "add a new version",
        "Nothing was written.",
    ] {
        assert!(err(&output).contains(clue), "no {clue} in {}", err(&output));
    }
    assert_eq!(read(first), Some(promised), "the promise is as it was");
    assert_eq!(read(second), None, "all or nothing");

    std::fs::remove_file(folder.join(first)).unwrap();
    printed(&start, &write).await;
    let same = |name: &str| {
        read(name)
            == std::fs::read_to_string(repository().join(Path::new("versions/openapi").join(name))).ok()
    };
    assert!(same(first) && same(second));
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_is_named() {
    let start = Start::with("");
    let file = start.folder().join("a file");
    std::fs::write(&file, "").unwrap();
    let output = start.run(&["versions", "openapi", "--write", file.to_str().unwrap()]).await;
    assert_eq!(output.status.code(), Some(1), "{}", out(&output));
    assert!(err(&output).contains("a file"), "{}", err(&output));
}
