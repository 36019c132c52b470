//! The sources of encryption keys, key files, and rotation.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use common::time::soon;
use common::{in_environment, mode, temp, without_home, write};
use st_secrets::{Cipher, Config, Result, Source, Status, log};

const KEY: &str = "SIMPLETUNER_CREDENTIAL_KEY";
const PREVIOUS: &str = "SIMPLETUNER_CREDENTIAL_KEY_PREVIOUS";
const UNSET: [(&str, Option<&str>); 2] = [(KEY, None), (PREVIOUS, None)];

fn open(settings: &[(&str, &str)]) -> Result<Cipher> {
    let mut config = Config::new();
    for (key, value) in settings {
        config.set(key, value)?;
    }
    Cipher::open(&config)
}

fn with_file(path: &Path) -> Result<Cipher> {
    open(&[("key_file", path.to_str().unwrap())])
}

fn with_key(secret: &str) -> Cipher {
    open(&[("key", secret)]).unwrap()
}

fn previous(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.previous", path.display()))
}

/// Whether a cipher with only this secret can decrypt the token.
fn is_under(secret: &str, token: &[u8]) -> bool {
    with_key(secret).decrypt(token).is_ok()
}

#[test]
fn key_variable_takes_precedence_over_the_file() {
    let name = "key_variable_takes_precedence_over_the_file";
    let home = temp();
    fs::create_dir(home.path().join(".simpletuner")).unwrap();
    write(&home.path().join(".simpletuner/credential.key"), "from the file\n");
    let environment =
        [("HOME", home.path().to_str()), (KEY, Some(" from the variable ")), (PREVIOUS, Some("a\n\n b \n"))];
    in_environment(name, &environment, || {
        let token = open(&[]).unwrap().encrypt(b"plain").unwrap();
        assert!(is_under(" from the variable ", &token) && !is_under("from the variable", &token));
        for earlier in ["a", "b"] {
            let token = with_key(earlier).encrypt(b"plain").unwrap();
            assert_eq!(&*Cipher::default_instance().unwrap().decrypt(&token).unwrap(), b"plain");
        }
        let error = open(&[]).unwrap().rotate_key().unwrap_err();
        assert_eq!((error.status(), error.source_provider()), (Status::ReadOnly, Source::Encryption));
        assert!(error.message().contains(KEY) && error.message().contains(PREVIOUS), "{error}");
    });
}

#[test]
fn key_file_in_the_home_directory_is_used_without_a_variable() {
    let home = temp();
    fs::create_dir(home.path().join(".simpletuner")).unwrap();
    write(&home.path().join(".simpletuner/credential.key"), "\n from the file\n");
    write(&home.path().join(".simpletuner/credential.key.previous"), "earlier\r\n\n");
    let environment = [("HOME", home.path().to_str()), (KEY, Some("")), (PREVIOUS, Some(""))];
    in_environment("key_file_in_the_home_directory_is_used_without_a_variable", &environment, || {
        let cipher = open(&[]).unwrap();
        assert!(is_under("from the file", &cipher.encrypt(b"plain").unwrap()));
        assert_eq!(&*cipher.decrypt(&with_key("earlier").encrypt(b"plain").unwrap()).unwrap(), b"plain");
    });
}

#[test]
fn missing_key_is_generated() {
    let home = temp();
    let environment = [&[("HOME", home.path().to_str())], &UNSET[..]].concat();
    in_environment("missing_key_is_generated", &environment, || {
        let home = PathBuf::from(std::env::var_os("HOME").unwrap());
        let path = home.join(".simpletuner/credential.key");
        let error = open(&[("generate", "false")]).unwrap_err();
        assert_eq!(error.status(), Status::BadKey);
        assert!(!home.join(".simpletuner").exists());
        let token = Cipher::default_instance().unwrap().encrypt(b"plain").unwrap();
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let secret = fs::read_to_string(&path).unwrap();
        let is_base64 = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(secret.len() == 43 && secret.chars().all(is_base64));
        assert!(is_under(&secret, &token));
        let mut names: Vec<_> =
            fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [".credential.key.lock", "credential.key"]);
        Cipher::reset_default(None).unwrap();
        assert_eq!(&*Cipher::default_instance().unwrap().decrypt(&token).unwrap(), b"plain");
        assert_eq!(fs::read_to_string(&path).unwrap(), secret);
    });
}

