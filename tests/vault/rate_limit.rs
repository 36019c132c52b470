//! `VAULT_RATE_LIMIT`: the client's own limit of requests.

use std::time::{Duration, Instant};

use st_secrets::{Options, Status};

use crate::common::servers::set_variables;
use crate::faults::{behind_a_proxy, fails, root};
use crate::{alone, refreshed};

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
        let impatient = Options { refresh: true, timeout: Some(Duration::from_millis(20)), ..Options::default() };
        for _ in 0..60 {
            let _ = secrets.get_with("A", &impatient);
        }
        // If each had counted, the next request would be sent after two minutes.
        assert!(!refreshed(&secrets, "A").unwrap().is_cached());
    });
}
