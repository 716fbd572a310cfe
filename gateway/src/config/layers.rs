//! The layers: where configuration comes from, in which order, and how they become one tree.
//!
//! Defaults, then one file, then the files of `conf.d` beside it, then the environment, then flags.
//! Tables merge, everything else replaces. Every value keeps its place in the layer it came from.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::diagnostics::{Problem, Span, Texts};
use super::schema::Schema;
use super::{ENVIRONMENT_NEAR_PREFIX, ENVIRONMENT_PREFIX, Sources};

/// Larger files are no configuration: somebody named the wrong one.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// What the parser finds after these is mostly the echo of what it found first.
const SYNTAX_ERRORS_MAX: usize = 5;
/// The directory beside the configuration file.
const DIRECTORY: &str = "conf.d";

/// How one text is to be read.
pub(super) enum Form {
    /// A TOML document.
    Document,
    /// One value, `NAME=VALUE`: the option's path, each name with its place, and where the value starts.
    Value { path: Vec<(String, Span)>, start: usize },
}

/// Collects the texts of all layers, lowest first; a form comes with the index of its text.
pub(super) fn gather(
    defaults: &str,
    sources: &Sources,
    texts: &mut Texts,
    problems: &mut Vec<Problem>,
) -> Vec<(usize, Form)> {
    let mut layers = Vec::new();
    texts.add("gateway.toml (compiled in)".to_owned(), defaults.to_owned());
    layers.push((texts.last(), Form::Document));
    for file in files(sources, problems) {
        match read_file(&file) {
            Ok(text) => {
                texts.add(file.display().to_string(), text);
                layers.push((texts.last(), Form::Document));
            }
            Err(Unreadable::AsFile(message)) => {
                problems.push(Problem::new(message).in_file(file.display().to_string()));
            }
            Err(Unreadable::AsText { shown, valid }) => {
                let start = texts.add(file.display().to_string(), shown);
                let place = start + valid..start + valid + char::REPLACEMENT_CHARACTER.len_utf8();
                problems
                    .push(Problem::new("the configuration file is not UTF-8").at(place, "not a character"));
            }
        }
    }
    let mut variables: Vec<_> =
        sources.environment.iter().filter(|(name, _)| name.starts_with(ENVIRONMENT_NEAR_PREFIX)).collect();
    // The order of the environment is arbitrary; by name, a whole section comes before its options.
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
        if let Some(meant) = misspelt(name, &path, &schema) {
            problems.push(
                Problem::new(format!("environment variable {name} holds no option"))
                    .at(
                        start..start + name.len(),
                        "two underscores stand before each part of an option's name",
                    )
                    .help(format!("write {meant}")),
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

/// The variable that was meant, where a name is that of an option but for the number of its underscores.
fn misspelt(name: &str, path: &[(String, Span)], schema: &Schema<'_>) -> Option<String> {
    let names: Vec<_> = path.iter().map(|(name, _)| name).collect();
    if !names.is_empty() && schema.expected(&names).is_some() {
        return None;
    }
    let words = name.strip_prefix(ENVIRONMENT_NEAR_PREFIX)?.to_ascii_lowercase();
    let words: Vec<_> = words.split('_').filter(|word| !word.is_empty()).collect();
    let option = schema.of_words(&words.join("_"))?;
    Some(format!("{ENVIRONMENT_PREFIX}{}", option.join("__").to_ascii_uppercase()))
}

/// The files to read, lowest first.
fn files(sources: &Sources, problems: &mut Vec<Problem>) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let main = match &sources.file {
        Some(file) => {
            files.push(file.clone());
            file
        }
        None => {
            // Only an absent system file is no configuration; one that cannot be read is a mistake.
            if !matches!(fs::metadata(&sources.system), Err(error) if is_absent(&error)) {
                files.push(sources.system.clone());
            }
            &sources.system
        }
    };
    if main.as_os_str().is_empty() {
        return files;
    }
    let directory = main.parent().unwrap_or(Path::new("")).join(DIRECTORY);
    let entries = fs::read_dir(&directory).and_then(|entries| {
        entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()
    });
    match entries {
        Ok(mut entries) => {
            // Editors keep their half-written copies in names that begin with a dot.
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
    AsFile(String),
    AsText { shown: String, valid: usize },
}

fn read_file(path: &Path) -> Result<String, Unreadable> {
    let refuse = |message: &str| Unreadable::AsFile(message.to_owned());
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that is too large from one that just fits.
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    read.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => refuse("there is no such configuration file"),
        io::ErrorKind::IsADirectory => refuse("this is a directory, not a configuration file"),
        _ => refuse(&format!("cannot read the configuration file: {error}")),
    })?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(refuse("the configuration file is larger than 1 MiB"));
    }
    String::from_utf8(bytes).map_err(|error| Unreadable::AsText {
        shown: String::from_utf8_lossy(error.as_bytes()).into_owned(),
        valid: error.utf8_error().valid_up_to(),
    })
}

/// No option has as many names in its path, so what is longer is none, and is not built as a tree.
const NAMES_MAX: usize = 4;

/// Splits a path into its names, each with its place.
fn segments(path: &str, separator: &str, start: usize) -> Vec<(String, Span)> {
    let mut at = start;
    let place = |name: &str| {
        let span = at..at + name.len();
        at = span.end + separator.len();
        (name.to_owned(), span)
    };
    path.split(separator).take(NAMES_MAX).map(place).collect()
}

/// Parses a document into a tree whose places are those of the virtual text.
pub(super) fn parse<'t>(text: &'t str, start: usize, problems: &mut Vec<Problem>) -> DeTable<'t> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut last_line = None;
    for error in errors.iter().take(SYNTAX_ERRORS_MAX) {
        let span = error.span().unwrap_or(0..0);
        // After one error the rest of its line means nothing, and neither do the errors in it.
        let line = text.as_bytes().iter().take(span.start).filter(|byte| **byte == b'\n').count();
        if last_line.replace(line) != Some(line) {
            let problem = Problem::new(error.message());
            problems.push(problem.at(start + span.start..start + span.end, ""));
        }
    }
    // What is left of a broken document would only look as if options were missing or unknown.
    if errors.is_empty() { shift_table(table.into_inner(), start) } else { DeTable::new() }
}

/// Makes a tree of the one value that an environment variable or a flag holds.
pub(super) fn single<'t>(
    path: &[(String, Span)],
    text: &'t str,
    start: usize,
    schema: &Schema<'_>,
) -> DeTable<'t> {
    let names: Vec<_> = path.iter().map(|(name, _)| name).collect();
    // An option that is text takes any value literally: `1.3` is a TLS version, not a fraction.
    let literal = schema.expected(&names).is_some_and(DeValue::is_str);
    let mut value = match DeValue::parse(text) {
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

/// Merges `over` into `base`: tables name by name, everything else as a whole.
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
        // Key and place are those of the layer above: a problem is shown where it can be changed.
        base.insert(key, Spanned::new(span, merged));
    }
}
