//! The local profile: its token, its settings page, and the commands that change a running server.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::{Value, json};
use tests::{Answer, Family, PATIENCE, Protocol, Raw, Start, TestGateway, client_script, eventually, tool};
use tokio::net::TcpStream;

use crate::contract::PING;

const OVERLAY: &str =
    "[listeners.http]\naddresses = [\"127.0.0.1:0\"]\n[listeners.settings]\naddresses = [\"127.0.0.1:0\"]\n";
const UNAUTHORIZED: &str = r#"{"error":"missing or invalid bearer token"}"#;
/// From a change until a connection that is not in use is closed.
const GOODBYE: Duration = Duration::from_secs(4);

fn start() -> Start {
    Start::with(OVERLAY).profile("local")
}

fn token(start: &Start) -> String {
    std::fs::read_to_string(start.data().join("local.token")).expect("the token is there").trim().to_owned()
}

/// A call of the API on this connection.
async fn call_on(raw: &mut Raw, token: &str) -> Answer {
    let request = format!("GET {PING} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n");
    assert!(raw.write(request.as_bytes()).await, "the connection takes a request");
    raw.answer(PATIENCE).await
}

async fn call(address: SocketAddr, token: &str) -> Answer {
    call_on(&mut Raw::connect(address).await, token).await
}

async fn refuses_connections(address: SocketAddr) -> bool {
    eventually(PATIENCE, async || TcpStream::connect(address).await.is_err().then_some(())).await.is_some()
}

fn printed_command(printed: &str) -> String {
    printed.lines().find(|line| line.contains("| curl ")).expect("a command is suggested").to_owned()
}

/// A port that nothing has.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    listener.local_addr().expect("it is bound").port()
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// The settings page, as a browser has it open.
struct Panel {
    address: SocketAddr,
    base: String,
    cookie: String,
    proof: String,
}

impl Panel {
    async fn open(gateway: &TestGateway) -> Self {
        let printed: Value = gateway.json(&["local", "panel", "--json"]).await;
        let url = printed["url"].as_str().expect("it is text");
        let address = gateway.listener("settings", Family::V4).address;
        let base = url.strip_prefix(&format!("http://{address}")).expect("it is there").to_owned();
        let mut panel = Self { address, base, cookie: String::new(), proof: String::new() };
        let page = panel.get(&panel.base).await;
        assert_eq!(page.status, 200, "{}", page.text());
        let cookie = page.field("set-cookie").expect("it sets a cookie");
        panel.cookie = cookie.split(';').next().expect("it has a value").to_owned();
        let text = page.text();
        let (_, rest) = text.split_once("name=\"proof\" value=\"").expect("a form has the value");
        panel.proof = rest.split('"').next().expect("it ends").to_owned();
        panel
    }

    async fn send(&self, request: String) -> Answer {
        let mut raw = Raw::connect(self.address).await;
        raw.write(request.as_bytes()).await;
        raw.answer(PATIENCE).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address)).await
    }

    /// A form with these fields about where it comes from.
    async fn post_with(&self, action: &str, fields: &str, form: &str) -> Answer {
        let Self { address, base, .. } = self;
        self.send(format!(
            "POST {base}{action} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\nConnection: close\r\n{fields}\r\n{form}",
            form.len()
        ))
        .await
    }

    /// A form of the page itself.
    async fn post(&self, action: &str, more: &str) -> Answer {
        let fields = format!("Sec-Fetch-Site: same-origin\r\nCookie: {}\r\n", self.cookie);
        self.post_with(action, &fields, &format!("proof={}{more}", self.proof)).await
    }
}

#[tokio::test]
async fn the_first_launch_makes_one_private_token_that_every_endpoint_accepts() {
    let gateway = start().launch().await;
    let file = gateway.settings().data().join("local.token");
    let private = |path: &std::path::Path| {
        std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777 == 0o600
    };
    assert!(private(&file) && private(&gateway.settings().data().join("local.panel")));
    let first = token(gateway.settings());
    let printed = gateway.stdout();
    assert!(printed.contains(&file.display().to_string()), "{printed}");
    for text in [printed, gateway.log()] {
        assert!(!text.contains(&first), "the token is printed:\n{text}");
    }
    // What the start suggests works.
    let suggested = printed_command(&gateway.stdout());
    let shell = std::process::Command::new("sh").args(["-c", &suggested]).output();
    let said = String::from_utf8_lossy(&shell.expect("there is a shell").stdout).into_owned();
    assert!(said.contains("\"status\":\"success\""), "{suggested}\n{said}");
    let output = gateway.cli(&["local", "token"]).await;
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), first);

    let address = gateway.address(Protocol::H1);
    let answer = call(address, &first).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("\"env\":\"staging\""), "{}", answer.text());
    for wrong in ["", "nonsense", "pgw_stg_nonsense"] {
        let answer = call(address, wrong).await;
        assert_eq!((answer.status, &*answer.text()), (401, UNAUTHORIZED), "{wrong:?}");
    }
    let mut raw = Raw::connect(address).await;
    raw.write(format!("GET {PING} HTTP/1.1\r\nHost: attacker.example\r\n\r\n").as_bytes()).await;
    assert_eq!(raw.answer(PATIENCE).await.status, 421, "DNS rebinding");

    let again = gateway.stop().await.launch().await;
    assert_eq!(token(again.settings()), first, "the token is made once");
    assert_eq!(call(again.address(Protocol::H1), &first).await.status, 200);
}

