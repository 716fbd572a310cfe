//! Tests that every head of a connection is detected, wherever it starts and however it arrives, compared
//! with hyper.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const AMBIGUOUS: [&str; 12] = [
    "GET /x HTTP/1.1\r\nContent-Length: 4\r\ncontent-length: 4\r\n\r\n",
    "\r\n\r\nGET /x HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
    "GET /x HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
    "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 0\r\n\r\nbody",
    "GET /x HTTP/1.1\ncontent-length: 4\nTRANSFER-ENCODING: x\n\n",
    "GET /x#y HTTP/1.1\r\nhost: a\r\n\r\n",
    "GET /x HTTP/1.1\r\ncontent-length: 4, 4\r\n\r\n",
    "GET /x HTTP/1.1\r\ncontent-length: +4\r\n\r\n",
    "GET /x HTTP/1.1\r\ncontent-length:\r\n\r\n",
    "GET /x HTTP/1.1\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
    "GET /x HTTP/1.1\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n",
    "GET /x HTTP/1.1\r\ncontent-length:                                                          4\r\n\r\n",
];
/// Complete messages, after which the next request begins.
const CLEAR: [&str; 9] = [
    "GET /x HTTP/1.1\r\nhost: a\r\n\r\n",
    "\r\n\nGET /x HTTP/1.1\nhost: a\n\n",
    "GET / HTTP/1.1\r\nx: #\r\nx: content-length: 1\r\ncontent-length-x: 1\r\n\r\n",
    "GET /x HTTP/1.1\r\nhost: a\r\ncontent-length: 29\r\n\r\ntransfer-encoding: chunked\r\n#",
    "GET /x HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
    "POST /x HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
    "POST /x HTTP/1.1\r\ntransfer-encoding: chunked \r\n\r\n1\r\n#\r\n00A ;x=\"y\"\r\n0123\r\n\r\n\r\n\r\n0\r\n\r\n",
    "POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n1;a=0123456789012345678901234567890123456789012345678901234567890123456789\r\na\r\n0\r\n\r\n",
    "POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\ncontent-length: 1\r\nx: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n\r\n",
];
/// Chunked contents after which it is ambiguous where the next request begins.
const UNCLEAR: [&str; 11] = [
    "1\na\r\n0\r\n\r\n",
    "1;x\na\r\n0\r\n\r\n",
    "1\r\nab\r\n0\r\n\r\n",
    "1\r\na\n0\r\n\r\n",
    "0x1\r\na\r\n0\r\n\r\n",
    "-1\r\na\r\n0\r\n\r\n",
    "\r\n0\r\n\r\n",
    " 1\r\na\r\n0\r\n\r\n",
    "10000000000000000\r\na\r\n0\r\n\r\n",
    "0\r\n\n",
    "0\r\nx: y\n\r\n",
];

/// The watch's result for these bytes in pieces of this size.
fn verdict(bytes: &[u8], piece: usize) -> Option<u64> {
    let mut watch = HeadWatch::new();
    let verdicts: Vec<u64> = bytes.chunks(piece).filter_map(|piece| watch.inspect(piece)).collect();
    assert!(verdicts.len() <= 1, "it is said once");
    verdicts.first().copied()
}

#[test]
fn ambiguous_heads_are_detected_after_anything_and_however_they_arrive() {
    for before in ["".to_owned(), CLEAR[0].repeat(3)].into_iter().chain(CLEAR.map(str::to_owned)) {
        let heads = u64::try_from(before.matches(" HTTP/1.1").count()).unwrap();
        for ambiguous in AMBIGUOUS {
            let all = format!("{before}{ambiguous}{}", CLEAR[0]);
            for piece in 1..=all.len() {
                assert_eq!(verdict(all.as_bytes(), piece), Some(heads), "{all:?} in pieces of {piece}");
            }
        }
        for clear in CLEAR {
            let all = format!("{before}{clear}");
            for piece in 1..=all.len() {
                assert_eq!(verdict(all.as_bytes(), piece), None, "{all:?} in pieces of {piece}");
            }
        }
    }
}

#[test]
fn nothing_is_unambiguous_after_an_ambiguous_chunk() {
    for content in UNCLEAR {
        let head = "POST /x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n";
        let all = format!("{head}{content}{}", CLEAR[0]);
        for piece in 1..=all.len() {
            assert_eq!(verdict(all.as_bytes(), piece), Some(1), "{content:?} in pieces of {piece}");
        }
    }
}

/// A watch that has read this request twice, alone.
fn watch_of(request: &str) -> HeadWatch {
    let mut watch = HeadWatch::new();
    for heads in 1..=2 {
        assert_eq!(watch.inspect(request.as_bytes()), None);
        assert_eq!(watch.clear_heads, heads, "{request:?}");
    }
    watch
}

#[test]
fn an_identical_request_is_recognized_and_no_other() {
    for request in CLEAR {
        for ambiguous in AMBIGUOUS {
            let mut watch = watch_of(request);
            assert_eq!(watch.inspect(ambiguous.as_bytes()), Some(2), "{request:?}, {ambiguous:?}");
        }
        // The same bytes as content are not a request.
        let mut watch = watch_of(request);
        let declares = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", request.len());
        for (bytes, heads) in [(&*declares, 3), (request, 3), (request, 4), (AMBIGUOUS[0], 4)] {
            let lost = watch.inspect(bytes.as_bytes());
            assert_eq!(
                (lost, watch.clear_heads),
                ((bytes == AMBIGUOUS[0]).then_some(4), heads),
                "{request:?}"
            );
        }
        // Nor are they one after the start of another request.
        let mut watch = watch_of(request);
        let begun = "GET /x HTTP/1.1\r\ncontent-length: 1\r\n";
        assert_eq!(watch.inspect(begun.as_bytes()), None);
        let expected = verdict(format!("{begun}{request}").as_bytes(), 1).map(|heads| heads + 2);
        assert_eq!(watch.inspect(request.as_bytes()), expected, "{request:?}");
    }
}

