//! All providers together: AWS (moto, which checks signatures and permissions) and Vault (OpenBao), behind proxies that
//! inject faults.

mod common;

use std::sync::Arc;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use common::proxy::{Fault, Proxy};
use common::servers::{bao, in_clean_environment, moto, set_variables, unique};
use common::time::{PATIENCE, advance, soon};
use common::{open, text};
use serde_json::json;
use st_secrets::{GetOptions, Manager, Source, Status, log};

const REFRESH: GetOptions = GetOptions { timeout: None, refresh: true, cached_only: false };

/// AWS and Vault, each with a document, behind a proxy.
struct Both {
    aws: Proxy,
    vault: Proxy,
    name: String,
    path: String,
    token: String,
}

impl Both {
    fn start() -> Both {
        let (name, path) = (unique("training"), unique("training"));
        moto().secret(&name, &json!({"BOTH": "aws-both", "IN_AWS": "aws-only"}).to_string());
        bao().put("secret", &path, &json!({"BOTH": "vault-both", "IN_VAULT": "vault-only"}));
        let token = bao().token(&[&bao().policy(&[&format!("secret/data/{path}")], &["read"])], "1h");
        set_variables(moto().user(&["secretsmanager:GetSecretValue"]).variables());
        set_variables([("AWS_EC2_METADATA_DISABLED", "true")]);
        Both { aws: Proxy::to(moto().address()), vault: Proxy::to(bao().address()), name, path, token }
    }

    fn open(&self, more: &[(&str, &str)]) -> Manager {
        let (aws, vault) = (self.aws.url(), self.vault.url());
        let mut settings = vec![
            ("aws_secret_name", self.name.as_str()),
            ("aws_region", "us-east-1"),
            ("aws_endpoint_url", &aws),
            ("vault_url", &vault),
            ("vault_path", &self.path),
            ("vault_token", &self.token),
        ];
        settings.extend_from_slice(more);
        open(&settings).unwrap()
    }

    fn set_in_aws(&self, text: &str) {
        moto().version(&self.name, text, &["AWSCURRENT"]);
    }
}

/// Runs `body` in a process of its own with a clean environment.
fn with_both(name: &str, body: impl FnOnce(&Both)) {
    let servers = || {
        moto();
        bao();
        Vec::new()
    };
    in_clean_environment(name, servers, || body(&Both::start()));
}

fn sockets_and_threads() -> (usize, usize) {
    let files = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let is_ours = |link: std::path::PathBuf| link.to_string_lossy().starts_with("socket:");
    let sockets = files.filter(|file| std::fs::read_link(file.path()).is_ok_and(is_ours)).count();
    (sockets, std::fs::read_dir("/proc/self/task").unwrap().count())
}

#[test]
fn get_returns_the_value_of_the_first_provider_that_has_it() {
    with_both("get_returns_the_value_of_the_first_provider_that_has_it", |both| {
        let secrets = both.open(&[]);
        let secret = secrets.get("BOTH").unwrap();
        assert_eq!((&**secret.value(), secret.provider(), secret.source()), (&b"aws-both"[..], "aws", Source::Aws));
        assert!(secret.version().is_some() && !secret.is_cached() && !secret.is_degraded() && !secret.is_stale());
        let secret = secrets.get("IN_VAULT").unwrap();
        assert_eq!((&**secret.value(), secret.provider(), secret.version()), (&b"vault-only"[..], "vault", Some("1")));
        let secret = secrets.get("IN_AWS").unwrap();
        assert!(secret.age() > Duration::ZERO && secret.expires_in() > Duration::from_secs(290), "{secret:?}");
        set_variables([("BOTH", "from the environment")]);
        assert_eq!(text(&secrets, "BOTH").as_deref(), Some("from the environment"));
        let error = secrets.get("NOWHERE").unwrap_err();
        assert_eq!(error.status(), Status::NotFound);
        for part in ["not in secret", &both.name, &both.path] {
            assert!(error.message().contains(part), "{part}: {error}");
        }
        assert_eq!(both.aws.requests().len(), 1, "one document answers every key");
    });
}

