//! The changes that the README shows can be applied to the current sources, build and pass.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use std::io::Write as _;

/// The text of each fenced block of a language.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let fence = format!("\n```{language}\n");
    let block = |rest: &'t str| rest.split_once("\n```").map_or(rest, |(block, _)| block);
    text.split(fence.as_str()).skip(1).map(block).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("the folder is there") {
        let entry = entry.expect("it can be read");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().expect("it has a type").is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).expect("it can be copied");
        }
    }
}

fn apply(diff: &str, folder: &Path) {
    let mut git = Command::new("git")
        .args(["apply", "--verbose", "-"])
        .current_dir(folder)
        // The copy is no repository, and git must not use one around it.
        .env("GIT_CEILING_DIRECTORIES", folder.parent().expect("it lies somewhere"))
        .stdin(Stdio::piped())
        .spawn()
        .expect("git is installed");
    let input = git.stdin.take().expect("it is piped");
    (&input).write_all(format!("{diff}\n").as_bytes()).expect("git reads it");
    drop(input);
    assert!(git.wait().expect("git ends").success(), "the README's change does not apply:\n{diff}");
}

#[test]
fn the_changes_that_the_readme_shows_apply_and_build() {
    let repository = tests::repository();
    let readme = fs::read_to_string(repository.join("README.md")).expect("there is a README");
    let diffs = blocks(&readme, "diff");
    assert_eq!(diffs.len(), 2, "a date, and an endpoint");

    // A workspace of the two crates that are changed.
    let folder = tempfile::tempdir().expect("a folder can be made");
    let folder = folder.path();
    for part in ["permissions", "versions"] {
        copy(&repository.join(part), &folder.join(part));
    }
    fs::copy(repository.join("Cargo.lock"), folder.join("Cargo.lock")).expect("there is a lock file");
    let manifest = fs::read_to_string(repository.join("Cargo.toml")).expect("there is a manifest");
    let members = r#"members = ["permissions", "versions", "gateway", "tests", "benches"]"#;
    assert!(manifest.contains(members), "the workspace has other members now");
    let manifest = manifest
        .replace(members, r#"members = ["permissions", "versions"]"#)
        .replace(r#"default-members = ["gateway"]"#, "");
    fs::write(folder.join("Cargo.toml"), manifest).expect("it can be written");

    for (number, diff) in diffs.into_iter().enumerate() {
        apply(diff, folder);
        let mut cargo = Command::new(env!("CARGO"));
        cargo
            .args(["test", "--quiet", "--package", "versions", "--lib", "--target-dir"])
            .arg(repository.join("target/readme"))
            // The contract of the new date does not exist yet: that is the README's next step.
            .args(["--", "--skip", "frozen"])
            .current_dir(folder);
        let output = cargo.output().expect("cargo is installed");
        let log = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "change {number} of the README does not build or pass:\n{log}");
    }
}
