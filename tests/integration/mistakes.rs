//! Mistakes of operators, with their messages and exit codes.

use std::process::Output;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tests::{Authority, Client, KeySpec, Protocol, Start, TestGateway, now};

use crate::contract::PING;

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts that a command exited with this code, an error that contains all `clues`, and no data.
fn assert_error(output: &Output, code: i32, clues: &[&str], context: &str) {
    assert_eq!(output.status.code(), Some(code), "{context}: {}{}", out(output), err(output));
    for clue in clues {
        assert!(err(output).contains(clue), "{context}: no {clue:?} in {}", err(output));
    }
    assert!(!err(output).contains("panicked"), "{context}: {}", err(output));
    assert_eq!(out(output), "", "{context}");
}

/// `key create` of a staging key with `ping:read`, with more arguments.
fn create<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments =
        vec!["key", "create", "--partner", "Tests", "--environment", "staging", "--permission", "ping:read"];
    arguments.extend(more);
    arguments
}

fn written(start: Start) -> Start {
    start.write_config_text(&tests::merged(""));
    start
}

#[tokio::test]
async fn wrong_arguments_exit_with_2_and_say_what_is_accepted() {
    let start = written(Start::with(""));
    let id = "019a2b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b";
    let right = "2027-01-01T00:00:00Z";
    let key = tests::never_issued(permissions::Environment::Production);
    let many = vec!["10.0.0.1"; 65].join(",");
    for (arguments, clues) in [
        (create(&["--expires", "tomorrow"]), &["'tomorrow'", "--expires", "not a time", right][..]),
        (create(&["--expires", "2027-01-01"]), &["'2027-01-01'", "time of day", right]),
        (create(&["--expires", "2027-01-01T00:00:00"]), &["no offset", "Z or +02:00", right]),
        (create(&["--expires", "2027-02-30T00:00:00Z"]), &["2027-02-30", "not a time", right]),
        (create(&["--not-before", "soon"]), &["'soon'", "--not-before", right]),
        (create(&["--expires", "2020-01-01T00:00:00Z"]), &["2020-01-01T00:00:00Z", "has passed", "later"]),
        (
            create(&["--expires", "2090-01-01T00:00:00Z", "--not-before", "2090-01-02T00:00:00Z"]),
            &["2090-01-02", "expired", "before the expiry"],
        ),
        (create(&["--expires", "90"]), &["'90'", "90d", right]),
        (create(&["--allow", "10.1.2.3/8"]), &["'10.1.2.3/8'", "10.0.0.0/8", "address is 10.1.2.3"]),
        (create(&["--allow", "2001:db8::1/32"]), &["2001:db8::/32"]),
        (create(&["--allow", "10.0.0.0/33"]), &["10.0.0.0/33", "192.0.2.0/24"]),
        (create(&["--allow", &many]), &["64", "65"]),
        (create(&["--rate", "5/d"]), &["5/d", "50/s"]),
        (create(&["--name", "a\nb"]), &["printable"]),
        (create(&["--partner", "x"]), &["--partner"]),
        (create(&["--wait", "100h"]), &["100h", "24h"]),
        (create(&["--permission", "ping:raed"]), &["'ping:raed'", "ping:read", "connection:read"]),
        (vec!["key", "list", "--environment", "prod"], &["'prod'", "staging", "production"]),
        (vec!["key", "show", "42"], &["`42`", "UUID such as", "key list"]),
        (vec!["key", "revoke", &key], &["the text of a key", "UUID such as", "key list"]),
        (vec!["key", "update", id, "--allow", "any", "10.0.0.0/8"], &["any"]),
        (vec!["key", "update", "--permission", "ping:read", id], &["before options", "key update ID"]),
        (vec!["key", "update", "--allow", "any", id], &["before options", "key update ID"]),
        (vec!["key", "update", id], &["--permission", "--expires"]),
        (vec!["key", "rotate", id, "--overlap", "soon"], &["'soon'", "24h"]),
        (vec!["partner", "create", " x"], &["printable", "spaces"]),
        (vec!["health", "--timeout", "0s"], &["1ms to 24h"]),
    ] {
        let output = start.run(&arguments).await;
        assert_error(&output, 2, clues, &format!("{arguments:?}"));
        assert!(!err(&output).contains(&key), "the key is not repeated: {}", err(&output));
        let output = start.run(&[&arguments[..], &["--json"]].concat()).await;
        assert_eq!(output.status.code(), Some(2), "{arguments:?} --json");
        let report: serde_json::Value = serde_json::from_str(&err(&output))
            .unwrap_or_else(|error| panic!("{arguments:?} --json: {error}: {}", err(&output)));
        assert!(report["error"].is_string(), "{arguments:?} --json: {report}");
    }
    assert!(!start.data().join("store.sqlite-wal").exists(), "nothing was left half made");
    let list = start.run(&["key", "list", "--json"]).await;
    assert!(!out(&list).contains("\"id\""), "no key was created: {}", out(&list));
}

