//! `user create --operator` and `user sign-in`: signing in where no identity provider is configured.

use clap::Args;
use permissions::{Identity, UserId};
use serde::Serialize;

use super::applied::After;
use super::links::{LinkView, Mailed};
use super::member_view::find;
use super::output::{print, print_json};
use super::{Form, Session, member_view};
use crate::clock::SystemClock;
use crate::mail::Letter;
use crate::provisioning::{
    Actor, NewMember, NewOperator, OPERATOR_ORGANIZATION, create_operator, create_user, find_role_by_name,
    sign_in_link,
};
use crate::store::Store;

pub(super) const EXAMPLES: &str = "\
With --operator, the user is an owner of the operator's organization, which is created if there is
none, and a link is printed that signs in once, within 10 minutes; `user sign-in` makes another.
Otherwise the user is a member of the organization with this role.

Examples:
  partner-gateway user create --name 'Ada Lovelace' --org acme --role owner
  partner-gateway user create --name Bob --org acme --role viewer --issuer https://id.example.com --subject 42
  partner-gateway user create --operator --name 'Ada Lovelace' --email ada@example.com
  partner-gateway user create --operator --name Ada --organization 'The Company' --json";

pub(super) const SIGN_IN_EXAMPLES: &str = "\
The link works once, within 10 minutes; one that was made before ends.

Examples:
  partner-gateway user sign-in 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b
  partner-gateway user sign-in 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b --mail";

#[derive(Debug, Args)]
pub(super) struct Create {
    /// An owner of the operator's organization
    #[arg(long, required_unless_present = "org", conflicts_with_all = ["org", "role", "issuer", "subject", "wait"])]
    operator: bool,
    /// A member of this organization, by its name or id
    #[arg(long, value_name = "ORG", requires = "role")]
    org: Option<String>,
    /// The name of the role there: owner, admin, developer, viewer, or one of the organization's own
    #[arg(long, value_name = "ROLE", requires = "org")]
    role: Option<String>,
    /// The identity provider that vouches for the person, as it is in `iss`
    #[arg(long, value_name = "URL", requires = "subject")]
    issuer: Option<String>,
    /// The person's identifier there, as it is in `sub`
    #[arg(long, value_name = "TEXT", requires = "issuer")]
    subject: Option<String>,
    /// The name that others see
    #[arg(long, value_name = "NAME")]
    name: String,
    /// The e-mail address
    #[arg(long, value_name = "ADDRESS")]
    email: Option<String>,
    /// The name of the operator's organization, if there is none yet
    #[arg(long, value_name = "NAME", default_value = OPERATOR_ORGANIZATION)]
    organization: String,
    #[command(flatten)]
    after: After,
}

#[derive(Debug, Args)]
pub(super) struct SignIn {
    /// The user's id
    user: UserId,
    /// Send the link to the user's e-mail address too
    #[arg(long)]
    mail: bool,
    #[command(flatten)]
    form: Form,
}

/// A user with a link to sign in, in `--json`.
#[derive(Serialize)]
struct Json<'a> {
    user: UserId,
    name: &'a str,
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    organization_created: Option<bool>,
    #[serde(flatten)]
    link: &'a LinkView,
    #[serde(skip_serializing_if = "Option::is_none")]
    mail: Option<Mailed>,
}

pub(super) fn create(arguments: Create, session: &Session) -> anyhow::Result<()> {
    if let Some((org, role)) = arguments.org.zip(arguments.role) {
        let mut store = session.open_to_write()?;
        let organization = find(&mut store, &org)?.id;
        let role = find_role_by_name(&mut *store, organization, &role)?;
        let identity = arguments.issuer.zip(arguments.subject);
        let identity = identity.map(|(issuer, subject)| Identity { issuer, subject });
        let (name, email) = (arguments.name, arguments.email);
        let new = NewMember { name, email, identity, organization, role };
        let (rng, actor) = (&mut rand::rng(), Actor::operator());
        let (member, change) = create_user(&mut store, &SystemClock, rng, &actor, new)?;
        return member_view::report(&mut store, session, &member, change, "was created", arguments.after);
    }
    // With the secret, which an empty store gets now.
    let (mut store, secret) = Store::open_with_secret(&session.folder, session.busy_timeout())?;
    let new =
        NewOperator { name: arguments.name, email: arguments.email, organization: arguments.organization };
    let (rng, actor) = (&mut rand::rng(), Actor::operator());
    let created = create_operator(&mut store, &SystemClock, rng, &secret, &actor, &new)?;
    let link = LinkView::new(session, &mut store, &created.link);
    let user = &created.member.user;
    if arguments.after.form.json {
        return print_json(&Json {
            user: user.id,
            name: &user.name,
            email: user.email.as_deref(),
            organization: Some(&created.organization.name),
            organization_created: Some(created.organization_created),
            link: &link,
            mail: None,
        });
    }
    let is_new = if created.organization_created { ", which is new" } else { "" };
    let organization = &created.organization.name;
    let done = format!("user {} is an owner of {organization}{is_new}; id {}\n\n", user.name, user.id);
    print(&format!("{done}{}", link.lines("The link to sign in")))
}

pub(super) fn sign_in(arguments: &SignIn, session: &Session) -> anyhow::Result<()> {
    Store::require(&session.folder)?;
    let (mut store, secret) = Store::open_with_secret(&session.folder, session.busy_timeout())?;
    let (rng, actor) = (&mut rand::rng(), Actor::operator());
    let (user, new, _) = sign_in_link(&mut store, &SystemClock, rng, &secret, &actor, arguments.user)?;
    let link = LinkView::new(session, &mut store, &new);
    let mail = arguments.mail.then(|| {
        let to = user.email.as_ref().filter(|_| link.is_url());
        Mailed::send(session, to.map(|to| Letter::sign_in(to, link.text())))
    });
    if arguments.form.json {
        return print_json(&Json {
            user: user.id,
            name: &user.name,
            email: user.email.as_deref(),
            organization: None,
            organization_created: None,
            link: &link,
            mail,
        });
    }
    let to = user.email.as_deref().unwrap_or_default();
    let mail = mail.map(|mail| mail.line(to)).unwrap_or_default();
    print(&format!("{}{mail}", link.lines(&format!("The link to sign in as {}", user.name))))
}
