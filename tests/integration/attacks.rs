//! Mixes of what one caller or stranger can hold: places of requests, places for connections, responses that nobody
//! takes, on each kind of listener. Others are served meanwhile, memory stays bounded, and everything is given back.
//!
//! Each run draws its mixes anew and prints the seed; `ATTACKS_SEED=NUMBER` draws the same again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rustix::process::Signal;
use tests::{
    Client, Family, Key, KeySpec, PATIENCE, Protocol, Raw, RawH2, TestGateway, Way, eventually, frame, get,
    kind, request_block,
};
use tokio::time::{Instant, sleep, timeout};

use crate::contract::{ECHO, PING};

/// Few places, so that a few dozen connections can run short of them, and short times.
const SMALL: &str = r#"
[limits]
requests_in_flight_max = 64
requests_in_flight_per_caller_max = 16
uploads_in_flight_max = 32
connections_max = 60
streams_per_connection_max = 100

[timeouts]
handshake = "1s"
header = "1s"
body = "1s"
write = "1s"
idle = "2s"
goodbye = "500ms"

[listeners.operations]
protocols = ["http1", "http2"]
"#;

const ROUNDS: usize = 3;
const ATTACKERS: usize = 24;
/// From the moment that something is due until it has surely happened, on a busy machine.
const SLACK: Duration = Duration::from_secs(4);
const WRITE: Duration = Duration::from_secs(1);
/// What another client waits for a response at most.
const RESPONSE_MAX: Duration = Duration::from_secs(2);
/// What a connection may make the gateway hold, as an idle one may.
const BYTES_PER_CONNECTION_MAX: u64 = 128 * 1024;
/// What it may hold in addition for each request whose response waits, however large that response is.
const BYTES_PER_REQUEST_MAX: u64 = 4 * 1024;

const WHOLE: u8 = 5;
const END_HEADERS: u8 = 4;

/// What a listener serves.
#[derive(Clone, Copy, Debug)]
enum Site {
    Api,
    Docs,
    Operations,
}

/// What an attacker does.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// Requests that announce content, which never comes.
    ContentThatNeverComes,
    /// As many requests as streams are allowed, with no window for their responses.
    NoWindow,
    /// The same, and a normal request now and then, so that the connection is never idle.
    NoWindowButBusy,
    /// Pipelined requests, and no response is read.
    Unread,
    /// Nothing is sent.
    Silent,
    /// A head that has no end.
    HalfHead,
}

const SITES: [Site; 3] = [Site::Api, Site::Docs, Site::Operations];
const MOVES: [Move; 6] = [
    Move::ContentThatNeverComes,
    Move::NoWindow,
    Move::NoWindowButBusy,
    Move::Unread,
    Move::Silent,
    Move::HalfHead,
];

/// One attacker.
struct Attacker {
    site: Site,
    address: SocketAddr,
    path: &'static str,
    /// None where it has no key.
    bearer: Option<String>,
    does: Move,
    requests: u32,
    sent: Arc<Sent>,
}

/// What attackers have sent.
#[derive(Default)]
struct Sent {
    bytes: AtomicU64,
    requests: AtomicU64,
}

impl Attacker {
    fn draw(random: &mut SmallRng, gateway: &TestGateway, key: &Key, sent: &Arc<Sent>) -> Self {
        let site = *SITES.choose(random).expect("there are some");
        let listener = match site {
            Site::Api => "http",
            Site::Docs => "docs",
            Site::Operations => "operations",
        };
        // Native or streamed.
        let path = match site {
            Site::Api => *[PING, "/test/wait.json?ms=1500", "/test/download.bin?bytes=1000000"]
                .choose(random)
                .expect("there are some"),
            Site::Docs => {
                *["/", "/llms-full.txt", "/openapi/2026-11-01.json"].choose(random).expect("there are some")
            }
            Site::Operations => *["/metrics", "/livez"].choose(random).expect("there are some"),
        };
        let has_key = matches!(site, Site::Api) && random.random_bool(0.6);
        Self {
            site,
            address: gateway.listener(listener, Family::V4).address,
            path,
            bearer: has_key.then(|| key.bearer()),
            does: *MOVES.choose(random).expect("there are some"),
            // Writing the metrics takes a debug build milliseconds.
            requests: if path == "/metrics" { 5 } else { random.random_range(20..=100) },
            sent: Arc::clone(sent),
        }
    }

    fn name(&self) -> String {
        let key = if self.bearer.is_some() { "with a key" } else { "without a key" };
        format!("{:?} of {} at {} {key}", self.does, self.path, self.address)
    }

