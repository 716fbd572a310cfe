//! `org invite` and `org invitation list|revoke`.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use permissions::{BuiltInRole, InvitationId, PartnerId};
use serde::Serialize;

use super::links::{LinkView, Mailed};
use super::output::{print, print_json, second, table};
use super::{Form, Session, member_view};
use crate::clock::{Clock as _, SystemClock};
use crate::mail::Letter;
use crate::provisioning::{
    self, Actor, INVITATIONS_LIST_MAX, NewInvitation, find_role_by_name, revoke_invitation, role_name,
};
use crate::store::Store;
use crate::store::requests::Invitation;

pub(super) const EXAMPLES: &str = "\
The link works once, and for `requests.invitation_lifetime`. Where mail is configured and an
address is given, it is sent there; otherwise pass it on.

Examples:
  partner-gateway org invite acme --email ada@example.com
  partner-gateway org invite acme --role developer --json";

#[derive(Debug, Args)]
pub(super) struct Invite {
    /// The organization's name or id
    #[arg(value_name = "ORGANIZATION")]
    organization: String,
    /// The person's e-mail address; with a provider, only an account with this address accepts it
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// The role: owner, admin, developer, viewer, or one of the organization's own
    #[arg(long, value_name = "ROLE", default_value = BuiltInRole::Owner.name())]
    role: String,
    #[command(flatten)]
    form: Form,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List the invitations of an organization, the oldest first
    #[command(after_help = "\
Examples:
  partner-gateway org invitation list acme --json")]
    List {
        /// The organization's name or id
        #[arg(value_name = "ORGANIZATION")]
        organization: String,
        /// Only those after this one
        #[arg(long, value_name = "ID")]
        after: Option<InvitationId>,
        #[command(flatten)]
        form: Form,
    },
    /// Revoke an invitation, so that its link no longer works
    #[command(after_help = "\
Examples:
  partner-gateway org invitation revoke 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b")]
    Revoke {
        /// The invitation's id
        id: InvitationId,
        #[command(flatten)]
        form: Form,
    },
}

/// An invitation in `--json`.
#[derive(Serialize)]
struct View<'a> {
    id: InvitationId,
    organization: PartnerId,
    email: Option<&'a str>,
    role: &'a str,
    state: &'static str,
    created: Timestamp,
    expires: Timestamp,
    accepted: Option<Timestamp>,
    revoked: Option<Timestamp>,
}

impl<'a> View<'a> {
    fn new(invitation: &'a Invitation, role: &'a str) -> Self {
        let now = SystemClock.now();
        let state = match invitation {
            Invitation { revoked: Some(_), .. } => "revoked",
            Invitation { accepted: Some(_), .. } => "accepted",
            invitation if invitation.is_open(now) => "open",
            _ => "expired",
        };
        Self {
            id: invitation.id,
            organization: invitation.organization,
            email: invitation.email.as_deref(),
            role,
            state,
            created: invitation.created,
            expires: invitation.expires,
            accepted: invitation.accepted,
            revoked: invitation.revoked,
        }
    }
}

/// A new invitation in `--json`.
#[derive(Serialize)]
struct InvitedJson<'a> {
    #[serde(flatten)]
    invitation: View<'a>,
    #[serde(flatten)]
    link: &'a LinkView,
    mail: Mailed,
}

pub(super) fn invite(arguments: Invite, session: &Session) -> anyhow::Result<()> {
    Store::require(&session.folder)?;
    let (mut store, secret) = Store::open_with_secret(&session.folder, session.busy_timeout())?;
    let organization = member_view::find(&mut store, &arguments.organization)?;
    let role = find_role_by_name(&mut *store, organization.id, &arguments.role)?;
    let new = NewInvitation {
        organization: organization.id,
        email: arguments.email,
        role,
        lifetime: session.config.requests.invitation_lifetime,
    };
    let (rng, actor) = (&mut rand::rng(), Actor::operator());
    let invited = provisioning::invite(&mut store, &SystemClock, rng, &secret, &actor, &new)?;
    let invitation = &invited.invitation;
    let link = LinkView::new(session, &mut store, &invited.link);
    let (role, expires) = (role_name(&mut *store, role)?, second(invitation.expires));
    let letter = invitation.email.as_ref().filter(|_| link.is_url());
    let letter = letter.map(|to| Letter::invitation(to, &organization.name, &role, link.text(), &expires));
    let mail = Mailed::send(session, letter);
    if arguments.form.json {
        return print_json(&InvitedJson { invitation: View::new(invitation, &role), link: &link, mail });
    }
    let to = invitation.email.as_deref().unwrap_or_default();
    let what = format!("The invitation to {} as {role}", organization.name);
    print(&format!("{}{}", link.lines(&what), mail.line(to)))
}

pub(super) fn run(command: Command, session: &Session) -> anyhow::Result<()> {
    match command {
        Command::List { organization, after, form } => {
            let mut store = Store::open_existing(&session.folder, session.busy_timeout())?;
            let organization = member_view::find(&mut store, &organization)?.id;
            let (actor, count) = (Actor::operator(), INVITATIONS_LIST_MAX);
            let found = provisioning::list_invitations(&mut store, &actor, organization, after, count)?;
            let roles = found.iter().map(|invitation| role_name(&mut *store, invitation.role));
            let roles = roles.collect::<Result<Vec<_>, _>>()?;
            let views: Vec<_> =
                found.iter().zip(&roles).map(|(invitation, role)| View::new(invitation, role)).collect();
            let next = (found.len() == count).then(|| found.last().map(|last| last.id)).flatten();
            if form.json {
                return print_json(&serde_json::json!({ "invitations": views, "next": next }));
            }
            let row = |view: &View<'_>| {
                let email = view.email.unwrap_or("-").to_owned();
                let state = view.state.to_owned();
                vec![view.id.to_string(), state, view.role.to_owned(), second(view.expires), email]
            };
            let rows: Vec<Vec<String>> = views.iter().map(row).collect();
            print(&table(&["ID", "STATE", "ROLE", "EXPIRES", "E-MAIL"], &rows))
        }
        Command::Revoke { id, form } => {
            let mut store = session.open_to_write()?;
            let (invitation, _) = revoke_invitation(&mut store, &SystemClock, &Actor::operator(), id)?;
            let role = role_name(&mut *store, invitation.role)?;
            if form.json {
                return print_json(&View::new(&invitation, &role));
            }
            print(&format!("invitation {id} is revoked\n"))
        }
    }
}
