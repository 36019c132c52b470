//! The core file of a C program with secrets of a remote provider contains neither the secrets nor the credentials of
//! the logins in plain text. The program is linked with the shared library in
//! `build/lib`, which wipes memory that it frees.

mod common;

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::servers::azure::{READER, REFRESH, TENANT};
use common::servers::infisical::PROJECT;
use common::servers::{
    Azure, Google, Infisical, Kubernetes, OnePassword, bao, in_clean_environment, moto, process, unique,
};
use common::{temp, write};
use serde_json::{Value, json};

/// Returns a text that occurs nowhere else.
fn random() -> String {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn compiled(directory: &Path) -> PathBuf {
    let library = Path::new("build/lib").canonicalize().expect("build/lib is missing: run `make all`");
    let program = directory.join("remote_holder");
    let status = Command::new("cc")
        .args(["-D_GNU_SOURCE", "-Wall", "-Iinclude", "-Itests/c", "tests/c/memory/remote_holder.c", "-o"])
        .arg(&program)
        .arg(format!("-L{}", library.display()))
        .arg(format!("-Wl,-rpath,{}", library.display()))
        .arg("-lst_secrets")
        .status();
    assert!(status.unwrap().success());
    program
}

/// Returns the core file of the program at the time when it reports that it is ready.
fn core_of(program: &Path, variables: &[(&str, String)], arguments: &[&str], directory: &Path) -> Vec<u8> {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(variables.iter().map(|(name, value)| (name, value)));
    command.stdout(Stdio::piped());
    let mut child = process::spawn(command);
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "ready\n");
    let core = directory.join("core");
    let id = child.id().to_string();
    let output = Command::new("gcore").arg("-o").arg(&core).arg(&id).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    process::end(&mut child);
    fs::read(directory.join(format!("core.{id}"))).unwrap()
}

/// Returns the names of the secrets of which the core file contains any 16 bytes.
fn found_in<'a>(core: &[u8], secrets: &[(&'a str, impl AsRef<[u8]>)]) -> Vec<&'a str> {
    let windows: HashMap<&[u8], &str> =
        secrets.iter().flat_map(|(name, secret)| secret.as_ref().windows(16).map(|piece| (piece, *name))).collect();
    // Most pieces of the file are ruled out by how they begin.
    let beginning = |piece: &[u8]| usize::from(u16::from_le_bytes([piece[0], piece[1]]));
    let mut begins = vec![false; 1 << 16];
    windows.keys().for_each(|piece| begins[beginning(piece)] = true);
    let pieces = core.windows(16).filter(|piece| begins[beginning(piece)]);
    let mut found: Vec<&str> = pieces.filter_map(|piece| windows.get(piece).copied()).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// A provider that reads the secret `core` of a server: its settings and variables, and the credentials that they name.