    fn fields(&self) -> Vec<(&str, &str)> {
        self.bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect()
    }

    /// Plays its part to its end, which the gateway makes in the times that are set.
    async fn play(self) {
        let within = WRITE + SLACK;
        match self.does {
            Move::ContentThatNeverComes => self.withhold_content().await,
            Move::NoWindow => self.grant_no_window(false).await,
            Move::NoWindowButBusy => self.grant_no_window(true).await,
            Move::Unread => {
                let mut raw = Raw::connect(self.address).await;
                let authorization = self
                    .bearer
                    .iter()
                    .map(|bearer| format!("authorization: {bearer}\r\n"))
                    .collect::<String>();
                let request = format!("GET {} HTTP/1.1\r\nhost: localhost\r\n{authorization}\r\n", self.path);
                // Over HTTP/1.1 one waits for the other, which takes as long as they say.
                let requests = if self.path.contains("/wait.json") { 2 } else { self.requests };
                for _ in 0..requests {
                    self.count(request.len());
                    // Not taken any more at some point: the socket's buffers are full, or the connection is closed.
                    if !matches!(
                        timeout(Duration::from_millis(200), raw.write(request.as_bytes())).await,
                        Ok(true)
                    ) {
                        break;
                    }
                }
                sleep(WRITE * 2).await;
                assert!(raw.read_for(within * 2).await, "{}: still open", self.name());
            }
            Move::Silent | Move::HalfHead => {
                // The API makes room for those who come with a key; the others have as many places as are set.
                let count = if matches!(self.site, Site::Api) { 20 } else { 2 };
                let mut held = Vec::new();
                for _ in 0..count {
                    let mut raw = Raw::connect(self.address).await;
                    if matches!(self.does, Move::HalfHead) {
                        let half = format!("GET {} HTTP/1.1\r\nhost: local", self.path);
                        self.count(half.len());
                        raw.write(half.as_bytes()).await;
                    }
                    held.push(raw);
                }
                for mut raw in held {
                    assert!(raw.read_for(within).await, "{}: still open", self.name());
                }
            }
        }
    }

    async fn withhold_content(&self) {
        let mut connection = RawH2::connect(self.address).await;
        let mut fields = self.fields();
        fields.extend([("content-length", "5"), ("content-type", "application/json")]);
        // A method without content is answered at once; the other waits for the time that content has.
        for (stream, method, path) in (0..self.requests).map(|number| {
            let stream = number * 2 + 1;
            if number % 2 == 0 { (stream, "GET", self.path) } else { (stream, "POST", ECHO) }
        }) {
            let head = frame(kind::HEADERS, END_HEADERS, stream, &request_block(method, path, &fields));
            self.count(head.len());
            if !connection.write(&head).await {
                return;
            }
        }
        let mut answered = 0;
        let is_response =
            |frame: &tests::Frame| frame.kind == kind::HEADERS || frame.kind == kind::RST_STREAM;
        while answered < self.requests {
            // A closed connection is an answer to all of them.
            if connection.find(WRITE + SLACK, is_response).await.is_none() {
                break;
            }
            answered += 1;
        }
        let (_, closed) = connection.read_to_end(WRITE + SLACK + SLACK).await;
        assert!(closed, "{}: still open after {answered} answers", self.name());
    }

    /// Each stream is reset in the time of a write, whatever else happens on the connection.
    async fn grant_no_window(&self, is_busy: bool) {
        let mut connection = RawH2::connect(self.address).await;
        let no_window = frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
        connection.write(&no_window).await;
        let block = request_block("GET", self.path, &self.fields());
        let requests = self.requests.min(90);
        for number in 0..requests {
            let head = frame(kind::HEADERS, WHOLE, number * 2 + 1, &block);
            self.count(head.len());
            if !connection.write(&head).await {
                return;
            }
        }
        let begun = Instant::now();
        // A response that waits before its first byte may take that time in addition.
        let deadline = begun + WRITE + Duration::from_millis(1500) + SLACK;
        let mut open: std::collections::BTreeSet<u32> = (0..requests).map(|number| number * 2 + 1).collect();
        let mut next = requests * 2 + 1;
        while !open.is_empty() {
            let until = deadline.min(Instant::now() + Duration::from_millis(300));
            if let Some(frame) = connection.next(until).await {
                if frame.kind == kind::RST_STREAM || frame.ends_stream() {
                    open.remove(&frame.stream);
                }
                continue;
            }
            assert!(Instant::now() < deadline, "{}: open: {open:?} after {:?}", self.name(), begun.elapsed());
            if is_busy {
                let head = frame(kind::HEADERS, WHOLE, next, &block);
                let window = frame(kind::WINDOW_UPDATE, 0, next, &100_000_u32.to_be_bytes());
                self.count(head.len() + window.len());
                if !connection.write(&[head, window].concat()).await {
                    return;
                }
                next += 2;
            } else if Instant::now() < until {
                // Nothing more comes before its time: the connection is closed.
                return;
            }
        }
    }

