//! Each kind of mistake, with the exact location and message.

use super::*;

/// The problems of a text as `line:column message`, each with its help after ` | `.
pub(super) fn problems_of(text: &str) -> Vec<String> {
    let Err(error) = read_text(text) else { return Vec::new() };
    let printed = error.to_string();
    let line = |problem: &Problem| {
        assert_eq!(problem.file, "test.toml", "{problem:?}");
        let (line, column) = (problem.line.unwrap(), problem.column.unwrap());
        assert!(printed.contains(&format!("test.toml:{line}:{column}")), "{printed}");
        let help = problem.help.as_ref().map(|help| format!(" | {help}")).unwrap_or_default();
        format!("{line}:{column} {}{help}", problem.message)
    };
    error.problems().iter().map(line).collect()
}

/// The one problem of `option = value` in a section.
fn wrong(section: &str, option: &str, value: &str) -> String {
    let problems = problems_of(&format!("[{section}]\n{option} = {value}\n"));
    assert_eq!(problems.len(), 1, "{section}.{option} = {value}: {problems:?}");
    problems.concat()
}

#[test]
fn a_wrong_value_is_reported_with_what_is_allowed() {
    let table = [
        ("runtime", "workers", "-1", "invalid value: integer `-1`, expected an integer from 0 to 1024", "0"),
        (
            "runtime",
            "workers",
            "1025",
            "invalid value: integer `1025`, expected an integer from 0 to 1024",
            "0",
        ),
        (
            "runtime",
            "workers",
            "\"4\"",
            "invalid type: string \"4\", expected an integer from 0 to 1024",
            "0",
        ),
        (
            "runtime",
            "workers",
            "1.5",
            "invalid type: floating point `1.5`, expected an integer from 0 to 1024",
            "0",
        ),
        ("log", "access", "1", "invalid type: integer `1`, expected `true` or `false`", "true"),
        (
            "log",
            "level",
            "\"loud\"",
            "unknown variant `loud`, expected one of `error`, `warn`, `info`, `debug`, `trace`",
            "\"info\"",
        ),
        ("tls", "minimum_version", "\"1.1\"", "unknown variant `1.1`, expected `1.2` or `1.3`", "\"1.2\""),
        (
            "timeouts",
            "idle",
            "10",
            "invalid type: integer `10`, expected a duration with its unit from 1ms to 24h, such as `10s`",
            "\"75s\"",
        ),
        (
            "timeouts",
            "idle",
            "\"-1s\"",
            "invalid value: string \"-1s\", expected a duration with its unit from 1ms to 24h, such as `10s`",
            "\"75s\"",
        ),
        (
            "timeouts",
            "idle",
            "\"0s\"",
            "invalid value: string \"0s\", expected a duration with its unit from 1ms to 24h, such as `10s`",
            "\"75s\"",
        ),
        (
            "timeouts",
            "idle",
            "\"25h\"",
            "invalid value: string \"25h\", expected a duration with its unit from 1ms to 24h, such as `10s`",
            "\"75s\"",
        ),
        (
            "limits",
            "header_bytes_max",
            "1023",
            "invalid value: integer `1023`, expected a size from 1KiB to 64KiB, such as `16KiB`",
            "\"16KiB\"",
        ),
        (
            "limits",
            "header_bytes_max",
            "\"65KiB\"",
            "invalid value: string \"65KiB\", expected a size from 1KiB to 64KiB, such as `16KiB`",
            "\"16KiB\"",
        ),
        (
            "limits",
            "body_bytes_max",
            "\"2GiB\"",
            "invalid value: string \"2GiB\", expected a size from 0B to 1GiB, such as `16KiB`",
            "\"1MiB\"",
        ),
        (
            "limits",
            "header_fields_max",
            "0",
            "invalid value: integer `0`, expected an integer from 1 to 100",
            "100",
        ),
        (
            "limits",
            "connections_max",
            "0",
            "invalid value: integer `0`, expected an integer from 1 to 16777216",
            "16_384",
        ),
        (
            "api",
            "realm",
            "'a\"b'",
            "invalid value: string \"a\\\"b\", expected 1 to 200 printable ASCII characters, none of them `\"` or `\\`",
            "\"partner-api\"",
        ),
        (
            "api",
            "brand",
            "\"P\"",
            "`P` is not a brand; it is 2 to 16 of a-z and 0-9, beginning with a letter",
            "\"pgw\"",
        ),
    ];
    for (section, option, value, message, default) in table {
        let column = option.len() + 4;
        let expected = format!("2:{column} `{section}.{option}`: {message} | the default is {default}");
        assert_eq!(wrong(section, option, value), expected);
    }
    let rate = wrong("limits", "key_rate", "\"5/d\"");
    assert!(
        rate.starts_with("2:12 `limits.key_rate`: `5/d` is not a rate; write requests per second"),
        "{rate}"
    );
    assert!(wrong("limits", "key_rate", "\"5/s+0\"").contains("each number from 1 to"));
}

