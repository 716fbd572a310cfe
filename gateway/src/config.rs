//! The configuration: one typed value, read from layers and validated before anything starts.
//!
//! `config/gateway.toml` is compiled in and holds every option with its default: an option that is not in it does not
//! exist. `sections` gives the options their types and bounds, `layers` reads the sources, `schema` finds unknown
//! names, `checks` validates options against each other, `warnings` finds what is valid but risky, and `diagnostics`
//! prints problems with file, line and column. Nothing here opens a socket or reads a certificate, and no other module
//! reads a file or a variable for configuration.

mod checks;
mod diagnostics;
mod identity;
mod layers;
mod listener;
mod mail;
mod reload;
mod schema;
mod sections;
#[cfg(test)]
mod tests;
mod values;
mod warnings;

use std::net::SocketAddr;
use std::panic;
use std::path::PathBuf;
use std::thread;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use diagnostics::{PROBLEMS_MAX, Span, Texts};
use layers::Form;
use schema::Schema;

pub use diagnostics::{ConfigError, Problem};
pub(crate) use identity::provider_url;
pub use identity::{Algorithm, Identity, Provider};
pub use listener::{
    ForwardedField, Listener, Protocol, Serves, Service, SiteOptions, host_at, is_public, origin, portal_url,
};
pub use mail::{Mail, MailTls, Requests};
pub use reload::differences_needing_restart;
pub use sections::{
    Api, Certificate, Config, Docs, Drain, FirstKeys, FirstLaunch, Format, Level, Limits, Log, Portal,
    Runtime, Store, Timeouts, Tls, TlsVersion, Tokens,
};
pub use warnings::warnings;

/// The file that is read where `--config` is not given and it exists.
pub const SYSTEM_FILE: &str = "/etc/partner-gateway/gateway.toml";
/// The prefix of environment variables that hold options.
pub const ENVIRONMENT_PREFIX: &str = "GATEWAY__";
/// The prefix of variables that may be misspelt options.
const ENVIRONMENT_NEAR_PREFIX: &str = "GATEWAY_";

const DEFAULTS: &str = include_str!("../../config/gateway.toml");

/// A named set of options that is compiled in, between the defaults and the user's own files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// The API of one program on its user's machine: `config/local.toml`.
    Local,
}

impl Profile {
    /// Every profile.
    pub const ALL: [Self; 1] = [Self::Local];

    /// Its name, as `--profile` takes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Local => "local",
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Local => include_str!("../../config/local.toml"),
        }
    }
}

/// Enough for the deepest document that the parser accepts: it bounds the nesting of tables and the length of a dotted
/// key, but not one inside the other, so a document can be thousands of levels deep.
const STACK_BYTES: usize = 64 << 20;

/// Where configuration comes from. By default only from the compiled-in defaults.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The profile, if one was chosen.
    pub profile: Option<Profile>,
    /// The file that `--config` named; it must exist.
    pub file: Option<PathBuf>,
    /// Environment variables. Those with [`ENVIRONMENT_PREFIX`] hold options; one that differs from an option only in
    /// its underscores is refused; all others are ignored.
    pub environment: Vec<(String, String)>,
    /// Flags: the dotted path of an option, and its value in TOML. Later ones win.
    pub flags: Vec<(String, String)>,
    /// The file that is read where `file` is `None` and it exists, usually [`SYSTEM_FILE`].
    pub system: PathBuf,
}

impl Sources {
    /// The variables of this process that may hold options, for [`Sources::environment`].
    ///
    /// A value that is not UTF-8 is passed on with replacement characters, so that an option's is refused instead of
    /// ignored.
    #[must_use]
    pub fn process_environment() -> Vec<(String, String)> {
        std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .filter(|(name, _)| name.starts_with(ENVIRONMENT_NEAR_PREFIX))
            .collect()
    }
}

