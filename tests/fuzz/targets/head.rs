//! Any bytes as the head of a request over HTTP/3: it is refused or valid, and has no effect on the next
//! head.

#![no_main]

use gateway::transport::read_head;
use http::Version;
use libfuzzer_sys::fuzz_target;

const MAX: usize = 4096;
/// `GET https://h/a` with `x: y`.
const GOOD: &[u8] = &[0, 0, 0xd1, 0xd7, 0x50, 1, b'h', 0x51, 2, b'/', b'a', 0x21, b'x', 1, b'y'];

fuzz_target!(|section: &[u8]| {
    let read = read_head(section, MAX);
    let good = read_head(GOOD, MAX).expect("it is as it should be");
    assert_eq!(good.uri(), "https://h/a");
    assert_eq!(good.headers().len(), 1);
    assert_eq!(good.headers()["x"], "y");
    assert_eq!(format!("{read:?}"), format!("{:?}", read_head(section, MAX)));
    let Ok(request) = read else { return };
    assert_eq!(request.version(), Version::HTTP_3);
    assert!(request.uri().authority().is_some_and(|authority| !authority.as_str().is_empty()));
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    assert!(target.is_empty() || target == "*" || target.starts_with('/'), "{target}");
    assert!(!target.contains('#'));
    let fields = request.headers();
    let bytes: usize = fields.iter().map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
    assert!(bytes <= MAX, "{bytes}");
    assert!(fields.keys().all(|name| !name.as_str().bytes().any(|byte| byte.is_ascii_uppercase())));
});
