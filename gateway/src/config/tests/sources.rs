//! Tests of files, `conf.d`, the environment and flags: which one wins, and what cannot be read.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A directory that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path =
            std::env::temp_dir().join(format!("partner-gateway-config-{}-{number}", std::process::id()));
        fs::create_dir_all(path.join("conf.d")).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn file(path: impl AsRef<Path>) -> Sources {
    Sources { file: Some(path.as_ref().to_owned()), ..Sources::default() }
}

fn environment(pairs: &[(&str, &str)]) -> Sources {
    let environment = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Sources { environment, ..Sources::default() }
}

fn flag(path: &str, value: &str) -> Sources {
    Sources { flags: vec![(path.to_owned(), value.to_owned())], ..Sources::default() }
}

/// The only problem of the sources: file, line and column, message.
fn problem(sources: &Sources) -> (String, Option<(usize, usize)>, String) {
    let error = Config::load(sources).unwrap_err();
    assert!(!error.to_string().is_empty());
    let [problem] = error.problems() else { panic!("one problem was expected\n{error}") };
    (problem.file.clone(), problem.line.zip(problem.column), problem.message.clone())
}

#[test]
fn a_profile_is_between_the_defaults_and_the_users_own_file() {
    let folder = Folder::new();
    let own = folder.write("gateway.toml", "[listeners.http]\naddresses = [\"127.0.0.1:4000\"]\n");
    let sources = Sources { profile: Some(Profile::Local), ..file(&own) };
    let config = Config::load(&sources).unwrap();
    assert_eq!(config.api.invalid_token_message, "missing or invalid bearer token");
    assert_eq!(config.listeners["http"].addresses, ["127.0.0.1:4000".parse().unwrap()]);
    assert_eq!(config.limits, defaults().limits);
}

#[test]
fn each_layer_overrides_the_one_before() {
    let folder = Folder::new();
    let main = folder.write("gateway.toml", "[api]\nrealm = \"file\"\n[limits]\nheader_fields_max = 1\n");
    let mut sources = file(&main);
    let realm = |sources: &Sources| Config::load(sources).unwrap().api.realm;
    assert_eq!(realm(&Sources::default()), "partner-api");
    assert_eq!(realm(&sources), "file");
    folder.write("conf.d/20.toml", "[api]\nrealm = \"twenty\"\n");
    folder.write("conf.d/10.toml", "[api]\nrealm = \"ten\"\n");
    folder.write("conf.d/30.txt", "[api]\nrealm = \"no configuration\"\n");
    folder.write("conf.d/.40.toml", "[api]\nrealm = \"hidden\"\n");
    assert_eq!(realm(&sources), "twenty");
    sources.environment = vec![("GATEWAY__API__REALM".to_owned(), "environment".to_owned())];
    assert_eq!(realm(&sources), "environment");
    sources.flags = vec![("api.realm".to_owned(), "\"flag\"".to_owned())];
    assert_eq!(realm(&sources), "flag");
    // Tables merge: what the upper layers left out is still that of the file, or of the defaults.
    let config = Config::load(&sources).unwrap();
    assert_eq!((config.limits.header_fields_max, config.api.docs_url.as_str()), (1, ""));
}

#[test]
fn the_system_file_is_read_where_no_file_is_named() {
    let folder = Folder::new();
    let system = folder.0.join("gateway.toml");
    let mut sources = Sources { system: system.clone(), ..Sources::default() };
    assert_eq!(Config::load(&sources).unwrap(), defaults());
    fs::write(&system, "[api]\nrealm = \"system\"\n").unwrap();
    assert_eq!(Config::load(&sources).unwrap().api.realm, "system");
    sources.file = Some(folder.write("own.toml", ""));
    assert_eq!(Config::load(&sources).unwrap().api.realm, "partner-api");
}

#[test]
fn a_problem_is_located_in_its_layer() {
    let folder = Folder::new();
    let main = folder.write("gateway.toml", "[limits]\nheader_fields_max = 100\n");
    let upper = folder.write("conf.d/a.toml", "\n[limits]\n  header_fields_max = 1000\n");
    let (place, position, _) = problem(&file(main));
    assert_eq!((place, position), (upper.display().to_string(), Some((3, 23))));
}

