//! Any bytes as a configuration: never a panic, and an error whose text is printable.
//!
//! The text before the first NUL is the file; after it comes one flag, `NAME=VALUE`.

#![no_main]

use std::sync::LazyLock;

use gateway::config::{Config, Sources};
use libfuzzer_sys::fuzz_target;
use tempfile::NamedTempFile;

static FILE: LazyLock<NamedTempFile> =
    LazyLock::new(|| NamedTempFile::new().expect("a temporary file can be made"));

fuzz_target!(|bytes: &[u8]| {
    let (file, flag) = match bytes.iter().position(|byte| *byte == 0) {
        Some(place) => (&bytes[..place], &bytes[place + 1..]),
        None => (bytes, &[][..]),
    };
    std::fs::write(FILE.path(), file).expect("it is writable");
    let flag = String::from_utf8_lossy(flag);
    let flags = flag.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let file = Some(FILE.path().to_owned());
    let sources = Sources { file, flags: flags.into_iter().collect(), ..Sources::default() };
    if let Err(error) = Config::load(&sources) {
        assert!(!error.problems().is_empty());
        let text = error.render(false);
        assert!(!text.is_empty() && !text.contains('\u{1b}'), "{text:?}");
    }
});
