//! Tips for commands and options of other tools: `key delete`, `status`, `serve --port 9000`.

use std::ffi::OsString;

use clap::Command;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};

/// Commands of other tools, and the commands that may be meant. The first that exists at that place is
/// suggested.
const SYNONYMS: &[(&[&str], &[&str])] = &[
    (&["delete", "remove", "rm", "destroy", "disable", "deactivate"], &["revoke", "remove"]),
    (&["add", "new", "make", "issue", "generate"], &["create"]),
    (&["ls", "all"], &["list"]),
    (&["get", "info", "describe", "inspect", "view"], &["show"]),
    (&["edit", "set", "change", "modify", "patch"], &["update"]),
    (&["renew", "replace", "roll", "reissue"], &["rotate"]),
    (&["start", "run", "up", "daemon", "server"], &["serve"]),
    (&["status", "ready", "ping", "healthcheck", "live"], &["health"]),
    (&["check", "validate", "lint", "test", "configtest", "config-check"], &["check-config"]),
    (&["openapi", "docs", "spec"], &["versions openapi"]),
    (&["manual", "manpage"], &["man"]),
];

/// Commands of other tools that have no counterpart.
const ADVICE: &[(&[&str], &str)] = &[
    (
        &["reload", "refresh", "restart"],
        "a running server reloads its configuration on SIGHUP: `kill -HUP PID`, or `systemctl reload` with a unit that does so",
    ),
    (
        &["stop", "quit", "shutdown", "down", "kill"],
        "a running server drains and exits on SIGTERM: `kill PID`",
    ),
    (&["restore"], "to restore a backup, use it as the data folder: `partner-gateway serve --data-dir DIR`"),
    (&["init", "setup", "install"], "`partner-gateway serve` creates everything it needs at its first start"),
];

/// Options of other tools, and the configuration option that may be meant, as `--set` takes it.
const OPTIONS: &[(&[&str], &str)] = &[
    (&["--log-level", "--loglevel", "--log", "--verbose", "-v", "--debug"], "log.level=debug"),
    (&["--workers", "--threads", "-w"], "runtime.workers=4"),
    (&["--cert", "--certificate", "--tls-cert"], "listeners.https.certificate=NAME"),
    (&["--key", "--tls-key"], "certificates.NAME.key_file=FILE"),
];
const ADDRESS: &[&str] = &["--port", "-p", "--listen", "--bind", "--address", "--addr", "--host", "-H"];

/// Adds a tip, if there is one, to an error about a command or option that does not exist.
pub(super) fn add(error: &mut clap::Error, root: &Command, arguments: &[OsString]) {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    let tip = match error.kind() {
        ErrorKind::InvalidSubcommand => {
            text(ContextKind::InvalidSubcommand).and_then(|word| for_word(&word, root, arguments))
        }
        ErrorKind::UnknownArgument => {
            text(ContextKind::InvalidArg).and_then(|word| for_argument(&word, root, arguments))
        }
        _ => None,
    };
    if let Some(tip) = tip {
        // Clap's suggestion of a similar name would contradict the tip.
        error.remove(ContextKind::SuggestedSubcommand);
        error.remove(ContextKind::SuggestedArg);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![StyledStr::from(tip)]));
    }
}

fn for_word(word: &str, root: &Command, arguments: &[OsString]) -> Option<String> {
    let (path, command) = innermost(root, arguments);
    let word = word.to_ascii_lowercase();
    let exists = |name: &&&str| command.find_subcommand(name.split(' ').next().unwrap_or_default()).is_some();
    let synonym = SYNONYMS.iter().find(|(words, _)| words.contains(&word.as_str()));
    if let Some(name) = synonym.and_then(|(_, commands)| commands.iter().find(exists)) {
        return Some(format!("the command is `{path} {name}`"));
    }
    let (_, advice) = ADVICE.iter().find(|(words, _)| words.contains(&word.as_str()))?;
    Some((*advice).to_owned())
}

fn for_argument(word: &str, root: &Command, arguments: &[OsString]) -> Option<String> {
    let (path, command) = innermost(root, arguments);
    let name = word.split('=').next().unwrap_or(word);
    if !name.starts_with('-') {
        let takes_file = ["serve", "check-config", "show"].contains(&command.get_name());
        return takes_file.then(|| format!("a configuration file is an option: `{path} --config {word}`"));
    }
    if ADDRESS.contains(&name) {
        // `--port 9000` or `--port=9000`.
        let mut rest = arguments.iter().filter_map(|argument| argument.to_str());
        let given = rest.find_map(|argument| argument.strip_prefix(name));
        let value = given.map(|given| given.strip_prefix('=').or_else(|| rest.next()).unwrap_or_default());
        let port = value.and_then(|value| value.rsplit(':').next());
        let port = port.filter(|port| port.parse::<u16>().is_ok());
        let address = format!("127.0.0.1:{}", port.unwrap_or("8080"));
        return Some(format!(
            "addresses belong to a listener: `{path} --set 'listeners.http.addresses=[\"{address}\"]'`"
        ));
    }
    let (_, option) = OPTIONS.iter().find(|(names, _)| names.contains(&name))?;
    Some(format!("this is set in the configuration: `{path} --set {option}`"))
}

/// The innermost command that the arguments name, and its full name.
fn innermost<'c>(root: &'c Command, arguments: &[OsString]) -> (String, &'c Command) {
    let (mut path, mut command) = ("partner-gateway".to_owned(), root);
    for argument in arguments.iter().skip(1).filter_map(|argument| argument.to_str()) {
        if let Some(inner) = command.find_subcommand(argument) {
            path.push(' ');
            path.push_str(argument);
            command = inner;
        }
    }
    (path, command)
}
