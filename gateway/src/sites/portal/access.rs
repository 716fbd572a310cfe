//! `/access`: anyone asks for access, and follows the request by its own link.
//!
//! Nothing that is answered here depends on which organizations, people or other requests exist.

use askama::Template;
use http::{HeaderValue, StatusCode, header};
use permissions::{ApiAccessPermission, Environment};
use versions::Error;
use zeroize::Zeroizing;

use super::{Portal, SITE, contact, shown};
use crate::http::ClientAddress;
use crate::mail::Letter;
use crate::provisioning::{
    NewRequest, ProvisioningError, REQUEST_PATH, RequestView, Which, add_to_request, file_request,
    request_by_code, sentence, withdraw_request,
};
use crate::sites::form::Form;
use crate::sites::html::{SiteView, message, page};
use crate::sites::page::{Page, Post};
use crate::store::requests::{AccessRequest, PerEnvironment, RequestAction, RequestState};
use crate::transport::network;

#[derive(Template)]
#[template(path = "portal/access.html")]
struct AccessPage<'a> {
    site: SiteView<'a>,
    typed: &'a NewRequest,
    groups: Vec<Group>,
    problem: Option<Problem>,
}

/// What is wrong with the form, and which field it is.
struct Problem {
    field: &'static str,
    label: &'static str,
    text: String,
}

struct Group {
    environment: &'static str,
    choices: Vec<Choice>,
}

struct Choice {
    name: String,
    is_checked: bool,
}

impl AccessPage<'_> {
    /// Attributes of the field that the problem is about.
    fn invalid(&self, field: &str) -> askama::filters::Safe<&'static str> {
        let is_wrong = self.problem.as_ref().is_some_and(|problem| problem.field == field);
        askama::filters::Safe(if is_wrong {
            r#" aria-invalid="true" aria-describedby="problem""#
        } else {
            ""
        })
    }
}

#[derive(Template)]
#[template(path = "portal/access_filed.html")]
struct FiledPage<'a> {
    site: SiteView<'a>,
    url: &'a str,
    path: &'a str,
}

#[derive(Template)]
#[template(path = "portal/access_request.html")]
struct RequestPage<'a> {
    site: SiteView<'a>,
    request: &'a AccessRequest,
    state: &'static str,
    filed: String,
    wanted: [String; 2],
    granted: Option<[String; 2]>,
    events: Vec<Event<'a>>,
    is_open: bool,
    path: String,
    problem: Option<String>,
    typed: &'a str,
}

struct Event<'a> {
    at: String,
    what: &'static str,
    text: &'a str,
}

impl Portal {
    /// `GET /access`: an empty form.
    pub(super) fn access_form(&self) -> Page {
        let empty = NewRequest {
            organization: String::new(),
            contact: String::new(),
            email: String::new(),
            use_case: String::new(),
            wanted: PerEnvironment::default(),
        };
        form_page(StatusCode::OK, &empty, None)
    }

    /// `POST /access`: files a request; its link is shown once.
    ///
    /// # Errors
    /// [`versions::ErrorCode::MalformedRequest`] for a field that is there twice.
    pub(super) async fn file_access(&'static self, post: &Post<'_>) -> Result<Page, Error> {
        let typed = typed(&post.form)?;
        if let Err(seconds) = self.count_access(post.source.client) {
            let text = format!("Too many requests were sent. Try again in {seconds} seconds.");
            let problem = Problem { field: "", label: "Not sent", text };
            let mut page = form_page(StatusCode::TOO_MANY_REQUESTS, &typed, Some(problem));
            page.headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            return Ok(page);
        }
        let (new, actor) = (typed.clone(), contact(&post.source));
        let open_max = self.requests_open_max;
        let filed = self.run(move |portal, store| {
            let (clock, secret) = (portal.clock(), &portal.secret);
            file_request(store, clock, &mut rand::rng(), secret, &actor, &new, open_max)
        });
        Ok(match filed.await {
            Ok(filed) => {
                let code = filed.code.expect("a contact's request has a link");
                let path = Zeroizing::new(format!("{REQUEST_PATH}{}", code.expose()));
                let url = Zeroizing::new(self.url(&path));
                // Whether it is sent changes nothing in the answer, and nobody waits for it.
                if let Some(mailer) = self.pipeline.mailer() {
                    mailer.send(Letter::request_received(&filed.request.email, &url));
                }
                page(StatusCode::OK, &FiledPage { site: SITE, url: &url, path: &path })
            }
            Err(ProvisioningError::QueueFull) => {
                let text = sentence(&ProvisioningError::QueueFull.to_string());
                let problem = Problem { field: "", label: "Not sent", text };
                form_page(StatusCode::SERVICE_UNAVAILABLE, &typed, Some(problem))
            }
            Err(error) => match problem_of(&error) {
                Some(problem) => form_page(StatusCode::UNPROCESSABLE_ENTITY, &typed, Some(problem)),
                None => self.failure(&error),
            },
        })
    }

