//! `login` and `logout`: this machine as a client of the device flow (RFC 8628).
//!
//! The token is kept in a private file of the user and printed only on request.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::Args;
use form_urlencoded::Serializer;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use permissions::TokenSecret;
use serde::{Deserialize, Serialize};
use serde_json::json;
use zeroize::{Zeroize as _, Zeroizing};

use super::Form;
use super::exit::{Unavailable, WrongUsage, eprintln_quietly};
use super::output::{print, print_json, second};
use crate::clock::{Clock as _, SystemClock};
use crate::folder::replace_private;
use crate::identity::{Fetcher, Form as Content};

/// What this client calls itself.
const CLIENT_ID: &str = "partner-gateway";
const DEVICE_CODE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
const METADATA_PATH: &str = "/.well-known/oauth-authorization-server";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The interval where the portal names none, and what `slow_down` adds (RFC 8628 §3.2, §3.5).
const INTERVAL: Duration = Duration::from_secs(5);
/// No wait between two polls is longer, whatever the portal says and however often it cannot be reached.
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// Codes are not waited for longer than this.
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// A file of credentials is small.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Args)]
pub(super) struct Login {
    /// The portal's address, exactly as it names itself
    #[arg(long, value_name = "URL")]
    portal: String,
    /// Certificate authorities to trust beside the system's, PEM
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// The name of this machine, as the list of your devices shows it [default: its host name]
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Print the token to standard output instead of keeping it
    #[arg(long, conflicts_with = "json")]
    print: bool,
    #[command(flatten)]
    form: Form,
}

#[derive(Debug, Args)]
pub(super) struct Logout {
    /// The portal's address [default: the only one that this machine is signed in at]
    #[arg(long, value_name = "URL")]
    portal: Option<String>,
    /// Remove the token without asking the portal, which keeps it valid until it expires
    #[arg(long)]
    forget: bool,
    #[command(flatten)]
    form: Form,
}

/// Text that is wiped when it is dropped.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Secret(String);

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// What the portal offers (RFC 8414).
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    token_endpoint: String,
    device_authorization_endpoint: String,
    revocation_endpoint: String,
}

#[derive(Deserialize)]
struct Codes {
    device_code: Secret,
    user_code: String,
    verification_uri: String,
    verification_uri_complete: Option<String>,
    expires_in: u64,
    interval: Option<u64>,
}

#[derive(Deserialize)]
struct Granted {
    access_token: Secret,
    token_type: String,
    expires_in: i64,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
    error_description: Option<String>,
}

/// The file: what this machine has at each portal.
#[derive(Default, Serialize, Deserialize)]
struct Credentials {
    portals: BTreeMap<String, Kept>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    token: Secret,
    device: String,
    expires: Timestamp,
    /// The authorities that were trusted at the sign-in.
    ca_file: Option<PathBuf>,
}

pub(super) fn login(arguments: &Login) -> anyhow::Result<()> {
    let device = arguments.device.clone().unwrap_or_else(host_name);
    let file = credentials_file()?;
    // Read first: a file that cannot be used is found before anybody approves anything.
    let mut credentials = read(&file)?;
    let ca_file = arguments.ca_file.as_deref().map(std::path::absolute).transpose()?;
    let portal = Portal::new(&arguments.portal, ca_file.as_deref())?;
    let (token, expires) = block_on(portal.sign_in(&device))??;
    if arguments.print {
        return print(&format!("{}\n", token.0));
    }
    let replaced = credentials.portals.remove(&portal.url);
    let kept = Kept { token, device: device.clone(), expires, ca_file };
    credentials.portals.insert(portal.url.clone(), kept);
    write(&file, &credentials)?;
    if let Some(replaced) = replaced {
        // The old token is of no use any more; that it is revoked is not what was asked for.
        if let Ok(Err(error)) | Err(error) = block_on(portal.revoke(&replaced.token.0)) {
            eprintln_quietly(&format!("note: the token of before stays valid until it expires: {error:#}"));
        }
    }
    let Login { form, .. } = arguments;
    if form.json {
        return print_json(&json!({
            "portal": portal.url, "device": device, "expires": expires, "file": file.display().to_string(),
        }));
    }
    print(&format!(
        "signed in at {} as the device {device} until {}\nthe token is in {}\n",
        portal.url,
        second(expires),
        file.display()
    ))
}

