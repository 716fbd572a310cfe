//! The rules for what a key may look like, and what is said of one that would break them.
//!
//! Pure functions: nothing here reads the store or a clock.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use jiff::Timestamp;
use permissions::{ApiAccessPermission, KeyId, KeyRecord, PartnerId};

use crate::store::StoreError;

/// How long a partner's and a key's name may be, in characters.
pub const NAME_CHARACTERS_MAX: usize = 128;
/// How many networks a key may name.
pub const NETWORKS_MAX: usize = 64;

/// What was asked for cannot be.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The store is the trouble.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No such key.
    #[error("there is no key {0}; `partner-gateway key list` shows the keys")]
    Unknown(KeyId),
    /// It is revoked, which is for ever.
    #[error("key {id} was revoked at {at}; a revoked key stays as it is: create another")]
    Revoked {
        /// The key.
        id: KeyId,
        /// Since when.
        at: Timestamp,
    },
    /// It was rotated already; a second successor would be one too many, and end when the first overlap does.
    #[error("key {id} was rotated already, to {successor}; rotate that one")]
    Rotated {
        /// The key.
        id: KeyId,
        /// The key that took its place.
        successor: KeyId,
    },
    /// It has expired, and its successor would have, too.
    #[error("key {id} expired at {at}; give it a later end first, or create another")]
    Expired {
        /// The key.
        id: KeyId,
        /// Since when.
        at: Timestamp,
    },
    /// The end lies in the past.
    #[error(
        "the key would expire at {expires}, which has passed: it is {now}; give a later moment, or revoke the key to end it at once"
    )]
    ExpiresPassed {
        /// The end.
        expires: Timestamp,
        /// What time it was when this was asked for.
        now: Timestamp,
    },
    /// It would end before it begins.
    #[error(
        "the key would begin at {not_before}, when it has expired already ({expires}); give a beginning before the end"
    )]
    NeverValid {
        /// The beginning.
        not_before: Timestamp,
        /// The end.
        expires: Timestamp,
    },
    /// It would be good for nothing.
    #[error(
        "a key needs at least one permission; known are: {}",
        ApiAccessPermission::all().names().collect::<Vec<_>>().join(", ")
    )]
    NoPermission,
    /// No such partner.
    #[error("there is no partner `{0}`; `partner-gateway partner list` shows the partners")]
    UnknownPartner(String),
    /// It has keys that are still good, and nobody said to revoke them.
    #[error(
        "partner `{partner}` has {active} active keys; revoke them first, or remove them with it (--revoke-keys)"
    )]
    ActiveKeys {
        /// The partner's name.
        partner: String,
        /// How many keys are neither revoked nor expired.
        active: usize,
    },
    /// The partner's name breaks the rules.
    #[error(
        "a partner's name is 1 to {NAME_CHARACTERS_MAX} printable characters, with no blank at either end, and not a UUID"
    )]
    PartnerName,
    /// The partner is there already.
    #[error("there is a partner `{0}` already")]
    PartnerExists(String),
    /// The key's name breaks the rules.
    #[error(
        "a key's name is at most {NAME_CHARACTERS_MAX} printable characters, with no blank at either end"
    )]
    KeyName,
    /// Too many networks.
    #[error("a key names at most {NETWORKS_MAX} networks, not {0}")]
    TooManyNetworks(usize),
    /// The overlap reaches past the end of the calendar.
    #[error("the overlap is too long")]
    OverlapTooLong,
}

impl KeyError {
    /// Whether what was asked for could never be, whatever is in the store: a mistake of who asks.
    #[must_use]
    pub fn is_mistake(&self) -> bool {
        match self {
            Self::ExpiresPassed { .. }
            | Self::NeverValid { .. }
            | Self::NoPermission
            | Self::PartnerName
            | Self::KeyName
            | Self::TooManyNetworks(_)
            | Self::OverlapTooLong => true,
            Self::Store(_)
            | Self::Unknown(_)
            | Self::Revoked { .. }
            | Self::Rotated { .. }
            | Self::Expired { .. }
            | Self::UnknownPartner(_)
            | Self::ActiveKeys { .. }
            | Self::PartnerExists(_) => false,
        }
    }
}

