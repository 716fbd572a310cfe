//! Mail: what people are sent about their access requests, invitations and sign-ins, and how it is sent.
//!
//! Sending a mail puts it into a bounded queue and does not wait; one task sends them, one after the other. A mail that
//! cannot be sent is tried again a few times, then dropped and logged, because each of them only repeats a link that the
//! operator can make again. The log never holds an address, a text or a link.

mod letters;
mod smtp;

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use rand::CryptoRng;
use tokio::sync::mpsc;
use tracing::{info, warn};
use versions::Instant;

use crate::clock::Clock;
use crate::config;
use crate::identity::FileError;
pub use letters::Letter;
use smtp::Smtp;

/// Mails that wait to be sent; beyond it one is dropped and logged.
const QUEUE_MAX: usize = 256;
/// How often one mail is tried.
const ATTEMPTS_MAX: u32 = 4;
/// Each pause between attempts is so many times the one before.
const PAUSE_GROWTH: u32 = 4;
/// Mails of every kind to one mailbox. Beyond the recipients that are remembered, the oldest are forgotten.
const ALL: Bound = Bound {
    mails_max: 20,
    period: Duration::from_secs(3_600),
    remembered_max: 4_096,
    when_full: WhenFull::Forget,
};
/// Mails to one mailbox that anyone causes, by entering somebody else's address into a form. Beyond those that are
/// remembered none is sent, so that strangers never cause more than these in a day, to whomever.
const CAUSED_BY_ANYONE: Bound = Bound {
    mails_max: 3,
    period: Duration::from_secs(86_400),
    remembered_max: 1_000,
    when_full: WhenFull::Refuse,
};

/// Mail cannot be sent. No variant holds an address of a person or anything of a mail.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// A file of the configuration cannot be used.
    #[error("mail: {0}")]
    File(#[from] FileError),
    /// The sender or the authorities of the configuration cannot be used.
    #[error("mail: {0}")]
    Settings(String),
    /// The recipient's address is none that mail can be sent to.
    #[error("the address is none that mail can be sent to")]
    Recipient,
    /// The server did not take the mail.
    #[error("the mail server {reason}")]
    Server {
        /// What it did.
        reason: String,
        /// Whether it is worth trying again.
        is_transient: bool,
    },
}

/// Puts mails into the queue. Clones share it.
#[derive(Clone, Debug)]
pub struct Mailer {
    queue: mpsc::Sender<Letter>,
}

/// The task that sends what is in the queue.
pub struct Postman {
    queue: mpsc::Receiver<Letter>,
    smtp: Smtp,
    retry_interval: Duration,
    /// Of mails that anyone causes. They count among all, but are too few to use those up.
    strangers: Recipients,
    recipients: Recipients,
    clock: Arc<dyn Clock>,
    rng: Box<dyn CryptoRng + Send>,
}

/// A queue, and the task that sends what is put into it; `None` where no mail is configured.
///
/// # Errors
/// A file or a setting that cannot be used.
pub fn start(
    config: &config::Mail,
    clock: Arc<dyn Clock>,
    rng: Box<dyn CryptoRng + Send>,
) -> Result<Option<(Mailer, Postman)>, MailError> {
    if !config.is_enabled() {
        return Ok(None);
    }
    let smtp = Smtp::new(config)?;
    let (sender, queue) = mpsc::channel(QUEUE_MAX);
    let retry_interval = config.retry_interval;
    let (strangers, recipients) = (Recipients::new(CAUSED_BY_ANYONE), Recipients::new(ALL));
    let postman = Postman { queue, smtp, retry_interval, strangers, recipients, clock, rng };
    Ok(Some((Mailer { queue: sender }, postman)))
}

/// Sends one mail and waits for it: for commands, which have nobody else to send it.
///
/// # Errors
/// Why it was not sent.
pub async fn send_now(
    config: &config::Mail,
    clock: &dyn Clock,
    rng: &mut dyn CryptoRng,
    letter: &Letter,
) -> Result<(), MailError> {
    let smtp = Smtp::new(config)?;
    let message = smtp.write(letter, clock, rng)?;
    smtp.send(message).await
}

impl Mailer {
    /// Queues a mail; returns whether there was room. It never waits.
    pub fn send(&self, letter: Letter) -> bool {
        let kind = letter.kind();
        let queued = self.queue.try_send(letter).is_ok();
        if !queued {
            warn!(mail.kind = kind, "Dropped a mail ({kind}): too many are waiting");
        }
        queued
    }
}

impl Postman {
    /// Sends mails until every [`Mailer`] is gone.
    pub async fn run(mut self) {
        while let Some(letter) = self.queue.recv().await {
            self.deliver(&letter).await;
        }
    }