#[test]
fn unreadable_key_is_an_error_and_is_never_replaced() {
    let directory = temp();
    let path = directory.path().join("key");
    for bytes in [&b""[..], b" \n\n", b"\xFF\xFE", b"k\xC3"] {
        fs::write(&path, bytes).unwrap();
        let error = with_file(&path).unwrap_err();
        assert_eq!((error.status(), error.source_provider()), (Status::BadKey, Source::Encryption), "{error}");
        assert!(error.message().contains(path.to_str().unwrap()) && error.message().contains("backup"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let error = with_file(&path).unwrap_err();
    assert_eq!(error.status(), Status::BadKey);
    assert!(error.message().contains("is a directory, not a file"), "{error}");
    fs::remove_dir(&path).unwrap();
    // Unreadable previous keys are an error too: without them, tokens would silently become unreadable.
    write(&path, "newest");
    fs::create_dir(previous(&path)).unwrap();
    assert_eq!(with_file(&path).unwrap_err().status(), Status::BadKey);
}

#[test]
fn file_descriptor_shortage_is_not_blamed_on_the_key() {
    in_environment("file_descriptor_shortage_is_not_blamed_on_the_key", &UNSET, || {
        let directory = temp();
        let path = write(&directory.path().join("key"), "a secret");
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: writes to a valid struct.
        assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) }, 0);
        let none = libc::rlimit { rlim_cur: 3, ..limit };
        // SAFETY: reads a valid struct; this process runs only this test.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &none) }, 0);
        let error = with_file(&path).err().unwrap();
        // SAFETY: as above.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
        assert_eq!((error.status(), error.detail()), (Status::Io, libc::EMFILE), "{error}");
        assert!(!error.message().contains("backup"), "{error}");
        assert!(with_file(&path).is_ok());
    });
}

