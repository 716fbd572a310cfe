//! The checks of a request's head: it must be small enough, unambiguous, and for a host of this listener.
//!
//! The protocol libraries have parsed it; what they accept although RFC 9110 to 9114 forbid it is refused
//! here, the same way for all protocols, before anything is looked up.

use std::net::Ipv6Addr;

use http::request::Parts;
use http::{Method, Version};
use versions::{Error, ErrorCode};

use super::{Field, Fields};
use crate::config::Limits;
use crate::transport::Peer;

/// Refuses a head that is too large, contradicts itself or is for another host; returns the fields that are
/// read on the path.
///
/// # Errors
/// [`ErrorCode::UriTooLong`], [`ErrorCode::HeadersTooLarge`], [`ErrorCode::MalformedRequest`],
/// [`ErrorCode::MisdirectedRequest`] or [`ErrorCode::ContentTooLarge`].
pub fn check_head<'h>(head: &'h Parts, limits: &Limits, peer: &Peer) -> Result<Fields<'h>, Error> {
    // First, because this error closes the connection.
    if peer.is_ambiguous() {
        return Err(malformed(
            "The head can be read in two ways: it says more than once, or in no clear form, how long its \
             content is, or its target has a fragment.",
        ));
    }
    let hosts = &peer.listener.hosts;
    // The lengths of all parts that a target can have; `Uri` does not keep the total.
    let uri = &head.uri;
    let target = uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > limits.uri_bytes_max {
        let detail = format!("The target has {target} bytes; at most {} are taken.", limits.uri_bytes_max);
        return Err(Error::new(ErrorCode::UriTooLong, detail));
    }
    let fields = Fields::find(&head.headers);
    check_fields(head.headers.len(), fields.bytes, limits)?;
    match host(head, &fields)? {
        Some(host) => check_host(host, hosts)?,
        // A request of HTTP/1.0 need not name a host, and then is for none of the listener's.
        None if hosts.is_empty() => {}
        None => return Err(misdirected()),
    }
    if fields.of_connection && matches!(head.version, Version::HTTP_2 | Version::HTTP_3) {
        return Err(malformed(
            "The request has a field that is about the connection and belongs to HTTP/1.1 only.",
        ));
    }
    check_length(&fields, limits)?;
    Ok(fields)
}

fn check_fields(count: usize, bytes: usize, limits: &Limits) -> Result<(), Error> {
    if count > limits.header_fields_max {
        let detail =
            format!("The request has {count} fields; at most {} are taken.", limits.header_fields_max);
        return Err(Error::new(ErrorCode::HeadersTooLarge, detail));
    }
    if bytes > limits.header_bytes_max {
        let detail = format!(
            "The request's fields have {bytes} bytes; at most {} are taken.",
            limits.header_bytes_max
        );
        return Err(Error::new(ErrorCode::HeadersTooLarge, detail));
    }
    Ok(())
}

fn malformed(detail: &'static str) -> Error {
    Error::new(ErrorCode::MalformedRequest, detail)
}

/// The host that a request is for, with its port; refuses ambiguous requests.
fn host<'h>(head: &'h Parts, fields: &Fields<'h>) -> Result<Option<&'h [u8]>, Error> {
    if head.method == Method::CONNECT {
        return Err(malformed("CONNECT is not answered: this is no proxy."));
    }
    let field = match fields.host {
        Field::Missing => None,
        Field::Once(value) => Some(value.as_bytes()),
        Field::Repeated(_) => return Err(malformed("The request has more than one `Host` field.")),
    };
    let target = head.uri.authority().map(|target| target.as_str().as_bytes());
    match head.version {
        Version::HTTP_2 | Version::HTTP_3 => match (target, field) {
            (None, None) => Err(malformed("The request names no host: `:authority` is missing.")),
            (Some(target), Some(field)) if !target.eq_ignore_ascii_case(field) => {
                Err(malformed("`:authority` and `Host` name different hosts."))
            }
            (target, field) => Ok(target.or(field)),
        },
        Version::HTTP_11 if field.is_none() => Err(malformed("The request has no `Host` field.")),
        // The absolute form (RFC 9112 §3.2.2): its host counts, and `Host` is ignored.
        _ if target.is_some() => Ok(target),
        _ => Ok(field),
    }
}