    /// Counts a request that somebody files, of the address and in all.
    ///
    /// # Errors
    /// Seconds to wait.
    fn count_access(&self, client: ClientAddress) -> Result<(), u32> {
        let now = self.clock().monotonic();
        let address = network(client.nearest());
        self.access_of_addresses.count(address, self.settings.access_requests_per_address, now)?;
        self.access.spend(now).map(drop).map_err(|spent| spent.reset_seconds)
    }

    /// `GET /access/{code}`: the state of a request.
    pub(super) async fn access(&'static self, code: &str, client: ClientAddress) -> Page {
        if let Err(seconds) = self.count_code(client) {
            return self.too_many_codes(seconds);
        }
        self.show_access(StatusCode::OK, code, None, "").await
    }

    /// `POST /access/{code}`: adds a text.
    ///
    /// # Errors
    /// [`versions::ErrorCode::MalformedRequest`] for a field that is there twice.
    pub(super) async fn add_access(&'static self, post: &Post<'_>, code: &str) -> Result<Page, Error> {
        let text = post.form.one("text")?.unwrap_or_default().to_owned();
        Ok(self.change_access(post, code, Some(text)).await)
    }

    /// `POST /access/{code}/withdraw`.
    pub(super) async fn withdraw_access(&'static self, post: &Post<'_>, code: &str) -> Page {
        self.change_access(post, code, None).await
    }

    /// Adds a text to a request, or without one withdraws it; then shows it.
    async fn change_access(&'static self, post: &Post<'_>, code: &str, text: Option<String>) -> Page {
        if let Err(seconds) = self.count_code(post.source.client) {
            return self.too_many_codes(seconds);
        }
        let typed = text.clone().unwrap_or_default();
        let (actor, owned) = (contact(&post.source), Zeroizing::new(code.to_owned()));
        let changed = self.run(move |portal, store| {
            let (clock, secret, which) = (portal.clock(), &portal.secret, Which::Code(&owned));
            match text {
                Some(text) => add_to_request(store, clock, secret, &actor, which, &text).map(drop),
                None => withdraw_request(store, clock, secret, &actor, which).map(drop),
            }
        });
        match changed.await {
            Ok(()) => self.show_access(StatusCode::OK, code, None, "").await,
            Err(
                error @ (ProvisioningError::Text { .. }
                | ProvisioningError::TooMany { .. }
                | ProvisioningError::RequestEnded(_)),
            ) => {
                let status = match error {
                    ProvisioningError::Text { .. } => StatusCode::UNPROCESSABLE_ENTITY,
                    _ => StatusCode::CONFLICT,
                };
                self.show_access(status, code, Some(sentence(&error.to_string())), &typed).await
            }
            Err(ProvisioningError::UnknownLink) => self.unknown_link(),
            Err(error) => self.failure(&error),
        }
    }

