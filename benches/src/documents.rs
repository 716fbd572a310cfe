//! The documentation of an API with many dates of 50 endpoints each, all of which come from the first date, as most
//! endpoints of a real API would.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::ensure;
use http::Method;
use jiff::Timestamp;
use jiff::civil::Date;
use permissions::{ApiAccessPermission, Environments, Rate};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use versions::docs::pages::{Document, ServerUrl, Site, documents};
use versions::{Calendar, Catalog, Context, Endpoint, Error, Handler, Lifecycle, Release, Route, Version};

use crate::statistics::Spread;

/// The command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Dates, a week apart.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub dates: u16,
    /// Rounds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
}

/// One of many endpoints.
struct Thing<const N: usize>;

/// Its request.
#[derive(Deserialize, JsonSchema)]
#[expect(dead_code, reason = "only its schema is used")]
struct Query {
    /// The thing's number.
    #[schemars(example = 7)]
    id: u32,
    /// How many of its parts are listed.
    #[schemars(example = 20)]
    limit: Option<u8>,
}

/// Its response.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Description<const N: usize> {
    /// The thing's number.
    id: u32,
    /// Its owner.
    owner: Owner,
    /// Its parts.
    parts: Vec<Part>,
    /// The date of this response's form.
    api_version: Version,
}

/// The owner of a thing.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Owner {
    /// The owner's number.
    id: u32,
    /// The owner's name.
    display_name: String,
}

/// A part of a thing.
#[derive(Serialize, JsonSchema)]
struct Part {
    /// Its name.
    name: String,
    /// How many there are of it.
    count: Option<u32>,
}

impl<const N: usize> Endpoint for Thing<N> {
    const NAME: &'static str = "thing";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/things/{id}.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::PING_READ;
    const SUMMARY: &'static str = "Read a thing with its owner and its parts.";
    const SAFE: bool = true;

    type Request = Query;
    type Response = Description<N>;

    fn example() -> Description<N> {
        Description {
            id: 7,
            owner: Owner { id: 3, display_name: "Example".to_owned() },
            parts: vec![Part { name: "wheel".to_owned(), count: Some(4) }],
            api_version: Version::new(2026, 1, 1),
        }
    }
}

impl<const N: usize> Handler for Thing<N> {
    async fn handle(_: &Context<'_>, _: Query) -> Result<Description<N>, Error> {
        Ok(Self::example())
    }
}

macro_rules! things {
    ($($tens:literal)*) => {
        vec![$(
            Route::native::<Thing<$tens>>(),
            Route::native::<Thing<{ $tens + 1 }>>(),
            Route::native::<Thing<{ $tens + 2 }>>(),
            Route::native::<Thing<{ $tens + 3 }>>(),
            Route::native::<Thing<{ $tens + 4 }>>(),
        )*]
    };
}

/// Measures and prints.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let mut routes = things!(0 5 10 15 20 25 30 35 40 45);
    for (number, route) in routes.iter_mut().enumerate() {
        route.name = format!("thing_{number}").leak();
        route.path = format!("/things-{number}/{{id}}.json").leak();
    }
    let endpoints = routes.len();
    let routes: &'static [Route] = routes.leak();
    let first = Date::constant(2026, 1, 1);
    let release = |number: u16| {
        let day = first.checked_add(jiff::Span::new().weeks(i64::from(number)))?;
        let version = Version::new(day.year(), day.month(), day.day());
        let lifecycle = Lifecycle { published: Some(day), ..Lifecycle::preview() };
        anyhow::Ok(Release {
            added: if number == 0 { routes } else { &[] },
            ..Release::new(version, "One date of many.", lifecycle)
        })
    };
    let releases = (0..options.dates).map(release).collect::<anyhow::Result<Vec<_>>>()?;
    let catalog = Catalog::new(&releases)?;
    let calendar = Calendar::new(&releases, |_| Lifecycle::default()).map_err(|(_, error)| error)?;
    let server_urls =
        [ServerUrl { url: "https://api.example.com".to_owned(), environments: Environments::all() }];
    let site = Site {
        catalog: &catalog,
        calendar: &calendar,
        now: Timestamp::from_second(1_900_000_000)?,
        docs_url: "https://docs.example.com",
        api_url: &server_urls[0].url,
        server_urls: &server_urls,
        brand: "pgw",
        invalid_token_message: "Invalid token",
        key_rate: "500/s+1000".parse::<Rate>()?,
    };
    let mut milliseconds = Vec::new();
    let mut written: Vec<Document> = Vec::new();
    for _ in 0..options.rounds {
        let begin = Instant::now();
        written = documents(&site);
        milliseconds.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let pages = written.iter().filter(|document| document.route == "/{date}/{endpoint}").count();
    ensure!(pages == endpoints * usize::from(options.dates), "there are {pages} pages of endpoints");
    let (Options { dates, rounds }, milliseconds) = (options, Spread::of(milliseconds));
    println!(
        "documents, {dates} dates of {endpoints} endpoints: {milliseconds:.0} ms (min / median / max of {rounds} rounds)"
    );
    let mut kinds: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for document in &written {
        let (files, bytes) = kinds.entry(document.route).or_default();
        *files += 1;
        *bytes += document.content.len();
    }
    let all: usize = kinds.values().map(|(_, bytes)| bytes).sum();
    // Shared pieces are in memory once, so overlapping ranges count once.
    let mut pieces: Vec<(usize, usize)> = written
        .iter()
        .flat_map(|document| document.content.pieces())
        .map(|piece| (piece.as_ptr().addr(), piece.len()))
        .collect();
    pieces.sort_unstable();
    let (mut kept, mut end) = (0, 0);
    for (begin, length) in pieces {
        kept += (begin + length).saturating_sub(begin.max(end));
        end = end.max(begin + length);
    }
    println!("{} files, {:.1} MiB, {:.1} MiB in memory", written.len(), mebibytes(all), mebibytes(kept));
    for (kind, (files, bytes)) in kinds {
        println!("  {kind:<24} {files:>6} files {:>8.1} KiB each", mebibytes(bytes / files) * 1024.0);
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "sizes of documents are exact in a double")]
fn mebibytes(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
