//! The rules for keys and partners, and the errors of breaking them.
//!
//! Pure functions: nothing here reads the store or a clock.

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use jiff::Timestamp;
use permissions::{ApiAccessPermission, Environment, KeyId, KeyRecord, PartnerId};
use unicode_normalization::UnicodeNormalization as _;

use crate::store::StoreError;
use crate::store::requests::RequestState;

/// The longest name of a partner or a key, in characters.
pub const NAME_CHARACTERS_MAX: usize = 128;
/// The longest text of a person, such as a use case or a reason, in characters.
pub const TEXT_CHARACTERS_MAX: usize = 4_000;
/// The most networks that a key may name.
pub const NETWORKS_MAX: usize = 64;

/// Why a key or partner cannot be created or changed.
#[derive(Debug, thiserror::Error)]
pub enum ProvisioningError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No such key.
    #[error("there is no key {0}; `partner-gateway key list` shows the keys")]
    Unknown(KeyId),
    /// The key is revoked, which is permanent.
    #[error("key {id} was revoked at {at}; a revoked key cannot be changed: create another")]
    Revoked {
        /// The key.
        id: KeyId,
        /// When that was.
        at: Timestamp,
    },
    /// The key was rotated already. A second successor would expire with the first overlap.
    #[error("key {id} was rotated already, to {successor}; rotate that one")]
    Rotated {
        /// The key.
        id: KeyId,
        /// The key that replaced it.
        successor: KeyId,
    },
    /// The key has expired, so its successor would be expired too.
    #[error("key {id} expired at {at}; set a later expiry first, or create another")]
    Expired {
        /// The key.
        id: KeyId,
        /// When that was.
        at: Timestamp,
    },
    /// The expiry is in the past.
    #[error(
        "the key would expire at {expires}, which has passed: it is {now}; give a later time, or revoke the key to end it at once"
    )]
    ExpiresPassed {
        /// The expiry.
        expires: Timestamp,
        /// The time of the request.
        now: Timestamp,
    },
    /// The key would expire before it becomes valid.
    #[error(
        "the key would become valid at {not_before}, when it has expired already ({expires}); give a start before the expiry"
    )]
    NeverValid {
        /// The start.
        not_before: Timestamp,
        /// The expiry.
        expires: Timestamp,
    },
    /// The key would have no permission.
    #[error(
        "a key needs at least one permission; choose from: {}",
        ApiAccessPermission::all().names().collect::<Vec<_>>().join(", ")
    )]
    NoPermission,
    /// No such partner.
    #[error("there is no partner `{0}`; `partner-gateway partner list` shows the partners")]
    UnknownPartner(String),
    /// The partner has active keys, and revoking them was not requested.
    #[error(
        "partner `{partner}` has {active} active keys; revoke them first, or remove them with it (--revoke-keys)"
    )]
    ActiveKeys {
        /// The partner's name.
        partner: String,
        /// The number of keys that are neither revoked nor expired.
        active: usize,
    },
    /// The partner's name breaks the rules.
    #[error(
        "a partner's name is 1 to {NAME_CHARACTERS_MAX} printable characters, without spaces at either end, and not a UUID"
    )]
    PartnerName,
    /// A partner of this name exists already.
    #[error("a partner `{0}` exists already")]
    PartnerExists(String),
    /// The key's name breaks the rules.
    #[error(
        "a key's name is at most {NAME_CHARACTERS_MAX} printable characters, without spaces at either end"
    )]
    KeyName,
    /// Too many networks.
    #[error("a key names at most {NETWORKS_MAX} networks, not {0}")]
    TooManyNetworks(usize),
    /// A person's name breaks the rules.
    #[error("a name is 1 to {NAME_CHARACTERS_MAX} printable characters, without spaces at either end")]
    Name,
    /// The text is no e-mail address.
    #[error("`{0}` is not an e-mail address")]
    Email(String),
    /// There is no such thing that the actor may see.
    #[error("there is no such {what}: {id}")]
    NotFound {
        /// What was looked for, such as `member`.
        what: &'static str,
        /// Its name or id.
        id: String,
    },
    /// The actor would give more than it has, or more than the organization was granted.
    #[error("this exceeds what you may give in {environment}: {missing}")]
    Exceeds {
        /// What is too much.
        missing: ApiAccessPermission,
        /// Where.
        environment: Environment,
    },
    /// The person must authenticate again first.
    #[error("sign in again first: this needs an authentication of the last 15 minutes")]
    StepUpRequired,
    /// A credential of staging was used to change production.
    #[error("a credential of staging manages staging only; use one of production")]
    StagingOnly,
    /// Nobody would be left who may do everything.
    #[error("an organization keeps at least one owner; make another member an owner first")]
    LastOwner,
    /// The user is a member already.
    #[error("the user is a member of the organization already")]
    MemberExists,
    /// The organization has a role of this name.
    #[error("there is a role `{0}` already")]
    RoleExists(String),
    /// The role is a member's, or that of an open invitation.
    #[error("the role is in use; give its members another role first, and revoke invitations with it")]
    RoleInUse,
    /// These are not granted: every organization has them, or only the operator.
    #[error(
        "only permissions of the API are granted, not {0}: an organization manages itself without a grant, and reviewing is the operator's"
    )]
    NotGrantable(ApiAccessPermission),
    /// The overlap ends after the last time that can be stored.
    #[error("the overlap is too long")]
    OverlapTooLong,
    /// A text breaks the rules.
    #[error("{what} is 1 to {TEXT_CHARACTERS_MAX} printable characters")]
    Text {
        /// Which text, such as `the reason`.
        what: &'static str,
    },
    /// Nothing was asked for.
    #[error("ask for at least one permission, in staging or in production")]
    NothingWanted,
    /// Nothing would be granted.
    #[error("this grants nothing; to refuse the request, reject it with a reason")]
    NothingGranted,
    /// The organization has everything that it asks for.
    #[error(
        "the organization was granted this already; give it to the key or the role that lacks it instead of asking for more"
    )]
    AlreadyGranted,
    /// There are too many open access requests.
    #[error("no further requests are accepted at the moment; try again later")]
    QueueFull,
    /// There are too many of something.
    #[error("there are {max} {what} already, which is the most")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The most that there may be.
        max: usize,
    },
    /// The access request was decided or withdrawn.
    #[error("the request was {0} already")]
    RequestEnded(RequestState),
    /// The access request was not approved, or by an organization that has its keys.
    #[error("there are keys to claim only for an approved request of somebody without an organization")]
    NothingToClaim,
    /// An approval exceeds what was asked for.
    #[error(
        "this is more than was asked for in {environment}: {extra}; say explicitly that it is meant (--wider)"
    )]
    WiderThanAsked {
        /// What is too much.
        extra: ApiAccessPermission,
        /// Where.
        environment: Environment,
    },
    /// The name in an access request is that of an organization.
    #[error(
        "there is an organization `{0}` already, and the request may be a stranger's: if it is theirs, approve it for this organization (--organization NAME), else under another name (--name NAME)"
    )]
    OrganizationTaken(String),
    /// An access request of an organization was to be approved for another one.
    #[error("this request is of an organization, and is approved for that one only")]
    OrganizationFixed,
    /// The operator's organization is not for those who ask for access.
    #[error("the operator's own organization is not for those who ask for access")]
    OperatorOrganization,
    /// Somebody else than the operator asked for something that only the operator does.
    #[error("only the operator does this")]
    OperatorOnly,
    /// No link has this code. The code is secret, so it is not repeated.
    #[error("this link is not valid; check that it was copied completely, or ask for another")]
    UnknownLink,
    /// The link was used before.
    #[error("this link was used at {at}, and works once; nothing was revoked. Ask for another")]
    LinkUsed {
        /// When it was used.
        at: Timestamp,
    },
    /// The link has expired.
    #[error("this link expired at {at}; ask for another")]
    LinkExpired {
        /// When it expired.
        at: Timestamp,
    },
    /// The invitation was revoked.
    #[error("this invitation was revoked at {at}")]
    InvitationRevoked {
        /// When that was.
        at: Timestamp,
    },
    /// The invitation is for another address than the person's.
    #[error("this invitation is for an e-mail address that is not known to be yours")]
    InvitedAddress,
}