#[test]
fn thousand_callers_of_an_uncached_document_cause_one_request() {
    with_both("thousand_callers_of_an_uncached_document_cause_one_request", |both| {
        both.aws.always(Fault::Delay(Duration::from_millis(300)));
        let secrets = both.open(&[]);
        thread::scope(|scope| {
            for number in 0..1000 {
                let secrets = &secrets;
                let (key, value) = [("BOTH", "aws-both"), ("IN_AWS", "aws-only")][number % 2];
                let work = move || assert_eq!(text(secrets, key).as_deref(), Some(value));
                thread::Builder::new().stack_size(128 << 10).spawn_scoped(scope, work).unwrap();
            }
        });
        assert_eq!((both.aws.requests().len(), both.vault.requests().len()), (1, 0));
    });
}

#[test]
fn no_connection_stays_open_between_requests() {
    with_both("no_connection_stays_open_between_requests", |both| {
        let secrets = both.open(&[]);
        let own = sockets_and_threads();
        for _ in 0..5 {
            secrets.refresh(None).unwrap();
            both.aws.wait_until_closed();
            both.vault.wait_until_closed();
            // The proxies need a moment to end their threads.
            soon(|| sockets_and_threads() == own);
        }
    });
}

#[test]
fn hung_provider_leaves_half_of_the_time_to_the_next() {
    with_both("hung_provider_leaves_half_of_the_time_to_the_next", |both| {
        both.aws.always(Fault::Hang);
        let secrets = both.open(&[("timeout", "10")]);
        let begin = Instant::now();
        let secret = secrets.get("BOTH").unwrap();
        let time = begin.elapsed();
        assert_eq!((&**secret.value(), secret.provider()), (&b"vault-both"[..], "vault"));
        assert!(secret.is_degraded());
        assert!((Duration::from_millis(4900)..PATIENCE).contains(&time), "{time:?}");
        // It then backs off and costs the next caller no time. If the back-off is over by now, the next one is longer.
        let is_not_queried = |_| {
            let before = both.aws.connections();
            assert_eq!(secrets.get("IN_AWS").unwrap_err().status(), Status::Timeout);
            both.aws.connections() == before
        };
        assert!((0..5).any(is_not_queried));
    });
}

#[test]
fn every_fault_ends_within_the_deadline_and_is_never_not_found() {
    with_both("every_fault_ends_within_the_deadline_and_is_never_not_found", |both| {
        let faults = || {
            [
                Fault::Hang,
                Fault::Refuse,
                Fault::ResetBefore,
                Fault::Slow,
                Fault::Half,
                Fault::SlowBody,
                Fault::RedirectForever,
                Fault::Huge(1 << 32),
                Fault::Endless,
                Fault::Garbage,
                Fault::status(429),
                Fault::status(500),
                Fault::status(503),
                Fault::retry_after(503, "3600"),
                Fault::aws(400, "ThrottlingException"),
                Fault::redirect(307, "http://127.0.0.1:9/"),
            ]
        };
        for (aws, vault) in faults().into_iter().zip(faults()) {
            let fault = format!("{aws:?}");
            both.aws.always(aws);
            both.vault.always(vault);
            let secrets = both.open(&[("timeout", "1.5")]);
            let begin = Instant::now();
            let error = secrets.get("BOTH").unwrap_err();
            // Some of the faults would last longer than this.
            assert!(begin.elapsed() < PATIENCE, "{fault}: {:?}", begin.elapsed());
            assert_ne!(error.status(), Status::NotFound, "{fault}: {error}");
            assert_eq!(error.source_provider(), Source::Aws, "{fault}: {error}");
            assert!(error.message().contains("the provider vault failed"), "{fault}: {error}");
            both.aws.heal();
            both.vault.heal();
            secrets.refresh(Some(PATIENCE)).unwrap();
            assert_eq!(text(&secrets, "BOTH").as_deref(), Some("aws-both"), "{fault}");
        }
    });
}

