//! What the portal does around its forms: people hear of what they filed, an invitation to an address is for its verified
//! holder alone, and each entry of the audit log names the request that caused it.

use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use permissions::{ApiAccessPermission, Environment};
use serde_json::{Value, json};
use tests::{Client, Family, IdentityProvider, Protocol, Response, SmtpSink, TestGateway, get, own_form};

const CALLBACK: &str = "https://portal.example.com/sign-in/corp/callback";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

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

    async fn ask(&self, mut request: http::Request<bytes::Bytes>, fields: &[(&str, &str)]) -> Response {
        for (name, value) in fields {
            let name = HeaderName::try_from(*name).expect("the test's name is one");
            request.headers_mut().insert(name, HeaderValue::try_from(*value).expect("plain"));
        }
        self.client.ask(request).await
    }

    /// A form of one of its pages, with further fields.
    async fn send(&self, path: &str, pairs: &[(&str, &str)], fields: &[(&str, &str)]) -> Response {
        self.ask(own_form(path, pairs), fields).await
    }

    /// Asks for access as somebody of this address; returns the page.
    async fn file(&self, email: &str) -> Response {
        let pairs = [
            ("organization", "Blue Ocean"),
            ("contact", "<b>Grace</b>"),
            ("email", email),
            ("use_case", "Read https://elsewhere.example now!"),
            ("staging", "ping:read"),
        ];
        let filed = self.send("/access", &pairs, &[]).await;
        assert_eq!(filed.status, StatusCode::OK, "{}", filed.text());
        filed
    }

    async fn json(&self, command: &[&str]) -> Value {
        self.gateway.json(command).await
    }

    /// Invites somebody; returns the path of the link.
    async fn invite(&self, organization: &str, more: &[&str]) -> String {
        let mut command = vec!["org", "invite", organization, "--json", "--role", "developer"];
        command.extend(more);
        let invited = self.json(&command).await;
        let link = invited["link"].as_str().unwrap_or_else(|| panic!("{invited}"));
        link.split_once("/invitation/").map(|(_, code)| format!("/invitation/{code}")).expect("its path")
    }
}

/// The link that the page of a filed request shows.
fn link_of(page: &str) -> String {
    let rest = page.split_once("id=\"link\" value=\"").unwrap_or_else(|| panic!("no link in {page}")).1;
    rest.split('"').next().expect("it ends").to_owned()
}

#[tokio::test]
async fn who_files_hears_of_it_and_nobody_is_flooded() {
    let mut sink = SmtpSink::plain().await;
    let (portal, silent) = (Portal::start(&sink.overlay()).await, Portal::start("").await);
    let [with_mail, without] =
        [portal.file("grace@blue.example").await.text(), silent.file("grace@blue.example").await.text()];
    let link = link_of(&with_mail);
    let address = |portal: &Portal| portal.gateway.listener("portal", Family::V4).address.port().to_string();
    let alike = |page: &str, portal: &Portal| {
        let code = link_of(page).rsplit('/').next().expect("a code").to_owned();
        page.replace(&code, "CODE").replace(&address(portal), "PORT")
    };
    assert_eq!(alike(&with_mail, &portal), alike(&without, &silent), "the page says nothing of mail");
    let mail = sink.next().await;
    assert_eq!(mail["to"], json!(["grace@blue.example"]), "{mail}");
    let text = mail["text"].as_str().expect("a text");
    assert!(text.contains(&link), "{link} is not in {text}");
    let path = &link[link.find("/access/").expect("its path")..];
    let opened = portal.client.ask(get(path)).await;
    assert!(opened.text().contains("Waiting for the operator."), "{}", opened.text());
    for typed in ["Blue Ocean", "Grace", "elsewhere"] {
        assert!(!text.contains(typed), "a stranger's words go to nobody else: {text}");
    }

    // The same mailbox, however it is written, gets two more; the last one is dropped, as the next mail shows.
    for number in 0..4 {
        let page = portal.file(&format!("Grace+{number}@blue.example")).await.text();
        assert!(page.contains("Keep this link"), "it is filed all the same: {page}");
    }
    portal.file("bo@blue.example").await;
    for expected in ["Grace+0@blue.example", "Grace+1@blue.example", "bo@blue.example"] {
        assert_eq!(sink.next().await["to"], json!([expected]));
    }
    // A decision is still heard.
    let listed = portal.json(&["request", "list", "--json"]).await;
    let id = listed["requests"][0]["id"].as_str().expect("an id");
    let asked = portal.json(&["request", "ask", id, "--text", "How often?", "--json"]).await;
    assert_eq!(asked["mail"], "sent", "{asked}");
    assert_eq!(sink.next().await["to"], json!(["grace@blue.example"]));

    let log = portal.gateway.log();
    assert!(log.contains("too many were sent to its recipient"), "{log}");
    assert!(!log.contains("blue.example") && !log.contains(path), "neither addresses nor links are logged");
}