/// The text of an error, which begins in lower case and ends without a full stop, as a sentence.
pub(crate) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

/// Nothing of this kind has this id, or nothing that the actor sees.
pub(crate) fn not_found(what: &'static str, id: impl ToString) -> ProvisioningError {
    ProvisioningError::NotFound { what, id: id.to_string() }
}

impl ProvisioningError {
    /// Whether the request itself is wrong, whatever is in the store.
    #[must_use]
    pub fn is_invalid_request(&self) -> bool {
        match self {
            Self::ExpiresPassed { .. }
            | Self::NeverValid { .. }
            | Self::NoPermission
            | Self::PartnerName
            | Self::KeyName
            | Self::TooManyNetworks(_)
            | Self::Name
            | Self::Email(_)
            | Self::NotGrantable(_)
            | Self::Text { .. }
            | Self::NothingWanted
            | Self::NothingGranted
            | Self::WiderThanAsked { .. }
            | Self::OverlapTooLong => true,
            Self::Store(_)
            | Self::Unknown(_)
            | Self::Revoked { .. }
            | Self::Rotated { .. }
            | Self::Expired { .. }
            | Self::UnknownPartner(_)
            | Self::ActiveKeys { .. }
            | Self::NotFound { .. }
            | Self::Exceeds { .. }
            | Self::StepUpRequired
            | Self::StagingOnly
            | Self::LastOwner
            | Self::MemberExists
            | Self::RoleExists(_)
            | Self::RoleInUse
            | Self::AlreadyGranted
            | Self::QueueFull
            | Self::TooMany { .. }
            | Self::RequestEnded(_)
            | Self::NothingToClaim
            | Self::OrganizationTaken(_)
            | Self::OrganizationFixed
            | Self::OperatorOrganization
            | Self::OperatorOnly
            | Self::UnknownLink
            | Self::LinkUsed { .. }
            | Self::LinkExpired { .. }
            | Self::InvitationRevoked { .. }
            | Self::InvitedAddress
            | Self::PartnerExists(_) => false,
        }
    }
}

