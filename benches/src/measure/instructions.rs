//! User instructions and allocations of one request, and which functions they are in.
//!
//! A server is run twice under callgrind, and answers five times as many requests the second time. What
//! is left between the two is the requests alone. Nothing but the batching of requests varies from run to
//! run, by about 1 %: a single stream on a single connection has none of it, but a server under load has.

use std::fmt;
use std::process::{Command, Stdio};

use anyhow::bail;
use serde::Serialize;

use super::callgrind::{Part, Profile};
use super::stage::{Common, Stage, Subject};
use crate::load::Outcome;
use crate::protocol::Protocol;
use crate::start::this_program;

/// The second run answers so many times what the first one does.
pub(super) const LONG_RUN: u64 = 5;
const SMOKE_REQUESTS: u64 = 100;

/// The command line.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    #[command(flatten)]
    pub common: Common,
    /// Requests of the short run; the long one has five times as many.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub requests: u64,
    /// Connections [default: 32 over HTTP/1.1, else 8].
    #[arg(long)]
    pub connections: Option<usize>,
    /// Requests in flight on each connection [default: 1 over HTTP/1.1, else 16].
    #[arg(long)]
    pub streams: Option<usize>,
    /// Functions to show for each server and protocol; 0 shows none.
    #[arg(long, default_value_t = 12)]
    pub functions: usize,
    /// Measure the gateway alone.
    #[arg(long)]
    pub no_floor: bool,
}

/// What one request costs a server.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    server: &'static str,
    protocol: Protocol,
    /// In all, then of the program without the two that follow, of aws-lc, and of libc and its like.
    instructions: f64,
    program: f64,
    crypto: f64,
    libraries: f64,
    allocations: f64,
    functions: Vec<Function>,
    allocators: Vec<Function>,
}

/// A function's share of one request.
#[derive(Debug, Serialize)]
struct Function {
    name: String,
    own: f64,
    inclusive: f64,
    allocations: f64,
}

/// All servers and protocols.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    requests: u64,
    rows: Vec<Row>,
}

/// The number of connections, and of streams on each.
pub(super) type Shape = (usize, usize);

pub(super) async fn measure(options: &Options) -> anyhow::Result<Report> {
    check_tool()?;
    let stage = Stage::set(&options.common)?;
    let requests = if options.common.smoke { SMOKE_REQUESTS } else { options.requests };
    let mut rows = Vec::new();
    for &protocol in &options.common.protocols {
        for is_floor in [true, false] {
            if is_floor && options.no_floor {
                continue;
            }
            let name = if is_floor { "floor" } else { "gateway" };
            eprintln!("{}: {name}", protocol.name());
            let (connections, streams) = protocol.usual_shape();
            let shape = (options.connections.unwrap_or(connections), options.streams.unwrap_or(streams));
            let profile = request(&stage, is_floor, protocol, shape, requests).await?;
            rows.push(Row::new(name, protocol, &profile, options.functions));
        }
    }
    Ok(Report { requests, rows })
}

/// Whether valgrind is there.
pub(super) fn check_tool() -> anyhow::Result<()> {
    match Command::new("valgrind").arg("--version").stdout(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        _ => bail!("valgrind is needed; install it with: apt-get install valgrind"),
    }
}

/// The profile of one request to the floor or the gateway.
pub(super) async fn request(
    stage: &Stage,
    is_floor: bool,
    protocol: Protocol,
    shape: Shape,
    requests: u64,
) -> anyhow::Result<Profile> {
    if !is_floor {
        // The first start makes certificates, which the short run would then have in it and the long one not.
        stage.gateway("gateway", &stage.setup()).await?.end().await?;
    }
    let short = run(stage, is_floor, protocol, shape, requests).await?;
    let long = run(stage, is_floor, protocol, shape, requests * LONG_RUN).await?;
    #[expect(clippy::cast_precision_loss, reason = "no run comes near 2^53 requests")]
    Ok(long.per_request(&short, (requests * (LONG_RUN - 1)) as f64))
}

async fn run(
    stage: &Stage,
    is_floor: bool,
    protocol: Protocol,
    (connections, streams): Shape,
    requests: u64,
) -> anyhow::Result<Profile> {
    let file = stage.file("callgrind.out");
    let setup = crate::start::Setup { callgrind: Some(&file), ..stage.setup() };
    let (subject, program): (Subject, _) = if is_floor {
        (stage.floor(&setup).await?, this_program()?)
    } else {
        (stage.gateway("gateway", &setup).await?, stage.gateway.clone())
    };
    let load = [
        ("requests", requests.to_string()),
        ("connections", connections.to_string()),
        ("streams", streams.to_string()),
        ("warm-up", "100".to_owned()),
        ("time-limit", "500".to_owned()),
    ];
    let _: Outcome = stage.drive("load", &subject, protocol, &load).await?;
    subject.end().await?;
    Profile::read(&file, &program)
}

impl Row {
    fn new(server: &'static str, protocol: Protocol, profile: &Profile, functions: usize) -> Self {
        let [program, crypto, libraries] =
            [Part::Program, Part::Crypto, Part::Library].map(|part| profile.instructions(part));
        let named = |(_, name, cost): (Part, &str, super::callgrind::Cost)| Function {
            name: name.to_owned(),
            own: cost.own,
            inclusive: cost.inclusive,
            allocations: cost.allocations,
        };
        Self {
            server,
            protocol,
            instructions: program + crypto + libraries,
            program,
            crypto,
            libraries,
            allocations: profile.allocations(),
            functions: profile.top(functions, |cost| cost.own).into_iter().map(named).collect(),
            allocators: profile
                .top(functions, |cost| cost.allocations)
                .into_iter()
                .filter(|(.., cost)| cost.allocations >= 0.005)
                .map(named)
                .collect(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests, rows } = self;
        let long = requests * LONG_RUN;
        writeln!(formatter, "one request, by runs of {requests} and {long} under callgrind\n")?;
        writeln!(
            formatter,
            "{:7} | {:8} | {:>12} | {:>9} {:>9} {:>9} | {:>11}",
            "", "", "instructions", "program", "crypto", "libraries", "allocations"
        )?;
        for row in rows {
            writeln!(
                formatter,
                "{:7} | {:8} | {:12.0} | {:9.0} {:9.0} {:9.0} | {:11.2}",
                row.protocol.name(),
                row.server,
                row.instructions,
                row.program,
                row.crypto,
                row.libraries,
                row.allocations
            )?;
        }
        for row in rows.iter().filter(|row| !row.functions.is_empty()) {
            writeln!(formatter, "\n{}, {}: instructions (own, inclusive)", row.server, row.protocol.name())?;
            for function in &row.functions {
                writeln!(formatter, "{:9.0} {:9.0}  {}", function.own, function.inclusive, function.name)?;
            }
            writeln!(formatter, "allocations")?;
            for function in &row.allocators {
                writeln!(formatter, "{:9.2}            {}", function.allocations, function.name)?;
            }
        }
        Ok(())
    }
}
