//! Tests of valid and malformed heads, and a comparison with `h3`.

use proptest::prelude::*;

use super::super::qpack::tests::write_literal_coded;
use super::super::qpack::{write_indexed, write_named, write_prefix};
use super::*;

const MAX: usize = 1000;
const GET: (&str, &str) = (":method", "GET");
const HTTPS: (&str, &str) = (":scheme", "https");
const AUTHORITY: (&str, &str) = (":authority", "localhost:8443");
const PATH: (&str, &str) = (":path", "/a.json?b");
const ACCEPT: (&str, &str) = ("accept", "*/*");
const GOOD: [(&str, &str); 5] = [GET, HTTPS, AUTHORITY, PATH, ACCEPT];

/// A section of literals, Huffman-coded or not.
fn section(lines: &[(&str, &str)], is_huffman: bool) -> BytesMut {
    let mut section = BytesMut::new();
    write_prefix(&mut section);
    for (name, value) in lines {
        write_literal_coded(&mut section, name.as_bytes(), value.as_bytes(), is_huffman);
    }
    section
}

fn read(lines: &[(&str, &str)]) -> Result<Request<()>, HeadError> {
    let plain = read_head(&section(lines, false), MAX);
    let coded = read_head(&section(lines, true), MAX);
    assert_eq!(format!("{plain:?}"), format!("{coded:?}"));
    plain
}

#[test]
fn a_head_becomes_a_request() {
    let request =
        read(&[&GOOD[..], &[("cookie", "a=1"), ("x-own", "ä"), ("cookie", "b=2")]].concat()).unwrap();
    assert_eq!(request.method(), Method::GET);
    assert_eq!(request.uri(), "https://localhost:8443/a.json?b");
    assert_eq!(request.version(), Version::HTTP_3);
    let fields: Vec<_> =
        request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    let expected = [("accept", "*/*"), ("cookie", "a=1"), ("cookie", "b=2"), ("x-own", "ä")];
    assert_eq!(fields, expected.map(|(name, value)| (name, value.as_bytes())));
}

#[test]
fn names_and_values_of_the_static_table_are_read() {
    let mut section = BytesMut::new();
    write_prefix(&mut section);
    // GET, https, `accept: */*`; then names with other values.
    for index in [17, 23] {
        write_indexed(&mut section, index);
    }
    write_named(&mut section, 0, b"localhost");
    write_named(&mut section, 1, b"/b");
    write_indexed(&mut section, 29);
    write_named(&mut section, 95, b"test");
    write_indexed(&mut section, 86);
    let request = read_head(&section, MAX).unwrap();
    assert_eq!(request.uri(), "https://localhost/b");
    let fields: Vec<_> =
        request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(fields, [("accept", "*/*"), ("user-agent", "test"), ("early-data", "1")]);
}

#[test]
fn a_head_that_is_malformed_is_refused() {
    let long = format!("/{}", "a".repeat(70_000));
    let twice = |line| [&[line][..], &GOOD].concat();
    let besides = |line| [&GOOD[..], &[line]].concat();
    let but = |place: usize, line: Option<(&'static str, &'static str)>| {
        [&GOOD[..place], line.as_slice(), &GOOD[place + 1..]].concat()
    };
    for lines in [
        vec![],
        but(0, None),
        but(1, None),
        but(2, None),
        but(3, None),
        twice(GET),
        twice(HTTPS),
        twice(AUTHORITY),
        twice(PATH),
        twice((":path", "/")),
        // A pseudo-header after a field, one of responses, and an unknown one.
        besides(PATH),
        twice((":status", "200")),
        twice((":protocol", "websocket")),
        twice((":", "")),
        but(0, Some((":method", "GET /x"))),
        but(0, Some((":method", ""))),
        but(1, Some((":scheme", "ht tp"))),
        but(2, Some((":authority", ""))),
        but(2, Some((":authority", "local/host"))),
        but(3, Some((":path", ""))),
        but(3, Some((":path", "a.json"))),
        but(3, Some((":path", "?b"))),
        but(3, Some((":path", "/a#b"))),
        but(3, Some((":path", "/a#"))),
        but(3, Some((":path", "#"))),
        but(3, Some((":path", "/a\r\n"))),
        besides(("", "x")),
        besides(("X-Upper", "x")),
        besides(("x y", "x")),
        besides(("x", "a\r\nb")),
        besides(("x", "a\0b")),
        vec![(":method", "CONNECT"), PATH, AUTHORITY],
    ] {
        assert_eq!(read(&lines).err(), Some(HeadError::Malformed), "{lines:?}");
    }
    let lines = [GET, HTTPS, AUTHORITY, (":path", &long)];
    assert_eq!(read_head(&section(&lines, false), 100_000).err(), Some(HeadError::TargetTooLong));
}