    /// Counts a request of so many bytes.
    fn count(&self, bytes: usize) {
        self.sent.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        self.sent.requests.fetch_add(1, Ordering::Relaxed);
    }
}

fn seed() -> u64 {
    let seed = match std::env::var("ATTACKS_SEED") {
        Ok(text) => text.parse().expect("ATTACKS_SEED is a number"),
        Err(_) => rand::random(),
    };
    println!("ATTACKS_SEED={seed}");
    seed
}

/// Memory of the process without the pages of files.
fn memory(gateway: &TestGateway) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", gateway.ready().pid)).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("the kernel says it");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of kB") * 1024
}

/// Asks as another partner over every protocol, and as a reader of the other sites; how many requests were made, which
/// were refused, and the longest wait.
async fn others(gateway: &TestGateway, key: &Key) -> (usize, Vec<String>, Duration) {
    let api = Protocol::ALL.map(|protocol| (protocol.listener(), protocol, key.get(PING)));
    let sites = [("docs", "/llms.txt"), ("operations", "/livez")];
    let sites = sites.map(|(listener, path)| (listener, Protocol::H1, get(path)));
    let (mut asked, mut refused, mut slowest) = (0, Vec::new(), Duration::ZERO);
    for (listener, protocol, request) in api.into_iter().chain(sites) {
        let begun = Instant::now();
        let way = Way { protocol, family: Family::V4 };
        let ask = async || {
            let client = Client::open(gateway, listener, way).await.map_err(|error| format!("{error:#}"))?;
            let answer = client.send(request.clone()).await.map_err(|error| format!("{error:#}"))?;
            if answer.status == 200 { Ok(()) } else { Err(answer.status.to_string()) }
        };
        let mut served = timeout(PATIENCE, ask()).await;
        if matches!(served, Ok(Err(_))) {
            // Where many come at once, a connection may have to make room before its first request: clients try again.
            served = timeout(PATIENCE, ask()).await;
        }
        asked += 1;
        if !matches!(served, Ok(Ok(()))) {
            refused.push(format!("{listener} over {way}: {served:?}"));
        }
        slowest = slowest.max(begun.elapsed());
    }
    (asked, refused, slowest)
}

/// Everything that was held is given back.
async fn assert_all_given_back(gateway: &TestGateway, context: &str) {
    // The request that asks is on a connection of its own.
    for (series, rest) in [
        ("gateway_requests_in_flight", 0.0),
        ("gateway_uploads_in_flight", 0.0),
        ("gateway_connections", 1.0),
    ] {
        let given_back = eventually(PATIENCE, async || {
            gateway.metric(series).await.is_some_and(|value| value <= rest).then_some(())
        });
        assert!(given_back.await.is_some(), "{context}: {series} is {:?}", gateway.metric(series).await);
    }
}

