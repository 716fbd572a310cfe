//! `user create --operator` and `user sign-in`: signing in where no identity provider is configured.

use clap::Args;
use permissions::UserId;
use serde::Serialize;

use super::links::{LinkView, Mailed};
use super::output::{print, print_json};
use super::{Form, Session};
use crate::clock::SystemClock;
use crate::mail::Letter;
use crate::provisioning::{Actor, NewOperator, OPERATOR_ORGANIZATION, create_operator, sign_in_link};
use crate::store::Store;

pub(super) const EXAMPLES: &str = "\
The user is an owner of the operator's organization, which is created if there is none. The
link signs in once, within 10 minutes; `user sign-in` makes another.

Examples:
  partner-gateway user create --operator --name 'Ada Lovelace' --email ada@example.com
  partner-gateway user create --operator --name Ada --organization 'The Company' --json";

pub(super) const SIGN_IN_EXAMPLES: &str = "\
The link works once, within 10 minutes; one that was made before ends.

Examples:
  partner-gateway user sign-in 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b
  partner-gateway user sign-in 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b --mail";

#[derive(Debug, Args)]
pub(super) struct Create {
    /// Of the operator's organization; others are invited: `org invite`
    #[arg(long, required = true)]
    operator: bool,
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
    form: Form,
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
    // With the secret, which an empty store gets now.
    let (mut store, secret) = Store::open_with_secret(&session.folder, session.busy_timeout())?;
    let new =
        NewOperator { name: arguments.name, email: arguments.email, organization: arguments.organization };
    let (rng, actor) = (&mut rand::rng(), Actor::operator());
    let created = create_operator(&mut store, &SystemClock, rng, &secret, &actor, &new)?;
    let link = LinkView::new(session, &created.link);
    let user = &created.member.user;
    if arguments.form.json {
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
    let link = LinkView::new(session, &new);
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
