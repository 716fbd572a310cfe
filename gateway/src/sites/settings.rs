//! The settings page of the local profile: switches the API, changes its port, shows and rotates the token.
//!
//! Anyone who opens it holds the token, so it must be reached by the user alone. Other pages in the same browser are kept
//! out by: a path that begins with 128 random bits, made at each start and kept in a private file; a cookie that is
//! bound to that path, because cookies ignore ports; a value in each form; where the request comes from
//! (`Sec-Fetch-Site`, `Origin`); and the listener's hosts, so that no name of an attacker's leads here (DNS rebinding).

use askama::Template;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use permissions::secrets_are_equal;
use rand::CryptoRng;
use tracing::info;
use zeroize::Zeroizing;

use super::form::{Form, add_form_fields};
use super::html::{self, SiteView};
use super::page::{Methods, Page, PageSite, Post};
use crate::folder::DataFolder;
use crate::http::{SameSite, SetCookie, check_same_origin, cookies};
use crate::local::{Change, LocalApi, LocalError, read_token};
use crate::pipeline::Pipeline;
use crate::provisioning::{Actor, sentence};

/// The name of the cookie.
const COOKIE: &str = "partner-gateway-settings";
/// The name of the value in each form.
const PROOF: &str = "proof";
/// Random bytes of the path, and of the cookie and the forms' value.
const PATH_BYTES: usize = 16;
const SECRET_BYTES: usize = 32;
/// The scheme of its listener, which is on loopback and has no certificate.
const SCHEME: &str = "http";

/// Makes a new token for an actor; it is in force when this returns.
pub type Rotate =
    Box<dyn Fn(Actor) -> futures_util::future::BoxFuture<'static, Result<(), LocalError>> + Send + Sync>;

/// The settings page; one for the entire process.
pub struct SettingsPage {
    pipeline: &'static Pipeline,
    folder: DataFolder,
    api: LocalApi,
    rotate: Rotate,
    /// `/RANDOM/`.
    base: Zeroizing<String>,
    cookie: Zeroizing<String>,
    proof: Zeroizing<String>,
}

impl SettingsPage {
    /// A page at this path, of [`Self::new_base`].
    #[must_use]
    pub fn new(
        pipeline: &'static Pipeline,
        folder: DataFolder,
        api: LocalApi,
        rotate: Rotate,
        base: Zeroizing<String>,
        rng: &mut dyn CryptoRng,
    ) -> Self {
        let [cookie, proof] = [random::<SECRET_BYTES>(rng), random::<SECRET_BYTES>(rng)];
        Self { pipeline, folder, api, rotate, base, cookie, proof }
    }

    /// A new random path, which is a secret.
    pub fn new_base(rng: &mut dyn CryptoRng) -> Zeroizing<String> {
        Zeroizing::new(format!("/{}/", *random::<PATH_BYTES>(rng)))
    }

    /// The rest of the path of a request, where it begins with the secret.
    fn below<'h>(&self, head: &'h Parts) -> Option<&'h str> {
        let (base, rest) = head.uri.path().split_at_checked(self.base.len())?;
        secrets_are_equal(self.base.as_bytes(), base.as_bytes()).then_some(rest)
    }

    fn view(&self) -> SiteView<'_> {
        SiteView { base: self.base.as_str(), name: "Partner Gateway", what: "Settings" }
    }

    fn show(&self, status: StatusCode, done: Option<&str>, problem: Option<&str>) -> Page {
        let state = self.api.state();
        let token = read_token(&self.folder);
        let (token, unreadable) = match token {
            Ok(token) => (token.unwrap_or_default(), None),
            Err(error) => (Zeroizing::default(), Some(chain(&error))),
        };
        let version = versions::RELEASES.last().map(|release| release.version.to_string());
        let file = self.folder.local_token().display().to_string().replace('\'', r"'\''");
        let url = format!("http://{}", state.address);
        let mut page = html::page(
            status,
            &Settings {
                site: self.view(),
                proof: &self.proof,
                done,
                problem: problem.or(unreadable.as_deref()),
                on: state.on,
                port: state.address.port(),
                token: &token,
                url: &url,
                file: &file,
                version: version.as_deref().unwrap_or_default(),
            },
        );
        let cookie = SetCookie {
            name: COOKIE,
            value: &self.cookie,
            path: &self.base,
            // The listener speaks HTTP.
            is_secure: false,
            same_site: SameSite::Strict,
            max_age_seconds: None,
        };
        if let Some(cookie) = cookie.field() {
            page.headers.insert(header::SET_COOKIE, cookie);
        }
        page
    }

    /// Whether the user's own page sent this form.
    fn check(&self, head: &Parts, form: &Form) -> Result<(), String> {
        check_same_origin(head, SCHEME).map_err(|error| error.to_string())?;
        let is_ours = |text: &str| secrets_are_equal(self.cookie.as_bytes(), text.as_bytes());
        let has_proof = form
            .one(PROOF)
            .ok()
            .flatten()
            .is_some_and(|proof| secrets_are_equal(self.proof.as_bytes(), proof.as_bytes()));
        if cookies(head, COOKIE).any(is_ours) && has_proof {
            return Ok(());
        }
        Err("The form is of an earlier start, or cookies are blocked. Open the page again and repeat the change.".to_owned())
    }

    async fn act(&self, action: &str, post: &Post<'_>) -> Result<&'static str, (StatusCode, String)> {
        let (form, source) = (&post.form, &post.source);
        let outcome = match action {
            "on" => self.api.change(Change::Switch(true)).await.map(|()| "on"),
            "off" => self.api.change(Change::Switch(false)).await.map(|()| "off"),
            "rotate" => {
                let actor = Actor { address: source.client.visible(), ..Actor::operator() };
                (self.rotate)(actor.in_request(&source.request_id)).await.map(|()| "rotate")
            }
            _ => {
                let port = form.one("port").ok().flatten().and_then(|text| text.trim().parse::<u16>().ok());
                let Some(port) = port.filter(|port| *port != 0) else {
                    let text = "A port is a number from 1 to 65535. Nothing was changed.".to_owned();
                    return Err((StatusCode::UNPROCESSABLE_ENTITY, text));
                };
                self.api.change(Change::Port(port)).await.map(|()| "port")
            }
        };
        outcome.map_err(|error| {
            let status = match error {
                LocalError::Port { .. } => StatusCode::CONFLICT,
                LocalError::Busy => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::INTERNAL_SERVER_ERROR,
            };
            (status, sentence(&chain(&error)))
        })
    }
}