#[test]
fn a_value_that_lacks_quotes_is_suggested_with_quotes() {
    for (section, option, value) in [
        ("tls", "minimum_version", "1.3"),
        ("versions.2026-02-01", "published", "2026-02-01"),
        ("api", "realm", "5"),
    ] {
        let problem = wrong(section, option, value);
        assert!(problem.ends_with(&format!("write it in quotes: `{option} = \"{value}\"`")), "{problem}");
    }
    // With quotes these are just as invalid.
    for (section, option, value) in [("tls", "minimum_version", "1.1"), ("timeouts", "idle", "10")] {
        let problem = wrong(section, option, value);
        assert!(!problem.contains("quotes"), "{problem}");
    }
}

#[test]
fn a_file_in_place_of_a_certificate_gets_a_hint_that_is_valid_toml() {
    for file in ["/etc/ssl/cert.pem", "C:\\ssl\\cert.pem", "my \"own\" cert"] {
        let problem = wrong("listeners.https", "certificate", &toml::Value::from(file).to_string());
        let hints: Vec<&str> = problem.split('`').filter(|hint| hint.contains(" = ")).collect();
        let [certificate, chain] = hints[..] else { panic!("{problem}") };
        let text = format!(
            "[listeners.https]\n{certificate}\n[certificates.partners]\n{chain}\nkey_file = \"/etc/ssl/key.pem\"\n"
        );
        let config = read_text(&text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(config.certificates["partners"].chain_file.to_str(), Some(file));
    }
}

#[test]
fn a_wrong_element_of_a_list_is_located() {
    let listener = |option: &str, value: &str| wrong("listeners.http", option, value);
    let table = [
        ("addresses", "[\"127.0.0.1:1\", \"localhost:2\"]", "2:29", "expected an IP address and a port"),
        ("hosts", "[\"a:80\"]", "2:10", "expected a host name without port"),
        ("hosts", "[\"a b\"]", "2:10", "expected a host name without port"),
        ("trusted_proxies", "[\"10.0.0.0/33\"]", "2:20", "expected a network or an IP address"),
        (
            "protocols",
            "[\"http1\", \"h2\"]",
            "2:23",
            "unknown variant `h2`, expected one of `http1`, `http2`, `http3`",
        ),
        ("environments", "[\"prod\"]", "2:17", "unknown variant `prod`, expected `staging` or `production`"),
        ("serves", "\"api\"", "2:10", "invalid type: string \"api\", expected a list such as `[\"api\"]`"),
        ("alt_svc_port", "65536", "2:16", "expected an integer from 0 to 65535"),
    ];
    for (option, value, place, message) in table {
        let problem = listener(option, value);
        assert!(problem.starts_with(place) && problem.contains(message), "{problem}");
    }
}

#[test]
fn an_unknown_name_is_reported_with_a_similar_one() {
    assert_eq!(
        wrong("limits", "key_rat", "1"),
        "2:1 unknown option `limits.key_rat` | did you mean `key_rate`?"
    );
    assert_eq!(
        wrong("limits", "key-rate", "1"),
        "2:1 unknown option `limits.key-rate` | did you mean `key_rate`?"
    );
    // An option that was probably meant by the unknown name is not also reported as missing; any other is.
    assert_eq!(
        problems_of("[listeners.new]\nadresses = 1\n"),
        [
            "2:1 unknown option `listeners.new.adresses` | did you mean `addresses`?",
            "1:1 `listeners.new.serves` is missing or empty | set what it serves: `serves = [\"api\"]`",
        ]
    );
    assert_eq!(
        problems_of("[certificates.a]\nkey = 1\nchain_file = \"c\"\n"),
        [
            "2:1 unknown option `certificates.a.key` | the options are `chain_file`, `key_file`",
            "1:1 `certificates.a.key_file` is missing or empty | a certificate needs `chain_file` and `key_file`, both PEM",
        ]
    );
    assert_eq!(
        wrong("log", "key_rate", "1"),
        "2:1 unknown option `log.key_rate` | `key_rate` belongs to the section `[limits]`"
    );
    assert_eq!(wrong("tls", "x", "1"), "2:1 unknown option `tls.x` | the options are `minimum_version`");
    assert_eq!(problems_of("[limit]\nkey_rate = 1"), ["1:2 unknown option `limit` | did you mean `limits`?"]);
    assert_eq!(
        problems_of("key_rate = 1"),
        ["1:1 unknown option `key_rate` | `key_rate` belongs to the section `[limits]`"]
    );
}

#[test]
fn a_section_in_place_of_a_value_is_refused_and_the_reverse() {
    assert_eq!(
        problems_of("limits = 5"),
        ["1:10 `limits` is a section, not a single value | write `[limits]` and its options below it"]
    );
    assert_eq!(
        problems_of("[limits.key_rate]\na = 1"),
        ["1:1 `limits.key_rate` is a single value, not a section"]
    );
    assert_eq!(
        problems_of("[listeners]\nhttp = true"),
        [
            "2:8 `listeners.http` is a section, not a single value | write `[listeners.http]` and its options below it"
        ]
    );
    assert_eq!(problems_of("[[listeners.http]]\nenabled = true").len(), 1);
}

#[test]
fn all_unknown_names_and_wrong_values_are_reported_at_once() {
    let text = "[limits]\nkey_rat = 1\nkey_rate = \"x\"\nheader_fields_max = 0\n[log]\nlevel = 3\n[ap]\n[listeners.http]\nhosts = [1]\n";
    let mut places: Vec<_> = problems_of(text).iter().map(|problem| problem[..4].trim().to_owned()).collect();
    places.sort();
    assert_eq!(places, ["2:1", "3:12", "4:21", "6:9", "7:2", "9:10"]);
}

#[test]
fn unknown_names_wrong_values_and_conflicts_are_reported_in_one_run() {
    let text = "[limits]\nkey_rat = 1\nheader_fields_max = 0\nuri_bytes_max = \"17KiB\"\n[drain]\ndeadline = \"1s\"\n\
                [listeners.https]\ncertificate = \"nowhere\"\n";
    let mut places: Vec<_> = problems_of(text).iter().map(|problem| problem[..4].trim().to_owned()).collect();
    places.sort();
    assert_eq!(places, ["2:1", "3:21", "4:17", "6:12", "8:15"]);
}

#[test]
fn a_default_that_replaces_a_wrong_value_causes_no_conflict() {
    let text = "[limits]\nheader_bytes_max = \"big\"\nuri_bytes_max = \"17KiB\"\n[drain]\nannounce = \"40s\"\ndeadline = 40\n";
    let mut places: Vec<_> = problems_of(text).iter().map(|problem| problem[..4].trim().to_owned()).collect();
    places.sort();
    assert_eq!(places, ["2:20", "6:12"]);
}

#[test]
fn a_value_out_of_range_is_refused_with_the_range() {
    for (section, option, value, range) in [
        ("store", "change_interval", "\"24h\"", "from 1ms to 1s"),
        ("store", "change_interval", "\"1001ms\"", "from 1ms to 1s"),
        ("store", "change_interval", "\"0s\"", "from 1ms to 1s"),
        ("store", "heartbeat_interval", "\"24h\"", "from 100ms to 1m"),
        ("store", "heartbeat_interval", "\"1ms\"", "from 100ms to 1m"),
        ("store", "busy_timeout", "\"1h\"", "from 1ms to 5m"),
        ("store", "last_used_interval", "\"1ms\"", "from 100ms to 24h"),
        ("timeouts", "handshake", "\"24h\"", "from 100ms to 5m"),
        ("timeouts", "handshake", "\"1ms\"", "from 100ms to 5m"),
        ("timeouts", "header", "\"24h\"", "from 100ms to 5m"),
        ("timeouts", "body", "\"24h\"", "from 100ms to 1h"),
        ("timeouts", "write", "\"24h\"", "from 100ms to 1h"),
        ("timeouts", "request", "\"1ms\"", "from 100ms to 24h"),
        ("timeouts", "goodbye", "\"24h\"", "from 1ms to 5m"),
        ("drain", "deadline", "\"24h\"", "from 1ms to 1h"),
        ("drain", "announce", "\"24h\"", "from 0s to 1h"),
        ("limits", "failure_addresses_max", "16_777_216", "from 1 to 1048576"),
        ("log", "queue_lines_max", "16_777_216", "from 1 to 1048576"),
        ("log", "queue_lines_max", "0", "from 1 to 1048576"),
    ] {
        let problem = wrong(section, option, value);
        assert!(problem.contains(range), "{section}.{option} = {value}: {problem}");
    }
}

#[test]
fn an_unusable_contact_is_reported_with_an_example() {
    for value in ["[\"security@example.com\"]", "[\"mailto:a@example.com\", \"http://example.com\"]"] {
        let problem = wrong("docs", "security_contacts", value);
        assert!(problem.contains("a URI such as `mailto:security@example.com`"), "{problem}");
    }
    let problem = wrong("docs", "security_policy", "\"http://example.com\"");
    assert!(problem.contains("a URL such as `https://example.com/security-policy`"), "{problem}");
}

#[test]
fn a_syntax_error_is_located() {
    assert_eq!(problems_of("[limits]\nkey_rate = \"5/s\nx = 1\n")[0][..5], *"2:16 ");
    assert_eq!(problems_of("[log]\nlevel = \"info\"\nlevel = \"warn\"\n"), ["3:1 duplicate key"]);
    assert_eq!(problems_of("a = [\n").len(), 1);
    assert_eq!(problems_of("# ä ö\nä = 1")[0][..3], *"2:1");
}

#[test]
fn mail_without_a_sender_or_with_a_password_in_cleartext_is_reported() {
    for (text, expected) in [
        ("host = \"smtp.example.com\"", "`mail.host` is set, but `mail.from` is empty"),
        (
            "host = \"127.0.0.1\"\nfrom = \"a@example.com\"\nusername = \"u\"",
            "`mail.username` and `mail.password_file` are only used together",
        ),
        ("host = \"::1\"\nfrom = \"a@example.com\"", "`mail.host`: invalid value: string \"::1\""),
        (
            "host = \"[::1]\"\nfrom = \"a@example.com\"\ntls = \"none\"\nusername = \"u\"\npassword_file = \"f\"",
            "`mail.tls` is \"none\", so the password would be sent in cleartext",
        ),
        ("from = \"a@example.com, b@example.com\"", "`mail.from`: invalid value"),
    ] {
        let problems = problems_of(&format!("[mail]\n{text}\n"));
        let [problem] = &problems[..] else { panic!("{text}: {problems:?}") };
        assert!(problem.contains(expected), "{problem}");
    }
    // Without a host, nothing of it is used.
    assert!(read_text("[mail]\nusername = \"u\"\n").is_ok());
}

#[test]
fn all_conflicting_options_are_reported() {
    let text = "\
[listeners.http]
protocols = [\"http1\", \"http3\"]
[listeners.https]
certificate = \"partner\"
addresses = [\"127.0.0.1:8080\"]
[listeners.operations]
serves = [\"operations\", \"api\"]
[listeners.empty]
protocols = []
[certificates.partners]
chain_file = \"c\"
[certificates.local]
chain_file = \"c\"
key_file = \"k\"
[limits]
uri_bytes_max = \"17KiB\"
quic_retry_threshold = 1025
[drain]
deadline = \"1s\"
";
    assert_eq!(
        problems_of(text),
        [
            "8:1 `listeners.empty.addresses` is missing or empty | set the addresses to bind to: `addresses = [\"127.0.0.1:8080\"]`",
            "9:13 `listeners.empty.protocols` is missing or empty | choose from \"http1\", \"http2\" and \"http3\"",
            "8:1 `listeners.empty.serves` is missing or empty | set what it serves: `serves = [\"api\"]`",
            "2:13 `listeners.http.protocols` has \"http3\", which needs a certificate | set a certificate, or remove \"http3\"",
            "4:15 `listeners.https.certificate`: there is no certificate \"partner\" | did you mean \"partners\"?",
            "7:10 `listeners.operations.environments` is missing or empty | choose \"staging\", \"production\" or both",
            "7:10 `listeners.operations.serves` has \"operations\" beside another site | operations need a listener of their own, which responds while the others are busy",
            "5:14 `listeners.https.addresses`: 127.0.0.1:8080 is bound twice",
            "12:1 `certificates`: \"local\" is the certificate that the first launch creates; choose another name",
            "10:1 `certificates.partners.key_file` is missing or empty | a certificate needs `chain_file` and `key_file`, both PEM",
            "16:17 `limits.uri_bytes_max` must be at most `limits.header_bytes_max`: it is 17408 bytes, the other 16384 bytes",
            "17:24 `limits.quic_retry_threshold` must be at most `limits.quic_handshakes_max`: it is 1025, the other 1024",
            "19:12 `drain.announce` must be shorter than `drain.deadline`: it is 1s, the other 1s",
        ]
    );
}

#[test]
fn one_listener_serves_the_api() {
    let text = "[listeners.http]\nenabled = false\n[listeners.https]\nserves = [\"operations\"]\n";
    assert_eq!(
        problems_of(text),
        [
            "2:11 no enabled listener serves the API | one listener needs `enabled = true` and `serves = [\"api\"]`"
        ]
    );
}

#[test]
fn an_address_may_be_used_once_by_tcp_and_once_by_udp() {
    let quic = "[listeners.https]\nprotocols = [\"http3\"]\naddresses = [\"127.0.0.1:8080\"]\n";
    assert_eq!(problems_of(quic), [""; 0]);
    let any_port = "[listeners.https]\naddresses = [\"127.0.0.1:0\", \"127.0.0.1:0\"]\n";
    assert_eq!(problems_of(any_port), [""; 0]);
    let same = "[listeners.https]\naddresses = [\"127.0.0.1:8443\", \"127.0.0.1:8443\"]\n";
    assert_eq!(problems_of(same), ["2:32 `listeners.https.addresses`: 127.0.0.1:8443 is bound twice"]);
}

#[test]
fn a_disabled_listener_may_be_incomplete() {
    assert_eq!(problems_of("[listeners.later]\nenabled = false\ncertificate = \"none yet\"\n"), [""; 0]);
}

#[test]
fn a_problem_is_rendered_with_its_line() {
    let error = read_text("[limits]\nkey_rat = \"5/s\"\n").unwrap_err();
    let expected = "\
error: unknown option `limits.key_rat`
 --> test.toml:2:1
  |
2 | key_rat = \"5/s\"
  | ^^^^^^^
  |
  = help: did you mean `key_rate`?";
    assert_eq!(error.to_string(), expected);
    assert_eq!(format!("{error:?}"), expected);
    assert!(error.render(true).contains("\u{1b}["));
    let json = serde_json::to_value(error.problems()).unwrap();
    assert_eq!(json[0]["file"], "test.toml");
    assert_eq!((&json[0]["line"], &json[0]["column"]), (&2.into(), &1.into()));
    assert_eq!(json[0]["help"], "did you mean `key_rate`?");
}

#[test]
fn a_conflict_between_two_layers_shows_both() {
    let printed = read_text("[drain]\ndeadline = \"500ms\"\n").unwrap_err().to_string();
    assert!(
        printed.contains("test.toml:2:12") && printed.contains("gateway.toml (compiled in):"),
        "{printed}"
    );
}

#[test]
fn the_name_of_a_source_is_printed_without_control_characters() {
    let flags = vec![("limits.\u{1b}[2Jkey\n".to_owned(), "1".to_owned())];
    let environment = vec![("GATEWAY__LIMITS__\u{1b}]0;x\u{7}".to_owned(), "1".to_owned())];
    let file = Some(PathBuf::from("/nowhere/\u{1b}[31mgateway.toml"));
    for sources in [
        Sources { flags, ..Sources::default() },
        Sources { environment, ..Sources::default() },
        Sources { file, ..Sources::default() },
    ] {
        let error = Config::load(&sources).unwrap_err();
        let printed = error.render(false) + &error.problems()[0].file;
        assert!(!printed.contains(['\u{1b}', '\u{7}']), "{printed:?}");
    }
}

#[test]
fn a_message_has_no_control_characters_and_a_bounded_length() {
    let long = format!("[api]\nbrand = \"\\u001b[31m{}\"\n", "x".repeat(100_000));
    let error = read_text(&long).unwrap_err();
    assert!(error.problems()[0].message.len() < 500);
    assert!(!error.problems()[0].message.contains('\u{1b}'));
    assert!(error.to_string().len() < 2_000, "{}", error.to_string().len());
    let many: String = (0..500).map(|number| format!("unknown_{number} = 1\n")).collect();
    let error = read_text(&many).unwrap_err();
    assert_eq!(error.problems().len(), 51);
    assert!(error.to_string().ends_with("\n\nerror: there are 450 more problems"));
}

#[test]
fn names_of_listeners_and_certificates_need_no_escaping() {
    let text =
        "[listeners.\"a.b\"]\nenabled = false\n[certificates.\"\"]\nchain_file = \"c\"\nkey_file = \"k\"\n";
    assert_eq!(
        problems_of(text),
        [
            "1:1 `listeners`: \"a.b\" is not a name: 1 to 32 of a-z, 0-9, `_` and `-`",
            "3:1 `certificates`: \"\" is not a name: 1 to 32 of a-z, 0-9, `_` and `-`",
        ]
    );
}
