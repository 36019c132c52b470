//! Tests of the settings.

use super::*;

fn read(settings: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<Option<ShareSettings>, InvalidSetting> {
    let mut config = Config::new();
    settings.iter().for_each(|(key, value)| config.set(key, value).unwrap());
    ShareSettings::read(&config, &Environment::fixed(variables))
}

#[test]
fn share_is_off_unless_it_is_turned_on() {
    assert!(read(&[], &[]).unwrap().is_none());
    assert!(read(&[("share", "off")], &[("ST_SECRETS_SHARE", "host")]).unwrap().is_none());
    assert!(read(&[], &[("ST_SECRETS_SHARE", "host")]).unwrap().is_some());
    assert!(read(&[("share", "all")], &[]).map(drop).unwrap_err().in_config);
    assert!(!read(&[], &[("ST_SECRETS_SHARE", "all")]).map(drop).unwrap_err().in_config);
}

#[test]
fn directory_is_that_of_the_user() {
    let directory = |settings: &[(&str, &str)], variables: &[(&str, &str)]| {
        let settings = [&[("share", "host")], settings].concat();
        read(&settings, variables).unwrap().unwrap().directory
    };
    let default = PathBuf::from(format!("/dev/shm/st-secrets-{}", sys::effective_user()));
    assert_eq!(directory(&[], &[]), default);
    let own = tempfile::tempdir().unwrap();
    let runtime = ("XDG_RUNTIME_DIR", own.path().to_str().unwrap());
    assert_eq!(directory(&[], &[runtime]), own.path().join("st-secrets"));
    let none = own.path().join("none");
    assert_eq!(directory(&[], &[("XDG_RUNTIME_DIR", none.to_str().unwrap())]), default);
    assert_eq!(directory(&[], &[("XDG_RUNTIME_DIR", "relative")]), default);
    assert_eq!(directory(&[], &[("ST_SECRETS_SHARE_DIR", "/a"), runtime]), Path::new("/a"));
    assert_eq!(directory(&[("share_dir", "/b")], &[("ST_SECRETS_SHARE_DIR", "/a")]), Path::new("/b"));
}

#[test]
fn key_has_32_bytes() {
    let key = |text: &str| read(&[("share", "host"), ("share_key", text)], &[]).map(|settings| settings.unwrap().key);
    assert_eq!(
        &*key("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=").unwrap().unwrap(),
        b"0123456789abcdef0123456789abcdef"
    );
    for text in ["CANARY", "MDEyMzQ1Njc4OWFiY2RlZg==", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYw"] {
        let error = key(text).map(drop).unwrap_err().error;
        assert!(error.message().contains("must be 32 bytes in base64") && !error.message().contains(text), "{error}");
    }
}
