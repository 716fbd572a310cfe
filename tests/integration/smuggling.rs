//! Request smuggling over HTTP/1.1: a request whose end is ambiguous is refused, wherever on the connection
//! it comes, and never gets two responses.

use std::time::Duration;

use tests::{KeySpec, PATIENCE, Protocol, Raw, TestGateway, answers};

use crate::contract::{CONNECTION, ECHO, PING};
use crate::hostile_h1::{head, still_serves, strict};

#[tokio::test]
async fn contradicting_lengths_never_get_two_responses() {
    let (gateway, key) = strict().await;
    let inner = head(&key, &format!("GET {CONNECTION} HTTP/1.1"), "");
    let chunked = "transfer-encoding: chunked\r\n";
    let json = "content-type: application/json\r\n";
    let outer = |fields: &str, body: &str| {
        head(&key, &format!("POST {ECHO} HTTP/1.1"), &format!("{json}{fields}")) + body
    };
    let zero = format!("0\r\n\r\n{inner}");
    let chunk = format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len());
    let cases: Vec<(&str, String)> = vec![
        ("CL.TE", outer(&format!("content-length: {}\r\n{chunked}", zero.len()), &zero)),
        ("TE.CL", outer(&format!("{chunked}content-length: 4\r\n"), &chunk)),
        ("two lengths", outer("content-length: 0\r\ncontent-length: 5\r\n", &inner)),
        ("two lengths, other order", outer("content-length: 5\r\ncontent-length: 0\r\n", &inner)),
        ("a list of lengths", outer("content-length: 0, 5\r\n", &inner)),
        ("a signed length", outer("content-length: +0\r\n", &inner)),
        ("a negative length", outer("content-length: -1\r\n", &inner)),
        ("a hexadecimal length", outer("content-length: 0x0\r\n", &inner)),
        ("an empty length", outer("content-length: \r\n", &inner)),
        ("a length with a blank", outer("content-length: 0 0\r\n", &inner)),
        ("a length beyond 64 bits", outer("content-length: 18446744073709551616\r\n", &inner)),
        ("xchunked", outer("transfer-encoding: xchunked\r\n", &zero)),
        ("chunked twice", outer(&format!("{chunked}{chunked}"), &zero)),
        ("chunked, identity", outer("transfer-encoding: chunked, identity\r\n", &zero)),
        ("identity", outer("transfer-encoding: identity\r\n", &zero)),
        ("gzip, chunked", outer("transfer-encoding: gzip, chunked\r\n", &zero)),
        ("a vertical tab", outer("transfer-encoding: \x0bchunked\r\n", &zero)),
        ("a blank before the colon", outer("transfer-encoding : chunked\r\n", &zero)),
        ("a folded coding", outer("transfer-encoding:\r\n chunked\r\n", &zero)),
        ("quoted", outer("transfer-encoding: \"chunked\"\r\n", &zero)),
        ("NUL", outer("transfer-encoding: chunked\0\r\n", &zero)),
        (
            "HTTP/1.0 and chunked",
            head(&key, &format!("POST {ECHO} HTTP/1.0"), &format!("{json}{chunked}")) + &zero,
        ),
        ("a hexadecimal mark", outer(chunked, &format!("0x1\r\na\r\n{zero}"))),
        ("a negative chunk", outer(chunked, &format!("-1\r\na\r\n{zero}"))),
        ("an overflowing chunk", outer(chunked, &format!("10000000000000000\r\na\r\n{zero}"))),
        ("no chunk size", outer(chunked, &format!("\r\na\r\n{zero}"))),
        ("a chunk that is longer than declared", outer(chunked, &format!("1\r\nabc\r\n{zero}"))),
        ("a bare CR in a chunk extension", outer(chunked, &format!("1;a\rb\r\na\r\n{zero}"))),
    ];
    let mut served = Vec::new();
    for (what, request) in cases {
        let statuses: Vec<_> =
            gateway.exchange(request.as_bytes()).await.iter().map(|answer| answer.status).collect();
        if !matches!(statuses[..], [] | [400 | 415 | 501]) {
            served.push((what, statuses));
        }
    }
    assert!(served.is_empty(), "{served:?}");
    still_serves(&gateway, &key, "all of them").await;
}

