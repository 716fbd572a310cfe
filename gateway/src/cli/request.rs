//! `request list|show|approve|ask|reject|claim-link`: the queue of access requests.

use clap::{Args, Subcommand};
use permissions::{ApiAccessPermission, PartnerId, RequestId, ServerSecret};
use serde::Serialize;

use super::applied::{self, After, Applied};
use super::arguments::{self, Setting};
use super::links::{LinkView, Mailed};
use super::output::{print, print_json, second, table};
use super::request_view::{Shown, environment_list, lines};
use super::{Form, Session};
use crate::clock::SystemClock;
use crate::mail::Letter;
use crate::provisioning::{
    Actor, Approval, Approved, ApprovedFor, LIST_MAX, approve_request, ask_back, claim_state, list_requests,
    new_claim_link, reject_request, show_request,
};
use crate::store::Store;
use crate::store::requests::{AccessRequest, RequestFilter, RequestState};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List access requests, the oldest first; without options those that are open
    #[command(after_help = "\
Examples:
  partner-gateway request list
  partner-gateway request list --state approved --json
  partner-gateway request list --all --after 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b")]
    List(List),
    /// Show one access request, with everything that happened to it
    #[command(after_help = "\
Examples:
  partner-gateway request show 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b --json")]
    Show {
        /// The request's id
        #[arg(value_parser = request_id)]
        id: RequestId,
        #[command(flatten)]
        form: Form,
    },
    /// Approve an access request, as it was filed or narrower; prints the link to the keys, once
    #[command(after_help = concat!("\
Makes the organization, or widens what the one that asked is granted. A contact without one gets a
link that works once, by which they claim a key for each environment. Where mail is configured
they get it by mail; otherwise pass it on.

", applied::exit_code!(), "\
Examples:
  partner-gateway request approve 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b
  partner-gateway request approve 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b --production none
  partner-gateway request approve 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b \\
      --staging ping:read,connection:read --production ping:read --name 'Acme (Berlin)'"))]
    Approve(Approve),
    /// Ask the other side of an open access request a question
    #[command(after_help = "\
Examples:
  partner-gateway request ask 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b --text 'How many calls a day?'")]
    Ask {
        /// The request's id
        #[arg(value_parser = request_id)]
        id: RequestId,
        /// The question
        #[arg(long, value_name = "TEXT")]
        text: String,
        #[command(flatten)]
        form: Form,
    },
    /// Reject an open access request
    #[command(after_help = "\
Examples:
  partner-gateway request reject 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b --reason 'We know no such company.'")]
    Reject {
        /// The request's id
        #[arg(value_parser = request_id)]
        id: RequestId,
        /// The reason, which the other side sees
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        form: Form,
    },
    /// Make another link to the keys of an approved access request; the one before ends
    #[command(after_help = "\
Keys that were claimed stay. To replace one of them instead, rotate it.

Examples:
  partner-gateway request claim-link 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b")]
    ClaimLink {
        /// The request's id
        #[arg(value_parser = request_id)]
        id: RequestId,
        #[command(flatten)]
        form: Form,
    },
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only those in this state
    #[arg(long, value_name = "STATE", value_parser = state(), conflicts_with = "all")]
    state: Option<RequestState>,
    /// Those in every state
    #[arg(long)]
    all: bool,
    /// Only those of this organization, by name or id
    #[arg(long, value_name = "NAME")]
    organization: Option<String>,
    /// Only those after this one
    #[arg(long, value_name = "ID", value_parser = request_id)]
    after: Option<RequestId>,
    #[command(flatten)]
    form: Form,
}

#[derive(Debug, Args)]
pub(super) struct Approve {
    /// The request's id
    #[arg(value_parser = request_id)]
    id: RequestId,
    /// What is granted in staging, separated by commas, or `none` [default: what was asked for]
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = arguments::permission_or_none)]
    staging: Option<Vec<Setting<ApiAccessPermission>>>,
    /// What is granted in production, separated by commas, or `none` [default: what was asked for]
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = arguments::permission_or_none)]
    production: Option<Vec<Setting<ApiAccessPermission>>>,
    /// Grant more than was asked for
    #[arg(long)]
    wider: bool,
    /// Approve it for an organization that exists, by name or id: you know that the contact is of it
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    organization: Option<String>,
    /// Give the new organization another name than the request has
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The message to the other side
    #[arg(long, value_name = "TEXT", default_value = "")]
    text: String,
    #[command(flatten)]
    after: After,
}