#[test]
fn the_environment_holds_toml_or_plain_text() {
    let config = Config::load(&environment(&[
        ("GATEWAY__LIMITS__KEY_RATE", "500/s"),
        ("GATEWAY__LIMITS__HEADER_BYTES_MAX", "32768"),
        ("GATEWAY__LIMITS__HEADER_FIELDS_MAX", "50"),
        ("GATEWAY__TLS__MINIMUM_VERSION", "1.3"),
        ("GATEWAY__API__REALM", "2024-01-01"),
        ("GATEWAY__API__DOCS_URL", "\"/quoted\""),
        ("GATEWAY__LISTENERS__HTTPS__ADDRESSES", "[\"0.0.0.0:443\"]"),
        ("GATEWAY__LISTENERS__HTTPS__CERTIFICATE", "own"),
        ("GATEWAY__CERTIFICATES__OWN__CHAIN_FILE", "/c.pem"),
        ("GATEWAY__CERTIFICATES__OWN__KEY_FILE", "/k.pem"),
        ("GATEWAY__LOG", "{ level = \"debug\" }"),
        ("GATEWAY__LOG__ACCESS", "false"),
        ("GATEWAY_PORT", "tcp://10.0.0.1:8080"),
        ("GATEWAY_SERVICE_HOST", "10.0.0.1"),
        ("GATEWAY_LIMITS", "not ours"),
        ("GATEWAY_", "not ours"),
        ("PATH", "/bin"),
    ]))
    .unwrap();
    assert_eq!(config.limits.key_rate.to_string(), "500/s");
    assert_eq!((config.limits.header_bytes_max, config.limits.header_fields_max), (32768, 50));
    assert_eq!(config.tls.minimum_version, TlsVersion::V1_3);
    assert_eq!((config.api.realm.as_str(), config.api.docs_url.as_str()), ("2024-01-01", "/quoted"));
    assert_eq!(config.listeners["https"].addresses[0].to_string(), "0.0.0.0:443");
    assert_eq!(config.certificates["own"].chain_file, Path::new("/c.pem"));
    assert_eq!((config.log.level, config.log.access), (Level::Debug, false));
}

#[test]
fn the_environment_holds_sites_and_certificates() {
    let config = Config::load(&environment(&[
        ("GATEWAY__LISTENERS__HTTPS__SERVES__API__HOSTS", "[\"api.example.com\"]"),
        ("GATEWAY__LISTENERS__HTTPS__SERVES__DOCS", "{ hosts = [\"docs.example.com\"] }"),
        ("GATEWAY__LISTENERS__HTTPS__CERTIFICATE", "[\"own\", \"local\"]"),
        ("GATEWAY__CERTIFICATES__OWN__CHAIN_FILE", "/c.pem"),
        ("GATEWAY__CERTIFICATES__OWN__KEY_FILE", "/k.pem"),
    ]))
    .unwrap();
    let listener = &config.listeners["https"];
    assert_eq!(listener.certificate, ["own", "local"]);
    assert_eq!(listener.hosts_of(Service::Api), ["api.example.com"]);
    assert_eq!(listener.hosts_of(Service::Docs), ["docs.example.com"]);
}

#[test]
fn a_wrong_variable_or_flag_is_named() {
    let table = [
        (
            environment(&[("GATEWAY__LIMITS__KEY_RAT", "5/s")]),
            "environment variable GATEWAY__LIMITS__KEY_RAT",
            (1, 18),
            "unknown option `limits.key_rat`",
        ),
        (environment(&[("GATEWAY__", "1")]), "environment variable GATEWAY__", (1, 10), "unknown option ``"),
        (
            environment(&[("GATEWAY__LIMITS", "1")]),
            "environment variable GATEWAY__LIMITS",
            (1, 17),
            "`limits` is a section, not a single value",
        ),
        (
            environment(&[("GATEWAY__LOG__ACCESS", "yes")]),
            "environment variable GATEWAY__LOG__ACCESS",
            (1, 22),
            "`log.access`: invalid type: string \"yes\", expected `true` or `false`",
        ),
        (
            environment(&[("GATEWAY__LISTENERS__HTTP__ENABLED", "0")]),
            "environment variable GATEWAY__LISTENERS__HTTP__ENABLED",
            (1, 35),
            "`listeners.http.enabled`: invalid type: integer `0`, expected `true` or `false`",
        ),
        (flag("log.levle", "\"info\""), "flag for log.levle", (1, 5), "unknown option `log.levle`"),
        (
            flag("log.access", "1"),
            "flag for log.access",
            (1, 12),
            "`log.access`: invalid type: integer `1`, expected `true` or `false`",
        ),
    ];
    for (sources, file, place, message) in table {
        assert_eq!(problem(&sources), (file.to_owned(), Some(place), message.to_owned()));
    }
}

