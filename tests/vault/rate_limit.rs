//! Limits of requests: the server's, and the client's own, `VAULT_RATE_LIMIT`.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use st_secrets::{GetOptions, Status};

use crate::common::proxy::{Fault, Proxy};
use crate::common::servers::bao::Bao;
use crate::common::servers::set_variables;
use crate::faults::{behind_a_proxy, fails, root};
use crate::{alone, at, refreshed};

#[test]
fn crowd_gets_through_a_quota_of_the_server() {
    alone!(|| {
        let bao = Bao::start();
        bao.put("secret", "simpletuner", &json!({"A": "value"}));
        bao.quota("secret/", Some(2.0));
        let proxy = Proxy::to(bao.address());
        let (url, root) = (proxy.url(), bao.root());
        // With three attempts each, in about three seconds, half of them would fail.
        let settings = [("vault_token", root), ("vault_kv_version", "2"), ("timeout", "120")];
        thread::scope(|scope| {
            let read = || {
                let got = at(&url, &settings).get("A");
                assert!(got.is_ok(), "{}", got.unwrap_err());
            };
            (0..16).for_each(|_| drop(scope.spawn(read)));
        });
        let sent = proxy.requests().iter().filter(|request| request.path == "/v1/secret/data/simpletuner").count();
        assert!(sent > 16, "none was throttled");
    });
}

#[test]
fn limit_of_attempts_counts_throttled_ones() {
    alone!(|| {
        let (proxy, path) = behind_a_proxy();
        proxy.always(Fault::retry_after(429, "0"));
        set_variables([("VAULT_MAX_RETRIES", "1")]);
        for (settings, attempts) in [(&[][..], 2), (&[("max_attempts", "1")][..], 1)] {
            let error = root(&proxy, &path, settings).get("A").unwrap_err();
            assert_eq!((error.status(), error.detail()), (Status::Unavailable, 429), "{error}");
            assert_eq!(proxy.requests().len(), attempts);
            proxy.forget();
        }
    });
}

#[test]
fn requests_are_limited_to_the_rate() {
    alone!(|| {
        let (proxy, path) = behind_a_proxy();
        set_variables([("VAULT_RATE_LIMIT", "2:1")]);
        let began = Instant::now();
        assert!(root(&proxy, &path, &[]).get("A").is_ok());
        assert!(began.elapsed() >= Duration::from_millis(490), "{:?}", began.elapsed());
        set_variables([("VAULT_RATE_LIMIT", "0.01:1")]);
        let secrets = root(&proxy, &path, &[("timeout", "0.5")]);
        let error = fails(&proxy, &secrets);
        assert_eq!(error.status(), Status::Timeout, "{error}");
    });
}

#[test]
fn timed_out_calls_do_not_count_towards_the_rate() {
    alone!(|| {
        let (proxy, path) = behind_a_proxy();
        set_variables([("VAULT_RATE_LIMIT", "0.5:1")]);
        let secrets = root(&proxy, &path, &[("vault_kv_version", "2"), ("timeout", "40"), ("max_attempts", "1")]);
        assert!(secrets.get("A").is_ok());
        let impatient = GetOptions { refresh: true, timeout: Some(Duration::from_millis(20)), ..GetOptions::default() };
        for _ in 0..60 {
            let _ = secrets.get_with("A", &impatient);
        }
        // If each had counted, the next request would be sent after two minutes.
        assert!(!refreshed(&secrets, "A").unwrap().is_cached());
    });
}
