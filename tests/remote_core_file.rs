//! The core file of a C program with secrets of AWS, Vault, 1Password, Infisical and programs contains neither the
//! secrets nor the credentials of the logins in plain text. The program is linked with the shared library in
//! `build/lib`, which wipes memory that it frees.

mod common;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::servers::infisical::PROJECT;
use common::servers::{Infisical, OnePassword, bao, in_clean_environment, moto, process, unique};
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
    std::fs::read(directory.join(format!("core.{id}"))).unwrap()
}

/// Returns the names of the secrets of which the core file contains any 16 bytes.
fn found_in<'a>(core: &[u8], secrets: &[(&'a str, String)]) -> Vec<&'a str> {
    let windows: std::collections::HashMap<&[u8], &str> =
        secrets.iter().flat_map(|(name, secret)| secret.as_bytes().windows(16).map(|piece| (piece, *name))).collect();
    let mut found: Vec<&str> = core.windows(16).filter_map(|piece| windows.get(piece).copied()).collect();
    found.sort_unstable();
    found.dedup();
    found
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
fn core_file_contains_no_secret_of_1password_and_infisical_and_no_credential() {
    let directory = temp();
    let program = compiled(directory.path());
    let (onepassword, infisical) = (OnePassword::start(), Infisical::start());
    let text = |path: &str| std::fs::read_to_string(path).unwrap().trim().to_owned();
    let values = |path: &str| -> Vec<(String, String)> {
        let values: Value = serde_json::from_str(&text(path)).unwrap();
        let values = values.as_object().unwrap().clone().into_iter();
        values.map(|(name, value)| (name, value.as_str().unwrap().to_owned())).collect()
    };
    let (token, client_secret) = (onepassword.file("reader"), infisical.file("reader"));
    let values = [values(&onepassword.file("core.json")), values(&infisical.file("core.json"))].concat();
    let mut secrets: Vec<(&str, String)> = values.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    assert_eq!(secrets.len(), 4);
    secrets.extend([("token", text(&token)), ("client secret", text(&client_secret))]);
    let settings = json!({
        "providers": ["onepassword", "infisical"],
        "onepassword_url": onepassword.url(), "onepassword_vault": "train", "onepassword_item": "core",
        "onepassword_token_file": token,
        "infisical_url": infisical.url(), "infisical_project": PROJECT, "infisical_environment": "prod",
        "infisical_path": "/core", "infisical_client_id": "client-reader",
        "infisical_client_secret_file": client_secret,
    });
    let core = core_of(&program, &[], &[&settings.to_string()], directory.path());
    assert_eq!(found_in(&core, &secrets), [""; 0]);
    // Access tokens are random behind this.
    let issued = core.windows(20).filter(|piece| piece.starts_with(b"CANARY-access-")).count();
    assert_eq!(issued, 0, "an access token");
    let core = core_of(&program, &[], &[&settings.to_string(), "leak"], directory.path());
    assert_eq!(found_in(&core, &secrets), ["AWS_KEPT"], "a copy that the program itself made must be found");
}
