//! Mail, against an SMTP server of another make.

use std::sync::Arc;

use gateway::clock::SystemClock;
use gateway::config::{Config, Sources};
use gateway::mail::{self, Letter, MailError, Mailer};
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use tests::{Authority, SmtpSink};

const LINK: &str = "https://portal.example.com/sign-in/abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";

fn config(port: u16, more: &[(&str, &str)]) -> gateway::config::Mail {
    let port = port.to_string();
    let base = [
        ("mail.host", "\"127.0.0.1\""),
        ("mail.port", &port),
        ("mail.tls", "\"none\""),
        ("mail.from", "\"Partner Gateway <gateway@example.com>\""),
        ("mail.retry_interval", "\"10ms\""),
        ("mail.timeout", "\"5s\""),
    ];
    let flags = base.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let sources = Sources { flags: flags.collect(), ..Sources::default() };
    Config::load(&sources).unwrap_or_else(|error| panic!("{}", error.render(false))).mail
}

/// A queue with its running task.
fn mailer(config: &gateway::config::Mail) -> Mailer {
    let rng = Box::new(OsRng.unwrap_err());
    let started = mail::start(config, Arc::new(SystemClock), rng).expect("the settings are valid");
    let (mailer, postman) = started.expect("mail is configured");
    tokio::spawn(postman.run());
    mailer
}

async fn send_now(config: &gateway::config::Mail, letter: &Letter) -> Result<(), MailError> {
    mail::send_now(config, &SystemClock, &mut OsRng.unwrap_err(), letter).await
}

#[tokio::test]
async fn a_mail_arrives_as_it_was_written() {
    let mut sink = SmtpSink::plain().await;
    let mailer = mailer(&config(sink.port(), &[]));
    assert!(mailer.send(Letter::sign_in("ada@example.com", LINK)));
    // A line of one dot ends a mail in SMTP, and a long line is folded.
    let question = format!("Wie häufig?\n.\nBcc: eve@example.com\n{}", "x".repeat(3_000));
    assert!(mailer.send(Letter::asked_back("bo@example.com", &question)));
    let first = sink.next().await;
    assert_eq!(first["to"], serde_json::json!(["ada@example.com"]), "{first}");
    assert_eq!(first["sender"], "gateway@example.com");
    let head = &first["head"];
    assert_eq!(head["subject"], "Your link to sign in");
    assert_eq!(head["from"], "Partner Gateway <gateway@example.com>");
    assert_eq!(head["auto-submitted"], "auto-generated");
    assert!(head["message-id"].as_str().expect("an id").ends_with("@example.com>"), "{head}");
    assert!(first["text"].as_str().expect("a text").contains(LINK), "{first}");
    let second = sink.next().await;
    let text = second["text"].as_str().expect("a text").replace("\r\n", "\n");
    assert_eq!(second["to"], serde_json::json!(["bo@example.com"]), "{second}");
    for line in question.lines() {
        assert!(text.contains(&format!("> {line}\n")), "{line} is not in\n{text}");
    }
    assert!(second["head"]["bcc"].is_null(), "{second}");
}

#[tokio::test]
async fn a_mail_is_tried_again_after_a_passing_failure_and_not_after_a_refusal() {
    let mut sink = SmtpSink::plain().await;
    let mailer = mailer(&config(sink.port(), &[]));
    for to in ["gone-ada@example.com", "nobody", "busy2-bo@example.com", "cy@example.com"] {
        assert!(mailer.send(Letter::sign_in(to, LINK)));
    }
    assert_eq!(sink.next().await["refused"], "gone-ada@example.com");
    for _ in 0..2 {
        assert_eq!(
            sink.next().await["deferred"],
            "busy2-bo@example.com",
            "the refused one is not tried again"
        );
    }
    let (third, last) = (sink.next().await, sink.next().await);
    assert_eq!(third["to"], serde_json::json!(["busy2-bo@example.com"]));
    assert_eq!(last["to"], serde_json::json!(["cy@example.com"]));
    assert!(sink.is_quiet());
}

#[tokio::test]
async fn an_address_gets_only_so_many_mails() {
    let mut sink = SmtpSink::plain().await;
    let mailer = mailer(&config(sink.port(), &[]));
    for _ in 0..21 {
        assert!(mailer.send(Letter::sign_in("victim@example.com", LINK)));
    }
    assert!(mailer.send(Letter::sign_in("ada@example.com", LINK)));
    for _ in 0..20 {
        assert_eq!(sink.next().await["to"][0], "victim@example.com");
    }
    assert_eq!(sink.next().await["to"][0], "ada@example.com");
}

#[tokio::test]
async fn an_error_says_what_the_server_did_and_names_nobody() {
    let mut sink = SmtpSink::plain().await;
    let settings = config(sink.port(), &[]);
    let refused = send_now(&settings, &Letter::sign_in("gone-ada@example.com", LINK)).await;
    assert_eq!(refused.unwrap_err().to_string(), "the mail server answered with code 550");
    assert_eq!(sink.next().await["refused"], "gone-ada@example.com");
    let wanted = config(sink.port(), &[("mail.tls", "\"starttls\"")]);
    let refused = send_now(&wanted, &Letter::sign_in("ada@example.com", LINK)).await;
    assert!(matches!(refused, Err(MailError::Server { is_transient: false, .. })), "{refused:?}");
    assert!(sink.is_quiet(), "nothing is sent without the encryption that was asked for");
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = silent.local_addr().expect("it is bound").port();
    let slow = config(port, &[("mail.timeout", "\"1s\"")]);
    let late = send_now(&slow, &Letter::sign_in("ada@example.com", LINK)).await;
    assert!(matches!(late, Err(MailError::Server { is_transient: true, .. })), "{late:?}");
    drop(silent);
    let gone = send_now(&slow, &Letter::sign_in("ada@example.com", LINK)).await.unwrap_err().to_string();
    assert!(gone.contains("cannot be reached") && !gone.contains("ada"), "{gone}");
}

#[tokio::test]
async fn mail_goes_through_starttls_with_a_trusted_certificate_and_a_password() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let authority = Authority::new(folder.path(), "mail authority");
    let [chain, key, password] = ["chain.pem", "key.pem", "password"].map(|name| folder.path().join(name));
    authority.issue(&chain, &key);
    std::fs::write(&password, "s3cret\n").expect("the folder is writable");
    let mut sink = SmtpSink::starttls([&chain, &key], "gateway", "s3cret").await;
    let quoted = |path: &std::path::Path| format!("\"{}\"", path.display());
    let (ca, password_file) = (quoted(&authority.certificate()), quoted(&password));
    let with = |ca: Option<&str>| {
        let mut more = vec![
            ("mail.tls", "\"starttls\""),
            ("mail.username", "\"gateway\""),
            ("mail.password_file", password_file.as_str()),
        ];
        more.extend(ca.map(|ca| ("mail.ca_file", ca)));
        config(sink.port(), &more)
    };
    let letter = Letter::sign_in("ada@example.com", LINK);
    let (trusting, distrusting) = (with(Some(&ca)), with(None));
    let untrusted = send_now(&distrusting, &letter).await;
    assert!(untrusted.is_err(), "a certificate of an unknown authority is refused");
    send_now(&trusting, &letter).await.expect("the mail is taken");
    let taken = sink.next().await;
    assert_eq!((&taken["tls"], &taken["user"]), (&true.into(), &"gateway".into()), "{taken}");
    std::fs::write(&password, "wrong").expect("the folder is writable");
    let refused = send_now(&trusting, &letter).await.unwrap_err().to_string();
    assert_eq!(refused, "the mail server answered with code 535");
}
