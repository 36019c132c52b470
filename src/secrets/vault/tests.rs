//! Settings from the configuration and the environment.

use std::collections::HashMap;
use std::path::Path;

use super::settings::{Settings, SettingsError, Version};
use super::variables::{Inputs, Refused};
use super::*;
use crate::error::Status;
use crate::http::{Proxy, Roots};

/// Settings in an environment of these variables, with an empty home.
fn read(config: &[(&str, &str)], variables: &[(&str, &str)]) -> std::result::Result<Settings, SettingsError> {
    let mut given = Config::new();
    config.iter().for_each(|(key, value)| given.set(key, value).unwrap());
    let mut all: HashMap<&str, &str> = HashMap::from([("HOME", "/nonexistent")]);
    all.extend(variables.iter().copied());
    Settings::read(&Inputs { config: &given, variable: &|name| all.get(name).map(OsString::from) })
}

fn settings(config: &[(&str, &str)], variables: &[(&str, &str)]) -> Settings {
    match read(config, variables) {
        Ok(settings) => settings,
        Err(SettingsError::NotConfigured(lack)) => panic!("not configured: {}", lack.why),
        Err(SettingsError::Refused(refused)) => panic!("{}", refused.error),
    }
}

fn refused(config: &[(&str, &str)], variables: &[(&str, &str)]) -> Refused {
    match read(config, variables) {
        Err(SettingsError::Refused(refused)) => refused,
        Err(SettingsError::NotConfigured(lack)) => panic!("not configured: {}", lack.why),
        Ok(_) => panic!("{config:?} {variables:?} are taken"),
    }
}

/// With an address and a token in the environment.
fn with(variables: &[(&str, &str)]) -> Settings {
    settings(&[], &[&[("VAULT_ADDR", "https://vault:8200"), ("VAULT_TOKEN", "t")], variables].concat())
}

fn refused_with(variables: &[(&str, &str)]) -> String {
    let refused = refused(&[], &[&[("VAULT_ADDR", "https://vault:8200"), ("VAULT_TOKEN", "t")], variables].concat());
    assert!(!refused.in_config);
    assert_eq!((refused.error.status(), refused.error.source_provider()), (Status::Config, Source::Vault));
    refused.error.message().to_owned()
}

#[test]
fn an_address_and_a_way_to_log_in_are_needed() {
    let without = |config: &[(&str, &str)], variables: &[(&str, &str)]| match read(config, variables) {
        Err(SettingsError::NotConfigured(lack)) => lack.why,
        _ => panic!("{config:?} {variables:?} are configured"),
    };
    assert_eq!(without(&[], &[]), "neither vault_url nor VAULT_ADDR is set");
    assert_eq!(without(&[("vault_token", "t")], &[("VAULT_ADDR", "")]), "neither vault_url nor VAULT_ADDR is set");
    // `vault login` may come later.
    let why = settings(&[], &[("VAULT_ADDR", "https://vault:8200")]).no_login;
    assert!(why.starts_with("the variable VAULT_ADDR is set, but there is no way to log in: set VAULT_TOKEN"), "{why}");
    let waiting = settings(&[("vault_url", "https://vault:8200")], &[("BAO_TOKEN", ""), ("VAULT_TOKEN", "t")]);
    assert!(waiting.no_login.starts_with("the configuration key `vault_url` is set, but"), "{}", waiting.no_login);
    assert!(waiting.auth.is_absent());
    // What is wrong in the configuration is told all the same.
    let refused = refused(&[("vault_url", "https://vault:8200"), ("vault_kv_version", "3")], &[]);
    assert!(refused.in_config && refused.error.message().contains("vault_kv_version"), "{}", refused.error);
    without(&[("vault_url", "https://vault:8200")], &[("VAULT_CLIENT_TIMEOUT", "soon")]);
}

#[test]
fn what_is_not_given_has_its_default() {
    let settings = with(&[]);
    assert_eq!((&*settings.mount, &*settings.path, settings.version), ("secret", "simpletuner", None));
    assert_eq!((settings.namespace, settings.max_attempts, settings.rate), (None, 3, None));
    assert_eq!(settings.request_timeout.as_secs(), 60);
    assert!(settings.follow_redirects && !settings.transport.skip_verify);
    assert!(matches!(settings.transport.roots, Roots::Platform));
    assert!(matches!(settings.transport.proxy, Proxy::Environment));
    assert_eq!(settings.auth.name(), "token");
}

