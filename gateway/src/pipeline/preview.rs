//! Previews: how a newer date would respond, reported with the response of the requested date.
//!
//! A request with `api-version-preview: DATE` gets the usual response. The newer date's endpoint is called
//! too, and three fields report the outcome: `api-version-preview` repeats the date,
//! `api-version-preview-status` is its status, and `api-version-preview-patch` is the JSON Patch (RFC 6902)
//! from the one body to the other, as ASCII. Only safe endpoints are called a second time.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use serde_json::ser::{CharEscape, Formatter, Serializer};
use versions::{Body, Context, Error, ErrorCode, Help, Input, Reply, VersionTable};

use super::Pipeline;
use super::exchange::Exchange;
use super::handle::{Call, reply};
use crate::http::API_VERSION_PREVIEW;

const STATUS: HeaderName = HeaderName::from_static("api-version-preview-status");
const PATCH: HeaderName = HeaderName::from_static("api-version-preview-patch");
const OMITTED: HeaderName = HeaderName::from_static("api-version-preview-omitted");

/// The outcome of a preview.
enum Outcome {
    /// The status, and the patch from the one body to the other.
    Patch(StatusCode, HeaderValue),
    /// The status, but the patch is too large; its size in bytes.
    TooLarge(StatusCode, usize),
    /// The status, but one of the two bodies is not JSON.
    NotJson(StatusCode),
    /// An error.
    Refused(StatusCode),
    /// One of the two endpoints is not safe, so there is no second call.
    NotSafe,
}

impl Outcome {
    /// The response fields that report it, for the date with the name `version`.
    fn into_fields(self, version: HeaderValue) -> HeaderMap {
        let mut fields = HeaderMap::with_capacity(3);
        fields.insert(API_VERSION_PREVIEW, version);
        let (status, omitted) = match self {
            Self::Patch(status, patch) => {
                fields.insert(PATCH, patch);
                (Some(status), None)
            }
            Self::TooLarge(status, bytes) => (Some(status), Some(format!("too-large;bytes={bytes}"))),
            Self::NotJson(status) => (Some(status), Some("not-json".to_owned())),
            Self::Refused(status) => (Some(status), None),
            Self::NotSafe => (None, Some("not-safe".to_owned())),
        };
        if let Some(omitted) = omitted {
            fields.insert(OMITTED, HeaderValue::try_from(omitted).expect("words and digits"));
        }
        if let Some(status) = status {
            fields.insert(STATUS, HeaderValue::from(status.as_u16()));
        }
        fields
    }
}

impl Pipeline {
    /// The date to preview, if one is requested.
    ///
    /// # Errors
    /// [`ErrorCode::MalformedRequest`], if it is not a date, not open to this caller, or not newer.
    pub(super) fn preview_version<'a>(
        &self,
        exchange: &Exchange<'a>,
        call: &Call<'_>,
    ) -> Result<&'a VersionTable, Error> {
        let mut values = exchange.head.headers.get_all(API_VERSION_PREVIEW).iter();
        let value = values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok());
        let (dates, catalog) = (&exchange.snapshot.dates, &exchange.snapshot.catalog);
        let (environment, now) = (call.caller.identity().environment, exchange.record.time);
        let open = |table: &&VersionTable| dates.calendar.state(table.index, now).is_open_to(environment);
        let newer = |table: &&VersionTable| table.index > call.table.index;
        let wanted = value.and_then(|name| catalog.named(name)).filter(newer).filter(open);
        wanted.ok_or_else(|| {
            let choices = catalog.tables().iter().filter(newer).filter(open).map(|table| table.version);
            let version = call.table.version;
            Error::new(
                ErrorCode::MalformedRequest,
                format!("`api-version-preview` names one version that is newer than {version}; see `supportedVersions`."),
            )
            .with_help(Help { supported_versions: Some(choices.collect()), ..Help::default() })
        })
    }

    /// Calls the newer date's endpoint and reports the outcome as fields. `context` is the request's; `body`
    /// is that of the response.
    pub(super) async fn preview(
        &'static self,
        exchange: &Exchange<'_>,
        table: &VersionTable,
        call: &Call<'_>,
        context: &Context<'_>,
        input: Input<'_>,
        body: &[u8],
    ) -> HeaderMap {
        let context = Context { version: table.version, ..*context };
        let outcome = if !call.entry.route.safe {
            Outcome::NotSafe
        } else {
            match preview_reply(exchange, table, call, &context, input).await {
                Ok(Some(newer)) => {
                    let status = newer.status.unwrap_or(StatusCode::OK);
                    let newer = if let Body::Full(body) = newer.body { body } else { "null".into() };
                    let bytes_max = exchange.snapshot.limits.preview_patch_bytes_max;
                    difference(status, body, &newer, bytes_max)
                }
                Ok(None) => Outcome::NotSafe,
                Err(error) => Outcome::Refused(error.code.status()),
            }
        };
        outcome.into_fields(table.field.clone())
    }
}

