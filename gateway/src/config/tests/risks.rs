//! Warnings: options that expose too much, and files that others may change.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::*;

fn of_text(text: &str) -> Vec<String> {
    warnings(&read_text(text).unwrap(), &Sources::default())
}

#[test]
fn the_defaults_have_no_warnings() {
    assert_eq!(of_text(""), [""; 0]);
}

#[test]
fn options_that_expose_too_much_are_reported() {
    for (text, clues) in [
        (
            "[listeners.http]\ntrusted_proxies = [\"10.0.0.0/8\", \"0.0.0.0/0\"]\n",
            ["http.trusted_proxies", "0.0.0.0/0"],
        ),
        ("[listeners.https]\ntrusted_proxies = [\"::/0\"]\n", ["https.trusted_proxies", "::/0"]),
        (
            "[listeners.operations]\naddresses = [\"0.0.0.0:9180\"]\n",
            ["operations.addresses", "0.0.0.0:9180"],
        ),
        ("[listeners.operations]\naddresses = [\"[::]:9180\"]\n", ["operations.addresses", "[::]:9180"]),
        ("[listeners.http]\naddresses = [\"0.0.0.0:80\"]\n", ["cleartext", "http.certificate"]),
        ("[listeners.docs]\naddresses = [\"0.0.0.0:80\"]\n", ["`api.public_url`", "host names"]),
        (
            "[mail]\nhost = \"smtp.example.com\"\nfrom = \"a@example.com\"\ntls = \"none\"\n",
            ["`mail.tls`", "cleartext"],
        ),
        (
            "[listeners.docs]\naddresses = [\"192.0.2.1:80\"]\n[listeners.https]\naddresses = [\"0.0.0.0:443\"]\n",
            ["`api.public_url`", "host names"],
        ),
    ] {
        let warnings = of_text(text);
        let [warning] = &warnings[..] else { panic!("{text}: {warnings:?}") };
        assert!(clues.iter().all(|clue| warning.contains(clue)), "{warning}");
    }
}

#[test]
fn usual_settings_are_not_reported() {
    for text in [
        "[listeners.http]\naddresses = [\"0.0.0.0:80\"]\ntrusted_proxies = [\"10.0.0.0/8\"]\n",
        "[listeners.http]\nenabled = false\naddresses = [\"0.0.0.0:80\"]\n",
        "[listeners.https]\naddresses = [\"0.0.0.0:443\"]\n",
        "[listeners.docs]\naddresses = [\"0.0.0.0:80\"]\n[api]\npublic_url = \"https://api.example.com\"\n",
        "[listeners.docs]\naddresses = [\"0.0.0.0:80\"]\n[listeners.https]\nhosts = [\"localhost\", \"api.example.com\"]\n",
        "[listeners.docs]\naddresses = [\"0.0.0.0:80\"]\n[listeners.https]\naddresses = [\"192.0.2.1:443\"]\n",
        "[listeners.operations]\naddresses = [\"10.0.0.1:9180\"]\n",
    ] {
        assert_eq!(of_text(text), [""; 0], "{text}");
    }
}

#[test]
fn files_and_directories_that_others_may_write_are_reported() {
    let parent = tempfile::tempdir().unwrap();
    let (main, directory) = (parent.path().join("gateway.toml"), parent.path().join("conf.d"));
    let more = directory.join("10.toml");
    fs::create_dir(&directory).unwrap();
    fs::write(&main, "").unwrap();
    fs::write(&more, "").unwrap();
    let set = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let private = || {
        for (path, mode) in [(parent.path(), 0o755), (&directory, 0o755), (&main, 0o644), (&more, 0o644)] {
            set(path, mode);
        }
    };
    let sources = Sources { file: Some(main.clone()), ..Sources::default() };
    let found = || warnings(&Config::load(&sources).unwrap(), &sources);
    private();
    assert_eq!(found(), [""; 0]);
    for path in [&main, &more, &directory, parent.path()] {
        private();
        set(path, 0o777);
        let warnings = found();
        let [warning] = &warnings[..] else { panic!("{}: {warnings:?}", path.display()) };
        assert!(
            warning.starts_with(&format!("{} can be changed by every user", path.display())),
            "{warning}"
        );
    }
    // Nobody can replace another user's file in a sticky directory, such as /tmp.
    private();
    set(parent.path(), 0o1777);
    assert_eq!(found(), [""; 0]);
}

#[test]
fn a_secret_that_others_may_read_is_reported() {
    let parent = tempfile::tempdir().unwrap();
    let key = parent.path().join("key.pem");
    fs::write(&key, "").unwrap();
    let file = key.display();
    for (text, what) in [
        (
            format!("[certificates.a]\nchain_file = \"c\"\nkey_file = \"{file}\"\n"),
            "the private key; run: chmod o-rwx",
        ),
        (
            format!(
                "[identity.providers.a]\nissuer = \"https://a\"\naudience = \"a\"\nclient_id = \"a\"\nclient_secret_file = \"{file}\"\n"
            ),
            "the client secret; run: chmod o-rwx",
        ),
    ] {
        for (mode, reported) in [(0o644, true), (0o640, false), (0o600, false)] {
            fs::set_permissions(&key, Permissions::from_mode(mode)).unwrap();
            let warnings = of_text(&text);
            assert_eq!(warnings.iter().any(|warning| warning.contains(what)), reported, "{warnings:?}");
        }
    }
}
