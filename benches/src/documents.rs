//! The documentation of an API with many dates.

use std::time::Instant;

use jiff::Timestamp;
use permissions::{Environments, Rate};
use versions::docs::pages::{Document, ServerUrl, Site, documents};
use versions::{Calendar, Catalog, Lifecycle};

use crate::dates::{ENDPOINTS, releases};
use crate::options::Rounds;
use crate::statistics::Spread;

/// The command line.
pub type Options = Rounds;

const DATES: u16 = 100;

/// Measures and prints.
pub fn run(Rounds { rounds }: Options) -> anyhow::Result<()> {
    let releases = releases(DATES)?;
    let catalog = Catalog::new(&releases)?;
    let calendar = Calendar::new(&releases, |_| Lifecycle::default()).map_err(|(_, error)| error)?;
    let server_urls = [ServerUrl {
        url: "https://api.example.com".to_owned(),
        environments: Environments::all(),
        authority: None,
    }];
    let site = Site {
        catalog: &catalog,
        calendar: &calendar,
        now: Timestamp::from_second(1_900_000_000)?,
        docs_url: "https://docs.example.com",
        api_url: &server_urls[0].url,
        server_urls: &server_urls,
        brand: "pgw",
        invalid_token_message: "Invalid token",
        key_variable: "PARTNER_API_KEY",
        key_rate: "500/s+1000".parse::<Rate>()?,
    };
    let mut milliseconds = Vec::new();
    let mut written: Vec<Document> = Vec::new();
    for _ in 0..rounds {
        let begin = Instant::now();
        written = documents(&site);
        milliseconds.push(begin.elapsed().as_secs_f64() * 1e3);
    }
    let milliseconds = Spread::of(milliseconds);
    println!(
        "documents, {DATES} dates of {ENDPOINTS} endpoints: {milliseconds:.0} ms (min / median / max of {rounds} rounds)"
    );
    let all: usize = written.iter().map(|document| document.content.len()).sum();
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
    println!("{} files, {} MiB, {} MiB in memory", written.len(), all >> 20, kept >> 20);
    Ok(())
}
