//! `user`: people.

use clap::Subcommand;

use super::{Session, operator};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Create a user of the operator's organization; prints a link to sign in, once
    #[command(after_help = operator::EXAMPLES)]
    Create(operator::Create),
    /// Make a link that signs a user in, once
    #[command(after_help = operator::SIGN_IN_EXAMPLES)]
    SignIn(operator::SignIn),
}

pub(super) fn run(command: Command, session: &Session) -> anyhow::Result<()> {
    match command {
        Command::Create(arguments) => operator::create(arguments, session),
        Command::SignIn(arguments) => operator::sign_in(&arguments, session),
    }
}