#[test]
fn key_file_with_a_trailing_slash_is_rejected() {
    let directory = temp();
    let error = open(&[("key_file", &format!("{}/key/", directory.path().display()))]).err().unwrap();
    assert!(error.message().contains("names a directory"), "{error}");
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn missing_key_is_generated_where_a_relative_link_points() {
    let directory = temp();
    let environment = [("HOME", directory.path().to_str())];
    in_environment("missing_key_is_generated_where_a_relative_link_points", &environment, || {
        std::env::set_current_dir(std::env::var_os("HOME").unwrap()).unwrap();
        std::os::unix::fs::symlink("target", "link").unwrap();
        let token = open(&[("key_file", "link")]).unwrap().encrypt(b"plain").unwrap();
        assert!(is_under(&fs::read_to_string("target").unwrap(), &token));
        assert!(fs::symlink_metadata("link").unwrap().is_symlink());
    });
}

#[test]
fn bad_token_error_names_where_to_add_the_previous_key() {
    let directory = temp();
    let path = write(&directory.path().join("key"), "newest");
    let token = with_key("another").encrypt(b"plain").unwrap();
    let message_of = |cipher: &Cipher| cipher.decrypt(&token).unwrap_err().message().to_owned();
    let file = message_of(&with_file(&path).unwrap());
    assert!(file.ends_with(&format!("add the previous key to {}", previous(&path).display())), "{file}");
    let key = message_of(&with_key("newest"));
    assert!(key.ends_with("to `previous_keys` of the configuration"), "{key}");
    in_environment("bad_token_error_names_where_to_add_the_previous_key", &[(KEY, Some("newest"))], || {
        let variable = message_of(&open(&[]).unwrap());
        assert!(variable.ends_with(&format!("to {PREVIOUS}")), "{variable}");
    });
}

#[test]
fn missing_permission_and_missing_home_are_errors() {
    let directory = temp();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let path = write(&directory.path().join("key"), "secret");
    let name = "missing_permission_and_missing_home_are_errors";
    let environment = [&[("KEY_FILE", path.to_str())], &UNSET[..]].concat();
    without_home(name, &environment, || {
        let path = PathBuf::from(std::env::var_os("KEY_FILE").unwrap());
        let error = with_file(&path).unwrap_err();
        assert_eq!((error.status(), error.detail()), (Status::BadKey, 13), "{error}");
        // A directory that is not writable.
        let error = with_file(&path.with_file_name("other")).unwrap_err();
        assert_eq!((error.status(), error.detail()), (Status::AccessDenied, 13), "{error}");
        assert!(error.message().contains(KEY), "{error}");
        let error = open(&[]).unwrap_err();
        assert_eq!(error.status(), Status::BadKey);
        assert!(error.message().contains("HOME") && error.message().contains(KEY), "{error}");
        // With a key from the configuration, no home directory is needed.
        assert!(with_key("k").encrypt(b"plain").is_ok());
    });
}

#[test]
fn key_readable_by_others_is_a_warning_or_an_error() {
    let directory = temp();
    let path = write(&directory.path().join("key"), "secret");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let logged = Arc::new(Mutex::new(String::new()));
    let sink = logged.clone();
    log::set(log::Level::Warn, move |_, _, message| sink.lock().unwrap().push_str(message));
    with_file(&path).unwrap();
    let strict = open(&[("key_file", path.to_str().unwrap()), ("strict_permissions", "true")]);
    log::clear();
    assert!(logged.lock().unwrap().contains(&format!("chmod 600 {}", path.display())));
    let error = strict.unwrap_err();
    assert_eq!(error.status(), Status::AccessDenied);
    assert!(error.message().contains("chmod 600"), "{error}");
}

#[test]
fn key_and_key_file_are_mutually_exclusive() {
    let error = open(&[("key", "a"), ("key_file", "/b")]).unwrap_err();
    assert_eq!(error.status(), Status::Config);
}

#[test]
fn rotate_key_keeps_every_token_readable() {
    let directory = temp();
    let path = write(&directory.path().join("key"), "first\n");
    let cipher = with_file(&path).unwrap();
    let other = with_file(&path).unwrap();
    let tokens: Vec<_> = (0..4)
        .map(|n: u8| {
            let token = cipher.encrypt(&[n]).unwrap();
            cipher.rotate_key().unwrap();
            token
        })
        .collect();
    let kept = fs::read_to_string(previous(&path)).unwrap();
    assert_eq!((kept.lines().count(), kept.lines().last()), (4, Some("first")));
    assert_eq!((mode(&path), mode(&previous(&path))), (0o600, 0o600));
    let newest = fs::read_to_string(&path).unwrap();
    assert!(!kept.contains(&newest));
    // The cipher that rotated, one that was open before, and a new one.
    for cipher in [&cipher, &other, &with_file(&path).unwrap()] {
        for (n, token) in tokens.iter().enumerate() {
            assert_eq!(&*cipher.decrypt(token).unwrap(), [n as u8]);
            let new = cipher.reencrypt(token).unwrap();
            assert!(new.changed && is_under(&newest, &new.token));
            let again = cipher.reencrypt(&new.token).unwrap();
            assert!(!again.changed && *again.token == *new.token);
        }
    }
}

#[test]
fn encrypt_uses_a_key_rotated_elsewhere() {
    let directory = temp();
    let path = directory.path().join("key");
    let (cipher, other) = (with_file(&path).unwrap(), with_file(&path).unwrap());
    cipher.rotate_key().unwrap();
    let newest = fs::read_to_string(&path).unwrap();
    soon(|| is_under(&newest, &other.encrypt(b"plain").unwrap()));
}

#[test]
fn encrypt_fails_when_the_key_file_is_gone() {
    let directory = temp();
    let path = write(&directory.path().join("key"), "secret");
    let cipher = with_file(&path).unwrap();
    let token = cipher.encrypt(b"plain").unwrap();
    fs::remove_file(&path).unwrap();
    soon(|| cipher.encrypt(b"plain").is_err());
    assert_eq!(cipher.encrypt(b"plain").unwrap_err().status(), Status::BadKey);
    assert_eq!(cipher.rotate_key().unwrap_err().status(), Status::BadKey);
    assert_eq!(&*cipher.decrypt(&token).unwrap(), b"plain");
    assert!(!path.exists());
    write(&path, "secret");
    assert!(cipher.encrypt(b"plain").is_ok());
}

#[test]
fn reencrypt_turns_a_bare_token_into_a_stored_one() {
    let cipher = with_key("secret");
    let stored = String::from_utf8(cipher.encrypt(b"plain").unwrap().to_vec()).unwrap();
    let directory = temp();
    let decode = std::process::Command::new("sh")
        .args(["-c", &format!("printf %s '{stored}' | tr -- -_ +/ | base64 -d")])
        .current_dir(directory.path())
        .output()
        .unwrap();
    let new = cipher.reencrypt(&decode.stdout).unwrap();
    assert!(new.changed);
    assert_eq!(&*cipher.decrypt(&new.token).unwrap(), b"plain");
}

#[test]
fn rotate_key_rejects_a_key_with_several_lines() {
    let directory = temp();
    let path = write(&directory.path().join("key"), "a\nb");
    let cipher = with_file(&path).unwrap();
    assert_eq!(cipher.rotate_key().unwrap_err().status(), Status::BadKey);
    assert_eq!(fs::read_to_string(&path).unwrap(), "a\nb");
    assert!(!previous(&path).exists());
}

#[test]
fn rotate_key_preserves_symbolic_links() {
    let directory = temp();
    fs::create_dir(directory.path().join("store")).unwrap();
    let path = directory.path().join("key");
    std::os::unix::fs::symlink("store/key", &path).unwrap();
    let cipher = with_file(&path).unwrap();
    let token = cipher.encrypt(b"plain").unwrap();
    cipher.rotate_key().unwrap();
    assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    assert_eq!(&*with_file(&path).unwrap().decrypt(&token).unwrap(), b"plain");
}

#[test]
fn messages_show_no_key_and_no_token() {
    let directory = temp();
    let path = write(&directory.path().join("key"), "CANARY\nCANARY");
    let cipher = with_file(&path).unwrap();
    let errors = [
        cipher.rotate_key().unwrap_err(),
        cipher.decrypt(b"CANARY").unwrap_err(),
        open(&[("key", "CANARY"), ("key_file", "x")]).unwrap_err(),
    ];
    for error in errors {
        assert!(!format!("{error} {error:?}").contains("CANARY"), "{error}");
    }
    assert!(!format!("{cipher:?} {:?}", with_key("CANARY")).contains("CANARY"));
}
