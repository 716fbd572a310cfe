//! `audit list|verify`.

use clap::Subcommand;

use super::member_view::find;
use super::output::{print, print_json, second, table};
use super::{Form, Session};
use crate::store::Store;
use crate::store::people::{AuditFilter, AuditRecord};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List who changed what, the newest first
    #[command(after_help = "\
Examples:
  partner-gateway audit list --org acme
  partner-gateway audit list --action key.revoke --count 10 --json")]
    List {
        /// Only what concerns this organization, by name or id
        #[arg(long, value_name = "ORG")]
        org: Option<String>,
        /// Only this action, such as `key.create`
        #[arg(long, value_name = "ACTION")]
        action: Option<String>,
        /// Only what was done to this, such as `key:019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b`
        #[arg(long, value_name = "TARGET")]
        target: Option<String>,
        /// Only entries before this number
        #[arg(long, value_name = "NUMBER")]
        before: Option<i64>,
        /// How many entries to list
        #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        count: u32,
        #[command(flatten)]
        form: Form,
    },
    /// Check that no entry was changed, removed or inserted
    #[command(after_help = "\
Prints the hash of the last entry: keep it elsewhere, to notice later that the end was cut off.
Exits with 1 where an entry was changed or is missing.

Examples:
  partner-gateway audit verify --json")]
    Verify(Form),
}

pub(super) fn run(command: Command, session: &Session) -> anyhow::Result<()> {
    let mut store = Store::open_existing(&session.folder, session.busy_timeout())?;
    match command {
        Command::List { org, action, target, before, count, form } => {
            let organization = org.map(|org| find(&mut store, &org)).transpose()?.map(|found| found.id);
            let filter = AuditFilter { organization, target, action, before, count: usize::try_from(count)? };
            let entries = store.list_audit(&filter)?;
            if form.json {
                return print_json(&serde_json::json!({ "entries": entries }));
            }
            let row = |AuditRecord { number, at, entry }: &AuditRecord| {
                let after = entry.after.as_ref().or(entry.before.as_ref());
                let after = after.map(ToString::to_string).unwrap_or_default();
                let cells = [&entry.actor, &entry.action, &entry.target, &after];
                let cells = cells.into_iter().cloned();
                [number.to_string(), second(*at)].into_iter().chain(cells).collect::<Vec<_>>()
            };
            let head = ["NUMBER", "AT", "WHO", "WHAT", "ON WHAT", "DETAIL"];
            print(&table(&head, &entries.iter().map(row).collect::<Vec<_>>()))
        }
        Command::Verify(form) => {
            let check = store.check_audit()?;
            if form.json {
                print_json(&check)?;
            } else if check.broken_at.is_none() {
                let last = check.last_hash.as_deref().unwrap_or("-");
                print(&format!("{} entries, all whole\n  last hash  {last}\n", check.entries))?;
            }
            match check.broken_at {
                None => Ok(()),
                Some(number) => anyhow::bail!(
                    "entry {number} of the audit log was changed or is missing; {} before it are whole",
                    check.entries
                ),
            }
        }
    }
}
