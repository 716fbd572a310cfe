//! An access request as commands print it: as JSON, and as lines for a person.

use permissions::Environment;
use serde::Serialize;

use super::key_view::permission_list;
use super::output::{pairs, second};
use crate::provisioning::{LinkState, RequestView};
use crate::store::requests::PerEnvironment;

/// `request show --json`.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    #[serde(flatten)]
    pub(super) view: &'a RequestView,
    /// What has become of the newest link to the keys.
    pub(super) claim: Option<LinkState>,
}

/// `staging: ping:read; production: none`.
pub(super) fn environment_list(permissions: &PerEnvironment) -> String {
    let of = |environment: Environment| {
        let names = permission_list(permissions.of(environment));
        format!("{environment}: {}", if names.is_empty() { "none" } else { &names })
    };
    Environment::ALL.map(of).join("; ")
}

/// A request as lines; a text of several lines is indented below its event.
pub(super) fn lines(view: &RequestView, claim: Option<LinkState>) -> String {
    let request = &view.request;
    let claim = claim.map(|state| match state {
        LinkState::Ready { expires } => format!("not claimed yet; the link works until {}", second(expires)),
        LinkState::Used { at } => format!("claimed at {}", second(at)),
        LinkState::Expired { at } => format!("not claimed; the link expired at {}", second(at)),
    });
    let mut values = vec![
        ("id", request.id.to_string()),
        ("state", request.state.to_string()),
        ("organization", request.name.clone()),
        ("filed by", if request.by_contact { "a contact" } else { "the organization" }.to_owned()),
        ("contact", request.contact.clone()),
        ("e-mail", request.email.clone()),
        ("asks for", environment_list(&request.wanted)),
        ("granted", request.granted.as_ref().map(environment_list).unwrap_or_default()),
        ("keys", claim.unwrap_or_default()),
        ("filed", second(request.created)),
        ("changed", second(request.updated)),
    ];
    values.retain(|(_, value)| !value.is_empty());
    let mut text = pairs(&values);
    text.push_str(&format!("\nUse case:\n\n{}\nEvents:\n\n", indented(&request.use_case)));
    for event in &view.events {
        text.push_str(&format!("  {}  {}  by {}\n", second(event.at), event.action, event.actor));
        if !event.text.is_empty() {
            text.push_str(&indented(&event.text));
        }
    }
    text
}

/// Text from outside, line by line, without control characters, which would act on the terminal.
fn indented(text: &str) -> String {
    let printable =
        |line: &str| line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect::<String>();
    text.lines().map(|line| format!("    {}\n", printable(line))).collect()
}
