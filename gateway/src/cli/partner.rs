//! `partner create|list|rename|suspend|resume|remove`.

use clap::Subcommand;
use serde::Serialize;

use super::applied::{self, After, Applied};
use super::output::{print, print_json, second, table};
use super::{Form, Session};
use crate::clock::SystemClock;
use crate::provisioning::{
    Actor, PartnerChange, create_partner, remove_partner, rename_partner, resume_partner, suspend_partner,
};
use crate::store::{Partner, Store};

/// How many partners with a similar name are mentioned.
const NEAR_MAX: usize = 3;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a partner
    #[command(after_help = "\
Examples:
  partner-gateway partner create 'Acme GmbH' --json")]
    Create {
        /// The partner's name
        name: String,
        #[command(flatten)]
        form: Form,
    },
    /// List partners by name
    #[command(after_help = "\
Examples:
  partner-gateway partner list --json")]
    List(Form),
    /// Rename a partner; its id and its keys stay
    #[command(after_help = concat!(applied::exit_code!(), "\
Examples:
  partner-gateway partner rename acme 'Acme GmbH'"))]
    Rename {
        /// The partner's name or id
        #[arg(value_name = "PARTNER")]
        partner: String,
        /// The new name
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        after: After,
    },
    /// Refuse every key of a partner and close their connections, until it is resumed
    #[command(after_help = concat!(applied::exit_code!(), "\
Examples:
  partner-gateway partner suspend acme"))]
    Suspend {
        /// The partner's name or id
        #[arg(value_name = "PARTNER")]
        partner: String,
        #[command(flatten)]
        after: After,
    },
    /// Accept the keys of a suspended partner again
    #[command(after_help = concat!(applied::exit_code!(), "\
Examples:
  partner-gateway partner resume acme"))]
    Resume {
        /// The partner's name or id
        #[arg(value_name = "PARTNER")]
        partner: String,
        #[command(flatten)]
        after: After,
    },
    /// Remove a partner and all its keys
    #[command(after_help = concat!("\
Keys that are neither revoked nor expired keep a partner from being removed, unless
--revoke-keys is given. To keep the keys, suspend the partner instead.

", applied::exit_code!(), "\
Examples:
  partner-gateway partner remove acme
  partner-gateway partner remove acme --revoke-keys"))]
    Remove {
        /// The partner's name or id
        #[arg(value_name = "PARTNER")]
        partner: String,
        /// Also revoke the keys that are still active
        #[arg(long)]
        revoke_keys: bool,
        #[command(flatten)]
        after: After,
    },
}

/// A change to a partner in `--json`.
#[derive(Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    partner: &'a Partner,
    changed: bool,
    applied: &'a Applied,
}

pub(super) fn run(command: Command, session: &Session) -> anyhow::Result<()> {
    match command {
        Command::Create { name, form } => {
            // With the secret, which an empty store gets now.
            let (mut store, _) = Store::open_with_secret(&session.folder, session.busy_timeout())?;
            let created =
                create_partner(&mut store, &SystemClock, &mut rand::rng(), &Actor::operator(), &name, false)?;
            if form.json {
                return print_json(&created.partner);
            }
            print(&format!("partner {name} was created\n"))
        }
        Command::List(form) => list(form, session),
        Command::Rename { partner, name, after } => {
            let mut store = session.open_to_write()?;
            let change = rename_partner(&mut store, &SystemClock, &Actor::operator(), &partner, &name)?;
            report(&mut store, session, &change, &format!("was renamed; it was `{partner}`"), after)
        }
        Command::Suspend { partner, after } => {
            let mut store = session.open_to_write()?;
            let change = suspend_partner(&mut store, &SystemClock, &Actor::operator(), &partner)?;
            report(&mut store, session, &change, "is suspended; its keys are refused", after)
        }
        Command::Resume { partner, after } => {
            let mut store = session.open_to_write()?;
            let change = resume_partner(&mut store, &SystemClock, &Actor::operator(), &partner)?;
            report(&mut store, session, &change, "is not suspended", after)
        }
        Command::Remove { partner, revoke_keys, after } => {
            let mut store = session.open_to_write()?;
            let change = remove_partner(&mut store, &SystemClock, &Actor::operator(), &partner, revoke_keys)?;
            report(&mut store, session, &change, "was removed with all its keys", after)
        }
    }
}

