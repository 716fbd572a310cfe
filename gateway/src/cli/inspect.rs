//! `check-config` and `config show`.

use std::io::{self, IsTerminal};

use clap::Subcommand;

use super::Form;
use super::exit::WrongConfiguration;
use super::output::{print, print_json};
use crate::clock::{Clock, SystemClock};
use crate::config::{Certificate, Config, Problem, Sources};
use crate::transport::load_certified_key;
use crate::warnings::warnings;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the effective configuration: defaults, files, variables and flags merged
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

/// Prints all problems and warnings at once, on standard output: they are the result of the command.
pub(super) fn check(sources: &Sources, form: Form, color: bool) -> anyhow::Result<()> {
    let (mut problems, mut text, config) = match Config::load(sources) {
        Ok(config) => (Vec::new(), Vec::new(), Some(config)),
        Err(error) => {
            let rendered = error.render(color && io::stdout().is_terminal());
            (error.problems().to_vec(), vec![rendered], error.partial().cloned())
        }
    };
    let certificates = config.as_ref().map(certificates).unwrap_or_default();
    text.extend(certificates.iter().map(|problem| format!("error: {}", problem.message)));
    problems.extend(certificates);
    let warnings = config.map(|config| warnings(&config, sources, SystemClock.now())).unwrap_or_default();
    text.extend(warnings.iter().map(|warning| format!("warning: {warning}")));
    if problems.is_empty() {
        text.push("the configuration is valid".to_owned());
    }
    if form.json {
        let valid = problems.is_empty();
        print_json(&serde_json::json!({ "valid": valid, "problems": problems, "warnings": warnings }))?;
    } else {
        print(&format!("{}\n", text.join("\n\n")))?;
    }
    if problems.is_empty() { Ok(()) } else { Err(WrongConfiguration.into()) }
}

/// The certificates with which a server would not start.
fn certificates(config: &Config) -> Vec<Problem> {
    let is_used = |name: &str| {
        let enabled = config.listeners.values().filter(|listener| listener.enabled);
        enabled.flat_map(|listener| &listener.certificate).any(|used| used == name)
    };
    let has_files = |files: &Certificate| {
        // One without is reported already.
        !files.chain_file.as_os_str().is_empty() && !files.key_file.as_os_str().is_empty()
    };
    let problem = |(name, files): (&String, &Certificate)| {
        let error = load_certified_key(&files.chain_file, &files.key_file).err()?;
        Some(Problem::new(format!("`certificates.{name}` cannot be used: {error}")))
    };
    let certificates = config.certificates.iter();
    certificates.filter(|(name, files)| is_used(name) && has_files(files)).filter_map(problem).collect()
}
