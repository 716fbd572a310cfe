//! The binary: an allocator, and the command line.

use std::process::ExitCode;

/// Many small, short-lived allocations on many threads are what it is good at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    gateway::cli::run(std::env::args_os(), |_serve| {
        anyhow::bail!("this build cannot serve yet; keys, partners, backup and configuration work")
    })
}
