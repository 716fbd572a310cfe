//! Durability of acknowledged writes: killed writers, a full disk, a read-only folder.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rand::Rng as _;
use tests::{Client, Key, KeySpec, PATIENCE, Protocol, Start, TestGateway, eventually};

use crate::contract::PING;

/// The keys of `key list --json`.
async fn listed(gateway: &TestGateway) -> Vec<serde_json::Value> {
    let list: serde_json::Value = gateway.json(&["key", "list", "--json"]).await;
    let keys = if list.is_array() { &list } else { &list["keys"] };
    keys.as_array().unwrap_or_else(|| panic!("no list of keys: {list}")).clone()
}

/// Starts `key create` and kills it after `delay`; returns the key if it was acknowledged.
fn create_and_kill(start: &Start, partner: &str, delay: Duration) -> Option<Key> {
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
    let printed = start.folder().join("printed");
    let mut child = start
        .command(&arguments)
        .stdout(std::fs::File::create(&printed).expect("the folder is writable"))
        .stderr(Stdio::null())
        .spawn()
        .expect("the command can be started");
    std::thread::sleep(delay);
    // It may have ended by itself: then the write was acknowledged.
    let _ = child.kill();
    child.wait().expect("a child can be waited for");
    let text = std::fs::read_to_string(&printed).expect("the file is there");
    serde_json::from_str(&text).ok()
}

#[tokio::test]
async fn two_hundred_killed_writers_lose_nothing_that_was_acknowledged() {
    let _turn = tests::heavy().await;
    let gateway = TestGateway::start("").await;
    let before = listed(&gateway).await.len();
    let started = Instant::now();
    gateway.create_key(KeySpec::staging()).await;
    let usual = started.elapsed();
    let start = gateway.settings().clone();
    let kill = move || {
        let mut random = rand::rng();
        let lives = (0..200).map(|_| usual.mul_f64(random.random_range(0.05..1.4))).collect::<Vec<_>>();
        let writers = lives.into_iter().enumerate();
        writers
            .filter_map(|(number, delay)| create_and_kill(&start, &format!("Killed {number}"), delay))
            .collect()
    };
    let acknowledged: Vec<Key> = tokio::task::spawn_blocking(kill).await.expect("the killer does not panic");
    println!("{} of 200 writers were acknowledged before they were killed", acknowledged.len());
    assert!(
        acknowledged.len() > 10 && acknowledged.len() < 200,
        "the moments were spread: {}",
        acknowledged.len()
    );

    let all_good = async |gateway: &TestGateway, when: &str| {
        let keys = listed(gateway).await;
        assert!(keys.len() > before + acknowledged.len(), "{when}: {} keys", keys.len());
        for key in &keys {
            // Nothing partial: every key that exists is complete.
            for member in ["id", "partner", "environment", "permissions", "hint", "created"] {
                let value = &key[member];
                assert!(!value.is_null() && value != "", "{when}: {member} is missing in {key}");
            }
        }
        let client = Client::over(gateway, Protocol::H2c).await;
        for key in &acknowledged {
            assert!(
                keys.iter().any(|other| other["id"] == key.id.as_str()),
                "{when}: {} is not listed",
                key.id
            );
            assert_eq!(client.ask(key.get(PING)).await.status, 200, "{when}: {}", key.id);
        }
    };
    all_good(&gateway, "on the running server").await;
    gateway.signal(rustix::process::Signal::KILL);
    gateway.ended(PATIENCE).await.expect("SIGKILL ends it");
    let gateway = gateway.settings().clone().launch().await;
    all_good(&gateway, "after the server was killed").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let client = Client::over(&gateway, Protocol::H1).await;
    assert_eq!(client.ask(key.get(PING)).await.status, 200, "writing goes on");
}

/// A mount, until it is dropped.
struct Mount(PathBuf);