#[tokio::test]
async fn failures_exit_with_1_and_a_missing_server_with_69() {
    let start = written(Start::with(""));
    for command in [&["key", "list"][..], &["partner", "list"], &["backup", "elsewhere"]] {
        assert_error(&start.run(command).await, 1, &["there is no store"], &format!("{command:?}"));
    }
    let output = start.run(&["health"]).await;
    assert_error(&output, 69, &["there is no store"], "health without a folder");
    let output = start.run(&["health", "--json"]).await;
    assert_eq!(output.status.code(), Some(69));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    assert_eq!(report, serde_json::json!({"ready": false, "nodes": []}));
    let output = start.run(&["serve", "--ready-file", "no-folder/ready.json"]).await;
    assert_error(
        &output,
        1,
        &["cannot write the ready file no-folder/ready.json"],
        "a ready file in no folder",
    );
    assert!(!start.data().exists(), "looking makes nothing");
    assert!(start.run(&["partner", "create", "acme"]).await.status.success());
    assert_error(&start.run(&["partner", "create", "acme"]).await, 1, &["acme", "already"], "twice");
    assert_error(&start.run(&["health"]).await, 69, &["no server is running"], "health without a server");
}

#[tokio::test]
async fn health_is_not_ready_while_one_of_two_servers_hangs() {
    let first = TestGateway::start("").await;
    let second = Start::with("").data_folder(first.settings().data()).launch().await;
    let output = first.cli(&["health"]).await;
    assert!(output.status.success(), "both are there: {}", err(&output));
    second.signal(Signal::STOP);
    let before = Instant::now();
    let output = first.cli(&["health", "--timeout", "500ms"]).await;
    assert_error(&output, 69, &["does not respond", &second.ready().pid.to_string()], "one hangs");
    assert!(!err(&output).contains(&first.ready().pid.to_string()), "{}", err(&output));
    assert!(before.elapsed() < Duration::from_secs(5), "the wait has an end: {:?}", before.elapsed());
    let output = first.cli(&["health", "--timeout", "500ms", "--json"]).await;
    assert_eq!(output.status.code(), Some(69));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    assert_eq!(
        (&report["ready"], report["nodes"].as_array().map(Vec::len)),
        (&false.into(), Some(2)),
        "{report}"
    );
    second.signal(Signal::CONT);
    let again = tests::eventually(tests::PATIENCE, async || {
        first.cli(&["health"]).await.status.success().then_some(())
    });
    assert!(again.await.is_some(), "both answer again");
}

