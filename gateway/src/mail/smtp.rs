//! One connection to the SMTP server for each mail: mails are few.

use std::time::Duration;

use lettre::address::Address;
use lettre::message::header::{self, Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use rand::CryptoRng;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::time::timeout;
use uuid::Builder;

use super::{Letter, MailError};
use crate::clock::Clock;
use crate::config::{self, MailTls};
use crate::identity::files;

const PASSWORD_BYTES_MAX: u64 = 4 << 10;
const CA_FILE_BYTES_MAX: u64 = 4 << 20;

/// The SMTP server.
pub(super) struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    timeout: Duration,
}

impl Smtp {
    /// Reads the password and the authorities; connects to nothing yet.
    pub(super) fn new(config: &config::Mail) -> Result<Self, MailError> {
        let from = config.from.parse::<Mailbox>();
        let from = from.map_err(|error| MailError::Settings(format!("`mail.from`: {error}")))?;
        let tls = match config.tls {
            MailTls::None => Tls::None,
            MailTls::StartTls => Tls::Required(tls_parameters(config)?),
            MailTls::Implicit => Tls::Wrapper(tls_parameters(config)?),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host(config))
            .port(config.port_number())
            .timeout(Some(config.timeout))
            .tls(tls);
        if !config.username.is_empty() {
            let password = files::read(&config.password_file, PASSWORD_BYTES_MAX)?;
            let password = std::str::from_utf8(&password).map_err(|_| {
                MailError::File(files::FileError::new(&config.password_file, "it is not UTF-8"))
            })?;
            let password = password.trim_end_matches(['\r', '\n']).to_owned();
            builder = builder.credentials(Credentials::new(config.username.clone(), password));
        }
        Ok(Self { transport: builder.build(), from, timeout: config.timeout })
    }

    /// Writes a mail with its header fields. An address is parsed, and subjects are ours, so no field can be added.
    pub(super) fn write(
        &self,
        letter: &Letter,
        clock: &dyn Clock,
        rng: &mut dyn CryptoRng,
    ) -> Result<Message, MailError> {
        let to = letter.to().parse::<Address>().map_err(|_| MailError::Recipient)?;
        let mut random = [0; 16];
        rng.fill_bytes(&mut random);
        let id = Builder::from_random_bytes(random).into_uuid();
        Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(letter.subject())
            .date(clock.now().into())
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            .header(AutoSubmitted)
            .header(header::ContentType::TEXT_PLAIN)
            .body(letter.text().to_owned())
            // What is missing or wrong of the parts above.
            .map_err(|error| MailError::Settings(error.to_string()))
    }

    /// Sends a mail; one attempt.
    pub(super) async fn send(&self, message: Message) -> Result<(), MailError> {
        match timeout(self.timeout, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(MailError::Server {
                reason: reason(&error),
                // A server that cannot be reached, or is no longer, may be back later.
                is_transient: !error.is_permanent() && !error.is_client(),
            }),
            Err(_) => Err(MailError::Server {
                reason: format!("did not take it within {:?}", self.timeout),
                is_transient: true,
            }),
        }
    }
}

/// What the server did. Its own text is left out: it may repeat the recipient's address.
fn reason(error: &Error) -> String {
    if let Some(code) = error.status() {
        format!("answered with code {code}")
    } else if error.is_timeout() {
        "did not respond in time".to_owned()
    } else if error.is_response() {
        "answered with something other than SMTP".to_owned()
    } else if error.is_client() {
        "lacks something that is needed, such as STARTTLS or a common way to authenticate".to_owned()
    } else {
        // Of the connection or of TLS, before anything of the mail was sent.
        let mut text = "cannot be reached".to_owned();
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        text
    }
}

/// The host as the resolver takes it: an IPv6 address is written in brackets.
fn host(config: &config::Mail) -> &str {
    config.host.trim_start_matches('[').trim_end_matches(']')
}

fn tls_parameters(config: &config::Mail) -> Result<TlsParameters, MailError> {
    let settings = |error: Error| MailError::Settings(format!("TLS cannot be used: {error}"));
    let mut builder = TlsParameters::builder(host(config).to_owned());
    if !config.ca_file.as_os_str().is_empty() {
        let pem = files::read(&config.ca_file, CA_FILE_BYTES_MAX)?;
        let wrong = |reason: &str| MailError::File(files::FileError::new(&config.ca_file, reason));
        let mut authorities = 0;
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.map_err(|_| wrong("it is not PEM"))?;
            let certificate = Certificate::from_der(certificate.to_vec()).map_err(settings)?;
            builder = builder.add_root_certificate(certificate);
            authorities += 1;
        }
        if authorities == 0 {
            return Err(wrong("there is no certificate in it"));
        }
    }
    builder.build().map_err(settings)
}

/// Tells other programs not to answer (RFC 3834 §5).
#[derive(Clone, Copy)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::config::{Config, Sources};
    use crate::store::tests::NOW;

    fn smtp() -> Smtp {
        let flags = [("mail.host", "\"127.0.0.1\""), ("mail.from", "\"Gateway <gateway@example.com>\"")];
        let flags = flags.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Smtp::new(&Config::load(&Sources { flags, ..Sources::default() }).unwrap().mail).unwrap()
    }

    fn written(letter: &Letter) -> Result<String, MailError> {
        let message = smtp().write(letter, &ManualClock::new(NOW), &mut rand::rng())?;
        Ok(String::from_utf8(message.formatted()).unwrap())
    }

    #[test]
    fn a_mail_says_when_and_by_whom_it_was_made() {
        let mail = written(&Letter::rejected("ada@example.com", "ünusual")).unwrap();
        for field in [
            "From: Gateway <gateway@example.com>",
            "To: ada@example.com",
            "Subject: Your request for access was rejected",
            "Date: Fri, 15 Jan 2027 08:00:00 +0000",
            "Auto-Submitted: auto-generated",
            "Content-Type: text/plain; charset=utf-8",
        ] {
            assert!(mail.lines().any(|line| line == field), "{field} is not in\n{mail}");
        }
        assert!(mail.contains("Message-ID: <") && mail.contains("@example.com>"));
    }

    #[test]
    fn nothing_that_a_person_writes_adds_a_header_field() {
        for address in [
            "ada@example.com\r\nBcc: eve@example.com",
            "ada@example.com, eve@example.com",
            "ada@example.com\nX: y",
            "<ada@example.com>\u{2028}Bcc: eve@example.com",
            "",
        ] {
            let refused = written(&Letter::sign_in(address, "x"));
            assert!(matches!(refused, Err(MailError::Recipient)), "{address:?}");
        }
        let text = "a\r\n.\r\nBcc: eve@example.com\r\n\r\n";
        let mail = written(&Letter::invitation("ada@example.com", text, text, text, text)).unwrap();
        let (head, _) = mail.split_once("\r\n\r\n").unwrap();
        assert!(!head.contains("Bcc"), "{head}");
    }
}
