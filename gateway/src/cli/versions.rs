//! `versions list|diff|openapi`: the versions of the API, their changes, and their OpenAPI documents.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use jiff::civil::Date;
use serde::Serialize;
use versions::docs::{ContractStatus, ReleaseNotes, changelog, contract_status, openapi};
use versions::{Calendar, Catalog, RELEASES, Release, Version, VersionState};

use super::output::{print, print_json, table};
use super::{Form, arguments};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Sources};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the versions of the API, with their state today and the days of their life cycle
    #[command(after_help = "\
Examples:
  partner-gateway versions list
  partner-gateway versions list --config gateway.toml --json")]
    List(Form),
    /// Print what changes for partners from one version to a later one
    #[command(after_help = "\
A change marked `!` can break a caller that changes only the date in the path.

Examples:
  partner-gateway versions diff 2026-02-01 2026-11-01
  partner-gateway versions diff 2026-02-01 2026-11-01 --json")]
    Diff(Between),
    /// Print the OpenAPI document of a version, or update a folder of them
    #[command(after_help = "\
With --write, missing documents and those of previews are written. The document of a published
version is never overwritten: if it differs from this build, nothing is written and the differences
are printed.

Examples:
  partner-gateway versions openapi 2026-11-01 > openapi.json
  partner-gateway versions openapi --write versions/openapi")]
    Openapi(Document),
}

#[derive(Debug, Args)]
pub(super) struct Between {
    /// The version to migrate from
    #[arg(value_name = "FROM", value_parser = arguments::version())]
    from: Version,
    /// The version to migrate to
    #[arg(value_name = "TO", value_parser = arguments::version())]
    to: Version,
    #[command(flatten)]
    form: Form,
}

#[derive(Debug, Args)]
pub(super) struct Document {
    /// The version
    #[arg(value_name = "DATE", value_parser = arguments::version(), required_unless_present = "write")]
    date: Option<Version>,
    /// Write the documents of all versions to this folder
    #[arg(long, value_name = "DIR", conflicts_with = "date")]
    write: Option<PathBuf>,
}

pub(super) fn run(command: Command, sources: &Sources) -> anyhow::Result<()> {
    match command {
        Command::List(form) => list(form, &Config::load(sources)?),
        Command::Diff(between) => diff(&between),
        Command::Openapi(Document { date: Some(date), .. }) => {
            let catalog = Catalog::new(RELEASES)?;
            let release = RELEASES
                .iter()
                .find(|release| release.version == date)
                .context("there is no such version")?;
            print(&openapi::text(&openapi(&catalog, release)?))
        }
        Command::Openapi(Document { write, .. }) => write_all(&write.unwrap_or_default()),
    }
}

fn list(form: Form, config: &Config) -> anyhow::Result<()> {
    /// A version in the output with `--json`; other programs rely on these names.
    #[derive(Serialize)]
    struct Dated {
        version: Version,
        state: VersionState,
        published: Option<Date>,
        deprecated: Option<Date>,
        sunset: Option<Date>,
        summary: &'static str,
    }
    let calendar = Calendar::new(RELEASES, |version| config.days(version))
        .map_err(|(version, error)| anyhow::Error::new(error).context(version))?;
    let now = SystemClock.now();
    let dates: Vec<Dated> = RELEASES
        .iter()
        .zip(calendar.schedules())
        .map(|(release, schedule)| Dated {
            version: schedule.version,
            state: schedule.state(now),
            published: schedule.lifecycle.published,
            deprecated: schedule.lifecycle.deprecated,
            sunset: schedule.lifecycle.sunset,
            summary: release.summary,
        })
        .collect();
    if form.json {
        return print_json(&serde_json::json!({ "versions": dates }));
    }
    let day = |day: Option<Date>| day.map_or_else(|| "-".to_owned(), |day| day.to_string());
    let row = |dated: &Dated| {
        let days = [dated.published, dated.deprecated, dated.sunset].map(day);
        [dated.version.to_string(), dated.state.to_string()].into_iter().chain(days).collect()
    };
    let rows: Vec<Vec<String>> = dates.iter().map(row).collect();
    print(&table(&["VERSION", "STATE", "PUBLISHED", "DEPRECATED", "SUNSET"], &rows))
}

fn diff(between: &Between) -> anyhow::Result<()> {
    let Between { from, to, form } = *between;
    if to < from {
        let text =
            format!("{to} is older than {from}; changes are listed forwards: `versions diff {to} {from}`\n");
        return Err(clap::Error::raw(clap::error::ErrorKind::ValueValidation, text).into());
    }
    let mut notes = changelog(&Catalog::new(RELEASES)?)?;
    notes.retain(|notes| from < notes.version && notes.version <= to);
    if form.json {
        let breaking = notes.iter().any(ReleaseNotes::is_breaking);
        return print_json(
            &serde_json::json!({ "from": from, "to": to, "breaking": breaking, "dates": notes }),
        );
    }
    if notes.is_empty() {
        return print(&format!("nothing changes from {from} to {to}\n"));
    }
    print(&notes.iter().map(describe).collect::<Vec<_>>().join("\n"))
}

/// The changes of one version, for people.
fn describe(notes: &ReleaseNotes) -> String {
    let mut text = format!("{}: {}\n", notes.version, notes.summary);
    for added in &notes.added {
        let (method, path, permission) = (&added.method, added.path, &added.permission);
        let _ = write!(text, "\n  + {method} {path} (needs {permission})\n    {}\n", added.summary);
    }
    for changed in &notes.changed {
        let _ = write!(text, "\n  ~ {} {}\n    {}\n", changed.method, changed.path, changed.note);
        for difference in &changed.differences {
            let mark = if difference.breaking { '!' } else { ' ' };
            let _ = writeln!(text, "    {mark} {} {}", difference.place, difference.text);
        }
    }
    for removed in &notes.removed {
        let _ = write!(text, "\n  - {} {}\n    ! {}\n", removed.method, removed.path, removed.note);
    }
    text
}

/// Writes documents that are missing or of a preview; none at all where one of a published version differs.
fn write_all(folder: &Path) -> anyhow::Result<()> {
    let catalog = Catalog::new(RELEASES)?;
    let (mut outcomes, mut refused) = (Vec::new(), Vec::new());
    for release in RELEASES {
        let path = folder.join(file_name(release));
        let committed = match fs::read_to_string(&path) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let document = openapi(&catalog, release)?;
        match contract_status(release, committed.as_deref(), &document) {
            ContractStatus::Unchanged => outcomes.push((path, None)),
            ContractStatus::Missing | ContractStatus::Outdated => {
                outcomes.push((path, Some(openapi::text(&document))))
            }
            ContractStatus::Broken(account) => refused.push(account),
        }
    }
    if !refused.is_empty() {
        bail!("{}\nNothing was written.", refused.join("\n"));
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for (path, text) in outcomes {
        let outcome = if text.is_some() { "written" } else { "kept" };
        if let Some(text) = text {
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        print(&format!("{} {outcome}\n", path.display()))?;
    }
    Ok(())
}

fn file_name(release: &Release) -> String {
    format!("{}.json", release.version)
}
