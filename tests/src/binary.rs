//! Finds the gateway's binary, building it once per test process if it is not up to date.
//!
//! `cargo test` builds the binaries of a package for that package's own tests only, so this asks cargo
//! for it; the call is a no-op when nothing changed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::tools::repository;

/// The path of the `partner-gateway` binary of this build's profile.
///
/// # Panics
/// When it cannot be built.
pub fn gateway_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        // …/target/PROFILE/deps/integration-HASH: the profile's folder is two above.
        let test = std::env::current_exe().expect("the running test has a path");
        let profile_folder = test.ancestors().nth(2).expect("a test lies in target/PROFILE/deps").to_owned();
        let target_folder = profile_folder.parent().expect("a profile lies in the target folder").to_owned();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build
            .current_dir(repository())
            .args(["build", "--quiet", "--package", "gateway", "--bin", "partner-gateway", "--target-dir"])
            .arg(target_folder);
        if profile_folder.ends_with("release") {
            build.arg("--release");
        }
        let output = build.output().expect("cargo can be started");
        assert!(
            output.status.success(),
            "building the gateway failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        profile_folder.join("partner-gateway")
    })
}

/// The path of `test-gateway`, which cargo has built for this test: it is a program of the same package.
///
/// # Panics
/// When it is not there.
pub fn test_gateway_binary() -> PathBuf {
    let test = std::env::current_exe().expect("the running test has a path");
    let program = test.ancestors().nth(2).expect("a test lies in target/PROFILE/deps").join("test-gateway");
    assert!(program.exists(), "{} is missing; `cargo build -p tests --bins` makes it", program.display());
    program
}
