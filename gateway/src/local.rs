//! The local profile: the API of one program on its user's machine. One token with every permission, and a listener
//! that can be closed, opened and moved to another port while it runs.
//!
//! Token and settings are kept in the data folder, where the settings page, the commands and the server meet. Nothing
//! here depends on sockets or terminals.

mod settings;
mod token;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use tokio::sync::{mpsc, oneshot, watch};

use crate::provisioning::ProvisioningError;
use crate::store::StoreError;
pub use settings::{Answer, Change, Settings, Wish};
pub use token::{PARTNER, Rotated, ensure_token, read_token, rotate_token};

/// How many changes of the settings page may wait.
const CHANGES_MAX: usize = 8;

/// Something of the local profile could not be done.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The port cannot be bound.
    #[error("port {port} cannot be used: {}; nothing was changed", reason(source))]
    Port {
        /// The port.
        port: u16,
        /// The system's reason.
        source: io::Error,
    },
    /// The store failed.
    #[error("the store of the data folder cannot be used")]
    Store(#[from] StoreError),
    /// The token's key could not be changed.
    #[error("the token cannot be changed")]
    Key(#[from] ProvisioningError),
    /// The token's file could not be read or written.
    #[error("cannot {action} {path}")]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The server is stopping, or has too many changes waiting.
    #[error("the server does not take the change now; try again")]
    Busy,
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program has it".to_owned(),
        io::ErrorKind::PermissionDenied => {
            "only the administrator may use it; choose one from 1024".to_owned()
        }
        _ => error.to_string(),
    }
}

/// The API's listener as it is now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// Whether it is open.
    pub on: bool,
    /// Its address, also while it is closed.
    pub address: SocketAddr,
}

/// Asks the server to change the API's listener. Clones share one queue.
#[derive(Clone)]
pub struct LocalApi {
    changes: mpsc::Sender<Request>,
    state: watch::Receiver<State>,
}

/// A change that was asked for, and where its outcome goes.
pub struct Request {
    /// The change.
    pub change: Change,
    /// Where the outcome goes.
    pub outcome: oneshot::Sender<Result<(), LocalError>>,
}

impl LocalApi {
    /// A handle; the server takes the requests and reports the state.
    #[must_use]
    pub fn new(state: watch::Receiver<State>) -> (Self, mpsc::Receiver<Request>) {
        let (changes, requests) = mpsc::channel(CHANGES_MAX);
        (Self { changes, state }, requests)
    }

    /// The listener as it is now.
    #[must_use]
    pub fn state(&self) -> State {
        *self.state.borrow()
    }

    /// Makes a change; it is in force, and stored, when this returns.
    ///
    /// # Errors
    /// [`LocalError`]: nothing was changed.
    pub async fn change(&self, change: Change) -> Result<(), LocalError> {
        let (sender, outcome) = oneshot::channel();
        // Bounded by the store's own limit, within which the server works on each.
        self.changes.try_send(Request { change, outcome: sender }).map_err(|_| LocalError::Busy)?;
        outcome.await.unwrap_or(Err(LocalError::Busy))
    }
}