#[tokio::test]
async fn a_rotation_ends_the_old_token_and_its_connections() {
    let gateway = start().launch().await;
    let address = gateway.address(Protocol::H1);
    let old = token(gateway.settings());
    let mut open = Raw::connect(address).await;
    assert_eq!(call_on(&mut open, &old).await.status, 200);
    let report: Value = gateway.json(&["local", "rotate", "--json"]).await;
    assert_eq!(report["applied"]["nodes"][0]["applied"], true, "{report}");
    assert_eq!(report["applied"]["nodes"][0]["connections_closed"], 1, "{report}");
    assert!(open.read_for(GOODBYE).await, "the open connection is closed");
    let new = token(gateway.settings());
    assert_ne!(new, old);
    assert!(!report.to_string().contains(&new), "the command prints no token: {report}");
    assert_eq!((call(address, &old).await.status, call(address, &new).await.status), (401, 200));

    // The settings page does the same.
    let panel = Panel::open(&gateway).await;
    let mut open = Raw::connect(address).await;
    assert_eq!(call_on(&mut open, &new).await.status, 200);
    let answer = panel.post("rotate", "").await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert!(open.read_for(GOODBYE).await, "the open connection is closed");
    let newest = token(gateway.settings());
    assert_eq!((call(address, &new).await.status, call(address, &newest).await.status), (401, 200));
    assert!(panel.get(&panel.base).await.text().contains(&newest), "the page shows the new token");
}

#[tokio::test]
async fn the_port_changes_while_connections_are_open_and_stays_changed() {
    let gateway = start().launch().await;
    let (first, secret) = (gateway.address(Protocol::H1), token(gateway.settings()));
    let mut open = Raw::connect(first).await;
    assert_eq!(call_on(&mut open, &secret).await.status, 200);

    // A port that another program has changes nothing.
    let other = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let taken = other.local_addr().expect("it is bound").port();
    let output = gateway.cli(&["local", "port", &taken.to_string()]).await;
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(69), "{complaint}");
    assert!(
        complaint.contains(&format!("port {taken} cannot be used: another program has it")),
        "{complaint}"
    );
    assert_eq!(call_on(&mut open, &secret).await.status, 200, "the open connection is still served");

    let second = local(free_port());
    let changed: Value = gateway.json(&["local", "port", &second.port().to_string(), "--json"]).await;
    assert_eq!(changed, json!({ "on": true, "port": second.port(), "applied": true }));
    assert_eq!(call(second, &secret).await.status, 200);
    assert!(open.read_for(GOODBYE).await, "the old connection is ended");
    assert!(refuses_connections(first).await, "the old port is closed");

    // The settings page: a taken port, nonsense, and a free one.
    let panel = Panel::open(&gateway).await;
    let answer = panel.post("port", &format!("&port={taken}")).await;
    assert_eq!(answer.status, 409, "{}", answer.text());
    assert!(answer.text().contains("another program has it"), "{}", answer.text());
    for nonsense in ["", "&port=0", "&port=65536", "&port=a", "&port=1&port=2"] {
        assert_eq!(panel.post("port", nonsense).await.status, 422, "{nonsense}");
    }
    assert_eq!(call(second, &secret).await.status, 200);
    let third = local(free_port());
    assert_eq!(panel.post("port", &format!("&port={}", third.port())).await.status, 303);
    assert_eq!(call(third, &secret).await.status, 200);
    assert!(refuses_connections(second).await);
    let page = panel.get(&format!("{}?done=port", panel.base)).await.text();
    assert!(page.contains(&format!("curl -sS -H @- http://{third}/")), "{page}");

    let gateway = gateway.stop().await.launch().await;
    assert_eq!(gateway.address(Protocol::H1), third, "a restart keeps the port");
    assert_eq!(call(third, &secret).await.status, 200);
}

