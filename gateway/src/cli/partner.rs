//! `partner create|list`.

use clap::Subcommand;

use super::output::{print, print_json, second, table};
use super::{Form, Session};
use crate::clock::SystemClock;
use crate::keys::create_partner;
use crate::store::{Partner, Store};

/// Of the partners with a near name, so many are shown.
const NEAR_MAX: usize = 3;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make a partner
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
}

pub(super) fn run(command: Command, session: &Session) -> anyhow::Result<()> {
    match command {
        Command::Create { name, form } => {
            // With the secret, which a folder gets while nothing is in it yet.
            let (mut store, _) = Store::open_with_secret(&session.folder, session.busy_timeout())?;
            let created = create_partner(&mut store, &SystemClock, &name)?;
            if form.json {
                return print_json(&Partner { name, created, keys: 0 });
            }
            print(&format!("partner {name} was made\n"))
        }
        Command::List(form) => {
            let store = Store::open_existing(&session.folder, session.busy_timeout())?;
            let partners = store.list_partners()?;
            if form.json {
                return print_json(&serde_json::json!({ "partners": partners }));
            }
            let rows: Vec<Vec<String>> = partners
                .into_iter()
                .map(|partner| vec![partner.name, second(partner.created), partner.keys.to_string()])
                .collect();
            print(&table(&["NAME", "CREATED", "KEYS"], &rows))
        }
    }
}

/// What is said of a partner that was made because a key named it: often it is a slip of the finger.
pub(super) fn made_with_a_key(name: &str, partners: &[Partner]) -> String {
    let near = near(name, partners);
    if near.is_empty() {
        return format!("note: `{name}` is a new partner; it was made with this key");
    }
    let near: Vec<String> = near.iter().map(|name| format!("`{name}`")).collect();
    format!(
        "note: `{name}` is a new partner; it was made with this key, and there was {} before: if that was meant, revoke this key and make another",
        near.join(", ")
    )
}

/// The other partners whose names could have been meant, the nearest first.
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
    use crate::store::tests::NOW;

    fn partners(names: &[&str]) -> Vec<Partner> {
        names.iter().map(|name| Partner { name: (*name).to_owned(), created: NOW, keys: 1 }).collect()
    }

    #[test]
    fn a_slip_of_the_finger_is_near() {
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
    fn what_is_said_names_both() {
        let said = made_with_a_key("acne", &partners(&["acme", "acne"]));
        assert!(said.contains("`acne` is a new partner") && said.contains("`acme`"), "{said}");
        assert!(!made_with_a_key("new", &partners(&["new"])).contains("before"));
    }
}
