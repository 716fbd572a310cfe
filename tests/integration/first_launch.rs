//! The first launch and the second, and that no secret is ever anywhere but where it was shown once.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use permissions::{Brand, Environment, KeySecret};
use tests::{Client, Content, KeySpec, Protocol, Start, TestGateway, WAYS, get, never_issued, with_method};

use crate::contract::{CONNECTION, PING, assert_ping_body};

/// Every key in a text, with the environment that its form claims.
fn keys_in(text: &str) -> Vec<(Environment, String)> {
    let brand = Brand::try_from("pgw".to_owned()).expect("it is the default brand");
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let keys =
        words.filter_map(|word| Some((KeySecret::check(&brand, word.as_bytes()).ok()?, word.to_owned())));
    keys.collect()
}

#[tokio::test]
async fn the_first_launch_prints_all_that_is_needed_once() {
    let gateway = TestGateway::start("").await;
    let printed = gateway.stdout();
    let mut keys = keys_in(&printed);
    keys.sort_by(|one, other| one.0.name().cmp(other.0.name()));
    keys.dedup();
    let [(Environment::Production, production), (Environment::Staging, staging)] = &keys[..] else {
        panic!("one key of each environment is printed:\n{printed}");
    };
    for listener in &gateway.ready().listeners {
        let port = listener.address.port().to_string();
        assert!(printed.contains(&port), "{listener:?} is not printed:\n{printed}");
    }
    let ca = gateway.ready().ca.display().to_string();
    assert!(printed.contains(&ca), "the CA's file is not printed:\n{printed}");
    assert!(keys_in(&gateway.log()).is_empty(), "a key is in the log");
    for (key, environment) in [(production, "production"), (staging, "staging")] {
        for way in WAYS {
            let client =
                Client::connect(&gateway, way).await.unwrap_or_else(|error| panic!("{way}: {error:#}"));
            for path in [PING, CONNECTION] {
                let mut request = get(path);
                request.headers_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
                let answer = client.ask(request).await;
                assert_eq!(answer.status, 200, "{environment} {path} {way}: both hold both permissions");
            }
        }
    }
}

#[tokio::test]
async fn the_printed_curl_line_works_when_it_is_pasted() {
    let gateway = TestGateway::start("").await;
    let printed = gateway.stdout();
    let line =
        printed.lines().find(|line| line.trim_start().starts_with("curl ")).expect("a curl line is printed");
    // Some machines set a CA for curl; the line has to bring its own.
    let output = Command::new("sh")
        .args(["-euc", line.trim()])
        .env("CURL_CA_BUNDLE", "/nonexistent")
        .env_remove("SSL_CERT_FILE")
        .output()
        .expect("sh can be started");
    let body = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}\n{complaint}");
    let json = body.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{line}: {body}"));
    let json: serde_json::Value =
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {body}"));
    assert!(json["status"] == "success" || json["endpoint"]["apiVersion"] == "2026-02-01", "{line}: {json}");
}

#[tokio::test]
async fn a_second_launch_prints_no_secret_and_keeps_everything() {
    let gateway = TestGateway::start("").await;
    let (environment, first) = keys_in(&gateway.stdout()).remove(0);
    let made = gateway.create_key(KeySpec::staging()).await;
    let ca = std::fs::read(&gateway.ready().ca).expect("the CA's file is readable");
    let again = gateway.stop().await.launch().await;
    let printed = again.stdout();
    assert!(
        keys_in(&printed).is_empty() && !printed.contains("pgw_"),
        "a second launch shows keys:\n{printed}"
    );
    assert!(keys_in(&again.log()).is_empty(), "a key is in the log");
    assert_eq!(std::fs::read(&again.ready().ca).expect("the CA's file is readable"), ca, "the CA is kept");
    let client = Client::over(&again, Protocol::H3).await;
    let mut request = get(PING);
    request.headers_mut().insert("authorization", format!("Bearer {first}").parse().unwrap());
    assert_ping_body(&client.ask(request).await.text(), environment.name(), "a key of the first launch");
    assert_eq!(client.ask(made.get(PING)).await.status, 200, "a key that was made");
}

/// Calls `visit` with every file and folder at and below `path`.
fn walk(path: &Path, visit: &mut impl FnMut(&Path, &std::fs::Metadata)) {
    let metadata = std::fs::symlink_metadata(path).expect("the data folder does not change under the test");
    visit(path, &metadata);
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path).expect("a folder can be read") {
            walk(&entry.expect("an entry can be read").path(), visit);
        }
    }
}

#[tokio::test]
async fn the_data_folder_is_its_owners_alone() {
    let gateway = TestGateway::start("").await;
    gateway.create_key(KeySpec::staging()).await;
    let mut files = 0;
    walk(gateway.settings().data(), &mut |path, metadata| {
        let mode = metadata.permissions().mode() & 0o7777;
        let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, expected, "{} has mode {mode:o}", path.display());
        files += usize::from(metadata.is_file());
    });
    assert!(files >= 3, "a store, a secret and certificates are there, not {files} files");
}

#[tokio::test]
async fn a_folder_that_others_can_read_is_made_private_or_refused() {
    let start = Start::with("");
    std::fs::create_dir(start.data()).expect("the folder is the test's own");
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(start.data(), open).expect("the folder is the test's own");
    let data = start.data().to_owned();
    let folder = start.clone();
    match start.try_launch().await {
        Ok(_gateway) => {
            let mode = std::fs::metadata(&data).expect("it is there").permissions().mode() & 0o777;
            assert_eq!(mode, 0o700, "mode {mode:o}");
        }
        Err((status, log)) => {
            assert!(!status.success());
            assert!(log.contains(&data.display().to_string()), "the refusal names the folder: {log}");
        }
    }
    drop(folder);
}