/// The newer date's reply, or `None` if its endpoint is not safe.
async fn preview_reply(
    exchange: &Exchange<'_>,
    table: &VersionTable,
    call: &Call<'_>,
    context: &Context<'_>,
    input: Input<'_>,
) -> Result<Option<Reply>, Error> {
    let catalog = &exchange.snapshot.catalog;
    let (resource, mut newer) = table.resource(catalog.below(exchange.head.uri.path()))?;
    let entry = catalog.entry(table, resource, &call.entry.route.method)?;
    call.caller.authorize(entry.route.permission, entry.version)?;
    if !entry.route.safe {
        return Ok(None);
    }
    (newer.query, newer.content) = (input.query, input.content);
    reply(entry, context, newer).await.map(Some)
}

fn difference(status: StatusCode, given: &[u8], newer: &[u8], bytes_max: usize) -> Outcome {
    let values = [given, newer].map(serde_json::from_slice::<Value>);
    let [Ok(given), Ok(newer)] = values else { return Outcome::NotJson(status) };
    let patch = json_patch::diff(&given, &newer);
    let mut text = Vec::new();
    let written = serde::Serialize::serialize(&patch, &mut Serializer::with_formatter(&mut text, Ascii));
    if text.len() > bytes_max {
        return Outcome::TooLarge(status, text.len());
    }
    match (written, HeaderValue::try_from(text)) {
        (Ok(()), Ok(field)) => Outcome::Patch(status, field),
        _ => Outcome::NotJson(status),
    }
}

/// Formats JSON in ASCII, as a field's value must be (RFC 9110 §5.5).
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
    fn the_patch_turns_one_body_into_the_other() {
        let older = r#"{"status":"success","RRT":"0.08 ms","name":"caf\u00e9"}"#;
        let newer = r#"{"status":"success","processingTimeMs":0.081,"name":"😀 é \u007f\n"}"#;
        let Outcome::Patch(_, field) = difference(StatusCode::OK, older.as_bytes(), newer.as_bytes(), 4096)
        else {
            panic!("there is a patch");
        };
        let text = field.to_str().unwrap();
        assert!(text.is_ascii(), "{text}");
        let patch: json_patch::Patch = serde_json::from_str(text).unwrap();
        let mut document: Value = serde_json::from_str(older).unwrap();
        json_patch::patch(&mut document, &patch).unwrap();
        assert_eq!(document, serde_json::from_str::<Value>(newer).unwrap());
    }

    #[test]
    fn a_patch_that_is_too_large_reports_its_size() {
        let newer = format!(r#"{{"a":"{}"}}"#, "x".repeat(100));
        assert!(
            matches!(difference(StatusCode::OK, b"{}", newer.as_bytes(), 100), Outcome::TooLarge(_, bytes) if bytes > 100)
        );
    }
}