#[tokio::test]
async fn the_documentation_says_the_new_port() {
    let gateway = start().launch().await;
    let port = free_port();
    let _: Value = gateway.json(&["local", "port", &port.to_string(), "--json"]).await;
    let mut raw = Raw::connect(gateway.listener("docs", Family::V4).address).await;
    raw.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let page = raw.answer(PATIENCE).await.text();
    assert!(page.contains(&format!("http://127.0.0.1:{port}/")), "{page}");
    assert!(!page.contains(&gateway.address(Protocol::H1).to_string()), "{page}");
}

#[tokio::test]
async fn the_api_is_switched_off_and_on_and_a_restart_keeps_that() {
    let gateway = start().launch().await;
    let (address, secret) = (gateway.address(Protocol::H1), token(gateway.settings()));
    let mut open = Raw::connect(address).await;
    assert_eq!(call_on(&mut open, &secret).await.status, 200);
    let changed: Value = gateway.json(&["local", "off", "--json"]).await;
    assert_eq!(changed, json!({ "on": false, "port": null, "applied": true }));
    assert!(open.read_for(GOODBYE).await, "the open connection is ended");
    assert!(refuses_connections(address).await, "the port is closed");

    let panel = Panel::open(&gateway).await;
    assert!(panel.get(&panel.base).await.text().contains("The API is off"));
    assert_eq!(panel.post("on", "").await.status, 303);
    assert_eq!(call(address, &secret).await.status, 200, "it is the same port");
    assert_eq!(panel.post("off", "").await.status, 303);
    assert!(refuses_connections(address).await);

    let gateway = gateway.stop().await.launch().await;
    assert!(
        gateway.stdout().contains("The API is switched off")
            && !gateway.ready().listeners.iter().any(|listener| listener.name == "http"),
        "a restart keeps it off"
    );
    let port = free_port().to_string();
    let _: Value = gateway.json(&["local", "port", &port, "--json"]).await;
    assert!(TcpStream::connect(local(port.parse().unwrap())).await.is_err(), "it is still off");
    let _: Value = gateway.json(&["local", "on", "--json"]).await;
    assert_eq!(call(local(port.parse().unwrap()), &secret).await.status, 200);
}

#[tokio::test]
async fn commands_change_a_server_that_is_not_running() {
    let start = start().launch().await.stop().await;
    let port = free_port();
    let output = start.run(&["local", "port", &port.to_string()]).await;
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("at the next start"), "{printed}");
    let old = token(&start);
    assert!(start.run(&["local", "rotate"]).await.status.success());
    assert_eq!(start.run(&["local", "panel"]).await.status.code(), Some(69));
    let gateway = start.launch().await;
    assert_eq!(gateway.address(Protocol::H1), local(port));
    assert_eq!(call(local(port), &old).await.status, 401);
    assert_eq!(call(local(port), &token(gateway.settings())).await.status, 200);

    // Without the profile there is nothing to change.
    let other = Start::with("").launch().await;
    for arguments in [&["local", "on"][..], &["local", "token"], &["local", "rotate"], &["local", "panel"]] {
        let output = other.cli(arguments).await;
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && complaint.contains("--profile local"),
            "{arguments:?} {complaint}"
        );
    }
}

#[tokio::test]
async fn only_the_settings_page_itself_changes_settings() {
    let gateway = start().launch().await;
    let panel = Panel::open(&gateway).await;
    let before = token(gateway.settings());
    let cookie = format!("Cookie: {}\r\n", panel.cookie);
    let form = format!("proof={}", panel.proof);
    let own = format!("Origin: http://{}\r\n", panel.address);
    let same = "Sec-Fetch-Site: same-origin\r\n";
    for (fields, form, why) in [
        (cookie.clone(), &form, "no field says where it comes from"),
        (format!("{cookie}Sec-Fetch-Site: cross-site\r\n"), &form, "another site"),
        (format!("{cookie}Sec-Fetch-Site: same-site\r\n"), &form, "another port of this machine"),
        (format!("{cookie}Sec-Fetch-Site: cross-site\r\n{own}"), &form, "another site, whatever `Origin` is"),
        (format!("{cookie}Origin: null\r\n"), &form, "a sandboxed page"),
        (format!("{cookie}Origin: http://attacker.example\r\n"), &form, "another origin"),
        (format!("{cookie}Origin: http://127.0.0.1:1\r\n"), &form, "another port"),
        (same.to_owned(), &form, "no cookie"),
        (format!("{same}Cookie: partner-gateway-settings=0\r\n"), &form, "another cookie"),
        (format!("{same}{cookie}"), &String::new(), "no proof"),
        (format!("{same}{cookie}"), &"proof=0".to_owned(), "another proof"),
    ] {
        let answer = panel.post_with("rotate", &fields, form).await;
        assert_eq!(answer.status, 403, "{why}: {}", answer.text());
        assert!(!answer.text().contains(&before) && !answer.text().contains(&panel.base), "{why}");
    }
    for (fields, form, status, why) in [
        (format!("{same}{cookie}"), format!("{form}&other=1"), 400, "an unknown field"),
        (format!("{same}{cookie}"), format!("{form}&x={}", "x".repeat(64 * 1024)), 413, "too large"),
    ] {
        assert_eq!(panel.post_with("rotate", &fields, &form).await.status, status, "{why}");
    }
    assert_eq!(token(gateway.settings()), before, "nothing was changed");
    // A cookie of a stranger beside the page's own does no harm, and an older browser sends `Origin` only.
    let fields = format!("{own}Cookie: partner-gateway-settings=0; {}\r\n", panel.cookie);
    assert_eq!(panel.post_with("rotate", &fields, &form).await.status, 303);
    assert_ne!(token(gateway.settings()), before);
}