fn list(form: Form, session: &Session) -> anyhow::Result<()> {
    let mut store = Store::open_existing(&session.folder, session.busy_timeout())?;
    let partners = store.list_partners()?;
    if form.json {
        return print_json(&serde_json::json!({ "partners": partners }));
    }
    let row = |partner: Partner| {
        let state = if partner.suspended.is_some() { "suspended" } else { "active" };
        let (created, keys) = (second(partner.created), partner.keys.to_string());
        vec![partner.name, state.to_owned(), created, keys, partner.id.to_string()]
    };
    let rows: Vec<Vec<String>> = partners.into_iter().map(row).collect();
    print(&table(&["NAME", "STATE", "CREATED", "KEYS", "ID"], &rows))
}

/// Waits for the running servers and prints the report.
fn report(
    store: &mut Store,
    session: &Session,
    PartnerChange { partner, changed, change }: &PartnerChange,
    done: &str,
    after: After,
) -> anyhow::Result<()> {
    let applied = applied::wait(store, session.stale_after(), &SystemClock, *change, after.wait)?;
    if after.form.json {
        print_json(&Json { partner, changed: *changed, applied: &applied })?;
    } else if *changed {
        print(&format!("partner {} {done}\n{}", partner.name, applied.lines()))?;
    } else {
        print(&format!("partner {}: nothing was changed\n", partner.name))?;
    }
    applied.require_all()
}

/// The note about a partner that was created because a key named it, which may be a typing error.
pub(super) fn created_with_a_key(name: &str, partners: &[Partner]) -> String {
    let near = near(name, partners);
    if near.is_empty() {
        return format!("note: `{name}` is a new partner; it was created with this key");
    }
    let near: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
    format!(
        "note: `{name}` is a new partner; it was created with this key. There was {} before: if that was meant, revoke this key and create another",
        near.join(", ")
    )
}

/// The other partners whose names may have been meant, the most similar first.
fn near<'a>(name: &str, partners: &'a [Partner]) -> Vec<&'a str> {
    let plain = |name: &str| name.chars().filter(|c| c.is_alphanumeric()).collect::<String>().to_lowercase();
    let wanted = plain(name);
    let mut near: Vec<(usize, &str)> = partners
        .iter()
        .filter(|partner| partner.name != name)
        .map(|partner| {
            let other = plain(&partner.name);
            let letters = wanted.chars().count().max(other.chars().count());
            (strsim::damerau_levenshtein(&wanted, &other), letters, partner.name.as_str())
        })
        .filter(|(distance, letters, _)| *distance <= letters / 4 + usize::from(*letters < 8))
        .map(|(distance, _, name)| (distance, name))
        .collect();
    near.sort_unstable();
    near.into_iter().take(NEAR_MAX).map(|(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{NOW, PARTNER};

    fn partners(names: &[&str]) -> Vec<Partner> {
        let partner = |name: &&str| Partner {
            is_operator: false,
            granted: Default::default(),
            id: PARTNER,
            name: (*name).to_owned(),
            created: NOW,
            suspended: None,
            keys: 1,
        };
        names.iter().map(partner).collect()
    }

    #[test]
    fn a_typing_error_is_similar() {
        let partners = partners(&["acme", "Acme GmbH", "first-partner", "Zürich", "b"]);
        for (name, expected) in [
            ("acne", &["acme"][..]),
            ("ACME", &["acme"]),
            ("amce", &["acme"]),
            ("acme gmbh", &["Acme GmbH"]),
            ("AcmeGmbH", &["Acme GmbH"]),
            ("firstpartner", &["first-partner"]),
            ("Zurich", &["Zürich"]),
            ("Globex", &[]),
            ("acme", &[]),
        ] {
            assert_eq!(near(name, &partners), expected, "{name}");
        }
    }

    #[test]
    fn the_note_names_both_partners() {
        let note = created_with_a_key("acne", &partners(&["acme", "acne"]));
        assert!(note.contains("`acne` is a new partner") && note.contains("`acme`"), "{note}");
        assert!(!created_with_a_key("new", &partners(&["new"])).contains("before"));
    }
}
