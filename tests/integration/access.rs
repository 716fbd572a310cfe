//! Strangers ask for access at the portal, claim their keys, and accept invitations.

use std::time::Duration;

use gateway::clock::SystemClock;
use gateway::provisioning::{
    Actor, Approval, ApprovedFor, NewInvitation, approve_request, ask_back, create_partner, invite,
    list_requests,
};
use gateway::store::requests::RequestFilter;
use http::{HeaderMap, HeaderValue, StatusCode};
use permissions::{BuiltInRole, RequestId, RoleOf};
use tests::{Client, Family, PATIENCE, Protocol, Response, TestGateway, Way, between, eventually, form, get};

const NAME: &str = "Acme <b>&amp;\"</b>";
const UNKNOWN: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const HOUR: Duration = Duration::from_secs(60 * 60);

struct Portal {
    gateway: TestGateway,
    client: Client,
}

impl Portal {
    async fn start(overlay: &str) -> Self {
        let gateway = TestGateway::start(overlay).await;
        let client = Client::of_portal(&gateway, Protocol::H2).await;
        Self { gateway, client }
    }

    async fn open(&self, path: &str) -> Response {
        self.client.ask(get(path)).await
    }

    async fn send(&self, path: &str, pairs: &[(&str, &str)]) -> Response {
        self.send_with(path, pairs, &[("sec-fetch-site", "same-origin")]).await
    }

