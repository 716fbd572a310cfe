//! A key as commands print it: as JSON, and as lines for a person.

use ipnet::IpNet;
use jiff::Timestamp;
use permissions::{
    ApiAccessPermission, Environment, KeyId, KeyRecord, KeySecret, OnRetired, PartnerId, Rate,
};
use serde::Serialize;

use super::output::{pairs, second, second_or_dash};

/// The state of a key at a given time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum KeyState {
    /// Accepted.
    Active,
    /// To be accepted from a later time on.
    NotYetValid,
    /// Expired.
    Expired,
    /// Revoked.
    Revoked,
    /// Refused while its partner is suspended.
    Suspended,
}

impl KeyState {
    pub(super) fn of(record: &KeyRecord, now: Timestamp) -> Self {
        if record.revoked.is_some() {
            Self::Revoked
        } else if record.expires.is_some_and(|expires| expires <= now) {
            Self::Expired
        } else if record.suspended {
            Self::Suspended
        } else if record.not_before.is_some_and(|not_before| now < not_before) {
            Self::NotYetValid
        } else {
            Self::Active
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::NotYetValid => "not yet valid",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Suspended => "suspended",
        }
    }
}

/// A key in `--json`. Other programs rely on these names.
#[derive(Debug, Serialize)]
pub(super) struct KeyView<'a> {
    id: KeyId,
    /// The text of the key, only when it was just created.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    environment: Environment,
    permissions: ApiAccessPermission,
    partner: &'a str,
    partner_id: PartnerId,
    name: &'a str,
    state: KeyState,
    hint: &'a str,
    created: Timestamp,
    not_before: Option<Timestamp>,
    expires: Option<Timestamp>,
    revoked: Option<Timestamp>,
    allow: &'a [IpNet],
    rate: Option<Rate>,
    on_retired: OnRetired,
    replaces: Option<KeyId>,
    last_used: Option<Timestamp>,
}

impl<'a> KeyView<'a> {
    pub(super) fn new(record: &'a KeyRecord, secret: Option<&'a KeySecret>, now: Timestamp) -> Self {
        Self {
            id: record.id,
            key: secret.map(KeySecret::expose),
            environment: record.environment,
            permissions: record.permissions,
            partner: &record.partner,
            partner_id: record.partner_id,
            name: &record.name,
            state: KeyState::of(record, now),
            hint: &record.hint,
            created: record.created,
            not_before: record.not_before,
            expires: record.expires,
            revoked: record.revoked,
            allow: &record.allow,
            rate: record.rate,
            on_retired: record.on_retired,
            replaces: record.replaces,
            last_used: record.last_used,
        }
    }
}

/// The permissions for a person: `ping:read, connection:read`.
pub(super) fn permission_list(permissions: ApiAccessPermission) -> String {
    permissions.names().collect::<Vec<_>>().join(", ")
}

/// A key as lines for a person; settings that are not set are left out.
pub(super) fn lines(record: &KeyRecord, now: Timestamp) -> String {
    let networks = record.allow.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut values = vec![
        ("id", record.id.to_string()),
        ("partner", record.partner.clone()),
        ("name", record.name.clone()),
        ("environment", record.environment.to_string()),
        ("permissions", permission_list(record.permissions)),
        ("state", KeyState::of(record, now).name().to_owned()),
        ("ends with", format!("…{}", record.hint)),
        ("created", second(record.created)),
        ("not before", record.not_before.map(second).unwrap_or_default()),
        ("expires", record.expires.map_or_else(|| "never".to_owned(), second)),
        ("revoked", record.revoked.map(second).unwrap_or_default()),
        ("allowed from", if networks.is_empty() { "anywhere".to_owned() } else { networks }),
        ("rate", record.rate.map_or_else(|| "default".to_owned(), |rate| rate.to_string())),
        ("on retired", record.on_retired.to_string()),
        ("replaces", record.replaces.map(|id| id.to_string()).unwrap_or_default()),
        ("last used", second_or_dash(record.last_used)),
    ];
    values.retain(|(_, value)| !value.is_empty());
    pairs(&values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{NOW, key};

    #[test]
    fn the_state_changes_at_the_exact_second() {
        let record = key(1).record;
        let at = |record: &KeyRecord| KeyState::of(record, NOW);
        assert_eq!(at(&record), KeyState::Active);
        assert_eq!(at(&KeyRecord { suspended: true, ..record.clone() }), KeyState::Suspended);
        let later = NOW.checked_add(jiff::SignedDuration::from_secs(1)).unwrap();
        assert_eq!(at(&KeyRecord { not_before: Some(later), ..record.clone() }), KeyState::NotYetValid);
        assert_eq!(at(&KeyRecord { expires: Some(NOW), ..record.clone() }), KeyState::Expired);
        assert_eq!(at(&KeyRecord { revoked: Some(NOW), expires: Some(NOW), ..record }), KeyState::Revoked);
    }

    #[test]
    fn the_fields_that_programs_rely_on_are_there() {
        let record = KeyRecord { expires: None, ..key(1).record };
        let json = serde_json::to_value(KeyView::new(&record, None, NOW)).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "id": "00000000-0000-0000-0000-000000000001",
                "environment": "staging",
                "permissions": ApiAccessPermission::all(),
                "partner": "acme",
                "partner_id": "00000000-0000-0000-0000-00000000ac3e",
                "name": "key 1",
                "state": "active",
                "hint": "abcd",
                "created": "2027-01-15T08:00:00.123456Z",
                "not_before": "2027-01-15T08:00:00.123456Z",
                "expires": null,
                "revoked": null,
                "allow": ["192.0.2.0/24", "2001:db8::/32"],
                "rate": "50/s+100",
                "on_retired": "forward",
                "replaces": null,
                "last_used": null,
            })
        );
    }
}
