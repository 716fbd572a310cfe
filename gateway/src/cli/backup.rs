//! `backup DIR`: copies the data folder to one that can replace it; the server may be running.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use zeroize::Zeroizing;

use super::exit::WrongUsage;
use super::output::{print, print_json};
use super::{Form, Session};
use crate::folder::{DataFolder, sync_folder, write_private};
use crate::store::Store;

/// No certificate or key is larger; a larger file was put there by mistake.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The folder to write to; it must be new or empty
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    form: Form,
}

pub(super) fn run(arguments: &Arguments, session: &Session) -> anyhow::Result<()> {
    refuse_inside(&arguments.folder, session.folder.path())?;
    let mut store = Store::open_existing(&session.folder, session.busy_timeout())?;
    // A backup with the wrong secret would be noticed only when it is restored.
    store.check_secret(&session.folder)?;
    let files = copy(&session.folder, &mut store, &arguments.folder)?;
    if arguments.form.json {
        let folder = fs::canonicalize(&arguments.folder)?;
        return print_json(&serde_json::json!({ "folder": folder, "files": files }));
    }
    let mut text = format!("the backup is in {}\n", arguments.folder.display());
    files.iter().for_each(|file| text.push_str(&format!("  {file}\n")));
    print(&text)
}

/// Refuses a target inside the data folder: it would be lost with it.
fn refuse_inside(target: &Path, data: &Path) -> anyhow::Result<()> {
    let target = std::path::absolute(target)?;
    let data = fs::canonicalize(data).unwrap_or_else(|_| data.to_owned());
    // Only the part of the path that exists can be resolved, links included.
    let existing = target.ancestors().find_map(|path| Some((path, fs::canonicalize(path).ok()?)));
    let Some((path, existing)) = existing else { return Ok(()) };
    // After that part, `..` could lead back into the data folder.
    let rest = target.strip_prefix(path).unwrap_or(&target);
    let reason = if rest.components().any(|part| part == Component::ParentDir) {
        "has `..` after a folder that does not exist"
    } else if existing.starts_with(&data) {
        "is inside the data folder, and would be lost with it"
    } else {
        return Ok(());
    };
    Err(WrongUsage(format!("{} {reason}; name a folder elsewhere for the backup", target.display())).into())
}

/// Copies everything or leaves nothing; returns the names of the files.
fn copy(from: &DataFolder, store: &mut Store, target: &Path) -> anyhow::Result<Vec<String>> {
    match fs::read_dir(target).map(|entries| entries.count()) {
        Ok(1..) => bail!("{} is not empty; name a new folder for the backup", target.display()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            bail!("{} is not a folder", target.display());
        }
        _ => {}
    }
    let to = DataFolder::locate(Some(target.to_owned()))?;
    to.prepare()?;
    let copied = copy_files(from, store, &to);
    if copied.is_err() {
        // A partial backup could be mistaken for a complete one. The folder was empty, so these files are of this run.
        to.files().iter().for_each(|file| drop(fs::remove_file(file)));
    }
    copied
}

fn copy_files(from: &DataFolder, store: &mut Store, to: &DataFolder) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for (source, target) in from.files().iter().zip(to.files()) {
        if *source == from.store() {
            store.backup_to(&target)?;
        } else if !copy_file(source, &target)? {
            continue;
        }
        names.extend(target.file_name().map(|name| name.to_string_lossy().into_owned()));
    }
    sync_folder(to.path()).with_context(|| format!("cannot write {}", to.path().display()))?;
    Ok(names)
}

/// Copies a small file; returns whether it exists. Certificates are created by the first start of the server, so a folder
/// that was only provisioned has none.
fn copy_file(source: &Path, target: &Path) -> anyhow::Result<bool> {
    let file = match File::open(source) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", source.display())),
    };
    let mut content = Zeroizing::new(Vec::new());
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content);
    let length = read.with_context(|| format!("cannot read {}", source.display()))?;
    if u64::try_from(length).is_ok_and(|length| length > FILE_BYTES_MAX) {
        bail!("{} is larger than 1 MiB, so it is not what its name says", source.display());
    }
    write_private(target, &content).with_context(|| format!("cannot write {}", target.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;
    use std::time::Duration;

    use super::*;
    use crate::store::KeyFilter;
    use crate::store::tests::{Fixture, insert, key};

    #[test]
    fn a_backup_is_a_data_folder() {
        let mut fixture = Fixture::new();
        insert(&mut fixture.store, &key(1));
        fs::write(fixture.folder.authority_key(), "pem").unwrap();
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("a/b");
        let names = copy(&fixture.folder, &mut fixture.store, &target).unwrap();
        assert_eq!(names, ["store.sqlite", "server.secret", "ca.key"]);
        assert_eq!(fs::metadata(&target).unwrap().mode() & 0o777, 0o700);
        for name in &names {
            assert_eq!(fs::metadata(target.join(name)).unwrap().mode() & 0o777, 0o600, "{name}");
        }
        let restored = DataFolder::locate(Some(target.clone())).unwrap();
        let (mut store, secret) = Store::open_with_secret(&restored, Duration::from_secs(1)).unwrap();
        assert_eq!(store.list_keys(&KeyFilter::default()).unwrap(), [key(1).record]);
        assert_eq!(secret.expose(), fixture.secret.expose());

        let again = copy(&fixture.folder, &mut fixture.store, &target).unwrap_err();
        assert!(again.to_string().contains("is not empty"), "{again}");
        assert!(copy(&fixture.folder, &mut fixture.store, fixture.folder.path()).is_err());
    }

    #[test]
    fn a_backup_inside_the_data_folder_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let data = parent.path().join("data");
        fs::create_dir(&data).unwrap();
        let link = parent.path().join("link");
        std::os::unix::fs::symlink(&data, &link).unwrap();
        for inside in
            [data.clone(), data.join("backup"), data.join("a/b"), link.join("new"), data.join("../data/x")]
        {
            let error = refuse_inside(&inside, &data).unwrap_err();
            assert!(error.is::<WrongUsage>(), "{}: {error}", inside.display());
        }
        assert!(refuse_inside(&parent.path().join("none/../data/x"), &data).is_err());
        for elsewhere in ["backup", "data-2", "a/b", "data/../backup-2", "data/../a/b"] {
            refuse_inside(&parent.path().join(elsewhere), &data).unwrap();
        }
    }

    #[test]
    fn a_partial_backup_is_removed() {
        let mut fixture = Fixture::new();
        fs::create_dir(fixture.folder.localhost_key()).unwrap();
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("target");
        assert!(copy(&fixture.folder, &mut fixture.store, &target).is_err());
        assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
    }
}
