//! Mail: what sending needs.

use super::{Config, Locations, Problem};
use crate::config::MailTls;

/// Reports settings with which no mail can be sent, or a password would be.
pub(super) fn check(config: &Config, locations: &Locations<'_>, problems: &mut Vec<Problem>) {
    let mail = &config.mail;
    if !mail.is_enabled() {
        return;
    }
    if mail.from.is_empty() {
        problems.push(
            Problem::new("`mail.host` is set, but `mail.from` is empty")
                .at_option(locations.of(&["mail", "host"]), "")
                .help("set the sender: from = \"Partner Gateway <gateway@example.com>\""),
        );
    }
    if mail.username.is_empty() != mail.password_file.as_os_str().is_empty() {
        problems.push(
            Problem::new("`mail.username` and `mail.password_file` are only used together")
                .at_option(locations.of(&["mail", "username"]), "")
                .at_option(locations.of(&["mail", "password_file"]), "")
                .help("set both, or neither"),
        );
    }
    if mail.tls == MailTls::None && !mail.username.is_empty() {
        problems.push(
            Problem::new("`mail.tls` is \"none\", so the password would be sent in cleartext")
                .at_option(locations.of(&["mail", "tls"]), "")
                .help("set tls = \"starttls\" or \"implicit\", or remove `mail.username`"),
        );
    }
}
