//! Cookies: read from a request, built for a response (RFC 6265).

use http::request::Parts;
use http::{HeaderValue, header};

/// Every value of a cookie in a request. There may be several, in any order: a page of another port or
/// subdomain can add one, so a caller looks for one that is valid and does not trust the first.
pub(crate) fn cookies<'h>(head: &'h Parts, name: &'h str) -> impl Iterator<Item = &'h str> {
    // HTTP/2 and HTTP/3 may send one field for each (RFC 9113 §8.2.3).
    let fields = head.headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    fields
        .flat_map(|field| field.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter_map(move |(found, value)| (found == name).then_some(value))
}

/// A cookie to set, which scripts cannot read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SetCookie<'a> {
    /// Its name; one that begins with `__Host-` needs `path` "/" and `is_secure`.
    pub(crate) name: &'a str,
    /// Its value, of letters and digits; empty removes it.
    pub(crate) value: &'a str,
    /// The path below which it is sent.
    pub(crate) path: &'a str,
    /// Whether it is sent over TLS only.
    pub(crate) is_secure: bool,
    /// Whether links from other sites carry it.
    pub(crate) same_site: SameSite,
    /// How long it is kept; none is until the browser closes.
    pub(crate) max_age_seconds: Option<u64>,
}

/// What requests from other sites carry the cookie.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SameSite {
    /// Links.
    Lax,
    /// None.
    Strict,
}

impl SetCookie<'_> {
    /// The value of `Set-Cookie`; none where a part has a character that could end it.
    pub(crate) fn field(&self) -> Option<HeaderValue> {
        let Self { name, value, path, is_secure, same_site, max_age_seconds } = self;
        let is_plain =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && !b";,\"\\".contains(&byte));
        if ![name, value, path].iter().all(|part| is_plain(part)) || name.contains('=') {
            return None;
        }
        let mut text = format!("{name}={value}; Path={path}; HttpOnly; SameSite={same_site:?}");
        if *is_secure {
            text.push_str("; Secure");
        }
        let age = if value.is_empty() { Some(0) } else { *max_age_seconds };
        if let Some(age) = age {
            text.push_str(&format!("; Max-Age={age}"));
        }
        HeaderValue::try_from(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn every_value_of_the_name_is_found() {
        let request = Request::get("/")
            .header("cookie", "a=1; session=one; sessions=no;session=two")
            .header("cookie", "session = no; b; session=; session=x=y");
        let (head, ()) = request.body(()).unwrap().into_parts();
        assert_eq!(cookies(&head, "session").collect::<Vec<_>>(), ["one", "two", "", "x=y"]);
        assert_eq!(cookies(&head, "missing").count(), 0);
    }

    #[test]
    fn a_cookie_has_all_its_attributes() {
        let mut cookie = SetCookie {
            name: "__Host-session",
            value: "abc",
            path: "/",
            is_secure: true,
            same_site: SameSite::Lax,
            max_age_seconds: Some(60),
        };
        let text = |cookie: SetCookie<'_>| cookie.field().map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(
            text(cookie).as_deref(),
            Some("__Host-session=abc; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=60")
        );
        cookie = SetCookie { is_secure: false, same_site: SameSite::Strict, max_age_seconds: None, ..cookie };
        assert_eq!(text(cookie).as_deref(), Some("__Host-session=abc; Path=/; HttpOnly; SameSite=Strict"));
        cookie.value = "";
        assert_eq!(
            text(cookie).as_deref(),
            Some("__Host-session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0")
        );
        for value in ["a;b", "a b", "a\r\nb", "a,b", "ä"] {
            assert_eq!(text(SetCookie { value, ..cookie }), None, "{value}");
        }
    }
}
