//! `check-config` and `config show`: what is configured, and what is wrong with it.

use std::io::{self, IsTerminal};

use clap::Subcommand;

use super::Form;
use super::exit::WrongConfiguration;
use super::output::{print, print_json};
use crate::config::{Certificate, Config, Problem, Sources};
use crate::transport::load_certified_key;

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

/// Tells all that is wrong, in one go. It is what was asked for, so it goes to standard output.
pub(super) fn check(sources: &Sources, form: Form, color: bool) -> anyhow::Result<()> {
    let (mut problems, mut told, read) = match Config::load(sources) {
        Ok(config) => (Vec::new(), Vec::new(), Some(config)),
        Err(error) => {
            let told = error.render(color && io::stdout().is_terminal());
            (error.problems().to_vec(), vec![told], error.what_could_be_read().cloned())
        }
    };
    let certificates = read.as_ref().map(certificates).unwrap_or_default();
    told.extend(certificates.iter().map(|problem| format!("error: {}", problem.message)));
    problems.extend(certificates);
    if form.json {
        print_json(&serde_json::json!({ "valid": problems.is_empty(), "problems": problems }))?;
    } else if problems.is_empty() {
        print("the configuration is valid\n")?;
    } else {
        print(&format!("{}\n", told.join("\n\n")))?;
    }
    if problems.is_empty() { Ok(()) } else { Err(WrongConfiguration.into()) }
}

/// The certificates that a server would not start with.
fn certificates(config: &Config) -> Vec<Problem> {
    let used = |name: &str| {
        config.listeners.values().any(|listener| listener.enabled && listener.certificate == name)
    };
    let named = |files: &Certificate| {
        // One that names no files is told of already.
        !files.chain_file.as_os_str().is_empty() && !files.key_file.as_os_str().is_empty()
    };
    let problem = |(name, files): (&String, &Certificate)| {
        let error = load_certified_key(&files.chain_file, &files.key_file).err()?;
        Some(Problem::new(format!("`certificates.{name}` cannot be used: {error}")))
    };
    let certificates = config.certificates.iter();
    certificates.filter(|(name, files)| used(name) && named(files)).filter_map(problem).collect()
}
