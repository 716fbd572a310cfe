//! Floor and load against each other, in one process: figures of wrong responses are worth nothing, so every response
//! has to be checked.

use std::time::{Duration, Instant};

use anyhow::ensure;
use benches::floor;
use benches::load::{self, Load};
use benches::protocol::Protocol;
use benches::ready::Ready;

const OPTIONS: load::Options = load::Options {
    load: Load::Varied,
    shape: Some((3, 2)),
    warm_up: 20,
    requests: 300,
    rate: None,
    awake: false,
};

/// A floor that serves until the tests end, and the folder of its files.
fn start_floor() -> anyhow::Result<(tempfile::TempDir, Ready)> {
    let folder = tempfile::tempdir()?;
    let ready_file = folder.path().join("ready.json");
    let options = floor::Options { ready_file: ready_file.clone() };
    std::thread::spawn(move || floor::run(&options));
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Ok(ready) = Ready::read(&ready_file) {
            return Ok((folder, ready));
        }
        ensure!(Instant::now() < deadline, "the floor did not get ready");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test(flavor = "current_thread")]
async fn every_request_is_answered_over_every_protocol() -> anyhow::Result<()> {
    let (_folder, ready) = start_floor()?;
    for protocol in [Protocol::ALL.as_slice(), &[Protocol::QuicStreams]].concat() {
        let outcome = load::measure(&ready, protocol, &OPTIONS).await?;
        assert!(outcome.p999_us > 0.0 && outcome.server_cpu_us > 0.0, "{outcome:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn an_unexpected_response_is_an_error_over_every_protocol() -> anyhow::Result<()> {
    let (_folder, ready) = start_floor()?;
    for protocol in Protocol::ALL {
        // The floor accepts every key.
        let wrong_key = load::Options { load: Load::WrongKey, ..OPTIONS };
        let outcome = load::measure(&ready, protocol, &wrong_key).await;
        assert!(outcome.is_err_and(|error| error.to_string().contains("has status 200")), "{protocol}");
    }
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn a_rate_is_kept_over_every_protocol() -> anyhow::Result<()> {
    let (_folder, ready) = start_floor()?;
    for protocol in Protocol::ALL {
        let begin = Instant::now();
        let open = load::Options { requests: 200, rate: Some(200), ..OPTIONS };
        load::measure(&ready, protocol, &open).await?;
        assert!(begin.elapsed() >= Duration::from_millis(995), "it was over after {:?}", begin.elapsed());
    }
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn connections_are_new_or_resumed() -> anyhow::Result<()> {
    let (_folder, ready) = start_floor()?;
    for protocol in Protocol::ALL {
        for resume in [false, true] {
            let connected = load::connect(&ready, protocol, 20, resume).await?;
            let resumed = if resume && protocol.is_encrypted() { 20 } else { 0 };
            assert_eq!((connected.connections, connected.resumed), (20, resumed), "{protocol}");
        }
    }
    Ok(())
}
