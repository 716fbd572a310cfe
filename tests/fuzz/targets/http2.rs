//! Any bytes as a whole HTTP/2 connection with the API behind it: nothing panics, the connection and all that it began
//! end soon after its client has, and what the client can be sent is bounded by what it has sent.
//!
//! The first byte says in pieces of how many bytes the rest comes, and whether the client reads. The clock does not run:
//! it jumps to the next timer.

#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use gateway::clock::SystemClock;
use gateway::config::{Config, Sources};
use gateway::http::Frontend;
use gateway::pipeline::Pipeline;
use gateway::sites::{Documents, Site, Sites};
use gateway::store::StoredKey;
use gateway::transport::{Close, Listener, Peer, Settings, serve_http2};
use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use permissions::{
    ApiAccessPermission, Brand, Environment, KeyId, KeyRecord, KeySecret, PartnerId, ServerSecret,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use versions::{Catalog, RELEASES};

/// What the client's side of the connection holds of each direction, as a socket would.
const SOCKET_BYTES: usize = 16 * 1024;
/// A response beyond the client's own bytes: settings and the end.
const GREETING_BYTES: usize = 1024;
/// The largest page is within this; each request is 10 bytes at least.
const RESPONSE_BYTES_MAX: usize = 1024 * 1024;

static PIPELINE: LazyLock<&'static Pipeline> = LazyLock::new(|| {
    let config = Config::load(&Sources::default()).expect("the defaults are valid");
    let secret = ServerSecret::new([7; 32]);
    let brand = Brand::try_from("pgw".to_owned()).expect("it is a brand");
    // The key of the seeds.
    let text = KeySecret::generate(&brand, Environment::Staging, || 7);
    let id = uuid::Uuid::from_u128(1);
    let record = KeyRecord::new(
        KeyId(id),
        PartnerId(id),
        Environment::Staging,
        ApiAccessPermission::all(),
        text.hint(),
        Timestamp::UNIX_EPOCH,
    );
    let hash = secret.hash(text.expose().as_bytes());
    let frontend = Box::leak(Box::new(Frontend::new(Box::new(SystemClock), 1, false)));
    let catalog = Catalog::new(RELEASES).expect("the releases agree");
    let pipeline = Box::leak(Box::new(Pipeline::new(&config, Vec::new(), catalog, secret, frontend)));
    pipeline.keys().apply(&StoredKey { record, hash }, Timestamp::UNIX_EPOCH);
    pipeline
});

/// The API, and the documentation on a host of its own.
static SITES: LazyLock<Sites> = LazyLock::new(|| {
    let documents = Box::leak(Box::new(Documents::new(*PIPELINE)));
    let by_host = vec![
        (vec!["localhost".to_owned()], Site::Api(*PIPELINE)),
        (vec!["docs".to_owned()], Site::Documents(documents)),
    ];
    Sites::new(by_host).expect("there are two sites")
});

fn settings() -> Arc<Settings> {
    let config = Config::load(&Sources::default()).expect("the defaults are valid");
    Arc::new(Settings {
        connections_max: 1,
        connections_per_address_max: 1,
        streams_per_connection_max: config.limits.streams_per_connection_max,
        quic_handshakes_max: 1,
        quic_retry_threshold: 1,
        handshake: config.timeouts.handshake,
        header: config.timeouts.header,
        idle: config.timeouts.idle,
        write: config.timeouts.write,
        goodbye: config.timeouts.goodbye,
    })
}

static SETTINGS: LazyLock<Arc<Settings>> = LazyLock::new(settings);

fn peer() -> Arc<Peer> {
    Peer::alone([192, 0, 2, 1].into(), Listener::plain())
}

/// How much the server sent.
async fn converse(bytes: &[u8], piece: usize, reads: bool) -> usize {
    let (client, server) = tokio::io::duplex(SOCKET_BYTES);
    let (mut incoming, mut outgoing) = tokio::io::split(client);
    let peer = peer();
    let serving = serve_http2(server, Bytes::new(), &peer, &*SITES, &SETTINGS);
    let writing = async {
        for piece in bytes.chunks(piece) {
            // A server that has ended takes no more.
            if outgoing.write_all(piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        // As the sweep does for a connection that has been idle for long, or silent at the end.
        tokio::time::sleep(SETTINGS.idle).await;
        peer.close(Close::Drain);
        tokio::time::sleep(SETTINGS.goodbye).await;
        peer.close(Close::Now);
        let _ = outgoing.shutdown().await;
    };
    let reading = async {
        let (mut received, mut buffer) = (0, [0; 4096]);
        while reads {
            match incoming.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(length) => received += length,
            }
        }
        received
    };
    let ((), (), received) = tokio::join!(serving, writing, reading);
    received
}

fuzz_target!(|input: &[u8]| {
    let Some((&choice, bytes)) = input.split_first() else { return };
    let (piece, reads) = (usize::from(choice & 0x7f) * 16 + 1, choice & 0x80 == 0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime can be made");
    runtime.block_on(async {
        let limits = SETTINGS.idle + SETTINGS.goodbye + Duration::from_secs(60);
        let conversation = tokio::time::timeout(limits, converse(bytes, piece, reads)).await;
        let received = conversation.expect("it ends with its client");
        let requests_max = bytes.len() / 10 + 1;
        assert!(received <= GREETING_BYTES + bytes.len() + requests_max * RESPONSE_BYTES_MAX);
        // What still waits for a timer of its own ends with that.
        tokio::time::sleep(Duration::from_secs(120)).await;
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        assert_eq!(tasks, 0, "requests outlive their connection");
        assert_eq!(PIPELINE.in_flight(), [0, 0], "places are given back");
    });
});
