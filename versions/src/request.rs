//! Decodes path, query and content into the typed request of an endpoint.
//!
//! Fields come as text from the path and the query, and as JSON from the content. They are collected in one
//! map, from which the request is deserialized. An error names the field.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use http::Method;
use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::de::value::{Error as Invalid, MapDeserializer, StrDeserializer};
use serde::de::{DeserializeOwned, Error as _, IntoDeserializer, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};
use serde_json::Value;

use crate::{Error, ErrorCode};

/// The request of an endpoint without parameters; a query is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Empty {}

/// The undecoded input of a request.
#[derive(Clone, Default)]
pub struct Input<'a> {
    /// Path parameters. Boxed, because most paths have none, which keeps the input small.
    pub(crate) parameters: Option<Box<matchit::Params<'a, 'a>>>,
    /// The query, without the `?`; empty if there is none.
    pub query: &'a str,
    /// The content; empty for methods without content.
    pub content: Bytes,
}

impl Input<'_> {
    /// Whether the path has parameters.
    #[must_use]
    pub fn has_parameters(&self) -> bool {
        self.parameters.is_some()
    }
}

/// Whether requests of this method have their fields in JSON content instead of a query.
#[must_use]
pub fn has_content(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// Decodes the typed request.
///
/// # Errors
/// [`ErrorCode::MalformedRequest`], with the invalid field.
pub(crate) fn decode<R: DeserializeOwned>(method: &Method, input: &Input<'_>) -> Result<R, Error> {
    if size_of::<R>() == 0 {
        let nothing = MapDeserializer::<_, Invalid>::new(std::iter::empty::<(&str, &str)>());
        return R::deserialize(nothing).map_err(Error::internal);
    }
    let mut fields = Vec::new();
    for (name, text) in input.parameters.iter().flat_map(|parameters| parameters.iter()) {
        let text = percent_decode_str(text).decode_utf8().map_err(|_| malformed(name, "it is not UTF-8"))?;
        fields.push((Cow::Borrowed(name), RequestField::Text(text)));
    }
    // Without content there is nothing but the path, which is enough where every field of the content is optional.
    if has_content(method) && !input.content.is_empty() {
        let content = content_fields(&input.content)?;
        fields.extend(content.into_iter().map(|(name, value)| (Cow::Owned(name), RequestField::Json(value))));
    } else if !has_content(method) {
        let query = form_urlencoded::parse(input.query.as_bytes());
        fields.extend(query.map(|(name, text)| (name, RequestField::Text(text))));
    }
    let fields = MapDeserializer::<_, Invalid>::new(fields.into_iter());
    serde_path_to_error::deserialize(fields).map_err(|error| {
        let path = error.path().to_string();
        malformed(&path, error.inner())
    })
}

fn content_fields(content: &[u8]) -> Result<serde_json::Map<String, Value>, Error> {
    serde_json::from_slice(content).map_err(|error| {
        Error::new(ErrorCode::MalformedRequest, format!("The content is not a JSON object: {error}."))
    })
}

fn malformed(field: &str, reason: impl fmt::Display) -> Error {
    // A missing field has no name here; the reason names it.
    let place = if field.is_empty() || field == "." { String::new() } else { format!(" at `{field}`") };
    Error::new(ErrorCode::MalformedRequest, format!("The request is not valid{place}: {reason}."))
}

/// The value of one field.
enum RequestField<'a> {
    Text(Cow<'a, str>),
    Json(Value),
}

impl<'de> IntoDeserializer<'de, Invalid> for RequestField<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Text is parsed as the requested type; JSON is deserialized as it is.
macro_rules! parsed {
    ($($method:ident: $kind:ty => $visit:ident,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Invalid> {
            match self {
                Self::Text(text) => {
                    let value = text.parse::<$kind>().map_err(|reason| {
                        Invalid::custom(format_args!("`{}` is not accepted: {reason}", excerpt(&text)))
                    })?;
                    visitor.$visit(value)
                }
                Self::Json(value) => whole(value).$method(visitor).map_err(Invalid::custom),
            }
        }
    )*};
}

/// A number without a fraction as an integer: in JSON Schema, as in JavaScript, `7.0` is one.
fn whole(value: Value) -> Value {
    /// Beyond this, a double is no exact integer.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    match value.as_f64() {
        Some(number) if value.is_f64() && number.fract() == 0.0 && number.abs() <= EXACT_MAX => {
            format!("{number:.0}").parse().map_or(value, |number: i64| number.into())
        }
        _ => value,
    }
}

/// The start of a caller's text, short enough to be repeated in a response.
fn excerpt(text: &str) -> String {
    text.chars().take(64).collect()
}

