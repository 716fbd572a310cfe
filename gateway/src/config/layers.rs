//! The layers of the configuration, their order, and how they are merged into one tree.
//!
//! Defaults, then a profile, then one file, then the files of `conf.d` beside it, then the environment, then flags. Tables are merged,
//! anything else is replaced. Every value keeps its location in the layer that it came from.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::diagnostics::{Problem, Span, Texts};
use super::schema::Schema;
use super::{ENVIRONMENT_NEAR_PREFIX, ENVIRONMENT_PREFIX, Sources};

/// A larger file is not a configuration and was named by mistake.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Further errors of the parser are mostly consequences of the first ones.
const SYNTAX_ERRORS_MAX: usize = 5;
/// The directory beside the configuration file.
const DIRECTORY: &str = "conf.d";

/// How a text is parsed.
pub(super) enum Form {
    /// A TOML document.
    Document,
    /// One value, `NAME=VALUE`: the option's path, each name with its span, and where the value starts.
    Value { path: Vec<(String, Span)>, start: usize },
}

/// Reads the texts of all layers, lowest first; each form comes with the index of its text.
pub(super) fn gather(
    defaults: &str,
    sources: &Sources,
    texts: &mut Texts,
    problems: &mut Vec<Problem>,
) -> Vec<(usize, Form)> {
    let mut layers = Vec::new();
    texts.add("gateway.toml (compiled in)".to_owned(), defaults.to_owned());
    layers.push((texts.last(), Form::Document));
    if let Some(profile) = sources.profile {
        texts.add(format!("{}.toml (profile, compiled in)", profile.name()), profile.text().to_owned());
        layers.push((texts.last(), Form::Document));
    }
    for file in files(sources, problems) {
        match read_file(&file) {
            Ok(text) => {
                texts.add(file.display().to_string(), text);
                layers.push((texts.last(), Form::Document));
            }
            Err(Unreadable::File(message)) => {
                problems.push(Problem::new(message).in_file(file.display().to_string()));
            }
            Err(Unreadable::Text { lossy, valid }) => {
                let start = texts.add(file.display().to_string(), lossy);
                let span = start + valid..start + valid + char::REPLACEMENT_CHARACTER.len_utf8();
                problems
                    .push(Problem::new("the configuration file is not UTF-8").at(span, "not a character"));
            }
        }
    }
    let mut variables: Vec<_> =
        sources.environment.iter().filter(|(name, _)| name.starts_with(ENVIRONMENT_NEAR_PREFIX)).collect();
    // The order of the environment is arbitrary; sorted by name, a section comes before its options.
    variables.sort();
    let schema = Schema::new(parse(defaults, 0, problems));
    for (name, value) in variables {
        let start = texts.add(format!("environment variable {name}"), format!("{name}={value}"));
        let prefix = ENVIRONMENT_PREFIX.len();
        let mut path = match name.strip_prefix(ENVIRONMENT_PREFIX) {
            Some(option) => segments(option, "__", start + prefix),
            None => Vec::new(),
        };
        path.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
        if let Some(intended) = misspelt(name, &path, &schema) {
            problems.push(
                Problem::new(format!("environment variable {name} does not name an option"))
                    .at(
                        start..start + name.len(),
                        "the parts of an option's name are separated by two underscores",
                    )
                    .help(format!("write {intended}")),
            );
        } else if !path.is_empty() {
            layers.push((texts.last(), Form::Value { path, start: start + name.len() + 1 }));
        }
    }
    for (name, value) in &sources.flags {
        let start = texts.add(format!("flag for {name}"), format!("{name}={value}"));
        let path = segments(name, ".", start);
        layers.push((texts.last(), Form::Value { path, start: start + name.len() + 1 }));
    }
    layers
}

/// The intended variable, where a name differs from an option's only in its underscores.
fn misspelt(name: &str, path: &[(String, Span)], schema: &Schema<'_>) -> Option<String> {
    let names: Vec<_> = path.iter().map(|(name, _)| name).collect();
    if !names.is_empty() && schema.expected(&names).is_some() {
        return None;
    }
    let words = name.strip_prefix(ENVIRONMENT_NEAR_PREFIX)?.to_ascii_lowercase();
    let words: Vec<_> = words.split('_').filter(|word| !word.is_empty()).collect();
    let option = schema.option_of_words(&words.join("_"))?;
    Some(format!("{ENVIRONMENT_PREFIX}{}", option.join("__").to_ascii_uppercase()))
}

/// The directory of further files, whether it exists or not.
pub(super) fn directory(sources: &Sources) -> Option<PathBuf> {
    let main = sources.file.as_ref().unwrap_or(&sources.system);
    (!main.as_os_str().is_empty()).then(|| main.parent().unwrap_or(Path::new("")).join(DIRECTORY))
}

/// The files to read, lowest first.
pub(super) fn files(sources: &Sources, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    match &sources.file {
        Some(file) => files.push(file.clone()),
        // The system file may be absent; one that cannot be read is an error.
        None if matches!(fs::metadata(&sources.system), Err(error) if is_absent(&error)) => {}
        None => files.push(sources.system.clone()),
    }
    let Some(directory) = directory(sources) else { return files };
    let entries = fs::read_dir(&directory).and_then(|entries| {
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()
    });
    match entries {
        Ok(mut entries) => {
            // Editors write drafts to names that begin with a dot.
            entries.retain(|path| {
                let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
                !hidden && path.extension().is_some_and(|extension| extension == "toml")
            });
            entries.sort();
            files.extend(entries);
        }
        Err(error) if is_absent(&error) => {}
        Err(error) => {
            let problem = Problem::new(format!("cannot list this directory: {error}"));
            problems.push(problem.in_file(directory.display().to_string()));
        }
    }
    files
}

fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

enum Unreadable {
    File(String),
    /// Not UTF-8 after so many bytes.
    Text {
        lossy: String,
        valid: usize,
    },
}

fn read_file(path: &Path) -> Result<String, Unreadable> {
    let refuse = |message: &str| Unreadable::File(message.to_owned());
    let mut bytes = Vec::new();
    // One byte more than allowed, to notice a file that is too large.
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => refuse("there is no such configuration file"),
        io::ErrorKind::IsADirectory => refuse("this is a directory, not a configuration file"),
        _ => refuse(&format!("cannot read the configuration file: {error}")),
    })?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(refuse("the configuration file is larger than 1 MiB"));
    }
    String::from_utf8(bytes).map_err(|error| Unreadable::Text {
        lossy: String::from_utf8_lossy(error.as_bytes()).into_owned(),
        valid: error.utf8_error().valid_up_to(),
    })
}

/// No option has as many names in its path; a longer one is not built as a tree.
const NAMES_MAX: usize = 6;

/// Splits a path into its names, each with its span.
fn segments(path: &str, separator: &str, start: usize) -> Vec<(String, Span)> {
    let mut at = start;
    let segment = |name: &str| {
        let span = at..at + name.len();
        at = span.end + separator.len();
        (name.to_owned(), span)
    };
    path.split(separator).take(NAMES_MAX).map(segment).collect()
}

/// Parses a document into a tree whose spans are those of the virtual text.
pub(super) fn parse<'t>(text: &'t str, start: usize, problems: &mut Vec<Problem>) -> DeTable<'t> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut last_line = None;
    for error in errors.iter().take(SYNTAX_ERRORS_MAX) {
        let span = error.span().unwrap_or(0..0);
        // After an error the rest of its line cannot be interpreted.
        let line = text.as_bytes().iter().take(span.start).filter(|byte| **byte == b'\n').count();
        if last_line.replace(line) != Some(line) {
            let problem = Problem::new(error.message());
            problems.push(problem.at(start + span.start..start + span.end, ""));
        }
    }
    // The rest of a broken document would only cause errors about missing or unknown options.
    if errors.is_empty() { shift_table(table.into_inner(), start) } else { DeTable::new() }
}

/// Builds a tree of the one value of an environment variable or a flag.
pub(super) fn single<'t>(
    path: &[(String, Span)],
    text: &'t str,
    start: usize,
    schema: &Schema<'_>,
) -> DeTable<'t> {
    let names: Vec<_> = path.iter().map(|(name, _)| name).collect();
    // The value of a text option is taken literally: `1.3` is a TLS version, not a number.
    let parsed = DeValue::parse(text);
    let literal = schema.is_text(&names, parsed.as_ref().ok().map(Spanned::get_ref));
    let mut value = match parsed {
        Ok(parsed) if parsed.get_ref().is_str() || !literal => shift(parsed, start),
        _ => Spanned::new(start..start + text.len(), DeValue::String(text.into())),
    };
    for (name, span) in path.iter().rev() {
        let mut table = DeTable::new();
        table.insert(Spanned::new(span.clone(), name.clone().into()), value);
        value = Spanned::new(span.clone(), DeValue::Table(table));
    }
    match value.into_inner() {
        DeValue::Table(table) => table,
        _ => DeTable::new(),
    }
}

fn shift(value: Spanned<DeValue<'_>>, by: usize) -> Spanned<DeValue<'_>> {
    let span = value.span().start + by..value.span().end + by;
    let shifted = match value.into_inner() {
        DeValue::Array(array) => {
            let mut shifted = DeArray::new();
            array.into_iter().for_each(|element| shifted.push(shift(element, by)));
            DeValue::Array(shifted)
        }
        DeValue::Table(table) => DeValue::Table(shift_table(table, by)),
        scalar => scalar,
    };
    Spanned::new(span, shifted)
}

fn shift_table(table: DeTable<'_>, by: usize) -> DeTable<'_> {
    let shifted = table.into_iter().map(|(key, value)| {
        let span = key.span().start + by..key.span().end + by;
        (Spanned::new(span, key.into_inner()), shift(value, by))
    });
    shifted.collect()
}

/// Merges `over` into `base`: tables by name, anything else is replaced.
pub(super) fn merge<'t>(base: &mut DeTable<'t>, over: DeTable<'t>) {
    for (key, value) in over {
        let span = value.span();
        let below = base.remove(key.get_ref().as_ref()).map(Spanned::into_inner);
        let merged = match (below, value.into_inner()) {
            (Some(DeValue::Table(mut below)), DeValue::Table(above)) => {
                merge(&mut below, above);
                DeValue::Table(below)
            }
            (_, above) => above,
        };
        // Key and span are those of the higher layer, which is where to change a value.
        base.insert(key, Spanned::new(span, merged));
    }
}
