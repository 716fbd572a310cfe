//! Refuses requests that a page of another origin makes with the cookies of this one.
//!
//! For requests that a cookie authenticates only: other clients have none of these fields, and a page cannot
//! make their requests, because it does not have their credential.

use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, header};

/// Where a browser says a request comes from (Fetch Metadata). Pages cannot write it.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a request may come from a page of another origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CrossOrigin {
    /// The browser says so.
    #[error("The request comes from a page of another site (`Sec-Fetch-Site`). Use the form of this page.")]
    OtherSite,
    /// `Origin` is not the request's own.
    #[error("The request comes from a page of another origin (`Origin`). Use the form of this page.")]
    OtherOrigin,
    /// A field was sent twice.
    #[error("The request says more than once where it comes from (`Sec-Fetch-Site`, `Origin`).")]
    Repeated,
    /// It has neither field, which no current browser leaves out.
    #[error(
        "The request does not say where it comes from: `Sec-Fetch-Site` and `Origin` are both missing. Use the form of this page in a current browser."
    )]
    Unknown,
}

/// Refuses a request that changes something, unless a page of its own origin or the user made it. `scheme` is
/// the one that the client used: "http" or "https".
///
/// # Errors
/// [`CrossOrigin`]; the status is 403.
pub(crate) fn check_same_origin(head: &Parts, scheme: &str) -> Result<(), CrossOrigin> {
    if matches!(head.method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    // An origin that only shares the site (another port, another subdomain) is another.
    match once(head, &SEC_FETCH_SITE)?.map(HeaderValue::as_bytes) {
        // The user made it: a typed address, a bookmark.
        Some(b"same-origin" | b"none") => return Ok(()),
        Some(_) => return Err(CrossOrigin::OtherSite),
        None => {}
    }
    // Older browsers, and plain HTTP other than to this machine.
    let origin = once(head, &header::ORIGIN)?.ok_or(CrossOrigin::Unknown)?;
    let own = authority(head)?.ok_or(CrossOrigin::OtherOrigin)?;
    let is_own = origin.to_str().is_ok_and(|origin| {
        origin.split_once("://").is_some_and(|(origin_scheme, origin_authority)| {
            origin_scheme == scheme
                && without_default_port(origin_authority, scheme)
                    .eq_ignore_ascii_case(without_default_port(own, scheme))
        })
    });
    if is_own { Ok(()) } else { Err(CrossOrigin::OtherOrigin) }
}

/// The host and port that the request is for; the checks of the head have made sure that it is one.
fn authority(head: &Parts) -> Result<Option<&str>, CrossOrigin> {
    match head.uri.authority() {
        Some(authority) => Ok(Some(authority.as_str())),
        None => Ok(once(head, &header::HOST)?.and_then(|host| host.to_str().ok())),
    }
}

fn without_default_port<'a>(authority: &'a str, scheme: &str) -> &'a str {
    let port = if scheme == "https" { ":443" } else { ":80" };
    authority.strip_suffix(port).unwrap_or(authority)
}