#[tokio::test]
async fn a_brand_cannot_be_changed_after_the_first_launch() {
    let acme = "[api]\nbrand = \"acme\"";
    let gateway = TestGateway::start(acme).await;
    let first = std::fs::read_to_string(gateway.settings().data().join("first-key.staging"));
    assert!(first.expect("the first launch wrote it").contains("acme_stg_"));
    // With a configuration without a brand, keys are created that the server accepts.
    let plain = written(Start::with("").data_folder(gateway.settings().data()));
    let output = plain.run(&create(&["--json"])).await;
    assert!(output.status.success(), "{}", err(&output));
    let made: tests::Key = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    assert!(made.key.starts_with("acme_stg_"), "another brand");
    let client = Client::over(&gateway, Protocol::H1).await;
    assert_eq!(client.ask(made.get(PING)).await.status, 200);
    let output = plain.run(&["key", "rotate", &made.id, "--json"]).await;
    let rotated: tests::Key = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    let client = Client::over(&gateway, Protocol::H1).await;
    assert_eq!(client.ask(rotated.get(PING)).await.status, 200);

    // One with another brand is refused before anything is created, and so is a server.
    let clues = ["\"acme\"", "\"beta\"", "api.brand", "--config", "--data-dir"];
    let beta = Start::with("[api]\nbrand = \"beta\"").data_folder(gateway.settings().data());
    beta.write_config_text(&tests::merged("[api]\nbrand = \"beta\""));
    let before = gateway.json::<serde_json::Value>(&["key", "list", "--json"]).await;
    for command in [create(&[]), vec!["key", "rotate", &rotated.id]] {
        assert_error(&beta.run(&command).await, 78, &clues, &format!("{command:?}"));
    }
    let after = gateway.json::<serde_json::Value>(&["key", "list", "--json"]).await;
    assert_eq!(ids(&before), ids(&after), "no key was created");
    // Commands that create no key need no brand.
    assert!(beta.run(&["key", "list"]).await.status.success());
    assert!(beta.run(&["key", "revoke", &rotated.id]).await.status.success());
    for start in [beta, plain] {
        let Err((status, log)) = start.try_launch().await else { panic!("another brand is refused") };
        assert_eq!(status.code(), Some(78), "{log}");
        assert!(log.contains("acme") && log.contains("api.brand"), "{log}");
    }
    gateway.stop().await.launch().await;
}

fn ids(list: &serde_json::Value) -> Vec<String> {
    let keys = list["keys"].as_array().expect("a list of keys");
    keys.iter().map(|key| key["id"].to_string()).collect()
}

#[tokio::test]
async fn a_key_is_revoked_without_the_server_secret() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    std::fs::remove_file(gateway.settings().data().join("server.secret")).expect("the secret is there");
    let report = gateway.revoke(&key).await;
    assert_eq!(report["applied"]["nodes"][0]["applied"], true, "{report}");
    let client = Client::over(&gateway, Protocol::H1).await;
    assert_eq!(client.ask(key.get(PING)).await.status, 401);
    let other = &gateway.json::<serde_json::Value>(&["key", "list", "--json"]).await;
    let other = ids(other).into_iter().find(|id| !id.contains(&key.id)).expect("a key of the first launch");
    let output = gateway.cli(&["key", "update", other.trim_matches('"'), "--name", "still"]).await;
    assert!(output.status.success(), "{}", err(&output));
    let output = gateway.cli(&create(&[])).await;
    assert_error(&output, 1, &["server.secret", "backup"], "a key cannot be made without it");
}

#[tokio::test]
async fn revoking_again_reports_the_first_revocation() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let first = gateway.revoke(&key).await;
    assert_eq!(first["already_revoked"], false, "{first}");
    let again = gateway.revoke(&key).await;
    assert_eq!((&again["already_revoked"], &again["revoked"]), (&true.into(), &first["revoked"]), "{again}");
    let output = gateway.cli(&["key", "revoke", &key.id]).await;
    assert!(output.status.success(), "{}", err(&output));
    let second = first["revoked"].as_str().expect("a moment")[..19].to_owned();
    let expected = format!("key {} was already revoked, at {second}Z; nothing was changed\n", key.id);
    assert_eq!(out(&output), expected);
}

#[tokio::test]
async fn a_partner_that_is_created_with_a_key_is_reported() {
    let gateway = TestGateway::start("").await;
    let make = async |partner: &str| {
        let arguments = [
            "key",
            "create",
            "--json",
            "--partner",
            partner,
            "--environment",
            "staging",
            "--permission",
            "ping:read",
        ];
        let output = gateway.cli(&arguments).await;
        assert!(output.status.success(), "{partner}: {}", err(&output));
        let made: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
        (made["partnerCreated"].clone(), err(&output))
    };
    let (created, note) = make("Globex").await;
    assert_eq!(created, true, "{note}");
    assert!(note.contains("`Globex` is a new partner") && !note.contains("before"), "{note}");
    let (created, note) = make("Globex").await;
    assert_eq!((created, note.as_str()), (false.into(), ""));
    let (created, note) = make("Globxe").await;
    assert_eq!(created, true);
    assert!(note.contains("`Globxe` is a new partner") && note.contains("`Globex`"), "{note}");
}

