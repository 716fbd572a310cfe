//! Heads that are refused, and with what.

use http::{HeaderValue, Request};

use super::*;
use crate::config::{Config, Sources};
use crate::transport::Listener;

fn check(request: http::request::Builder, hosts: &[&str]) -> Result<(), ErrorCode> {
    let limits = Config::load(&Sources::default()).unwrap().limits;
    let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
    let peer = Peer::alone([127, 0, 0, 1].into(), Listener { hosts, ..Listener::plain() });
    let (head, ()) = request.body(()).unwrap().into_parts();
    check_head(&head, &limits, &peer).map(drop).map_err(|error| error.code)
}

fn http1(host: &str) -> http::request::Builder {
    Request::get("/x").header("host", host)
}

#[test]
fn a_host_is_a_name_or_an_address_with_an_optional_port() {
    for host in ["a", "a.example", "127.0.0.1:8080", "[::1]", "[::1]:8443", "a_b", "A.Example:1"] {
        assert_eq!(check(http1(host), &[]), Ok(()), "{host}");
    }
    for host in ["", "a/b", "a b", "u@a", "a:b", "a:99999", "[::1", "a?b", "a#b", "a\\b", "é"] {
        let bytes = HeaderValue::from_bytes(host.as_bytes()).unwrap();
        let request = Request::get("/x").header("host", bytes);
        assert_eq!(check(request, &[]), Err(ErrorCode::MalformedRequest), "{host}");
    }
}

#[test]
fn the_host_is_said_once_and_in_one_way() {
    let malformed = Err(ErrorCode::MalformedRequest);
    assert_eq!(check(Request::get("/x"), &[]), malformed);
    assert_eq!(check(http1("a").header("host", "a"), &[]), malformed);
    assert_eq!(check(Request::connect("a:443").header("host", "a"), &[]), malformed);
    assert_eq!(check(Request::get("/x").version(Version::HTTP_10), &[]), Ok(()));
    for version in [Version::HTTP_2, Version::HTTP_3] {
        let get = |target: &str| Request::get(target).version(version);
        assert_eq!(check(get("https://a/x"), &[]), Ok(()));
        assert_eq!(check(get("https://a/x").header("host", "A"), &[]), Ok(()));
        assert_eq!(check(get("https://a/x").header("host", "b"), &[]), malformed);
        assert_eq!(check(get("https://u@a/x"), &[]), malformed);
        assert_eq!(check(get("/x"), &[]), malformed);
        assert_eq!(check(get("/x").header("host", "a"), &[]), Ok(()));
    }
}

