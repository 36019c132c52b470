//! Every kind of credentials, and which servers a token is sent to.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use serde_json::json;
use st_secrets::Status;

use crate::common::proxy::{Proxy, Reply};
use crate::common::remote::{alone, check};
use crate::common::servers::azure::{IDENTITY_HEADER, READER, RealNames, STRANGER, TENANT, VAULT, azure_peer};
use crate::common::servers::set_variables;
use crate::common::time::advance;
use crate::common::write;
use crate::{Azure, application, at, read, refused};

const ONE: &str = r#"[{"azure_secret": "HF-TOKEN"}]"#;

/// The names of Azure lead to the server, and these variables are set.
fn reads_as_microsofts_client(kind: &str, variables: &dyn Fn(&Azure) -> Vec<(&'static str, String)>) {
    reads_as(&Azure::start(), kind, kind, variables);
}

/// The same with the kind of credentials of the other client. The names lead there until the result is dropped.
fn reads_as(
    azure: &Azure,
    theirs: &str,
    kind: &str,
    variables: &dyn Fn(&Azure) -> Vec<(&'static str, String)>,
) -> RealNames {
    let names = azure.real_names();
    let mut all: Vec<(&str, String)> =
        names.variables.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    all.extend(variables(azure));
    let theirs = azure_peer(theirs, &all, &json!(["HF-TOKEN"]));
    assert_eq!(theirs[0][0], "CANARY-hf", "{theirs}");
    set_variables(all);
    let got = read(&at(VAULT, ONE, &[("azure_auth", kind)]), "HF_TOKEN");
    assert_eq!(json!(got.unwrap_or_else(|error| panic!("{error}"))), theirs[0]);
    names
}

fn client() -> Vec<(&'static str, String)> {
    vec![("AZURE_TENANT_ID", TENANT.to_owned()), ("AZURE_CLIENT_ID", READER.to_owned())]
}

#[test]
fn certificate_logs_in() {
    alone!(|| {
        reads_as_microsofts_client("environment", &|azure| {
            [client(), vec![("AZURE_CLIENT_CERTIFICATE_PATH", azure.file("certificate.pem"))]].concat()
        });
    });
}

#[test]
fn workload_identity_logs_in() {
    alone!(|| {
        reads_as_microsofts_client("workload_identity", &|azure| {
            [client(), vec![("AZURE_FEDERATED_TOKEN_FILE", azure.file("token"))]].concat()
        });
    });
}

#[test]
fn managed_identity_of_app_service_logs_in() {
    alone!(|| {
        reads_as_microsofts_client("managed_identity", &|azure| {
            vec![
                ("IDENTITY_ENDPOINT", format!("{}/msi/token", azure.url())),
                ("IDENTITY_HEADER", IDENTITY_HEADER.to_owned()),
                ("NO_PROXY", "127.0.0.1".to_owned()),
            ]
        });
    });
}

#[test]
fn managed_identity_of_a_machine_logs_in() {
    alone!(|| {
        reads_as_microsofts_client("managed_identity", &|azure| {
            vec![("AZURE_POD_IDENTITY_AUTHORITY_HOST", azure.url()), ("NO_PROXY", "127.0.0.1".to_owned())]
        });
    });
}

#[test]
fn metadata_service_that_is_being_updated_is_asked_again() {
    alone!(|| {
        let azure = Azure::start();
        let metadata = Proxy::to(&azure.address());
        set_variables([("AZURE_POD_IDENTITY_AUTHORITY_HOST", metadata.url()), ("NO_PROXY", "127.0.0.1".to_owned())]);
        let one = r#"[{"azure_secret": "HF-TOKEN", "as": "K"}]"#;
        const BEING_UPDATED: &str = r#"{"error": "gone", "error_description": "it is being updated"}"#;
        for status in [404, 410] {
            metadata.next(1, Reply::new(status).body(BEING_UPDATED));
            let secrets = at(&azure.url(), one, &[("azure_auth", "managed_identity")]);
            assert_eq!(read(&secrets, "K").unwrap().0, "CANARY-hf", "{status}");
        }
    });
}

/// A directory with a program `az` in `PATH`.
fn with_az(script: &str) -> (tempfile::TempDir, (&'static str, String)) {
    let directory = crate::common::temp();
    let script = script.replace("DIRECTORY", directory.path().to_str().unwrap());
    let program = write(&directory.path().join("az"), &format!("#!/bin/sh\n{script}"));
    std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o700)).unwrap();
    let path = format!("{}:{}", directory.path().display(), std::env::var("PATH").unwrap());
    (directory, ("PATH", path))
}

#[test]
fn command_line_interface_logs_in() {
    alone!(|| {
        let azure = Azure::start();
        // The program prints the token that the server gives a managed identity.
        let (directory, path) = with_az(&format!(
            "echo \"$*\" >>DIRECTORY/calls\ncurl -s --noproxy '*' -H 'Metadata: true' \"{}/metadata/identity/oauth2/token\
             ?api-version=2018-02-01&resource=$6\" | sed 's/access_token/accessToken/; s/expires_in/expires_on/'\n",
            azure.url(),
        ));
        // The lifetime is the time until 1970, so each login runs the program.
        let _names = reads_as(&azure, "cli", "cli", &|_| vec![path.clone()]);
        let calls = std::fs::read_to_string(directory.path().join("calls")).unwrap();
        let calls: Vec<&str> = calls.lines().collect();
        let own = "account get-access-token --output json --resource https://vault.azure.net";
        assert_eq!(calls[calls.len() - 1], own);
        assert!(calls[0].starts_with(own), "Microsoft's client runs it too: {calls:?}");
        let (_directory, path) = with_az("echo CANARY >&2\nexit 1\n");
        set_variables([path]);
        let secrets = at(VAULT, ONE, &[("azure_auth", "cli")]);
        refused(&secrets, "HF_TOKEN", Status::AccessDenied, &["run `az login`"]);
    });
}

#[test]
fn files_of_the_command_line_interface_log_in_where_it_is_not_installed() {
    alone!(|| {
        let azure = Azure::start();
        let before = std::fs::read_to_string(azure.file("cli/msal_token_cache.json")).unwrap();
        let _names = reads_as(&azure, "cli_files", "cli", &|azure| vec![("AZURE_CONFIG_DIR", azure.file("cli"))]);
        assert_eq!(std::fs::read_to_string(azure.file("cli/msal_token_cache.json")).unwrap(), before);
        // It is found by itself, in the home directory too.
        assert_eq!(read(&at(VAULT, ONE, &[]), "HF_TOKEN").unwrap().0, "CANARY-hf");
        set_variables([("AZURE_CONFIG_DIR", "")]);
        let home = std::path::PathBuf::from(std::env::var("HOME").unwrap()).join(".azure");
        refused(&at(VAULT, ONE, &[]), "HF_TOKEN", Status::Config, &["no credentials for Azure", "`az login`"]);
        std::fs::create_dir(&home).unwrap();
        for name in ["msal_token_cache.json", "azureProfile.json"] {
            std::fs::copy(azure.file(&format!("cli/{name}")), home.join(name)).unwrap();
        }
        assert_eq!(read(&at(VAULT, ONE, &[]), "HF_TOKEN").unwrap().0, "CANARY-hf");
        set_variables([("AZURE_TENANT_ID", "11111111-2222-3333-4444-555555555555")]);
        refused(&at(VAULT, ONE, &[]), "HF_TOKEN", Status::AccessDenied, &["invalid_request", "run `az login`"]);
    });
}

#[test]
fn unusable_files_of_the_command_line_interface_say_why() {
    alone!(|| {
        let azure = Azure::start();
        set_variables([("AZURE_AUTHORITY_HOST", azure.url())]);
        let expired = azure.file("cli_expired");
        set_variables([("AZURE_CONFIG_DIR", &expired)]);
        let secrets = at(&azure.url(), ONE, &[("azure_auth", "cli")]);
        refused(&secrets, "HF_TOKEN", Status::AccessDenied, &["AADSTS70043", "run `az login`", &expired]);
        // A new login ends the backoff.
        std::fs::copy(azure.file("cli/msal_token_cache.json"), azure.file("cli_expired/msal_token_cache.json"))
            .unwrap();
        assert_eq!(read(&secrets, "HF_TOKEN").unwrap().0, "CANARY-hf");
        let good = std::fs::read_to_string(azure.file("cli/msal_token_cache.json")).unwrap();
        let profile = std::fs::read_to_string(azure.file("cli/azureProfile.json")).unwrap();
        for (cache, profile, words) in [
            ("\u{1}\u{0}CANARY", profile.as_str(), "is not JSON, so it is encrypted or damaged"),
            (&good, "CANARY", "azureProfile.json is not JSON"),
            (&good, &profile.replace("User@", "other@"), "has no refresh token of its user; run `az login`"),
            (&good, &profile.replace("\"user\"}", "\"servicePrincipal\"}"), "is that of an application"),
            (
                &good.replace("microsoftonline.com", "microsoftonline.com/x?"),
                &profile,
                "names no tenant or login server",
            ),
            ("{}", &profile, "has no refresh token"),
        ] {
            if words.contains("login server") {
                set_variables([("AZURE_AUTHORITY_HOST", "")]);
            }
            let directory = crate::common::temp();
            write(&directory.path().join("msal_token_cache.json"), cache);
            write(&directory.path().join("azureProfile.json"), profile);
            set_variables([("AZURE_CONFIG_DIR", directory.path().to_str().unwrap())]);
            refused(&at(&azure.url(), ONE, &[]), "HF_TOKEN", Status::Config, &[words]);
        }
        let directory = crate::common::temp();
        write(&directory.path().join("msal_token_cache.bin"), "CANARY");
        set_variables([("AZURE_CONFIG_DIR", directory.path().to_str().unwrap())]);
        refused(&at(&azure.url(), ONE, &[]), "HF_TOKEN", Status::Config, &["is encrypted", "core.encrypt_token_cache"]);
    });
}

#[test]
fn login_that_is_rejected_is_a_denial() {
    alone!(|| {
        let azure = Azure::start();
        let base = [client(), vec![("AZURE_AUTHORITY_HOST", azure.url())]].concat();
        set_variables(base.clone());
        set_variables([("AZURE_CLIENT_SECRET", "CANARY-wrong")]);
        let secrets = at(&azure.url(), ONE, &[("azure_auth", "environment")]);
        refused(&secrets, "HF_TOKEN", Status::AccessDenied, &["is denied", "invalid_client", "AADSTS7000215"]);
        assert_eq!(check(&secrets)["state"], "failed");
        set_variables([("AZURE_FEDERATED_TOKEN_FILE", azure.file("bad_token"))]);
        let secrets = at(&azure.url(), ONE, &[("azure_auth", "workload_identity")]);
        refused(&secrets, "HF_TOKEN", Status::AccessDenied, &["the login of the workload identity", "invalid_client"]);
        set_variables([("AZURE_CLIENT_ID", STRANGER), ("AZURE_CLIENT_SECRET", "CANARY-client-secret~0001")]);
        let secrets = at(&azure.url(), ONE, &[("azure_auth", "environment")]);
        refused(&secrets, "HF_TOKEN", Status::AccessDenied, &["ForbiddenByRbac", STRANGER, "Key Vault Secrets User"]);
        set_variables([("AZURE_TENANT_ID", "11111111-2222-3333-4444-555555555555")]);
        let secrets = at(&azure.url(), ONE, &[("azure_auth", "environment")]);
        refused(&secrets, "HF_TOKEN", Status::Config, &["belongs to the tenant", TENANT]);
    });
}

#[test]
fn token_is_sent_only_to_a_vault_of_its_domain() {
    alone!(|| {
        let azure = Azure::start();
        let (vault, login) = (Proxy::to(&azure.address()), Proxy::to(&azure.address()));
        set_variables(application(&azure));
        set_variables([("AZURE_AUTHORITY_HOST", login.url())]);
        for resource in ["https://vault.azure.net", "https://management.azure.com", "http://127.0.0.1.evil.com"] {
            let challenge = format!("Bearer authorization=\"{}/x\", resource=\"{resource}\"", vault.url());
            vault.always(Reply::new(401).header("WWW-Authenticate", &challenge));
            let secrets = at(&vault.url(), ONE, &[]);
            refused(&secrets, "HF_TOKEN", Status::Protocol, &["it does not belong to", "azure_vault_url"]);
        }
        assert_eq!(login.connections(), 0);
        assert!(vault.requests().iter().all(|request| request.header("authorization").is_none()));
        // The next page may not be at another server either.
        let elsewhere = Proxy::to(&azure.address());
        vault.heal();
        let next = json!({"value": [], "nextLink": format!("{}/secrets?x=1", elsewhere.url())});
        vault.at("GET /secrets?api-version=7.4", Reply::new(200).body(next.to_string()));
        let secrets = at(&vault.url(), r#"[{"azure_secret": "HF-TOKEN"}, "azure"]"#, &[]);
        assert!(read(&secrets, "HF_TOKEN").is_ok());
        vault.heal();
        assert_eq!(elsewhere.connections(), 0);
    });
}

#[test]
fn token_is_used_until_shortly_before_its_end() {
    alone!(|| {
        let azure = Azure::start();
        let (vault, login) = (Proxy::to(&azure.address()), Proxy::to(&azure.address()));
        set_variables(application(&azure));
        set_variables([("AZURE_AUTHORITY_HOST", login.url())]);
        let secrets = at(&vault.url(), ONE, &[("cache_ttl", "0")]);
        for _ in 0..3 {
            read(&secrets, "HF_TOKEN").unwrap();
        }
        // One request asks for the challenge.
        assert_eq!((login.requests().len(), vault.requests().len()), (1, 4));
        advance(Duration::from_secs(3400));
        read(&secrets, "HF_TOKEN").unwrap();
        assert_eq!(login.requests().len(), 2, "less than five minutes were left");
        let body = r#"{"error": {"code": "Unauthorized", "message": "expired"}}"#;
        let challenge = "Bearer authorization=\"https://login.microsoftonline.com/x\", resource=\"http://127.0.0.1\"";
        vault.next(1, Reply::new(401).header("WWW-Authenticate", challenge).body(body));
        read(&secrets, "HF_TOKEN").unwrap();
        assert_eq!(login.requests().len(), 3);
        vault.always(Reply::new(401).header("WWW-Authenticate", challenge).body(body));
        refused(&secrets, "HF_TOKEN", Status::AccessDenied, &["does not accept the token"]);
        assert_eq!(login.requests().len(), 4);
    });
}