#[tokio::test]
async fn a_member_who_asks_for_permissions_hears_of_it_and_a_key_has_no_mailbox() {
    let mut sink = SmtpSink::plain().await;
    let portal = Portal::start(&sink.overlay()).await;
    let mut people = portal.gateway.people();
    let acme = people.organization("acme", ApiAccessPermission::PING_READ);
    let owner = people.token(acme.owner, Environment::Staging);
    let key = people.key(acme.id, Environment::Staging, ApiAccessPermission::REQUESTS_WRITE);
    people.applied().await;
    let wanted = json!({ "useCase": "We lack it.", "staging": ["connection:read"] });
    let mut ids = Vec::new();
    for caller in [&key, &owner] {
        let request = caller.send(&Method::POST, "/2026-11-15/access-requests.json", &wanted);
        let filed = Client::over(&portal.gateway, Protocol::H2).await.ask(request).await;
        assert_eq!(filed.status, StatusCode::CREATED, "{filed:?}");
        ids.push(filed.json()["id"].as_str().expect("an id").to_owned());
    }
    let mail = sink.next().await;
    assert_eq!(mail["to"], json!(["person1@example.com"]), "{mail}");
    let text = mail["text"].as_str().expect("a text");
    let path = format!("/2026-11-15/access-requests/{}.json", ids[1]);
    assert!(text.contains(&path), "{path} is not in {text}");
    let shown = Client::over(&portal.gateway, Protocol::H2).await.ask(owner.get(&path)).await;
    assert_eq!(shown.json()["request"]["state"], "open", "{shown:?}");
    assert!(sink.is_quiet());
}

