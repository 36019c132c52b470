//! Values, versions and lists, compared with what Microsoft's own client reads at the same names.

use serde_json::json;
use st_secrets::Status;

use crate::common::proxy::Proxy;
use crate::common::remote::{Shown, alone, check};
use crate::common::servers::azure::{VAULT, azure_peer};
use crate::common::servers::set_variables;
use crate::common::{open, text};
use crate::{Azure, application, at, one, read, refused};

#[test]
fn values_are_those_that_microsofts_client_reads() {
    alone!(|| {
        let azure = Azure::start();
        let names = azure.real_names();
        let mut variables: Vec<(&str, String)> =
            names.variables.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        variables.extend(application(&azure).into_iter().filter(|(name, _)| *name != "AZURE_AUTHORITY_HOST"));
        set_variables(variables.clone());
        let secrets = at(VAULT, r#"[{"azure_secret": "db-password", "as": "K"}]"#, &[]);
        let (value, version) = read(&secrets, "K").unwrap();
        let asked = json!(["db-password", "HF-TOKEN", null, "off", "none", "denied"]);
        let theirs = azure_peer("environment", &variables, &asked);
        assert_eq!(theirs[0], json!([value, version]));
        let old = theirs[1].clone();
        assert_eq!(old[0], "CANARY-hf");
        let refusals = json!([theirs[3], theirs[4], theirs[5]]);
        assert_eq!(refusals, json!(["HttpResponseError", "ResourceNotFoundError", "HttpResponseError"]));
        // All secrets of the vault, by names that a variable could have.
        let all = at(VAULT, r#"["azure"]"#, &[]);
        let listed = theirs[2].clone();
        let values = azure_peer("environment", &variables, &listed);
        for (name, value) in listed.as_array().unwrap().iter().zip(values.as_array().unwrap()) {
            let (name, key) = (name.as_str().unwrap(), name.as_str().unwrap().replace('-', "_"));
            match name {
                "denied" => refused(&all, &key, Status::AccessDenied, &["Key Vault Secrets User"]),
                _ => assert_eq!(
                    *value,
                    json!(all.get(&key).map(|got| (text(&all, &key), got.version().map(str::to_owned))).unwrap()),
                    "{name}"
                ),
            }
        }
        refused(&all, "off", Status::NotFound, &["all secrets", VAULT]);
        let paths: Vec<String> = names.proxy.requests().into_iter().map(|request| request.path).collect();
        let known = ["train.vault.azure.net:443", "login.microsoftonline.com:443"];
        assert!(paths.iter().all(|path| known.contains(&path.as_str())), "{paths:?}");
    });
}

#[test]
fn versions_and_lists_are_selected() {
    alone!(|| {
        let azure = Azure::start();
        let (_, newest) = read(&one(&azure, r#"{"azure_secret": "train-1"}"#), "train_1").unwrap();
        let version = newest.unwrap();
        assert_eq!(version.len(), 32);
        let element = format!(r#"{{"azure_secret": "train-1", "version": "{version}", "as": "K"}}"#);
        assert_eq!(read(&one(&azure, &element), "K").unwrap(), ("CANARY-train-1".to_owned(), Some(version.clone())));
        let other = format!(r#"{{"azure_secret": "train-2/{version}", "as": "K"}}"#);
        refused(&one(&azure, &other), "K", Status::NotFound, &["or its version", "does not exist"]);
        let odd = one(&azure, r#"{"azure_secrets": {"tags": {"app": "train", "odd": "1"}}}"#);
        assert_eq!(text(&odd, "train_1").as_deref(), Some("CANARY-train-1"));
        refused(&odd, "train_2", Status::NotFound, &["labelled"]);
        let prefix = one(&azure, r#"{"azure_secrets": {"prefix": "train-"}}"#);
        for number in 0..5 {
            assert_eq!(text(&prefix, &number.to_string()), Some(format!("CANARY-train-{number}")));
        }
        let mixed = one(&azure, r#"{"azure_secrets": {"tags": {"group": "mixed"}}}"#);
        assert_eq!(text(&mixed, "mixed_1").as_deref(), Some("CANARY-mixed"));
        refused(&mixed, "denied", Status::AccessDenied, &["Key Vault Secrets User"]);
        assert_eq!(check(&mixed)["state"], "warning");
    });
}

#[test]
fn secret_that_cannot_be_read_says_why() {
    alone!(|| {
        let azure = Azure::start();
        for (name, status, words) in [
            ("off", Status::NotFound, "it is disabled"),
            ("none", Status::NotFound, "it does not exist, or is deleted"),
            ("denied", Status::AccessDenied, "Key Vault Secrets User"),
            ("firewalled", Status::AccessDenied, "the firewall of the vault"),
        ] {
            let element = format!(r#"{{"azure_secret": "{name}", "as": "K"}}"#);
            refused(&one(&azure, &element), "K", status, &[words]);
        }
    });
}

#[test]
fn objects_are_read() {
    alone!(|| {
        let azure = Azure::start();
        set_variables(application(&azure));
        let secrets = at(&azure.url(), r#"["azure"]"#, &[("azure_secret_name", "app-prod")]);
        assert_eq!(text(&secrets, "HF_TOKEN").as_deref(), Some("CANARY-in-object"));
        assert_eq!(text(&secrets, "PORT").as_deref(), Some("8080"));
        let checked = check(&secrets);
        assert_eq!(checked["state"], "ok", "{checked}");
        let wrong = at(&azure.url(), r#"["azure"]"#, &[("azure_secret_name", "HF-TOKEN")]);
        refused(&wrong, "K", Status::Protocol, &["HF-TOKEN", "line 1, column 1"]);
    });
}

#[test]
fn nothing_is_sent_without_a_vault_or_another_key() {
    alone!(|| {
        let azure = Azure::start();
        let proxy = Proxy::to(&azure.address());
        set_variables(application(&azure));
        set_variables([("AZURE_AUTHORITY_HOST", proxy.url())]);
        let secrets = open(&[("providers", r#"["azure"]"#)]).unwrap();
        refused(&secrets, "K", Status::NotFound, &["azure (not configured)"]);
        assert_eq!(check(&secrets)["state"], "absent");
        let secrets = at(&proxy.url(), r#"[{"azure_secret": "db-password"}]"#, &[]);
        assert!(secrets.get("OTHER").is_err());
        assert_eq!(proxy.connections(), 0);
        assert!(secrets.get("db_password").is_ok());
        let error = open(&[("providers", r#"[{"azure_secret": "db-password"}]"#)]).err().unwrap();
        assert!(error.message().contains("azure_vault_url"), "{error}");
    });
}

#[test]
fn no_output_has_a_value_or_a_credential() {
    alone!(|| {
        let azure = Azure::start();
        let shown = Shown::start();
        let secrets = one(&azure, r#""azure", {"azure_secret": "db-password", "as": "K"}"#);
        shown.has_no_secret(&secrets, &["HF_TOKEN", "K", "NONE"], "the application 1111");
        for (kind, variable, file) in [
            ("environment", "AZURE_CLIENT_CERTIFICATE_PATH", "certificate.pem"),
            ("workload_identity", "AZURE_FEDERATED_TOKEN_FILE", "token"),
            ("workload_identity", "AZURE_FEDERATED_TOKEN_FILE", "bad_token"),
        ] {
            set_variables([(variable, &azure.file(file)), ("AZURE_CLIENT_SECRET", &String::new())]);
            let secrets = at(&azure.url(), r#"["azure"]"#, &[("azure_auth", kind)]);
            shown.has_no_secret(&secrets, &["HF_TOKEN", "NONE"], &azure.file(file));
        }
        shown.log_has("/secrets/db-password");
    });
}