    async fn deliver(&mut self, letter: &Letter) {
        let kind = letter.kind();
        let now = self.clock.monotonic();
        let is_wanted = !letter.is_caused_by_anyone() || self.strangers.admit(letter.to(), now);
        if !is_wanted || !self.recipients.admit(letter.to(), now) {
            warn!(mail.kind = kind, "Dropped a mail ({kind}): too many were sent to its recipient");
            return;
        }
        let message = match self.smtp.write(letter, &*self.clock, &mut *self.rng) {
            Ok(message) => message,
            Err(error) => {
                warn!(mail.kind = kind, "Dropped a mail ({kind}): {error}");
                return;
            }
        };
        let mut pause = self.retry_interval;
        for attempt in 1..=ATTEMPTS_MAX {
            match self.smtp.send(message.clone()).await {
                Ok(()) => {
                    info!(mail.kind = kind, mail.attempts = attempt, "Sent a mail ({kind})");
                    return;
                }
                Err(MailError::Server { reason, is_transient: true }) if attempt < ATTEMPTS_MAX => {
                    warn!(
                        mail.kind = kind,
                        mail.attempts = attempt,
                        "A mail ({kind}) is tried again: the mail server {reason}"
                    );
                }
                Err(error) => {
                    warn!(mail.kind = kind, mail.attempts = attempt, "Dropped a mail ({kind}): {error}");
                    return;
                }
            }
            tokio::time::sleep(pause).await;
            pause = pause.saturating_mul(PAUSE_GROWTH);
        }
    }
}

/// How many mails go to one mailbox.
struct Bound {
    mails_max: usize,
    /// Within this time.
    period: Duration,
    /// Mails that are remembered for that.
    remembered_max: usize,
    when_full: WhenFull,
}

/// What happens to a mail that is one too many to be remembered.
enum WhenFull {
    /// It is sent, and the oldest is forgotten.
    Forget,
    /// It is not sent.
    Refuse,
}

/// To whom mails went of late, by hashes of their mailboxes.
struct Recipients {
    bound: Bound,
    hasher: RandomState,
    recent: VecDeque<(u64, Instant)>,
}

impl Recipients {
    fn new(bound: Bound) -> Self {
        Self { bound, hasher: RandomState::new(), recent: VecDeque::new() }
    }

    /// Whether another mail may go to this address now; if so, it counts.
    fn admit(&mut self, address: &str, now: Instant) -> bool {
        let Bound { mails_max, period, remembered_max, .. } = self.bound;
        while self.recent.front().is_some_and(|(_, at)| now.duration_since(*at) >= period) {
            self.recent.pop_front();
        }
        let hash = self.hasher.hash_one(mailbox(address));
        if self.recent.iter().filter(|(other, _)| *other == hash).count() >= mails_max {
            return false;
        }
        if self.recent.len() >= remembered_max {
            match self.bound.when_full {
                WhenFull::Refuse => return false,
                WhenFull::Forget => drop(self.recent.pop_front()),
            }
        }
        self.recent.push_back((hash, now));
        true
    }
}

/// The mailbox of an address as it is counted: without what follows a plus sign (RFC 5233), which would make as many
/// addresses of one mailbox as anybody likes.
fn mailbox(address: &str) -> String {
    let address = address.to_ascii_lowercase();
    match address.rsplit_once('@') {
        Some((local, domain)) => format!("{}@{domain}", local.split('+').next().unwrap_or_default()),
        None => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::store::tests::NOW;

    #[test]
    fn an_address_gets_only_so_many_mails_an_hour() {
        let clock = ManualClock::new(NOW);
        for bound in [ALL, CAUSED_BY_ANYONE] {
            let Bound { mails_max, period, remembered_max, .. } = bound;
            let mut recipients = Recipients::new(bound);
            for number in 0..mails_max {
                assert!(recipients.admit(&format!("ada+{number}@example.com"), clock.monotonic()));
            }
            assert!(!recipients.admit("Ada@Example.com", clock.monotonic()));
            assert!(recipients.admit("bo@example.com", clock.monotonic()));
            clock.advance(period);
            assert!(recipients.admit("ada@example.com", clock.monotonic()));
            for number in 0..2 * remembered_max {
                recipients.admit(&format!("{number}@example.com"), clock.monotonic());
            }
            assert_eq!(recipients.recent.len(), remembered_max);
        }
    }

    #[test]
    fn strangers_cause_no_more_mails_than_are_remembered() {
        let clock = ManualClock::new(NOW);
        let mut strangers = Recipients::new(CAUSED_BY_ANYONE);
        let sent = (0..2 * CAUSED_BY_ANYONE.remembered_max)
            .filter(|number| strangers.admit(&format!("{number}@example.com"), clock.monotonic()));
        assert_eq!(sent.count(), CAUSED_BY_ANYONE.remembered_max);
        clock.advance(CAUSED_BY_ANYONE.period);
        assert!(strangers.admit("ada@example.com", clock.monotonic()));
    }

    #[test]
    fn a_full_queue_drops_and_does_not_wait() {
        let (queue, _receiver) = mpsc::channel(1);
        let mailer = Mailer { queue };
        let letter = || Letter::sign_in("ada@example.com", "https://portal.example.com/sign-in/x");
        assert!(mailer.send(letter()));
        assert!(!mailer.send(letter()));
    }
}
