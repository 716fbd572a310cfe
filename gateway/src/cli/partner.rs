//! `partner create|list`.

use clap::Subcommand;

use super::output::{print, print_json, second, table};
use super::{Form, Session, key};
use crate::store::{Partner, Store};

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
            let (_, created) = key::provision(session, |keys| keys.create_partner(&name))?;
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