impl Config {
    /// Reads and merges all layers and validates the result.
    ///
    /// # Errors
    /// [`ConfigError`] holds every problem: unreadable files, unknown names, invalid values, and options that
    /// contradict each other. The last are left out where a file cannot be read, because what is missing may be in it.
    pub fn load(sources: &Sources) -> Result<Self, ConfigError> {
        thread::scope(|scope| {
            let reader = thread::Builder::new()
                .name("config".to_owned())
                .stack_size(STACK_BYTES)
                .spawn_scoped(scope, || load(sources));
            match reader.map(thread::ScopedJoinHandle::join) {
                Ok(Ok(result)) => result,
                Ok(Err(panic)) => panic::resume_unwind(panic),
                Err(error) => {
                    let message = format!("cannot start a thread to read the configuration: {error}");
                    Err(ConfigError::new(Texts::default(), vec![Problem::new(message)]))
                }
            }
        })
    }

    /// The name of the listener whose API the settings page switches, and its address; none where no settings page is
    /// served.
    #[must_use]
    pub fn local_api(&self) -> Option<(&str, SocketAddr)> {
        let serves = |service| {
            move |(_, listener): &(&String, &Listener)| listener.enabled && listener.serves(service)
        };
        self.listeners.iter().find(serves(Service::Settings))?;
        let (name, api) = self.listeners.iter().find(serves(Service::Api))?;
        Some((name, *api.addresses.first()?))
    }

    /// Whether an address of a listener accepts IPv4 beside IPv6: `[::]` does, unless IPv4 is served on this port by
    /// itself.
    #[must_use]
    pub fn accepts_both_families(&self, listener: &Listener, address: SocketAddr) -> bool {
        let has_ipv4 = |listener: &Listener| {
            listener.addresses.iter().any(|other| other.is_ipv4() && other.port() == address.port())
        };
        // Each listener with port 0 has a port of its own.
        let is_taken = has_ipv4(listener)
            || (address.port() != 0 && self.listeners.values().any(|other| other.enabled && has_ipv4(other)));
        address.is_ipv6() && address.ip().is_unspecified() && !is_taken
    }
}

fn load(sources: &Sources) -> Result<Config, ConfigError> {
    let mut texts = Texts::default();
    let mut problems = Vec::new();
    let layers = layers::gather(DEFAULTS, sources, &mut texts, &mut problems);
    match read(&layers, &texts, &mut problems) {
        Some(config) if problems.is_empty() => Ok(config),
        partial => Err(ConfigError::new(texts, problems).with_partial(partial)),
    }
}

fn read(layers: &[(usize, Form)], texts: &Texts, problems: &mut Vec<Problem>) -> Option<Config> {
    let mut merged = DeTable::new();
    let mut schema = Schema::new(DeTable::new());
    let mut trees = Vec::new();
    for (index, form) in layers {
        let text = texts.get(*index)?;
        trees.push(match form {
            Form::Document => layers::parse(&text.content, text.start, problems),
            Form::Value { path, start } => {
                layers::single(path, &text.content[start - text.start..], *start, &schema)
            }
        });
        if trees.len() == 1 {
            // The lowest layer is the defaults, which hold every option.
            schema = Schema::new(trees.first().cloned().unwrap_or_default());
        }
    }
    let all_parsed = problems.is_empty();
    for tree in trees {
        layers::merge(&mut merged, schema.check(tree, problems));
    }
    let config = deserialize(&mut merged, &schema, texts, problems)?;
    if all_parsed {
        let mut conflicts = Vec::new();
        checks::check(&config, &merged, &mut conflicts);
        // An invalid value was replaced by its default, which may contradict other options.
        conflicts.retain(|conflict| !problems.iter().any(|problem| conflict.may_follow_from(problem)));
        problems.append(&mut conflicts);
    }
    Some(config)
}