impl<'de> Deserializer<'de> for RequestField<'de> {
    type Error = Invalid;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Invalid> {
        match self {
            Self::Text(Cow::Borrowed(text)) => visitor.visit_borrowed_str(text),
            Self::Text(Cow::Owned(text)) => visitor.visit_string(text),
            Self::Json(value) => value.deserialize_any(visitor).map_err(Invalid::custom),
        }
    }

    parsed! {
        deserialize_bool: bool => visit_bool,
        deserialize_i8: i8 => visit_i8,
        deserialize_i16: i16 => visit_i16,
        deserialize_i32: i32 => visit_i32,
        deserialize_i64: i64 => visit_i64,
        deserialize_u8: u8 => visit_u8,
        deserialize_u16: u16 => visit_u16,
        deserialize_u32: u32 => visit_u32,
        deserialize_u64: u64 => visit_u64,
        deserialize_f32: f32 => visit_f32,
        deserialize_f64: f64 => visit_f64,
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Invalid> {
        match self {
            Self::Json(Value::Null) => visitor.visit_none(),
            some => visitor.visit_some(some),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Invalid> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Invalid> {
        match self {
            Self::Text(text) => {
                StrDeserializer::<Invalid>::new(&text).deserialize_enum(name, variants, visitor)
            }
            Self::Json(value) => value.deserialize_enum(name, variants, visitor).map_err(Invalid::custom),
        }
    }

    forward_to_deserialize_any! {
        i128 u128 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct
        identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Request {
        id: u32,
        kind: Kind,
        limit: Option<u8>,
        #[serde(default)]
        exact: bool,
        note: Option<String>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        Small,
        Large,
    }

    fn read(method: &Method, path: &str, query: &str, content: &str) -> Result<Request, String> {
        let mut router = matchit::Router::new();
        router.insert("/things/{kind}/{id}.json", ()).unwrap();
        let parameters = Some(Box::new(router.at(path).unwrap().params));
        let input = Input { parameters, query, content: Bytes::copy_from_slice(content.as_bytes()) };
        decode(method, &input).map_err(|error| {
            assert_eq!(error.code, ErrorCode::MalformedRequest);
            error.detail.into_owned()
        })
    }

    #[test]
    fn fields_come_from_path_and_query() {
        let request =
            read(&Method::GET, "/things/large/7.json", "limit=5&exact=true&note=a%20b+c&other=x", "");
        let note = Some("a b c".to_owned());
        assert_eq!(request, Ok(Request { id: 7, kind: Kind::Large, limit: Some(5), exact: true, note }));
        let request = read(&Method::GET, "/things/small/%37.json", "", "").unwrap();
        assert_eq!(request, Request { id: 7, kind: Kind::Small, limit: None, exact: false, note: None });
    }

    #[test]
    fn fields_come_from_path_and_content() {
        let content = r#"{"limit": 5, "note": "x", "exact": true}"#;
        let request = read(&Method::POST, "/things/small/9.json", "limit=7", content).unwrap();
        let note = Some("x".to_owned());
        assert_eq!(request, Request { id: 9, kind: Kind::Small, limit: Some(5), exact: true, note });
    }

    #[test]
    fn a_number_without_a_fraction_is_an_integer() {
        let limit = |text: &str| {
            let content = format!("{{\"limit\": {text}}}");
            read(&Method::POST, "/things/small/9.json", "", &content).map(|request| request.limit)
        };
        assert_eq!([limit("5"), limit("5.0"), limit("0.5e1")], [Ok(Some(5)), Ok(Some(5)), Ok(Some(5))]);
        for wrong in ["5.5", "-1.0", "256.0", "1e300"] {
            assert!(limit(wrong).is_err_and(|detail| detail.contains("limit")), "{wrong}");
        }
    }

    #[test]
    fn without_content_a_request_has_the_fields_of_its_path() {
        let request = read(&Method::POST, "/things/small/9.json", "limit=7", "").unwrap();
        assert_eq!(request, Request { id: 9, kind: Kind::Small, limit: None, exact: false, note: None });
    }

    #[test]
    fn an_error_names_the_field() {
        for (path, query, expected) in [
            ("/things/small/x.json", "", "`id`"),
            ("/things/middle/1.json", "", "`kind`"),
            ("/things/small/1.json", "limit=256", "`limit`"),
            ("/things/small/1.json", "limit=1&limit=2", "`limit`"),
            ("/things/small/1.json", "id=2", "`id`"),
            ("/things/small/%FF.json", "", "`id`"),
        ] {
            let detail = read(&Method::GET, path, query, "").unwrap_err();
            assert!(detail.contains(expected), "{path}?{query}: {detail}");
        }
        for content in [" ", "[]", "{", r#"{"limit":"5"}"#, r#"{"limit":1,"limit":"x"}"#] {
            let detail = read(&Method::POST, "/things/small/1.json", "", content).unwrap_err();
            assert!(detail.contains("JSON object") || detail.contains("`limit`"), "{content}: {detail}");
        }
    }

    #[test]
    fn an_empty_request_ignores_what_is_sent() {
        let input = Input { parameters: None, query: "x=1", content: Bytes::from("not JSON") };
        assert_eq!(decode::<Empty>(&Method::GET, &input).unwrap(), Empty {});
    }
}
