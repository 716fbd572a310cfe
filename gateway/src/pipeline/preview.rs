//! What a newer date would have answered, beside the answer of the date that was asked for.
//!
//! A call with `api-version-preview: DATE` gets its own answer unchanged. The same call is then made at
//! the newer date, and three fields tell what came of it: `api-version-preview` repeats the date,
//! `api-version-preview-status` is the status that it would have, and `api-version-preview-patch` is the
//! JSON Patch (RFC 6902) from the one body to the other, as ASCII. Only endpoints that declare
//! themselves safe are called a second time.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use serde_json::Value;
use serde_json::ser::{CharEscape, Formatter, Serializer};
use versions::{Context, Error, ErrorCode, Help, Input, VersionTable};

use super::handle::{Call, answer};
use super::{Pipeline, Settings, lacking};
use crate::limits::API_VERSION_PREVIEW;

const STATUS: HeaderName = HeaderName::from_static("api-version-preview-status");
const PATCH: HeaderName = HeaderName::from_static("api-version-preview-patch");
const OMITTED: HeaderName = HeaderName::from_static("api-version-preview-omitted");

/// What a newer date would answer.
pub(super) struct Preview {
    table: &'static VersionTable,
    outcome: Outcome,
}

enum Outcome {
    /// 200, and the way there from the answer that was given.
    Patch(HeaderValue),
    /// 200, but the patch has this many bytes.
    TooLarge(usize),
    /// An error.
    Refused(StatusCode),
    /// One of the two endpoints changes something: it is not called a second time.
    NotSafe,
}

impl Preview {
    /// Adds the fields that tell of it.
    pub(super) fn announce(&self, fields: &mut HeaderMap) {
        fields.insert(API_VERSION_PREVIEW, self.table.field.clone());
        let status = match &self.outcome {
            Outcome::Patch(patch) => {
                fields.insert(PATCH, patch.clone());
                Some(StatusCode::OK)
            }
            Outcome::TooLarge(bytes) => {
                let text = HeaderValue::try_from(format!("too-large;bytes={bytes}"));
                fields.insert(OMITTED, text.expect("words and digits"));
                Some(StatusCode::OK)
            }
            Outcome::Refused(status) => Some(*status),
            Outcome::NotSafe => {
                fields.insert(OMITTED, HeaderValue::from_static("not-safe"));
                None
            }
        };
        if let Some(status) = status {
            fields.insert(STATUS, HeaderValue::from(status.as_u16()));
        }
    }
}

impl Pipeline {
    /// The date whose answer is asked for beside the own one.
    ///
    /// # Errors
    /// [`ErrorCode::MalformedRequest`], where it is no date, none that this key may use, or not newer.
    pub(super) fn preview_wanted(
        &'static self,
        call: &Call<'_>,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<&'static VersionTable, Error> {
        let mut values = call.head.headers.get_all(API_VERSION_PREVIEW).iter();
        let value = values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok());
        let dates = &settings.dates;
        let open = |table: &&VersionTable| {
            dates.calendar.state(table.index, now).is_open_to(call.caller.key.environment)
        };
        let newer = |table: &&VersionTable| table.index > call.table.index;
        let wanted = value.and_then(|name| self.catalog.named(name)).filter(newer).filter(open);
        wanted.ok_or_else(|| {
            let choices = self.catalog.tables().iter().filter(newer).filter(open).map(|table| table.version);
            let version = call.table.version;
            Error::new(
                ErrorCode::MalformedRequest,
                format!("`api-version-preview` names one version that is newer than {version}; see `supportedVersions`."),
            )
            .with_help(Help { supported_versions: Some(choices.collect()), ..Help::default() })
        })
    }

