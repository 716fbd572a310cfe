//! People sign in at the portal and approve their devices (RFC 8628): the endpoints, the pages, and clients of other
//! makes.

use std::process::Stdio;
use std::time::Duration;

use gateway::clock::{Clock, ManualClock, SystemClock};
use gateway::provisioning::{
    Actor, BeginDevice, DeviceLimits, NewDevice, NewMember, begin_device, change_member, create_partner,
    create_user, grant, remove_member, sign_in_link,
};
use gateway::store::people::Member;
use http::{StatusCode, header};
use jiff::SignedDuration;
use permissions::{ApiAccessPermission, BuiltInRole, Environment, Identity, RoleOf, secrets_are_equal};
use serde_json::Value;
use tests::{
    Client, IdentityProvider, PATIENCE, Protocol, Response, Script, TestGateway, client_script, eventually,
    form, get, lines, own_form,
};

const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";
const SECURE: [Protocol; 3] = [Protocol::H1Tls, Protocol::H2, Protocol::H3];
const BROWSER: Duration = Duration::from_secs(120);

/// A gateway with an organization, and a connection to its portal.
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

    fn url(&self) -> String {
        self.gateway.portal_url()
    }

    /// A member of an organization of their own, which may ping in staging.
    fn member(&self, name: &str, role: BuiltInRole, identity: Option<Identity>) -> Member {
        let (mut store, _) = self.gateway.store();
        let (store, clock, operator) = (&mut store, &SystemClock, &Actor::operator());
        let organization = create_partner(store, clock, &mut rand::rng(), operator, name, false);
        let organization = organization.expect("the name is new").partner.id;
        let ping = ApiAccessPermission::PING_READ;
        grant(store, clock, operator, name, Environment::Staging, ping).expect("it is grantable");
        let mut add = |name: &str, role, identity| {
            let role = RoleOf::BuiltIn(role);
            let new = NewMember { name: name.to_owned(), email: None, identity, organization, role };
            create_user(store, clock, &mut rand::rng(), operator, new).expect("they are new").0
        };
        add("Owner", BuiltInRole::Owner, None);
        add(name, role, identity)
    }

    fn link(&self, member: &Member) -> String {
        let (mut store, secret) = self.gateway.store();
        let (rng, operator, user) = (&mut rand::rng(), &Actor::operator(), member.user.id);
        let made = sign_in_link(&mut store, &SystemClock, rng, &secret, operator, user);
        made.expect("there is such a user").1.code.expose().to_owned()
    }

    async fn oauth(&self, path: &str, pairs: &[(&str, &str)]) -> Response {
        self.client.ask(form(path, pairs)).await
    }

    /// A form that a browser sends.
    async fn send(&self, path: &str, cookie: &str, pairs: &[(&str, &str)]) -> Response {
        let mut request = own_form(path, pairs);
        if !cookie.is_empty() {
            request.headers_mut().insert(header::COOKIE, cookie.parse().expect("plain"));
        }
        self.client.ask(request).await
    }

    async fn open(&self, path: &str, cookie: &str) -> Response {
        let mut request = get(path);
        request.headers_mut().insert(header::COOKIE, cookie.parse().expect("plain"));
        self.client.ask(request).await
    }

    /// Signs in by a link; returns the cookie.
    async fn sign_in(&self, member: &Member) -> String {
        let response = self.send(&format!("/sign-in/link/{}", self.link(member)), "", &[]).await;
        assert_eq!(response.status, StatusCode::SEE_OTHER, "{}", response.text());
        response.cookie("__Host-session")
    }

    async fn codes(&self) -> (String, String) {
        let pairs = [("client_id", "an app"), ("device_name", "laptop")];
        let response = self.oauth("/oauth/device/code", &pairs).await;
        assert_eq!(response.status, StatusCode::OK, "{}", response.text());
        let codes = response.json();
        let text = |name: &str| codes[name].as_str().expect("it is text").to_owned();
        (text("device_code"), text("user_code"))
    }

    async fn poll(&self, device_code: &str) -> Response {
        let pairs = [("grant_type", GRANT), ("device_code", device_code), ("client_id", "an app")];
        self.oauth("/oauth/token", &pairs).await
    }

    async fn decide(&self, cookie: &str, member: &Member, user_code: &str, action: &str) -> Response {
        let membership = member.membership.id.to_string();
        let pairs = [
            ("user_code", user_code),
            ("action", action),
            ("membership", &membership),
            ("environment", "staging"),
        ];
        self.send("/auth/device", cookie, &pairs).await
    }

    /// The whole flow.
    async fn token(&self, member: &Member) -> String {
        let cookie = self.sign_in(member).await;
        let (device_code, user_code) = self.codes().await;
        let approved = self.decide(&cookie, member, &user_code, "approve").await;
        assert!(approved.text().contains("Device approved"), "{}", approved.text());
        let response = self.poll(&device_code).await;
        response.json()["access_token"].as_str().unwrap_or_else(|| panic!("{}", response.text())).to_owned()
    }

    async fn ping(&self, protocol: Protocol, token: &str) -> StatusCode {
        let client = Client::over(&self.gateway, protocol).await;
        let mut request = get("/2026-02-01/ping.json");
        let bearer = format!("Bearer {token}").parse().expect("a token is plain text");
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
        client.ask(request).await.status
    }

    async fn pings(&self, token: &str, expected: StatusCode) {
        for protocol in SECURE {
            let status =
                eventually(PATIENCE, async || (self.ping(protocol, token).await == expected).then_some(()));
            assert!(status.await.is_some(), "{protocol:?} does not become {expected}");
        }
    }
}