#[tokio::test]
async fn whatever_could_hide_a_request_gets_one_400_and_a_close() {
    let (gateway, key) = strict().await;
    let get = format!("GET {PING} HTTP/1.1");
    let behind = head(&key, &format!("GET {CONNECTION} HTTP/1.1"), "");
    let chunked = "content-type: application/json\r\ntransfer-encoding: chunked\r\n";
    let field = |field: &str| head(&key, &get, field);
    let post = format!("POST {ECHO} HTTP/1.1");
    let content = |content: &str| head(&key, &post, chunked) + content;
    let length =
        |field: &str| head(&key, &post, &format!("content-type: application/json\r\n{field}")) + "{}";
    let line = |line: &str| head(&key, line, "");
    let bare = |line_end: &str| field("").replace("\r\n", line_end);
    let cases: Vec<(&str, String)> = vec![
        ("0.CL: a blank before the colon", length("content-length : 2\r\n")),
        ("0.CL: a tab before the colon", length("content-length\t: 2\r\n")),
        ("0.CL: a vertical tab before the length", length("content-length: \x0b2\r\n")),
        ("0.CL: a NUL in the name", length("content-length\0: 2\r\n")),
        ("0.CL: a folded length", length("content-length:\r\n 2\r\n")),
        ("equal lengths", length("content-length: 2\r\ncontent-length: 2\r\n")),
        ("equal lengths in other letters", length("Content-Length: 2\r\nCONTENT-LENGTH: 2\r\n")),
        ("equal lengths in a list", length("content-length: 2, 2\r\n")),
        ("differing lengths", length("content-length: 2\r\ncontent-length: 3\r\n")),
        ("a length and a coding", length(&format!("content-length: 2\r\n{chunked}"))),
        ("a coding and a length", length(&format!("{chunked}content-length: 2\r\n"))),
        ("a coding and an empty length", field(&format!("{chunked}content-length:\r\n"))),
        ("a bare CR behind the coding", field("transfer-encoding: chunked\rx: y\r\n")),
        ("a bare CR before the coding", field("x: y\rtransfer-encoding: chunked\r\n")),
        ("a bare LF and a blank before the coding", field("x: y\n transfer-encoding: chunked\r\n")),
        ("an empty coding", field("transfer-encoding:\r\n")),
        ("a coding and a comma", field("transfer-encoding: chunked,\r\n")),
        ("a comma and a coding", field("transfer-encoding: , chunked\r\n")),
        ("a coding with a parameter", field("transfer-encoding: chunked;a=b\r\n")),
        ("a coding that is not ASCII", field("transfer-encoding: chunked\u{e9}\r\n")),
        ("an underscore for the dash", field("transfer_encoding : chunked\r\n")),
        ("a coding over HTTP/1.0", head(&key, &format!("GET {PING} HTTP/1.0"), chunked) + "0\r\n\r\n"),
        (
            "a coding over HTTP/1.0 that is to be kept",
            head(&key, &format!("GET {PING} HTTP/1.0"), &format!("connection: keep-alive\r\n{chunked}")),
        ),
        ("TERM.EXT: a bare LF behind the size", content("2\n{}\r\n0\r\n\r\n")),
        ("EXT.TERM: a bare LF in an extension", content("2;a\nb\r\n{}\r\n0\r\n\r\n")),
        ("a bare LF behind an extension", content("2;a\n{}\r\n0\r\n\r\n")),
        ("a bare CR behind the size", content("2\r{}\r\n0\r\n\r\n")),
        ("a bare CR in an extension", content("2;a\rb\r\n{}\r\n0\r\n\r\n")),
        ("a blank before the size", content(" 2\r\n{}\r\n0\r\n\r\n")),
        ("a sign before the size", content("+2\r\n{}\r\n0\r\n\r\n")),
        ("a minus before the size", content("-2\r\n{}\r\n0\r\n\r\n")),
        ("a hexadecimal mark", content("0x2\r\n{}\r\n0\r\n\r\n")),
        ("an underscore in the size", content("0_2\r\n{}\r\n0\r\n\r\n")),
        ("a size beyond 64 bits", content("10000000000000002\r\n{}\r\n0\r\n\r\n")),
        ("no size", content("\r\n{}\r\n0\r\n\r\n")),
        ("an extension without a size", content(";a\r\n{}\r\n0\r\n\r\n")),
        ("a chunk that is longer than declared", content("1\r\n{}\r\n0\r\n\r\n")),
        ("a chunk that is shorter than declared", content("3\r\n{}\r\n0\r\n\r\n")),
        ("a chunk that ends in a bare LF", content("2\r\n{}\n0\r\n\r\n")),
        ("a trailer that is no field", content("2\r\n{}\r\n0\r\n: x\r\n\r\n")),
        ("a bare CR in a trailer", content("2\r\n{}\r\n0\r\nx: a\rb\r\n\r\n")),
        ("a fragment", line(&format!("GET {PING}#x HTTP/1.1"))),
        ("a tunnel", line("CONNECT localhost:443 HTTP/1.1")),
        ("HTTP/0.9", format!("GET {PING}\r\n")),
        ("HTTP/1.2", line(&format!("GET {PING} HTTP/1.2"))),
        ("HTTP/1", line(&format!("GET {PING} HTTP/1"))),
        ("a carriage return ends each line", bare("\r")),
        ("two hosts", field("host: localhost\r\n")),
    ];
    let mut wrong = Vec::new();
    for (what, request) in cases {
        for request in [request.clone() + &behind, behind.clone() + &request + &behind] {
            let first = usize::from(request.starts_with(&behind));
            let answers = gateway.exchange(request.as_bytes()).await;
            let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
            if statuses != [200, 400][1 - first..] {
                wrong.push((what, first, statuses));
            } else if answers[first].field("connection") != Some("close") {
                wrong.push((what, first, vec![]));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // RFC 9112 §2.2 allows a bare LF for a line's end: a server that accepts it reads one request.
    let statuses: Vec<_> = gateway
        .exchange((bare("\n") + &behind.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n")).as_bytes())
        .await
        .iter()
        .map(|answer| answer.status)
        .collect();
    assert!(statuses == [200, 200] || statuses == [400], "{statuses:?}");
    still_serves(&gateway, &key, "all of them").await;
}

#[tokio::test]
async fn a_response_to_head_has_no_body_before_the_next_response() {
    let (gateway, key) = strict().await;
    for path in [PING, "/2026-02-01/nothing.json"] {
        let pair = head(&key, &format!("HEAD {path} HTTP/1.1"), "")
            + &head(&key, &format!("GET {path} HTTP/1.1"), "connection: close\r\n");
        let mut raw = Raw::connect(gateway.address(Protocol::H1)).await;
        assert!(raw.write(pair.as_bytes()).await);
        let bytes = raw.read_to_end(PATIENCE).await;
        let text = String::from_utf8(bytes).expect("all of it is text");
        let (first, rest) = text.split_once("\r\n\r\n").expect("the first head ends");
        let last = answers(rest.as_bytes());
        let [last] = &last[..] else { panic!("{path}: {last:?}") };
        assert!(first.contains(&format!("HTTP/1.1 {} ", last.status)), "{first}");
        assert!(first.to_ascii_lowercase().contains("content-length: "), "{first}");
        assert!(last.complete && !last.body.is_empty(), "{path}: {last:?}");
    }
}

/// Sends `parts`, each after the one before has been read, and reads until the end.
async fn in_parts(gateway: &TestGateway, parts: &[&[u8]]) -> Vec<u16> {
    let mut raw = Raw::connect(gateway.address(Protocol::H1)).await;
    for part in parts {
        if !raw.write(part).await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    answers(&raw.read_to_end(PATIENCE).await).iter().map(|answer| answer.status).collect()
}

#[tokio::test]
async fn a_contradiction_is_refused_wherever_on_the_connection_it_comes() {
    let gateway = TestGateway::start_with_test_endpoints("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let get = format!("GET {PING} HTTP/1.1");
    let post = format!("POST {ECHO} HTTP/1.1");
    let json = "content-type: application/json\r\n";
    let chunked = format!("{json}transfer-encoding: chunked\r\n");
    let before = [
        ("a request", head(&key, &get, "")),
        (
            "a request with content",
            head(&key, &post, &format!("{json}content-length: 12\r\n")) + r#"{"text":"a"}"#,
        ),
        ("chunked content", head(&key, &post, &chunked) + "c\r\n{\"text\":\"a\"}\r\n0\r\n\r\n"),
        (
            "chunked content with extensions and trailers",
            head(&key, &post, &chunked) + "0c;a=\"b\"\r\n{\"text\":\"a\"}\r\n0;c\r\nx-a: b\r\nx-c: d\r\n\r\n",
        ),
        ("an empty chunked content", head(&key, &get, &chunked) + "0\r\n\r\n"),
    ];
    let contradictions = [
        ("CL.TE", head(&key, &get, &format!("{chunked}content-length: 4\r\n")) + "0\r\n\r\n"),
        ("TE.CL", head(&key, &get, &format!("content-length: 4\r\n{chunked}")) + "0\r\n\r\n"),
        ("the same length twice", head(&key, &get, "content-length: 0\r\nContent-Length: 0\r\n")),
        ("a fragment", head(&key, &format!("GET {PING}#x HTTP/1.1"), "")),
    ];
    let behind = head(&key, &get, "");
    for (place, before) in &before {
        for (what, contradiction) in &contradictions {
            let all = format!("{before}{before}{contradiction}{behind}");
            assert_eq!(in_parts(&gateway, &[all.as_bytes()]).await, [200, 200, 400], "{what} behind {place}");
            let first = before.len() * 2;
            let cuts = [first - 1, first, first + 7, first + contradiction.len() - 9];
            for cut in cuts {
                let (one, other) = all.as_bytes().split_at(cut);
                let statuses = in_parts(&gateway, &[one, other]).await;
                let context = format!("{what} behind {place}, cut at {cut} of {all:?}");
                if *place == "an empty chunked content" {
                    // If the content of a GET has not arrived yet, the response is the connection's last.
                    assert!([200, 200, 400].starts_with(&statuses), "{statuses:?}: {context}");
                } else {
                    assert_eq!(statuses, [200, 200, 400], "{context}");
                }
            }
        }
    }
    // Byte by byte once, so that each is a separate read.
    let all = format!("{}{}{behind}", before[3].1, contradictions[0].1);
    let bytes: Vec<&[u8]> = all.as_bytes().chunks(1).collect();
    assert_eq!(in_parts(&gateway, &bytes).await, [200, 400]);
    still_serves(&gateway, &key, "all of them").await;
}

#[tokio::test]
async fn content_of_a_get_is_never_read_as_the_next_request() {
    let (gateway, key) = strict().await;
    let inner = head(&key, &format!("GET {CONNECTION} HTTP/1.1"), "");
    let fields = format!("content-type: application/json\r\ncontent-length: {}\r\n", inner.len());
    for path in [PING, "/2026-02-01/nothing.json"] {
        let request = head(&key, &format!("GET {path} HTTP/1.1"), &fields) + &inner;
        let answers = gateway.exchange(request.as_bytes()).await;
        assert_eq!(answers.len(), 1, "{path}: {answers:?}");
        let stranger = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{fields}\r\n{inner}");
        let answers = gateway.exchange(stranger.as_bytes()).await;
        assert_eq!(answers.len(), 1, "{path} of a stranger: {answers:?}");
        assert_eq!(answers[0].status, 401, "{path}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let (gateway, key) = strict().await;
    let paths = [PING, CONNECTION, "/2026-02-01/nothing.json"];
    let mut request = String::new();
    for round in 0..30 {
        request += &head(&key, &format!("GET {} HTTP/1.1", paths[round % 3]), "");
    }
    let answers = gateway.exchange(request.as_bytes()).await;
    assert_eq!(answers.len(), 30);
    for (round, answer) in answers.iter().enumerate() {
        let expected = [r#""RRT""#, r#""apiVersion""#, r#""requestId""#][round % 3];
        assert!(answer.text().contains(expected), "answer {round}: {answer:?}");
    }
}

#[tokio::test]
async fn a_request_to_upgrade_is_answered_as_if_it_had_not_asked() {
    let (gateway, key) = strict().await;
    for upgrade in ["websocket", "h2c", "TLS/1.0, HTTP/1.1"] {
        let fields = format!(
            "connection: upgrade, http2-settings, close\r\nupgrade: {upgrade}\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"
        );
        let inner = head(&key, &format!("GET {CONNECTION} HTTP/1.1"), "");
        let request = head(&key, &format!("GET {PING} HTTP/1.1"), &fields) + &inner;
        let answers = gateway.exchange(request.as_bytes()).await;
        assert_eq!(answers.len(), 1, "{upgrade}: {answers:?}");
        assert!([200, 400].contains(&answers[0].status), "{upgrade}: {answers:?}");
    }
}
