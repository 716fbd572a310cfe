//! `local on|off|port|token|rotate|panel`: the settings of the local profile, also of a running server.
//!
//! A change is written to the data folder. A running server looks for it, applies it and answers; what it refuses, such
//! as a port that another program has, it takes back.

use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Subcommand;
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use serde::Serialize;
use zeroize::Zeroizing;

use super::applied::{self, After};
use super::exit::Unavailable;
use super::output::{print, print_json};
use super::{Form, Session};
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, Sources};
use crate::folder::DataFolder;
use crate::local::{Answer, Change, Settings, Wish, read_token, rotate_token};
use crate::provisioning::{Actor, Provisioning};
use crate::store::{Store, StoreError};

/// The polling interval while a server applies a change.
const PAUSE: Duration = Duration::from_millis(5);
/// The file of the settings page's address holds one line.
const ADDRESS_BYTES_MAX: usize = 1024;

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Switch the API on
    #[command(after_help = concat!(applied::exit_code!(), "\
Examples:
  partner-gateway local on"))]
    On {
        #[command(flatten)]
        after: After,
    },
    /// Switch the API off: its port is closed, and its connections are ended
    #[command(after_help = concat!(applied::exit_code!(), "\
Examples:
  partner-gateway local off --json"))]
    Off {
        #[command(flatten)]
        after: After,
    },
    /// Change the API's port; one that cannot be used changes nothing
    #[command(after_help = concat!(applied::exit_code!(), "\
Examples:
  partner-gateway local port 10200"))]
    Port {
        /// The port
        #[arg(value_parser = clap::value_parser!(u16).range(1..))]
        port: u16,
        #[command(flatten)]
        after: After,
    },
    /// Print the token
    #[command(after_help = "\
The token is in no argument and no history this way:
  printf 'Authorization: Bearer %s\\n' \"$(partner-gateway local token)\" | \\
      curl -H @- http://127.0.0.1:10108/2026-11-01/ping.json")]
    Token {
        #[command(flatten)]
        form: Form,
    },
    /// Replace the token: the old one is refused, and its clients are disconnected
    #[command(after_help = concat!("\
The new token is not printed; `partner-gateway local token` prints it.

", applied::exit_code!(), "\
Examples:
  partner-gateway local rotate"))]
    Rotate {
        #[command(flatten)]
        after: After,
    },
    /// Print the address of the settings page; anyone with it can read the token
    #[command(after_help = "\
Examples:
  xdg-open \"$(partner-gateway local panel)\"")]
    Panel {
        #[command(flatten)]
        form: Form,
    },
}

/// `local on|off|port --json`.
#[derive(Serialize)]
struct Changed {
    on: bool,
    /// None is the configuration's.
    port: Option<u16>,
    /// Whether a running server has applied it; none where none runs.
    applied: Option<bool>,
}

pub(super) fn run(command: Command, session: &Session) -> anyhow::Result<()> {
    match command {
        Command::On { after } => change(Change::Switch(true), after, session),
        Command::Off { after } => change(Change::Switch(false), after, session),
        Command::Port { port, after } => change(Change::Port(port), after, session),
        Command::Token { form } => token(form, session),
        Command::Rotate { after } => rotate(after, session),
        Command::Panel { form } => panel(form, session),
    }
}

/// The token, which the first start of the profile makes.
fn require_token(folder: &DataFolder) -> anyhow::Result<Zeroizing<String>> {
    let token = read_token(folder)?.filter(|token| !token.is_empty());
    token.context(
        "this data folder has no local profile; start it once with `partner-gateway serve --profile local`",
    )
}

fn change(change: Change, after: After, session: &Session) -> anyhow::Result<()> {
    require_token(&session.folder)?;
    let mut store = session.open_to_write()?;
    let (wish, _) = store.write::<_, StoreError>(SystemClock.now(), |write| Wish::change(write, change))?;
    let applied = wait(&mut store, wish, after.wait, session)?;
    let Settings { on, port } = wish.settings;
    if after.form.json {
        print_json(&Changed { on, port, applied })?;
    } else {
        let what = match change {
            Change::Switch(true) => "the API is switched on".to_owned(),
            Change::Switch(false) => "the API is switched off".to_owned(),
            Change::Port(port) => format!("the API's port is {port}"),
        };
        let when = match applied {
            None => "; no server is running on this folder, so it applies at the next start",
            Some(_) => "",
        };
        print(&format!("{what}{when}\n"))?;
    }
    if applied == Some(false) {
        let text = "the change is stored, but the running server has not applied it yet";
        return Err(Unavailable(text.to_owned()).into());
    }
    Ok(())
}

/// Waits until the running server has answered; none where none runs.
fn wait(store: &mut Store, wish: Wish, wait: Duration, session: &Session) -> anyhow::Result<Option<bool>> {
    let start = SystemClock.monotonic();
    loop {
        let Answer { number, refused } = Answer::read(store)?;
        if number >= wish.number {
            return match refused {
                Some(reason) if number == wish.number => Err(Unavailable(reason).into()),
                _ => Ok(Some(true)),
            };
        }
        if store.live_nodes(SystemClock.now(), session.stale_after())?.is_empty() {
            return Ok(None);
        }
        if SystemClock.monotonic().duration_since(start) >= wait {
            return Ok(Some(false));
        }
        std::thread::sleep(PAUSE);
    }
}

fn token(form: Form, session: &Session) -> anyhow::Result<()> {
    let token = require_token(&session.folder)?;
    if form.json {
        return print_json(&serde_json::json!({ "token": &*token }));
    }
    print(&Zeroizing::new(format!("{}\n", *token)))
}

fn rotate(after: After, session: &Session) -> anyhow::Result<()> {
    require_token(&session.folder)?;
    Store::require(&session.folder)?;
    let (mut store, secret) = Store::open_with_secret(&session.folder, session.busy_timeout())?;
    let configured = &session.config.api.brand;
    // A brand that is only the configuration's default does not conflict with the store's.
    let is_default = *configured == Config::load(&Sources::default())?.api.brand;
    let brand = if is_default { store.brand(configured)? } else { store.require_brand(configured)? };
    let mut provisioning = Provisioning {
        actor: &Actor::operator(),
        store: &mut store,
        secret: &secret,
        brand: &brand,
        clock: &SystemClock,
        rng: &mut OsRng.unwrap_err(),
    };
    let rotated = rotate_token(&mut provisioning, &session.folder)?;
    let applied = applied::wait(&mut store, session.stale_after(), &SystemClock, rotated.change, after.wait)?;
    if after.form.json {
        print_json(&serde_json::json!({ "key": rotated.key, "applied": applied }))?;
    } else {
        print(&format!("the token was replaced; the old one is revoked\n{}", applied.lines()))?;
    }
    applied.require_all()
}

fn panel(form: Form, session: &Session) -> anyhow::Result<()> {
    require_token(&session.folder)?;
    let mut store = Store::open_existing(&session.folder, session.busy_timeout())?;
    if store.live_nodes(SystemClock.now(), session.stale_after())?.is_empty() {
        let text =
            "no server is running on this folder; start it with `partner-gateway serve --profile local`";
        return Err(Unavailable(text.to_owned()).into());
    }
    let path = session.folder.local_panel();
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let address = text.trim();
    if address.len() > ADDRESS_BYTES_MAX || !address.starts_with("http://") {
        bail!("{} does not hold an address; restart the server", path.display());
    }
    if form.json {
        print_json(&serde_json::json!({ "url": address }))
    } else {
        print(&format!("{address}\n"))
    }
}
