//! Dynamic secrets: users that OpenBao creates in a real PostgreSQL, and certificates.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use st_secrets::{Config, Manager, Result, Status};

use crate::common::fork::{fork, said_yes};
use crate::common::proxy::{Fault, Proxy};
use crate::common::servers::bao::Bao;
use crate::common::servers::postgres::PASSWORD;
use crate::common::servers::{Key, Postgres, bao, moto, unique};
use crate::common::{temp_in_memory, text};
use crate::{alone, check, refreshed};

/// The longest time that a test waits for something to happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// PostgreSQL, the engine that creates users in it, and a proxy in front of OpenBao.
struct Database {
    postgres: Postgres,
    mount: String,
    proxy: Proxy,
}

impl Database {
    /// With a role `trainer` whose leases have this TTL and maximum.
    fn new(ttl: &str, max_ttl: &str) -> Database {
        let (postgres, mount) = (Postgres::start(), unique("database"));
        bao().ask("POST", &format!("sys/mounts/{mount}"), json!({"type": "database"}));
        let connection = json!({
            "plugin_name": "postgresql-database-plugin", "connection_url": postgres.url(),
            "allowed_roles": "*", "username": "admin", "password": PASSWORD,
        });
        bao().ask("POST", &format!("{mount}/config/one"), connection);
        let create = "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}';";
        let role = json!({
            "db_name": "one", "creation_statements": [create], "default_ttl": ttl, "max_ttl": max_ttl,
        });
        bao().ask("POST", &format!("{mount}/roles/trainer"), role);
        Database { postgres, mount, proxy: Proxy::to(bao().address()) }
    }

    /// The provider, with these members.
    fn table(&self, members: Value) -> Value {
        let mut table = json!({
            "vault_dynamic": format!("{}/creds/trainer", self.mount), "name": "db",
            "as": {"username": "DB_USER", "password": "DB_PASSWORD"},
        });
        table.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        table
    }

    fn open(&self, members: Value, settings: &[(&str, &str)]) -> Manager {
        let (providers, url) = (json!([self.table(members)]).to_string(), self.proxy.url());
        let mut all = vec![("providers", &*providers), ("vault_url", &url), ("vault_token", "root")];
        all.extend(settings);
        crate::common::open(&all).unwrap()
    }

    /// Whether the user that the manager has now can log in.
    fn lets_in(&self, secrets: &Manager) -> bool {
        let (user, password) = user(secrets);
        self.postgres.lets_in(&user, &password)
    }

    fn count(&self, end: &str) -> usize {
        self.proxy.requests().iter().filter(|request| request.path.ends_with(end)).count()
    }
}

fn user(secrets: &Manager) -> (String, String) {
    (text(secrets, "DB_USER").unwrap(), text(secrets, "DB_PASSWORD").unwrap())
}

fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn user_of_the_database_logs_in_and_all_threads_have_the_same() {
    alone!(|| {
        let database = Database::new("1h", "24h");
        // `cache_ttl` does not shorten a lease.
        let secrets = database.open(json!({}), &[("cache_ttl", "0")]);
        let before = check(&secrets);
        assert_eq!((&before["name"], &before["state"]), (&json!("db"), &json!("ok")), "{before}");
        assert_eq!(database.count("/creds/trainer"), 0, "a check requests no secret");
        thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| user(&secrets))).collect();
            let users: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
            assert!(users.iter().all(|one| *one == users[0]));
        });
        assert_eq!(database.count("/creds/trainer"), 1);
        assert!(database.lets_in(&secrets));
        let secret = secrets.get("DB_PASSWORD").unwrap();
        assert!(secret.is_leased() && !secret.is_stale());
        assert!((Duration::from_secs(3000)..=Duration::from_secs(3600)).contains(&secret.expires_in()));
        assert!(secrets.get("OTHER").is_err_and(|error| error.status() == Status::NotFound));
        let described: Value = serde_json::from_str(&secrets.describe()).unwrap();
        assert_eq!(described["providers"][0]["leased"], true, "{described}");
        let password = text(&secrets, "DB_PASSWORD").unwrap();
        for shown in [described.to_string(), check(&secrets).to_string(), format!("{secret:?}")] {
            assert!(!shown.contains(&password), "{shown}");
        }
        assert!(check(&secrets)["detail"].as_str().unwrap().contains("its lease ends in 3"));
    });
}

