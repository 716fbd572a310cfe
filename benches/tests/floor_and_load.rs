//! Floor and load against each other, in one process: figures of wrong responses are worth nothing, so every response
//! has to be checked.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::ensure;
use benches::protocol::Protocol;
use benches::ready::Ready;
use benches::{floor, load};

const REQUESTS: u64 = 300;

/// A floor that serves until the tests end, and the folder of its files.
fn start_floor() -> anyhow::Result<(tempfile::TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    let ready_file = folder.path().join("ready.json");
    let options = floor::Options { ready_file: ready_file.clone() };
    std::thread::spawn(move || floor::run(&options));
    let deadline = Instant::now() + Duration::from_secs(10);
    while Ready::read(&ready_file).is_err() {
        ensure!(Instant::now() < deadline, "the floor did not get ready");
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok((folder, ready_file))
}

fn options(ready_file: &Path, protocol: Protocol) -> load::Options {
    load::Options {
        ready_file: ready_file.to_owned(),
        protocol,
        load: load::Load::Varied,
        connections: Some(3),
        streams: None,
        warm_up: 20,
        requests: REQUESTS,
        rate: None,
        awake: false,
    }
}

#[test]
fn every_request_is_answered_over_every_protocol() -> anyhow::Result<()> {
    let (_folder, ready_file) = start_floor()?;
    for protocol in [Protocol::ALL.as_slice(), &[Protocol::QuicStreams]].concat() {
        let outcome = load::measure(&options(&ready_file, protocol))?;
        assert_eq!((outcome.requests, outcome.errors), (REQUESTS, 0), "{outcome:?}");
        assert!(outcome.p50_us > 0.0 && outcome.p50_us <= outcome.p99_us, "{outcome:?}");
    }
    Ok(())
}

#[test]
fn an_unexpected_response_is_an_error_over_every_protocol() -> anyhow::Result<()> {
    let (_folder, ready_file) = start_floor()?;
    for protocol in Protocol::ALL {
        let outcome = load::measure(&load::Options {
            warm_up: 0,
            // The floor accepts every key.
            load: load::Load::WrongKey,
            ..options(&ready_file, protocol)
        })?;
        assert_eq!((outcome.requests, outcome.errors), (0, REQUESTS), "{outcome:?}");
        assert!(outcome.first_error.is_some_and(|error| error.contains("has status 200")));
    }
    Ok(())
}

#[test]
fn a_rate_is_kept_over_every_protocol() -> anyhow::Result<()> {
    let (_folder, ready_file) = start_floor()?;
    for protocol in Protocol::ALL {
        let begin = Instant::now();
        let options = options(&ready_file, protocol);
        let outcome = load::measure(&load::Options { requests: 200, rate: Some(200), ..options })?;
        assert_eq!((outcome.requests, outcome.errors), (200, 0), "{outcome:?}");
        assert!(begin.elapsed() >= Duration::from_millis(995), "it was over after {:?}", begin.elapsed());
        assert!(outcome.p50_us <= outcome.p99_us && outcome.p99_us <= outcome.p999_us, "{outcome:?}");
    }
    Ok(())
}

#[test]
fn connections_are_new_or_resumed() -> anyhow::Result<()> {
    let (_folder, ready_file) = start_floor()?;
    for protocol in Protocol::ALL {
        for resume in [false, true] {
            let connect = load::Connect {
                ready_file: ready_file.clone(),
                protocol,
                connections: 20,
                at_a_time: 4,
                resume,
            };
            let connected = connect.measure()?;
            let resumed = if resume && protocol.is_encrypted() { 20 } else { 0 };
            assert_eq!((connected.connections, connected.resumed), (20, resumed), "{protocol}");
        }
    }
    Ok(())
}
