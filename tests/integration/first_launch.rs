//! The first launch and the second, and that secrets appear only where they are meant to.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use permissions::{Brand, Environment, KeySecret};
use tests::{Client, Content, KeySpec, Protocol, Start, TestGateway, WAYS, get, never_issued, with_method};

use crate::contract::{CONNECTION, PING, assert_ping_body};

/// Every key in a text, with the environment in its prefix.
fn keys_in(text: &str) -> Vec<(Environment, String)> {
    let brand = Brand::try_from("pgw".to_owned()).expect("it is the default brand");
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    let keys =
        words.filter_map(|word| Some((KeySecret::check(&brand, word.as_bytes()).ok()?, word.to_owned())));
    keys.collect()
}

/// The file of a first key, as the output of the first launch names it.
fn key_file(data: &Path, environment: &str) -> std::path::PathBuf {
    data.join(format!("first-key.{environment}"))
}

/// The key in a file that the first launch wrote.
fn key_in_file(gateway: &TestGateway, environment: &str) -> String {
    let text =
        std::fs::read_to_string(key_file(gateway.settings().data(), environment)).expect("it is written");
    let key = text.strip_prefix("Authorization: Bearer ").and_then(|text| text.strip_suffix('\n'));
    key.unwrap_or_else(|| panic!("not a header field: {text}")).to_owned()
}

#[tokio::test]
async fn without_a_terminal_the_first_launch_writes_the_keys_to_private_files() {
    let gateway = TestGateway::start("").await;
    let printed = gateway.stdout();
    assert!(keys_in(&printed).is_empty(), "a key is on standard output, which is no terminal:\n{printed}");
    let [staging, production] = ["staging", "production"].map(|environment| {
        let file = key_file(gateway.settings().data(), environment);
        assert!(printed.contains(&file.display().to_string()), "{} is not named:\n{printed}", file.display());
        let mode = std::fs::metadata(&file).expect("it is written").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.display());
        key_in_file(&gateway, environment)
    });
    let (staging, production) = (&staging, &production);
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
async fn the_configuration_decides_what_happens_to_the_first_keys() {
    let gateway = TestGateway::start("[first_launch]\nkeys = \"show\"").await;
    let printed = gateway.stdout();
    let keys: Vec<_> = keys_in(&printed).into_iter().map(|(environment, _)| environment).collect();
    assert_eq!(keys, [Environment::Staging, Environment::Production], "{printed}");
    assert!(!key_file(gateway.settings().data(), "staging").exists());

    let gateway = TestGateway::start("[first_launch]\nkeys = \"none\"").await;
    assert!(keys_in(&gateway.stdout()).is_empty() && !gateway.stdout().contains("First launch"));
    let partners: serde_json::Value = gateway.json(&["partner", "list", "--json"]).await;
    assert_eq!(partners, serde_json::json!({ "organizations": [] }));
    let made = gateway.create_key(KeySpec::staging()).await;
    assert_eq!(Client::over(&gateway, Protocol::H1).await.ask(made.get(PING)).await.status, 200);
}

#[tokio::test]
async fn on_a_terminal_the_first_keys_are_printed_and_not_written() {
    let start = Start::with("");
    start.write_config_text(&tests::merged(""));
    let printed = crate::mistakes::output_on_a_terminal(&start, &[], Some("--no-color")).await;
    let keys: Vec<_> = keys_in(&printed).into_iter().map(|(environment, _)| environment).collect();
    assert_eq!(keys, [Environment::Staging, Environment::Production], "{printed}");
    assert!(!key_file(start.data(), "staging").exists(), "printed keys are in no file");
    // Neither in the arguments of the suggested command, nor in the shell's history.
    let suggested = printed.lines().find(|line| line.contains("| curl ")).expect("a command is suggested");
    assert!(suggested.contains("\"$KEY\"") && suggested.contains("-H @-"), "{suggested}");
}