#[tokio::test]
async fn without_a_data_folder_option_the_users_state_folder_is_used() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let start = Start::with("").data_folder(&folder.path().join("partner-gateway"));
    // The same folder by the option and by the environment: a key made through one works with the other.
    let gateway = start.environment("XDG_STATE_HOME", folder.path().to_str().unwrap()).launch().await;
    let mut command = Command::new(tests::gateway_binary());
    command.env_clear().env("XDG_STATE_HOME", folder.path()).env("HOME", folder.path());
    let arguments =
        ["key", "create", "--partner", "P", "--environment", "staging", "--permission", "ping:read"];
    let output =
        command.args(arguments).arg("--json").arg("--config").arg(gateway.settings().config_file()).output();
    let output = output.expect("the command can be started");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let key: tests::Key = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    assert_eq!(Client::over(&gateway, Protocol::H1).await.ask(key.get(PING)).await.status, 200);
}

#[tokio::test]
async fn no_secret_is_ever_logged_measured_or_stored_as_it_is() {
    let gateway = TestGateway::start("[log]\nlevel = \"trace\"\n[timeouts]\nidle = \"2s\"").await;
    let mut secrets: Vec<String> = keys_in(&gateway.stdout()).into_iter().map(|(_, key)| key).collect();
    let shown_once = secrets.len();
    let good = gateway.create_key(KeySpec::staging()).await;
    let rotated = gateway.rotate(&good, Some("1h")).await;
    let revoked = gateway.create_key(KeySpec::production()).await;
    gateway.revoke(&revoked).await;
    let unknown = never_issued(Environment::Staging);
    let misprint = tests::misprinted(&good.key);
    secrets.extend([good.key.clone(), rotated.key, revoked.key, unknown, misprint]);
    for protocol in Protocol::ALL {
        let client = Client::over(&gateway, protocol).await;
        for secret in &secrets {
            let bearer: http::HeaderValue = format!("Bearer {secret}").parse().unwrap();
            // Where it belongs, where it does not, and where people put it by mistake.
            for request in [
                get(PING),
                get("/2026-02-01/nothing.json"),
                get(&format!("/2026-02-01/{secret}")),
                get(&format!("/{secret}/ping.json")),
                get(&format!("{PING}?key={secret}")),
                with_method(&http::Method::POST, PING),
                with_method(&secret.parse().unwrap(), PING),
            ] {
                let mut request = request;
                request.headers_mut().insert("authorization", bearer.clone());
                for name in ["user-agent", "referer", "x-request-id", "cookie", "accept"] {
                    request.headers_mut().insert(name, secret.parse().unwrap());
                }
                // Some are refused with the connection; what counts is what is written about them.
                let _ = client.send(request).await;
                if !client.is_open() {
                    break;
                }
            }
        }
        let (pieces, content) = Content::pieces();
        drop(pieces);
        let mut request = good.get(PING).map(|_| content);
        request.headers_mut().insert("content-type", good.key.parse().unwrap());
        let _ = client.send_content(request).await;
    }
    // Straight bytes, so that the refusals below the request's level are reached too.
    for secret in &secrets {
        for bytes in [
            format!("GET /{secret} HTTP/9.9\r\n\r\n"),
            format!("{secret}\r\n\r\n"),
            format!("GET {PING} HTTP/1.1\r\nhost: {secret}/\r\nauthorization: Bearer {secret}\r\n\r\n"),
            format!("GET {PING} HTTP/1.1\r\nauthorization : Bearer {secret}\r\n\r\n"),
        ] {
            gateway.exchange(bytes.as_bytes()).await;
        }
    }
    let metrics = gateway.operations("/metrics").await.text();
    let ready_file = std::fs::read_to_string(gateway.settings().folder().join("ready.json")).unwrap();
    let listing = gateway.cli(&["key", "list", "--json"]).await;
    let listing = String::from_utf8_lossy(&listing.stdout).into_owned();
    let shown = gateway.cli(&["key", "show", &good.id, "--json"]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    let config = gateway.cli(&["config", "show"]).await;
    let config = String::from_utf8_lossy(&config.stdout).into_owned();
    let log = gateway.log();
    assert!(log.contains(&good.id), "the log was really on: key ids are in it");
    for (position, secret) in secrets.iter().enumerate() {
        for (place, text) in [
            ("log", &log),
            ("metrics", &metrics),
            ("ready file", &ready_file),
            ("listing", &listing),
            ("key show", &shown),
            ("config show", &config),
        ] {
            assert!(!text.contains(secret), "secret {position} is in the {place}");
            // Nor all but its ends: what is left of it would still be guessed.
            assert!(!text.contains(&secret[12..40]), "most of secret {position} is in the {place}");
        }
        if position >= shown_once {
            assert!(!gateway.stdout().contains(secret), "secret {position} is on standard output");
        }
        walk(gateway.settings().data(), &mut |path, metadata| {
            if metadata.is_file() {
                let bytes = std::fs::read(path).expect("a file of the data folder can be read");
                let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "secret {position} is in {}", path.display());
            }
        });
    }
}
