//! The command line, as operators and scripts use it.

use std::process::Output;

use tests::{Client, Key, KeySpec, Protocol, Start, TestGateway, eventually};

use crate::contract::PING;

/// The commands of `partner-gateway`, as its help lists them.
const COMMANDS: &[&[&str]] = &[
    &["serve"],
    &["key"],
    &["key", "create"],
    &["key", "list"],
    &["key", "show"],
    &["key", "update"],
    &["key", "rotate"],
    &["key", "revoke"],
    &["partner"],
    &["partner", "create"],
    &["partner", "list"],
    &["partner", "rename"],
    &["partner", "suspend"],
    &["partner", "resume"],
    &["partner", "remove"],
    &["org"],
    &["org", "invite"],
    &["org", "invitation"],
    &["org", "invitation", "list"],
    &["org", "invitation", "revoke"],
    &["user"],
    &["user", "create"],
    &["user", "sign-in"],
    &["request"],
    &["request", "list"],
    &["request", "show"],
    &["request", "approve"],
    &["request", "ask"],
    &["request", "reject"],
    &["request", "claim-link"],
    &["versions"],
    &["versions", "list"],
    &["versions", "diff"],
    &["versions", "openapi"],
    &["check-config"],
    &["config"],
    &["config", "show"],
    &["backup"],
    &["health"],
    &["completions"],
    &["man"],
];

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a command without a folder or a configuration.
fn bare(arguments: &[&str]) -> Output {
    std::process::Command::new(tests::gateway_binary())
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the command can be started")
}

#[tokio::test]
async fn every_command_explains_itself_with_examples() {
    let top = bare(&["--help"]);
    assert!(top.status.success());
    for command in COMMANDS {
        let help = bare(&[command, &["--help"][..]].concat());
        assert!(help.status.success(), "{command:?}: {}", err(&help));
        let text = out(&help);
        let has_subcommands =
            COMMANDS.iter().any(|other| other.len() > command.len() && other.starts_with(command));
        assert!(has_subcommands || text.contains("Examples:"), "{command:?}: no examples:\n{text}");
        assert!(
            command.len() > 1 || out(&top).contains(command[0]),
            "{command:?} is not in the help:\n{}",
            out(&top)
        );
    }
    let version = bare(&["--version"]);
    assert!(out(&version).contains(env!("CARGO_PKG_VERSION")), "{}", out(&version));
}

