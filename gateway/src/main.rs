//! The binary: an allocator, and the command line.

use std::process::ExitCode;

/// Many small, short-lived allocations on many threads are what it is good at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    gateway::cli::run(std::env::args_os(), |serve| {
        let ready_file = serve.ready_file.as_deref();
        gateway::app::serve(
            versions::RELEASES,
            &serve.sources,
            serve.config,
            &serve.folder,
            ready_file,
            serve.color,
        )
    })
}
