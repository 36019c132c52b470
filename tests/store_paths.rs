//! Which databases are used, and why: SimpleTuner's own, of the directory that is in use.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::store::entries;
use common::{in_environment, temp};
use serde_json::{Value, json};
use st_secrets::{Config, Store};

fn set(name: &str, value: Option<&Path>) {
    match value {
        // SAFETY: no other thread of this process reads the environment now.
        Some(value) => unsafe { std::env::set_var(name, value) },
        // SAFETY: as above.
        None => unsafe { std::env::remove_var(name) },
    }
}

fn described(settings: &[(&str, &Path)]) -> Value {
    let mut config = Config::new();
    settings.iter().try_for_each(|(key, value)| config.set(key, value.to_str().unwrap())).unwrap();
    serde_json::from_str(&Store::open(&config).unwrap().describe()).unwrap()
}

/// A database of SimpleTuner's in this state directory.
fn use_directory(directory: &Path) {
    fs::create_dir_all(directory.join("cloud")).unwrap();
    rusqlite::Connection::open(directory.join("cloud/jobs.db"))
        .unwrap()
        .execute_batch("CREATE TABLE jobs (x)")
        .unwrap();
}

/// The state directory of the environment's store, why it is used, and the number of warnings.
fn chosen() -> (PathBuf, String, usize) {
    let described = described(&[]);
    let text = |name: &str| described[name].as_str().unwrap().to_owned();
    let state = PathBuf::from(text("state_dir"));
    assert_eq!(text("database"), state.join("cloud/jobs.db").to_str().unwrap());
    assert_eq!(text("audit_database"), state.join("audit.db").to_str().unwrap());
    assert_eq!(text("audit_key"), state.join("audit.key").to_str().unwrap());
    let warnings = described["warnings"].as_array().unwrap().len();
    assert_eq!(described["explanation"].is_string(), warnings > 0, "{described}");
    (state, text("reason"), warnings)
}

#[test]
fn directory_in_use_by_simpletuners_server_is_used() {
    let name = "directory_in_use_by_simpletuners_server_is_used";
    let home = temp();
    let path = home.path().to_str().unwrap().to_owned();
    let variables = [("HOME", Some(path.as_str())), ("SIMPLETUNER_STATE_DIR", None), ("SIMPLETUNER_CONFIG_DIR", None)];
    in_environment(name, &variables, || {
        let home = PathBuf::from(std::env::var_os("HOME").unwrap());
        let (servers, config, state) = (home.join(".simpletuner"), home.join("config"), home.join("state"));
        // Nothing is in use: the variable counts.
        set("SIMPLETUNER_CONFIG_DIR", Some(&config));
        assert_eq!(chosen(), (config.clone(), "SIMPLETUNER_CONFIG_DIR".to_owned(), 0));
        // The server has a database, and the directory of the variable has none.
        use_directory(&servers);
        assert_eq!(chosen(), (servers.clone(), "in_use".to_owned(), 1));
        let explanation = described(&[])["explanation"].as_str().unwrap().to_owned();
        assert!(
            explanation.contains("SIMPLETUNER_CONFIG_DIR is ") && explanation.contains("server uses"),
            "{explanation}"
        );
        Store::open(&Config::new()).unwrap().provider_save("p", "{}").unwrap();
        assert!(!config.exists() && servers.join("audit.db").exists());
        // The server's own variable is final.
        set("SIMPLETUNER_STATE_DIR", Some(&state));
        assert_eq!(chosen(), (state, "SIMPLETUNER_STATE_DIR".to_owned(), 0));
        set("SIMPLETUNER_STATE_DIR", None);
        // Both have a database: the variable counts.
        use_directory(&config);
        assert_eq!(chosen(), (config, "SIMPLETUNER_CONFIG_DIR".to_owned(), 1));
        set("SIMPLETUNER_CONFIG_DIR", None);
        if !Path::new("/workspace").exists() && !Path::new("/notebooks").exists() {
            assert_eq!(chosen(), (servers, "default".to_owned(), 0));
        }
        // Settings are final.
        let described = described(&[("state_dir", &home.join("other"))]);
        assert_eq!((&described["reason"], &described["warnings"]), (&json!("state_dir"), &json!([])));
    });
}

