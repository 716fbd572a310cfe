//! 2026-11-01: a file per endpoint.

mod connection;
mod ping;
mod versions;

/// The number after `"field":`, and the body without it.
pub(crate) fn number(body: &str, member: &str) -> (String, f64) {
    let name = format!("\"{member}\":");
    let start = body.find(&name).unwrap_or_else(|| panic!("no {member} in {body}")) + name.len();
    let length = body[start..].find([',', '}']).unwrap_or_else(|| panic!("no end of {member} in {body}"));
    let text = &body[start..start + length];
    let (_, decimals) = text.split_once('.').unwrap_or_else(|| panic!("{text} is no decimal fraction"));
    assert!(decimals.len() <= 3, "{text} ms is finer than a microsecond");
    let number = text.parse().unwrap_or_else(|_| panic!("{member} is no number in {body}"));
    (format!("{}{}", &body[..start], &body[start + length..]), number)
}
