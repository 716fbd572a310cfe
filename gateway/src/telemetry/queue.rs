//! The queue of log lines.
//!
//! Each worker has its own part of the queue, shared only with the writing thread, which takes all lines of a
//! part at once: neither waits for the other, and lines are written many at a time. Lines that do not fit are
//! dropped and counted, so that no request waits for the log.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// How long lines are collected before they are written.
const BATCH_TIME: Duration = Duration::from_millis(10);
/// A part with this many bytes is written at once, while they are in the processor's cache.
const BATCH_BYTES: usize = 64 * 1024;
/// How long the shutdown waits for the last lines to be written.
const LAST_LINES_TIMEOUT: Duration = Duration::from_secs(1);
/// A part returns memory beyond this size.
const PART_BYTES_KEPT: usize = 1024 * 1024;

/// A handle for adding lines.
#[derive(Clone)]
pub(super) struct Queue(Arc<Shared>);

struct Shared {
    parts: Box<[Part]>,
    /// Lines that may wait in one part.
    lines_max: usize,
    dropped: AtomicU64,
    /// The writing thread, and whether it is parked.
    writer: OnceLock<Thread>,
    sleeps: AtomicBool,
    ends: AtomicBool,
}

/// Aligned so that parts share no cache line.
#[derive(Default)]
#[repr(align(128))]
struct Part(Mutex<Lines>);

#[derive(Default)]
struct Lines {
    text: Vec<u8>,
    count: usize,
}

/// The writing thread; when this is dropped, the last lines are written.
pub struct LogWriter {
    queue: Queue,
    ended: Receiver<()>,
}

impl Queue {
    /// Starts writing to `sink`; `lines_max` lines may wait in total, divided among the workers.
    ///
    /// # Errors
    /// Where the thread cannot be started.
    pub(super) fn start(
        lines_max: usize,
        workers: usize,
        sink: impl Write + Send + 'static,
    ) -> io::Result<(Self, LogWriter)> {
        // One more for the other threads.
        let parts: Box<[Part]> = (0..=workers).map(|_| Part::default()).collect();
        let queue = Self(Arc::new(Shared {
            lines_max: (lines_max / parts.len()).max(1),
            parts,
            dropped: AtomicU64::new(0),
            writer: OnceLock::new(),
            sleeps: AtomicBool::new(false),
            ends: AtomicBool::new(false),
        }));
        let (end, ended) = sync_channel(1);
        let shared = Arc::clone(&queue.0);
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            // Nothing else sets it.
            let _ = shared.writer.set(thread::current());
            shared.write(sink);
            // It fails if nothing waits for it any more.
            let _ = end.send(());
        })?;
        Ok((queue.clone(), LogWriter { queue, ended }))
    }

    /// Adds a line; `write` appends it with its line feed.
    pub(super) fn push(&self, write: impl FnOnce(&mut Vec<u8>)) {
        let shared = &*self.0;
        let mut lines = shared.parts[part_number() % shared.parts.len()].lock();
        if lines.count >= shared.lines_max {
            shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        lines.count += 1;
        let before = lines.text.len();
        write(&mut lines.text);
        let is_full = before < BATCH_BYTES && lines.text.len() >= BATCH_BYTES;
        if is_full || (lines.count == 1 && shared.sleeps.swap(false, Ordering::SeqCst)) {
            drop(lines);
            shared.wake();
        }
    }

    /// Lines that were dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

impl Part {
    /// A poisoned lock is used all the same: at worst a line is incomplete.
    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn wake(&self) {
        // Until it is set, the thread has not parked yet.
        if let Some(writer) = self.writer.get() {
            writer.unpark();
        }
    }

    fn write(&self, mut sink: impl Write) {
        let mut text = Vec::new();
        // Whether the last line was written incompletely.
        let mut is_torn = false;
        loop {
            let ends = self.ends.load(Ordering::SeqCst);
            // Set before the parts are checked: a line that arrives in between wakes this thread.
            self.sleeps.store(true, Ordering::SeqCst);
            if self.parts.iter().all(|part| part.lock().count == 0) {
                if ends {
                    return;
                }
                thread::park();
            }
            self.sleeps.store(false, Ordering::SeqCst);
            if !ends {
                thread::park_timeout(BATCH_TIME);
            }
            for part in &self.parts {
                let mut lines = part.lock();
                std::mem::swap(&mut lines.text, &mut text);
                lines.count = 0;
                drop(lines);
                if is_torn && !text.is_empty() {
                    text.insert(0, b'\n');
                }
                let written = write_out(&mut sink, &text);
                let (written, lost) = text.split_at(written);
                if !lost.is_empty() {
                    let lines = memchr::memchr_iter(b'\n', lost).count() as u64;
                    self.dropped.fetch_add(lines, Ordering::Relaxed);
                }
                if let Some(last) = written.last() {
                    is_torn = *last != b'\n';
                }
                text.clear();
                text.shrink_to(PART_BYTES_KEPT);
            }
        }
    }
}

/// Writes as much as possible and returns the number of bytes. It waits for a slow reader; meanwhile the queue fills and
/// counts the lines that it drops.
fn write_out(sink: &mut impl Write, text: &[u8]) -> usize {
    let mut written = 0;
    while written < text.len() {
        match sink.write(&text[written..]) {
            Ok(0) => break,
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::sleep(BATCH_TIME),
            // A full disk or a closed pipe cannot be reported anywhere.
            Err(_) => break,
        }
    }
    // The bytes count as written even if flushing fails.
    let _ = sink.flush();
    written
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.queue.0.ends.store(true, Ordering::SeqCst);
        self.queue.0.wake();
        // On a timeout the last lines are lost.
        let _ = self.ended.recv_timeout(LAST_LINES_TIMEOUT);
    }
}