#[test]
fn outage_returns_stale_values_until_the_source_recovers() {
    with_both("outage_returns_stale_values_until_the_source_recovers", |both| {
        let secrets =
            both.open(&[("cache_ttl", "300"), ("max_stale", "3600"), ("max_backoff", "15"), ("timeout", "10")]);
        secrets.get("BOTH").unwrap();
        for fault in [Fault::Refuse, Fault::Hang, Fault::aws(400, "ThrottlingException")] {
            both.aws.always(fault);
            advance(Duration::from_secs(301));
            let secret = secrets.get("BOTH").unwrap();
            assert_eq!(&**secret.value(), b"aws-both");
            assert!(secret.is_stale() && !secret.is_degraded(), "{}", secrets.describe());
            let error = secrets.get("NOWHERE").unwrap_err();
            assert_ne!(error.status(), Status::NotFound, "{error}");
            both.aws.heal();
            // The longest pause after a timeout.
            advance(Duration::from_secs(60));
            assert!(!secrets.get("BOTH").unwrap().is_stale(), "{}", secrets.describe());
        }
        // After `max_stale` only the value of Vault is left.
        both.aws.always(Fault::Refuse);
        advance(Duration::from_secs(4000));
        let secret = secrets.get("BOTH").unwrap();
        assert_eq!((secret.provider(), secret.is_degraded(), secret.is_stale()), ("vault", true, false));
        assert_eq!(secrets.get("IN_AWS").unwrap_err().status(), Status::Unavailable);
        both.aws.heal();
        secrets.refresh(None).unwrap();
        assert_eq!(text(&secrets, "IN_AWS").as_deref(), Some("aws-only"));
    });
}

#[test]
fn refresh_during_an_outage_returns_a_stale_value() {
    with_both("refresh_during_an_outage_returns_a_stale_value", |both| {
        let secrets = both.open(&[]);
        secrets.get("IN_AWS").unwrap();
        both.aws.always(Fault::Refuse);
        let secret = secrets.get_with("IN_AWS", &REFRESH).unwrap();
        assert_eq!(&**secret.value(), b"aws-only");
        assert!(secret.is_stale() && secret.is_cached() && secret.expires_in().is_zero());
        assert_eq!(secrets.refresh(None).unwrap_err().source_provider(), Source::Aws);
        assert!(!secrets.get("IN_AWS").unwrap().is_stale(), "it is younger than `cache_ttl`");
        both.aws.heal();
        assert!(!secrets.get_with("IN_AWS", &REFRESH).unwrap().is_stale());
    });
}

#[test]
fn document_answers_for_keys_that_it_lacks() {
    with_both("document_answers_for_keys_that_it_lacks", |both| {
        let secrets = both.open(&[("miss_ttl", "0")]);
        for _ in 0..3 {
            assert_eq!(secrets.get("NOWHERE").unwrap_err().status(), Status::NotFound);
        }
        assert_eq!(both.aws.requests().len(), 1);
        both.set_in_aws(&json!({"NOWHERE": "now somewhere"}).to_string());
        assert_eq!(&**secrets.get_with("NOWHERE", &REFRESH).unwrap().value(), b"now somewhere");
    });
}

#[test]
fn denial_and_deletion_drop_stale_values_at_once() {
    with_both("denial_and_deletion_drop_stale_values_at_once", |both| {
        let secrets = both.open(&[("miss_ttl", "0"), ("max_backoff", "0")]);
        assert_eq!(text(&secrets, "IN_AWS").as_deref(), Some("aws-only"));
        both.aws.always(Fault::aws(400, "AccessDeniedException"));
        secrets.refresh(None).unwrap_err();
        assert_eq!(secrets.get("IN_AWS").unwrap_err().status(), Status::AccessDenied);
        both.aws.always(Fault::Refuse);
        assert_eq!(secrets.get("IN_AWS").unwrap_err().status(), Status::Unavailable);
        both.aws.heal();
        assert_eq!(text(&secrets, "IN_AWS").as_deref(), Some("aws-only"));
        moto().delete(&both.name, None);
        secrets.refresh(None).unwrap();
        assert_eq!(secrets.get("IN_AWS").unwrap_err().status(), Status::NotFound);
        assert_eq!(text(&secrets, "BOTH").as_deref(), Some("vault-both"));
        assert!(!secrets.get("BOTH").unwrap().is_degraded());
    });
}

#[test]
fn keys_of_a_document_have_one_version_during_rotation() {
    with_both("keys_of_a_document_have_one_version_during_rotation", |both| {
        let pair = |number: usize| json!({"USER": format!("u{number}"), "PASSWORD": format!("u{number}")}).to_string();
        both.set_in_aws(&pair(0));
        let secrets = both.open(&[("cache_ttl", "0.05")]);
        let last = thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        let user = secrets.get("USER").unwrap();
                        let password = secrets.get("PASSWORD").unwrap();
                        if user.version() == password.version() {
                            assert_eq!(&**user.value(), &**password.value());
                        }
                    }
                });
            }
            let rotate = scope.spawn(|| {
                (1..=20).for_each(|number| both.set_in_aws(&pair(number)));
                20
            });
            rotate.join().unwrap()
        });
        let now = secrets.get_with("USER", &REFRESH).unwrap();
        assert_eq!(&**now.value(), format!("u{last}").as_bytes());
        assert_eq!(secrets.get("PASSWORD").unwrap().version(), now.version());
    });
}

