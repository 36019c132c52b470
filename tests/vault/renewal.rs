//! Tokens with a TTL of seconds, used without a pause for several TTLs.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use st_secrets::Manager;

use crate::common::proxy::{Fault, Proxy};
use crate::common::servers::{bao, unique};
use crate::common::text;
use crate::faults::{behind_a_proxy, root};
use crate::{alone, at};

/// How long each test reads the secret.
const LONG: Duration = Duration::from_secs(50);

/// A secret, and a policy to read it.
fn secret_and_policy() -> (String, String) {
    let path = unique("app");
    bao().put("secret", &path, &json!({"A": "value"}));
    let policy = bao().policy(&[&format!("secret/data/{path}")], &["read"]);
    (path, policy)
}

/// A new role whose tokens also have the default policy, with which they may look themselves up. Returns its ID and a
/// secret ID.
fn role(settings: Value) -> (String, String) {
    bao().auth("approle", "approle");
    let role = format!("auth/approle/role/{}", unique("role"));
    bao().ask("POST", &role, settings);
    let id = bao().ask("GET", &format!("{role}/role-id"), Value::Null);
    let secret = bao().ask("POST", &format!("{role}/secret-id"), json!({}));
    (id["data"]["role_id"].as_str().unwrap().into(), secret["data"]["secret_id"].as_str().unwrap().into())
}

fn count(proxy: &Proxy, end: &str) -> usize {
    proxy.requests().iter().filter(|request| request.path.ends_with(end)).count()
}