    async fn show_access(
        &'static self,
        status: StatusCode,
        code: &str,
        problem: Option<String>,
        typed: &str,
    ) -> Page {
        let owned = Zeroizing::new(code.to_owned());
        let found = self.run(move |portal, store| request_by_code(store, &portal.secret, &owned)).await;
        let RequestView { request, events } = match found {
            Ok(view) => view,
            Err(ProvisioningError::UnknownLink) => return self.unknown_link(),
            Err(error) => return self.failure(&error),
        };
        let events = events.iter().map(|event| Event {
            at: shown(event.at),
            what: event_text(event.action),
            text: &event.text,
        });
        let view = RequestPage {
            site: SITE,
            request: &request,
            state: state_text(request.state),
            filed: shown(request.created),
            wanted: names(request.wanted),
            granted: request.granted.map(names),
            events: events.collect(),
            is_open: request.state.is_open(),
            // A code that was found is of letters, digits, dashes and underscores.
            path: format!("{REQUEST_PATH}{code}"),
            problem,
            typed,
        };
        page(status, &view)
    }

    /// The page for a link that does not exist, alike for every kind.
    pub(super) fn unknown_link(&self) -> Page {
        let text = sentence(&ProvisioningError::UnknownLink.to_string());
        message(StatusCode::NOT_FOUND, SITE, "No such link", &text, false)
    }
}

fn typed(form: &Form) -> Result<NewRequest, Error> {
    let text = |name| form.one(name).map(|text| text.unwrap_or_default().to_owned());
    // What no form of ours offers is not asked for.
    let grantable = ApiAccessPermission::grantable();
    let wanted = |environment: Environment| {
        let names = form.all(environment.name()).filter_map(|name| name.parse::<ApiAccessPermission>().ok());
        names.fold(ApiAccessPermission::empty(), |all, one| all | one) & grantable
    };
    Ok(NewRequest {
        organization: text("organization")?,
        contact: text("contact")?,
        email: text("email")?,
        use_case: text("use_case")?,
        wanted: PerEnvironment {
            staging: wanted(Environment::Staging),
            production: wanted(Environment::Production),
        },
    })
}

fn form_page(status: StatusCode, typed: &NewRequest, problem: Option<Problem>) -> Page {
    let groups = Environment::ALL.into_iter().map(|environment| Group {
        environment: environment.name(),
        choices: ApiAccessPermission::grantable()
            .iter()
            .map(|permission| Choice {
                name: permission.to_string(),
                is_checked: typed.wanted.of(environment).contains(permission),
            })
            .collect(),
    });
    page(status, &AccessPage { site: SITE, typed, groups: groups.collect(), problem })
}

fn problem_of(error: &ProvisioningError) -> Option<Problem> {
    let (field, label) = match error {
        ProvisioningError::PartnerName => ("organization", "Organization"),
        ProvisioningError::Name => ("contact", "Your name"),
        ProvisioningError::Email(_) => ("email", "E-mail address"),
        ProvisioningError::Text { .. } => ("use_case", "Use case"),
        ProvisioningError::NothingWanted | ProvisioningError::NotGrantable(_) => {
            ("permissions", "Permissions")
        }
        _ => return None,
    };
    let text = match error {
        // Strangers are no partners yet.
        ProvisioningError::PartnerName => {
            "Enter 1 to 128 printable characters, without spaces at either end.".to_owned()
        }
        error => sentence(&error.to_string()),
    };
    Some(Problem { field, label, text })
}

/// What there is in staging and in production, for a page.
pub(super) fn names(permissions: PerEnvironment) -> [String; 2] {
    [permissions.staging, permissions.production].map(|set| {
        let names: Vec<_> = set.names().collect();
        if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
    })
}

const fn state_text(state: RequestState) -> &'static str {
    match state {
        RequestState::Open => "Waiting for the operator.",
        RequestState::AwaitingAnswer => {
            "The operator asks you something: see the last event, and add your answer."
        }
        RequestState::Approved => "Approved. The operator sends you a link to your keys.",
        RequestState::Rejected => "Rejected. The reason is the last event.",
        RequestState::Withdrawn => "Withdrawn.",
    }
}

const fn event_text(action: RequestAction) -> &'static str {
    match action {
        RequestAction::Filed => "The request was filed.",
        RequestAction::Added => "You added:",
        RequestAction::Asked => "The operator asks:",
        RequestAction::Approved => "The operator approved the request.",
        RequestAction::Rejected => "The operator rejected the request:",
        RequestAction::Withdrawn => "You withdrew the request.",
        RequestAction::Linked => "The operator made another link to the keys.",
        RequestAction::Claimed => "The keys were shown.",
    }
}