/// Deserializes the merged tree. An invalid value is reported and replaced by its default, and the tree is read again,
/// so that all invalid values are found at once.
fn deserialize<'t>(
    tree: &mut DeTable<'t>,
    schema: &Schema<'t>,
    texts: &Texts,
    problems: &mut Vec<Problem>,
) -> Option<Config> {
    loop {
        let root = Spanned::new(0..0, DeValue::Table(tree.clone()));
        let error = match Config::deserialize(ValueDeserializer::from(root)) {
            Ok(config) => return Some(config),
            Err(error) => error,
        };
        let path = error.span().and_then(|span| path_to(tree, &span));
        let Some(path) = path else {
            problems.push(Problem::new(error.message()));
            return None;
        };
        let problem = Problem::new(format!("`{}`: {}", path.join("."), error.message()))
            .at(error.span().unwrap_or_default(), "")
            .about(&path);
        let default = schema.default_of(&path);
        let written = default.and_then(|default| texts.written(&default.span()));
        problems.push(match (quoted(tree, &path, texts), written) {
            (Some(assignment), _) => problem.help(format!("write it in quotes: `{assignment}`")),
            (None, Some(written)) => problem.help(format!("the default is {written}")),
            (None, None) => problem,
        });
        if !replace(tree, &path, default) || problems.len() > PROBLEMS_MAX {
            return None;
        }
    }
}

/// The assignment in which a value that lacks quotes has them, if that makes it valid: `1.3` is a number in TOML, and
/// a TLS version is text.
fn quoted(tree: &DeTable<'_>, path: &[String], texts: &Texts) -> Option<String> {
    let (name, parents) = path.split_last()?;
    let table =
        parents.iter().try_fold(tree, |table, name| table.get(name.as_str())?.get_ref().as_table())?;
    let value = table.get(name.as_str())?;
    if matches!(value.get_ref(), DeValue::String(_) | DeValue::Array(_) | DeValue::Table(_)) {
        return None;
    }
    let written = texts.written(&value.span())?;
    let mut tree = tree.clone();
    let text = Spanned::new(value.span(), DeValue::String(written.to_owned().into()));
    set(&mut tree, path, Some(text));
    let root = Spanned::new(0..0, DeValue::Table(tree.clone()));
    let is_valid = match Config::deserialize(ValueDeserializer::from(root)) {
        Ok(_) => true,
        Err(error) => error.span().and_then(|span| path_to(&tree, &span)).is_some_and(|other| other != path),
    };
    is_valid.then(|| format!("{name} = \"{written}\""))
}

/// The path to the value, other than a table, that contains a span.
fn path_to(tree: &DeTable<'_>, inner: &Span) -> Option<Vec<String>> {
    tree.iter().find_map(|(key, value)| {
        let name = key.get_ref().clone().into_owned();
        match value.get_ref() {
            DeValue::Table(table) => path_to(table, inner).map(|mut path| {
                path.insert(0, name);
                path
            }),
            _ => {
                let span = value.span();
                (span.start <= inner.start && inner.end <= span.end).then(|| vec![name])
            }
        }
    })
}

/// Replaces a value by its default, or removes it if it has none. `false` if that changes nothing: then to read the
/// tree again would not end.
fn replace<'t>(tree: &mut DeTable<'t>, path: &[String], default: Option<&Spanned<DeValue<'t>>>) -> bool {
    let old = set(tree, path, default.cloned());
    old.is_some_and(|old| default.is_none_or(|default| default.span() != old.span()))
}

/// Sets a value that is there, or removes it; returns the old one.
fn set<'t>(
    tree: &mut DeTable<'t>,
    path: &[String],
    value: Option<Spanned<DeValue<'t>>>,
) -> Option<Spanned<DeValue<'t>>> {
    match path {
        [] => None,
        [name] => {
            let (key, old) = tree.remove_entry(name.as_str())?;
            if let Some(value) = value {
                tree.insert(key, value);
            }
            Some(old)
        }
        [name, rest @ ..] => match tree.get_mut(name.as_str()).map(Spanned::get_mut) {
            Some(DeValue::Table(inner)) => set(inner, rest, value),
            _ => None,
        },
    }
}
