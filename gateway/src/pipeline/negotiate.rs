//! Content negotiation: `Accept`, early data, and the type and coding of content.

use http::{HeaderMap, HeaderValue, header};
use versions::{Error, ErrorCode};

use crate::http::Field;

/// Refuses a request whose `Accept` excludes JSON (RFC 9110 §12.5.1).
///
/// # Errors
/// [`ErrorCode::NotAcceptable`].
pub(super) fn accept(accept: Field<'_>, fields: &HeaderMap) -> Result<(), Error> {
    match accept {
        // The value that nearly every client sends.
        Field::Missing => return Ok(()),
        Field::Once(value) if value == "*/*" || value == "application/json" => return Ok(()),
        Field::Once(_) | Field::Repeated(_) => {}
    }
    // The most specific range that includes JSON decides: `application/json`, `application/*`, `*/*`.
    let mut decides: Option<(usize, bool)> = None;
    let mut empty = true;
    for value in fields.get_all(header::ACCEPT) {
        let value = value.as_bytes();
        for range in value.split(|byte| *byte == b',') {
            if let Some((rank, allowed)) = json_in(range)
                && decides.is_none_or(|(known, _)| rank < known)
            {
                decides = Some((rank, allowed));
            }
        }
        empty &= value.is_empty();
    }
    if decides.map_or(empty, |(_, allowed)| allowed) {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::NotAcceptable,
        "Answers are `application/json`, which the request's `Accept` does not allow.",
    ))
}

/// The rank of a range that includes JSON, 0 for the most specific, and whether its weight is above 0.
fn json_in(range: &[u8]) -> Option<(usize, bool)> {
    let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let kind = parts.next().unwrap_or_default();
    let rank = [&b"application/json"[..], b"application/*", b"*/*"]
        .iter()
        .position(|json| kind.eq_ignore_ascii_case(json))
        // The form of `*/*` that Java's built-in client sends.
        .or_else(|| (kind == b"*").then_some(2))?;
    Some((rank, !parts.any(is_weight_zero)))
}

/// `q=0`, `q=0.000`.
fn is_weight_zero(parameter: &[u8]) -> bool {
    let Some((name, weight)) = parameter.split_at_checked(2) else { return false };
    name.eq_ignore_ascii_case(b"q=")
        && weight.first() == Some(&b'0')
        && !weight.iter().any(|digit| (b'1'..=b'9').contains(digit))
}

/// Refuses a request that an intermediary forwarded before the client's handshake was complete, unless a
/// replay is harmless for the endpoint (RFC 8470 §5.2).
///
/// # Errors
/// [`ErrorCode::TooEarly`].
pub(super) fn early_data(early_data: Field<'_>, safe: bool) -> Result<(), Error> {
    if safe || early_data.first().is_none_or(|value| value != "1") {
        return Ok(());
    }
    Err(Error::new(
        ErrorCode::TooEarly,
        "The request came as early data. Send it again once the handshake is done.",
    ))
}

/// Refuses content of any type other than JSON, or with a content coding.
///
/// # Errors
/// [`ErrorCode::UnsupportedMediaType`].
pub(super) fn content(fields: &HeaderMap) -> Result<(), Error> {
    let coded = fields
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if coded {
        return Err(Error::new(ErrorCode::UnsupportedMediaType, "Content is taken as it is, in no coding."));
    }
    let is_json = |value: &HeaderValue| {
        let kind = value.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"application/json")
    };
    if fields.get_all(header::CONTENT_TYPE).iter().all(is_json) {
        return Ok(());
    }
    Err(Error::new(ErrorCode::UnsupportedMediaType, "Content is taken as `application/json` only."))
}

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;
    use crate::http::Fields;

    fn fields(name: HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn accept_must_include_json() {
        for values in [
            &[][..],
            &["*/*"],
            &["*"],
            &["text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"],
            &[""],
            &["application/json"],
            &["text/html, application/*;q=0.5"],
            &["text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"],
            &["text/html", "Application/JSON ; charset=utf-8"],
            &["application/json;q=0.001"],
        ] {
            let fields = fields(header::ACCEPT, values);
            assert!(accept(Fields::find(&fields).accept, &fields).is_ok(), "{values:?}");
        }
        for values in [
            &["text/html"][..],
            &["application/xml"],
            &["application/json;q=0"],
            &["application/json;q=0, */*"],
            &["*/*; Q=0.000"],
            &["*;q=0"],
            &["application/json;q=0, *"],
            &[","],
        ] {
            let fields = fields(header::ACCEPT, values);
            let error = accept(Fields::find(&fields).accept, &fields).unwrap_err();
            assert_eq!(error.code, ErrorCode::NotAcceptable, "{values:?}");
        }
    }

    #[test]
    fn early_data_is_for_endpoints_that_allow_it() {
        let early = fields(HeaderName::from_static("early-data"), &["1"]);
        let early = Fields::find(&early).early_data;
        assert_eq!(early_data(early, false).unwrap_err().code, ErrorCode::TooEarly);
        assert!(early_data(early, true).is_ok());
        assert!(early_data(Field::Missing, false).is_ok());
    }

    #[test]
    fn content_is_plain_json() {
        for kind in ["application/json", "APPLICATION/json; charset=utf-8"] {
            assert!(content(&fields(header::CONTENT_TYPE, &[kind])).is_ok(), "{kind}");
        }
        assert!(content(&HeaderMap::new()).is_ok());
        assert!(content(&fields(header::CONTENT_ENCODING, &["identity"])).is_ok());
        for kind in ["text/plain", "application/jsonp", "", "application/xml"] {
            let error = content(&fields(header::CONTENT_TYPE, &[kind])).unwrap_err();
            assert_eq!(error.code, ErrorCode::UnsupportedMediaType, "{kind}");
        }
        assert!(content(&fields(header::CONTENT_ENCODING, &["gzip"])).is_err());
    }
}
