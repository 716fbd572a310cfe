//! The command line: one binary that serves, provisions, inspects and backs up.
//!
//! Data goes to standard output and everything else to standard error, so that a script can read the one and a person
//! sees the other. A secret is never an argument: arguments are in the shell's history and in the list of processes.
//! This module parses arguments, prints results and sets exit codes; the work is done by the modules that it calls.

mod applied;
mod arguments;
mod audit;
mod backup;
mod change_report;
mod exit;
mod health;
mod hints;
mod inspect;
mod invite;
mod key;
mod key_view;
mod links;
mod local;
mod login;
mod member_view;
mod operator;
mod org;
mod output;
mod request;
mod request_view;
mod role;
mod token;
mod user;
mod versions;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ColorChoice, CommandFactory, FromArgMatches, Parser, Subcommand};

use exit::WrongUsage;
use output::print;

use crate::config::{Config, Profile, SYSTEM_FILE, Sources};
use crate::folder::DataFolder;
use crate::store::{Store, StoreError};

/// After this many missed heartbeats a server counts as gone.
const HEARTBEATS_MISSED_MAX: u32 = 3;

/// A gateway between partners and an API: keys, permissions, limits and dated versions over HTTP/1.1, HTTP/2 and HTTP/3.
#[derive(Debug, Parser)]
#[command(name = "partner-gateway", version, after_help = EXAMPLES, max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "\
Examples:
  partner-gateway                                   serve with the defaults
  partner-gateway serve --config gateway.toml       serve with your own configuration
  partner-gateway serve --profile local             serve one program on this machine
  partner-gateway key create --partner acme --environment staging --permission ping:read
  partner-gateway key list
  partner-gateway key revoke 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b

Exit codes: 0 success, 1 failure, 2 usage error, 69 unavailable, 77 not permitted, 78 invalid configuration.";

/// Options of every command.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every command")]
struct Global {
    /// The data folder: store, server secret, local certificates
    /// [default: $XDG_STATE_HOME/partner-gateway or ~/.local/state/partner-gateway]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The configuration file [default: /etc/partner-gateway/gateway.toml where it exists]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Start from the options of a profile: `local` is the API of one program on its user's machine
    #[arg(long, global = true, value_name = "NAME", value_parser = arguments::profile())]
    profile: Option<Profile>,
    /// Set an option; overrides files and variables: `--set limits.key_rate=50/s`
    #[arg(long, global = true, value_name = "NAME=VALUE", value_parser = arguments::assignment)]
    set: Vec<(String, String)>,
    /// Disable colours (as the variable NO_COLOR does)
    #[arg(long, global = true)]
    no_color: bool,
}