    async fn send_with(
        &self,
        path: &str,
        pairs: &[(&str, &str)],
        fields: &[(&'static str, &str)],
    ) -> Response {
        let mut request = form(path, pairs);
        let fields = fields.iter().map(|(name, value)| {
            (http::HeaderName::from_static(name), HeaderValue::try_from(*value).expect("plain"))
        });
        request.headers_mut().extend(fields.collect::<HeaderMap>());
        self.client.ask(request).await
    }

    async fn file(&self) -> Response {
        self.send("/access", &ASKED).await
    }

    fn requests(&self) -> Vec<RequestId> {
        let filter = RequestFilter { count: 100, ..RequestFilter::default() };
        let listed = list_requests(&mut self.gateway.store().0, &Actor::operator(), filter);
        listed.expect("the store can be read").into_iter().map(|request| request.id).collect()
    }

    /// Approves a request; returns the code of the link to its keys.
    fn approve(&self, id: RequestId, lifetime: Duration) -> String {
        let (mut store, secret) = self.gateway.store();
        let approval = Approval {
            staging: None,
            production: None,
            wider: false,
            organization: ApprovedFor::AsAsked,
            text: "Welcome <i>".to_owned(),
            claim_lifetime: lifetime,
        };
        let (rng, operator) = (&mut rand::rng(), &Actor::operator());
        let approved = approve_request(&mut store, &SystemClock, rng, &secret, operator, id, &approval);
        approved.expect("it is open").claim.expect("a stranger asked").code.expose().to_owned()
    }

    fn invite(&self, organization: &str) -> String {
        let (mut store, secret) = self.gateway.store();
        let (rng, operator) = (&mut rand::rng(), &Actor::operator());
        let made = create_partner(&mut store, &SystemClock, rng, operator, organization, false);
        let new = NewInvitation {
            organization: made.expect("the name is new").partner.id,
            email: None,
            role: RoleOf::BuiltIn(BuiltInRole::Developer),
            lifetime: HOUR,
        };
        let invited = invite(&mut store, &SystemClock, rng, &secret, operator, &new);
        invited.expect("there is room").link.code.expose().to_owned()
    }

    async fn pings(&self, key: &str, listener: &str) {
        let way = Way { protocol: Protocol::H2, family: Family::V4 };
        let pinged = eventually(PATIENCE, async || {
            let client = Client::open(&self.gateway, listener, way).await.expect("the API accepts");
            let mut request = get("/2026-11-15/ping.json");
            let bearer = HeaderValue::try_from(format!("Bearer {key}")).expect("a key is plain text");
            request.headers_mut().insert("authorization", bearer);
            (client.ask(request).await.status == StatusCode::OK).then_some(())
        });
        assert!(pinged.await.is_some(), "the key works at {listener}");
    }
}

const ASKED: [(&str, &str); 6] = [
    ("organization", NAME),
    ("contact", "<script>alert(1)</script>"),
    ("email", "ada@example.com"),
    ("use_case", "Line one\r\n</textarea><script>two"),
    ("staging", "ping:read"),
    ("production", "ping:read"),
];

fn link_of(filed: &Response) -> String {
    assert_eq!(filed.status, StatusCode::OK, "{}", filed.text());
    between(&filed.text(), "<a href=\"/access/", "\"").to_owned()
}

#[tokio::test]
async fn from_asking_to_both_keys_and_the_link_works_once() {
    let portal = Portal::start("").await;
    assert!(portal.open("/access").await.text().contains("name=\"staging\" value=\"ping:read\""));
    let link = format!("/access/{}", link_of(&portal.file().await));
    let id = portal.requests()[0];
    ask_back(&mut portal.gateway.store().0, &SystemClock, &Actor::operator(), id, "Which <u>app?")
        .expect("it is open");
    let page = portal.open(&link).await.text();
    assert!(page.contains("Which &#60;u&#62;app?") && page.contains("ping:read"), "{page}");
    let page = portal.send(&link, &[("text", "The <u>one")]).await.text();
    assert!(page.contains("The &#60;u&#62;one") && page.contains("Waiting for the operator"), "{page}");
    let empty = portal.send(&link, &[("text", " ")]).await;
    assert_eq!(empty.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", empty.text());

    let claim = format!("/claim/{}", portal.approve(id, HOUR));
    let page = portal.open(&link).await.text();
    assert!(page.contains("Granted in staging") && page.contains("Welcome"), "{page}");
    for tag in ["<script", "<b>", "<i>", "<u>"] {
        assert!(!page.contains(tag), "{tag} in {page}");
    }
    assert_eq!(portal.send(&link, &[("text", "late")]).await.status, StatusCode::CONFLICT);
    assert_eq!(portal.send(&format!("{link}/withdraw"), &[]).await.status, StatusCode::CONFLICT);
    for _ in 0..3 {
        let page = portal.open(&claim).await;
        assert!(page.text().contains("Show the keys") && !page.text().contains("pgw_"), "{}", page.text());
        assert_eq!(page.field("cache-control"), Some("no-store"));
    }
    let cross = portal.send_with(&claim, &[], &[("sec-fetch-site", "cross-site")]).await;
    assert_eq!(cross.status, StatusCode::FORBIDDEN, "a page of another site presses no button");
    let cross = portal.send_with(&claim, &[], &[("origin", "https://attacker.example")]).await;
    assert_eq!(cross.status, StatusCode::FORBIDDEN);
    // A client that is no browser says nothing of where it comes from.
    let claimed = portal.send_with(&claim, &[], &[]).await;
    assert_eq!((claimed.status, claimed.field("cache-control")), (StatusCode::OK, Some("no-store")));
    let text = claimed.text();
    let staging = between(&text, "id=\"key-staging\" value=\"", "\"");
    let production = between(&text, "id=\"key-production\" value=\"", "\"");
    let sample = format!("--cacert &#39;{}&#39; -H @- https://", portal.gateway.ready().ca.display());
    assert_eq!(text.matches(&sample).count(), 2, "{sample} in {text}");
    assert_eq!(text.matches("/2026-11-15/ping.json").count(), 2, "{text}");
    for again in [portal.open(&claim).await, portal.send(&claim, &[]).await] {
        let text = again.text();
        assert_eq!(again.status, StatusCode::GONE, "{text}");
        assert!(text.contains("Nothing was revoked") && text.contains("UTC"), "{text}");
        assert!(!text.contains("pgw_"), "{text}");
    }
    portal.pings(staging, "https").await;
    portal.pings(production, "https").await;
}

#[tokio::test]
async fn unknown_codes_look_alike_and_are_counted() {
    let portal = Portal::start("[portal]\ncodes_per_address = \"1/h+9\"").await;
    let expected = portal.open(&format!("/access/{UNKNOWN}")).await;
    assert_eq!(expected.status, StatusCode::NOT_FOUND);
    for path in [
        format!("/claim/{UNKNOWN}"),
        format!("/invitation/{UNKNOWN}"),
        "/claim/short".to_owned(),
        "/access/%3Cscript%3E".to_owned(),
    ] {
        let response = portal.open(&path).await;
        assert_eq!((response.status, response.text()), (expected.status, expected.text()), "{path}");
    }
    for (path, fields) in [
        (format!("/claim/{UNKNOWN}"), &[][..]),
        (format!("/invitation/{UNKNOWN}"), &[("name", "x")]),
        (format!("/access/{UNKNOWN}/withdraw"), &[]),
        (format!("/access/{UNKNOWN}"), &[("text", "x")]),
    ] {
        let response = portal.send(&path, fields).await;
        assert_eq!((response.status, response.text()), (expected.status, expected.text()), "{path}");
    }
    let response = portal.open(&format!("/claim/{UNKNOWN}")).await;
    assert_eq!(response.status, StatusCode::TOO_MANY_REQUESTS);
    assert!(response.field("retry-after").is_some(), "{response:?}");
}

#[tokio::test]
async fn errors_keep_what_was_typed_and_filing_is_bounded() {
    let portal = Portal::start("[portal]\naccess_requests_per_address = \"1/h+8\"").await;
    for (field, wrong, label) in [
        ("organization", " ", "Organization."),
        ("contact", "a\u{202e}b", "Your name."),
        ("email", "nobody", "E-mail address."),
        ("use_case", "", "Use case."),
    ] {
        let asked = ASKED.map(|(name, value)| (name, if name == field { wrong } else { value }));
        let response = portal.send("/access", &asked).await;
        let text = response.text();
        assert_eq!(response.status, StatusCode::UNPROCESSABLE_ENTITY, "{field}: {text}");
        assert!(text.contains(label) && text.contains("aria-invalid"), "{field}: {text}");
        assert!(text.contains("value=\"ping:read\" checked") && !text.contains("<script"), "{field}: {text}");
    }
    let response = portal.send("/access", &ASKED[..4]).await;
    assert!(response.text().contains("Permissions."), "{}", response.text());
    let unknown = portal.send("/access", &[("e-mail", "a@example.com")]).await;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
    assert!(unknown.text().contains("does not know: `e-mail`"), "{}", unknown.text());
    let twice = portal.send("/access", &[("email", "a@example.com"), ("email", "b@example.com")]).await;
    assert_eq!(twice.status, StatusCode::BAD_REQUEST);
    let page = |response: Response| response.text().replace(&link_of(&response), "CODE");
    let (one, two) = (page(portal.file().await), page(portal.file().await));
    assert_eq!(one, two, "whether there is such an organization or e-mail");
    assert_eq!(portal.file().await.text().matches("/access/").count(), 2, "one link, twice on its page");
    let response = portal.file().await;
    assert_eq!(response.status, StatusCode::TOO_MANY_REQUESTS, "{}", response.text());
    assert!(response.text().contains("ada@example.com") && response.field("retry-after").is_some());
    assert_eq!(portal.requests().len(), 3);
    let cross = portal.send_with("/access", &ASKED, &[("sec-fetch-site", "cross-site")]).await;
    assert_eq!(cross.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn an_invited_person_gives_a_name_and_is_signed_in_once() {
    let portal = Portal::start("").await;
    let path = format!("/invitation/{}", portal.invite("Acme <b>"));
    let page = portal.open(&path).await.text();
    assert!(page.contains("Acme &#60;b&#62;") && page.contains("developer"), "{page}");
    let silent = portal.send_with(&path, &[("name", "Ada")], &[]).await;
    assert_eq!(
        silent.status,
        StatusCode::FORBIDDEN,
        "it signs in, so the browser must say where it comes from"
    );
    assert_eq!(portal.send(&path, &[("name", "")]).await.status, StatusCode::UNPROCESSABLE_ENTITY);
    let accepted = portal.send(&path, &[("name", "Ada")]).await;
    assert_eq!(accepted.status, StatusCode::SEE_OTHER, "{}", accepted.text());
    let cookie = accepted.field("set-cookie").expect("a session").split(';').next().expect("one part");
    let mut request = get("/");
    request.headers_mut().insert("cookie", HeaderValue::try_from(cookie).expect("plain"));
    assert!(portal.client.ask(request).await.text().contains("Signed in as Ada"));
    let again = portal.send(&path, &[("name", "Eve")]).await;
    assert_eq!(again.status, StatusCode::GONE, "{}", again.text());

    let other = format!("/invitation/{}", portal.invite("Other"));
    let fields = [("sec-fetch-site", "same-origin"), ("cookie", cookie)];
    let joined = portal.send_with(&other, &[], &fields).await;
    assert_eq!(joined.status, StatusCode::SEE_OTHER, "a signed-in user joins: {}", joined.text());
}