#[tokio::test]
async fn a_form_that_does_not_arrive_is_not_waited_for() {
    let overlay = format!("{OVERLAY}[timeouts]\nbody = \"100ms\"\n");
    let gateway = Start::with(&overlay).profile("local").launch().await;
    let panel = Panel::open(&gateway).await;
    let request = format!(
        "POST {}rotate HTTP/1.1\r\nHost: {}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
         Content-Length: 100\r\nSec-Fetch-Site: same-origin\r\nCookie: {}\r\n\r\nproof=",
        panel.base, panel.address, panel.cookie
    );
    assert_eq!(panel.send(request).await.status, 408);
    for kind in ["application/json", "text/plain", "multipart/form-data; boundary=x"] {
        let request = format!(
            "POST {}rotate HTTP/1.1\r\nHost: {}\r\nContent-Type: {kind}\r\nContent-Length: 2\r\n\r\n{{}}",
            panel.base, panel.address
        );
        assert_eq!(panel.send(request).await.status, 415, "{kind}");
    }
}

#[tokio::test]
async fn strangers_do_not_find_the_settings_page() {
    let gateway = start().launch().await;
    let panel = Panel::open(&gateway).await;
    let secret = panel.base.trim_matches('/');
    assert_eq!(secret.len(), 32, "128 bits: {secret}");
    let wrong = format!("/{}/", "0".repeat(32));
    for path in ["/", "/index.html", &wrong, &panel.base[..32], &panel.base[1..], &format!("{}x", panel.base)]
    {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/x{path}") };
        let answer = panel.get(&path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.field("set-cookie").is_none() && !answer.text().contains(secret), "{path}");
    }
    for host in ["attacker.example", "127.0.0.1.attacker.example", "192.0.2.1"] {
        let request = format!("GET {} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n", panel.base);
        assert_eq!(panel.send(request).await.status, 421, "{host}");
    }
    let page = panel.get(&panel.base).await;
    let cookie = page.field("set-cookie").expect("it sets a cookie");
    assert!(cookie.contains(&format!("Path={};", panel.base)), "other ports never get it: {cookie}");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let policy = page.field("content-security-policy").expect("it has a policy");
    for part in ["default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert_eq!(page.field("cache-control"), Some("no-store"));
    for text in [gateway.stdout(), gateway.log()] {
        assert!(!text.contains(secret), "the path is printed:\n{text}");
    }
    let first = secret.to_owned();
    let gateway = gateway.stop().await.launch().await;
    assert_ne!(Panel::open(&gateway).await.base.trim_matches('/'), first, "each start has its own path");
}

#[tokio::test]
async fn the_settings_page_works_in_a_browser_without_javascript() {
    let _turn = tests::heavy().await;
    tool("node/node_modules/axe-core");
    let gateway = start().launch().await;
    let printed: Value = gateway.json(&["local", "panel", "--json"]).await;
    let url = printed["url"].as_str().expect("it is text").to_owned();
    let (before, port) = (token(gateway.settings()), free_port());
    let arguments = [url, port.to_string()];
    let seen = client_script("node".into(), "settings.mjs", &arguments, Duration::from_secs(120)).await;
    assert_eq!(seen["faults"], json!([]), "{seen:#}");
    assert_eq!(seen["tokenBefore"], before, "{seen:#}");
    assert_eq!(seen["tokenAfter"], token(gateway.settings()), "{seen:#}");
    assert_ne!(seen["tokenAfter"], before.as_str(), "{seen:#}");
    assert_eq!(seen["port"], port.to_string(), "{seen:#}");
    assert_eq!(seen["off"], "Switch on", "{seen:#}");
    assert_eq!(seen["on"], "Switch off", "{seen:#}");
    // A page of another port, with a form that posts to the settings page, and its cookies.
    assert_eq!(seen["hostile"], json!({ "cookies": [], "status": 403 }), "{seen:#}");
    assert_eq!(call(local(port), seen["tokenAfter"].as_str().unwrap_or_default()).await.status, 200);
}
