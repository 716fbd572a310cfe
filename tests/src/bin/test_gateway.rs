//! The gateway with the additional endpoints of `tests::endpoints`; everything else is the product's.

use std::process::ExitCode;

/// The product's allocator, so that memory figures are comparable.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    gateway::cli::run(std::env::args_os(), |serve| {
        let releases = tests::endpoints::releases();
        let ready_file = serve.ready_file.as_deref();
        gateway::app::serve(&releases, &serve.sources, serve.config, &serve.folder, ready_file, serve.color)
    })
}