#[test]
fn fields_of_the_connection_are_for_http1_only() {
    for version in [Version::HTTP_2, Version::HTTP_3] {
        let with = |name, value| Request::get("https://a/x").version(version).header(name, value);
        for (name, value) in [
            ("connection", "close"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("te", "gzip"),
            ("te", "trailers, gzip"),
        ] {
            assert_eq!(check(with(name, value), &[]), Err(ErrorCode::MalformedRequest), "{name}: {value}");
            let http1 = http1("a").header(name, value);
            assert_eq!(check(http1, &[]), Ok(()), "{name}: {value}");
        }
        assert_eq!(check(with("te", "Trailers"), &[]), Ok(()));
        let twice = with("te", "trailers").header("te", "deflate");
        assert_eq!(check(twice, &[]), Err(ErrorCode::MalformedRequest));
    }
}

#[test]
fn another_host_is_misdirected() {
    assert_eq!(check(http1("api.example:8443"), &["api.example"]), Ok(()));
    assert_eq!(check(http1("API.example"), &["api.example"]), Ok(()));
    assert_eq!(check(http1("b.example"), &["api.example"]), Err(ErrorCode::MisdirectedRequest));
    let none = || Request::get("/x").version(Version::HTTP_10);
    assert_eq!(check(none(), &["api.example"]), Err(ErrorCode::MisdirectedRequest));
    assert_eq!(check(none().header("host", "api.example"), &["api.example"]), Ok(()));
}

#[test]
fn an_absolute_target_is_for_the_host_that_it_names() {
    let hosts = ["api.example"];
    let absolute = |target: &str, host: &str| check(Request::get(target).header("host", host), &hosts);
    assert_eq!(absolute("http://api.example/x", "api.example"), Ok(()));
    assert_eq!(absolute("https://API.example:8443/x", "b.example"), Ok(()));
    assert_eq!(absolute("http://b.example/x", "api.example"), Err(ErrorCode::MisdirectedRequest));
    assert_eq!(absolute("http://u@api.example/x", "api.example"), Err(ErrorCode::MalformedRequest));
    assert_eq!(check(Request::get("http://api.example/x"), &hosts), Err(ErrorCode::MalformedRequest));
}

#[test]
fn a_field_that_is_sent_twice_is_not_taken_for_one() {
    let found = |request: http::request::Builder| {
        let (head, ()) = request.body(()).unwrap().into_parts();
        let fields = Fields::find(&head.headers);
        [fields.authorization, fields.accept, fields.early_data].map(|field| match field {
            Field::Missing => (0, None),
            Field::Once(value) => (1, Some(value.clone())),
            Field::Repeated(value) => (2, Some(value.clone())),
        })
    };
    let sent = |values: &[&str]| {
        let fields = values
            .iter()
            .flat_map(|value| ["authorization", "accept", "early-data", "x"].map(|name| (name, *value)));
        found(fields.fold(http1("a"), |request, (name, value)| request.header(name, value)))
    };
    let first = || Some(HeaderValue::from_static("1"));
    assert_eq!(sent(&[]), [(0, None), (0, None), (0, None)]);
    assert_eq!(sent(&["1"]), [(1, first()), (1, first()), (1, first())]);
    assert_eq!(sent(&["1", "2", "3"]), [(2, first()), (2, first()), (2, first())]);
}

#[test]
fn what_is_too_large_is_refused_by_its_own_status() {
    let long = format!("/{}", "x".repeat(8 * 1024));
    assert_eq!(check(Request::get(long).header("host", "a"), &[]), Err(ErrorCode::UriTooLong));
    let large = http1("a").header("x", "y".repeat(16 * 1024));
    assert_eq!(check(large, &[]), Err(ErrorCode::HeadersTooLarge));
    let many = (0..100).fold(http1("a"), |request, _| request.header("x", "y"));
    assert_eq!(check(many, &[]), Err(ErrorCode::HeadersTooLarge));
    let length = |value: &str| http1("a").header("content-length", value);
    assert_eq!(check(length("1048576"), &[]), Ok(()));
    assert_eq!(check(length("1048577"), &[]), Err(ErrorCode::ContentTooLarge));
    assert_eq!(check(length("99999999999999999999999"), &[]), Err(ErrorCode::MalformedRequest));
    for value in ["-1", "+1", "", "1, 1", "1 ", "0x1"] {
        assert_eq!(check(length(value), &[]), Err(ErrorCode::MalformedRequest), "{value:?}");
    }
    for second in ["1", "2"] {
        let twice = length("1").header("content-length", second);
        assert_eq!(check(twice, &[]), Err(ErrorCode::MalformedRequest), "{second}");
    }
    let both = length("1").header("transfer-encoding", "chunked");
    assert_eq!(check(both, &[]), Err(ErrorCode::MalformedRequest));
    let coded = |value: &str| http1("a").header("transfer-encoding", value);
    assert_eq!(check(coded("Chunked"), &[]), Ok(()));
    for value in ["gzip, chunked", "chunked, chunked", "identity", "xchunked"] {
        assert_eq!(check(coded(value), &[]), Err(ErrorCode::MalformedRequest), "{value}");
    }
    let twice = coded("chunked").header("transfer-encoding", "chunked");
    assert_eq!(check(twice, &[]), Err(ErrorCode::MalformedRequest));
}