pub(super) fn check_times(record: &KeyRecord, now: Timestamp) -> Result<(), KeyError> {
    let Some(expires) = record.expires else { return Ok(()) };
    if expires <= now {
        return Err(KeyError::ExpiresPassed { expires, now });
    }
    match record.not_before {
        Some(not_before) if not_before >= expires => Err(KeyError::NeverValid { not_before, expires }),
        _ => Ok(()),
    }
}

pub(super) fn check_partner_name(name: &str) -> Result<(), KeyError> {
    // Commands find a partner by its name or its id: one must not pass for the other.
    if !name.is_empty() && is_name(name) && name.parse::<PartnerId>().is_err() {
        Ok(())
    } else {
        Err(KeyError::PartnerName)
    }
}

pub(super) fn check_key_name(name: &str) -> Result<(), KeyError> {
    if is_name(name) { Ok(()) } else { Err(KeyError::KeyName) }
}

/// Names go into listings and logs. What cannot be seen there, or turns the text around it, would
/// let one name pass for another.
fn is_name(name: &str) -> bool {
    let hidden = |character: char| {
        character.is_control()
            || matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
    };
    name.chars().count() <= NAME_CHARACTERS_MAX && name.trim() == name && !name.contains(hidden)
}

/// Brings networks to the one form in which client addresses are compared: host bits zero, each
/// once, and IPv4 as IPv4, because that is what a client on a dual-stack socket comes as.
pub(super) fn tidy_networks(allow: Vec<IpNet>) -> Result<Vec<IpNet>, KeyError> {
    if allow.len() > NETWORKS_MAX {
        return Err(KeyError::TooManyNetworks(allow.len()));
    }
    let mut tidy = Vec::with_capacity(allow.len());
    for network in allow {
        let network = match network.trunc() {
            IpNet::V6(network) => unmapped(network).map_or(IpNet::V6(network), IpNet::V4),
            network => network,
        };
        if !tidy.contains(&network) {
            tidy.push(network);
        }
    }
    Ok(tidy)
}

/// `::ffff:192.0.2.0/120` → `192.0.2.0/24`.
fn unmapped(network: Ipv6Net) -> Option<Ipv4Net> {
    let length = network.prefix_len().checked_sub(96)?;
    Ipv4Net::new(network.network().to_ipv4_mapped()?, length).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_can_be_seen() {
        let long = "é".repeat(NAME_CHARACTERS_MAX);
        for good in ["a", "Acme GmbH & Co. (EU)", "Ünïcode 株式会社", &long] {
            assert!(check_partner_name(good).is_ok(), "{good}");
            assert!(check_key_name(good).is_ok(), "{good}");
        }
        let too_long = "a".repeat(NAME_CHARACTERS_MAX + 1);
        for wrong in [
            " a",
            "a ",
            "a\nb",
            "a\tb",
            "a\0",
            "\u{1b}[31m",
            "a\u{202e}b",
            "a\u{200b}b",
            "a\u{feff}",
            &too_long,
        ] {
            assert!(matches!(check_partner_name(wrong), Err(KeyError::PartnerName)), "{wrong:?}");
            assert!(matches!(check_key_name(wrong), Err(KeyError::KeyName)), "{wrong:?}");
        }
        for wrong in ["", "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b"] {
            assert!(matches!(check_partner_name(wrong), Err(KeyError::PartnerName)), "{wrong}");
        }
        assert!(check_key_name("").is_ok());
    }

    #[test]
    fn networks_are_brought_to_one_form() {
        let tidy = |texts: &[&str]| {
            let networks = texts.iter().map(|text| text.parse().unwrap()).collect();
            tidy_networks(networks).unwrap().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            tidy(&["192.0.2.77/24", "192.0.2.0/24", "2001:db8::1/32"]),
            ["192.0.2.0/24", "2001:db8::/32"]
        );
        assert_eq!(tidy(&["::ffff:192.0.2.77/120", "::ffff:0:0/96"]), ["192.0.2.0/24", "0.0.0.0/0"]);
        assert_eq!(tidy(&["::/0", "0.0.0.0/0"]), ["::/0", "0.0.0.0/0"]);
        let many = |count: u8| {
            (0..count).map(|last| IpNet::from(std::net::IpAddr::from([192, 0, 2, last]))).collect()
        };
        assert_eq!(tidy_networks(many(64)).unwrap().len(), NETWORKS_MAX);
        assert!(matches!(tidy_networks(many(65)), Err(KeyError::TooManyNetworks(65))));
    }
}
