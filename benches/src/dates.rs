//! The cost of dates: finding an endpoint among 1, 10 and 100 of them, and answering for an old one through the
//! conversions of those after it.
//!
//! The rounds of all cases alternate, so that a busy minute of the machine hits them alike; ratios and differences are
//! made within a round.

use std::hint::black_box;
use std::marker::PhantomData;
use std::time::Duration;

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

/// An endpoint at the newest date.
struct Newest;

/// The endpoint as it was before a date that changed it a little.
struct Before<E>(PhantomData<E>);

type BeforeFive<E> = Before<Before<Before<Before<Before<E>>>>>;

/// A response with two strings and a number.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct Account {
    partner: String,
    name: String,
    calls: u64,
}

macro_rules! account {
    ($($bound:ident)?, $endpoint:ty) => {
        impl$(<$bound: Send + Sync + 'static>)? Endpoint for $endpoint {
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

        impl$(<$bound: Send + Sync + 'static>)? Change for $endpoint {
            type Before = Before<Self>;
            const NOTE: &'static str = "Counted on.";

            fn up(request: Empty) -> Result<Empty, Error> {
                Ok(request)
            }

            fn down(_: &Context<'_>, account: Account) -> Account {
                Account { partner: account.name, name: account.partner, calls: account.calls + 1 }
            }
        }
    };
}

account!(, Newest);
account!(E, Before<E>);

impl Handler for Newest {
    async fn handle(context: &Context<'_>, _: Empty) -> Result<Account, Error> {
        let name = context.caller.environment.name();
        Ok(Account { partner: "acme".to_owned(), name: name.to_owned(), calls: 1 })
    }
}

impl<E> Handler for Before<E>
where
    E: Change<Before = Self, Request = Empty, Response = Account> + Handler + Send + Sync,
{
    async fn handle(context: &Context<'_>, request: Empty) -> Result<Account, Error> {
        successor::<E>(context, request).await
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

fn routing(rounds: u32) -> anyhow::Result<()> {
    let mut cases = Vec::new();
    for dates in DATES {
        let catalog = catalog(dates)?;
        let paths = paths(&catalog, ENDPOINTS * 100);
        cases.push((dates, catalog, paths, Vec::new()));
    }
    for _ in 0..rounds {
        for (_, catalog, paths, nanoseconds) in &mut cases {
            let begin = Instant::now();
            for path in paths.iter().cycle().take(CALLS as usize) {
                black_box(find(catalog, black_box(path)).context("an endpoint is not found")?);
            }
            nanoseconds.push(per_call(begin.elapsed()));
        }
    }
    println!("Finding one of {ENDPOINTS} endpoints, by the number of dates:");
    let one = cases[0].3.clone();
    for (dates, _, _, nanoseconds) in &cases {
        let ratios = nanoseconds.iter().zip(&one).map(|(nanoseconds, one)| nanoseconds / one);
        println!("  {dates:>4} dates  {:>7.1} ns  {:>5.2} ×", median(nanoseconds.clone()), median(ratios));
    }
    Ok(())
}

fn conversions(rounds: u32) -> anyhow::Result<()> {
    let client = pipeline::Client::new()?;
    let headers = HeaderMap::new();
    let caller = Caller {
        credential: Credential::Key(KeyId(uuid::Uuid::nil())),
        environment: Environment::Staging,
        permissions: ApiAccessPermission::all(),
    };
    let context = Context {
        version: RELEASES[0].version,
        caller: &caller,
        client: [192, 0, 2, 1].into(),
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
    let mut cases = [
        ("the newest date", Route::native::<Newest>(), Vec::new()),
        ("one conversion", Route::native::<Before<Newest>>(), Vec::new()),
        ("ten conversions", Route::native::<BeforeFive<BeforeFive<Newest>>>(), Vec::new()),
    ];
    for _ in 0..rounds {
        for (_, route, nanoseconds) in &mut cases {
            let Action::Native(handle) = route.action;
            let begin = Instant::now();
            for _ in 0..CALLS {
                let reply = handle(black_box(&context), input.clone()).now_or_never();
                ensure!(reply.is_some_and(|reply| reply.is_ok()), "an endpoint does not answer");
            }
            nanoseconds.push(per_call(begin.elapsed()));
        }
    }
    println!("Answering through conversions:");
    let newest = cases[0].2.clone();
    for (name, _, nanoseconds) in &cases {
        let over = nanoseconds.iter().zip(&newest).map(|(nanoseconds, newest)| nanoseconds - newest);
        println!("  {name:<16} {:>7.1} ns  {:>+7.1} ns", median(nanoseconds.clone()), median(over));
    }
    Ok(())
}

fn per_call(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e9 / f64::from(CALLS)
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    Spread::of(values).median
}