/// The host that a request names, without its port; for choosing the site before the head is checked.
pub fn request_host(head: &Parts) -> Option<&[u8]> {
    let target = head.uri.authority().map(|authority| authority.as_str().as_bytes());
    let field = || head.headers.get(http::header::HOST).map(http::HeaderValue::as_bytes);
    well_formed_host(target.or_else(field)?)
}

/// Refuses a host that is malformed or not one of the listener's.
fn check_host(host: &[u8], hosts: &[String]) -> Result<(), Error> {
    let host = well_formed_host(host)
        .ok_or_else(|| malformed("The host of the request is not a host name or address."))?;
    if hosts.is_empty() || hosts.iter().any(|ours| ours.as_bytes().eq_ignore_ascii_case(host)) {
        return Ok(());
    }
    Err(misdirected())
}

fn misdirected() -> Error {
    Error::new(ErrorCode::MisdirectedRequest, "This listener does not answer for the host of this request.")
}

/// The host of `host[:port]`, if the text has that form: no user, path or spaces (RFC 3986 §3.2.2).
fn well_formed_host(text: &[u8]) -> Option<&[u8]> {
    let length = if text.first() == Some(&b'[') {
        let end = text.iter().position(|byte| *byte == b']')?;
        str::from_utf8(&text[1..end]).ok()?.parse::<Ipv6Addr>().ok()?;
        end + 1
    } else {
        text.iter().position(|byte| !NAME_BYTES[usize::from(*byte)]).unwrap_or(text.len())
    };
    let (host, port) = text.split_at(length);
    let port_is_number = match port {
        [] | [b':'] => true,
        [b':', digits @ ..] => {
            digits.iter().all(u8::is_ascii_digit)
                && str::from_utf8(digits).is_ok_and(|digits| digits.parse::<u16>().is_ok())
        }
        _ => false,
    };
    (port_is_number && !host.is_empty()).then_some(host)
}

/// The characters of a registered name (RFC 3986 §3.2.2).
const NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let signs = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-._~%!$&'()*+,;=";
    let mut place = 0;
    while place < signs.len() {
        table[signs[place] as usize] = true;
        place += 1;
    }
    table
};

/// The content length that a request declares.
///
/// # Errors
/// [`ErrorCode::MalformedRequest`] if it is not a single number.
pub fn declared_length(field: Field<'_>) -> Result<Option<u64>, Error> {
    let value = match field {
        Field::Missing => return Ok(None),
        Field::Once(value) => value.to_str().ok(),
        Field::Repeated(_) => None,
    };
    let digits = value.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let length = digits.and_then(|text| text.parse().ok());
    length.map(Some).ok_or_else(|| malformed("`Content-Length` is not one number of bytes."))
}

fn check_length(fields: &Fields<'_>, limits: &Limits) -> Result<(), Error> {
    match fields.transfer_encoding {
        Field::Missing => {}
        Field::Once(coding) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => {
            if fields.content_length.first().is_some() {
                return Err(malformed("The request has both `Content-Length` and `Transfer-Encoding`."));
            }
        }
        Field::Once(_) | Field::Repeated(_) => {
            return Err(malformed("`Transfer-Encoding` is taken as `chunked`, once, and in no other form."));
        }
    }
    let Some(length) = declared_length(fields.content_length)? else { return Ok(()) };
    if length > limits.body_bytes_max as u64 {
        let detail = format!("The content has {length} bytes; at most {} are taken.", limits.body_bytes_max);
        return Err(Error::new(ErrorCode::ContentTooLarge, detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
