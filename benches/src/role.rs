//! What `compare` and `measure` are when they start themselves.

use crate::{floor, load, pipeline};

/// A role of the process, hidden from the help: one `cargo run` builds all that is needed.
#[derive(clap::Subcommand)]
pub enum Role {
    /// The floor.
    #[command(hide = true)]
    Floor(floor::Options),
    /// Requests.
    #[command(hide = true)]
    Load(load::Options),
    /// Connections opened one after the other.
    #[command(hide = true)]
    Connect(load::Connect),
    /// Connections held open.
    #[command(hide = true)]
    Hold(load::Hold),
    /// A streamed response.
    #[command(hide = true)]
    Download(load::Download),
    /// The path of a request alone, for callgrind.
    #[command(hide = true)]
    Exercise(pipeline::Exercise),
}

impl Role {
    /// Does what the role has to do; figures are printed as JSON.
    pub fn run(&self) -> anyhow::Result<()> {
        let figures = match self {
            Self::Floor(options) => return floor::run(options),
            Self::Hold(options) => return options.run(),
            Self::Exercise(options) => return options.run(),
            Self::Load(options) => serde_json::to_string(&load::measure(options)?),
            Self::Download(options) => serde_json::to_string(&options.measure()?),
            Self::Connect(options) => serde_json::to_string(&options.measure()?),
        };
        println!("{}", figures?);
        Ok(())
    }
}