#[tokio::test]
async fn an_invitation_to_an_address_is_for_its_verified_holder_alone() {
    let provider = IdentityProvider::node_for(None, CALLBACK).await;
    let overlay = format!(
        "[portal]\npublic_url = \"https://portal.example.com\"\n[identity.providers.corp]\nissuer = \"{}\"\n\
         audience = \"public\"\nclient_id = \"public\"\nalgorithms = [\"EdDSA\"]\nemail_domains = [\"example.com\"]",
        provider.issuer()
    );
    let portal = Portal::start(&overlay).await;
    let organization = portal.json(&["org", "create", "Blue Ocean", "--json"]).await;
    assert_eq!(organization["name"], "Blue Ocean", "{organization}");
    let members = async || {
        let listed = portal.json(&["org", "members", "Blue Ocean", "--json"]).await;
        let listed = listed["members"].as_array().expect("a list").clone();
        listed.into_iter().map(|member| (member["name"].clone(), member["email"].clone())).collect::<Vec<_>>()
    };
    // Goes from the button on the invitation to the provider and back.
    let accept = async |path: &str, person: &str| {
        let accepted = portal.send(path, &[], &[]).await;
        assert_eq!(accepted.field("location"), Some("/sign-in"), "{}", accepted.text());
        let waiting = accepted.cookie("__Host-invitation");
        let begun = portal.client.ask(get("/sign-in/corp")).await;
        let location = begun.field("location").unwrap_or_else(|| panic!("{}", begun.text())).to_owned();
        let cookies = format!("{waiting}; {}", begun.cookie("__Host-sign-in"));
        let query = provider.sign_in(&location, person).await;
        let back = get(&format!("/sign-in/corp/callback?{query}"));
        let back = portal.ask(back, &[("cookie", &cookies)]).await;
        assert_eq!(back.cookie("__Host-invitation"), "__Host-invitation=", "it waits no longer");
        back
    };

    let to_ada = portal.invite("Blue Ocean", &["--email", "ada@example.com"]).await;
    let to_bo = portal.invite("Blue Ocean", &["--email", "bo@other.example"]).await;
    for (path, person, why) in [
        (&to_ada, "unverified.ada", "the provider has not verified the address"),
        (&to_ada, "eve", "it is the address of somebody else"),
        (&to_bo, "bo@other.example", "the provider does not speak for the domain"),
    ] {
        let refused = accept(path, person).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{why}: {}", refused.text());
        assert!(refused.text().contains("For somebody else"), "{why}: {}", refused.text());
        let cookies = refused.headers.get_all(header::SET_COOKIE);
        let is_signed_in =
            |field: &HeaderValue| field.to_str().is_ok_and(|text| text.starts_with("__Host-session"));
        assert!(!cookies.iter().any(is_signed_in), "{why}");
    }
    assert_eq!(members().await, [], "nobody has joined");

    let joined = accept(&to_ada, "ada").await;
    assert_eq!(joined.status, StatusCode::SEE_OTHER, "{}", joined.text());
    let session = joined.cookie("__Host-session");
    let ada = (json!("ada@example.com"), json!("ada@example.com"));
    assert_eq!(members().await, std::slice::from_ref(&ada));
    let again = portal.send(&to_ada, &[], &[("cookie", &session)]).await;
    assert_eq!(again.status, StatusCode::GONE, "{}", again.text());

    // Who is signed in has an address too, and it is not the invited one.
    let refused = portal.send(&to_bo, &[], &[("cookie", &session)]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
    assert!(refused.text().contains("For somebody else"), "{}", refused.text());

    // An invitation without an address is for the holder of the link; an address that nobody vouches for is not linked.
    let to_anyone = portal.invite("Blue Ocean", &[]).await;
    let joined = accept(&to_anyone, "unverified.cy").await;
    assert_eq!(joined.status, StatusCode::SEE_OTHER, "{}", joined.text());
    assert_eq!(members().await, [ada, (json!("unverified.cy"), Value::Null)]);

    // The entry was made by the request that came back from the provider.
    let listed = portal.json(&["audit", "list", "--action", "member.add", "--json"]).await;
    let request_id = listed["entries"][0]["request_id"].as_str().unwrap_or_else(|| panic!("{listed}"));
    let lines = portal.gateway.log_lines();
    let line = lines
        .iter()
        .find(|line| line["fields"]["request_id"] == request_id || line["request_id"] == request_id);
    let line = line.unwrap_or_else(|| panic!("{request_id} is not in the access log")).to_string();
    assert!(line.contains("/sign-in/{provider}/callback"), "{line}");
}

#[tokio::test]
async fn each_entry_of_the_audit_log_names_the_request_of_its_page() {
    let proxied = "[listeners.portal]\ntrusted_proxies = [\"127.0.0.0/8\"]";
    let portal = Portal::start(proxied).await;
    // Each request has an id of the test's own, which a proxy that is trusted may choose.
    let send = async |id: &str, path: &str, cookie: &str, pairs: &[(&str, &str)]| {
        let mut fields = vec![("x-request-id", id)];
        fields.extend((!cookie.is_empty()).then_some(("cookie", cookie)));
        portal.send(path, pairs, &fields).await
    };
    let asked = [
        ("organization", "Blue Ocean"),
        ("contact", "Grace"),
        ("email", "grace@blue.example"),
        ("use_case", "We show it."),
        ("staging", "ping:read"),
    ];
    let link = async |id: &str| {
        let page = send(id, "/access", "", &asked).await.text();
        let link = link_of(&page);
        link[link.find("/access/").expect("its path")..].to_owned()
    };
    let path = link("file-1").await;
    send("add", &path, "", &[("text", "More.")]).await;
    send("withdraw", &format!("{path}/withdraw"), "", &[]).await;
    link("file-2").await;
    let listed = portal.json(&["request", "list", "--json"]).await;
    let id = listed["requests"][0]["id"].as_str().expect("an id");
    let approved = portal.json(&["request", "approve", id, "--json"]).await;
    let claim = approved["claim"]["link"].as_str().expect("a link");
    let claimed = send("claim", &claim[claim.find("/claim/").expect("its path")..], "", &[]).await;
    assert!(claimed.text().contains("pgw_stg_"), "{}", claimed.text());

    let joined = send("join", &portal.invite("Blue Ocean", &[]).await, "", &[("name", "Ada")]).await;
    let session = joined.cookie("__Host-session");
    let device = async |names: [&str; 3], action: &str| {
        let client = ("client_id", "an app");
        let codes = send(names[0], "/oauth/device/code", "", &[client]).await.json();
        let code = |name: &str| codes[name].as_str().expect("it is text").to_owned();
        let user_code = code("user_code");
        let pairs = [("user_code", &*user_code), ("action", "continue")];
        let page = send("shown", "/auth/device", &session, &pairs).await.text();
        let membership = page.split_once("<option value=\"").expect("a place").1[..36].to_owned();
        let pairs = [
            ("user_code", &*user_code),
            ("action", action),
            ("membership", &membership),
            ("environment", "staging"),
        ];
        send(names[1], "/auth/device", &session, &pairs).await;
        let device_code = code("device_code");
        let pairs = [("grant_type", GRANT), ("device_code", &*device_code), client];
        send(names[2], "/oauth/token", "", &pairs).await.json()["access_token"].as_str().map(str::to_owned)
    };
    assert_eq!(device(["codes", "deny", "poll"], "deny").await, None);
    let token = device(["codes", "approve-1", "token-1"], "approve").await.expect("a token");
    send("revoke", "/oauth/revoke", "", &[("token", &token)]).await;
    device(["codes", "approve-2", "token-2"], "approve").await.expect("a token");
    let home = portal.ask(get("/"), &[("cookie", &session)]).await.text();
    let device = home.split_once("/devices/end").expect("a device").1;
    let device = &device.split_once("name=\"id\" value=\"").expect("its id").1[..36];
    send("end-device", "/devices/end", &session, &[("id", device)]).await;
    send("sign-out", "/sign-out", &session, &[]).await;

    let listed = portal.json(&["audit", "list", "--count", "100", "--json"]).await;
    let entries = listed["entries"].as_array().expect("a list");
    let of = |id: &str| {
        let entries = entries.iter().rev().filter(|entry| entry["request_id"] == id);
        let actions = entries.map(|entry| {
            assert_eq!(entry["address"], "127.0.0.1", "{entry}");
            entry["action"].as_str().expect("an action")
        });
        actions.collect::<Vec<_>>()
    };
    for (id, actions) in [
        ("file-1", &["request.file"][..]),
        ("add", &["request.add"]),
        ("withdraw", &["request.withdraw"]),
        ("file-2", &["request.file"]),
        ("claim", &["key.create", "request.claim"]),
        ("join", &["member.add", "session.create"]),
        ("deny", &["device.deny"]),
        ("approve-1", &["device.approve"]),
        ("token-1", &["token.issue"]),
        ("revoke", &["token.revoke"]),
        ("end-device", &["token.revoke"]),
        ("sign-out", &["session.end"]),
    ] {
        assert_eq!(of(id), actions, "{id}: {listed}");
    }
    // What is left was done at the command line, or at the first launch.
    let others = entries.iter().filter(|entry| entry["request_id"].is_null());
    for entry in others {
        let actor = entry["actor"].as_str().expect("an actor");
        assert!(["operator", "gateway"].contains(&actor), "{entry}");
    }
}
