//! The cost of dates: finding an endpoint among 1, 10 and 100 of them, and answering for an old one through the
//! conversions of those after it.
//!
//! The rounds of all cases alternate, so that a busy minute of the machine hits them alike; ratios and differences are
//! made within a round.

use std::hint::black_box;
use std::marker::PhantomData;

use anyhow::{Context as _, ensure};
use futures_util::FutureExt as _;
use http::{HeaderMap, Method};
use jiff::Span;
use jiff::civil::Date;
use permissions::{ApiAccessPermission, Environment, KeyId};
use rand::seq::SliceRandom as _;
use versions::{
    Action, Caller, Catalog, Change, Context, Credential, Empty, Endpoint, Entry, Error, Handler, Instant,
    Lifecycle, Protocol, RELEASES, Release, Route, Version, successor,
};

use crate::options::Rounds;
use crate::pipeline;
use crate::statistics::Spread;

/// The command line.
pub type Options = Rounds;

/// The numbers of dates that are compared.
const DATES: [u16; 3] = [1, 10, 100];
/// Endpoints of each date.
pub(crate) const ENDPOINTS: usize = 50;
/// Calls in each round of each case.
const CALLS: u32 = 100_000;

/// An endpoint: `Hop<()>` is the newest date's, and `Hop<E>` is `E` as it was before a date that changed it a little.
struct Hop<E>(PhantomData<E>);

type Five<E> = Hop<Hop<Hop<Hop<Hop<E>>>>>;

/// A response with two strings and a number.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct Account {
    partner: String,
    name: String,
    calls: u64,
}

impl<E: 'static> Endpoint for Hop<E> {
    const NAME: &'static str = "account";
    const METHOD: Method = Method::GET;
    const PATH: &'static str = "/account.json";
    const PERMISSION: ApiAccessPermission = ApiAccessPermission::PING_READ;
    const SUMMARY: &'static str = "Reads an account.";
    type Request = Empty;
    type Response = Account;

    fn example() -> Account {
        Account { partner: String::new(), name: String::new(), calls: 0 }
    }
}

impl<E: 'static> Change for Hop<E> {
    type Before = Hop<Self>;
    const NOTE: &'static str = "Partner and name change places.";

    fn up(request: Empty) -> Result<Empty, Error> {
        Ok(request)
    }

    fn down(_: &Context<'_>, account: Account) -> Account {
        Account { partner: account.name, name: account.partner, calls: account.calls + 1 }
    }
}

impl Handler for Hop<()> {
    async fn handle(context: &Context<'_>, _: Empty) -> Result<Account, Error> {
        let name = context.caller.environment.name();
        Ok(Account { partner: "acme".to_owned(), name: name.to_owned(), calls: 1 })
    }
}

impl<E: 'static> Handler for Hop<Hop<E>>
where
    Hop<E>: Handler,
{
    async fn handle(context: &Context<'_>, request: Empty) -> Result<Account, Error> {
        successor::<Hop<E>>(context, request).await
    }
}

/// So many dates, a week apart, with 50 endpoints: all come from the first date, as most endpoints of a real API would.
pub(crate) fn releases(dates: u16) -> anyhow::Result<Vec<Release>> {
    let route = |number: usize| {
        let mut route = Route::native::<versions::v2026_11_01::connection::Connection>();
        route.name = String::leak(format!("read_thing_{number}"));
        route.path = String::leak(format!("/things/of-kind-{number}.json"));
        route
    };
    let routes: Vec<Route> = (0..ENDPOINTS).map(route).collect();
    let routes: &'static [Route] = routes.leak();
    let release = |number: u16| {
        let day = Date::constant(2026, 1, 1).checked_add(Span::new().weeks(i64::from(number)))?;
        let version = Version::new(day.year(), day.month(), day.day());
        let lifecycle = Lifecycle { published: Some(day), ..Lifecycle::preview() };
        let release = Release::new(version, "One date of many.", lifecycle);
        Ok(Release { added: if number == 0 { routes } else { &[] }, ..release })
    };
    (0..dates).map(release).collect()
}

/// The catalog of so many dates.
pub fn catalog(dates: u16) -> anyhow::Result<Catalog> {
    Ok(Catalog::new(&releases(dates)?)?)
}