/// The form of the output.
#[derive(Clone, Copy, Debug, Args)]
struct Form {
    /// Print JSON on standard output; errors are JSON on standard error
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT; the default without a command
    #[command(after_help = "\
Examples:
  partner-gateway serve
  partner-gateway serve --data-dir ./data --ready-file ./ready.json
  partner-gateway serve --set log.level=debug")]
    Serve {
        /// Once ready, write the bound addresses to this file as JSON
        #[arg(long, value_name = "FILE")]
        ready_file: Option<PathBuf>,
    },
    /// Create, list, show, update, rotate and revoke keys
    #[command(subcommand)]
    Key(key::Command),
    /// Create, list, grant, suspend and remove organizations, and manage their members
    #[command(subcommand, visible_alias = "partner")]
    Org(org::Command),
    /// List and create users
    #[command(subcommand)]
    User(user::Command),
    /// List, create, change and remove the roles of organizations
    #[command(subcommand)]
    Role(role::Command),
    /// List and revoke the app tokens of users
    #[command(subcommand)]
    Token(token::Command),
    /// Read and verify the audit log
    #[command(subcommand)]
    Audit(audit::Command),
    /// Switch the local profile's API, change its port, print and rotate its token
    #[command(subcommand)]
    Local(local::Command),
    /// Review access requests: list, approve, ask back, reject
    #[command(subcommand)]
    Request(request::Command),
    /// List the versions of the API, the changes between them, and their OpenAPI documents
    #[command(subcommand)]
    Versions(versions::Command),
    /// Sign this machine in at a portal, as you, and keep the token in a private file
    #[command(after_help = "\
Prints an address and a code to standard error, waits until you have approved this machine there, and
keeps the token in $XDG_CONFIG_HOME/partner-gateway/credentials.json or ~/.config/...

Examples:
  partner-gateway login --portal https://portal.example.com
  partner-gateway login --portal https://localhost:8543 --ca-file ca.pem --device laptop --json")]
    Login(login::Login),
    /// Revoke this machine's token and remove it
    #[command(after_help = "\
Examples:
  partner-gateway logout
  partner-gateway logout --portal https://portal.example.com --json")]
    Logout(login::Logout),
    /// Check the configuration and print all errors and warnings
    #[command(after_help = "\
Examples:
  partner-gateway check-config --config gateway.toml
  partner-gateway check-config --json")]
    CheckConfig(Form),
    /// Print the configuration
    #[command(subcommand)]
    Config(inspect::Command),
    /// Copy store, server secret and local certificates to a new folder; the server may be running
    #[command(after_help = "\
The folder must be new or empty. To restore it, use it as the data folder.

Examples:
  partner-gateway backup /var/backups/partner-gateway/2026-02-01
  partner-gateway serve --data-dir /var/backups/partner-gateway/2026-02-01")]
    Backup(backup::Arguments),
    /// Check whether the running server is ready
    #[command(after_help = "\
Exits with 0 if every server on this data folder is ready, and with 69 if one is not or does not
respond in time, or if none is running.

Examples:
  partner-gateway health
  partner-gateway health --timeout 500ms --json")]
    Health(health::Arguments),
    /// Print a completion script for a shell
    #[command(after_help = "\
Examples:
  partner-gateway completions bash > /etc/bash_completion.d/partner-gateway
  partner-gateway completions zsh > \"${fpath[1]}/_partner-gateway\"")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page of a command, or write all pages to a folder
    #[command(after_help = "\
Examples:
  partner-gateway man | man -l -
  partner-gateway man key create | man -l -
  partner-gateway man --write /usr/share/man/man1")]
    Man {
        /// The command; without one, the page of partner-gateway
        #[arg(value_name = "COMMAND")]
        command: Vec<String>,
        /// Write the pages of all commands to this folder
        #[arg(long, value_name = "DIR", conflicts_with = "command")]
        write: Option<PathBuf>,
    },
}

/// What `serve` gets from the command line.
#[derive(Debug)]
pub struct Serve {
    /// The data folder.
    pub folder: DataFolder,
    /// The configuration.
    pub config: Config,
    /// Its sources, to read it again on a reload.
    pub sources: Sources,
    /// The file to write the bound addresses to, once ready.
    pub ready_file: Option<PathBuf>,
    /// Whether a terminal gets colours.
    pub color: bool,
}

/// What most commands need.
struct Session {
    folder: DataFolder,
    config: Config,
}

/// Runs the command of the arguments; `serve` is called for `serve`.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    serve: impl FnOnce(Serve) -> anyhow::Result<()>,
) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let has = |flag: &str| arguments.iter().take_while(|word| *word != "--").any(|word| word == flag);
    // Needed before parsing, to print an error of the parser.
    let color = !has("--no-color") && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let json = has("--json");
    let command = Cli::command().color(if color { ColorChoice::Auto } else { ColorChoice::Never });
    let parsed =
        command.clone().try_get_matches_from(&arguments).and_then(|matches| Cli::from_arg_matches(&matches));
    let result = match parsed {
        Ok(cli) => dispatch(cli, color, serve),
        Err(mut error) => {
            hints::add(&mut error, &command, &arguments);
            Err(error.into())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report(&error, json, color && io::stderr().is_terminal()),
    }
}

