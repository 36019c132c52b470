//! The contents and policies that a test writes into OpenBao.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::super::{python_script, unique};
use super::Bao;

/// Signs tokens for a JWT role.
pub struct Issuer {
    key: PathBuf,
    subject: String,
}

impl Issuer {
    /// A token that is good for so many seconds.
    pub fn token(&self, seconds: u32) -> String {
        let made = python_script("jwt.py", &[self.key.to_str().unwrap(), &self.subject, "tests", &seconds.to_string()]);
        made["token"].as_str().unwrap().to_owned()
    }
}

impl Bao {
    /// A new KV mount of this version; ready when this returns.
    pub fn mount(&self, mount: &str, version: u8) {
        self.mount_in("", mount, version);
    }

    /// The same in a namespace; the mount is then `{namespace}/{mount}` for the other functions here.
    pub fn mount_in(&self, namespace: &str, mount: &str, version: u8) {
        let start = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
        let settings = json!({"type": "kv", "options": {"version": version.to_string()}});
        self.ask("POST", &format!("{start}sys/mounts/{mount}"), settings);
        // A mount of version 2 answers 400 for a moment, while it sets itself up.
        let config = format!("{start}{mount}/config");
        self.until(|| version == 1 || self.call("GET", &config, &Value::Null, &self.root).0 == 200);
    }

    /// Stores a document in a KV v2 mount. Its version.
    pub fn put(&self, mount: &str, path: &str, document: &Value) -> u64 {
        let stored = self.ask("POST", &format!("{mount}/data/{path}"), json!({"data": document}));
        stored["data"]["version"].as_u64().unwrap()
    }

    /// The same in a KV v1 mount.
    pub fn put_v1(&self, mount: &str, path: &str, document: &Value) {
        self.ask("POST", &format!("{mount}/{path}"), document.clone());
    }

    /// Deletes versions of a KV v2 secret, so that they can be undeleted.
    pub fn delete(&self, mount: &str, path: &str, versions: &[u64]) {
        self.ask("POST", &format!("{mount}/delete/{path}"), json!({"versions": versions}));
    }

    pub fn undelete(&self, mount: &str, path: &str, versions: &[u64]) {
        self.ask("POST", &format!("{mount}/undelete/{path}"), json!({"versions": versions}));
    }

    /// Destroys versions of a KV v2 secret.
    pub fn destroy(&self, mount: &str, path: &str, versions: &[u64]) {
        self.ask("PUT", &format!("{mount}/destroy/{path}"), json!({"versions": versions}));
    }

    /// Removes a KV v2 secret with all its versions.
    pub fn remove(&self, mount: &str, path: &str) {
        self.ask("DELETE", &format!("{mount}/metadata/{path}"), Value::Null);
    }

    /// A new policy with these capabilities (`["read"]`) for each path (`secret/data/app`). Its name.
    pub fn policy(&self, paths: &[&str], capabilities: &[&str]) -> String {
        let name = unique("policy");
        let rules: String = paths
            .iter()
            .map(|path| format!("path \"{path}\" {{ capabilities = {} }}\n", json!(capabilities)))
            .collect();
        self.ask("PUT", &format!("sys/policies/acl/{name}"), json!({"policy": rules}));
        name
    }

    /// A new token with these policies and this life (`"3s"`), renewable up to `"1h"`.
    pub fn token(&self, policies: &[&str], ttl: &str) -> String {
        let asked = json!({"policies": policies, "ttl": ttl, "explicit_max_ttl": "1h", "renewable": true});
        self.token_with(asked)
    }

    /// The same with any settings of `auth/token/create-orphan`.
    pub fn token_with(&self, settings: Value) -> String {
        let made = self.ask("POST", "auth/token/create-orphan", settings);
        made["auth"]["client_token"].as_str().unwrap().to_owned()
    }

    /// Ends a token at once.
    pub fn revoke(&self, token: &str) {
        self.ask("POST", "auth/token/revoke", json!({"token": token}));
    }

    /// Switches a way to log in on (`approle`, `jwt`) at `auth/{path}`, where it is not yet.
    pub fn auth(&self, kind: &str, path: &str) {
        if self.ask("GET", "sys/auth", Value::Null)["data"].get(format!("{path}/")).is_none() {
            self.call("POST", &format!("sys/auth/{path}"), &json!({"type": kind}), &self.root);
        }
    }

    /// A new AppRole whose tokens have these policies and this life: its role id and a secret id.
    pub fn approle(&self, policies: &[&str], ttl: &str) -> (String, String) {
        self.auth("approle", "approle");
        let role = format!("auth/approle/role/{}", unique("role"));
        self.ask("POST", &role, json!({"token_policies": policies, "token_ttl": ttl, "token_max_ttl": "1h"}));
        let id = self.ask("GET", &format!("{role}/role-id"), Value::Null);
        let secret = self.ask("POST", &format!("{role}/secret-id"), json!({}));
        (id["data"]["role_id"].as_str().unwrap().into(), secret["data"]["secret_id"].as_str().unwrap().into())
    }

    /// A new role at `auth/{path}` for tokens of the issuer, with these policies and this life: its name, and the
    /// issuer.
    pub fn jwt(&self, path: &str, policies: &[&str], ttl: &str) -> (String, Issuer) {
        self.auth("jwt", path);
        let key = self.directory.path().join(format!("{}.key", path.replace('/', "-")));
        let issuer = Issuer { key, subject: unique("subject") };
        let made = python_script("jwt.py", &[issuer.key.to_str().unwrap(), &issuer.subject, "tests", "1"]);
        self.ask("POST", &format!("auth/{path}/config"), json!({"jwt_validation_pubkeys": [made["public"]]}));
        let role = unique("role");
        let settings = json!({
            "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["tests"], "bound_subject": issuer.subject,
            "token_policies": policies, "token_ttl": ttl, "token_max_ttl": "1h",
        });
        self.ask("POST", &format!("auth/{path}/role/{role}"), settings);
        (role, issuer)
    }

    /// A new namespace. Its name: before a path, or in the header X-Vault-Namespace.
    pub fn namespace(&self) -> String {
        let name = unique("namespace");
        self.ask("POST", &format!("sys/namespaces/{name}"), json!({}));
        name
    }

    /// At most `rate` requests a second to `path` (`""`: all), 429 above; none: without limit again.
    pub fn quota(&self, path: &str, rate: Option<f64>) {
        match rate {
            Some(rate) => self.ask("POST", "sys/quotas/rate-limit/tests", json!({"path": path, "rate": rate})),
            None => self.ask("DELETE", "sys/quotas/rate-limit/tests", Value::Null),
        };
    }
}