fn once<'h>(head: &'h Parts, name: &HeaderName) -> Result<Option<&'h HeaderValue>, CrossOrigin> {
    let mut values = head.headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(CrossOrigin::Repeated),
        (first, None) => Ok(first),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::CrossOrigin::{OtherOrigin, OtherSite, Repeated, Unknown};
    use super::*;

    fn check(method: &str, host: &str, scheme: &str, fields: &[(&str, &str)]) -> Result<(), CrossOrigin> {
        let mut request = Request::builder().method(method).uri("/").header("host", host);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        check_same_origin(&request.body(()).unwrap().into_parts().0, scheme)
    }

    /// The cases of Go's `http.CrossOriginProtection`, of which only one differs: neither field.
    #[test]
    fn the_cases_of_gos_cross_origin_protection() {
        const SITE: &str = "sec-fetch-site";
        const ORIGIN: &str = "origin";
        let own = "https://example.com";
        type Case<'c> = (&'c str, &'c [(&'c str, &'c str)], Result<(), CrossOrigin>);
        let cases: &[Case<'_>] = &[
            ("POST", &[(SITE, "same-origin")], Ok(())),
            ("POST", &[(SITE, "none")], Ok(())),
            ("POST", &[(SITE, "cross-site")], Err(OtherSite)),
            ("POST", &[(SITE, "same-site")], Err(OtherSite)),
            // Go takes these two as a request of another client.
            ("POST", &[], Err(Unknown)),
            ("PUT", &[], Err(Unknown)),
            ("POST", &[(ORIGIN, own)], Ok(())),
            ("POST", &[(ORIGIN, "https://attacker.example")], Err(OtherOrigin)),
            ("POST", &[(ORIGIN, "null")], Err(OtherOrigin)),
            ("POST", &[(ORIGIN, "")], Err(OtherOrigin)),
            ("GET", &[(SITE, "cross-site")], Ok(())),
            ("HEAD", &[(SITE, "cross-site")], Ok(())),
            ("OPTIONS", &[(SITE, "cross-site")], Ok(())),
            ("GET", &[(ORIGIN, "https://attacker.example")], Ok(())),
            ("PUT", &[(SITE, "cross-site")], Err(OtherSite)),
            ("DELETE", &[(SITE, "cross-site")], Err(OtherSite)),
            // What the browser says of the site decides: `Referrer-Policy: no-referrer` makes the origin `null`.
            ("POST", &[(SITE, "same-origin"), (ORIGIN, "null")], Ok(())),
            ("POST", &[(SITE, "cross-site"), (ORIGIN, own)], Err(OtherSite)),
            ("POST", &[(SITE, "same-site"), (ORIGIN, own)], Err(OtherSite)),
            ("POST", &[(SITE, "same-origin, same-origin")], Err(OtherSite)),
            ("POST", &[(SITE, "Same-Origin")], Err(OtherSite)),
            ("POST", &[(SITE, "")], Err(OtherSite)),
            ("POST", &[(SITE, "same-origin"), (SITE, "cross-site")], Err(Repeated)),
            ("POST", &[(ORIGIN, own), (ORIGIN, "https://attacker.example")], Err(Repeated)),
        ];
        for (method, fields, expected) in cases {
            assert_eq!(check(method, "example.com", "https", fields), *expected, "{method} {fields:?}");
        }
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        for (host, scheme, origin, is_own) in [
            ("example.com", "https", "https://example.com", true),
            ("example.com:443", "https", "https://example.com", true),
            ("example.com", "https", "https://example.com:443", true),
            ("Example.COM", "https", "https://example.com", true),
            ("127.0.0.1:10109", "http", "http://127.0.0.1:10109", true),
            ("[::1]:10109", "http", "http://[::1]:10109", true),
            ("example.com:80", "http", "http://example.com", true),
            ("example.com", "https", "http://example.com", false),
            ("example.com", "http", "https://example.com", false),
            ("example.com:80", "https", "https://example.com", false),
            ("127.0.0.1:10109", "http", "http://127.0.0.1:10108", false),
            ("127.0.0.1:10109", "http", "http://127.0.0.1", false),
            ("127.0.0.1:10109", "http", "http://localhost:10109", false),
            ("example.com", "https", "https://example.com.attacker.example", false),
            ("example.com", "https", "https://attacker.example/https://example.com", false),
            ("example.com", "https", "https://example.com/", false),
            ("example.com", "https", "example.com", false),
        ] {
            let expected = if is_own { Ok(()) } else { Err(OtherOrigin) };
            assert_eq!(check("POST", host, scheme, &[("origin", origin)]), expected, "{host} {origin}");
        }
    }

    #[test]
    fn a_target_with_a_host_decides_over_the_host_field() {
        let request = Request::post("http://127.0.0.1:1/").header("host", "evil:2");
        let (head, ()) = request.header("origin", "http://evil:2").body(()).unwrap().into_parts();
        assert_eq!(check_same_origin(&head, "http"), Err(OtherOrigin));
    }
}
