//! What the mails say: plain text, one function each.
//!
//! The mail that confirms a request holds nothing that its sender wrote, because anyone may enter somebody else's address.

use std::fmt;

/// Line that ends every mail.
const FOOTER: &str = "\n-- \nThis mail was sent by a program. If you did not expect it, ignore it.\n";

/// A mail to one person.
#[derive(Clone)]
pub struct Letter {
    kind: &'static str,
    is_caused_by_anyone: bool,
    to: String,
    subject: &'static str,
    text: String,
}

/// Neither the address nor the text, which holds links.
impl fmt::Debug for Letter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Letter").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl Letter {
    fn new(kind: &'static str, to: &str, subject: &'static str, text: &str) -> Self {
        let text = format!("{text}\n{FOOTER}");
        Self { kind, is_caused_by_anyone: false, to: to.to_owned(), subject, text }
    }

    /// What it is about, for the log.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// Whether anyone causes it, who may enter somebody else's address.
    pub(super) const fn is_caused_by_anyone(&self) -> bool {
        self.is_caused_by_anyone
    }

    pub(super) fn to(&self) -> &str {
        &self.to
    }

    pub(super) const fn subject(&self) -> &'static str {
        self.subject
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// An access request was received; `link` leads to it.
    #[must_use]
    pub fn request_received(to: &str, link: &str) -> Self {
        let text = format!(
            "Your request for access to the API was received. An operator will look at it.\n\n\
             Follow it here, add something, or withdraw it:\n\n  {link}\n\n\
             Anyone with this link can do so: do not pass it on."
        );
        let letter = Self::new("request_received", to, "Your request for access was received", &text);
        Self { is_caused_by_anyone: true, ..letter }
    }

    /// The request of an organization for more permissions was received; `link` is that of the endpoint that shows it.
    #[must_use]
    pub fn permissions_asked(to: &str, link: &str) -> Self {
        let text = format!(
            "Your organization's request for more permissions of the API was received. An operator will look at it.\n\n\
             Follow it here, with a credential of your organization:\n\n  {link}"
        );
        Self::new("permissions_asked", to, "Your request for access was received", &text)
    }

    /// An operator has a question about an access request.
    #[must_use]
    pub fn asked_back(to: &str, question: &str) -> Self {
        let text = format!(
            "There is a question about your request for access to the API:\n\n{}\n\n\
             Answer it with the link that you got when you filed the request.",
            quoted(question)
        );
        Self::new("asked_back", to, "A question about your request for access", &text)
    }

    /// An access request was approved; `link` leads to the keys and works until `expires`.
    #[must_use]
    pub fn approved(to: &str, link: &str, expires: &str, text: &str) -> Self {
        let text = if text.is_empty() { String::new() } else { format!("{}\n\n", quoted(text)) };
        let text = format!(
            "Your request for access to the API was approved.\n\n{text}\
             Get your keys here:\n\n  {link}\n\n\
             The link works once, until {expires}, and shows the keys once: have a place ready to store them."
        );
        Self::new("approved", to, "Your request for access was approved", &text)
    }

    /// The request of an organization for more permissions was approved.
    #[must_use]
    pub fn widened(to: &str, text: &str) -> Self {
        let text = if text.is_empty() { String::new() } else { format!("\n\n{}", quoted(text)) };
        let text = format!("Your organization's request for more permissions of the API was approved.{text}");
        Self::new("widened", to, "Your request for access was approved", &text)
    }

    /// An access request was rejected.
    #[must_use]
    pub fn rejected(to: &str, reason: &str) -> Self {
        let text =
            format!("Your request for access to the API was rejected. The reason:\n\n{}", quoted(reason));
        Self::new("rejected", to, "Your request for access was rejected", &text)
    }

    /// Somebody is invited to an organization.
    #[must_use]
    pub fn invitation(to: &str, organization: &str, role: &str, link: &str, expires: &str) -> Self {
        let text = format!(
            "You are invited to the organization \"{organization}\" with the role \"{role}\".\n\n\
             Accept the invitation here:\n\n  {link}\n\nThe link works once, until {expires}."
        );
        Self::new("invitation", to, "You are invited to an organization", &text)
    }

    /// A user signs in by a link.
    #[must_use]
    pub fn sign_in(to: &str, link: &str) -> Self {
        let text = format!(
            "Sign in here:\n\n  {link}\n\n\
             The link works once, within 10 minutes. Anyone with it is signed in as you: do not pass it on."
        );
        Self::new("sign_in", to, "Your link to sign in", &text)
    }
}

/// A person's text, set off from ours.
fn quoted(text: &str) -> String {
    text.lines().map(|line| format!("> {line}").trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_letter_holds_its_link_and_does_not_print() {
        let link = "https://portal.example.com/claim/abc";
        for letter in [
            Letter::request_received("ada@example.com", link),
            Letter::permissions_asked("ada@example.com", link),
            Letter::approved("ada@example.com", link, "2027-01-01", "Welcome.\n\nEnjoy."),
            Letter::invitation("ada@example.com", "Acme", "owner", link, "2027-01-01"),
            Letter::sign_in("ada@example.com", link),
        ] {
            assert!(letter.text().contains(link), "{letter:?}");
            assert!(!format!("{letter:?}").contains("abc") && !format!("{letter:?}").contains('@'));
        }
        let asked = Letter::asked_back("ada@example.com", "How often?\n-- \nWho?");
        assert!(asked.text().contains("> How often?\n> --\n> Who?\n"), "{}", asked.text());
    }
}