fn error_of(response: &Response) -> String {
    assert_eq!(response.field("cache-control"), Some("no-store"), "{response:?}");
    assert_eq!(response.field("content-type"), Some("application/json"), "{response:?}");
    response.json()["error"].as_str().unwrap_or_else(|| panic!("{}", response.text())).to_owned()
}

#[tokio::test]
async fn a_token_has_its_owners_role_and_ends_with_it() {
    let portal = Portal::start("").await;
    let member = portal.member("Ada", BuiltInRole::Developer, None);
    let token = portal.token(&member).await;
    assert!(token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
    portal.pings(&token, StatusCode::OK).await;
    let change = |role| {
        let ((mut store, _), role) = (portal.gateway.store(), RoleOf::BuiltIn(role));
        let id = member.membership.id;
        change_member(&mut store, &SystemClock, &Actor::operator(), id, role).expect("it may change");
    };
    change(BuiltInRole::Viewer);
    portal.pings(&token, StatusCode::FORBIDDEN).await;
    change(BuiltInRole::Developer);
    portal.pings(&token, StatusCode::OK).await;

    let other = portal.token(&member).await;
    let revoked =
        portal.oauth("/oauth/revoke", &[("token", &token), ("token_type_hint", "access_token")]).await;
    assert_eq!((revoked.status, revoked.body.len()), (StatusCode::OK, 0), "{}", revoked.text());
    // The response came after this process had applied it.
    for protocol in SECURE {
        assert_eq!(portal.ping(protocol, &token).await, StatusCode::UNAUTHORIZED, "{protocol:?}");
        assert_eq!(portal.ping(protocol, &other).await, StatusCode::OK, "{protocol:?}");
    }
    let again = portal.oauth("/oauth/revoke", &[("token", &token)]).await;
    assert_eq!(again.status, StatusCode::OK, "as for any that is unknown");

    let cookie = portal.sign_in(&member).await;
    let id = member.membership.id;
    remove_member(&mut portal.gateway.store().0, &SystemClock, &Actor::operator(), id)
        .expect("an owner is left");
    portal.pings(&other, StatusCode::UNAUTHORIZED).await;
    let page = portal.open("/", &cookie).await;
    assert_eq!(page.field("location"), Some("/sign-in"), "the session ended too");
}

#[tokio::test]
async fn errors_of_the_oauth_endpoints_have_the_form_of_rfc_6749() {
    let portal = Portal::start("").await;
    let (device_code, _) = portal.codes().await;
    let good = [("grant_type", GRANT), ("device_code", &*device_code), ("client_id", "an app")];
    let with = |name: &'static str, value: &'static str| {
        let mut pairs = good.to_vec();
        pairs.retain(|(found, _)| *found != name);
        pairs.push((name, value));
        pairs
    };
    let doubled = |name: &'static str| {
        let mut pairs = good.to_vec();
        pairs.push((name, "x"));
        pairs
    };
    let token = "/oauth/token";
    for (path, pairs, status, error) in [
        (token, good.to_vec(), 400, "authorization_pending"),
        (token, with("unknown", "x"), 400, "slow_down"),
        (token, with("device_code", "wrong"), 400, "invalid_grant"),
        (token, with("client_id", "another app"), 400, "invalid_grant"),
        (token, with("device_code", ""), 400, "invalid_request"),
        (token, with("client_id", ""), 400, "invalid_request"),
        (token, with("grant_type", ""), 400, "invalid_request"),
        (token, with("grant_type", "authorization_code"), 400, "unsupported_grant_type"),
        (token, doubled("device_code"), 400, "invalid_request"),
        (token, doubled("grant_type"), 400, "invalid_request"),
        (token, vec![("x", "1"), ("x", "2")], 400, "invalid_request"),
        (token, with("client_secret", "guess"), 400, "invalid_client"),
        ("/oauth/device/code", vec![], 400, "invalid_request"),
        ("/oauth/device/code", vec![("client_id", "a\nb")], 400, "invalid_request"),
        ("/oauth/device/code", vec![("client_id", "a"), ("device_name", " b")], 400, "invalid_request"),
        ("/oauth/device/code", vec![("client_id", "a"), ("client_id", "b")], 400, "invalid_request"),
        ("/oauth/revoke", vec![], 400, "invalid_request"),
    ] {
        let response = portal.oauth(path, &pairs).await;
        let found = (response.status.as_u16(), error_of(&response));
        assert_eq!(found, (status, error.to_owned()), "{path} {pairs:?}");
        let description = response.json()["error_description"].as_str().unwrap_or_default().to_owned();
        assert!(description.bytes().all(|byte| matches!(byte, b' '..=b'~') && !b"\"\\".contains(&byte)));
    }
    for unknown in ["x", &"0".repeat(64), "pgw_stg_x"] {
        let response = portal.oauth("/oauth/revoke", &[("token", unknown)]).await;
        assert_eq!(response.status, StatusCode::OK, "{unknown}");
    }
    let mut basic = form(token, &good);
    basic.headers_mut().insert(header::AUTHORIZATION, "Basic YTpi".parse().expect("plain"));
    let response = portal.client.ask(basic).await;
    assert_eq!((response.status.as_u16(), error_of(&response)), (401, "invalid_client".to_owned()));
    assert_eq!(response.field("www-authenticate"), Some("Basic realm=\"oauth\""));
    for path in [token, "/oauth/device/code", "/oauth/revoke"] {
        let response = portal.client.ask(get(path)).await;
        assert_eq!((response.status.as_u16(), error_of(&response)), (405, "invalid_request".to_owned()));
        assert_eq!(response.field("allow"), Some("POST"));
        let mut json = form(path, &good);
        json.headers_mut().insert(header::CONTENT_TYPE, "application/json".parse().expect("plain"));
        let response = portal.client.ask(json).await;
        assert_eq!((response.status.as_u16(), error_of(&response)), (415, "invalid_request".to_owned()));
    }
    let metadata = portal.client.ask(get("/.well-known/oauth-authorization-server")).await.json();
    assert_eq!(metadata["issuer"], portal.url());
    assert_eq!(metadata["device_authorization_endpoint"], format!("{}/oauth/device/code", portal.url()));
    assert_eq!(metadata["grant_types_supported"], serde_json::json!([GRANT]));
}

