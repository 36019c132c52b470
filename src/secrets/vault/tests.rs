//! Settings of the configuration and the environment.

use std::path::Path;
use std::time::Duration;

use super::auth::VaultAuth;
use super::settings::{KvVersion, VaultSettings, VaultSettingsError};
use super::settings_reader::{SettingsReader, VaultCommon};
use super::source::VaultSource;
use crate::clock::Deadline;
use crate::config::Config;
use crate::error::{Source, Status};
use crate::http::retry::Patience;
use crate::http::{Proxy, Roots};
use crate::secrets::document::DocumentSource;
use crate::settings::{Environment, InvalidSetting};

/// Reads settings in an environment of these variables, without a home directory.
fn read(config: &[(&str, &str)], variables: &[(&str, &str)]) -> Result<VaultSettings, VaultSettingsError> {
    let mut given = Config::new();
    config.iter().for_each(|(key, value)| given.set(key, value).unwrap());
    let environment = Environment::fixed(&[&[("HOME", "/nonexistent")][..], variables].concat());
    VaultSettings::read(&SettingsReader { config: &given, environment: &environment, common: &VaultCommon::default() })
}

fn settings(config: &[(&str, &str)], variables: &[(&str, &str)]) -> VaultSettings {
    match read(config, variables) {
        Ok(settings) => settings,
        Err(VaultSettingsError::NotConfigured(reason)) => panic!("not configured: {}", reason.why),
        Err(VaultSettingsError::Invalid(invalid)) => panic!("{}", invalid.error),
    }
}

fn invalid(config: &[(&str, &str)], variables: &[(&str, &str)]) -> InvalidSetting {
    match read(config, variables) {
        Err(VaultSettingsError::Invalid(invalid)) => invalid,
        Err(VaultSettingsError::NotConfigured(reason)) => panic!("not configured: {}", reason.why),
        Ok(_) => panic!("{config:?} {variables:?} are valid"),
    }
}

fn paths(settings: &VaultSettings) -> Vec<String> {
    settings.secrets.iter().map(ToString::to_string).collect()
}

/// With an address and a token in the environment.
fn with(variables: &[(&str, &str)]) -> VaultSettings {
    settings(&[], &[&[("VAULT_ADDR", "https://vault:8200"), ("VAULT_TOKEN", "t")], variables].concat())
}

fn invalid_with(variables: &[(&str, &str)]) -> String {
    let invalid = invalid(&[], &[&[("VAULT_ADDR", "https://vault:8200"), ("VAULT_TOKEN", "t")], variables].concat());
    assert!(!invalid.in_config);
    assert_eq!(invalid.error.status(), Status::Config);
    invalid.error.message().to_owned()
}

#[test]
fn settings_need_an_address_and_a_way_to_log_in() {
    let without = |config: &[(&str, &str)], variables: &[(&str, &str)]| match read(config, variables) {
        Err(VaultSettingsError::NotConfigured(reason)) => reason.why,
        _ => panic!("{config:?} {variables:?} are configured"),
    };
    assert_eq!(without(&[], &[]), "neither vault_url nor VAULT_ADDR is set");
    assert_eq!(without(&[("vault_token", "t")], &[("VAULT_ADDR", "")]), "neither vault_url nor VAULT_ADDR is set");
    // The user may log in later.
    let why = settings(&[], &[("VAULT_ADDR", "https://vault:8200")]).no_login;
    assert!(why.starts_with("the variable VAULT_ADDR is set, but there is no way to log in: set VAULT_TOKEN"), "{why}");
    let waiting = settings(&[("vault_url", "https://vault:8200")], &[("BAO_TOKEN", ""), ("VAULT_TOKEN", "t")]);
    assert!(waiting.no_login.starts_with("the configuration key `vault_url` is set, but"), "{}", waiting.no_login);
    assert!(waiting.auth.is_absent());
    // An invalid configuration is reported even then.
    let invalid = invalid(&[("vault_url", "https://vault:8200"), ("vault_kv_version", "3")], &[]);
    assert!(invalid.in_config && invalid.error.message().contains("vault_kv_version"), "{}", invalid.error);
    without(&[("vault_url", "https://vault:8200")], &[("VAULT_CLIENT_TIMEOUT", "soon")]);
}