#[tokio::test]
async fn one_option_takes_several_permissions_in_every_command() {
    let gateway = TestGateway::start("").await;
    let key = gateway
        .create_key(KeySpec::with_permissions(permissions::Environment::Staging, &["ping:read"]))
        .await;
    let update = ["key", "update", &key.id, "--permission", "ping:read", "connection:read", "--json"];
    let updated: serde_json::Value = gateway.json(&update).await;
    assert_eq!(updated["permissions"], serde_json::json!(["ping:read", "connection:read"]), "{updated}");
    let update = ["key", "update", &key.id, "--allow", "10.0.0.0/8", "::1", "--json"];
    let updated: serde_json::Value = gateway.json(&update).await;
    assert_eq!(updated["allow"], serde_json::json!(["10.0.0.0/8", "::1/128"]), "{updated}");
}

#[tokio::test]
async fn shells_complete_the_names_of_environments_and_permissions() {
    let start = Start::with("");
    for shell in ["bash", "zsh", "fish"] {
        let script = out(&start.run(&["completions", shell]).await);
        for names in [["staging", "production"], ["ping:read", "connection:read"]] {
            let found = script.lines().any(|line| {
                // Some shells escape the colon.
                let line = line.replace('\\', "");
                names.iter().all(|name| line.contains(name))
            });
            let each =
                names.iter().all(|name| script.replace('\\', "").lines().any(|line| line.contains(name)));
            assert!(found || shell == "fish" && each, "{shell}: no completion of {names:?}");
        }
    }
}

#[tokio::test]
async fn all_problems_of_a_configuration_are_printed_at_once() {
    let start = Start::with("");
    let text = "\
[limits]
key_rat = \"1/s\"
header_fields_max = 0
[drain]
announce = \"20s\"
deadline = \"10s\"
[store]
change_interval = \"24h\"
[listeners.https]
certificate = \"own\"
[certificates.own]
chain_file = \"/nowhere/chain.pem\"
key_file = \"/nowhere/key.pem\"
";
    start.write_config_text(text);
    let start = start.environment("GATEWAY_LOG_LEVEL", "debug");
    let output = start.run(&["check-config"]).await;
    assert_eq!(output.status.code(), Some(78), "{}", err(&output));
    let clues = [
        "key_rat",
        "header_fields_max",
        "change_interval",
        "from 1ms to 1s",
        "GATEWAY__LOG__LEVEL",
        "/nowhere/chain.pem",
    ];
    for clue in clues {
        assert!(out(&output).contains(clue), "no {clue} in {}", out(&output));
    }
    let output = start.run(&["check-config", "--json"]).await;
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    assert_eq!(report["problems"].as_array().map(Vec::len), Some(5), "{report}");
}

#[tokio::test]
async fn a_damaged_local_authority_stops_the_start_and_is_named() {
    let start = TestGateway::start("").await.stop().await;
    let authority = start.data().join("ca.pem");
    let original = std::fs::read(&authority).expect("the authority is there");
    let stranger = Authority::new(start.folder(), "stranger").certificate();
    let stranger = std::fs::read_to_string(stranger).expect("its certificate is readable");
    for content in ["nonsense".to_owned(), stranger] {
        std::fs::write(&authority, &content).expect("the folder is writable");
        let Err((status, log)) = start.clone().try_launch().await else { panic!("it is refused") };
        assert_eq!(status.code(), Some(1), "{log}");
        let named = authority.to_str().expect("temporary paths are UTF-8");
        assert!(log.contains(named) && log.contains("created anew"), "{log}");
        assert!(!log.contains("panicked"), "{log}");
    }
    std::fs::write(&authority, original).expect("the folder is writable");
    std::fs::write(start.data().join("localhost.key"), "nonsense").expect("the folder is writable");
    let gateway = start.launch().await;
    let client = Client::over(&gateway, Protocol::H3).await;
    let key = gateway.create_key(KeySpec::staging()).await;
    assert_eq!(
        client.ask(key.get(PING)).await.status,
        200,
        "the certificate was created again, and is trusted"
    );
}

