//! Which requests are sent, how often, and what happens when servers and networks fail.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use st_secrets::{Error, Manager, Status};

use crate::common::fork::{fork, said_yes};
use crate::common::proxy::{BlackHole, Fault, Proxy, Reply, closed_address};
use crate::common::servers::bao::Bao;
use crate::common::servers::{bao, set_variables, unique};
use crate::common::text;
use crate::common::time::{PATIENCE, soon};
use crate::{alone, at, check, refreshed};

/// A new secret at the shared server, behind a proxy.
pub(crate) fn behind_a_proxy() -> (Proxy, String) {
    let path = unique("app");
    bao().put("secret", &path, &json!({"A": "value"}));
    (Proxy::to(bao().address()), path)
}

/// The paths of the requests since the last call, without `/v1/` and without those about the token.
fn requested(proxy: &Proxy) -> Vec<String> {
    let paths = proxy.requests().iter().map(|request| request.path.replace("/v1/", "")).collect::<Vec<_>>();
    proxy.forget();
    paths.into_iter().filter(|path| !path.starts_with("auth/token/")).collect()
}

pub(crate) fn root(proxy: &Proxy, path: &str, more: &[(&str, &str)]) -> Manager {
    at(&proxy.url(), &[&[("vault_token", bao().root()), ("vault_path", path)], more].concat())
}

/// Asserts that a read fails in time, leaves no connection open, and does not reveal the token.
pub(crate) fn fails(proxy: &Proxy, secrets: &Manager) -> Error {
    let began = Instant::now();
    let error = refreshed(secrets, "A").unwrap_err();
    assert!(began.elapsed() < PATIENCE, "{:?}: {error}", began.elapsed());
    assert!(!error.message().contains(bao().root()) || bao().root() == "root", "{error}");
    proxy.wait_until_closed();
    error
}

#[test]
fn cold_read_takes_two_requests_and_warm_read_one() {
    alone!(|| {
        let (proxy, path) = behind_a_proxy();
        let (mounts, data) = (format!("sys/internal/ui/mounts/secret/{path}"), format!("secret/data/{path}"));
        let secrets = root(&proxy, &path, &[]);
        assert_eq!(text(&secrets, "A").as_deref(), Some("value"));
        let requests = proxy.requests();
        assert_eq!(requests[0].connection, requests[1].connection, "requests of one load share a connection");
        assert_eq!(requests[2].path, "/v1/auth/token/lookup-self", "once, after the secret is read");
        assert_eq!(requested(&proxy), [&*mounts, &*data]);
        refreshed(&secrets, "A").unwrap();
        assert_eq!(requested(&proxy), [&*data]);
        proxy.wait_until_closed();

        let secrets = root(&proxy, &path, &[("vault_kv_version", "2")]);
        assert!(secrets.get("A").is_ok());
        assert_eq!(requested(&proxy), [&*data]);

        let old = unique("old");
        bao().mount(&old, 1);
        bao().put_v1(&old, &path, &json!({"A": "value"}));
        let secrets = root(&proxy, &path, &[("vault_mount", &old)]);
        assert!(secrets.get("A").is_ok());
        assert!(refreshed(&secrets, "A").is_ok());
        let secret = format!("{old}/{path}");
        assert_eq!(requested(&proxy), [&*format!("sys/internal/ui/mounts/{secret}"), &*secret, &*secret]);
    });
}