#[derive(Template)]
#[template(path = "settings.html")]
struct Settings<'a> {
    site: SiteView<'a>,
    proof: &'a str,
    done: Option<&'a str>,
    problem: Option<&'a str>,
    on: bool,
    port: u16,
    token: &'a str,
    url: &'a str,
    /// The token's file, for a shell's word in single quotes.
    file: &'a str,
    version: &'a str,
}

/// What was done, after the redirect that keeps a reload from doing it again.
fn done(query: Option<&str>) -> Option<&'static str> {
    Some(match query? {
        "done=on" => "The API is switched on.",
        "done=off" => "The API is switched off, and its connections are closed.",
        "done=port" => "The API is served on the new port; connections to the old one are closed.",
        "done=rotate" => {
            "The token was replaced. The old one is refused, and clients that used it are disconnected."
        }
        _ => return None,
    })
}

const ACTIONS: [&str; 4] = ["on", "off", "port", "rotate"];

impl PageSite for SettingsPage {
    /// Its path is a secret; only labels are logged.
    const LOGGED: bool = true;

    fn pipeline(&self) -> &'static Pipeline {
        self.pipeline
    }

    fn methods(&self, head: &Parts) -> Methods {
        // A stranger learns nothing from the methods either.
        if head.method == Method::POST { Methods::ReadAndPost } else { Methods::Read }
    }

    async fn page(&'static self, head: &Parts) -> Page {
        match self.below(head) {
            Some("") => self.show(StatusCode::OK, done(head.uri.query()), None),
            Some(name) => html::asset(name).unwrap_or_else(|| self.missing()),
            // What a page for a stranger looks like is no secret.
            None => head.uri.path().strip_prefix('/').and_then(html::asset).unwrap_or_else(|| self.missing()),
        }
    }

    async fn post(&'static self, post: Post<'_>) -> Page {
        let action = self.below(post.head).filter(|action| ACTIONS.contains(action));
        let Some(action) = action else { return self.missing() };
        if let Err(reason) = self.check(post.head, &post.form) {
            return self.error(StatusCode::FORBIDDEN, &reason);
        }
        if let Some(other) = post.form.other_than(&[PROOF, "port"]) {
            return self.error(StatusCode::BAD_REQUEST, &format!("The form has no field `{other}`."));
        }
        info!(client.address = %post.source.client.nearest(), action, "The settings page: {action}");
        match self.act(action, &post).await {
            Ok(done) => {
                let mut page = html::message(StatusCode::SEE_OTHER, self.view(), "Done", "", true);
                let place = HeaderValue::try_from(format!("{}?done={done}", *self.base));
                if let Ok(place) = place {
                    page.headers.insert(header::LOCATION, place);
                }
                page
            }
            Err((status, problem)) => self.show(status, None, Some(&problem)),
        }
    }

    fn error(&self, status: StatusCode, detail: &str) -> Page {
        // Strangers are not given the base.
        let view = SiteView { base: "/", ..self.view() };
        html::message(status, view, status.canonical_reason().unwrap_or("Error"), detail, false)
    }

    fn add_fields(&self, fields: &mut HeaderMap) {
        add_form_fields(fields);
    }
}

impl SettingsPage {
    fn missing(&self) -> Page {
        let view = SiteView { base: "/", ..self.view() };
        let text = "There is no page at this address. `partner-gateway local panel` prints the address of the settings page.";
        html::message(StatusCode::NOT_FOUND, view, "Page not found", text, false)
    }
}

/// An error with its causes.
fn chain(error: &LocalError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

/// Random bytes in hexadecimal.
fn random<const BYTES: usize>(rng: &mut dyn CryptoRng) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0_u8; BYTES]);
    rng.fill_bytes(bytes.as_mut());
    Zeroizing::new(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
