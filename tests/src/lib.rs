//! The harness of the integration tests: a separate gateway for each test, and clients for each transport.
//!
//! A test starts a [`TestGateway`] (the real binary, on free loopback ports, with its own data folder),
//! creates keys through the command line as an operator does, and sends requests over any [`Protocol`].
//! Nothing here depends on the gateway's internals, only on its contract on the wire; but organizations, members and app
//! tokens are made by calling the functions of provisioning ([`People`]).

mod binary;
mod client;
mod config;
pub mod endpoints;
mod gateway;
mod key;
mod people;
mod pki;
mod provider;
mod raw;
mod raw_h2;
mod script;
mod smtp;
mod tools;

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

pub use binary::{gateway_binary, test_gateway_binary};
pub use client::{
    Client, Closed, Content, Download, Family, Protocol, Response, WAYS, Way, between, form, get, own_form,
    tls, tls_of, with_method,
};
pub use config::merged;
pub use gateway::{Listener, Ready, Start, TestGateway};
pub use key::{Key, KeySpec, forged, misprinted, never_issued};
pub use people::{Organization, People};
pub use pki::Authority;
pub use provider::IdentityProvider;
pub use raw::{Answer, Raw, answers};
pub use raw_h2::{Frame, RawH2, frame, kind, literal, request_block};
pub use script::{Script, lines};
pub use smtp::SmtpSink;
pub use tools::{client_script, repository, tool};

/// How long a single wait may take before it counts as failed, unless a test says otherwise.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Tests that load the machine or measure time take turns: two at once would disturb each other.
static HEAVY: Semaphore = Semaphore::const_new(1);

/// Waits for the turn of a heavy test, and holds it until the returned permit is dropped.
pub async fn heavy() -> SemaphorePermit<'static> {
    HEAVY.acquire().await.expect("the semaphore is never closed")
}

/// The current time, to compare with the gateway's.
#[expect(clippy::disallowed_methods, reason = "the tests look at a real gateway in real time")]
pub fn now() -> jiff::Timestamp {
    jiff::Timestamp::now()
}

/// Runs `probe` every 10 ms until it returns a value; `None` after `within`.
pub async fn eventually<T>(within: Duration, mut probe: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let deadline = tokio::time::Instant::now() + within;
    loop {
        if let Some(found) = probe().await {
            return Some(found);
        }
        if tokio::time::Instant::now() >= deadline {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