#[test]
fn a_variable_with_wrong_underscores_is_refused_with_the_right_name() {
    for (name, right) in [
        ("GATEWAY_LIMITS_KEY_RATE", "GATEWAY__LIMITS__KEY_RATE"),
        ("GATEWAY_LIMITS__KEY_RATE", "GATEWAY__LIMITS__KEY_RATE"),
        ("GATEWAY__LIMITS_KEY_RATE", "GATEWAY__LIMITS__KEY_RATE"),
        ("GATEWAY__LIMITS__KEY__RATE", "GATEWAY__LIMITS__KEY_RATE"),
        ("GATEWAY_api_brand", "GATEWAY__API__BRAND"),
        ("GATEWAY_LISTENERS_HTTP_ALT_SVC_PORT", "GATEWAY__LISTENERS__HTTP__ALT_SVC_PORT"),
        ("GATEWAY_LISTENERS_MY_OWN_HOSTS", "GATEWAY__LISTENERS__MY_OWN__HOSTS"),
        ("GATEWAY_LISTENERS_MY_OWN_SERVES_API_HOSTS", "GATEWAY__LISTENERS__MY_OWN__SERVES__API__HOSTS"),
        ("GATEWAY_CERTIFICATES_PARTNERS_KEY_FILE", "GATEWAY__CERTIFICATES__PARTNERS__KEY_FILE"),
    ] {
        let sources = environment(&[(name, "1")]);
        let (place, position, message) = problem(&sources);
        assert_eq!((place, position), (format!("environment variable {name}"), Some((1, 1))));
        assert_eq!(message, format!("environment variable {name} does not name an option"));
        let error = Config::load(&sources).unwrap_err();
        assert_eq!(error.problems()[0].help.as_deref(), Some(format!("write {right}").as_str()));
        assert!(error.to_string().contains("two underscores"), "{error}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let folder = Folder::new();
    let message = |path: PathBuf| {
        let (place, position, message) = problem(&file(&path));
        assert_eq!((place, position), (path.display().to_string(), None));
        message
    };
    assert_eq!(message(folder.0.join("absent.toml")), "there is no such configuration file");
    assert_eq!(message(folder.0.join("conf.d")), "this is a directory, not a configuration file");
    let large = folder.write("large.toml", vec![b'#'; (1 << 20) + 1]);
    assert_eq!(message(large), "the configuration file is larger than 1 MiB");
    let largest = folder.write("largest.toml", vec![b'#'; 1 << 20]);
    assert!(Config::load(&file(largest)).is_ok());
    let bytes = folder.write("bytes.toml", b"[api]\n# \xc3\xa4 \xff\n");
    let (place, position, message) = problem(&file(&bytes));
    assert_eq!((place, position), (bytes.display().to_string(), Some((2, 5))));
    assert_eq!(message, "the configuration file is not UTF-8");
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_are_read() {
    let folder = Folder::new();
    let path = folder.write("gateway.toml", "\u{feff}[api]\r\nrealm = \"windows\"\r\n");
    assert_eq!(Config::load(&file(path)).unwrap().api.realm, "windows");
}

#[test]
fn the_deepest_nesting_is_refused_and_no_stack_overflows() {
    let folder = Folder::new();
    let key = vec!["a"; 79].join(".");
    let text = format!("{key} = {}1{}\n", format!("{{{key}=").repeat(79), "}".repeat(79));
    let path = folder.write("gateway.toml", &text);
    assert_eq!(problem(&file(path)).2, "unknown option `a`");
    assert!(Config::load(&flag("api.realm", &text[key.len() + 3..])).is_err());
    assert!(Config::load(&flag(&vec!["a"; 100_000].join("."), "1")).is_err());
}

/// Each of these would take time quadratic in its length if every location in it were computed.
#[test]
fn a_long_file_of_mistakes_is_refused_quickly() {
    let folder = Folder::new();
    let fill = |line: &dyn Fn(usize) -> String| {
        let lines = (0..).map(line).scan(0, |length, line| {
            *length += line.len();
            (*length <= 1 << 18).then_some(line)
        });
        lines.collect::<String>()
    };
    for text in [
        fill(&|number| format!("unknown_{number} = 1\n")),
        fill(&|_| "]\n".to_owned()),
        fill(&|_| "x = \n".to_owned()),
        fill(&|number| format!("[listeners.l{number}]\naddresses = 1\n")),
        fill(&|number| format!("[listeners.l{number}]\n")),
    ] {
        let error = Config::load(&file(folder.write("gateway.toml", text))).unwrap_err();
        assert!(error.problems().len() <= 51 && error.to_string().len() < 1 << 20);
    }
}

#[test]
fn only_variables_of_the_gateway_are_read() {
    assert!(Sources::process_environment().iter().all(|(name, _)| name.starts_with("GATEWAY_")));
}
