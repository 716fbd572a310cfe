//! The cost of dates: finding an endpoint among 1, 10 and 100 of them, and answering for an old one through the
//! conversions of those after it.
//!
//! The rounds of all cases alternate, so that a busy minute of the machine hits them alike; ratios are made within a
//! round.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::FutureExt as _;
use http::{HeaderMap, Method};
use jiff::Timestamp;
use jiff::civil::Date;
use permissions::{ApiAccessPermission, Environment, KeyId};
use rand::seq::SliceRandom as _;
use versions::{
    Action, Calendar, Caller, Catalog, Change, ConnectionInfo, Context, Credential, Empty, Endpoint, Entry,
    Error, Handler, Instant, Lifecycle, Protocol, RELEASES, Release, Route, Services, Tls, Version,
    successor,
};

use crate::statistics::Spread;

/// The command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Rounds, whose medians are printed.
    #[arg(long, default_value_t = 31, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rounds: u32,
    /// Calls in each round of each case.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub calls: u32,
}

/// The numbers of dates that are compared.
const DATES: [usize; 3] = [1, 10, 100];
/// Endpoints of each date.
const ENDPOINTS: usize = 50;

/// A chain of endpoints, each of which the next date changes a little.
macro_rules! hops {
    ($($name:ident $path:literal => $next:ident;)* => $newest:ident $newest_path:literal) => {
        $(
            hops!(endpoint $name $path);
            impl Handler for $name {
                async fn handle(context: &Context<'_>, request: Empty) -> Result<Account, Error> {
                    successor::<$next>(context, request).await
                }
            }
            impl Change for $next {
                type Before = $name;
                const NOTE: &'static str = "Counted on.";

                fn up(request: Empty) -> Result<Empty, Error> {
                    Ok(request)
                }

                fn down(_: &Context<'_>, account: Account) -> Account {
                    Account { partner: account.name, name: account.partner, calls: account.calls + 1 }
                }
            }
        )*
        hops!(endpoint $newest $newest_path);
        impl Handler for $newest {
            async fn handle(context: &Context<'_>, _: Empty) -> Result<Account, Error> {
                let name = context.caller.environment.name();
                Ok(Account { partner: "acme".to_owned(), name: name.to_owned(), calls: 1 })
            }
        }
    };
    (endpoint $name:ident $path:literal) => {
        struct $name;
        impl Endpoint for $name {
            const NAME: &'static str = $path;
            const METHOD: Method = Method::GET;
            const PATH: &'static str = $path;
            const PERMISSION: ApiAccessPermission = ApiAccessPermission::PING_READ;
            const SUMMARY: &'static str = "Reads an account.";
            type Request = Empty;
            type Response = Account;

            fn example() -> Account {
                Account { partner: String::new(), name: String::new(), calls: 0 }
            }
        }
    };
}

/// A response with two strings and a number.
#[derive(serde::Serialize, schemars::JsonSchema)]
struct Account {
    partner: String,
    name: String,
    calls: u64,
}

hops! {
    Hop0 "/0.json" => Hop1;
    Hop1 "/1.json" => Hop2;
    Hop2 "/2.json" => Hop3;
    Hop3 "/3.json" => Hop4;
    Hop4 "/4.json" => Hop5;
    Hop5 "/5.json" => Hop6;
    Hop6 "/6.json" => Hop7;
    Hop7 "/7.json" => Hop8;
    Hop8 "/8.json" => Hop9;
    Hop9 "/9.json" => Hop10;
    => Hop10 "/10.json"
}