struct Holder<'a> {
    settings: Value,
    variables: Vec<(&'a str, String)>,
    credentials: Vec<(&'a str, Vec<u8>)>,
}

/// Checks the core files of programs with these providers. `values` is a file with the values.
fn holds_no_secret(values: &str, holders: &[Holder<'_>]) {
    let directory = temp();
    let program = compiled(directory.path());
    let values: HashMap<String, String> = serde_json::from_slice(&contents(values)).unwrap();
    assert_eq!(values.len(), 4);
    let values: Vec<(&str, Vec<u8>)> =
        values.iter().map(|(name, value)| (name.as_str(), value.clone().into_bytes())).collect();
    for Holder { settings, variables, credentials } in holders {
        let secrets = [&values[..], credentials].concat();
        let core = core_of(&program, variables, &[&settings.to_string()], directory.path());
        assert_eq!(found_in(&core, &secrets), [""; 0], "{settings}");
        // Access tokens are random behind this.
        let issued = core.windows(20).filter(|piece| piece.starts_with(b"CANARY-access-")).count();
        assert_eq!(issued, 0, "an access token with {settings}");
    }
    let Holder { settings, variables, .. } = &holders[0];
    let core = core_of(&program, variables, &[&settings.to_string(), "leak"], directory.path());
    assert_eq!(found_in(&core, &values), ["AWS_KEPT"], "a copy that the program itself made must be found");
}

fn contents(path: &str) -> Vec<u8> {
    fs::read(path).unwrap().trim_ascii().to_vec()
}

/// The private key of a text in PEM, as text and as bytes.
fn private_key(pem: &str) -> Vec<(&'static str, Vec<u8>)> {
    let lines: Vec<&str> = pem.lines().skip_while(|line| !line.contains("PRIVATE KEY")).skip(1).collect();
    let lines: Vec<&str> = lines.into_iter().take_while(|line| !line.starts_with('-')).collect();
    let bytes = STANDARD.decode(lines.concat()).unwrap();
    assert!(bytes.len() > 100);
    // All keys begin with what kind of key they are. That of an elliptic curve ends with the public one.
    let secret = if bytes.len() > 1000 { &bytes[48..] } else { &bytes[36..68] };
    let bytes = ("the private key", secret.to_vec());
    let lines = if lines.len() > 3 { &lines[1..] } else { &lines[1..2] };
    lines.iter().map(|line| ("the private key in PEM", line.as_bytes().to_vec())).chain([bytes]).collect()
}

#[test]
fn core_file_contains_no_remote_secret_and_no_credential() {
    in_clean_environment("core_file_contains_no_remote_secret_and_no_credential", Vec::new, || {
        let directory = temp();
        let program = compiled(directory.path());
        let values = [random(), random(), random(), random()];
        let (name, path) = (unique("core"), unique("core"));
        moto().secret(&name, &json!({"AWS_KEPT": values[0], "AWS_FREED": values[1]}).to_string());
        bao().put("secret", &path, &json!({"VAULT_KEPT": values[2], "VAULT_FREED": values[3]}));
        // Session credentials in a file; a role whose secret ID is in a file.
        let key = moto().assume(&moto().role(&["secretsmanager:GetSecretValue"]));
        let token = key.token.clone().unwrap();
        let policy = bao().policy(&[&format!("secret/data/{path}")], &["read"]);
        let (role, secret_id) = bao().approle(&[&policy], "1h");
        let credentials = format!(
            "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\naws_session_token = {token}\n",
            key.id, key.secret
        );
        let credentials = write(&directory.path().join("credentials"), &credentials);
        let secret_id_file = write(&directory.path().join("secret_id"), &secret_id);
        let variables = [
            ("HOME", directory.path().to_str().unwrap().to_owned()),
            ("AWS_SHARED_CREDENTIALS_FILE", credentials.to_str().unwrap().to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ENDPOINT_URL", moto().url()),
            ("SIMPLETUNER_AWS_SECRET_NAME", name.clone()),
            ("SIMPLETUNER_VAULT_PATH", path.clone()),
            ("VAULT_ADDR", bao().url()),
        ];
        let vault_token = bao().token(&[&policy], "1h");
        write(&directory.path().join(".vault-token"), &vault_token);
        let secrets = [
            ("AWS_KEPT", values[0].clone()),
            ("AWS_FREED", values[1].clone()),
            ("VAULT_KEPT", values[2].clone()),
            ("VAULT_FREED", values[3].clone()),
            ("secret access key", key.secret),
            ("session token", token),
            ("secret id of Vault", secret_id),
            ("token of Vault", vault_token),
        ];
        let by_role = json!({"vault_auth": "approle", "vault_role_id": role, "vault_secret_id_file": secret_id_file});
        for settings in [by_role.to_string(), "{}".to_owned()] {
            let core = core_of(&program, &variables, &[&settings], directory.path());
            assert_eq!(found_in(&core, &secrets), [""; 0], "{settings}");
        }
        let core = core_of(&program, &variables, &["{}", "leak"], directory.path());
        assert_eq!(found_in(&core, &secrets), ["AWS_KEPT"], "a copy that the program itself made must be found");
    });
}

#[test]
fn core_file_contains_no_value_that_a_program_prints() {
    let directory = temp();
    let program = compiled(directory.path());
    let values = [random(), random(), random(), random()];
    let variables = json!({"AWS_KEPT": values[0], "AWS_FREED": format!("{}\n", values[1])});
    let printed = write(&directory.path().join("printed.json"), &variables.to_string());
    let lines = format!("export VAULT_KEPT={}\nVAULT_FREED=\"{}\\n\"\n", values[2], values[3]);
    let quoted = write(&directory.path().join("quoted.env"), &lines);
    let providers = json!([{"exec": ["cat", printed]}, {"exec": ["cat", quoted], "name": "dotenv"}]);
    let variables = [("PATH", std::env::var("PATH").unwrap())];
    let names = ["AWS_KEPT", "AWS_FREED", "VAULT_KEPT", "VAULT_FREED"];
    let secrets: Vec<_> = names.into_iter().zip(values).collect();
    let settings = json!({"providers": providers}).to_string();
    let core = core_of(&program, &variables, &[&settings], directory.path());
    assert_eq!(found_in(&core, &secrets), [""; 0]);
    let core = core_of(&program, &variables, &[&settings, "leak"], directory.path());
    assert_eq!(found_in(&core, &secrets), ["AWS_KEPT"], "a copy that the program itself made must be found");
}

#[test]
fn core_file_contains_no_secret_of_1password_and_no_credential() {
    let server = OnePassword::start();
    let token = server.file("reader");
    let settings = json!({
        "providers": ["onepassword"], "onepassword_url": server.url(), "onepassword_vault": "train",
        "onepassword_item": "core", "onepassword_token_file": token,
    });
    let credentials = vec![("token", contents(&token))];
    holds_no_secret(&server.file("core.json"), &[Holder { settings, variables: Vec::new(), credentials }]);
}

#[test]
fn core_file_contains_no_secret_of_infisical_and_no_credential() {
    let server = Infisical::start();
    let secret = server.file("reader");
    let settings = json!({
        "providers": ["infisical"], "infisical_url": server.url(), "infisical_project": PROJECT,
        "infisical_environment": "prod", "infisical_path": "/core", "infisical_client_id": "client-reader",
        "infisical_client_secret_file": secret,
    });
    let credentials = vec![("client secret", contents(&secret))];
    holds_no_secret(&server.file("core.json"), &[Holder { settings, variables: Vec::new(), credentials }]);
}

#[test]
fn core_file_contains_no_secret_of_google_and_no_credential() {
    let server = Google::start();
    let holder = |kind: &str, names: &[&'static str], more: &[(&'static str, Vec<u8>)]| {
        let file: Value = serde_json::from_slice(&contents(&server.file(kind))).unwrap();
        let settings = json!({
            "providers": ["google"], "google_endpoint_url": server.url(), "google_project": "train-1",
            "google_secret_name": "core", "google_credentials_file": server.file(kind),
        });
        let mut credentials: Vec<_> =
            names.iter().map(|name| (*name, file[name].as_str().unwrap().as_bytes().to_vec())).collect();
        credentials.extend_from_slice(more);
        for account in [&file, &file["source_credentials"]] {
            credentials.extend(account["private_key"].as_str().map(private_key).into_iter().flatten());
        }
        if let Some(path) = file["credential_source"]["file"].as_str() {
            credentials.push(("token of the other provider", contents(path)));
        }
        assert!(!credentials.is_empty(), "{kind}");
        Holder { settings, variables: Vec::new(), credentials }
    };
    let response: Value = serde_json::from_slice(&contents(&server.path("response"))).unwrap();
    let printed = ("printed token", response["id_token"].as_str().unwrap().as_bytes().to_vec());
    let directory = temp();
    let [id, secret, token] = ["AKIDGOOGLE", "CANARY-aws-secret-key", "CANARY-aws-session-token"];
    let profile =
        format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\naws_session_token = {token}\n");
    let profile = write(&directory.path().join("credentials"), &profile).to_str().unwrap().to_owned();
    let aws = [("secret access key", secret.as_bytes().to_vec()), ("session token", token.as_bytes().to_vec())];
    let holders = [
        holder("service_account", &[], &[]),
        holder("user", &["client_secret", "refresh_token"], &[]),
        holder("external_file", &[], &[]),
        holder("impersonated", &[], &[]),
        Holder {
            variables: vec![("GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES", "1".to_owned())],
            ..holder("external_executable", &[], &[printed])
        },
        Holder {
            variables: vec![("AWS_SHARED_CREDENTIALS_FILE", profile), ("AWS_REGION", "eu-west-1".to_owned())],
            ..holder("external_aws", &[], &aws)
        },
    ];
    holds_no_secret(&server.path("core.json"), &holders);
}

#[test]
fn core_file_contains_no_secret_of_azure_and_no_credential() {
    let server = Azure::start();
    let holder = |kind: &str, variable: &'static str, value: String, credentials: Vec<(&'static str, Vec<u8>)>| {
        let settings = json!({
            "providers": ["azure"], "azure_vault_url": server.url(), "azure_secret_name": "core", "azure_auth": kind,
        });
        let variables = vec![
            ("AZURE_TENANT_ID", TENANT.to_owned()),
            ("AZURE_CLIENT_ID", READER.to_owned()),
            ("AZURE_AUTHORITY_HOST", server.url()),
            (variable, value),
        ];
        Holder { settings, variables, credentials }
    };
    let (certificate, token) = (server.file("certificate.pem"), server.file("token"));
    let key = private_key(&String::from_utf8(contents(&certificate)).unwrap());
    let federated = vec![("token of the other provider", contents(&token))];
    let holders = [
        holder("environment", "AZURE_CLIENT_CERTIFICATE_PATH", certificate, key),
        holder("workload_identity", "AZURE_FEDERATED_TOKEN_FILE", token, federated),
        holder("cli", "AZURE_CONFIG_DIR", server.file("cli"), vec![("refresh token", REFRESH.as_bytes().to_vec())]),
        holder("managed_identity", "AZURE_POD_IDENTITY_AUTHORITY_HOST", server.url(), Vec::new()),
    ];
    holds_no_secret(&server.file("core.json"), &holders);
}

#[test]
fn core_file_contains_no_secret_of_kubernetes_and_no_credential() {
    let server = Kubernetes::start();
    let token = server.token_file("reader");
    let settings = json!({
        "providers": ["kubernetes"], "kubernetes_url": server.url(), "kubernetes_namespace": "ml",
        "kubernetes_secret": "core", "kubernetes_token_file": token,
    });
    let credentials = || vec![("token", contents(&token))];
    let key = || private_key(&String::from_utf8(contents(&server.file("reader.key"))).unwrap());
    let of_file = |login: &str, credentials| Holder {
        settings: json!({"providers": ["kubernetes"], "kubernetes_secret": "core"}),
        variables: vec![("KUBECONFIG", server.kubeconfig(login))],
        credentials,
    };
    let holders = [
        Holder { settings, variables: Vec::new(), credentials: credentials() },
        of_file("token", credentials()),
        of_file("certificate", key()),
        of_file("certificate_data", key()),
        of_file("exec", credentials()),
        of_file("exec_certificate", key()),
    ];
    holds_no_secret(&server.file("core.json"), &holders);
}