#[tokio::test]
async fn wrong_usage_ends_with_2_and_a_hint() {
    for (arguments, clue) in [
        (&["keys"][..], "key"),
        (&["key", "creat"], "create"),
        (&["key", "create"], "--partner"),
        (
            &["key", "create", "--partner", "P", "--environment", "prod", "--permission", "ping:read"],
            "production",
        ),
        (
            &["key", "create", "--partner", "P", "--environment", "staging", "--permission", "ping:write"],
            "ping:read",
        ),
        (&["key", "revoke", "not-an-id"], "not-an-id"),
        (&["serve", "--colour"], "--colour"),
    ] {
        let output = bare(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", err(&output));
        assert!(err(&output).contains(clue), "{arguments:?}: no {clue} in {}", err(&output));
        assert_eq!(out(&output), "", "{arguments:?}: complaints go to standard error");
    }
}

#[tokio::test]
async fn commands_of_other_tools_get_a_tip_with_the_right_command() {
    for (arguments, clue) in [
        (&["key", "delete", "x"][..], "`partner-gateway key revoke`"),
        (&["key", "rm"], "`partner-gateway key revoke`"),
        (&["key", "add"], "`partner-gateway key create`"),
        (&["key", "ls"], "`partner-gateway key list`"),
        (&["partner", "add", "acme"], "`partner-gateway partner create`"),
        (&["status"], "`partner-gateway health`"),
        (&["start"], "`partner-gateway serve`"),
        (&["reload"], "SIGHUP"),
        (&["stop"], "SIGTERM"),
        (&["validate"], "`partner-gateway check-config`"),
        (&["openapi"], "`partner-gateway versions openapi`"),
        (&["restore", "backup"], "--data-dir"),
        (&["check-config", "gateway.toml"], "`partner-gateway check-config --config gateway.toml`"),
        (&["serve", "gateway.toml"], "`partner-gateway serve --config gateway.toml`"),
        (&["config", "show", "gateway.toml"], "`partner-gateway config show --config gateway.toml`"),
        (&["serve", "--port", "9000"], "--set 'listeners.http.addresses=[\"127.0.0.1:9000\"]'"),
        (&["serve", "--listen=0.0.0.0:9000"], "--set 'listeners.http.addresses=[\"127.0.0.1:9000\"]'"),
        (&["serve", "-p", "9000"], "127.0.0.1:9000"),
        (&["serve", "--log-level", "debug"], "`partner-gateway serve --set log.level=debug`"),
    ] {
        let output = bare(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", err(&output));
        assert!(err(&output).contains(clue), "{arguments:?}: no {clue} in {}", err(&output));
        assert_eq!(out(&output), "", "{arguments:?}");
    }
}

#[tokio::test]
async fn check_config_prints_warnings_and_reports_a_valid_configuration() {
    let start = Start::with("");
    start.write_config_text(
        "[listeners.operations]\naddresses = [\"0.0.0.0:9180\"]\n[listeners.http]\ntrusted_proxies = [\"0.0.0.0/0\"]\n",
    );
    let output = start.run(&["check-config"]).await;
    assert!(output.status.success(), "{}", err(&output));
    let text = out(&output);
    for clue in
        ["warning: `listeners.operations.addresses`", "warning: `listeners.http.trusted_proxies`", "is valid"]
    {
        assert!(text.contains(clue), "no {clue} in {text}");
    }
    let json: serde_json::Value =
        serde_json::from_slice(&start.run(&["check-config", "--json"]).await.stdout).expect("it prints JSON");
    assert_eq!(
        (&json["valid"], json["warnings"].as_array().map(Vec::len)),
        (&true.into(), Some(2)),
        "{json}"
    );
}

#[tokio::test]
async fn a_key_can_expire_after_a_duration_and_have_a_rate_per_minute() {
    let gateway = TestGateway::start("").await;
    let spec = KeySpec::staging().option("--expires", "90d").option("--rate", "2/m");
    let key = gateway.create_key(spec).await;
    let shown: serde_json::Value = gateway.json(&["key", "show", &key.id, "--json"]).await;
    assert_eq!(shown["rate"], "2/m", "{shown}");
    let moment =
        |name: &str| shown[name].as_str().unwrap_or_default().parse::<jiff::Timestamp>().expect("a time");
    let lifetime = moment("expires").duration_since(moment("created")).as_secs();
    assert!((90 * 86_400 - 60..=90 * 86_400).contains(&lifetime), "{shown}");
    let client = Client::over(&gateway, Protocol::H1).await;
    let first = client.ask(key.get(PING)).await;
    assert_eq!(
        (first.status.as_u16(), first.headers["ratelimit-policy"].to_str().unwrap()),
        (200, "\"default\";q=2;w=60")
    );
    assert_eq!(client.ask(key.get(PING)).await.status, 200);
    let refused = client.ask(key.get(PING)).await;
    assert_eq!(refused.status, 429);
    let seconds: u32 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((25..=30).contains(&seconds), "{seconds}");
}

#[tokio::test]
async fn keys_and_partners_are_listed_and_counted_in_json() {
    let gateway = TestGateway::start("").await;
    let spec = KeySpec::staging()
        .option("--name", "a name")
        .option("--allow", "127.0.0.0/8")
        .option("--rate", "5/s+9");
    let key = gateway.create_key(spec).await;
    let shown: serde_json::Value = gateway.json(&["key", "show", &key.id, "--json"]).await;
    for (member, expected) in [
        ("id", serde_json::json!(key.id)),
        ("name", serde_json::json!("a name")),
        ("partner", serde_json::json!("Tests")),
        ("environment", serde_json::json!("staging")),
        ("permissions", serde_json::json!(["ping:read", "connection:read"])),
        ("allow", serde_json::json!(["127.0.0.0/8"])),
        ("rate", serde_json::json!("5/s+9")),
        ("hint", serde_json::json!(key.key[key.key.len() - 4..])),
        ("revoked", serde_json::Value::Null),
    ] {
        assert_eq!(shown[member], expected, "{member}: {shown}");
    }
    assert_eq!(shown.get("key"), None, "the secret is printed only when the key is created");
    let list: serde_json::Value = gateway.json(&["key", "list", "--json"]).await;
    assert!(list.to_string().contains(&key.id), "{list}");
    let created: serde_json::Value = gateway.json(&["partner", "create", "Another One", "--json"]).await;
    assert!(created.to_string().contains("Another One"), "{created}");
    let partners: serde_json::Value = gateway.json(&["partner", "list", "--json"]).await;
    for name in ["Tests", "Another One"] {
        assert!(partners.to_string().contains(name), "{partners}");
    }
    gateway.revoke(&key).await;
    let shown: serde_json::Value = gateway.json(&["key", "show", &key.id, "--json"]).await;
    assert!(shown["revoked"].is_string(), "{shown}");
}

#[tokio::test]
async fn the_last_use_of_a_key_is_written_soon() {
    let gateway = TestGateway::start("[store]\nlast_used_interval = \"1s\"").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let client = Client::over(&gateway, Protocol::H1).await;
    assert_eq!(client.ask(key.get(PING)).await.status, 200);
    let last_used = eventually(tests::PATIENCE, async || {
        let shown: serde_json::Value = gateway.json(&["key", "show", &key.id, "--json"]).await;
        shown["last_used"].is_string().then_some(())
    });
    assert!(last_used.await.is_some(), "last_used is written");
}

#[tokio::test]
async fn commands_on_unknown_keys_fail() {
    let gateway = TestGateway::start("").await;
    let stranger = "01890a5d-ac96-774b-bcce-b302099a8057";
    for arguments in [
        &["key", "show", stranger, "--json"][..],
        &["key", "revoke", stranger, "--json"],
        &["key", "rotate", stranger, "--json"],
        &["key", "update", stranger, "--permission", "ping:read", "--json"],
    ] {
        let output = gateway.cli(arguments).await;
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", err(&output));
        assert!(err(&output).contains(stranger), "{arguments:?}: {}", err(&output));
        assert_eq!(out(&output), "", "{arguments:?}");
    }
}

#[tokio::test]
async fn keys_can_be_created_before_the_first_start() {
    let start = Start::with("");
    start.write_config_text(&tests::merged(""));
    let arguments = [
        "key",
        "create",
        "--json",
        "--partner",
        "Early",
        "--environment",
        "staging",
        "--permission",
        "ping:read",
    ];
    let output = start.run(&arguments).await;
    assert!(output.status.success(), "{}", err(&output));
    let key: Key = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    let gateway = start.launch().await;
    let answer = Client::over(&gateway, Protocol::H1).await.ask(key.get(PING)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn mistakes_in_the_configuration_are_located() {
    let start = Start::with("");
    for (text, clues) in [
        ("[limits]\nkey_rat = \"1/s\"\n", &["gateway.toml:2:1", "key_rat", "key_rate"][..]),
        ("\n\n[limit]\nkey_rate = \"1/s\"\n", &["gateway.toml:3:", "limit", "limits"]),
        ("[limits]\nkey_rate = \"fast\"\n", &["gateway.toml:2:12", "fast", "/s"]),
        ("[timeouts]\nidle = 5\n", &["gateway.toml:2:8", "5"]),
        ("[listeners.http]\nprotocols = [\"http1\", \"spdy\"]\n", &["gateway.toml:2:", "spdy", "http2"]),
        ("[listeners.http]\naddresses = [\"localhost\"]\n", &["gateway.toml:2:", "localhost"]),
        ("[listeners.http]\nprotocols = [\"http3\"]\n", &["gateway.toml:2:", "http3", "certificate"]),
        ("[listeners.https]\ncertificate = \"nowhere\"\n", &["gateway.toml:2:", "nowhere"]),
        ("[tls]\nminimum_version = \"1.1\"\n", &["gateway.toml:2:", "1.1", "1.2"]),
        ("[limits]\nbody_bytes_max = \"1 mile\"\n", &["gateway.toml:2:", "mile"]),
        ("[limits\n", &["gateway.toml:1:"]),
    ] {
        start.write_config_text(text);
        for command in [&["check-config"][..], &["serve"]] {
            let output = start.run(command).await;
            assert_eq!(output.status.code(), Some(78), "{command:?} {text}: {}", err(&output));
            // Problems are the result of `check-config`, so it prints them to standard output.
            let printed = out(&output) + &err(&output);
            for clue in clues {
                assert!(printed.contains(clue), "{command:?} {text}: no {clue} in {printed}");
            }
        }
    }
    start.write_config_text(&tests::merged(""));
    let output = start.run(&["check-config"]).await;
    assert!(output.status.success(), "{}", err(&output));
}

#[tokio::test]
async fn the_environment_overrides_the_file_and_is_named_when_it_is_wrong() {
    let start = Start::with("[limits]\nkey_rate = \"50/s+60\"");
    let gateway = start.environment("GATEWAY__LIMITS__KEY_RATE", "70/s+80").launch().await;
    let shown = gateway.cli(&["config", "show"]).await;
    assert!(shown.status.success(), "{}", err(&shown));
    assert!(out(&shown).contains("70/s+80"), "{}", out(&shown));
    let wrong = Start::with("").environment("GATEWAY__LIMITS__KEY_RAT", "70/s");
    let Err((status, log)) = wrong.try_launch().await else { panic!("an unknown option is refused") };
    assert_eq!(status.code(), Some(78), "{log}");
    assert!(log.contains("GATEWAY__LIMITS__KEY_RAT"), "{log}");
}

#[tokio::test]
async fn the_files_of_conf_d_override_the_file_in_the_order_of_their_names() {
    let start = Start::with("[limits]\nkey_rate = \"50/s+60\"");
    let folder = start.folder().join("conf.d");
    std::fs::create_dir(&folder).expect("the folder is writable");
    for (name, rate) in [("10.toml", "1/s+2"), ("20.toml", "3/s+4"), ("30.toml.off", "5/s+6")] {
        let text = format!("[limits]\nkey_rate = \"{rate}\"\n");
        std::fs::write(folder.join(name), text).expect("the folder is writable");
    }
    let gateway = start.launch().await;
    let shown = gateway.cli(&["config", "show"]).await;
    assert!(out(&shown).contains("3/s+4"), "{}", out(&shown));
}

#[tokio::test]
async fn health_sets_its_exit_code() {
    let gateway = TestGateway::start("").await;
    let output = gateway.cli(&["health"]).await;
    assert!(output.status.success(), "{}", err(&output));
    let start = gateway.stop().await;
    let output = start.run(&["health"]).await;
    assert_eq!(output.status.code(), Some(69), "{}", err(&output));
}

#[tokio::test]
async fn two_servers_do_not_take_the_same_address() {
    let gateway = TestGateway::start("").await;
    let taken = gateway.address(Protocol::H1);
    let second = Start::with(&format!("[listeners.http]\naddresses = [\"{taken}\"]"));
    let Err((status, log)) = second.try_launch().await else { panic!("the address is taken") };
    assert!(!status.success(), "{status}");
    assert!(log.contains(&taken.to_string()), "the address is named: {log}");
    assert!(log.contains("`listeners.http.addresses`"), "and what to do: {log}");
}

#[tokio::test]
async fn completions_and_manual_pages_are_printed() {
    for shell in ["bash", "zsh", "fish"] {
        let output = bare(&["completions", shell]);
        assert!(
            output.status.success() && out(&output).contains("partner-gateway"),
            "{shell}: {}",
            err(&output)
        );
    }
    let script = tempfile::NamedTempFile::new().expect("a temporary file can be made");
    std::fs::write(script.path(), bare(&["completions", "bash"]).stdout).expect("it is writable");
    let checked = std::process::Command::new("bash").arg("-n").arg(script.path()).status();
    assert!(checked.expect("bash can be started").success(), "bash reads its completions");
    let manual = bare(&["man"]);
    assert!(manual.status.success() && out(&manual).contains(".TH"), "{}", err(&manual));
    let page = bare(&["man", "key", "create"]);
    assert!(
        page.status.success() && out(&page).contains("partner\\-gateway\\-key\\-create"),
        "{}",
        out(&page)
    );
    let unknown = bare(&["man", "no-such-command"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(err(&unknown).contains("no command `no-such-command`"), "{}", err(&unknown));
    assert!(!std::path::Path::new("no-such-command").exists(), "no folder is made by mistake");
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let written = bare(&["man", "--write", folder.path().to_str().unwrap()]);
    assert!(written.status.success(), "{}", err(&written));
    assert!(folder.path().join("partner-gateway-key-create.1").exists(), "each command has a page");
}
