//! What a listener serves, in each of its forms, and its certificates.

use super::problems::problems_of;
use super::*;

const CERTIFICATES: &str = "[certificates.partners]\nchain_file = \"c\"\nkey_file = \"k\"\n";

fn https(text: &str) -> Listener {
    let text = format!("[listeners.https]\n{text}\n{CERTIFICATES}");
    let config = read_text(&text).unwrap_or_else(|error| panic!("{error}"));
    config.listeners["https"].clone()
}

#[test]
fn one_site_is_a_list_and_several_are_a_section_each() {
    let one = https("hosts = [\"a.example\"]");
    assert_eq!(one.sites().collect::<Vec<_>>(), [(Service::Api, &["a.example".to_owned()][..])]);
    assert!(one.serves(Service::Api) && !one.serves(Service::Docs));
    let alone = https("[listeners.https.serves.api]");
    assert_eq!(alone.sites().collect::<Vec<_>>(), [(Service::Api, &[][..])]);
    for text in [
        "serves.docs.hosts = [\"B.example.\"]\nserves.api.hosts = [\"a.example\", \"[::1]\"]",
        "serves = { api = { hosts = [\"a.example\", \"[::1]\"] }, docs = { hosts = [\"b.example\"] } }",
        "[listeners.https.serves.api]\nhosts = [\"a.example\", \"[::1]\"]\n[listeners.https.serves.docs]\nhosts = [\"b.example\"]",
    ] {
        let listener = https(text);
        let services: Vec<Service> = listener.sites().map(|(service, _)| service).collect();
        assert_eq!(services, [Service::Api, Service::Docs], "{text}");
        assert_eq!(listener.hosts_of(Service::Api), ["a.example", "[::1]"], "{text}");
        assert_eq!(listener.hosts_of(Service::Docs), ["b.example"], "{text}");
        assert_eq!(listener.hosts_of(Service::Operations), [""; 0], "{text}");
    }
}

#[test]
fn a_certificate_is_one_name_or_a_list() {
    for (value, names) in [
        ("\"\"", &[][..]),
        ("\"local\"", &["local"]),
        ("[\"partners\"]", &["partners"]),
        ("[\"partners\", \"local\"]", &["partners", "local"]),
    ] {
        let listener = https(&format!("protocols = [\"http1\"]\ncertificate = {value}"));
        assert_eq!(listener.certificate, names, "{value}");
    }
    assert_eq!(
        problems_of(&format!(
            "[listeners.https]\ncertificate = [\"partners\", \"local\", \"partners\", \"partner\", \"\"]\n{CERTIFICATES}"
        )),
        [
            "2:37 `listeners.https.certificate` has \"partners\" twice | remove one of them",
            "2:49 `listeners.https.certificate`: there is no certificate \"partner\" | did you mean \"partners\"?",
            "2:60 `listeners.https.certificate`: there is no certificate \"\" | remove it; cleartext and TLS need listeners of their own",
        ]
    );
    let problem = problems_of("[listeners.https]\ncertificate = 5\n").concat();
    assert!(problem.contains("expected the name of a certificate, a list of names"), "{problem}");
}