pub(super) fn logout(arguments: &Logout) -> anyhow::Result<()> {
    let file = credentials_file()?;
    let mut credentials = read(&file)?;
    let url = match &arguments.portal {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => {
            let mut urls = credentials.portals.keys();
            match (urls.next(), urls.next()) {
                (Some(only), None) => only.clone(),
                (None, _) => return Err(WrongUsage("this machine is signed in nowhere".to_owned()).into()),
                (Some(_), Some(_)) => {
                    let urls = credentials.portals.keys().cloned().collect::<Vec<_>>().join(", ");
                    let advice = format!(
                        "this machine is signed in at several portals; choose one with --portal: {urls}"
                    );
                    return Err(WrongUsage(advice).into());
                }
            }
        }
    };
    let Some(kept) = credentials.portals.get(&url) else {
        return Err(WrongUsage(format!("this machine is not signed in at {url}")).into());
    };
    if !arguments.forget {
        let portal = Portal::new(&url, kept.ca_file.as_deref())?;
        block_on(portal.revoke(&kept.token.0))?.context(
            "the token was not revoked and is kept; try again, or remove it from this machine alone with --forget",
        )?;
    }
    credentials.portals.remove(&url);
    if credentials.portals.is_empty() {
        fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
    } else {
        write(&file, &credentials)?;
    }
    if arguments.form.json {
        return print_json(&json!({ "portal": url, "revoked": !arguments.forget }));
    }
    let how = if arguments.forget {
        "the token was removed here and is still valid"
    } else {
        "the token was revoked"
    };
    print(&format!("signed out at {url}: {how}\n"))
}

/// A portal, and the way to it.
struct Portal {
    url: String,
    fetcher: Fetcher,
}

impl Portal {
    fn new(url: &str, ca_file: Option<&Path>) -> anyhow::Result<Self> {
        let fetcher = Fetcher::new(ca_file.unwrap_or(Path::new("")), CONNECT_TIMEOUT, REQUEST_TIMEOUT)?;
        Ok(Self { url: url.trim_end_matches('/').to_owned(), fetcher })
    }

    /// What the portal offers. It must be the one that was named, and send nobody elsewhere.
    async fn metadata(&self) -> anyhow::Result<Metadata> {
        let fetched = self.fetcher.get(&format!("{}{METADATA_PATH}", self.url)).await;
        let document =
            fetched.map_err(|error| Unavailable(format!("the portal cannot be asked: {error}")))?;
        let metadata: Metadata =
            serde_json::from_slice(&document).context("what answers there is no portal")?;
        if metadata.issuer != self.url {
            let issuer: String = metadata.issuer.chars().take(200).filter(|c| !c.is_control()).collect();
            bail!(
                "the portal names itself {issuer}; use `--portal {issuer}` if that is the one that you mean"
            );
        }
        let endpoints = [
            &metadata.token_endpoint,
            &metadata.device_authorization_endpoint,
            &metadata.revocation_endpoint,
        ];
        for endpoint in endpoints {
            let path = endpoint.strip_prefix(&self.url);
            ensure!(path.is_some_and(|path| path.starts_with('/')), "the portal names an endpoint elsewhere");
        }
        Ok(metadata)
    }

    async fn post(
        &self,
        url: &str,
        pairs: &[(&str, &str)],
    ) -> Result<(StatusCode, Zeroizing<Vec<u8>>), String> {
        let body = Serializer::new(String::new()).extend_pairs(pairs).finish();
        let response = self.fetcher.post(url, Content { body, authorization: None }).await;
        let response = response.map_err(|error| error.to_string())?;
        Ok((response.status, Zeroizing::new(response.body.to_vec())))
    }

