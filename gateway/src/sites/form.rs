//! The content of a form (`application/x-www-form-urlencoded`), and the response fields of pages with forms.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use percent_encoding::percent_decode;
use versions::{Error, ErrorCode};

/// The largest form that is taken, in bytes.
pub(super) const FORM_BYTES_MAX: usize = 64 * 1024;
/// The most fields of a form.
const FORM_FIELDS_MAX: usize = 256;

/// Styles, images and forms of this site only: no scripts, no frames.
const CONTENT_SECURITY_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
);
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// Other origins get no address of these pages. With `no-referrer`, browsers would send `Origin: null` with this
/// site's own forms, and those without `Sec-Fetch-Site` could not use them.
const OWN_ORIGIN_ONLY: HeaderValue = HeaderValue::from_static("same-origin");
const CROSS_ORIGIN_OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");

/// Adds the response fields that every page of a site with forms has.
pub(super) fn add_form_fields(fields: &mut HeaderMap) {
    fields.insert(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY);
    fields.insert(header::CACHE_CONTROL, NO_STORE);
    fields.insert(header::REFERRER_POLICY, OWN_ORIGIN_ONLY);
    fields.insert(CROSS_ORIGIN_OPENER_POLICY, SAME_ORIGIN);
    fields.insert(CROSS_ORIGIN_RESOURCE_POLICY, SAME_ORIGIN);
}

/// Refuses content of any type other than a form's, or with a content coding. A form always has its type, so a
/// request without one is refused too.
///
/// # Errors
/// [`ErrorCode::UnsupportedMediaType`].
pub(super) fn check_type(fields: &HeaderMap) -> Result<(), Error> {
    let refused = |detail| Err(Error::new(ErrorCode::UnsupportedMediaType, detail));
    if fields.contains_key(header::CONTENT_ENCODING) {
        return refused("Content is taken as it is, in no coding.");
    }
    let mut types = fields.get_all(header::CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else {
        return refused("The request needs one `Content-Type`: `application/x-www-form-urlencoded`.");
    };
    let kind = only.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    if kind.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
        return Ok(());
    }
    refused("Content is taken as `application/x-www-form-urlencoded` only.")
}

/// The fields of a form, in their order. Its values are not printed: they may be secrets.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads the content of a request.
    ///
    /// # Errors
    /// [`ErrorCode::MalformedRequest`] where it has too many fields or one that is not UTF-8.
    pub(super) fn parse(content: &[u8]) -> Result<Self, Error> {
        let malformed = |detail: &'static str| Error::new(ErrorCode::MalformedRequest, detail);
        let mut fields = Vec::new();
        for pair in content.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            if fields.len() == FORM_FIELDS_MAX {
                return Err(malformed("The form has too many fields."));
            }
            let equals = pair.iter().position(|byte| *byte == b'=');
            let (name, value) = match equals {
                Some(place) => (&pair[..place], &pair[place + 1..]),
                None => (pair, &[][..]),
            };
            let (Some(name), Some(value)) = (decode(name), decode(value)) else {
                return Err(malformed("The form has a field that is not UTF-8."));
            };
            fields.push((name, value));
        }
        Ok(Self(fields))
    }

    /// The value of a field that may be there once; none where it is missing.
    ///
    /// # Errors
    /// [`ErrorCode::MalformedRequest`] where it is there more than once.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, Error> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (first, None) => Ok(first),
            _ => {
                let detail = format!("The form has the field `{name}` more than once.");
                Err(Error::new(ErrorCode::MalformedRequest, detail))
            }
        }
    }

    /// All values of a field, such as the boxes that are checked.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// Whether any field is there more than once.
    pub(super) fn is_ambiguous(&self) -> bool {
        let mut names: Vec<&str> = self.0.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| pair[0] == pair[1])
    }

    /// The name of a field that is none of these.
    pub(super) fn other_than(&self, names: &[&str]) -> Option<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).find(|name| !names.contains(name))
    }
}

fn decode(text: &[u8]) -> Option<String> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Some(percent_decode(&spaced).decode_utf8().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_and_kept_apart() {
        let form = Form::parse(b"a=1&b=x+y%26z%3D&c&b=%C3%A4&&d==").ok().unwrap();
        assert_eq!(form.one("a").ok(), Some(Some("1")));
        assert_eq!(form.all("b").collect::<Vec<_>>(), ["x y&z=", "ä"]);
        assert_eq!(form.one("b").unwrap_err().detail, "The form has the field `b` more than once.");
        assert_eq!((form.one("c").ok(), form.one("d").ok()), (Some(Some("")), Some(Some("="))));
        assert_eq!(form.one("e").ok(), Some(None));
        assert_eq!(form.other_than(&["a", "b", "c"]), Some("d"));
        assert_eq!(form.other_than(&["a", "b", "c", "d"]), None);
    }

    #[test]
    fn a_form_is_bounded_text() {
        assert!(Form::parse(b"a=%ff").is_err());
        assert!(Form::parse(&[b'a', b'=', 0xff]).is_err());
        assert!(Form::parse(&b"a=1&".repeat(FORM_FIELDS_MAX)).is_ok());
        assert!(Form::parse(&b"a=1&".repeat(FORM_FIELDS_MAX + 1)).is_err());
    }

    #[test]
    fn only_a_forms_type_is_taken() {
        let check = |types: &[&'static str]| {
            let values = types.iter().map(|value| (header::CONTENT_TYPE, HeaderValue::from_static(value)));
            check_type(&values.collect()).is_ok()
        };
        for types in [
            &["application/x-www-form-urlencoded"][..],
            &["Application/X-WWW-Form-Urlencoded ; charset=UTF-8"],
        ] {
            assert!(check(types), "{types:?}");
        }
        for types in [
            &[][..],
            &[""],
            &["text/plain"],
            &["multipart/form-data; boundary=x"],
            &["application/json"],
            &["application/x-www-form-urlencoded", "text/plain"],
        ] {
            assert!(!check(types), "{types:?}");
        }
    }
}