fn dispatch(cli: Cli, color: bool, serve: impl FnOnce(Serve) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let Cli { global, command } = cli;
    let command = command.unwrap_or(Command::Serve { ready_file: None });
    if !matches!(command, Command::Serve { .. }) {
        warn_on_standard_error(color);
    }
    match command {
        Command::Serve { ready_file } => {
            let sources = global.sources();
            let Session { folder, config } = global.session()?;
            serve(Serve { folder, config, sources, ready_file, color })
        }
        Command::Key(command) => key::run(command, &global.session()?),
        Command::Org(command) => org::run(command, &global.session()?),
        Command::User(command) => user::run(command, &global.session()?),
        Command::Role(command) => role::run(command, &global.session()?),
        Command::Token(command) => token::run(command, &global.session()?),
        Command::Audit(command) => audit::run(command, &global.session()?),
        Command::Local(command) => local::run(command, &global.session()?),
        Command::Request(command) => request::run(command, &global.session()?),
        Command::Versions(command) => versions::run(command, &global.sources()),
        Command::Login(arguments) => login::login(&arguments),
        Command::Logout(arguments) => login::logout(&arguments),
        Command::CheckConfig(form) => inspect::check(&global.sources(), form, color),
        Command::Config(command) => inspect::run(&command, &Config::load(&global.sources())?),
        Command::Backup(arguments) => backup::run(&arguments, &global.session()?),
        Command::Health(arguments) => health::run(&arguments, &global.session()?),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "partner-gateway", &mut script);
            Ok(io::stdout().write_all(&script)?)
        }
        Command::Man { write: Some(folder), .. } => {
            std::fs::create_dir_all(&folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
            clap_mangen::generate_to(Cli::command(), &folder)
                .with_context(|| format!("cannot write to {}", folder.display()))?;
            print(&format!("the manual pages are in {}\n", folder.display()))
        }
        Command::Man { command, write: None } => manual_page(&command),
    }
}

