//! The configuration: one typed value, read from layers, checked as a whole before anything starts.
//!
//! `config/gateway.toml` is compiled in and is the contract: it holds every option with its default,
//! so an option that is not in it does not exist. `sections` gives the options their types and bounds,
//! `layers` says where values come from, `schema` finds names that are none, `checks` judges how
//! options go together, and `diagnostics` shows what is wrong at its place. Nothing here opens a
//! socket or reads a certificate; nothing outside reads a file or a variable for configuration.

mod checks;
mod diagnostics;
mod layers;
mod reload;
mod schema;
mod sections;
#[cfg(test)]
mod tests;
mod values;

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
pub use reload::differences_needing_restart;
pub use sections::{
    Api, Certificate, Config, Drain, Format, ForwardedField, Level, Limits, Listener, Log, Protocol, Runtime,
    Service, Store, Timeouts, Tls, TlsVersion,
};

/// The file that is read where none is named and it exists.
pub const SYSTEM_FILE: &str = "/etc/partner-gateway/gateway.toml";
/// What the names of environment variables that hold options begin with.
pub const ENVIRONMENT_PREFIX: &str = "GATEWAY__";
/// What the names begin with of those that somebody may have meant to hold options.
const ENVIRONMENT_NEAR_PREFIX: &str = "GATEWAY_";

const DEFAULTS: &str = include_str!("../../config/gateway.toml");

/// Deep enough for the deepest document that the parser accepts, which nests by the thousand: its own
/// limits bound the nesting and the length of a dotted key, but not one inside the other.
const STACK_BYTES: usize = 64 << 20;

/// Where configuration comes from. The default value has no source but the compiled-in defaults.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The file that `--config` named; it must exist.
    pub file: Option<PathBuf>,
    /// Environment variables. Those that begin with [`ENVIRONMENT_PREFIX`] hold options; one that is an
    /// option's name but for its underscores is refused; all others are left alone.
    pub environment: Vec<(String, String)>,
    /// Flags: the dotted path of an option, and its value in TOML. Later ones win.
    pub flags: Vec<(String, String)>,
    /// The file that is read where `file` is `None` and it exists, usually [`SYSTEM_FILE`].
    pub system: PathBuf,
}

impl Sources {
    /// The variables of this process that may hold options, for [`Sources::environment`].
    ///
    /// A value that is not UTF-8 is passed on with replacement characters, so that it is refused where
    /// it matters instead of being overlooked.
    #[must_use]
    pub fn process_environment() -> Vec<(String, String)> {
        std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .filter(|(name, _)| name.starts_with(ENVIRONMENT_NEAR_PREFIX))
            .collect()
    }
}

impl Config {
    /// Reads all layers and checks the result.
    ///
    /// # Errors
    /// [`ConfigError`] holds everything that is wrong: unreadable texts, unknown names, wrong values,
    /// and options that do not go together. Only where a whole text cannot be read, the last are left
    /// out, because what they miss may stand there.
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
}

fn load(sources: &Sources) -> Result<Config, ConfigError> {
    let mut texts = Texts::default();
    let mut problems = Vec::new();
    let layers = layers::gather(DEFAULTS, sources, &mut texts, &mut problems);
    match read(&layers, &texts, &mut problems) {
        Some(config) if problems.is_empty() => Ok(config),
        read => Err(ConfigError::new(texts, problems).with_what_could_be_read(read)),
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
            // The lowest layer is the defaults, and they are all the options that there are.
            schema = Schema::new(trees.first().cloned().unwrap_or_default());
        }
    }
    let all_texts_are_read = problems.is_empty();
    for tree in trees {
        layers::merge(&mut merged, schema.check(tree, problems));
    }
    let config = deserialize(&mut merged, &schema, texts, problems)?;
    if all_texts_are_read {
        let mut conflicts = Vec::new();
        checks::check(&config, &merged, &mut conflicts);
        // Where a value was wrong its default stood in for it, which may fit nothing.
        conflicts.retain(|conflict| !problems.iter().any(|problem| conflict.may_follow_from(problem)));
        problems.append(&mut conflicts);
    }
    Some(config)
}

/// Reads the merged tree. A wrong value is reported, replaced by its default and the tree is read
/// again, so that one look finds all wrong values.
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
        problems.push(match default.and_then(|default| texts.written(&default.span())) {
            Some(written) => problem.help(format!("the default is {written}")),
            None => problem,
        });
        if !replace(tree, &path, default) || problems.len() > PROBLEMS_MAX {
            return None;
        }
    }
}

/// The path to the value, itself no table, that holds a place.
fn path_to(tree: &DeTable<'_>, place: &Span) -> Option<Vec<String>> {
    tree.iter().find_map(|(key, value)| {
        let name = key.get_ref().clone().into_owned();
        match value.get_ref() {
            DeValue::Table(inner) => path_to(inner, place).map(|mut path| {
                path.insert(0, name);
                path
            }),
            _ => {
                let span = value.span();
                (span.start <= place.start && place.end <= span.end).then(|| vec![name])
            }
        }
    })
}

/// Puts the default in the place of a value, or removes the value if it has none. `false` if that
/// changes nothing, so that no value is looked at for ever.
fn replace<'t>(tree: &mut DeTable<'t>, path: &[String], default: Option<&Spanned<DeValue<'t>>>) -> bool {
    match path {
        [] => false,
        [name] => {
            let Some((key, old)) = tree.remove_entry(name.as_str()) else { return false };
            match default {
                Some(default) if default.span() == old.span() => false,
                Some(default) => {
                    tree.insert(key, default.clone());
                    true
                }
                None => true,
            }
        }
        [name, rest @ ..] => match tree.get_mut(name.as_str()).map(Spanned::get_mut) {
            Some(DeValue::Table(inner)) => replace(inner, rest, default),
            _ => false,
        },
    }
}