#[test]
fn lease_is_renewed_while_the_secret_is_used() {
    alone!(|| {
        let database = Database::new("6s", "1h");
        let secrets = database.open(json!({}), &[]);
        let first = user(&secrets);
        until("it is not renewed", || {
            let (secret, renewals) = (secrets.get("DB_USER").unwrap(), database.count("/leases/renew"));
            assert!(secret.is_leased() && !secret.is_stale());
            renewals >= 4
        });
        assert_eq!((user(&secrets), database.count("/creds/trainer")), (first, 1));
        assert!(database.lets_in(&secrets));
    });
}

#[test]
fn lease_at_its_maximum_is_replaced_before_its_end() {
    alone!(|| {
        let database = Database::new("6s", "9s");
        let secrets = database.open(json!({}), &[]);
        let first = user(&secrets);
        until("it is not replaced", || {
            assert!(!secrets.get("DB_USER").unwrap().is_stale());
            database.count("/creds/trainer") >= 3
        });
        assert_ne!(user(&secrets).0, first.0);
        assert!(database.lets_in(&secrets));
    });
}

#[test]
fn secret_is_used_to_the_end_of_the_lease_while_the_server_is_down_and_not_after() {
    alone!(|| {
        let database = Database::new("8s", "1h");
        let secrets = database.open(json!({}), &[("max_stale", "3600"), ("timeout", "20")]);
        let (began, first) = (Instant::now(), user(&secrets));
        database.proxy.always(Fault::Refuse);
        let mut used = 0;
        let error = loop {
            assert!(began.elapsed() < PATIENCE);
            match secrets.get("DB_USER") {
                // The lease began after this test.
                Ok(secret) => assert!(secret.is_leased() && began.elapsed() < PATIENCE, "{}", used),
                Err(error) => break error,
            }
            used += 1;
            thread::sleep(Duration::from_millis(20));
        };
        assert!(used > 0 && began.elapsed() > Duration::from_secs(5), "it was dropped early");
        assert_eq!(error.status(), Status::Unavailable, "{error}");
        let message = error.message();
        assert!(message.contains("/creds/trainer") && message.contains("check that the server"), "{message}");
        assert!(secrets.get("DB_PASSWORD").is_err(), "a value after its end");
        database.proxy.heal();
        until("it does not recover", || secrets.get("DB_USER").is_ok());
        assert_ne!(user(&secrets).0, first.0);
        assert!(database.lets_in(&secrets));
    });
}

#[test]
fn lease_that_was_revoked_on_the_server_is_replaced_by_a_refresh() {
    alone!(|| {
        let database = Database::new("1h", "24h");
        let secrets = database.open(json!({}), &[]);
        let first = user(&secrets);
        // A lease that is alive is renewed.
        assert_eq!(refreshed(&secrets, "DB_USER").unwrap().value()[..], *first.0.as_bytes());
        bao().ask("PUT", &format!("sys/leases/revoke-prefix/{}/creds", database.mount), json!({"sync": true}));
        assert!(!database.postgres.lets_in(&first.0, &first.1));
        assert!(refreshed(&secrets, "DB_USER").is_ok());
        assert_ne!(user(&secrets).0, first.0);
        assert!(database.lets_in(&secrets));
    });
}

#[test]
fn lease_is_revoked_on_close_if_that_is_set() {
    alone!(|| {
        let database = Database::new("1h", "24h");
        for revoke in [false, true] {
            let secrets = database.open(json!({"revoke": revoke}), &[]);
            let (user, password) = user(&secrets);
            secrets.close();
            assert_eq!(database.postgres.lets_in(&user, &password), !revoke);
        }
        // A server that hangs does not hold it for long, and dropping sends nothing.
        let (closed, dropped) =
            (database.open(json!({"revoke": true}), &[]), database.open(json!({"revoke": true}), &[]));
        let kept = user(&dropped);
        user(&closed);
        database.proxy.at("POST /v1/sys/leases/revoke", Fault::Hang);
        closed.close();
        let before = database.count("/leases/revoke");
        drop(dropped);
        assert_eq!(database.count("/leases/revoke"), before);
        assert!(database.postgres.lets_in(&kept.0, &kept.1));
    });
}

#[test]
fn forked_child_uses_the_lease_and_does_not_revoke_it() {
    alone!(|| {
        let database = Database::new("1h", "24h");
        let secrets = database.open(json!({"revoke": true}), &[]);
        let (user, password) = user(&secrets);
        let mut secrets = Some(secrets);
        assert!(said_yes(fork(|| {
            let own = secrets.take().unwrap();
            let is_same = text(&own, "DB_USER").as_deref() == Some(&*user);
            own.close();
            is_same
        })));
        assert!(database.postgres.lets_in(&user, &password));
        assert_eq!((database.count("/creds/trainer"), database.count("/leases/revoke")), (1, 0));
    });
}