#[test]
fn sites_that_nothing_tells_apart_are_refused_with_the_remedy() {
    const APART: &str = "the sites of one listener are chosen by host";
    let table = [
        (
            "[listeners.https]\nserves = [\"api\", \"docs\"]\n",
            "2:10 `listeners.https.serves` has more than one entry, and no hosts to tell them apart | write `serves.api.hosts = [\"api.example.com\"]` and `serves.docs.hosts = [\"docs.example.com\"]` instead".to_owned(),
        ),
        (
            "[listeners.https]\nserves = [\"api\", \"api\"]\n",
            "2:18 `listeners.https.serves` has \"api\" twice | a listener serves a site once; remove one of them".to_owned(),
        ),
        (
            "[listeners.https.serves.api]\nhosts = [\"a.example\"]\n[listeners.https.serves.docs]\n",
            format!("3:1 `listeners.https.serves.docs.hosts` is missing or empty | {APART}, so each needs its own"),
        ),
        (
            "[listeners.https.serves.api]\nhosts = [\"a.example\"]\n[listeners.https.serves.docs]\nhosts = [\"b.example\", \"A.Example.\"]\n",
            format!("4:23 `listeners.https.serves.docs.hosts`: \"a.example\" is a host of `api` too | {APART}; remove one of them"),
        ),
        (
            "[listeners.https]\nhosts = [\"a.example\"]\nserves.api.hosts = [\"b.example\"]\n",
            "3:1 `listeners.https.hosts` belongs to no site | move them to `listeners.https.serves.SITE.hosts`".to_owned(),
        ),
        (
            "[listeners.https]\nserves.api.hosts = [\"a.example\"]\nserves.operations.hosts = [\"b.example\"]\n",
            "2:1 `listeners.https.serves` has \"operations\" beside another site | operations need a listener of their own, which responds while the others are busy".to_owned(),
        ),
        (
            "[listeners.https.serves.api]\nhost = []\n",
            "2:1 unknown option `listeners.https.serves.api.host` | did you mean `hosts`?".to_owned(),
        ),
    ];
    for (text, problem) in table {
        assert_eq!(problems_of(text), [problem], "{text}");
    }
    let unknown = problems_of("[listeners.https.serves.doc]\nhosts = []\n");
    assert_eq!(unknown[0], "1:25 unknown option `listeners.https.serves.doc` | did you mean `docs`?");
    let wrong = problems_of("[listeners.https]\nserves.api.hosts = [\"a:80\"]\n").concat();
    assert!(wrong.starts_with("2:21 `listeners.https.serves.api.hosts`: "), "{wrong}");
    assert!(wrong.contains("expected a host name without port"), "{wrong}");
    let list = problems_of("[listeners.https]\nserves.api = [\"a.example\"]\n");
    assert_eq!(
        list[0],
        "2:14 `listeners.https.serves.api` is a section, not a single value | write `[listeners.https.serves.api]` and its options below it"
    );
}

#[test]
fn a_settings_page_is_for_one_plain_listener_of_this_machine() {
    let local = |text: &str| {
        let sources = Sources { profile: Some(Profile::Local), ..Sources::default() };
        let flags = text.lines().filter_map(|line| line.split_once(" = "));
        let flags = flags.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Config::load(&Sources { flags, ..sources })
    };
    let config = local("").unwrap();
    assert_eq!(config.local_api(), Some(("http", "127.0.0.1:10108".parse().unwrap())));
    assert_eq!(config.listeners["settings"].addresses, ["127.0.0.1:10109".parse().unwrap()]);
    assert_eq!(config.first_launch.keys, FirstKeys::None);
    assert_eq!(defaults().local_api(), None);
    for (text, expected) in [
        ("listeners.settings.addresses = [\"0.0.0.0:10109\"]", "for this machine only"),
        ("listeners.settings.trusted_proxies = [\"192.0.2.0/24\"]", "for this machine only"),
        ("listeners.http.addresses = [\"0.0.0.0:10108\"]", "the API has one listener"),
        ("listeners.http.addresses = [\"127.0.0.1:1\", \"[::1]:1\"]", "the API has one listener"),
        ("listeners.https.enabled = true", "the API has one listener"),
        ("listeners.settings.serves = [\"settings\", \"docs\"]", "settings need a listener of their own"),
        ("listeners.docs.serves = [\"settings\"]", "served twice"),
    ] {
        let error = local(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}\n{error}");
    }
}

#[test]
fn sites_need_a_restart() {
    let with = |sites: &str| read_text(&format!("[listeners.https]\n{sites}\n")).unwrap();
    let (api, docs) = ("serves.api.hosts = [\"a.example\"]", "serves.docs.hosts = [\"b.example\"]");
    let both = with(&format!("{api}\n{docs}"));
    for (other, difference) in [
        (with(""), "listeners.https.serves"),
        (with(api), "listeners.https.serves"),
        (with(&format!("{api}\nserves.docs.hosts = [\"c.example\"]")), "listeners.https.serves.docs.hosts"),
    ] {
        assert_eq!(differences_needing_restart(&both, &other), [difference]);
        assert_eq!(differences_needing_restart(&other, &both), [difference]);
    }
}