pub(super) fn check_times(record: &KeyRecord, now: Timestamp) -> Result<(), ProvisioningError> {
    let Some(expires) = record.expires else { return Ok(()) };
    if expires <= now {
        return Err(ProvisioningError::ExpiresPassed { expires, now });
    }
    match record.not_before {
        Some(not_before) if not_before >= expires => {
            Err(ProvisioningError::NeverValid { not_before, expires })
        }
        _ => Ok(()),
    }
}

pub(super) fn check_partner_name(name: &str) -> Result<String, ProvisioningError> {
    // Commands find a partner by its name or its id: a name must not be mistaken for an id.
    let name = normalized(name).filter(|name| !name.is_empty() && name.parse::<PartnerId>().is_err());
    name.ok_or(ProvisioningError::PartnerName)
}

pub(super) fn check_key_name(name: &str) -> Result<String, ProvisioningError> {
    normalized(name).ok_or(ProvisioningError::KeyName)
}

/// The name of a person, a role, an app or a device.
pub(super) fn check_name(name: &str) -> Result<String, ProvisioningError> {
    normalized(name).filter(|name| !name.is_empty()).ok_or(ProvisioningError::Name)
}

/// An e-mail address: one `@` between two texts without spaces, and short enough for SMTP (RFC 5321 §4.5.3.1.3).
pub(super) fn check_email(address: &str) -> Result<String, ProvisioningError> {
    let parts = address.rsplit_once('@').filter(|(local, domain)| {
        !local.is_empty() && domain.contains('.') && !domain.starts_with('.') && !domain.ends_with('.')
    });
    let is_plain =
        address.len() <= 254 && !address.contains(|c: char| c.is_whitespace() || "<>,;\"".contains(c));
    match (parts, normalized(address)) {
        (Some(_), Some(address)) if is_plain => Ok(address),
        _ => Err(ProvisioningError::Email(address.chars().take(64).collect())),
    }
}

