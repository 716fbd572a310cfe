//! Any bytes on a request stream of HTTP/3: the result is the same however they are split, and contains only
//! bytes that were sent.

#![no_main]

use bytes::Bytes;
use gateway::transport::{Frame, FrameError, Frames};
use libfuzzer_sys::fuzz_target;

const MAX: u64 = 1000;

/// The sections, the content between them, and how it ended.
fn read(bytes: &[u8], piece: usize) -> (Vec<Bytes>, Vec<u8>, Result<(), FrameError>) {
    let mut frames = Frames::new(MAX);
    let (mut sections, mut content) = (Vec::new(), Vec::new());
    for piece in bytes.chunks(piece) {
        frames.push(Bytes::copy_from_slice(piece));
        loop {
            match frames.read() {
                Ok(Some(Frame::Headers(section))) => sections.push(section),
                Ok(Some(Frame::Data(data))) => content.extend_from_slice(&data),
                Ok(None) => break,
                Err(error) => return (sections, content, Err(error)),
            }
        }
    }
    (sections, content, frames.end())
}

fuzz_target!(|input: &[u8]| {
    let Some((&piece, bytes)) = input.split_first() else { return };
    let result = read(bytes, usize::MAX);
    assert_eq!(result, read(bytes, usize::from(piece).max(1)));
    let (sections, content, _) = result;
    assert!(sections.len() <= 2, "a head and trailers");
    assert!(sections.iter().all(|section| section.len() as u64 <= MAX));
    let kept: usize = sections.iter().map(Bytes::len).sum();
    assert!(kept + content.len() <= bytes.len());
});
