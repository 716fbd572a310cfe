//! `check-config` and `config show`: what is configured, and what is wrong with it.

use std::io::{self, IsTerminal};

use clap::Subcommand;

use super::Form;
use super::exit::WrongConfiguration;
use super::output::{print, print_json};
use crate::config::{Config, Sources};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the configuration as it is in force: defaults, files, variables and flags together
    #[command(after_help = "\
Examples:
  partner-gateway config show
  partner-gateway config show --config gateway.toml --json")]
    Show(Form),
}

pub(super) fn run(command: &Command, config: &Config) -> anyhow::Result<()> {
    let Command::Show(form) = command;
    if form.json { print_json(config) } else { print(&toml::to_string(config)?) }
}

/// Tells all that is wrong. It is what was asked for, so it goes to standard output.
pub(super) fn check(sources: &Sources, form: Form, color: bool) -> anyhow::Result<()> {
    match Config::load(sources) {
        Ok(_) if form.json => print_json(&serde_json::json!({ "valid": true, "problems": [] })),
        Ok(_) => print("the configuration is valid\n"),
        Err(error) => {
            if form.json {
                print_json(&serde_json::json!({ "valid": false, "problems": error.problems() }))?;
            } else {
                print(&format!("{}\n", error.render(color && io::stdout().is_terminal())))?;
            }
            Err(WrongConfiguration.into())
        }
    }
}