/// A text of one or more lines. Line ends are made alike.
pub(super) fn check_text(text: &str, what: &'static str) -> Result<String, ProvisioningError> {
    // Bounded before it is looked at.
    let is_short = text.len() <= TEXT_CHARACTERS_MAX * 4 + 4;
    let text: Option<String> =
        is_short.then(|| text.replace("\r\n", "\n").replace('\t', " ").trim().nfc().collect());
    let is_text = |text: &String| {
        !text.is_empty()
            && text.chars().count() <= TEXT_CHARACTERS_MAX
            && !text.contains(|character| character != '\n' && is_hidden(character))
    };
    text.filter(is_text).ok_or(ProvisioningError::Text { what })
}

/// The name in Unicode's form NFC, so that two that look alike are alike; `None` if it is none.
fn normalized(name: &str) -> Option<String> {
    // Bounded before it is looked at.
    let name: String = (name.len() <= NAME_CHARACTERS_MAX * 16).then(|| name.nfc().collect())?;
    is_name(&name).then_some(name)
}

/// Names go into listings and logs. Invisible characters, or those that change the text's direction, would
/// let one name pass for another.
fn is_name(name: &str) -> bool {
    name.chars().count() <= NAME_CHARACTERS_MAX && name.trim() == name && !name.contains(is_hidden)
}

fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// Normalizes networks to the form in which client addresses are compared: host bits zero, no duplicates, and
/// IPv4-mapped ones as IPv4, as clients of a dual-stack socket are.
pub(super) fn normalize_networks(allow: Vec<IpNet>) -> Result<Vec<IpNet>, ProvisioningError> {
    if allow.len() > NETWORKS_MAX {
        return Err(ProvisioningError::TooManyNetworks(allow.len()));
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

/// Converts an IPv4-mapped network: `::ffff:192.0.2.0/120` → `192.0.2.0/24`.
fn unmapped(network: Ipv6Net) -> Option<Ipv4Net> {
    let length = network.prefix_len().checked_sub(96)?;
    Ipv4Net::new(network.network().to_ipv4_mapped()?, length).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_printable() {
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
            assert!(matches!(check_partner_name(wrong), Err(ProvisioningError::PartnerName)), "{wrong:?}");
            assert!(matches!(check_key_name(wrong), Err(ProvisioningError::KeyName)), "{wrong:?}");
        }
        for wrong in ["", "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b"] {
            assert!(matches!(check_partner_name(wrong), Err(ProvisioningError::PartnerName)), "{wrong}");
        }
        assert!(check_key_name("").is_ok());
        assert_eq!(check_name("Zoe\u{308}").unwrap(), "Zo\u{eb}", "two that look alike are alike");
        for wrong in ["ada", "@example.com", "ada@", "ada@localhost", "a b@example.com", "a@example.com\nbcc"]
        {
            assert!(matches!(check_email(wrong), Err(ProvisioningError::Email(_))), "{wrong}");
        }
        assert_eq!(check_email("ada@example.com").unwrap(), "ada@example.com");
    }

    #[test]
    fn networks_are_normalized() {
        let tidy = |texts: &[&str]| {
            let networks = texts.iter().map(|text| text.parse().unwrap()).collect();
            normalize_networks(networks).unwrap().iter().map(ToString::to_string).collect::<Vec<_>>()
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
        assert_eq!(normalize_networks(many(64)).unwrap().len(), NETWORKS_MAX);
        assert!(matches!(normalize_networks(many(65)), Err(ProvisioningError::TooManyNetworks(65))));
    }
}