#[test]
fn the_configuration_goes_before_the_environment() {
    let settings = settings(
        &[
            ("vault_url", "http://here:1"),
            ("vault_token", "mine"),
            ("vault_namespace", "/a/b/"),
            ("vault_path", "own/app"),
            ("vault_mount", "kv/"),
            ("vault_kv_version", "1"),
            ("vault_ca_cert", "/ca.pem"),
            ("max_attempts", "5"),
        ],
        &[
            ("VAULT_ADDR", "http://there:2"),
            ("VAULT_TOKEN", "other"),
            ("VAULT_NAMESPACE", "c"),
            ("SIMPLETUNER_VAULT_PATH", "other"),
            ("VAULT_CACERT", "/other.pem"),
            ("VAULT_MAX_RETRIES", "1"),
        ],
    );
    assert_eq!(settings.address.to_string(), "http://here:1");
    assert!(matches!(&settings.auth, auth::Auth::Token(token) if **token == *b"mine"));
    assert_eq!((settings.namespace.as_deref(), &*settings.path, &*settings.mount), (Some("a/b"), "own/app", "kv"));
    assert_eq!((settings.version, settings.max_attempts), (Some(Version::V1), 5));
    assert!(matches!(&settings.transport.roots, Roots::File(path) if path == Path::new("/ca.pem")));
}