#[test]
fn managers_that_share_have_one_lease_and_the_last_revokes_it() {
    alone!(|| {
        let (database, place) = (Database::new("1h", "24h"), temp_in_memory());
        let directory = place.path().join("share");
        let share = [("share", "host"), ("share_dir", directory.to_str().unwrap()), ("cache_ttl", "0")];
        let open = || database.open(json!({"revoke": true}), &share);
        let (one, two) = (open(), open());
        let first = user(&one);
        assert_eq!(user(&two), first);
        let secret = two.get("DB_USER").unwrap();
        assert!(secret.is_shared() && secret.is_leased() && secret.expires_in() > Duration::from_secs(3000));
        assert_eq!(database.count("/creds/trainer"), 1);
        one.close();
        assert!(database.lets_in(&two), "another manager uses it");
        two.close();
        assert!(!database.postgres.lets_in(&first.0, &first.1));
        // Nothing is left for a process that comes later.
        assert_ne!(user(&open()).0, first.0);
    });
}

/// The settings of a process that gets the secret, executes its program again, gets it there, and closes the manager.
const EXECUTED: &str = "ST_SECRETS_TEST_EXECUTED";

/// The body of such a process. As a test it does nothing.
#[test]
fn executed() {
    let Ok(settings) = std::env::var(EXECUTED) else { return };
    let (mut config, own) = (Config::new(), std::env::current_exe().unwrap());
    config.parse(&settings).unwrap();
    let secrets = Manager::open(&config).unwrap();
    let (user, known) = (text(&secrets, "DB_USER").unwrap(), std::env::var("DB_USER").ok());
    if known.is_none() {
        let error = Command::new(own).args(std::env::args_os().skip(1)).env("DB_USER", &user).exec();
        panic!("{error}");
    }
    assert_eq!(known, Some(user), "the lease is shared");
    secrets.close();
}

/// Runs such a process, with this program and its arguments before it.
fn execute(wrapper: &[&str], database: &Database, directory: &Path) {
    let settings = json!({
        "providers": [database.table(json!({"revoke": true}))], "vault_url": database.proxy.url(),
        "vault_token": "root", "share": "host", "share_dir": directory,
    });
    let own = std::env::current_exe().unwrap();
    let words = [wrapper, &[own.to_str().unwrap(), "--exact", "dynamic::executed", "--nocapture"]].concat();
    let status = Command::new(words[0]).args(&words[1..]).env(EXECUTED, settings.to_string()).status();
    assert!(status.unwrap().success());
    assert_eq!(database.count("/leases/revoke"), 1);
}

#[test]
fn program_that_was_executed_by_another_one_revokes_their_lease() {
    alone!(|| {
        let (database, place) = (Database::new("1h", "24h"), temp_in_memory());
        execute(&[], &database, &place.path().join("share"));
        assert_eq!(database.count("/creds/trainer"), 1);
    });
}

#[test]
fn container_does_not_revoke_the_lease_of_another_one_that_shares_its_directory() {
    const CONTAINER: [&str; 5] = ["unshare", "--map-root-user", "--pid", "--fork", "--mount-proc"];
    let can_start = Command::new(CONTAINER[0]).args(&CONTAINER[1..]).arg("true").status();
    assert!(
        can_start.is_ok_and(|status| status.success()),
        "allow user namespaces: sysctl kernel.unprivileged_userns_clone=1"
    );
    alone!(|| {
        let (database, place) = (Database::new("1h", "24h"), temp_in_memory());
        let directory = place.path().join("share");
        let share = [("share", "host"), ("share_dir", directory.to_str().unwrap())];
        let secrets = database.open(json!({"revoke": true}), &share);
        user(&secrets);
        execute(&CONTAINER, &database, &directory);
        assert_eq!(database.count("/creds/trainer"), 2);
        assert!(database.lets_in(&secrets));
    });
}

#[test]
fn denied_secret_names_path_and_policy() {
    alone!(|| {
        let database = Database::new("1h", "24h");
        let policy = bao().policy(&["secret/data/other"], &["read"]);
        let token = bao().token_with(json!({"policies": [policy, "default"]}));
        let secrets = database.open(json!({}), &[("vault_token", &token)]);
        let error = secrets.get("DB_USER").unwrap_err();
        assert_eq!(error.status(), Status::AccessDenied);
        let policy = format!("path \"{}/creds/trainer\" {{ capabilities = [\"read\"] }}", database.mount);
        assert!(error.message().contains(&policy) && !error.message().contains(&token), "{error}");
        let health = check(&secrets);
        assert!(health["state"] == "warning" && health.to_string().contains("creds/trainer"), "{health}");
    });
}