#[test]
fn logs_and_reports_contain_no_value_key_or_token() {
    with_both("logs_and_reports_contain_no_value_key_or_token", |both| {
        let printed = Arc::new(Mutex::new(String::new()));
        let sink = printed.clone();
        log::set(log::Level::Trace, move |_, target, message| {
            sink.lock().unwrap().push_str(&format!("{target}: {message}\n"));
        });
        let print = |text: String| printed.lock().unwrap().push_str(&text);
        for fault in [Fault::Pass, Fault::Half, Fault::aws(400, "AccessDeniedException"), Fault::status(500)] {
            both.aws.always(fault.clone());
            both.vault.always(fault);
            let secrets = both.open(&[]);
            for key in ["BOTH", "IN_AWS", "IN_VAULT", "NOWHERE"] {
                print(format!("{:?}\n", secrets.get(key)));
            }
            print(secrets.describe());
            print(secrets.check());
        }
        log::clear();
        let printed = printed.lock().unwrap();
        let key = std::env::var("AWS_SECRET_ACCESS_KEY").unwrap();
        for secret in ["aws-both", "aws-only", "vault-both", "vault-only", &key, &both.token] {
            assert!(!printed.contains(secret), "{printed}");
        }
        assert!(printed.contains("http: POST") && printed.contains("http: GET"), "{printed}");
    });
}

#[test]
fn stats_count_loads_failures_retries_hits_and_stale_answers() {
    with_both("stats_count_loads_failures_retries_hits_and_stale_answers", |both| {
        let secrets = both.open(&[("cache_ttl", "300"), ("max_stale", "3600")]);
        let stats = || -> serde_json::Value { serde_json::from_str(&secrets.stats()).unwrap() };
        let of = |name: &str| {
            let stats = stats();
            let mut all = stats["providers"].as_array().unwrap().iter();
            all.find(|provider| provider["name"] == name).unwrap().clone()
        };
        let counts = |name: &str| {
            ["found", "hits", "stale", "loads", "load_failures", "retries"]
                .map(|field| of(name)[field].as_u64().unwrap())
        };
        assert_eq!((stats()["gets"].as_u64(), counts("aws")), (Some(0), [0; 6]));

        both.aws.next(1, Fault::aws(500, "InternalServiceError"));
        secrets.get("BOTH").unwrap();
        assert_eq!(counts("aws"), [1, 0, 0, 1, 0, 1], "the first get loads, with a repeated request");
        for _ in 0..5 {
            secrets.get("BOTH").unwrap();
        }
        assert_eq!((counts("aws"), counts("vault")), ([6, 5, 0, 1, 0, 1], [0; 6]));

        secrets.get("IN_VAULT").unwrap();
        assert_eq!((counts("aws"), counts("vault")), ([6, 5, 0, 1, 0, 1], [1, 0, 0, 1, 0, 0]));
        assert_eq!(secrets.get("NOWHERE").unwrap_err().status(), Status::NotFound);
        assert_eq!((stats()["gets"].as_u64(), stats()["not_found"].as_u64()), (Some(8), Some(1)));

        both.aws.always(Fault::Refuse);
        advance(Duration::from_secs(301));
        assert!(secrets.get("BOTH").unwrap().is_stale());
        let [found, hits, stale, loads, failures, _] = counts("aws");
        assert_eq!([found, hits, stale, loads, failures], [7, 6, 1, 2, 1]);
        secrets.get("NOWHERE").unwrap_err();
        assert_eq!((stats()["failed"].as_u64(), stats()["gets"].as_u64()), (Some(1), Some(10)));

        let aws = of("aws");
        let [total, last, longest] =
            ["load_seconds", "last_load_seconds", "longest_load_seconds"].map(|field| aws[field].as_f64().unwrap());
        assert!(last > 0.0 && longest >= last && total >= longest, "{aws}");
        assert!(!secrets.stats().contains("aws-both"));
    });
}