    /// Makes the call at the newer date. `context` is the call's own; `own` is the answer that was given.
    pub(super) async fn preview(
        &'static self,
        table: &'static VersionTable,
        call: &Call<'_>,
        context: &Context<'_>,
        input: Input<'_>,
        own: &[u8],
        settings: &Settings,
    ) -> Preview {
        if !call.entry.route.safe {
            return Preview { table, outcome: Outcome::NotSafe };
        }
        let context = Context { version: table.version, ..*context };
        let outcome = match self.answer_at(table, call, &context, input).await {
            Ok(Some(newer)) => difference(own, &newer, settings.limits.preview_patch_bytes_max),
            Ok(None) => Outcome::NotSafe,
            Err(error) => Outcome::Refused(error.code.status()),
        };
        Preview { table, outcome }
    }

    /// The body of the newer date's answer, or `None` where its endpoint is not safe.
    async fn answer_at(
        &'static self,
        table: &'static VersionTable,
        call: &Call<'_>,
        context: &Context<'_>,
        input: Input<'_>,
    ) -> Result<Option<bytes::Bytes>, Error> {
        let (resource, mut newer) = table.resource(self.catalog.below(call.head.uri.path()))?;
        let entry = self.catalog.entry(table, resource, &call.entry.route.method)?;
        let required = entry.route.permission;
        let key = &call.caller.key;
        key.permissions.authorize(required).map_err(|_| lacking(required, key))?;
        if !entry.route.safe {
            return Ok(None);
        }
        (newer.query, newer.content) = (input.query, input.content);
        answer(entry, context, newer).await.map(Some)
    }
}

fn difference(own: &[u8], newer: &[u8], bytes_max: usize) -> Outcome {
    // Both are answers of ours: JSON.
    let values = [own, newer].map(serde_json::from_slice::<Value>);
    let [Ok(own), Ok(newer)] = values else { return Outcome::Refused(StatusCode::INTERNAL_SERVER_ERROR) };
    let patch = json_patch::diff(&own, &newer);
    let mut text = Vec::new();
    let written = serde::Serialize::serialize(&patch, &mut Serializer::with_formatter(&mut text, Ascii));
    if text.len() > bytes_max {
        return Outcome::TooLarge(text.len());
    }
    match (written, HeaderValue::try_from(text)) {
        (Ok(()), Ok(field)) => Outcome::Patch(field),
        _ => Outcome::Refused(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

/// JSON in ASCII: a field's value may hold nothing else (RFC 9110 §5.5).
struct Ascii;

impl Formatter for Ascii {
    fn write_string_fragment<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> std::io::Result<()> {
        for character in fragment.chars() {
            if character.is_ascii() && character != '\u{7f}' {
                write!(writer, "{character}")?;
            } else {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    write!(writer, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }

    fn write_char_escape<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        escape: CharEscape,
    ) -> std::io::Result<()> {
        serde_json::ser::CompactFormatter.write_char_escape(writer, escape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patch_leads_from_one_body_to_the_other() {
        let own = r#"{"status":"success","RRT":"0.08 ms","name":"caf\u00e9"}"#;
        let newer = r#"{"status":"success","processingTimeMs":0.081,"name":"😀 é \u007f\n"}"#;
        let Outcome::Patch(field) = difference(own.as_bytes(), newer.as_bytes(), 4096) else {
            panic!("there is a patch");
        };
        let text = field.to_str().unwrap();
        assert!(text.is_ascii(), "{text}");
        let patch: json_patch::Patch = serde_json::from_str(text).unwrap();
        let mut document: Value = serde_json::from_str(own).unwrap();
        json_patch::patch(&mut document, &patch).unwrap();
        assert_eq!(document, serde_json::from_str::<Value>(newer).unwrap());
    }

    #[test]
    fn a_patch_that_is_too_large_tells_its_size() {
        let newer = format!(r#"{{"a":"{}"}}"#, "x".repeat(100));
        assert!(matches!(difference(b"{}", newer.as_bytes(), 100), Outcome::TooLarge(bytes) if bytes > 100));
    }
}