/// Reads without a pause. Every read must succeed, and not with a stale value.
fn read_on(secrets: &[Manager]) {
    let end = Instant::now() + LONG;
    while Instant::now() < end {
        for (number, secrets) in secrets.iter().enumerate() {
            let secret = secrets.get("A").unwrap_or_else(|error| panic!("reader {number}: {error}"));
            assert!(!secret.is_stale(), "reader {number}");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn token_of_any_period_does_not_expire_while_it_is_used() {
    alone!(|| {
        let (path, policy) = secret_and_policy();
        let proxy = Proxy::to(bao().address());
        let tokens = ["10s", "13s", "17s", "20s", "24s"].map(|period| {
            bao().token_with(json!({"policies": [policy, "default"], "period": period, "renewable": true}))
        });
        // The tokens are not new when they are first used.
        thread::sleep(Duration::from_secs(4));
        let open = |token: &String| {
            at(&proxy.url(), &[("vault_token", token), ("vault_path", &path), ("vault_kv_version", "2")])
        };
        read_on(&tokens.each_ref().map(open));
        assert_eq!(count(&proxy, "/lookup-self"), tokens.len(), "each is looked up once");
        let renewals = count(&proxy, "/renew-self");
        assert!((2 * tokens.len()..8 * tokens.len()).contains(&renewals), "{renewals} renewals");
    });
}

#[test]
fn secret_id_for_one_login_suffices() {
    alone!(|| {
        let (path, policy) = secret_and_policy();
        let proxy = Proxy::to(bao().address());
        let readers = ["10s", "15s", "20s"].map(|ttl| {
            let (role, secret_id) = role(json!({
                "token_policies": [policy], "token_ttl": ttl, "token_max_ttl": "1h", "secret_id_num_uses": 1,
            }));
            let login = [("vault_auth", "approle"), ("vault_role_id", &*role), ("vault_secret_id", &secret_id)];
            at(&proxy.url(), &[&login[..], &[("vault_path", &path), ("cache_ttl", "15")]].concat())
        });
        read_on(&readers);
        assert_eq!(count(&proxy, "/login"), readers.len());
    });
}

#[test]
fn token_at_its_maximum_ttl_is_replaced_before_it_expires() {
    alone!(|| {
        let (path, policy) = secret_and_policy();
        let proxy = Proxy::to(bao().address());
        let (role_id, secret_id) =
            role(json!({"token_policies": [policy], "token_ttl": "12s", "token_max_ttl": "20s"}));
        let login = [("vault_auth", "approle"), ("vault_role_id", &*role_id), ("vault_secret_id", &secret_id)];
        let settings = [&login[..], &[("vault_path", &path), ("vault_kv_version", "2"), ("cache_ttl", "0.3")]].concat();
        read_on(&[at(&proxy.url(), &settings)]);
        let (logins, renewals) = (count(&proxy, "/login"), count(&proxy, "/renew-self"));
        assert!((3..8).contains(&logins) && renewals <= 2 * logins, "{logins} logins, {renewals} renewals");
        assert_eq!(denied(&proxy), 0);
    });
}

#[test]
fn token_that_cannot_be_renewed_is_replaced() {
    alone!(|| {
        let (path, policy) = secret_and_policy();
        let (role_id, secret_id) = role(json!({"token_policies": [policy], "token_ttl": "12s"}));
        let login = [("vault_auth", "approle"), ("vault_role_id", &*role_id), ("vault_secret_id", &secret_id)];
        let settings = [&login[..], &[("vault_path", &path), ("vault_kv_version", "2")]].concat();
        let proxies = [
            Fault::vault(500, &["1 error occurred:\n\t* past the max TTL, cannot renew\n\n"]),
            Fault::vault(403, &["permission denied"]),
        ]
        .map(|fault| {
            let proxy = Proxy::to(bao().address());
            proxy.at("POST /v1/auth/token/renew-self", fault);
            proxy
        });
        read_on(&proxies.each_ref().map(|proxy| at(&proxy.url(), &settings)));
        for proxy in &proxies {
            let (logins, renewals) = (count(proxy, "/login"), count(proxy, "/renew-self"));
            assert!((3..9).contains(&logins) && renewals <= logins, "{logins} logins, {renewals} renewals");
        }
    });
}

#[test]
fn failed_renewal_is_retried_in_time() {
    alone!(|| {
        let (path, policy) = secret_and_policy();
        let proxy = Proxy::to(bao().address());
        let token = bao().token_with(json!({"policies": [policy, "default"], "period": "24s", "renewable": true}));
        let secrets = at(&proxy.url(), &[("vault_token", &*token), ("vault_path", &path), ("vault_kv_version", "2")]);
        assert!(secrets.get("A").is_ok());
        proxy.at("POST /v1/auth/token/renew-self", Fault::status(502));
        let end = Instant::now() + Duration::from_secs(60);
        while count(&proxy, "/renew-self") < 2 {
            assert!(Instant::now() < end);
            assert!(secrets.get("A").is_ok());
            thread::sleep(Duration::from_millis(20));
        }
        proxy.at("POST /v1/auth/token/renew-self", Fault::Pass);
        read_on(&[secrets]);
    });
}

#[test]
fn reads_do_not_wait_for_a_lookup_of_the_token() {
    alone!(|| {
        let (proxy, path) = behind_a_proxy();
        let secrets = root(&proxy, &path, &[("vault_kv_version", "2"), ("timeout", "60")]);
        proxy.at("GET /v1/auth/token/lookup-self", Fault::Hang);
        std::thread::scope(|scope| {
            let loader = scope.spawn(|| secrets.get("A").is_ok());
            proxy.wait_for_requests(2);
            for _ in 0..10 {
                assert_eq!(text(&secrets, "A").as_deref(), Some("value"));
                std::thread::sleep(Duration::from_millis(50));
            }
            // The lookup may take 5 s.
            assert!(!loader.is_finished(), "the reads waited for the token");
            assert!(loader.join().unwrap());
        });
    });
}

/// How often the server denied the token at a read.
fn denied(proxy: &Proxy) -> usize {
    // A denied read is followed by a login and a second read on the same connection.
    let requests = proxy.requests();
    let reads = |login: &usize| {
        let on_one = |request: &&crate::common::proxy::Request| request.connection == requests[*login].connection;
        requests.iter().filter(on_one).filter(|request| request.path.contains("/data/")).count()
    };
    let logins = (0..requests.len()).filter(|at| requests[*at].path.ends_with("/login"));
    logins.filter(|login| reads(login) > 1).count()
}