    /// The whole device flow: the token, and when it expires.
    async fn sign_in(&self, device: &str) -> anyhow::Result<(Secret, Timestamp)> {
        let metadata = self.metadata().await?;
        let pairs = [("client_id", CLIENT_ID), ("device_name", device)];
        let asked = self.post(&metadata.device_authorization_endpoint, &pairs).await;
        let (status, body) = asked.map_err(Unavailable)?;
        if status != StatusCode::OK {
            return Err(refusal(status, &body).context("the portal gives no code"));
        }
        let codes: Codes = serde_json::from_slice(&body).context("the portal's codes cannot be read")?;
        // What the portal says goes to a terminal.
        let shown = |text: &str| text.chars().filter(|letter| !letter.is_control()).collect::<String>();
        let link = codes.verification_uri_complete.as_deref().unwrap_or(&codes.verification_uri);
        eprintln_quietly(&format!(
            "Open {}\nand approve the code {}\n(or enter it at {})",
            shown(link),
            shown(&codes.user_code),
            shown(&codes.verification_uri)
        ));
        let deadline = Instant::now() + Duration::from_secs(codes.expires_in).min(WAIT_MAX);
        let mut interval =
            codes.interval.map_or(INTERVAL, Duration::from_secs).clamp(Duration::from_secs(1), INTERVAL_MAX);
        loop {
            if Instant::now() + interval > deadline {
                bail!("nobody approved this device in time; run the command again");
            }
            tokio::time::sleep(interval).await;
            let pairs = [
                ("grant_type", DEVICE_CODE_GRANT),
                ("device_code", codes.device_code.0.as_str()),
                ("client_id", CLIENT_ID),
            ];
            let Ok((status, body)) = self.post(&metadata.token_endpoint, &pairs).await else {
                // It may come back: ask half as often (RFC 8628 §3.5).
                interval = (interval * 2).min(INTERVAL_MAX);
                continue;
            };
            if status == StatusCode::OK {
                let granted: Granted = serde_json::from_slice(&body)
                    .map_err(|_| anyhow::anyhow!("the portal's token cannot be read"))?;
                ensure!(
                    granted.token_type.eq_ignore_ascii_case("bearer")
                        && TokenSecret::has_form(granted.access_token.0.as_bytes()),
                    "the portal gave something that is no token"
                );
                let expires = SystemClock.now().checked_add(SignedDuration::from_secs(granted.expires_in));
                return Ok((granted.access_token, expires.unwrap_or(Timestamp::MAX)));
            }
            let error = serde_json::from_slice::<Refused>(&body).map(|refused| refused.error);
            match error.as_deref() {
                Ok("authorization_pending") => {}
                Ok("slow_down") => interval = (interval + INTERVAL).min(INTERVAL_MAX),
                Ok("access_denied") => bail!("the device was denied"),
                Ok("expired_token") => bail!("nobody approved this device in time; run the command again"),
                _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                    interval = (interval * 2).min(INTERVAL_MAX);
                }
                _ => return Err(refusal(status, &body).context("the portal gives no token")),
            }
        }
    }

    async fn revoke(&self, token: &str) -> anyhow::Result<()> {
        let metadata = self.metadata().await?;
        let pairs = [("token", token), ("token_type_hint", "access_token"), ("client_id", CLIENT_ID)];
        let (status, body) = self.post(&metadata.revocation_endpoint, &pairs).await.map_err(Unavailable)?;
        if status == StatusCode::OK { Ok(()) } else { Err(refusal(status, &body)) }
    }
}

/// What the portal said, in a line without control characters.
fn refusal(status: StatusCode, body: &[u8]) -> anyhow::Error {
    let said = serde_json::from_slice::<Refused>(body).ok();
    let said = said.map(|refused| refused.error_description.unwrap_or(refused.error)).unwrap_or_default();
    let said: String = said.chars().filter(|letter| !letter.is_control()).take(300).collect();
    anyhow::anyhow!("status {}{}{said}", status.as_u16(), if said.is_empty() { "" } else { ": " })
}

fn block_on<T>(future: impl Future<Output = T>) -> anyhow::Result<T> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}

fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.chars().filter(|letter| !letter.is_control()).take(64).collect();
    if name.trim().is_empty() { "this machine".to_owned() } else { name.trim().to_owned() }
}

/// The file, by the rules of the XDG Base Directory Specification: a relative path does not count.
fn credentials_file() -> anyhow::Result<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let folder = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")));
    let folder =
        folder.context("there is no home folder: set XDG_CONFIG_HOME or HOME to an absolute path")?;
    Ok(folder.join("partner-gateway").join("credentials.json"))
}

fn read(file: &Path) -> anyhow::Result<Credentials> {
    let cannot = || format!("cannot read {}", file.display());
    match fs::metadata(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Credentials::default()),
        Err(error) => return Err(error).with_context(cannot),
        Ok(metadata) => ensure!(metadata.len() <= FILE_BYTES_MAX, "{} is too large", file.display()),
    }
    let text = Zeroizing::new(fs::read(file).with_context(cannot)?);
    // The reason might quote the file.
    serde_json::from_slice(&text).ok().with_context(|| {
        format!("{} is not a file of this command; move it away to begin anew", file.display())
    })
}

fn write(file: &Path, credentials: &Credentials) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", file.display());
    if let Some(folder) = file.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(cannot)?;
    }
    let text = Zeroizing::new(serde_json::to_vec_pretty(credentials)?);
    replace_private(file, &text).with_context(cannot)
}