#[test]
fn settings_have_defaults() {
    let settings = with(&[]);
    assert_eq!((paths(&settings), settings.version), (vec!["secret/simpletuner".to_owned()], None));
    assert_eq!((settings.namespace, settings.max_attempts, settings.rate_limit), (None, None, None));
    assert_eq!(settings.request_timeout.as_secs(), 60);
    assert!(settings.follow_redirects && !settings.transport.skip_verify);
    assert!(matches!(settings.transport.roots, Roots::Platform));
    assert!(matches!(settings.transport.proxy, Proxy::Environment));
    assert_eq!(settings.auth.name(), "token");
}

#[test]
fn configuration_takes_precedence_over_the_environment() {
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
    assert!(matches!(&settings.auth, VaultAuth::Token(token) if **token == *b"mine"));
    assert_eq!((settings.namespace.as_deref(), paths(&settings)), (Some("a/b"), vec!["kv/own/app".to_owned()]));
    assert_eq!((settings.version, settings.max_attempts), (Some(KvVersion::V1), Some(5)));
    assert!(matches!(&settings.transport.roots, Roots::File(path) if path.text() == "/ca.pem"));
}

#[test]
fn variables_of_both_tools_are_read() {
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
    assert_eq!(settings.address.to_string(), "https://bao:8200");
    assert_eq!(paths(&settings), ["secret/app"]);
    assert_eq!((settings.namespace.as_deref(), settings.max_attempts), (Some("team"), Some(1)));
    assert_eq!(settings.request_timeout.as_secs(), 90);
    assert!(settings.rate_limit.is_some() && !settings.follow_redirects && settings.transport.skip_verify);
    assert_eq!(settings.transport.server_name.as_deref(), Some("vault.internal"));
    assert!(settings.transport.client_certificate.is_some());
    assert_eq!((&*settings.headers[0].0, &**settings.headers[0].1), ("X-Team", "a b"));
    assert_eq!(with(&[("VAULT_AGENT_ADDR", "http://agent:1")]).address.to_string(), "http://agent:1");
    assert_eq!(with(&[("VAULT_CLIENT_TIMEOUT", "0")]).request_timeout, Duration::MAX);
}