/// Makes a root directory with `/workspace` and `/home-of-test`, and all else that this one has.
const OTHER_ROOT: &str = r#"set -e; root=$0; mount -t tmpfs tmpfs "$root"
for entry in /*; do
    name=${entry#/}
    case $name in workspace | notebooks) continue ;; esac
    if [ -L "$entry" ]; then cp -P "$entry" "$root/"
    elif [ -d "$entry" ]; then mkdir "$root/$name"; mount --rbind "$entry" "$root/$name"; fi
done
mkdir "$root/workspace" "$root/home-of-test"
HOME=/home-of-test exec chroot "$root" "$@""#;

#[test]
fn mounted_directory_yields_to_the_one_in_use() {
    let name = "mounted_directory_yields_to_the_one_in_use";
    if common::is_test_body() {
        let servers = PathBuf::from("/home-of-test/.simpletuner");
        let workspace = PathBuf::from("/workspace/simpletuner");
        assert_eq!(chosen(), (workspace.clone(), "default".to_owned(), 0));
        use_directory(&workspace);
        assert_eq!(chosen(), (workspace.clone(), "default".to_owned(), 0));
        use_directory(&servers);
        assert_eq!(chosen(), (servers.clone(), "in_use".to_owned(), 1));
        fs::remove_file(workspace.join("cloud/jobs.db")).unwrap();
        assert_eq!(chosen(), (servers, "in_use".to_owned(), 1));
        return;
    }
    let root = temp();
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c", OTHER_ROOT]).arg(root.path());
    command.arg(std::env::current_exe().unwrap()).args(["--exact", name, "--test-threads=1"]);
    let output = common::undisturbed(&mut command).env("ST_SECRETS_TEST_BODY", "1").output().unwrap();
    let printed = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&printed));
}

#[test]
fn database_of_a_state_directory_has_its_audit_trail() {
    let directory = temp();
    let mut config = Config::new();
    let database = directory.path().join("cloud/jobs.db");
    config.set("database", database.to_str().unwrap()).unwrap();
    let by_file = Store::open(&config).unwrap();
    by_file.provider_save("p", "{}").unwrap();
    let by_directory = common::store::open(directory.path());
    by_directory.provider_update("p", "{\"a\": 1}").unwrap();
    let trail = entries(&by_directory);
    assert_eq!((trail.len(), entries(&by_file)), (2, trail.clone()));
    assert!(by_file.audit_verify(0, 0).unwrap().is_intact());
    let cloud = directory.path().join("cloud");
    assert!(!cloud.join("audit.db").exists() && !cloud.join("audit.key").exists());
    assert!(directory.path().join("audit.key").exists());
    let state_dir = described(&[("database", &database)])["state_dir"].clone();
    assert_eq!(state_dir, directory.path().to_str().unwrap());
    // Any other file has its trail beside it.
    let other = directory.path().join("cloud/other.db");
    let described = described(&[("database", &other)]);
    assert_eq!(described["audit_database"], cloud.join("audit.db").to_str().unwrap());
    assert_eq!((&described["state_dir"], &described["reason"]), (&json!(null), &json!("database")));
}

#[test]
fn second_audit_trail_of_an_earlier_version_is_reported() {
    let directory = temp();
    let database = directory.path().join("cloud/jobs.db");
    fs::create_dir(directory.path().join("cloud")).unwrap();
    let beside = directory.path().join("cloud/audit.db");
    fs::write(&beside, "").unwrap();
    for settings in [[("database", &*database)], [("state_dir", directory.path())]] {
        let described = described(&settings);
        assert_eq!(described["audit_database"], directory.path().join("audit.db").to_str().unwrap());
        let warning = described["warnings"][0].as_str().unwrap();
        assert!(warning.contains(beside.to_str().unwrap()) && warning.contains("audit_database"), "{warning}");
    }
    let read = described(&[("database", &database), ("audit_database", &beside)]);
    assert_eq!((&read["warnings"], &read["audit_database"]), (&json!([]), &json!(beside.to_str().unwrap())));
}
