//! `org`: organizations and who is invited to them.

use clap::Subcommand;

use super::{Session, invite};
use crate::provisioning::ProvisioningError;
use crate::store::{Partner, Store};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Invite a person to an organization; prints the invitation's link, once
    #[command(after_help = invite::EXAMPLES)]
    Invite(invite::Invite),
    /// List and revoke invitations
    #[command(subcommand)]
    Invitation(invite::Command),
}

pub(super) fn run(command: Command, session: &Session) -> anyhow::Result<()> {
    match command {
        Command::Invite(arguments) => invite::invite(arguments, session),
        Command::Invitation(command) => invite::run(command, session),
    }
}

/// The organization of this name or id.
pub(super) fn find(store: &mut Store, name_or_id: &str) -> Result<Partner, ProvisioningError> {
    let found = store.find_partner(name_or_id)?;
    found.ok_or_else(|| ProvisioningError::UnknownPartner(name_or_id.to_owned()))
}