#[test]
fn several_paths_are_read_once_each_and_in_order() {
    let url = ("vault_url", "https://vault:8200");
    let given = settings(&[url, ("vault_path", r#"["a", "", "/b/", "a"]"#)], &[("SIMPLETUNER_VAULT_PATH", "c")]);
    assert_eq!(paths(&given), ["secret/a", "secret/b"]);
    let variable = |text| paths(&with(&[("SIMPLETUNER_VAULT_PATH", text)]));
    assert_eq!(variable(r#"["a", " b "]"#), ["secret/a", "secret/b"]);
    assert_eq!(variable("[]"), ["secret/simpletuner"]);
    assert!(invalid_with(&[("SIMPLETUNER_VAULT_PATH", "[a")]).contains("must be a path, or a JSON array of paths"));
    let invalid = invalid(&[url, ("vault_path", r#"["a", "secret/data/b"]"#)], &[]);
    assert!(invalid.error.message().contains(r#"must be the path within the mount: "b" instead of"#));
}

#[test]
fn ca_and_proxy_variables_have_an_order() {
    let pem = "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n";
    let all = [("VAULT_CACERT", "/file"), ("VAULT_CACERT_BYTES", pem), ("VAULT_CAPATH", "/directory")];
    assert!(matches!(with(&all).transport.roots, Roots::File(path) if path.text() == "/file"));
    assert!(matches!(with(&all[1..]).transport.roots, Roots::Pem(setting) if setting.text() == pem));
    assert!(matches!(with(&all[2..]).transport.roots, Roots::Directory(path) if path.text() == "/directory"));
    let all = [("VAULT_PROXY_ADDR", "http://first:1"), ("VAULT_HTTP_PROXY", "http://second:2")];
    assert!(matches!(with(&all).transport.proxy, Proxy::Always(proxy) if proxy.text() == "http://first:1"));
    assert!(matches!(with(&all[1..]).transport.proxy, Proxy::Always(proxy) if proxy.text() == "http://second:2"));
}

#[test]
fn values_that_the_tools_accept_are_accepted() {
    let taken = with(&[("VAULT_CLIENT_TIMEOUT", "1d"), ("VAULT_RATE_LIMIT", "0")]);
    assert_eq!((taken.request_timeout.as_secs(), taken.rate_limit), (86_400, None));
}

#[test]
fn auth_method_is_chosen() {
    let url = ("vault_url", "http://vault:8200");
    let role = [url, ("vault_auth", "approle"), ("vault_role_id", "id"), ("vault_secret_id_file", "/s")];
    assert_eq!(settings(&role, &[("VAULT_TOKEN", "t")]).auth.name(), "approle");
    assert_eq!(settings(&[url, ("vault_auth", "jwt")], &[]).auth.name(), "jwt");
    assert_eq!(settings(&[url, ("vault_auth", "kubernetes"), ("vault_role", "r")], &[]).auth.name(), "kubernetes");
    let user = [("vault_username", "u"), ("vault_password", "p q")];
    for method in ["userpass", "ldap"] {
        assert_eq!(settings(&[&[url, ("vault_auth", method)], &user[..]].concat(), &[]).auth.name(), method);
    }
    let own = [("vault_url", "https://vault:8200"), ("vault_auth", "cert"), ("vault_client_cert", "/own.pem")];
    let variables = [("VAULT_CLIENT_CERT", "/c.pem"), ("VAULT_CLIENT_KEY", "/c.key")];
    let cert = settings(&own, &variables);
    assert_eq!((cert.auth.name(), cert.auth.file()), ("cert", Some(Path::new("/own.pem"))));
    assert!(matches!(&cert.transport.client_certificate, Some((_, key)) if key.text() == "/c.key"));
    assert_eq!(settings(&[url, ("vault_auth", "agent")], &[("VAULT_TOKEN", "t")]).auth.name(), "agent");
    let files = settings(&[url, ("vault_token_file", "/run/token")], &[("VAULT_TOKEN", "t")]);
    assert!(matches!(&files.auth, VaultAuth::TokenFile { path, .. } if path == Path::new("/run/token")));
    let files = settings(&[url], &[("BAO_TOKEN_PATH", "/run/token")]);
    assert!(matches!(files.auth, VaultAuth::TokenFile { is_default: false, .. }));
    assert_eq!(settings(&[], &[("VAULT_AGENT_ADDR", "http://127.0.0.1:8100")]).auth.name(), "agent");
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join(".vault-token"), "t").unwrap();
    let files = settings(&[url], &[("HOME", home.path().to_str().unwrap())]);
    assert!(matches!(&files.auth, VaultAuth::TokenFile { path, .. } if *path == home.path().join(".vault-token")));
    assert!(!files.auth.is_absent());
    let at_agent = settings(&[], &[("VAULT_AGENT_ADDR", "http://a:1"), ("HOME", home.path().to_str().unwrap())]);
    assert_eq!(at_agent.auth.name(), "token");
    for (more, what) in [
        (&[("vault_auth", "oidc")][..], "must be token, approle, userpass, ldap, cert, kubernetes, jwt, aws or agent"),
        (&[("vault_auth", "approle")], "is approle, which also needs vault_role_id"),
        (&[("vault_auth", "kubernetes")], "is kubernetes, which also needs vault_role"),
        (&[("vault_role", "r")], "is set, but vault_auth"),
        (&[("vault_auth", "approle"), ("vault_role_id", "r"), ("vault_secret_id", "CANARY CANARY")], "contains spaces"),
    ] {
        let invalid = invalid(&[&[url], more].concat(), &[]);
        let message = invalid.error.message();
        assert!(invalid.in_config && message.contains(what) && !message.contains("CANARY"), "{message}");
    }
}

#[test]
fn invalid_setting_is_named_and_not_quoted() {
    for (variable, value, what) in [
        ("VAULT_SKIP_VERIFY", "CANARY", "must be true or false"),
        ("VAULT_DISABLE_REDIRECTS", "yes", "must be true or false"),
        ("VAULT_CLIENT_TIMEOUT", "soon", "must be seconds"),
        ("VAULT_CLIENT_TIMEOUT", "1w", "must be seconds"),
        ("VAULT_MAX_RETRIES", "-1", "must be a whole number"),
        ("VAULT_RATE_LIMIT", "fast", "must be requests per second"),
        ("VAULT_CLIENT_CERT", "/c.pem", "neither vault_client_key nor VAULT_CLIENT_KEY is"),
        ("VAULT_CLIENT_KEY", "/c.key", "neither vault_client_cert nor VAULT_CLIENT_CERT is"),
        ("VAULT_CACERT_BYTES", "CANARY", "must contain PEM certificates"),
        ("VAULT_HEADERS", "CANARY", "must be a JSON object"),
        ("VAULT_HEADERS", r#"{"A": 1}"#, "must be a JSON object"),
        ("VAULT_HEADERS", r#"{"A": "CANARY\r\nX-Vault-Token: x"}"#, "contains an invalid header"),
        ("VAULT_HEADERS", r#"{"A b": "CANARY"}"#, "contains an invalid header"),
        ("VAULT_HEADERS", r#"{"X-VAULT-Token": "CANARY"}"#, "the client sets all headers"),
        ("VAULT_NAMESPACE", "a/../b", "contains `.` or `..`"),
        ("VAULT_NAMESPACE", "té", "must be a namespace path"),
        ("SIMPLETUNER_VAULT_PATH", "a//b", "contains `//`"),
        ("SIMPLETUNER_VAULT_PATH", "secret/data/app", r#"must be the path within the mount: "app" instead of"#),
        ("SIMPLETUNER_VAULT_PATH", "/v1/secret/data/app", r#"must be the path within the mount: "app" instead of"#),
        ("VAULT_TOKEN", "CANARY CANARY", "contains spaces"),
        ("VAULT_TOKEN", "CANARYé", "contains spaces"),
        ("VAULT_ADDR", "unix:run/vault.sock", "must be the path of a socket"),
    ] {
        let message = invalid_with(&[(variable, value)]);
        assert!(message.starts_with(&format!("the variable {variable} ")), "{message}");
        assert!(message.contains(what) && !message.contains("CANARY"), "{variable}={value}: {message}");
    }
    let address = [("VAULT_ADDR", "https://vault"), ("VAULT_SRV_LOOKUP", "true")];
    assert!(invalid_with(&address).contains("is not supported; set the port"));
    assert_eq!(with(&[("VAULT_SRV_LOOKUP", "true")]).address.to_string(), "https://vault:8200");
    let socket = with(&[("VAULT_ADDR", "unix:///run/vault.sock"), ("VAULT_SRV_LOOKUP", "true")]);
    assert_eq!(socket.transport.socket.as_deref(), Some(Path::new("/run/vault.sock")));
}

#[test]
fn setting_with_a_line_break_is_invalid() {
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
        let message = invalid_with(&[(variable, "CANARY\r\nX-Vault-Token: CANARY")]);
        assert_eq!(message, format!("the variable {variable} contains a line break or another control character"));
    }
    let mut config = Config::new();
    for key in ["vault_url", "vault_token", "vault_mount", "vault_path", "vault_namespace", "vault_secret_id"] {
        assert!(config.set(key, "a\r\nb").is_err(), "{key}");
        let invalid = invalid(&[("vault_url", "http://v:1"), ("vault_token", "t"), (key, "a\u{85}b\u{7f}")], &[]);
        assert!(invalid.in_config, "{key}");
    }
}

#[test]
fn invalid_variable_fails_the_provider_and_not_the_manager() {
    let environment = Environment::fixed(&[("VAULT_ADDR", "vault:8200"), ("VAULT_TOKEN", "t")]);
    let source = VaultSource::open_in(&Config::new(), &environment, &VaultCommon::default()).unwrap().unwrap();
    let error = source.load(Deadline::after(Duration::from_secs(1)), Patience::Brief).err().unwrap();
    assert_eq!((error.status(), error.source_provider()), (Status::Config, Source::Vault));
    assert_eq!(source.check(Deadline::after(Duration::ZERO)).state.name(), "failed");
    assert!(source.describe()["error"].as_str().unwrap().contains("VAULT_ADDR"));
    let mut config = Config::new();
    config.set("vault_url", "vault:8200").unwrap();
    assert!(VaultSource::open_in(&config, &environment, &VaultCommon::default()).is_err());
}