#[tokio::test]
async fn a_folder_of_another_user_is_refused_with_a_remedy_that_works() {
    use std::os::unix::process::CommandExt as _;

    // Only root can prepare such folders and become another user; other users test a folder of root.
    if !rustix::process::geteuid().is_root() {
        let output = Start::with("").data_folder(Path::new("/")).run(&["partner", "create", "acme"]).await;
        assert_eq!(output.status.code(), Some(77));
        assert!(String::from_utf8_lossy(&output.stderr).contains("install -d -m 700"));
        return;
    }
    const USER: u32 = 65_534;
    let parent = tempfile::tempdir_in("/tmp").expect("a temporary folder can be made");
    let set_mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
            .expect("the folder is writable");
    };
    set_mode(parent.path(), 0o755);
    // The other user may not have access to the build folder.
    let binary = parent.path().join("partner-gateway");
    std::fs::copy(tests::gateway_binary(), &binary).expect("the binary can be copied");
    let run = |data: &Path| {
        let mut command = Command::new(&binary);
        command.args(["partner", "create", "acme", "--data-dir"]).arg(data).env_clear();
        command.current_dir(parent.path()).uid(USER).gid(USER).output().expect("the command can be started")
    };
    // A volume as Kubernetes mounts it with `fsGroup`, and a folder that only root may write.
    for (name, mode, clue) in
        [("fs-group", 0o2775, "which is then created"), ("roots", 0o755, "install -d -m 700")]
    {
        let folder = parent.path().join(name);
        std::fs::create_dir(&folder).expect("the folder is writable");
        std::os::unix::fs::chown(&folder, None, Some(USER)).expect("root may");
        set_mode(&folder, mode);
        let output = run(&folder);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(77), "{name}: {message}");
        let below = folder.join("partner-gateway");
        assert!(
            message.contains(clue) && message.contains(&below.display().to_string()),
            "{name}: {message}"
        );
        if name == "roots" {
            std::fs::create_dir(&below).expect("root may");
            std::os::unix::fs::chown(&below, Some(USER), Some(USER)).expect("root may");
        }
        let output = run(&below);
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test]
async fn the_printed_curl_line_works_when_it_is_pasted() {
    let gateway = TestGateway::start("").await;
    let printed = gateway.stdout();
    let line =
        printed.lines().find(|line| line.trim_start().starts_with("curl ")).expect("a curl line is printed");
    // Some machines set a CA for curl; the line must override it.
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
async fn a_second_launch_prints_no_secret_and_keeps_the_data() {
    let gateway = TestGateway::start("").await;
    let first = key_in_file(&gateway, "production");
    let file = key_file(gateway.settings().data(), "production");
    std::fs::remove_file(&file).expect("operators move it elsewhere");
    let made = gateway.create_key(KeySpec::staging()).await;
    let ca = std::fs::read(&gateway.ready().ca).expect("the CA's file is readable");
    let again = gateway.stop().await.launch().await;
    let printed = again.stdout();
    assert!(
        keys_in(&printed).is_empty() && !printed.contains("pgw_"),
        "a second launch shows keys:\n{printed}"
    );
    assert!(keys_in(&again.log()).is_empty(), "a key is in the log");
    assert!(!file.exists(), "a second launch writes no key");
    assert_eq!(std::fs::read(&again.ready().ca).expect("the CA's file is readable"), ca, "the CA is kept");
    let client = Client::over(&again, Protocol::H3).await;
    let mut request = get(PING);
    request.headers_mut().insert("authorization", format!("Bearer {first}").parse().unwrap());
    assert_ping_body(&client.ask(request).await.text(), "production", "a key of the first launch");
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
async fn only_its_owner_can_read_the_data_folder() {
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
async fn a_folder_that_others_can_read_becomes_private_or_is_refused() {
    let start = Start::with("");
    std::fs::create_dir(start.data()).expect("the folder is writable");
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(start.data(), open).expect("the folder is writable");
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
    // The same folder by the option and by the environment: a key created through one works with the other.
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
async fn no_secret_is_in_a_log_a_metric_or_the_store() {
    let gateway = TestGateway::start("[log]\nlevel = \"trace\"\n[timeouts]\nidle = \"2s\"").await;
    let first_files =
        ["staging", "production"].map(|environment| key_file(gateway.settings().data(), environment));
    let mut secrets =
        ["staging", "production"].map(|environment| key_in_file(&gateway, environment)).to_vec();
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
            // In the right field, and wherever people may put it by mistake.
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
                // Some are refused with the connection; only the log matters here.
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
    // Raw bytes, to reach also errors of the protocol libraries.
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
    let printed = gateway.cli(&["key", "show", &good.id, "--json"]).await;
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
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
            ("key show", &printed),
            ("config show", &config),
        ] {
            assert!(!text.contains(secret), "secret {position} is in the {place}");
            // Nor most of it, from which the rest could be guessed.
            assert!(!text.contains(&secret[12..40]), "most of secret {position} is in the {place}");
        }
        assert!(!gateway.stdout().contains(secret), "secret {position} is on standard output");
        walk(gateway.settings().data(), &mut |path, metadata| {
            // Each of the first two keys is in its file, and nowhere else.
            if metadata.is_file() && first_files.get(position).is_none_or(|file| file != path) {
                let bytes = std::fs::read(path).expect("a file of the data folder can be read");
                let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
                assert!(!found, "secret {position} is in {}", path.display());
            }
        });
    }
}
