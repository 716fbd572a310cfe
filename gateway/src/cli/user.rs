//! `user list|create|sign-in`, and a member as commands print it.

use clap::Subcommand;

use super::member_view::{MemberView, table_of};
use super::output::{print, print_json};
use super::{Form, Session, operator};
use crate::store::Store;
use crate::store::people::MemberFilter;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List users with their memberships
    #[command(after_help = "\
Examples:
  partner-gateway user list --json")]
    List(Form),
    /// Create a user: of the operator, or as a member of an organization
    #[command(after_help = operator::EXAMPLES)]
    Create(Box<operator::Create>),
    /// Make a link that signs a user in, once
    #[command(after_help = operator::SIGN_IN_EXAMPLES)]
    SignIn(operator::SignIn),
}

pub(super) fn run(command: Command, session: &Session) -> anyhow::Result<()> {
    match command {
        Command::List(form) => {
            let mut store = Store::open_existing(&session.folder, session.busy_timeout())?;
            let members = store.list_members(MemberFilter::default())?;
            let views = members.iter().map(|member| MemberView::new(&mut store, member));
            let views = views.collect::<anyhow::Result<Vec<_>>>()?;
            if form.json {
                return print_json(&serde_json::json!({ "users": store.list_users()?.iter().map(|user| {
                    let of: Vec<_> = views.iter().filter(|view| view.user_id == user.id).collect();
                    serde_json::json!({
                        "id": user.id, "name": user.name, "email": user.email, "created": user.created,
                        "memberships": of,
                    })
                }).collect::<Vec<_>>() }));
            }
            print(&table_of(&views))
        }
        Command::Create(arguments) => operator::create(*arguments, session),
        Command::SignIn(arguments) => operator::sign_in(&arguments, session),
    }
}
