//! `token list|revoke|revoke-all`: the app tokens of users. They are issued by `login`, on a device.

use clap::Subcommand;
use permissions::{AppToken, TokenId, UserId};
use serde_json::json;

use super::applied::{self, After};
use super::member_view::find;
use super::output::{print, print_json, second, second_or_dash, table};
use super::{Form, Session};
use crate::clock::{Clock, SystemClock};
use crate::provisioning::{self, Actor};
use crate::store::Store;
use crate::store::people::TokenFilter;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List app tokens, the oldest first
    #[command(after_help = "\
Examples:
  partner-gateway token list --org acme
  partner-gateway token list --user 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5d --json")]
    List {
        /// Only tokens for this organization, by name or id
        #[arg(long, value_name = "ORG")]
        org: Option<String>,
        /// Only tokens of this user
        #[arg(long, value_name = "USER")]
        user: Option<UserId>,
        #[command(flatten)]
        form: Form,
    },
    /// Revoke an app token and close its connections
    #[command(after_help = concat!(applied::exit_code!(), "\
Examples:
  partner-gateway token revoke 019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a60"))]
    Revoke {
        /// The token's id
        #[arg(value_name = "TOKEN")]
        token: TokenId,
        #[command(flatten)]
        after: After,
    },
    /// Revoke many app tokens after a leak: all of an organization, of a user, or of everybody
    #[command(after_help = concat!(applied::exit_code!(), "\
Examples:
  partner-gateway token revoke-all --org acme
  partner-gateway token revoke-all --everybody"))]
    RevokeAll {
        /// All tokens for this organization, by name or id
        #[arg(long, value_name = "ORG")]
        org: Option<String>,
        /// All tokens of this user
        #[arg(long, value_name = "USER")]
        user: Option<UserId>,
        /// All tokens there are
        #[arg(long, conflicts_with_all = ["org", "user"], required_unless_present_any = ["org", "user"])]
        everybody: bool,
        #[command(flatten)]
        after: After,
    },
}

pub(super) fn run(command: Command, session: &Session) -> anyhow::Result<()> {
    let (clock, actor) = (&SystemClock, &Actor::operator());
    match command {
        Command::List { org, user, form } => {
            let mut store = Store::open_existing(&session.folder, session.busy_timeout())?;
            let organization = org.map(|org| find(&mut store, &org)).transpose()?.map(|found| found.id);
            let filter = TokenFilter { user, organization, environment: None };
            list(&provisioning::list_tokens(&mut store, filter)?, form)
        }
        Command::Revoke { token, after } => {
            let mut store = session.open_to_write()?;
            let (token, revoked, change) = provisioning::revoke_token(&mut store, clock, actor, token)?;
            let applied = applied::wait(&mut store, session.stale_after(), clock, change, after.wait)?;
            if after.form.json {
                let mut json = view(&token);
                json["already_revoked"] = json!(!revoked);
                json["applied"] = serde_json::to_value(&applied)?;
                print_json(&json)?;
            } else if revoked {
                print(&format!("token {} is revoked\n{}", token.id, applied.lines()))?;
            } else {
                print(&format!("token {} was revoked already; nothing was changed\n", token.id))?;
            }
            applied.require_all()
        }
        Command::RevokeAll { org, user, everybody: _, after } => {
            let mut store = session.open_to_write()?;
            let organization = org.map(|org| find(&mut store, &org)).transpose()?.map(|found| found.id);
            let (revoked, change) =
                provisioning::revoke_all_tokens(&mut store, clock, actor, organization, user)?;
            let applied = applied::wait(&mut store, session.stale_after(), clock, change, after.wait)?;
            if after.form.json {
                print_json(&json!({ "revoked": revoked, "applied": applied }))?;
            } else {
                print(&format!("{revoked} tokens are revoked\n{}", applied.lines()))?;
            }
            applied.require_all()
        }
    }
}

fn view(token: &AppToken) -> serde_json::Value {
    json!({
        "id": token.id,
        "member": token.membership,
        "environment": token.environment,
        "app": token.app,
        "device": token.device,
        "created": token.created,
        "authenticated": token.authenticated,
        "expires": token.expires,
        "revoked": token.revoked,
        "last_used": token.last_used,
    })
}

fn list(tokens: &[AppToken], form: Form) -> anyhow::Result<()> {
    if form.json {
        return print_json(&json!({ "tokens": tokens.iter().map(view).collect::<Vec<_>>() }));
    }
    let now = SystemClock.now();
    let row = |token: &AppToken| {
        let state = match token.revoked {
            Some(_) => "revoked",
            None if token.expires <= now => "expired",
            None => "active",
        };
        vec![
            token.app.clone(),
            token.device.clone(),
            token.environment.to_string(),
            state.to_owned(),
            second(token.expires),
            second_or_dash(token.last_used),
            token.id.to_string(),
        ]
    };
    let head = ["APP", "DEVICE", "ENVIRONMENT", "STATE", "EXPIRES", "LAST USED", "ID"];
    print(&table(&head, &tokens.iter().map(row).collect::<Vec<_>>()))
}
