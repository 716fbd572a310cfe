use super::*;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

fn folder(parent: &tempfile::TempDir) -> DataFolder {
    DataFolder::locate(Some(parent.path().join("state/data"))).unwrap()
}

#[test]
fn the_flag_wins_then_xdg_then_home() {
    let choose = |named: Option<&str>, state: Option<&str>, home: Option<&str>| {
        DataFolder::choose(named.map(Into::into), state.map(Into::into), home.map(Into::into))
            .map(|folder| folder.path.to_str().unwrap().to_owned())
    };
    assert_eq!(choose(Some("/d"), Some("/x"), Some("/h")).unwrap(), "/d");
    let here = std::env::current_dir().unwrap();
    assert_eq!(choose(Some("d"), None, None).unwrap(), here.join("d").to_str().unwrap());
    assert_eq!(choose(None, Some("/x"), Some("/h")).unwrap(), "/x/partner-gateway");
    assert_eq!(choose(None, Some("relative"), Some("/h")).unwrap(), "/h/.local/state/partner-gateway");
    assert_eq!(choose(None, None, Some("/h")).unwrap(), "/h/.local/state/partner-gateway");
    assert_eq!(choose(None, Some(""), None), None);
}

#[test]
fn the_folder_and_its_secret_are_private() {
    let parent = tempfile::tempdir().unwrap();
    let folder = folder(&parent);
    folder.prepare().unwrap();
    folder.prepare().unwrap();
    assert_eq!(mode(folder.path()), 0o700);
    folder.server_secret(true).unwrap();
    assert_eq!(mode(&folder.secret()), 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the draft is gone");
}

#[test]
fn an_open_folder_is_tightened_when_it_is_empty_or_an_installation() {
    let parent = tempfile::tempdir().unwrap();
    let folder = folder(&parent);
    fs::create_dir_all(folder.path()).unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    folder.prepare().unwrap();
    assert_eq!(mode(folder.path()), 0o700);

    folder.server_secret(true).unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    folder.prepare().unwrap();
    assert_eq!(mode(folder.path()), 0o700);
}

#[test]
fn an_open_folder_with_other_files_is_refused_and_left_as_it_was() {
    let parent = tempfile::tempdir().unwrap();
    let folder = folder(&parent);
    fs::create_dir_all(folder.path()).unwrap();
    fs::write(folder.path().join("letter.txt"), "").unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let error = folder.prepare().unwrap_err();
    assert!(matches!(error, FolderError::Shared { .. }), "{error}");
    assert!(error.is_permission());
    assert_eq!(mode(folder.path()), 0o755);
}

#[test]
fn a_path_that_is_a_file_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = DataFolder::locate(Some(path)).unwrap().prepare().unwrap_err();
        assert!(matches!(error, FolderError::NotAFolder { .. }), "{error}");
    }
}

#[test]
fn a_secret_stays_the_same_and_is_created_only_on_request() {
    let parent = tempfile::tempdir().unwrap();
    let folder = folder(&parent);
    folder.prepare().unwrap();
    let error = folder.server_secret(false).unwrap_err();
    assert!(matches!(error, FolderError::SecretMissing { .. }), "{error}");
    assert!(!folder.secret().exists());
    let first = folder.server_secret(true).unwrap();
    assert_eq!(first.expose(), folder.server_secret(true).unwrap().expose());
    assert_eq!(first.expose(), folder.server_secret(false).unwrap().expose());
    assert_ne!(first.expose(), &[0; 32]);
}

#[test]
fn processes_that_create_it_at_once_get_one_secret() {
    let parent = tempfile::tempdir().unwrap();
    let folder = folder(&parent);
    folder.prepare().unwrap();
    let secrets: Vec<[u8; 32]> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..8).map(|_| scope.spawn(|| *folder.server_secret(true).unwrap().expose())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(secrets.iter().all(|secret| secret == &secrets[0]));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_damaged_secret_is_refused_and_not_printed() {
    let parent = tempfile::tempdir().unwrap();
    let folder = folder(&parent);
    folder.prepare().unwrap();
    for content in ["", "abc123", &"g".repeat(64), &"a".repeat(63), &"a".repeat(66), &"é".repeat(32)] {
        fs::write(folder.secret(), content).unwrap();
        let error = folder.server_secret(true).unwrap_err();
        assert!(matches!(error, FolderError::SecretMalformed { .. }), "{error}");
        assert!(content.is_empty() || !format!("{error} {error:?}").contains(content));
    }
}

#[test]
fn a_folder_of_another_user_is_refused_and_the_message_says_what_works() {
    let parent = tempfile::tempdir().unwrap();
    // Only root can give a folder away; everyone else has one that is not theirs.
    let path = if geteuid().is_root() {
        std::os::unix::fs::chown(parent.path(), Some(65_534), None).unwrap();
        parent.path()
    } else {
        Path::new("/")
    };
    let error = DataFolder::locate(Some(path.to_owned())).unwrap().prepare().unwrap_err();
    assert!(matches!(error, FolderError::NotOwner { .. }) && error.is_permission(), "{error}");
    assert!(error.to_string().contains("--data-dir"), "{error}");
}

#[test]
fn every_secret_is_made_private() {
    let parent = tempfile::tempdir().unwrap();
    let folder = folder(&parent);
    folder.prepare().unwrap();
    folder.server_secret(true).unwrap();
    for path in folder.secrets() {
        fs::write(&path, "secret").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    }
    folder.prepare().unwrap();
    for path in folder.secrets() {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn a_secret_that_is_read_alone_is_made_private() {
    let parent = tempfile::tempdir().unwrap();
    let folder = folder(&parent);
    folder.prepare().unwrap();
    folder.server_secret(true).unwrap();
    fs::set_permissions(folder.secret(), Permissions::from_mode(0o644)).unwrap();
    folder.server_secret(false).unwrap();
    assert_eq!(mode(&folder.secret()), 0o600);
}

#[test]
fn a_symbolic_link_is_refused_and_its_target_left_as_it_was() {
    for link in folder(&tempfile::tempdir().unwrap()).secrets() {
        let parent = tempfile::tempdir().unwrap();
        let folder = folder(&parent);
        folder.prepare().unwrap();
        let target = parent.path().join("target");
        fs::write(&target, "a".repeat(64)).unwrap();
        fs::set_permissions(&target, Permissions::from_mode(0o644)).unwrap();
        let link = folder.path().join(link.file_name().unwrap());
        std::os::unix::fs::symlink(&target, &link).unwrap();
        let error = folder.prepare().unwrap_err();
        assert!(matches!(&error, FolderError::SymbolicLink { path } if *path == link), "{error}");
        if link == folder.secret() {
            let error = folder.server_secret(true).unwrap_err();
            assert!(matches!(error, FolderError::SymbolicLink { .. }), "{error}");
        }
        assert_eq!(mode(&target), 0o644);
    }
}

#[test]
fn a_file_is_replaced_and_a_link_is_not_followed() {
    let parent = tempfile::tempdir().unwrap();
    let (target, link) = (parent.path().join("target"), parent.path().join("link"));
    fs::write(&target, "old").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    assert!(write_private(&link, b"new").is_err());
    replace_private(&link, b"new").unwrap();
    assert_eq!((fs::read(&target).unwrap(), fs::read(&link).unwrap()), (b"old".to_vec(), b"new".to_vec()));
    assert_eq!(mode(&link), 0o600);
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 2, "the draft is gone");
}
