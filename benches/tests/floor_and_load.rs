//! Floor and load against each other, in one process: figures that come from wrong answers are worth
//! less than none, so what counts here is that every answer is checked.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::ensure;
use benches::protocol::Protocol;
use benches::ready::Ready;
use benches::{answer, floor, load};

const REQUESTS: NonZeroU64 = NonZeroU64::new(300).expect("300 is not 0");

/// A floor that serves until the tests are over, and the folder of its files.
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
        path: answer::PATH.to_owned(),
        authorization_file: None,
        connections: NonZeroUsize::new(3),
        streams: None,
        threads: NonZeroUsize::MIN,
        warm_up: 20,
        requests: Some(REQUESTS),
        seconds: None,
        rate: None,
        awake: false,
        time_limit: 20,
        expect: answer::BODY_PREFIX.to_owned(),
        expect_status: vec![200],
    }
}

#[test]
fn every_request_is_answered_over_every_protocol() -> anyhow::Result<()> {
    let (_folder, ready_file) = start_floor()?;
    for protocol in Protocol::ALL {
        let outcome = load::measure(&options(&ready_file, protocol))?;
        assert_eq!((outcome.requests, outcome.errors), (REQUESTS.get(), 0), "{outcome:?}");
        assert!(outcome.p50_us > 0.0 && outcome.p50_us <= outcome.p99_us, "{outcome:?}");
    }
    Ok(())
}

#[test]
fn several_threads_share_the_requests() -> anyhow::Result<()> {
    let (_folder, ready_file) = start_floor()?;
    let threads = NonZeroUsize::new(2).unwrap_or(NonZeroUsize::MIN);
    let outcome = load::measure(&load::Options { threads, ..options(&ready_file, Protocol::H2Tls) })?;
    assert_eq!((outcome.requests, outcome.errors), (REQUESTS.get(), 0), "{outcome:?}");
    Ok(())
}

#[test]
fn an_unexpected_body_is_an_error_over_every_protocol() -> anyhow::Result<()> {
    let (_folder, ready_file) = start_floor()?;
    for protocol in Protocol::ALL {
        let outcome = load::measure(&load::Options {
            warm_up: 0,
            expect: r#"{"status":"failure""#.to_owned(),
            ..options(&ready_file, protocol)
        })?;
        assert_eq!((outcome.requests, outcome.errors), (0, REQUESTS.get()), "{outcome:?}");
        assert!(outcome.first_error.is_some_and(|error| error.contains("unexpected body")));
    }
    Ok(())
}

#[test]
fn a_time_ends_the_load() -> anyhow::Result<()> {
    let (_folder, ready_file) = start_floor()?;
    let outcome = load::measure(&load::Options {
        requests: None,
        seconds: Some(1),
        ..options(&ready_file, Protocol::H1)
    })?;
    assert!(outcome.requests > 0 && outcome.errors == 0, "{outcome:?}");
    assert!((1.0..5.0).contains(&outcome.seconds), "{outcome:?}");
    Ok(())
}

#[test]
fn a_rate_is_kept_over_every_protocol() -> anyhow::Result<()> {
    let (_folder, ready_file) = start_floor()?;
    for protocol in Protocol::ALL {
        let outcome = load::measure(&load::Options {
            requests: None,
            seconds: Some(1),
            rate: Some(200),
            ..options(&ready_file, protocol)
        })?;
        assert_eq!((outcome.requests, outcome.errors), (200, 0), "{outcome:?}");
        assert!(outcome.p50_us <= outcome.p99_us && outcome.p99_us <= outcome.p999_us, "{outcome:?}");
    }
    Ok(())
}

#[test]
fn bare_streams_carry_as_many_bytes() -> anyhow::Result<()> {
    let (_folder, ready_file) = start_floor()?;
    let outcome = load::measure(&options(&ready_file, Protocol::QuicStreams))?;
    assert_eq!((outcome.requests, outcome.errors), (REQUESTS.get(), 0), "{outcome:?}");
    Ok(())
}

#[test]
fn connections_are_made_anew_or_resumed() -> anyhow::Result<()> {
    let (_folder, ready_file) = start_floor()?;
    for protocol in Protocol::ALL {
        for resume in [false, true] {
            let connections = load::Connections {
                ready_file: ready_file.clone(),
                protocol,
                authorization_file: None,
                connections: 20,
                at_a_time: 4,
                resume,
            };
            let made = connections.measure()?;
            assert_eq!(made.connections, 20);
            let resumed = if resume && protocol.is_encrypted() { 20 } else { 0 };
            assert_eq!(made.resumed, resumed, "{}", protocol.name());
        }
    }
    Ok(())
}

#[test]
fn streams_on_http1_are_refused() -> anyhow::Result<()> {
    let (_folder, ready_file) = start_floor()?;
    let streams = NonZeroUsize::new(2);
    let refused = load::measure(&load::Options { streams, ..options(&ready_file, Protocol::H1) });
    assert!(refused.is_err_and(|error| error.to_string().contains("--connections")));
    Ok(())
}