/// Prints the manual page of a command, such as `key create`.
fn manual_page(path: &[String]) -> anyhow::Result<()> {
    let mut root = Cli::command().disable_help_subcommand(true);
    // Sets the full names of subcommands, as the files of all pages have them.
    root.build();
    let command = path.iter().try_fold(&root, |command, name| command.find_subcommand(name));
    let Some(command) = command else {
        let path = path.join(" ");
        let advice = "`partner-gateway --help` lists the commands, and `partner-gateway man --write DIR` writes all pages to a folder";
        return Err(WrongUsage(format!("there is no command `{path}`; {advice}")).into());
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    Ok(io::stdout().write_all(&page)?)
}

/// Prints warnings (a row that cannot be read, rights that were too wide) for the person who runs the command. The
/// server has its own log.
fn warn_on_standard_error(color: bool) {
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::WARN)
        .with_writer(io::stderr)
        .with_ansi(color && io::stderr().is_terminal())
        .without_time()
        .with_target(false)
        .finish();
    // It is set already only where a test runs two commands in one process.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

impl Global {
    fn sources(&self) -> Sources {
        Sources {
            profile: self.profile,
            file: self.config.clone(),
            environment: Sources::process_environment(),
            flags: self.set.clone(),
            system: SYSTEM_FILE.into(),
        }
    }

    fn session(&self) -> anyhow::Result<Session> {
        let config = Config::load(&self.sources())?;
        let folder = DataFolder::locate(self.data_dir.clone())?;
        Ok(Session { folder, config })
    }
}

impl Session {
    fn busy_timeout(&self) -> Duration {
        self.config.store.busy_timeout
    }

    /// Opens a store that exists, to change it: for that no secret is needed.
    fn open_to_write(&self) -> Result<Store, StoreError> {
        Store::require(&self.folder)?;
        Store::open(&self.folder, self.busy_timeout())
    }

    /// The age of a heartbeat from which its server counts as gone.
    fn stale_after(&self) -> Duration {
        self.config.store.heartbeat_interval.saturating_mul(HEARTBEATS_MISSED_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_documented_command_is_accepted() {
        let id = "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b";
        for line in [
            "pg",
            "pg --data-dir d --config f",
            "pg serve --ready-file r --data-dir d --config f --no-color",
            "pg key create --partner acme --environment staging --permission ping:read --permission connection:read --json",
            "pg key create --partner a --environment production --permission ping:read,connection:read --expires 2027-01-01T00:00:00Z --not-before 2026-01-01T00:00:00+02:00 --allow 192.0.2.0/24 --allow 2001:db8::/32 --rate 50/s+100 --name n --wait 0s",
            "pg key list --partner acme --environment staging --json --data-dir d",
            "pg key update {id} --expires never --allow any --rate default --not-before none --json",
            "pg partner create acme --json",
            "pg partner list --json",
            "pg partner rename acme Acme --json --wait 5s",
            "pg partner suspend acme --json",
            "pg partner resume acme --json",
            "pg partner remove acme --revoke-keys --json",
            "pg org grant acme --environment staging --permission ping:read,connection:read --json",
            "pg org grant acme --environment staging --nothing",
            "pg org members acme --json",
            "pg org change-member {id} --role admin --json",
            "pg org remove-member {id} --json",
            "pg user list --json",
            "pg user create --name Ada --org acme --role owner --email ada@example.com --json",
            "pg role list --org acme --json",
            "pg role create --org acme pinger --permission ping:read --json",
            "pg role update {id} --permission ping:read --json",
            "pg role remove {id} --json",
            "pg token list --org acme --json",
            "pg token revoke {id} --json",
            "pg token revoke-all --org acme --json",
            "pg audit list --org acme --json",
            "pg audit verify --json",
            "pg serve --profile local",
            "pg local on --json",
            "pg local off --wait 5s",
            "pg local port 10200 --json",
            "pg local token --json",
            "pg local rotate --json --wait 5s",
            "pg local panel --json",
            "pg org invite acme --email ada@example.com --role developer --json",
            "pg org invitation list acme --json",
            "pg user create --operator --name Ada --email ada@example.com --json",
            "pg request list --state awaiting_answer --json",
            "pg request list --all --organization acme",
            "pg versions list --json --config f",
            "pg versions diff 2026-02-01 2026-11-01 --json",
            "pg versions openapi 2026-11-01",
            "pg versions openapi --write versions/openapi",
            "pg login --portal https://a.example --ca-file f --device d --print",
            "pg login --portal https://a.example --json",
            "pg logout --portal https://a.example --json",
            "pg logout --forget",
            "pg check-config --json --config f",
            "pg config show --json",
            "pg backup d --json",
            "pg health --json",
            "pg completions bash",
            "pg man",
            "pg man key create",
            "pg man --write d",
        ] {
            parse(&line.replace("{id}", id)).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
        for line in [
            "pg key show {id} --json",
            "pg key revoke {id} --json",
            "pg key rotate {id} --overlap 24h --json",
            "pg org invitation revoke {id} --json",
            "pg user sign-in {id} --mail --json",
            "pg request show {id} --json",
            "pg request approve {id} --staging ping:read,connection:read --production none --wider --name Acme --text t --json --wait 5s",
            "pg request approve {id} --organization acme",
            "pg request ask {id} --text why --json",
            "pg request reject {id} --reason no --json",
            "pg request claim-link {id} --json",
        ] {
            parse(&line.replace("{id}", id)).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn wrong_arguments_are_usage_errors() {
        for line in [
            "pg srve",
            "pg key",
            "pg key create --partner a --environment staging",
            "pg key create --partner a --environment test --permission ping:read",
            "pg key create --partner a --environment staging --permission ping:raed",
            "pg key create --partner a --environment staging --permission ping:read --expires tomorrow",
            "pg key create --partner a --environment staging --permission ping:read --allow 10.0.0.0/33",
            "pg key create --partner a --environment staging --permission ping:read --rate 5/d",
            "pg key revoke 42",
            "pg key update 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b",
            "pg key rotate 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b --overlap soon",
            "pg serve --profile remote",
            "pg local port 0",
            "pg local port 70000",
            "pg request approve 42",
            "pg request ask 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b",
            "pg request approve 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b --staging ping:raed",
            "pg request list --state done",
            "pg user create --name Ada",
            "pg versions diff 2026-02-01",
            "pg versions diff 2026-02-01 2026-02-02",
            "pg versions openapi",
            "pg versions openapi 2026-11-01 --write versions/openapi",
            "pg serve --set nonsense",
            "pg man key --write d",
        ] {
            assert_eq!(parse(line).map(|_| ()).unwrap_err().exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn the_help_of_every_command_has_examples() {
        fn walk(command: &clap::Command) {
            let mut leaf = true;
            for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
                leaf = false;
                walk(below);
            }
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(!leaf || help.contains("partner-gateway "), "{}", command.get_name());
        }
        walk(&Cli::command());
    }
}