#[test]
fn every_request_has_vault_headers() {
    alone!(|| {
        let (proxy, path) = behind_a_proxy();
        set_variables([("VAULT_HEADERS", r#"{"X-Team": "blue"}"#)]);
        let secrets = root(&proxy, &path, &[("vault_namespace", "root")]);
        let state = Reply::new(503).header("X-Vault-Index", "v1:state").header("Retry-After", "0");
        proxy.next(1, state);
        // An index that cannot be sent back.
        for odd in ["v1:\u{e9}".to_owned(), "v".repeat(1025)] {
            proxy.next(1, Reply::new(503).header("X-Vault-Index", &odd).header("Retry-After", "0"));
        }
        let _ = secrets.get("A");
        let _ = refreshed(&secrets, "A");
        let requests = proxy.requests();
        assert!(requests.len() >= 4);
        for (number, request) in requests.iter().enumerate() {
            assert_eq!(request.header("X-Vault-Request"), Some("true"));
            assert_eq!(request.header("X-Vault-Token"), Some(bao().root()));
            assert_eq!(request.header("X-Vault-Namespace"), Some("root"));
            assert_eq!(request.header("X-Team"), Some("blue"));
            assert_eq!(request.header("X-Vault-Index"), (number > 0).then_some("v1:state"));
        }
    });
}

#[test]
fn transient_failure_is_retried() {
    alone!(|| {
        let upgrading =
            "Upgrading from non-versioned to versioned data. This backend will be unavailable for a brief period";
        let faults = [
            Fault::vault(412, &["required index state not present"]),
            Fault::retry_after(429, "0"),
            Fault::vault(429, &["request path \"x\": rate limit quota exceeded"]),
            Fault::status(500),
            Fault::status(502),
            Fault::retry_after(503, "1"),
            Fault::vault(400, &[upgrading]),
            Fault::ResetAfter,
            Fault::ResetBefore,
            Fault::Half,
        ];
        std::thread::scope(|scope| {
            for fault in faults {
                scope.spawn(move || {
                    let (proxy, path) = behind_a_proxy();
                    let secrets = root(&proxy, &path, &[("vault_kv_version", "2")]);
                    proxy.next(1, fault.clone());
                    assert_eq!(text(&secrets, "A").as_deref(), Some("value"), "{fault:?}: {:?}", secrets.get("A"));
                });
            }
        });
    });
}

#[test]
fn unavailable_server_gets_three_attempts_and_none_for_version_1() {
    alone!(|| {
        let faults = [(500, "check its log"), (503, "overloaded"), (429, "rate limit"), (412, "lags behind")];
        std::thread::scope(|scope| {
            for (status, what) in faults {
                scope.spawn(move || {
                    let (proxy, path) = behind_a_proxy();
                    let secrets = root(&proxy, &path, &[]);
                    assert!(secrets.get("A").is_ok());
                    requested(&proxy);
                    proxy.always(Fault::status(status));
                    let error = refreshed(&secrets, "B").unwrap_err();
                    assert_eq!((error.status(), error.detail()), (Status::Unavailable, i32::from(status)), "{error}");
                    assert!(error.is_retryable() && error.message().contains(what), "{error}");
                    assert_eq!(requested(&proxy), [(); 3].map(|()| format!("secret/data/{path}")));
                });
            }
        });
    });
}

#[test]
fn denial_is_not_retried() {
    alone!(|| {
        let (proxy, path) = behind_a_proxy();
        let secrets = root(&proxy, &path, &[]);
        proxy.always(Fault::vault(403, &["1 error occurred:\n\t* permission denied\n\n"]));
        let error = secrets.get("A").unwrap_err();
        assert_eq!((error.status(), error.detail()), (Status::AccessDenied, 403));
        assert!(error.message().contains("(the server says: permission denied)"), "{error}");
        assert!(error.message().contains(&format!("path \"secret/data/{path}\"")), "{error}");
        let (mounts, data) = (format!("sys/internal/ui/mounts/secret/{path}"), format!("secret/data/{path}"));
        assert_eq!(requested(&proxy), [mounts, data]);
    });
}

#[test]
fn network_faults_end_in_time() {
    alone!(|| {
        let faults = [
            (Fault::Hang, Status::Timeout),
            (Fault::Slow, Status::Timeout),
            (Fault::SlowBody, Status::Timeout),
            (Fault::Endless, Status::Protocol),
            (Fault::Huge(5 << 20), Status::Protocol),
            (Fault::Garbage, Status::Protocol),
            (Fault::Half, Status::Unavailable),
            (Fault::ResetBefore, Status::Unavailable),
            (Fault::ResetAfter, Status::Unavailable),
            (Fault::Refuse, Status::Unavailable),
            (Fault::Answer(Reply::new(200).body("<html>a page</html>")), Status::Protocol),
            (Fault::Answer(Reply::new(404).body("<html>a page</html>")), Status::Protocol),
            (Fault::Answer(Reply::new(200).body("{}")), Status::Protocol),
        ];
        std::thread::scope(|scope| {
            for (fault, status) in faults {
                scope.spawn(move || {
                    let (proxy, path) = behind_a_proxy();
                    // A fault that lasts until the timeout would last longer than the test waits.
                    let timeout = if status == Status::Timeout { "2" } else { "120" };
                    let secrets = root(&proxy, &path, &[("timeout", timeout), ("max_attempts", "1")]);
                    proxy.always(fault.clone());
                    let error = fails(&proxy, &secrets);
                    assert_eq!(error.status(), status, "{fault:?}: {error}");
                    assert!(error.message().contains(&proxy.url()), "{fault:?}: {error}");
                    proxy.heal();
                    secrets.refresh(Some(PATIENCE)).unwrap();
                    assert_eq!(text(&secrets, "A").as_deref(), Some("value"), "{fault:?}");
                });
            }
        });
    });
}

#[test]
fn server_that_hangs_is_probed_briefly_until_it_answers() {
    alone!(|| {
        const TIMEOUT: Duration = Duration::from_secs(10);
        let (proxy, path) = behind_a_proxy();
        // Without a backoff every call is a probe.
        let secrets = root(&proxy, &path, &[("timeout", "10"), ("max_backoff", "0"), ("max_attempts", "1")]);
        let get = || {
            let (began, connections) = (Instant::now(), proxy.connections());
            let result = secrets.get("A").map(|secret| secret.value().to_vec());
            assert_eq!(proxy.connections(), connections + 1, "{result:?}");
            (result, began.elapsed())
        };
        proxy.always(Fault::Hang);
        let (first, waited) = get();
        let first = first.unwrap_err();
        assert!(first.status() == Status::Timeout && waited > TIMEOUT / 2, "{waited:?}: {first}");
        for _ in 0..3 {
            let (probed, waited) = get();
            let probed = probed.unwrap_err();
            assert!(probed.status() == Status::Timeout && waited < TIMEOUT / 2, "{waited:?}: {probed}");
            assert_eq!(probed.message(), first.message());
        }
        proxy.heal();
        // The server may take longer than a probe on a busy machine.
        soon(|| secrets.get("A").is_ok());
        proxy.wait_until_closed();
    });
}

#[test]
fn failed_requests_are_not_repeated_until_the_server_answers_again() {
    alone!(|| {
        for fault in [Fault::Refuse, Fault::status(503)] {
            let (proxy, path) = behind_a_proxy();
            // Without a backoff every call queries the server.
            let secrets = root(&proxy, &path, &[("timeout", "120"), ("max_backoff", "0"), ("vault_kv_version", "2")]);
            let attempts = || {
                let before = proxy.connections();
                proxy.forget();
                let is_ok = secrets.get("A").is_ok();
                // A connection that is refused has no request, and one that is not may have several.
                (is_ok, (proxy.connections() - before).max(proxy.requests().len()))
            };
            proxy.always(fault.clone());
            assert_eq!(attempts(), (false, 3), "{fault:?}");
            assert_eq!([attempts(), attempts()], [(false, 1); 2], "{fault:?}");
            assert!(refreshed(&secrets, "A").is_err());
            assert_eq!(attempts(), (false, 1), "{fault:?}");
            proxy.heal();
            soon(|| secrets.get("A").is_ok());
            proxy.wait_until_closed();
        }
    });
}

#[test]
fn address_without_a_server_ends_in_time() {
    alone!(|| {
        let hole = BlackHole::open();
        let closed = format!("http://{}", closed_address());
        for (url, status) in [(hole.url(), Status::Timeout), (closed, Status::Unavailable)] {
            let timeout = if status == Status::Timeout { "1.5" } else { "120" };
            let secrets = at(&url, &[("vault_token", "t"), ("timeout", timeout)]);
            let began = Instant::now();
            let error = secrets.get("A").unwrap_err();
            // Without a timeout the system tries to connect for two minutes.
            assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
            assert_eq!(error.status(), status, "{error}");
            assert!(error.message().contains("check that the server is running"), "{error}");
        }
    });
}

#[test]
fn redirect_is_followed_once_and_on_the_same_host() {
    alone!(|| {
        let (proxy, path) = behind_a_proxy();
        let active = Proxy::to(bao().address());
        let secrets = root(&proxy, &path, &[("vault_kv_version", "2")]);
        let target = format!("{}/v1/secret/data/{path}", active.url());
        for status in [301, 302, 307] {
            proxy.next(1, Fault::redirect(status, &target));
            assert_eq!(&**refreshed(&secrets, "A").unwrap().value(), b"value");
            assert_eq!(active.requests()[0].header("X-Vault-Token"), Some(bao().root()));
            active.forget();
        }
        let other = active.url().replace("127.0.0.1", "localhost");
        for (fault, what) in [
            (Fault::redirect(307, &format!("{other}/v1/secret/data/{path}")), "to another host, http://localhost:"),
            (Fault::redirect(307, "//localhost/v1/x"), "with a Location that is not"),
            (Fault::redirect(302, "ftp://127.0.0.1/v1/x"), "to a URL on"),
            (Fault::status(307), "with a Location that is not"),
            (Fault::redirect(307, "/login"), "to another path"),
            (Fault::RedirectForever, "to another path"),
            (Fault::redirect(307, &format!("/v1/secret/data/{path}")), "to a server that redirects again"),
        ] {
            proxy.always(fault);
            proxy.forget();
            // The last document still serves for what it has.
            let error = refreshed(&secrets, "B").unwrap_err();
            assert_eq!(error.status(), Status::Config, "{error}");
            assert!(error.message().contains(what), "{error}");
            assert!(proxy.requests().len() <= 2, "{:?}", proxy.requests());
        }
        assert!(active.requests().is_empty(), "the token went to another host");
        proxy.always(Fault::redirect(307, &target));
        set_variables([("VAULT_DISABLE_REDIRECTS", "true")]);
        let error = root(&proxy, &path, &[]).get("A").unwrap_err();
        assert!(error.message().contains("VAULT_DISABLE_REDIRECTS"), "{error}");
        assert!(active.requests().is_empty());
    });
}

#[test]
fn sealed_server_is_an_outage_until_it_is_unsealed() {
    alone!(|| {
        let bao = Bao::start();
        bao.put("secret", "simpletuner", &json!({"A": "value"}));
        let secrets = at(&bao.url(), &[("vault_token", bao.root()), ("max_attempts", "1")]);
        assert!(secrets.get("A").is_ok());
        bao.seal();
        let error = refreshed(&secrets, "B").unwrap_err();
        assert_eq!((error.status(), error.detail()), (Status::Unavailable, 503));
        assert!(error.message().contains("the server is sealed; unseal it"), "{error}");
        assert!(refreshed(&secrets, "A").unwrap().is_cached(), "an outage, over which the last document serves");
        let report = check(&secrets);
        assert_eq!(report["state"], "failed");
        assert!(report["detail"].as_str().unwrap().contains("the server is sealed; unseal it"), "{report:#}");
        bao.unseal();
        assert!(!refreshed(&secrets, "A").unwrap().is_cached());
    });
}

#[test]
fn exceeded_quota_is_an_outage_and_is_named() {
    alone!(|| {
        let bao = Bao::start();
        bao.put("secret", "simpletuner", &json!({"A": "value"}));
        let secrets = at(&bao.url(), &[("vault_token", bao.root()), ("max_attempts", "1")]);
        assert!(secrets.get("A").is_ok());
        bao.quota("secret/", Some(0.1));
        let mut answers = (0..10).map(|_| refreshed(&secrets, "B").unwrap_err());
        let error = answers.find(|error| error.detail() == 429).unwrap();
        assert_eq!(error.status(), Status::Unavailable);
        assert!(error.message().contains("rate limit quota exceeded"), "{error}");
        bao.quota("secret/", None);
        assert!(refreshed(&secrets, "A").is_ok());
    });
}

#[test]
fn slow_request_ends_after_the_client_timeout() {
    alone!(|| {
        let (proxy, path) = behind_a_proxy();
        set_variables([("VAULT_CLIENT_TIMEOUT", "5s"), ("VAULT_MAX_RETRIES", "1")]);
        let secrets = root(&proxy, &path, &[("vault_kv_version", "2")]);
        proxy.next(1, Fault::Hang);
        assert_eq!(text(&secrets, "A").as_deref(), Some("value"));
        assert_eq!(requested(&proxy).len(), 2);
    });
}

#[test]
fn login_is_redirected_with_its_body() {
    alone!(|| {
        let (proxy, path) = behind_a_proxy();
        let policy = bao().policy(&[&format!("secret/data/{path}")], &["read"]);
        let (role, secret) = bao().approle(&[&policy], "1h");
        let role = [("vault_auth", "approle"), ("vault_role_id", &*role), ("vault_secret_id", &secret)];
        let secrets = at(&proxy.url(), &[&role[..], &[("vault_path", &path)]].concat());
        proxy.next(1, Fault::redirect(307, &format!("{}/v1/auth/approle/login", bao().url())));
        assert_eq!(text(&secrets, "A").as_deref(), Some("value"), "{:?}", secrets.get("A"));
    });
}

#[test]
fn forked_child_reads_while_its_parent_reads() {
    alone!(|| {
        let (proxy, path) = behind_a_proxy();
        let policy = bao().policy(&[&format!("secret/data/{path}")], &["read"]);
        let (role, secret) = bao().approle(&[&policy], "1h");
        let role = [("vault_auth", "approle"), ("vault_role_id", &*role), ("vault_secret_id", &secret)];
        let secrets = at(&proxy.url(), &[&role[..], &[("vault_path", &path)]].concat());
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !done.load(Relaxed) {
                        assert!(refreshed(&secrets, "A").is_ok());
                    }
                });
            }
            let children: Vec<_> = (0..20)
                .map(|_| {
                    std::thread::sleep(Duration::from_millis(10));
                    fork(|| refreshed(&secrets, "A").is_ok_and(|secret| **secret.value() == *b"value"))
                })
                .collect();
            done.store(true, Relaxed);
            assert!(children.into_iter().all(said_yes), "a child failed or was killed");
        });
    });
}