#[tokio::test]
async fn a_device_that_was_told_to_slow_down_recovers() {
    let portal = Portal::start("").await;
    let member = portal.member("Ada", BuiltInRole::Developer, None);
    let (device_code, user_code) = portal.codes().await;
    assert_eq!(error_of(&portal.poll(&device_code).await), "authorization_pending");
    assert_eq!(error_of(&portal.poll(&device_code).await), "slow_down");
    // The time itself is the condition: five seconds, and five more.
    tokio::time::sleep(Duration::from_millis(10_100)).await;
    assert_eq!(error_of(&portal.poll(&device_code).await), "authorization_pending");
    let cookie = portal.sign_in(&member).await;
    portal.decide(&cookie, &member, &user_code, "approve").await;
    assert_eq!(portal.poll(&device_code).await.status, StatusCode::OK, "at once, whatever the interval");
    assert_eq!(error_of(&portal.poll(&device_code).await), "invalid_grant", "the token comes once");
}

#[tokio::test]
async fn an_expired_or_denied_device_gets_no_token() {
    let portal = Portal::start("").await;
    let member = portal.member("Ada", BuiltInRole::Developer, None);
    let cookie = portal.sign_in(&member).await;
    let (device_code, user_code) = portal.codes().await;
    let denied = portal.decide(&cookie, &member, &user_code, "deny").await;
    assert!(denied.text().contains("Device denied"), "{}", denied.text());
    for _ in 0..2 {
        assert_eq!(error_of(&portal.poll(&device_code).await), "access_denied");
    }
    let (mut store, secret) = portal.gateway.store();
    let long_ago = SystemClock.now().checked_sub(SignedDuration::from_secs(601)).expect("the epoch is past");
    let new = NewDevice { app: "an app".to_owned(), device: "old".to_owned(), address: "::1".to_owned() };
    let limits = DeviceLimits { pending_max: 10, pending_per_address_max: 10 };
    let (clock, rng) = (ManualClock::new(long_ago), &mut rand::rng());
    let Ok(BeginDevice::Begun(old)) = begin_device(&mut store, &clock, rng, &secret, limits, &new) else {
        panic!("there is room")
    };
    assert_eq!(error_of(&portal.poll(&old.device_code).await), "expired_token");
    let late = portal.decide(&cookie, &member, &old.user_code, "approve").await;
    assert_eq!(late.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn codes_cannot_be_guessed_and_devices_not_piled_up() {
    let overlay = "[portal]\ncodes_per_address = \"1/h+6\"\ndevices_pending_per_address_max = 3";
    let portal = Portal::start(overlay).await;
    let member = portal.member("Ada", BuiltInRole::Developer, None);
    let cookie = portal.sign_in(&member).await;
    let (_, user_code) = portal.codes().await;
    let look_up = async |code: &str| {
        portal.send("/auth/device", &cookie, &[("user_code", code), ("action", "continue")]).await.status
    };
    // The sign-in link was the first of six; a good code in between resets nothing.
    for (code, expected) in [
        ("BBBB-BBBB", StatusCode::NOT_FOUND),
        (&*user_code, StatusCode::OK),
        ("BBBB-BBBC", StatusCode::NOT_FOUND),
        (&*user_code, StatusCode::OK),
        ("BBBB-BBBD", StatusCode::NOT_FOUND),
        ("BBBB-BBBF", StatusCode::TOO_MANY_REQUESTS),
        (&*user_code, StatusCode::TOO_MANY_REQUESTS),
    ] {
        assert_eq!(look_up(code).await, expected, "{code}");
    }
    for _ in 0..2 {
        portal.codes().await;
    }
    let full = portal.oauth("/oauth/device/code", &[("client_id", "an app")]).await;
    assert_eq!((full.status.as_u16(), error_of(&full)), (429, "temporarily_unavailable".to_owned()));
    assert!(full.field("retry-after").is_some());
    // Without a session no code is looked up at all.
    let stranger = portal.send("/auth/device", "", &[("user_code", "BBBB-BBBB")]).await;
    assert_eq!(stranger.field("location"), Some("/sign-in?user_code=BBBB-BBBB"));
}

#[tokio::test]
async fn a_link_signs_in_once_and_only_from_its_own_page() {
    let portal = Portal::start("").await;
    let member = portal.member("Ada", BuiltInRole::Viewer, None);
    let path = format!("/sign-in/link/{}", portal.link(&member));
    for _ in 0..2 {
        let page = portal.client.ask(get(&path)).await;
        assert!(
            page.status == StatusCode::OK && page.text().contains("<button>"),
            "scanners of mail open links"
        );
        assert!(page.field("set-cookie").is_none());
    }
    for site in [None, Some("cross-site"), Some("same-site")] {
        let mut request = form(&path, &[]);
        if let Some(site) = site {
            request.headers_mut().insert("sec-fetch-site", site.parse().expect("plain"));
        }
        assert_eq!(portal.client.ask(request).await.status, StatusCode::FORBIDDEN, "{site:?}");
    }
    let entered = portal.send(&path, "", &[]).await;
    assert_eq!(entered.field("location"), Some("/"), "{}", entered.text());
    let field = entered.field("set-cookie").expect("a cookie");
    for part in
        ["__Host-session=", "; Path=/", "; HttpOnly", "; SameSite=Lax", "; Secure", "; Max-Age=604800"]
    {
        assert!(field.contains(part), "{field}");
    }
    let again = portal.send(&path, "", &[]).await;
    assert!(
        again.status == StatusCode::FORBIDDEN && again.text().contains("used already"),
        "{}",
        again.text()
    );
    let session = entered.cookie("__Host-session");
    let home = portal.open("/", &session).await;
    assert!(home.text().contains("This browser"), "{}", home.text());
    let policy = home.field("content-security-policy").expect("a policy");
    assert!(policy.contains("form-action 'self'") && policy.contains("default-src 'none'"), "{policy}");
    assert_eq!(home.field("cache-control"), Some("no-store"));

    // Another sign-in in the same browser gets another id, and the first is of no use any more.
    let path = format!("/sign-in/link/{}", portal.link(&member));
    let entered = portal.send(&path, &session, &[]).await;
    let next = entered.cookie("__Host-session");
    assert!(!secrets_are_equal(next.as_bytes(), session.as_bytes()));
    assert_eq!(portal.open("/", &session).await.field("location"), Some("/sign-in"));
    let out = portal.send("/sign-out", &next, &[]).await;
    assert!(out.field("set-cookie").is_some_and(|field| field.contains("Max-Age=0")), "{out:?}");
    assert_eq!(portal.open("/", &next).await.field("location"), Some("/sign-in"));
    let log = portal.gateway.log();
    for secret in [&path["/sign-in/link/".len()..], &session["__Host-session=".len()..]] {
        assert!(!log.contains(secret), "a secret is in the log");
    }
}

#[tokio::test]
async fn people_see_and_end_their_own_devices_and_sessions_only() {
    let portal = Portal::start("").await;
    let [ada, bob] = ["Ada", "Bob"].map(|name| portal.member(name, BuiltInRole::Developer, None));
    let token = portal.token(&ada).await;
    let [ada_cookie, bob_cookie] = [portal.sign_in(&ada).await, portal.sign_in(&bob).await];
    let home = portal.open("/", &ada_cookie).await.text();
    assert!(home.contains("<strong>an app</strong> on laptop: Ada, staging."), "{home}");
    let id_after = |place: &str| {
        let rest = home.split_once(place).expect("the form is there").1;
        let rest = rest.split_once("name=\"id\" value=\"").expect("it has an id").1;
        rest[..36].to_owned()
    };
    let (device, session) = (id_after("/devices/end"), id_after("/sessions/end"));
    for (path, id) in [("/devices/end", &device), ("/sessions/end", &session)] {
        let refused = portal.send(path, &bob_cookie, &[("id", id)]).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(portal.ping(Protocol::H2, &token).await, StatusCode::OK);
    for (path, id) in [("/devices/end", &device), ("/sessions/end", &session)] {
        let ended = portal.send(path, &ada_cookie, &[("id", id)]).await;
        assert_eq!(ended.field("location"), Some("/"), "{path}: {}", ended.text());
    }
    assert_eq!(portal.ping(Protocol::H2, &token).await, StatusCode::UNAUTHORIZED);
    // Nobody approves for an organization of others.
    let (_, user_code) = portal.codes().await;
    let refused = portal.decide(&bob_cookie, &ada, &user_code, "approve").await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
}

const CALLBACK: &str = "https://portal.example.com/sign-in/corp/callback";

#[tokio::test]
async fn people_sign_in_through_their_provider_and_come_back_to_their_device() {
    let provider = IdentityProvider::node_for(None, CALLBACK).await;
    let overlay = format!(
        "[portal]\npublic_url = \"https://portal.example.com\"\n[identity.providers.corp]\nissuer = \"{}\"\n\
         audience = \"public\"\nclient_id = \"public\"\nalgorithms = [\"EdDSA\"]",
        provider.issuer()
    );
    let portal = Portal::start(&overlay).await;
    let identity = Identity { issuer: provider.issuer().to_owned(), subject: "ada".to_owned() };
    let ada = portal.member("Ada", BuiltInRole::Developer, Some(identity));
    let (device_code, user_code) = portal.codes().await;
    let page = portal.client.ask(get(&format!("/sign-in?user_code={user_code}"))).await.text();
    let link = format!("/sign-in/corp?user_code={user_code}");
    assert!(page.contains(&format!("<a href=\"{link}\">Sign in with corp</a>")), "{page}");

    let begin = async || {
        let begun = portal.client.ask(get(&link)).await;
        assert_eq!(begun.status, StatusCode::FOUND, "{}", begun.text());
        let location = begun.field("location").expect("a place").to_owned();
        (location, begun.cookie("__Host-sign-in"))
    };
    let (location, begun) = begin().await;
    let query = provider.sign_in(&location, "ada").await;
    let stranger = portal.open(&format!("/sign-in/corp/callback?{query}"), "").await;
    assert_eq!(stranger.status, StatusCode::FORBIDDEN, "it was begun in another browser");
    let back = portal.open(&format!("/sign-in/corp/callback?{query}"), &begun).await;
    assert_eq!(back.status, StatusCode::SEE_OTHER, "{}", back.text());
    assert_eq!(back.field("location"), Some(&*format!("/auth/device?user_code={user_code}")));
    let session = back.cookie("__Host-session");
    assert_eq!(back.cookie("__Host-sign-in"), "__Host-sign-in=", "it is used up");
    let shown = portal.send("/auth/device", &session, &[("user_code", &user_code)]).await.text();
    for part in ["<dd>an app</dd>", "<dd>laptop</dd>", "<dd>127.0.0.1</dd>", ">Ada</option>"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    portal.decide(&session, &ada, &user_code, "approve").await;
    assert_eq!(portal.poll(&device_code).await.status, StatusCode::OK);

    // A person without an invitation sees a page that says so.
    let (location, begun) = begin().await;
    let query = provider.sign_in(&location, "mallory").await;
    let refused = portal.open(&format!("/sign-in/corp/callback?{query}"), &begun).await;
    assert!(
        refused.status == StatusCode::FORBIDDEN && refused.text().contains("invitation"),
        "{}",
        refused.text()
    );
    assert_eq!(portal.client.ask(get("/sign-in/none")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_client_of_another_make_runs_the_device_flow() {
    let portal = Portal::start("").await;
    let member = portal.member("Ada", BuiltInRole::Developer, None);
    let session = portal.sign_in(&member).await;
    tests::tool("node/node_modules/openid-client");
    let ca = portal.gateway.ready().ca.display().to_string();
    let mut app = Script::node("device_client.mjs", &[portal.url(), ca]);
    let codes = app.next(BROWSER).await;
    let user_code = codes["user_code"].as_str().unwrap_or_else(|| panic!("{codes}"));
    let page = portal.open(&format!("/auth/device?user_code={user_code}"), &session).await.text();
    assert!(page.contains(&format!("value=\"{user_code}\"")), "{page}");
    portal.decide(&session, &member, user_code, "approve").await;
    let token = app.next(BROWSER).await;
    let text = token["access_token"].as_str().unwrap_or_else(|| panic!("{token}")).to_owned();
    assert!(token["token_type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")), "{token}");
    let revoked = app.next(BROWSER).await;
    assert_eq!(revoked["revoked"], true);
    assert_eq!(portal.ping(Protocol::H2, &text).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn login_and_logout_are_a_client_of_the_device_flow() {
    let portal = Portal::start("").await;
    let member = portal.member("Ada", BuiltInRole::Developer, None);
    let session = portal.sign_in(&member).await;
    let config = portal.gateway.settings().folder().join("config");
    let command = |arguments: &[&str]| {
        let mut command = portal.gateway.settings().command(arguments);
        command.env("XDG_CONFIG_HOME", &config).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let (url, ca) = (portal.url(), portal.gateway.ready().ca.display().to_string());
    let login = ["login", "--portal", &url, "--ca-file", &ca, "--device", "my laptop", "--json"];
    let mut child = command(&login).spawn().expect("it starts");
    let mut prompt = lines(child.stderr.take().expect("it is piped"));
    let first = tokio::time::timeout(PATIENCE, prompt.recv()).await.expect("it goes on").expect("a prompt");
    let user_code = first.split_once("user_code=").unwrap_or_else(|| panic!("{first}")).1.to_owned();
    portal.decide(&session, &member, &user_code, "approve").await;
    let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await.expect("no panic");
    let output = output.expect("it ends");
    let printed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((printed["portal"].as_str(), printed["device"].as_str()), (Some(&*url), Some("my laptop")));
    let file = config.join("partner-gateway/credentials.json");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&file).expect("it is there").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    let kept: Value = serde_json::from_slice(&std::fs::read(&file).expect("it is there")).expect("JSON");
    let token = kept["portals"][&url]["token"].as_str().expect("a token").to_owned();
    assert!(!String::from_utf8_lossy(&output.stdout).contains(&token));
    assert_eq!(portal.ping(Protocol::H3, &token).await, StatusCode::OK);

    let run = async |arguments: &[&str]| {
        let mut command = command(arguments);
        tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("it runs")
    };
    let out = run(&["logout", "--json"]).await;
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert!(!file.exists());
    assert_eq!(portal.ping(Protocol::H3, &token).await, StatusCode::UNAUTHORIZED);
    let nowhere = run(&["logout"]).await;
    assert_eq!(nowhere.status.code(), Some(2), "{}", String::from_utf8_lossy(&nowhere.stderr));
    // The name must be the portal's own, so that no page in between is believed.
    let by_address = url.replace("localhost", "127.0.0.1");
    let other = run(&["login", "--portal", &by_address, "--ca-file", &ca]).await;
    let complaint = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(!other.status.success() && complaint.contains(&format!("names itself {url}")), "{complaint}");
}

#[tokio::test]
async fn chromium_without_scripts_approves_a_device() {
    let portal = Portal::start("").await;
    let member = portal.member("Ada", BuiltInRole::Developer, None);
    for (action, title) in [("Approve", "Device approved"), ("Deny", "Device denied")] {
        let (device_code, user_code) = portal.codes().await;
        let url = portal.url();
        let link = format!("{url}/sign-in/link/{}", portal.link(&member));
        let page = format!("{url}/auth/device?user_code={user_code}");
        let arguments = [format!("{url}/"), link, page, action.to_owned()];
        let seen = client_script("node".into(), "device_page.mjs", &arguments, BROWSER).await;
        let titles = serde_json::json!([
            "Sign in",
            "Your devices and sessions",
            "Approve this device?",
            title,
            "Your devices and sessions",
            "Signed out",
            "Sign in",
        ]);
        assert_eq!(seen["titles"], titles, "{seen}");
        assert_eq!(seen["faults"], serde_json::json!([]), "{seen}");
        assert_eq!(seen["cookies"], serde_json::json!([]), "{seen}");
        assert!(
            seen["shown"].as_str().is_some_and(|text| text.contains("an app") && text.contains("127.0.0.1"))
        );
        let response = portal.poll(&device_code).await;
        let expected = if action == "Approve" { StatusCode::OK } else { StatusCode::BAD_REQUEST };
        assert_eq!(response.status, expected, "{}", response.text());
    }
}

#[tokio::test]
async fn the_portal_is_served_alike_over_every_protocol_and_for_its_own_hosts_only() {
    let portal = Portal::start("").await;
    for protocol in SECURE {
        let client = Client::of_portal(&portal.gateway, protocol).await;
        let codes = client.ask(form("/oauth/device/code", &[("client_id", "an app")])).await;
        assert_eq!(codes.json()["interval"], 5, "{protocol:?}");
        let uri = codes.json()["verification_uri"].clone();
        assert_eq!(uri, format!("{}/auth/device", portal.url()), "{protocol:?}");
        for (path, status) in [("/sign-in", 200), ("/style.css", 200), ("/none", 404), ("/sign-out", 405)] {
            assert_eq!(client.ask(get(path)).await.status.as_u16(), status, "{protocol:?} {path}");
        }
        let mut elsewhere = get("/sign-in");
        elsewhere.headers_mut().insert(header::HOST, "rebound.example.com".parse().expect("plain"));
        assert_eq!(client.ask(elsewhere).await.status, StatusCode::MISDIRECTED_REQUEST, "{protocol:?}");
    }
}
