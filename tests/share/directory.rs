//! The directory: which are refused, what it contains, and what happens when it is full or damaged.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::common::temp;
use crate::common::time::soon;
use crate::worker::{Host, Worker, canary, contains};

/// Checks that a process gets its value, and says why it shares nothing.
#[track_caller]
fn refuses(host: &Host, directory: &std::path::Path, why: &str) {
    let mut worker = host.worker_with(json!({"share_dir": directory}));
    let before = host.loads();
    assert_eq!(worker.get("A"), canary("first"));
    assert_eq!(host.loads(), before + 1);
    let report = worker.ask("share");
    assert!(report["refused"].as_str().unwrap().contains(why), "{report}");
    assert_eq!(report["documents"], json!([]));
    let check = worker.ask("check");
    assert_eq!((&check["share"]["state"], &check["ok"]), (&json!("warning"), &json!(true)), "{check}");
    assert!(check["share"]["detail"].as_str().unwrap().contains(directory.to_str().unwrap()), "{check}");
}

#[test]
fn directory_that_others_can_use_or_that_is_on_a_disk_is_refused() {
    let host = Host::start();
    let at = |name: &str| host.directory.path().join(name);
    fs::create_dir(at("open")).unwrap();
    fs::set_permissions(at("open"), Permissions::from_mode(0o755)).unwrap();
    refuses(&host, &at("open"), "is open to other users (mode 0755); run: chmod 700");
    fs::create_dir(at("own")).unwrap();
    fs::set_permissions(at("own"), Permissions::from_mode(0o700)).unwrap();
    symlink(at("own"), at("link")).unwrap();
    refuses(&host, &at("link"), "is not a directory");
    fs::write(at("file"), "").unwrap();
    refuses(&host, &at("file"), "is not a directory");
    refuses(&host, &at("none/none"), "cannot create the directory");
    // A directory of the build is on a disk, unless that is in memory too.
    let disk = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(disk.path(), Permissions::from_mode(0o700)).unwrap();
    refuses(&host, disk.path(), "is not in memory");
    assert!(fs::read_dir(at("own")).unwrap().next().is_none() && fs::read_dir(disk.path()).unwrap().next().is_none());
}

#[test]
fn directory_of_another_user_is_refused() {
    let host = Host::start();
    let directory = host.directory.path().join("other");
    fs::create_dir(&directory).unwrap();
    fs::set_permissions(&directory, Permissions::from_mode(0o700)).unwrap();
    // Root gives it away; another user runs the process in a namespace in which it is root, and the directory is not.
    if chown(&directory, Some(54321), Some(54321)).is_ok() {
        refuses(&host, &directory, "belongs to user 54321, not to user 0");
    } else {
        let settings = crate::worker::merged(host.settings(), json!({"share_dir": "/dev/shm"}));
        let report = Worker::start_under(&["unshare", "--user"], &settings).ask("share");
        assert!(report["refused"].as_str().unwrap().contains("belongs to user"), "{report}");
    }
}

#[test]
fn another_user_cannot_use_the_directory() {
    let host = Host::start();
    host.worker().get("A");
    let user = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"];
    if !std::process::Command::new(user[0]).args(&user[1..]).arg("true").status().is_ok_and(|status| status.success()) {
        // Only root can become another user. The modes are checked by `files_are_private_and_have_no_value`.
        return;
    }
    let mut worker = Worker::start_under(&user, &host.settings());
    let answer = worker.ask("get A");
    assert_eq!((&answer["value"], &answer["shared"], host.loads()), (&json!(canary("first")), &json!(false), 2));
    let report = worker.ask("share");
    assert!(report["refused"].as_str().unwrap().contains("Permission denied"), "{report}");
}