#[test]
fn requests_go_through_the_proxy() {
    alone!(|| {
        let path = unique("app");
        bao().put("secret", &path, &json!({"A": "value"}));
        let company = Proxy::forward();
        company.route("vault.test:80", bao().address());
        set_variables([("VAULT_PROXY_ADDR", company.url()), ("NO_PROXY", "*".into())]);
        let secrets = at("http://vault.test", &[("vault_token", bao().root()), ("vault_path", &path)]);
        assert_eq!(text(&secrets, "A").as_deref(), Some("value"));
        assert!(company.requests()[0].path.starts_with("http://vault.test"), "{:?}", company.requests());
    });
}

#[test]
fn check_reports_server_token_and_secret() {
    alone!(|| {
        let (proxy, path) = behind_a_proxy();
        let secrets = root(&proxy, &path, &[]);
        let report = check(&secrets);
        assert_eq!(report["state"], "ok", "{report:#}");
        let detail = report["detail"].as_str().unwrap();
        for part in ["is version 2.", "active", "policies root, which never expires", "is readable, version 1"] {
            assert!(detail.contains(part), "{part}: {detail}");
        }
        assert!(proxy.requests()[0].header("X-Vault-Token").is_none(), "health needs no token");
        proxy.always(Fault::Answer(Reply::new(200).body("<html>a page</html>")));
        let report = check(&secrets);
        assert!(report["detail"].as_str().unwrap().contains("is not from Vault"), "{report:#}");
        let report: Value = serde_json::from_str(&secrets.describe()).unwrap();
        let provider = &report["providers"][0];
        assert_eq!((&provider["url"], &provider["secrets"]), (&json!(proxy.url()), &json!([format!("secret/{path}")])));
        assert_eq!((&provider["kv_version"], &provider["auth"]), (&json!(2), &json!("token")));
    });
}