#[test]
fn the_variables_of_both_tools_are_read() {
    let settings = with(&[
        ("BAO_ADDR", "https://bao:8200"),
        ("BAO_NAMESPACE", "team"),
        ("SIMPLETUNER_VAULT_PATH", "app"),
        ("VAULT_MAX_RETRIES", "0"),
        ("VAULT_CLIENT_TIMEOUT", "1m30s"),
        ("VAULT_RATE_LIMIT", "10:20"),
        ("VAULT_DISABLE_REDIRECTS", "T"),
        ("VAULT_SKIP_VERIFY", "1"),
        ("VAULT_TLS_SERVER_NAME", "vault.internal"),
        ("VAULT_CLIENT_CERT", "/c.pem"),
        ("VAULT_CLIENT_KEY", "/c.key"),
        ("VAULT_HEADERS", r#"{"X-Team": "a b"}"#),
    ]);
    assert_eq!((settings.address.to_string().as_str(), &*settings.path), ("https://bao:8200", "app"));
    assert_eq!((settings.namespace.as_deref(), settings.max_attempts), (Some("team"), 1));
    assert_eq!(settings.request_timeout.as_secs(), 90);
    assert!(settings.rate.is_some() && !settings.follow_redirects && settings.transport.skip_verify);
    assert_eq!(settings.transport.server_name.as_deref(), Some("vault.internal"));
    assert!(settings.transport.client_certificate.is_some());
    assert_eq!((&*settings.headers[0].0, &**settings.headers[0].1), ("X-Team", "a b"));
    assert_eq!(with(&[("VAULT_AGENT_ADDR", "http://agent:1")]).address.to_string(), "http://agent:1");
    assert_eq!(with(&[("VAULT_CLIENT_TIMEOUT", "0")]).request_timeout, std::time::Duration::MAX);
}

#[test]
fn cas_and_proxies_have_an_order() {
    let pem = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n";
    let all = [("VAULT_CACERT", "/file"), ("VAULT_CACERT_BYTES", pem), ("VAULT_CAPATH", "/directory")];
    assert!(matches!(with(&all).transport.roots, Roots::File(path) if path == Path::new("/file")));
    assert!(matches!(with(&all[1..]).transport.roots, Roots::Pem(text) if text == pem));
    assert!(matches!(with(&all[2..]).transport.roots, Roots::Directory(path) if path == Path::new("/directory")));
    let all = [("VAULT_PROXY_ADDR", "http://first:1"), ("VAULT_HTTP_PROXY", "http://second:2")];
    assert!(matches!(with(&all).transport.proxy, Proxy::Always(proxy) if proxy == "http://first:1"));
    assert!(matches!(with(&all[1..]).transport.proxy, Proxy::Always(proxy) if proxy == "http://second:2"));
}

#[test]
fn what_the_tools_take_is_taken() {
    let taken = with(&[("VAULT_CLIENT_TIMEOUT", "1d"), ("VAULT_RATE_LIMIT", "0")]);
    assert_eq!((taken.request_timeout.as_secs(), taken.rate), (86_400, None));
}

#[test]
fn ways_to_log_in_are_chosen() {
    let url = ("vault_url", "http://vault:8200");
    let role = [url, ("vault_auth", "approle"), ("vault_role_id", "id"), ("vault_secret_id_file", "/s")];
    assert_eq!(settings(&role, &[("VAULT_TOKEN", "t")]).auth.name(), "approle");
    assert_eq!(settings(&[url, ("vault_auth", "jwt")], &[]).auth.name(), "jwt");
    assert_eq!(settings(&[url, ("vault_auth", "kubernetes"), ("vault_role", "r")], &[]).auth.name(), "kubernetes");
    assert_eq!(settings(&[url, ("vault_auth", "agent")], &[("VAULT_TOKEN", "t")]).auth.name(), "agent");
    let files = settings(&[url, ("vault_token_file", "/run/token")], &[("VAULT_TOKEN", "t")]);
    assert!(matches!(&files.auth, auth::Auth::TokenFile { path, .. } if path == Path::new("/run/token")));
    let files = settings(&[url], &[("BAO_TOKEN_PATH", "/run/token")]);
    assert!(matches!(files.auth, auth::Auth::TokenFile { is_usual: false, .. }));
    assert_eq!(settings(&[], &[("VAULT_AGENT_ADDR", "http://127.0.0.1:8100")]).auth.name(), "agent");
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join(".vault-token"), "t").unwrap();
    let files = settings(&[url], &[("HOME", home.path().to_str().unwrap())]);
    assert!(matches!(&files.auth, auth::Auth::TokenFile { path, .. } if *path == home.path().join(".vault-token")));
    assert!(!files.auth.is_absent());
    let at_agent = settings(&[], &[("VAULT_AGENT_ADDR", "http://a:1"), ("HOME", home.path().to_str().unwrap())]);
    assert_eq!(at_agent.auth.name(), "token");
    for (more, what) in [
        (&[("vault_auth", "ldap")][..], "must be token, approle, kubernetes, jwt or agent"),
        (&[("vault_auth", "approle")], "is approle, which needs vault_role_id"),
        (&[("vault_auth", "kubernetes")], "is kubernetes, which needs vault_role"),
        (&[("vault_role", "r")], "is set, but vault_auth"),
        (&[("vault_auth", "approle"), ("vault_role_id", "r"), ("vault_secret_id", "CANARY CANARY")], "has spaces"),
    ] {
        let refused = refused(&[&[url], more].concat(), &[]);
        let message = refused.error.message();
        assert!(refused.in_config && message.contains(what) && !message.contains("CANARY"), "{message}");
    }
}

