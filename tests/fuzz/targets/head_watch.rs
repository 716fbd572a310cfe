//! Any bytes on a connection of HTTP/1: the watch sees every head end where hyper does, and lets through only heads
//! that can be read in one way.
//!
//! The first byte says in pieces of how many bytes the rest comes to the watch; hyper gets one byte at a time, so that
//! its place is known.

#![no_main]

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::io;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use gateway::transport::HeadWatch;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use libfuzzer_sys::fuzz_target;

/// The most that the gateway lets hyper buffer of a head.
const HEAD_BYTES_MAX: usize = 128 * 1024;

/// Hands hyper one byte at a time and discards what it writes.
struct ByteByByte<'b> {
    bytes: &'b [u8],
    place: Rc<Cell<usize>>,
}

impl Read for ByteByByte<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(byte) = self.bytes.get(self.place.get()) {
            buffer.put_slice(&[*byte]);
            self.place.set(self.place.get() + 1);
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for ByteByByte<'_> {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Where hyper saw each head begin and end.
fn heads_by_hyper(bytes: &[u8]) -> Vec<Range<usize>> {
    let (place, begin) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let heads = Rc::new(RefCell::new(Vec::new()));
    let stream = ByteByByte { bytes, place: Rc::clone(&place) };
    let seen = Rc::clone(&heads);
    let service = service_fn(move |request: Request<Incoming>| {
        seen.borrow_mut().push(begin.get()..place.get());
        let (begin, place) = (Rc::clone(&begin), Rc::clone(&place));
        async move {
            let mut content = request.into_body();
            while let Some(Ok(_)) = content.frame().await {}
            begin.set(place.get());
            let mut response = Response::new(Empty::<Bytes>::new());
            *response.status_mut() = StatusCode::NOT_FOUND;
            Ok::<_, Infallible>(response)
        }
    });
    let connection = Builder::new()
        .half_close(true)
        .header_read_timeout(None)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(stream, service);
    let mut connection = pin!(connection);
    let mut context = Context::from_waker(Waker::noop());
    // Each poll that is not the last one passes a byte on, or is of content that has come.
    for _ in 0..4 * bytes.len() + 16 {
        if connection.as_mut().poll(&mut context).is_ready() {
            return heads.take();
        }
    }
    panic!("hyper comes to no end");
}

/// Where the watch saw each head end, and how many heads were clear when it lost the thread.
fn ends_by_watch(bytes: &[u8]) -> (Vec<usize>, Option<u64>) {
    let (mut watch, mut ends) = (HeadWatch::new(), Vec::new());
    let mut was_in_head = false;
    for (place, byte) in bytes.iter().enumerate() {
        let lost = watch.inspect(&[*byte]);
        if was_in_head && !watch.is_in_head() {
            ends.push(place + 1);
        }
        was_in_head = watch.is_in_head();
        if lost.is_some() {
            return (ends, lost);
        }
    }
    (ends, None)
}

/// Whether every parser has to read the same of this head, by the letter of RFC 9112 §3.2 and §6.3.
fn is_clear(head: &[u8]) -> bool {
    let mut lines =
        head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).skip_while(|line| line.is_empty());
    if lines.next().is_none_or(|line| line.contains(&b'#')) {
        return false;
    }
    let (mut lengths, mut codings) = (Vec::new(), Vec::new());
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let (name, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii();
        match name.to_ascii_lowercase().as_slice() {
            b"content-length" => lengths.push(value),
            b"transfer-encoding" => codings.push(value),
            _ => {}
        }
    }
    let is_number = |value: &&[u8]| !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    lengths.len() + codings.len() <= 1
        && lengths.iter().all(is_number)
        && codings.iter().all(|coding| coding.eq_ignore_ascii_case(b"chunked"))
}

fuzz_target!(|input: &[u8]| {
    let Some((&piece, bytes)) = input.split_first() else { return };
    let (ends, lost) = ends_by_watch(bytes);
    let mut watch = HeadWatch::new();
    let in_pieces = bytes.chunks(usize::from(piece).max(1)).find_map(|piece| watch.inspect(piece));
    assert_eq!(in_pieces, lost, "the pieces make a difference");
    let mut watch = HeadWatch::new();
    assert_eq!(watch.inspect(bytes), lost, "the pieces make a difference");

    let served = lost.map_or(usize::MAX, |clear| usize::try_from(clear).expect("it is small"));
    for (number, head) in heads_by_hyper(bytes).into_iter().enumerate().take(served) {
        assert_eq!(ends.get(number), Some(&head.end), "head {number}");
        let head = &bytes[head];
        assert!(is_clear(head), "head {number} can be read in two ways: {}", head.escape_ascii());
    }
});