#[test]
fn files_are_private_and_have_no_value() {
    let host = Host::start();
    // With the token as the key, and with a key in the directory.
    for more in [json!({}), json!({"vault_auth": "agent", "vault_url": host.vault.url()})] {
        let mut worker = host.worker_with(more);
        worker.ask("prefetch");
    }
    let files = host.files("");
    let ends = [".page", ".lock", ".doc"];
    assert!(ends.iter().all(|end| files.iter().any(|path| path.to_string_lossy().ends_with(end))), "{files:?}");
    for path in files {
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600, "{}", path.display());
        assert!(!contains(&path, &canary("first")) && !contains(&path, &host.token), "{}", path.display());
    }
    assert_eq!(fs::metadata(host.directory.path().join("share")).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn core_file_of_a_process_that_shares_has_no_value() {
    let host = Host::start();
    let (mut loader, mut reader) = (host.worker(), host.worker());
    for worker in [&mut loader, &mut reader] {
        worker.ask("prefetch");
        let directory = temp();
        let core = directory.path().join("core");
        let status = std::process::Command::new("gcore").arg("-o").arg(&core).arg(worker.id().to_string()).output();
        assert!(status.expect("gcore (gdb) is needed: make tools").status.success());
        let core = PathBuf::from(format!("{}.{}", core.display(), worker.id()));
        assert!(!contains(&core, &canary("first")));
    }
}

#[test]
fn damaged_document_is_loaded_again() {
    let host = Host::start();
    host.worker().get("A");
    let path = host.files(".doc").remove(0);
    let whole = fs::read(&path).unwrap();
    for at in [0, 8, 16, 60, 100, whole.len() - 1] {
        let mut damaged = fs::read(&path).unwrap();
        damaged[at] ^= 1;
        fs::write(&path, damaged).unwrap();
        let before = host.loads();
        assert_eq!((host.worker().get("A"), host.loads()), (canary("first"), before + 1), "byte {at}");
        assert_eq!((host.worker().get("A"), host.loads()), (canary("first"), before + 1), "byte {at}");
    }
    for contents in [&b""[..], b"STDOC001", &whole[..whole.len() - 1], &[0; 5 << 20]] {
        fs::write(&path, contents).unwrap();
        assert_eq!(host.worker().get("A"), canary("first"), "{} bytes", contents.len());
    }
}

#[test]
fn damaged_page_is_replaced() {
    let host = Host::start();
    let mut running = host.worker();
    running.get("A");
    let path = host.files(".page").remove(0);
    // Through the same file, as by a program that writes anywhere: the process continues.
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[0xa5; 4096], 0).unwrap();
    assert_eq!(running.get("A"), canary("first"));
    // One of another boot, a short one, and none.
    let mut other_boot = fs::read(host.files(".page").remove(0)).unwrap();
    other_boot[12] ^= 1;
    for contents in [Some(vec![0xa5; 4096]), Some(other_boot), Some(vec![1; 10]), None] {
        fs::remove_file(&path).unwrap();
        if let Some(contents) = contents {
            fs::write(&path, contents).unwrap();
        }
        assert_eq!(host.worker().get("A"), canary("first"));
        let before = host.loads();
        assert_eq!((host.worker().get("A"), host.loads()), (canary("first"), before), "it is shared again");
        assert_eq!(running.get("A"), canary("first"));
    }
}

#[test]
fn process_whose_directory_was_removed_shares_again() {
    let host = Host::start();
    let mut running = host.worker();
    running.get("A");
    fs::remove_dir_all(host.directory.path().join("share")).unwrap();
    assert_eq!(running.get("A"), canary("first"));
    host.put("second");
    assert_eq!(running.ask("refresh A")["value"], canary("second"));
    let loads = host.loads();
    assert_eq!((host.worker().get("A"), host.loads()), (canary("second"), loads));
    // It sees what others publish there.
    host.put("third");
    host.worker().ask("refresh A");
    soon(|| running.get("A") == canary("third"));
}

#[test]
fn full_file_system_costs_each_process_its_own_load() {
    let host = Host::start();
    let mount = host.directory.path().join("mount");
    fs::create_dir(&mount).unwrap();
    let shared = mount.join("share");
    let settings = crate::worker::merged(host.settings(), json!({"share_dir": shared}));
    let script = format!("mount -t tmpfs -o size=256k,mode=700 tmpfs {} && exec \"$@\"", mount.display());
    let wrapper = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", &script, "sh"];
    let mounts = std::process::Command::new("unshare").args(["--user", "--map-root-user", "--mount", "true"]).status();
    assert!(
        mounts.is_ok_and(|status| status.success()),
        "allow user namespaces: sysctl kernel.unprivileged_userns_clone=1"
    );
    let fill = format!("fill {}", mount.join("rest").display());
    // Full from the beginning.
    let mut worker = Worker::start_under(&wrapper, &settings);
    worker.ask(&fill);
    assert_eq!(
        (worker.get("A"), worker.ask("get-again A")["value"].clone()),
        (canary("first"), json!(canary("first")))
    );
    assert_eq!(host.loads(), 2);
    let report = worker.ask("share");
    assert_eq!(report["documents"], json!([]), "{report}");
    // Full after the page was created.
    let mut worker = Worker::start_under(&wrapper, &settings);
    worker.ask("share");
    worker.ask(&fill);
    assert_eq!(worker.get("A"), canary("first"));
    let answer: Value = worker.ask("get-again A");
    assert_eq!((&answer["value"], &answer["shared"]), (&json!(canary("first")), &json!(false)));
    assert_eq!(host.loads(), 4);
}

#[test]
fn invalid_setting_is_named() {
    let host = Host::start();
    let error = |more: &[(&str, &str)]| {
        let mut settings = vec![("providers", r#"["env"]"#)];
        settings.extend(more);
        crate::common::open(&settings).map(drop).unwrap_err().message().to_owned()
    };
    assert_eq!(error(&[("share", "yes")]), "the configuration key `share` must be off or host");
    let relative = error(&[("share", "host"), ("share_dir", "relative")]);
    assert_eq!(relative, "the configuration key `share_dir`: \"relative\" is not an absolute path");
    let key = error(&[("share", "host"), ("share_key", "CANARY")]);
    assert!(key.starts_with("the configuration key `share_key` must be 32 bytes in base64"), "{key}");
    assert!(!key.contains("CANARY"));
    // An invalid variable disables the share alone.
    let mut settings = host.settings();
    settings.as_object_mut().unwrap().remove("share");
    let mut worker = Worker::start_under(&["env", "ST_SECRETS_SHARE=yes"], &settings);
    assert_eq!(worker.get("A"), canary("first"));
    let report = worker.ask("share");
    assert_eq!(report["refused"], "the variable ST_SECRETS_SHARE must be off or host", "{report}");
    let mut worker = Worker::start_under(&["env", "ST_SECRETS_SHARE=host"], &settings);
    assert_eq!(worker.ask("share")["share"], "host");
}
