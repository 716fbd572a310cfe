//! The dependencies of the code map: which module may use which, and which crates must not be used where.
//!
//! Rules about crates read `cargo tree`; rules about modules read the sources, without comments and unit tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use tests::repository;

/// Crates that bring I/O, an async runtime, HTTP or SQL.
const RUNTIMES: [&str; 16] = [
    "async-std",
    "futures-executor",
    "h2",
    "h3",
    "hyper",
    "hyper-util",
    "mio",
    "quinn",
    "quinn-proto",
    "reqwest",
    "rusqlite",
    "rustls",
    "smol",
    "socket2",
    "sqlx",
    "tokio",
];

/// Paths that code without I/O, clocks and tasks does not contain.
const EFFECTS: [&str; 11] = [
    "std::fs",
    "std::process",
    "std::env",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "SystemTime",
    "Timestamp::now",
];

/// The modules of the gateway that read the configuration: files or folders below `gateway/src`.
const CONFIG_READERS: [&str; 10] =
    ["app", "cli", "http", "identity", "mail", "node", "sites", "snapshot", "telemetry", "warnings"];

/// Every normal dependency of a workspace crate on this platform, direct or not.
fn dependencies(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--package",
            package,
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--locked",
            "--offline",
        ])
        .current_dir(repository())
        .output()
        .expect("cargo is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8_lossy(&output.stdout).into_owned();
    // Each line begins with a name; the first is the crate itself.
    tree.lines().skip(1).filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// The product code below a folder or in a file: path from the repository, text without comments and unit tests.
fn sources(place: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut open = vec![repository().join(place), repository().join(format!("{place}.rs"))];
    while let Some(path) = open.pop() {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && name != "tests" {
            open.extend(
                fs::read_dir(&path).expect("it can be read").map(|entry| entry.expect("an entry").path()),
            );
        } else if path.is_file() && name.ends_with(".rs") && name != "tests.rs" {
            found.push((
                from_repository(&path),
                product_code(&fs::read_to_string(&path).expect("it is text")),
            ));
        }
    }
    assert!(!found.is_empty(), "there is no code in {place}");
    found
}

fn from_repository(path: &Path) -> String {
    path.strip_prefix(repository()).unwrap_or(path).display().to_string()
}

/// Cuts comments, and the test module, which is last in every file.
fn product_code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let text = text.split("#[cfg(test)]\npub(crate) mod ").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// The first names behind `root::`: `crate::{a::B, c}` and `crate::d::E` name a, c and d.
fn modules_of(root: &str, code: &str) -> BTreeSet<String> {
    let mut modules = BTreeSet::new();
    for (start, separator) in code.match_indices(&format!("{root}::")) {
        let before = code[..start].chars().next_back();
        if before.is_some_and(|sign| sign.is_alphanumeric() || sign == '_' || sign == ':') {
            continue;
        }
        let rest = &code[start + separator.len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let (mut depth, mut name) = (0, String::new());
            for sign in group.chars() {
                match sign {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        modules.extend(first_name(&name));
                        name.clear();
                        continue;
                    }
                    _ => {}
                }
                name.push(sign);
            }
            modules.extend(first_name(&name));
        } else {
            modules.extend(first_name(rest));
        }
    }
    modules
}

fn first_name(path: &str) -> Option<String> {
    let name: String =
        path.trim_start().chars().take_while(|sign| sign.is_alphanumeric() || *sign == '_').collect();
    (!name.is_empty()).then_some(name)
}

/// Whether a crate is named in code, as the beginning of a path.
fn names_crate(code: &str, name: &str) -> bool {
    !modules_of(name, code).is_empty() || code.contains(&format!("use {name};"))
}

#[test]
fn imports_are_found_in_every_form() {
    let code = "use crate::{keys::{Index, Generation}, limits}; use crate::store::Open; versions::Catalog; // crate::x";
    let code = product_code(code);
    assert_eq!(modules_of("crate", &code), ["keys", "limits", "store"].map(str::to_owned).into());
    assert!(names_crate(&code, "versions") && !names_crate("my_versions::x; a::versions::y", "versions"));
    assert_eq!(product_code("a // b\n#[cfg(test)]\nmod tests {}"), "a ");
}

#[test]
fn permissions_and_versions_have_no_runtime_in_their_dependencies() {
    for package in ["permissions", "versions"] {
        let found = dependencies(package);
        assert!(found.contains("serde"), "{package}: the dependencies are read: {found:?}");
        let wrong: Vec<_> = RUNTIMES.iter().filter(|name| found.contains(**name)).collect();
        assert!(wrong.is_empty(), "{package} depends on {wrong:?}");
    }
    let found = dependencies("permissions");
    let wrong: Vec<_> = ["versions", "gateway", "http", "bytes", "futures-util"]
        .into_iter()
        .filter(|name| found.contains(*name))
        .collect();
    assert!(wrong.is_empty(), "permissions depends on {wrong:?}");
    assert!(!dependencies("versions").contains("gateway"), "versions depends on gateway");
    assert!(dependencies("gateway").contains("hyper"), "the list of crates can find something");
}

#[test]
fn permissions_and_versions_use_neither_io_nor_clocks() {
    for place in ["permissions/src", "versions/src"] {
        for (path, code) in sources(place) {
            for effect in EFFECTS {
                assert!(!code.contains(effect), "{path} uses {effect}");
            }
            let is_async = code.contains("async fn") || code.contains(".await");
            assert!(place != "permissions/src" || !is_async, "{path} is async");
        }
    }
}

#[test]
fn transport_does_not_use_callers_versions_config_or_store() {
    for (path, code) in sources("gateway/src/transport") {
        let modules = modules_of("crate", &code);
        for room in [
            "app",
            "callers",
            "cli",
            "config",
            "limits",
            "node",
            "pipeline",
            "provisioning",
            "sites",
            "snapshot",
            "store",
            "telemetry",
        ] {
            assert!(!modules.contains(room), "{path} uses crate::{room}");
        }
        assert!(!names_crate(&code, "versions"), "{path} uses versions");
    }
}

/// All SQL is in one module.
#[test]
fn only_the_store_names_rusqlite() {
    const ROOM: &str = "gateway/src/store/sqlite";
    let (inside, outside): (Vec<_>, Vec<_>) = ["gateway/src", "versions/src", "permissions/src"]
        .into_iter()
        .flat_map(sources)
        .filter(|(_, code)| names_crate(code, "rusqlite"))
        .map(|(path, _)| path)
        .partition(|path| path.starts_with(&format!("{ROOM}/")) || *path == format!("{ROOM}.rs"));
    assert!(!inside.is_empty(), "{ROOM} uses rusqlite");
    assert_eq!(outside, Vec::<String>::new(), "rusqlite outside {ROOM}");
}

#[test]
fn only_the_listed_modules_read_the_configuration() {
    let mut readers = BTreeSet::new();
    for (path, code) in sources("gateway/src") {
        let room =
            path.trim_start_matches("gateway/src/").split(['/', '.']).next().unwrap_or_default().to_owned();
        if room != "config" && modules_of("crate", &code).contains("config") {
            readers.insert(room);
        }
    }
    assert_eq!(readers, CONFIG_READERS.map(str::to_owned).into());
}