impl Mount {
    /// Mounts with these arguments of `mount`; the last is where.
    fn new(arguments: &[&str]) -> Self {
        mount(arguments);
        Self(PathBuf::from(arguments[arguments.len() - 1]))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily, because a file that is still open must not prevent the removal of the test's folder.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

fn mount(arguments: &[&str]) {
    let output = Command::new("mount").args(arguments).output().expect("mount can be started");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "mount {arguments:?} (this test needs root): {complaint}");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("temporary paths are UTF-8")
}

/// The arguments of a `key create` that is expected to fail.
const CREATE: [&str; 9] =
    ["key", "create", "--json", "--partner", "Late", "--environment", "staging", "--permission", "ping:read"];

#[tokio::test]
async fn a_full_disk_fails_the_write_and_nothing_else() {
    let _turn = tests::heavy().await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let small = folder.path().join("small");
    std::fs::create_dir(&small).expect("the folder is writable");
    let _mount = Mount::new(&["-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", text(&small)]);
    let overlay = "[store]\nlast_used_interval = \"1s\"\nheartbeat_interval = \"1s\"";
    let gateway = Start::with(overlay).data_folder(&small.join("data")).launch().await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let filler = small.join("filler");
    let full =
        Command::new("dd").args(["if=/dev/zero", "bs=4k"]).arg(format!("of={}", text(&filler))).output();
    assert!(!full.expect("dd can be started").status.success(), "the disk is full now");

    let mut failed = None;
    for _ in 0..50 {
        // Free pages inside the files may take a few more keys.
        let output = gateway.cli(&CREATE).await;
        if !output.status.success() {
            failed = Some(output);
            break;
        }
    }
    let output = failed.expect("a full disk refuses a write in the end");
    let complaint = String::from_utf8_lossy(&output.stderr).to_lowercase();
    assert!(complaint.contains("full") || complaint.contains("space"), "{complaint}");
    assert!(!complaint.contains("panicked"), "{complaint}");
    assert!(output.stdout.is_empty(), "no key is printed that was not written");
    for protocol in Protocol::ALL {
        let client = Client::over(&gateway, protocol).await;
        assert_eq!(client.ask(key.get(PING)).await.status, 200, "{protocol:?}: traffic goes on");
    }
    // Long enough for the server's writes to fail as well.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let client = Client::over(&gateway, Protocol::H2).await;
    assert_eq!(client.ask(key.get(PING)).await.status, 200, "still");
    assert!(!gateway.log().contains("panicked"), "{}", gateway.log());

    std::fs::remove_file(&filler).expect("the filler can be removed");
    // The server could not write heartbeats while the disk was full, so commands may not wait for it.
    let becomes = async |key: &Key, status: u16| {
        eventually(PATIENCE, async || {
            let client = Client::over(&gateway, Protocol::H1).await;
            (client.ask(key.get(PING)).await.status == status).then_some(())
        })
        .await
    };
    let later = gateway.create_key(KeySpec::staging()).await;
    assert!(becomes(&later, 200).await.is_some(), "with room again, writing goes on");
    gateway.revoke(&key).await;
    assert!(becomes(&key, 401).await.is_some(), "and so does revoking");
}

#[tokio::test]
async fn a_read_only_folder_fails_the_write_and_nothing_else() {
    let _turn = tests::heavy().await;
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let frozen = folder.path().join("frozen");
    std::fs::create_dir(&frozen).expect("the folder is writable");
    let _mount = Mount::new(&["--bind", text(gateway.settings().data()), text(&frozen)]);
    mount(&["-o", "remount,bind,ro", text(&frozen)]);
    let beside = gateway.settings().clone().data_folder(&frozen);
    let update = ["key", "revoke", key.id.as_str(), "--json"];
    for arguments in [&CREATE[..], &update] {
        let output = beside.run(arguments).await;
        let complaint = String::from_utf8_lossy(&output.stderr).to_lowercase();
        assert!(!output.status.success(), "{arguments:?}");
        assert!(
            complaint.contains("read-only") || complaint.contains("readonly"),
            "{arguments:?}: {complaint}"
        );
        assert!(!complaint.contains("panicked"), "{arguments:?}: {complaint}");
        assert!(output.stdout.is_empty(), "{arguments:?} prints nothing that did not happen");
    }
    let client = Client::over(&gateway, Protocol::H1).await;
    assert_eq!(client.ask(key.get(PING)).await.status, 200, "traffic goes on");
    // A server on a folder that it cannot write refuses to start.
    let Err((status, log)) = beside.try_launch().await else { panic!("it must not start") };
    assert!(!status.success(), "{status}");
    assert!(log.to_lowercase().contains("read-only") || log.to_lowercase().contains("readonly"), "{log}");
}

/// Fills a file system except for this many blocks.
fn fill_but(folder: &Path, blocks: u64) {
    let filler = folder.join("filler");
    let full =
        Command::new("dd").args(["if=/dev/zero", "bs=4k"]).arg(format!("of={}", text(&filler))).output();
    assert!(!full.expect("dd can be started").status.success(), "the disk is full now");
    let file = std::fs::OpenOptions::new().write(true).open(&filler).expect("the filler is there");
    let length = file.metadata().expect("it has a length").len();
    file.set_len(length - blocks * 4096).expect("it can be cut");
}

#[tokio::test]
async fn a_disk_that_is_full_before_the_store_is_opened_is_reported() {
    let _turn = tests::heavy().await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let small = folder.path().join("small");
    std::fs::create_dir(&small).expect("the folder is writable");
    let _mount = Mount::new(&["-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", text(&small)]);
    let used = Start::with("").data_folder(&small.join("data"));
    let gateway = used.launch().await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let used = gateway.stop().await;
    assert!(!used.data().join("store.sqlite-wal").exists(), "nobody has it open");
    // What no longer fits depends on the free space: the log's index, the log, or the store.
    let (mut refused, mut made) = (0, 0);
    for blocks in [0, 1, 2, 4, 6, 8, 10, 12, 16, 24, 40] {
        fill_but(&small, blocks);
        let fresh = used.clone().data_folder(&small.join("fresh"));
        for start in [&used, &fresh] {
            let output = start.run(&CREATE).await;
            let complaint = String::from_utf8_lossy(&output.stderr).to_lowercase();
            if output.status.success() {
                made += 1;
            } else {
                assert_eq!(output.status.code(), Some(1), "{blocks}: {complaint}");
                assert!(
                    complaint.contains("disk is full") || complaint.contains("no space"),
                    "{blocks}: {complaint}"
                );
                assert!(output.stdout.is_empty(), "{blocks}: no key is printed that was not written");
                refused += 1;
            }
        }
        let list = used.run(&["key", "list", "--json"]).await;
        assert!(list.status.success(), "{blocks}: {}", String::from_utf8_lossy(&list.stderr));
        assert!(String::from_utf8_lossy(&list.stdout).contains(&key.id), "{blocks}: looking takes no room");
        if blocks == 0 {
            let Err((status, log)) = used.clone().try_launch().await else { panic!("it must not start") };
            assert_eq!(status.code(), Some(1), "{log}");
            assert!(log.contains("the disk is full"), "{log}");
        }
        let _ = std::fs::remove_dir_all(fresh.data());
        std::fs::remove_file(small.join("filler")).expect("the filler can be removed");
    }
    assert!(refused > 4 && made > 1, "both ends were reached: {refused} refused, {made} made");
    used.launch().await;
}

#[tokio::test]
async fn a_read_only_folder_can_be_read() {
    let _turn = tests::heavy().await;
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let frozen = folder.path().join("frozen %20?#");
    std::fs::create_dir(&frozen).expect("the folder is writable");
    let _mount = Mount::new(&["--bind", text(gateway.settings().data()), text(&frozen)]);
    mount(&["-o", "remount,bind,ro", text(&frozen)]);
    let beside = gateway.settings().clone().data_folder(&frozen);
    beside.write_config_text(&tests::merged(""));
    let elsewhere = folder.path().join("backup");
    let look = async |when: &str| {
        for arguments in [
            &["key", "list", "--json"][..],
            &["key", "show", &key.id, "--json"],
            &["partner", "list", "--json"],
            &["backup", text(&elsewhere), "--json"],
        ] {
            let output = beside.run(arguments).await;
            assert!(
                output.status.success(),
                "{when} {arguments:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            let printed = String::from_utf8_lossy(&output.stdout);
            let clue = if arguments[0] == "key" { &key.id } else { "server.secret\nTests" };
            assert!(clue.lines().any(|clue| printed.contains(clue)), "{when} {arguments:?}: {printed}");
        }
        let copy = beside.clone().data_folder(&elsewhere).run(&["key", "list", "--json"]).await;
        assert!(String::from_utf8_lossy(&copy.stdout).contains(&key.id), "{when}: the backup has the key");
        std::fs::remove_dir_all(&elsewhere).expect("the backup can be removed");
        beside.run(&["health"]).await.status.code()
    };
    assert_eq!(look("beside the running server").await, Some(0));
    let output = beside.run(&CREATE).await;
    assert_eq!(output.status.code(), Some(77), "{}", String::from_utf8_lossy(&output.stderr));
    gateway.signal(rustix::process::Signal::KILL);
    gateway.ended(PATIENCE).await.expect("SIGKILL ends it");
    assert_eq!(look("after the server was killed").await, Some(69));
    // A log that was not checkpointed, and an index that cannot be created.
    std::fs::remove_file(gateway.settings().data().join("store.sqlite-shm")).expect("it was left behind");
    let output = beside.run(&["key", "list", "--json"]).await;
    let printed = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(77), "{printed}");
    assert!(printed.contains("store.sqlite-wal") && printed.contains("copy the entire folder"), "{printed}");
    let start = gateway.settings().clone().launch().await.stop().await;
    assert!(
        !start.data().join("store.sqlite-wal").exists(),
        "closing the last connection checkpoints the log"
    );
    assert_eq!(look("after the server has ended").await, Some(69));
}

#[tokio::test]
async fn a_damaged_store_is_refused_at_the_start_and_named() {
    let gateway = TestGateway::start("").await;
    gateway.create_key(KeySpec::staging()).await;
    let start = gateway.stop().await;
    let store = std::fs::read_dir(start.data())
        .expect("the data folder is there")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| std::fs::read(path).is_ok_and(|bytes| bytes.starts_with(b"SQLite format 3\0")))
        .expect("the store is an SQLite file");
    let good = std::fs::read(&store).expect("it is readable");
    let mut scrambled = good.clone();
    scrambled[100..].fill(0xa5);
    for (what, bytes) in [("nonsense", vec![b'x'; 8192]), ("its middle overwritten", scrambled)] {
        std::fs::write(&store, bytes).expect("it is writable");
        let Err((status, log)) = start.clone().try_launch().await else {
            panic!("{what}: it must not start")
        };
        assert!(!status.success(), "{what}: {status}");
        let name = store.file_name().expect("a file has a name").to_string_lossy().into_owned();
        assert!(log.contains(&name) && !log.contains("panicked"), "{what}: {log}");
    }
    std::fs::write(&store, good).expect("it is writable");
    start.launch().await;
}

#[tokio::test]
async fn a_backup_of_a_running_server_starts_and_has_its_keys() {
    let gateway = TestGateway::start("").await;
    let key = gateway.create_key(KeySpec::staging()).await;
    let target = gateway.settings().folder().join("backup");
    let output = gateway.cli(&["backup", text(&target)]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(target.exists(), "{}", String::from_utf8_lossy(&output.stdout));
    let client = Client::over(&gateway, Protocol::H1).await;
    assert_eq!(client.ask(key.get(PING)).await.status, 200, "the server was not disturbed");
}
