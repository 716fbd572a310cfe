//! Problems of a configuration: where they are, what is allowed, and how they are printed.
//!
//! All layers are concatenated into one virtual text, so that a location is a range of bytes whatever source a value
//! came from, and a higher layer has the larger numbers. Only this file maps such a range to a file, line and column.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet, normalize_untrusted_str};
use serde::Serialize;

use super::sections::Config;

/// A range of bytes in the virtual text of all layers.
pub(super) type Span = Range<usize>;

/// Further problems are only counted: nobody reads them, and one mistake may cause many.
pub(super) const PROBLEMS_MAX: usize = 50;
/// The file of a problem that is in none.
const NO_FILE: &str = "configuration";
/// Longer messages are cut in the middle; a value may be as long as its file.
const MESSAGE_CHARACTERS_MAX: usize = 400;

/// The texts of all layers, lowest first.
#[derive(Clone, Default)]
pub(super) struct Texts(Vec<Text>);

/// The text of one layer.
#[derive(Clone)]
pub(super) struct Text {
    pub(super) name: String,
    pub(super) content: String,
    /// Its offset in the virtual text.
    pub(super) start: usize,
}

impl Texts {
    /// Adds a layer and returns its offset in the virtual text.
    pub(super) fn add(&mut self, name: String, content: String) -> usize {
        // The byte between two texts belongs to the first, for an error at its end.
        let start = self.0.last().map_or(0, |last| last.start + last.content.len() + 1);
        // The name of a file, variable or flag is printed with each problem and may hold anything.
        self.0.push(Text { name: sanitized(&name), content, start });
        start
    }

    pub(super) fn last(&self) -> usize {
        self.0.len().saturating_sub(1)
    }

    pub(super) fn get(&self, index: usize) -> Option<&Text> {
        self.0.get(index)
    }

    /// The text that contains a span, and the span within it, widened to character boundaries.
    fn locate(&self, span: &Span) -> Option<(&Text, Span)> {
        let index = self.0.partition_point(|text| text.start <= span.start).checked_sub(1)?;
        let text = &self.0[index];
        let start = text.content.floor_char_boundary(span.start - text.start);
        let end = text.content.ceil_char_boundary(span.end.saturating_sub(text.start)).max(start);
        Some((text, start..end))
    }

    /// The text of a span.
    pub(super) fn written(&self, span: &Span) -> Option<&str> {
        let (text, span) = self.locate(span)?;
        text.content.get(span)
    }
}

impl Text {
    fn line_and_column(&self, offset: usize) -> (usize, usize) {
        let before = &self.content[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }
}

/// Something that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file, or the name of the environment variable or flag.
    pub file: String,
    /// The line, from 1; none for a problem of a file as such.
    pub line: Option<usize>,
    /// The column in characters, from 1.
    pub column: Option<usize>,
    /// What is wrong, and what is allowed.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    #[serde(skip)]
    labels: Vec<(Span, String)>,
    /// The options that it is about, as far as they can be determined.
    #[serde(skip)]
    options: Vec<Vec<String>>,
}

impl Problem {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            file: NO_FILE.to_owned(),
            line: None,
            column: None,
            message: sanitized(&message.into()),
            help: None,
            labels: Vec::new(),
            options: Vec::new(),
        }
    }

    pub(super) fn in_file(mut self, file: impl Into<String>) -> Self {
        self.file = sanitized(&file.into());
        self
    }

    /// Adds a labelled span. The one in the highest layer comes first, because that is where to change it.
    pub(super) fn at(mut self, span: Span, label: impl Into<String>) -> Self {
        self.labels.push((span, sanitized(&label.into())));
        self.labels.sort_by_key(|(span, _)| std::cmp::Reverse(span.start));
        self
    }

    /// Adds an option that it is about, with its location.
    pub(super) fn at_option(self, location: Location, label: impl Into<String>) -> Self {
        self.at(location.span, label).about(&location.option)
    }

    /// Adds an option that it is about.
    pub(super) fn about(mut self, option: &[impl AsRef<str>]) -> Self {
        self.options.push(option.iter().map(|name| name.as_ref().to_owned()).collect());
        self
    }

    /// Whether this may be a consequence of the other problem: they share an option.
    pub(super) fn may_follow_from(&self, other: &Self) -> bool {
        self.options.iter().any(|option| other.options.iter().any(|other| option.starts_with(other)))
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(sanitized(&help.into()));
        self
    }
}