/// A number for this thread; modulo the number of parts it selects one.
fn part_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    NUMBER.with(|number| *number)
}

/// The writer that tracing gets for one line.
pub(super) struct Line<'q>(&'q Queue);

impl<'q> MakeWriter<'q> for Queue {
    type Writer = Line<'q>;

    fn make_writer(&'q self) -> Line<'q> {
        Line(self)
    }
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.push(|text| text.extend_from_slice(line));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};

    use super::*;

    /// A sink that blocks until it is opened.
    struct Gate {
        open: Receiver<()>,
        written: Sender<Vec<u8>>,
    }

    impl Write for Gate {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            // An error means that it stays open.
            let _ = self.open.recv();
            self.written.send(text.to_vec()).map_err(io::Error::other)?;
            Ok(text.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gate() -> (Gate, Sender<()>, Receiver<Vec<u8>>) {
        let ((opener, open), (written, reader)) = (channel(), channel());
        (Gate { open, written }, opener, reader)
    }

    fn push(queue: &Queue, number: usize) {
        queue.push(|text| text.extend_from_slice(format!("{number}\n").as_bytes()));
    }

    #[test]
    fn lines_are_written_in_order_and_the_last_ones_on_drop() {
        let (gate, opener, reader) = gate();
        drop(opener);
        let (queue, writer) = Queue::start(1_000, 1, gate).unwrap();
        for number in 0..200 {
            push(&queue, number);
            if number % 50 == 0 {
                thread::sleep(2 * BATCH_TIME);
            }
        }
        drop(writer);
        let text: Vec<u8> = reader.try_iter().flatten().collect();
        let expected: String = (0..200).map(|number| format!("{number}\n")).collect();
        assert_eq!(String::from_utf8(text).unwrap(), expected);
        assert_eq!(queue.dropped(), 0);
    }

    #[test]
    fn a_log_that_is_not_read_blocks_nothing_and_lost_lines_are_counted() {
        let (gate, opener, reader) = gate();
        // Three parts with room for ten each; one thread fills one of them.
        let (queue, writer) = Queue::start(30, 2, gate).unwrap();
        push(&queue, 0);
        // The writing thread is blocked with the first line.
        while queue.0.parts.iter().any(|part| part.lock().count > 0) {
            thread::sleep(Duration::from_millis(1));
        }
        for number in 1..=15 {
            push(&queue, number);
        }
        assert_eq!(queue.dropped(), 5);
        drop(opener);
        drop(writer);
        let text: Vec<u8> = reader.try_iter().flatten().collect();
        let expected: String = (0..=10).map(|number| format!("{number}\n")).collect();
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    /// A sink that accepts a few bytes at a time and fails in between.
    struct Flaky {
        failure: io::ErrorKind,
        ready: bool,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Flaky {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            self.ready = !self.ready;
            if !self.ready {
                return Err(self.failure.into());
            }
            let taken = text.len().min(3);
            self.written.lock().unwrap().extend_from_slice(&text[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What such a sink receives of two batches of lines, and how many lines are lost.
    fn written_to_flaky(failure: io::ErrorKind) -> (String, u64) {
        let written = Arc::new(Mutex::new(Vec::new()));
        let sink = Flaky { failure, ready: false, written: Arc::clone(&written) };
        let (queue, writer) = Queue::start(30, 0, sink).unwrap();
        // Lines that were written or dropped.
        let settled = || {
            let written = written.lock().unwrap().iter().filter(|byte| **byte == b'\n').count() as u64;
            written + queue.dropped()
        };
        for (batch, lines) in [("one\ntwo\n", 2), ("3\n4\n", 4)] {
            // At once, so that the writing thread takes both lines.
            queue.push(|text| text.extend_from_slice(batch.as_bytes()));
            let deadline = std::time::Instant::now() + 10 * LAST_LINES_TIMEOUT;
            while settled() < lines && std::time::Instant::now() < deadline {
                thread::sleep(Duration::from_millis(1));
            }
        }
        drop(writer);
        let text = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        (text, queue.dropped())
    }

    #[test]
    fn a_slow_reader_loses_nothing() {
        assert_eq!(written_to_flaky(io::ErrorKind::WouldBlock), ("one\ntwo\n3\n4\n".to_owned(), 0));
    }

    #[test]
    fn lost_lines_are_counted_and_the_next_one_starts_on_a_new_line() {
        let (text, lost) = written_to_flaky(io::ErrorKind::StorageFull);
        assert_eq!((text.as_str(), lost), ("one\n3\n", 3));
    }

    #[test]
    fn the_shutdown_wait_is_bounded() {
        let (gate, _opener, _reader) = gate();
        let (queue, writer) = Queue::start(30, 2, gate).unwrap();
        push(&queue, 0);
        let begin = std::time::Instant::now();
        drop(writer);
        assert!((LAST_LINES_TIMEOUT..10 * LAST_LINES_TIMEOUT).contains(&begin.elapsed()));
    }
}