/// `dates` dates in a row; the first brings all endpoints, the others inherit them.
pub fn catalog(dates: usize) -> anyhow::Result<Catalog> {
    let routes: Vec<Route> = (0..ENDPOINTS)
        .map(|number| {
            let mut route = Route::native::<Hop10>();
            route.name = String::leak(format!("read_thing_{number}"));
            route.path = String::leak(format!("/things/of-kind-{number}.json"));
            route
        })
        .collect();
    let routes: &'static [Route] = Vec::leak(routes);
    let first = Date::constant(2030, 1, 1);
    let releases: anyhow::Result<Vec<Release>> = (0..dates)
        .map(|number| {
            let day = first.checked_add(jiff::Span::new().days(i64::try_from(number)?))?;
            let version: Version = day.to_string().parse()?;
            let release = Release::new(version, "One date of many.", Lifecycle::preview());
            Ok(Release { added: if number == 0 { routes } else { &[] }, ..release })
        })
        .collect();
    Ok(Catalog::new(&releases?)?)
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

/// A moment at which time stands still.
struct Still(Instant, Arc<Calendar>);

impl Services for Still {
    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn monotonic(&self) -> Instant {
        self.0
    }

    fn calendar(&self) -> Arc<Calendar> {
        Arc::clone(&self.1)
    }
}

impl ConnectionInfo for Still {
    fn tls(&self) -> Option<Tls> {
        None
    }

    fn round_trip_time(&self) -> Option<Duration> {
        None
    }

    fn offers_http3(&self) -> bool {
        false
    }

    fn is_proxy(&self) -> bool {
        false
    }
}

/// Measures and prints two tables.
pub fn run(options: &Options) -> anyhow::Result<()> {
    routing(options)?;
    conversions(options)
}

fn routing(options: &Options) -> anyhow::Result<()> {
    let mut cases = Vec::new();
    for dates in DATES {
        let catalog = catalog(dates)?;
        let paths = paths(&catalog, ENDPOINTS * DATES[DATES.len() - 1]);
        cases.push((dates, catalog, paths, Vec::new()));
    }
    for _ in 0..options.rounds {
        for (_, catalog, paths, nanoseconds) in &mut cases {
            let begin = Instant::now();
            for path in paths.iter().cycle().take(options.calls as usize) {
                black_box(find(catalog, black_box(path)).context("an endpoint is not found")?);
            }
            nanoseconds.push(per_call(begin.elapsed(), options.calls));
        }
    }
    println!("Finding one of {ENDPOINTS} endpoints, by the number of dates:");
    let one = cases[0].3.clone();
    for (dates, _, _, nanoseconds) in &cases {
        let ratios = nanoseconds.iter().zip(&one).map(|(nanoseconds, one)| nanoseconds / one).collect();
        println!("  {dates:>4} dates  {:>7.1} ns  {:>5.2} ×", median(nanoseconds.clone()), median(ratios));
    }
    Ok(())
}

fn conversions(options: &Options) -> anyhow::Result<()> {
    let calendar = Calendar::new(RELEASES, |_| Lifecycle::default()).map_err(|(_, error)| error)?;
    let still = Still(Instant::now(), Arc::new(calendar));
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
        received: still.0,
        connection: &still,
        services: &still,
    };
    let catalog = catalog(1)?;
    let path = paths(&catalog, 1).remove(0);
    let (table, below) = catalog.version(&path).context("there is no date")?;
    let (_, input) = table.resource(below)?;
    let mut cases = [
        ("the newest date", Route::native::<Hop10>(), Vec::new()),
        ("one conversion", Route::native::<Hop9>(), Vec::new()),
        ("ten conversions", Route::native::<Hop0>(), Vec::new()),
    ];
    for _ in 0..options.rounds {
        for (_, route, nanoseconds) in &mut cases {
            let Action::Native(handle) = route.action;
            let begin = Instant::now();
            for _ in 0..options.calls {
                let reply = handle(black_box(&context), input.clone()).now_or_never();
                ensure!(reply.is_some_and(|reply| reply.is_ok()), "an endpoint does not answer");
            }
            nanoseconds.push(per_call(begin.elapsed(), options.calls));
        }
    }
    println!("Answering through conversions:");
    let newest = cases[0].2.clone();
    for (name, _, nanoseconds) in &cases {
        let over =
            nanoseconds.iter().zip(&newest).map(|(nanoseconds, newest)| nanoseconds - newest).collect();
        println!("  {name:<16} {:>7.1} ns  {:>+7.1} ns", median(nanoseconds.clone()), median(over));
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a round does not last for months")]
fn per_call(duration: Duration, calls: u32) -> f64 {
    duration.as_nanos() as f64 / f64::from(calls)
}

fn median(values: Vec<f64>) -> f64 {
    Spread::of(values).median
}