#[tokio::test]
async fn a_backup_inside_the_data_folder_is_refused() {
    let start = TestGateway::start("").await.stop().await;
    for inside in ["backup", "a/b", "."] {
        let target = start.data().join(inside);
        let target = target.to_str().expect("temporary paths are UTF-8");
        assert_error(&start.run(&["backup", target]).await, 2, &["inside the data folder"], inside);
        assert!(inside == "." || !start.data().join(inside).exists());
    }
    // A relative path is relative to the working directory, which is the parent of the data folder.
    let output = start.run(&["backup", "elsewhere"]).await;
    assert!(output.status.success(), "{}", err(&output));
    assert!(start.folder().join("elsewhere/store.sqlite").exists());
}

/// Runs a server on a pseudo-terminal until it is ready, and returns the terminal's output.
pub(crate) async fn output_on_a_terminal(
    start: &Start,
    environment: &[(&str, &str)],
    flag: Option<&str>,
) -> String {
    let ready = start.folder().join("ready.json");
    let _ = std::fs::remove_file(&ready);
    let mut serve = vec!["serve", "--ready-file", ready.to_str().expect("temporary paths are UTF-8")];
    serve.extend(flag);
    let inner = start.command(&serve);
    let words = std::iter::once(inner.get_program()).chain(inner.get_args());
    let line: Vec<String> = words.map(|word| format!("'{}'", word.to_string_lossy())).collect();
    let output = start.folder().join("terminal");
    let mut terminal = std::process::Command::new("script");
    terminal.args(["--quiet", "--flush", "--return", "--command"]).arg(format!("exec {}", line.join(" ")));
    terminal.arg(&output).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    terminal.env("TERM", "xterm").env("HOME", start.folder()).envs(environment.iter().copied());
    terminal.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    let mut terminal = terminal.spawn().expect("`script` can be started: apt-get install bsdutils");
    let text = tests::eventually(tests::PATIENCE, async || std::fs::read_to_string(&ready).ok()).await;
    let text = text.unwrap_or_else(|| panic!("not ready: {:?}", std::fs::read_to_string(&output)));
    let ready: tests::Ready = serde_json::from_str(&text).expect("the ready file is JSON");
    let pid = i32::try_from(ready.pid).ok().and_then(rustix::process::Pid::from_raw).expect("a process id");
    rustix::process::kill_process(pid, Signal::TERM).expect("the server is there");
    terminal.wait().expect("a child can be waited for");
    std::fs::read_to_string(&output).expect("the output was recorded")
}

#[tokio::test]
async fn the_log_has_colours_on_a_terminal_unless_disabled() {
    let overlay = "[log]\nformat = \"text\"";
    let start = Start::with(overlay);
    start.write_config_text(&tests::merged(overlay));
    for (environment, flag, coloured) in [
        (&[][..], None, true),
        (&[("NO_COLOR", "")], None, true),
        (&[("NO_COLOR", "1")], None, false),
        (&[], Some("--no-color"), false),
    ] {
        let output = output_on_a_terminal(&start, environment, flag).await;
        assert!(output.contains("Loaded"), "the log is on: {output}");
        assert_eq!(output.contains("\u{1b}["), coloured, "{environment:?} {flag:?}: {output:?}");
    }
}

#[tokio::test]
async fn an_existing_key_cannot_get_an_expiry_in_the_past() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let passed = now().checked_sub(jiff::SignedDuration::from_secs(60)).expect("a minute ago").to_string();
    let output = gateway.cli(&["key", "update", &key.id, "--expires", &passed]).await;
    assert_error(&output, 2, &["has passed", "revoke"], "a minute ago");
    let client = Client::over(&gateway, Protocol::H1).await;
    assert_eq!(client.ask(key.get(PING)).await.status, 200, "it is as it was");
}