/// `count` paths of a catalog's endpoints in random order, repeated as needed: for any number of dates they take the same
/// memory.
#[must_use]
pub fn paths(catalog: &Catalog, count: usize) -> Vec<String> {
    let paths = catalog.entries().iter().map(|entry| entry.template.clone()).cycle();
    let mut paths: Vec<String> = paths.take(count).collect();
    paths.shuffle(&mut rand::rng());
    paths
}

/// Finds the endpoint of a path, as the pipeline does.
#[must_use]
pub fn find<'c>(catalog: &'c Catalog, path: &'c str) -> Option<&'c Entry> {
    let (table, below) = catalog.version(path)?;
    let (resource, _) = table.resource(below).ok()?;
    catalog.entry(table, resource, &Method::GET).ok()
}

/// Measures and prints two tables.
pub fn run(Rounds { rounds }: Options) -> anyhow::Result<()> {
    routing(rounds)?;
    conversions(rounds)
}

/// The nanoseconds of a call of each case in each round.
fn measure<C>(
    rounds: u32,
    cases: &[C],
    mut calls: impl FnMut(&C) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<Vec<f64>>> {
    let mut nanoseconds = vec![Vec::new(); cases.len()];
    for _ in 0..rounds {
        for (case, nanoseconds) in cases.iter().zip(&mut nanoseconds) {
            let begin = Instant::now();
            calls(case)?;
            nanoseconds.push(begin.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS));
        }
    }
    Ok(nanoseconds)
}

fn routing(rounds: u32) -> anyhow::Result<()> {
    let mut cases = Vec::new();
    for dates in DATES {
        let catalog = catalog(dates)?;
        let paths = paths(&catalog, ENDPOINTS * 100);
        cases.push((dates, catalog, paths));
    }
    let nanoseconds = measure(rounds, &cases, |(_, catalog, paths)| {
        for path in paths.iter().cycle().take(CALLS as usize) {
            black_box(find(catalog, black_box(path)).context("an endpoint is not found")?);
        }
        Ok(())
    })?;
    println!("Finding one of {ENDPOINTS} endpoints, by the number of dates:");
    for ((dates, ..), nanoseconds_of) in cases.iter().zip(&nanoseconds) {
        let ratio = Spread::of(nanoseconds_of.iter().zip(&nanoseconds[0]).map(|(many, one)| many / one));
        println!(
            "  {dates:>4} dates  {:>7.1} ns  {:>5.2} ×",
            Spread::of(nanoseconds_of.clone()).median,
            ratio.median
        );
    }
    Ok(())
}

fn conversions(rounds: u32) -> anyhow::Result<()> {
    let client = pipeline::Client::new()?;
    let headers = HeaderMap::new();
    let caller = Caller {
        credential: Credential::Key(KeyId(uuid::Uuid::nil())),
        organization: permissions::PartnerId(uuid::Uuid::nil()),
        person: None,
        environment: Environment::Staging,
        permissions: ApiAccessPermission::all(),
    };
    let context = Context {
        version: RELEASES[0].version,
        caller: &caller,
        client: [192, 0, 2, 1].into(),
        request_id: "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b",
        protocol: Protocol::Http2,
        headers: &headers,
        received: Instant::now(),
        connection: &*client.peer,
        services: client.pipeline,
    };
    let catalog = catalog(1)?;
    let path = paths(&catalog, 1).remove(0);
    let (table, below) = catalog.version(&path).context("there is no date")?;
    let (_, input) = table.resource(below)?;
    let cases = [
        ("the newest date", Route::native::<Hop<()>>()),
        ("one conversion", Route::native::<Hop<Hop<()>>>()),
        ("ten conversions", Route::native::<Five<Five<Hop<()>>>>()),
    ];
    let nanoseconds = measure(rounds, &cases, |(_, route)| {
        let Action::Native(handle) = route.action;
        for _ in 0..CALLS {
            let reply = handle(black_box(&context), input.clone()).now_or_never();
            ensure!(reply.is_some_and(|reply| reply.is_ok()), "an endpoint does not answer");
        }
        Ok(())
    })?;
    println!("Answering through conversions:");
    for ((name, _), nanoseconds_of) in cases.iter().zip(&nanoseconds) {
        let more = Spread::of(nanoseconds_of.iter().zip(&nanoseconds[0]).map(|(more, newest)| more - newest));
        println!(
            "  {name:<16} {:>7.1} ns  {:>+7.1} ns",
            Spread::of(nanoseconds_of.clone()).median,
            more.median
        );
    }
    Ok(())
}