#[test]
fn a_partial_head_is_distinguished_from_a_pause() {
    let mut watch = HeadWatch::new();
    for (bytes, in_head) in [("\r\n", false), ("G", true), ("ET / HTTP/1.1\r\n", true), ("\r\n", false)] {
        assert_eq!(watch.inspect(bytes.as_bytes()), None);
        assert_eq!(watch.is_in_head(), in_head, "{bytes:?}");
    }
}

/// The heads that the watch considers unambiguous, as text, until it loses track.
fn clear_heads(bytes: &[u8]) -> Vec<String> {
    let mut watch = HeadWatch::new();
    let (mut heads, mut head) = (Vec::new(), Vec::new());
    for byte in bytes {
        let before = watch.clear_heads;
        if watch.inspect(&[*byte]).is_some() {
            break;
        }
        if watch.is_in_head() {
            head.push(*byte);
        } else if watch.clear_heads > before {
            heads.push(String::from_utf8_lossy(&std::mem::take(&mut head)).into_owned());
        }
    }
    heads
}

/// The starts of the requests that hyper parses from these bytes.
fn requests(bytes: &[u8], reads_content: bool) -> Vec<String> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let service = service_fn(|request: Request<Incoming>| {
        seen.lock().unwrap().push(format!("{} {} ", request.method(), request.uri()));
        async move {
            if reads_content {
                let _ = request.into_body().collect().await;
            }
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (mut client, server) = tokio::io::duplex(1 << 20);
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let serving = http1::Builder::new().half_close(true).serve_connection(TokioIo::new(server), service);
        // Whatever it returns, only the requests matter.
        let _ = serving.await;
        let _ = client.read_to_end(&mut Vec::new()).await;
    });
    Arc::try_unwrap(seen).unwrap().into_inner().unwrap()
}

/// Messages and lines of messages, whose combinations are often valid; `N` becomes a number of two digits.
fn pieces() -> impl Strategy<Value = Vec<&'static str>> {
    let message = prop::sample::select(vec![
        "GET /N HTTP/1.1\r\nhost: a\r\n\r\n",
        "POST /N HTTP/1.1\r\nhost: a\r\ncontent-length: 39\r\n\r\nGET /N HTTP/1.1\r\ncontent-length: 5\r\n\r\n",
        "POST /N HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n22\r\nGET /N HTTP/1.1\r\nhost: abcdef\r\n\r\n\r\n0\r\n\r\n",
        "POST /N HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: y\r\n\r\n",
    ]);
    let line = prop::sample::select(vec![
        "GET /N HTTP/1.1\r\n",
        "GET /N#x HTTP/1.1\r\n",
        "POST /N HTTP/1.0\n",
        "host: a\r\n",
        "content-length: 0\r\n",
        "content-length: 5\r\n",
        "Content-Length: 05\n",
        "transfer-encoding: chunked\r\n",
        "transfer-encoding: x, chunked\r\n",
        "connection: keep-alive\r\n",
        "\r\n",
        "\r\n",
        "\n",
        "\r",
        "5\r\nabcde\r\n",
        "5;x=\"y\"\r\nabcde\r\n",
        "5 \t;\r\nab\r\nc\r\n",
        "5\nabcde\n",
        "005\r\nabcde\r\n",
        "5;\rx\r\nabcde\r\n",
        "0\r\n\r\n",
        "0\r\n",
        "0\n\n",
        "x: y\r\n",
        "x: y\n",
        "x: y\rz\r\n",
        " z\r\n",
    ]);
    prop::collection::vec(prop_oneof![message, line], 1..14)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn every_request_that_hyper_parses_from_unambiguous_bytes_is_detected(
        pieces in pieces(),
        reads_content in any::<bool>(),
    ) {
        let mut text = String::new();
        for (number, part) in pieces.concat().split_inclusive('N').enumerate() {
            text.push_str(&part.replace('N', &format!("{number:02}")));
        }
        let heads = clear_heads(text.as_bytes());
        let lost = verdict(text.as_bytes(), text.len()).is_some();
        for (place, request) in requests(text.as_bytes(), reads_content).iter().enumerate() {
            match heads.get(place) {
                Some(head) => {
                    prop_assert!(head.starts_with(request), "{request} is not {head:?} of {text:?}");
                }
                // From here on requests are refused, and the first of them closes the connection.
                None => prop_assert!(lost, "{request} was not seen in {text:?}"),
            }
        }
    }

    #[test]
    fn any_bytes_in_any_pieces_give_the_same_verdict(
        text in "[a-f0-9TC:#;\\-\r\n ]{0,200}",
        messages in pieces(),
        piece in 1_usize..40,
    ) {
        let text = messages.concat() + &text;
        prop_assert_eq!(verdict(text.as_bytes(), piece), verdict(text.as_bytes(), text.len().max(1)));
    }
}
