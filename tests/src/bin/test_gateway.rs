//! The gateway with the endpoints of `tests::endpoints` beside its own; all else is the product's.

use std::process::ExitCode;

/// As in the product, so that its memory is the product's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    gateway::cli::run(std::env::args_os(), |serve| {
        let releases = tests::endpoints::releases();
        let ready_file = serve.ready_file.as_deref();
        gateway::app::serve(&releases, &serve.sources, serve.config, &serve.folder, ready_file, serve.color)
    })
}