/// An option, and where it or the innermost section around it is set.
#[derive(Clone, Debug, Default)]
pub(super) struct Location {
    pub(super) span: Span,
    pub(super) option: Vec<String>,
}

/// Escapes control characters and shortens text of unknown origin, for a terminal and for one line.
fn sanitized(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    let length = text.chars().count();
    for (index, character) in text.chars().enumerate() {
        if length > MESSAGE_CHARACTERS_MAX && (200..length - 200).contains(&index) {
            if index == 200 {
                line.push_str(" [...] ");
            }
        } else if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// All problems of a configuration.
///
/// `Display` prints each with its location, without colour; see [`ConfigError::render`].
#[derive(Clone)]
pub struct ConfigError {
    texts: Texts,
    problems: Vec<Problem>,
    partial: Option<Box<Config>>,
}

impl ConfigError {
    pub(super) fn new(texts: Texts, mut problems: Vec<Problem>) -> Self {
        // Finding line and column scans the text, so it is done only for problems that are printed.
        let more = problems.len().saturating_sub(PROBLEMS_MAX);
        problems.truncate(PROBLEMS_MAX);
        for problem in &mut problems {
            let located = problem.labels.first().and_then(|(span, _)| texts.locate(span));
            if let Some((text, span)) = located {
                let (line, column) = text.line_and_column(span.start);
                problem.file.clone_from(&text.name);
                (problem.line, problem.column) = (Some(line), Some(column));
            }
        }
        if more > 0 {
            problems.push(Problem::new(format!("there are {more} more problems")));
        }
        Self { texts, problems, partial: None }
    }

    pub(super) fn with_partial(self, partial: Option<Config>) -> Self {
        Self { partial: partial.map(Box::new), ..self }
    }

    /// The configuration with defaults in place of invalid values: only for finding further problems.
    #[must_use]
    pub fn partial(&self) -> Option<&Config> {
        self.partial.as_deref()
    }

    /// The problems, for programs.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Prints each problem with the lines that it is about.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let rendered: Vec<_> =
            self.problems.iter().map(|problem| self.render_one(&renderer, problem)).collect();
        rendered.join("\n\n")
    }

    fn render_one(&self, renderer: &Renderer, problem: &Problem) -> String {
        let mut group = Group::with_title(Level::ERROR.primary_title(problem.message.as_str()));
        // Spans of the same text share one snippet; another text gets its own below.
        let mut snippets: Vec<(usize, Snippet<'_, _>)> = Vec::new();
        for (index, (span, label)) in problem.labels.iter().enumerate() {
            let Some((text, span)) = self.texts.locate(span) else { continue };
            let snippet = match snippets.pop_if(|(start, _)| *start == text.start) {
                Some((_, snippet)) => snippet,
                None => Snippet::source(text.content.as_str()).path(text.name.as_str()),
            };
            let kind = if index == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
            let label = (!label.is_empty()).then_some(label.as_str());
            snippets.push((text.start, snippet.annotation(kind.span(span).label(label))));
        }
        if snippets.is_empty() && problem.file != NO_FILE {
            group = group.element(Origin::path(problem.file.as_str()));
        }
        group = group.elements(snippets.into_iter().map(|(_, snippet)| snippet));
        if let Some(help) = &problem.help {
            group = group.element(Level::HELP.message(normalize_untrusted_str(help)));
        }
        renderer.render(&[group])
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

/// The same text as `Display`, for an error that `main` returns.
impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ConfigError {}

/// The candidate that `name` is most likely a misspelling of.
pub(super) fn closest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_ascii_lowercase().replace('-', "_");
    if name.chars().count() > 64 {
        return None;
    }
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(&name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(name.len()).div_ceil(3))
        .min()
        .map(|(_, candidate)| candidate)
}