#[test]
fn host_may_replace_the_authority() {
    let request = read(&[GET, HTTPS, PATH, ("host", "example.org")]).unwrap();
    assert_eq!(request.uri().authority().unwrap(), "example.org");
    assert_eq!(read(&[GET, HTTPS, PATH, ("host", "a b")]).err(), Some(HeadError::Malformed));
    let request = read(&[(":method", "CONNECT"), AUTHORITY]).unwrap();
    assert_eq!(request.uri(), "localhost:8443");
    let request = read(&[(":method", "OPTIONS"), HTTPS, AUTHORITY, (":path", "*")]).unwrap();
    assert_eq!(request.uri().path(), "*");
}

#[test]
fn the_decoded_size_is_bounded() {
    let size: usize = GOOD.iter().map(|(name, value)| name.len() + value.len() + 32).sum();
    for is_huffman in [false, true] {
        let section = section(&GOOD, is_huffman);
        assert!(read_head(&section, size).is_ok());
        assert_eq!(read_head(&section, size - 1).err(), Some(HeadError::TooLarge));
    }
    // One byte each on the wire, but large when decoded: `age: 0` of the static table.
    let many = [&section(&GOOD, false)[..], &[0xc2; 60_000]].concat();
    assert_eq!(read_head(&many, 128 * 1024).err(), Some(HeadError::TooLarge));
}

#[test]
fn trailers_have_no_pseudo_headers() {
    assert_eq!(check_trailers(&section(&[ACCEPT], true), MAX), Ok(()));
    assert_eq!(check_trailers(&section(&[], false), MAX), Ok(()));
    assert_eq!(check_trailers(&section(&[ACCEPT, GET], true), MAX), Err(HeadError::Malformed));
    assert_eq!(check_trailers(&section(&[("A", "")], true), MAX), Err(HeadError::Malformed));
    assert_eq!(check_trailers(&section(&[ACCEPT], true), 10), Err(HeadError::TooLarge));
    assert_eq!(check_trailers(&[], MAX), Err(HeadError::Undecodable));
}

#[test]
fn a_head_has_no_effect_on_the_next() {
    let mut request = read(&[&GOOD[..], &[("x-secret", "1")]].concat()).unwrap();
    recycle(std::mem::take(request.headers_mut()));
    assert_eq!(read(&GOOD).unwrap().headers().len(), 1);
    // Nor does one that cannot be decoded after its first bytes: zeros, and padding of other bits than ones.
    let undecodable = [0, 0, 0x51, 0x86, 0, 0, 0, 0, 0, 0];
    assert_eq!(read_head(&undecodable, MAX).err(), Some(HeadError::Undecodable));
    assert_eq!(read(&GOOD).unwrap().uri().path(), "/a.json");
    assert!(read(&[("x-secret", "2"), PATH]).is_err());
    assert_eq!(read(&GOOD).unwrap().headers().len(), 1);
}

fn lines() -> impl Strategy<Value = Vec<(Vec<u8>, Vec<u8>, bool)>> {
    let name = prop_oneof![
        Just(":method"),
        Just(":scheme"),
        Just(":authority"),
        Just(":path"),
        Just(":status"),
        Just("host"),
        Just("cookie"),
        Just("x-a"),
        Just("X-A"),
        Just("content-length"),
        Just("")
    ];
    let value = prop_oneof![
        Just("GET"),
        Just("CONNECT"),
        Just("https"),
        Just("http"),
        Just("localhost"),
        Just("a@b:1"),
        Just("/"),
        Just("*"),
        Just("/a?b"),
        Just("/a#b"),
        Just("200"),
        Just("\0"),
        Just("ä"),
        Just("")
    ];
    let lines = [GET, HTTPS, AUTHORITY, PATH, ACCEPT].map(Just);
    let line = prop_oneof![
        4 => proptest::sample::select(lines.map(|line| line.0).to_vec()),
        1 => (name, value),
    ];
    let line = (line, any::<bool>()).prop_map(|((name, value), coded)| (name.into(), value.into(), coded));
    proptest::collection::vec(line, 0..9)
}

proptest! {
    #[test]
    fn heads_are_decoded_as_h3_decodes_them(
        lines in lines(),
        end in prop_oneof![Just(vec![]), any::<Vec<u8>>()],
    ) {
        let mut section = BytesMut::new();
        write_prefix(&mut section);
        for (name, value, is_huffman) in lines {
            write_literal_coded(&mut section, &name, &value, is_huffman);
        }
        section.extend_from_slice(&end);
        reference::compare(&section.freeze(), MAX)?;
    }

    #[test]
    fn any_bytes_are_decoded_as_h3_decodes_them(end: Vec<u8>) {
        let section = [&[0, 0][..], &end].concat();
        reference::compare(&section.into(), MAX)?;
    }
}

#[test]
fn h3_decodes_a_valid_head() {
    let request = reference::read(&section(&GOOD, true).freeze(), MAX).unwrap();
    assert_eq!(request.uri(), "https://localhost:8443/a.json?b");
}