#[tokio::test]
async fn no_mix_of_attacks_keeps_others_out_or_holds_more_than_its_share() {
    let _turn = tests::heavy().await;
    let seed = seed();
    let mut random = SmallRng::seed_from_u64(seed);
    let gateway = TestGateway::start_with_test_endpoints(SMALL).await;
    let (greedy, other) = (gateway.create_key(spec()).await, gateway.create_key(spec()).await);
    // What is made at the first request of each kind belongs to no attack.
    assert_eq!(others(&gateway, &other).await.1, [""; 0], "before any attack");
    for round in 0..ROUNDS {
        let context = format!("ATTACKS_SEED={seed}, round {round}");
        let sent = Arc::<Sent>::default();
        let attackers: Vec<Attacker> =
            (0..ATTACKERS).map(|_| Attacker::draw(&mut random, &gateway, &greedy, &sent)).collect();
        let names: Vec<String> = attackers.iter().map(Attacker::name).collect();
        let before = memory(&gateway);
        let mut playing: tokio::task::JoinSet<()> = attackers.into_iter().map(Attacker::play).collect();
        let (mut asked, mut refused, mut slowest, mut most) = (0, Vec::new(), Duration::ZERO, 0);
        let begun = Instant::now();
        while begun.elapsed() < WRITE * 3 {
            let (some, some_refused, slow) = others(&gateway, &other).await;
            (asked, slowest) = (asked + some, slowest.max(slow));
            refused.extend(some_refused);
            most = most.max(memory(&gateway));
            sleep(Duration::from_millis(random.random_range(0..50))).await;
        }
        let grown = most.saturating_sub(before);
        let [bytes, requests] = [&sent.bytes, &sent.requests].map(|count| count.load(Ordering::Relaxed));
        println!(
            "{context}: {} of {asked} requests of others refused, the slowest took {slowest:?}; {} kB a connection, for {} kB in {} requests",
            refused.len(),
            grown / 1024 / ATTACKERS as u64,
            bytes / 1024 / ATTACKERS as u64,
            requests / ATTACKERS as u64
        );
        assert!(refused.is_empty(), "{context}: refused: {refused:#?}, with {names:#?}");
        assert!(slowest < RESPONSE_MAX, "{context}: another client waited {slowest:?}, with {names:#?}");
        let allowed = ATTACKERS as u64 * BYTES_PER_CONNECTION_MAX + requests * BYTES_PER_REQUEST_MAX;
        assert!(grown < allowed, "{context}: {grown} bytes for {requests} requests, with {names:#?}");
        while let Some(played) = playing.join_next().await {
            played.unwrap_or_else(|panic| panic!("{context}: {panic}"));
        }
        assert_all_given_back(&gateway, &context).await;
        assert!(!gateway.log().contains("panicked"), "{context}: {}", gateway.log());
    }
}

/// Neither strangers nor a caller beyond its share keep others out by requests whose responses they do not take.
#[tokio::test]
async fn refused_requests_whose_responses_nobody_takes_hold_no_places() {
    const FEW: &str = "[limits]\nrequests_in_flight_max = 64\nrequests_in_flight_per_caller_max = 16\n[timeouts]\nwrite = \"20s\"";
    for has_key in [false, true] {
        let gateway = TestGateway::start(FEW).await;
        let [greedy, other] = [gateway.create_key(spec()).await, gateway.create_key(spec()).await];
        let bearer = greedy.bearer();
        let fields = if has_key { &[("authorization", bearer.as_str())][..] } else { &[] };
        let mut held = Vec::new();
        for _ in 0..4 {
            let mut connection = RawH2::connect(gateway.address(Protocol::H2c)).await;
            assert!(connection.write(&frame(kind::SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0])).await);
            for number in 0..50 {
                assert!(connection.get(number * 2 + 1, PING, fields).await);
            }
            assert!(connection.status(99, PATIENCE).await.is_some());
            held.push(connection);
        }
        for protocol in Protocol::ALL {
            let client = Client::over(&gateway, protocol).await;
            let answer = client.ask(other.get(PING)).await;
            assert_eq!(answer.status, 200, "{protocol:?}, the others with a key: {has_key}");
        }
    }
}

/// A client whose request came with its connection is served, however many come right behind it to say nothing.
#[tokio::test]
async fn a_burst_of_silent_connections_closes_none_that_came_with_a_request() {
    const BEFORE: usize = 10;
    const BEHIND: usize = 90;
    let gateway = TestGateway::start(&format!("[runtime]\nworkers = 1\n{SMALL}")).await;
    let key = gateway.create_key(spec()).await;
    let address = gateway.address(Protocol::H1);
    // What has come when the gateway looks again is accepted in one go.
    gateway.signal(Signal::STOP);
    let mut silent = Vec::new();
    let mut callers = Vec::new();
    for number in 0..BEFORE + BEHIND {
        let mut raw = Raw::connect(address).await;
        if number % BEFORE == 0 && number < BEHIND {
            let request =
                format!("GET {PING} HTTP/1.1\r\nhost: localhost\r\nauthorization: {}\r\n\r\n", key.bearer());
            assert!(raw.write(request.as_bytes()).await);
            callers.push(raw);
        } else {
            silent.push(raw);
        }
    }
    gateway.signal(Signal::CONT);
    for (number, caller) in callers.iter_mut().enumerate() {
        assert_eq!(caller.answer(PATIENCE).await.status, 200, "caller {number}");
    }
}

/// A key that its rate does not stop.
fn spec() -> KeySpec {
    KeySpec::staging().option("--rate", "1000000/s")
}