/// An approval in `--json`.
#[derive(Serialize)]
struct ApprovedJson<'a> {
    #[serde(flatten)]
    request: &'a AccessRequest,
    organization_name: &'a str,
    organization_created: bool,
    claim: &'a Option<LinkView>,
    mail: Mailed,
    applied: &'a Applied,
}

/// Another decision in `--json`.
#[derive(Serialize)]
struct DecidedJson<'a> {
    #[serde(flatten)]
    request: &'a AccessRequest,
    #[serde(skip_serializing_if = "Option::is_none")]
    claim: Option<&'a LinkView>,
    mail: Mailed,
}

pub(super) fn run(command: Command, session: &Session) -> anyhow::Result<()> {
    match command {
        Command::List(arguments) => list(arguments, session),
        Command::Show { id, form } => show(id, form, session),
        Command::Approve(arguments) => approve(arguments, session),
        Command::Ask { id, text, form } => {
            let (mut store, _) = open(session)?;
            let (request, _) = ask_back(&mut store, &SystemClock, &Actor::operator(), id, &text)?;
            let letter = reachable(&request).then(|| Letter::asked_back(&request.email, text.trim()));
            report(session, &request, "waits for an answer", letter, form)
        }
        Command::Reject { id, reason, form } => {
            let (mut store, _) = open(session)?;
            let (request, _) = reject_request(&mut store, &SystemClock, &Actor::operator(), id, &reason)?;
            let letter = reachable(&request).then(|| Letter::rejected(&request.email, reason.trim()));
            report(session, &request, "is rejected", letter, form)
        }
        Command::ClaimLink { id, form } => claim_link(id, form, session),
    }
}

fn list(arguments: List, session: &Session) -> anyhow::Result<()> {
    let mut store = Store::open_existing(&session.folder, session.busy_timeout())?;
    let organization = match arguments.organization {
        Some(name) => Some(super::member_view::find(&mut store, &name)?.id),
        None => None::<PartnerId>,
    };
    let filter = RequestFilter {
        organization,
        state: arguments.state,
        is_open: !arguments.all && arguments.state.is_none(),
        after: arguments.after,
        count: LIST_MAX,
    };
    let requests = list_requests(&mut store, &Actor::operator(), filter)?;
    let next = (requests.len() == LIST_MAX).then(|| requests.last().map(|request| request.id)).flatten();
    if arguments.form.json {
        return print_json(&serde_json::json!({ "requests": requests, "next": next }));
    }
    let row = |request: &AccessRequest| {
        vec![
            request.id.to_string(),
            request.state.to_string(),
            second(request.created),
            request.name.clone(),
            if request.by_contact { request.email.clone() } else { request.contact.clone() },
            environment_list(&request.wanted),
        ]
    };
    let rows: Vec<Vec<String>> = requests.iter().map(row).collect();
    let mut text = table(&["ID", "STATE", "FILED", "ORGANIZATION", "CONTACT", "ASKS FOR"], &rows);
    if let Some(next) = next {
        text.push_str(&format!("there may be more: partner-gateway request list --after {next}\n"));
    }
    print(&text)
}

fn show(id: RequestId, form: Form, session: &Session) -> anyhow::Result<()> {
    let mut store = Store::open_existing(&session.folder, session.busy_timeout())?;
    let view = show_request(&mut store, &Actor::operator(), id)?;
    let claim = claim_state(&mut store, &SystemClock, id)?;
    if form.json { print_json(&Shown { view: &view, claim }) } else { print(&lines(&view, claim)) }
}