#[test]
fn credentials_of_aws_are_issued_and_deleted_on_close() {
    moto();
    alone!(|| {
        let server = Bao::start_aws();
        let administrator = moto().user(&["iam:*", "sts:*"]);
        let root = json!({
            "access_key": administrator.id, "secret_key": administrator.secret, "region": "us-east-1",
            "iam_endpoint": moto().url(), "sts_endpoint": moto().url(),
        });
        server.ask("POST", "aws/config/root", root);
        let allowed = json!({"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"});
        let document = json!({"Version": "2012-10-17", "Statement": [allowed]}).to_string();
        let user = json!({"credential_type": "iam_user", "policy_document": document});
        server.ask("POST", "aws/roles/user", user);
        let role = json!({"credential_type": "assumed_role", "role_arns": [moto().role(&["sts:GetCallerIdentity"])]});
        server.ask("POST", "aws/roles/role", role);
        for (path, has_token) in [("aws/creds/user", false), ("aws/sts/role", true)] {
            let table = json!({"vault_dynamic": path, "revoke": true, "as": {
                "access_key": "AWS_ACCESS_KEY_ID", "secret_key": "AWS_SECRET_ACCESS_KEY",
                "security_token": "AWS_SESSION_TOKEN",
            }});
            let (providers, url) = (json!([table]).to_string(), server.url());
            let settings = [("providers", &*providers), ("vault_url", &url), ("vault_token", "root")];
            let secrets = crate::common::open(&settings).unwrap();
            let key = text(&secrets, "AWS_ACCESS_KEY_ID");
            let key = key.unwrap_or_else(|| panic!("{path}: {:?}", secrets.get("AWS_ACCESS_KEY_ID")));
            let secret = text(&secrets, "AWS_SECRET_ACCESS_KEY").unwrap();
            let token = text(&secrets, "AWS_SESSION_TOKEN");
            assert_eq!(token.is_some(), has_token);
            let key = Key::new(&key, &secret, token.as_deref());
            let asks = || moto().call_as(&key, "sts", "get_caller_identity", json!({}));
            assert!(asks().is_ok(), "{path}");
            assert!(secrets.get("AWS_ACCESS_KEY_ID").unwrap().is_leased());
            secrets.close();
            // AWS ends temporary credentials at their time only.
            assert_eq!(asks().is_ok(), has_token, "{path}");
        }
    });
}

#[test]
fn certificate_is_issued_with_parameters() {
    alone!(|| {
        let (mount, proxy) = (unique("pki"), Proxy::to(bao().address()));
        bao().ask("POST", &format!("sys/mounts/{mount}"), json!({"type": "pki"}));
        bao().ask("POST", &format!("{mount}/root/generate/internal"), json!({"common_name": "root.test"}));
        let role = json!({"allow_any_name": true, "ttl": "1h"});
        bao().ask("POST", &format!("{mount}/roles/web"), role);
        let open = |table: Value| -> Result<Manager> {
            let (providers, url) = (json!([table]).to_string(), proxy.url());
            crate::common::open(&[("providers", &*providers), ("vault_url", &url), ("vault_token", "root")])
        };
        let path = format!("{mount}/issue/web");
        let secrets = open(json!({
            "vault_dynamic": path, "parameters": {"common_name": "app.test"},
            "as": {"certificate": "TLS_CERT", "private_key": "TLS_KEY", "nothing": "TLS_NOTHING"},
        }))
        .unwrap();
        let secret = secrets.get("TLS_CERT").unwrap();
        assert!(secret.value().starts_with(b"-----BEGIN CERTIFICATE-----") && secret.is_leased());
        assert!((Duration::from_secs(3000)..=Duration::from_secs(3660)).contains(&secret.expires_in()));
        assert!(text(&secrets, "TLS_KEY").unwrap().contains("PRIVATE KEY"));
        let error = secrets.get("TLS_NOTHING").unwrap_err();
        assert!(error.message().contains("\"as\" names \"nothing\", which the response lacks"), "{error}");
        assert!(!error.message().contains("BEGIN"), "{error}");
        let error = open(json!({"vault_dynamic": path})).unwrap().get("certificate").unwrap_err();
        assert!(error.message().contains("\"parameters\""), "{error}");
        bao().put("secret", &path, &json!({"A": "value"}));
        let error = open(json!({"vault_dynamic": format!("secret/data/{path}")})).unwrap().get("A").unwrap_err();
        assert!(error.message().contains("use the provider \"vault\""), "{error}");
    });
}