#[test]
fn a_setting_that_cannot_be_used_is_named_and_not_shown() {
    for (variable, value, what) in [
        ("VAULT_SKIP_VERIFY", "CANARY", "must be true or false"),
        ("VAULT_DISABLE_REDIRECTS", "yes", "must be true or false"),
        ("VAULT_CLIENT_TIMEOUT", "soon", "must be seconds"),
        ("VAULT_CLIENT_TIMEOUT", "1w", "must be seconds"),
        ("VAULT_MAX_RETRIES", "-1", "must be a whole number"),
        ("VAULT_RATE_LIMIT", "fast", "must be requests per second"),
        ("VAULT_CLIENT_CERT", "/c.pem", "VAULT_CLIENT_KEY is not"),
        ("VAULT_CLIENT_KEY", "/c.key", "VAULT_CLIENT_CERT is not"),
        ("VAULT_CACERT_BYTES", "CANARY", "must hold certificates in PEM form"),
        ("VAULT_HEADERS", "CANARY", "must be a JSON object"),
        ("VAULT_HEADERS", r#"{"A": 1}"#, "must be a JSON object"),
        ("VAULT_HEADERS", r#"{"A": "CANARY\r\nX-Vault-Token: x"}"#, "has a header that cannot be sent"),
        ("VAULT_HEADERS", r#"{"A b": "CANARY"}"#, "has a header that cannot be sent"),
        ("VAULT_HEADERS", r#"{"X-VAULT-Token": "CANARY"}"#, "are the client's own"),
        ("VAULT_NAMESPACE", "a/../b", "has `.` or `..`"),
        ("VAULT_NAMESPACE", "té", "must be the path of a namespace"),
        ("SIMPLETUNER_VAULT_PATH", "a//b", "has `//`"),
        ("SIMPLETUNER_VAULT_PATH", "secret/data/app", r#"must be the path within the mount: "app" instead of"#),
        ("SIMPLETUNER_VAULT_PATH", "/v1/secret/data/app", r#"must be the path within the mount: "app" instead of"#),
        ("VAULT_TOKEN", "CANARY CANARY", "has spaces"),
        ("VAULT_TOKEN", "CANARYé", "has spaces"),
        ("VAULT_ADDR", "unix:///run/vault.sock", "is a Unix socket"),
    ] {
        let message = refused_with(&[(variable, value)]);
        assert!(message.starts_with(&format!("the variable {variable} ")), "{message}");
        assert!(message.contains(what) && !message.contains("CANARY"), "{variable}={value}: {message}");
    }
    let address = [("VAULT_ADDR", "https://vault"), ("VAULT_SRV_LOOKUP", "true")];
    assert!(refused_with(&address).contains("does not look up; give the port"));
    assert_eq!(with(&[("VAULT_SRV_LOOKUP", "true")]).address.to_string(), "https://vault:8200");
}

#[test]
fn no_setting_can_hold_a_line_break() {
    for variable in [
        "VAULT_ADDR",
        "VAULT_AGENT_ADDR",
        "VAULT_TOKEN",
        "VAULT_NAMESPACE",
        "VAULT_CACERT",
        "VAULT_CAPATH",
        "VAULT_CLIENT_CERT",
        "VAULT_CLIENT_KEY",
        "VAULT_TLS_SERVER_NAME",
        "VAULT_SKIP_VERIFY",
        "VAULT_CLIENT_TIMEOUT",
        "VAULT_MAX_RETRIES",
        "VAULT_RATE_LIMIT",
        "VAULT_PROXY_ADDR",
        "VAULT_HTTP_PROXY",
        "VAULT_SRV_LOOKUP",
        "VAULT_DISABLE_REDIRECTS",
        "SIMPLETUNER_VAULT_PATH",
    ] {
        let message = refused_with(&[(variable, "CANARY\r\nX-Vault-Token: CANARY")]);
        assert_eq!(message, format!("the variable {variable} has a line break or another control character in it"));
    }
    let mut config = Config::new();
    for key in ["vault_url", "vault_token", "vault_mount", "vault_path", "vault_namespace", "vault_secret_id"] {
        assert!(config.set(key, "a\r\nb").is_err(), "{key}");
        let refused = refused(&[("vault_url", "http://v:1"), ("vault_token", "t"), (key, "a\u{85}b\u{7f}")], &[]);
        assert!(refused.in_config, "{key}");
    }
}

#[test]
fn what_is_wrong_in_the_environment_fails_the_provider_and_not_the_chain() {
    let variable = |name: &str| match name {
        "VAULT_ADDR" => Some(OsString::from("vault:8200")),
        "VAULT_TOKEN" => Some(OsString::from("t")),
        _ => None,
    };
    let source = VaultSource::open_in(&Config::new(), &variable).unwrap().unwrap();
    let error = source.load(Deadline::after(std::time::Duration::from_secs(1))).err().unwrap();
    assert_eq!((error.status(), error.source_provider()), (Status::Config, Source::Vault));
    assert_eq!(source.check(Deadline::after(std::time::Duration::ZERO)).state.name(), "failed");
    assert!(source.describe()["error"].as_str().unwrap().contains("VAULT_ADDR"));
    let mut config = Config::new();
    config.set("vault_url", "vault:8200").unwrap();
    assert!(VaultSource::open_in(&config, &variable).is_err());
}