fn approve(arguments: Approve, session: &Session) -> anyhow::Result<()> {
    let approval = Approval {
        staging: arguments.staging.map(union).transpose()?,
        production: arguments.production.map(union).transpose()?,
        wider: arguments.wider,
        organization: match (arguments.organization, arguments.name) {
            (Some(existing), _) => ApprovedFor::Existing(existing),
            (None, Some(name)) => ApprovedFor::New(name),
            (None, None) => ApprovedFor::AsAsked,
        },
        text: arguments.text,
        claim_lifetime: session.config.requests.claim_lifetime,
    };
    let (mut store, secret) = open(session)?;
    let (rng, actor) = (&mut rand::rng(), Actor::operator());
    let approved = approve_request(&mut store, &SystemClock, rng, &secret, &actor, arguments.id, &approval)?;
    let Approved { request, organization, organization_created, change, key, .. } = &approved;
    let claim = approved.claim.as_ref().map(|link| LinkView::new(session, &mut store, link));
    let text = approval.text.trim();
    let letter = match (&approved.claim, &claim) {
        (Some(new), Some(link)) if link.is_url() => {
            Some(Letter::approved(&request.email, link.text(), &second(new.expires), text))
        }
        (Some(_), _) => None,
        (None, _) => reachable(request).then(|| Letter::widened(&request.email, text)),
    };
    let mail = Mailed::send(session, letter);
    let after = arguments.after;
    let applied = applied::wait(&mut store, session.stale_after(), &SystemClock, *change, after.wait)?;
    if after.form.json {
        let organization_name = &organization.name;
        let organization_created = *organization_created;
        let applied = &applied;
        print_json(&ApprovedJson {
            request,
            organization_name,
            organization_created,
            claim: &claim,
            mail,
            applied,
        })?;
    } else {
        let is_new = if *organization_created { ", which is new" } else { "" };
        let granted = request.granted.as_ref().map(environment_list).unwrap_or_default();
        let mut text = format!("approved for the organization {}{is_new}: {granted}\n", organization.name);
        if let Some(key) = key {
            text.push_str(&format!("the key {key}, which asked, has it from now on\n"));
        }
        if let Some(link) = &claim {
            text.push('\n');
            text.push_str(&link.lines("The link to the keys"));
        }
        text.push_str(&mail.line(&request.email));
        text.push_str(&applied.lines());
        print(&text)?;
    }
    applied.require_all()
}

fn claim_link(id: RequestId, form: Form, session: &Session) -> anyhow::Result<()> {
    let (mut store, secret) = open(session)?;
    let lifetime = session.config.requests.claim_lifetime;
    let (rng, actor) = (&mut rand::rng(), Actor::operator());
    let (request, new, _) = new_claim_link(&mut store, &SystemClock, rng, &secret, &actor, id, lifetime)?;
    let link = LinkView::new(session, &mut store, &new);
    let letter = Letter::approved(&request.email, link.text(), &second(new.expires), "");
    let mail = Mailed::send(session, link.is_url().then_some(letter));
    if form.json {
        return print_json(&DecidedJson { request: &request, claim: Some(&link), mail });
    }
    print(&format!("{}{}", link.lines("The link to the keys"), mail.line(&request.email)))
}

fn report(
    session: &Session,
    request: &AccessRequest,
    done: &str,
    letter: Option<Letter>,
    form: Form,
) -> anyhow::Result<()> {
    let mail = Mailed::send(session, letter);
    if form.json {
        return print_json(&DecidedJson { request, claim: None, mail });
    }
    print(&format!("request {} {done}\n{}", request.id, mail.line(&request.email)))
}

fn open(session: &Session) -> anyhow::Result<(Store, ServerSecret)> {
    Store::require(&session.folder)?;
    Ok(Store::open_with_secret(&session.folder, session.busy_timeout())?)
}

fn reachable(request: &AccessRequest) -> bool {
    !request.email.is_empty()
}

/// The permissions of an option; `none` stands alone.
fn union(settings: Vec<Setting<ApiAccessPermission>>) -> Result<ApiAccessPermission, clap::Error> {
    if settings.len() > 1 && settings.contains(&Setting::Unset) {
        let text = "an option takes permissions or `none`, not both\n";
        return Err(clap::Error::raw(clap::error::ErrorKind::ArgumentConflict, text));
    }
    let named = settings.into_iter().filter_map(Option::<ApiAccessPermission>::from);
    Ok(named.fold(ApiAccessPermission::empty(), |all, one| all | one))
}

fn request_id(text: &str) -> Result<RequestId, String> {
    text.parse().map_err(|_| {
        "it is not the id of a request, such as 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b; `partner-gateway request list` shows them"
            .to_owned()
    })
}

fn state() -> impl clap::builder::TypedValueParser<Value = RequestState> {
    use clap::builder::{PossibleValuesParser, TypedValueParser as _};
    let names: Vec<&str> = RequestState::ALL.iter().map(|state| state.name()).collect();
    PossibleValuesParser::new(names).try_map(|name| name.parse::<RequestState>())
}
